"""How many connections a site is trusted with: feedback with hysteresis.  Pure.  After Postfix (SCHEDULER_README).

Contract: a window begins at INITIAL connections.  Each delivery adds one part in `window`, so that it grows by one when
a whole round of connections went well; a connection that fails takes its part away, and only half a round of failures
closes the window by one, so that a single one moves nothing.  A delivery clears the failures before it.  A whole round
of failures without one delivery between means that the site is of no use: the caller lets it rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INITIAL = 5  # connections to a site that nothing is known of, over all processes
ROUND = 10  # connections that a round is counted by, at most: the table allows hardly any site more
_ALMOST = 1e-9


def first_window(processes: int) -> int:
    """Connections that each of so many processes begins with."""
    return math.ceil(INITIAL / processes)


@dataclass(slots=True)
class Feedback:
    """What became of connections since the window last moved, in parts of a round."""

    gained: float = 0.0
    lost: float = 0.0  # towards closing by one
    failed: float = 0.0  # since the last delivery

    def success(self, window: int) -> int:
        """The window after a delivery."""
        self.lost = self.failed = 0.0
        self.gained += 1.0 / window
        if self.gained < 1.0 - _ALMOST:
            return window
        self.gained = 0.0
        return window + 1

    def failure(self, window: int) -> int:
        """The window after a connection that failed; 0 when the site is of no use now."""
        window = min(window, ROUND)
        self.gained = 0.0
        self.lost += 1.0 / window
        self.failed += 1.0 / window
        if self.failed >= 1.0 - _ALMOST:
            self.lost = self.failed = 0.0
            return 0
        if self.lost < 0.5 - _ALMOST:
            return window
        self.lost = 0.0
        return max(1, window - 1)
