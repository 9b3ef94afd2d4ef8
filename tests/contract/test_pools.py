"""Mail that names a pool is a group of its own, routed or not; an older database learns to keep it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from core.lane import Pool
from storage.migrations import MIGRATIONS
from storage.queue.pools import add_pools
from storage.stores import Stores, open_stores
from tests.contract.samples import GMAIL, GMAIL_SITE, NOW, submission, take_in, wish


async def test_the_pool_parts_groups_and_comes_back_with_the_claim(stores: Stores) -> None:
    plain, warm = submission(), replace(submission(), pool=Pool("warm"))
    late = replace(submission("x@late.test", routed=False), pool=Pool("warm"))
    await take_in(stores, [plain, warm, late])
    await stores.queue.route("late.test", GMAIL, GMAIL_SITE)
    groups = {group.pool: group for group in await stores.queue.groups(NOW)}
    assert {name: group.fresh for name, group in groups.items()} == {"": 1, "warm": 2}
    claimed = await stores.queue.claim(replace(wish(warm), group=groups[Pool("warm")]))
    assert {lease.submission.message_id for lease in claimed} == {warm.message_id, late.message_id}
    assert {lease.submission.pool for lease in claimed} == {"warm"}


async def test_an_older_database_learns_of_pools(stores: Stores, url: str) -> None:
    before = submission()
    await take_in(stores, [before])

    def back(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE queue_groups DROP CONSTRAINT queue_groups_key"))
            connection.execute(text("ALTER TABLE queue_groups DROP COLUMN pool, DROP COLUMN list_source"))
            connection.execute(
                text(
                    "ALTER TABLE queue_groups ADD CONSTRAINT queue_groups_key"
                    " UNIQUE (priority, sending_domain, provider, site, stream, campaign)"
                )
            )
        else:
            connection.execute(text("CREATE TABLE old AS SELECT * FROM queue_groups"))
            connection.execute(text("DROP TABLE queue_groups"))
            connection.execute(
                text(
                    "CREATE TABLE queue_groups (id INTEGER PRIMARY KEY AUTOINCREMENT, sending_domain TEXT NOT NULL,"
                    " provider TEXT NOT NULL, site TEXT NOT NULL, stream TEXT NOT NULL, campaign TEXT NOT NULL,"
                    " priority INTEGER NOT NULL, queued BIGINT NOT NULL, waited DOUBLE NOT NULL,"
                    " created DOUBLE NOT NULL, CONSTRAINT queue_groups_key"
                    " UNIQUE (priority, sending_domain, provider, site, stream, campaign))"
                )
            )
            columns = "id, sending_domain, provider, site, stream, campaign, priority, queued, waited, created"
            connection.execute(text(f"INSERT INTO queue_groups SELECT {columns} FROM old"))
            connection.execute(text("DROP TABLE old"))
        for column in ("pool", "list_source"):  # lists came later
            connection.execute(text(f"ALTER TABLE queue DROP COLUMN {column}"))
        connection.execute(text("DELETE FROM schema_version WHERE number > :n"), {"n": MIGRATIONS.index(add_pools)})

    await stores.db.transact(back)
    again = await open_stores(url)
    try:
        await take_in(again, [replace(submission(), pool=Pool("warm"), body_id=before.body_id)])
        groups = {group.pool: group.fresh for group in await again.queue.groups(NOW)}
        assert groups == {"": 1, "warm": 1}
    finally:
        await again.close()
