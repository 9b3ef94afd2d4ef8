"""Keeps what is known of each recipient up to date, and applies the sunset policy.

Contract: `Audience.run` follows the log with a cursor of its own (in the store, moved with the rows), from the first
event on, so that a new installation of this version learns from the whole log.  Any number of processes may run one;
the first to commit a batch leads.  `sunset` suppresses those who are gone in the streams of the policy
(SuppressionReason.SUNSET, so every door, claim and session respects it, and the lists show it); a sign of life lifts it
at once.  Transactional streams and streams without tracking are left alone: there nobody can give a sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from config.model import Settings
from core.audience import WEEK_DAYS, Census, Engagement, Reader, Terms
from core.errors import StorageConflict
from core.events import Clicked, Event, Opened, Replied, SuppressionReason, SuppressionRemoved
from core.lane import DAY
from core.ports import Clock
from core.state import Suppression
from monitor.audience import addresses_of, fold, is_sign, normal
from storage.stores import Stores

CURSOR = "audience"
SPAN = 5000  # events in one batch
POLL = 2.0  # real seconds
BY = "sunset"
_PORTION = 500


def terms_of(settings: Settings) -> Terms:
    """The owner's ages."""
    given = settings.engagement
    return Terms(
        new_days=given.new_days, active_days=given.active_days, sleeping_days=given.sleeping_days,
        risk_days=given.risk_days, gone_mails=given.gone_mails,
    )  # fmt: skip


def tracked_streams(settings: Settings) -> frozenset[str]:
    """Marketing streams in which a recipient can give a sign of life."""
    return frozenset(
        s.name for s in settings.streams if s.kind != "transactional" and (s.track_opens or s.track_clicks)
    )


class Audience:
    """See the module."""

    def __init__(self, settings: Settings, stores: Stores, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._streams = frozenset(s.name for s in settings.streams if s.kind != "transactional")
        self._own = frozenset(seed.mailbox.lower() for seed in settings.seeds.mailboxes)

    async def run(self) -> None:
        """Follow the log for ever."""
        while True:
            if await self.step():
                await asyncio.sleep(0.05)  # a long log is read beside the service's own work
            else:
                await self._stores.log.changed(POLL)
                await asyncio.sleep(POLL / 4)  # many short batches cost more than a few long ones

    async def step(self) -> bool:
        """Take in one batch.  False at the head of the log."""
        before = await self._stores.counters.cursor(CURSOR)
        rows = await self._stores.log.read(before, SPAN)
        if not rows:
            return False
        last, events = rows[-1].seq, [row.event for row in rows]
        known = await self._stores.audience.readers(addresses_of(events))
        changed = fold(known, events, streams=self._streams, ignored=self._own)
        await self._stay_out(changed, events)
        try:
            await self._stores.audience.apply(CURSOR, before, last, list(changed.values()))
        except StorageConflict:
            return True  # another process was faster
        await self._wake(events)
        return len(rows) == SPAN

    async def _stay_out(self, changed: dict[tuple[str, str], Reader], events: Sequence[Event]) -> None:
        """Of two entries one was lifted: whom the other keeps out has not come back."""
        lifted = {event.address for event in events if isinstance(event, SuppressionRemoved)}
        back = [key for key, reader in changed.items() if key[0] in lifted and not reader.left_at]
        for stream in {stream for _, stream in back}:
            out = await self._stores.suppressions.check([address for address, s in back if s == stream], stream)
            for address, entry in out.items():
                changed[address, stream] = replace(changed[address, stream], left_at=entry.at)

    async def is_current(self) -> bool:
        """False while it reads what happened long ago: whose sign of life stands later in the log looks gone."""
        return await self._stores.log.head() - await self._stores.counters.cursor(CURSOR) <= SPAN

    async def census(self) -> list[Census]:
        """The base by stream and list source; streams without tracking are left out."""
        tracked = tracked_streams(self._settings)
        found = await self._stores.audience.census(terms_of(self._settings), self._clock.now())
        return [one for one in found if one.stream in tracked]

    async def often(self) -> dict[str, tuple[int, int]]:
        """Stream → (recipients mailed more than `weekly_limit` times in the last whole week, recipients mailed)."""
        week = int(self._clock.now() // (WEEK_DAYS * DAY)) - 1
        return await self._stores.audience.often(week, self._settings.engagement.weekly_limit)

    async def sunset(self) -> int:
        """Apply the policy.  How many were suppressed."""
        policy, now = self._settings.engagement, self._clock.now()
        if policy.sunset == "off" or not await self.is_current():
            return 0
        added = 0
        ends = now + policy.hold_days * DAY if policy.sunset == "hold" else 0.0
        for stream in self._sunset_streams():
            after = ""
            while gone := await self._stores.audience.gone(
                stream, terms_of(self._settings), now, after=after, limit=_PORTION
            ):
                after = gone[-1].address
                entries = [
                    Suppression(
                        address=reader.address, stream=stream, reason=SuppressionReason.SUNSET, at=now, expires_at=ends,
                        evidence=f"no sign of life in {(now - (reader.sign_at or reader.first_at)) / DAY:.0f} days, "
                        f"{reader.unanswered} mails",
                    )
                    for reader in gone
                ]  # fmt: skip
                added += await self._stores.suppressions.add(entries)
        return added

    def _sunset_streams(self) -> list[str]:
        tracked = tracked_streams(self._settings)
        chosen = self._settings.engagement.sunset_streams
        return sorted(
            s.name for s in self._settings.streams
            if s.name in tracked and (s.name in chosen if chosen else s.unsubscribe)
        )  # fmt: skip

    async def _wake(self, events: Sequence[Event]) -> None:
        """Who gave a sign is mailed again."""
        if self._settings.engagement.sunset == "off":
            return
        signs = {
            (normal(event.recipient), str(event.attribution.traffic.stream))
            for event in events
            if isinstance(event, Opened | Clicked | Replied) and is_sign(event)
        }
        for stream in {stream for _, stream in signs}:
            found = await self._stores.suppressions.check([a for a, s in signs if s == stream], stream)
            for address, entry in found.items():
                if entry.reason is SuppressionReason.SUNSET:
                    await self._stores.suppressions.remove(address, entry.stream, BY, self._clock.now())


def census_json(one: Census) -> dict[str, object]:
    """A census as the API shows it."""
    share = one.asleep / one.base if one.base else None
    return {
        "stream": one.stream, "list_source": one.list_source,
        **{str(state): one.counts.get(state, 0) for state in Engagement}, "left": one.left, "base": one.base,
        "asleep": one.asleep, "sleeping_share": share,
    }  # fmt: skip
