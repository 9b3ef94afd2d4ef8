"""SMTP AUTH of a client (RFC 4954): PLAIN (RFC 4616) and LOGIN, in lines.  Pure.

Contract: `choose` takes the first mechanism of ours that the host offers, PLAIN before LOGIN, None when there is none.
`Login.repr` shows no password, so that no log of commands can hold one.  Passwords are a matter of encrypted
connections: who may be spoken to without is decided by the caller (`in_clear`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import StrEnum


class Mechanism(StrEnum):
    """How the password is told."""

    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who we are to a relay.  `in_clear`: the password may go over a connection without TLS (loopback)."""

    user: str
    password: str = field(repr=False)
    in_clear: bool = False

    def first(self, mechanism: Mechanism) -> bytes:
        """The AUTH command."""
        if mechanism is Mechanism.PLAIN:
            return b"AUTH PLAIN " + _b64(f"\0{self.user}\0{self.password}") + b"\r\n"
        return b"AUTH LOGIN\r\n"

    @property
    def user_line(self) -> bytes:
        return _b64(self.user) + b"\r\n"

    @property
    def password_line(self) -> bytes:
        return _b64(self.password) + b"\r\n"


def choose(offered: str) -> Mechanism | None:
    """Of the host's `AUTH` keyword's value, e.g. 'PLAIN LOGIN XOAUTH2'."""
    words = offered.upper().split()
    return next((mechanism for mechanism in Mechanism if mechanism in words), None)


def _b64(text: str) -> bytes:
    return base64.b64encode(text.encode())
