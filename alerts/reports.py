"""Alerts about what receivers' reports show.  Pure.

- `NewSource`: an address that nobody knows began to send much in our name;
- `AlignmentDrop`: of a domain's reported mail, less is aligned than in the week before;
- `ReporterMissing`: a receiver that reported regularly has stopped;
- `PolicyChanged`: receivers see another DMARC policy than before;
- `ReportsUnreadable`: more files than before cannot be read as reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from alerts.form import form_alert
from alerts.words import Language, number, percent
from core.state import Alert


class Trouble(Enum):
    """What is wrong: (alert, label, English and Russian summary, English and Russian remedy)."""

    NEW_SOURCE = (
        "NewSource",
        "source_ip",
        "{subject} began to send in the name of {domain}: {count} messages, {share} aligned",
        "{subject}: новый источник писем от имени {domain}: {count}, согласовано {share}",
        "If it is yours, sign its mail; if not, a stricter policy stops it: `penstock reports readiness`",
        "Если он ваш, подпишите его письма; если нет, поможет строгая политика: `penstock reports readiness`",
    )
    ALIGNMENT_DROP = (
        "AlignmentDrop",
        "domain",
        "{share} of {count} messages of {subject} were aligned, {before} in the week before",
        "{subject}: согласовано {share} (писем: {count}), неделей раньше — {before}",
        "See which source: `penstock reports sources`; check keys and SPF with `penstock doctor`",
        "Найдите источник: `penstock reports sources`; проверьте ключи и SPF: `penstock doctor`",
    )
    REPORTER_MISSING = (
        "ReporterMissing",
        "reporter",
        "{subject} has sent no report for {count} days longer than usual",
        "{subject} не присылает отчётов на {count} дн. дольше обычного",
        "Check that mail to the rua= address arrives, and the record itself: `penstock doctor`",
        "Проверьте, доходит ли почта на адрес из rua=, и саму запись: `penstock doctor`",
    )
    POLICY_CHANGED = (
        "PolicyChanged",
        "domain",
        "Receivers see p={after} for {subject}; it was p={before}",
        "Получатели видят для {subject} p={after}; прежде было p={before}",
        "If nobody of yours changed the record, put it back and find out who did",
        "Если запись меняли не вы, верните прежнюю и выясните, кто",
    )
    UNREADABLE = (
        "ReportsUnreadable", "kind",
        "{count} files in a day could not be read as reports, {before} the day before",
        "За сутки не удалось прочесть файлов отчётов: {count}, днём раньше: {before}",
        "See ReportUnverified in the log for the reasons",
        "Причины — в событиях ReportUnverified журнала",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTrouble:
    """One finding.  `share` is aligned ÷ messages; `before` and `after` are texts."""

    trouble: Trouble
    subject: str
    since: float
    domain: str = ""
    count: int = 0
    share: float = 0.0
    before: str = ""
    after: str = ""


def report_alerts(found: Sequence[ReportTrouble], *, language: Language, dashboard: str) -> list[Alert]:
    """Every alert of these kinds that should be firing."""
    return [_alert(one, language, dashboard) for one in found]


def _alert(one: ReportTrouble, language: Language, dashboard: str) -> Alert:
    name, label, english, russian, remedy, remedy_ru = one.trouble.value
    text = (english if language == "en" else russian).format(
        subject=one.subject, domain=one.domain, count=number(one.count, language),
        share=percent(one.share, language), before=one.before, after=one.after,
    )  # fmt: skip
    return form_alert(
        name, "warning", {label: one.subject}, one.since, dashboard, summary=text, count=str(one.count),
        remedy=remedy if language == "en" else remedy_ru,
    )  # fmt: skip
