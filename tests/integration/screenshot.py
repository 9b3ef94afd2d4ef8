"""Runs the sandbox until a gate is closed and photographs the dashboard: `docs/make-screenshot`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.daemons.browser import browser
from tests.integration.test_sandbox import PORT, STORY_SECONDS, Sandbox
from tests.waiting import wait_until


def main(out: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory(prefix="penstock-shot-") as folder:
        sandbox = Sandbox(Path(folder))
        try:
            with browser(Path(folder) / "chromium", height=1700) as page:
                page.get(f"http://127.0.0.1:{PORT}/")

                def worth_a_picture() -> bool:
                    recovered = "→ open" in sandbox.stories()
                    return recovered and any(g["state"] == "paused" for g in sandbox.gates())

                wait_until(worth_a_picture, "a closed gate after a recovery", STORY_SECONDS * 2)
                wait_until(lambda: page.find_elements(By.CSS_SELECTOR, "article.gate.paused"), "the pause's card")
                page.save_screenshot(str(out))
        finally:
            sandbox.stop()
    print(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
