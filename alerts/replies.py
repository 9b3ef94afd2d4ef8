"""The alert of a reply rule that acts.  Pure.

`ReplyRule`: one alert from the first acting of a rule over a scope until its reaction is over, where the rule wants a
person to know (`alert`, by default of the actions stop and alert).  Its summary holds the figures, its samples the
reply.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.form import form_alert
from alerts.words import Language, number, sample, scope_words, span
from core.reaction import Reaction, ReactionAction
from core.state import Alert

_WORDS: dict[ReactionAction, dict[Language, str]] = {
    ReactionAction.STOP: {"en": "is stopped", "ru": "остановлена"},
    ReactionAction.SLOW: {"en": "is slowed", "ru": "замедлена"},
    ReactionAction.ONE_CONNECTION: {"en": "goes over one connection", "ru": "идёт одним соединением"},
    ReactionAction.RETUNE: {"en": "goes within lower limits", "ru": "идёт с меньшими пределами"},
    ReactionAction.ALERT: {"en": "goes on", "ru": "идёт дальше"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A reaction in force, with what its rule advises."""

    reaction: Reaction
    remedy_en: str = ""
    remedy_ru: str = ""


def action_words(action: ReactionAction, language: Language) -> str:
    """What becomes of the mail."""
    return _WORDS[action][language]


def acting_alerts(acting: tuple[Acting, ...], *, now: float, language: Language, dashboard: str) -> list[Alert]:
    """Every alert of these that should be firing."""
    return [_alert(one, now, language, dashboard) for one in acting if one.reaction.alert]


def _alert(one: Acting, now: float, language: Language, dashboard: str) -> Alert:
    found, english = one.reaction, language == "en"
    where = scope_words(found.scope, language) + (f", {found.site}" if found.site else "")
    hits, answers = number(found.hits, language), number(found.answers, language)
    done, window = _WORDS[found.action][language], span(found.window, language)
    remedy = one.remedy_en if english else one.remedy_ru or one.remedy_en
    general = (
        f"`penstock rules list` shows what is in force; `penstock rules end '{found.key}'` ends it"
        if english
        else f"`penstock rules list` покажет действующие правила; `penstock rules end '{found.key}'` снимет это"
    )
    left = found.until - now
    state = (f"; then a probe of {found.probe}" if english else f"; затем проба: {found.probe}") if found.probe else ""
    return form_alert(
        "ReplyRule", "critical" if found.action is ReactionAction.STOP else "warning",
        {"rule": found.rule, "scope": found.key.partition("/")[2]}, found.since, dashboard,
        summary=f"{where}: mail {done} by reply rule {found.rule}, after {hits} of {answers} answers in {window}"
        if english
        else f"{where}: почта {done} по правилу {found.rule}: ответов {hits} из {answers} за {window}",
        action=f"Its mail {done}" if english else f"Его почта {done}",
        samples=sample(found.sample), remedy=f"{remedy}. {general}" if remedy else general,
        lasts=(span(left, language) if left > 0 else ("probe" if english else "проба")) + state,
    )  # fmt: skip
