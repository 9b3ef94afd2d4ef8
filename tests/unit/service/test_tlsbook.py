"""Notes of TLS connections reach the log in their order, and cost the mail nothing when it cannot be written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import Unavailable
from core.events import Event, TlsNegotiated
from core.tls import NO_TLS, TlsSession
from service.tlsbook import BATCH, MAX_WAITING, TlsBook


class Log:
    """Only what the book uses of core.ports.EventLog."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.full = False

    async def append(self, events: Sequence[Event]) -> None:
        if self.full:
            raise Unavailable("full")
        self.events += events
        self.batches.append(len(events))


def session(n: int) -> TlsSession:
    return TlsSession(at=float(n), domain="a.test", host="mx.a.test", ip="192.0.2.1", facts=NO_TLS, detail="")


def instants(log: Log) -> list[float]:
    return [event.at for event in log.events if isinstance(event, TlsNegotiated)]


async def test_notes_are_written_in_batches_and_order() -> None:
    log = Log()
    book = TlsBook(log)  # type: ignore[arg-type]
    for n in range(BATCH + 1):
        book.note(session(n))
    await book.flush()
    assert instants(log) == list(range(BATCH + 1))
    assert log.batches == [BATCH, 1]


async def test_what_could_not_be_written_is_written_later_and_the_oldest_give_way() -> None:
    log = Log()
    book = TlsBook(log)  # type: ignore[arg-type]
    log.full = True
    for n in range(3):
        book.note(session(n))
    with pytest.raises(Unavailable):
        await book.flush()
    log.full = False
    for n in range(3, MAX_WAITING + 1):
        book.note(session(n))
    await book.flush()
    assert instants(log) == list(range(1, MAX_WAITING + 1))
