"""The picture of due mail that dispatch works off between two looks at the queue, and whose turn it is.

Contract: pure bookkeeping.  `refresh` replaces the picture; `took` and `dry` keep it honest until the next one.  Turn:
the lowest priority number first; among equals the kind (stream, campaign) that was served least, where a newcomer
starts level with the least served one, so that a huge campaign neither delays a small one nor can a stream of new
campaigns starve it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.lane import Campaign, Lane, Pool, Provider, SendingDomain, Site, Source, Stream, Traffic
from core.messages import QueueGroup
from sender.schedule import is_ahead

Place: TypeAlias = tuple[SendingDomain, Site]
Kind: TypeAlias = tuple[SendingDomain, Provider, Site, Stream, Campaign, Pool, str]
_LONGEST_QUIET_DOUBLINGS = 6  # 2**6 × the first wait


def kind_of(group: QueueGroup) -> Kind:
    """The identity of a group, without its counts."""
    return (
        group.sending_domain,
        group.provider,
        group.site,
        group.stream,
        group.campaign,
        group.pool,
        group.list_source,
    )


@dataclass(slots=True)
class Pile:
    """Due mail of one kind.  `served` counts messages claimed from it; `quiet` holds (until, failures) by source."""

    group: QueueGroup
    fresh: int
    retries: int
    served: int = 0
    overflowing: bool = False  # its pool cannot carry all of it now: the overflow pool may
    quiet: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.fresh + self.retries

    @property
    def turn(self) -> tuple[int, int, float]:
        """Sorts piles: who comes first."""
        return (self.group.priority, self.served, self.group.oldest)

    def traffic(self, source: Source) -> Traffic:
        """What this mail is when it goes by `source`."""
        group = self.group
        lane = Lane(source=source, sending_domain=group.sending_domain, provider=group.provider)
        return Traffic(lane=lane, stream=group.stream, campaign=group.campaign, list_source=group.list_source)


class Board:
    """See the module.  `longest_quiet`: seconds beyond which no dry claim can have put a pile off."""

    def __init__(self, longest_quiet: float) -> None:
        self._longest_quiet = longest_quiet
        self._piles: dict[Kind, Pile] = {}
        self._places: dict[Place, list[Pile]] = {}
        self.worked_off = False  # something was claimed since the last look

    def refresh(self, groups: Iterable[QueueGroup]) -> list[Kind]:
        """Take over what the queue says is due.  Returns the kinds that are due no more."""
        before, self._piles, self._places = self._piles, {}, {}
        self.worked_off = False
        fresh: list[Pile] = []
        for group in groups:
            kind = kind_of(group)
            pile = before.pop(kind, None)
            if pile is None:
                pile = Pile(group, group.fresh, group.retries)
                fresh.append(pile)
            else:
                pile.group, pile.fresh, pile.retries = group, group.fresh, group.retries
            self._piles[kind] = pile
            self._places.setdefault((group.sending_domain, group.site), []).append(pile)
        new = {id(pile) for pile in fresh}
        for pile in fresh:
            peers = self._places[pile.group.sending_domain, pile.group.site]
            rivals = [p.served for p in peers if id(p) not in new and p.group.priority == pile.group.priority]
            pile.served = min(rivals, default=0)
        return list(before)

    def piles(self) -> list[Pile]:
        """Every pile with mail left, in turn."""
        return sorted((pile for pile in self._piles.values() if pile.rows), key=lambda pile: pile.turn)

    def at(self, place: Place) -> Sequence[Pile]:
        """The piles of one place with mail left, in turn."""
        found = [pile for pile in self._places.get(place, ()) if pile.rows]
        return sorted(found, key=lambda pile: pile.turn) if len(found) > 1 else found

    def rows_at(self, place: Place) -> int:
        """Due rows of one place."""
        return sum(pile.rows for pile in self._places.get(place, ()))

    def took(self, pile: Pile, source: str, fresh: int, retries: int, claimed: int) -> None:
        """Rows were claimed; when fewer than asked for, the pile counts as empty until the next look."""
        self.worked_off = self.worked_off or claimed > 0
        if claimed:
            pile.quiet.pop(source, None)  # mail flows: an earlier dry claim is history
        pile.served += max(1, claimed)
        if claimed < fresh + retries:
            pile.fresh = 0 if fresh else pile.fresh
            pile.retries = 0 if retries else pile.retries
        else:
            pile.fresh -= fresh
            pile.retries -= retries

    @staticmethod
    def dry(pile: Pile, source: str, now: float, first_wait: float) -> float:
        """A claim gave nothing (an allowance is spent, or others were faster): let it be until the instant returned."""
        _, failures = pile.quiet.get(source, (0.0, 0))
        until = now + first_wait * 2.0 ** min(failures, _LONGEST_QUIET_DOUBLINGS)
        pile.quiet[source] = (until, failures + 1)
        return until

    def quiet_until(self, pile: Pile, source: str, now: float) -> float:
        """When the pile may be asked again by `source`; 0 when at once."""
        until = pile.quiet[source][0] if source in pile.quiet else 0.0
        return until if is_ahead(until, now, self._longest_quiet) else 0.0
