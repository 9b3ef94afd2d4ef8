"""What README and docs tell people to type exists: commands, options, settings, links."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.model import Settings
from service.cli import parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = parser()


def blocks(text: str) -> Iterator[str]:
    """Blocks of code, fenced or indented, with continued lines joined."""
    joined = text.replace("\\\n", " ")
    yield from re.findall(r"^```\w*\n(.*?)^```", joined, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", joined, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^    .*\n(?:\s*\n)?)+", plain, flags=re.MULTILINE):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)


def command_of(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]] | None:
    """The parser that these words reach and what is left for it; None when they name no command."""
    at, left = TOP, words
    while True:
        action = next((a for a in at._actions if isinstance(a, argparse._SubParsersAction)), None)
        if action is None or not left:
            return at, left
        if left[0] not in action.choices:
            return None
        at, left = action.choices[left[0]], left[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_blocks_can_be_typed_as_they_stand(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for block in blocks(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if not re.match(r"(\S*/)?penstock\s", line):
                continue
            words = shlex.split(re.split(r"\s+#|\s[|>]\s", line)[0])[1:]
            try:
                TOP.parse_args(["5" if word in ("N", "H", "D") else word for word in words])
            except SystemExit as end:
                wrong += [f"{line}: {capsys.readouterr().err}"] if end.code else []
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_sentences_exist_with_their_options(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for said in re.findall(r"`penstock ([^`]+)`", text):
        first = said.split()[0].replace("\\", "").split("|")[0]
        named = [first, *said.split()[1:]]
        known = {option for action in TOP._actions for option in action.option_strings}
        found = command_of([word for word in named if not word.startswith(("-", "["))])
        if found is None and len(named) > 1:  # `penstock rules list | test`: the first is enough
            found = command_of(named[:2]) or command_of(named[:1])
        if found is None:
            wrong.append(said)
            continue
        known |= {option for action in found[0]._actions for option in action.option_strings}
        wrong += [
            f"{said}: {option}" for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", said) if option not in known
        ]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_blocks_are_settings(page: Path) -> None:
    wrong: list[str] = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if not re.search(r"^\[\[?[a-z]|^[a-z_.]+ = ", block, flags=re.MULTILINE):
            continue
        try:
            table = tomllib.loads(block)
        except tomllib.TOMLDecodeError:
            continue  # some other language
        if not table or not set(table) <= set(Settings.model_fields):
            continue  # a table of its own, or keys without their section
        try:
            Settings.model_validate(table)
        except ValidationError as error:
            wrong += [str(one["loc"]) for one in error.errors() if one["type"] not in ("missing",)]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text, dead = page.read_text(encoding="utf-8"), []
    for name, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", text):
        if name.startswith("http"):
            continue
        target = page.parent / name if name else page
        heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
        if not target.exists() or (anchor and anchor[1:] not in anchors):
            dead.append(f"{name}{anchor}")
    assert not dead
