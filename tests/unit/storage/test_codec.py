"""Events go through the log and come back as they were."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Door, Event, Evidence, GateChanged, GateState, IntakeRefused
from core.lane import Scope
from core.state import DmarcReport, Gate, StepState
from storage.codec import DMARC, GATE, KINDS, STEP, event_row, logged, text_of

ANY_EVENT = st.one_of(*(st.from_type(kind) for kind in get_args(Event)))


def test_every_kind_of_event_is_known() -> None:
    assert {kind.__name__ for kind in get_args(Event)} == KINDS


@given(ANY_EVENT)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    row = event_row(event)
    again = logged(7, str(row["kind"]), str(row["body"]))
    assert again.seq == 7
    assert type(again.event) is type(event)
    assert text_of(again.event) == row["body"]  # by its text, because NaN is never equal to itself


@given(st.from_type(Gate), st.from_type(StepState), st.from_type(DmarcReport))
def test_stored_states_are_read_as_they_were_written(gate: Gate, step: StepState, report: DmarcReport) -> None:
    assert text_of(GATE.validate_json(text_of(gate))) == text_of(gate)
    assert text_of(STEP.validate_json(text_of(step))) == text_of(step)
    assert text_of(DMARC.validate_json(text_of(report))) == text_of(report)


def test_evidence_without_bound_survives() -> None:
    evidence = Evidence(
        rule="spam", numerator=9, denominator=9, threshold=0.1, e_value=math.inf, limit=20.0, since=1, samples=("a",)
    )
    event = GateChanged(
        at=1.0, pause_id="p", scope=Scope(), before=GateState.OPEN, after=GateState.PAUSED, reason="", until=0.0,
        by="guard", evidence=evidence, limit=0,
    )  # fmt: skip
    row = event_row(event)
    assert row["pause_id"] == "p"
    assert logged(1, "GateChanged", str(row["body"])).event == event


def test_text_that_is_no_unicode_does_not_keep_an_event_out() -> None:
    event = IntakeRefused(at=1.0, recipient="a\udce9b", stream="", campaign="", door=Door.SMTP, reason="")
    again = logged(1, "IntakeRefused", str(event_row(event)["body"]))
    assert again.event == replace(event, recipient="a?b")


def test_an_event_of_a_newer_version_is_named() -> None:
    with pytest.raises(ValueError, match="'Teleported'"):
        logged(3, "Teleported", "{}")
