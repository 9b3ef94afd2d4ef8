"""`penstock status`: what needs a person, then the queue and every lane.

Reads the store that the config names, so it needs no running service.  Trouble comes first: alerts, gates that are not
open, limits that are reached; then lanes.  Exit code 0 whatever it finds: it is a picture, not a check.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from alerts import ledger
from alerts.keeper import META_NAME
from alerts.words import Language, number, percent
from config.load import load_providers
from core.clock import iso
from core.lane import Lane
from core.state import Alert, Gate, StepState
from monitor import operator as word
from service.commands.common import add_config, add_json, add_language, desk
from service.figures import by_lane, is_heard, rate_of, silent_providers, today
from service.gate_form import gate_json
from service.standing import standing
from service.waiting import BucketState, bucket_states

_SHOWN = 20  # buckets of limits
_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "queued": "queued", "suppressed": "suppressed", "lane": "lane (source|domain|provider)", "step": "step",
        "cap": "cap", "sent": "sent", "bounces": "hard bounces", "complaints": "complaints", "warm": "warm",
        "unknown": "unknown", "no_lanes": "no lane has sent yet: `penstock doctor` says what is missing",
        "open": "every gate is open", "gates": "gates that are not open:", "calm": "no alert is firing",
        "alerts": "alerts that are firing:", "since": "since", "limits": "limits:", "free": "{n} of {of} free",
        "full": "nothing free until {at}", "all": "(all)", "critical": "critical", "warning": "warning",
        "explain": "explain",
    },
    "ru": {
        "queued": "в очереди", "suppressed": "в стоп-листе", "lane": "линия (источник|домен|провайдер)", "step": "шаг",
        "cap": "предел", "sent": "ушло", "bounces": "жёсткие отказы", "complaints": "жалобы", "warm": "прогрета",
        "unknown": "неизвестно",
        "no_lanes": "ни одна линия ещё не отправляла: `penstock doctor` скажет, чего не хватает",
        "open": "все затворы открыты", "gates": "затворы, которые не открыты:", "calm": "тревог нет",
        "alerts": "действующие тревоги:", "since": "с", "limits": "лимиты:", "free": "свободно {n} из {of}",
        "full": "ничего до {at}", "all": "(все)", "critical": "критично", "warning": "внимание",
        "explain": "подробно",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the store says at one moment.  `counted` holds today's sums of each lane."""

    now: float
    queue: dict[str, int]
    suppressed: int
    lanes: list[tuple[Lane, dict[str, int], StepState | None]]
    limits: list[BucketState]
    gates: list[Gate]
    silent: frozenset[str]  # providers that report no complaints
    firing: list[Alert]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    status = commands.add_parser("status", help="firing alerts, closed gates, queue and lanes")
    add_json(status)
    add_language(status)
    add_config(status)
    status.set_defaults(run=run_status)


async def run_status(arguments: argparse.Namespace) -> int:
    """Print the picture."""
    async with desk(arguments.config) as d:
        now = d.clock.now()
        sums = by_lane(await d.stores.counters.load(today(now)), today(now))
        steps = {state.lane: state for state in await d.stores.allowances.steps()}
        entries = ledger.read(await d.stores.meta.get(META_NAME)).values()
        picture = Picture(
            now=now, queue=await d.stores.queue.depth(), suppressed=await d.stores.suppressions.count(),
            lanes=[(lane, sums.get(lane, {}), steps.get(lane)) for lane in sorted(set(sums) | set(steps))],
            limits=await bucket_states(d.stores, d.settings, now),
            silent=silent_providers(load_providers()),
            gates=[gate for gate in await d.stores.controls.gates() if word.is_closed(gate)],
            firing=sorted(
                (entry.alert for entry in entries if entry.firing),
                key=lambda one: (one.labels.get("severity", ""), one.starts_at),
            ),
        )  # fmt: skip
    if arguments.json:
        print(json.dumps(_document(picture), ensure_ascii=False))
    else:
        print("\n".join(_lines(picture, arguments.lang)))
    return 0


def _lines(picture: Picture, language: Language) -> list[str]:
    words = _WORDS[language]
    lines = [
        f"{iso(picture.now)}   {words['queued']}: {number(sum(picture.queue.values()), language)}   "
        f"{words['suppressed']}: {number(picture.suppressed, language)}",
        "", words["alerts"] if picture.firing else words["calm"],
        *(line for alert in picture.firing for line in _alert_lines(alert, language)),
        "", words["gates"] if picture.gates else words["open"],
    ]  # fmt: skip
    for gate in picture.gates:
        lines += [f"  {line}" for line in standing([gate], lambda _: True, picture.now, language)]
        lines.append(f"    {words['explain']}: penstock explain pause {gate.pause_id}")
    lines += ["", words["limits"]] if picture.limits else []
    for state in picture.limits[:_SHOWN]:
        free = words["free"].format(n=number(state.free, language), of=number(state.burst, language))
        free = free if state.free else words["full"].format(at=iso(state.opens_at))
        lines.append(f"  {state.limit} {state.values or words['all']}: {state.rate} {state.kind}, {free}")
    return [*lines, "", *_table(picture, language)]


def _alert_lines(alert: Alert, language: Language) -> list[str]:
    words, said = _WORDS[language], alert.annotations
    severity = alert.labels.get("severity", "")
    texts = [
        said.get("summary", ""),
        said.get("hint", ""),
        *said.get("samples", "").splitlines()[:5],
        said.get("remedy", ""),
    ]
    name = alert.labels.get("alertname", "")
    return [
        f"  {words.get(severity, severity)} {name} {words['since']} {iso(alert.starts_at)}",
        *(f"      {text}" for text in texts if text),
    ]


def _table(picture: Picture, language: Language) -> list[str]:
    words = _WORDS[language]
    if not picture.lanes:
        return [words["no_lanes"]]
    rows = [[words[key] for key in ("lane", "step", "cap", "sent", "bounces", "complaints")]]
    for lane, counted, state in picture.lanes:
        cap = "–" if state is None else words["warm"] if state.finished else number(state.cap, language)
        bounces = rate_of(counted.get("hard_bounced", 0), counted.get("attempted", 0))
        heard = is_heard(lane.provider, picture.silent)  # where nobody reports, none is no news
        complaints = rate_of(counted.get("complained", 0), counted.get("delivered", 0)) if heard else None
        rows.append([
            lane.key, str(state.step) if state else "–", cap, number(counted.get("attempted", 0), language),
            percent(bounces.rate, language) if bounces else words["unknown"],
            percent(complaints.rate, language) if complaints else words["unknown"],
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(width) if column else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]  # fmt: skip


def _document(picture: Picture) -> dict[str, object]:
    return {
        "now": iso(picture.now),
        "queue": {"total": sum(picture.queue.values()), "by_provider": picture.queue},
        "suppressions": picture.suppressed,
        "alerts": [
            {"labels": alert.labels, "annotations": alert.annotations, "since": iso(alert.starts_at)}
            for alert in picture.firing
        ],
        "gates": [gate_json(gate) for gate in picture.gates],
        "limits_reached": sum(not state.free for state in picture.limits),
        "lanes": [
            {
                "lane": lane.key, "step": state.step if state else None, "cap": state.cap if state else None,
                "warm": bool(state and state.finished), "attempted": counted.get("attempted", 0),
                "delivered": counted.get("delivered", 0), "hard_bounced": counted.get("hard_bounced", 0),
                "complained": counted.get("complained", 0) if is_heard(lane.provider, picture.silent) else None,
            }
            for lane, counted, state in picture.lanes
        ],
    }  # fmt: skip
