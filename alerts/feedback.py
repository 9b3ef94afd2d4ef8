"""Alerts about feedback over time.  Pure.

- `ProviderOutage`: a place calls nearly everybody unknown at once; nobody is suppressed there meanwhile;
- `FeedbackSilent`: a source that reported regularly (complaints, bounces, DMARC reports) stopped;
- `ClassesShifted`: a provider's refusals fall into other classes than before;
- `ReportMailboxBlind`: a mailbox that reports are routed to cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.form import form_alert
from alerts.words import Language, number, percent, sample, span
from core.feedback import OutageChanged
from core.state import Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentSource:
    """`since` is the end of the last day with a report; `usual` reports a day before that."""

    source: str
    since: float
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedClasses:
    """`classes` are (class, share before, share now), most changed first."""

    provider: str
    since: float
    count: int
    classes: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindMailbox:
    """A report mailbox that cannot be read since then."""

    name: str
    since: float
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSeen:
    """What is known of feedback at one moment."""

    outages: tuple[OutageChanged, ...] = ()
    silent: tuple[SilentSource, ...] = ()
    shifted: tuple[ShiftedClasses, ...] = ()
    blind: tuple[BlindMailbox, ...] = ()


NO_FEEDBACK = FeedbackSeen()


def feedback_alerts(seen: FeedbackSeen, *, now: float, language: Language, dashboard: str) -> list[Alert]:
    """Every alert of these kinds that should be firing at `now`."""
    return [
        *(_outage(one, language, dashboard) for one in seen.outages),
        *(_silent(one, now, language, dashboard) for one in seen.silent),
        *(_shifted(one, language, dashboard) for one in seen.shifted),
        *(_blind(one, language, dashboard) for one in seen.blind),
    ]


def _outage(one: OutageChanged, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    bad, total = number(one.refused, language), number(one.answered, language)
    past = percent(one.past_refused / one.past_answered if one.past_answered else 0.0, language)
    return form_alert(
        "ProviderOutage", "critical", {"place": one.place}, one.at, dashboard,
        summary=f"{one.place} calls {bad} of {total} recipients unknown at once ({past} in the days before): nobody "
        "is suppressed there" if english
        else f"{one.place}: неизвестных получателей {bad} из {total} (раньше {past}); в стоп-лист никто не попадает",
        lifted=str(one.lifted), samples="\n".join(sample(s) for s in one.samples),
        remedy="Ask the provider's postmaster; do not clean the list by these bounces; mail goes on when it recovers"
        if english else "Спросите постмастера провайдера; не чистите список по этим отказам",
    )  # fmt: skip


def _silent(one: SilentSource, now: float, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    long, usual = span(now - one.since, language), number(one.usual, language, 1)
    return form_alert(
        "FeedbackSilent", "warning", {"source": one.source}, one.since, dashboard,
        summary=f"No report from {one.source} for {long}; it used to send {usual} a day" if english
        else f"От {one.source} нет отчётов {long}; обычно {usual} в день",
        remedy="Check the loop's registration, the address it reports to, and that this listener can be reached"
        if english else "Проверьте регистрацию FBL, адрес для отчётов и доступность нашего приёмника",
    )  # fmt: skip


def _shifted(one: ShiftedClasses, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    rows = "; ".join(f"{kind} {percent(a, language)} → {percent(b, language)}" for kind, a, b in one.classes)
    return form_alert(
        "ClassesShifted", "warning", {"provider": one.provider}, one.since, dashboard,
        summary=f"Refusals of {one.provider} changed: {rows}" if english
        else f"Отказы {one.provider} изменились: {rows}",
        count=str(one.count),
        remedy="Read a few of the replies (`penstock explain`): either the provider changed, or our mail did"
        if english else "Прочитайте несколько ответов (`penstock explain`): изменился провайдер или наша почта",
    )  # fmt: skip


def _blind(one: BlindMailbox, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    return form_alert(
        "ReportMailboxBlind", "warning", {"mailbox": one.name}, one.since, dashboard,
        summary=f"Report mailbox {one.name} cannot be read: bounces and complaints wait there" if english
        else f"Ящик отчётов {one.name} не читается: отказы и жалобы ждут в нём",
        problem=sample(one.problem),
        remedy="Log in by hand; see [[report_mailboxes]]" if english
        else "Войдите вручную; см. [[report_mailboxes]]",
    )  # fmt: skip
