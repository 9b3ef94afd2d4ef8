"""Speed of the durable queue: accepting a bulk, and claiming from a short and from a long line.

    python benchmarks/storage.py [--rows N] [--runs N] [--postgresql]

The database is a SQLite file in a temporary directory, or with --postgresql a server of its own.  Two databases are
filled, one with 10,000 rows and one with `--rows` (default 100,000; 1,000,000 is the figure that the documents state),
and then asked in turn, so that both sides meet the same load of the machine.  Accepting goes in calls of 10,000
recipients with one 10 kB body each, as the API takes them.  A claim leases 100 rows with one allowance; they are given
back between measurements, untimed.  At last half as many rows as the short line has are delivered from each, a claim
and a settlement of 100 at a time: what is claimed then lies behind rows that are gone.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.postgres import DURABILITY as POSTGRESQL
from benchmarks.rig.postgres import postgres
from benchmarks.rig.report import SQLITE, not_measured, report
from benchmarks.rig.world import Absent
from core.events import Accepted, Delivered, Door
from core.lane import (
    NO_CAMPAIGN,
    Attribution,
    Lane,
    Provider,
    SendingDomain,
    Site,
    Source,
    Stream,
    Traffic,
    cohort_of,
)
from core.messages import Body, BodyId, Node, QueueGroup, Submission
from core.reply import Reply
from core.state import Claim, Settlement
from core.tokens import new_message_id
from storage.stores import Stores, open_stores

NOW = 1_800_000_000.0
CALL = 10_000
SHORT = 10_000
CLAIM = 100
LANE = Lane(source=Source("out1"), sending_domain=SendingDomain("brand.test"), provider=Provider("gmail"))
GROUP = QueueGroup(
    sending_domain=LANE.sending_domain, provider=LANE.provider, site=Site("mx.test"), stream=Stream("bulk"),
    campaign=NO_CAMPAIGN, priority=5, fresh=0, retries=0, oldest=0.0,
)  # fmt: skip
WISH = Claim(
    group=GROUP, lane=LANE, node=Node("node1"), fresh=CLAIM, retries=0, now=NOW, lease_until=NOW + 300,
    allowances=((f"lane:{LANE.key}", 1, 1 << 40),),
)  # fmt: skip
TAKEN = Reply(code=250, text="2.0.0 taken")


def submissions(number: int, n: int, *, routed: bool) -> list[Submission]:
    """A call of the API: n recipients that share one body."""
    return [
        Submission(
            message_id=new_message_id(NOW), recipient=f"user{number}-{i}@gmail.test", stream=GROUP.stream,
            sending_domain=LANE.sending_domain, body_id=BodyId(f"body{number}"), accepted_at=NOW, not_before=NOW,
            expires_at=NOW + 86400, priority=5, provider=LANE.provider if routed else Provider(""),
            site=GROUP.site if routed else Site(""), variables={"name": "Ann", "city": "Riga"},
        )
        for i in range(n)
    ]  # fmt: skip


async def accept(stores: Stores, number: int, n: int, *, routed: bool) -> float:
    """Seconds that one call takes until it is durable."""
    rows = submissions(number, n, routed=routed)
    events = [
        Accepted(at=NOW, message_id=s.message_id, recipient=s.recipient, stream=s.stream, campaign="",
                 sending_domain=s.sending_domain, door=Door.HTTP, size=10_000)
        for s in rows
    ]  # fmt: skip
    body = Body(body_id=BodyId(f"body{number}"), kind="mime", content=b"x" * 10_000)
    start = time.perf_counter()
    await stores.queue.accept([body], rows, events)
    return time.perf_counter() - start


async def fill(stores: Stores, rows: int) -> tuple[list[float], list[float]]:
    """Queue so many, every second call unrouted at first.  Recipients a second: accepted, routed."""
    accepting, routing = list[float](), list[float]()
    for number in range(rows // CALL):
        routed = number % 2 == 0
        accepting.append(CALL / await accept(stores, number, CALL, routed=routed))
        if not routed:
            start = time.perf_counter()
            await stores.queue.route("gmail.test", LANE.provider, GROUP.site)
            routing.append(CALL / (time.perf_counter() - start))
    return accepting, routing


async def ask(stores: Stores, costs: Costs) -> None:
    """What a sender asks all the time, once."""
    async with costs.timed(f"claim of {CLAIM} rows"):
        leases = await stores.queue.claim(WISH)
    assert len(leases) == CLAIM
    await stores.queue.release(leases)
    async with costs.timed("groups"):
        await stores.queue.groups(NOW)
    async with costs.timed("depth"):
        await stores.queue.depth()
    async with costs.timed("unrouted"):
        await stores.queue.unrouted()


async def deliver(stores: Stores, costs: Costs) -> None:
    """Claim and settle once."""
    async with costs.timed(f"claim of {CLAIM} rows while it drains"):
        leases = await stores.queue.claim(WISH)
    assert len(leases) == CLAIM
    where = Attribution(traffic=Traffic(lane=LANE, stream=GROUP.stream, campaign=NO_CAMPAIGN), cohort=cohort_of(NOW))
    settlements = [
        Settlement(lease=lease, event=Delivered(
            at=NOW, message_id=lease.submission.message_id, recipient=lease.submission.recipient, attribution=where,
            site=GROUP.site, remote="192.0.2.1:25", reply=TAKEN, attempt=1, tls="", latency=0.1,
        ))
        for lease in leases
    ]  # fmt: skip
    async with costs.timed(f"settlement of {CLAIM} rows"):
        await stores.queue.settle(settlements)


class Costs:
    """Milliseconds by what was done."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    @asynccontextmanager
    async def timed(self, what: str) -> AsyncIterator[None]:
        start = time.perf_counter()
        yield
        self.of.setdefault(what, []).append((time.perf_counter() - start) * 1000)


async def run(urls: tuple[str, str], subject: str, durability: str, rows: int, runs: int) -> None:
    """All measurements, on a short and on a long line."""
    tell = partial(report, "storage", durability=durability)
    lines = [(length, await open_stores(url), Costs()) for url, length in zip(urls, (SHORT, rows), strict=True)]
    try:
        for length, stores, _ in lines:
            accepting, routing = await fill(stores, length)
        tell(subject, f"accepting calls of {CALL:,}", "recipients/s", accepting)
        if routing:
            tell(subject, f"routing a domain of {CALL:,}", "recipients/s", routing)
        for step, times in ((ask, runs * 5), (deliver, SHORT // 2 // CLAIM)):
            for _ in range(times):
                for _, stores, costs in lines:
                    await step(stores, costs)
        for length, _, costs in lines:
            for what, values in costs.of.items():
                tell(f"{subject}, {length:,} queued", what, "ms", values)
    finally:
        for _, stores, _ in lines:
            await stores.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tell(subject, "peak memory of this process", "MB", [peak])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    if arguments.postgresql:
        try:
            with postgres("short", "long") as (short, long):
                asyncio.run(run((short, long), "postgresql", POSTGRESQL, arguments.rows, arguments.runs))
        except Absent as absent:
            not_measured("postgresql", str(absent))
        return
    with tempfile.TemporaryDirectory() as folder:
        short, long = (f"sqlite:///{folder}/{name}.db" for name in ("short", "long"))
        asyncio.run(run((short, long), "sqlite", SQLITE, arguments.rows, arguments.runs))


if __name__ == "__main__":
    main()
