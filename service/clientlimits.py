"""How much one client address may ask of a listener: connections at once, messages and wrong guesses a minute.

Contract: counts in whole real minutes; a client that stays below its limits never notices.  IPv6 clients count by
their /64, for one host may have a /64 of its own.  Bounded: at most MOST clients are remembered in a minute; beyond
that, unknown ones share one count.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Callable

MOST = 20_000
_CROWD = "everybody else"


def client_of(peer: object) -> str:
    """The key of a socket's peer: its address, or its /64."""
    if not isinstance(peer, tuple) or not peer:
        return ""
    text = str(peer[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


class ClientLimits:
    """See the module.  `connections` of all clients together; `messages` and `guesses` a minute and client."""

    def __init__(
        self, *, connections: int, per_client: int, messages: int, guesses: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._connections = connections
        self._per_client = per_client
        self._messages = messages
        self._guesses = guesses
        self._monotonic = monotonic
        self._open: Counter[str] = Counter()
        self._minute = 0
        self._sent: Counter[str] = Counter()
        self._guessed: Counter[str] = Counter()

    def connect(self, client: str) -> bool:
        """Count one connection; False when it has to be closed.  Either way `disconnect` is due."""
        self._open[client] += 1
        return self._open.total() <= self._connections and self._open[client] <= self._per_client

    def disconnect(self, client: str) -> None:
        """One connection ended."""
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]

    def may_send(self, client: str) -> bool:
        """One more message within this minute?"""
        return self._take(self._sent, client, self._messages)

    def may_guess(self, client: str) -> bool:
        """One more unknown recipient within this minute?"""
        return self._take(self._guessed, client, self._guesses)

    def guessed_out(self, client: str) -> bool:
        """Has this client no guess left in this minute?  Counts nothing."""
        same_minute = int(self._monotonic() // 60) == self._minute
        key = client if client in self._guessed or len(self._guessed) < MOST else _CROWD
        return same_minute and self._guessed[key] >= self._guesses

    def _take(self, counts: Counter[str], client: str, limit: int) -> bool:
        minute = int(self._monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._sent.clear()
            self._guessed.clear()
        key = client if client in counts or len(counts) < MOST else _CROWD
        counts[key] += 1
        return counts[key] <= limit
