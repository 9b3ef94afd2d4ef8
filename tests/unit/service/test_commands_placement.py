"""`penstock placement …` over a store of its own, without a running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.cli import main

CONFIG = """\
data_dir = "var"
[storage]
url = "sqlite:///var/penstock.db"
[[sending_domains]]
name = "example.com"
return_path = "rp.example.com"
[[sources]]
name = "a"
ehlo = "a.example.com"
"""
SEED = """\
[[seeds.mailboxes]]
mailbox = "seed@{provider}.example"
provider = "{provider}"
host = "127.0.0.1"
port = 1
security = "none"
user = "seed"
password_file = "word"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "word").write_text("secret word\n")
    (tmp_path / "penstock.toml").write_text(CONFIG + SEED.format(provider="gmail") + SEED.format(provider="yahoo"))
    (tmp_path / "news.toml").write_text(
        'from = "News <news@example.com>"\nsubject = "Check"\ntext = "Hello {{ name }}"\n[sample]\nname = "Ann"\n'
    )
    return tmp_path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["placement", *words, "--config", str(folder / "penstock.toml")])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_test_is_handed_over_shown_and_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, capsys, "show")[0] == 1
    code, out, _ = run(folder, capsys, "history")
    assert (code, out.startswith("no placement test")) == (1, True)
    code, out, _ = run(folder, capsys, "test", "--stream", "bulk", "--template", str(folder / "news.toml"))
    assert code == 0
    test_id = out.partition(":")[0]
    assert "2 of 2 copies accepted" in out
    code, out, _ = run(folder, capsys, "show", test_id)
    assert code == 0
    assert "inbox: unknown; 2 waiting" in out
    code, out, _ = run(folder, capsys, "history", "--json")
    (listed,) = json.loads(out)
    assert (listed["id"], listed["copies"], listed["outcomes"]) == (test_id, 2, {"waiting": 2})
    code, out, _ = run(folder, capsys, "seeds")
    assert code == 0
    assert "seed@yahoo.example" in out


def test_one_provider_alone_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("test", "--stream", "bulk", "--template", str(folder / "news.toml"), "--provider", "yahoo", "--json")
    code, out, _ = run(folder, capsys, *words)
    assert code == 0
    assert [row["mailbox"] for row in json.loads(out)["seeds"]] == ["seed@yahoo.example"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("test", "--stream", "none", "--template", "news.toml"), "not configured"),
        (("test", "--stream", "bulk", "--template", "news.toml", "--provider", "apple"), "no such seed mailbox"),
        (("test", "--stream", "bulk", "--template", "gone.toml"), "gone.toml"),
        (("show", "unheard"), "no test"),
    ],
)
def test_what_cannot_be_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    problem: str,
) -> None:
    monkeypatch.chdir(folder)
    code, _, err = run(folder, capsys, *words)
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


def test_a_login_is_tried_and_its_secret_is_not_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(folder, capsys, "login")
    assert code == 1
    assert out.count("cannot be looked into") == 2
    assert "secret word" not in out + err
