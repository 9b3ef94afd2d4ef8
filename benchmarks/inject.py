"""Injection over HTTP, durable when answered: calls of 10,000 recipients, and single messages from 50 clients at once.

    python benchmarks/inject.py [--runs N] [--singles N] [--senders N]

Sending runs at the same time, to a sink on loopback, as it would: the figures are those of a service at work.  Each
single message is 10 kB of its own.  Time of a batch is that of its one call.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, campaign_call, post_all, single_call
from benchmarks.rig.report import percentile, report
from benchmarks.rig.world import Names, Sink, await_that

BATCH = 10_000
CLIENTS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--singles", type=int, default=3000)
    parser.add_argument("--senders", type=int, default=2)
    arguments = parser.parse_args()
    names = Names()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        sink = Sink(folder)
        subject = Penstock(folder / "penstock", names, sink.port, senders=arguments.senders)
        try:
            batches, singles, waits = [], [], []
            for run in range(arguments.runs):
                call = campaign_call(subject.port, run * BATCH, BATCH, campaign=f"run{run}")
                batches.append(BATCH / post_all(subject.port, [call], 1)[0])
                await_that(lambda: subject.queued() == 0, "an empty queue", 600)
                first = 10_000_000 + run * arguments.singles
                calls = [single_call(subject.port, n) for n in range(first, first + arguments.singles)]
                began = time.perf_counter()
                times = post_all(subject.port, calls, CLIENTS)
                singles.append(arguments.singles / (time.perf_counter() - began))
                waits.append(percentile(times, 0.99) * 1000)
                await_that(lambda: subject.queued() == 0, "an empty queue", 600)
            report("inject", f"one call of {BATCH:,}", "accepted", "recipients/s", batches)
            report("inject", f"single messages, {CLIENTS} clients", "accepted", "messages/s", singles)
            report("inject", f"single messages, {CLIENTS} clients", "answer, p99", "ms", waits)
        finally:
            subject.stop()
            sink.stop()
            names.stop()


if __name__ == "__main__":
    main()
