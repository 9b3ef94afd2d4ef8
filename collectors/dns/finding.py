"""A finding: what was seen at one name, how bad it is, and what to do about it.

A `Text` is a row of the tables in `texts_auth` and `texts_host`: its level and its words in both languages, with
{placeholders}.  A `Finding` fills one in.  Values come from DNS and are shown on one line, shortened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "ru"]
_SHOWN = 600  # characters of a value: a DKIM record of a 4096-bit key has 740, of 2048 bits 400


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # works today; costs reputation, security or sight
    PROBLEM = "problem"  # mail will be refused, lost or filed as spam


@dataclass(frozen=True, slots=True)
class Text:
    """One kind of finding.  `what` and `remedy` as (English, Russian); a good finding has no remedy."""

    id: str
    level: Level
    what: tuple[str, str]
    remedy: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at `subject`: a domain, a record's name, an address or a file."""

    text: Text
    subject: str
    values: tuple[tuple[str, str], ...] = ()

    @property
    def level(self) -> Level:
        return self.text.level

    @property
    def what(self) -> str:
        """English."""
        return self.words("en")[0]

    @property
    def remedy(self) -> str:
        """English; '' for a good finding."""
        return self.words("en")[1]

    def words(self, language: Language) -> tuple[str, str]:
        """(what, remedy) in one language."""
        index = 0 if language == "en" else 1
        values = {name: _line(value) for name, value in self.values}
        return (
            self.text.what[index].format(subject=self.subject, **values),
            self.text.remedy[index].format(subject=self.subject, **values),
        )


def found(text: Text, subject: str, **values: object) -> Finding:
    """A finding with its placeholders filled."""
    return Finding(text, subject, tuple((name, str(value)) for name, value in values.items()))


def _line(value: str) -> str:
    one = "".join(c if c.isprintable() else "?" for c in " ".join(value.split()))
    return one if len(one) <= _SHOWN else one[:_SHOWN] + "…"
