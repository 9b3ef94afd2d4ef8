"""Headless Chromium for the pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

from tests.daemons.process import program

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@contextmanager
def browser(folder: Path, *, width: int = 1400, height: int = 1500, language: str = "en") -> Iterator[webdriver.Chrome]:
    """A fresh browser with its profile in `folder`; closed at the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={folder}", f"--lang={language}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(program("chromedriver", "chromium-driver"))
    )
    try:
        driver.set_page_load_timeout(30)
        yield driver
    finally:
        driver.quit()
