"""Suppressions that end, on both databases."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from core.errors import InvalidInput
from core.events import SuppressionAdded, SuppressionReason, SuppressionRemoved
from core.lane import DAY
from storage.migrations import MIGRATIONS
from storage.stores import Stores, open_stores
from storage.suppressions import give_ends
from tests.contract.samples import NOW, suppression

SHORT = replace(suppression("ann@x.test"), expires_at=NOW + DAY)


async def test_an_entry_forbids_until_its_end_and_then_goes_with_an_event(stores: Stores) -> None:
    forever = suppression("bob@x.test")
    await stores.suppressions.add([SHORT, forever])
    assert await stores.suppressions.end_expired(NOW + DAY - 1) == 0
    assert await stores.suppressions.check(["ann@x.test"], "bulk") == {"ann@x.test": SHORT}
    assert await stores.suppressions.end_expired(NOW + DAY) == 1
    assert await stores.suppressions.page() == [forever]
    events = [row.event for row in await stores.log.read(0)]
    assert [e.expires_at for e in events if isinstance(e, SuppressionAdded)] == [NOW + DAY, 0.0]
    (gone,) = [e for e in events if isinstance(e, SuppressionRemoved)]
    assert (gone.address, gone.by, gone.at) == ("ann@x.test", "expiry", NOW + DAY)


async def test_a_complaint_outlasts_an_entry_that_ends(stores: Stores) -> None:
    complaint = replace(suppression("ann@x.test"), reason=SuppressionReason.COMPLAINT, evidence="abuse")
    assert await stores.suppressions.add([SHORT]) == 1
    assert await stores.suppressions.add([complaint]) == 1
    assert await stores.suppressions.add([SHORT]) == 0
    assert await stores.suppressions.add([replace(SHORT, expires_at=NOW + 9 * DAY)]) == 0
    assert await stores.suppressions.page() == [complaint]
    assert await stores.suppressions.end_expired(NOW + 99 * DAY) == 0


async def test_an_operators_word_outlasts_a_complaint_that_may_be_taken_back(stores: Stores) -> None:
    complaint = replace(suppression("ann@x.test"), reason=SuppressionReason.COMPLAINT, evidence="abuse")
    word = replace(complaint, reason=SuppressionReason.MANUAL, evidence="by ops: wrote to us")
    assert await stores.suppressions.add([complaint]) == 1
    assert await stores.suppressions.add([replace(word, expires_at=NOW + DAY)]) == 0, "it would end sooner"
    assert await stores.suppressions.add([word]) == 1
    assert await stores.suppressions.add([complaint]) == 0
    assert await stores.suppressions.page() == [word]


async def test_the_later_of_two_ends_holds(stores: Stores) -> None:
    later = replace(SHORT, expires_at=NOW + 3 * DAY)
    assert await stores.suppressions.add([SHORT]) == 1
    assert await stores.suppressions.add([later]) == 1
    assert await stores.suppressions.add([SHORT]) == 0
    assert await stores.suppressions.page() == [later]


@pytest.mark.parametrize("found", [SuppressionReason.HARD_BOUNCE, SuppressionReason.SUNSET])
async def test_a_persons_word_replaces_what_the_service_takes_back_by_itself(
    stores: Stores, found: SuppressionReason
) -> None:
    by_us = replace(suppression("ann@x.test"), reason=found)
    wish = replace(by_us, reason=SuppressionReason.UNSUBSCRIBE, evidence="one_click")
    assert await stores.suppressions.add([by_us]) == 1
    assert await stores.suppressions.add([replace(wish, expires_at=NOW + DAY)]) == 0, "it would end sooner"
    assert await stores.suppressions.add([wish]) == 1
    assert await stores.suppressions.add([by_us]) == 0
    assert await stores.suppressions.page() == [wish]
    reasons = [row.event.reason for row in await stores.log.read(0) if isinstance(row.event, SuppressionAdded)]
    assert reasons == [found, SuppressionReason.UNSUBSCRIBE]


async def test_many_ends_at_once_are_cleared_in_portions(stores: Stores) -> None:
    await stores.suppressions.add([replace(SHORT, address=f"u{n}@x.test") for n in range(2500)])
    assert await stores.suppressions.end_expired(NOW + DAY) == 2500
    assert await stores.suppressions.count() == 0


async def test_a_list_of_an_earlier_version_gets_the_column_without_losing_a_row(stores: Stores, url: str) -> None:
    await stores.suppressions.add([suppression("ann@x.test")])

    def back(connection: Connection) -> None:
        connection.execute(text("DROP INDEX suppressions_expiry"))
        connection.execute(text("ALTER TABLE suppressions DROP COLUMN expires_at"))
        connection.execute(text("DELETE FROM schema_version WHERE number > :n"), {"n": MIGRATIONS.index(give_ends)})

    await stores.db.transact(back)
    again = await open_stores(url)
    try:
        assert await again.suppressions.page() == [suppression("ann@x.test")]
    finally:
        await again.close()


async def test_what_no_database_keeps_is_told_as_a_mistake_not_as_trouble_that_passes(stores: Stores) -> None:
    for evidence in ("fine", "a\0b"):
        with contextlib.suppress(InvalidInput):  # SQLite keeps NUL, PostgreSQL does not
            await stores.suppressions.add([replace(suppression("nul@x.test"), evidence=evidence)])
    with contextlib.suppress(InvalidInput):
        assert await stores.suppressions.of_address("a\0b") == []
    with pytest.raises(InvalidInput):
        await stores.dmarc.whole(10**30)
