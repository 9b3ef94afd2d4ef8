"""Nobody gets more mail of a stream than its cap; receipts are never counted."""

from __future__ import annotations

from core.events import IntakeRefused
from sender.intake import AnswerStatus
from tests.unit.sender.fakes import START
from tests.unit.sender.test_intake import Entrance

DAY = 86400.0


async def test_the_third_mail_of_a_day_is_refused_with_a_reason_of_its_own_and_the_others_go() -> None:
    door = Entrance()
    for _ in range(2):
        assert [a.status for a in await door.give("ann@x.test")] == [AnswerStatus.ACCEPTED]
    answers = await door.give("ANN@x.test", "bob@x.test")
    assert [a.status for a in answers] == [AnswerStatus.OVER_FREQUENCY, AnswerStatus.ACCEPTED]
    assert answers[0].reason == "bulk: at most 2 a day, 3 in seven days"
    assert [e.reason.partition(":")[0] for e in door.log.of(IntakeRefused)] == ["over_frequency"]
    assert door.intake.refusals == {("bulk", AnswerStatus.OVER_FREQUENCY): 1}


async def test_receipts_are_never_counted() -> None:
    door = Entrance()
    for _ in range(5):
        assert [a.status for a in await door.give("ann@x.test", stream="receipts")] == [AnswerStatus.ACCEPTED]
    assert not door.queue.shares


async def test_mail_for_a_later_day_is_counted_on_that_day() -> None:
    door = Entrance()
    for days in (0, 0, 1):
        (answer,) = await door.give("ann@x.test", not_before=START + days * DAY)
        assert answer.status is AnswerStatus.ACCEPTED


async def test_who_was_mailed_between_the_look_and_the_commit_is_refused_and_the_others_go() -> None:
    door = Entrance()
    door.queue.rivals = {"ann@x.test"}
    answers = await door.give("ann@x.test", "bob@x.test", key="k")
    assert [a.status for a in answers] == [AnswerStatus.OVER_FREQUENCY, AnswerStatus.ACCEPTED]
    assert [row.submission.recipient for row in door.queue.rows.values()] == ["bob@x.test"]
    assert await door.give("ann@x.test", "bob@x.test", key="k") == answers


async def test_who_is_suppressed_is_not_counted() -> None:
    door = Entrance()
    door.queue.suppressed.add("gone@x.test")
    await door.give("gone@x.test", "no address", "ann@x.test")
    assert {address for _, _, address in door.queue.shares} == {"ann@x.test"}
