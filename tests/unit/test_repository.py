"""The repository itself: file lengths, no machine paths, documents that name what exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_python_file_is_longer_than_the_ceiling() -> None:
    long = {str(p): n for p in _tracked("*.py") if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_every_module_opens_with_its_manual_page() -> None:
    bare = [
        str(p)
        for p in _tracked("*.py")
        if (text := p.read_text().strip()) and not text.startswith(('"""', "#!", 'r"""'))
    ]
    assert not bare


def test_no_path_of_a_developers_machine_stands_in_a_file() -> None:
    pattern = re.compile(rb"(^|[^a-z])/(" + rb"wo" + rb"rk|ro" + rb"ot|fa" + rb"rm)/")
    found = [str(p) for p in _tracked() if p.suffix != ".png" and pattern.search(p.read_bytes())]
    assert not found


def test_the_readme_names_the_command_that_ci_runs() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_lock_file_pins_every_test_dependency() -> None:
    locked = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "requirements-test.lock").read_text().splitlines()
        if line and not line.startswith("#")
    }
    declared = re.findall(r'^  "([a-z0-9-]+)[\[>=]', (ROOT / "pyproject.toml").read_text(), re.M)
    assert len(declared) > 15
    assert set(declared) <= locked
