"""How figures, instants and scopes are written for people, in English and Russian.

Pure.  Russian takes a decimal comma and a thin space between thousands; English a point and a comma.
"""

from __future__ import annotations

from typing import Literal

from core.clock import utc
from core.lane import Scope

Language = Literal["en", "ru"]
MAX_SAMPLE = 300  # characters of one quoted reply

_PARTS = {
    "en": {"stream": "stream", "campaign": "campaign", "provider": "provider", "source": "source",
           "sending_domain": "domain", "site": "host", "pool": "pool", "list_source": "list"},
    "ru": {"stream": "поток", "campaign": "кампания", "provider": "провайдер", "source": "источник",
           "sending_domain": "домен", "site": "узел", "pool": "пул", "list_source": "база"},
}  # fmt: skip


def number(value: float, language: Language, digits: int = 0) -> str:
    """12345.6 as '12,346' or '12 346'."""
    text = f"{value:,.{digits}f}"
    return text if language == "en" else text.replace(",", "\u202f").replace(".", ",")


def percent(rate: float, language: Language) -> str:
    """A share as a percentage with as many digits as its distance from 0 or 100 deserves: 0.31 %, 57 %, 99.6 %."""
    value = rate * 100
    edge = min(value, 100 - value)
    digits = 0 if edge >= 10 or edge <= 0 else 1 if edge >= 1 else 2 if edge >= 0.1 else 3
    return f"{number(value, language, digits)}\u00a0%"


def instant(at: float) -> str:
    """'2026-11-25 14:05 UTC'."""
    return utc(at).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float, language: Language) -> str:
    """A duration in its largest fitting unit: '40 s', '12 min', '6 h', '3 d'."""
    names = ("s", "min", "h", "d") if language == "en" else ("с", "мин", "ч", "д")
    size = max(0.0, seconds)
    for name, length in zip(names[:0:-1], (86400.0, 3600.0, 60.0), strict=True):
        if size >= 2 * length or (size >= length and size % length == 0):
            return f"{number(size / length, language, 0)}\u00a0{name}"
    return f"{number(size, language, 0)}\u00a0{names[0]}"


def scope_words(scope: Scope, language: Language) -> str:
    """'provider gmail, stream bulk', or 'all mail'; with the streams that go on."""
    parts = [f"{name} {value}" for key, name in _PARTS[language].items() if (value := getattr(scope, key))]
    text = ", ".join(parts) or ("all mail" if language == "en" else "вся почта")
    if scope.spare:
        besides = "except" if language == "en" else "кроме"
        text += f" ({besides} {', '.join(scope.spare)})"
    return text


def sample(text: str) -> str:
    """One quoted line from outside: printable, bounded."""
    flat = "".join(c if c.isprintable() else " " for c in text[: 2 * MAX_SAMPLE])
    return flat if len(flat) <= MAX_SAMPLE else flat[: MAX_SAMPLE - 1] + "…"
