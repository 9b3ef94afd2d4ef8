"""What is wrong with a configuration file, told so that its owner can mend it.

Contract: every problem names the file and line, the key's path as a person would write it (`sources[1].bind`), what is
wrong and what to do.  All problems of a file are reported together.  Values are not repeated: a mistaken line may hold
a secret.  Unknown keys get a suggestion: the nearest known name, or the table in which that name is known.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.lines import line_of
from core.errors import InvalidInput

MAX_FILE_BYTES = 1_000_000
MAX_SHOWN = 50  # problems in one message; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend.  `key` is '' when it concerns the whole file."""

    file: str
    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        line = _line(self.file, self.key)
        place = f"{self.file}:{line}" if line else self.file
        return ": ".join(filter(None, (place, self.key, f"{self.problem}. {self.remedy}")))


class ConfigError(InvalidInput):
    """A file that cannot be used; `problems` holds everything found in it, in the order of the file's model."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("a ConfigError needs at least one problem")
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(first.key or first.file, first.problem, first.remedy)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            lines.append(f"… and {len(self.problems) - MAX_SHOWN} more")
        return "\n".join(lines)


def _line(file: str, key: str) -> int:
    """Where it stands; 0 when nobody can tell: settings need not come from a file."""
    try:
        with open(file, encoding="utf-8") as opened:
            return line_of(opened.read(MAX_FILE_BYTES), key)
    except (OSError, ValueError):
        return 0


def key_path(loc: Sequence[str | int]) -> str:
    """`("sources", 1, "bind")` as `sources[1].bind`."""
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def problems_of(
    error: ValidationError, file: Path, model: type[BaseModel], prefix: tuple[str | int, ...] = ()
) -> list[Problem]:
    """A pydantic error as problems of `file`, whose root (below `prefix`) is `model`."""
    return [
        Problem(
            file=str(file),
            key=key_path((*prefix, *detail["loc"])),
            problem=_problem(detail["type"], detail["msg"]),
            remedy=_remedy(detail, model, prefix),
        )
        for detail in error.errors(include_url=False)
    ]


def named(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is neither a file nor one that ships: the nearest, or all of them."""
    near = difflib.get_close_matches(name, names := sorted(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else f"Name a file, or one of: {', '.join(names)}"


def parts_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models named anywhere in a type annotation: `list[Source]` gives Source."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)


def tables_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table of a model as (how its head is written, part): `("[[http.tokens]]", ApiToken)`.  The root is ''."""
    if not prefix:
        yield "", model
    for name, info in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        for part in parts_in(info.annotation):
            origin = get_origin(info.annotation)
            yield f"[[{path}]]" if origin is list else f"[{path}.NAME]" if origin is dict else f"[{path}]", part
            yield from tables_of(part, path)


def _problem(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "this key is missing"
        case "extra_forbidden":
            return "there is no such key"
        case _:
            text = message.removeprefix("Value error, ")
            return text[:1].lower() + text[1:].rstrip(".")


def _remedy(detail: Any, model: type[BaseModel], prefix: tuple[str | int, ...]) -> str:
    loc: tuple[str | int, ...] = detail["loc"]
    owner = _owner(model, loc[:-1])
    if detail["type"] == "extra_forbidden":
        return _suggest(str(loc[-1]), owner, model)
    info = owner.model_fields.get(str(loc[-1])) if owner is not None and loc else None
    context: Mapping[str, object] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"Write it{_meaning(info)}"
        case "literal_error":
            expected = str(context.get("expected", "one of the listed words"))
            words = re.findall(r"'([^']*)'", expected)
            near = difflib.get_close_matches(str(detail.get("input")), words, n=1, cutoff=0.6)
            return f"Did you mean '{near[0]}'?" if near else f"Write {expected}"
        case "string_pattern_mismatch":
            return "Use lower-case letters, digits, '_', '.' and '-', at most 63, beginning with a letter or digit"
        case "bool_type" | "bool_parsing":
            return "Write true or false, without quotation marks"
        case "int_type" | "int_parsing" | "int_from_float" | "float_type" | "float_parsing":
            return f"Write a number, without quotation marks{_meaning(info)}"
        case "list_type":
            is_rows = info is not None and any(parts_in(info.annotation))
            tables = f", or [[{key_path((*prefix, *loc))}]] tables" if is_rows else ""
            return f"Write a list in brackets{tables}{_meaning(info)}"
        case "model_type" | "dict_type":
            return f"Write a table [{key_path((*prefix, *loc))}]"
        case _:
            return f"Mend the value{_meaning(info)}"


def _meaning(info: FieldInfo | None) -> str:
    return f" ({info.description})" if info is not None and info.description else ""


def _owner(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The part whose key a location names; None when the location leaves the model."""
    owner: type[BaseModel] = model
    for part in loc:
        if isinstance(part, int):
            continue
        info = owner.model_fields.get(part)
        if info is None:
            continue  # the key of a mapping, such as providers.gmail
        inner = next(parts_in(info.annotation), None)
        if inner is None:
            return None
        owner = inner
    return owner


def _suggest(name: str, owner: type[BaseModel] | None, root: type[BaseModel]) -> str:
    known = list(owner.model_fields) if owner is not None else []
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    homes = sorted(head or "the top of the file" for head, part in tables_of(root) if name in part.model_fields)
    if homes:
        return f"It belongs to {' or '.join(homes[:3])}"
    return f"Remove it; known here: {', '.join(sorted(known))}" if known else "Remove it"
