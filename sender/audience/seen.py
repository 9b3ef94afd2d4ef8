"""Remembers millions of addresses in eight to sixteen bytes each, to find duplicates.

Contract: `add` says whether the text is new.  It keeps 64-bit hashes in an open-addressing table: in a list of a
million, the chance that any two different addresses are taken for one is below one in ten million.  Rejected: a set
of strings, 130 MB for a million addresses where this takes 16.
Raises LimitExceeded beyond `MAX_KEPT`.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

from core.errors import LimitExceeded

MAX_KEPT = 50_000_000  # 1 GB
_FIRST_BITS = 12


class Seen:
    """See the module."""

    def __init__(self) -> None:
        self._mask = (1 << _FIRST_BITS) - 1
        self._slots = _empty(_FIRST_BITS)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """True when it was not there."""
        # surrogates come from files in another encoding than said
        number = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little") or 1
        if not self._put(number):
            return False
        self._count += 1
        if self._count * 10 > len(self._slots) * 7:
            self._grow()
        return True

    def _put(self, number: int) -> bool:
        slots, mask = self._slots, self._mask
        at = number & mask
        while (kept := slots[at]) != 0:
            if kept == number:
                return False
            at = (at + 1) & mask
        slots[at] = number
        return True

    def _grow(self) -> None:
        if self._count > MAX_KEPT:
            raise LimitExceeded("audience", f"has more than {MAX_KEPT} different addresses", "Check it in pieces")
        old = self._slots
        bits = self._mask.bit_length() + 1
        self._mask = (1 << bits) - 1
        self._slots = _empty(bits)
        for number in old:
            if number:
                self._put(number)


def _empty(bits: int) -> array[int]:
    return array("Q", bytes(8 << bits))
