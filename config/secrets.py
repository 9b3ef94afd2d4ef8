"""Secrets live in files of their own, or in the environment; the settings only name them (`*_file`, `*_env`).

Contract: the secret is the file's text without the final line end; it is returned, never logged, and never part of
an error.  A missing, empty, over-long (64 kB) or non-text file raises InvalidInput naming the path.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import InvalidInput

MAX_SECRET_BYTES = 65_536


def read_secret(path: Path) -> str:
    """The text of one secret file.  Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            str(path), f"cannot be read ({error.strerror})", "Make the file, readable by the service alone"
        ) from error
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidInput(str(path), "is larger than 64 kB", "Is it the file that holds the secret?")
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        # `from None`: the cause would carry the secret's bytes into a traceback
        raise InvalidInput(str(path), "is not text", "Save the secret as UTF-8") from None
    if not text.strip():
        raise InvalidInput(str(path), "is empty", "Write the secret into it")
    return text


def secret_from(file: Path | None, variable: str) -> str:
    """The secret of a file, or else of an environment variable; '' when neither is named.  Raises InvalidInput."""
    if file is not None:
        return read_secret(file)
    if not variable:
        return ""
    value = os.environ.get(variable, "").rstrip("\r\n")
    if not value.strip():
        raise InvalidInput(variable, "is not set in the environment", "Set it for the service, or name a file")
    if len(value) > MAX_SECRET_BYTES:
        raise InvalidInput(variable, "is larger than 64 kB", "Is it the variable that holds the secret?")
    return value
