"""E-mail addresses and their normal form (RFC 5321 section 2.3.11, RFC 5322 section 3.4.1).

Two addresses are *the same person* for suppression when their normal forms are equal.  Normal form:
domain in lower-case A-labels (IDNA), local part in lower case, without quotes and escapes that it does not need
(RFC 5321 section 4.1.2: `"ann"@x` is `ann@x`), composed by NFC (RFC 6532 section 3.1).  RFC 5321 lets a host tell `A@x`
from `a@x`; no mailbox provider does, and sending to a suppressed person in another spelling is the worse error.
Provider tricks (dots, plus tags) are left alone: they are different subscriptions to the person.
"""

from __future__ import annotations

import encodings.idna
import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from core.errors import InvalidInput

MAX_ADDRESS_OCTETS = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
MAX_LOCAL_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
# outside ASCII whatever UTF-8 can write (RFC 6531 section 3.3), but for control characters and line ends
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff-]+"
_ATEXT = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"')
_ESCAPED = re.compile(r"\\(.)")
# What IDNA 2003, which Python knows, folds away, and IDNA 2008 (RFC 5892 section 2.6) tells apart: another domain.
_OWN_LETTERS = re.compile("([\u00df\u03c2])")  # sharp s, final sigma
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 section 3.1
_JOINERS = "\u200c\u200d"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?|_[a-z0-9-]{1,62}")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One mailbox.  `local` keeps the sender's spelling; `domain` is lower-case A-labels; `normal` is the key under
    which suppression and frequency caps know it."""

    local: str
    domain: str
    normal: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        local = self.local
        if local.startswith('"'):
            local = _with_fewest_quotes(local)
        folded = local.lower() if local.isascii() else unicodedata.normalize("NFC", local.lower())
        object.__setattr__(self, "normal", f"{folded}@{self.domain}")  # once: each door asks for it ten times

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """True when the local part is not ASCII, so the session must offer SMTPUTF8 (RFC 6531)."""
        return not self.local.isascii()


def normal_domain(text: str) -> str:
    """Lower-case A-labels without the final dot.  Raises InvalidInput when it is no host name."""
    name = text.strip().rstrip(".")
    try:
        ascii_name = name.lower() if name.isascii() else ".".join(map(_a_label, _DOTS.split(name)))
    except UnicodeError as error:
        raise InvalidInput("domain", f"{text!r} is not a valid internationalised name", "Check the spelling") from error
    labels = ascii_name.split(".")
    if not ascii_name or len(ascii_name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput("domain", f"{text!r} is not a host name", "Write it as example.com")
    return ascii_name


def _a_label(label: str) -> str:
    """Raises UnicodeError."""
    label = label.replace("\u1e9e", "\u00df")
    if any(joiner in label for joiner in _JOINERS):
        raise UnicodeError("an invisible character")
    if not _OWN_LETTERS.search(label):
        return encodings.idna.ToASCII(label).decode("ascii").lower()
    parts = (part if _OWN_LETTERS.match(part) else encodings.idna.nameprep(part) for part in _OWN_LETTERS.split(label))
    return "xn--" + unicodedata.normalize("NFC", "".join(parts)).encode("punycode").decode("ascii")


def _with_fewest_quotes(local: str) -> str:
    """A quoted string without what it does not need."""
    text = _ESCAPED.sub(r"\1", local[1:-1])
    if _ATEXT.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_address(text: str) -> Address:
    """Parse an addr-spec such as `ann@example.com` (no display name).

    Raises InvalidInput naming what is wrong: no @, empty or overlong part, forbidden character.
    """
    bare = text.strip()
    local, at, domain = bare.rpartition("@")
    if not at or not local:
        raise InvalidInput("address", f"{text[:80]!r} has no local part and domain", "Write it as name@example.com")
    if (
        len(bare.encode("utf-8", "replace")) > MAX_ADDRESS_OCTETS
        or len(local.encode("utf-8", "replace")) > MAX_LOCAL_OCTETS
    ):
        raise InvalidInput(
            "address",
            f"{text[:40]!r}… is longer than SMTP allows",
            "At most 64 octets before the @, 254 in all",
        )
    if not (_ATEXT.fullmatch(local) or _QUOTED.fullmatch(local)):
        raise InvalidInput("address", f"{text[:80]!r} holds a character that is not allowed before the @", "Remove it")
    return Address(local=local, domain=_known_domain(domain))


_known_domain = lru_cache(maxsize=4096)(normal_domain)  # of texts within MAX_ADDRESS_OCTETS; most are a few domains
