"""A Resolver that is made at the first question.

Most commands ask DNS nothing, and dnspython is an eighth of what they would load and hold in memory.
"""

from __future__ import annotations

from typing import Any, cast

from config.model import Dns
from core.ports import Clock, Resolver


class _Late:
    def __init__(self, settings: Dns, clock: Clock) -> None:
        self._made: Resolver | None = None
        self._given = settings, clock

    def __getattr__(self, question: str) -> Any:
        if self._made is None:
            from service.resolver import DnsResolver

            self._made = DnsResolver(*self._given)
        return getattr(self._made, question)


def late_resolver(settings: Dns, clock: Clock) -> Resolver:
    """service.resolver.DnsResolver, loaded when it is needed."""
    return cast(Resolver, _Late(settings, clock))
