"""Resident memory with a long queue, over all processes.

    python benchmarks/memory.py [--queued N] [--senders N]

Every recipient is queued with variables of its own and due in an hour, so that the queue only grows; then the memory of
all processes is summed (proportional set size: shared pages once).  1,000,000 is the figure of the documents; the
default is smaller.  What a claim costs at ten thousand and at a million rows: benchmarks/storage.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, campaign_call, post_all
from benchmarks.rig.report import report
from benchmarks.rig.world import Names, Sink, memory_mb

CALL = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--senders", type=int, default=2)
    arguments = parser.parse_args()
    names = Names()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        sink = Sink(folder)
        subject = Penstock(folder / "penstock", names, sink.port, senders=arguments.senders)
        try:
            time.sleep(2)
            label = f"1 main process and {arguments.senders} senders" if arguments.senders > 1 else "1 process"
            report("memory", f"{label}, empty queue", "resident", "MB", [memory_mb([subject.process.pid])])
            peak, later = 0.0, {"send_at": time.time() + 3600}
            for first in range(0, arguments.queued, CALL):
                post_all(subject.port, [campaign_call(subject.port, first, CALL, more=later)], 1)
                peak = max(peak, memory_mb([subject.process.pid]))
            time.sleep(3)
            queued = f"{label}, {subject.queued():,} queued"
            report("memory", queued, "resident", "MB", [memory_mb([subject.process.pid])])
            report("memory", queued, "resident, highest while they came in", "MB", [peak])
        finally:
            subject.stop()
            sink.stop()
            names.stop()


if __name__ == "__main__":
    main()
