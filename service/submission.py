"""SMTP submission (RFC 6409): applications inject with AUTH; nothing is relayed without credentials.

Contract: 250 is answered after the durable commit.  Headers of the message choose and are removed before sending:
`X-Penstock-Stream` (default: the first transactional one), `-Campaign`, `-Topic`, `-Pool`, `-Send-At`, `-Expires-At`
(epoch seconds or RFC 3339), `-Metadata` (a JSON object of texts), `-List-Source`; `-Template` names a template that is
sent in place of the message's own content, with the variables of `-Vars` (a JSON object).  An address that is none is
refused at RCPT.  When no recipient could be taken the answer is 550 with the first reason; when some were, 250 with
the counts: each refusal is an IntakeRefused event and, if asked for by NOTIFY=FAILURE, a notification.  A queue that
is full or a store that cannot commit answers 451: the client keeps the mail.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import replace
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from config.model import Settings
from config.secrets import read_secret
from core.address import parse_address
from core.errors import InvalidInput, PenstockError
from core.events import Door
from core.notices import Notify
from sender.intake import AnswerStatus, Injection, Intake, RecipientAnswer, RecipientIn
from sender.notices.params import RecipientWish
from service.certificate import Certificate
from service.choices import choices, decoded_from, table
from service.clientlimits import ClientLimits
from service.dialogue import Dialogue, WishingEnvelope
from service.instants import instant
from service.library import TemplateLibrary
from service.notices import NoticeDesk, asked_by

logger = logging.getLogger("penstock.submission")
MAX_CONNECTIONS = 2000  # of all clients together
MAX_RECIPIENTS = 1000  # in one transaction, RFC 5321 section 4.5.3.1.8 asks for at least 100


class SubmissionHandler:
    """The transactions.  A user may be bound to one sending domain (else: any of ours)."""

    def __init__(self, settings: Settings, intake: Intake, library: TemplateLibrary, notices: NoticeDesk) -> None:
        self._intake = intake
        self._library = library
        self._notices = notices
        self._listener = settings.submission
        self._default_stream = settings.transactional[0] if settings.transactional else settings.streams[0].name
        self._users = {user.name: user.sending_domain for user in settings.submission.users}

    async def handle_EHLO(
        self, server: Dialogue, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        # commands are read line by line from a buffer, as RFC 2920 asks of a server; the library does not say so
        session.host_name = hostname
        more = ["250-PIPELINING", "250-ENHANCEDSTATUSCODES", *(["250-DSN"] if server.offers_notices else [])]
        return [*responses[:-1], *more, *responses[-1:]]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: WishingEnvelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients in one transaction"
        try:
            normal = parse_address(address).normal
        except InvalidInput as error:
            return f"553 5.1.3 {_one_line(str(error))}"
        if normal not in envelope.known:  # one mail each: a second spelling is no recipient that was refused
            envelope.known.add(normal)
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
            envelope.wishes.append(envelope.next_wish)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: WishingEnvelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        login = session.auth_data if isinstance(session.auth_data, str) else ""
        try:
            injection = await self._injection(content, envelope, self._users.get(login) or "")
            answers = await self._intake.submit(injection)
        except InvalidInput as error:
            return f"550 5.6.0 {_one_line(str(error))}"
        except PenstockError as error:
            return f"451 4.3.0 {_one_line(str(error))}"
        accepted = [a for a in answers if a.status is AnswerStatus.ACCEPTED]
        if not accepted:
            return f"550 5.7.1 {_one_line(f'{answers[0].status}: {answers[0].reason}')}"
        refused = len(answers) - len(accepted)
        if refused:
            await self._tell_refused(injection, answers)
        note = f" ({refused} of {len(answers)} recipients refused)" if refused else ""
        return f"250 2.0.0 Ok: queued as {accepted[0].message_id}{note}"

    async def _injection(self, content: bytes, envelope: WishingEnvelope, sending_domain: str) -> Injection:
        chosen, mime = choices(content)
        sender = (envelope.mail_from or "").removeprefix("<>")  # the library gives the null sender so
        variables = table("X-Penstock-Vars", chosen.get("vars", ""), numbers=True)
        injection = Injection(
            stream=chosen.get("stream") or self._default_stream, campaign=chosen.get("campaign", ""),
            topic=chosen.get("topic", ""), pool=chosen.get("pool", ""), door=Door.SMTP, mime=mime,
            sender=sender, sending_domain=sending_domain,
            recipients=tuple(
                RecipientIn(
                    address=address, variables=variables, notify=self._wanted(wish, sender), original=wish.original
                )
                for address, wish in zip(envelope.rcpt_tos, envelope.wishes, strict=True)
            ),
            not_before=instant(chosen.get("send-at") or None, "X-Penstock-Send-At"),
            deadline=instant(chosen.get("expires-at") or None, "X-Penstock-Expires-At"),
            metadata=table("X-Penstock-Metadata", chosen.get("metadata", "")),
            list_source=chosen.get("list-source", ""),
            asked=asked_by(
                sender, envelope_id=envelope.wish.envelope_id, full=envelope.wish.full,
                late_after=self._listener.delay_notice_hours * 3600,
            ),
        )  # fmt: skip
        if name := chosen.get("template"):
            parts = await self._library.parts(name)
            parts.setdefault("from", decoded_from(mime) or sender)
            injection = replace(injection, mime=None, parts=parts)
        elif variables:
            raise InvalidInput("X-Penstock-Vars", "stands without X-Penstock-Template", "Name a template")
        return injection

    def _wanted(self, wish: RecipientWish, sender: str) -> frozenset[Notify]:
        if not sender or self._listener.notices == "off":
            return frozenset()
        if wish.notify is None:
            return frozenset({Notify.FAILURE}) if self._listener.notices == "failures" else frozenset()
        return wish.notify

    async def _tell_refused(self, injection: Injection, answers: list[RecipientAnswer]) -> None:
        try:
            await self._notices.refused(injection, answers)
        except PenstockError as error:  # the message itself is taken over: it must not be sent a second time
            logger.warning("a notification of refused recipients could not be queued: %s", error)

    async def handle_exception(self, error: Exception) -> str:
        logger.exception("submission failed", exc_info=error)
        return "451 4.3.0 Internal error, try again later"


class SubmissionServer:
    """The listener.  Raises InvalidInput when a secret or certificate cannot be read."""

    def __init__(self, settings: Settings, intake: Intake, notices: NoticeDesk, library: TemplateLibrary) -> None:
        self._listener = settings.submission
        passwords = {user.name: read_secret(user.password_file) for user in self._listener.users}
        handler = SubmissionHandler(settings, intake, library, notices)
        listener = self._listener
        self._certificate = Certificate("submission", listener.tls_cert, listener.tls_key)
        if self._certificate.fresh() is None and (listener.require_tls or listener.tls_port is not None):
            raise InvalidInput(
                "submission.tls_cert", "TLS is asked for but there is no certificate",
                "Set submission.tls_cert and submission.tls_key, or require_tls = false on loopback, without tls_port",
            )  # fmt: skip
        options: dict[str, Any] = {
            "hostname": settings.sources[0].ehlo, "ident": "Penstock", "data_size_limit": self._listener.max_size,
            "enable_SMTPUTF8": True, "auth_required": True, "authenticator": _Authenticator(passwords),
            "timeout": 300, "auth_exclude_mechanism": ["CRAM-MD5"], "offer_notices": self._listener.notices != "off",
            "limits": ClientLimits(
                connections=MAX_CONNECTIONS, per_client=self._listener.connections_per_client, messages=0,
                guesses=self._listener.failed_logins_per_minute,
            ),
        }  # fmt: skip
        self._handler, self._options = handler, options
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen.  OSError names the address that is taken."""
        loop, listener = asyncio.get_running_loop(), self._listener
        self._servers.append(await loop.create_server(self._make, listener.host, listener.port))
        if listener.tls_port is not None:
            self._servers.append(
                await loop.create_server(
                    self._make_within_tls, listener.host, listener.tls_port, ssl=self._certificate.fresh()
                )
            )

    def _make(self) -> Dialogue:
        require, context = self._listener.require_tls, self._certificate.fresh()
        return Dialogue(self._handler, auth_require_tls=require, tls_context=context, **self._options)

    def _make_within_tls(self) -> Dialogue:
        self._certificate.fresh()
        return Dialogue(self._handler, within_tls=True, auth_require_tls=True, tls_context=None, **self._options)

    async def stop(self) -> None:
        """Close the listening sockets; transactions that run are cut by the loop's end, before any 250."""
        for server in self._servers:
            server.close()


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


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
