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


class Unavailable(PenstockError):
    """Something we depend on cannot answer now; the same call may go through later."""


class StorageConflict(PenstockError):
    """A write lost a race that the caller must decide about (expired lease, changed cursor)."""
