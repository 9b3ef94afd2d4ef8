"""Facts about us for the requirement sheets, from the settings, the counters and the postmaster feeds.

Contract: `facts_of` is pure.  A fact is good, bad or unknown, with what shows it in both languages; rates count as bad
only when even the lower end of their interval lies above the limit, and as good only when the upper end lies below.
`FACTS` are the names that a sheet may use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from collectors.dns.sheets import Fact
from config.model import Settings
from core.lane import DAY, Provider
from core.metrics import Metric
from core.rates import wilson
from core.state import CounterKey, Observation

SPAM_LIMIT = 0.001  # Gmail: keep below; 0.003 must never be reached
COMPLAINT_LIMIT = 0.003
MIN_DELIVERED = 1000  # fewer say little about a rate of 0.3 %
FACTS = frozenset(
    {
        "signs_dkim", "sends_tls", "one_click", "inbound_open", "feedback_address", "gmail_tls",
        "gmail_message_formatting", "gmail_spam_rate", "yahoo_complaints", "mailru_complaints", "snds_filter",
    }
)  # fmt: skip


def facts_of(
    settings: Settings, counters: Mapping[CounterKey, int], observations: Sequence[Observation]
) -> dict[str, Fact]:
    """Every fact by name.  `counters` and `observations` of the last days that are to count."""
    kinds = {feed.name: feed.kind for feed in settings.feeds}
    by_kind: dict[str, list[Observation]] = {}
    for one in observations:
        by_kind.setdefault(kinds.get(one.feed, "").removesuffix("_rest"), []).append(one)
    google, snds, mailru = (by_kind.get(kind, []) for kind in ("google", "snds", "mailru"))
    return {
        **_own(settings),
        "gmail_tls": _tls(google),
        "gmail_message_formatting": _compliance(google, "compliance.message_formatting"),
        "gmail_spam_rate": _spam_rate(google),
        "yahoo_complaints": _complaints(counters, Provider("yahoo")),
        "mailru_complaints": _feed_rate(mailru, "complaint_rate", COMPLAINT_LIMIT),
        "snds_filter": _filter(snds),
    }


def _own(settings: Settings) -> dict[str, Fact]:
    unsigned = [domain.name for domain in settings.sending_domains if not domain.dkim]
    bare = [s.name for s in settings.streams if s.kind == "marketing" and not s.unsubscribe]
    url = urlsplit(settings.http.public_url)
    secure = url.scheme == "https"
    inbound = settings.inbound.enabled
    address = settings.inbound.feedback_address
    return {
        "signs_dkim": _fact(
            not unsigned, "every sending domain has a key", "у каждого домена есть ключ",
            f"no key for {', '.join(unsigned)}", f"нет ключа для {', '.join(unsigned)}",
        ),
        "sends_tls": _fact(
            settings.delivery.tls != "off", f"delivery.tls is {settings.delivery.tls}",
            f"delivery.tls = {settings.delivery.tls}", "delivery.tls is off", "delivery.tls = off",
        ),
        "one_click": _fact(
            not bare and secure, "every marketing stream adds List-Unsubscribe with one click over https",
            "все потоки рассылки добавляют отписку в один клик по https",
            f"streams without unsubscribe: {', '.join(bare)}" if bare
            else f"http.public_url is {url.scheme}, not https",
            f"потоки без отписки: {', '.join(bare)}" if bare else f"http.public_url — {url.scheme}, а не https",
        ),
        "inbound_open": _fact(
            inbound, "bounces and unsubscribes by mail are received", "отказы и отписки письмом принимаются",
            "inbound.enabled is false", "inbound.enabled = false",
        ),
        "feedback_address": _fact(
            inbound and bool(address), f"complaints go to {address}", f"жалобы идут на {address}",
            "inbound.feedback_address is empty", "inbound.feedback_address пуст",
        ),
    }  # fmt: skip


def _fact(good: bool, yes_en: str, yes_ru: str, no_en: str, no_ru: str) -> Fact:
    return Fact(good, (yes_en, yes_ru) if good else (no_en, no_ru))


_NO_FEED = Fact(
    None,
    (
        "no feed has said so: see [[feeds]] in docs/feeds.md",
        "постмастер об этом молчит: [[feeds]], docs/feeds.md",
    ),
)


def _newest(observations: Sequence[Observation], metric: str) -> list[Observation]:
    """The newest figure of each subject."""
    newest: dict[str, Observation] = {}
    for one in observations:
        if one.metric == metric and (one.subject not in newest or one.day > newest[one.subject].day):
            newest[one.subject] = one
    return list(newest.values())


def _until(figures: Sequence[Observation]) -> float:
    """The end of the newest day of the subject whose figures are oldest."""
    newest: dict[str, int] = {}
    for one in figures:
        newest[one.subject] = max(one.day, newest.get(one.subject, 0))
    return (min(newest.values()) + 1) * DAY


def _compliance(google: Sequence[Observation], metric: str) -> Fact:
    rows = _newest(google, metric)
    if not rows:
        return _NO_FEED
    text = ", ".join(f"{one.subject}: {one.text}" for one in rows)
    return Fact(all(one.value >= 1 for one in rows), (f"Postmaster Tools: {text}",) * 2, _until(rows))


def _tls(google: Sequence[Observation]) -> Fact:
    return _compliance(google, "compliance.encryption")


def _spam_rate(google: Sequence[Observation]) -> Fact:
    """The worst day counts: Gmail judges days."""
    rates = [one for one in google if one.metric == "spam_rate"]
    if not rates:
        return _NO_FEED
    worst = max(rates, key=lambda one: one.value)
    text = f"{worst.value:.2%} ({worst.subject})"
    return Fact(
        worst.value < SPAM_LIMIT,
        (f"worst day in Postmaster Tools {text}", f"худший день в Postmaster Tools {text}"),
        _until(rates),
    )


def _feed_rate(observations: Sequence[Observation], metric: str, limit: float) -> Fact:
    rates = [one for one in observations if one.metric == metric]
    if not rates:
        return _NO_FEED
    total = sum(one.counted for one in rates)
    bad = round(sum(one.value * one.counted for one in rates))
    return _rate(bad, total, limit, _until(rates))


def _complaints(counters: Mapping[CounterKey, int], provider: Provider) -> Fact:
    sums: dict[str, int] = {Metric.COMPLAINED: 0, Metric.DELIVERED: 0}
    for key, n in counters.items():
        if key.metric in sums and key.attribution.traffic.lane.provider == provider:
            sums[key.metric] += n
    return _rate(sums[Metric.COMPLAINED], sums[Metric.DELIVERED], COMPLAINT_LIMIT)


def _rate(bad: int, total: int, limit: float, seen: float = 0.0) -> Fact:
    interval = wilson(bad, total)
    text = f"{bad:,} / {total:,}"
    if interval is None or total < MIN_DELIVERED:
        return Fact(None, (f"too little mail to tell ({text})", f"писем слишком мало ({text})"), seen)
    low, high = interval
    shown = f"{bad / total:.2%} ({text}; {low:.2%} – {high:.2%})"
    good = True if high < limit else False if low > limit else None
    return Fact(good, (f"complaints {shown}", f"жалобы {shown}"), seen)


def _filter(snds: Sequence[Observation]) -> Fact:
    rows = _newest(snds, "filter_spam_share")
    if not rows:
        return _NO_FEED
    text = ", ".join(f"{one.subject}: {one.text}" for one in rows)
    return Fact(all(one.text == "GREEN" for one in rows), (f"SNDS {text}",) * 2, _until(rows))
