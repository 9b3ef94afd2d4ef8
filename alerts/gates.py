"""The alert of a gate that is not open.  Pure.

One episode of a gate is one alert of one of three names, so that a pause that turns into a probe does not look
resolved: `SendingSlowed`, `SendingPaused` (also while probing), `SendingStopped` (only a person may open).
Labels are identity (name, severity, scope, rule and the parts of the scope, for routing and inhibition); every figure
is an annotation: it changes while the alert stays the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import assert_never

from alerts.rules import SIGNAL
from alerts.words import Language, instant, number, percent, sample, scope_words
from config.tables import Rule
from core.causes import worded
from core.clock import iso
from core.events import Evidence, GateState
from core.lane import HOUR
from core.rates import wilson
from core.state import CANARY, Alert, Gate

_NAME = {
    GateState.SLOWED: "SendingSlowed",
    GateState.PAUSED: "SendingPaused",
    GateState.PROBING: "SendingPaused",
    GateState.HARD_STOPPED: "SendingStopped",
}
_HEAD = {
    "en": {
        GateState.SLOWED: "Slowed", GateState.PAUSED: "Paused", GateState.PROBING: "Probing after a pause",
        GateState.HARD_STOPPED: "Stopped until a person opens it",
    },
    "ru": {
        GateState.SLOWED: "Замедлено", GateState.PAUSED: "Пауза", GateState.PROBING: "Проба после паузы",
        GateState.HARD_STOPPED: "Остановлено до решения человека",
    },
}  # fmt: skip
OPERATOR = "operator"  # label `rule` of a gate that a person closed
LISTING = "listing"  # rule of a gate that a blocklist closed


def gate_alert(gate: Gate, rules: Mapping[str, Rule], *, language: Language, link: str) -> Alert | None:
    """The alert of one gate, None when it is open, or a canary: that is the ordinary way of a campaign."""
    if gate.state is GateState.OPEN or gate.rule == CANARY:
        return None
    rule = rules.get(gate.rule)
    parts = {
        key: value
        for key in ("source", "sending_domain", "provider", "stream", "campaign", "list_source")
        if (value := getattr(gate.scope, key))
    }
    labels = {
        "alertname": _NAME[gate.state], "severity": _severity(gate.state, rule), "scope": gate.scope.key,
        "rule": gate.rule or OPERATOR, "service": "penstock", **parts,
    }  # fmt: skip
    is_slowed = gate.state is GateState.SLOWED
    undo = f"penstock resume {shlex.quote(gate.scope.key)}"
    annotations = {
        "summary": _summary(gate, rule, language),
        "description": "",
        "state": str(gate.state),
        "reason": sample(worded(gate.cause, gate.reason, language)),
        "action": _action(gate, language),
        "until": iso(gate.until) if gate.until else "",
        "undo": undo,
        "explain": f"penstock explain pause {shlex.quote(gate.pause_id)}",
        "pause_id": gate.pause_id,
        "by": gate.by,
        **(_figures(gate.evidence, rule, is_slowed, language) if gate.evidence is not None else {}),
        **({"remedy": remedy} if (remedy := _remedy(rule, language)) else {}),
    }
    annotations["description"] = _description(gate, annotations, language)
    return Alert(labels=labels, annotations=annotations, starts_at=gate.since, ends_at=0.0, link=link)


def _severity(state: GateState, rule: Rule | None) -> str:
    if state is GateState.HARD_STOPPED:
        return "critical"
    return "warning" if state is GateState.SLOWED or rule is None else rule.severity


def _summary(gate: Gate, rule: Rule | None, language: Language) -> str:
    text = f"{_HEAD[language][gate.state]}: {scope_words(gate.scope, language)}"
    evidence = gate.evidence
    if evidence is None or not evidence.denominator:
        reason = worded(gate.cause, gate.reason, language)
        return f"{text}. {sample(reason)}" if reason else text
    signal = _signal(rule, language)
    of, limit = ("of", "limit") if language == "en" else ("из", "порог")
    return (
        f"{text}. {signal[:1].upper()}{signal[1:]} {percent(evidence.rate, language)}"
        f" ({number(evidence.numerator, language)} {of} {number(evidence.denominator, language)}),"
        f" {limit} {percent(evidence.threshold, language)}"
    )


def _signal(rule: Rule | None, language: Language) -> str:
    default = "rate" if language == "en" else "доля"
    return SIGNAL[language].get(rule.signal, rule.signal) if rule is not None else default


def _figures(evidence: Evidence, rule: Rule | None, slowed: bool, language: Language) -> dict[str, str]:
    interval = wilson(evidence.numerator, evidence.denominator)
    figures = {
        "numerator": str(evidence.numerator),
        "denominator": str(evidence.denominator),
        "threshold": percent(evidence.threshold, language),
        "threshold_from": f"rule {evidence.rule}" if language == "en" else f"правило {evidence.rule}",
        "counted_since": iso(evidence.since * HOUR),
    }
    if evidence.limit:  # a fixed window weighs no evidence
        figures["e_value"] = number(evidence.e_value, language, 1)
        figures["acts_at"] = number(evidence.limit, language, 1)
    if interval is not None:
        figures["rate"] = percent(evidence.rate, language)
        figures["interval"] = f"{percent(interval[0], language)} – {percent(interval[1], language)}"
    if rule is not None:
        figures["false_alarm_budget"] = _promise(rule, slowed, language)
    if evidence.samples:
        figures["samples"] = "\n".join(sample(text) for text in evidence.samples[:5])
    return figures


def _promise(rule: Rule, slowed: bool, language: Language) -> str:
    """How often this may be a false alarm; of a scope that is slowed before its pause by the limit of that."""
    english, first = language == "en", slowed and rule.slows_first
    if rule.evidence == "window":
        return "a fixed window promises nothing" if english else "фиксированное окно ничего не обещает"
    if rule.by_campaign:
        share = percent(1 / rule.warn_at if first else rule.false_alarm_chance, language)
        return f"at most {share} of healthy campaigns" if english else f"не более {share} исправных рассылок"
    days = number(rule.warn_at if first else rule.false_alarm_days, language)
    return (
        f"one false alarm in {days} days over all scopes of the rule"
        if english
        else f"одна ложная тревога за {days} дн. по всем областям правила"
    )


def _action(gate: Gate, language: Language) -> str:
    english = language == "en"
    end = instant(gate.until) if gate.until else ""
    count = number(gate.limit, language)
    match gate.state:
        case GateState.PAUSED if end:
            return (
                f"Sending is paused until {end}; then a probe decides"
                if english
                else f"Отправка приостановлена до {end}; затем решит проба"
            )
        case GateState.PAUSED if gate.rule == LISTING:
            return (
                "Sending is paused until the listing ends; then a probe decides"
                if english
                else "Отправка приостановлена до конца блокировки; затем решит проба"
            )
        case GateState.PAUSED:
            return (
                "Sending is paused until a person resumes it"
                if english
                else "Отправка приостановлена до решения человека"
            )
        case GateState.PROBING:
            return (
                f"A probe of {count} messages is under way; their outcome decides"
                if english
                else f"Идёт проба, писем: {count}; решит их исход"
            )
        case GateState.SLOWED:
            if not end:
                return f"At most {count} messages an hour" if english else f"Писем в час не более {count}"
            return (
                f"At most {count} messages an hour; more from {end} on, once it is calm"
                if english
                else f"Писем в час не более {count}; больше с {end}, если станет спокойно"
            )
        case GateState.HARD_STOPPED:
            return (
                "Sending is stopped; it does not resume by itself"
                if english
                else "Отправка остановлена и сама не возобновится"
            )
        case GateState.OPEN:
            return ""
        case _:
            assert_never(gate.state)


def _remedy(rule: Rule | None, language: Language) -> str:
    if rule is None:
        return ""
    return rule.remedy_en if language == "en" else rule.remedy_ru or rule.remedy_en


def _description(gate: Gate, said: Mapping[str, str], language: Language) -> str:
    """The alert in full sentences, for receivers that show nothing else."""
    english = language == "en"
    lines = [said["action"] + "."]
    if gate.evidence is not None and "interval" in said:
        lines.append(
            f"Rate {said['rate']} (95 % interval {said['interval']}), {said['numerator']} of {said['denominator']} "
            f"since {instant(gate.evidence.since * HOUR)}; threshold {said['threshold']} ({said['threshold_from']})"
            + (f"; evidence {said['e_value']}, acts at {said['acts_at']}." if "e_value" in said else ".")
            if english
            else f"Доля {said['rate']} (интервал 95 % {said['interval']}), {said['numerator']} из "
            f"{said['denominator']} с {instant(gate.evidence.since * HOUR)}; порог {said['threshold']} "
            f"({said['threshold_from']})"
            + (f"; сила доказательств {said['e_value']}, действует от {said['acts_at']}." if "e_value" in said else ".")
        )
    if "remedy" in said:
        lines.append(said["remedy"])
    lines.append(f"Undo: {said['undo']}" if english else f"Отменить: {said['undo']}")
    lines.append(f"How it came about: {said['explain']}" if english else f"Как это вышло: {said['explain']}")
    return "\n".join(lines)
