"""The kept lists by which an audience is cleaned: role accounts, disposable domains, known domains and misspellings.

Contract: `load_audience_lists` gives the shipped lists, checked; raises ConfigError naming file and row.  Every domain
is in lower-case A-labels.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TypeVar

from pydantic import Field, ValidationError

from config.load import DATA
from config.model import Part
from config.problems import ConfigError, Problem, problems_of

_P = TypeVar("_P", bound=Part)


class _Roles(Part):
    names: list[str] = Field(min_length=1)


class _Domains(Part):
    domains: list[str] = Field(min_length=1)


class _Known(_Domains):
    typed_wrong: list[str] = Field(min_length=1)
    misspelt: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceLists:
    """`misspelt` gives the domain that was meant; `typed_wrong` are those whose near misses are misspellings."""

    roles: frozenset[str]
    disposable: frozenset[str]
    known: frozenset[str]
    typed_wrong: tuple[str, ...]
    misspelt: dict[str, str]


def load_audience_lists() -> AudienceLists:
    """The shipped lists.  Raises ConfigError."""
    roles = _read("role_accounts.toml", _Roles)
    disposable = _read("disposable_domains.toml", _Domains)
    known = _read("known_domains.toml", _Known)
    problems = _twice("role_accounts.toml", "names", roles.names)
    problems += _twice("disposable_domains.toml", "domains", disposable.domains)
    problems += _twice("known_domains.toml", "domains", known.domains)
    problems += [
        Problem(
            file=str(DATA / "known_domains.toml"), key=f"misspelt.{wrong}", problem=f"'{meant}' is not in domains",
            remedy="Add it there, or remove the row",
        )
        for wrong, meant in known.misspelt.items()
        if meant not in known.domains
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)
    return AudienceLists(
        roles=frozenset(roles.names), disposable=frozenset(disposable.domains), known=frozenset(known.domains),
        typed_wrong=tuple(known.typed_wrong), misspelt=dict(known.misspelt),
    )  # fmt: skip


def _read(name: str, model: type[_P]) -> _P:
    path = DATA / name
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(problems_of(error, path, model)) from error


def _twice(file: str, key: str, rows: list[str]) -> list[Problem]:
    if rows == sorted(set(rows)) and all(row == row.lower() for row in rows):
        return []
    wrong = next((b for a, b in zip(["", *rows], rows, strict=False) if a >= b or b != b.lower()), rows[0])
    return [
        Problem(
            file=str(DATA / file), key=key, problem=f"'{wrong}' stands twice, out of order or in capitals",
            remedy="Each once, in lower case, in alphabetical order",
        )
    ]  # fmt: skip
