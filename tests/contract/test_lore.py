"""What senders learn from replies is shared by processes, survives them, and is told once (core.reaction.Lore)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from core.events import PairRested, ReplyRuleActed, ReplyRuleEnded
from core.lane import Scope
from core.reaction import Count, Lessons, Reaction, ReactionAction, Rest
from storage.stores import Stores

NOW = 1_900_000_000.0
REACTION = Reaction(
    rule="yahoo-complaints", scope=Scope(source="a", provider="yahoo", spare=("receipts",)), site="",
    action=ReactionAction.STOP, since=NOW, until=NOW + 7200, strikes=1, hits=1, answers=40, window=3600.0,
    sample="421 4.7.0 [TSS04] “deferred”", probe=10, alert=True,
)  # fmt: skip
REST = Rest(source="a", site="mx.example", troubled=NOW, until=NOW + 600, strikes=1, width=1)


def acted(reaction: Reaction) -> ReplyRuleActed:
    return ReplyRuleActed(
        at=reaction.since, key=reaction.key, rule=reaction.rule, action=reaction.action, scope=reaction.scope,
        site=reaction.site, until=reaction.until, strikes=reaction.strikes, hits=reaction.hits,
        answers=reaction.answers, window=reaction.window, sample=reaction.sample, limits="", probe=reaction.probe,
    )  # fmt: skip


def ended(reaction: Reaction, at: float, by: str = "probe") -> tuple[Reaction, ReplyRuleEnded]:
    event = ReplyRuleEnded(
        at=at, key=reaction.key, rule=reaction.rule, action=reaction.action, scope=reaction.scope, site=reaction.site,
        by=by, detail="",
    )  # fmt: skip
    return replace(reaction, ended=at), event


def rested(rest: Rest) -> PairRested:
    return PairRested(
        at=rest.troubled, source=rest.source, provider="other:mx.example", site=rest.site, until=rest.until,
        strikes=rest.strikes, reason="rate", sample="421",
    )  # fmt: skip


async def kinds(stores: Stores) -> list[str]:
    return [type(one.event).__name__ for one in await stores.log.read(0)]


async def test_a_reaction_is_read_back_as_it_was_begun(stores: Stores, other: Stores) -> None:
    await stores.lore.tell(Lessons(begun=[(REACTION, acted(REACTION))]), NOW)
    assert (await other.lore.news(NOW - 1)).reactions == (REACTION,)
    assert await other.lore.in_force() == [REACTION]
    assert [one.event for one in await other.log.read(0)] == [acted(REACTION)]


async def test_of_two_processes_that_act_at_once_one_is_kept_and_told(stores: Stores, other: Stores) -> None:
    later = replace(REACTION, since=NOW + 0.1, until=NOW + 7200.1)
    await asyncio.gather(
        stores.lore.tell(Lessons(begun=[(REACTION, acted(REACTION))]), NOW),
        other.lore.tell(Lessons(begun=[(later, acted(later))]), NOW + 0.1),
    )
    (kept,) = await stores.lore.in_force()
    assert kept in (REACTION, later)
    assert await kinds(stores) == ["ReplyRuleActed"]


async def test_a_probe_counts_over_processes_and_may_be_begun_anew(stores: Stores, other: Stores) -> None:
    await stores.lore.tell(Lessons(begun=[(REACTION, acted(REACTION))]), NOW)
    for store, n in ((stores, 2), (other, 3)):
        await store.lore.tell(Lessons(passed={(REACTION.key, NOW): n}), NOW + 7300)
    assert [one.passed for one in await stores.lore.in_force()] == [5]
    again = replace(REACTION, since=NOW + 7400, until=NOW + 21_800, strikes=2)
    await other.lore.tell(Lessons(begun=[(again, acted(again))]), NOW + 7400)
    assert await stores.lore.in_force() == [again]
    await stores.lore.tell(Lessons(passed={(REACTION.key, NOW): 9}), NOW + 7401)
    assert await stores.lore.in_force() == [again], "deliveries of the probe before count no more"


async def test_an_end_is_told_once_and_lets_the_rule_act_again(stores: Stores, other: Stores) -> None:
    await stores.lore.tell(Lessons(begun=[(REACTION, acted(REACTION))]), NOW)
    for store in (stores, other):
        await store.lore.tell(Lessons(ended=[ended(REACTION, NOW + 60, "anna")]), NOW + 60)
    assert await kinds(stores) == ["ReplyRuleActed", "ReplyRuleEnded"]
    assert await stores.lore.in_force() == []
    assert [one.ended for one in (await other.lore.news(NOW + 59)).reactions] == [NOW + 60]
    soon = replace(REACTION, since=NOW + 100, until=NOW + 7300)
    await other.lore.tell(Lessons(begun=[(soon, acted(soon))]), NOW + 100)
    assert await stores.lore.in_force() == [soon]


async def test_a_rest_is_merged_in_any_order_and_told_once(stores: Stores, other: Stores) -> None:
    second = replace(REST, troubled=NOW + 0.2, until=NOW + 600.2)
    await stores.lore.tell(Lessons(rests=[(REST, rested(REST))]), NOW)
    await other.lore.tell(Lessons(rests=[(second, rested(second))]), NOW + 0.2)
    await stores.lore.tell(Lessons(rests=[(replace(second, strikes=0, width=3), None)]), NOW + 700)
    await other.lore.tell(
        Lessons(
            rests=[
                (replace(second, width=2), None),
            ]
        ),
        NOW + 701,
    )
    await stores.lore.tell(Lessons(rests=[(replace(REST, width=90), None)]), NOW + 702)
    assert (await other.lore.news(NOW)).rests == (replace(second, strikes=0, width=3),)
    assert await kinds(stores) == ["PairRested"]
    third = replace(REST, troubled=NOW + 900, until=NOW + 2100, strikes=1)
    await other.lore.tell(Lessons(rests=[(third, rested(third))]), NOW + 900)
    assert await stores.lore.resting(NOW + 901) == [third]
    assert await kinds(stores) == ["PairRested", "PairRested"]


async def test_counts_are_absolute_by_process_and_known_after_a_restart(stores: Stores, other: Stores) -> None:
    mine = Count(writer="s1", series="hits/r/source=a/", slot=5, n=2)
    theirs = replace(mine, writer="s2", n=7)
    for count in (mine, replace(mine, n=3), theirs):
        await stores.lore.tell(Lessons(counts=[count]), NOW)
    assert (await other.lore.news(NOW, writer="s2")).counts == (replace(mine, n=3),)
    known = await other.lore.everything(NOW + 60, writer="s1")
    assert set(known.counts) == {replace(mine, n=3), theirs}


async def test_what_is_long_over_is_forgotten(stores: Stores) -> None:
    await stores.lore.tell(
        Lessons(
            begun=[(REACTION, acted(REACTION))], rests=[(REST, None)],
            counts=[Count(writer="s1", series="x", slot=1, n=1)],
        ),
        NOW,
    )  # fmt: skip
    await stores.lore.forget(NOW + 86_400)
    known = await stores.lore.everything(NOW + 3600, writer="s1")
    assert (known.rests, known.counts, known.reactions) == ((), (), (REACTION,)), "what is in force is kept"
    await stores.lore.tell(Lessons(ended=[ended(REACTION, NOW + 60)]), NOW + 60)
    await stores.lore.forget(NOW + 20 * 86_400)
    assert (await stores.lore.news(0.0)).reactions == ()
