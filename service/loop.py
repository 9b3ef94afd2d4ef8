"""The event loop of the processes that run for long: uvloop where it is installed, asyncio's own elsewhere.

uvloop handles sockets and wake-ups in C: a sender process spends an eighth less CPU on a message.  It is a dependency
on Linux; nothing depends on it, and every other command keeps asyncio's loop, which starts faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop that is closed by its user."""
    try:
        import uvloop  # not installed on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on that loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
