"""Errors as values of the product: each says what was wrong and what the reader can do.

Contract: `str(error)` is public text, safe for an API answer; it never holds a secret or a stack trace.
"""

from __future__ import annotations


class PenstockError(Exception):
    """Root of every error that Penstock raises on purpose."""


class InvalidInput(PenstockError):
    """Input from outside that breaks a rule.  `field` names it, `remedy` says how to mend it."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class LimitExceeded(InvalidInput):
    """Input from outside that is larger, deeper or more numerous than its bound."""


class OverFrequency(PenstockError):
    """Addresses (normal forms) that have had their share of a stream's mail for now."""

    def __init__(self, addresses: frozenset[str]) -> None:
        super().__init__(f"{len(addresses)} addresses have had their share of this stream's mail for now")
        self.addresses = addresses


class Unavailable(PenstockError):
    """Something we depend on cannot answer now; the same call may go through later."""


class LoginRefused(Unavailable):
    """Our login is not accepted: that does not pass, somebody must renew it."""


class StorageConflict(PenstockError):
    """A write lost a race that the caller must decide about (expired lease, changed cursor)."""
