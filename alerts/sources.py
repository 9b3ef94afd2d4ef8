"""The alert of an egress source that was taken out.  Pure.

`SourceOut`: one alert from a source's first rest until it gets an answer again; without news for an hour after a rest
ended it is over as well, because nothing was sent by that source since.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.form import form_alert
from alerts.words import Language, sample
from core.events import Logged, SourceRested, SourceReturned, SourceTrouble
from core.lane import HOUR
from core.state import Alert

FORGOTTEN_AFTER = HOUR
_WORDS: dict[SourceTrouble, dict[Language, tuple[str, str]]] = {
    SourceTrouble.UNBINDABLE: {
        "en": ("this machine does not have its address", "Give it the address, or mend `bind` in [[sources]]"),
        "ru": ("у этой машины нет его адреса", "Добавьте адрес машине или исправьте `bind` в [[sources]]"),
    },
    SourceTrouble.UNREACHABLE: {
        "en": ("no provider can be reached from it", "Check its network and outgoing port 25: `penstock doctor`"),
        "ru": ("с него не доступен ни один провайдер", "Проверьте сеть и исходящий порт 25: `penstock doctor`"),
    },
    SourceTrouble.REFUSED: {
        "en": ("every provider refuses it", "Check its PTR, its EHLO name and blocklists: `penstock doctor`"),
        "ru": ("его отвергают все провайдеры", "Проверьте PTR, имя EHLO и чёрные списки: `penstock doctor`"),
    },
}


def sources_out(events: Iterable[Logged], now: float) -> tuple[SourceRested, ...]:
    """Sources that are out after these events (oldest first), each with the first of its rests in a row."""
    first: dict[str, SourceRested] = {}
    until: dict[str, float] = {}
    for logged in events:
        match logged.event:
            case SourceRested() as event:
                if event.at >= until.get(event.source, event.at) + FORGOTTEN_AFTER:
                    first.pop(event.source, None)
                first.setdefault(event.source, event)
                until[event.source] = event.until
            case SourceReturned() as event:
                first.pop(event.source, None)
            case _:
                pass
    return tuple(event for source, event in first.items() if now < until[source] + FORGOTTEN_AFTER)


def source_alert(rested: SourceRested, language: Language, dashboard: str) -> Alert:
    """What people are told."""
    why, remedy = _WORDS[rested.trouble][language]
    head = f"Source {rested.source} is taken out" if language == "en" else f"Источник {rested.source} выведен"
    return form_alert(
        "SourceOut", "critical", {"source": rested.source}, rested.at, dashboard, summary=f"{head}: {why}",
        trouble=str(rested.trouble), samples=sample(rested.detail), remedy=remedy,
    )  # fmt: skip
