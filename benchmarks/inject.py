"""Injection over HTTP, durable when answered: calls of 10,000 recipients, and single messages from 50 clients at once.

    python benchmarks/inject.py [--runs N] [--singles N] [--senders N] [--only batch|alone|sending]

Single messages are measured twice: while they are sent as well, to a sink on loopback, and alone (due in an hour, so
that nothing but injection is at work).  Each is 10 kB of its own.  Time of a batch is that of its one call; it is sent
meanwhile.  The load runs on the same cores; CPU is that of the main process alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, campaign_call, post_all, single_call
from benchmarks.rig.report import percentile, report
from benchmarks.rig.world import Names, Sink, await_that, cpu_of

BATCH = 10_000
CLIENTS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--singles", type=int, default=3000)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--only", choices=("batch", "alone", "sending"))
    arguments = parser.parse_args()
    names = Names()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        sink = Sink(folder)
        subject = Penstock(folder / "penstock", names, sink.port, senders=arguments.senders)
        try:
            post_all(subject.port, [single_call(subject.port, 90_000_000 + n) for n in range(200)], CLIENTS)
            _empty(subject)
            if arguments.only in (None, "batch"):
                _batches(subject, arguments.runs)
            if arguments.only in (None, "sending"):
                _singles(subject, arguments.runs, arguments.singles, "while sending", None)
            if arguments.only in (None, "alone"):
                _singles(subject, arguments.runs, arguments.singles, "alone", {"send_at": time.time() + 3600})
        finally:
            subject.stop()
            sink.stop()
            names.stop()


def _batches(subject: Penstock, runs: int) -> None:
    rates = []
    for run in range(runs):
        call = campaign_call(subject.port, run * BATCH, BATCH, campaign=f"run{run}")
        rates.append(BATCH / post_all(subject.port, [call], 1)[0])
        _empty(subject)
    report("inject", f"one call of {BATCH:,}", "accepted", "recipients/s", rates)


def _singles(subject: Penstock, runs: int, count: int, how: str, more: dict[str, Any] | None) -> None:
    rates, waits, costs = [], [], []
    for run in range(runs):
        first = 10_000_000 * (1 if more else 2) + run * count
        calls = [single_call(subject.port, n, more) for n in range(first, first + count)]
        began, cpu = time.perf_counter(), cpu_of(subject.process.pid)
        times = post_all(subject.port, calls, CLIENTS)
        rates.append(count / (time.perf_counter() - began))
        costs.append((cpu_of(subject.process.pid) - cpu) / count * 1000)
        waits.append(percentile(times, 0.99) * 1000)
        if more is None:
            _empty(subject)
    label = f"single messages, {CLIENTS} clients, {how}"
    report("inject", label, "accepted", "messages/s", rates)
    report("inject", label, "answer, p99", "ms", waits)
    report("inject", label, "CPU of the main process", "s per 1,000", costs)


def _empty(subject: Penstock) -> None:
    await_that(lambda: subject.queued() == 0, "an empty queue", 600)


if __name__ == "__main__":
    main()
