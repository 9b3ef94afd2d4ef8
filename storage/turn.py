"""Whose turn it is to write: a queue of processes before one SQLite file.

Contract: `with turn:` holds the right to write between the processes of this machine that use the same file, in the
order in which they came (nearly: two that come together are drawn by lot).  SQLite's own lock keeps the data safe; it
makes who waits sleep for up to 100 ms at a time and lets whoever has just written write again, so that one process
could keep the others out for seconds.  Two file locks make a turnstile: who waits for the second holds the first, and
who comes again stands behind it.  A process that dies lets go of both.  After PATIENCE nobody waits longer: a process
that hangs with the right in its hand must not hang the others, and SQLite's own lock then answers.
"""

from __future__ import annotations

import fcntl
import os
import time

PATIENCE = 5.0  # real seconds
_SHORTEST, _LONGEST = 0.0002, 0.001  # real seconds between two looks


class Turn:
    """See the module.  One thread at a time; opens its files at the first turn."""

    def __init__(self, database: str) -> None:
        self._paths = (f"{database}-gate", f"{database}-turn")
        self._files: tuple[int, ...] = ()

    def __enter__(self) -> None:
        if not self._files:
            try:
                self._files = tuple(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in self._paths)
            except OSError:
                return  # a folder that cannot be written to: SQLite says so in better words
        gate, turn = self._files
        end = time.monotonic() + PATIENCE
        try:
            if _lock(gate, end):
                _lock(turn, end)
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        if self._files:
            fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            os.close(file)
        self._files = ()


def _lock(file: int, end: float) -> bool:
    """Look again and again, because a lock that is waited for has no time-out.  False when the time was up."""
    wait = _SHORTEST
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(wait)
            wait = min(_LONGEST, wait * 2)
        else:
            return True
