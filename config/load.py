"""Reads `penstock.toml` and the tables (providers, plans, rules) into their models.

Contract: what is returned is complete and consistent: defaults are filled in, relative paths are absolute (counted
from the folder of the file that names them), and every check that needs several keys has passed.  Whatever is wrong
is raised as one `ConfigError` that lists all problems.  Nothing is written.  Files are bounded to 1 MB.
With `check=True` the files that hold secrets, certificates and plans must exist as well.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from config.checks import check_plans, check_rules, check_settings, missing_files
from config.model import Part, Settings
from config.plans import plan_file, shipped_plan_names
from config.problems import MAX_FILE_BYTES, ConfigError, Problem, named, problems_of
from config.rules import Rulebook
from config.tables import BlocklistZone, Plan, ProviderRow, Rule, Sheet

__all__ = [
    "ConfigError",
    "Problem",
    "load_plans",
    "load_providers",
    "load_rulebook",
    "load_rules",
    "load_settings",
    "load_sheets",
    "load_zones",
    "read_settings",
    "table_rows",
]

DATA = Path(__file__).resolve().parent / "data"
DEFAULT_PLAN = "conservative"
_P = TypeVar("_P", bound=BaseModel)


def load_settings(path: Path, *, check: bool = False) -> Settings:
    """The settings of one file.  Raises ConfigError."""
    return read_settings(_table(path, "`penstock init DOMAIN` writes a first one"), path, check=check)


def read_settings(table: dict[str, Any], path: Path, *, check: bool = False) -> Settings:
    """The settings of a parsed table, as if it stood in the file `path`.  Raises ConfigError."""
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        raise ConfigError(problems_of(error, path, Settings)) from error
    settings = _resolved(settings, path.resolve().parent)
    problems = check_settings(settings, str(path), frozenset(row.name for row in load_providers()))
    if check:
        problems += missing_files(settings, str(path))
    if problems:
        raise ConfigError(problems)
    return settings


def load_providers() -> list[ProviderRow]:
    """The shipped table of mailbox providers."""
    path = DATA / "providers.toml"
    rows = table_rows(path, "providers", ProviderRow)
    problems = _twice(((f"providers[{i}].name", row.name) for i, row in enumerate(rows)), path)
    problems += _twice(
        ((f"providers[{i}].mx[{j}]", suffix) for i, row in enumerate(rows) for j, suffix in enumerate(row.mx)), path
    )
    if problems:
        raise ConfigError(problems)
    return rows


def load_plans(settings: Settings) -> list[Plan]:
    """The owner's warm-up plans, or the shipped default.  The first plan that covers a lane is its plan."""
    paths = [plan_file(path) for path in settings.warmup.plans] or [DATA / "plans" / f"{DEFAULT_PLAN}.toml"]
    for index, path in enumerate(paths):
        if not path.is_file():
            remedy = named(path.name, shipped_plan_names())
            problem = f"{path} cannot be read"
            raise ConfigError([Problem(file="warmup", key=f"plans[{index}]", problem=problem, remedy=remedy)])
    plans = [(str(path), _valid(_table(path), path, Plan)) for path in paths]
    problems = check_plans(plans, settings, frozenset(row.name for row in load_providers()))
    if problems:
        raise ConfigError(problems)
    return [plan for _, plan in plans]


def load_rulebook(settings: Settings) -> Rulebook:
    """The owner's rules of the monitor, or the shipped ones, each with its share of the false-alarm budget."""
    path = settings.monitor.rules or DATA / "rules.toml"
    book = _valid(_table(path), path, Rulebook)
    problems = check_rules(book.rules, str(path))
    if problems:
        raise ConfigError(problems)
    try:
        return book.with_budget()
    except ValueError as error:
        key = str(error)
        easier = "Write a greater chance" if key == "budget.campaign_chance" else "Write fewer days"
        remedy = f"{easier}, or leave out some false_alarm_days and false_alarm_chance"
        problem = "allows fewer false alarms than the rules' own budgets use up"
        raise ConfigError([Problem(file=str(path), key=key, problem=problem, remedy=remedy)]) from error


def load_rules(settings: Settings) -> list[Rule]:
    """The rules of the rulebook."""
    return load_rulebook(settings).rules


