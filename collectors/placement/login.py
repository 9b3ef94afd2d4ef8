"""Opens an IMAP connection and logs in: by password, or by OAuth 2.0 (XOAUTH2, OAUTHBEARER).  Blocks.

Contract: `open_client` gives a logged-in imapclient.IMAPClient.  Raises LoginRefused when the server does not accept
the login, Unavailable for everything else (no connection, a limit of connections, a server that is not well): the two
need different people.  One literal of an answer is bounded, and every wait is.  Secrets never stand in a text.
"""

from __future__ import annotations

import contextlib
import functools
import imaplib
import logging
import re
import ssl
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from config.model import Seed
from core.errors import LoginRefused, Unavailable

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 30.0
MAX_LITERAL = 8_000_000
# response codes of RFC 5530 and words that servers use when it is not the password's fault
_PASSES = re.compile(
    r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|OVERQUOTA|THROTTLED)\]|too many|maximum number|limit exceeded|"
    r"temporar|try again|internal (server )?error|timed? ?out|not available|rate.?limit",
    re.IGNORECASE,
)

# imapclient logs whole responses, and with them what people wrote
logging.getLogger("imapclient").setLevel(logging.WARNING)


def open_client(seed: Seed, secret: str, mechanism: str = "") -> Any:
    """A client for `seed`.  `mechanism` '' is a password; else auto, xoauth2 or oauthbearer with a token."""
    context = None if seed.security == "none" else _context(str(seed.ca_file or ""))
    try:
        client = IMAPClient(
            seed.host, port=seed.port, ssl=seed.security == "tls", ssl_context=context,
            timeout=SocketTimeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )  # fmt: skip
    except (IMAPClientError, OSError, ValueError) as error:
        raise Unavailable(f"{_place(seed)}cannot be looked into: {public(error, secret)}") from None
    try:
        client.normalise_times = False
        client.folder_encode = False  # names are decoded by us: one that cannot be must not hide the others
        _bound(client)
        if seed.security == "starttls":
            client.starttls(context)
        _log_in(client, seed, secret, mechanism)
    except (IMAPClientError, OSError, ValueError) as error:
        shut(client)
        text = public(error, secret)
        if _is_refusal(error, text):
            raise LoginRefused(f"{_place(seed)}the login was refused: {text}") from None
        raise Unavailable(
            f"{_place(seed)}cannot be looked into: {text}"
        ) from None  # the cause may hold the command line with the password
    except BaseException:
        shut(client)
        raise
    return client


def shut(client: Any) -> None:
    """Close the connection at once."""
    with contextlib.suppress(IMAPClientError, OSError):  # it may be closed already
        client.shutdown()


def public(error: Exception, secret: str) -> str:
    """An error's words on one bounded line, without the secret."""
    text = " ".join(str(error).split())
    text = text.removeprefix("b'").removesuffix("'")
    for word in filter(None, (secret, secret.strip())):
        text = text.replace(word, "***")
    return "".join(c if c.isprintable() else " " for c in text[:300]) or type(error).__name__


def _place(seed: Seed) -> str:
    return f"{seed.mailbox} at {seed.host}: "


def _log_in(client: Any, seed: Seed, secret: str, mechanism: str) -> None:
    offered = set(client.capabilities())
    if not mechanism:
        plain = b"AUTH=PLAIN" in offered
        if plain and (b"LOGINDISABLED" in offered or not (secret + seed.user).isascii()):
            client.plain_login(seed.user, secret)
        elif b"LOGINDISABLED" in offered:
            raise LoginError("the server takes no password on this connection")
        else:
            client.login(seed.user, secret)
        return
    if mechanism == "auto":
        mechanism = "oauthbearer" if b"AUTH=OAUTHBEARER" in offered and b"AUTH=XOAUTH2" not in offered else "xoauth2"
    if mechanism == "oauthbearer":
        client.oauthbearer_login(seed.user, secret)
    else:
        client.oauth2_login(seed.user, secret)


def _is_refusal(error: Exception, text: str) -> bool:
    # imapclient calls a connection that was lost during the login a LoginError too
    lost = isinstance(error.__context__, imaplib.IMAP4.abort) or isinstance(error, imaplib.IMAP4.abort)
    return isinstance(error, LoginError) and not lost and not _PASSES.search(text)


@functools.lru_cache(maxsize=64)
def _context(ca_file: str) -> ssl.SSLContext:
    """One for all mailboxes with the same roots: each holds a megabyte of certificates."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


def _bound(client: Any) -> None:
    # a server names a literal's size itself, and imaplib would read that much into memory
    protocol = client._imap
    read = protocol.read

    def bounded(size: int) -> bytes:
        if size > MAX_LITERAL:
            raise imaplib.IMAP4.abort(f"the server sends a literal of {size} bytes")
        return bytes(read(size))

    protocol.read = bounded
