"""Two sender processes: both send, a pause holds in both within a second, one that dies comes back, none outlives us.

On SQLite and on PostgreSQL.  Needs root for the network namespace: `tests/in-namespace`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.postgres import Postgres
from tests.daemons.knot import Knot
from tests.daemons.process import Daemon
from tests.integration.sink import Sink
from tests.waiting import StallMeter, wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(900)]
PORT, DNS_PORT, SINK = 8036, 5301, "127.0.0.8"
SITES = 4
CONFIG = f"""\
data_dir = "var"
senders = 2
[storage]
url = "{{url}}"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sources]]
name = "mta1"
ehlo = "mta1.sender.test"
[http]
port = {PORT}
[submission]
enabled = false
[inbound]
enabled = false
[dns]
nameservers = ["127.0.0.1"]
port = {DNS_PORT}
[delivery]
port = 2526
[warmup]
enabled = false
"""


def _takes_all(_recipient: str, _visit: int) -> str:
    return "250 2.1.5 Ok"


class Pair:
    """Penstock with two sender processes, and a sink."""

    def __init__(self, folder: Path, url: str, judge: Callable[[str, int], str] = _takes_all, extra: str = "") -> None:
        (folder / "knot").mkdir(mode=0o755)
        records = "".join(f"s{n}.test. MX 10 mx.s{n}.test.\nmx.s{n}.test. A {SINK}\n" for n in range(SITES))
        self.knot = Knot(folder / "knot", records, port=DNS_PORT)
        self.sink = Sink(SINK, 2526, judge)
        (folder / "penstock.toml").write_text(CONFIG.format(url=url or f"sqlite:///{folder}/var/penstock.db") + extra)
        self.folder = folder
        self.serial = 0
        self.start()

    def start(self) -> None:
        self.penstock = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(self.folder / "penstock.toml")],
            self.folder / "penstock.log",
        )
        self.penstock.await_that(lambda: self.get("/healthz") is not None, "Penstock")

    def children(self) -> list[int]:
        """Process ids of the senders."""
        path = Path(f"/proc/{self.penstock.process.pid}/task/{self.penstock.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=30) as reply:
                return json.load(reply)
        except OSError:
            return None

    def post(self, path: str, body: object) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{path}", method="POST", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def inject(self, count: int, stream: str = "bulk", site: int = -1) -> None:
        first, self.serial = self.serial, self.serial + count
        recipients = [f"u{n}@s{n % SITES if site < 0 else site}.test" for n in range(first, first + count)]
        self.post(
            "/v1/messages",
            {"stream": stream, "from": "a@sender.test", "subject": "s", "text": "t", "recipients": recipients},
        )

    def taken(self) -> int:
        return len(self.sink.taken)

    def stop(self) -> None:
        self.penstock.stop()
        self.sink.stop()
        self.knot.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), "run: tests/in-namespace .venv/bin/pytest tests/integration"
    with tempfile.TemporaryDirectory(prefix="penstock-senders-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Postgres() if request.param == "postgresql" else None
        try:
            made = Pair(folder, cluster.create() if cluster else "")
            try:
                yield made
            finally:
                made.stop()
        finally:
            if cluster:
                cluster.stop()


def test_mail_goes_out_by_two_processes(pair: Pair) -> None:
    wait_until(lambda: len(pair.children()) == 2, "two children")
    before = pair.taken()
    pair.inject(400)
    wait_until(lambda: pair.taken() == before + 400, f"400 messages: {pair.penstock.tail()}")


def test_a_pause_holds_within_one_second_in_every_process(pair: Pair) -> None:
    pair.inject(10_000)
    before = pair.taken()
    wait_until(lambda: pair.taken() > before + 20, "mail to flow")
    with StallMeter() as meter:
        pair.post("/v1/pauses", {"scope": "all", "reason": "test", "everything": True})
        said = time.monotonic()
        time.sleep(2.5)
        late = [at - said for _, at in pair.sink.rcpts if at > said + 1.0 + meter.allowance(said, at)]
    assert late == []
    pair.post("/v1/pauses/resume", {"scope": "all"})
    held = pair.taken()
    wait_until(lambda: pair.taken() > held, "mail to flow again")


def test_a_process_that_dies_is_started_again(pair: Pair) -> None:
    victim = pair.children()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(pair.children()) == 2 and victim not in pair.children(), "a new child")


def test_processes_end_when_the_main_process_is_killed_and_nothing_is_lost(pair: Pair) -> None:
    orphans = pair.children()
    pair.penstock.process.kill()
    pair.penstock.process.wait(10)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "the children's end")
    pair.start()
    wait_until(
        lambda: (pair.get("/v1/status") or {"queue": {"total": 1}})["queue"]["total"] == 0,
        lambda: f"an empty queue; {pair.taken()} of {pair.serial} were taken: {pair.penstock.tail()}",
        progress=pair.taken,
    )
    assert {t.recipient for t in pair.sink.taken} == {f"u{n}@s{n % SITES}.test" for n in range(pair.serial)}
