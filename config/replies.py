"""Reads the table of reply rules: `data/replies/*.toml` in the order of their names.

Contract: `words.toml` holds the groups of words that sentences use as `{name}`; every other file holds rules, the first
that matches decides.  A mistake in a file (unknown class, group, stage or key, a rule that says nothing) raises
InvalidInput that names file and rule.  The tables ship with the package; `folder` replaces them by the owner's.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from core.classify import BounceClass, Classifier, ReplyRule
from core.errors import InvalidInput
from core.reply import Stage

_GROUP = re.compile(r"\{([^{}]*)\}")
_KEYS = {"name", "class", "say", "unless", "codes", "stages", "only"}
_DEPTH = 6


class _File(Protocol):
    @property
    def name(self) -> str: ...
    def read_text(self, encoding: str) -> str: ...


def load_reply_rules(folder: Path | None = None) -> list[ReplyRule]:
    """All rules, in the order in which they are tried."""
    every: Iterable[Any] = folder.iterdir() if folder else files("config").joinpath("data/replies").iterdir()
    tables = {file.name: _read(file) for file in every if file.name.endswith(".toml")}
    words = _words(tables.pop("words.toml", {}))
    rules: list[ReplyRule] = []
    for name in sorted(tables):
        rules += _rules(name, tables[name], words)
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise InvalidInput("replies", f"two rules are called {rule.name!r}", "Give each a name of its own")
        seen.add(rule.name)
    return rules


@functools.cache
def shipped_classifier() -> Classifier:
    """The classifier of the shipped rules: one a process, because it takes a tenth of a second to make."""
    return Classifier(load_reply_rules())


def _read(file: _File) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(file.name, f"is not TOML ({error})", "Mend the line that is named") from error


def _words(table: dict[str, Any]) -> dict[str, str]:
    words = {name: "|".join(members) for name, members in table.items()}
    return {name: _expand(f"({text})", words, "words.toml") for name, text in words.items()}


def _expand(sentence: str, words: dict[str, str], where: str) -> str:
    def group(match: re.Match[str]) -> str:
        if match[1] not in words:
            raise InvalidInput(where, f"no group of words is called {match[1]!r}", "Define it in words.toml")
        text = words[match[1]]
        return text if text.startswith("(") else f"({text})"

    for _ in range(_DEPTH):
        if "{" not in sentence:
            return sentence
        sentence = _GROUP.sub(group, sentence)
    raise InvalidInput(where, f"{sentence[:60]!r}: groups of words hold one another", "Break the circle")


def _rules(file: str, table: dict[str, Any], words: dict[str, str]) -> list[ReplyRule]:
    providers = frozenset(table.get("providers", ()))
    found: list[ReplyRule] = []
    for number, row in enumerate(table.get("rule", ()), 1):
        where = f"{file}, rule {row.get('name', number)}"
        unknown = row.keys() - _KEYS
        if unknown or "name" not in row or "class" not in row:
            raise InvalidInput(where, f"has unknown keys {sorted(unknown)} or lacks name or class", f"Keys: {_KEYS}")
        if not row.get("say") and not row.get("codes"):
            raise InvalidInput(where, "neither says a sentence nor names a code", "A rule that always matches is wrong")
        try:
            found.append(
                ReplyRule(
                    name=row["name"],
                    bounce_class=BounceClass(row["class"]),
                    sentences=tuple(_expand(text, words, where) for text in row.get("say", ())),
                    unless=tuple(_expand(text, words, where) for text in row.get("unless", ())),
                    codes=tuple(row.get("codes", ())),
                    stages=frozenset(Stage(stage) for stage in row.get("stages", ())),
                    providers=providers if row.get("only") else frozenset(),
                )
            )
        except ValueError as error:
            raise InvalidInput(where, str(error), "See core.classify for classes, core.reply for stages") from error
    return found
