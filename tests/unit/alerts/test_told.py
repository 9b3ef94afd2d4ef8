"""Whoever is woken reads what was done by itself, and finds the alert by its name in docs/alerts.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerts.form import form_alert, page_of
from alerts.reports import Trouble
from alerts.told import ACTIONS, whole
from alerts.words import Language

ROOT = Path(__file__).resolve().parents[3]
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "alerts").glob("*.py")))
FORMED = set(re.findall(r'form_alert\(\s*"(\w+)"', SOURCES)) | {trouble.value[0] for trouble in Trouble}
GATES = {"SendingSlowed", "SendingPaused", "SendingStopped", "RuleFiring"}


def test_every_alert_says_what_was_done_in_both_languages() -> None:
    assert len(FORMED) > 15
    own = {"Listed", "ReplyRule"}  # which say it with their figures
    assert set(ACTIONS["en"]) == set(ACTIONS["ru"]) == FORMED - own


def test_every_alert_stands_in_the_docs_and_nothing_else_does() -> None:
    text = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == FORMED | GATES


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_description_holds_all_that_a_receiver_of_one_field_needs(language: Language) -> None:
    alert = form_alert("SeedBlind", "warning", {"mailbox": "a@b.example"}, 0.0, "https://p.example",
                       summary="cannot be looked into", problem="timed out", remedy="try it")  # fmt: skip
    told = whole(alert, language).annotations["description"].split("\n")
    assert told == ["cannot be looked into", "timed out", ACTIONS[language]["SeedBlind"], "try it"]


def test_an_alert_leads_to_the_page_that_shows_most_of_it() -> None:
    alert = form_alert("AlignmentDrop", "warning", {}, 0.0, "https://p.example", summary="s", remedy="r")
    assert alert.link == "https://p.example/dmarc#sources"
    assert page_of("MonitorLag") == "/"
