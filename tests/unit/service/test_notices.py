"""Submitters who asked (RFC 3461) hear what became of their mail, once each, and nobody else does."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from core.classify import BounceClass
from core.events import (
    Accepted,
    Bounced,
    BounceReceived,
    Deferred,
    Delivered,
    Door,
    Dropped,
    DropReason,
    Event,
    SuppressionReason,
)
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.reply import Reply
from core.state import Claim, Settlement, Suppression
from core.tokens import MessageId
from tests.unit.service.submission_world import NOW, message
from tests.unit.service.submission_world import Door as World
from tests.unit.service.submission_world import door as door

LANE = Lane(source=Source("mta1"), sending_domain=SendingDomain("sender.test"), provider=Provider("other:mx.x.test"))
WHERE = Attribution(traffic=Traffic(lane=LANE, stream=Stream("transactional")), cohort=cohort_of(NOW))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A queued notification: its recipient, and its message read back."""

    to: str
    mail: EmailMessage
    fields: EmailMessage  # of the one recipient


async def submit(
    world: World, *notify: str, sender: str = "crm@sender.test", mail_options: tuple[str, ...] = (),
    recipients: tuple[str, ...] = ("ann@x.test",), mail: EmailMessage | None = None,
) -> list[MessageId]:  # fmt: skip
    def talk(client: smtplib.SMTP) -> None:
        client.sendmail(
            sender, recipients, (mail or message()).as_bytes(policy=policy.SMTP), mail_options, rcpt_options=notify
        )

    await world.with_client(talk)
    return [event.message_id for event in await world.accepted() if event.door is Door.SMTP]


def ended(
    kind: str, message_id: MessageId, *, status: str = "5.1.1", bounce: BounceClass = BounceClass.UNKNOWN_USER
) -> Event:
    at, to = NOW + 60, "ann@x.test"
    if kind == "Delivered":
        return Delivered(
            at=at, message_id=message_id, recipient=to, attribution=WHERE, site="mx.x.test", tls="TLSv1.3",
            remote="mx.x.test [192.0.2.1]", reply=Reply(code=250, text="ok"), attempt=1, latency=1.0,
        )  # fmt: skip
    if kind == "BounceReceived":
        return BounceReceived(
            at=at, message_id=message_id, recipient=to, attribution=WHERE, terminal=True, bounce_class=bounce,
            reply=Reply(code=550, status=status, text="no such user"),
        )  # fmt: skip
    if kind == "Dropped":
        return Dropped(
            at=at, message_id=message_id, recipient=to, stream="transactional", campaign="",
            reason=DropReason.SUPPRESSED, detail="hard_bounce",
        )  # fmt: skip
    return Bounced(
        at=at, message_id=message_id, recipient=to, attribution=WHERE, site="mx.x.test", attempt=1,
        remote="mx.x.test [192.0.2.1]", reply=Reply(code=550, status=status, text="no such\r\nuser"),
        bounce_class=bounce,
    )  # fmt: skip


