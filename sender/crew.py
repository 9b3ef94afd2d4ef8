"""The lines (open connections) of this process: how many may be open where, and who gives way.

Contract: never more connections from one source to one provider than its row allows, nor to one site than the pair
bears after trouble, nor MAX_LINES in all.  Where more than one is allowed, the last is kept for transactional mail, so
that a campaign of any size delays a receipt by no more than a connection's opening.  An idle connection gives way to a
place that needs its slot.  Several processes divide each limit: `sender.limiting.book.part_of`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from config.model import Relay
from config.tables import OTHER_ROW, ProviderRow
from core.decision import Defer
from core.lane import Provider, Site, Source
from sender.board import Pile, Place
from sender.limiting.book import Bounds, Crowd, part_of
from sender.line import BATCH, Foreman, Line
from sender.tools import Tools

logger = logging.getLogger("penstock.sender")
MAX_LINES = 400
FAILED_SECONDS = 1.0  # real seconds that a place is left alone after a line there ended in an error of ours


class Crew:
    """See the module.  `urgent` are the transactional streams; call `start` before `engage`."""

    def __init__(
        self,
        tools: Tools,
        foreman: Foreman,
        rows: Mapping[str, ProviderRow],
        urgent: frozenset[str],
        *,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._tools = tools
        self._foreman = foreman
        self._rows = rows
        self._urgent = urgent
        self._share = share
        self._tasks: dict[Line, asyncio.Task[None]] = {}
        self._places: dict[tuple[Source, Place], list[Line]] = {}
        self._open: Counter[tuple[str, str, str]] = Counter()  # ('site' | 'provider', source, name)
        self._quiet: dict[tuple[Source, Place], float] = {}
        self._crowds: dict[Line, tuple[Crowd, ...]] = {}  # of limits of ours, that a line counts in
        self._group: asyncio.TaskGroup | None = None
        self.blocked: Defer | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Lines run in this group."""
        self._group = group

    def open_at(self, source: Source, site: Site) -> int:
        """Lines of this source at this site."""
        return self._open["site", source, site]

    def engage(self, source: Source, pile: Pile, bounds: Bounds, messages: int, now: float) -> int:
        """See to it that lines of this source work on so many messages of the pile.  How many they can be about.

        `blocked` tells afterwards which limit of ours stood in the way of more."""
        self.blocked = None
        place: Place = (pile.group.sending_domain, pile.group.site)
        if self._quiet.get((source, place), 0.0) > now or self._foreman.stopping:
            return 0
        urgent = pile.group.stream in self._urgent
        mine = [line for line in self._places.get((source, place), ()) if not line.dismissed]
        fit = [line for line in mine if urgent or not line.urgent_only]
        needed = math.ceil(messages / BATCH)
        idle = [line for line in fit if line.parked]
        for line in idle[:needed]:
            line.call()
        if urgent and not idle and not any(line.urgent_only for line in mine):
            needed = len(fit) + 1  # the others are busy with whatever: one more, so that this does not wait for them
        elif not urgent:
            # lines serve all kinds of their place
            needed = max(needed, min(math.ceil(self._tools.board.rows_at(place) / BATCH), needed + len(fit)))
        count = len(fit)
        while count < needed and self._hire(source, place, pile, bounds, urgent=urgent):
            count += 1
        if urgent and not idle and count == len(fit):
            # no connection more is to be had: one that serves others looks again
            for line in [line for line in fit if not line.urgent_only][:1]:
                line.give_way()
        return min(messages, count * BATCH)

    def ended(self, line: Line, *, failed: bool) -> None:
        """A line has closed its connection."""
        self._tasks.pop(line, None)
        self._tools.limits.leave(self._crowds.pop(line, ()))
        lines = self._places.get((line.source, line.place), [])
        if line in lines:
            lines.remove(line)
        if not lines:
            self._places.pop((line.source, line.place), None)
        for key in self._slots(line.source, line.place[1], line.provider):
            self._open[key] -= 1
            if self._open[key] <= 0:
                del self._open[key]
        if failed:
            now = self._tools.clock.now()
            until = now + self._tools.clock.real(FAILED_SECONDS)
            self._quiet = {key: at for key, at in self._quiet.items() if at > now}
            self._quiet[line.source, line.place] = until
            self._foreman.due(until)

    def cut_stuck(self) -> int:
        """End lines that took no step for longer than any lease: whatever holds them, their mail is to be free."""
        longest = self._tools.clock.real(self._tools.delivery.lease_seconds * 1.5)
        now = self._tools.clock.now()
        stuck = [line for line in self._tasks if not line.parked and now - line.moved_at > longest]
        for line in stuck:
            logger.error("a line of source %s to %s took no step for %.0f s", line.source, line.place[1], longest)
            self._tasks[line].cancel()
        return len(stuck)

    async def finish(self, seconds: float) -> None:
        """Let every line end after the message in hand; cut off what takes longer than `seconds` (real)."""
        for line in list(self._tasks):
            line.dismiss()
        if tasks := set(self._tasks.values()):
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                logger.warning("%d messages were cut off in flight; their leases end by themselves", len(late))
                await asyncio.wait(late, timeout=1.0)

    def _hire(self, source: Source, place: Place, pile: Pile, bounds: Bounds, *, urgent: bool) -> bool:
        site, provider = pile.group.site, pile.group.provider
        row = self._rows.get(site) or self._rows.get(provider) or self._rows.get(OTHER_ROW.name, OTHER_ROW)
        of_site, of_provider = (self._open[key] for key in self._slots(source, site, provider))
        allowed = part_of(row.connections, *self._share)
        now, traffic, reactor = self._tools.clock.now(), pile.traffic(source), self._tools.reactor
        allowed = min(allowed, reactor.connections(traffic, site, now, whole=True))
        width = self._tools.rest.width(source, site, min(allowed, reactor.connections(traffic, site, now)))
        last = width > 1 and (of_site >= width - 1 or of_provider >= allowed - 1)
        full = of_site >= width or of_provider >= allowed or len(self._tasks) >= MAX_LINES
        if full or (last and not urgent):
            self._dismiss_idle(source, provider)
            return False
        if bounds.is_elsewhere:
            return False
        self.blocked = self._tools.limits.blocked(bounds, self._tools.clock.now())
        if self.blocked is not None:
            if bounds.open:
                self._dismiss_idle_of(bounds.open)
            return False
        line = Line(
            self._tools, self._foreman, source, pile,
            per_connection=row.messages_per_connection, urgent_only=last and urgent,
        )  # fmt: skip
        self._open.update(self._slots(source, site, provider))
        if bounds.open:
            self._crowds[line] = bounds.open
            self._tools.limits.enter(bounds.open)
        self._places.setdefault((source, place), []).append(line)
        assert self._group is not None, "start() comes first"
        self._tasks[line] = self._group.create_task(line.run(), name=f"line {source} {site[:60]}")
        return True

    def _dismiss_idle(self, source: Source, provider: Provider) -> None:
        crowded = len(self._tasks) >= MAX_LINES
        for line in self._tasks:
            # the kept connection stays: nobody else could use its slot, and a receipt would open it anew
            here = (line.source, line.provider) == (source, provider) and not line.urgent_only
            if line.parked and not line.dismissed and (crowded or here):
                line.dismiss()
                return

    def _dismiss_idle_of(self, crowds: tuple[Crowd, ...]) -> None:
        for line, counted in self._crowds.items():
            if line.parked and not line.dismissed and not set(crowds).isdisjoint(counted):
                line.dismiss()
                return

    @staticmethod
    def _slots(source: str, site: str, provider: str) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
        # a relay stands in for every provider: theirs are counted where they are spoken to
        counted = site if site.startswith("relay:") else provider
        return ("site", source, site), ("provider", source, counted)


def relay_rows(relays: Iterable[Relay]) -> dict[str, ProviderRow]:
    """The limits of the relays, by the site that stands for each."""
    return {
        f"relay:{relay.name}": ProviderRow(
            name=relay.name, mx=[relay.host], connections=relay.connections,
            messages_per_connection=relay.messages_per_connection, new_connections_per_minute=0,
        )
        for relay in relays
    }  # fmt: skip
