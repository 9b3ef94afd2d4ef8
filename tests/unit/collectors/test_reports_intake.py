"""Intake of reports: each stored once, none lost, and only proven ones move a figure."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import dkim
import pytest

from collectors.reports.attached import count_files, report_files
from core.errors import Unavailable
from core.events import DmarcReportStored, ReportUnverified
from core.reports import Dim, SourceKind, Trust
from tests.unit.collectors.report_world import BEGIN, END, PEER, PEM, ZONE, mail, world, xml

OWN = Path(__file__).resolve().parents[2] / "corpus/dmarc"
SENDER = "dmarc@mailhaus.example"


def signed(content: bytes, domain: str = "mailhaus.example") -> bytes:
    return bytes(dkim.sign(content, b"k1", domain.encode(), PEM, include_headers=[b"From", b"Subject"])) + content


async def test_a_report_whose_mail_passes_spf_counts_once_however_often_it_comes() -> None:
    async with world() as here:
        assert [await here.intake.report(mail(xml()), SENDER, PEER) for _ in range(2)] == [1, 0]
        (event,) = await here.events()
        assert isinstance(event, DmarcReportStored)
        (head,) = await here.stores.dmarc.heads()
        assert (head.provenance.trust, head.reporter, head.messages) == (Trust.ALIGNED, "mailhaus.example", 5)
        assert f"from {PEER}" in head.provenance.why


async def test_a_dkim_signature_proves_a_mail_that_came_through_another_host() -> None:
    async with world() as here:
        assert await here.intake.report(signed(mail(xml())), SENDER, "203.0.113.99") == 1
        (head,) = await here.stores.dmarc.heads()
        assert head.provenance.why == "DKIM passes for mailhaus.example (k1)"


@pytest.mark.parametrize(
    ("content", "sender", "peer", "why"),
    [
        (mail(xml()), SENDER, "203.0.113.6", "SPF fail"),
        (signed(mail(xml())).replace(b"<count>5", b"<count>9"), SENDER, "", "no DKIM signature passes"),
        (mail(xml(), "d@evil.example"), "d@evil.example", "203.0.113.6", "the report of mailhaus.example"),
        (mail(xml(), "a@mailhaus.example, b@evil.example"), SENDER, PEER, "not exactly one From"),
        (mail(xml()), "x@evil.example", "203.0.113.6", "not aligned with mailhaus.example"),
    ],
)
async def test_a_forged_report_is_kept_apart_and_changes_nothing(
    content: bytes, sender: str, peer: str, why: str
) -> None:
    async with world() as here:
        assert await here.intake.report(content, sender, peer) == 0
        (event,) = await here.events()
        assert isinstance(event, ReportUnverified)
        assert why in event.problem
        assert await here.counted() == 0
        assert await here.stores.dmarc.heads(counting=True) == []
        (head,) = await here.stores.dmarc.heads(counting=False)
        assert head.provenance.trust is Trust.UNALIGNED


async def test_a_forgery_cannot_stand_in_the_way_of_the_true_report() -> None:
    async with world() as here:
        await here.intake.report(mail(xml(count=10**6)), SENDER, "203.0.113.6")
        assert await here.intake.report(mail(xml()), SENDER, PEER) == 1
        assert await here.counted() == 5


async def test_a_report_that_was_kept_apart_counts_when_its_proof_comes() -> None:
    async with world() as here:
        await here.intake.report(mail(xml()), SENDER, "203.0.113.6")
        taken = await here.intake.upload(mail(xml()), "report.eml", "ann")
        assert (taken.stored, taken.repeated) == (1, 0)
        assert await here.counted() == 5
        assert len(await here.stores.dmarc.heads()) == 1


async def test_another_content_under_a_known_key_is_told_and_the_first_stands() -> None:
    async with world() as here:
        await here.intake.report(mail(xml()), SENDER, PEER)
        assert await here.intake.report(mail(xml(count=6)), SENDER, PEER) == 0
        assert await here.intake.report(mail(xml(begin=END + 1, end=END + 86400)), SENDER, PEER) == 1, "an id is reused"
        assert await here.counted() == 10
        problems = [e.problem for e in await here.events() if isinstance(e, ReportUnverified)]
        assert problems == ["conflict: the key of a stored report with other content"]


async def test_the_results_of_a_trusted_hop_are_believed_and_those_of_others_are_not() -> None:
    said = "Authentication-Results: {};\r\n dmarc=pass header.from=mailhaus.example\r\n"
    async with world(trusted_hops=("mx.ours.example",)) as here:
        assert await here.intake.report(mail(xml(), headers=said.format("mx.ours.example")), SENDER, "") == 1
        assert await here.intake.report(mail(xml("2"), headers=said.format("mx.evil.example")), SENDER, "") == 0
        below = "Authentication-Results: mx.ours.example; dmarc=fail\r\n" + said.format("mx.ours.example")
        assert await here.intake.report(mail(xml("3"), headers=below), SENDER, "") == 0, "only the topmost speaks"


async def test_while_dns_fails_the_mail_is_put_off_and_nothing_is_stored() -> None:
    async with world(
        ZONE.replace("mailhaus.example TXT v=spf1", "mailhaus.example FAIL\nx.example TXT v=spf1")
    ) as here:
        with pytest.raises(Unavailable, match="cannot be checked now"):
            await here.intake.report(mail(xml()), SENDER, PEER)
        assert await here.stores.dmarc.heads() == []


async def test_a_distrusted_reporter_never_counts() -> None:
    async with world(distrusted=["mailhaus.example"]) as here:
        assert await here.intake.report(mail(xml()), SENDER, PEER) == 0
        assert await here.counted() == 0


async def test_sources_are_named_with_the_evidence() -> None:
    async with world() as here:
        for number, (ip, more) in enumerate(
            [
                ("192.0.2.10", {}),
                ("198.51.100.1", {"spf": "fail"}),
                ("198.51.100.2", {"dkim": "fail", "envelope": "bounces.sendgrid.net"}),
                ("198.51.100.3", {"dkim": "fail", "spf": "fail"}),
            ]
        ):
            await here.intake.upload(xml(str(number), ip=ip, **more).encode(), "r.xml", "ann")  # type: ignore[arg-type]
        named = await here.stores.dmarc.names([f"198.51.100.{n}" for n in (1, 2, 3)] + ["192.0.2.10"])
        assert {ip: (one.kind, one.name) for ip, one in named.items()} == {
            "192.0.2.10": (SourceKind.OURS, "mta1"),
            "198.51.100.1": (SourceKind.FORWARDER, "b.news.example"),
            "198.51.100.2": (SourceKind.SERVICE, "SendGrid"),
            "198.51.100.3": (SourceKind.UNKNOWN, ""),
        }
        assert named["198.51.100.1"].evidence == "our signature p1._domainkey.news.example survived, SPF did not"


async def test_what_is_no_report_is_told_with_its_defect_and_asks_no_dns() -> None:
    async with world("") as here:
        assert await here.intake.report(b"Subject: hello\r\n\r\nno report here\r\n", "x@y.example") == 0
        entity = b"From: d@x.example\r\nContent-Type: text/xml\r\n\r\n" + (OWN / "018-entity.xml").read_bytes()
        assert await here.intake.report(entity, "x@y.example") == 0
        problems = [e.problem.split(":")[0] for e in await here.events() if isinstance(e, ReportUnverified)]
        assert problems == ["not_a_report", "entities"]


async def test_an_uploaded_archive_gives_every_report_in_it() -> None:
    async with world() as here:
        name = "004-zip-folder-and-two-reports.zip"
        taken = await here.intake.upload((OWN / name).read_bytes(), name, "operator")
        assert taken.stored == len(await here.stores.dmarc.heads()) == 2
        assert {t.key[0] for t in await here.stores.dmarc.tally([Dim.REPORTER])}


async def test_counts_of_an_upload_are_stored_or_refused_and_never_lost() -> None:
    async with world() as here:
        name = "011-bad-records-among-good.xml"
        taken = await here.intake.upload((OWN / name).read_bytes(), name, "operator")
        (head,) = await here.stores.dmarc.heads()
        assert (taken.records, taken.messages) == (head.records + head.refused, head.messages + head.refused_messages)
        assert (head.records, head.refused) == (2, 5)


def test_folders_maildirs_and_mboxes_give_every_mail(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.host").write_bytes(mail(xml()))
    (tmp_path / "a.xml").write_text(xml())
    lines = mail(xml()).replace(b"\r\n", b"\n").decode()
    entry = f"From d@x.example Tue Apr 30 02:09:16 2019\n{lines}\n"
    (tmp_path / "box").write_text(entry * 3)
    (tmp_path / ".hidden").write_text("x")
    found = list(report_files(tmp_path))
    assert count_files(tmp_path) == 3
    assert [Path(name).name for name, _ in found] == ["a.xml", "box:1", "box:2", "box:3", "1.host"]
    assert all(b"<feedback>" in content for _, content in found)
    assert not any(content.startswith(b"From ") for _, content in found)


async def test_a_report_about_days_to_come_is_refused_with_what_it_says() -> None:
    async with world() as here:
        year = 365 * 86_400
        taken = await here.intake.upload(xml(begin=BEGIN + year, end=END + year).encode(), "x.xml", "test")
        assert taken.stored == 0
        assert "its period begins 364 days from now" in taken.refused[0]
        assert await here.counted() == 0
        (event,) = await here.events()
        assert isinstance(event, ReportUnverified)


async def test_a_zip_of_mails_files_and_tls_reports_gives_them_all() -> None:
    tls = {
        "organization-name": "Mailhaus", "contact-info": "tls@mailhaus.example", "report-id": "t1",
        "date-range": {"start-datetime": "2026-10-26T00:00:00Z", "end-datetime": "2026-10-26T23:59:59Z"},
        "policies": [{"policy": {"policy-type": "sts", "policy-domain": "news.example"},
                      "summary": {"total-successful-session-count": 7, "total-failure-session-count": 0}}],
    }  # fmt: skip
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.eml", mail(xml("a")))
        archive.writestr("tls.json", json.dumps(tls))
        archive.writestr("b.xml", xml("b"))
    async with world() as here:
        taken = await here.intake.upload(packed.getvalue(), "all.zip", "test")
        assert (taken.stored, taken.messages, taken.refused) == (3, 10, [])
        assert len(await here.stores.other_reports.tls()) == 1
