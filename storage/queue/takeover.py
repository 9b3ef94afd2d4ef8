"""Many small calls that hand mail over share their statements, not only their commit.

Contract: `hand_over` returns when its wish is durable, as Queue.accept does.  Wishes that wait while the writing thread
is at work are written together, one statement a table, and their callers are told in one step.  When the database
refuses the whole (a key that is known, an address that has had its share), each is written for itself, so that a
refusal meets only the call that caused it.  A transaction that must run twice writes the same wishes again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from storage.database import Database, public_error
from storage.pending import Overtaken, apart
from storage.queue.accept import Wish, accept

TOGETHER = 128  # wishes that are written at once


@dataclass(frozen=True, slots=True)
class _Waiting:
    wish: Wish
    done: asyncio.Future[None]


class Takeover:
    """See the module.  One event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: deque[_Waiting] = deque()
        self._called = False  # a turn is under way to the writing thread that will see whatever waits by then
        self._turns: set[asyncio.Task[None]] = set()

    async def hand_over(self, wish: Wish) -> None:
        """Write it.  Raises what Queue.accept raises."""
        one = _Waiting(wish, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._call()
        await one.done

    def _call(self) -> None:
        if self._waiting and not self._called:
            self._called = True
            turn = asyncio.get_running_loop().create_task(self._turn())
            self._turns.add(turn)  # a loop keeps no hold of its tasks
            turn.add_done_callback(self._turns.discard)

    async def _turn(self) -> None:
        taken: list[_Waiting] = []
        try:
            refusals = await self._db.transact(lambda connection: self._write(connection, taken))
        except BaseException as error:
            if not taken:  # the writing thread never came to it
                self._called = False
                taken += [self._waiting.popleft() for _ in range(len(self._waiting))]
            refusals = [error] * len(taken)
        for one, refusal in zip(taken, refusals, strict=True):
            if one.done.done():
                continue  # its caller has gone
            if refusal is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(refusal)
        self._call()  # what the turn had no room for

    def _write(self, connection: Connection, taken: list[_Waiting]) -> Sequence[BaseException | None]:
        """On the writing thread: why each was refused, None for what was written."""
        if not taken:
            self._called = False  # before the look: who comes after it needs a turn of its own
            while self._waiting and len(taken) < TOGETHER:
                taken.append(self._waiting.popleft())
        return _written(connection, [one.wish for one in taken])


def _written(connection: Connection, wishes: Sequence[Wish]) -> Sequence[BaseException | None]:
    if len(wishes) < 2:
        accept(connection, wishes)  # the database keeps its refusal apart from other calls
        return [None] * len(wishes)
    if _refusal(connection, wishes) is None:
        return [None] * len(wishes)
    return [_refusal(connection, [wish]) for wish in wishes]


def _refusal(connection: Connection, wishes: Sequence[Wish]) -> Exception | None:
    try:
        with apart(connection), connection.begin_nested():
            accept(connection, wishes)
    except (OperationalError, Overtaken):
        raise  # trouble of the database itself: the whole transaction runs again, or fails
    except Exception as error:
        return public_error(error)
    return None
