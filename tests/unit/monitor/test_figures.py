"""Figures: each signal by its own denominator, never 0 for what is unknown, and honest about young mail."""

from __future__ import annotations

import pytest

from core.events import Event, Opened, Placement, SeedPlaced
from core.lane import DAY, HOUR, cohort_of
from core.recipient import Actor
from core.tokens import MessageId
from monitor.counters import fold
from monitor.evidence import DelayEnvelope
from monitor.figures import Figure, Known, Unknown, figures
from monitor.signals import SIGNALS
from tests.unit.monitor.world import NOON, bounced, complaint, deferred, delivered, under

SENT = NOON - 5 * DAY
KNOWN = Known(no_feedback=frozenset({"gmail", "other"}), opens=frozenset({"bulk"}))


def opened(at: float = SENT, **parts: str) -> Opened:
    return Opened(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(at, **parts), actor=Actor.HUMAN,
        reason="x",
    )  # fmt: skip


def seed(placement: Placement) -> SeedPlaced:
    return SeedPlaced(
        at=SENT, message_id=MessageId("m"), mailbox="s@x.example", attribution=under(SENT), placement=placement,
        folder="", seconds=1.0,
    )  # fmt: skip


def told(
    events: list[Event], by: tuple[str, ...] = ("provider",), known: Known = KNOWN
) -> dict[tuple[str, str], Figure]:
    found = figures(fold(events), by=by, known=known, since=0, now=NOON, transactional=("transactional",))
    return {(f.signal, f.scope.key): f for f in found}


def test_each_signal_has_its_own_denominator() -> None:
    found = told([
        *(delivered(SENT) for _ in range(90)), *(bounced(SENT) for _ in range(6)), *(deferred(SENT) for _ in range(4)),
        *(complaint(SENT) for _ in range(9)), seed(Placement.INBOX), seed(Placement.SPAM), seed(Placement.MISSING),
    ])  # fmt: skip
    of = {name: (f.bad, f.total) for (name, _), f in found.items()}
    assert of["complaint_rate"] == (9, 90)
    assert of["hard_bounce_rate"] == (6, 100)
    assert of["deferral_rate"] == (4, 100)
    assert of["spam_placement"] == (1, 2)
    assert of["missing_seeds"] == (1, 3)
    assert of["delivery_share"] == (90, 100)
    figure = found["hard_bounce_rate", "provider=yahoo"]
    assert figure.rate == 0.06
    assert figure.interval is not None
    assert figure.interval[0] < 0.06 < figure.interval[1]
    assert figure.mature


def test_what_is_unknown_has_no_rate_and_says_why() -> None:
    found = told([*(delivered(SENT, provider="gmail", stream="notes") for _ in range(50))])
    assert found["complaint_rate", "provider=gmail"].unknown is Unknown.NO_FEEDBACK
    assert found["open_rate", "provider=gmail,stream=notes"].unknown is Unknown.NOT_TRACKED
    assert found["spam_placement", "provider=gmail"].unknown is Unknown.NO_SEEDS
    assert found["spam_placement", "provider=gmail"].rate is None
    assert found["hard_bounce_rate", "provider=gmail"].rate == 0.0
    assert told([complaint(SENT)])["complaint_rate", "provider=yahoo"].unknown is Unknown.NO_MAIL


def test_kinds_of_mail_are_never_mixed_in_open_rates() -> None:
    known = Known(opens=frozenset({"bulk", "triggered"}))
    found = told([
        *(delivered(SENT) for _ in range(10)), *(delivered(SENT, stream="triggered") for _ in range(10)), opened(),
        *(opened(stream="triggered") for _ in range(8)),
    ], known=known)  # fmt: skip
    rates = {key: f.rate for key, f in found.items() if key[0] == "open_rate"}
    assert rates == {
        ("open_rate", "provider=yahoo,stream=bulk"): 0.1, ("open_rate", "provider=yahoo,stream=triggered"): 0.8,
    }  # fmt: skip


def test_transactional_mail_is_told_only_by_stream() -> None:
    events: list[Event] = [delivered(SENT), delivered(SENT, stream="transactional")]
    assert told(events)["delivery_share", "provider=yahoo"].total == 1
    assert told(events, by=("stream",))["delivery_share", "stream=transactional"].total == 1


def test_unknown_providers_are_told_together() -> None:
    found = told([delivered(SENT, provider="other:a"), delivered(SENT, provider="other:b")])
    assert found["delivery_share", "provider=other"].total == 2
    assert found["complaint_rate", "provider=other"].unknown is Unknown.NO_FEEDBACK


def test_young_mail_says_how_much_of_it_can_have_come() -> None:
    late = Known(envelopes={"yahoo": DelayEnvelope(((6.0, 0.25), (24.0, 0.5)))})
    found = told([delivered(NOON - 5 * HOUR)], known=late)
    assert found["complaint_rate", "provider=yahoo"].maturity == 0.25
    assert not found["complaint_rate", "provider=yahoo"].mature
    assert told([delivered(NOON - 36 * HOUR)])["complaint_rate", "provider=yahoo"].maturity == pytest.approx(0.5)
    assert told([delivered(NOON - HOUR)])["deferral_rate", "provider=yahoo"].mature


def test_older_cohorts_are_left_out() -> None:
    found = figures(
        fold([delivered(SENT), delivered(NOON)]), by=(), known=KNOWN, since=cohort_of(NOON - DAY), now=NOON,
        signals=["delivery_share"],
    )  # fmt: skip
    assert [(f.scope.key, f.total) for f in found] == [("all", 1)]
    assert found[0].signal in SIGNALS
