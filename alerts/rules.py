"""The alert of a rule that holds no mail: what it found, what it did to the warm-up, what to check.  Pure.

One finding (rule and scope) is one alert, `RuleFiring`; figures and samples are annotations, as with gates.
"""

from __future__ import annotations

from collections.abc import Mapping

from alerts.words import Language, number, percent, sample, scope_words
from config.rules import Rule
from core.causes import worded
from core.clock import iso
from core.events import RuleChanged
from core.lane import HOUR
from core.rates import wilson
from core.state import Alert

SIGNAL = {
    "en": {
        "complaint_rate": "complaint rate", "hard_bounce_rate": "hard bounce rate",
        "soft_bounce_rate": "soft bounce rate", "deferral_rate": "deferral rate", "block_rate": "block rate",
        "auth_failure_rate": "authentication failures", "unsubscribe_rate": "unsubscribe rate",
        "undelivered_rate": "undelivered share", "spam_placement": "seeds in the spam folder",
        "open_rate_drop": "fall of the open rate", "sleeping_share": "sleeping share of the base",
        "over_frequency": "recipients mailed too often",
    },
    "ru": {
        "complaint_rate": "доля жалоб", "hard_bounce_rate": "доля жёстких отказов",
        "soft_bounce_rate": "доля мягких отказов", "deferral_rate": "доля отложенных",
        "block_rate": "доля блокировок", "auth_failure_rate": "ошибки аутентификации",
        "unsubscribe_rate": "доля отписок", "undelivered_rate": "доля недоставленных",
        "spam_placement": "контрольные письма в спаме", "open_rate_drop": "падение открываемости",
        "sleeping_share": "доля спящих в базе", "over_frequency": "получатели, которым пишут слишком часто",
    },
}  # fmt: skip
_HINT = {
    "en": {
        "placement": "Only some providers fell for the same mail: think of the spam folder there",
        "content": "All providers fell together: think of content, theme, preheader and segment",
    },
    "ru": {
        "placement": "Просели не все провайдеры при той же рассылке: у этих письма, похоже, уходят в папку «Спам»",
        "content": "Просели все провайдеры вместе: дело в содержании, теме, прехедере или сегменте",
    },
}
_ACTION = {
    "en": {
        "alert": "Nothing is held; a person should look",
        "hold_warmup": "The warm-up of these lanes does not go on until this is over",
        "step_back": "The warm-up of these lanes steps back at the next day",
    },
    "ru": {
        "alert": "Ничего не удержано; посмотрите сами",
        "hold_warmup": "Прогрев этих линий не продолжится, пока это не пройдёт",
        "step_back": "Прогрев этих линий отступит на следующий день",
    },
}


def rule_alert(found: RuleChanged, rules: Mapping[str, Rule], *, language: Language, link: str) -> Alert | None:
    """The alert of a finding, None when it is over."""
    if not found.firing:
        return None
    rule = rules.get(found.rule)
    parts = {
        key: value
        for key in ("source", "sending_domain", "provider", "stream", "campaign", "list_source")
        if (value := getattr(found.scope, key))
    }
    labels = {
        "alertname": "RuleFiring", "severity": rule.severity if rule else "warning", "scope": found.scope.key,
        "rule": found.rule, "service": "penstock", **parts,
    }  # fmt: skip
    annotations = {
        "summary": _summary(found, rule, language),
        "reason": sample(worded(found.cause, found.reason, language)),
        "action": _ACTION[language].get(found.action, found.action),
        **_figures(found, language),
    }
    if hint := _HINT[language].get(found.hint):
        annotations["hint"] = hint
    remedy = "" if rule is None else rule.remedy_en if language == "en" else rule.remedy_ru or rule.remedy_en
    if remedy:
        annotations["remedy"] = remedy
    lines = [annotations["action"] + ".", annotations["reason"], annotations.get("hint", ""), remedy]
    annotations["description"] = "\n".join(line for line in lines if line)
    return Alert(labels=labels, annotations=annotations, starts_at=found.at, ends_at=0.0, link=link)


def _summary(found: RuleChanged, rule: Rule | None, language: Language) -> str:
    name = SIGNAL[language].get(rule.signal, rule.signal) if rule else found.rule
    text = f"{name[:1].upper()}{name[1:]}: {scope_words(found.scope, language)}"
    seen = found.evidence
    if seen is None or not seen.denominator:
        return text
    of, limit = ("of", "limit") if language == "en" else ("из", "порог")
    return (
        f"{text}. {percent(seen.rate, language)} ({number(seen.numerator, language)} {of} "
        f"{number(seen.denominator, language)}), {limit} {percent(seen.threshold, language)}"
    )


def _figures(found: RuleChanged, language: Language) -> dict[str, str]:
    seen = found.evidence
    if seen is None:
        return {}
    figures = {
        "numerator": str(seen.numerator), "denominator": str(seen.denominator),
        "threshold": percent(seen.threshold, language), "counted_since": iso(seen.since * HOUR),
        "threshold_from": f"rule {found.rule}" if language == "en" else f"правило {found.rule}",
    }  # fmt: skip
    if seen.limit:
        figures["e_value"], figures["acts_at"] = number(seen.e_value, language, 1), number(seen.limit, language, 1)
    interval = wilson(seen.numerator, seen.denominator)
    if interval is not None:
        figures["rate"] = percent(seen.rate, language)
        figures["interval"] = f"{percent(interval[0], language)} – {percent(interval[1], language)}"
    if seen.samples:
        figures["samples"] = "\n".join(sample(text) for text in seen.samples[:5])
    return figures
