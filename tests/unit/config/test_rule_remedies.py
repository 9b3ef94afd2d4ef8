"""What a shipped rule advises can be done: the commands that it names exist."""

from __future__ import annotations

import re
from importlib.resources import files

from service.cli import GROUPS

NAMED = re.compile(r"[Pp]enstock ([a-z]+)")


def test_every_command_that_a_remedy_names_exists() -> None:
    text = (files("config") / "data" / "rules.toml").read_text("utf-8")
    commands = {command for group in GROUPS.values() for command in group}
    named = set(NAMED.findall(text))
    assert named
    assert named <= commands
