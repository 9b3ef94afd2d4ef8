"""What stands in the way now: gates that are not open, each with who, why, evidence, until, what then, and the undo.

Contract: reads gates and counters as given; says nothing about gates that are open.  In the reader's language.
`explain_campaign` tells a campaign's gates from the log, its counts, and what is left of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from alerts.words import number, percent
from core.causes import worded
from core.clock import iso
from core.events import GateChanged, GateState
from core.lane import Traffic
from core.metrics import Metric
from core.ports import EventLog
from core.state import CANARY, CounterKey, Gate
from monitor import listing
from monitor.canary import WAITING_FOR_OUTCOMES
from service.explain import StoryLine, tell
from service.figures import is_heard
from service.story_words import name

Language = Literal["en", "ru"]
_COUNTED = (Metric.ATTEMPTED, Metric.DELIVERED, Metric.HARD_BOUNCED, Metric.SOFT_BOUNCED, Metric.COMPLAINED)
_LOOKED_AT = 2000  # moves of gates, newest first
_WORDS = {
    "en": {
        "now": "now: {scope} is {state} since {since}", "who": "by", "why": "why", "evidence": "evidence",
        "acts": "{e}, acts at {limit}", "newest": "newest: “{text}”", "until": "until", "person": "somebody resumes it",
        "undo": "undo", "slowed": "slowed to {n} an hour", "paused": "paused", "probing": "probing with {n} messages",
        "hard_stopped": "stopped", "then_paused": "then a probe", "then_slowed": "then the limit grows, if it is calm",
        "then_probing": "then it is judged by what came of the probe", "rule": "rule {rule}",
        "listing_paused": "it is listed no more, then a probe", "outcome": "what came of the probe is known",
        "listing_slowed": "the next step: without refusals the limit grows",
        "not_calm": "the evidence is calm, then the limit grows",
        "canary_held": "the gates that rules closed over it open",
        "canary": "now: {scope} sends its first {n} messages, the rest waits, since {since}",
        "none": "now: every gate over it is open",
        "counts": "counted in the last 90 days", "left": "left in the queue: {left}", "yes": "yes", "no": "nothing",
        "unknown": "unknown",
    },
    "ru": {
        "now": "сейчас: {scope} {state} с {since}", "who": "кто", "why": "почему", "evidence": "доказательства",
        "acts": "{e}, действует с {limit}", "newest": "последнее: «{text}»", "until": "до",
        "person": "решения человека",
        "undo": "отменить", "slowed": "замедлено до {n} в час", "paused": "на паузе", "probing": "проба, писем: {n}",
        "hard_stopped": "остановлено", "then_paused": "затем проба",
        "then_slowed": "затем предел вырастет, если спокойно",
        "then_probing": "затем решит исход пробы", "rule": "правило {rule}",
        "listing_paused": "исключения из списка, затем проба", "outcome": "исхода пробы",
        "listing_slowed": "следующего шага: без отказов предел растёт",
        "not_calm": "спокойных данных, затем предел вырастет",
        "canary_held": "открытия затворов, которые закрыли правила",
        "canary": "сейчас: {scope}: первая часть (писем: {n}) идёт, остальные ждут, с {since}",
        "none": "сейчас: все затворы над этим открыты",
        "counts": "за последние 90 дней", "left": "осталось в очереди: {left}", "yes": "есть", "no": "ничего",
        "unknown": "нет данных",
    },
}  # fmt: skip


def standing(gates: Iterable[Gate], concerns: Callable[[Gate], bool], now: float, language: Language) -> list[str]:
    """Lines about every gate in the way; one line that says so when there is none."""
    found = [gate for gate in gates if gate.state is not GateState.OPEN and concerns(gate)]
    lines = [line for gate in found for line in _gate_lines(gate, now, language)]
    return lines or [_WORDS[language]["none"]]


def end_words(gate: Gate, now: float, language: Language) -> str:
    """What ends the state where no instant to come does, '' where one does or a person must: said after "until"."""
    words, passed = _WORDS[language], 0 < gate.until <= now
    if gate.rule == listing.RULE and gate.state is not GateState.PROBING:
        return words.get(f"listing_{gate.state}", "")
    if passed and gate.rule == CANARY and gate.mark_bad == WAITING_FOR_OUTCOMES:
        return words["canary_held"]
    if gate.state is GateState.PROBING and (passed or gate.rule == listing.RULE) and gate.rule != CANARY:
        return words["outcome"]
    return words["not_calm"] if passed and gate.state is GateState.SLOWED else ""


def _end(gate: Gate, now: float, language: Language) -> str:
    words = _WORDS[language]
    if until := end_words(gate, now, language):
        return until
    then = words.get(f"then_{gate.state}", "") if gate.until and gate.rule != CANARY and gate.by == "guard" else ""
    return ", ".join(filter(None, (iso(gate.until) if gate.until else words["person"], then)))


def _gate_lines(gate: Gate, now: float, language: Language) -> list[str]:
    words = _WORDS[language]
    n, since = number(gate.limit, language), iso(gate.since)
    head = words["canary" if gate.rule == CANARY else "now"].format(
        scope=gate.scope.key, n=n, state=words[str(gate.state)].format(n=n), since=since
    )
    rule = f", {words['rule'].format(rule=gate.rule)}" if gate.rule not in ("", gate.by) else ""
    lines = [head, f"  {words['who']}: {name(gate.by, language)}{rule}"]
    if reason := worded(gate.cause, gate.reason, language):
        lines.append(f"  {words['why']}: {reason}")
    if gate.evidence is not None:
        seen = gate.evidence
        acts = words["acts"].format(e=number(seen.e_value, language), limit=number(seen.limit, language))
        told = [words["newest"].format(text=text) for text in seen.samples[:2]]
        if shown := [*([acts] if seen.limit else []), *told]:  # a fixed window weighs no evidence
            lines.append(f"  {words['evidence']}: {'; '.join(shown)}")
    lines.append(f"  {words['until']}: {_end(gate, now, language)}")
    lines.append(f"  {words['undo']}: penstock resume {shlex.quote(gate.scope.key)}")
    return lines


def names_of(identity: str, streams: Iterable[str]) -> tuple[str, str]:
    """(stream, campaign) of `campaign` or `stream/campaign`; stream '' for any."""
    stream, slash, campaign = identity.partition("/")
    return (stream, campaign) if slash and stream in set(streams) else ("", identity)


def traffic_of(counters: Mapping[CounterKey, int], stream: str, campaign: str) -> set[Traffic]:
    """The campaign's mail that is counted."""
    return {
        key.attribution.traffic
        for key in counters
        if key.attribution.traffic.campaign == campaign and stream in ("", key.attribution.traffic.stream)
    }


