"""Feedback over time: what suppresses by count and span, what a success lifts, and when a provider is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Suppression as Policy
from core.classify import BounceClass
from core.events import OutageChanged, SuppressionAdded, SuppressionRemoved
from core.feedback import SoftRecord, Tally
from core.lane import DAY, day_of
from core.reply import parse_reply
from core.tokens import new_message_id
from monitor.feedback import soft
from monitor.feedback.clusters import shape
from monitor.feedback.outage import Place, suspicious
from tests.unit.monitor.feedback_world import START, World, world

ANN = "ann@shop.example"
FULL = "452 4.2.2 The email account that you tried to reach is over quota"
INACTIVE = "550 5.2.1 The email account that you tried to reach is disabled"
NO_DOMAIN = "550 5.1.2 Domain not found"


async def fail(here: World, said: str, days: list[float]) -> None:
    for before, day in zip([0.0, *days], days, strict=False):
        here.clock.advance((day - before) * DAY)
        await here.log(here.refused(ANN, said))


# --- count and span ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "days", "suppressed"),
    [
        (FULL, [0, 5, 10], False),
        (FULL, [0, 1, 2, 3, 4, 5, 6], False),
        (FULL, [0, 5, 10, 14], True),
        (FULL, [0, 0.01, 0.02, 14], False),
        (INACTIVE, [0, 7], False),
        (INACTIVE, [0, 3, 7], True),
        (FULL, [0, 5, 10, 300], False),
        ("421 4.7.28 unusual rate", [0, 5, 10, 15, 20], False),
        ("550 5.7.1 blocked using spamhaus", [0, 5, 10, 15, 20], False),
    ],
)  # fmt: skip
async def test_failures_suppress_by_days_and_span_alone(said: str, days: list[float], suppressed: bool) -> None:
    async with world() as here:
        await fail(here, said, days)
        assert await here.suppressed() == ([ANN] if suppressed else [])
        if suppressed:
            (added,) = await here.events(SuppressionAdded)
            assert isinstance(added, SuppressionAdded)
            assert f"on {len(days)} days within" in added.evidence
            assert parse_reply(said).text[:20] in added.evidence


async def test_a_success_lifts_what_was_counted() -> None:
    async with world() as here:
        await fail(here, FULL, [0, 5, 10])
        await here.log(here.delivered("Ann@Shop.example"))
        here.clock.advance(4 * DAY)
        await here.log(here.refused(ANN, FULL))
        assert await here.suppressed() == []
        (record,) = await here.stores.feedback.records([ANN])
        assert record.hits == 1


async def test_a_host_that_takes_all_and_bounces_later_is_counted_as_one_that_refuses() -> None:
    async with world() as here:
        for _ in range(4):
            message_id = new_message_id(here.clock.now())
            await here.log(here.delivered(ANN, message_id=message_id))
            here.clock.advance(60)
            await here.log(here.returned(ANN, "552 5.2.2 Mailbox full", message_id))
            here.clock.advance(5 * DAY)
        assert await here.suppressed() == [ANN]


async def test_replies_and_bounce_mails_count_alike_and_a_replay_changes_nothing() -> None:
    async with world() as here:
        await fail(here, INACTIVE, [0, 3])
        message_id = new_message_id(here.clock.now())
        here.clock.advance(4 * DAY)
        await here.log(here.returned(ANN, "550 5.2.1 Mailbox disabled", message_id))
        assert await here.suppressed() == [ANN]
        await here.again().tick()
        assert await here.again().tick() == 0
        assert len(await here.events(SuppressionAdded)) == 1


record_steps = st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["fail", "later", "ok"])), max_size=40)


@given(record_steps)
def test_hits_never_exceed_the_days_that_passed(steps: list[tuple[float, str]]) -> None:
    at, record = START, None
    for wait, step in steps:
        at += wait * DAY
        if step == "ok":
            record = soft.delivered(record, "m", at) if record else None
            continue
        failure = soft.Failure(
            at=at, address=ANN, kind=BounceClass.MAILBOX_FULL, message_id="m", text="x", later=step == "later"
        )
        record = soft.failed(record, failure, forget_after=30 * DAY)
        assert isinstance(record, SoftRecord)
        assert 1 <= record.hits <= day_of(at) - day_of(record.first_at) + 1


# --- unknown domains ----------------------------------------------------------------------------------
async def test_a_domain_is_asked_about_over_days_before_its_addresses_are_given_up() -> None:
    async with world() as here:
        here.names.missing.add("shop.example")
        await here.log(here.refused(ANN, NO_DOMAIN))
        for _ in range(2):
            here.clock.advance(DAY)
            await here.follower.tick()
            assert await here.suppressed() == []
        here.clock.advance(1.1 * DAY)
        await here.follower.tick()
        assert await here.suppressed() == [ANN]
        assert len(here.names.asked) == 4


async def test_a_domain_that_our_own_dns_knows_is_believed_to_live() -> None:
    async with world() as here:
        await here.log(here.refused(ANN, NO_DOMAIN))
        assert await here.stores.feedback.records([ANN]) == []
        here.names.failing.add("shop.example")
        for _ in range(5):
            await here.log(here.refused(ANN, NO_DOMAIN))
            here.clock.advance(DAY)
        assert await here.suppressed() == [], "no answer is no proof"


# --- outages ----------------------------------------------------------------------------------------
async def history(here: World, provider: str = "gmail", *, delivered: int = 150, unknown: int = 5) -> None:
    events = [here.delivered(f"old{n}@shop.example", provider=provider) for n in range(delivered)]
    events += [here.refused(f"gone{n}@shop.example", provider=provider) for n in range(unknown)]  # type: ignore[misc]
    await here.log(*events)
    here.clock.advance(DAY)


async def test_when_everybody_is_unknown_at_once_nobody_is_suppressed() -> None:
    async with world() as here:
        await history(here)
        early = await here.suppressed()
        await here.log(*[here.refused(f"u{n}@shop.example") for n in range(60)])
        assert await here.suppressed() == early, "what was true before stays true"
        began = [e for e in await here.events(OutageChanged) if isinstance(e, OutageChanged)]
        assert [(e.place, e.began) for e in began] == [("provider:gmail", True), ("site:mx.x", True)]
        assert began[0].lifted > 0
        assert "User unknown" in began[0].samples[0]
        await here.log(here.refused("late@shop.example"))
        assert await here.suppressed() == early, "also while the guard is up"
        assert all(e.by == "outage guard" for e in await here.events(SuppressionRemoved) if hasattr(e, "by"))


async def test_the_guard_survives_a_restart_and_goes_down_when_recipients_are_known_again() -> None:
    async with world() as here:
        await history(here)
        await here.log(*[here.refused(f"u{n}@shop.example") for n in range(30)])
        here.follower = here.again()
        here.clock.advance(7200)
        await here.log(here.refused("during@shop.example"))
        assert "during@shop.example" not in await here.suppressed()
        await here.log(*[here.delivered(f"u{n}@shop.example") for n in range(12)])
        assert here.follower.outages == {}
        await here.log(here.refused("after@shop.example"))
        assert "after@shop.example" in await here.suppressed()


async def test_the_guard_goes_down_by_itself_after_a_day() -> None:
    async with world() as here:
        await history(here)
        await here.log(*[here.refused(f"u{n}@shop.example") for n in range(30)])
        here.clock.advance(25 * 3600)
        await here.follower.tick()
        assert here.follower.outages == {}
        last = (await here.events(OutageChanged))[-1]
        assert isinstance(last, OutageChanged)
        assert "24 hours" in last.reason


async def test_bounce_mails_of_a_host_that_takes_everything_count_as_well() -> None:
    async with world() as here:
        await history(here)
        before = await here.suppressed()
        ids = [new_message_id(here.clock.now()) for _ in range(40)]
        await here.log(*[here.delivered(f"u{n}@shop.example", message_id=i) for n, i in enumerate(ids)])
        await here.log(*[here.returned(f"u{n}@shop.example", "550 5.1.1 unknown", i) for n, i in enumerate(ids)])
        assert await here.suppressed() == before
        assert "provider:gmail" in here.follower.outages


@pytest.mark.parametrize(
    ("delivered", "unknown", "now_delivered"),
    [(0, 0, 0), (50, 0, 0), (100, 60, 0), (150, 5, 20)],
    ids=["no past", "little past", "a past as bad", "others are known"],
)
async def test_a_bad_list_is_no_outage(delivered: int, unknown: int, now_delivered: int) -> None:
    async with world() as here:
        await history(here, delivered=delivered, unknown=unknown)
        events = [here.delivered(f"ok{n}@shop.example") for n in range(now_delivered)]
        await here.log(*events, *[here.refused(f"u{n}@shop.example") for n in range(60)])
        assert await here.events(OutageChanged) == []
        assert len(await here.suppressed()) == unknown + 60


async def test_the_guard_can_be_switched_off() -> None:
    async with world(Policy(outage_guard=False)) as here:
        await history(here)
        await here.log(*[here.refused(f"u{n}@shop.example") for n in range(60)])
        assert await here.events(OutageChanged) == []


# --- what nobody knows ------------------------------------------------------------------------------
async def test_unknown_texts_are_clustered_by_what_they_say() -> None:
    async with world() as here:
        for n in range(7):
            said = f"550 Frobnication of <user{n}@shop.example> failed at 192.0.2.{n} (id a{n}b{n}c9d{n})"
            await here.log(here.refused(f"user{n}@shop.example", said, provider=f"other:mx{n}.example"))
        (one,) = await here.stores.feedback.clusters(0)
        assert (one.provider, one.count) == ("other", 7)
        assert one.shape == "550 frobnication of <<address>> failed at <ip> (id <id>)"
        assert "user6@shop.example" in one.sample
        assert sum((await here.stores.feedback.days(Tally.UNMATCHED, 0)).values()) == 7
        await here.log(here.refused(ANN, "550 5.7.1 Frobnication of the frame failed"))
        assert len(await here.stores.feedback.clusters(0)) == 2, "a status that says little explains nothing"
        await here.log(here.refused(ANN, FULL))
        assert len(await here.stores.feedback.clusters(0)) == 2, "known texts are not kept"


@given(st.text(max_size=400))
def test_a_shape_is_bounded_and_free_of_addresses(text: str) -> None:
    said = shape(parse_reply(f"550 {text} bob.smith@mail.example"))
    assert len(said) <= 200
    assert "bob.smith@" not in said


def test_a_place_under_guard_is_not_thought_to_go_out_once_more() -> None:
    place, policy = Place(name="provider:gmail"), Policy()
    for n in range(policy.outage_refusals):
        place.refused(START, f"a{n}@x.test", "550 unknown")
    assert suspicious(place, policy)
    place.up_since = START
    assert not suspicious(place, policy), "a second beginning would move the guard's end"
