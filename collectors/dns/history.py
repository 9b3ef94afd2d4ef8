"""The history of our own DNS records: every change of a watched record is an event with before and after.

Contract: `look()` asks for each watched record and appends RecordChanged where two looks in a row agree and
it differs from the last one known: servers that disagree, or a zone that is away for a moment, are no change.  A
failed look-up changes nothing: ignorance is no change.  The first look only takes note.  A record is its
values, sorted, one a line, so that a server's order is no change; '' is "no such record".  TXT records of other
purposes at the same name (site verifications at a domain's top) are left out by `only`.  The state lies in Meta; events
are appended before it is stored, so that a crash between the two tells a change twice and never loses one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from core.events import Event, RecordChanged
from core.ports import Clock, EventLog, Meta, NameMissing, NullMx, Resolver, ResolverFailed

logger = logging.getLogger("penstock.records")
META = "records"
PENDING = "records.pending"  # answers that one look had and the next has to confirm
MAX_VALUE = 4000  # characters of one record that are kept
MAX_VALUES = 50
_AT_ONCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One record: a name (an address for PTR) and a type.  `only`: beginning of the TXT values that count."""

    name: str
    type: Literal["TXT", "MX", "PTR"]
    only: str = ""

    @property
    def key(self) -> str:
        return f"{self.type} {self.name} {self.only}".rstrip()


WatchList = Callable[[], Awaitable[Sequence[Watched]]]


def watched_domain(name: str, return_path: str, selectors: Sequence[str]) -> list[Watched]:
    """The records that mail of one sending domain depends on."""
    found = [
        Watched(name=return_path, type="TXT", only="v=spf1"),
        Watched(name=name, type="TXT", only="v=spf1"),
        Watched(name=f"_dmarc.{name}", type="TXT"),
        Watched(name=return_path, type="MX"),
        Watched(name=name, type="MX"),
        Watched(name=f"_mta-sts.{return_path}", type="TXT"),
        Watched(name=f"_smtp._tls.{return_path}", type="TXT"),
        *(Watched(name=f"{selector}._domainkey.{name}", type="TXT") for selector in selectors),
    ]
    return list(dict.fromkeys(found))


class RecordWatch:
    """See the module."""

    def __init__(self, *, watched: WatchList, resolver: Resolver, log: EventLog, meta: Meta, clock: Clock) -> None:
        self._watched = watched
        self._resolver = resolver
        self._log = log
        self._meta = meta
        self._clock = clock

    async def look(self) -> list[RecordChanged]:
        """Ask for every record; what changed, as appended."""
        watched = await self._watched()
        before, seen = _read(await self._meta.get(META)), _read(await self._meta.get(PENDING))
        slots = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = {one: group.create_task(self._ask(one, slots)) for one in dict.fromkeys(watched)}
        after, pending = dict(before), {one.key: seen[one.key] for one in tasks if one.key in seen}
        changes: list[RecordChanged] = []
        for one, task in tasks.items():
            value = task.result()
            if value is None:
                continue
            known, confirmed = before.get(one.key), pending.pop(one.key, None) == value
            if known is not None and known != value and not confirmed:
                pending[one.key] = value
                continue
            after[one.key] = value
            if known is not None and known != value:
                changes.append(
                    RecordChanged(at=self._clock.now(), name=one.name, type=one.type, before=known, after=value)
                )
        if changes:
            events: list[Event] = [*changes]
            await self._log.append(events)
        # what is watched no more is forgotten only when nothing failed: a PTR is unknown while its address is
        if all(task.result() is not None for task in tasks.values()):
            after = {key: value for key, value in after.items() if key in {one.key for one in tasks}}
        if after != before:
            await self._meta.put(META, json.dumps(after, ensure_ascii=False, sort_keys=True))
        if pending != seen:
            await self._meta.put(PENDING, json.dumps(pending, ensure_ascii=False, sort_keys=True))
        return changes

    async def _ask(self, one: Watched, slots: asyncio.Semaphore) -> str | None:
        """The record's text, None when nothing can be known now."""
        async with slots:
            try:
                values = await self._values(one)
            except NameMissing:
                values = []
            except ResolverFailed:
                return None
        return "\n".join(sorted(" ".join(value.split())[:MAX_VALUE] for value in values[:MAX_VALUES]))

    async def _values(self, one: Watched) -> list[str]:
        match one.type:
            case "TXT":
                return [text for text in await self._resolver.txt(one.name) if text.lower().startswith(one.only)]
            case "MX":
                try:
                    hosts = await self._resolver.mx(one.name)
                except NullMx:
                    return ["0 ."]
                return [f"{mx.preference} {mx.host}" for mx in hosts]
            case "PTR":
                return await self._resolver.ptr(one.name)
            case _:
                assert_never(one.type)


def _read(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        stored: Any = json.loads(text)
        return {str(key): str(value) for key, value in stored.items()}
    except (ValueError, AttributeError) as error:
        logger.warning("stored records cannot be read (%s): beginning anew", error)
        return {}
