"""`penstock warmup …` on a store: hold with and without an end, as a person types it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.cli import parser

CONFIG = """
data_dir = "{folder}"
[storage]
url = "sqlite:///{folder}/p.db"
[[sending_domains]]
name = "news.example"
return_path = "rp.news.example"
[[sources]]
name = "mta1"
ehlo = "out.news.example"
[inbound]
feedback_address = "fbl@rp.news.example"
"""


def test_a_lane_is_started_and_held_with_and_without_an_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text(CONFIG.format(folder=tmp_path), "utf-8")

    def run(*words: str) -> str:
        given = parser("warmup").parse_args(["warmup", *words, "--config", str(config)])
        assert asyncio.run(given.run(given)) == 0
        return capsys.readouterr().out

    assert "185" in run("start", "provider=gmail", "--at", "200")
    assert ": sale" in run("hold", "provider=gmail", "--reason", "sale")
    assert " until 20" in run("hold", "provider=gmail", "--hours", "5", "--reason", "sale")
    assert " until 2099-01-01" in run("hold", "provider=gmail", "--until", "2099-01-01T00:00:00Z")
    assert "удерживает" in run("status", "--lang", "ru")
    assert "held by" not in run("resume", "all")
