"""The parameters of RFC 3461 in MAIL and RCPT: RET, ENVID, NOTIFY, ORCPT.

Contract: `take` picks them out of a command's parameters and leaves the others as they were; a value that the RFC
forbids raises BadParameter, whose text is the reply.  What is decoded holds printable characters only, since it goes
into header fields.  AUTH= (RFC 4954 section 5), which Postfix sends, is taken and means nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from core.notices import Notify

MAX_ENVELOPE_ID = 100  # characters as sent, RFC 3461 section 4.4
MAX_ORIGINAL = 500  # section 4.2
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_UNITEXT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")  # RFC 6533 section 3


class BadParameter(Exception):
    """The reply to the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailWish:
    """Of MAIL.  `full` None: nothing was said."""

    full: bool | None = None
    envelope_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientWish:
    """Of RCPT.  `notify` None: nothing was said; empty: NEVER."""

    notify: frozenset[Notify] | None = None
    original: str = ""


def mail_wish(text: str) -> tuple[MailWish, str]:
    """The wish in MAIL's parameters, and the other parameters.  Raises BadParameter."""
    found, rest = _take(text, ("RET", "ENVID", "AUTH"))
    ret = found.get("RET", "").upper()
    if ret not in ("", "FULL", "HDRS"):
        raise BadParameter("501 5.5.4 RET is FULL or HDRS")
    raw = found.get("ENVID", "")
    if len(raw) > MAX_ENVELOPE_ID:
        raise BadParameter(f"501 5.5.4 ENVID is longer than {MAX_ENVELOPE_ID} characters")
    return MailWish(full=ret == "FULL" if ret else None, envelope_id=_decoded(raw, "ENVID")), rest


def recipient_wish(text: str) -> tuple[RecipientWish, str]:
    """The wish in RCPT's parameters, and the other parameters.  Raises BadParameter."""
    found, rest = _take(text, ("NOTIFY", "ORCPT"))
    notify: frozenset[Notify] | None = None
    if "NOTIFY" in found:
        words = found["NOTIFY"].lower().split(",")
        if words == ["never"]:
            notify = frozenset()
        elif all(word in frozenset(Notify) for word in words):
            notify = frozenset(Notify(word) for word in words)
        else:
            raise BadParameter("501 5.5.4 NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    original = ""
    if "ORCPT" in found:
        kind, semicolon, address = found["ORCPT"].partition(";")
        if not (semicolon and kind and kind.replace("-", "").isalnum() and kind.isascii() and address):
            raise BadParameter("501 5.5.4 ORCPT is TYPE;ADDRESS")
        if len(found["ORCPT"]) > MAX_ORIGINAL:
            raise BadParameter(f"501 5.5.4 ORCPT is longer than {MAX_ORIGINAL} characters")
        original = f"{kind.lower()};{_decoded_address(kind, address)}"
    return RecipientWish(notify=notify, original=original), rest


def _take(text: str, names: Collection[str]) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    rest: list[str] = []
    for word in text.split():
        name, equals, value = word.partition("=")
        if name.upper() not in names:
            rest.append(word)
        elif not equals or not value or name.upper() in found:
            raise BadParameter(f"501 5.5.4 {name.upper()} wants exactly one value")
        else:
            found[name.upper()] = value
    return found, " ".join(rest)


def _decoded(raw: str, name: str) -> str:
    if not raw:
        return ""
    if not _XTEXT.fullmatch(raw):
        raise BadParameter(f"501 5.5.4 {name} is not written as xtext (RFC 3461 section 4)")
    text = re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), raw)
    if not (text.isascii() and text.isprintable()):
        raise BadParameter(f"501 5.5.4 {name} stands for a control character")
    return text


def _decoded_address(kind: str, raw: str) -> str:
    if kind.lower() != "utf-8":
        return _decoded(raw, "ORCPT")
    # utf-8-addr-xtext or utf-8-addr-unitext of RFC 6533; escapes are \x{HEX}, and xtext's own
    text = _UNITEXT.sub(lambda match: chr(min(int(match[1], 16), 0x10FFFF)), raw)
    text = re.sub(r"\+([0-7][0-9A-F])", lambda match: chr(int(match[1], 16)), text)
    if not text.isprintable():  # surrogates are not printable either
        raise BadParameter("501 5.5.4 ORCPT stands for a control character")
    return text
