"""Access tokens for seed mailboxes: fetched for a refresh token (RFC 6749 section 6) and kept for most of their life.

Contract: `token()` gives one that is good for a minute at least; `token(fresh=True)` asks anew, for a server that
refused the one at hand.  At most one exchange at a time.  A refresh token that the service replaces is written back
into its file (readable by its owner alone), and lives in memory only when it came from the environment.  Raises
LoginRefused when the service does not accept the refresh token (revoked, expired, password changed), Unavailable when
it does not answer.
No secret ever stands in a text.  Bounded: 64 kB of answer, 20 s.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from collectors.keep import keep_secret
from core.errors import LoginRefused, Unavailable

logger = logging.getLogger("penstock.seeds")
MAX_ANSWER = 65_536
TIMEOUT = 20.0  # real seconds
SPARE = 60.0  # a token is taken for dead so long before its end
_DEFAULT_LIFE = 3600.0
# service → address of the exchange, scope, SASL mechanism that it knows best
SERVICES: dict[str, tuple[str, str, str]] = {
    "google": ("https://oauth2.googleapis.com/token", "", "xoauth2"),
    "microsoft": (
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        "xoauth2",
    ),
    "yahoo": ("https://api.login.yahoo.com/oauth2/get_token", "", "xoauth2"),
    "mailru": ("https://o2.mail.ru/token", "", "xoauth2"),
    "yandex": ("https://oauth.yandex.com/token", "", "xoauth2"),
}


@dataclass(slots=True, kw_only=True)
class OAuthAccount:
    """What the exchange needs.  `refresh_file` is where a replaced refresh token is kept, None for memory only."""

    mailbox: str
    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(repr=False)
    refresh_file: Path | None = None
    scope: str = ""
    mechanism: str = "auto"


class TokenSource:
    """See the module."""

    def __init__(
        self,
        account: OAuthAccount,
        session: aiohttp.ClientSession,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._session = session
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = float("-inf")

    @property
    def mechanism(self) -> str:
        """xoauth2, oauthbearer or auto."""
        return self._account.mechanism

    async def token(self, *, fresh: bool = False) -> str:
        """An access token."""
        seen = self._token
        async with self._lock:
            other = self._token != seen  # somebody fetched one while we waited
            if self._token and self._monotonic() < self._good_until and (other or not fresh):
                return self._token
            answer = await self._exchange()
            token, life = answer.get("access_token"), answer.get("expires_in", _DEFAULT_LIFE)
            if not isinstance(token, str) or not token or len(token) > MAX_ANSWER or not token.isascii():
                raise Unavailable(f"{self._host} gave no access token for {self._account.mailbox}")
            try:
                seconds = max(0.0, min(float(life), 86_400.0))
            except (TypeError, ValueError):
                seconds = _DEFAULT_LIFE
            self._token, self._good_until = token, self._monotonic() + seconds - SPARE
            replaced = answer.get("refresh_token")
            if isinstance(replaced, str) and replaced and replaced != self._account.refresh_token:
                self._account.refresh_token = replaced
                await asyncio.to_thread(_keep, self._account)
            return token

    @property
    def _host(self) -> str:
        return urlsplit(self._account.token_url).hostname or "the token exchange"

    async def _exchange(self) -> dict[str, Any]:
        account = self._account
        form = {
            "grant_type": "refresh_token", "client_id": account.client_id, "refresh_token": account.refresh_token,
            **({"client_secret": account.client_secret} if account.client_secret else {}),
            **({"scope": account.scope} if account.scope else {}),
        }  # fmt: skip
        try:
            async with self._session.post(
                account.token_url, data=form, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
            ) as answer:
                content = await answer.content.read(MAX_ANSWER)
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # the error's own text could repeat what was sent
            raise Unavailable(f"no connection to {self._host} ({type(error).__name__})") from None
        try:
            table = json.loads(content)
        except (ValueError, RecursionError):
            table = None
        table = table if isinstance(table, dict) else {}
        if status in (400, 401, 403):
            said = "".join(c for c in str(table.get("error") or status)[:80] if c.isprintable())
            raise LoginRefused(f"{account.mailbox}: {self._host} refuses the refresh token: {said}")
        if status != 200:
            raise Unavailable(f"{self._host} answered {status}")
        return table


def _keep(account: OAuthAccount) -> None:
    """Write the new refresh token over the old one, whole or not at all."""
    path = account.refresh_file
    if path is None:
        logger.warning("%s: the refresh token was replaced; it came from the environment: renew it there",
                       account.mailbox)  # fmt: skip
        return
    try:
        keep_secret(path, account.refresh_token + "\n")
    except OSError as error:
        logger.warning("%s: the replaced refresh token cannot be kept in %s: %s", account.mailbox, path, error.strerror)
