"""The providers' engine by the handful: the same engine as message by message, in what it counts and remembers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lane import DAY, HOUR
from sandbox.model import MailFacts, Situation
from sandbox.simulated import SimulatedProvider, address_of, person, shipped_models
from sandbox.volume import VolumeProvider, draw

START = 20_000 * DAY
MODELS = shipped_models()


@pytest.mark.parametrize("name", ["gmail-like", "outlook-strict", "tired-base", "lenient"])
def test_both_engines_take_and_refuse_alike(name: str) -> None:
    """Four days of 100, 250, 400 and 600 messages, each stopped at the tenth refusal; means of many senders."""
    model = MODELS[name]
    behaviour = model.built()
    sums = {"one by one": [0.0, 0.0, 0.0], "by handfuls": [0.0, 0.0, 0.0]}
    runs = 12
    for seed in range(runs):
        rng = Random(f"{name} {seed}")
        single = SimulatedProvider(model, behaviour, START)
        crowd = VolumeProvider(model, behaviour, START, Random(f"crowd {name} {seed}"))
        for day, volume in enumerate([100, 250, 400, 600]):
            now, refusals, one = START + day * DAY + HOUR, 0, sums["one by one"]
            for serial in range(volume):
                address = address_of(model, day + 1, serial, rng)
                facts = MailFacts(ip="a", sender_domain="d", recipient=address, person=person(address))
                verdict = single.judge(facts, now, rng)
                one[0] += verdict.accepted
                refused = verdict.situation in (Situation.RATE_LIMITED, Situation.LOW_REPUTATION, Situation.BLOCKED)
                refusals += refused
                one[1] += refused
                if refusals == 10:
                    break
            many, left = sums["by handfuls"], volume
            for _ in range(10):
                found = crowd.attempt(left, now, day + 1, 0)
                many[0] += found.accepted
                many[1] += found.refused is not None
                left -= found.tried
                if left <= 0:
                    break
        sums["one by one"][2] += single.reputation("a", "d", now)
        sums["by handfuls"][2] += crowd.reputation
    one, many = ([value / runs for value in sums[how]] for how in ("one by one", "by handfuls"))
    assert many[0] == pytest.approx(one[0], rel=0.05)
    assert many[1] == pytest.approx(one[1], abs=2.5)
    assert many[2] == pytest.approx(one[2], abs=0.06)


@given(st.integers(0, 5000), st.floats(0, 1), st.integers(0, 1000))
def test_a_drawn_number_is_never_negative_nor_above_its_count(n: int, p: float, seed: int) -> None:
    assert 0 <= draw(n, p, Random(seed)) <= n


@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(0, 30_000), max_size=12), st.integers(0, 99))
def test_no_message_is_lost_between_the_sums_and_reputation_stays_a_share(
    name: str, volumes: list[int], seed: int
) -> None:
    crowd = VolumeProvider(MODELS[name], MODELS[name].built(), START, Random(seed))
    for day, volume in enumerate(volumes):
        found = crowd.attempt(volume, START + day * DAY, day + 1, 0)
        assert found.tried <= volume
        assert found.tried == volume or found.refused is not None
        assert found.accepted == found.inboxed + found.junked + found.late
        assert 0 <= crowd.reputation <= 1
