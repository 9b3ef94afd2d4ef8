"""The door: who is taken over, who is not and why, and that it happens once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from config.model import Settings, Topic
from core.clock import FixedClock
from core.errors import InvalidInput, LimitExceeded, Unavailable
from core.events import Accepted, Door, IntakeRefused, SuppressionReason
from core.recipient import EVERY_OPTIONAL
from core.state import Suppression
from sender.intake import AnswerStatus, Injection, Intake, Overloaded, RecipientAnswer, RecipientIn
from storage.stores import open_stores
from tests.unit.sender.fake_queue import FakeLog, FakeQueue
from tests.unit.sender.fakes import START, make_settings

PARTS = {"subject": "Hello {{ name }}", "text": "Hi {{ name }}"}
MIME = b"From: Shop <news@example.com>\r\nSubject: hi\r\n\r\nhello\r\n"


class Entrance:
    """An intake with its stores."""

    def __init__(self, settings: Settings | None = None, backlog: int = 0) -> None:
        self.log = FakeLog()
        self.clock = FixedClock(START)
        self.queue = FakeQueue(self.log, self.clock)
        self.woken = 0
        self.intake = Intake(
            queue=self.queue, suppressions=self.queue, idempotency=self.queue, clock=self.clock,
            settings=settings or make_settings(), backlog=lambda: backlog, on_accepted=self._wake,
        )  # fmt: skip

    def _wake(self) -> None:
        self.woken += 1

    async def give(
        self,
        *recipients: str | RecipientIn,
        mime: bytes | None = MIME,
        parts: dict[str, str] | None = None,
        sender: str = "",
        stream: str = "bulk",
        campaign: str = "",
        sending_domain: str = "",
        not_before: float | None = None,
        key: str = "",
    ) -> list[RecipientAnswer]:
        return await self.intake.submit(Injection(
            stream=stream, door=Door.HTTP, mime=None if parts else mime, parts=parts or {}, sender=sender,
            campaign=campaign, sending_domain=sending_domain, not_before=not_before, idempotency_key=key,
            recipients=tuple(r if isinstance(r, RecipientIn) else RecipientIn(address=r) for r in recipients),
        ))  # fmt: skip


def _statuses(answers: list[RecipientAnswer]) -> list[AnswerStatus]:
    return [answer.status for answer in answers]


async def test_each_recipient_is_answered_for_itself_in_order() -> None:
    door = Entrance()
    door.queue.suppressed.add("gone@x.test")
    answers = await door.give("ann@x.test", "GONE@x.test", "no address", "Ann@X.test", "bob@x.test")
    assert _statuses(answers) == ["accepted", "suppressed", "invalid", "invalid", "accepted"]
    assert answers[1].reason == "manual"
    assert "twice" in answers[3].reason
    assert {s.submission.recipient for s in door.queue.rows.values()} == {"ann@x.test", "bob@x.test"}
    assert [e.message_id for e in door.log.of(Accepted)] == [answers[0].message_id, answers[4].message_id]
    assert [e.reason.partition(":")[0] for e in door.log.of(IntakeRefused)] == ["suppressed", "address", "address"]
    assert door.woken == 1


async def test_a_row_carries_what_its_stream_says() -> None:
    door = Entrance()
    await door.give("ann@x.test", stream="receipts", campaign="c1", not_before=START + 50)
    (row,) = door.queue.rows.values()
    found = row.submission
    assert (found.priority, found.campaign, found.not_before, found.sending_domain) == (
        0,
        "c1",
        START + 50,
        "example.com",
    )
    assert found.expires_at == START + 50 + 72 * 3600


async def test_the_same_key_is_answered_alike_and_sends_once() -> None:
    door = Entrance()
    first = await door.give("ann@x.test", "bad", key="k1")
    again = await door.give("ann@x.test", "bad", key="k1")
    assert again == first
    assert len(door.queue.rows) == 1
    assert len(await door.give("ann@x.test", key="k2")) == 1
    assert len(door.queue.rows) == 2


async def test_two_calls_with_one_key_side_by_side_send_once() -> None:
    door = Entrance()
    answers = await asyncio.gather(*(door.give("ann@x.test", key="k1") for _ in range(5)))
    assert len({a[0].message_id for a in answers}) == 1
    assert len(door.queue.rows) == 1


@pytest.mark.parametrize(
    ("sender", "accepted"),
    [
        ("news@example.com", True),
        ("Shop <news@mail.example.com>", True),
        ("news@EXAMPLE.com", True),
        ("news@example.com.evil.test", False),
        ("news@notexample.com", False),
        ("boss@bank.test", False),
        ("news@example.com, boss@bank.test", False),
        ("boss@bank.test <news@example.com>", False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_only_our_own_domains_may_send(sender: str, accepted: bool, whole: bool) -> None:
    door = Entrance()
    parts = None if whole else {"from": sender, "subject": "s", "text": "t"}
    mime = b"From: " + sender.encode() + b"\r\n\r\nhi"
    if accepted:
        assert _statuses(await door.give("ann@x.test", mime=mime, parts=parts)) == [AnswerStatus.ACCEPTED]
    else:
        with pytest.raises(InvalidInput):
            await door.give("ann@x.test", mime=mime, parts=parts)
        assert not door.queue.rows


async def test_the_envelope_sender_says_nothing_about_the_from_of_a_whole_message() -> None:
    door = Entrance()
    with pytest.raises(InvalidInput, match=r"bank\.test"):
        await door.give("ann@x.test", mime=b"From: boss@bank.test\r\n\r\nhi", sender="news@example.com")


async def test_a_whole_message_without_from_gets_that_of_the_envelope() -> None:
    door = Entrance()
    await door.give("ann@x.test", mime=b"Subject: cron\r\n\r\nhi", sender="cron@example.com")
    (body,) = door.queue.bodies.values()
    assert body.content.startswith(b"From: cron@example.com\r\nSubject: cron")


async def test_a_caller_that_is_bound_to_one_domain_cannot_use_another() -> None:
    door = Entrance()
    with pytest.raises(InvalidInput, match=r"other\.test"):
        await door.give("ann@x.test", sending_domain="other.test")


async def test_the_nearest_of_our_domains_signs() -> None:
    settings = make_settings()
    rows = [settings.sending_domains[0].model_copy(update={"name": n}) for n in ("example.com", "shop.example.com")]
    door = Entrance(settings.model_copy(update={"sending_domains": rows}))
    await door.give("ann@x.test", mime=b"From: a@mail.shop.example.com\r\n\r\nhi")
    assert [r.submission.sending_domain for r in door.queue.rows.values()] == ["shop.example.com"]


async def test_a_missing_variable_refuses_that_recipient_and_nobody_else() -> None:
    door = Entrance()
    answers = await door.give(
        RecipientIn(address="ann@x.test", variables={"name": "Ann"}), RecipientIn(address="bob@x.test"),
        RecipientIn(address="eve@x.test", variables={"name": "Eve\r\nBcc: x@x.test"}),
        parts={"from": "news@example.com", **PARTS},
    )  # fmt: skip
    assert _statuses(answers) == [AnswerStatus.ACCEPTED, AnswerStatus.INVALID, AnswerStatus.INVALID]
    assert "variables.name" in answers[1].reason
    assert "control character" in answers[2].reason


async def test_a_template_may_take_its_sender_from_the_injection() -> None:
    door = Entrance()
    answers = await door.give(
        RecipientIn(address="ann@x.test", variables={"name": "Ann"}),
        parts={"from": "", **PARTS},
        sender="n@example.com",
    )
    assert _statuses(answers) == [AnswerStatus.ACCEPTED]


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "unknown"},
        {"campaign": "x" * 101},
        {"campaign": "a\nb"},
        {"not_before": START + 400 * 86400},
        {"not_before": math.nan},
        {"not_before": math.inf},
        {"key": "k" * 201},
        {"mime": b"no header at all"},
        {"mime": b"From: a@example.com\r\n\r\n" + b"x" * 1000},
        {"mime": b"From: a@example.com\r\nX: " + b"y" * 3000},
        {"mime": b"From: " + b"a" * 3000 + b"@example.com\r\n\r\nhi"},
        {"parts": {"from": "a@example.com", "subject": "s"}},
        {"parts": {"from": "a@example.com", "subject": "s", "text": "{{ oops"}},
        {"parts": {"from": "a@example.com", "subject": "s", "text": "half \ud800"}},
        {"parts": {"from": "a@example.com", "subject": "s", "text": "nul \0"}},
        {"parts": {"from": "a@example.com", "subject": "s", "text": "t", "bcc": "x@x.test"}},
        {"parts": {"from": "\u00e9@example.com", "subject": "s", "text": "t"}},
        {"parts": {"from": "a@example.com", "subject": "s\r\nBcc: x@x.test", "text": "t"}},
        {"parts": {"from": "a@example.com", "subject": "s" * 901, "text": "t {{ name }}"}},
        {"mime": None},
    ],
)
async def test_a_message_that_cannot_be_taken_is_refused_as_a_whole(change: dict[str, object]) -> None:
    door = Entrance()
    with pytest.raises(InvalidInput):
        await door.give("ann@x.test", **change)  # type: ignore[arg-type]
    assert not door.queue.rows
    assert not door.log.events


async def test_numbers_are_bounded() -> None:
    door = Entrance()
    with pytest.raises(LimitExceeded):
        await door.give(*[f"u{n}@x.test" for n in range(10_001)])
    with pytest.raises(InvalidInput):
        await door.give()
    answers = await door.give(
        RecipientIn(address="a@x.test", variables={f"v{n}": "" for n in range(101)}),
        RecipientIn(address="b@x.test", variables={"v": "x" * 20_001}),
        RecipientIn(address="c@x.test", variables={"v": "\ud800"}),
        RecipientIn(address="\ud800@x.test"), RecipientIn(address="nul\0@x.test"), RecipientIn(address="x" * 5000),
    )  # fmt: skip
    assert set(_statuses(answers)) == {AnswerStatus.INVALID}
    assert all(len(answer.address) <= 320 and answer.address.isprintable() for answer in answers)


async def test_a_full_queue_puts_callers_off() -> None:
    with pytest.raises(Overloaded) as caught:
        await Entrance(backlog=5_000_000).give("ann@x.test")
    assert caught.value.retry_after > 0


async def test_a_full_queue_has_room_for_receipts() -> None:
    """A campaign that fills the queue must not keep transactional mail out."""
    assert _statuses(await Entrance(backlog=5_000_000).give("ann@x.test", stream="receipts")) == ["accepted"]
    with pytest.raises(Overloaded):
        await Entrance(backlog=5_500_000).give("ann@x.test", stream="receipts")


async def test_a_large_batch_lets_others_work_between() -> None:
    door = Entrance()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        answers = await door.give(*[f"u{n}@x.test" for n in range(5000)])
        task.cancel()
    assert len(answers) == 5000
    assert turns > 20


# --- topics and what recipients chose --------------------------------------------------------------------------------
class Choices:
    """Recipients who want mail of a stream rarely."""

    def __init__(self, **days: int) -> None:
        self.days = {name.replace("_at_", "@").replace("_", "."): n for name, n in days.items()}
        self.counted: set[str] = set()

    async def choices(self, address: str) -> dict[str, int]:
        return {"bulk": self.days[address]} if address in self.days else {}

    async def choose(self, address: str, days: Mapping[str, int]) -> None:
        self.days[address] = days["bulk"]

    async def take(self, addresses: Iterable[str], stream: str, now: float) -> dict[str, int]:
        known = {a for a in addresses if a in self.days}
        refused = {a: self.days[a] for a in known & self.counted}
        self.counted |= known
        return refused

    async def give_back(self, addresses: Iterable[str], stream: str, now: float) -> None:
        self.counted -= set(addresses)


async def test_a_recipient_who_wants_one_a_week_gets_one_and_is_told_apart() -> None:
    entrance = Entrance()
    choices = Choices(ann_at_x_test=7)
    entrance.intake._frequencies = choices
    first = await entrance.give("ann@x.test", "bob@x.test")
    second = await entrance.give("ann@x.test", "bob@x.test")
    assert _statuses(first) == [AnswerStatus.ACCEPTED] * 2
    assert second[0].status is AnswerStatus.OVER_FREQUENCY
    assert "wants at most one in 7 days" in second[0].reason
    receipts = await entrance.give("ann@x.test", stream="receipts")
    assert _statuses(receipts) == [AnswerStatus.ACCEPTED], "receipts are nothing one can choose"


async def test_a_message_that_could_not_be_stored_does_not_use_up_the_week() -> None:
    entrance = Entrance()
    choices = Choices(ann_at_x_test=7)
    entrance.intake._frequencies = choices

    async def broken(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    entrance.queue.accept = broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await entrance.give("ann@x.test")
    assert choices.counted == set()


async def test_a_topic_goes_with_the_message_and_must_be_one_of_the_stream() -> None:
    topics = [Topic(name="offers", stream="bulk", title_en="Offers")]
    entrance = Entrance(make_settings().model_copy(update={"topics": topics}))
    injection = Injection(
        stream="bulk", topic="offers", door=Door.HTTP, mime=MIME, recipients=(RecipientIn(address="ann@x.test"),)
    )
    await entrance.intake.submit(injection)
    (row,) = entrance.queue.rows.values()
    assert row.submission.topic == "offers"
    for stream, topic in (("bulk", "news"), ("receipts", "offers")):
        with pytest.raises(InvalidInput, match="topic"):
            await entrance.intake.submit(replace(injection, stream=stream, topic=topic))


@pytest.mark.parametrize("sender", ["{{ recipient }} <a@example.com>", "{{ unsubscribe_url }} <a@example.com>"])
async def test_what_we_fill_in_ourselves_is_seen_at_the_door_too(sender: str) -> None:
    (answer,) = await Entrance().give("ann@x.test", parts={"from": sender, "subject": "s", "text": "t"})
    assert answer.status is AnswerStatus.INVALID


async def test_a_value_that_makes_no_mailbox_of_from_is_refused_at_the_door() -> None:
    door = Entrance()
    parts = {"from": "{{ shop }} <news@example.com>", "subject": "s", "text": "t"}
    names = ("Ann", "Smith, Ann", 'Ann "Sm', "x <evil@evil.example>")
    answers = await door.give(
        *(RecipientIn(address=f"u{n}@x.test", variables={"shop": name}) for n, name in enumerate(names)), parts=parts
    )
    assert _statuses(answers) == ["accepted", "invalid", "invalid", "invalid"]
    assert all(answer.reason.startswith("from:") for answer in answers[1:])


async def test_who_wants_nothing_at_all_gets_nothing_of_a_stream_that_came_later_but_receipts() -> None:
    stores = await open_stores("sqlite://", inline=True)
    wish = SuppressionReason.UNSUBSCRIBE
    await stores.suppressions.add(
        [Suppression(address="ann@x.test", stream=EVERY_OPTIONAL, reason=wish, at=START, evidence="preferences")]
    )
    intake = Intake(
        queue=stores.queue, suppressions=stores.suppressions, idempotency=stores.idempotency,
        clock=FixedClock(START), settings=make_settings(),
    )  # fmt: skip
    recipients = (RecipientIn(address="ann@x.test"),)
    for stream, status in (("bulk", AnswerStatus.SUPPRESSED), ("receipts", AnswerStatus.ACCEPTED)):
        (answer,) = await intake.submit(Injection(stream=stream, door=Door.HTTP, mime=MIME, recipients=recipients))
        assert answer.status is status
    await stores.close()
