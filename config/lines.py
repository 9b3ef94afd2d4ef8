"""The line of a TOML file in which a key stands, for messages to its owner: tomllib does not tell.

Contract: pure and total.  A key that stands nowhere (it is missing, or lies inside an inline table) gives the line of
what holds it: its array, its table's head; 0 when nothing of it stands in the file.  The text is one that tomllib can
read: what it refuses is refused there, with a line of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_HEAD = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=(.*)""", re.DOTALL)
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_LONG = re.compile(r'"""(?:[^\\]|\\.)*?"""' + r"|'''.*?'''", re.DOTALL)
_SHORT = re.compile(r'"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'")
_COMMENT = re.compile(r"#[^\n]*")


def line_of(text: str, key: str) -> int:
    """The line, counted from 1, of a key written as `sources[1].bind`."""
    if not key:
        return 0
    lines = dict(reversed(list(_places(text))))  # of several lines the first: a table's head stands before its rows
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return 0


def _places(text: str) -> Iterator[tuple[str, int]]:
    """(key, line) of every head and key."""
    table, heads = "", Counter[str]()
    for number, line in _statements(_without_long_strings(text)):
        if head := _HEAD.match(line):
            *over, table = _opened(head[1] == "[[", _parts(head[2]), heads)
            yield table, number
            yield from ((path, number) for path in over)
        elif found := _KEY.match(line):
            path = table
            for part in _parts(found[1]):
                path = f"{path}.{part}" if path else part
                yield path, number


def _opened(is_row: bool, parts: list[str], heads: Counter[str]) -> Iterator[str]:
    """The paths that a head opens, its own last: rows of arrays by their number."""
    path = ""
    for index, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        yield path
        if is_row and index == len(parts) - 1:
            heads[path] += 1
        if heads[path]:
            path += f"[{heads[path] - 1}]"
            yield path


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines, without those on which the value of an earlier one goes on."""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        bare = _COMMENT.sub("", _SHORT.sub(lambda quoted: re.sub(r"[\[\]{}#=]", "_", quoted[0]), line))
        if depth <= 0:
            yield number, bare
            depth = 0
            bare = bare.partition("=")[2] if not _HEAD.match(bare) else ""
        depth += sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")


def _without_long_strings(text: str) -> str:
    """The same lines, with nothing in strings of several lines."""
    return _LONG.sub(lambda quoted: '""' + "\n" * quoted[0].count("\n"), text)