async def explain_campaign(
    log: EventLog, stream: str, campaign: str, known: set[Traffic], begun: float, language: Language = "en"
) -> list[StoryLine]:
    """Moves of every gate over some of the campaign's mail since it has begun, oldest first."""
    moves = []
    for logged in await log.recent([GateChanged.__name__], _LOOKED_AT):
        event = logged.event
        if not isinstance(event, GateChanged):
            continue
        own = event.scope.campaign == campaign and stream in ("", event.scope.stream)
        if own or (event.at >= begun and any(event.scope.covers(traffic) for traffic in known)):
            moves.append(event)
    return tell(moves, language)


def counted(
    counters: Mapping[CounterKey, int], known: set[Traffic], waiting: bool, silent: frozenset[str], language: Language
) -> list[str]:
    """How much of the campaign went and what came of it: shares of first attempts; complaints of the mail to providers
    that report them (all but `silent`), unknown without such mail."""
    words, sums, heard = _WORDS[language], dict.fromkeys(_COUNTED, 0), 0
    for key, n in counters.items():
        if key.attribution.traffic in known and key.metric in sums:
            sums[Metric(key.metric)] += n
            if key.metric == Metric.DELIVERED and is_heard(str(key.attribution.traffic.lane.provider), silent):
                heard += n
    of = {metric: heard if metric is Metric.COMPLAINED else sums[Metric.ATTEMPTED] for metric in sums}
    told = ", ".join(
        f"{name(metric, language)} {number(n, language)} "
        f"({percent(n / of[metric], language) if of[metric] else words['unknown']})"
        for metric, n in sums.items()
    )
    left = words["left"].format(left=words["yes"] if waiting else words["no"])
    return [f"{words['counts']}: {told}", left]
