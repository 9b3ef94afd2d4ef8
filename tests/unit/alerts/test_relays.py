"""From what senders know of a relay to its alert."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.conditions import Observed, find_alerts
from alerts.relays import FORGOTTEN_AFTER, RelayOut, relays_out
from alerts.words import Language, scope_words
from core.events import Logged, PairRested
from core.lane import Scope
from core.reaction import Rest

NOW = 1_800_000_000.0
REST = Rest(source="mta1", site="relay:smart", troubled=NOW, until=NOW + 120, strikes=2, width=1)
SAID = PairRested(
    at=NOW - 60, source="mta1", provider="relay:smart", site="relay:smart", until=NOW, strikes=1, reason="policy",
    sample="535 5.7.8 credentials invalid",
)  # fmt: skip
OUT = RelayOut(relay="smart", since=NOW - 60, sample="535 5.7.8 credentials invalid")


@pytest.mark.parametrize(
    ("rest", "now", "out"),
    [
        (REST, NOW, (OUT,)),
        (REST, NOW + 121, (OUT,)),
        (REST, NOW + 120 + FORGOTTEN_AFTER, ()),
        (replace(REST, strikes=0), NOW, ()),
        (replace(REST, strikes=1), NOW, ()),
        (replace(REST, strikes=1, until=NOW + 1800), NOW, (OUT,)),
        (replace(REST, site="mx.alpha.test"), NOW, ()),
    ],
    ids=["again", "between rests", "forgotten", "takes mail", "a short first rest", "a long first rest", "no relay"],
)
def test_a_relay_is_out_from_its_first_rest_until_it_takes_mail(
    rest: Rest, now: float, out: tuple[RelayOut, ...]
) -> None:
    events = [Logged(seq=n, event=event) for n, event in enumerate((SAID, replace(SAID, at=NOW, strikes=2)), 1)]
    assert relays_out([rest], events, now) == out


def test_two_sources_at_one_relay_are_one_alert() -> None:
    assert relays_out([REST, replace(REST, source="mta2", troubled=NOW - 5)], [], NOW) == (
        RelayOut(relay="smart", since=NOW - 5),
    )


def test_a_relay_that_takes_the_mail_of_another_source_again_is_not_out() -> None:
    assert relays_out([REST, replace(REST, source="mta2", strikes=0)], [], NOW) == ()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_alert_names_the_relay_what_it_said_and_the_remedy(language: Language) -> None:
    (alert,) = find_alerts(Observed(relays_out=(OUT,)), rules=[], now=NOW, language=language)
    assert (alert.labels["alertname"], alert.labels["scope"]) == ("RelayOut", "relay=smart")
    assert alert.starts_at == NOW - 60
    assert alert.annotations["samples"] == "535 5.7.8 credentials invalid"
    assert "doctor" in alert.annotations["remedy"]


@pytest.mark.parametrize(("language", "words"), [("en", "host mx.a, pool warm"), ("ru", "узел mx.a, пул warm")])
def test_a_scope_of_a_host_or_pool_is_not_called_all_mail(language: Language, words: str) -> None:
    assert scope_words(Scope(site="mx.a", pool="warm"), language) == words
