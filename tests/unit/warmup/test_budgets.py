"""Budgets that lanes share: the least of lane, address, domain and plan holds, nobody waits for an idle lane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.decision import Admit, Defer, DeferReason
from core.events import StepMove as M
from core.lane import DAY, Lane, Provider, SendingDomain, Source, Stream, Traffic, day_of
from core.state import Snapshot, StepState
from tests.unit.warmup.world import MIDNIGHT, NOON, SETTINGS, plan, state
from warmup.admission import GateAdmission, lane_key, watched
from warmup.budgets import budgets_over, fair_share
from warmup.figures import DayFigures
from warmup.judge import next_step

TODAY = day_of(NOON)
PLAN = plan(budgets={"source": 1, "sending_domain": 1.5})


def lane(source: str, domain: str, provider: str = "gmail") -> Lane:
    return Lane(source=Source(source), sending_domain=SendingDomain(domain), provider=Provider(provider))


def step(source: str, domain: str, cap: int = 100, **changes: Any) -> StepState:
    return replace(state(cap=cap), lane=lane(source, domain), **changes)


ALL = [step("a", "x", 100), step("a", "y", 200), step("b", "x", 300), step("c", "z", 50)]


def shared(of: StepState, steps: list[StepState], given: Any = PLAN) -> dict[str, tuple[int, int]]:
    return {one.key: (one.cap, one.lanes) for one in budgets_over(of, given, steps)}


def test_an_address_and_a_domain_have_the_largest_cap_of_their_lanes_times_the_factor() -> None:
    assert shared(ALL[0], ALL) == {"source:a|gmail": (200, 2), "domain:x|gmail": (450, 2)}
    assert shared(ALL[3], ALL) == {}, "alone it has its own cap only"
    assert shared(ALL[0], ALL, plan()) == {}, "no budgets are asked for"


def test_a_warm_lane_shows_that_the_address_is_no_stranger() -> None:
    assert "source:a|gmail" not in shared(ALL[0], [ALL[0], replace(ALL[1], finished=True)])


def test_the_whole_plan_may_have_a_total() -> None:
    assert shared(ALL[3], ALL, plan(budgets={"total": 120})) == {"plan:p": (120, 4)}


def decide(used: dict[str, int], stream: str = "bulk") -> Admit | Defer:
    seen = Snapshot(steps={s.lane: s for s in ALL}, used={(key, TODAY): n for key, n in used.items()})
    traffic = Traffic(lane=lane("a", "x"), stream=Stream(stream))
    return GateAdmission((PLAN,), SETTINGS).decide(traffic, 500, 0, seen, MIDNIGHT + DAY - 600)


def test_the_least_of_all_caps_is_admitted_and_each_is_reserved() -> None:
    admitted = decide({"source:a|gmail": 150})
    assert isinstance(admitted, Admit)
    assert admitted.messages <= 50
    assert {key for key, _, _ in admitted.allowances} == {
        lane_key(lane("a", "x")), "source:a|gmail", "domain:x|gmail",
    }  # fmt: skip


def test_a_spent_budget_holds_marketing_by_name_and_lets_a_receipt_go() -> None:
    held = decide({"source:a|gmail": 200})
    assert isinstance(held, Defer)
    assert held.reason is DeferReason.ALLOWANCE_SPENT
    assert "source:a|gmail: 200 a day, shared by 2 lanes" in held.detail
    assert isinstance(decide({"source:a|gmail": 200}, "transactional"), Admit)


def test_what_is_used_of_every_budget_is_read() -> None:
    (keys,) = watched((), ALL, NOON).values()
    assert {"source:a|gmail", "domain:x|gmail", "plan:p"} <= set(keys)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("sent", "move"), [(80, M.ADVANCED), (79, M.HELD)])
def test_a_lane_rises_on_its_fair_part_of_a_budget(sent: int, move: M) -> None:
    share = fair_share(budgets_over(ALL[1], PLAN, ALL))
    assert share == 100
    figures = DayFigures(attempted=sent, peak=sent, last_sent_day=TODAY, share=share)
    assert next_step(ALL[1], PLAN, figures, NOON + DAY)[1].move is move


def test_a_lane_without_mail_takes_nobodys_part() -> None:
    idle = [ALL[1], replace(ALL[0], last_sent_day=TODAY - 5)]
    assert fair_share(budgets_over(ALL[1], PLAN, idle)) == 200