def load_zones(settings: Settings) -> list[BlocklistZone]:
    """The owner's table of blocklists, or the shipped one; every row, also those that are off."""
    path = settings.blocklists.zones or DATA / "blocklists.toml"
    zones = table_rows(path, "zones", BlocklistZone)
    problems = _twice(((f"zones[{i}].zone", row.zone) for i, row in enumerate(zones)), path)
    known = {row.zone for row in zones}
    problems += [
        Problem(file=str(path), key=f"blocklists.{key}", problem=f"'{name}' is no zone of the table", remedy="Mend it")
        for key, names in (("also", settings.blocklists.also), ("skip", settings.blocklists.skip))
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return zones


def load_sheets() -> list[Sheet]:
    """The shipped requirement sheets, by file name."""
    paths = sorted((DATA / "requirements").glob("*.toml"))
    return [_valid(_table(path), path, Sheet) for path in paths]


def _table(path: Path, missing: str = "Name a file that exists") -> dict[str, Any]:
    """A TOML file as a dict.  Raises ConfigError when it is missing (`missing`: the remedy), too large or no TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        remedy = missing if isinstance(error, FileNotFoundError) else "Mend that"
        raise ConfigError(
            [Problem(file=str(path), key="", problem=f"cannot be read ({error.strerror})", remedy=remedy)]
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([Problem(file=str(path), key="", problem="is larger than 1 MB", remedy="Is it the file?")])
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(file=str(path), key="", problem="is not UTF-8 text", remedy="Save it as UTF-8")]
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"is not TOML: {str(error) or 'nested too deeply'}"
        raise ConfigError(
            [Problem(file=str(path), key="", problem=problem, remedy="Mend that line; text needs quotation marks")]
        ) from error


def _valid(table: dict[str, Any], path: Path, model: type[_P], prefix: tuple[str | int, ...] = ()) -> _P:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigError(problems_of(error, path, model, prefix)) from error


def table_rows(path: Path, name: str, model: type[_P]) -> list[_P]:
    """The `[[name]]` tables of a file that holds nothing else; the problems of all rows are raised together."""
    table = _table(path)
    problems = [
        Problem(file=str(path), key=key, problem="there is no such key", remedy=f"This file holds [[{name}]] only")
        for key in table
        if key != name
    ]
    rows: list[_P] = []
    given = table.get(name, [])
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise ConfigError([Problem(file=str(path), key=name, problem="is no list", remedy=f"Write [[{name}]] tables")])
    for index, row in enumerate(given):
        try:
            rows.append(_valid(row, path, model, (name, index)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return rows


def _twice(named: Iterable[tuple[str, str]], path: Path) -> list[Problem]:
    first: dict[str, str] = {}
    return [
        Problem(file=str(path), key=key, problem=f"'{value}' stands at {first[value]} already", remedy="Remove one")
        for key, value in named
        if first.setdefault(value, key) != key
    ]


def _resolved(settings: Settings, folder: Path) -> Settings:
    """Paths made absolute; the embedded database and the token keys lie in `data_dir` unless placed elsewhere."""
    data_dir = folder / settings.data_dir
    moved: dict[str, Any] = {}
    if "url" not in settings.storage.model_fields_set:
        moved["storage"] = settings.storage.model_copy(update={"url": f"sqlite:///{data_dir / 'penstock.db'}"})
    elif settings.storage.url.startswith("sqlite:///") and settings.storage.url != "sqlite:///:memory:":
        file = folder / settings.storage.url.removeprefix("sqlite:///")
        moved["storage"] = settings.storage.model_copy(update={"url": f"sqlite:///{file}"})
    if "key_file" not in settings.tokens.model_fields_set:
        moved["tokens"] = settings.tokens.model_copy(update={"key_file": data_dir / "token.keys"})
    return _absolute(settings.model_copy(update=moved), folder)


def _absolute(part: _P, folder: Path) -> _P:
    changes = {name: _absolute_value(getattr(part, name), folder) for name in type(part).model_fields}
    return part.model_copy(update=changes)


def _absolute_value(value: object, folder: Path) -> object:
    match value:
        case Path():
            return folder / value  # an absolute path stays what it is
        case Part():
            return _absolute(value, folder)
        case list():
            return [_absolute_value(item, folder) for item in value]
        case _:
            return value
