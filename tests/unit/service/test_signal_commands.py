"""`penstock signals` and `penstock burnout` in both languages: what is known, what is not, and why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.audience import Reader
from core.lane import DAY, Scope
from monitor.figures import Figure, Unknown
from service.audience import CURSOR
from service.cli import parser
from service.commands.common import desk
from service.commands.signals import shown
from tests.unit.service.test_warmup_commands import CONFIG

FIGURES = [
    Figure(signal="complaint_rate", scope=Scope(stream="bulk"), bad=12, total=4000),
    Figure(signal="open_rate", scope=Scope(stream="bulk"), bad=0, total=0, unknown=Unknown.NOT_TRACKED),
]


def test_figures_are_told_in_the_readers_language() -> None:
    english, russian = shown(FIGURES), shown(FIGURES, "ru")
    assert "12 of 4,000" in english
    assert "unknown (not tracked)" in english
    assert "12 из 4\u202f000" in russian
    assert "неизвестно (не отслеживается)" in russian
    assert "of" not in russian.replace("complaint_rate", "").split()
    assert shown([], "ru").startswith("писем за эти дни нет")


def test_the_burnout_map_tells_who_left_and_that_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "penstock.toml"

    def run(*words: str) -> str:
        given = parser("burnout").parse_args(["burnout", *words, "--config", str(config)])
        assert asyncio.run(given.run(given)) == 0
        return capsys.readouterr().out

    async def read() -> None:
        async with desk(config) as here:
            now = here.clock.now()
            rows = [
                Reader(
                    address=f"{i}@x.example", stream="bulk", list_source="shop", first_at=now - 60 * DAY, mails=9,
                    unanswered=9, left_at=now if i < 3 else 0.0,
                )
                for i in range(7)
            ]  # fmt: skip
            await here.stores.audience.apply(CURSOR, 0, 1, rows)

    config.write_text(CONFIG.format(folder=tmp_path), "utf-8")
    assert "no stream tracks opens or clicks" in run()
    assert "ни один поток не отслеживает" in run("--lang", "ru")
    config.write_text(CONFIG.format(folder=tmp_path) + '[[streams]]\nname = "bulk"\ntrack_opens = true\n', "utf-8")
    asyncio.run(read())
    assert run().startswith("bulk / shop: 100\u00a0% asleep; new 0, active 0, sleeping 4,")
    assert "left or held 3" in run()
    assert "спящие 4" in run("--lang", "ru")
    assert "выбыли или удержаны 3" in run("--lang", "ru")
