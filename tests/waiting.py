"""Waits that end with a reason: until something is true, within a bound, and what there was instead.

A test that waits says what for.  The bounds are far above what a slow machine needs, as only a failure ever waits so
long, and below the time limit of a test (`pyproject.toml`), so that this failure is told and not a bare time-out.
Nothing here measures speed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 60.0  # seconds for one wait inside a process
DAEMONS = 120.0  # seconds for one wait on other programs
WHOLE = 100.0  # seconds for one coroutine test outside of the integration tests

What = str | Callable[[], object]


class StillWaiting(AssertionError):
    """What was waited for did not come; the text names it and the last state that was seen."""


def _told(what: What, seconds: float) -> str:
    return f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}"


def wait_until(
    ready: Callable[[], object],
    what: What,
    seconds: float = DAEMONS,
    *,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Look every 50 ms until `ready()` is true; fails with `what`, asked for at the end when it is a callable.

    With `progress` the time begins anew whenever that changes: long work is given up for standing still alone.
    """
    end, reached = time.monotonic() + seconds, progress()
    while not ready():
        if (now_at := progress()) != reached:
            end, reached = time.monotonic() + seconds, now_at
        if time.monotonic() > end:
            raise StillWaiting(_told(what, seconds))
        time.sleep(0.05)


def answer_of(ask: Callable[[], T | None], what: What, seconds: float = DAEMONS) -> T:
    """The first answer that is not None: a program under load may be silent once."""
    found: list[T] = []

    def asked() -> bool:
        answer = ask()
        if answer is not None:
            found.append(answer)
        return bool(found)

    wait_until(asked, what, seconds)
    return found[0]


async def until(
    ready: Callable[[], object] | Callable[[], Awaitable[object]], what: What, seconds: float = PATIENCE
) -> None:
    """The same beside a running loop: looks at each of its turns, then every 10 ms."""
    end = time.monotonic() + seconds
    turns = 0
    while True:
        found: Any = ready()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        if time.monotonic() > end:
            raise StillWaiting(_told(what, seconds))
        turns += 1
        await asyncio.sleep(0 if turns < 100 else 0.01)


async def within(awaited: Awaitable[T], what: What, seconds: float = PATIENCE) -> T:
    """The result; fails with `what` when it does not come."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaited
    except TimeoutError:
        if not limit.expired():
            raise
        raise StillWaiting(_told(what, seconds)) from None


def bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A coroutine test that fails where it waits: the traceback of a time-out by signal shows the event loop alone."""

    @wraps(test)
    async def run(*args: object, **kwargs: object) -> None:
        try:
            async with asyncio.timeout(WHOLE) as limit:
                await test(*args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StillWaiting(f"the test waits since {WHOLE:.0f} s; the traceback above shows where") from error

    return run


class Leap:
    """Lets the timers of the running loop think that time has passed: a time-out comes when the test says so.

    With a real time-out of a tenth of a second a stall of the machine ends the wrong wait.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._ahead = 0.0
        loop.time = lambda: self._real() + self._ahead  # type: ignore[method-assign]

    def __call__(self, seconds: float) -> None:
        self._ahead += seconds


class StallMeter:
    """How long this machine did not let a thread run that wanted to: what a promise in seconds cannot be held to.

    `with StallMeter() as meter:` … `meter.allowance(began, ended)`: seconds to be granted on top of a promise for that
    span of `time.monotonic()`.  On a machine that keeps up it is 0.
    """

    PARTIES = 3  # that work one after the other, each held up as this thread was

    _NAP = 0.01

    def __init__(self) -> None:
        self._delays: list[tuple[float, float]] = []  # (when it woke, how late)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self._NAP):
            now = time.monotonic()
            late = now - last - self._NAP
            if late > 2 * self._NAP:
                self._delays.append((now, late))
            last = now

    def allowance(self, began: float, ended: float) -> float:
        """A delay that reaches into the span counts whole."""
        lost = sum(late for woke, late in self._delays if woke > began and woke - late < ended)
        return self.PARTIES * lost

    def __enter__(self) -> StallMeter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
