"""Tells who fetched a pixel or followed a link: a person, a machine, or nobody can say.  Pure.

In this order, the first that fits:
1. HEAD, or a user agent that is empty or known as a machine's: machine.
2. An address in a network of machines: machine.
3. Before the remote host had the mail, or within SCAN_SECONDS of it: machine.  Nobody reads so fast; a gateway that
   scans before it answers, or a proxy that fetches at arrival, does.
4. BURST or more different links of one mail within BURST_SECONDS: machine (a scanner follows all links).
5. A proxy that fetches when a person opens (Gmail's, Yahoo's): human.  It hides the reader, and later opens come from
   its cache: such mail is opened at most once.
6. A user agent of a browser or a mail program: human.  Any other: unknown.

What this cannot tell: a scanner that waits, looks like a browser and follows one link is counted as a person; a person
behind Apple's privacy proxy is counted as a machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from config.machines import Machines
from core.recipient import Actor

SCAN_SECONDS = 1.0
BURST = 3
BURST_SECONDS = 1.0
_READER = re.compile(
    r"mozilla/[45]\.0 \(.{3,}\) ?.*(?:applewebkit|gecko|trident|presto)|thunderbird|outlook|microsoft office|"
    r"applemail|mail\.app|airmail|mailapp|opera/|the bat",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request.  `target` '' is the pixel.  `at` in seconds of the service's clock, `tick` in real seconds."""

    message_id: str
    target: str
    at: float
    tick: float
    head: bool
    agent: str
    ip: str


def judge(visit: Visit, delivered_at: float, burst: bool, machines: Machines) -> tuple[Actor, str]:
    """The actor, and by what it was told.  `burst`: see `bursts`."""
    if visit.head:
        return Actor.MACHINE, "head-request"
    if not visit.agent.strip():
        return Actor.MACHINE, "no-agent"
    known = machines.agent(visit.agent.strip())
    if known is not None and known[1] is Actor.MACHINE:
        return Actor.MACHINE, f"agent:{known[0]}"
    network = machines.network(visit.ip)
    if network and known is None:
        return Actor.MACHINE, f"network:{network}"
    if visit.at < delivered_at:
        return Actor.MACHINE, "before-delivery"
    if visit.at < delivered_at + SCAN_SECONDS:
        return Actor.MACHINE, "at-once"
    if burst:
        return Actor.MACHINE, "many-links-at-once"
    if known is not None:
        return Actor.HUMAN, f"proxy:{known[0]}"
    if _READER.search(visit.agent):
        return Actor.HUMAN, "reader"
    return Actor.UNKNOWN, "unknown-agent"


def bursts(visits: Sequence[Visit]) -> frozenset[int]:
    """Places in `visits` (of one message, by time) whose link was followed in a burst."""
    found: set[int] = set()
    clicks = [(index, visit) for index, visit in enumerate(visits) if visit.target]
    first = 0
    for last, (_, visit) in enumerate(clicks):
        while visit.tick - clicks[first][1].tick > BURST_SECONDS:
            first += 1
        span = clicks[first : last + 1]
        if len({one.target for _, one in span}) >= BURST:
            found.update(index for index, _ in span)
    return frozenset(found)
