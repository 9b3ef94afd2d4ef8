"""Access tokens for feeds, and refresh tokens that the provider replaces.

Contract: `access_token` exchanges a refresh token (RFC 6749 section 6).  One that the provider replaces by another is
used from then on and written back into the secret file, in whichever form it lies there: JSON with `refresh_token`, or
the token alone.  Where the file cannot be written the feed goes on, and `account.unkept` says so until it can: after a
restart the old token may be dead, so the feed's alert fires.  Raises what `http` raises.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from collectors.keep import keep_secret
from collectors.postmaster.feed import Account
from collectors.postmaster.http import exchange_token

logger = logging.getLogger("penstock.feeds")


async def access_token(session: aiohttp.ClientSession, account: Account, form: Mapping[str, str]) -> str:
    """A token for the account's requests."""
    token, replaced = await exchange_token(session, account.token_url, form)
    if replaced and replaced != form.get("refresh_token"):
        account.secret = _renewed(account.secret, replaced)
        account.unkept = "not written yet"
    if account.unkept:
        await asyncio.to_thread(_keep, account)
    return token


def _renewed(secret: str, token: str) -> str:
    try:
        table: Any = json.loads(secret)
    except (ValueError, RecursionError):
        table = None
    return json.dumps({**table, "refresh_token": token}, indent=1) if isinstance(table, dict) else token


def _keep(account: Account) -> None:
    path: Path | None = account.secret_file
    if path is None:
        account.unkept = "the provider replaced the refresh token, and there is no file to keep it in"
        return
    try:
        keep_secret(path, account.secret + "\n")
    except OSError as error:
        account.unkept = f"the provider replaced the refresh token; {path} cannot be written: {error.strerror}"
        logger.warning("feed %s: %s", account.name, account.unkept)
    else:
        account.unkept = ""
