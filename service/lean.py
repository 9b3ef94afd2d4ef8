"""Settings of the interpreter for a process that moves many messages.

Contract: called once, when everything that lives as long as the process is built.  The collector then looks at those
objects no more, and looks for rings less often: messages make hardly any.  Threads change places sooner than by
default (5 ms): the writing thread waits for its turn while messages are signed, and signing does not let go of the GIL.
"""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.001
THRESHOLDS = (20_000, 20, 50)


def lean() -> None:
    """Apply them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