async def notices(world: World) -> list[Notice]:
    found = []
    for event in await world.accepted():
        if event.door is not Door.INTERNAL:
            continue
        queued = await world.stores.queue.find(event.message_id)
        assert queued is not None
        body = await world.stores.spool.body(queued.body_id)
        assert body.kind == "notice"
        mail = message_from_bytes(body.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        _, status, _ = mail.iter_parts()
        blocks = status.get_payload()
        assert isinstance(blocks, list)
        assert isinstance(blocks[1], EmailMessage)
        found.append(Notice(to=event.recipient, mail=mail, fields=blocks[1]))
    return found


async def test_a_failure_is_told_to_who_asked(door: World) -> None:
    (message_id,) = await submit(
        door, "NOTIFY=FAILURE", "ORCPT=rfc822;Ann@old.test", mail_options=("RET=HDRS", "ENVID=order+2B4711")
    )
    await door.stores.log.append([ended("Bounced", message_id)])
    await door.desk.tick()
    await door.desk.tick()  # repeating what a crash left undone sends nothing twice
    (notice,) = await notices(door)
    assert notice.to == "crm@sender.test"
    assert notice.mail.get_content_type() == "multipart/report"
    assert notice.mail["Auto-Submitted"] == "auto-replied"
    text, status, returned = notice.mail.iter_parts()
    assert "ann@x.test" in text.get_content()
    head = status.get_payload()[0]  # type: ignore[index]
    assert head["Original-Envelope-Id"] == "order+4711"  # type: ignore[index]
    assert head["Reporting-MTA"] == "dns; mta1.sender.test"  # type: ignore[index]
    assert {name: notice.fields[name] for name in ("Action", "Status", "Final-Recipient", "Original-Recipient")} == {
        "Action": "failed", "Status": "5.1.1", "Final-Recipient": "rfc822; ann@x.test",
        "Original-Recipient": "rfc822; Ann@old.test",
    }  # fmt: skip
    assert notice.fields["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert notice.fields["Remote-MTA"] == "dns; mx.x.test"
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Subject: Your receipt" in returned.get_content()
    assert "Thank you" not in returned.get_content()


async def test_the_whole_message_comes_back_when_asked_for(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=FAILURE", mail_options=("RET=FULL",))
    await door.stores.log.append([ended("Bounced", message_id)])
    await door.desk.tick()
    (notice,) = await notices(door)
    returned = list(notice.mail.iter_parts())[2]
    assert returned.get_content_type() == "message/rfc822"
    assert "Thank you" in returned.as_string()


@pytest.mark.parametrize(
    ("notify", "kind", "action"),
    [("NOTIFY=SUCCESS", "Delivered", "relayed"), ("NOTIFY=FAILURE", "Delivered", ""), ("NOTIFY=NEVER", "Bounced", ""),
     ("", "Bounced", ""), ("NOTIFY=SUCCESS,DELAY", "Bounced", ""), ("NOTIFY=FAILURE", "Dropped", "failed"),
     ("NOTIFY=FAILURE", "BounceReceived", "failed"), ("NOTIFY=SUCCESS", "BounceReceived", "")],
)  # fmt: skip
async def test_only_what_was_asked_for_is_told(door: World, notify: str, kind: str, action: str) -> None:
    (message_id,) = await submit(door, *filter(None, [notify]))
    await door.stores.log.append([ended(kind, message_id)])
    await door.desk.tick()
    assert [notice.fields["Action"] for notice in await notices(door)] == ([action] if action else [])


async def test_an_expiry_says_so_in_its_status(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=FAILURE")
    await door.stores.log.append([ended("Bounced", message_id, status="4.2.0", bounce=BounceClass.EXPIRED)])
    await door.desk.tick()
    (notice,) = await notices(door)
    assert (notice.fields["Action"], notice.fields["Status"]) == ("failed", "4.4.7")


async def test_who_has_no_return_path_is_never_told(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=SUCCESS,FAILURE,DELAY", sender="")
    await door.stores.log.append([ended("Bounced", message_id)])
    door.clock.advance(86400)
    await door.desk.tick()
    assert await notices(door) == []


async def test_a_notification_that_bounces_causes_no_other(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=FAILURE")
    await door.stores.log.append([ended("Bounced", message_id)])
    await door.desk.tick()
    (own,) = [event for event in await door.accepted() if event.door is Door.INTERNAL]
    await door.stores.log.append([ended("Bounced", own.message_id)])
    await door.desk.tick()
    assert len(await notices(door)) == 1


async def test_what_waits_for_long_is_told_once(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=DELAY,FAILURE")
    await door.desk.tick()
    assert await notices(door) == []
    await door.stores.queue.route("x.test", LANE.provider, "mx.x.test")  # type: ignore[arg-type]
    (group,) = await door.stores.queue.groups(NOW)
    (lease,) = await door.stores.queue.claim(
        Claim(group=group, lane=LANE, node="n", fresh=1, retries=0, now=NOW, lease_until=NOW + 60, allowances=(),  # type: ignore[arg-type]
              retry_allowances=())
    )  # fmt: skip
    later = Deferred(
        at=NOW + 5, message_id=message_id, recipient="ann@x.test", attribution=WHERE, site="mx.x.test", attempt=1,
        remote="mx.x.test [192.0.2.1]", reply=Reply(code=450, status="4.2.1", text="greylisted"),
        bounce_class=BounceClass.GREYLISTED, retry_at=NOW + 600,
    )  # fmt: skip
    await door.stores.queue.settle([Settlement(lease=lease, event=later)])
    door.clock.advance(4 * 3600 + 1)
    await door.desk.tick()
    door.clock.advance(3600)
    await door.desk.tick()
    (notice,) = await notices(door)
    assert (notice.fields["Action"], notice.fields["Status"]) == ("delayed", "4.2.1")
    assert notice.fields["Will-Retry-Until"]


async def test_recipients_that_intake_refuses_are_told_while_others_go(door: World) -> None:
    await door.stores.suppressions.add(
        [Suppression(address="bob@x.test", stream="", reason=SuppressionReason.COMPLAINT, at=NOW, evidence="report")]
    )
    await submit(door, "NOTIFY=FAILURE", recipients=("ann@x.test", "bob@x.test"))
    (notice,) = await notices(door)
    assert (notice.fields["Final-Recipient"], notice.fields["Status"]) == ("rfc822; bob@x.test", "5.7.1")


async def test_an_address_beyond_ascii_is_told_in_the_form_of_rfc_6533(door: World) -> None:
    (message_id,) = await submit(door, "NOTIFY=FAILURE", recipients=("аня@x.test",), mail_options=("SMTPUTF8",))
    await door.stores.log.append([ended("Bounced", message_id)])
    await door.desk.tick()
    accepted = [e for e in await door.accepted() if isinstance(e, Accepted) and e.door is Door.INTERNAL]
    queued = await door.stores.queue.find(accepted[0].message_id)
    assert queued is not None
    content = (await door.stores.spool.body(queued.body_id)).content
    assert b"message/global-delivery-status" in content
    assert "Final-Recipient: utf-8; аня@x.test".encode() in content


async def test_wishes_are_forgotten_with_time(door: World) -> None:
    await submit(door, "NOTIFY=FAILURE")
    assert await door.stores.notices.any()
    door.clock.advance(31 * 86400)
    await door.desk.tick()
    assert await door.stores.notices.any(), "it waits still, as mail does that is scheduled far ahead"
    await door.stores.queue.expire(door.clock.now())
    assert await door.stores.queue.depth() == {}
    door.clock.advance(31 * 86400)
    await door.desk.tick()
    assert len(await notices(door)) == 1
    assert not await door.stores.notices.any()
