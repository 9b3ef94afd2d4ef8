"""One engine, one writer.

Contract: `transact(fn)` runs `fn` inside a transaction on the only writing thread and returns after the commit
is durable.  Calls that wait together share one commit (group commit), each inside its own savepoint, so that one
failure undoes only itself.  `fn` may run more than once before it takes effect (another node was faster, a
neighbour in the group failed at the last moment): it must not touch anything but the connection.
`read(fn)` runs on a reading thread and sees committed data only.  With `inline` both run in the caller, on one
connection and without threads: for simulation under virtual time.  `glance` (SQLite in a file) looks without a thread.

Durability: SQLite in WAL mode with synchronous=FULL (an fsync a commit); PostgreSQL with the server's
synchronous_commit.  Fails with Unavailable when the database cannot be reached or cannot commit: nothing of the
call was stored then, or (only when the commit itself failed) the outcome is unknown and the caller must not answer
success.  StorageConflict when a unique key was taken already.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from core.errors import InvalidInput, StorageConflict, Unavailable
from storage.glance import Glance
from storage.pending import Overtaken, Pending, begin, flush, pending
from storage.turn import Turn

T = TypeVar("T")
_MAX_GROUP = 256  # calls that share one commit
_GROUP_SECONDS = 0.02  # a commit takes in no further call when it has been open so long
_TRIES = 4  # of one transaction that other nodes overtake
_LOST_RACE = ("40001", "40P01")  # serialization failure, deadlock
_READERS = 2


class _Call(NamedTuple):
    fn: Callable[[Connection], Any]
    future: Future[Any]
    alone: bool
    first: bool


class _Done(NamedTuple):
    future: Future[Any]
    result: Any
    error: Exception | None


class _CommitFailed(Exception):
    """The database may or may not have stored the transaction."""


class Database:
    """See the module.  `url` as SQLAlchemy writes it; connects at the first use."""

    def __init__(self, url: str, inline: bool = False) -> None:
        self.engine = _engine(url, inline)
        self._reading_engine = self.engine.execution_options(reading=True)
        self.is_inline = inline
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self.glance = None if inline or self.is_postgresql else Glance(str(self.engine.url.database))
        self._turn = None if inline or self.is_postgresql else Turn(str(self.engine.url.database))
        self._pending: deque[_Call] = deque()
        self._called = False  # a drain is under way to the writing thread that will see whatever waits by then
        self._writer: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._on_append: list[Callable[[], None]] = []
        if not inline:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="storage-writer")
            self._reader = ThreadPoolExecutor(_READERS, thread_name_prefix="storage-reader")

    def on_append(self, call: Callable[[], None]) -> None:
        """`call` runs on the writing thread after each commit that appended events."""
        self._on_append.append(call)

    async def transact(self, fn: Callable[[Connection], T], *, alone: bool = False, first: bool = False) -> T:
        """Run `fn` in a durable transaction; its exception undoes it and is raised here.

        `alone`: `fn` holds locks that other nodes want (PostgreSQL), so it shares its commit with nobody.
        `first`: before all that waits, and in a commit that it shares only with its like."""
        future: Future[T] = Future()
        # a deque needs no lock for this: many append, one thread takes
        add = self._pending.appendleft if first else self._pending.append
        add(_Call(fn, future, alone and self.is_postgresql, first))
        if self._writer is None:
            self._drain()
            return future.result()
        if not self._called:
            self._called = True
            self._writer.submit(self._drain_all)
        return await asyncio.wrap_future(future)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run a reading `fn`."""
        if self._reader is None:
            return self._reading(fn)
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._reading, fn)

    async def aside(self, fn: Callable[[], T]) -> T:
        """Run a long `fn` that needs no connection where it does not hold up the caller's loop."""
        if self._reader is None:
            return fn()
        return await asyncio.get_running_loop().run_in_executor(self._reader, fn)

    async def close(self) -> None:
        """Finish what waits and close every connection."""
        for executor in (self._writer, self._reader):
            if executor is not None:
                await asyncio.get_running_loop().run_in_executor(None, executor.shutdown)
        if self.glance is not None:
            self.glance.close()
        if self._turn is not None:
            self._turn.close()
        self.engine.dispose()

    def _reading(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._reading_engine.connect() as connection:
                return fn(connection)
        except (DataError, OverflowError) as error:
            raise _unfit() from error
        except SQLAlchemyError as error:
            raise Unavailable(f"The database cannot answer: {public_text(error)}") from error

    def _drain_all(self) -> None:
        self._called = False
        if self._pending:
            self._drain()  # it gives its errors to the callers and raises none
        while self._pending and not self._called:
            # what one commit had no room for
            self._drain()

    def _drain(self) -> None:
        taken: list[_Call] = []
        try:
            outcome = self._commit(self._waiting(taken))
        except Exception as error:
            if isinstance(error, _CommitFailed) or (len(taken) == 1 and not _is_lost_race(error)):
                for call in taken:
                    call.future.set_exception(public_error(error))
                return
            # nothing of the group was stored: one by one, so that the failure meets only its own call
            for call in taken:
                self._commit_alone(call)
        else:
            self._publish(*outcome)

    def _commit_alone(self, call: _Call) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                outcome = self._commit(iter([call]))
            except Exception as error:
                if tries == _TRIES or not _is_lost_race(error):
                    call.future.set_exception(public_error(error))
                    return
            else:
                self._publish(*outcome)
                return

    def _waiting(self, taken: list[_Call]) -> Iterator[_Call]:
        """Calls for one commit, also those that arrive while it is made ready; noted in `taken`."""
        until = math.inf
        while len(taken) < _MAX_GROUP and not (taken and (taken[-1].alone or time.monotonic() > until)):
            if not self._pending or (taken and (self._pending[0].alone or taken[-1].first > self._pending[0].first)):
                return
            call = self._pending.popleft()
            if call.future.set_running_or_notify_cancel():
                taken.append(call)
                yield call
                # from here on, not from the first look: a turn that was long in coming shall serve all who wait by now
                until = min(until, time.monotonic() + _GROUP_SECONDS)

    def _commit(self, calls: Iterator[_Call]) -> tuple[list[_Done], bool]:
        """Run calls in one transaction.  What became of each, and whether events were appended."""
        # whose turn it is comes first, then what there is to do: what became urgent meanwhile goes before the rest
        with self._turn or nullcontext():
            first = next(calls, None)
            if first is None:
                return [], False
            notes, done = Pending(), list[_Done]()
            with self.engine.connect() as connection:
                transaction = connection.begin()
                try:
                    # nothing precedes the first call, so its failure may undo everything: it needs no savepoint
                    done.append(self._run(connection, first, notes))
                    done.extend(self._run_guarded(connection, call, notes) for call in calls)
                    flush(connection, notes)
                except BaseException:
                    transaction.rollback()
                    raise
                try:
                    transaction.commit()
                except SQLAlchemyError as error:
                    raise _CommitFailed from error
        return done, bool(notes.events)

    def _run(self, connection: Connection, call: _Call, notes: Pending) -> _Done:
        begin(connection)
        result = call.fn(connection)
        notes.merge(pending(connection))
        return _Done(call.future, result, None)

    def _run_guarded(self, connection: Connection, call: _Call, notes: Pending) -> _Done:
        try:
            with connection.begin_nested():
                return self._run(connection, call, notes)
        except Exception as error:
            # a refused statement belongs to its caller; trouble of the database itself (full disk, lost connection,
            # deadlock) may have ended the transaction under us and fails the whole group
            if isinstance(error, OperationalError | Overtaken):
                raise
            return _Done(call.future, None, error)

    def _publish(self, done: Sequence[_Done], appended: bool) -> None:
        for future, result, error in done:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(public_error(error))
        if appended:
            for call in self._on_append:
                call()


def _is_lost_race(error: Exception) -> bool:
    if isinstance(error, Overtaken):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _LOST_RACE


def public_error(error: Exception) -> Exception:
    """What callers are told, in the product's words."""
    if isinstance(error, _CommitFailed):
        cause = error.__cause__
        return Unavailable(f"The database cannot commit: {public_text(cause) if cause else ''}")
    if isinstance(error, IntegrityError):
        return StorageConflict(f"Another write came first: {public_text(error)}")
    if isinstance(error, Overtaken):
        return Unavailable("Other writes came first again and again")
    if isinstance(error, DataError | OverflowError):
        return _unfit()
    if isinstance(error, SQLAlchemyError):
        return Unavailable(f"The database refused: {public_text(error)}")
    return error


def _unfit() -> InvalidInput:
    """Not Unavailable: asking again would change nothing."""
    return InvalidInput(
        "request", "holds a value that the database cannot keep", "Leave out NUL characters and overlong numbers"
    )


def public_text(error: BaseException) -> str:
    """What the driver said, without parameters."""
    # only the driver's first line: SQLAlchemy's own text holds the parameters, which may be addresses
    original = getattr(error, "orig", None)
    lines = str(original or type(error).__name__).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _engine(url: str, inline: bool) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # a node that hangs inside a transaction must not hold the log's lock for ever
        bounds = "-c idle_in_transaction_session_timeout=30000 -c lock_timeout=20000"
        arguments = {"connect_timeout": 10, "options": bounds}
        return create_engine(
            parsed, pool_size=_READERS + 1, max_overflow=1, pool_timeout=30, pool_pre_ping=True, connect_args=arguments
        )
    if not inline and parsed.database in (None, "", ":memory:"):
        raise ValueError("a database in memory has one connection: open it inline")
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if inline:
        options["poolclass"] = StaticPool
    engine = create_engine(parsed, **options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # the driver's own implicit BEGIN would break savepoints: we begin ourselves
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA wal_autocheckpoint=4000")  # pages: the same page written ten times is copied once
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # a writer takes its lock at once, so that it can never fail half way with BUSY
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
