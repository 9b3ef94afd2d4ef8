"""Doctor calls relays as the sender does, and says what stands in the way; it sends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.dns.checks import Level
from config.model import Relay, SendingDomain, Settings, Source
from service.doctor import cannot_bind, connect_out, examine
from service.doctor_relays import check_relays
from tests.unit.collectors.watch_zone import Zone
from tests.unit.sender.scripted_host import Host, listening

HELLO = ["220 relay ready", "250-relay\r\n250 AUTH PLAIN"]


def settings(port: int, password: Path) -> Settings:
    password.write_text("secret")
    return Settings(
        sending_domains=[SendingDomain(name="e.com", return_path="b.e.com")],
        sources=[Source(name="s1", ehlo="mta.e.com")],
        relays=[
            Relay(name="smart", host="127.0.0.1", port=port, security="none", user="us", password_file=password),
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "level", "words"),
    [
        ([*HELLO, "235 2.7.0 welcome", "221 bye"], Level.OK, "takes us in"),
        ([*HELLO, "535 5.7.8 credentials invalid", "221 bye"], Level.PROBLEM, "535 5.7.8 credentials invalid"),
        (["220 relay ready", "250 relay", "221 bye"], Level.PROBLEM, "log in"),
        (["554 5.7.1 go away"], Level.PROBLEM, "go away"),
    ],
)
async def test_a_relay_is_called_up_to_the_login(script: list[str], level: Level, words: str, tmp_path: Path) -> None:
    host = Host(script)
    async with listening(host) as port:
        (finding,) = await check_relays(settings(port, tmp_path / "password"), Zone(""))
    assert finding.level is level
    assert words in finding.words("en")[0]
    assert not any(line.startswith("MAIL") for lines in host.heard for line in lines)


async def test_a_relay_that_nobody_answers_at_is_a_problem(tmp_path: Path) -> None:
    async with listening(Host(["220 x"])) as port:
        pass
    (finding,) = await check_relays(settings(port, tmp_path / "password"), Zone(""))
    assert (finding.level, finding.subject) == (Level.PROBLEM, "smart")


async def test_a_source_whose_address_is_not_here_is_no_closed_port(tmp_path: Path) -> None:
    given = settings(1, tmp_path / "password")
    ghost = given.model_copy(update={"sources": [Source(name="ghost", ehlo="g.e.com", bind="203.0.113.254")]})
    zone = Zone("gmail.com MX 10 mx.gmail.test\nmx.gmail.test A 127.0.0.1")
    findings = await examine(ghost, zone, connect_port25=connect_out)
    (finding,) = [one for one in findings if one.subject == "ghost" and one.text.id.startswith(("source", "port25"))]
    assert finding.text.id == "source.unbindable"
    assert "203.0.113.254" in finding.words("en")[1]


@pytest.mark.parametrize(("address", "fails"), [("", False), ("127.0.0.1", False), ("203.0.113.254", True)])
def test_an_address_that_this_machine_lacks_is_told_as_that(address: str, fails: bool) -> None:
    assert bool(cannot_bind(address)) is fails
