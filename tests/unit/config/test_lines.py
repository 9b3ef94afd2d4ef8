"""The line that a message about a key names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.lines import line_of
from config.load import DATA, ConfigError, load_settings
from config.problems import key_path
from config.template import starter

SHIPPED = sorted(DATA.rglob("*.toml"))
TEXT = """\
node = "n"   # [sources]
[http]
"port" = 80
public.url = "x"
[[sources]]
name = "a"
[[sources]]
note = \"\"\"
bind = 'no, a text'
[storage]
\"\"\"
list = [
  "bind = 1", # [
  { bind = 2 },
]
bind = "b"
[[sending_domains]]
[[sending_domains.dkim]]
[[sending_domains]]
[[sending_domains.dkim]]
[[sending_domains.dkim]]
selector = "s"
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("node", 1), ("http", 2), ("http.port", 3), ("http.public.url", 4), ("sources", 5), ("sources[0]", 5),
        ("sources[0].name", 6),
        ("sources[1].list", 12), ("sources[1].list[1].bind", 12), ("sources[1].bind", 16), ("sources[1].ehlo", 7),
        ("sending_domains[0].dkim[0]", 18), ("sending_domains[1].dkim[1].selector", 22), ("storage.url", 0), ("", 0),
    ],
)  # fmt: skip
def test_a_key_is_found_where_it_stands_or_in_what_would_hold_it(key: str, line: int) -> None:
    tomllib.loads(TEXT)
    assert line_of(TEXT, key) == line


def leaves(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from leaves(inner, (*at, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*at, index))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_key_of_every_shipped_file_is_found(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for loc in leaves(tomllib.loads(text)):
        found = line_of(text, key_path(loc))
        line = lines[found - 1]
        # rows of an inline array are found by the array
        assert str(loc[-1]) in line or (len(loc) > 2 and f"{loc[-3]} = [" in line), key_path(loc)


def test_a_misspelt_key_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "penstock.toml"
    text = starter("example.com").replace('ehlo = "mta1', 'elho = "mta1')
    path.write_text(text, encoding="utf-8")
    line = next(n for n, one in enumerate(text.splitlines(), start=1) if one.startswith("elho"))
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert f"{path}:{line}: sources[0].elho: there is no such key. Did you mean 'ehlo'?" in str(caught.value)
