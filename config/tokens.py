"""The keys that sign tokens (`core.tokens`): one line `ID HEX` each; the first signs, all verify.

To rotate, put a new line on top and keep the old ones for `tokens.max_age_days`.  Lines that begin with '#' are
remarks.  At first start the file is made with one fresh 256-bit key, readable by its owner alone.

Contract: making is atomic: two processes that start together agree on one key, and a crash leaves either no file or
a whole one.  A file that cannot be understood raises InvalidInput and is never overwritten: losing these keys makes
every bounce, complaint and unsubscribe link of mail already sent worthless.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from config.secrets import read_secret
from core.errors import InvalidInput

KEY_BYTES = 32
_IDS = "abcdefghijklmnopqrstuvwxyz234567"


def load_token_keys(path: Path) -> dict[str, bytes]:
    """The keys in the order of the file; made when there is none.  Raises InvalidInput."""
    if not path.exists():
        _make(path, f"# Penstock token keys. The first signs, all verify. Keep this file.\na {_new_key()}\n")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(read_secret(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        place = f"{path} line {number}"
        key_id, _, hexa = text.partition(" ")
        if len(key_id) != 1 or key_id not in _IDS:
            raise InvalidInput(place, "the id is not one character of a-z and 2-7", "Write 'ID HEX'")
        if key_id in keys:
            raise InvalidInput(place, f"the id '{key_id}' stands twice", "Give the new key an id of its own")
        try:
            key = bytes.fromhex(hexa)
        except ValueError:
            raise InvalidInput(place, "the key is not hexadecimal", "Write 'ID HEX'") from None
        if len(key) < 16:
            raise InvalidInput(place, "the key is shorter than 16 bytes", f"Use {KEY_BYTES} random bytes")
        keys[key_id] = key
    if not keys:
        raise InvalidInput(str(path), "holds no key", "Restore it from your backup; remove it only before first use")
    return keys


def _new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


def _make(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # link() fails when the name exists, unlike rename(): the process that comes second takes the first one's key
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
