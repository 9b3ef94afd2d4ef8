"""Tracked links: a token and the target that it was signed with.

The target travels in the link and is covered by the token's HMAC, so the redirecting service knows no other targets
than those that it wrote itself: it cannot be made into an open redirect, and a message needs no row of storage.

Form: token (42 characters) followed by the target in unpadded base64url.  Targets are http or https, ASCII (hosts in
A-labels, the rest percent-encoded) and at most MAX_TARGET characters; any other link stays as it is written.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from core.tokens import TOKEN_LENGTH, MessageId, Purpose, Token, TokenProblem, TokenSigner

MAX_TARGET = 2000
MAX_LINK = TOKEN_LENGTH + (MAX_TARGET * 4 + 2) // 3
_TARGET = re.compile(r"https?://[^\s/?#@\\\"'<>`{|}^]+(?:[/?#][!-~]*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that verified.  `expired`: its token is too old to count, but the target is still the sender's."""

    message_id: MessageId
    target: str
    expired: bool = False


def is_target(text: str) -> bool:
    """True for what a link may lead to.  No user part: `https://bank.example@evil.example/` misleads people."""
    return len(text) <= MAX_TARGET and text.isascii() and _TARGET.fullmatch(text) is not None


def sign_link(signer: TokenSigner, message_id: MessageId, target: str, now: float) -> str:
    """The last part of the link's path.  `target` must be one by `is_target`."""
    coded = base64.urlsafe_b64encode(target.encode("ascii")).rstrip(b"=").decode("ascii")
    return signer.sign(Purpose.CLICK, message_id, now, target) + coded


def read_link(signer: TokenSigner, text: str, now: float) -> Link | TokenProblem:
    """What the last part of a link's path says."""
    if not TOKEN_LENGTH < len(text) <= MAX_LINK:
        return TokenProblem.MALFORMED
    token, coded = text[:TOKEN_LENGTH], text[TOKEN_LENGTH:]
    try:
        target = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return TokenProblem.MALFORMED
    if not is_target(target):
        return TokenProblem.MALFORMED
    found = signer.verify(token, now, Purpose.CLICK, target)
    if isinstance(found, Token):
        return Link(message_id=found.message_id, target=target)
    if found is TokenProblem.EXPIRED:  # said only of a signature that was good
        return Link(message_id=MessageId(token[2:22].lower()), target=target, expired=True)
    return found
