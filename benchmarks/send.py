"""End to end: 10 kB messages to five domains, durable queue, DKIM with RSA-2048, to a sink on loopback.

    python benchmarks/send.py [--messages N] [--runs N] [--senders N[,N]] [--only penstock|postfix|haraka|limit]

Every subject runs in turn on the same machine: Penstock with everything on (singles: one HTTP call a message, 50
clients; campaign: calls of 5,000 recipients, each rendered with variables of its own), Postfix with OpenDKIM and Haraka
with its DKIM plugin, both fed by `smtp-source`.  Time runs from the first byte of the load to the last message in the
sink (for Penstock: until every outcome is stored as well).  CPU is that of the subject's processes alone.
`limit` signs with OpenSSL and does nothing else, on as many processes as there are cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks.rig.peers import Haraka, Peer, PostfixOpenDkim
from benchmarks.rig.penstock import Penstock, campaign_call, post_all, single_call
from benchmarks.rig.report import NONE, SQLITE, not_measured, report
from benchmarks.rig.world import Absent, Names, Sink, await_that, cpu_seconds

CALL = 5000
CLIENTS = 50
PATIENCE = 600.0


def _sign(seconds: float) -> int:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            key.sign(b"x" * 400, padding.PKCS1v15(), hashes.SHA256())
        done += 50
    return done


def signing_limit(seconds: float = 3.0) -> float:
    """RSA-2048 signatures a second on every core together."""
    cores = os.cpu_count() or 1
    with multiprocessing.Pool(cores) as pool:
        return sum(pool.map(_sign, [seconds] * cores)) / seconds


def measure(label: str, messages: int, runs: int, once: Callable[[int], tuple[float, float]], durability: str) -> float:
    """Median rate of several runs; prints rate and CPU."""
    rates, costs = [], []
    for run in range(runs):
        seconds, cpu = once(run)
        rates.append(messages / seconds)
        costs.append(cpu / messages * 1000)
    report("send", label, "end to end", "messages/s", rates, durability=durability)
    report("send", label, "CPU of the subject", "s per 1,000", costs, durability=durability)
    return sorted(rates)[len(rates) // 2]


def _is_empty(subject: Penstock) -> bool:
    return subject.queued() == 0


def penstock(folder: Path, names: Names, messages: int, runs: int, senders: int) -> dict[str, float]:
    """Both ways of injection; median rates."""
    rates: dict[str, float] = {}
    for way in ("campaign", "singles"):
        sink = Sink(folder)
        subject = Penstock(folder / f"penstock-{senders}-{way}", names, sink.port, senders=senders)

        def once(run: int, way: str = way, sink: Sink = sink, subject: Penstock = subject) -> tuple[float, float]:
            first = run * messages
            if way == "singles":
                calls = [single_call(subject.port, n) for n in range(first, first + messages)]
            else:
                calls = [
                    campaign_call(subject.port, n, min(CALL, first + messages - n), campaign=f"bench{run}")
                    for n in range(first, first + messages, CALL)
                ]
            before, taken = cpu_seconds([subject.process.pid]), sink.taken()
            began = time.monotonic()
            post_all(subject.port, calls, CLIENTS if way == "singles" else 1)
            await_that(
                lambda: sink.taken() - taken >= messages, f"{sink.taken() - taken} of {messages} in the sink", PATIENCE
            )
            await_that(lambda: subject.queued() == 0, "an empty queue", PATIENCE)
            return time.monotonic() - began, cpu_seconds([subject.process.pid]) - before

        # every process is up and every route known before the first run
        post_all(subject.port, [single_call(subject.port, 90_000_000 + n) for n in range(200)], CLIENTS)
        time.sleep(3)
        await_that(partial(_is_empty, subject), "an empty queue", PATIENCE)
        try:
            label = f"penstock, {way}, {senders} sender process{'es' if senders > 1 else ''}"
            rates[way] = measure(label, messages, runs, once, SQLITE)
        finally:
            subject.stop()
            sink.stop()
    return rates


def peer(folder: Path, kind: type[Peer], messages: int, runs: int) -> float:
    """Median rate of a peer, 0 when it is absent."""
    sink = Sink(folder)
    try:
        subject = kind(folder / kind.__name__.lower(), sink.port)
    except Absent as error:
        not_measured(kind.label, str(error))
        sink.stop()
        return 0.0

    def once(_run: int) -> tuple[float, float]:
        before, taken = cpu_seconds(subject.pids()), sink.taken()
        began = time.monotonic()
        subject.load(messages)
        await_that(lambda: sink.taken() - taken >= messages, f"{messages} in the sink", PATIENCE)
        return time.monotonic() - began, cpu_seconds(subject.pids()) - before

    try:
        return measure(kind.label, messages, runs, once, kind.durability)
    finally:
        subject.stop()
        sink.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--senders", default="1,2", help="numbers of sender processes to measure")
    parser.add_argument("--only", choices=("penstock", "postfix", "haraka", "limit"), default=None)
    arguments = parser.parse_args()
    wanted = [arguments.only] if arguments.only else ["limit", "postfix", "haraka", "penstock"]
    limit = postfix = haraka = 0.0
    names = Names()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        if "limit" in wanted:
            limit = signing_limit()
            report("send", f"OpenSSL, {os.cpu_count()} processes", "RSA-2048", "signatures/s", [limit], durability=NONE)
        if "postfix" in wanted:
            postfix = peer(folder, PostfixOpenDkim, arguments.messages, arguments.runs)
        if "haraka" in wanted:
            haraka = peer(folder, Haraka, arguments.messages, arguments.runs)
        if "penstock" in wanted:
            for senders in map(int, arguments.senders.split(",")):
                for way, rate in penstock(folder, names, arguments.messages, arguments.runs, senders).items():
                    label = f"penstock, {way}, {senders} senders"
                    for other, name in ((postfix, "Postfix + OpenDKIM"), (haraka, "Haraka + DKIM")):
                        if other:
                            report("send", label, f"of {name}", "times", [rate / other])
                    if limit:
                        report("send", label, "of the signing limit", "%", [100 * rate / limit])
    names.stop()


if __name__ == "__main__":
    main()
