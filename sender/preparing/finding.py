"""A finding of the lint: level, what was seen, and the remedy, in English and Russian."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Language = Literal["en", "ru"]


class Level(StrEnum):
    """How much a finding weighs."""

    PROBLEM = "problem"  # must not be sent like this
    WARNING = "warning"  # costs placement or readers
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of finding.  Texts are (English, Russian) with {values} in them."""

    id: str
    level: Level
    part: str  # of the message
    what: tuple[str, str]
    remedy: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding in one message."""

    rule: Rule
    values: tuple[tuple[str, str], ...] = ()

    @property
    def level(self) -> Level:
        """See Level."""
        return self.rule.level

    def what(self, language: Language) -> str:
        """What was seen."""
        return self._say(self.rule.what, language)

    def remedy(self, language: Language) -> str:
        """What the writer can do."""
        return self._say(self.rule.remedy, language)

    def _say(self, texts: tuple[str, str], language: Language) -> str:
        return texts[language == "ru"].format_map(dict(self.values))


def found(rule: Rule, **values: object) -> Finding:
    """A finding with its values, each cut to what fits a line."""
    return Finding(rule=rule, values=tuple((name, str(value)[:300]) for name, value in values.items()))
