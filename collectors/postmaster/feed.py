"""What a feed is: an account of ours, and functions that fetch figures of a day with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp

from core.state import Observation


@dataclass(slots=True, kw_only=True)
class Account:
    """An account at a provider.  `name` is the feed's name in observations; `secret` is the secret file's text.

    `url` and `token_url` are base addresses without final slash.  `unkept` tells why a replaced secret stands in no
    file, '' when it does (see `token`)."""

    name: str
    subjects: tuple[str, ...]
    secret: str
    url: str
    token_url: str
    secret_file: Path | None = None
    unkept: str = ""

    def __repr__(self) -> str:
        return f"Account({self.name!r})"  # the secret must not reach a log through a repr


# figures of one UTC day (days since the epoch); an empty list when the provider has none for it (yet).
# Raises core.errors.Unavailable, http.Refused among them.
Fetch: TypeAlias = Callable[[aiohttp.ClientSession, Account, int], Awaitable[list[Observation]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRow:
    """A kind of feed.

    `fetch` gives a past day's figures, `state` (where there is one) what holds now, noted under today.
    `provider` is the row of the provider table that it speaks for; `bare_rates` are metrics that come as a share
    without counts: they get an interval from our own deliveries.  `lag_days`: figures of younger days may still change.
    """

    kind: str
    provider: str
    fetch: Fetch
    url: str
    token_url: str = ""
    state: Fetch | None = None
    bare_rates: frozenset[str] = frozenset()
    lag_days: int = 2
