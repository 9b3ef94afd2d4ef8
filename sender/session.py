"""One SMTP client session, without I/O: bytes and wishes go in, commands for the transport come out.

Contract: one message to one recipient a transaction.  Each transaction, and an opening that fails, ends in exactly
one `Answer`; an opening that succeeds ends in `Opened`.  The reply after the final dot decides; before it, the first
refusal does.  A connection that breaks, or a host that speaks no SMTP, is an Answer with code 0 whose text says how
far the dialogue had come: MAYBE_TAKEN (session_table) stands in it when, and only when, the final dot was out and
unanswered.
Never raises for what the remote host does; a call out of order raises Misuse naming state and input.
With a login nothing is sent before it succeeded, and no password goes over plain text unless the login allows that.
Sources: RFC 5321, 2920 (pipelining), 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from core.reply import Reply, Stage, parse_reply
from core.state import Envelope
from sender.login import Login, Mechanism, choose
from sender.session_table import OPENING, TABLE, WHERE, Input, State
from sender.wire import BrokenReply, Capabilities, ReplyReader, crlf, dot_stuffed, is_path, parse_capabilities

_reply = lru_cache(maxsize=256)(parse_reply)  # a host says the same few things again and again


class Tls(StrEnum):
    """How much encryption the session wants."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"


