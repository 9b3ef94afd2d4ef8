"""What placement tests say: shares with intervals, weighted by our own mail, compared with the test before.  Pure.

Contract: a share counts copies that a host took over and that were looked for (inbox, tab, spam, absent); what was
never delivered and what nobody could look for is told beside it, never mixed in.  Intervals are 95 % Jeffreys
(5 of 5: 62–100 %): few copies say little, and that must show.  Two tests are compared on the mailboxes that both have
(exact McNemar test).  A provider without a judged copy is unknown, not good.  Sources: Brown, Cai, DasGupta 2001
(Jeffreys); Donner, Zou 2012 (interval of a weighted sum); McNemar 1947.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.lane import DAY
from core.placement import PlacementTested, SeedOutcome, SeedResult
from monitor.evidence import log_beta_above

JUDGED = (SeedOutcome.INBOX, SeedOutcome.TAB, SeedOutcome.SPAM, SeedOutcome.ABSENT)
ARRIVED = (SeedOutcome.INBOX, SeedOutcome.TAB)
STALE_TESTS = 8  # outcomes that must be alike before a seed may be called stale
_TAIL = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`part` of `of`, with its 95 % interval; both ends None when `of` is 0."""

    part: int
    of: int
    low: float | None = None
    high: float | None = None

    @property
    def rate(self) -> float | None:
        """None when nothing was counted."""
        return self.part / self.of if self.of else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPlacement:
    """One provider's copies.  `inbox` counts tabs too: a tab is delivered mail."""

    provider: str
    inbox: Share
    counts: dict[SeedOutcome, int]
    median_seconds: float  # from our 250 to arrival; -1 when unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """The inbox share weighted by our delivered mail.  `covered`: share of our mail whose providers were judged."""

    rate: float | None
    low: float | None = None
    high: float | None = None
    covered: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Mailboxes judged in both tests: `worse` arrived before and not now, `better` the other way round.

    `p_value` is the chance of so uneven a change if nothing had changed."""

    pairs: int
    worse: int
    better: int
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A test in figures."""

    inbox: Share
    counts: dict[SeedOutcome, int]
    providers: tuple[ProviderPlacement, ...]
    weighted: Weighted
    fresh: Share = field(default_factory=lambda: Share(part=0, of=0))  # the inbox share without stale seeds


def share(part: int, of: int) -> Share:
    """A share with its interval."""
    low, high = jeffreys(part, of) if of else (None, None)
    return Share(part=part, of=of, low=low, high=high)


def summarise(results: Sequence[SeedResult], mix: Mapping[str, int], stale: frozenset[str] = frozenset()) -> Summary:
    """`mix` is our delivered mail by provider; `stale` are mailboxes that no longer tell much."""
    by_provider: dict[str, list[SeedResult]] = {}
    for one in results:
        by_provider.setdefault(one.provider, []).append(one)
    providers = tuple(
        ProviderPlacement(
            provider=name, inbox=_inbox(rows), counts=_counts(rows),
            median_seconds=_median([one.seconds for one in rows if one.seconds >= 0]),
        )
        for name, rows in sorted(by_provider.items())
    )  # fmt: skip
    return Summary(
        inbox=_inbox(results), counts=_counts(results), providers=providers, weighted=weighted(providers, mix),
        fresh=_inbox([one for one in results if one.mailbox not in stale]),
    )  # fmt: skip


def weighted(providers: Sequence[ProviderPlacement], mix: Mapping[str, int]) -> Weighted:
    """The share of our own mail that reaches the inbox, as far as judged providers tell (MOVER interval)."""
    judged = [one for one in providers if one.inbox.of and mix.get(one.provider, 0) > 0]
    total, covered = sum(mix.values()), sum(mix[one.provider] for one in judged)
    if not covered:
        return Weighted(rate=None)
    rate = below = above = 0.0
    for one in judged:
        weight, p = mix[one.provider] / covered, one.inbox.part / one.inbox.of
        low, high = jeffreys(one.inbox.part, one.inbox.of)
        rate += weight * p
        below += (weight * (p - low)) ** 2
        above += (weight * (high - p)) ** 2
    return Weighted(
        rate=rate, low=max(0.0, rate - math.sqrt(below)), high=min(1.0, rate + math.sqrt(above)),
        covered=covered / total,
    )  # fmt: skip


def compare(before: Sequence[SeedResult], after: Sequence[SeedResult]) -> Comparison:
    """Exact two-sided McNemar test over the mailboxes that both tests judged."""
    was = {one.mailbox: one.outcome in ARRIVED for one in before if one.outcome in JUDGED}
    both = [one for one in after if one.outcome in JUDGED and one.mailbox in was]
    pairs = [(was[one.mailbox], one.outcome in ARRIVED) for one in both]
    worse, better = pairs.count((True, False)), pairs.count((False, True))
    changed = worse + better
    tail = sum(math.comb(changed, k) for k in range(min(worse, better) + 1)) / 2**changed
    return Comparison(pairs=len(pairs), worse=worse, better=better, p_value=min(1.0, 2 * tail) if changed else 1.0)


def stale_seeds(tests: Sequence[PlacementTested], now: float, days: float) -> frozenset[str]:
    """Mailboxes in use for `days` or longer whose last judged outcomes are all alike: nobody opens mail there, so
    their filter learns nothing.  `tests` in any order."""
    first: dict[str, float] = {}
    outcomes: dict[str, list[SeedOutcome]] = {}
    for test in sorted(tests, key=lambda one: one.started_at):
        for one in test.results:
            if one.outcome in JUDGED:
                first.setdefault(one.mailbox, test.started_at)
                outcomes.setdefault(one.mailbox, []).append(one.outcome)
    return frozenset(
        mailbox
        for mailbox, seen in outcomes.items()
        if now - first[mailbox] >= days * DAY and len(seen) >= STALE_TESTS and len(set(seen[-STALE_TESTS:])) == 1
    )


def jeffreys(part: int, of: int) -> tuple[float, float]:
    """95 % Jeffreys interval of part/of; the end at 0 or 1 is exact.  Raises ValueError outside 0 … of."""
    if not 0 <= part <= of or not of:
        raise ValueError(f"{part} of {of} is no share")
    a, b = part + 0.5, of - part + 0.5
    low = 0.0 if part == 0 else _quantile(a, b, _TAIL)
    high = 1.0 if part == of else _quantile(a, b, 1 - _TAIL)
    return low, high


def _quantile(a: float, b: float, level: float) -> float:
    """x with P(Beta(a, b) ≤ x) = level, by halving."""
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        above = math.exp(log_beta_above(a, b, middle) - whole)
        low, high = (middle, high) if 1 - above < level else (low, middle)
    return (low + high) / 2


def _inbox(rows: Sequence[SeedResult]) -> Share:
    judged = [one for one in rows if one.outcome in JUDGED]
    return share(sum(one.outcome in ARRIVED for one in judged), len(judged))


def _counts(rows: Sequence[SeedResult]) -> dict[SeedOutcome, int]:
    found = Counter(one.outcome for one in rows)
    return {outcome: found[outcome] for outcome in SeedOutcome if found[outcome]}


def _median(values: list[float]) -> float:
    if not values:
        return -1.0
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
