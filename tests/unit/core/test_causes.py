"""Why a gate moved is stored without a language and said in each."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import pytest

from core.causes import Cause, Why, said, worded
from core.events import GateState
from monitor.canary import Terms, begin
from storage.codec import GATE, text_of

CAUSE = Cause(
    why=Why.ABOVE, rule="bounces", bad=40, total=1200, since=480_000, threshold=0.02, e_value=1949, limit=730,
    messages=50, hours=24,
)  # fmt: skip


@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_each_cause_has_its_sentence_in_both_languages(why: Why, language: Literal["en", "ru"]) -> None:
    text = said(replace(CAUSE, why=why), language)
    assert bool(re.search("[а-я]", text)) == (language == "ru")
    assert "{" not in text


def test_the_figures_are_written_as_the_language_writes_them() -> None:
    part = replace(CAUSE, whole="provider=yahoo", rest_bad=5, rest_total=9000)
    assert said(part).startswith("bounces: 40 of 1,200 (3.33%) since 2024-10-04T00:00Z is above 2.00%")
    assert said(part).endswith("the rest of provider=yahoo is fine: 5 of 9,000 (0.06%)")
    assert "40 из 1 200 (3,33 %)" in said(part, "ru")
    assert "остальное в provider=yahoo в порядке: 5 из 9 000" in said(part, "ru")


def test_a_gate_keeps_its_cause_in_storage_and_one_without_keeps_its_words() -> None:
    gate, event = begin("bulk", "spring", Terms(messages=1500, hours=4), 0.0)
    read = GATE.validate_json(text_of(gate))
    assert (read, read.state) == (gate, GateState.PROBING)
    assert worded(read.cause, read.reason, "en") == event.reason
    assert "(писем: 1 500)" in worded(read.cause, read.reason, "ru")
    assert worded(None, "holiday", "ru") == "holiday"
