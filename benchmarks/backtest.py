"""Speed of a back-test: a log of 90 days is made, then read under the shipped rules on one core.

    python benchmarks/backtest.py [--events N] [--days N] [--runs N] [--log FILE] [--canary]

Prints JSON lines {"benchmark","subject","metric","unit","median","min","max","runs"} and the peak memory.  The log is
a SQLite file (about 0.6 GB a million events; kept with --log) written the shortest way: without the indexes that a
back-test does not use.  Of the events 96 % are deliveries, 2 % deferrals, 1 % bounces, the rest bounce mails,
complaints and unsubscribes that come hours later; four providers, two streams, three campaigns a day; two bad lists.
Making the log is not timed.  Figure 5 of docs/decisions-quality.md: --events 10000000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.lane import DAY
from monitor.canary import Terms, slice_size
from service.commands.backtest import replayed
from service.commands.simulate import read_rules
from service.lateness import reports_of
from storage.history import History
from storage.stores import open_stores

START = 20_000 * DAY
PROVIDERS = ("gmail", "outlook", "yahoo", "mailru")
_REMOTE = '"site":"mx.example","remote":"mx.example [192.0.2.1]",'
OK = _REMOTE + '"reply":{"code":250,"text":"2.0.0 OK queued as 4XK2","status":"2.0.0","stage":"final"}'
BAD = _REMOTE + '"reply":{"code":550,"text":"5.1.1 no such user","status":"5.1.1","stage":"rcpt"}'


def rows(count: int, days: int) -> Iterator[tuple[float, str, str, str]]:
    """(at, kind, message id, body) in order of time."""
    rng = Random(1)
    gap = days * DAY / count
    for serial in range(count):
        at = START + serial * gap
        day = int((at - START) // DAY)
        provider, stream = PROVIDERS[serial % 4], "triggered" if serial % 11 == 0 else "bulk"
        bad = day in (30, 61) and stream == "bulk" and provider == "yahoo"
        late = rng.random() < 0.004
        cohort = int(at // 3600) - (rng.randrange(1, 30) if late else 0)
        campaign = f"d{day:03d}-{serial % 3}" if stream == "bulk" else ""
        common = (
            f'{{"at":{at},"message_id":"{serial:026d}","recipient":"person.number{serial}@{provider}.example",'
            '"attribution":{"traffic":{"lane":{"source":"out1","sending_domain":"brand.example","provider":"'
            f'{provider}"}},"stream":"{stream}","campaign":"{campaign}"}},"cohort":{cohort}}},'
        )
        drawn = rng.random()
        if late:
            kind = "ComplaintReceived" if drawn < (0.5 if bad else 0.1) else "Unsubscribed"
            tail = '"feedback_type":"abuse","reporter":"r"}' if kind == "ComplaintReceived" else '"method":"page"}'
        elif drawn < (0.08 if bad else 0.01):
            kind, tail = "Bounced", BAD + ',"bounce_class":"unknown_user","attempt":1}'
        elif drawn > 0.98:
            kind, tail = "Deferred", BAD + f',"bounce_class":"rate_limited","attempt":1,"retry_at":{at + 600}}}'
        else:
            kind, tail = "Delivered", OK + ',"attempt":1,"tls":"TLSv1.3","latency":4.2}'
        yield at, kind, f"{serial:026d}", common + tail


def make_log(file: Path, count: int, days: int) -> None:
    """Fill an empty, migrated database."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='index' AND tbl_name='events'"
                                          " AND sql IS NOT NULL AND name <> 'events_kind'").fetchall():  # fmt: skip
            connection.execute(f"DROP INDEX {name}")
        connection.executemany("INSERT INTO events (at, kind, message_id, body) VALUES (?, ?, ?, ?)", rows(count, days))
    connection.close()


async def measured(file: Path, is_there: bool, count: int, days: int, runs: int, canary: bool) -> None:
    """Make the log where there is none, read it `runs` times."""
    stores = await open_stores(f"sqlite:///{file}", inline=True)
    if not is_there:
        make_log(file, count, days)
    rules, seconds = read_rules(None), []
    canaries = {"bulk": Terms(messages=slice_size(rules), hours=4)} if canary else {}
    for _ in range(runs):
        began = time.process_time(), time.monotonic()
        lateness = await reports_of(stores.lateness, START)
        test = replayed(History(stores.db), rules, ("transactional",), START, 3600.0, lateness, canaries)
        seconds.append(time.process_time() - began[0])
        wall = time.monotonic() - began[1]
        told = f"# {test.messages:,} messages, {len(test.findings)} pauses, {seconds[-1]:.1f} s of processor time"
        print(f"{told}, wall {wall:.1f} s", file=sys.stderr)
    await stores.close()
    subject = f"{count} events over {days} days, shipped rules"
    for metric, unit, values in (
        ("back-test, seconds of one core", "s", seconds),
        ("events a second", "1/s", [count / s for s in seconds]),
        ("peak memory", "MB", [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]),
    ):
        print(
            json.dumps(
                {"benchmark": "backtest", "subject": subject, "metric": metric, "unit": unit,
                 "median": round(statistics.median(values), 1), "min": round(min(values), 1),
                 "max": round(max(values), 1), "runs": len(values)}
            )
        )  # fmt: skip


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--log", type=Path, help="a log that was made before, or where to keep it")
    parser.add_argument("--canary", action="store_true", help="each campaign sends a slice first")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = arguments.log or Path(folder) / "log.db"
        asyncio.run(measured(log, log.exists(), arguments.events, arguments.days, arguments.runs, arguments.canary))


if __name__ == "__main__":
    main()
