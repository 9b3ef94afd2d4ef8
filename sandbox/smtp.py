"""An SMTP server of one provider on loopback, answering from its model (RFC 5321, RFC 3207, RFC 2920, RFC 1870).

Contract: real protocol, pretended judgement.  One asyncio protocol object a connection, no task: a message costs a
fraction of a millisecond, so that servers and sender share one process.  Replies that real providers give at MAIL are
given at RCPT here, because the model judges a recipient.  Commands: EHLO HELO STARTTLS MAIL RCPT DATA RSET NOOP VRFY
QUIT.
Bounds: a line 2,048 octets, 100 recipients, the provider's size limit (counted while reading), 120 s of silence.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.host import ProviderHost
from sandbox.listen import Listener, LiveConnections
from sandbox.model import Situation, Verdict
from sandbox.tls import TlsChannel

MAX_LINE = 2048
MAX_RECIPIENTS = 100
IDLE_SECONDS = 120.0
_END = b"\r\n.\r\n"


@dataclass(slots=True)
class _Mail:
    """One transaction: its sender and each recipient with the verdict over it."""

    mail_from: str
    size: int
    recipients: list[tuple[str, Verdict]] = field(default_factory=list)


class SmtpServerProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, host: ProviderHost, context: ssl.SSLContext | None, live: LiveConnections) -> None:
        self._host = host
        self._context = context
        self._live = live
        self._tls: TlsChannel | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._in_data = False
        self._oversized = False
        self._mail: _Mail | None = None
        self._messages = 0
        self._ehlo = ""
        self._ip = ""
        self._greeted = False
        self._closing = False
        self._commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._on_ehlo,
            "HELO": self._on_helo,
            "STARTTLS": self._on_starttls,
            "MAIL": self._on_mail,
            "RCPT": self._on_rcpt,
            "DATA": self._on_data,
            "RSET": self._on_rset,
            "NOOP": lambda _: self._say("250 2.0.0 OK"),
            "VRFY": lambda _: self._say("252 2.1.5 Send some mail, I'll try my best"),
            "QUIT": self._on_quit,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._live.add(transport)
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        self._timer = loop.call_later(IDLE_SECONDS, self._on_silence)
        self._ip = str(transport.get_extra_info("peername")[0])
        verdict = self._host.greet(self._ip)
        self._greeted = verdict.situation is Situation.GREETING
        self._answer(verdict)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._live.remove(self._transport)
        if self._greeted:
            self._host.hang_up(self._ip)

    def data_received(self, data: bytes) -> None:
        self._last = asyncio.get_running_loop().time()
        if self._tls is not None:
            try:
                data = self._tls.receive(data)
                self._transport.write(self._tls.pending())
            except ssl.SSLError:
                self._transport.abort()
                return
        self._buffer += data
        while not self._closing and (self._read_data() if self._in_data else self._read_line()):
            pass

    def _read_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                self._buffer.clear()
                self._say("500 5.5.6 Line too long")
            return False
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        if len(line) > MAX_LINE:
            self._say("500 5.5.6 Line too long")
            return True
        verb, _, rest = line.decode("utf-8", "replace").partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            self._say("502 5.5.1 Unrecognized command")
        else:
            command(rest.strip())
        return True

    def _read_data(self) -> bool:
        if self._buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            found = self._buffer.find(_END, self._searched)
            if found < 0:
                self._searched = max(0, len(self._buffer) - len(_END) + 1)
                if len(self._buffer) > self._host.behaviour.limits.max_size:
                    # keep the tail, in which the end may already have begun; the rest is refused anyway
                    self._oversized = True
                    del self._buffer[: -len(_END)]
                    self._searched = 0
                return False
            end, after = found + 2, found + len(_END)
        content = bytes(self._buffer[:end])
        del self._buffer[:after]
        self._in_data = False
        self._searched = 0
        self._finish(content.replace(b"\r\n..", b"\r\n.") if not content.startswith(b"..") else _unstuffed(content))
        return True

    def _finish(self, content: bytes) -> None:
        mail, self._mail = self._mail, None
        assert mail is not None
        if self._oversized or len(content) > self._host.behaviour.limits.max_size:
            self._oversized = False
            self._answer(self._host.model.answer(Situation.TOO_LARGE, ip=self._ip))
            return
        # one reply has to serve all recipients: a refusal at the end is given only when nobody took the message
        taken = [(to, verdict) for to, verdict in mail.recipients if verdict.accepted]
        for to, verdict in taken:
            tls = self._tls.version if self._tls is not None else ""
            self._host.take(self._ip, self._ehlo, tls, mail.mail_from, to, content, verdict)
        self._answer((taken or mail.recipients)[0][1])

    def _on_ehlo(self, name: str) -> None:
        self._ehlo, self._mail = name[:255], None
        lines = [
            line.format_map({"ip": self._ip, "host": self._host.behaviour.mx[0]}) for line in self._host.behaviour.ehlo
        ]
        if self._context is not None and self._tls is None:
            lines.append("STARTTLS")
        self._say(*[f"250-{line}" for line in lines[:-1]], f"250 {lines[-1]}")

    def _on_helo(self, name: str) -> None:
        self._ehlo, self._mail = name[:255], None
        self._say(f"250 {self._host.behaviour.mx[0]} at your service")

    def _on_starttls(self, _: str) -> None:
        if self._context is None or self._tls is not None:
            self._say("502 5.5.1 STARTTLS is not available")
            return
        self._say("220 2.0.0 Ready to start TLS")
        self._buffer.clear()  # what was sent before the handshake must not count afterwards (RFC 3207 section 6)
        self._tls = TlsChannel(self._context)
        self._ehlo, self._mail = "", None

    def _on_mail(self, rest: str) -> None:
        address, parameters = _path(rest, "FROM:")
        if not self._ehlo:
            self._say("503 5.5.1 EHLO/HELO first")
        elif self._mail is not None:
            self._say("503 5.5.1 Sender already specified")
        elif address is None:
            self._say("501 5.5.4 Syntax: MAIL FROM:<address>")
        elif (refusal := self._host.begin(self._ip, self._messages)) is not None:
            self._answer(refusal)
        else:
            size = next((p[5:] for p in parameters if p.upper().startswith("SIZE=")), "0")
            self._mail = _Mail(mail_from=address, size=int(size) if size.isdigit() and len(size) < 16 else 0)
            self._say("250 2.1.0 OK")

    def _on_rcpt(self, rest: str) -> None:
        address, _ = _path(rest, "TO:")
        if self._mail is None:
            self._say("503 5.5.1 MAIL first")
        elif not address or "@" not in address:
            self._say("501 5.1.3 Syntax: RCPT TO:<address>")
        elif len(self._mail.recipients) >= MAX_RECIPIENTS:
            self._say("452 4.5.3 Too many recipients")
        elif address.rpartition("@")[2].lower() not in self._host.behaviour.domains:
            self._say("550 5.7.1 Relaying denied")
        else:
            verdict = self._host.recipient(self._ip, self._mail.mail_from, address, self._mail.size)
            if verdict.accepted or verdict.stage.value == "final":
                self._mail.recipients.append((address, verdict))
                self._say("250 2.1.5 OK")
            else:
                self._answer(verdict)

    def _on_data(self, _: str) -> None:
        if self._mail is None or not self._mail.recipients:
            self._say("503 5.5.1 RCPT first")
            return
        self._messages += 1
        self._in_data = True
        self._say("354 Go ahead")

    def _on_rset(self, _: str) -> None:
        self._mail = None
        self._say("250 2.0.0 Flushed")

    def _on_quit(self, _: str) -> None:
        self._say("221 2.0.0 Closing connection")
        self._close()

    def _on_silence(self) -> None:
        loop = asyncio.get_running_loop()
        quiet = loop.time() - self._last
        if quiet >= IDLE_SECONDS:
            self._say("421 4.4.2 Timeout, closing connection")
            self._close()
        else:
            self._timer = loop.call_later(IDLE_SECONDS - quiet, self._on_silence)

    def _answer(self, verdict: Verdict) -> None:
        self._say(*verdict.lines)
        if verdict.closes:
            self._close()

    def _say(self, *lines: str) -> None:
        data = "".join(line + "\r\n" for line in lines).encode()
        if self._tls is not None:
            self._tls.send(data)
            data = self._tls.pending()
        self._transport.write(data)

    def _close(self) -> None:
        self._closing = True
        self._transport.close()


def _unstuffed(content: bytes) -> bytes:
    """Dot-unstuffing (RFC 5321 section 4.5.2) of content whose first line begins with a dot."""
    return content[1:].replace(b"\r\n..", b"\r\n.")


def _path(rest: str, keyword: str) -> tuple[str | None, list[str]]:
    """The address of `FROM:<a@b> X=1` and its parameters; None when it is not written so."""
    if not rest.upper().startswith(keyword):
        return None, []
    path, _, parameters = rest[len(keyword) :].strip().partition(">")
    if not path.startswith("<"):
        return None, []
    return path[1:].strip()[:320], parameters.split()


def smtp_server(host: ProviderHost, port: int, context: ssl.SSLContext | None) -> Listener:
    """The server of one provider on its own address; without `context` it offers no STARTTLS."""
    offered = context if host.behaviour.starttls else None
    return Listener(lambda live: SmtpServerProtocol(host, offered, live), host.behaviour.address, port)
