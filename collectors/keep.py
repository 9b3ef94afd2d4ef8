"""Writes a replaced secret over the old one.

Contract: whole or not at all (written beside it, synced, renamed), readable by its owner alone.  Raises OSError.
"""

from __future__ import annotations

import os
from pathlib import Path


def keep_secret(path: Path, text: str) -> None:
    """Make `text` the content of the file."""
    beside = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
