"""The organisational domain by the public suffix list, as receivers of RFC 7489 still find it.

The list comes with the package `publicsuffixlist` (MPL 2.0, renewed weekly): it is as old as the installed version.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def _list() -> PublicSuffixList:
    return PublicSuffixList(only_icann=False)


def listed_organisation(domain: str) -> str:
    """The domain itself or one above it; the domain itself where it is a public suffix (RFC 7489 section 3.2)."""
    return _list().privatesuffix(domain) or domain
