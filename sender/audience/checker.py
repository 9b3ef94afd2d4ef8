"""Checks addresses in batches: form first, then the kept lists, then DNS for what is left.

Contract: `check` gives a verdict for each text, in order; the first reason in the order of `Reason` counts, so a
misspelt domain is told as that and not as missing.  Duplicates are found over all batches of one checker, by the
normal form of core.address.  Without `domains` nothing is asked, and what is well formed is valid.
Memory: see `seen` and `domains`; nothing else grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from config.audience import AudienceLists
from core.address import Address, parse_address
from core.errors import InvalidInput
from sender.audience.domains import Domains, within
from sender.audience.seen import Seen
from sender.audience.typos import Typos
from sender.audience.verdict import Reason, Verdict

_VERDICTS = {reason: Verdict(reason=reason) for reason in Reason}


class AudienceChecker:
    """One list's check."""

    def __init__(self, lists: AudienceLists, domains: Domains | None = None) -> None:
        self._lists = lists
        self._typos = Typos(lists)
        self._domains = domains
        self._seen = Seen()

    async def check(self, texts: Sequence[str]) -> list[Verdict]:
        """See the module.  Raises LimitExceeded for a list beyond all bounds."""
        verdicts = [self._formal(text) for text in texts]
        if self._domains is None:
            return verdicts
        wanted = {v.address.domain for v in verdicts if v.reason is Reason.VALID and v.address is not None}
        answers = await self._domains.look(sorted(wanted))
        return [
            Verdict(reason=answers[v.address.domain], address=v.address)
            if v.reason is Reason.VALID and v.address is not None
            else v
            for v in verdicts
        ]

    def _formal(self, text: str) -> Verdict:
        if not text.strip():
            return _VERDICTS[Reason.EMPTY]
        try:
            address = parse_address(text)
            _host(address.domain)
        except InvalidInput as error:
            return _VERDICTS[Reason.IDN if error.field == "domain" and _international(text) else Reason.SYNTAX]
        if not self._seen.add(address.normal):
            return Verdict(reason=Reason.DUPLICATE, address=address)
        meant = self._typos.meant(address.domain)
        if meant:
            return Verdict(reason=Reason.TYPO, address=address, meant=meant)
        return Verdict(reason=self._listed(address), address=address)

    def _listed(self, address: Address) -> Reason:
        if within(address.domain, self._lists.disposable):
            return Reason.DISPOSABLE
        if address.local.lower().partition("+")[0] in self._lists.roles:
            return Reason.ROLE
        return Reason.VALID


def _host(domain: str) -> None:
    """A mail domain of the Internet has a dot, a top level that is no number, and A-labels that decode."""
    top = domain.rpartition(".")[2]
    if "." not in domain or top.isdigit() or "_" in domain:
        raise InvalidInput("domain", f"{domain[:80]!r} is no mail domain", "Write it as example.com")
    if "xn--" in domain:
        try:
            domain.encode("ascii").decode("idna")
        except UnicodeError as error:
            raise InvalidInput("domain", f"{domain[:80]!r} cannot be decoded", "Check the spelling") from error


def _international(text: str) -> bool:
    domain = text.rpartition("@")[2]
    return not domain.isascii() or "xn--" in domain.lower()
