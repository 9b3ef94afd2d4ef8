"""A mail host that notes when each probe's first byte comes, and probes: single transactional messages.

The host runs in the benchmark's process; the time is that from the end of the HTTP answer, so it may be negative when
the message was faster.
"""

from __future__ import annotations

import re
import time
from functools import partial

from benchmarks.rig.host import Host
from benchmarks.rig.penstock import Penstock
from benchmarks.rig.world import DOMAINS, await_that

_RCPT = re.compile(rb"RCPT TO:<(probe\d+)@", re.I)


class Witness(Host):
    """A mail host; `seen` holds the instant of the first byte of each probe's transaction."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        super().__init__()

    def recipient(self, line: bytes, began: float) -> bool:
        if found := _RCPT.match(line):
            self.seen[found[1].decode()] = began
        return True


def probe(subject: Penstock, witness: Witness, first: int, count: int, pause: float) -> list[float]:
    """Milliseconds from the answer to the first byte, one message after another."""
    waits: list[float] = []
    for n in range(first, first + count):
        name = f"probe{n}"
        subject.post("/v1/messages", {
            "stream": "transactional", "from": "shop@sender.test", "subject": "code", "text": f"Your code is {n}.",
            "to": f"{name}@{DOMAINS[n % len(DOMAINS)]}",
        })  # fmt: skip
        answered = time.monotonic()
        await_that(partial(witness.seen.__contains__, name), name, 60)
        waits.append((witness.seen[name] - answered) * 1000)
        time.sleep(pause)
    return waits
