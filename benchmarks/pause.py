"""How fast a pause holds: from the event that decides it to the last SMTP transaction in its scope.

    python benchmarks/pause.py [--runs N] [--senders N] [--rate N]

A campaign is being sent at `--rate` messages a second by several sender processes; a share of its addresses is refused
as unknown, so that the hard-bounce rule pauses it by itself.  The evidence of the gate says how many refusals had been
counted when it closed: the last of those is the deciding event, and its instant (when the reply came, a little before
its commit) begins the time.  It ends with the last MAIL FROM of a message of that scope that the receiving host sees.
A person's pause of a campaign is measured beside it, from the moment the call is made.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.host import Host
from benchmarks.rig.penstock import BODY, Penstock
from benchmarks.rig.report import report
from benchmarks.rig.world import DOMAINS, Names, await_that

RECIPIENTS = 10_000
BAD_FROM = 2000  # the list goes bad behind so many good addresses, when the rate is reached
BAD_SHARE = 7  # one address of so many is refused there
LINES = 30  # connections that ten a site leave to a campaign: the last of each process is kept
SETTLE_SECONDS = 4.0  # after which the last transaction has been
_RCPT = re.compile(rb"RCPT TO:<(\w+)\.(\w)\d*@([\w.]+)", re.I)
_BOUNCES = "SELECT body FROM events WHERE kind = 'Bounced' ORDER BY seq"
_GATES = "SELECT body FROM events WHERE kind = 'GateChanged' ORDER BY seq"


class Refusing(Host):
    """A mail host that refuses the bad, and notes when each transaction of which domain began."""

    clock = staticmethod(time.time)  # as the events of the log

    def __init__(self, delay: float) -> None:
        self.began: list[tuple[float, str]] = []
        super().__init__(delay)

    def recipient(self, line: bytes, began: float) -> bool:
        found = _RCPT.match(line)
        self.began.append((began, found[3].decode() if found else ""))
        return not (found and found[2] == b"b")


def send(subject: Penstock, *, bad: bool) -> None:
    """Queue the campaign."""
    recipients = [
        {"address": f"c.{'b' if bad and n > BAD_FROM and n % BAD_SHARE == 0 else 'u'}{n}@{DOMAINS[n % len(DOMAINS)]}"}
        for n in range(RECIPIENTS)
    ]
    subject.post("/v1/messages", {
        "stream": "bulk", "campaign": "measured", "from": "shop@sender.test", "subject": "News", "text": BODY[:2000],
        "recipients": recipients,
    })  # fmt: skip


def events(subject: Penstock, query: str) -> list[dict[str, Any]]:
    """Events of the log, as they are stored."""
    path = subject.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [json.loads(body) for (body,) in connection.execute(query)]


def _pause(subject: Penstock) -> dict[str, Any] | None:
    return next((gate for gate in events(subject, _GATES) if gate["after"] in ("paused", "hard_stopped")), None)


def by_the_rules(subject: Penstock, host: Refusing) -> tuple[float, float]:
    """Milliseconds until a pause by the rules holds, and the rate until then."""
    send(subject, bad=True)
    await_that(lambda: _pause(subject), "a pause by the rules", 120)
    time.sleep(SETTLE_SECONDS)
    gate = _pause(subject)
    assert gate is not None
    provider = gate["scope"]["provider"]
    refusals = [
        event["at"] for event in events(subject, _BOUNCES)
        if provider in ("", event["attribution"]["traffic"]["lane"]["provider"])
    ]  # fmt: skip
    deciding = refusals[min(len(refusals), gate["evidence"]["numerator"]) - 1]
    # a narrow pause lets the other providers' mail go on: only what lies in its scope counts
    return _result(host, deciding, provider.removeprefix("other:mx."))


def by_a_person(subject: Penstock, host: Refusing) -> tuple[float, float]:
    """The same for a pause by a person."""
    send(subject, bad=False)
    await_that(lambda: len(host.began) > BAD_FROM, "the rate", 120)
    asked = time.time()
    subject.post("/v1/pauses", {"scope": "campaign=measured", "reason": "measured"})
    time.sleep(SETTLE_SECONDS)
    return _result(host, asked, "")


def _result(host: Refusing, decided: float, domain: str) -> tuple[float, float]:
    inside = [at for at, where in host.began if domain in ("", where)]
    before = [at for at, _ in host.began if decided - 1 < at <= decided]
    return (max(inside) - decided) * 1000, len(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--rate", type=int, default=500)
    arguments = parser.parse_args()
    names = Names()
    for label, once in (("a person's", by_a_person), ("the rules'", by_the_rules)):
        found: list[tuple[float, float]] = []
        for _ in range(arguments.runs):
            host = Refusing(LINES / arguments.rate)
            with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
                subject = Penstock(Path(temporary) / "penstock", names, host.port, senders=arguments.senders)
                try:
                    time.sleep(3)  # every sender is up
                    found.append(once(subject, host))
                finally:
                    subject.stop()
        title = f"{label} pause of a campaign, {arguments.senders} senders"
        report("pause", title, "to the last transaction in its scope", "ms", [wait for wait, _ in found])
        report("pause", title, "messages in the second before", "messages/s", [rate for _, rate in found])
    names.stop()


if __name__ == "__main__":
    main()
