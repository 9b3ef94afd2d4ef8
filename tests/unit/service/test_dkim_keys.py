"""DKIM keys from making to taking out: nothing signs before DNS has its record, nothing goes while it may be needed."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from config.load import load_settings
from core.errors import InvalidInput
from core.lane import DAY
from core.ports import NameMissing
from core.state import MxHost
from sender.dkim import new_key, public_record
from service.commands.dkim import publish, rotate, why_not
from service.dkimkeys import MAX_STRING, KeyRing, table_of, with_key, zone_line

NOW = 1_800_000_000.0
CONFIG = """\
[[sending_domains]]
name = "example.com"     # ours
return_path = "rp.example.com"

[[sending_domains.dkim]]
selector = "p1"          # the first
key_file = 'keys/p1.pem'

[[sending_domains.dkim]]
algorithm = "ed25519-sha256"
key_file = "keys/p2.pem"
selector = "p2"

[[sending_domains]]
name = "other.example"
return_path = "rp.other.example"
[[sending_domains.dkim]]
selector = "p1"
key_file = "keys/other.pem"

[[sources]]
name = "mta1"
ehlo = "mta1.example.com"
"""


class Zone:
    """TXT records only."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def txt(self, name: str) -> list[str]:
        if name not in self.texts:
            raise NameMissing(name)
        return [self.texts[name]]

    async def mx(self, domain: str) -> list[MxHost]:
        raise NameMissing(domain)

    async def addresses(self, host: str) -> list[str]:
        raise NameMissing(host)

    async def ptr(self, ip: str) -> list[str]:
        return []


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """Keys made once: RSA takes its time."""
    return {
        "p1.pem": new_key("rsa-sha256")[0], "p2.pem": new_key("ed25519-sha256")[0],
        "other.pem": new_key("rsa-sha256")[0],
    }  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, made: dict[str, bytes]) -> Path:
    (tmp_path / "keys").mkdir()
    for name, pem in made.items():
        (tmp_path / "keys" / name).write_bytes(pem)
    path = tmp_path / "penstock.toml"
    path.write_text(CONFIG)
    return path


def ring(config: Path) -> KeyRing:
    return KeyRing(load_settings(config))


def test_a_new_key_is_secret_prepared_and_never_replaces_one(config: Path) -> None:
    keys = ring(config)
    key = keys.prepare("example.com", "p3", "ed25519-sha256")
    assert key.path == config.parent / "var/keys/p3._domainkey.example.com.pem"
    assert stat.S_IMODE(os.stat(key.path).st_mode) == 0o600
    assert public_record(key.path.read_bytes()) == key.record
    assert [(k.selector, k.active) for k in keys.keys("example.com")] == [("p1", True), ("p2", True), ("p3", False)]
    for taken in ("p1", "p3"):
        with pytest.raises(InvalidInput, match="taken"):
            keys.prepare("example.com", taken, "rsa-sha256")
    with pytest.raises(InvalidInput, match="no selector"):
        keys.prepare("example.com", "../p4", "rsa-sha256")


def test_the_record_is_told_in_strings_that_dns_can_hold(config: Path) -> None:
    line = zone_line(ring(config).key("example.com", "p1"))
    strings = line.split('"')[1::2]
    assert line.startswith('p1._domainkey.example.com. 3600 IN TXT "v=DKIM1; k=rsa; p=')
    assert len(strings) == 2
    assert all(len(string) <= MAX_STRING for string in strings)
    assert "".join(strings) == ring(config).key("example.com", "p1").record


def test_the_next_selector_is_the_first_free_one(config: Path) -> None:
    keys = ring(config)
    assert keys.next_selector("example.com", "p1") == "p3"
    keys.prepare("example.com", "p3", "ed25519-sha256")
    assert keys.next_selector("example.com", "p2") == "p4"
    assert keys.next_selector("other.example", "key") == "key2"


def test_a_domain_must_be_named_when_there_are_several(config: Path) -> None:
    with pytest.raises(InvalidInput, match=r"example\.com, other\.example"):
        ring(config).domain()
    with pytest.raises(InvalidInput, match="no sending domain"):
        ring(config).domain("else.example")


