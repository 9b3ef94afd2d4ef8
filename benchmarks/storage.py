"""Speed of the durable queue: accepting a bulk, and claiming from a short and from a long line.

    python benchmarks/storage.py [--rows N] [--runs N] [--url URL]

Prints JSON lines {"benchmark","subject","metric","unit","median","min","max","runs","durability"}.  Without --url the
database is a SQLite file in a temporary directory; give the URL of an empty PostgreSQL database to measure that one.
`--rows` is the length of the long line (default 100,000; 1,000,000 is the figure that the documents state).
Accepting goes in calls of 10,000 recipients with one 10 kB body each, as the API takes them.  A claim leases 100 rows
with one allowance; they are given back between measurements, untimed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.events import Accepted, Door
from core.lane import NO_CAMPAIGN, Lane, Provider, SendingDomain, Site, Source, Stream
from core.messages import Body, BodyId, Node, QueueGroup, Submission
from core.state import Claim
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


def report(subject: str, metric: str, unit: str, values: Sequence[float]) -> None:
    """One line of the result."""
    print(
        json.dumps(
            {"benchmark": "storage", "subject": subject, "metric": metric, "unit": unit,
             "median": round(statistics.median(values), 3), "min": round(min(values), 3),
             "max": round(max(values), 3), "runs": len(values), "durability": _durability(subject)}
        ),
        flush=True,
    )  # fmt: skip


def _durability(subject: str) -> str:
    if subject.startswith("sqlite"):
        return "WAL, synchronous=FULL, an fsync a commit"
    return "the server's synchronous_commit"


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


async def measure_line(stores: Stores, subject: str, runs: int) -> None:
    """Cost of what a sender asks all the time, at the present length of the line."""
    length = sum((await stores.queue.depth()).values())
    costs: dict[str, list[float]] = {"claim": [], "groups": [], "depth": [], "unrouted": []}
    wish = Claim(
        group=GROUP, lane=LANE, node=Node("node1"), fresh=CLAIM, retries=0, now=NOW, lease_until=NOW + 300,
        allowances=((f"lane:{LANE.key}", 1, 1 << 40),),
    )  # fmt: skip
    for _ in range(runs * 5):
        start = time.perf_counter()
        leases = await stores.queue.claim(wish)
        costs["claim"].append((time.perf_counter() - start) * 1000)
        assert len(leases) == CLAIM
        await stores.queue.release(leases)
        for name, ask in (
            ("groups", stores.queue.groups(NOW)),
            ("depth", stores.queue.depth()),
            ("unrouted", stores.queue.unrouted()),
        ):
            start = time.perf_counter()
            await ask
            costs[name].append((time.perf_counter() - start) * 1000)
    for name, values in costs.items():
        report(f"{subject}, {length:,} queued", f"{name} of {CLAIM} rows" if name == "claim" else name, "ms", values)


async def run(url: str, subject: str, rows: int, runs: int) -> None:
    """All measurements on one database."""
    stores = await open_stores(url)
    try:
        number = 0
        while number * CALL < SHORT:
            await accept(stores, number, CALL, routed=True)
            number += 1
        await measure_line(stores, subject, runs)
        speeds: list[float] = []
        while (number + 1) * CALL <= rows or len(speeds) < runs:
            speeds.append(CALL / await accept(stores, number, CALL, routed=number % 2 == 0))
            if number % 2:
                start = time.perf_counter()
                await stores.queue.route("gmail.test", LANE.provider, GROUP.site)
                routing = CALL / (time.perf_counter() - start)
            number += 1
        report(subject, f"accepting calls of {CALL:,}", "recipients/s", speeds)
        report(subject, f"routing a domain of {CALL:,}", "recipients/s", [routing])
        await measure_line(stores, subject, runs)
    finally:
        await stores.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(subject, "peak memory of this process", "MB", [peak])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--url", default="")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(run(arguments.url, "postgresql", arguments.rows, arguments.runs))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(f"sqlite:///{folder}/penstock.db", "sqlite", arguments.rows, arguments.runs))


if __name__ == "__main__":
    main()
