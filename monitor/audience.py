"""Folds events into what is known of each recipient (core.audience).  Pure.

Contract: `fold` gives the readers that these events make of the known ones.  Delivered mail of a followed stream
counts; opens and clicks by humans are signs of life, as is a confirmed opt-in; a suppression makes the address leave,
its end brings it back.  Signs about a stream that never mailed the address do nothing.  Repeating an event twice counts
twice: the caller moves its cursor in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from core.address import Address
from core.audience import WEEK_DAYS, Reader
from core.events import (
    Accepted,
    Clicked,
    Delivered,
    Event,
    Opened,
    OptInConfirmed,
    Replied,
    SuppressionAdded,
    SuppressionRemoved,
)
from core.lane import DAY
from core.recipient import Actor

Key = tuple[str, str]


def addresses_of(events: Iterable[Event]) -> set[str]:
    """Whose readers `fold` needs."""
    found = set()
    for event in events:
        match event:
            case SuppressionAdded() | SuppressionRemoved() | OptInConfirmed():
                found.add(event.address)
            case Accepted() if not event.list_source:
                pass  # it says nothing yet: who was never mailed is no reader
            case Accepted() | Delivered() | Opened() | Clicked() | Replied():
                found.add(normal(event.recipient))
            case _:
                pass
    return found


def fold(
    known: Mapping[Key, Reader], events: Iterable[Event], *, streams: frozenset[str], ignored: frozenset[str]
) -> dict[Key, Reader]:
    """What changed, by (address, stream).  `ignored` are addresses of our own (seeds)."""
    readers = dict(known)
    changed: set[Key] = set()
    for event in events:
        match event:
            case Accepted() if event.list_source and event.stream in streams:
                key = (normal(event.recipient), event.stream)
                if key in readers and readers[key].list_source != event.list_source:
                    readers[key] = replace(readers[key], list_source=event.list_source)
                    changed.add(key)
                elif key not in readers and key[0] not in ignored:
                    # not mailed yet, but the list that it came from is known only now
                    readers[key] = Reader(address=key[0], stream=key[1], list_source=event.list_source)
                    changed.add(key)
            case Delivered() if event.attribution.traffic.stream in streams:
                key = (normal(event.recipient), str(event.attribution.traffic.stream))
                if key[0] not in ignored:
                    reader = readers.get(key) or Reader(address=key[0], stream=key[1])
                    readers[key] = _mailed(reader, event.at)
                    changed.add(key)
            case Opened() | Clicked() | Replied() if is_sign(event):
                key = (normal(event.recipient), str(event.attribution.traffic.stream))
                if key in readers and event.at > readers[key].sign_at:
                    readers[key] = replace(readers[key], sign_at=event.at, unanswered=0)
                    changed.add(key)
            case OptInConfirmed():
                for key in [k for k in readers if k[0] == event.address]:
                    if event.at > readers[key].sign_at:
                        readers[key] = replace(readers[key], sign_at=event.at, unanswered=0)
                        changed.add(key)
            case SuppressionAdded():
                for key in _meant(readers, event.address, event.stream):
                    if not readers[key].left_at:
                        readers[key] = replace(readers[key], left_at=event.at)
                        changed.add(key)
            case SuppressionRemoved():
                for key in _meant(readers, event.address, event.stream):
                    if readers[key].left_at:
                        readers[key] = replace(readers[key], left_at=0.0)
                        changed.add(key)
            case _:
                pass
    return {key: readers[key] for key in changed}


def is_sign(event: Event) -> bool:
    """A human's sign of life: an open, a click or an answer."""
    return isinstance(event, Replied) or (isinstance(event, Opened | Clicked) and event.actor is Actor.HUMAN)


def normal(recipient: str) -> str:
    """The normal form of an accepted recipient."""
    local, _, domain = recipient.rpartition("@")
    return Address(local, domain).normal


def _mailed(reader: Reader, at: float) -> Reader:
    week = int(at // (WEEK_DAYS * DAY))
    before, last = reader.in_week, reader.in_last_week
    if week != reader.week:
        before, last = 0, before if week == reader.week + 1 else 0
    return replace(
        reader, first_at=min(reader.first_at, at) if reader.first_at else at, last_at=max(reader.last_at, at),
        mails=reader.mails + 1, unanswered=reader.unanswered + 1, week=week, in_week=before + 1, in_last_week=last,
    )  # fmt: skip


def _meant(readers: Mapping[Key, Reader], address: str, scope: str) -> list[Key]:
    """A topic alone ('stream/topic') does not take an address out of its stream."""
    return [key for key in readers if key[0] == address and (scope in ("", "*") or scope == key[1])]
