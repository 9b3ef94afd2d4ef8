"""`penstock audience check`: what it reads, prints and writes.  No name server is asked here; see test_audience."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path

import pytest

from core.errors import InvalidInput
from service.commands import audience
from service.commands.csvfile import MAX_LINE, open_csv
from service.commands.progress import Progress

LIST = """name,Email,city
Ann,Ann@X.test ,Berlin
"Bob, jr",bob@gmial.com,"Bonn
am Rhein"
Ann,ann@x.test,
Info,info@x.test,Ulm
,,
Tom,tom@mailinator.com,Jena
Zoe,nonsense,Hof
"""


async def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    audience.add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["audience", "check", *words, "--no-dns"])
    return int(await arguments.run(arguments))


def _write(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def _unfinished(folder: Path) -> list[Path]:
    return list(folder.glob("*.part"))


def _rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines(keepends=True)))


async def test_clean_rows_are_kept_whole_and_the_others_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rejected = tmp_path / "clean.csv", tmp_path / "bad.csv"
    assert await _run(_write(tmp_path, LIST), "--out", str(out), "--rejected", str(rejected)) == 0
    assert _rows(out) == [["name", "Email", "city"], ["Ann", "Ann@x.test", "Berlin"]]
    rows = _rows(rejected)
    assert rows[0] == ["name", "Email", "city", "reason", "suggestion"]
    assert rows[1] == ["Bob, jr", "bob@gmial.com", "Bonn\nam Rhein", "typo", "bob@gmail.com"]
    assert [row[3] for row in rows[2:]] == ["duplicate", "role", "empty", "disposable", "syntax"]
    said = capsys.readouterr().out
    assert "7 rows, 1 can be mailed (14.3%)" in said
    assert "gmial.com → gmail.com (1)" in said
    assert "role account, not a person   e.g. info@x.test" in said
    assert not _unfinished(tmp_path)


async def test_it_speaks_russian_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, LIST)
    await _run(path, "--lang", "ru")
    assert "строк 7, можно писать 1" in capsys.readouterr().out
    await _run(path, "--json", "--keep", "role", "--keep", "typo")
    sums = json.loads(capsys.readouterr().out)
    assert (sums["rows"], sums["clean"], sums["dns_gave_up"]) == (7, 3, False)
    assert sums["reasons"]["role"] == {
        "count": 1,
        "share": pytest.approx(1 / 7),
        "kept": True,
        "examples": ["info@x.test"],
    }
    assert sums["misspelt"] == [{"domain": "gmial.com", "meant": "gmail.com", "count": 1}]


async def test_what_is_kept_by_wish_stays_in_the_clean_list(tmp_path: Path) -> None:
    out = tmp_path / "clean.csv"
    await _run(_write(tmp_path, LIST), "--out", str(out), "--keep", "role", "--keep", "disposable")
    assert [row[1] for row in _rows(out)] == ["Email", "Ann@x.test", "info@x.test", "tom@mailinator.com"]


async def test_a_list_that_nobody_can_be_mailed_from_is_a_failure(tmp_path: Path) -> None:
    assert await _run(_write(tmp_path, "email\nnonsense\n")) == 1


async def test_a_list_may_be_cleaned_onto_itself_and_is_whole_after_a_fault(tmp_path: Path) -> None:
    path = _write(tmp_path, LIST)
    await _run(path, "--out", path)
    assert len(_rows(Path(path))) == 2
    broken = _write(tmp_path, b"email\nann@x.test\n\xff\n", "broken.csv")
    with pytest.raises(InvalidInput, match="encoding"):
        await _run(broken, "--out", path)
    assert len(_rows(Path(path))) == 2
    assert not _unfinished(tmp_path)


@pytest.mark.parametrize(
    ("text", "words", "clean"),
    [
        ("ann@x.test\nbob@x.test\n", (), 2),
        ("Ann;ann@x.test\nBob;bob@x.test\n", (), 2),
        ("id\tE-Mail\n1\tann@x.test\n", (), 1),
        ("\ufeffemail\nann@x.test\n", (), 1),
        ("Имя,Почта\nАнна,ann@x.test\n".encode("cp1251"), ("--encoding", "cp1251"), 1),
        ("a,b\nann@x.test,bob@x.test\n", ("--column", "2"), 1),
        ("a,who\nx,bob@x.test\n", ("--column", "WHO"), 1),
        ("email\r\nann@x.test\r\n\r\nbob@x.test", (), 2),
        ("a,email\nonly\nx,ann@x.test\n", (), 1),
    ],
)
async def test_lists_come_in_many_forms(
    tmp_path: Path, text: str | bytes, words: tuple[str, ...], clean: int, capsys: pytest.CaptureFixture[str]
) -> None:
    await _run(_write(tmp_path, text), "--json", *words)
    assert json.loads(capsys.readouterr().out)["clean"] == clean


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", (), "is empty"),
        ("\n", (), "is empty"),
        ("a,b\n1,2\n", (), "no column 'email' in: a, b"),
        ("a,b\n1,2\n", ("--column", "9"), "no column"),
        ("email\n" + "x" * (MAX_LINE + 1), (), "line 2: is too long"),
        ("email\n" + "," * 2000, (), "2001 fields"),
        ("email\n\xff", ("--encoding", "ascii"), "the file is not ascii"),
        ("email\n", ("--encoding", "klingon"), "is no encoding"),
        ("email\na@x.test", ("--concurrency", "0"), "--concurrency"),
        ('email\n"' + "x\n" * 100_000, (), "is no CSV"),
    ],
)
async def test_what_is_no_list_is_refused_with_its_line(
    tmp_path: Path, text: str, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await _run(_write(tmp_path, text), *words)


def test_rows_know_their_lines(tmp_path: Path) -> None:
    source = open_csv(Path(_write(tmp_path, LIST)))
    with source.file:
        assert [line for line, _ in source.rows()][:3] == [2, 4, 5]


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_on_a_terminal_only_and_taken_away() -> None:
    screen, pipe = _Screen(), io.StringIO()
    for stream in (screen, pipe):
        bar = Progress(200, stream=stream)
        bar.show(100, "100")
        bar.end()
    assert " 50%  100" in screen.getvalue()
    assert screen.getvalue().endswith(" \r")
    assert pipe.getvalue() == ""
