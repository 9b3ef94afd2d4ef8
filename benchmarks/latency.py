"""From 202 to the first byte of SMTP, idle; and the same with a campaign queued.

    python benchmarks/latency.py [--messages N] [--queued N] [--senders N]

The receiving host runs in this process and notes when MAIL FROM of each message comes; the time is that from the end
of the HTTP answer, so it may be negative when the message was faster.  With `--queued` (default 20,000; 1,000,000 is
the figure of the documents) a campaign to the same domains is being sent meanwhile: each host takes 20 ms a message, so
that the connections are busy, and a transactional message must find its way past it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.penstock import Penstock, campaign_call, post_all
from benchmarks.rig.report import percentile, report
from benchmarks.rig.world import DOMAINS, Names, await_that, free_port

BUSY_SECONDS = 0.02
_RCPT = re.compile(rb"RCPT TO:<(probe\d+)@", re.I)


class Witness:
    """A mail host in a thread; `seen` holds the instant of the first byte of each probe's transaction."""

    def __init__(self) -> None:
        self.port = free_port()
        self.seen: dict[str, float] = {}
        self.delay = 0.0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(10)

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, limit=1_000_000)
        ready.set()
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 witness\r\n")
        began = 0.0
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-witness\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                await asyncio.sleep(self.delay)
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                if verb == b"MAIL":
                    began = time.monotonic()
                elif found := _RCPT.match(line):
                    self.seen[found[1].decode()] = began
                writer.write(b"250 2.1.0 ok\r\n")


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


def tell(subject: str, waits: list[float]) -> None:
    """p50, p99 and the worst."""
    for label, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0)):
        report("latency", subject, f"202 to first SMTP byte, {label}", "ms", [percentile(waits, share)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--queued", type=int, default=20_000)
    parser.add_argument("--senders", type=int, default=1)
    arguments = parser.parse_args()
    names, witness = Names(), Witness()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        subject = Penstock(Path(temporary) / "penstock", names, witness.port, senders=arguments.senders)
        try:
            probe(subject, witness, 0, 5, 0.2)  # routes are known then
            tell(f"idle, {arguments.senders} sender(s)", probe(subject, witness, 100, arguments.messages, 0.05))
            witness.delay = BUSY_SECONDS
            calls = [
                campaign_call(subject.port, n, min(10_000, arguments.queued - n))
                for n in range(0, arguments.queued, 10_000)
            ]
            post_all(subject.port, calls, 1)
            waits = probe(subject, witness, 100_000, min(100, arguments.messages), 0.05)
            tell(f"with {subject.queued():,} of a campaign queued", waits)
        finally:
            subject.stop()
            names.stop()


if __name__ == "__main__":
    main()
