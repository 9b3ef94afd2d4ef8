"""`penstock doctor`: a clean installation is called clean; what is missing is named with the record to publish."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collectors.dns.checks import Level
from config.model import Http, InboundListener, Seeds
from service.doctor import connect_out, examine, exit_code, render
from tests.unit.collectors.watch_zone import Zone
from tests.unit.service.installation import IP, Installation, closed_port, open_port


@pytest.fixture
def whole(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


async def test_a_clean_installation_has_no_problem_and_no_warning(whole: Installation) -> None:
    findings = await examine(whole.settings, Zone(whole.zone), connect_port25=open_port)
    assert [f.text.id for f in findings if f.level is not Level.OK] == []
    assert exit_code(findings) == 0
    assert {"spf.ok", "dkim.ok", "dmarc.ok", "mx.ok", "ptr.ok", "ehlo.ok", "port25.ok", "files.ok"} <= {
        f.text.id for f in findings
    }


async def test_an_empty_zone_gives_every_record_to_publish(whole: Installation) -> None:
    findings = await examine(whole.settings, Zone(""), connect_port25=closed_port)
    text = render(findings, "en")
    for record in (
        f'b.news.example TXT "v=spf1 ip4:{IP} -all"',
        'p1._domainkey.news.example TXT "v=DKIM1; k=ed25519; p=',
        '_dmarc.news.example TXT "v=DMARC1; p=none; rua=mailto:dmarc@b.news.example"',
        "b.news.example MX 10 mta.news.example.",
        f"mta.news.example A {IP}",
    ):
        assert record in text
    assert exit_code(findings) == 1
    assert text.index("✗") < text.index("!") < text.index("✓")


async def test_the_way_out_is_tried_and_its_failure_quoted(whole: Installation) -> None:
    findings = await examine(whole.settings, Zone(whole.zone), connect_port25=closed_port)
    closed = [f for f in findings if f.level is Level.PROBLEM]
    assert [f.text.id for f in closed] == ["port25.closed"]
    assert "gmail-smtp-in.l.google.com: no answer" in closed[0].what


async def test_files_that_cannot_be_read_or_can_be_read_by_all_are_named_without_their_content(
    whole: Installation,
) -> None:
    (whole.folder / "p1.pem").write_text("no key at all")
    (whole.folder / "admin.token").chmod(0o644)
    (whole.folder / "seed").unlink()
    findings = await examine(whole.settings, Zone(whole.zone), connect_port25=open_port)
    assert {f.text.id for f in findings if f.level is not Level.OK} == {
        "dkim.key_bad",
        "files.open",
        "files.unreadable",
    }
    assert "no key at all" not in render(findings, "en")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"http": Http()}, ["http.public_url"]),
        ({"inbound": InboundListener(enabled=False, dmarc_address="dmarc@b.news.example")}, ["inbound.off"]),
        ({"inbound": InboundListener(dmarc_address="dmarc@b.news.example")}, ["inbound.local"]),
        ({"inbound": InboundListener(host=IP, port=25)}, ["inbound.no_dmarc"]),
        ({"seeds": Seeds()}, ["seeds.none"]),
    ],
)
async def test_what_the_settings_leave_out(whole: Installation, change: dict[str, object], expected: list[str]) -> None:
    settings = whole.settings.model_copy(update=change)
    findings = await examine(settings, Zone(whole.zone), connect_port25=open_port)
    assert [f.text.id for f in findings if f.level is not Level.OK] == expected


async def test_a_domain_without_a_key_and_an_algorithm_that_does_not_fit(whole: Installation) -> None:
    domain = whole.settings.sending_domains[0]
    wrong = domain.model_copy(update={"dkim": [domain.dkim[0].model_copy(update={"algorithm": "rsa-sha256"})]})
    for changed, expected in ((domain.model_copy(update={"dkim": []}), "dkim.no_keys"), (wrong, "dkim.key_kind")):
        settings = whole.settings.model_copy(update={"sending_domains": [changed]})
        findings = await examine(settings, Zone(whole.zone), connect_port25=open_port)
        assert [f.text.id for f in findings if f.level is Level.PROBLEM] == [expected]


@pytest.mark.parametrize(("greeting", "problem"), [(b"220 mx ready\r\n", ""), (b"554 not you\r\n", "554 not you")])
async def test_a_host_counts_as_reached_when_it_greets(greeting: bytes, problem: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert problem in await connect_out("127.0.0.1", port, "127.0.0.1")
        assert bool(problem) == bool(await connect_out("127.0.0.1", port, ""))
    assert "127.0.0.1" in await connect_out("127.0.0.1", port, "")


async def test_the_report_is_there_in_russian(whole: Installation) -> None:
    text = render(await examine(whole.settings, Zone(""), connect_port25=closed_port), "ru")
    assert "Опубликуйте: b.news.example MX 10 mta.news.example." in text
    assert "Препятствий:" in text
