"""A long queue: resident memory over all processes, how fast pages answer, and what a restart costs.

    python benchmarks/memory.py [--queued N] [--senders N] [--postgresql]

Every recipient is queued with variables of its own, in a campaign that is paused; the memory of all processes is summed
(proportional set size: shared pages once; a database server's own is not Penstock's).  Then everything is killed with
SIGKILL and started again, the campaign is resumed, and memory is taken again while it is being sent.  1,000,000 is the
figure of the documents; the default is smaller.  What a claim costs at ten thousand and at a million rows:
benchmarks/storage.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, queue_paused
from benchmarks.rig.postgres import DURABILITY as POSTGRESQL
from benchmarks.rig.postgres import postgres
from benchmarks.rig.report import SQLITE, not_measured, report
from benchmarks.rig.witness import Witness, probe
from benchmarks.rig.world import Absent, Names, memory_mb

PAGES = ("/v1/status", "/v1/lanes", "/metrics", "/")
LOOKS = 10
SENDING_SECONDS = 15


def answers(subject: Penstock, path: str) -> list[float]:
    """Milliseconds of some calls."""
    took: list[float] = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        subject.fetch(path)
        took.append((time.perf_counter() - began) * 1000)
    return took


def measure(subject: Penstock, witness: Witness, queued: int, label: str, durability: str) -> None:
    """All figures of one service."""
    tell = partial(report, "memory", durability=durability)

    def memory() -> float:
        return memory_mb([subject.process.pid])

    probe(subject, witness, 0, 1, 0)
    tell(f"{label}, empty queue", "resident", "MB", [memory()])
    seen: list[float] = []
    queue_paused(subject, 0, queued, each=lambda: seen.append(memory()))
    time.sleep(3)
    title = f"{label}, {subject.queued():,} queued"
    tell(title, "resident", "MB", [memory()])
    tell(title, "resident, while they came in", "MB", seen)
    for path in PAGES:
        tell(title, f"answer to GET {path}", "ms", answers(subject, path))
    subject.kill()
    began = time.monotonic()
    subject.start()
    tell(title, "SIGKILL, then until the service answers", "s", [time.monotonic() - began])
    probe(subject, witness, 1, 1, 0)
    tell(title, "SIGKILL, then until a receipt is sent", "s", [time.monotonic() - began])
    tell(title, "resident after the restart", "MB", [memory()])
    subject.post("/v1/pauses/resume", {"scope": "campaign=bench", "reason": "measured"})
    seen.clear()
    for _ in range(SENDING_SECONDS):
        time.sleep(1)
        seen.append(memory())
    tell(title, "resident, while they are sent", "MB", seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    names, witness = Names(), Witness()
    label = f"1 main process and {arguments.senders} senders" if arguments.senders > 1 else "1 process"
    label += ", PostgreSQL" if arguments.postgresql else ""
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
        measure(subject, witness, arguments.queued, label, POSTGRESQL if url else SQLITE)


if __name__ == "__main__":
    main()
