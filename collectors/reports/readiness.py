"""Is a domain ready for a stricter DMARC policy, and what would break?  Pure.

Contract: `readiness(...)` looks at the sources of one domain over some weeks of reports that count.  Mail of ours and
of known services that is not aligned would be lost, so its share decides; forwarders break one way or the other
and are shown; unknown sources are what the policy is for.  Without enough days or messages the answer is UNKNOWN,
never "ready".  The next step is none → quarantine → reject; nobody is told to jump.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.reports import SourceKind, SourceName, Tally

NEEDED_DAYS = 14
NEEDED_MESSAGES = 100
LOSS = {"quarantine": 0.005, "reject": 0.001}  # share of own and known mail that may fail
_NEXT = {"": "none", "none": "quarantine", "quarantine": "reject", "reject": "reject"}
MAX_BREAKS = 50


class Verdict(StrEnum):
    READY = "ready"
    NOT_READY = "not_ready"
    UNKNOWN = "unknown"  # too little is reported
    DONE = "done"  # reject already holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A source whose mail is not aligned, so that a stricter policy would stop it."""

    source: SourceName
    messages: int
    unaligned: int
    streams: tuple[tuple[str, int], ...] = ()  # for our own source: what it carried in these days


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`loss`: share of own and known mail that is not aligned; None when there was none."""

    domain: str
    policy: str
    next: str
    verdict: Verdict
    days: int
    reporters: int
    messages: int
    aligned: int
    wanted: int
    wanted_unaligned: int
    breaks: tuple[Break, ...]

    @property
    def loss(self) -> float | None:
        return self.wanted_unaligned / self.wanted if self.wanted else None


def readiness(
    domain: str,
    policy: str,
    tallies: Sequence[Tally],
    names: Mapping[str, SourceName],
    *,
    days: int,
    reporters: int,
    streams: Mapping[str, Mapping[str, int]],
) -> Readiness:
    """`tallies` are by source address, `streams` own deliveries by source name and stream in the same days."""
    breaks: list[Break] = []
    wanted = lost = 0
    for tally in tallies:
        source = names.get(tally.key[0], SourceName(ip=tally.key[0]))
        unaligned = tally.messages - tally.aligned
        if source.kind in (SourceKind.OURS, SourceKind.SERVICE):
            wanted += tally.messages
            lost += unaligned
        if unaligned:
            own = streams.get(source.name, {}) if source.kind is SourceKind.OURS else {}
            carried = tuple(sorted(own.items(), key=lambda item: -item[1]))
            breaks.append(Break(source=source, messages=tally.messages, unaligned=unaligned, streams=carried))
    kinds = list(SourceKind)
    breaks.sort(key=lambda b: (kinds.index(b.source.kind), -b.unaligned))
    messages, following = sum(t.messages for t in tallies), _NEXT.get(policy, "quarantine")
    if policy == "reject":
        verdict = Verdict.DONE
    elif days < NEEDED_DAYS or messages < NEEDED_MESSAGES or not wanted:
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.READY if lost <= wanted * LOSS.get(following, 1.0) else Verdict.NOT_READY
    return Readiness(
        domain=domain, policy=policy, next=following, verdict=verdict, days=days, reporters=reporters,
        messages=messages, aligned=sum(t.aligned for t in tallies), wanted=wanted, wanted_unaligned=lost,
        breaks=tuple(breaks[:MAX_BREAKS]),
    )  # fmt: skip
