"""Composes the message of one recipient: render or clean, add our header fields, sign.

Contract: the same body gives each recipient an RFC 5322 message of its own, with a signed token in the return path, in
Message-ID and in X-Penstock-Token (providers strip some of them from their reports), and with one-click unsubscribing
(RFC 8058) where the stream has it; all of it under the DKIM signature.  A message that came whole keeps its content:
see `sender.headers.prepare`.  Raises InvalidInput when this recipient's message cannot be made; nothing else.
Never does I/O.  Compiled and cleaned bodies are cached, bounded in number and bytes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from config.model import SendingDomain, Settings, StreamSettings
from core.address import normal_domain, parse_address
from core.errors import InvalidInput
from core.messages import Body, BodyId, Leased
from core.state import Envelope
from core.tokens import Purpose, TokenSigner
from sender.headers import SEVEN_BIT, Prepared, date, encoded, mailbox, prepare, split_mailbox, text_part
from sender.template import BUILT_IN, MailTemplate, Rendered, tagged, template_of
from sender.tidy import Tidy
from sender.tracking.tracker import Tracker

MAX_CACHED = 256
MAX_CACHED_BYTES = 32_000_000
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Signer(Protocol):
    """DKIM: the signature fields that go in front of header and body, both with CRLF line ends (sender.dkim)."""

    def signature(self, head: bytes, body: bytes, sending_domain: str, now: float) -> bytes: ...


def check_template(parts: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Raises InvalidInput, naming the missing variable or the part, when these values would not render."""
    template = template_of(parts)
    template.check(variables)


class Composer:
    """See the module.  `settings` names the streams, return-path domains and the public address."""

    def __init__(self, signer: TokenSigner, settings: Settings, dkim: Signer) -> None:
        self._tokens = signer
        self._dkim = dkim
        self._tracker = Tracker(signer, settings)
        self._url = settings.http.public_url
        self._streams = {stream.name: stream for stream in settings.streams}
        self._domains = {normal_domain(domain.name): domain for domain in settings.sending_domains}
        self._loops = {name: _loop(domain, settings) for name, domain in self._domains.items()}
        self._ready: OrderedDict[BodyId, tuple[Prepared | MailTemplate, int]] = OrderedDict()
        self._ready_bytes = 0

    def compose(self, lease: Leased, body: Body, now: float) -> Envelope:
        """The signed message of one recipient.  Raises InvalidInput."""
        submission = lease.submission
        domain = self._domain(submission.sending_domain)
        stream = self._stream(submission.stream)
        message_id = submission.message_id
        identity = self._tokens.sign(Purpose.MESSAGE_ID, message_id, now)
        unsubscribe = self._tokens.sign(Purpose.UNSUBSCRIBE, message_id, now)
        added = [
            f"X-Penstock-Token: {identity}\r\nMessage-ID: <{identity}@{submission.sending_domain}>\r\n"
            f"Feedback-ID: {_word(submission.campaign)}:{_word(stream.name)}:{submission.sending_domain}:penstock\r\n"
        ]
        ours = body.kind in ("notice", "report")  # mail of the service itself: nothing is added for readers
        if loop := self._loops[submission.sending_domain]:
            added.append(f"CFBL-Address: {loop}; report=arf\r\nCFBL-Feedback-ID: {identity}\r\n")
        if stream.unsubscribe and not ours:
            added.append(
                f"List-Unsubscribe: <{self._url}/u/{unsubscribe}>,\r\n"
                f" <mailto:{unsubscribe}@{domain.return_path}?subject=unsubscribe>\r\n"
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            )
        if stream.kind == "marketing" and not ours:
            added.append("Precedence: bulk\r\n")
        to = submission.recipient
        match self._prepared(body):
            case Prepared() as ready:
                if not ours:
                    ready = self._tracker.whole(ready, stream.name, body.body_id, message_id, now)
                fields, ascii_head = _whole(ready, stream, to, now)
                content = ready.body
            case template:
                values = {**submission.variables, "recipient": to, "unsubscribe_url": f"{self._url}/u/{unsubscribe}"}
                if template.utm or template.uses("preferences_url"):
                    token = self._tokens.sign(Purpose.PREFERENCES, message_id, now)
                    values["preferences_url"] = f"{self._url}/p/{token}"
                rendered = template.render(values)
                if template.utm:
                    rendered = tagged(
                        rendered, template.utm, source=submission.sending_domain, campaign=submission.campaign,
                        stream=stream.name, spare=tuple(values[name] for name in BUILT_IN if name.endswith("_url")),
                    )  # fmt: skip
                tracked = self._tracker.rendered(rendered, stream.name, message_id, now)
                tidy = template.tidy(values) if tracked is rendered else None
                fields, content = _built(tracked, tidy, submission.sending_domain, to, message_id, now)
                ascii_head = True
        head = "".join(added).encode() + fields
        signature = self._dkim.signature(head, content, submission.sending_domain, now)
        return Envelope(
            mail_from=""
            if body.kind == "notice"
            else f"{self._tokens.sign(Purpose.RETURN_PATH, message_id, now)}@{domain.return_path}",
            rcpt_to=to,
            content=b"".join((signature, head, b"\r\n", content)),
            smtputf8=not (ascii_head and to.isascii()),
            clean=True,
            undotted=isinstance(content, Tidy),  # the fields above it are ours: none begins with a dot
        )

    def _domain(self, name: str) -> SendingDomain:
        found = self._domains.get(name)
        if found is None:  # the settings changed while the message was queued
            raise InvalidInput("sending_domain", f"{name} is no longer configured", "Add it again, or resend")
        return found

    def _stream(self, name: str) -> StreamSettings:
        found = self._streams.get(name)
        if found is None:
            raise InvalidInput("stream", f"{name} is no longer configured", "Add it again, or resend")
        return found

    def _prepared(self, body: Body) -> Prepared | MailTemplate:
        known = self._ready.get(body.body_id)
        if known is not None:
            self._ready.move_to_end(body.body_id)
            return known[0]
        ready = prepare(body.content) if body.kind != "template" else template_of(json.loads(body.content))
        size = len(body.content)
        self._ready[body.body_id] = (ready, size)
        self._ready_bytes += size
        while len(self._ready) > 1 and (len(self._ready) > MAX_CACHED or self._ready_bytes > MAX_CACHED_BYTES):
            self._ready_bytes -= self._ready.popitem(last=False)[1][1]
        return ready


