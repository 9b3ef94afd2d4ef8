"""`make run` as a new user sees it: the sandbox in a real browser, from ramp to incident to recovery, and a restart."""

from __future__ import annotations

import functools
import json
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.daemons.browser import browser
from tests.daemons.process import Daemon
from tests.waiting import answer_of, wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(900)]
PORT = 8045
STORY_SECONDS = 300.0  # for each of its turns; the whole is told in two minutes on an idle machine


class Sandbox:
    """The process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.process = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "sandbox", "--data", str(self.folder / "data"),
             "--port", str(PORT)], self.folder / "log",
        )  # fmt: skip
        self.process.await_that(lambda: self.get("/healthz") is not None, "the sandbox")

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=30) as reply:
                return json.load(reply)
        except OSError:
            return None

    def ask(self, path: str) -> Any:
        """The same, as often as it takes."""
        return answer_of(lambda: self.get(path), path)

    def gates(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (self.get("/v1/pauses?all=1") or {"pauses": []})["pauses"]
        return rows

    def story(self, pause_id: str) -> str:
        """What happened to one gate."""
        return "\n".join(row["text"] for row in (self.get(f"/v1/pauses/{pause_id}") or {"story": []})["story"])

    def stories(self) -> str:
        """What happened to every gate so far."""
        return "\n".join(self.story(gate["id"]) for gate in self.gates())

    def stop(self) -> int:
        return self.process.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def page(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        driver.get(f"http://127.0.0.1:{PORT}/")
        yield driver


def text_of(page: webdriver.Chrome) -> str:
    # one look: the page replaces itself, and an element that was found may be gone before it is read
    text: str = page.execute_script("return document.querySelector('main').innerText")
    return text


def shows(page: webdriver.Chrome, pattern: str) -> Callable[[], bool]:
    return lambda: re.search(pattern, text_of(page), re.I) is not None


def test_the_page_shows_ramp_incident_pause_alert_probe_and_recovery(sandbox: Sandbox, page: webdriver.Chrome) -> None:
    began = time.monotonic()
    wait_until(shows(page, "gmail"), "lanes on the page")
    card: list[str] = []

    def closed_gate() -> bool:
        # the page replaces itself: text is read in one look
        texts = page.execute_script(
            "return [...document.querySelectorAll('article.gate.paused')].map(card => card.innerText)"
        )
        card[:] = texts
        return bool(texts)

    wait_until(closed_gate, lambda: f"a paused gate on the page: {sandbox.stories()}", STORY_SECONDS)
    assert re.search(r"\d+ of [\d,]+", card[0]), f"the evidence stands on the card: {card[0]}"
    assert re.search(r"Ends\s", card[0]), f"and when it expires: {card[0]}"
    assert re.search(r"provider|campaign|stream", card[0]), f"and its scope: {card[0]}"

    for move in ("→ paused", "→ probing", "→ open"):
        wait_until(
            functools.partial(both_rules_made, sandbox, move),
            sandbox.stories, STORY_SECONDS,
        )  # fmt: skip
    print(f"the whole story in {time.monotonic() - began:.0f} s")
    wait_until(shows(page, "resolved|ended"), "the resolved alert on the page")
    logged = page.execute("getLog", {"type": "browser"})["value"]
    errors = [entry for entry in logged if entry["level"] == "SEVERE"]
    assert errors == []


def both_rules_made(sandbox: Sandbox, move: str) -> bool:
    """Whether a gate of the complaint rule and one of the bounce rule made this move."""
    rules = {gate["rule"] for gate in sandbox.gates() if move in sandbox.story(gate["id"])}
    return rules >= {"complaints", "dead-addresses"}


def test_volume_ramps_and_no_lane_is_over_its_cap(sandbox: Sandbox) -> None:
    lanes = sandbox.ask("/v1/lanes")["lanes"]
    assert len({row["lane"] for row in lanes}) >= 4
    assert any(row["step"] > 0 for row in lanes)
    for row in lanes:
        assert row["cap"] is None or row["used"] <= row["cap"], row


def test_seeds_and_dmarc_reports_arrive(sandbox: Sandbox, page: webdriver.Chrome) -> None:
    wait_until(lambda: sandbox.ask("/v1/dmarc")["reports"], "a DMARC report")
    wait_until(shows(page, "placement|inbox"), "placement on the page")


def test_the_page_speaks_russian(page: webdriver.Chrome) -> None:
    page.get(f"http://127.0.0.1:{PORT}/?lang=ru")
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "ru"
    assert re.search("[а-я]{4}", text_of(page))
    page.get(f"http://127.0.0.1:{PORT}/")


@pytest.mark.parametrize("address", ["/signals", "/placement", "/dmarc", "/requirements"])
def test_every_page_of_the_navigation_shows_itself_without_an_error(page: webdriver.Chrome, address: str) -> None:
    page.execute("getLog", {"type": "browser"})  # what was said before
    for language in ("en", "ru"):
        page.get(f"http://127.0.0.1:{PORT}{address}?lang={language}")
        assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == language
        here = page.find_element(By.CSS_SELECTOR, "nav [aria-current=page]")
        assert (here.get_attribute("href") or "").endswith(f"{address}?lang={language}")
        assert page.find_elements(By.CSS_SELECTOR, "main section h2")
    logged = page.execute("getLog", {"type": "browser"})["value"]
    assert [entry for entry in logged if entry["level"] == "SEVERE"] == []
    page.get(f"http://127.0.0.1:{PORT}/")


def test_stopped_cleanly_and_started_again_it_continues_where_it_was(sandbox: Sandbox) -> None:
    before = sandbox.ask("/v1/status")
    assert sandbox.stop() == 0, sandbox.process.tail()
    sandbox.start()
    after = sandbox.ask("/v1/status")
    assert before["now"] <= after["now"], "the clock goes on"
    assert after["now"][:8] == before["now"][:8], "and does not jump to another month"
    assert after["suppressions"] >= before["suppressions"]
