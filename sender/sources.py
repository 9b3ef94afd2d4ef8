"""Egress sources that are of no use now: taken out, told, and tried again.

Contract: a source rests
- at once, when this machine cannot send from its address (UNBINDABLE);
- when hosts of PROVIDERS different recognised providers in a row could not be reached from it (UNREACHABLE);
- when as many in a row refused it before a message, for what it is and not for how much it sends (REFUSED: its address
  or EHLO name), with no answer of another kind between.
The first rest is a minute, each further one twice as long, at most half an hour.  One provider's outage and hosts of a
bad list prove nothing: only recognised providers count, and mail for a relay does not.  What changes is told by an
event, written by `tell` before the loop's next look; an event that cannot be written is kept for the next time.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.classify import Group
from core.events import SourceRested, SourceReturned, SourceTrouble
from core.ports import EventLog
from core.reaction import Rest
from core.reply import Stage
from core.state import AttemptResult
from sender.schedule import is_ahead

PROVIDERS = 3
FIRST_SECONDS = 60.0
LONGEST_SECONDS = 1800.0
_ABOUT_US = frozenset({Group.REPUTATION, Group.AUTHENTICATION, Group.POLICY})


class Sources:
    """See the module.  Times in domain seconds."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, SourceTrouble], set[str]] = {}
        self._until: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._news: list[SourceRested | SourceReturned] = []
        self._troubled: dict[str, float] = {}
        self._fresh: set[str] = set()  # sources of which others do not know the newest yet

    def learn(self, source: str, provider: str, result: AttemptResult, group: Group, now: float) -> bool:
        """Take in the outcome of an opening or a message.  True when the source rests from now on."""
        reply = result.reply
        if result.source_fault:
            return self._rest(source, SourceTrouble.UNBINDABLE, reply.text, now)
        if reply.code == 0 and reply.stage is Stage.CONNECT and not result.reusable:
            return self._count(source, provider, SourceTrouble.UNREACHABLE, reply.text, now)
        if reply.code >= 400 and reply.stage in (Stage.CONNECT, Stage.HELO):
            # a host that merely has no time for us is one that can be reached
            self._failed.pop((source, SourceTrouble.UNREACHABLE), None)
            if group in _ABOUT_US:
                return self._count(source, provider, SourceTrouble.REFUSED, str(reply), now)
            return False
        if reply.code and reply.stage is not Stage.STARTTLS:  # that one may be our own word about a policy
            self._answered(source, now)
        return False

    def until(self, source: str) -> float:
        """When the source may be used again."""
        return self._until.get(source, 0.0)

    def troubled(self, source: str) -> bool:
        """True from a rest until some host takes it in again."""
        return source in self._strikes

    async def tell(self, log: EventLog) -> None:
        """Write what changed."""
        news, self._news = self._news, []
        try:
            if news:
                await log.append(news)
        except BaseException:
            self._news = news + self._news
            raise

    def hear(self, rest: Rest) -> None:
        """What another process learned, or an earlier life of this one; `strikes` 0: it got an answer again."""
        known = self._troubled.get(rest.source, 0.0)
        if rest.troubled < known or (rest.troubled == known and rest.strikes):
            return
        self._troubled[rest.source] = rest.troubled
        if rest.strikes:
            self._strikes[rest.source], self._until[rest.source] = rest.strikes, rest.until
        else:
            self._strikes.pop(rest.source, None)
            self._until.pop(rest.source, None)

    def take_lessons(self) -> list[Rest]:
        """What others do not know yet; it counts as told."""
        fresh, self._fresh = self._fresh, set()
        return [
            Rest(
                source=source, site="", troubled=self._troubled[source], until=self._until.get(source, 0.0),
                strikes=self._strikes.get(source, 0), width=1,
            )
            for source in sorted(fresh)
        ]  # fmt: skip

    def give_back(self, lessons: Iterable[Rest]) -> None:
        """These could not be told."""
        self._fresh.update(rest.source for rest in lessons if not rest.site)

    def _count(self, source: str, provider: str, trouble: SourceTrouble, detail: str, now: float) -> bool:
        if provider.startswith(("other:", "relay:")) or is_ahead(self.until(source), now):
            return False
        failed = self._failed.setdefault((source, trouble), set())
        failed.add(provider)
        return len(failed) >= PROVIDERS and self._rest(source, trouble, detail, now)

    def _rest(self, source: str, trouble: SourceTrouble, detail: str, now: float) -> bool:
        if is_ahead(self.until(source), now):
            return False
        strikes = self._strikes.get(source, 0)
        self._strikes[source] = strikes + 1
        until = now + min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(strikes, 10))
        self._until[source] = until
        self._troubled[source] = now
        self._fresh.add(source)
        self._news.append(SourceRested(at=now, source=source, trouble=trouble, until=until, detail=detail[:300]))
        return True

    def _answered(self, source: str, now: float) -> None:
        for trouble in SourceTrouble:
            self._failed.pop((source, trouble), None)
        if self._strikes.pop(source, 0):
            self._until.pop(source, None)
            self._fresh.add(source)
            self._news.append(SourceReturned(at=now, source=source))
