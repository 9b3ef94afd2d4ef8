"""Complaints, bounce mails and DMARC reports of the providers: well-formed, in each one's form, with true counts."""

from __future__ import annotations

import email
import gzip
from email.message import Message
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import FixedClock
from core.lane import DAY, HOUR, day_of
from sandbox.auth import Authenticator
from sandbox.behaviour import Behaviour, shipped_behaviours
from sandbox.dmarc import DmarcTally
from sandbox.dns import provider_zone
from sandbox.feedback import Sent, bounce_mail, complaint_mail
from sandbox.host import Taken
from sandbox.model import ProviderModel, Situation
from sandbox.outbox import Outbox

START = 1_700_000_000.0 // DAY * DAY
CONTENT = (
    b"Return-Path: <btoken@rp.meadow.example>\r\n"
    b"Message-ID: <mtoken@meadow.example>\r\nX-Penstock-Token: mtoken\r\n"
    b"List-Unsubscribe: <https://127.0.0.1/u/utoken>,\r\n <mailto:utoken@rp.meadow.example?subject=unsubscribe>\r\n"
    b"From: =?utf-8?b?0J3QvtCy0L7RgdGC0Lg=?= <news@meadow.example>\r\nTo: <ann@outlook.example>\r\n"
    b"Subject: =?utf-8?b?0J/RgNC40LLQtdGC?=\r\n\r\nText\r\n"
)
REPORTING = [b for b in shipped_behaviours().values() if b.complaints.form != "none"]


def sent(content: bytes = CONTENT, recipient: str = "ann@outlook.example") -> Sent:
    return Sent(mail_from="btoken@rp.meadow.example", recipient=recipient, ip="127.7.1.1", content=content, at=START)


def parts_of(mail: bytes) -> tuple[Message, list[Message]]:
    whole = email.message_from_bytes(mail)
    assert not whole.defects
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return whole, [p for p in parts if isinstance(p, Message)]


@pytest.mark.parametrize("behaviour", REPORTING, ids=lambda b: b.name)
def test_a_complaint_is_a_report_of_three_parts_that_proves_itself_by_the_message_id(behaviour: Behaviour) -> None:
    whole, parts = parts_of(complaint_mail(behaviour, sent(), "fbl@rp.meadow.example", START + HOUR))
    assert (whole.get_content_type(), whole.get_param("report-type")) == ("multipart/report", "feedback-report")
    assert [p.get_content_type() for p in parts][:2] == ["text/plain", "message/feedback-report"]
    report = email.message_from_string(parts[1].as_string().partition("\n\n")[2])
    assert report["Feedback-Type"] == "abuse"
    assert report["Version"] == "1"
    assert report["User-Agent"]
    assert b"mtoken@meadow.example" in parts[2].as_bytes()


def test_outlooks_report_hides_recipient_return_path_and_x_headers() -> None:
    report = complaint_mail(shipped_behaviours()["outlook"], sent(), "fbl@rp.meadow.example", START)
    for hidden in (b"ann@outlook.example", b"btoken", b"X-Penstock-Token"):
        assert hidden not in report
    assert b"utoken" in report


def test_yahoos_report_redacts_the_recipient_and_mailrus_names_it() -> None:
    to = "ann@yahoo.example"
    content = CONTENT.replace(b"ann@outlook.example", to.encode())
    yahoo = complaint_mail(shipped_behaviours()["yahoo"], sent(content, to), "fbl@rp.meadow.example", START)
    assert to.encode() not in yahoo
    assert b"Original-Rcpt-To: <redacted-" in yahoo
    mailru = complaint_mail(shipped_behaviours()["mailru"], sent(), "fbl@rp.meadow.example", START)
    assert b"Original-Rcpt-To: <ann@outlook.example>" in mailru


def test_gmail_has_no_complaint_reports() -> None:
    with pytest.raises(ValueError, match="no complaint reports"):
        complaint_mail(shipped_behaviours()["gmail"], sent(), "fbl@rp.meadow.example", START)


