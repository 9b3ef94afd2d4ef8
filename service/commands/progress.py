"""A progress bar on a terminal, and silence anywhere else."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY = 0.1  # real seconds between two drawings
_WIDTH = 30


class Progress:
    """Drawn on standard error, so that standard output stays clean.  `total` 0 shows a count alone."""

    def __init__(self, total: int, *, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._next = 0.0
        self._drawn = 0

    def show(self, done: int, note: str = "") -> None:
        """Draw, if it is time; `done` of `total`."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + _EVERY
        share = min(1.0, done / self._total) if self._total else 0.0
        filled = int(share * _WIDTH)
        bar = f"[{'█' * filled}{'·' * (_WIDTH - filled)}] {share:4.0%}  " if self._total else ""
        line = f"{bar}{note}"[:120]
        self._stream.write("\r" + line.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(line)

    def end(self) -> None:
        """Take it away."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0
