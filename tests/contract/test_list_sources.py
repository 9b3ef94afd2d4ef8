"""Mail of one list is a group of its own and counted apart; an older database learns to keep it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from core.lane import Attribution, Stream, Traffic
from core.metrics import Metric
from core.state import CounterKey
from storage.migrations import MIGRATIONS
from storage.queue.lists import add_list_sources
from storage.stores import Stores, open_stores
from tests.contract.samples import GMAIL, GMAIL_SITE, LANE, NOW, submission, take_in, wish


def counter(list_source: str) -> CounterKey:
    traffic = Traffic(lane=LANE, stream=Stream("bulk"), list_source=list_source)
    return CounterKey(attribution=Attribution(traffic=traffic, cohort=9), metric=Metric.DELIVERED)


async def test_the_list_parts_groups_and_comes_back_with_the_claim(stores: Stores) -> None:
    plain, fair = submission(), replace(submission(), list_source="the fair, 2026")
    late = replace(submission("x@late.test", routed=False), list_source="the fair, 2026")
    await take_in(stores, [plain, fair, late])
    await stores.queue.route("late.test", GMAIL, GMAIL_SITE)
    groups = {group.list_source: group for group in await stores.queue.groups(NOW)}
    assert {name: group.fresh for name, group in groups.items()} == {"": 1, "the fair, 2026": 2}
    claimed = await stores.queue.claim(replace(wish(fair), group=groups["the fair, 2026"]))
    assert {lease.submission.message_id for lease in claimed} == {fair.message_id, late.message_id}
    assert {lease.submission.list_source for lease in claimed} == {"the fair, 2026"}


async def test_lists_are_counted_apart(stores: Stores) -> None:
    deltas = {counter(""): 3, counter("fair"): 4}
    await stores.counters.commit("monitor", 0, 1, deltas, [])
    await stores.counters.commit("monitor", 1, 2, {counter("fair"): 1}, [])
    assert await stores.counters.load(0) == {counter(""): 3, counter("fair"): 5}


async def test_an_older_database_learns_of_lists_and_keeps_what_was_counted(stores: Stores, url: str) -> None:
    before = submission()
    await take_in(stores, [before])
    await stores.counters.commit("monitor", 0, 1, {counter(""): 3}, [])
    groups = "id, sending_domain, provider, site, stream, campaign, priority, queued, waited, created, pool"
    counts = "source, sending_domain, provider, stream, campaign, cohort, metric, value"

    def back(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            for table, key in (("queue_groups", "queue_groups_key"), ("counters", "counters_pkey")):
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {key}"))
                connection.execute(text(f"ALTER TABLE {table} DROP COLUMN list_source"))
            connection.execute(
                text(
                    "ALTER TABLE queue_groups ADD CONSTRAINT queue_groups_key"
                    " UNIQUE (priority, sending_domain, provider, site, stream, campaign, pool)"
                )
            )
            connection.execute(
                text(
                    "ALTER TABLE counters ADD CONSTRAINT counters_pkey"
                    " PRIMARY KEY (cohort, source, sending_domain, provider, stream, campaign, metric)"
                )
            )
        else:
            for table, columns, key in (
                ("queue_groups", groups, "UNIQUE (priority, sending_domain, provider, site, stream, campaign, pool)"),
                ("counters", counts, "UNIQUE (cohort, source, sending_domain, provider, stream, campaign, metric)"),
            ):
                names = columns.replace("id,", "id INTEGER PRIMARY KEY AUTOINCREMENT,")
                connection.execute(text(f"CREATE TABLE old AS SELECT {columns} FROM {table}"))
                connection.execute(text(f"DROP TABLE {table}"))
                connection.execute(text(f"CREATE TABLE {table} ({names}, {key})"))
                connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM old"))
                connection.execute(text("DROP TABLE old"))
        connection.execute(text("ALTER TABLE queue DROP COLUMN list_source"))
        connection.execute(
            text("DELETE FROM schema_version WHERE number > :n"), {"n": MIGRATIONS.index(add_list_sources)}
        )

    await stores.db.transact(back)
    again = await open_stores(url)
    try:
        assert await again.counters.load(0) == {counter(""): 3}
        await again.counters.commit("monitor", 1, 2, {counter("fair"): 1, counter(""): 1}, [])
        assert await again.counters.load(0) == {counter(""): 4, counter("fair"): 1}
        await take_in(again, [replace(submission(), list_source="fair", body_id=before.body_id)])
        assert {g.list_source: g.fresh for g in await again.queue.groups(NOW)} == {"": 1, "fair": 1}
    finally:
        await again.close()
