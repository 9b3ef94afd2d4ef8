"""From a source's rests and returns to its alert."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.conditions import Observed, find_alerts
from alerts.sources import FORGOTTEN_AFTER, sources_out
from alerts.words import Language
from core.events import Event, Logged, SourceRested, SourceReturned, SourceTrouble

NOW = 1_800_000_000.0
OUT = SourceRested(at=NOW, source="mta1", trouble=SourceTrouble.REFUSED, until=NOW + 60, detail="554 5.7.1 blocked")
AGAIN = replace(OUT, at=NOW + 61, until=NOW + 181)
LATER = replace(OUT, at=NOW + 300, until=NOW + 360)
BACK = SourceReturned(at=NOW + 200, source="mta1")


def logged(*events: Event) -> list[Logged]:
    return [Logged(seq=n, event=event) for n, event in enumerate(events, 1)]


@pytest.mark.parametrize(
    ("events", "now", "out"),
    [
        ((), NOW, ()),
        ((OUT,), NOW, (OUT,)),
        ((OUT, AGAIN), NOW + 181, (OUT,)),
        ((OUT, AGAIN, BACK), NOW + 200, ()),
        ((OUT, BACK, LATER), NOW + 300, (LATER,)),
        ((OUT,), NOW + 60 + FORGOTTEN_AFTER, ()),
        ((OUT, replace(OUT, source="mta2")), NOW, (OUT, replace(OUT, source="mta2"))),
    ],
)  # fmt: skip
def test_a_source_is_out_from_its_first_rest_until_it_is_answered_or_forgotten(
    events: tuple[Event, ...], now: float, out: tuple[SourceRested, ...]
) -> None:
    assert sources_out(logged(*events), now) == out


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("trouble", list(SourceTrouble))
def test_the_alert_names_the_source_the_reason_and_the_remedy(language: Language, trouble: SourceTrouble) -> None:
    seen = Observed(sources_out=(replace(OUT, trouble=trouble),))
    (alert,) = find_alerts(seen, rules=[], now=NOW, language=language)
    assert (alert.labels["alertname"], alert.labels["scope"], alert.starts_at) == ("SourceOut", "source=mta1", NOW)
    assert "mta1" in alert.annotations["summary"]
    assert alert.annotations["remedy"]
    assert alert.annotations["samples"] == "554 5.7.1 blocked"
