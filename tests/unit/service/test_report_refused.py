"""The commands around what was refused, kept by mail and by upload; and what is unknown is never 0 in them."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from config.load import load_settings
from core.clock import SystemClock, iso
from core.reports import Original
from service.cli import main
from storage.stores import Stores, open_stores
from tests.unit.collectors.report_world import NOW, PEER, mail, world, xml

BROKEN = "<feedback><report_metadata>" + "x" * 50


async def test_a_refused_mail_is_kept_with_its_arrival_and_one_that_is_read_is_not() -> None:
    async with world(keep_refused=True) as w:
        intake = w.intake
        await intake.report(mail(xml()), "bounce@mailhaus.example", PEER)
        await intake.report(mail(BROKEN), "bounce@mailhaus.example", PEER)
        (one,) = await w.stores.refused_reports.kept()
        assert (one.at, one.is_mail, one.sender, one.peer) == (NOW, True, "bounce@mailhaus.example", PEER)
        assert await w.stores.refused_reports.content(one.number) == mail(BROKEN)
        assert "missing" in one.problem


async def test_what_can_be_read_by_now_counts_by_the_proof_of_its_own_arrival() -> None:
    async with world(keep_refused=True) as w:
        intake = w.intake
        early = mail(xml(begin=int(NOW) + 3 * 86_400, end=int(NOW) + 4 * 86_400))
        for sender, peer in (("bounce@mailhaus.example", "203.0.113.9"), ("bounce@mailhaus.example", PEER)):
            await intake.report(early + peer.encode(), sender, peer)
        forged, true = reversed(await w.stores.refused_reports.kept())
        taken = await intake.retry(true)
        assert taken is not None
        assert taken.refused
        w.clock.advance(3 * 86_400)
        for one, stored, apart in ((forged, 0, 1), (true, 1, 0)):
            taken = await intake.retry(one)
            assert taken is not None
            assert (taken.stored, taken.unproven, taken.refused) == (stored, apart, [])
            assert await intake.retry(one) is None
        assert await w.counted() == 5
        assert await w.stores.refused_reports.kept() == []


async def test_an_upload_is_kept_when_nobody_else_has_it() -> None:
    async with world(keep_refused=True) as w:
        intake = w.intake
        await intake.upload(BROKEN.encode(), "mine.xml", "cli")
        assert await w.stores.refused_reports.kept() == []
        await intake.upload(BROKEN.encode(), "theirs.xml", "api", keep=True)
        (one,) = await w.stores.refused_reports.kept()
        assert (one.is_mail, one.sender, one.name) == (False, "api", "theirs.xml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.toml"
    assert main(["init", "--out", str(path), "news.example"]) == 0
    path.write_text(path.read_text().replace("# bind = ", "bind = "))
    return path


def order(config: Path, *words: str) -> int:
    return main(["reports", "refused", *words, "--config", str(config)])


def test_the_command_lists_shows_and_tries_again(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        stores: Stores = await open_stores(load_settings(config).storage.url)
        one = Original(at=NOW, is_mail=False, sender="api", name="a.xml", problem="a.xml: too_slow: is too laborious")
        await stores.refused_reports.keep(one, xml().encode(), dull=False)
        await stores.refused_reports.keep(one, BROKEN.encode(), dull=False)
        await stores.close()

    asyncio.run(fill())
    capfd.readouterr()
    assert order(config) == 0
    listed = capfd.readouterr().out
    assert "1  2026-10-27" in listed
    assert "a.xml, handed in by api" in listed
    assert order(config, "show", "1") == 0
    assert capfd.readouterr().out == xml()
    out = tmp_path / "one.xml"
    assert order(config, "show", "1", "--out", str(out)) == 0
    assert (out.read_text(), stat.S_IMODE(out.stat().st_mode)) == (xml(), 0o600)
    assert order(config, "show", "1", "--out", str(out)) == 2
    assert order(config, "show", "9") == 2
    assert "9 is not kept" in capfd.readouterr().err
    assert order(config, "retry") == 1
    told = capfd.readouterr().out
    assert "1: 1 reports stored" in told
    assert "2: 0 reports stored" in told
    assert "still refused" in told
    assert order(config, "list", "--json") == 0
    assert '"number": 2' in capfd.readouterr().out


def test_own_failures_are_unknown_where_own_sessions_are(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    day = iso(SystemClock().now() - 86_400)[:10]
    told = {
        "organization-name": "Mailhaus", "contact-info": "tls@mailhaus.example", "report-id": "t1",
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "policies": [
            {
                "policy": {"policy-type": "sts", "policy-domain": "news.example"},
                "summary": {"total-successful-session-count": 7, "total-failure-session-count": 0},
            }
        ],
    }  # fmt: skip
    (tmp_path / "tls.json").write_text(json.dumps(told))
    assert main(["reports", "import", "--config", str(config), str(tmp_path / "tls.json")]) == 0
    capfd.readouterr()
    assert main(["reports", "tls", "--config", str(config)]) == 0
    row = capfd.readouterr().out.splitlines()[1].split()
    assert row == [day, "mailhaus.example", "news.example", "sts", "7", "0", "unknown", "unknown"]
