"""What is promised about false alarms, in words: of each rule, and of all together.  Pure."""

from __future__ import annotations

from alerts.rules import SIGNAL
from alerts.words import Language, number, percent, span
from config.rules import Budget, Rule
from core.lane import DAY
from monitor.windows import false_alarms_a_year

_TEXTS = {
    "en": {
        "days": "at most once in {span}", "chance": "at most {chance} of healthy campaigns",
        "first": "{pause}; slowed before: {slow}",
        "window": "no promise: {n} a year and scope, or more", "census": "counted, not estimated",
        "fleet": "All rules and scopes together: one false action in {action}, one false alert in {alert} in the mean; "
        "a healthy campaign is acted on with a chance of at most {chance}. A pause may begin with slowing, on less "
        "evidence: its own limit stands beside each rule.",
        "rate": "rate",
    },
    "ru": {
        "days": "не чаще раза в {span}", "chance": "не более {chance} исправных рассылок",
        "first": "{pause}; замедление перед паузой: {slow}",
        "window": "без обещания: {n} в год на область и больше", "census": "подсчёт, а не оценка",
        "fleet": "Все правила и области вместе: одно ложное действие за {action}, одна ложная тревога за {alert} в "
        "среднем; исправную рассылку тронут с вероятностью не более {chance}. Перед паузой может быть замедление, по "
        "меньшим данным: его предел указан у каждого правила.",
        "rate": "доля",
    },
}  # fmt: skip


def signal_word(rule: Rule | None, language: Language) -> str:
    """The signal of a rule."""
    return SIGNAL[language].get(rule.signal, rule.signal) if rule is not None else _TEXTS[language]["rate"]


def promise(rule: Rule, language: Language) -> str:
    """How often one rule may be wrong."""
    texts = _TEXTS[language]
    if rule.signal in ("sleeping_share", "over_frequency"):
        return texts["census"]
    if rule.evidence == "window":
        return texts["window"].format(n=number(false_alarms_a_year(rule), language, 1))
    pause = _bound(rule, rule.false_alarm_chance, rule.false_alarm_days, language)
    if not rule.slows_first:
        return pause
    return texts["first"].format(pause=pause, slow=_bound(rule, 1 / rule.warn_at, rule.warn_at, language))


def _bound(rule: Rule, chance: float, days: float, language: Language) -> str:
    texts = _TEXTS[language]
    if rule.by_campaign:
        return texts["chance"].format(chance=percent(chance, language))
    return texts["days"].format(span=span(days * DAY, language))


def fleet(budget: Budget, language: Language) -> str:
    """How often all of them may be wrong."""
    return _TEXTS[language]["fleet"].format(
        action=span(budget.action_days * DAY, language),
        alert=span(budget.alert_days * DAY, language),
        chance=percent(budget.campaign_chance, language),
    )
