"""Provider models for simulation: what ships is sound, incidents fall on their days, addresses tell who they are."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.problems import ConfigError
from core.errors import InvalidInput
from core.lane import DAY
from sandbox.model import MailFacts, Situation
from sandbox.simulated import (
    Incident,
    Shares,
    SimulatedProvider,
    SimulationModel,
    address_of,
    day_of_address,
    expected,
    load_models,
    parse_model,
    person,
    shipped_models,
)

START = 20_000 * DAY
SMALL = 'name = "m"\nprovider = "m"\nlike = "yahoo"\n'


def model(text: str = "") -> SimulationModel:
    return parse_model(SMALL + text, "m.toml")


def judged(given: SimulationModel, day: int, mails: int = 40) -> list[tuple[Situation, bool]]:
    engine, rng = SimulatedProvider(given, given.built(), START), Random(1)
    reader = person("engaged.d1.0@m.example")
    facts = [
        MailFacts(ip="a", sender_domain="x.example", recipient=f"engaged.d1.{i}@m.example", person=reader)
        for i in range(mails)
    ]  # fmt: skip
    verdicts = [engine.judge(fact, START + (day - 1) * DAY + 60, rng) for fact in facts]
    return [(verdict.situation, verdict.junk) for verdict in verdicts]


def test_a_dozen_models_ship_and_each_builds_a_behaviour() -> None:
    shipped = shipped_models()
    assert len(shipped) >= 12
    for name, one in shipped.items():
        assert one.name == name
        assert one.about
        assert one.built().domains == [f"{one.provider}.example"]


def test_healthy_audiences_lie_below_the_thresholds_and_the_bought_list_far_above() -> None:
    shipped = shipped_models()
    healthy, bought = shipped["yahoo-like"], shipped["bought-list"]
    odds = expected(healthy, healthy.built(), 1)
    assert odds.complaint < 0.0006
    assert odds.dead < 0.01
    assert expected(bought, bought.built(), 11) == odds
    on_the_day = expected(bought, bought.built(), 12)
    assert on_the_day.dead == 0.1
    assert on_the_day.complaint > 0.005


@pytest.mark.parametrize(
    ("kind", "share", "seen"),
    [("blocklisted", 1.0, Situation.BLOCKED), ("deferring", 1.0, Situation.RATE_LIMITED)],
)
def test_an_incident_refuses_on_its_days_only(kind: str, share: float, seen: Situation) -> None:
    given = model(f'[[incidents]]\nday = 3\ndays = 2\nkind = "{kind}"\nshare = {share}\n')
    assert {s for s, _ in judged(given, 2)} == {Situation.ACCEPTED}
    assert {s for s, _ in judged(given, 3)} == {seen}
    assert {s for s, _ in judged(given, 4)} == {seen}
    assert {s for s, _ in judged(given, 5)} == {Situation.ACCEPTED}


def test_the_spam_folder_is_silent() -> None:
    given = model('[[incidents]]\nday = 1\nkind = "junk"\nshare = 1.0\n')
    assert set(judged(given, 1)) == {(Situation.ACCEPTED, True)}
    assert set(judged(given, 2)) == {(Situation.ACCEPTED, False)}


def test_an_incident_comes_again() -> None:
    incident = Incident(day=4, days=2, every=5, kind="deferring")
    assert [day for day in range(1, 16) if incident.active(day)] == [4, 5, 9, 10, 14, 15]


@given(st.integers(1, 900), st.integers(0, 10**6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_an_address_tells_its_day_and_its_person(day: int, serial: int, dead: float, annoyed: float) -> None:
    given_model = model().model_copy(update={"audience": Shares(dead=dead, annoyed=annoyed)})
    address = address_of(given_model, day, serial, Random(serial))
    assert day_of_address(address) == day
    who = person(address)
    assert who.exists is not address.startswith("dead")
    assert who.annoyed is address.startswith("annoyed")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1\n", "colour"),
        ("[behaviour.volume]\nfloor = 0\n", "behaviour.volume.floor"),
        ('[[incidents]]\nday = 1\nkind = "audience"\n', "audience"),
        ("[audience]\ndead = 2\n", "dead"),
    ],
)
def test_a_wrong_model_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        model(text)


def test_every_mistake_of_a_model_is_told_with_its_file_line_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "m"\nprovider = "m"\nlike = "yaho"\nwieght = 2\n\n[[incidents]]\nday = 0\nkind = "blacklisted"\n'
    )
    with pytest.raises(ConfigError) as raised:
        load_models([str(file)])
    told = str(raised.value).splitlines()
    assert len(told) == 4
    assert told[0].startswith(f"{file}:3: like: ")
    assert told[0].endswith("Did you mean 'yahoo'?")
    assert any(line.startswith(f"{file}:4: wieght: ") and "'weight'" in line for line in told)
    assert any(line.startswith(f"{file}:7: incidents[0].day: ") for line in told)
    assert any(line.startswith(f"{file}:8: incidents[0].kind: ") and "'blocklisted'?" in line for line in told)


def test_every_mistake_of_a_behaviour_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALL + '[behaviour.volume]\nfloor = "many"\ntolerence = 2\n[behaviour.complaints]\nengaged = 2\n')
    with pytest.raises(ConfigError) as raised:
        load_models([str(file)])
    told = str(raised.value).splitlines()
    assert [line.split(": ")[:2] for line in told] == [
        [f"{file}:5", "behaviour.volume.floor"],
        [f"{file}:6", "behaviour.volume.tolerence"],
        [f"{file}:8", "behaviour.complaints.engaged"],
    ]
    assert told[1].endswith("Did you mean 'tolerance'?")


def test_a_file_that_is_no_model_or_none_at_all_is_refused_with_the_remedy(tmp_path: Path) -> None:
    large, binary = tmp_path / "large.toml", tmp_path / "binary.toml"
    large.write_bytes(b"#" * 1_000_001)
    binary.write_bytes(b"\xff\xfe")
    for name, told in ((large, "larger than 1 MB"), (binary, "not UTF-8"), ("gmial-like", "Did you mean 'gmail-like'")):
        with pytest.raises(InvalidInput, match=told):
            load_models([str(name)])


def test_models_of_one_provider_run_apart(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="gmail"):
        load_models(["gmail-like", "gmail-strict"])
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_models([str(tmp_path / "none.toml")])