def _loop(domain: SendingDomain, settings: Settings) -> str:
    """Where complaints about this domain's mail are wanted (RFC 9477); '' where no signature speaks for the address.

    Its section 3.1: the address lies in the domain of From or below it, or another signature has its domain.
    """
    address = settings.inbound.feedback_address if settings.inbound.enabled else ""
    if not address or not domain.dkim:
        return ""
    where = parse_address(address).domain
    name = normal_domain(domain.name)
    seconds = {normal_domain(key.domain) for key in domain.second_signatures}
    return address if where == name or where.endswith(f".{name}") or where in seconds else ""


def _whole(ready: Prepared, stream: StreamSettings, to: str, now: float) -> tuple[bytes, bool]:
    """The fields of a message that came whole, with what it lacked; and whether they are ASCII."""
    parts = [b"X-Penstock-Original-Message-ID: " + ready.original_id + b"\r\n"] if ready.original_id else []
    if b"date" not in ready.names:
        parts.append(b"Date: " + date(now) + b"\r\n")
    if b"to" not in ready.names and b"cc" not in ready.names:
        parts.append(f"To: {to}\r\n".encode())
    if b"mime-version" not in ready.names:
        parts.append(b"MIME-Version: 1.0\r\n")
    if stream.kind != "marketing":
        parts.append(ready.precedence)
    if not stream.unsubscribe:
        parts.append(ready.list_fields)
    return b"".join((*parts, ready.fields)), ready.ascii_head


def _built(
    rendered: Rendered, tidy: Tidy | None, sending_domain: str, to: str, message_id: str, now: float
) -> tuple[bytes, bytes]:
    """Header fields and body of a rendered message; `tidy` is the body where it is known already."""
    head = (
        b"Date: " + date(now) + b"\r\nFrom: " + _from(rendered.sender, sending_domain) + b"\r\nTo: " + to.encode()
        + b"\r\nSubject: " + encoded(rendered.subject, 9) + b"\r\nMIME-Version: 1.0\r\n"
    )  # fmt: skip
    if tidy is not None:
        return head + SEVEN_BIT, tidy
    texts = [
        text_part(subtype, content)
        for subtype, content in (("plain", rendered.text), ("html", rendered.html))
        if content
    ] or [text_part("plain", "")]
    if len(texts) < 2:
        fields, content = texts[0]
        return head + fields, content
    # the message id is unguessable to whoever wrote the parts, so the boundary cannot stand in them
    boundary = f"=_{message_id}".encode()
    parts = b"".join(b"--%b\r\n%b\r\n%b\r\n" % (boundary, *part) for part in texts)
    kind = b'Content-Type: multipart/alternative; boundary="' + boundary + b'"\r\n'
    return head + kind, parts + b"--" + boundary + b"--\r\n"


@lru_cache(maxsize=64)
def _from(text: str, sending_domain: str) -> bytes:
    """The value of From.  Raises InvalidInput."""
    name, address = split_mailbox(text)
    sender = parse_address(address)
    if sender.domain != sending_domain and not sender.domain.endswith("." + sending_domain):
        raise InvalidInput("from", f"{sender.domain} does not lie in {sending_domain}", "Use the sending domain")
    if sender.needs_smtputf8:
        raise InvalidInput("from", "has letters outside ASCII before the @", "Use an ASCII address")
    return mailbox(name, str(sender))


@lru_cache(maxsize=256)
def _word(text: str) -> str:
    """One field of Feedback-ID: nothing that its reader could take for a separator."""
    return "".join(c if c in _SAFE else "_" for c in text[:60])
