"""Whose turn it is to write: a queue of processes before one SQLite file.

Contract: `with turn:` holds the right to write between the processes of this machine that use the same file, in the
order in which they came (nearly: two that come together are drawn by lot).  SQLite's own lock keeps the data safe; it
makes who waits sleep for up to 100 ms at a time and lets whoever has just written write again, so that one process
could keep the others out for seconds.  Two file locks make a turnstile: who waits for the second holds the first, and
who comes again stands behind it.  Who is in a hurry (`hurries`, asked again at each look) goes past the first and is
seen by a third; the others let it pass for YIELDS, so that a stream of receipts holds nobody up for longer.
A process that dies lets go of all three.  After PATIENCE nobody waits longer: a process
that hangs with the right in its hand must not hang the others, and SQLite's own lock then answers.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

PATIENCE = 5.0  # real seconds
YIELDS = 0.02  # real seconds for which who waits lets others pass that are in a hurry
_SHORTEST, _LONGEST = 0.0002, 0.001  # real seconds between two looks


def _never() -> bool:
    return False


class Turn:
    """See the module.  One thread at a time; opens its files at the first turn."""

    def __init__(self, database: str, hurries: Callable[[], bool] = _never) -> None:
        self._paths = tuple(f"{database}-{name}" for name in ("gate", "turn", "hurry"))
        self._files: tuple[int, ...] = ()
        self._hurries = hurries

    def __enter__(self) -> None:
        if not self._files:
            try:
                self._files = tuple(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in self._paths)
            except OSError:
                return  # a folder that cannot be written to: SQLite says so in better words
        gate, turn, hurry = self._files
        began = time.monotonic()
        first, wait = False, _SHORTEST  # whether it stands in front; both locks are wanted, the gate before the turn
        hurries = said = False
        try:
            while True:
                hurries = hurries or self._hurries()
                if hurries and not said:
                    said = _took(hurry, fcntl.LOCK_SH)
                first = first or hurries or _took(gate, fcntl.LOCK_EX)
                now = time.monotonic()
                if first and (hurries or now - began >= YIELDS or not self.wanted()) and _took(turn, fcntl.LOCK_EX):
                    return
                if now - began >= PATIENCE:
                    return
                time.sleep(wait)
                wait = min(_LONGEST, wait * 2)
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)
            fcntl.flock(hurry, fcntl.LOCK_UN)

    def wanted(self) -> bool:
        """Whether somebody waits who is in a hurry."""
        if not self._files or not _took(self._files[2], fcntl.LOCK_EX):
            return bool(self._files)
        fcntl.flock(self._files[2], fcntl.LOCK_UN)
        return False

    def __exit__(self, *_: object) -> None:
        if self._files:
            fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            os.close(file)
        self._files = ()


def _took(file: int, how: int) -> bool:
    """Try once: a lock that is waited for has no time-out."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
