"""What became of one address of an audience, and the sums of all.

`UNKNOWN` is no fault of the address: DNS gave no answer.  Such rows stay in the clean list, and are told apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from core.address import Address

MAX_EXAMPLES = 5  # kept of each reason
MAX_SUGGESTIONS = 10_000  # different misspellings that are counted


class Reason(StrEnum):
    """Why an address is in the clean list, or is not."""

    VALID = "valid"
    UNKNOWN = "unknown"  # the resolver failed: neither proof for nor against
    EMPTY = "empty"
    SYNTAX = "syntax"
    IDN = "idn"  # an internationalised domain that cannot be encoded
    DUPLICATE = "duplicate"  # the same person stood in the list before
    TYPO = "typo"  # a misspelt provider, with a suggestion
    DISPOSABLE = "disposable"
    ROLE = "role"
    NXDOMAIN = "nxdomain"
    NULL_MX = "null_mx"  # the domain says that it takes no mail (RFC 7505)
    NO_MX = "no_mx"  # neither mail exchanger nor address


# (English, Russian)
WORDS: dict[Reason, tuple[str, str]] = {
    Reason.VALID: ("valid", "можно писать"),
    Reason.UNKNOWN: ("kept unchecked: DNS gave no answer", "оставлены без проверки: DNS не ответил"),
    Reason.EMPTY: ("no address in the row", "нет адреса в строке"),
    Reason.SYNTAX: ("not an address", "не адрес"),
    Reason.IDN: ("domain name that cannot exist (IDN)", "невозможное доменное имя (IDN)"),
    Reason.DUPLICATE: ("duplicate", "повтор"),
    Reason.TYPO: ("misspelt domain", "опечатка в домене"),
    Reason.DISPOSABLE: ("throw-away mailbox", "одноразовый ящик"),
    Reason.ROLE: ("role account, not a person", "служебный ящик, не человек"),
    Reason.NXDOMAIN: ("domain does not exist", "домен не существует"),
    Reason.NULL_MX: ("domain takes no mail (null MX)", "домен не принимает почту (null MX)"),
    Reason.NO_MX: ("domain has no mail server", "у домена нет почтового сервера"),
}
CLEAN = frozenset((Reason.VALID, Reason.UNKNOWN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`address` when the text is one; `meant` is the domain that a misspelling stands for, '' otherwise."""

    reason: Reason
    address: Address | None = None
    meant: str = ""


@dataclass(slots=True)
class Tally:
    """The sums.  Memory does not grow with the list."""

    counts: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, list[str]] = field(default_factory=dict)
    meant: Counter[tuple[str, str]] = field(default_factory=Counter)  # (misspelt, meant)
    smtputf8: int = 0  # valid addresses that need SMTPUTF8, which many hosts lack

    def add(self, text: str, verdict: Verdict) -> None:
        """Count one address."""
        self.counts[verdict.reason] += 1
        if verdict.reason in CLEAN:
            self.smtputf8 += verdict.address is not None and verdict.address.needs_smtputf8
            return
        kept = self.examples.setdefault(verdict.reason, [])
        if len(kept) < MAX_EXAMPLES and text:
            kept.append("".join(c if c.isprintable() else "?" for c in text[:80]))
        if verdict.meant and verdict.address is not None:
            pair = (verdict.address.domain, verdict.meant)
            if pair in self.meant or len(self.meant) < MAX_SUGGESTIONS:
                self.meant[pair] += 1

    @property
    def total(self) -> int:
        """Rows seen."""
        return self.counts.total()

    def share(self, reason: Reason) -> float:
        """Of all rows; 0 for an empty list."""
        return self.counts[reason] / self.total if self.total else 0.0
