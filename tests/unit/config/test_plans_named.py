"""`warmup.plans` names files or shipped plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_plans
from config.model import SendingDomain, Settings, Source, StreamSettings, Warmup
from config.plans import plan_file, shipped_plan_names
from config.problems import ConfigError


def _settings(plan: Path) -> Settings:
    return Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="s1", ehlo="mta.news.example")],
        streams=[StreamSettings(name="bulk")],
        warmup=Warmup(plans=[plan]),
    )


def test_a_bare_name_is_a_shipped_plan_unless_a_file_of_ours_has_it(tmp_path: Path) -> None:
    assert "adaptive" in shipped_plan_names()
    assert [plan.name for plan in load_plans(_settings(tmp_path / "adaptive"))] == ["adaptive"]
    (tmp_path / "adaptive").write_text('name = "mine"\n')
    assert plan_file(tmp_path / "adaptive") == tmp_path / "adaptive"


def test_a_plan_that_is_neither_is_told_with_the_nearest_name_that_ships(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'adaptive'"):
        load_plans(_settings(tmp_path / "adaptve"))