def test_the_settings_are_edited_in_one_table_and_nowhere_else(config: Path) -> None:
    key = ring(config).prepare("example.com", "p4", "ed25519-sha256")
    edited = with_key(CONFIG, "example.com", "p2", key, config.parent)
    before, after = CONFIG.splitlines(), edited.splitlines()
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ('key_file = "keys/p2.pem"', 'key_file = "var/keys/p4._domainkey.example.com.pem"'),
        ('selector = "p2"', 'selector = "p4"'),
    ]
    other = with_key(CONFIG, "other.example", "p1", key, config.parent)
    assert other.index('"p4"') > other.index("other.example")
    assert 'selector = "p1"          # the first' in other
    with pytest.raises(InvalidInput, match="by hand"):
        with_key(CONFIG, "other.example", "p2", key, config.parent)


def test_publish_says_no_until_dns_answers_with_every_record(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone, keys = Zone(), ring(config).keys("example.com")
    zone.texts[keys[0].name] = keys[0].record
    assert asyncio.run(publish(keys, zone)) == 1
    zone.texts[keys[1].name] = keys[0].record
    assert asyncio.run(publish(keys, zone)) == 1
    zone.texts[keys[1].name] = keys[1].record
    assert asyncio.run(publish(keys, zone)) == 0
    assert zone_line(keys[1]) in capsys.readouterr().out


def turn(config: Path, zone: Zone, *, write: bool) -> int:
    return asyncio.run(rotate(ring(config), "example.com", "p2", config, zone, write=write))


def test_a_key_takes_over_only_when_its_record_is_published(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone = Zone()
    assert turn(config, zone, write=False) == 0
    assert turn(config, zone, write=True) == 1, "the same prepared key, still unpublished"
    assert config.read_text() == CONFIG
    (new,) = [key for key in ring(config).keys("example.com") if not key.active]
    assert (new.selector, new.algorithm) == ("p3", "ed25519-sha256")
    assert zone_line(new) in capsys.readouterr().out
    zone.texts[new.name] = new.record
    assert turn(config, zone, write=False) == 0
    assert config.read_text() == CONFIG, "nothing is edited without --write"
    assert turn(config, zone, write=True) == 0
    assert [key.selector for key in ring(config).keys("example.com") if key.active] == ["p1", "p3"]
    assert not list(config.parent.glob("*.new"))


def test_a_key_that_was_rotated_out_never_comes_back(config: Path) -> None:
    keys = ring(config)
    old = keys.prepare("example.com", "p0", "ed25519-sha256")
    os.utime(old.path, (NOW - 900_000_000, NOW - 900_000_000))
    zone = Zone()
    zone.texts[old.name] = old.record
    assert turn(config, zone, write=True) == 1
    assert {k.selector for k in ring(config).keys("example.com")} == {"p0", "p1", "p2", "p3"}


@pytest.mark.parametrize(
    ("selector", "age", "seen", "reason"),
    [
        ("p0", 20, 0.0, ""),
        ("p0", 20, NOW - 15 * DAY, ""),
        ("p0", 20, NOW - 3 * DAY, "seen within"),
        ("p0", 3, 0.0, "younger"),
        ("p1", 20, 0.0, "the settings sign with it"),
    ],
)
def test_an_old_selector_goes_only_without_a_trace(
    config: Path, selector: str, age: float, seen: float, reason: str
) -> None:
    for path in (config.parent / "keys").iterdir():
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
    reasons, facts = why_not(ring(config), "example.com", selector, 14, seen, NOW)
    assert reason in "; ".join(reasons)
    assert bool(reasons) is bool(reason)
    assert "not recorded" in facts[0]


def test_what_is_told_to_be_written_loads(config: Path) -> None:
    key = ring(config).prepare("other.example", "p9", "ed25519-sha256")
    table = table_of(key, config.parent)
    config.write_text(CONFIG.replace("[[sources]]", table + "\n\n[[sources]]"))
    assert ring(config).key("other.example", "p9").active
