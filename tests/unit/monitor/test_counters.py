"""Counters: what each event adds, and that the log may be folded in any pieces."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.classify import BounceClass
from core.events import (
    Accepted,
    BounceReceived,
    Clicked,
    Door,
    Event,
    Opened,
    Placement,
    SeedPlaced,
    Unsubscribed,
)
from core.metrics import Metric
from core.recipient import Actor
from core.state import CounterKey
from core.tokens import MessageId
from monitor.counters import fold
from tests.unit.monitor.world import NO_USER, NOON, bounced, complaint, deferred, delivered, under

M = Metric


def report(bounce_class: BounceClass, terminal: bool = True) -> BounceReceived:
    return BounceReceived(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", attribution=under(), reply=NO_USER,
        bounce_class=bounce_class, terminal=terminal,
    )  # fmt: skip


def seed(placement: Placement) -> SeedPlaced:
    return SeedPlaced(
        at=NOON, message_id=MessageId("m"), mailbox="s@x.example", attribution=under(), placement=placement,
        folder="x", seconds=1.0,
    )  # fmt: skip


def unsubscribed() -> Unsubscribed:
    return Unsubscribed(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", attribution=under(), method="one_click"
    )


def opened(actor: Actor) -> Opened:
    return Opened(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", attribution=under(), actor=actor, reason="x"
    )


def clicked(actor: Actor, first: bool) -> Clicked:
    return Clicked(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", attribution=under(), actor=actor, reason="x",
        target="https://a.example/", first=first,
    )  # fmt: skip


CASES: list[tuple[Event, set[Metric]]] = [
    (opened(Actor.HUMAN), {M.OPENED_HUMAN}),
    (opened(Actor.MACHINE), {M.OPENED_MACHINE}),
    (opened(Actor.UNKNOWN), set()),
    (clicked(Actor.HUMAN, True), {M.CLICKED_HUMAN}),
    (clicked(Actor.HUMAN, False), set()),
    (clicked(Actor.MACHINE, True), {M.CLICKED_MACHINE}),
    (clicked(Actor.UNKNOWN, True), set()),
    (delivered(), {M.DELIVERED, M.ATTEMPTED}),
    (delivered(attempt=2), {M.DELIVERED}),
    (deferred(), {M.ATTEMPTED, M.DEFERRED, M.PUT_OFF, M.DEFERRALS}),
    (deferred(attempt=3), {M.DEFERRALS}),
    (deferred(attempt=2, bounce_class=BounceClass.IP_BLOCKED), {M.DEFERRALS, M.BLOCKED}),
    (bounced(), {M.HARD_BOUNCED, M.ATTEMPTED}),
    (bounced(attempt=2), {M.HARD_BOUNCED}),
    (bounced(bounce_class=BounceClass.SPAM_CONTENT), {M.SOFT_BOUNCED, M.BLOCKED, M.BLOCKED_FIRST, M.ATTEMPTED}),
    (bounced(bounce_class=BounceClass.AUTH_FAILED), {M.SOFT_BOUNCED, M.AUTH_FAILED, M.AUTH_FAILED_FIRST, M.ATTEMPTED}),
    (bounced(bounce_class=BounceClass.EXPIRED), {M.SOFT_BOUNCED}),
    (report(BounceClass.UNKNOWN_USER), {M.HARD_BOUNCED}),
    (report(BounceClass.MAILBOX_FULL), {M.SOFT_BOUNCED}),
    (report(BounceClass.UNKNOWN_USER, terminal=False), set()),
    (report(BounceClass.AUTO_REPLY), set()),
    (complaint(), {M.COMPLAINED}),
    (complaint(kind="Fraud"), {M.COMPLAINED}),
    (complaint(kind="not-spam"), set()),
    (complaint(kind="opt-out"), set()),
    (unsubscribed(), {M.UNSUBSCRIBED}),
    (seed(Placement.TAB), {M.SEED_INBOX}),
    (seed(Placement.SPAM), {M.SEED_SPAM}),
    (seed(Placement.MISSING), {M.SEED_MISSING}),
]


@pytest.mark.parametrize(("event", "metrics"), CASES, ids=lambda v: type(v).__name__ if not isinstance(v, set) else "")
def test_an_event_adds_one_to_its_counters(event: Event, metrics: set[Metric]) -> None:
    assert fold([event]) == {CounterKey(attribution=under(), metric=m): 1 for m in metrics}


def test_a_late_complaint_counts_in_the_hour_in_which_its_message_was_sent() -> None:
    (key,) = fold([complaint(sent_at=NOON, at=NOON + 2 * 86400)])
    assert key.attribution.cohort == int(NOON // 3600)


def test_accepted_mail_counts_before_its_source_and_provider_are_known() -> None:
    event = Accepted(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", stream="bulk", campaign="june",
        sending_domain="news.example", door=Door.HTTP, size=9,
    )  # fmt: skip
    ((key, n),) = fold([event]).items()
    assert (key.metric, n, key.attribution.cohort) == (M.ACCEPTED, 1, int(NOON // 3600))
    assert (key.attribution.traffic.lane.key, key.attribution.traffic.campaign) == ("|news.example|", "june")


@given(st.lists(st.sampled_from([c[0] for c in CASES]), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_any_split_of_the_log_gives_the_same_counters(events: list[Event], cuts: list[int]) -> None:
    edges = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    parts: Counter[CounterKey] = Counter()
    for begin, end in pairwise(edges):
        parts.update(fold(events[begin:end]))
    assert dict(parts) == fold(events)
