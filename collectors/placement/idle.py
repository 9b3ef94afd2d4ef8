"""Waiting for new mail without asking (IDLE, RFC 2177): what runs in a thread, around a wait that takes none.

The loop watches the connection's descriptor between `begin` and `end`; `is_news` tells an answer that matters from a
server's "still here".  Every function may raise what imapclient raises; the caller then connects again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from collectors.placement.login import ANSWER_SECONDS

NOW = -1  # in place of a descriptor: news came along already


def begin(client: Any) -> int:
    """The descriptor to watch, or NOW."""
    client.idle()
    sock = client.socket()
    # news that came in one piece with the answer lie in a buffer, where no descriptor tells of them
    sock.setblocking(False)
    try:
        news = bool(client._imap.file.peek(1))
    except OSError:
        news = False
    finally:
        sock.settimeout(ANSWER_SECONDS)
    if news:
        client.idle_done()
        return NOW
    return int(sock.fileno())


def is_news(client: Any) -> bool:
    """False for "still here"; true for everything else, an end of the connection too."""
    said = client.idle_check(timeout=0)
    return not said or any(one[0] != b"OK" for one in said)


async def watch(descriptor: int, seconds: float, heard: asyncio.Event, has_news: Callable[[], Awaitable[bool]]) -> None:
    """Until the descriptor tells of news or somebody sets `heard`, at most `seconds` (real)."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        loop.add_reader(descriptor, heard.set)
        try:
            # not wait_for: until Python 3.12 it may swallow a cancellation
            async with asyncio.timeout(left):
                await heard.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(descriptor)
        heard.clear()
        if await has_news():
            return
