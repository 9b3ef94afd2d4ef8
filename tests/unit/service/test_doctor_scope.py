"""`penstock doctor DOMAIN…` and selectors that reports show."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.dns.checks import Level
from core.errors import InvalidInput
from service.doctor_scope import chosen, examine_others, examine_seen, seen_selectors
from tests.unit.collectors.watch_zone import Zone
from tests.unit.service.installation import Installation


def test_named_domains_of_ours_are_examined_alone_and_others_apart(tmp_path: Path) -> None:
    settings = Installation(tmp_path).settings
    assert chosen(settings, []) == (settings, [])
    narrowed, others = chosen(settings, ["News.example", "b.news.example", "shop.example", "shop.example"])
    assert [domain.name for domain in narrowed.sending_domains] == ["news.example"]
    assert others == ["shop.example"]
    assert chosen(settings, ["shop.example"])[0].sending_domains == []
    with pytest.raises(InvalidInput):
        chosen(settings, ["not a domain"])


async def test_a_foreign_domain_is_judged_by_its_public_records() -> None:
    zone = Zone(
        "shop.example MX 10 mx.shop.example\nmx.shop.example A 192.0.2.7\n"
        "shop.example TXT v=spf1 +all\n_dmarc.shop.example TXT v=DMARC1; p=none; rua=mailto:d@shop.example"
    )
    findings = await examine_others(zone, ["shop.example"])
    assert {f.text.id for f in findings if f.level is not Level.OK} == {
        "spf.pass_all",
        "dmarc.none",
        "mta_sts.missing",
        "tls_rpt.missing",
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("", ["dkim.seen_missing"]),
        ("v=DKIM1; k=rsa; p=", ["dkim.revoked"]),
        ("v=DKIM1; k=ed25519; t=y; p=" + "A" * 43 + "=", ["dkim.testing"]),
        ("v=DKIM1; k=ed25519; p=" + "A" * 43 + "=", []),
        ("no tags", ["dkim.syntax"]),
    ],
)
async def test_selectors_that_reports_show(tmp_path: Path, record: str, expected: list[str]) -> None:
    settings = Installation(tmp_path).settings
    zone = Zone(f"esp._domainkey.news.example TXT {record}" if record else "")
    seen = [("news.example", "esp"), ("elsewhere.example", "x")]
    findings = await examine_seen(zone, seen, settings)
    assert [f.text.id for f in findings] == expected
    assert all(f.words("ru")[1] for f in findings)


def databases(folder: Path) -> list[Path]:
    return list(folder.rglob("*.db"))


async def test_looking_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "penstock.toml"
    config.write_text(
        '[[sending_domains]]\nname = "news.example"\nreturn_path = "b.news.example"\n'
        '[[sources]]\nname = "s1"\nehlo = "mta.news.example"\n'
    )
    assert await seen_selectors(config, Zone("")) == []
    assert databases(tmp_path) == []
