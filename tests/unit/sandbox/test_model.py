"""The providers' engine: same seed, same verdicts; reputation moves as the field knows it."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.lane import DAY, HOUR
from core.reply import Stage
from sandbox.behaviour import Behaviour, parse_behaviour, shipped_behaviours
from sandbox.model import Complaint, LateBounce, MailFacts, Nothing, ProviderModel, Situation, Verdict
from sandbox.people import Engagement, Person

START = 1_700_000_000.0 // DAY * DAY
GOOD = Person(engagement=Engagement.ENGAGED)
GONE = Person(exists=False)
ANNOYED = Person(engagement=Engagement.SLEEPING, annoyed=True)


def facts(person: Person, n: int = 0, size: int = 5000) -> MailFacts:
    return MailFacts(
        ip="127.7.1.1", sender_domain="rp.meadow.example", recipient=f"u{n}@x.example", person=person, size=size
    )


def model(name: str, **changes: object) -> ProviderModel:
    return ProviderModel(shipped_behaviours()[name].model_copy(update=changes))


def days_of(
    subject: ProviderModel, days: int, volume: int, person: Person, rng: Random, start: float = START
) -> list[Verdict]:
    out = []
    for day in range(days):
        for n in range(volume):
            at = start + day * DAY + n * (DAY / volume)
            out.append(subject.judge(facts(person, n), at, rng))
    return out


@pytest.mark.parametrize("behaviour", shipped_behaviours().values(), ids=lambda b: b.name)
def test_every_situation_of_a_shipped_provider_has_a_well_formed_reply(behaviour: Behaviour) -> None:
    subject = ProviderModel(behaviour)
    for situation in Situation:
        verdict = subject.answer(situation, ip="127.7.1.1", recipient="ann@gmail.example")
        assert verdict.reply.code == int(verdict.lines[0][:3])
        assert not any("{" in line for line in verdict.lines), "every placeholder was filled"
        if situation in (Situation.GREETING, Situation.ACCEPTED):
            assert verdict.reply.is_success
        elif situation in (Situation.UNKNOWN_USER, Situation.BLOCKED, Situation.TOO_LARGE):
            assert verdict.reply.is_permanent
        else:
            assert verdict.reply.is_transient


def test_recipient_domains_are_reserved_names_so_that_no_mail_can_ever_reach_a_person() -> None:
    for behaviour in shipped_behaviours().values():
        assert all(domain.endswith(".example") for domain in behaviour.domains)


def test_the_same_seed_gives_the_same_verdicts() -> None:
    people = [GOOD, GONE, ANNOYED, Person(), Person(full=True)]

    def run() -> list[Verdict]:
        subject, rng = model("outlook"), Random(7)
        return [subject.judge(facts(people[n % 5], n), START + n * 60, rng) for n in range(2000)]

    assert run() == run()


def test_gmail_names_the_unknown_user_at_rcpt_in_its_own_words() -> None:
    verdict = model("gmail").judge(facts(GONE), START, Random(1))
    assert verdict.situation is Situation.UNKNOWN_USER
    assert (verdict.reply.code, verdict.reply.status, verdict.reply.stage) == (550, "5.1.1", Stage.RCPT)
    assert "does not exist" in verdict.reply.text


def test_yahoo_finds_out_only_after_data() -> None:
    assert model("yahoo").judge(facts(GONE), START, Random(1)).stage is Stage.FINAL


def test_some_unknown_users_are_taken_and_bounce_late() -> None:
    subject, rng = model("outlook"), Random(1)
    verdicts = [subject.judge(facts(GONE, n), START + n, rng) for n in range(60)]
    late = [v for v in verdicts if isinstance(v.later, LateBounce)]
    assert late
    assert all(v.accepted for v in late)


def test_wanted_mail_raises_the_reputation_and_complaints_lower_it() -> None:
    subject, rng = model("outlook"), Random(3)
    days_of(subject, 4, 200, GOOD, rng)
    raised = subject.reputation("127.7.1.1", "rp.meadow.example", START + 4 * DAY)
    assert raised > 0.7
    verdicts = [subject.judge(facts(ANNOYED, n), START + 4 * DAY + n, rng) for n in range(20)]
    assert sum(isinstance(v.later, Complaint) for v in verdicts) >= 15
    lowered = subject.reputation("127.7.1.1", "rp.meadow.example", START + 7 * DAY)
    assert lowered < raised - 0.2


def test_a_list_of_dead_addresses_ends_in_the_spam_folder_and_then_at_a_closed_door() -> None:
    subject, rng = model("gmail"), Random(3)
    days_of(subject, 2, 200, GOOD, rng)
    verdicts = days_of(subject, 1, 400, GONE, rng, START + 2 * DAY)
    assert verdicts[-1].situation in (Situation.LOW_REPUTATION, Situation.BLOCKED)
    assert subject.junk_share(subject.reputation("127.7.1.1", "rp.meadow.example", START + 3 * DAY)) > 0.5


def test_a_burst_far_above_the_usual_volume_is_rate_limited() -> None:
    verdicts = days_of(model("gmail"), 1, 3000, GOOD, Random(3))
    limited = [v for v in verdicts if v.situation is Situation.RATE_LIMITED]
    assert len(limited) > 1000
    assert limited[0].reply.status == "4.7.28"
    assert limited[0].closes


def test_a_ramp_of_half_more_each_day_is_never_rate_limited() -> None:
    subject, rng, volume = model("gmail"), Random(3), 50.0
    for day in range(12):
        verdicts = days_of(subject, 1, int(volume), GOOD, rng, START + day * DAY)
        assert all(v.situation is not Situation.RATE_LIMITED for v in verdicts)
        volume *= 1.5


def test_greylisting_puts_off_the_first_attempt_only() -> None:
    subject, rng = model("postfix"), Random(3)
    first = [subject.judge(facts(GOOD, n), START, rng) for n in range(100)]
    put_off = [n for n, v in enumerate(first) if v.situation is Situation.GREYLISTED]
    assert 20 < len(put_off) < 80
    again = [subject.judge(facts(GOOD, n), START + 600, rng) for n in put_off]
    assert all(v.accepted for v in again)


def test_the_complaint_comes_hours_later_within_its_bound() -> None:
    subject, rng = model("mailru"), Random(3)
    afters = [v.later.after for v in days_of(subject, 1, 200, ANNOYED, rng) if isinstance(v.later, Complaint)]
    assert afters
    assert all(0 < a <= 48 * HOUR for a in afters)
    assert 2 * HOUR < sorted(afters)[len(afters) // 2] < 10 * HOUR


def test_mail_in_the_spam_folder_draws_no_complaint() -> None:
    verdicts = days_of(model("outlook"), 3, 300, ANNOYED, Random(5))
    assert any(v.junk for v in verdicts)
    assert all(isinstance(v.later, Nothing) for v in verdicts if v.junk)


def test_too_large_a_message_is_refused() -> None:
    assert model("gmail").judge(facts(GOOD, size=99_000_000), START, Random(1)).situation is Situation.TOO_LARGE


def test_the_standing_survives_a_restart() -> None:
    before = model("outlook")
    days_of(before, 2, 100, GOOD, Random(1))
    after = model("outlook")
    after.load(before.dump())
    at = START + 2 * DAY
    assert after.reputation("127.7.1.1", "rp.meadow.example", at) == before.reputation(
        "127.7.1.1", "rp.meadow.example", at
    )


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from([GOOD, GONE, ANNOYED]), st.floats(0, 3 * DAY)), max_size=120),
    seed=st.integers(0, 99),
)
def test_the_reputation_stays_between_0_and_1(steps: list[tuple[Person, float]], seed: int) -> None:
    subject, rng, now = model("gmail"), Random(seed), START
    for n, (person, wait) in enumerate(steps):
        now += wait
        subject.judge(facts(person, n), now, rng)
        assert 0 <= subject.reputation("127.7.1.1", "rp.meadow.example", now) <= 1


def test_an_unknown_key_and_a_line_without_its_code_are_refused() -> None:
    text = (files("sandbox") / "data" / "providers" / "gmail.toml").read_text("utf-8")
    with pytest.raises(ValidationError, match="surprise"):
        parse_behaviour("surprise = 1\n" + text)
    with pytest.raises(ValidationError, match="as on the wire"):
        parse_behaviour(text.replace('"220 mx.google.com', '"mx.google.com'))
    assert tomllib.loads(text)["name"] == "gmail"
