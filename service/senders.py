"""Several sender processes of one node: started, told what is new, started again when they die, stopped together.

Contract: `run(index)` keeps one process `python -m service.senderproc` for as long as it lives and raises when it ends
by itself, so that the supervisor starts it again.  A process hears over its standard input: first its orders (settings,
name, share) as one line of JSON, then a word a line: WAKE (mail came in), GATES (a gate moved), LAG SECONDS (how far
the monitor is behind, every `TELL` seconds).  The end of that input is its order to end: so it also ends, finishing
what is in flight, when this process is killed.  A name has one life at a time: a process waits for its predecessor's
lock before it takes back what that one had claimed.

Never: mail does not pass through the pipe; what a process does not hear it finds within a second in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from config.model import Settings
from core.messages import Node
from core.ports import Clock

logger = logging.getLogger("penstock.senders")
WAKE, GATES, LAG = b"wake\n", b"gates\n", b"lag "
WAKE_GAP = 0.002  # real seconds
TELL = 0.4  # real seconds
PATIENCE = 17.0  # real seconds for a process to end: the dispatcher's own bounds and a little
_MAX_UNREAD = 4096  # bytes in the pipe above which a word is left out: a stuck process needs no more of them


def sender_count(wanted: int) -> int:
    """How many processes send; 0 asks for one for each core."""
    return wanted if wanted > 0 else max(1, os.cpu_count() or 1)


def sender_name(node: str, index: int) -> Node:
    """The name under which a process holds its leases: node1.s1 and so on."""
    return Node(f"{node}.s{index + 1}")


def lock_path(data_dir: Path, name: str) -> Path:
    """The file whose lock a living sender process holds."""
    return data_dir / f"sender-{name}.lock"


class Recovering(Protocol):
    """The one thing that is asked of the queue (core.ports.Queue)."""

    async def recover(self, node: Node, now: float) -> int: ...


class Senders:
    """See the module.  `lag()` is the monitor's."""

    def __init__(self, settings: Settings, count: int, lag: Callable[[], float]) -> None:
        self._settings = settings
        self._lag = lag
        self._inputs: dict[int, asyncio.StreamWriter] = {}
        self._came = self._told = False  # mail since the last word; a word within WAKE_GAP
        self.count = count

    def wake(self) -> None:
        """Mail came in.  Told at once, and once in WAKE_GAP: a thousand messages a second are no thousand words."""
        self._came = True
        if not self._told:
            self._tell_wake()

    def _tell_wake(self) -> None:
        self._told = self._came
        if self._came:
            self._came = False
            self._tell(WAKE)
            asyncio.get_running_loop().call_later(WAKE_GAP, self._tell_wake)

    def gates_changed(self) -> None:
        """A gate moved."""
        self._tell(GATES)

    async def run(self, index: int) -> None:
        """One process, from start to end.  Raises RuntimeError when it ended by itself."""
        name = sender_name(self._settings.node, index)
        orders = {
            "settings": self._settings.model_dump(mode="json"), "name": name, "index": index, "of": self.count
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.senderproc", stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            self._inputs[index] = process.stdin
            code = await process.wait()
        finally:
            self._inputs.pop(index, None)
            await _end(process, name)
        raise RuntimeError(f"sender process {name} ended with {code}")

    async def tell_lag(self) -> None:
        """Tell every process how far the monitor is behind, for ever: one that hears nothing lets no lane ramp."""
        while True:
            self._tell(LAG + b"%.3f\n" % self._lag())
            await asyncio.sleep(TELL)

    def _tell(self, word: bytes) -> None:
        for writer in self._inputs.values():
            if not writer.is_closing() and writer.transport.get_write_buffer_size() < _MAX_UNREAD:
                writer.write(word)


async def take_back(settings: Settings, queue: Recovering, clock: Clock, *, senders: int) -> None:
    """Free what senders of other names of this node had claimed before their number was changed."""
    names = [Node(settings.node)] if senders > 1 else []
    current = {sender_name(settings.node, index) for index in range(senders if senders > 1 else 0)}
    for path in settings.data_dir.glob(f"sender-{settings.node}.s*.lock"):
        name = path.name.removeprefix("sender-").removesuffix(".lock")
        if name not in current and _is_free(path):
            names.append(Node(name))
    for node in names:
        if returned := await queue.recover(node, clock.now()):
            logger.info("%d messages that %s had claimed are back in the queue", returned, node)


def _is_free(path: Path) -> bool:
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


async def _end(process: asyncio.subprocess.Process, name: str) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is not None:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        logger.error("sender process %s did not end within %.0f s and is killed", name, PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