class Misuse(RuntimeError):
    """The session was driven out of order: an error of ours, never the remote host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Send these bytes.  With `content`, report `flushed()` when the last byte was handed to the network."""

    chunks: tuple[bytes, ...]
    content: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTls:
    """Shake hands now, then report `tls_up()` or `lost()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Messages can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of a transaction, or of an opening that failed."""

    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Close the connection; nothing more will be said."""


Command: TypeAlias = Write | StartTls | Opened | Answer | HangUp


class SmtpSession:
    """The client's side of one connection.  `ehlo` is our name (ASCII); `encrypted`: TLS stands from the beginning;
    `lockstep`: one command at a time, whatever the host offers."""

    def __init__(
        self, ehlo: str, tls: Tls, login: Login | None = None, *, encrypted: bool = False, lockstep: bool = False
    ) -> None:
        self.state = State.GREETING
        self.capabilities = Capabilities()
        self.encrypted = encrypted
        self._login = login
        self._mechanism = Mechanism.PLAIN
        self._name = ehlo.encode("ascii")
        self._tls = tls
        self._lockstep = lockstep
        self._reader = ReplyReader()
        self._out: list[Command] = []
        self._lines: list[str] = []
        self._verdict: Reply | None = None
        self._owes_answer = True
        self._mail = self._rcpt = self._content = b""

    # what the transport reports
    def receive(self, data: bytes) -> list[Command]:
        """Bytes from the host."""
        self._reader.feed(data)
        while self.state is not State.CLOSED:
            try:
                lines = self._reader.next()
            except BrokenReply as error:
                self._step(Input.BROKEN, why=str(error))
                break
            if lines is None:
                break
            self._lines = lines
            stage = WHERE[self.state][0]
            reply = _reply(lines[0], stage) if len(lines) == 1 else parse_reply(lines, stage)
            self._step(self._kind(reply), reply)
        return self._take()

    def lost(self, why: str) -> list[Command]:
        """The connection broke, timed out or failed in the handshake; `why` is for people."""
        self._step(Input.LOST, why=why)
        return self._take()

    def tls_up(self) -> list[Command]:
        """The handshake succeeded: what the host said before counts no more (RFC 3207 section 4.2)."""
        self.encrypted = True
        self._reader.clear()
        self._step(Input.TLS_UP)
        return self._take()

    def flushed(self) -> list[Command]:
        """The content and its dot were handed to the network."""
        self._step(Input.FLUSHED)
        return self._take()

    # what the sender wishes
    def send(self, envelope: Envelope) -> list[Command]:
        """Begin a transaction, or answer at once when this host cannot take this message."""
        if self.state is not State.READY:
            raise Misuse(f"a message in state {self.state}: only an open, idle session takes one")
        content = envelope.content if envelope.clean else crlf(envelope.content)
        self._owes_answer, self._verdict = True, None
        self._verdict = self._unsendable(envelope, len(content))
        if self._verdict is not None:
            self._answer()
            return self._take()
        self._mail = b"MAIL FROM:<" + envelope.mail_from.encode() + b">" + self._parameters(envelope, content) + b"\r\n"
        self._rcpt = b"RCPT TO:<" + envelope.rcpt_to.encode() + b">\r\n"
        self._content = content if envelope.undotted else dot_stuffed(content)
        piped = "PIPELINING" in self.capabilities and not self._lockstep
        self._step(Input.PIPE if piped else Input.SEND)
        return self._take()

    def quit(self) -> list[Command]:
        """Say good-bye; possible between messages."""
        self._step(Input.QUIT)
        return self._take()

    # the machine
    def _kind(self, reply: Reply) -> Input:
        if reply.code == 421:
            return Input.CLOSING
        kind = {2: Input.OK, 3: Input.GO_ON, 4: Input.LATER}.get(reply.code // 100, Input.NO)
        required = self._tls is Tls.REQUIRED and not self.encrypted
        if self.state is State.EHLO:
            if kind is Input.OK:
                self.capabilities = parse_capabilities(self._lines)
                if self._tls is not Tls.OFF and not self.encrypted and "STARTTLS" in self.capabilities:
                    return Input.SECURE
            if required and kind in (Input.OK, Input.NO):
                return Input.INSECURE
        if self._login is not None and self.state in (State.EHLO, State.HELO) and kind is Input.OK:
            return self._login_kind(self._login)
        if self.state is State.AUTH and kind is Input.GO_ON and self._mechanism is Mechanism.PLAIN:
            return Input.BROKEN  # the password was said already: there is nothing to go on with
        if self.state is State.STARTTLS:
            if kind is Input.OK and self._reader.pending:
                return Input.BROKEN  # plain text behind the 220 would be read as if it had come under TLS
            if kind in (Input.LATER, Input.NO):
                if required:
                    return Input.INSECURE
                return Input.DECLINED if self._login is None else Input.NO_LOGIN
        return kind

    def _login_kind(self, login: Login) -> Input:
        mechanism = choose(self.capabilities.keywords.get("AUTH", "")) if self.state is State.EHLO else None
        if mechanism is None or not (self.encrypted or login.in_clear):
            return Input.NO_LOGIN
        self._mechanism = mechanism
        return Input.LOGIN

    def _step(self, given: Input, reply: Reply | None = None, *, why: str = "") -> None:
        before = self.state
        after = TABLE.get((before, given))
        if after is None:
            raise Misuse(f"{given.name} in state {before.name}")
        if self._owes_answer and self._verdict is None:
            self._verdict = self._judge(before, given, after, reply, why)
        self.state = after
        self._enter(before, after)

    def _judge(self, before: State, given: Input, after: State, reply: Reply | None, why: str) -> Reply | None:
        """The verdict, if this step brings it."""
        stage, where = WHERE[before]
        if given is Input.INSECURE:
            said = f": {reply}" if before is State.STARTTLS else ""
            problem = "the host refused STARTTLS" if said else "the host does not offer it"
            return Reply(code=451, status="4.7.10", text=f"TLS is required and {problem}{said}", stage=Stage.STARTTLS)
        if given is Input.NO_LOGIN:
            problem = (
                "the relay offers no way to log in that we know"
                if self.encrypted
                else "there is no TLS to log in under"
            )
            return Reply(code=451, status="4.7.0", text=f"not sent: {problem}", stage=stage)
        if reply is not None and before is State.FINAL and given is Input.OK:
            return reply
        if reply is not None and given in (Input.LATER, Input.NO, Input.CLOSING):
            return None if after in OPENING else reply  # a refused EHLO is followed by HELO
        if after is not State.CLOSED:
            return None
        if given is Input.LOST:
            text = f"connection lost {where} ({why})" if why else f"connection lost {where}"
        else:
            said = why or f"unexpected reply {str(reply)[:200]!r}"
            text = f"{said} {where}"
        return Reply(code=0, text=text, stage=stage)

    def _enter(self, before: State, after: State) -> None:
        match after:
            case State.EHLO:
                self._write(b"EHLO " + self._name + b"\r\n")
            case State.HELO:
                self.capabilities = Capabilities()
                self._write(b"HELO " + self._name + b"\r\n")
            case State.STARTTLS:
                self._write(b"STARTTLS\r\n")
            case State.HANDSHAKE:
                self._out.append(StartTls())
            case State.AUTH if self._login is not None:
                self._write(self._login.first(self._mechanism))
            case State.AUTH_USER if self._login is not None:
                self._write(self._login.user_line)
            case State.AUTH_PASSWORD if self._login is not None:
                self._write(self._login.password_line)
            case State.MAIL:
                self._write(self._mail)
            case State.RCPT:
                self._write(self._rcpt)
            case State.DATA:
                self._write(b"DATA\r\n")
            case State.PIPED_MAIL:
                self._write(self._mail + self._rcpt + b"DATA\r\n")
            case State.CONTENT:
                self._out.append(Write(chunks=(self._content, b".\r\n"), content=True))
            case State.EMPTY:
                self._write(b".\r\n")
            case State.RESET:
                self._write(b"RSET\r\n")
            case State.QUITTING:
                self._write(b"QUIT\r\n")
            case State.READY if before in OPENING:
                self._owes_answer, self._verdict = False, None
                self._out.append(Opened())
            case State.READY:
                self._answer()
            case State.CLOSED if before is not State.CLOSED:
                self._answer()
                self._out.append(HangUp())
            case _:
                pass

    def _answer(self) -> None:
        if self._owes_answer:
            assert self._verdict is not None, f"no verdict in {self.state}"
            self._owes_answer = False
            self._content = b""
            self._out.append(Answer(reply=self._verdict))

    def _write(self, data: bytes) -> None:
        self._out.append(Write(chunks=(data,)))

    def _take(self) -> list[Command]:
        out, self._out = self._out, []
        return out

    # what this host can take
    def _unsendable(self, envelope: Envelope, size: int) -> Reply | None:
        refusal = Reply(code=550, text="", stage=Stage.MAIL)
        if envelope.mail_from and not is_path(envelope.mail_from):
            return replace(refusal, code=553, status="5.1.7", text="not sent: the return path is no SMTP address")
        if not is_path(envelope.rcpt_to):
            text = "not sent: the recipient is no SMTP address"
            return replace(refusal, code=553, status="5.1.3", text=text, stage=Stage.RCPT)
        if self._needs_utf8(envelope) and "SMTPUTF8" not in self.capabilities:
            status = "5.6.9" if envelope.rcpt_to.isascii() else "5.6.7"
            return replace(refusal, status=status, text="not sent: needs SMTPUTF8, which the host does not offer")
        limit = self.capabilities.size_limit
        if limit and size > limit:
            text = f"not sent: {size} bytes are more than the {limit} that the host takes"
            return replace(refusal, code=552, status="5.3.4", text=text)
        return None

    @staticmethod
    def _needs_utf8(envelope: Envelope) -> bool:
        return envelope.smtputf8 or not (envelope.rcpt_to.isascii() and envelope.mail_from.isascii())

    def _parameters(self, envelope: Envelope, content: bytes) -> bytes:
        out = b" SIZE=%d" % len(content) if "SIZE" in self.capabilities else b""
        # without 8BITMIME 8-bit content goes as it is, as Exim does: recoding would break the signature, refusing
        # would lose mail that practically every host takes
        if "8BITMIME" in self.capabilities and not content.isascii():
            out += b" BODY=8BITMIME"
        return out + (b" SMTPUTF8" if self._needs_utf8(envelope) else b"")