@pytest.mark.parametrize("behaviour", shipped_behaviours().values(), ids=lambda b: b.name)
def test_a_late_bounce_is_a_delivery_report_to_the_return_path(behaviour: Behaviour) -> None:
    lines = ProviderModel(behaviour).answer(Situation.UNKNOWN_USER, recipient="ann@outlook.example").lines
    whole, parts = parts_of(bounce_mail(behaviour, sent(), lines, START + HOUR))
    assert whole["To"] == "btoken@rp.meadow.example"
    assert whole.get_param("report-type") == "delivery-status"
    status = parts[1].as_string()
    assert "Final-Recipient: rfc822; ann@outlook.example" in status
    assert "Action: failed" in status
    assert "Status: 5." in status
    assert b"mtoken@meadow.example" in parts[2].as_bytes()


@given(st.binary(max_size=2000))
def test_any_message_gives_a_report_that_parses(content: bytes) -> None:
    behaviours = shipped_behaviours()
    for mail in (
        complaint_mail(behaviours["yahoo"], sent(content), "fbl@rp.meadow.example", START),
        bounce_mail(behaviours["mailru"], sent(content), ("550 5.1.1 gone",), START),
    ):
        whole = email.message_from_bytes(mail)
        assert whole.is_multipart()
        assert len(whole.get_payload()) >= 3


def test_dmarc_reports_count_every_message_once_and_go_to_the_rua() -> None:
    behaviours = shipped_behaviours()
    clock = FixedClock(START)
    zone = provider_zone(behaviours.values())
    zone.add_txt("_dmarc.meadow.example", "v=DMARC1; p=quarantine; rua=mailto:dmarc@rp.meadow.example")
    zone.add_txt("rp.meadow.example", "v=spf1 ip4:127.7.1.1 -all")
    outbox = Outbox(clock)
    tally = DmarcTally(zone, Authenticator(zone), outbox, 1)
    verdict = ProviderModel(behaviours["gmail"]).answer(Situation.ACCEPTED)

    def take(name: str, count: int, ip: str, at: float) -> None:
        for _ in range(count):
            message = Sent(mail_from="b@rp.meadow.example", recipient="x@y", ip=ip, content=CONTENT, at=at)
            tally(behaviours[name], Taken(sent=message, ehlo="mx", tls="", verdict=verdict))

    take("gmail", 5, "127.7.1.1", START + 5)
    take("gmail", 2, "127.7.1.9", START + 6)
    take("yahoo", 3, "127.7.1.1", START + 7)
    take("gmail", 4, "127.7.1.1", START + DAY + 1)
    assert tally.close(behaviours, START + DAY - 1) == 0

    later = DmarcTally(zone, Authenticator(zone), outbox, 1)
    later.load(tally.dump())
    assert later.close(behaviours, START + DAY + 2) == 2, "one for each provider; today's counts wait"
    assert outbox.take(START + DAY + 2) == []
    reports = {m.mail_from: m for m in outbox.take(START + DAY + 5 * HOUR)}
    google = reports["noreply-dmarc-support@google.com"]
    assert google.rcpt_to == "dmarc@rp.meadow.example"
    _, parts = parts_of(google.content)
    assert parts[1].get_filename() == f"google.com!meadow.example!{int(START)}!{int(START + DAY) - 1}.xml.gz"
    packed = parts[1].get_payload(decode=True)
    assert isinstance(packed, bytes)
    root = ElementTree.fromstring(gzip.decompress(packed))
    rows = {
        (r.findtext("row/source_ip"), r.findtext("row/policy_evaluated/spf")): int(r.findtext("row/count") or 0)
        for r in root.iter("record")
    }
    assert rows == {("127.7.1.1", "pass"): 5, ("127.7.1.9", "fail"): 2}
    assert day_of(float(root.findtext("report_metadata/date_range/begin") or 0)) == day_of(START)
