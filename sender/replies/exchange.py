"""What the sender processes tell one another about replies, through the store.

Contract: `start` reads what is known before the first message goes: rests, reactions and counts survive restarts.
`turn` is called in each round of dispatch; every `every` real seconds it tells what is new here in one transaction with
its events, and reads what others told since.  So a rest or reaction holds in every process within a second of the
reply that caused it, and at once in the process that heard it.  What could not be told is kept and told the next time.
"""

from __future__ import annotations

import math
from dataclasses import replace

from core.ports import Clock
from core.reaction import Lore, Rest
from core.replyrules import RuleBook
from sender.replies.reactor import Reactor
from sender.schedule import LaneRest, is_ahead
from sender.sources import Sources

EVERY = 0.4  # real seconds
_OVERLAP = 5.0  # real seconds that are read again: clocks of nodes differ, a commit takes a moment


class Replies:
    """See the module.  `writer` is this process's name; `lore` None: nothing is shared (a simulation of one sender)."""

    def __init__(
        self,
        book: RuleBook,
        lore: Lore | None,
        writer: str,
        *,
        share: tuple[int, int] = (0, 1),
        every: float = EVERY,
    ) -> None:
        self.reactor = Reactor(book, writer, share)
        self.rest = LaneRest(share)
        self.sources = Sources()
        self._lore = lore
        self._writer = writer
        self._every = every
        self._next = -math.inf
        self._read = 0.0

    async def start(self, now: float) -> None:
        """Learn what is known."""
        if self._lore is None:
            return
        known = await self._lore.everything(now, writer=self._writer)
        self.reactor.hear(known)
        # a relay is tried at once: a start is how a mended password or address comes to count
        self._rests(tuple(replace(one, until=0.0) if one.site.startswith("relay:") else one for one in known.rests))
        self._read = now

    async def turn(self, clock: Clock, *, last: bool = False) -> None:
        """Tell and hear, when it is time; `last`: in any case."""
        now = clock.now()
        self.reactor.turn(now)
        if is_ahead(self._next, now, clock.real(self._every)) and not last:
            return
        self._next = now + clock.real(self._every)
        lessons = self.reactor.take_lessons()
        lessons.rests = [*self.rest.take_lessons(), *((rest, None) for rest in self.sources.take_lessons())]
        if self._lore is None:
            return
        try:
            if lessons:
                await self._lore.tell(lessons, now)
        except BaseException:
            self.reactor.give_back(lessons)
            self.rest.give_back(lessons.rests)
            self.sources.give_back(rest for rest, _ in lessons.rests)
            raise
        news = await self._lore.news(self._read - clock.real(_OVERLAP), writer=self._writer)
        self.reactor.hear(news)
        self._rests(news.rests)
        self._read = now

    def _rests(self, rests: tuple[Rest, ...]) -> None:
        for rest in rests:
            if rest.site:
                self.rest.hear(rest)
            else:
                self.sources.hear(rest)
