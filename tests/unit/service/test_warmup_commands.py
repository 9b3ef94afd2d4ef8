"""`penstock warmup …` on a store: hold with and without an end, as a person types it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.errors import InvalidInput
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
    assert "удерживает" in run("hold", "provider=gmail", "--reason", "аудит", "--lang", "ru")
    assert "held by" not in run("resume", "all")
    with pytest.raises(InvalidInput, match="no lane of all is held"):
        run("resume", "all")
    assert "возвращена вручную" in run("step-back", "all", "--lang", "ru")
    history = tmp_path / "history.csv"
    history.write_text("day,source,domain,provider,sent\n2020-03-30,mta1,news.example,yahoo,41200\n", "utf-8")
    assert "прогрета в другом месте: до 41" in run("import", str(history), "--lang", "ru")
    assert "уже загружена" in run("import", str(history), "--lang", "ru")


def test_a_preview_takes_a_plan_that_is_not_in_use_and_no_provider_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text(CONFIG.format(folder=tmp_path), "utf-8")

    def run(*words: str) -> str:
        given = parser("warmup").parse_args(["warmup", "preview", *words, "--daily", "90", "--config", str(config)])
        assert asyncio.run(given.run(given)) == 0
        return capsys.readouterr().out

    assert run("--mix", "gmail=1").split()[5:8] == ["50", "50", "56%"]  # conservative
    assert run("--mix", "gmail=1", "--plan", "moderate").split()[5:8] == ["90", "90", "100%"]
    with pytest.raises(InvalidInput, match="Did you mean 'moderate'"):
        run("--mix", "gmail=1", "--plan", "moderat")
    with pytest.raises(InvalidInput, match="'gmial' is no provider"):
        run("--mix", "gmial=1")
