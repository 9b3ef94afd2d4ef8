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


def test_limits_that_can_be_kept_load() -> None:
    limit = {"name": "gmail", "scope": "provider=gmail,stream=bulk", "each": ["source"], "messages": "600/minute"}
    assert problems(limits=[limit, {"name": "all", "connections": 5, "scope": "lane=a|example.com|gmail"}]) == []


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        ({"messages": "600"}, "limits[0].messages"),
        ({"new_connections": "1/fortnight"}, "limits[0].new_connections"),
        ({}, "limits[0]"),
        ({"connections": 3, "burst": 2}, "limits[0].burst"),
        ({"connections": 3, "each": ["site", "site"]}, "limits[0].each"),
        ({"connections": 3, "scope": "stream=bluk"}, "limits[0].scope"),
        ({"connections": 3, "scope": "provider=gmial"}, "limits[0].scope"),
        ({"connections": 3, "scope": "colour=red"}, "limits[0].scope"),
        ({"connections": 3, "scope": "pool=none"}, "limits[0].scope"),
        ({"connections": -1}, "limits[0].connections"),
    ],
    ids=str,
)
def test_a_limit_that_cannot_be_kept_is_told(limit: dict[str, Any], key: str) -> None:
    assert problems(limits=[{"name": "x", **limit}]) == [key]


def test_two_limits_of_one_name_are_told() -> None:
    assert problems(limits=[{"name": "x", "connections": 1}] * 2) == ["limits[1].name"]
