"""Signed tokens: how a bounce, complaint or unsubscribe proves which message of ours it answers.

A token names one message, one purpose and one day, authenticated by HMAC-SHA256 cut to 80 bits.  It is
lower-case base32 without padding, 42 characters, so that it survives systems that fold case and fits a
local part (RFC 5321 section 4.5.3.1.1: 64 octets).  Purposes cannot be exchanged: a return-path token
does not unsubscribe.  Keys rotate: the first key signs, all known keys verify.

Layout: purpose (1) · key id (1) · message id (20) · day (4) · MAC (16).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from core.lane import day_of

MessageId = NewType("MessageId", str)  # 20 base32 characters: 48 bits of milliseconds, 52 random bits
TOKEN_LENGTH = 42
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]  # four tokens a message: two digits a look-up


class Purpose(StrEnum):
    """What the holder of a token may do with it."""

    RETURN_PATH = "b"  # VERP: the envelope sender
    MESSAGE_ID = "m"  # left part of our Message-ID and of X-Penstock-Token
    UNSUBSCRIBE = "u"
    SEED = "s"
    PREFERENCES = "p"  # the page of topics and frequency
    OPT_IN = "o"  # names an opt-in in place of a message
    OPEN = "t"  # the pixel
    CLICK = "c"  # always signed together with the link's target: see core.links


class TokenProblem(StrEnum):
    """Why a token was not believed."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that verified."""

    purpose: Purpose
    message_id: MessageId
    day: int


def _number(value: int, width: int) -> str:
    """The lowest `width` (an even number) base32 digits of a value."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(5 * width - 10, -1, -10)])


@lru_cache(maxsize=4)
def _day(day: int) -> str:
    return _number(day, 4)


_POOL: list[int] = []  # random numbers of 64 bits from the operating system, fetched many at a time: it is slow to ask
os.register_at_fork(after_in_child=_POOL.clear)


def _randbits(count: int) -> int:
    """So many (at most 64) random bits, never the same ones twice."""
    while True:
        try:
            return _POOL.pop() >> (64 - count)  # one step, whatever other threads do
        except IndexError:
            _POOL.extend(struct.unpack("=512Q", os.urandom(4096)))


def new_message_id(now: float, randbits: Callable[[int], int] = _randbits) -> MessageId:
    """A fresh id; ids sort by time.  `now` in seconds since the epoch."""
    return MessageId(_number((int(now * 1000) % (1 << 48)) << 52 | randbits(52), 20))


class _Mac:
    """HMAC-SHA256 (RFC 2104) under one key whose two pads are taken in once: half the time of `hmac.digest`, and there
    are four tokens in a message."""

    def __init__(self, key: bytes) -> None:
        padded = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def __call__(self, data: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


class TokenSigner:
    """Signs with the first key and verifies with any.

    `keys` maps a one-character id (a–z, 2–7) to at least 16 bytes; order matters.  `max_age_days` is how
    long a token is believed (default 400: complaints about a yearly mailing still count).
    """

    def __init__(self, keys: dict[str, bytes], max_age_days: int = 400) -> None:
        if not keys or any(len(k) != 1 or k not in _DIGITS or len(v) < 16 for k, v in keys.items()):
            raise ValueError("token keys: one-character ids (a-z, 2-7), each with at least 16 bytes")
        self._keys = {name: _Mac(key) for name, key in keys.items()}
        self._signing_id = next(iter(keys))
        self._max_age_days = max_age_days

    def sign(self, purpose: Purpose, message_id: MessageId, now: float, payload: str = "") -> str:
        """The token for one message and purpose; `payload` is signed with it but not part of it."""
        head = f"{purpose}{self._signing_id}{message_id}{_day(day_of(now))}"
        return head + self._mac(self._signing_id, head + payload)

    def verify(self, text: str, now: float, purpose: Purpose | None = None, payload: str = "") -> Token | TokenProblem:
        """Check a token found outside.  With `purpose`, a token for anything else is FORGED."""
        token = text.strip().lower()
        if len(token) != TOKEN_LENGTH or any(c not in _DIGITS for c in token):
            return TokenProblem.MALFORMED
        head, mac = token[:-16], token[-16:]
        if head[1] not in self._keys:
            return TokenProblem.UNKNOWN_KEY
        if not hmac.compare_digest(mac, self._mac(head[1], head + payload)):
            return TokenProblem.FORGED
        if head[0] not in set(Purpose) or (purpose is not None and head[0] != purpose):
            return TokenProblem.FORGED
        day = 0
        for digit in head[22:26]:
            day = day * 32 + _DIGITS.index(digit)
        if not -1 <= day_of(now) - day <= self._max_age_days:
            return TokenProblem.EXPIRED
        return Token(purpose=Purpose(head[0]), message_id=MessageId(head[2:22]), day=day)

    def _mac(self, key_id: str, head: str) -> str:
        return _number(int.from_bytes(self._keys[key_id](head.encode())[:10], "big"), 16)
