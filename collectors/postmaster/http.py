"""Bounded HTTP for feeds: one request, a limit of bytes and of time, no redirects, no secret in an error.

Raises Unavailable for what may pass, and its subclass Refused when the account's key or token was not accepted: that
does not pass, somebody must renew it.  Errors name the host only: paths and queries may hold keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from core.errors import Unavailable

MAX_BYTES = 5_000_000
TIMEOUT = 30.0  # real seconds for the whole request
_REFUSED = (401, 403)


class Refused(Unavailable):
    """The provider does not accept our key or token, or gives it no access."""


async def get(
    session: aiohttp.ClientSession,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """The text of a GET."""
    return await _request(session, "GET", url, headers=headers, params=query)


async def get_json(
    session: aiohttp.ClientSession,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON object of a GET."""
    return _object(await get(session, url, headers=headers, query=query), url)


async def post_json(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], *, headers: Mapping[str, str]
) -> dict[str, Any]:
    """Post JSON, receive a JSON object."""
    return _object(await _request(session, "POST", url, headers=headers, json=body), url)


async def exchange_token(session: aiohttp.ClientSession, url: str, form: Mapping[str, str]) -> tuple[str, str]:
    """An access token for a refresh token (RFC 6749 section 6), and the refresh token that replaces it, '' for none."""
    try:
        answer = _object(await _request(session, "POST", url, data=dict(form)), url)
    except _Answered as error:
        if error.status == 400:  # RFC 6749 section 5.2: invalid_grant, invalid_client
            raise Refused(f"{_host(url)} refuses the refresh token: {error.text}") from None
        raise
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise Unavailable(f"{_host(url)} gave no access token")
    replaced = answer.get("refresh_token")
    return token, replaced if isinstance(replaced, str) else ""


class _Answered(Unavailable):
    """An HTTP error status."""

    def __init__(self, host: str, status: int, text: str) -> None:
        super().__init__(f"{host} answered {status} {text}".rstrip())
        self.status = status
        self.text = text


async def _request(session: aiohttp.ClientSession, method: str, url: str, **given: Any) -> str:
    host = _host(url)
    try:
        async with session.request(
            method, url, timeout=aiohttp.ClientTimeout(total=TIMEOUT), allow_redirects=False, **given
        ) as answer:
            content = bytearray()
            async for chunk in answer.content.iter_chunked(65_536):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise Unavailable(f"{host} answered more than {MAX_BYTES:,} bytes")
            text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    except TimeoutError as error:
        raise Unavailable(f"{host} did not answer within {TIMEOUT:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # the error's own text may repeat the URL, which may hold a key
        raise Unavailable(f"no connection to {host} ({type(error).__name__})") from None
    if answer.status in _REFUSED:
        raise Refused(f"{host} refuses the account ({answer.status}): {_short(text)}".rstrip(": "))
    if answer.status != 200:
        raise _Answered(host, answer.status, _short(text))
    return text


def _object(text: str, url: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unavailable(f"{_host(url)} answered no JSON") from None
    if not isinstance(value, dict):
        raise Unavailable(f"{_host(url)} answered no JSON object")
    return value


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the provider"


def _short(text: str) -> str:
    """What an error answer says, on one short line: an `error` or `message` of JSON, no page."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    said = (
        value.get("error_description") or value.get("error") or value.get("detail") if isinstance(value, dict) else ""
    )
    if isinstance(said, dict):
        said = said.get("message", "")
    return "".join(c if c.isprintable() else " " for c in str(said or ""))[:200]
