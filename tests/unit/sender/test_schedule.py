"""When a message is tried again, what rests after trouble, and what a reply stops."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Delivery, Settings
from config.reaction_tables import RetryRow
from config.reactions import load_retries
from config.replies import shipped_classifier
from core.classify import GROUP_OF, BounceClass, Diagnosis, Group
from core.reaction import Rest
from core.reply import Reply, Stage
from core.state import AttemptResult
from sender.schedule import LaneRest, RetrySchedule, is_ahead, latest_ahead
from sender.sources import Sources
from sender.trouble import Outcome, Stops, diagnose, judge
from tests.unit.sender.fakes import START


def _schedule() -> RetrySchedule:
    return RetrySchedule(Delivery(first_retry_minutes=10, retry_growth=2, max_retry_hours=6), random.Random(1))


# --- retry times -----------------------------------------------------------------------------------------------------
def test_waits_double_with_jitter_up_to_the_longest() -> None:
    schedule = _schedule()
    for attempts, minutes in ((1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 360), (5000, 360)):
        assert 0.9 * minutes * 60 <= schedule.wait(attempts, BounceClass.REMOTE_ERROR) <= 1.1 * minutes * 60


def test_a_class_and_a_provider_have_waits_of_their_own_and_the_first_row_that_fits_counts() -> None:
    rows = [
        RetryRow(name="grey", classes=[BounceClass.GREYLISTED], minutes=[1.5, 5], growth=2, max_hours=0.25),
        RetryRow(name="gmail", providers=["gmail"], classes=[BounceClass.RATE_LIMITED], minutes=[15]),
    ]
    schedule = RetrySchedule(Delivery(first_retry_minutes=10), random.Random(1), rows)
    for attempts, minutes in ((1, 1.5), (2, 5), (3, 10), (4, 15), (400, 15)):
        assert 0.9 * minutes * 60 <= schedule.wait(attempts, BounceClass.GREYLISTED, "other:x") <= 1.1 * minutes * 60
    assert schedule.wait(1, BounceClass.RATE_LIMITED, "gmail") >= 0.9 * 900
    assert schedule.wait(1, BounceClass.RATE_LIMITED, "yahoo") <= 1.1 * 600


def test_a_row_may_give_up_before_the_message_is_old() -> None:
    row = RetryRow(name="full", classes=[BounceClass.MAILBOX_FULL], minutes=[60], give_up_hours=3)
    schedule = RetrySchedule(Delivery(), random.Random(1), [row])
    end = START + 3 * 3600
    at = schedule.retry_at(
        3, BounceClass.MAILBOX_FULL, START + 2.5 * 3600, START + 9e5, provider="gmail", first_at=START
    )
    assert at is not None
    assert START + 2.5 * 3600 < at < end
    assert schedule.retry_at(4, BounceClass.MAILBOX_FULL, end, START + 9e5, provider="gmail", first_at=START) is None
    assert schedule.retry_at(4, BounceClass.NETWORK, end, START + 9e5, provider="gmail", first_at=START) is not None


def test_the_shipped_schedules_answer_greylisting_within_minutes() -> None:
    rows = load_retries(Settings.model_validate({
        "sending_domains": [{"name": "e.com", "return_path": "b.e.com"}], "sources": [{"name": "a", "ehlo": "x.e.com"}],
    }))  # fmt: skip
    schedule = RetrySchedule(Delivery(), random.Random(1), rows)
    waits = [schedule.wait(n, BounceClass.GREYLISTED, "other:mx.example") for n in (1, 2)]
    assert waits[0] <= 100, "many let go after a minute"
    assert 300 < sum(waits) < 500, "Postgrey lets go after five"
    assert schedule.wait(1, BounceClass.MAILBOX_FULL) >= 3000


@given(
    attempts=st.integers(1, 2000),
    bounce_class=st.sampled_from(BounceClass),
    left=st.floats(-10, 1e7),
)
def test_a_retry_lies_ahead_and_before_the_end_or_there_is_none(
    attempts: int, bounce_class: BounceClass, left: float
) -> None:
    found = _schedule().retry_at(attempts, bounce_class, START, START + left)
    if found is None:
        assert left <= 1.001
    else:
        assert START < found < START + left


# --- rest ------------------------------------------------------------------------------------------------------------
def test_each_further_refusal_doubles_the_rest_and_one_delivery_forgets_them() -> None:
    rest = LaneRest()
    now = START
    spans = []
    for _ in range(5):
        rest.trouble("a", "site", Group.RATE, now)
        spans.append(rest.until("a", "site") - now)
        now = rest.until("a", "site") + 1
    assert spans == [600, 1200, 2400, 3600, 3600]
    rest.success("a", "site")
    rest.trouble("a", "site", Group.RATE, now)
    assert rest.until("a", "site") - now == 600


def test_trouble_of_messages_that_were_under_way_does_not_lengthen_the_rest() -> None:
    rest = LaneRest()
    for _ in range(9):
        rest.trouble("a", "site", Group.REPUTATION, START)
    assert rest.until("a", "site") == START + 1800


def test_a_pair_comes_back_with_one_connection_and_grows_with_deliveries() -> None:
    rest = LaneRest()
    assert rest.width("a", "site", 5) == 5
    rest.trouble("a", "site", Group.RATE, START)
    widths = []
    for _ in range(6):
        widths.append(rest.width("a", "site", 5))
        rest.success("a", "site")
    assert widths == [1, 2, 2, 3, 3, 3]
    assert rest.width("b", "site", 5) == 5, "another source is another pair"


def test_one_refused_message_among_many_is_an_exception_and_a_series_is_not() -> None:
    rest = LaneRest()
    for _ in range(25):
        rest.success("a", "site")
    rest.repeated("a", "site", Group.REPUTATION, START)
    assert rest.until("a", "site") == 0
    rest.repeated("a", "site", Group.REPUTATION, START)
    assert rest.until("a", "site") == START + 1800


def test_one_recipient_that_a_host_puts_off_again_and_again_does_not_keep_the_mail_of_the_others() -> None:
    rest = LaneRest()
    for _ in range(30):
        rest.repeated("a", "site", Group.INFRASTRUCTURE, START)
        rest.success("a", "site")
        rest.repeated("a", "site", Group.INFRASTRUCTURE, START)
    assert rest.until("a", "site") == 0


def test_a_host_that_takes_nothing_at_all_is_left_alone_after_a_round() -> None:
    rest = LaneRest()
    for _ in range(200):
        rest.success("a", "site")
    untils = []
    for _ in range(10):
        rest.repeated("a", "site", Group.INFRASTRUCTURE, START)
        untils.append(rest.until("a", "site"))
    assert untils == [0.0] * 9 + [START + 60]
    assert rest.width("a", "site", 5) == 1


def test_a_rest_that_one_process_learned_holds_in_the_others_and_widths_are_divided() -> None:
    first, second = LaneRest((0, 2)), LaneRest((1, 2))
    first.trouble("a", "site", Group.RATE, START, provider="gmail", sample="421 slow down")
    ((rest, event),) = first.take_lessons()
    assert event is not None
    assert (event.provider, event.until, event.sample) == ("gmail", START + 600, "421 slow down")
    second.hear(rest)
    assert second.until("a", "site") == START + 600
    assert (first.width("a", "site", 5), second.width("a", "site", 5)) == (1, 0), "one connection, not one each"
    second.trouble("a", "site", Group.RATE, START + 1)
    assert second.take_lessons() == [], "it was under way"
    first.success("a", "site")
    ((rest, event),) = first.take_lessons()
    assert event is None
    second.hear(rest)
    assert (first.width("a", "site", 5), second.width("a", "site", 5)) == (1, 1)
    assert not second.troubled("a", "site")


@given(order=st.permutations(range(4)))
def test_what_is_heard_in_any_order_ends_in_the_same_knowledge(order: list[int]) -> None:
    told = [
        Rest(source="a", site="s", troubled=START, until=START + 600, strikes=1, width=1),
        Rest(source="a", site="s", troubled=START, until=START + 600, strikes=0, width=3),
        Rest(source="a", site="s", troubled=START + 900, until=START + 2100, strikes=2, width=1),
        Rest(source="a", site="s", troubled=START + 900, until=START + 2100, strikes=0, width=2),
    ]
    rest = LaneRest()
    for index in order:
        rest.hear(told[index])
    assert (rest.until("a", "s"), rest.width("a", "s", 9), rest.troubled("a", "s")) == (START + 2100, 2, False)


def test_the_memory_of_pairs_is_bounded() -> None:
    rest = LaneRest()
    for n in range(50_100):
        rest.success("a", f"site{n}")
    assert len(rest._pairs) == 50_000


# --- what a reply stops ----------------------------------------------------------------------------------------------
def _judge(code: int, bounce_class: BounceClass, stage: Stage = Stage.RCPT, status: str = "") -> tuple[Outcome, Stops]:
    reply = Reply(code=code, text="x", stage=stage, status=status)
    verdict = judge(reply, Diagnosis(bounce_class=bounce_class))
    return verdict.outcome, verdict.stops


@pytest.mark.parametrize(
    ("code", "bounce_class", "outcome", "stops"),
    [
        (550, BounceClass.UNKNOWN_USER, Outcome.BOUNCED, Stops.NOTHING),
        (450, BounceClass.UNKNOWN_USER, Outcome.DEFERRED, Stops.NOTHING),
        (552, BounceClass.MAILBOX_FULL, Outcome.BOUNCED, Stops.NOTHING),
        (550, BounceClass.RATE_LIMITED, Outcome.DEFERRED, Stops.SITE),
        (421, BounceClass.TOO_MANY_CONNECTIONS, Outcome.DEFERRED, Stops.CROWD),
        (450, BounceClass.GREYLISTED, Outcome.DEFERRED, Stops.NOTHING),
        (550, BounceClass.IP_BLOCKED, Outcome.BOUNCED, Stops.SITE),
        (421, BounceClass.LISTED, Outcome.DEFERRED, Stops.SITE),
        (550, BounceClass.SPAM_CONTENT, Outcome.BOUNCED, Stops.SITE_IF_REPEATED),
        (550, BounceClass.AUTH_FAILED, Outcome.BOUNCED, Stops.SITE),
        (554, BounceClass.UNDETERMINED, Outcome.BOUNCED, Stops.NOTHING),
        (503, BounceClass.FORMAT, Outcome.DEFERRED, Stops.NOTHING),
        (503, BounceClass.RELAY_DENIED, Outcome.BOUNCED, Stops.NOTHING),
        (0, BounceClass.NETWORK, Outcome.DEFERRED, Stops.SITE_IF_REPEATED),
        (451, BounceClass.REMOTE_ERROR, Outcome.DEFERRED, Stops.SITE_IF_REPEATED),
        (421, BounceClass.REMOTE_ERROR, Outcome.DEFERRED, Stops.SITE),
    ],
)
def test_the_table(code: int, bounce_class: BounceClass, outcome: Outcome, stops: Stops) -> None:
    assert _judge(code, bounce_class) == (outcome, stops)


@pytest.mark.parametrize("bounce_class", [BounceClass.RATE_LIMITED, BounceClass.REMOTE_ERROR])
def test_trouble_of_one_mailbox_does_not_stop_the_provider(bounce_class: BounceClass) -> None:
    assert _judge(450, bounce_class, status="4.2.1") == (Outcome.DEFERRED, Stops.NOTHING)


def test_what_we_find_wrong_with_a_hosts_tls_is_no_fault_of_ours() -> None:
    text = "TLS is required and the handshake failed: the certificate is not good: self-signed certificate"
    ours = Reply(code=451, status="4.7.5", text=text, stage=Stage.STARTTLS)
    assert diagnose(ours, "gmail", shipped_classifier()).group is Group.INFRASTRUCTURE
    theirs = Reply(code=530, status="5.7.0", text="Must issue a STARTTLS command first", stage=Stage.MAIL)
    assert diagnose(theirs, "gmail", shipped_classifier()).bounce_class is BounceClass.TLS_REQUIRED


@given(
    code=st.integers(0, 599),
    bounce_class=st.sampled_from(BounceClass),
    stage=st.sampled_from(Stage),
    status=st.sampled_from(["", "5.1.1", "4.2.2", "5.7.1"]),
)
def test_the_table_is_total_and_keeps_its_principles(
    code: int, bounce_class: BounceClass, stage: Stage, status: str
) -> None:
    outcome, _ = _judge(code, bounce_class, stage, status)
    assert (outcome is Outcome.DELIVERED) == (200 <= code < 300 and stage is Stage.FINAL)
    if outcome is Outcome.BOUNCED:
        assert code >= 500
        assert stage not in (Stage.CONNECT, Stage.HELO, Stage.STARTTLS)
        assert GROUP_OF[bounce_class] is not Group.RATE


# --- a clock that is set back ----------------------------------------------------------------------------------------
def test_a_rest_that_began_in_the_future_is_none_and_new_trouble_counts() -> None:
    rest, sources = LaneRest(), Sources()
    ahead = START + 1e7
    rest.trouble("a", "x", Group.RATE, ahead)
    down = AttemptResult(reply=Reply(code=0, text=""), remote="", tls="", reusable=False, source_fault=True)
    assert sources.learn("a", "gmail", down, Group.INFRASTRUCTURE, ahead)
    for until in (rest.until("a", "x"), sources.until("a")):
        assert is_ahead(until, ahead)
        assert not is_ahead(until, START)
    rest.trouble("a", "x", Group.RATE, START)
    assert is_ahead(rest.until("a", "x"), START)
    assert sources.learn("a", "gmail", down, Group.INFRASTRUCTURE, START)
    assert is_ahead(sources.until("a"), START)
    assert latest_ahead(START, ahead, START + 5) == START + 5
