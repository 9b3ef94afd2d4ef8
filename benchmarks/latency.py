"""From 202 to the first byte of SMTP, idle; and the same with a campaign queued, a short one and a long one.

    python benchmarks/latency.py [--messages N] [--queued N] [--senders N] [--postgresql]

The receiving host runs in this process (benchmarks/rig/witness.py).  With `--queued` (default 20,000; 1,000,000 is the
figure of the documents) a campaign to the same domains is being sent meanwhile: each host takes 20 ms a message, so
that the connections are busy, and a transactional message must find its way past it.  The campaign is paused while it
comes in, so that the queue is as long as is said when the probes begin; 20,000 of it are measured before the rest, so
that both sides are of one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, queue_paused
from benchmarks.rig.postgres import DURABILITY as POSTGRESQL
from benchmarks.rig.postgres import postgres
from benchmarks.rig.report import SQLITE, not_measured, percentile, report
from benchmarks.rig.witness import Witness, probe
from benchmarks.rig.world import Absent, Names

BUSY_SECONDS = 0.02
SHORT = 20_000


def tell(subject: str, waits: list[float], durability: str) -> None:
    """p50, p99 and the worst."""
    for label, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0)):
        name = f"202 to first SMTP byte, {label}"
        report("latency", subject, name, "ms", [percentile(waits, share)], durability=durability)


def measure(subject: Penstock, witness: Witness, queued: int, messages: int, label: str, durability: str) -> None:
    """All probes of one service."""
    probe(subject, witness, 0, 5, 0.2)  # routes are known then
    tell(f"idle, {label}", probe(subject, witness, 100, messages, 0.05), durability)
    witness.delay = BUSY_SECONDS
    first = 0
    for until in sorted({min(SHORT, queued), queued}):
        queue_paused(subject, first, until)
        first = until
        waiting = subject.queued()
        subject.post("/v1/pauses/resume", {"scope": "campaign=bench", "reason": "measured"})
        waits = probe(subject, witness, 100_000 + until, messages, 0.05)
        tell(f"with {waiting:,} of a campaign queued, {label}", waits, durability)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--queued", type=int, default=20_000)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    names, witness = Names(), Witness()
    label = f"{arguments.senders} sender(s)" + (", PostgreSQL" if arguments.postgresql else "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        stack.callback(names.stop)
        try:
            url = stack.enter_context(postgres("penstock"))[0] if arguments.postgresql else ""
        except Absent as absent:
            not_measured(label, str(absent))
            return
        subject = Penstock(folder / "penstock", names, witness.port, senders=arguments.senders, url=url)
        stack.callback(subject.stop)
        measure(subject, witness, arguments.queued, arguments.messages, label, POSTGRESQL if url else SQLITE)


if __name__ == "__main__":
    main()
