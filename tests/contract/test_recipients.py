"""What recipients did and chose, on both databases: Engagements, Consents, Frequencies, and scopes of suppressions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from core.events import Clicked, Opened
from core.lane import Attribution, Stream, Traffic, cohort_of
from core.recipient import EVERY_OPTIONAL, Actor, OptIn, Origin, topic_scope
from core.tokens import MessageId
from storage.stores import Stores
from tests.contract.samples import LANE, NOW, kinds_of, submission, suppression, take_in, wish

UNDER = Attribution(traffic=Traffic(lane=LANE, stream=Stream("bulk")), cohort=cohort_of(NOW))
OPENED = Opened(
    at=NOW, message_id=MessageId("m1"), recipient="ann@x.test", attribution=UNDER, actor=Actor.HUMAN, reason="reader"
)
CLICKED = Clicked(
    at=NOW, message_id=MessageId("m1"), recipient="ann@x.test", attribution=UNDER, actor=Actor.HUMAN, reason="reader",
    target="https://a.test/", first=False,
)  # fmt: skip
ASKED = OptIn(
    optin_id="o1", address="ann@x.test", recipient="Ann@x.test", scopes=("bulk", "bulk/offers"), wording="I agree",
    language="en", requested_at=NOW, requested=Origin(ip="192.0.2.1", agent="Firefox", page="https://a.test/form"),
)  # fmt: skip


# --- opens and clicks ------------------------------------------------------------------------------------------------
async def test_an_open_leaves_one_event_for_each_kind_of_actor(stores: Stores) -> None:
    machine = replace(OPENED, actor=Actor.MACHINE, reason="at-once")
    assert await stores.engagements.record([OPENED, replace(OPENED, at=NOW + 1), machine]) == 2
    assert await stores.engagements.record([replace(OPENED, at=NOW + 2), machine]) == 0
    assert await stores.engagements.record([]) == 0
    assert {x.event for x in await stores.log.of_message(MessageId("m1"))} == {OPENED, machine}


async def test_the_first_click_of_a_message_is_told_apart_from_clicks_on_its_other_links(stores: Stores) -> None:
    second = replace(CLICKED, target="https://b.test/")
    assert await stores.engagements.record([CLICKED, CLICKED]) == 1
    assert await stores.engagements.record([CLICKED, second, replace(second, actor=Actor.MACHINE)]) == 2
    events = [x.event for x in await stores.log.of_message(MessageId("m1"))]
    firsts = [(e.target, e.actor, e.first) for e in events if isinstance(e, Clicked)]
    assert sorted(firsts) == [
        ("https://a.test/", Actor.HUMAN, True),
        ("https://b.test/", Actor.HUMAN, False),
        ("https://b.test/", Actor.MACHINE, True),
    ]


async def test_two_links_in_one_batch_have_one_first(stores: Stores) -> None:
    await stores.engagements.record([CLICKED, replace(CLICKED, target="https://b.test/")])
    events = [x.event for x in await stores.log.of_message(MessageId("m1"))]
    assert sorted(e.first for e in events if isinstance(e, Clicked)) == [False, True]


async def test_two_nodes_that_see_the_same_open_write_it_once(stores: Stores, other: Stores) -> None:
    many = [replace(OPENED, message_id=MessageId(f"m{n}")) for n in range(50)]
    done = await asyncio.gather(
        stores.engagements.record(many), other.engagements.record(many[::-1]), stores.engagements.record(many)
    )
    assert sum(done) == 50
    assert len(await stores.log.recent(["Opened"], 500)) == 50


async def test_old_marks_are_forgotten_and_their_events_stay(stores: Stores) -> None:
    await stores.engagements.record([OPENED, replace(OPENED, message_id=MessageId("m2"), at=NOW + 10)])
    assert await stores.engagements.forget(NOW + 5) == 1
    assert await stores.engagements.record([replace(OPENED, message_id=MessageId("m2"))]) == 0
    assert len(await stores.log.recent(["Opened"], 10)) == 2


# --- consents --------------------------------------------------------------------------------------------------------
async def test_a_consent_holds_what_proof_needs_and_the_first_confirmation_stays(stores: Stores) -> None:
    consents = stores.consents
    assert await consents.request(ASKED, since=NOW - 86400, most=3)
    await consents.sent("o1", "m9")
    assert await consents.find("o1") == replace(ASKED, message_id="m9")
    assert await consents.confirm("o1", NOW + 60, Origin(ip="192.0.2.2", agent="Safari"))
    assert not await consents.confirm("o1", NOW + 90, Origin(ip="192.0.2.3", agent="Other"))
    stored = await consents.find("o1")
    assert stored == replace(
        ASKED, message_id="m9", confirmed_at=NOW + 60, confirmed=Origin(ip="192.0.2.2", agent="Safari")
    )
    assert [type(x.event).__name__ for x in await stores.log.read(0)] == ["OptInRequested", "OptInConfirmed"]
    assert await consents.find("o2") is None
    assert not await consents.confirm("o2", NOW, Origin())


async def test_requests_of_one_address_are_bounded_and_those_of_others_are_not(stores: Stores) -> None:
    for n in range(3):
        assert await stores.consents.request(replace(ASKED, optin_id=f"o{n}"), since=NOW - 86400, most=3)
    assert not await stores.consents.request(replace(ASKED, optin_id="o3"), since=NOW - 86400, most=3)
    assert await stores.consents.request(replace(ASKED, optin_id="o4", address="bob@x.test"), since=NOW, most=3)
    late = replace(ASKED, optin_id="o5", requested_at=NOW + 90_000)
    assert await stores.consents.request(late, since=NOW + 3600, most=3)
    assert [o.optin_id for o in await stores.consents.of_address("ann@x.test")] == ["o5", "o2", "o1", "o0"]


# --- frequencies -----------------------------------------------------------------------------------------------------
async def test_a_chosen_frequency_lets_one_message_through_in_its_span(stores: Stores) -> None:
    choices = stores.choices
    await choices.choose("ann@x.test", {"bulk": 7, "triggered": 30})
    assert await choices.choices("ann@x.test") == {"bulk": 7, "triggered": 30}
    both = ["ann@x.test", "bob@x.test"]
    assert await choices.take(both, "bulk", NOW) == {}
    assert await choices.take(both, "bulk", NOW + 6 * 86400) == {"ann@x.test": 7}
    assert await choices.take(both, "triggered", NOW) == {}
    assert await choices.take(both, "bulk", NOW + 7 * 86400) == {}


async def test_what_was_not_accepted_is_given_back_once(stores: Stores) -> None:
    choices = stores.choices
    await choices.choose("ann@x.test", {"bulk": 7})
    await choices.take(["ann@x.test"], "bulk", NOW)
    await choices.take(["ann@x.test"], "bulk", NOW + 8 * 86400)
    for _ in range(2):
        await choices.give_back(["ann@x.test", "bob@x.test"], "bulk", NOW + 8 * 86400)
    assert await choices.take(["ann@x.test"], "bulk", NOW + 6 * 86400) == {"ann@x.test": 7}
    assert await choices.take(["ann@x.test"], "bulk", NOW + 8 * 86400) == {}


async def test_choosing_every_mail_again_lifts_the_bound_and_a_new_span_keeps_the_count(stores: Stores) -> None:
    choices = stores.choices
    await choices.choose("ann@x.test", {"bulk": 7})
    await choices.take(["ann@x.test"], "bulk", NOW)
    await choices.choose("ann@x.test", {"bulk": 30})
    assert await choices.take(["ann@x.test"], "bulk", NOW + 8 * 86400) == {"ann@x.test": 30}
    await choices.choose("ann@x.test", {"bulk": 0})
    assert await choices.choices("ann@x.test") == {}
    assert await choices.take(["ann@x.test"], "bulk", NOW + 8 * 86400) == {}


async def test_two_nodes_let_one_message_through(stores: Stores, other: Stores) -> None:
    await stores.choices.choose("ann@x.test", {"bulk": 7})
    done = await asyncio.gather(
        *(node.choices.take(["ann@x.test"], "bulk", NOW) for node in (stores, other, stores, other))
    )
    assert sorted(map(len, done)) == [0, 1, 1, 1]


# --- scopes ----------------------------------------------------------------------------------------------------------
async def test_a_topics_suppression_covers_that_topic_alone(stores: Stores) -> None:
    await stores.suppressions.add([suppression("ann@x.test", stream=topic_scope("bulk", "offers"))])
    check = stores.suppressions.check
    assert await check(["ann@x.test"], "bulk") == {}
    assert set(await check(["ann@x.test"], "bulk", also=["bulk/offers"])) == {"ann@x.test"}
    assert await check(["ann@x.test"], "bulk", also=["bulk/news"]) == {}
    await stores.suppressions.add([suppression("ann@x.test", stream=EVERY_OPTIONAL)])
    assert [e.stream for e in await stores.suppressions.of_address("ann@x.test")] == ["*", "bulk/offers"]
    assert await stores.suppressions.of_address("bob@x.test") == []


async def test_queued_mail_of_a_topic_that_was_left_is_dropped_in_the_claim(stores: Stores) -> None:
    left, kept, plain = (replace(submission("ann@gmail.test"), topic=topic) for topic in ("offers", "news", ""))
    await take_in(stores, [left, kept, plain])
    await stores.suppressions.add([suppression("ann@gmail.test", stream="bulk/offers")])
    leased = await stores.queue.claim(wish(kept))
    assert {lease.submission.topic for lease in leased} == {"news", ""}
    assert await kinds_of(stores, left.message_id) == ["Accepted", "Dropped"]


async def test_a_topic_that_is_left_after_the_claim_is_not_sent_any_more(stores: Stores) -> None:
    mail = replace(submission("ann@gmail.test"), topic="offers")
    await take_in(stores, [mail])
    (lease,) = await stores.queue.claim(wish(mail))
    assert await stores.queue.still_sendable(lease, NOW)
    await stores.suppressions.add([suppression("ann@gmail.test", stream="bulk/offers")])
    assert not await stores.queue.still_sendable(lease, NOW)
