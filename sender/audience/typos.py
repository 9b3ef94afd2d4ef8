"""Misspelt mailbox providers: gmial.com, hotmail.con, yandx.ru.

Contract: `meant(domain)` gives the domain that was meant, or ''.  Pure.  A known domain is never a misspelling.
"""

from __future__ import annotations

from config.audience import AudienceLists


class Typos:
    """Every near miss is worked out once, so that a look is one step."""

    def __init__(self, lists: AudienceLists) -> None:
        self._meant: dict[str, str] = {}
        for domain in lists.typed_wrong:
            for wrong in _near(domain):
                self._meant.setdefault(wrong, domain)
        self._meant.update(lists.misspelt)
        for domain in lists.known | lists.disposable:
            self._meant.pop(domain, None)

    def meant(self, domain: str) -> str:
        """See the module."""
        return self._meant.get(domain, "")


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-."


def _near(domain: str) -> set[str]:
    """Names one letter away: one left out, added, replaced, or two neighbours swapped."""
    near = set()
    for i in range(len(domain) + 1):
        head, tail = domain[:i], domain[i:]
        near |= {head + letter + tail for letter in _LETTERS}
        if tail:
            near.add(head + tail[1:])
            near |= {head + letter + tail[1:] for letter in _LETTERS}
        if len(tail) > 1:
            near.add(head + tail[1] + tail[0] + tail[2:])
    # a dot in front makes a subdomain of the same provider, not a misspelling
    return {name for name in near if name != domain and not name.endswith("." + domain) and ".." not in name}
