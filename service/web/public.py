"""What the pages that strangers reach have in common: frame, language, bounded forms, limits, the caller's address.

Contract: no login, no cookies, no script, no redirect but that of signed links.  A form is read up to MAX_FORM bytes.
Valid requests are never limited by address: mailbox providers post one-click unsubscribes, and fetch pixels, from a few
addresses for millions of people.  What is limited is guessing (invalid tokens, by address) and hammering (by token).
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from html import escape

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiDict, MultiDictProxy

MAX_FORM = 16_384  # bytes
MAX_FIELDS = 500
MAX_KEYS = 20_000  # callers that a limiter remembers
LANGUAGES = ("en", "ru")


class Limiter:
    """A bucket a key: `burst` at once, then one in every `seconds`.  `ticks` gives real seconds."""

    def __init__(self, burst: int, seconds: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._ticks = ticks
        self._full_at: OrderedDict[str, float] = OrderedDict()  # key → when its bucket is full again

    def takes(self, key: str) -> bool:
        """False when this one is too many."""
        now = self._ticks()
        full_at = max(now, self._full_at.get(key, now)) + self._seconds
        if full_at - now > self._burst * self._seconds:
            return False
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        while len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)
        return True


class Limits:
    """The limits of one process."""

    def __init__(self, trusted_proxies: list[str]) -> None:
        self.guesses = Limiter(burst=60, seconds=1.0)  # invalid tokens of one address
        self.pages = Limiter(burst=60, seconds=1.0)  # requests with one token
        self._trusted = frozenset(trusted_proxies)

    def client(self, request: web.Request) -> str:
        """The address of the caller: the last hop that is no proxy of ours; '' when it is no address."""
        hops = [request.remote or ""]
        if hops[0] in self._trusted:
            hops = [h.strip() for h in ",".join(request.headers.getall("X-Forwarded-For", []))[-1000:].split(",")][::-1]
            hops.append(request.remote or "")
        found = next((hop for hop in hops if hop and hop not in self._trusted), hops[-1])
        try:
            return str(ipaddress.ip_address(found))
        except ValueError:
            return ""


LIMITS = web.AppKey("limits", Limits)


def language_of(request: web.Request, default: str = "en") -> str:
    """`ru` when asked for by ?lang= or preferred by the browser, else `default`."""
    asked = request.query.get("lang", "")
    if asked in LANGUAGES:
        return asked
    best, best_weight = default, 0.0
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        name, _, weight = part.strip().partition(";q=")
        code = name.split("-")[0].lower()
        try:
            value = float(weight or 1)
        except ValueError:
            continue
        if code in LANGUAGES and value > best_weight:
            best, best_weight = code, value
    return best


async def form_of(request: web.Request) -> MultiDictProxy[str]:
    """The fields of a posted form; files are left out.  HTTP 413 above MAX_FORM bytes."""
    small = request.clone(client_max_size=MAX_FORM)
    try:
        posted = await small.post()
    except (ValueError, RuntimeError, HttpProcessingError):  # a broken multipart body says nothing
        return MultiDictProxy(MultiDict())
    texts = [(name, value) for name, value in posted.items() if isinstance(value, str)]
    return MultiDictProxy(MultiDict(texts[:MAX_FIELDS]))


async def plain_body(request: web.Request) -> str:
    """A short body that was not sent as a form; '' for one that was."""
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return ""
    return (await request.clone(client_max_size=MAX_FORM).read()).decode("utf-8", "replace")


def refused(request: web.Request) -> web.Response | None:
    """The answer to an invalid token's owner who guesses too much."""
    limits = request.app[LIMITS]
    return None if limits.guesses.takes(limits.client(request) or "?") else too_many()


def hammered(request: web.Request, key: str) -> web.Response | None:
    """The answer to too many requests with one valid token."""
    return None if request.app[LIMITS].pages.takes(key) else too_many()


def too_many() -> web.Response:
    """429."""
    return web.Response(status=429, text="Too many requests. Try again in a minute.\n", headers={"Retry-After": "60"})


_OTHER = {"en": ("ru", "Русский"), "ru": ("en", "English")}


def page(language: str, title: str, inner: str, status: int = 200) -> web.Response:
    """A whole page.  `inner` is HTML, `title` text."""
    other, name = _OTHER[language]
    text = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/static/recipient.css"></head>'
        f"<body><main><h1>{escape(title)}</h1>{inner}</main>"
        f'<footer><a href="?lang={other}" lang="{other}" hreflang="{other}">{name}</a></footer></body></html>'
    )
    return web.Response(text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})
