"""Reads a template from disk, for the commands that take one.

Forms: a TOML or JSON file with the keys of a message (`from`, `subject`, `preheader`, `text`, `html`, `utm`), with
`text_file` and `html_file` beside it where a part is long, and a table `sample` of variables for preview and lint; or
an `.html` file alone: its <title> is the subject, and a `.txt` file of the same name its text part.
Contract: raises InvalidInput naming the file and key.  Files are bounded; a part's file must lie in the template's
folder or below, so that a template from elsewhere cannot put a file of this machine into a mail.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, LimitExceeded
from sender.preparing.markup import Kind, pieces
from sender.template import PARTS

MAX_FILE = 4_000_000  # bytes
_ELSEWHERE = ("text", "html")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFile:
    """Parts as `POST /v1/messages` takes them, and sample variables (None when the file has none)."""

    parts: dict[str, str]
    sample: dict[str, str] | None = field(default=None)


def read_template(path: Path) -> TemplateFile:
    """See the module.  Raises InvalidInput."""
    content = _read(path)
    if path.suffix.lower() in (".html", ".htm"):
        beside = path.with_suffix(".txt")
        text = _read(beside) if beside.is_file() else ""
        return TemplateFile(parts=_filled({"subject": _title(content), "text": text, "html": content}))
    try:
        table = json.loads(content) if path.suffix.lower() == ".json" else tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # both libraries' errors are ValueErrors
        raise InvalidInput(
            str(path), f"cannot be read ({str(error)[:200]})", "Write TOML, JSON (.json) or a page (.html)"
        ) from error
    if not isinstance(table, dict):
        raise InvalidInput(str(path), "is no table of parts", f"Parts are: {', '.join(PARTS)}")
    sample = table.pop("sample", None)
    for name in _ELSEWHERE:
        where = table.pop(f"{name}_file", None)
        if where is not None:
            table[name] = _beside(path, f"{name}_file", where)
    for name, value in table.items():
        if name not in PARTS or not isinstance(value, str):
            raise InvalidInput(
                f"{path}: {name}", "is no part of a message, or no text", f"Parts are: {', '.join(PARTS)}"
            )
    return TemplateFile(parts=_filled(table), sample=None if sample is None else texts_of(sample, f"{path}: sample"))


def texts_of(table: object, name: str) -> dict[str, str]:
    """Variables: a flat table of texts and numbers.  Raises InvalidInput."""
    if not isinstance(table, dict):
        raise InvalidInput(name, "is no table of variables", 'Write {"name": "Ann"}')
    found: dict[str, str] = {}
    for key, value in table.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise InvalidInput(f"{name}.{key}", "is neither text nor number", "Variables are flat texts")
        found[str(key)] = str(value)
    return found


def _filled(parts: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(text) for name, text in parts.items() if text}


def _beside(path: Path, key: str, where: object) -> str:
    folder = path.resolve().parent
    target = (folder / str(where)).resolve()
    if not target.is_relative_to(folder):
        raise InvalidInput(
            f"{path}: {key}", "lies outside of the template's folder", "Put the file beside the template"
        )
    return _read(target)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise LimitExceeded(str(path), "is too large for a template", f"At most {MAX_FILE} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(str(path), "is not UTF-8 text", "Save it as UTF-8") from error


def _title(html: str) -> str:
    titles = (piece.text for piece in pieces(html) if piece.kind is Kind.RAW and piece.name == "title")
    return " ".join(next(titles, "").split())
