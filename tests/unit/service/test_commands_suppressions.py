"""`penstock suppressions import` and `export`: what goes out comes in again, and faults are told by their line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from service.cli import main

CONFIG = """
[[sending_domains]]
name = "example.com"
return_path = "rp.example.com"
[[sources]]
name = "mta1"
ehlo = "mta1.example.com"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "penstock.toml"
    path.write_text(CONFIG)
    return str(path)


def run(*words: str) -> int:
    return main(["suppressions", *words])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_exported_is_imported_elsewhere_word_for_word(tmp_path: Path, config: str) -> None:
    given = tmp_path / "given.csv"
    given.write_text(
        "Reason;EMAIL;stream;evidence;at;expires_at;colour\n"
        'complaint;Ann@X.test;bulk;"abuse; report";2026-01-02T03:04:05Z;;red\n'
        "hard_bounce;bob@пример.рф;;550 no such user;;;\n"
        ";cid@x.test;;;;2999-01-01T00:00:00Z;\n"
    )
    assert run("import", str(given), "--config", config, "--note", "old system") == 0
    out = tmp_path / "out.csv"
    assert run("export", str(out), "--config", config) == 0
    first = {row["address"]: row for row in rows_of(out)}
    assert first["ann@x.test"]["evidence"] == "abuse; report"
    assert first["ann@x.test"]["at"] == "2026-01-02T03:04:05.000Z"
    assert first["bob@xn--e1afmkfd.xn--p1ai"]["reason"] == "hard_bounce"
    assert first["cid@x.test"]["evidence"] == "old system"
    assert first["cid@x.test"]["expires_at"] == "2999-01-01T00:00:00.000Z"
    (tmp_path / "other").mkdir()
    other = tmp_path / "other/penstock.toml"
    other.write_text(CONFIG)
    assert run("import", str(out), "--config", str(other)) == 0
    again = tmp_path / "again.csv"
    assert run("export", str(again), "--config", str(other)) == 0
    assert again.read_text() == out.read_text()


def test_an_import_may_be_run_again(tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "bare.txt"
    given.write_text("ann@x.test\nbob@x.test\nANN@x.test\n")
    assert run("import", str(given), "--config", config, "--reason", "unsubscribe", "--stream", "bulk") == 0
    assert "3 rows: 2 new, 1 known already, 0 left out" in capsys.readouterr().out
    assert run("import", str(given), "--config", config) == 0
    assert "2 new" in capsys.readouterr().out  # for every stream, as nothing else was said
    assert run("import", str(given), "--config", config) == 0
    assert "0 new, 3 known already" in capsys.readouterr().out


def test_faulty_rows_are_told_by_line_and_the_others_come_in(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given.csv"
    given.write_text(
        "email,reason,at,expires_at\nann@x.test,complaint,,\nno address,,,\nbob@x.test,bored,,\n"
        "cid@x.test,,yesterday,\n"
        "dan@x.test,,,2001-01-01T00:00:00Z\n"
    )
    assert run("import", str(given), "--config", config) == 1
    out = capsys.readouterr().out
    assert "5 rows: 1 new, 0 known already, 4 left out" in out
    assert [f"line {n}: " in out for n in (3, 4, 5, 6)] == [True] * 4


def test_an_empty_list_is_exported_as_its_head(tmp_path: Path, config: str) -> None:
    out = tmp_path / "out.csv"
    assert run("export", str(out), "--config", config) == 0
    assert out.read_text().strip() == "address,stream,reason,at,evidence,expires_at"
    assert not list(tmp_path.glob("*.part"))
