"""`penstock template` and its twin over HTTP: what they read, print and answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from core.errors import InvalidInput
from service.commands import templates
from service.commands.template_file import read_template
from service.web.auth import errors_as_json
from service.web.templates_api import post_lint, post_preview

TOML = """
from = "Shop <news@example.com>"
subject = "Hello {{ name }}"
preheader = "From Monday"
html_file = "page.html"
[sample]
name = "Ann"
age = 7
"""
PAGE = """<html><head><title>Autumn &amp; sale</title></head><body>
<p>Dear {{ name }}, our autumn sale begins on Monday, and
everything in the shop is cheaper for a week. 12 Long Street, 10115 Berlin.</p>
<a href="{{ unsubscribe_url }}">Unsubscribe</a></body></html>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "mail.toml").write_text(TOML, encoding="utf-8")
    return tmp_path


async def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    templates.add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["template", *words])
    return int(await arguments.run(arguments))


# --- files -----------------------------------------------------------------------------------------------------------
def test_a_toml_file_names_its_parts_and_samples(folder: Path) -> None:
    template = read_template(folder / "mail.toml")
    assert template.sample == {"name": "Ann", "age": "7"}
    assert template.parts["html"] == PAGE
    assert set(template.parts) == {"from", "subject", "preheader", "html"}


def test_a_page_alone_takes_its_subject_from_the_title_and_its_text_from_the_file_beside(folder: Path) -> None:
    (folder / "page.txt").write_text("by hand", encoding="utf-8")
    assert read_template(folder / "page.html").parts == {"subject": "Autumn & sale", "text": "by hand", "html": PAGE}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"subject = ", "cannot be read"),
        ("a.json", b"[1]", "is no table"),
        ("a.json", b"[" * 100_000, "cannot be read"),
        ("a.toml", b"colour = 'red'", "colour"),
        ("a.toml", b"subject = 7", "subject"),
        ("a.toml", b"html_file = '../secret.html'", "outside"),
        ("a.toml", b"html_file = '/etc/passwd'", "outside"),
        ("a.toml", b"subject = 's'\nsample = 7", "sample"),
        ("a.toml", b"subject = 's'\n[sample]\na = [1]", "sample.a"),
        ("a.html", b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_that_is_no_template_is_refused_by_name(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        read_template(tmp_path / name)


def test_a_part_may_not_be_linked_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "page.html").symlink_to(tmp_path / "secret")
    (inner / "a.toml").write_text("html_file = 'page.html'", encoding="utf-8")
    with pytest.raises(InvalidInput, match="outside"):
        read_template(inner / "a.toml")


# --- commands --------------------------------------------------------------------------------------------------------
async def test_lint_fails_only_for_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await _run("lint", str(folder / "mail.toml")) == 0
    assert "· There is no text part" in capsys.readouterr().out
    (folder / "page.html").write_text("<p>{{ nmae }}</p>", encoding="utf-8")
    assert await _run("lint", str(folder / "mail.toml"), "--lang", "ru") == 1
    out = capsys.readouterr().out
    assert "✗ Переменная nmae используется" in out
    assert "Проблем: 3" in out


async def test_lint_is_strict_when_asked_and_speaks_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "mail.toml")
    (folder / "page.html").write_text(PAGE.replace("</body>", "<img src=x></body>"), encoding="utf-8")
    assert await _run("lint", path) == 0
    assert await _run("lint", path, "--strict") == 1
    capsys.readouterr()
    assert await _run("lint", path, "--json", "--variables", '{"name": "Bob"}') == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["file"] == path
    assert [f["id"] for f in report["findings"]] == ["alt_missing", "variable_unused", "text_missing"]
    assert set(report["findings"][0]["what"]) == {"en", "ru"}


async def test_preview_shows_text_and_sizes_or_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await _run("preview", str(folder / "mail.toml")) == 0
    out = capsys.readouterr().out
    assert "Subject: Hello Ann\nPreheader: From Monday\n" in out
    assert "Dear Ann, our autumn sale" in out
    assert "HTML: " in out
    (folder / "v.json").write_text('{"name": "<Bob>"}', encoding="utf-8")
    assert await _run("preview", str(folder / "mail.toml"), "--html", "--variables", str(folder / "v.json")) == 0
    assert "Dear &lt;Bob&gt;" in capsys.readouterr().out


async def test_preview_names_the_variable_that_is_missing(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"variables\.name"):
        await _run("preview", str(folder / "page.html"))
    with pytest.raises(InvalidInput, match="--variables"):
        await _run("preview", str(folder / "page.html"), "--variables", "{broken")


# --- HTTP ------------------------------------------------------------------------------------------------------------
async def _post(path: str, body: object) -> tuple[int, dict[str, object]]:
    app = web.Application(middlewares=[errors_as_json])
    app.router.add_post("/v1/templates/preview", post_preview)
    app.router.add_post("/v1/templates/lint", post_lint)
    async with TestClient(TestServer(app)) as client, client.post(path, json=body) as response:
        return response.status, await response.json()


async def test_preview_over_http() -> None:
    parts = {"from": "a@shop.test", "subject": "Hi {{ name }}", "html": "<a href='https://x.test/'>{{ name }}</a>"}
    status, seen = await _post("/v1/templates/preview", {**parts, "utm": "all", "variables": {"name": "Ann"}})
    assert status == 200
    assert (seen["from"], seen["subject"], seen["clipped"]) == ("a@shop.test", "Hi Ann", False)
    assert "utm_source=shop.test" in str(seen["html"])
    status, seen = await _post("/v1/templates/preview", parts)
    assert (status, seen["error"]["field"]) == (422, "variables.name")  # type: ignore[index]
    status, seen = await _post("/v1/templates/preview", {"colour": "red"})
    assert (status, seen["error"]["field"]) == (422, "colour")  # type: ignore[index]


async def test_lint_over_http_asks_for_the_variables_only_when_some_are_given() -> None:
    parts = {"subject": "Hi", "text": "Dear {{ name }}"}
    status, seen = await _post("/v1/templates/lint", {**parts, "marketing": False})
    assert (status, seen) == (200, {"findings": []})
    status, seen = await _post("/v1/templates/lint", {**parts, "marketing": False, "variables": {}})
    assert [(f["id"], f["level"]) for f in seen["findings"]] == [("variable_missing", "problem")]  # type: ignore[attr-defined]
