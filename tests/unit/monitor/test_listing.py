"""A listing closes a scope, a delisting probes it; refusals in the probe close it again, for longer each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.causes import Cause, Why
from core.events import GateState
from core.lane import HOUR, Scope, cohort_of
from core.state import Gate
from monitor import listing, operator
from monitor.listing import PATIENCE_HOURS, RELAPSE_HOURS, SLOW_LIMITS, Outcome

NOW = 1_764_072_000.0
SCOPE = Scope(source="mta1", spare=("transactional",))
NOTHING = Outcome()
LISTED = Cause(why=Why.LISTED, rule="listing", zone="zen.example", subject="192.0.2.1", text="spam source")


def held(now: float = NOW, *, hard: bool = False) -> Gate:
    moved = listing.hold(SCOPE, None, now=now, cause=LISTED, hard=hard)
    assert moved is not None
    return moved[0]


def stepped(gate: Gate, now: float, outcome: Outcome = NOTHING, this_hour: Outcome = NOTHING) -> Gate | None:
    moved = listing.step(gate, outcome, now, limit=50, this_hour=this_hour)
    if moved is None:
        return None
    after, event = moved
    assert (event.before, event.after, event.pause_id) == (gate.state, after.state, gate.pause_id)
    return after


def probing(now: float = NOW) -> Gate:
    gate = stepped(held(now), now)
    assert gate is not None
    return gate


def test_a_listing_pauses_until_it_ends_and_spares_transactional_mail() -> None:
    gate = held()
    assert (gate.state, gate.until, gate.by, gate.rule) == (GateState.PAUSED, 0.0, "listing", "listing")
    assert gate.pause_id
    assert gate.scope.spare == ("transactional",)
    assert listing.hold(SCOPE, gate, now=NOW + 1, cause=LISTED, hard=False) is None


def test_a_heavy_listing_stops_also_what_is_paused_and_only_a_person_opens_it() -> None:
    moved = listing.hold(SCOPE, held(), now=NOW + 1, cause=LISTED, hard=True)
    assert moved is not None
    assert moved[0].state is GateState.HARD_STOPPED
    assert stepped(moved[0], NOW + 10_000_000) is None
    assert listing.hold(SCOPE, moved[0], now=NOW + 2, cause=LISTED, hard=True) is None
    opened, _ = operator.resume(moved[0], now=NOW + 3, reason="talked to them", by="ann")
    assert opened.state is GateState.OPEN


def test_a_delisting_probes_at_once_and_does_not_pay_for_what_was_before() -> None:
    gate = stepped(held(), NOW + 10, this_hour=Outcome(attempted=90, blocked=40))
    assert gate is not None
    assert (gate.state, gate.limit, gate.epoch) == (GateState.PROBING, 50, cohort_of(NOW + 10))
    assert gate.until == 0.0, "time alone ends nothing here"
    assert stepped(gate, NOW + 20, Outcome(attempted=92, blocked=40)) is None


def test_a_good_probe_opens_by_growing_hourly_limits() -> None:
    gate: Gate | None = probing()
    now = NOW + HOUR
    seen = []
    while gate is not None and gate.state is not GateState.OPEN:
        seen.append((gate.state, gate.limit))
        gate = stepped(gate, now, Outcome(attempted=50, blocked=1))
        now += HOUR
    assert gate is not None
    assert seen == [(GateState.PROBING, 50), *((GateState.SLOWED, hourly) for hourly in SLOW_LIMITS)]
    assert gate.episodes == 0


def test_refusals_in_the_probe_close_it_again_for_twice_as_long_each_time() -> None:
    gate, now, waits = probing(), NOW, []
    for _ in range(6):
        bad = stepped(gate, now + 60, Outcome(attempted=gate.base_total + 10, blocked=gate.base_bad + 5))
        assert bad is not None
        assert bad.state is GateState.PAUSED
        began = now + 60
        hours = next(h for h in range(200) if stepped(bad, began + h * HOUR) is not None)
        waits.append(hours)
        again = stepped(bad, began + hours * HOUR)
        assert again is not None
        gate, now = again, began + hours * HOUR
    assert waits == [RELAPSE_HOURS, 12, 24, 48, 72, 72]


def test_a_probe_waits_for_outcomes_but_not_for_ever() -> None:
    gate = probing()
    assert stepped(gate, NOW + 2 * HOUR, Outcome(attempted=3)) is None
    late = stepped(gate, NOW + PATIENCE_HOURS * HOUR, Outcome(attempted=3))
    assert late is not None
    assert late.state is GateState.SLOWED


@pytest.mark.parametrize("state", [GateState.PROBING, GateState.SLOWED, GateState.OPEN])
def test_a_new_listing_closes_whatever_was_opening(state: GateState) -> None:
    moved = listing.hold(SCOPE, replace(probing(), state=state), now=NOW + 5, cause=LISTED, hard=False)
    assert moved is not None
    assert moved[0].state is GateState.PAUSED
    assert moved[0].limit == 0


_TALLY = st.builds(Outcome, attempted=st.integers(0, 500), blocked=st.integers(0, 500))


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 100 * HOUR), _TALLY), max_size=40))
def test_no_order_of_listings_time_and_outcomes_leaves_the_table(
    story: list[tuple[bool, bool, float, Outcome]],
) -> None:
    gate: Gate | None = None
    now = NOW
    for listed, hard, wait, outcome in story:
        now += wait
        moved = (
            listing.hold(SCOPE, gate, now=now, cause=LISTED, hard=hard)
            if listed
            else listing.step(gate, outcome, now, limit=50, this_hour=outcome)
            if gate
            else None
        )
        if moved is not None:
            before, gate = gate, moved[0]
            if not listed and before is not None:
                assert (before.state, gate.state) != (GateState.PAUSED, GateState.OPEN)
                assert before.state is not GateState.HARD_STOPPED
        if listed:
            assert gate is not None
            assert gate.state in (GateState.PAUSED, GateState.HARD_STOPPED)
