"""Pools and limits in the settings: what is wrong is told with key and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.load import ConfigError, read_settings

BASE: dict[str, Any] = {
    "sending_domains": [{"name": "example.com", "return_path": "rp.example.com"}],
    "sources": [{"name": "a", "ehlo": "a.example.com"}, {"name": "b", "ehlo": "b.example.com", "bind": "2001:db8::5"}],
}


def problems(**changes: Any) -> list[str]:
    """Keys that are complained about."""
    try:
        read_settings(BASE | changes, Path("penstock.toml"))
    except ConfigError as error:
        return [problem.key for problem in error.problems]
    return []


def test_pools_that_hang_together_load() -> None:
    pools = [{"name": "cold", "sources": ["a"], "overflow": "warm"}, {"name": "warm", "sources": ["b"]}]
    assert problems(pools=pools, streams=[{"name": "bulk", "pool": "cold"}]) == []


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"pools": [{"name": "p", "sources": ["x"]}]}, ["pools[0].sources[0]"]),
        ({"pools": [{"name": "p", "sources": ["a", "a"]}]}, ["pools[0].sources[1]"]),
        ({"pools": [{"name": "p", "sources": ["a"], "overflow": "p"}]}, ["pools[0].overflow"]),
        ({"pools": [{"name": "p", "sources": ["a"], "overflow": "q"}]}, ["pools[0].overflow"]),
        ({"pools": [{"name": "p", "sources": ["a"]}, {"name": "p", "sources": ["b"]}]}, ["pools[1].name"]),
        ({"pools": [{"name": "p", "sources": []}]}, ["pools[0].sources"]),
        ({"streams": [{"name": "bulk", "pool": "p"}]}, ["streams[0].pool"]),
        (
            {"sending_domains": [{"name": "example.com", "return_path": "rp.example.com", "pool": "p"}]},
            ["sending_domains[0].pool"],
        ),
    ],
)
def test_a_pool_that_cannot_be_is_told(changes: dict[str, Any], keys: list[str]) -> None:
    assert problems(**changes) == keys
