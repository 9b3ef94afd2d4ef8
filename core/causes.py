"""Why a gate moved or a rule spoke: a code with its figures, stored language-free, and its sentence in each language.

Contract: `said(cause, language)` never fails for a cause of this version.  A gate or event without a cause (an
operator's word, or one of an older version) has a `reason` in somebody's own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from core.clock import iso

_HOUR = 3600.0


class Why(StrEnum):
    """The code."""

    ABOVE = "above"  # the evidence says that the rate is above the threshold
    ABOVE_WINDOW = "above_window"  # the rate of a fixed window is
    PAUSE_OVER = "pause_over"
    PROBE_GOOD = "probe_good"
    PROBE_BAD = "probe_bad"
    PROBE_SHORT = "probe_short"
    EASED = "eased"
    CALM = "calm"
    NO_MAIL = "no_mail"
    WELL = "well"  # a rule without a gate is over
    SILENT = "silent"  # and there was no mail
    SLEEPING = "sleeping"
    OFTEN = "often"  # more than `messages` mails a week
    FELL = "fell"  # opens of the day `since`, `threshold`: the median of `messages` days like it
    OPERATOR_OVER = "operator_over"
    RULE_GONE = "rule_gone"
    CAMPAIGN_OVER = "campaign_over"
    CANARY_BEGUN = "canary_begun"
    CANARY_OUT = "canary_out"
    CANARY_SMALL = "canary_small"
    CANARY_GOOD = "canary_good"
    CANARY_GONE = "canary_gone"
    LISTED = "listed"  # `zone` lists `subject` and says `text`; `messages` further listings
    LISTING_PROBE = "listing_probe"
    LISTING_BAD = "listing_bad"
    LISTING_GOOD = "listing_good"
    LISTING_EASED = "listing_eased"
    LISTING_OVER = "listing_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """See the module.  `since` is a cohort; `messages`: of a slice, a probe or an hour; `hours`: looked back.

    `whole` names the scope that this one was split from, with what its rest shows."""

    why: Why
    rule: str = ""
    bad: int = 0
    total: int = 0
    since: int = 0
    threshold: float = 0.0
    e_value: float = 0.0
    limit: float = 0.0
    messages: int = 0
    hours: float = 0.0
    whole: str = ""
    rest_bad: int = 0
    rest_total: int = 0
    zone: str = ""
    subject: str = ""
    text: str = ""


_COUNTS = "{rule}: {bad} of {total} ({rate})"
_PROBE = "{rule}: {bad} of {total} in the probe"
_REFUSED = "{bad} of {total} in the probe were refused for reputation"
_EN = {
    Why.ABOVE: f"{_COUNTS} since {{since}} is above {{threshold}}; evidence {{e_value}}, limit {{limit}}",
    Why.ABOVE_WINDOW: f"{_COUNTS} since {{since}} is above {{threshold}} (a fixed window)",
    Why.PAUSE_OVER: "{rule}: the pause is over, {messages} messages probe",
    Why.PROBE_GOOD: f"{_PROBE}: fine, up to {{messages}} an hour",
    Why.PROBE_BAD: f"{_PROBE}: the trouble is still there",
    Why.PROBE_SHORT: f"{_PROBE}: too few to judge, {{messages}} more may pass",
    Why.EASED: f"{_COUNTS}: calm, the hourly limit grows",
    Why.CALM: f"{_COUNTS}: calm, open again",
    Why.NO_MAIL: "{rule}: no mail for days, nothing left to judge",
    Why.WELL: f"{_COUNTS} in the last {{hours}} hours",
    Why.SILENT: "{rule}: no mail for {hours} hours",
    Why.SLEEPING: "{rule}: {bad} of {total} recipients sleep ({rate})",
    Why.OFTEN: "{rule}: {bad} of {total} got more than {messages} mails a week ({rate})",
    Why.FELL: "{rule}: {rate} opened on {day} ({bad} of {total}); the median of {messages} days like it is {threshold}",
    Why.OPERATOR_OVER: "the operator's pause ran out",
    Why.RULE_GONE: "its rule was removed",
    Why.CAMPAIGN_OVER: "{rule}: the campaign has nothing left in the queue",
    Why.CANARY_BEGUN: "canary: {messages} messages go first, the rest waits for what becomes of them",
    Why.CANARY_OUT: "canary: {messages} messages are out, outcomes are awaited",
    Why.CANARY_SMALL: "canary: {messages} messages in a day, fewer than the slice",
    Why.CANARY_GOOD: "canary: nothing speaks against the campaign after {messages} messages",
    Why.CANARY_GONE: "canary: the stream has none any more",
    Why.LISTED: "{zone} lists {subject}{more}: {text}",
    Why.LISTING_PROBE: "not listed any more; {messages} messages probe",
    Why.LISTING_BAD: f"{_REFUSED}: the trouble is still there",
    Why.LISTING_GOOD: f"{_REFUSED}: fine, up to {{messages}} an hour",
    Why.LISTING_EASED: "still not listed; up to {messages} an hour",
    Why.LISTING_OVER: "still not listed; open again",
}
_COUNTS_RU = "{rule}: {bad} из {total} ({rate})"
_PROBE_RU = "{rule}: в пробе {bad} из {total}"
_REFUSED_RU = "в пробе {bad} из {total} отклонено из-за репутации"
_RU = {
    Why.ABOVE: f"{_COUNTS_RU} с {{since}}, это выше {{threshold}}; сила доказательств {{e_value}}, граница {{limit}}",
    Why.ABOVE_WINDOW: f"{_COUNTS_RU} с {{since}}, это выше {{threshold}} (фиксированное окно)",
    Why.PAUSE_OVER: "{rule}: пауза истекла, писем в пробе: {messages}",
    Why.PROBE_GOOD: f"{_PROBE_RU}: порядок, дальше до {{messages}} в час",
    Why.PROBE_BAD: f"{_PROBE_RU}: проблема осталась",
    Why.PROBE_SHORT: f"{_PROBE_RU}: мало для решения, пропускаем ещё {{messages}}",
    Why.EASED: f"{_COUNTS_RU}: спокойно, часовой предел растёт",
    Why.CALM: f"{_COUNTS_RU}: спокойно, открыто",
    Why.NO_MAIL: "{rule}: писем нет несколько дней, судить не о чем",
    Why.WELL: f"{_COUNTS_RU} за последние {{hours}} ч",
    Why.SILENT: "{rule}: писем нет {hours} ч",
    Why.SLEEPING: "{rule}: спят {bad} из {total} получателей ({rate})",
    Why.OFTEN: "{rule}: писем за неделю больше {messages} у {bad} из {total} ({rate})",
    Why.FELL: "{rule}: {day} открыли {rate} ({bad} из {total}); медиана за {messages} таких дней {threshold}",
    Why.OPERATOR_OVER: "пауза оператора истекла",
    Why.RULE_GONE: "правило удалено",
    Why.CAMPAIGN_OVER: "{rule}: в очереди не осталось писем рассылки",
    Why.CANARY_BEGUN: "канарейка: сначала уходит часть рассылки (писем: {messages}), остальные ждут её исхода",
    Why.CANARY_OUT: "канарейка: ушло писем: {messages}, ждём исхода",
    Why.CANARY_SMALL: "канарейка: за день писем: {messages}, меньше первой порции",
    Why.CANARY_GOOD: "канарейка: первая часть (писем: {messages}) ничего против рассылки не показала",
    Why.CANARY_GONE: "канарейка: у потока её больше нет",
    Why.LISTED: "в списке {zone}: {subject}{more}: {text}",
    Why.LISTING_PROBE: "в списке больше нет; писем в пробе: {messages}",
    Why.LISTING_BAD: f"{_REFUSED_RU}: проблема осталась",
    Why.LISTING_GOOD: f"{_REFUSED_RU}: порядок, дальше до {{messages}} в час",
    Why.LISTING_EASED: "в списке по-прежнему нет; до {messages} в час",
    Why.LISTING_OVER: "в списке по-прежнему нет; открыто",
}
_MORE = {"en": " and {n} more", "ru": " и ещё {n}"}
_REST = {
    "en": "the rest of {whole} is fine: {bad} of {total} ({rate})",
    "ru": "остальное в {whole} в порядке: {bad} из {total} ({rate})",
}


def said(cause: Cause, language: Literal["en", "ru"] = "en") -> str:
    """The sentence for people."""
    texts = _EN if language == "en" else _RU
    text = texts[cause.why].format(
        rule=cause.rule, bad=_number(cause.bad, language), total=_number(cause.total, language),
        rate=_share(cause.bad / max(1, cause.total), language), since=iso(cause.since * _HOUR)[:16] + "Z",
        day=iso(cause.since * _HOUR)[:10],
        threshold=_share(cause.threshold, language), e_value=_number(cause.e_value, language),
        limit=_number(cause.limit, language), messages=_number(cause.messages, language), hours=f"{cause.hours:g}",
        zone=cause.zone, subject=cause.subject, text=cause.text,
        more=_MORE[language].format(n=_number(cause.messages, language)) if cause.messages else "",
    )  # fmt: skip
    if cause.whole:
        rate = _share(cause.rest_bad / max(1, cause.rest_total), language)
        rest = _REST[language].format(
            whole=cause.whole,
            bad=_number(cause.rest_bad, language),
            total=_number(cause.rest_total, language),
            rate=rate,
        )
        text = f"{text}; {rest}"
    return text


def worded(cause: Cause | None, reason: str, language: Literal["en", "ru"]) -> str:
    """The sentence of a cause; without one the reason as it was written."""
    return said(cause, language) if cause is not None else reason


def _number(value: float, language: str) -> str:
    return f"{value:,.0f}" if language == "en" else f"{value:,.0f}".replace(",", "\u00a0")


def _share(value: float, language: str) -> str:
    return f"{value:.2%}" if language == "en" else f"{value * 100:.2f}\u00a0%".replace(".", ",")
