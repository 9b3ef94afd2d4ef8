"""The SMTP session's states as a table: what it waits for, what can happen, where that leads.

    GREETING ─► EHLO (─► HELO) ─► [STARTTLS ─► HANDSHAKE ─► EHLO] ─► [AUTH (─► AUTH_USER ─► AUTH_PASSWORD)] ─► READY
    READY ─► MAIL ─► RCPT ─► DATA ─► CONTENT ─► FINAL ─► READY            in lockstep
    READY ─► PIPED_MAIL ─► PIPED_RCPT ─► PIPED_DATA ─► CONTENT ─► …       where the host offers PIPELINING
                 └─► DRAIN_RCPT ─► DRAIN_DATA (─► EMPTY): the replies still owed after a refusal
    RCPT, DATA or the message refused ─► RESET ─► READY

Contract: every kind of reply has its row in every state that awaits one; a pair without a row is a misuse by our own
code.  What is done on entering a state is in `sender.session`.  RFC 5321 section 4.1.4, RFC 2920, RFC 3207.
"""

from __future__ import annotations

from enum import StrEnum

from core.reply import Stage

MAYBE_TAKEN = "after the final dot, before its reply: the host may have taken the message"


class State(StrEnum):
    """What the session waits for; a command's name means "for its reply"."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    AUTH = "auth"
    AUTH_USER = "auth_user"
    AUTH_PASSWORD = "auth_password"  # noqa: S105  a state, no password
    READY = "ready"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    PIPED_MAIL = "piped_mail"
    PIPED_RCPT = "piped_rcpt"
    PIPED_DATA = "piped_data"
    DRAIN_RCPT = "drain_rcpt"
    DRAIN_DATA = "drain_data"
    CONTENT = "content"  # for the transport to hand the last byte to the network
    FINAL = "final"
    EMPTY = "empty"  # for the reply to a dot without a message
    RESET = "reset"
    QUITTING = "quitting"
    CLOSED = "closed"


class Input(StrEnum):
    """What can happen.  The first five are the kinds of a well-formed reply."""

    OK = "2xx"
    GO_ON = "3xx"
    LATER = "4xx"
    NO = "5xx"
    CLOSING = "421"
    BROKEN = "no reply of SMTP"
    LOST = "connection lost"
    SECURE = "EHLO accepted, TLS is to begin"
    INSECURE = "TLS is required and not to be had"
    DECLINED = "STARTTLS refused, plain text will do"
    TLS_UP = "handshake done"
    LOGIN = "EHLO accepted, the login is to begin"
    NO_LOGIN = "a login is wanted and not to be had"
    SEND = "a message"
    PIPE = "a message, pipelined"
    FLUSHED = "content is out"
    QUIT = "quit"


_S, _I = State, Input
REPLIES = (_I.OK, _I.GO_ON, _I.LATER, _I.NO, _I.CLOSING, _I.BROKEN, _I.LOST)
AWAITING = tuple(s for s in _S if s is not _S.CLOSED)

TABLE: dict[tuple[State, Input], State] = {
    # whatever is not foreseen below ends the connection; LOST always does
    **{(state, reply): _S.CLOSED for state in AWAITING for reply in REPLIES},
    (_S.GREETING, _I.OK): _S.EHLO,
    (_S.EHLO, _I.OK): _S.READY, (_S.EHLO, _I.NO): _S.HELO, (_S.EHLO, _I.SECURE): _S.STARTTLS,
    (_S.EHLO, _I.INSECURE): _S.CLOSED, (_S.EHLO, _I.LOGIN): _S.AUTH, (_S.EHLO, _I.NO_LOGIN): _S.CLOSED,
    (_S.HELO, _I.OK): _S.READY, (_S.HELO, _I.NO_LOGIN): _S.CLOSED,
    (_S.AUTH, _I.OK): _S.READY, (_S.AUTH, _I.GO_ON): _S.AUTH_USER, (_S.AUTH_USER, _I.GO_ON): _S.AUTH_PASSWORD,
    (_S.AUTH_PASSWORD, _I.OK): _S.READY,
    (_S.STARTTLS, _I.OK): _S.HANDSHAKE, (_S.STARTTLS, _I.DECLINED): _S.READY, (_S.STARTTLS, _I.INSECURE): _S.CLOSED,
    (_S.STARTTLS, _I.NO_LOGIN): _S.CLOSED,
    (_S.HANDSHAKE, _I.TLS_UP): _S.EHLO,
    (_S.READY, _I.SEND): _S.MAIL, (_S.READY, _I.PIPE): _S.PIPED_MAIL, (_S.READY, _I.QUIT): _S.QUITTING,
    (_S.MAIL, _I.OK): _S.RCPT, (_S.MAIL, _I.LATER): _S.READY, (_S.MAIL, _I.NO): _S.READY,
    (_S.RCPT, _I.OK): _S.DATA, (_S.RCPT, _I.LATER): _S.RESET, (_S.RCPT, _I.NO): _S.RESET,
    (_S.DATA, _I.GO_ON): _S.CONTENT, (_S.DATA, _I.LATER): _S.RESET, (_S.DATA, _I.NO): _S.RESET,
    (_S.PIPED_MAIL, _I.OK): _S.PIPED_RCPT, (_S.PIPED_MAIL, _I.LATER): _S.DRAIN_RCPT,
    (_S.PIPED_MAIL, _I.NO): _S.DRAIN_RCPT,
    (_S.PIPED_RCPT, _I.OK): _S.PIPED_DATA, (_S.PIPED_RCPT, _I.LATER): _S.DRAIN_DATA,
    (_S.PIPED_RCPT, _I.NO): _S.DRAIN_DATA,
    (_S.PIPED_DATA, _I.GO_ON): _S.CONTENT, (_S.PIPED_DATA, _I.LATER): _S.RESET, (_S.PIPED_DATA, _I.NO): _S.RESET,
    # MAIL was refused and RCPT is taken: it joins another transaction, which a dot would deliver empty
    (_S.DRAIN_RCPT, _I.OK): _S.CLOSED, (_S.DRAIN_RCPT, _I.LATER): _S.DRAIN_DATA,
    (_S.DRAIN_RCPT, _I.NO): _S.DRAIN_DATA,
    # RFC 2920 section 3.1: a 354 in spite of the refusal is answered with a dot alone
    (_S.DRAIN_DATA, _I.GO_ON): _S.EMPTY, (_S.DRAIN_DATA, _I.LATER): _S.RESET, (_S.DRAIN_DATA, _I.NO): _S.RESET,
    (_S.CONTENT, _I.FLUSHED): _S.FINAL,
    # a refusal need not end the transaction at the host (Postfix: smtpd_end_of_data_restrictions), whatever RFC 5321
    # section 4.1.1.4 says: the next MAIL would be refused and its RCPT added to this message's
    (_S.FINAL, _I.OK): _S.READY, (_S.FINAL, _I.LATER): _S.RESET, (_S.FINAL, _I.NO): _S.RESET,
    (_S.EMPTY, _I.OK): _S.READY, (_S.EMPTY, _I.LATER): _S.READY, (_S.EMPTY, _I.NO): _S.READY,
    (_S.RESET, _I.OK): _S.READY,
    (_S.CLOSED, _I.LOST): _S.CLOSED, (_S.CLOSED, _I.QUIT): _S.CLOSED,
}  # fmt: skip

# state → stage of the reply it waits for, and what was last said, for people
WHERE: dict[State, tuple[Stage, str]] = {
    _S.GREETING: (Stage.CONNECT, "before the greeting"),
    _S.EHLO: (Stage.HELO, "after EHLO"),
    _S.HELO: (Stage.HELO, "after HELO"),
    _S.STARTTLS: (Stage.STARTTLS, "after STARTTLS"),
    _S.HANDSHAKE: (Stage.STARTTLS, "in the TLS handshake"),
    # before the message, like HELO: a refused login is about us, not about the recipient
    **dict.fromkeys((_S.AUTH, _S.AUTH_USER, _S.AUTH_PASSWORD), (Stage.HELO, "in the login")),
    _S.READY: (Stage.CONNECT, "while idle"),
    **dict.fromkeys((_S.MAIL, _S.PIPED_MAIL), (Stage.MAIL, "after MAIL FROM")),
    **dict.fromkeys((_S.RCPT, _S.PIPED_RCPT, _S.DRAIN_RCPT), (Stage.RCPT, "after RCPT TO")),
    **dict.fromkeys((_S.DATA, _S.PIPED_DATA, _S.DRAIN_DATA), (Stage.DATA, "after DATA")),
    _S.CONTENT: (Stage.DATA, "while the message was being sent; the host cannot have taken it"),
    _S.FINAL: (Stage.FINAL, MAYBE_TAKEN),
    _S.EMPTY: (Stage.DATA, "after DATA"),
    _S.RESET: (Stage.DATA, "after RSET"),
    _S.QUITTING: (Stage.CONNECT, "after QUIT"),
    _S.CLOSED: (Stage.CONNECT, "already"),
}
OPENING = (_S.EHLO, _S.HELO, _S.STARTTLS, _S.AUTH, _S.AUTH_USER, _S.AUTH_PASSWORD)
