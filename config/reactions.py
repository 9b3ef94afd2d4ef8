"""Reads reply rules and retry schedules: the shipped tables, and the owner's before them.

Contract: rules of the owner's file come first; one that has the name of a shipped rule stands in its place, and with
`off = true` neither acts.  What is returned passed every check of `config.checks_reactions`: each rule can match and
can act.  Raises ConfigError that lists all problems with file, key and remedy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from config.checks_reactions import Standing, check_reactions, check_retries
from config.load import DATA, load_providers, table_rows
from config.model import Settings
from config.problems import ConfigError, Problem
from config.reaction_tables import ReactionRow, RetryRow
from config.replies import shipped_classifier
from core.replyrules import ReactionRule

RULES_FILE, RETRIES_FILE = DATA / "reply-rules.toml", DATA / "retries.toml"
_R = TypeVar("_R", ReactionRow, RetryRow)


def load_reaction_rules(settings: Settings) -> list[ReactionRule]:
    """All rules that are on, in the order in which they are tried."""
    return [row.built(settings.transactional) for _, _, row in _reactions(settings) if not row.off]


def load_retries(settings: Settings) -> list[RetryRow]:
    """All retry schedules that are on, in order."""
    rows = _joined(settings.replies.retries, RETRIES_FILE, "retries", RetryRow)
    problems = check_retries([(str(file), key, row) for file, key, row in rows], _provider_names(), str(RETRIES_FILE))
    if problems:
        raise ConfigError(problems)
    return [row for _, _, row in rows if not row.off]


def load_noted_rules(settings: Settings) -> list[tuple[ReactionRule, str]]:
    """As `load_reaction_rules`, each with the note where it comes from."""
    return [(row.built(settings.transactional), row.note) for _, _, row in _reactions(settings) if not row.off]


def rule_rows(settings: Settings) -> list[ReactionRow]:
    """The rows behind `load_reaction_rules`, those that are off as well."""
    return [row for _, _, row in _reactions(settings)]


def _reactions(settings: Settings) -> list[tuple[Path, str, ReactionRow]]:
    rows = _joined(settings.replies.rules, RULES_FILE, "rules", ReactionRow)
    problems = [
        Problem(file=str(file), key=f"{key}.pattern", problem=f"is no regular expression ({error})", remedy="Mend it")
        for file, key, row in rows
        if (error := _bad_pattern(row.pattern))
    ]
    if problems:
        raise ConfigError(problems)
    standing = [
        Standing(file=str(file), key=key, row=row, rule=row.built(settings.transactional), shipped=file == RULES_FILE)
        for file, key, row in rows
        if not row.off
    ]
    problems = check_reactions(standing, load_providers(), shipped_classifier(), settings)
    if problems:
        raise ConfigError(problems)
    return rows


def _joined(own: Path | None, shipped: Path, table: str, model: type[_R]) -> list[tuple[Path, str, _R]]:
    """(file, key, row): the owner's, then the shipped ones whose names he did not take."""
    found: list[tuple[Path, str, _R]] = []
    problems: list[Problem] = []
    for path in [own, shipped] if own else [shipped]:
        names: set[str] = set()
        for index, row in enumerate(table_rows(path, table, model)):
            key = f"{table}[{index}]"
            if row.name in names:
                problems.append(Problem(
                    file=str(path), key=f"{key}.name", problem=f"'{row.name}' stands there already",
                    remedy="Give each a name of its own",
                ))  # fmt: skip
            names.add(row.name)
            if path is own or row.name not in {one.name for _, _, one in found}:
                found.append((path, key, row))
    if problems:
        raise ConfigError(problems)
    return found


def _bad_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def _provider_names() -> frozenset[str]:
    return frozenset(row.name for row in load_providers())
