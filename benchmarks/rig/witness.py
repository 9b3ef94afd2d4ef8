"""A mail host that notes when each probe's first byte comes, and probes: single transactional messages.

The host runs in the benchmark's process; the time is that from the end of the HTTP answer, so it may be negative when
the message was faster.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from functools import partial

from benchmarks.rig.penstock import Penstock
from benchmarks.rig.world import DOMAINS, await_that, free_port

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
