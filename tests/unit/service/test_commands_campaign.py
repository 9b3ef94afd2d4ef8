"""`penstock send --template --recipients`: a campaign from files, cut off and resumed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.events import Accepted
from service.cli import main
from storage.stores import open_stores
from tests.waiting import wait_until

CONFIG = """
[[sending_domains]]
name = "example.com"
return_path = "rp.example.com"
[[sources]]
name = "mta1"
ehlo = "mta1.example.com"
"""
TEMPLATE = 'from = "News <news@example.com>"\nsubject = "Hello {{ name }}"\ntext = "Hi {{ name }} in {{ city }}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "penstock.toml").write_text(CONFIG)
    (tmp_path / "spring.toml").write_text(TEMPLATE)
    return tmp_path


def words(folder: Path, *more: str) -> list[str]:
    return [
        "send", "--stream", "bulk", "--campaign", "spring", "--template", str(folder / "spring.toml"),
        "--recipients", str(folder / "list.csv"), "--config", str(folder / "penstock.toml"), *more,
    ]  # fmt: skip


def write(folder: Path, *rows: str) -> None:
    (folder / "list.csv").write_text("name;email;city\n" + "".join(row + "\n" for row in rows))


async def accepted(folder: Path) -> list[str]:
    stores = await open_stores(f"sqlite:///{folder}/var/penstock.db")
    try:
        rows = await stores.log.read(0, 100_000)
        return [row.event.recipient for row in rows if isinstance(row.event, Accepted)]
    finally:
        await stores.close()


async def run(folder: Path, *more: str) -> int:
    return await asyncio.to_thread(main, words(folder, *more))


def send_and_kill(folder: Path) -> None:
    """Begin, and die by SIGKILL once something was noted as done."""
    command = [sys.executable, "-m", "service.cli", *words(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_until((folder / "list.csv.penstock-state").exists, "the first portion")
        process.kill()


async def test_columns_become_variables_and_each_row_is_answered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "Ann;ann@x.test;Oslo", "Bob;bob@x.test;", "Cid;broken;Rome", "Ann;ANN@x.test;Oslo", "only a name")
    assert await run(folder) == 0
    assert await accepted(folder) == ["ann@x.test"]
    out = capsys.readouterr().out
    assert "5 rows: 1 accepted, 4 invalid" in out
    assert "city" in out, "the missing variable is named"
    assert "stands twice in the list" in out


async def test_a_run_that_was_killed_goes_on_and_nobody_gets_it_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"u{n}@x.test" for n in range(12_500)]
    write(folder, *(f"N;{name};Oslo" for name in names))
    await asyncio.to_thread(send_and_kill, folder)
    assert len(await accepted(folder)) < len(names)
    assert await run(folder) == 0
    assert await accepted(folder) == names
    assert "12,500 rows: 12,500 accepted" in capsys.readouterr().out


async def test_a_portion_that_was_committed_but_not_noted_is_not_sent_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"u{n}@x.test" for n in range(2500)]
    write(folder, *(f"N;{name};Oslo" for name in names))
    assert await run(folder) == 0
    note = folder / "list.csv.penstock-state"
    before = json.loads(note.read_text()) | {"done": 1000, "finished": "", "counts": {"accepted": 1000}}
    note.write_text(json.dumps(before))
    assert await run(folder) == 0
    assert await accepted(folder) == names
    assert capsys.readouterr().out.count("2,500 rows: 2,500 accepted") == 2


async def test_a_list_that_was_sent_is_refused_until_again_is_said(folder: Path) -> None:
    write(folder, "Ann;ann@x.test;Oslo")
    assert await run(folder) == 0
    assert await run(folder) == 2
    assert await accepted(folder) == ["ann@x.test"]
    assert await run(folder, "--again") == 0
    assert await accepted(folder) == ["ann@x.test"] * 2
    state = json.loads((folder / "list.csv.penstock-state").read_text())
    assert (state["run"], state["done"]) == (2, 1)


async def test_another_template_does_not_go_on_with_half_a_list(folder: Path) -> None:
    write(folder, "Ann;ann@x.test;Oslo")
    (folder / "list.csv.penstock-state").write_text(json.dumps({"digest": "of another", "done": 1000}))
    assert await run(folder) == 2
    assert await run(folder, "--again") == 0


async def test_who_gets_it_must_be_said_one_way(folder: Path) -> None:
    write(folder, "Ann;ann@x.test;Oslo")
    assert await run(folder, "--to", "bob@x.test") == 2
