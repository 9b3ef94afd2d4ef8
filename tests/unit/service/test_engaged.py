"""Engaged recipients first: what one call brings is claimed in the order of signs of life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.model import SendingDomain, Settings, Source, StreamSettings
from core.audience import Reader
from core.clock import FixedClock
from core.lane import DAY
from core.terms import Door
from sender.injection import Injection, RecipientIn
from sender.intake import Intake
from service.engaged import SPREAD, EngagedFirst, door_of
from storage.stores import Stores, open_stores

NOW = 1_800_000_000.0
LETTER = {"from": "news@news.example", "subject": "s", "text": "t"}


def settings(**stream: bool) -> Settings:
    return Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="s1", ehlo="mta.news.example")],
        streams=[StreamSettings.model_validate({"name": "bulk", "per_day": 0, "per_week": 0, **stream})],
    )


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = await open_stores(f"sqlite:///{tmp_path}/p.db")
    signs = {"active": 5 * DAY, "sleeping": 60 * DAY, "gone": 400 * DAY}
    readers = [
        Reader(address=f"{name}@x.example", stream="bulk", first_at=NOW - 500 * DAY, sign_at=NOW - age, unanswered=50)
        for name, age in signs.items()
    ]
    await opened.audience.apply("audience", 0, 1, readers)
    yield opened
    await opened.close()


async def waiting(
    stores: Stores,
    given: Settings,
    campaign: str,
    names: tuple[str, ...] = ("gone", "unknown", "sleeping", "active"),
    *,
    at: float = NOW,
    send_at: float | None = None,
) -> list[str]:
    """Names of the queued recipients, in the order in which they become due."""
    clock = FixedClock(at)
    intake = Intake(
        queue=door_of(stores, given, clock), suppressions=stores.suppressions, idempotency=stores.idempotency,
        clock=clock, settings=given,
    )  # fmt: skip
    await intake.submit(
        Injection(
            stream="bulk", campaign=campaign, door=Door.HTTP, parts=LETTER, not_before=send_at,
            recipients=tuple(RecipientIn(address=f"{name}@x.example") for name in names),
        )
    )  # fmt: skip
    with stores.db.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT recipient, due_at FROM queue").all()
    return [row[0].partition("@")[0] for row in sorted(rows, key=lambda row: row[1])]


async def test_signs_of_life_decide_the_order_of_a_campaign(stores: Stores) -> None:
    assert await waiting(stores, settings(engaged_first=True), "spring") == ["active", "unknown", "sleeping", "gone"]


async def test_the_order_holds_over_the_calls_of_a_campaign(stores: Stores) -> None:
    """Each call brings one recipient; the reader comes last and is sent to first."""
    given = settings(engaged_first=True)
    for minute, name in enumerate(("gone", "sleeping", "unknown")):
        await waiting(stores, given, "spring", (name,), at=NOW + 60 * minute)
    order = await waiting(stores, given, "spring", ("active",), at=NOW + 1800)
    assert order == ["active", "unknown", "sleeping", "gone"]


async def test_mail_with_a_time_of_its_own_is_not_due_before_it(stores: Stores) -> None:
    given, later = settings(engaged_first=True), NOW + 7200
    await waiting(stores, given, "spring", ("gone", "active"), send_at=later)
    order = await waiting(stores, given, "spring", ("sleeping",), at=NOW + 600, send_at=later)
    assert order == ["active", "sleeping", "gone"]
    with stores.db.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT min(due_at) FROM queue").one()[0] >= later


async def test_what_stands_ahead_keeps_its_time_and_its_end(stores: Stores) -> None:
    await waiting(stores, settings(engaged_first=True), "spring", ("active",))
    with stores.db.engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT not_before, due_at, expiry FROM queue").one()
    assert row.due_at == NOW - SPREAD
    assert row.not_before == NOW
    assert row.expiry > NOW


async def test_mail_without_campaign_and_other_streams_keep_their_order(stores: Stores) -> None:
    order = ["gone", "unknown", "sleeping", "active"]
    assert await waiting(stores, settings(engaged_first=True), "") == order
    assert not isinstance(door_of(stores, settings(), FixedClock(NOW)), EngagedFirst)
