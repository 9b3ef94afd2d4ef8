"""What events make of a recipient: mails counted, signs of life, lists, weeks, and who left."""

from __future__ import annotations

from core.audience import Engagement, Reader, Terms, state_of
from core.events import (
    Accepted,
    Door,
    Event,
    Opened,
    OptInConfirmed,
    Replied,
    SuppressionAdded,
    SuppressionReason,
    SuppressionRemoved,
)
from core.lane import DAY
from core.recipient import Actor
from core.tokens import MessageId
from monitor.audience import addresses_of, fold
from tests.unit.monitor.world import NOON, bounced, delivered, under

STREAMS = frozenset({"bulk", "triggered"})
WHO = "r@x.example"
SUNDAY = NOON - NOON % (7 * DAY)  # the beginning of a counted week


def folded(events: list[Event], known: dict[tuple[str, str], Reader] | None = None) -> dict[tuple[str, str], Reader]:
    return {**(known or {}), **fold(known or {}, events, streams=STREAMS, ignored=frozenset({"seed@x.example"}))}


def one(events: list[Event], known: dict[tuple[str, str], Reader] | None = None) -> Reader:
    return folded(events, known)[WHO, "bulk"]


def opened(at: float, actor: Actor = Actor.HUMAN) -> Opened:
    return Opened(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(NOON), actor=actor, reason=""
    )


def accepted(list_source: str, recipient: str = WHO, stream: str = "bulk") -> Accepted:
    return Accepted(
        at=NOON, message_id=MessageId("m"), recipient=recipient, stream=stream, campaign="", sending_domain="d",
        door=Door.HTTP, size=1, list_source=list_source,
    )  # fmt: skip


def left(scope: str = "", at: float = NOON) -> SuppressionAdded:
    return SuppressionAdded(
        at=at, address=WHO, stream=scope, reason=SuppressionReason.COMPLAINT, message_id=None, evidence=""
    )


def test_mails_count_until_a_human_gives_a_sign() -> None:
    reader = one([delivered(NOON), delivered(NOON + 1), opened(NOON + 2, Actor.MACHINE)])
    assert (reader.mails, reader.unanswered, reader.sign_at) == (2, 2, 0.0)
    reader = one([opened(NOON + 3), delivered(NOON + 4)], {(WHO, "bulk"): reader})
    assert (reader.mails, reader.unanswered, reader.sign_at, reader.first_at) == (3, 1, NOON + 3, NOON)
    answer = Replied(at=NOON + 5, message_id=MessageId("m"), recipient="r@x.example", attribution=under(NOON))
    assert one([answer], {(WHO, "bulk"): reader}).sign_at == NOON + 5
    agreed = OptInConfirmed(at=NOON + 9, optin_id="o", address=WHO, scopes=("bulk",))
    assert one([agreed], {(WHO, "bulk"): reader}).sign_at == NOON + 9


def test_other_streams_seeds_and_what_was_never_mailed_are_left_alone() -> None:
    assert folded([delivered(stream="transactional"), opened(NOON), bounced(), accepted("x", "seed@x.example")]) == {}
    assert addresses_of([opened(NOON), left()]) == {WHO}


def test_mail_that_came_in_without_a_list_makes_no_reader_before_it_is_delivered() -> None:
    assert folded([accepted("")]) == {}
    assert addresses_of([accepted("")]) == set()
    assert one([accepted(""), delivered()]).mails == 1


def test_the_list_source_is_that_of_the_newest_injection() -> None:
    reader = one([accepted("shop"), delivered()])
    assert (reader.list_source, reader.mails) == ("shop", 1)
    assert one([accepted("fair"), accepted("")], {(WHO, "bulk"): reader}).list_source == "fair"


def test_weeks_are_counted_apart() -> None:
    reader = one([delivered(SUNDAY), delivered(SUNDAY + DAY), delivered(SUNDAY + 7 * DAY)])
    assert (reader.in_week, reader.in_last_week) == (1, 2)
    assert one([delivered(SUNDAY + 28 * DAY)], {(WHO, "bulk"): reader}).in_last_week == 0


def test_who_is_suppressed_leaves_and_comes_back_with_its_end() -> None:
    known = folded([delivered(), delivered(stream="triggered")])
    known = folded([left("bulk")], known)
    assert [bool(known[WHO, s].left_at) for s in ("bulk", "triggered")] == [True, False]
    known = folded([left("")], known)
    assert all(reader.left_at for reader in known.values())
    known = folded([SuppressionRemoved(at=NOON, address=WHO, stream="", by="ann")], known)
    assert not any(reader.left_at for reader in known.values())
    assert folded([left("bulk/news")], known) == known


def test_states_follow_age_and_signs() -> None:
    terms = Terms()
    base = Reader(address=WHO, stream="bulk", first_at=NOON, mails=9, unanswered=9)
    assert [state_of(base, terms, NOON + days * DAY) for days in (10, 60, 120, 200)] == [
        Engagement.NEW, Engagement.SLEEPING, Engagement.AT_RISK, Engagement.GONE,
    ]  # fmt: skip
    awake = Reader(address=WHO, stream="bulk", first_at=NOON - 900 * DAY, sign_at=NOON, mails=9, unanswered=1)
    assert [state_of(awake, terms, NOON + days * DAY) for days in (10, 60, 200)] == [
        Engagement.ACTIVE, Engagement.SLEEPING, Engagement.AT_RISK,
    ]  # fmt: skip
