"""Penstock as a subject: `penstock run` with everything on, in a folder of its own, and a lean HTTP load for it.

Everything on: events, suppression list, warm-up caps (a plan with room for every message: each claim reserves its
units), frequency of looks, DKIM with RSA-2048.  The load sends prepared bytes, so that it costs the two cores little.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rig.world import DOMAINS, Names, await_that, free_port
from sender.dkim import new_key

SIZE = 10_240
CALL = 10_000  # recipients of one POST
BODY = "\r\n".join(["All work and no play makes Jack a dull boy; this line is full."] * 160)
_CONFIG = """\
data_dir = "var"
senders = {senders}
[storage]
url = "{url}"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sending_domains.dkim]]
selector = "s1"
key_file = "dkim.pem"
[[sources]]
name = "mta1"
ehlo = "mta1.sender.test"
[http]
port = {port}
[submission]
enabled = false
[inbound]
enabled = false
[blocklists]
enabled = false
[records]
enabled = false
[dns]
nameservers = ["127.0.0.1"]
port = {dns}
[delivery]
port = {sink}
[warmup]
plans = ["plan.toml"]
"""
_PLAN = 'name = "roomy"\nstart = 1000000000\ntarget = 2000000000\n'


class Penstock:
    """One running service."""

    def __init__(self, folder: Path, names: Names, sink_port: int, *, senders: int, url: str = "") -> None:
        folder.mkdir(parents=True)
        (folder / "dkim.pem").write_bytes(new_key("rsa-sha256")[0])
        (folder / "plan.toml").write_text(_PLAN)
        self.port = free_port()
        self.url = url or f"sqlite:///{folder}/var/penstock.db"
        text = _CONFIG.format(senders=senders, url=self.url, port=self.port, dns=names.port, sink=sink_port)
        (folder / "penstock.toml").write_text(text)
        self.log = folder / "log"
        self._config = folder / "penstock.toml"
        self.start()

    def start(self) -> None:
        """Run the service; returns when it answers."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(self._config)],
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            await_that(self._answers, "Penstock", 60)
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"{error}: {self.log.read_text()[-2000:]}") from error

    def kill(self) -> None:
        """SIGKILL to the service and all its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def _answers(self) -> bool:
        try:
            return self.get("/healthz") is not None
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """JSON of a page."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        """A page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            return bytes(reply.read())

    def queued(self) -> int:
        """Recipients in the queue."""
        return int(self.get("/v1/status")["queue"]["total"])

    def post(self, path: str, body: object) -> Any:
        """One call."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=json.dumps(body).encode(), method="POST",
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def mime(serial: int) -> bytes:
    """A message of its own, 10 kB."""
    head = (
        f"From: Shop <shop@sender.test>\r\nSubject: Order {serial}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\nOrder {serial}\r\n"
    )
    return (head + BODY)[:SIZE].encode()


def single_call(port: int, serial: int, more: dict[str, Any] | None = None) -> bytes:
    """The bytes of one POST with one message."""
    body = {
        "stream": "transactional", "to": f"user{serial}@{DOMAINS[serial % len(DOMAINS)]}",
        "mime": base64.b64encode(mime(serial)).decode(), **(more or {}),
    }  # fmt: skip
    return _request(port, json.dumps(body).encode())


def campaign_call(
    port: int, first: int, count: int, *, campaign: str = "bench", more: dict[str, Any] | None = None
) -> bytes:
    """The bytes of one POST with a 10 kB template and many recipients, each with variables of its own."""
    body = {
        "stream": "bulk", "campaign": campaign, "from": "Shop <shop@sender.test>",
        "subject": "News for {{ name }}", "text": ("Hello {{ name }},\r\n" + BODY)[:SIZE],
        "recipients": [
            {"address": f"user{n}@{DOMAINS[n % len(DOMAINS)]}", "variables": {"name": f"User {n}"}}
            for n in range(first, first + count)
        ],
        **(more or {}),
    }  # fmt: skip
    return _request(port, json.dumps(body).encode())


def _request(port: int, body: bytes) -> bytes:
    return (
        f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _client(port: int, calls: list[bytes], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16_000_000)
    while calls:
        began = time.perf_counter()
        writer.write(calls.pop())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 202 " not in head[:20]:
            raise RuntimeError(f"refused: {head[:200]!r}")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - began)
    writer.close()


def post_all(port: int, calls: Sequence[bytes], clients: int) -> list[float]:
    """Send every call over so many connections; the seconds each took."""

    async def run() -> list[float]:
        left, times = list(reversed(calls)), list[float]()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(_client(port, left, times))
        return times

    return asyncio.run(run())


def queue_paused(subject: Penstock, first: int, until: int, *, each: Callable[[], None] = lambda: None) -> None:
    """Queue recipients first … until - 1 of the campaign while it is paused; `each()` after each call of 10,000."""
    subject.post("/v1/pauses", {"scope": "campaign=bench", "reason": "comes in", "everything": True})
    for start in range(first, until, CALL):
        post_all(subject.port, [campaign_call(subject.port, start, min(CALL, until - start))], 1)
        each()
