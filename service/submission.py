"""SMTP submission (RFC 6409): applications inject with AUTH; nothing is relayed without credentials.

Contract: 250 is answered after the durable commit.  Headers of the message choose and are removed before sending:
`X-Penstock-Stream` (default: the first transactional one), `-Campaign`, `-Topic`, `-Send-At`, `-Expires-At` (epoch
seconds or RFC 3339), `-Metadata` (a JSON object of texts), `-List-Source`.  When no
recipient could be taken the answer is 550 with the first reason; when some were, 250 with the counts (each refusal is
an IntakeRefused event).  A queue that is full or a store that cannot commit answers 451: the client keeps the mail.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import ssl
from email.errors import HeaderParseError, MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from config.model import Settings, SubmissionListener
from config.secrets import read_secret
from core.errors import InvalidInput, PenstockError
from core.events import Door
from sender.intake import AnswerStatus, Injection, Intake, RecipientIn
from service.instants import instant

logger = logging.getLogger("penstock.submission")
MAX_RECIPIENTS = 1000  # in one transaction, RFC 5321 section 4.5.3.1.8 asks for at least 100


class SubmissionHandler:
    """The transactions.  `users` maps a login to the only sending domain it may use (None: any of ours)."""

    def __init__(self, intake: Intake, default_stream: str, users: dict[str, str | None]) -> None:
        self._intake = intake
        self._default_stream = default_stream
        self._users = users

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        # commands are read line by line from a buffer, as RFC 2920 asks of a server; the library does not say so
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", *responses[-1:]]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients in one transaction"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        try:
            chosen, mime = _choices(content)
            login = session.auth_data if isinstance(session.auth_data, str) else ""
            injection = Injection(
                stream=chosen.get("stream") or self._default_stream, campaign=chosen.get("campaign", ""),
                topic=chosen.get("topic", ""), door=Door.SMTP, mime=mime, sender=envelope.mail_from or "",
                sending_domain=self._users.get(login) or "",
                recipients=tuple(RecipientIn(address=address) for address in envelope.rcpt_tos),
                not_before=instant(chosen.get("send-at") or None, "X-Penstock-Send-At"),
                deadline=instant(chosen.get("expires-at") or None, "X-Penstock-Expires-At"),
                metadata=_metadata(chosen.get("metadata", "")), list_source=chosen.get("list-source", ""),
            )  # fmt: skip
            answers = await self._intake.submit(injection)
        except InvalidInput as error:
            return f"550 5.6.0 {_one_line(str(error))}"
        except PenstockError as error:
            return f"451 4.3.0 {_one_line(str(error))}"
        accepted = [a for a in answers if a.status is AnswerStatus.ACCEPTED]
        if not accepted:
            return f"550 5.7.1 {_one_line(f'{answers[0].status}: {answers[0].reason}')}"
        refused = len(answers) - len(accepted)
        note = f" ({refused} of {len(answers)} recipients refused)" if refused else ""
        return f"250 2.0.0 Ok: queued as {accepted[0].message_id}{note}"

    async def handle_exception(self, error: Exception) -> str:
        logger.exception("submission failed", exc_info=error)
        return "451 4.3.0 Internal error, try again later"


class SubmissionServer:
    """The listener.  Raises InvalidInput when a secret or certificate cannot be read."""

    def __init__(self, settings: Settings, intake: Intake) -> None:
        self._listener = settings.submission
        passwords = {user.name: read_secret(user.password_file) for user in self._listener.users}
        default = settings.transactional[0] if settings.transactional else settings.streams[0].name
        handler = SubmissionHandler(intake, default, {u.name: u.sending_domain for u in self._listener.users})
        tls = _tls(self._listener)
        options: dict[str, Any] = {
            "hostname": settings.sources[0].ehlo, "ident": "Penstock", "data_size_limit": self._listener.max_size,
            "enable_SMTPUTF8": True, "auth_required": True, "authenticator": _Authenticator(passwords),
            "auth_require_tls": self._listener.require_tls, "tls_context": tls, "timeout": 300,
            "auth_exclude_mechanism": ["CRAM-MD5"],
        }  # fmt: skip
        self._make = lambda: SMTP(handler, **options)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.  OSError names the address that is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            self._make, self._listener.host, self._listener.port
        )

    async def stop(self) -> None:
        """Close the listening socket; transactions that run are cut by the loop's end, before any 250."""
        if self._server is not None:
            self._server.close()


class _Authenticator:
    """PLAIN and LOGIN against the configured users, in constant time for a known and an unknown name."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = passwords

    def __call__(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        name = data.login.decode("utf-8", "replace")
        expected = self._passwords.get(name, "\0")
        good = hmac.compare_digest(expected.encode(), data.password) and name in self._passwords
        if not good:
            logger.warning("submission: refused credentials for user %r", name[:64])
        return AuthResult(success=good, handled=False, auth_data=name if good else None)


def _tls(listener: SubmissionListener) -> ssl.SSLContext | None:
    if listener.tls_cert is None or listener.tls_key is None:
        if listener.require_tls:
            raise InvalidInput(
                "submission.tls_cert", "require_tls is set but there is no certificate",
                "Set submission.tls_cert and submission.tls_key, or require_tls = false on loopback",
            )  # fmt: skip
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listener.tls_cert, listener.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            "submission.tls_cert", f"{listener.tls_cert} cannot be loaded ({error.__class__.__name__})",
            "Give a PEM certificate chain and its key",
        ) from error  # fmt: skip
    return context


_CHOICES = ("stream", "campaign", "topic", "send-at", "expires-at", "metadata", "list-source")
_OURS = tuple(f"x-penstock-{name}:".encode() for name in _CHOICES)


def _choices(content: bytes) -> tuple[dict[str, str], bytes]:
    """What the headers choose, and the message without those headers."""
    head, separator, body = content.partition(b"\r\n\r\n")
    if not any(name in head.lower() for name in _OURS):
        return {}, content
    try:
        headers = BytesHeaderParser(policy=compat32).parsebytes(head[:262_144])
    except (MessageError, ValueError) as error:
        raise InvalidInput("message", "the headers cannot be read", "Send an RFC 5322 message") from error
    kept: list[bytes] = []
    dropping = False
    for line in head.split(b"\r\n"):
        if not line.startswith((b" ", b"\t")):
            dropping = line.lower().startswith(_OURS)
        if not dropping:
            kept.append(line)
    chosen = {name: str(headers.get(f"X-Penstock-{name}") or "").strip() for name in _CHOICES}
    return chosen, b"\r\n".join(kept) + separator + body


def _metadata(text: str) -> dict[str, str]:
    """The header's JSON object, e.g. {"order": "4711"}; RFC 2047 words are read."""
    if not text:
        return {}
    try:
        table = json.loads(str(make_header(decode_header(text))))
    except (ValueError, LookupError, RecursionError, HeaderParseError) as error:
        raise InvalidInput("X-Penstock-Metadata", "is no JSON object", 'Write {"order": "4711"}') from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise InvalidInput("X-Penstock-Metadata", "is no object of texts", 'Write {"order": "4711"}')
    return table


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
