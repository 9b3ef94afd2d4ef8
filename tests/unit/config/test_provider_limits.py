"""The owner's figures take the place of the shipped ones; what is wider is told, what means nothing is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import ConfigError, load_providers, load_settings
from config.provider_limits import owner_rows, wider
from tests.unit.config.test_load import LEAST, written

OWN = '[[provider_limits]]\nprovider = "{}"\n{}\n'


def test_only_what_is_named_changes(tmp_path: Path) -> None:
    text = LEAST + OWN.format("gmail", "connections = 2") + OWN.format("other", "new_connections_per_minute = 0")
    settings = load_settings(written(tmp_path, text))
    before = {row.name: row for row in load_providers()}
    rows = {row.name: row for row in owner_rows(load_providers(), settings.provider_limits)}
    assert rows.pop("other").new_connections_per_minute == 0
    assert rows.pop("gmail") == before.pop("gmail").model_copy(update={"connections": 2})
    assert rows == before


@pytest.mark.parametrize(
    ("provider", "figure", "told"),
    [
        ("gmail", "connections = 20", ["provider_limits[0].connections: 20 is wider than the 5 "]),
        ("gmail", "connections = 4", []),
        ("other", "new_connections_per_minute = 0", ["provider_limits[0].new_connections_per_minute: no limit is "]),
        ("yahoo", "messages_per_connection = 20", []),
    ],
)
def test_wider_is_told(tmp_path: Path, provider: str, figure: str, told: list[str]) -> None:
    settings = load_settings(written(tmp_path, LEAST + OWN.format(provider, figure)))
    lines = list(wider(settings, load_providers()))
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


@pytest.mark.parametrize(
    ("entries", "keys"),
    [
        (OWN.format("gmial", "connections = 2"), ["provider_limits[0].provider"]),
        (OWN.format("gmail", ""), ["provider_limits[0]"]),
        (OWN.format("gmail", "connections = 2") * 2, ["provider_limits[1].provider"]),
        (OWN.format("gmail", "connections = 0"), ["provider_limits[0].connections"]),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, entries: str, keys: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, LEAST + entries))
    assert [problem.key for problem in caught.value.problems] == keys
