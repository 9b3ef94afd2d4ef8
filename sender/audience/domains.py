"""Asks DNS whether domains take mail, many at once, each once.

Contract: `look` gives an answer for every domain it is asked about; a resolver that fails gives UNKNOWN, never a word
against the domain.  At most `concurrency` questions are open.  Answers are kept, the least used forgotten beyond
`keep`.  A domain that got no answer is asked again by later calls, at most MAX_TRIES times.  When DNS answers nothing
at all for GIVE_UP questions in a row, the rest is UNKNOWN and `gave_up` says so: a list of a million rows must not
take a day because port 53 is closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from core.ports import NameMissing, NullMx, Resolver, ResolverFailed
from sender.audience.verdict import Reason

MAX_TRIES = 3
GIVE_UP = 300


class Domains:
    """See the module.  A domain whose mail exchangers all lie in `disposable` is disposable."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        disposable: frozenset[str] = frozenset(),
        concurrency: int = 100,
        keep: int = 100_000,
    ) -> None:
        self._resolver = resolver
        self._disposable = disposable
        self._concurrency = concurrency
        self._keep = keep
        self._answers: OrderedDict[str, tuple[Reason, int]] = OrderedDict()  # and how often it was asked
        self._failed_in_a_row = 0

    @property
    def gave_up(self) -> bool:
        """True when DNS is taken to be out of reach."""
        return self._failed_in_a_row >= GIVE_UP

    async def look(self, domains: Iterable[str]) -> dict[str, Reason]:
        """What DNS says of each."""
        found: dict[str, Reason] = {}
        wanted: dict[str, int] = {}
        for domain in domains:
            reason, tries = self._answers.get(domain, (Reason.UNKNOWN, 0))
            found[domain] = reason
            if reason is Reason.UNKNOWN and tries < MAX_TRIES:
                wanted[domain] = tries
            elif tries:
                self._answers.move_to_end(domain)
        work = iter(wanted.items())
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(wanted))):
                group.create_task(self._worker(work, found))
        while len(self._answers) > self._keep:
            self._answers.popitem(last=False)
        return found

    async def _worker(self, work: Iterator[tuple[str, int]], found: dict[str, Reason]) -> None:
        for domain, tries in work:
            if self.gave_up:
                return
            reason = await self._ask(domain)
            found[domain] = reason
            self._answers[domain] = (reason, tries + 1)
            self._answers.move_to_end(domain)
            self._failed_in_a_row = self._failed_in_a_row + 1 if reason is Reason.UNKNOWN else 0

    async def _ask(self, domain: str) -> Reason:
        try:
            hosts = await self._resolver.mx(domain)
        except NameMissing:
            return Reason.NXDOMAIN
        except NullMx:
            return Reason.NULL_MX
        except ResolverFailed:
            return Reason.UNKNOWN
        if not hosts:
            return Reason.NO_MX
        if all(within(host.host, self._disposable) for host in hosts):
            return Reason.DISPOSABLE
        return Reason.VALID


def within(host: str, domains: frozenset[str]) -> bool:
    """True when the name is one of the domains or lies below one."""
    name = host
    while name:
        if name in domains:
            return True
        name = name.partition(".")[2]
    return False
