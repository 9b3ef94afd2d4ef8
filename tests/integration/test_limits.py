"""Limits of ours before a real Postfix that keeps count: with them it never has to refuse us, without them it does.

Two sender processes, two sources.  Postfix (anvil) allows two connections and 25 messages in ten seconds for each of
our addresses.  Needs root for the network namespace: `tests/in-namespace`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemons.knot import Knot
from tests.daemons.postfix import Exchanger, Postfix
from tests.daemons.process import Daemon
from tests.waiting import answer_of, wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
MX, PORT, COUNT = "198.51.100.25", 8037, 60
CONFIG = f"""\
data_dir = "var"
senders = 2
[storage]
url = "sqlite:///var/penstock.db"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sources]]
name = "left"
ehlo = "left.sender.test"
bind = "192.0.2.10"
[[sources]]
name = "right"
ehlo = "right.sender.test"
bind = "203.0.113.2"
[http]
port = {PORT}
[submission]
enabled = false
[inbound]
enabled = false
[warmup]
enabled = false
"""
LIMITS = """
[[limits]]
name = "host"
each = ["source", "site"]
connections = 2
messages = "2/second"
burst = 3
"""
ANVIL = {
    "smtpd_client_connection_count_limit": "2", "smtpd_client_message_rate_limit": "25",
    "anvil_rate_time_unit": "10s", "virtual_transport": "discard:", "smtpd_tls_security_level": "none",
    "smtpd_milters": "",
}  # fmt: skip
REFUSED = re.compile(r"Connection concurrency limit exceeded|Message delivery request rate limit exceeded")


class LimitWorld:
    """Penstock with two sender processes before one Postfix."""

    def __init__(self, folder: Path, limits: str, parts: ExitStack) -> None:
        for name in ("knot", "postfix"):
            (folder / name).mkdir(mode=0o755)
        knot = Knot(folder / "knot", f"far.test. MX 10 mx.far.test.\nmx.far.test. A {MX}\n")
        parts.callback(knot.stop)
        self.postfix = Postfix(folder / "postfix", [Exchanger(address=MX)], ["far.test"], parameters=ANVIL)
        parts.callback(self.postfix.stop)
        (folder / "penstock.toml").write_text(CONFIG + limits)
        self.penstock = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(folder / "penstock.toml")],
            folder / "penstock.log",
        )
        parts.callback(lambda: self.penstock.stop())
        self.penstock.await_that(lambda: self.get("/healthz") is not None, "Penstock")

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=30) as reply:
                return json.load(reply)
        except OSError:
            return None

    def inject(self, count: int) -> None:
        body = {
            "stream": "bulk", "from": "a@sender.test", "subject": "s", "text": "t",
            "recipients": [f"u{n}@far.test" for n in range(count)],
        }  # fmt: skip
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/v1/messages", method="POST", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert json.load(reply)["accepted"] == count

    def taken(self) -> int:
        """Messages that Postfix has taken in."""
        return len(re.findall(r"qmgr\[\d+\]: \w+: from=<", self.postfix.log()))

    def clients(self) -> set[str]:
        return set(re.findall(r"smtpd\[\d+\]: connect from \S*\[([\d.]+)\]", self.postfix.log()))


@contextmanager
def _world(limits: str) -> Iterator[LimitWorld]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), "run: tests/in-namespace .venv/bin/pytest tests/integration"
    with tempfile.TemporaryDirectory(prefix="penstock-limits-") as name, ExitStack() as parts:
        Path(name).chmod(0o755)
        yield LimitWorld(Path(name), limits, parts)


def test_a_host_that_keeps_count_never_has_to_refuse_us() -> None:
    with _world(LIMITS) as world:
        world.inject(COUNT)
        wait_until(lambda: (world.get("/v1/status") or {}).get("limits_reached", 0) > 0, "a full bucket")
        wait_until(lambda: world.taken() >= COUNT, lambda: f"{COUNT} messages: {world.postfix.log()[-1500:]}")
        assert not REFUSED.findall(world.postfix.log())
        assert world.clients() - {MX} == {"192.0.2.10", "203.0.113.2"}, "both sources, each from its own address"
        wait_until(lambda: (world.get("/v1/status") or {}).get("queue", {}).get("total") == 0, "an empty queue")
        assert {b["limit"] for b in answer_of(lambda: world.get("/v1/limits"), "limits")["buckets"]} == {"host"}


def test_without_the_limits_it_refuses_us() -> None:
    with _world("") as world:
        world.inject(COUNT * 4)
        wait_until(
            lambda: REFUSED.search(world.postfix.log()) is not None,
            lambda: f"a refusal: {world.postfix.log()[-1500:]}",
        )  # fmt: skip
