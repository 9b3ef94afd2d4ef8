"""The SMTP dialogue of submission: what aiosmtpd lacks.

Contract: DSN (RFC 3461) is offered and its parameters are taken from MAIL and RCPT; so is AUTH= of MAIL (RFC 4954
section 5), which Postfix sends.  A mechanism's name may be in any case.  A connection that fails to log in MAX_FAILURES
times is closed with 421, and so is one beyond the limits of its client: connections at once, failed logins a minute,
after which AUTH is not even looked at.  Everything else is the library's.
"""

from __future__ import annotations

from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, syntax

from sender.notices.params import BadParameter, MailWish, RecipientWish, mail_wish, recipient_wish
from service.clientlimits import ClientLimits, client_of

MAX_FAILURES = 5
_MORE_MAIL = 200  # octets that RFC 3461 section 4 and RFC 4954 add to a command's length
_MORE_RCPT = 570


class WishingEnvelope(Envelope):
    """A transaction with its wishes for notifications; `wishes` goes with `rcpt_tos`."""

    def __init__(self) -> None:
        super().__init__()
        self.wish = MailWish()
        self.wishes: list[RecipientWish] = []
        self.next_wish = RecipientWish()
        self.known: set[str] = set()  # normal forms of the recipients


class Dialogue(SMTP):
    """See the module."""

    def __init__(
        self, handler: Any, *, limits: ClientLimits, offer_notices: bool, within_tls: bool = False, **options: Any
    ) -> None:
        super().__init__(handler, **options)
        self._limits = limits
        self._client: str | None = None
        if within_tls:
            # TLS from the first byte, of which the library knows nothing: AUTH is offered without asking for more
            self._auth_require_tls = False
        self._offer_notices = offer_notices
        self._failures = 0

    @property
    def offers_notices(self) -> bool:
        return self._offer_notices

    def connection_made(self, transport: Any) -> None:
        # called again inside TLS
        if self._client is None:
            self._client = client_of(transport.get_extra_info("peername"))
            if not self._limits.connect(self._client):
                transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
                transport.close()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._client is not None:
            self._limits.disconnect(self._client)
            self._client = None
        super().connection_lost(error)

    def _create_envelope(self) -> Envelope:
        return WishingEnvelope()

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:
        self.command_size_limits["MAIL"] += _MORE_MAIL
        self.command_size_limits["RCPT"] += _MORE_RCPT
        await super().smtp_EHLO(hostname)

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str) -> None:
        if self.session is not None and self.session.ssl is not None:
            await self.push("503 5.5.1 TLS is in use already")  # the library would begin a second one inside it
            return
        await super().smtp_STARTTLS(arg)

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str) -> None:
        client = self._client or ""
        if self._limits.guessed_out(client):
            await self._send_away()
            return
        name, _, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(f"{name.upper()} {rest}".strip())
        if self.session is not None and not self.session.authenticated:
            self._failures += 1
            self._limits.may_guess(client)
            if self._failures >= MAX_FAILURES:
                await self._send_away()

    async def _send_away(self) -> None:
        await self.push("421 4.7.0 Too many failed logins, try again later")
        if self.transport is not None:
            self.transport.close()

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        path, parameters = self._path_and_parameters("FROM:", arg)
        wish = MailWish()
        if parameters:
            try:
                wish, rest = mail_wish(parameters)
            except BadParameter as error:
                await self.push(str(error))
                return
            arg = f"{path} {rest}".strip()
        await super().smtp_MAIL(arg)
        if isinstance(self.envelope, WishingEnvelope) and self.envelope.mail_from:
            self.envelope.wish = wish

    @syntax("RCPT TO: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        path, parameters = self._path_and_parameters("TO:", arg)
        wish = RecipientWish()
        if parameters:
            try:
                wish, rest = recipient_wish(parameters)
            except BadParameter as error:
                await self.push(str(error))
                return
            arg = f"{path} {rest}".strip()
        if isinstance(self.envelope, WishingEnvelope):
            self.envelope.next_wish = wish
        await super().smtp_RCPT(arg)

    def _path_and_parameters(self, keyword: str, arg: str | None) -> tuple[str, str]:
        """The command's argument up to the address, and what follows it; ('', '') when the library shall answer."""
        session = self.session
        if arg is None or session is None or not session.extended_smtp or not session.authenticated:
            return "", ""
        if not self._offer_notices:
            return "", ""
        spec = self._strip_command_keyword(keyword, arg)
        address, rest = self._getaddr(spec) if spec else (None, None)
        if not address or not rest or not arg.endswith(rest):
            return "", ""
        return arg[: len(arg) - len(rest)].rstrip(), rest
