"""What stands in the way is told with who, why, evidence, until and the undo, in the reader's language."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.causes import Cause, Why, said
from core.events import Evidence, GateChanged, GateState
from core.lane import HOUR, Scope
from core.metrics import Metric
from core.state import CounterKey, Gate
from service.standing import Language, counted, explain_campaign, names_of, standing, traffic_of
from tests.unit.monitor.world import NOON, Memory, under

CAUSE = Cause(why=Why.ABOVE, rule="bounces", bad=40, total=1200, since=480_000, threshold=0.02, e_value=900, limit=730)
GATE = Gate(
    scope=Scope(provider="yahoo", stream="bulk"), state=GateState.PAUSED, pause_id="p1", rule="bounces", since=NOON,
    until=NOON + HOUR, reason=said(CAUSE), by="guard", cause=CAUSE,
    evidence=Evidence(rule="bounces", numerator=40, denominator=1200, threshold=0.02, e_value=900, limit=730,
                      since=480_000, samples=("550 5.1.1 no such user",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["is paused since", "by: guard, rule bounces", "why: bounces: 40 of 1,200", "then a probe", "undo:"]),
        ("ru", ["на паузе с", "кто: сторож, правило bounces", "почему: bounces: 40 из", "затем проба", "отменить:"]),
    ],
)
def test_a_pause_is_told_whole(language: Language, words: list[str]) -> None:
    text = "\n".join(standing([GATE], lambda gate: True, NOON, language))
    assert [
        word for word in [*words, "550 5.1.1 no such user", "penstock resume provider=yahoo"] if word not in text
    ] == []


def test_open_gates_and_gates_elsewhere_are_not_in_the_way() -> None:
    assert standing([replace(GATE, state=GateState.OPEN)], lambda gate: True, NOON, "en") == [
        "now: every gate over it is open"
    ]
    assert standing([GATE], lambda gate: False, NOON, "ru") == ["сейчас: все затворы над этим открыты"]


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"rule": "listing", "by": "listing", "until": 0.0}, "it is listed no more, then a probe"),
        (
            {"rule": "listing", "by": "listing", "until": 0.0, "state": GateState.PROBING},
            "what came of the probe is known",
        ),
        ({"state": GateState.HARD_STOPPED, "until": 0.0}, "somebody resumes it"),
        ({"state": GateState.SLOWED, "limit": 50}, "2027-01-15T13:00:00.000Z, then the limit grows, if it is calm"),
        ({"state": GateState.SLOWED, "limit": 50, "until": NOON - 1}, "the evidence is calm, then the limit grows"),
        (
            {"state": GateState.PROBING, "rule": "canary", "until": NOON - 1, "mark_bad": 1},
            "the gates that rules closed over it open",
        ),
    ],
)
def test_what_ends_it_is_never_an_instant_of_the_past(changes: dict[str, Any], until: str) -> None:
    lines = standing([replace(GATE, **changes)], lambda gate: True, NOON, "en")
    assert f"  until: {until}" in lines


def test_a_campaign_is_named_with_its_stream_or_without() -> None:
    assert names_of("bulk/spring", ["bulk"]) == ("bulk", "spring")
    assert names_of("spring/early", ["bulk"]) == ("", "spring/early")
    counters = {
        CounterKey(attribution=under(NOON, campaign="spring"), metric=Metric.ATTEMPTED): 200,
        CounterKey(attribution=under(NOON, campaign="spring"), metric=Metric.HARD_BOUNCED): 10,
        CounterKey(attribution=under(NOON, campaign="summer"), metric=Metric.ATTEMPTED): 7,
    }
    known = traffic_of(counters, "bulk", "spring")
    assert {str(traffic.campaign) for traffic in known} == {"spring"}
    assert traffic_of(counters, "other", "spring") == set()
    told, left = counted(counters, known, False, frozenset(), "en")
    assert "complained 0 (unknown)" in told  # nothing was delivered
    assert "attempted 200" in told
    assert "hard_bounced 10" in told
    assert left == "left in the queue: nothing"


async def test_a_campaign_tells_of_gates_since_it_began_and_of_its_own() -> None:
    def moved(at: float, scope: Scope) -> GateChanged:
        return GateChanged(
            at=at, pause_id=f"p{at:.0f}", scope=scope, before=GateState.OPEN, after=GateState.PAUSED, reason="r",
            until=0.0, by="root", evidence=None, limit=0,
        )  # fmt: skip

    log, wide = Memory(), Scope(provider="yahoo")
    log.events += [moved(NOON - HOUR, wide), moved(NOON, Scope(campaign="spring")), moved(NOON + HOUR, wide)]
    known = {under(NOON, campaign="spring").traffic}
    told = await explain_campaign(log, "", "spring", known, NOON)
    assert [line.at for line in told] == [NOON, NOON + HOUR]
