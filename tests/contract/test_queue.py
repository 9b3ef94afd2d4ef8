"""Contract of core.ports.Queue: from acceptance to the one outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import StorageConflict, Unavailable
from core.events import Bounced, Dropped, DropReason, SuppressionAdded
from core.lane import Provider, Site
from core.messages import BodyId, Node, Submission
from core.reply import Reply
from core.state import Settlement
from storage.stores import Stores
from tests.contract.samples import (
    GMAIL,
    GMAIL_SITE,
    LANE,
    NODE,
    NOW,
    accepted,
    bounced,
    deferred,
    delivered,
    group_of,
    kinds_of,
    mailed_by,
    submission,
    suppression,
    take_in,
    wish,
)

CAP = (("lane:x", 20833, 3),)


# --- accept --------------------------------------------------------------------------------------
async def test_what_was_accepted_is_there_for_another_node_at_once(stores: Stores, other: Stores) -> None:
    [sent] = await take_in(stores, [submission("Ann.Lee@gmail.test")], key="k1")
    assert await other.queue.find(sent.message_id) == sent
    assert (await other.spool.body(sent.body_id)).content == b"text"
    assert await other.idempotency.get("k1") == "answer to k1"
    assert await kinds_of(other, sent.message_id) == ["Accepted"]
    assert await other.queue.depth() == {"gmail": 1}


async def test_a_known_key_stores_nothing_of_the_second_call(stores: Stores, other: Stores) -> None:
    await take_in(stores, [submission()], key="k1")
    again = submission(body_id="other")
    with pytest.raises(StorageConflict):
        await take_in(other, [again], key="k1")
    assert await stores.queue.find(again.message_id) is None
    assert await kinds_of(stores, again.message_id) == []
    assert await stores.idempotency.get("k1") == "answer to k1"
    with pytest.raises(Unavailable):
        await stores.spool.body(BodyId("other"))


async def test_a_call_without_recipients_still_logs_and_remembers(stores: Stores) -> None:
    await stores.queue.accept([], [], [accepted(submission())], idempotency=("k", "refused"))
    assert await stores.idempotency.get("k") == "refused"
    assert await stores.log.head() > 0
    assert await stores.queue.depth() == {}


async def test_an_unknown_key_has_no_answer(stores: Stores) -> None:
    assert await stores.idempotency.get("nobody") is None


# --- routing -------------------------------------------------------------------------------------
async def test_domains_wait_for_their_route_urgent_mail_first_and_each_once(stores: Stores) -> None:
    await take_in(stores, [submission(f"a{n}@{d}.test", routed=False) for d in ("b", "a", "c") for n in range(3)])
    await take_in(stores, [submission("boss@z.test", routed=False, priority=0)])
    assert await stores.queue.unrouted() == ["z.test", "a.test", "b.test", "c.test"]
    assert await stores.queue.unrouted(2) == ["z.test", "a.test"]
    assert await stores.queue.groups(NOW) == []
    assert await stores.queue.depth() == {"": 10}


async def test_a_routed_domain_takes_all_its_rows_along(stores: Stores) -> None:
    sent = await take_in(stores, [submission(f"u{n}@a.test", routed=False, stream=s) for n in range(3) for s in "xy"])
    await take_in(stores, [submission("u@b.test", routed=False)])
    await stores.queue.route("a.test", GMAIL, GMAIL_SITE)
    assert await stores.queue.unrouted() == ["b.test"]
    groups = await stores.queue.groups(NOW)  # of one priority: the database chooses which comes first
    assert {(g.provider, g.stream, g.fresh) for g in groups} == {("gmail", "x", 3), ("gmail", "y", 3)}
    assert len(groups) == 2
    found = await stores.queue.find(sent[0].message_id)
    assert found == replace(sent[0], provider=GMAIL, site=GMAIL_SITE)
    assert await stores.queue.depth() == {"": 1, "gmail": 6}


async def test_a_stream_of_a_domain_may_be_routed_by_itself(stores: Stores) -> None:
    await take_in(stores, [submission(f"u{n}@a.test", routed=False, stream=s) for n in range(3) for s in "xy"])
    await stores.queue.fail_domain("a.test", NOW + 60)
    await stores.queue.route("a.test", GMAIL, Site("relay:esp"), stream="x")
    assert [(g.site, g.stream, g.fresh) for g in await stores.queue.groups(NOW)] == [("relay:esp", "x", 3)]
    assert await stores.queue.unrouted() == [], "the rest still waits for its time"
    await stores.queue.groups(NOW + 60)
    assert await stores.queue.unrouted() == ["a.test"]


async def test_a_failed_domain_is_asked_for_again_when_its_time_has_come(stores: Stores) -> None:
    await take_in(stores, [submission("u@a.test", routed=False), submission("u@b.test", routed=False)])
    await stores.queue.fail_domain("a.test", NOW + 60)
    await stores.queue.groups(NOW)
    assert await stores.queue.unrouted() == ["b.test"]
    await stores.queue.groups(NOW + 60)
    assert await stores.queue.unrouted() == ["a.test", "b.test"]
    await stores.queue.fail_domain("a.test", NOW + 600)
    assert await stores.queue.unrouted() == ["b.test"]
    await stores.queue.route("a.test", GMAIL, GMAIL_SITE)
    await take_in(stores, [submission("new@a.test", routed=False)])
    assert await stores.queue.unrouted() == ["a.test", "b.test"]


# --- groups --------------------------------------------------------------------------------------
async def test_groups_tell_what_is_due_by_priority_and_age(stores: Stores) -> None:
    [old, *_] = await take_in(stores, [submission(campaign="old", at=NOW - 50), submission(campaign="old")])
    await take_in(stores, [submission(campaign="new"), submission(campaign="new", not_before=NOW + 100)])
    await take_in(stores, [submission(priority=0, at=NOW)])
    groups = await stores.queue.groups(NOW)
    assert [(g.campaign, g.priority, g.fresh, g.retries, g.oldest) for g in groups] == [
        ("", 0, 1, 0, NOW),
        ("old", 5, 2, 0, NOW - 50),
        ("new", 5, 1, 0, NOW),
    ]
    [lease] = await stores.queue.claim(wish(old, fresh=1))
    await stores.queue.settle([deferred(lease)])
    later = {str(g.campaign): g for g in await stores.queue.groups(NOW + 700) if g.priority == 5}
    assert (later["old"].fresh, later["old"].retries) == (1, 1)
    assert later["new"].fresh == 2


async def test_a_long_line_is_counted_only_so_far(stores: Stores) -> None:
    await take_in(stores, [submission() for _ in range(1200)])
    [group] = await stores.queue.groups(NOW)
    assert group.fresh == 1000
    assert await stores.queue.depth() == {"gmail": 1200}


# --- claim ---------------------------------------------------------------------------------------
async def test_a_claim_leases_the_oldest_due_rows_of_its_group_only(stores: Stores) -> None:
    late, early = await take_in(stores, [submission(at=NOW - 1), submission(at=NOW - 9)])
    await take_in(stores, [submission(not_before=NOW + 5), submission(stream="other"), submission(campaign="c")])
    first = await stores.queue.claim(wish(late, fresh=1))
    assert [lease.submission for lease in first] == [early]
    assert first[0] == replace(first[0], node=NODE, source="out1", lease_until=NOW + 300, attempts=0, first_sent_at=NOW)
    second = await stores.queue.claim(wish(late))
    assert [lease.submission for lease in second] == [late]
    assert await stores.queue.claim(wish(late)) == []


async def test_retries_keep_their_first_moment_and_need_no_first_attempts_allowance(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lease] = await stores.queue.claim(wish(sent, allowances=CAP))
    await stores.queue.settle([deferred(lease, retry_in=600)])
    assert await stores.queue.claim(wish(sent, now=NOW + 600)) == []
    [again] = await stores.queue.claim(wish(sent, now=NOW + 601, allowances=CAP, fresh=0))
    assert (again.attempts, again.first_sent_at) == (1, NOW)
    assert await stores.allowances.used(["lane:x"], 20833) == {"lane:x": 1}
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Deferred"]


async def test_no_more_than_the_cap_is_granted_and_the_smallest_cap_counts(stores: Stores) -> None:
    [sent, *_] = await take_in(stores, [submission() for _ in range(10)])
    both = (("lane:x", 1, 7), ("probe:p", 0, 3))
    assert len(await stores.queue.claim(wish(sent, fresh=2, allowances=both))) == 2
    assert len(await stores.queue.claim(wish(sent, fresh=5, allowances=both))) == 1
    assert await stores.queue.claim(wish(sent, fresh=5, allowances=both)) == []
    assert await stores.allowances.used(["lane:x", "never"], 1) == {"lane:x": 3}
    assert await stores.allowances.used(["probe:p"], 0) == {"probe:p": 3}
    assert len(await stores.queue.claim(wish(sent, allowances=CAP))) == 3


async def test_retries_are_bound_by_their_own_allowances(stores: Stores) -> None:
    [sent, *_] = await take_in(stores, [submission() for _ in range(4)])
    await stores.queue.settle([deferred(lease) for lease in await stores.queue.claim(wish(sent))])
    due = NOW + 1000
    assert len(await stores.queue.claim(wish(sent, now=due, retry_allowances=(("slow:p", 5, 3),)))) == 3
    assert await stores.queue.claim(wish(sent, now=due, retry_allowances=(("lane:x", 5, 0),))) == []


async def test_a_suppressed_recipient_ends_in_the_claim_and_costs_no_allowance(stores: Stores) -> None:
    rows = await take_in(stores, [submission(f"U{n}@gmail.test", at=NOW - 10 + n) for n in range(5)])
    await stores.suppressions.add([suppression("u0@gmail.test"), suppression("u1@gmail.test", stream="bulk")])
    await stores.suppressions.add([suppression("u2@gmail.test", stream="another")])
    leases = await stores.queue.claim(wish(rows[0], fresh=3, allowances=CAP))
    assert [lease.submission.recipient for lease in leases] == ["U2@gmail.test", "U3@gmail.test", "U4@gmail.test"]
    assert await stores.allowances.used(["lane:x"], 20833) == {"lane:x": 3}
    [_, end] = await stores.log.of_message(rows[0].message_id)
    assert isinstance(end.event, Dropped)
    assert (end.event.reason, end.event.detail) == (DropReason.SUPPRESSED, "unsubscribe")
    assert await stores.queue.find(rows[0].message_id) is None
    assert await stores.queue.depth() == {"gmail": 3}


async def test_a_claim_of_nothing_known_is_empty(stores: Stores) -> None:
    assert await stores.queue.claim(wish(submission())) == []
    assert await stores.queue.extend(group_of(submission()), 60) == 0


# --- still_sendable ------------------------------------------------------------------------------
async def test_a_lease_is_good_until_it_ends_is_taken_over_or_the_recipient_says_no(stores: Stores) -> None:
    [sent, opted] = await take_in(stores, [submission(), submission()])
    leases = {x.submission.message_id: x for x in await stores.queue.claim(wish(sent))}
    lease = leases[sent.message_id]
    assert await stores.queue.still_sendable(lease, NOW + 1)
    assert not await stores.queue.still_sendable(lease, NOW + 300)
    assert not await stores.queue.still_sendable(mailed_by(lease, "node2"), NOW + 1)
    await stores.suppressions.add([suppression(opted.recipient)])
    assert not await stores.queue.still_sendable(leases[opted.message_id], NOW + 1)
    await stores.queue.settle([delivered(lease)])
    assert not await stores.queue.still_sendable(lease, NOW + 1)


# --- settle --------------------------------------------------------------------------------------
async def test_outcomes_move_rows_into_the_log_and_bodies_go_with_the_last_row(stores: Stores) -> None:
    [sent, *_] = await take_in(stores, [submission() for _ in range(3)])
    one, two, three = await stores.queue.claim(wish(sent))
    await stores.queue.settle([delivered(one), bounced(two)])
    assert await kinds_of(stores, one.submission.message_id) == ["Accepted", "Delivered"]
    assert await kinds_of(stores, two.submission.message_id) == ["Accepted", "Bounced", "SuppressionAdded"]
    assert (await stores.spool.body(sent.body_id)).kind == "mime"
    assert await stores.queue.depth() == {"gmail": 1}
    await stores.queue.settle([delivered(three)])
    assert await stores.queue.depth() == {}
    with pytest.raises(Unavailable):
        await stores.spool.body(sent.body_id)


async def test_a_bounce_suppresses_in_the_same_transaction_and_only_once(stores: Stores) -> None:
    rows = await take_in(stores, [submission("Gone@gmail.test"), submission("gone@gmail.test")])
    leases = await stores.queue.claim(wish(rows[0]))
    await stores.queue.settle([bounced(lease) for lease in leases])
    [entry] = await stores.suppressions.page()
    assert (entry.address, entry.stream, entry.reason) == ("gone@gmail.test", "", "hard_bounce")
    assert entry.evidence == "550 5.1.1 no such user"
    added = [x.event for x in await stores.log.recent(["SuppressionAdded"], 10)]
    assert len(added) == 1
    assert isinstance(added[0], SuppressionAdded)
    assert added[0].message_id in {row.message_id for row in rows}


async def test_a_second_outcome_is_ignored(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lease] = await stores.queue.claim(wish(sent))
    await stores.queue.settle([delivered(lease)])
    await stores.queue.settle([bounced(lease)])
    await stores.queue.settle([deferred(lease)])
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Delivered"]
    assert await stores.suppressions.count() == 0


async def test_an_event_that_ends_nothing_is_refused(stores: Stores) -> None:
    [sent, another] = await take_in(stores, [submission(), submission()])
    one, two = await stores.queue.claim(wish(sent))
    with pytest.raises(ValueError, match="no outcome"):
        await stores.queue.settle([Settlement(lease=one, event=accepted(sent))])
    with pytest.raises(ValueError, match="no outcome"):
        await stores.queue.settle([Settlement(lease=one, event=delivered(two).event)])
    assert await stores.queue.find(another.message_id) is not None


# --- release, extend, expire ---------------------------------------------------------------------
async def test_a_row_given_back_counts_no_attempt_keeps_its_allowance_and_ages_less(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    leases = await stores.queue.claim(wish(sent, allowances=CAP))
    await stores.queue.release(leases, retry_at=NOW + 500)
    assert (await stores.queue.groups(NOW + 499)) == []
    [group] = await stores.queue.groups(NOW + 500)
    assert (group.fresh, group.retries) == (1, 0)
    found = await stores.queue.find(sent.message_id)
    assert found is not None
    assert found.expires_at == sent.expires_at + 500
    [again] = await stores.queue.claim(wish(sent, now=NOW + 4000, allowances=CAP))
    assert (again.attempts, again.first_sent_at) == (0, NOW + 4000)
    assert await stores.allowances.used(["lane:x"], 20833) == {"lane:x": 1}
    await stores.queue.release([again])
    [fresh] = await stores.queue.claim(wish(sent, now=NOW + 4000, allowances=(("lane:x", 20834, 3),)))
    assert await stores.allowances.used(["lane:x"], 20834) == {"lane:x": 1}
    assert fresh.submission.expires_at == sent.expires_at + 500


async def test_a_lease_that_was_lost_cannot_be_given_back(stores: Stores, other: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lost] = await stores.queue.claim(wish(sent, holds=10))
    await other.queue.recover(Node("node2"), NOW + 11)
    [held] = await other.queue.claim(wish(sent, now=NOW + 11, node=Node("node2")))
    await stores.queue.release([lost], retry_at=NOW + 9999)
    assert await other.queue.still_sendable(held, NOW + 12)


async def test_a_wait_of_our_own_extends_the_life_of_the_group_that_waits_only(stores: Stores) -> None:
    [a, b] = await take_in(stores, [submission(campaign="a"), submission(campaign="b")])
    assert await stores.queue.extend(group_of(a), 1000) == 1
    assert await stores.queue.extend(group_of(a), 0) == 0
    after = await take_in(stores, [submission(campaign="a")])
    lives = [await _expiry(stores, row) for row in (a, b, *after)]
    assert lives == [a.expires_at + 1000, b.expires_at, after[0].expires_at]
    [lease] = await stores.queue.claim(wish(a, fresh=1))
    assert lease.submission.expires_at == a.expires_at + 1000
    assert await stores.queue.expire(NOW + 86400 + 999) == 2
    assert await stores.queue.find(a.message_id) is not None


async def test_old_mail_ends_with_its_last_reply_unless_somebody_holds_it(stores: Stores) -> None:
    [tried, held, never] = await take_in(stores, [submission(at=NOW - 9), submission(at=NOW - 8), submission()])
    first, second = await stores.queue.claim(wish(tried, fresh=2))
    await stores.queue.settle([deferred(first)])
    [unrouted] = await take_in(stores, [submission("u@nowhere.test", routed=False)])
    end = NOW + 86400
    assert await stores.queue.expire(end - 100) == 0
    assert await stores.queue.expire(end) == 3
    events = {
        m: [x.event for x in await stores.log.of_message(m)][-1]
        for m in (tried.message_id, never.message_id, unrouted.message_id)
    }
    ended = events[tried.message_id]
    assert isinstance(ended, Bounced)
    assert (str(ended.reply), ended.bounce_class, ended.attempt) == ("450 4.2.0 later", "expired", 1)
    assert ended.attribution.traffic.lane == LANE
    untried = events[never.message_id]
    assert isinstance(untried, Bounced)
    assert (untried.reply, untried.attempt) == (Reply(code=0, text="expired before the first attempt"), 0)
    assert await stores.queue.depth() == {"gmail": 1}
    assert second.submission.message_id == held.message_id
    await stores.queue.settle([delivered(second)])


async def test_expiry_goes_on_where_its_limit_stopped_it(stores: Stores) -> None:
    await take_in(stores, [submission(campaign=f"c{n % 3}") for n in range(10)])
    assert [await stores.queue.expire(NOW + 86400, 4) for _ in range(4)] == [4, 4, 2, 0]
    assert await stores.suppressions.count() == 0


async def test_old_keys_and_empty_groups_are_forgotten(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()], key="k")
    await stores.queue.settle([delivered(lease) for lease in await stores.queue.claim(wish(sent))])
    await stores.queue.expire(NOW + 86400)
    assert await stores.idempotency.get("k") is not None
    await stores.queue.expire(NOW + 8 * 86400)
    assert await stores.idempotency.get("k") is None
    await take_in(stores, [submission(at=NOW + 8 * 86400)])
    assert len(await stores.queue.groups(NOW + 8 * 86400)) == 1


# --- recover -------------------------------------------------------------------------------------
async def test_a_new_life_of_a_node_takes_back_what_the_old_one_held(stores: Stores, other: Stores) -> None:
    [sent, *_] = await take_in(stores, [submission() for _ in range(3)])
    [one, *_] = await stores.queue.claim(wish(sent, fresh=1, allowances=CAP))
    [elsewhere] = await stores.queue.claim(wish(sent, fresh=1, node=Node("node2")))
    assert await stores.queue.recover(NODE, NOW + 1) == 0, "a living node keeps what it holds"
    assert await other.queue.recover(NODE, NOW + 1) == 1
    assert not await stores.queue.still_sendable(one, NOW + 1)
    assert await stores.queue.still_sendable(elsewhere, NOW + 1)
    leases = await other.queue.claim(wish(sent, now=NOW + 5, allowances=CAP))
    again = {x.submission.message_id: x for x in leases}[one.submission.message_id]
    assert (again.attempts, again.first_sent_at) == (0, NOW + 5)
    assert await stores.allowances.used(["lane:x"], 20833) == {"lane:x": 3}, "the lost attempt may have been made"


async def test_an_expired_lease_comes_back_whoever_held_it(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lease] = await stores.queue.claim(wish(sent, holds=10))
    assert await stores.queue.recover(Node("other"), NOW + 9) == 0
    assert await stores.queue.recover(NODE, NOW + 10) == 1
    assert await stores.queue.find(lease.submission.message_id) == sent


async def test_provider_and_site_of_a_group_are_what_the_route_said(stores: Stores) -> None:
    await take_in(stores, [submission("a@x.test", routed=False)])
    await stores.queue.route("x.test", Provider("other:mx.x.test"), Site("mx.x.test"))
    [group] = await stores.queue.groups(NOW)
    assert (group.provider, group.site) == ("other:mx.x.test", "mx.x.test")
    claim = replace(wish(submission()), group=group)
    [lease] = await stores.queue.claim(claim)
    assert (lease.submission.provider, lease.submission.site) == ("other:mx.x.test", "mx.x.test")


async def _expiry(stores: Stores, row: Submission) -> float:
    found = await stores.queue.find(row.message_id)
    assert found is not None
    return found.expires_at
