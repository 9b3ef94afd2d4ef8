"""Mail that comes back to us: proves it, attributes it, and writes what follows from it.

Contract: `accepts(address)` answers RCPT; `receive(...)` returns only when everything the mail says is stored.
- Proof is a signed token, looked for in the written order: the address the mail came to, Original-Envelope-Id, the
  returned original's Message-ID, X-Penstock-Token and List-Unsubscribe, then the rest of the mail.  Without a valid
  token of a message in our log, the mail is a ReportUnverified and changes nothing else.
- The address that is suppressed is the one that we sent to, never one that the report names.
- A report counts once: the message's own events say whether it was seen before.  One transaction holds the event and
  the suppression that follows from it.
- A person's answer to a message of ours (In-Reply-To or References hold its token) is a Replied, once a message.
- Automatic replies are ignored.  What breaks a bound is stored as unverified, for a bounce is never bounced.
Raises Unavailable when the report is about a delivery that is not in the log yet: the sender tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, Protocol

from collectors.parse import Kind, ParsedMail, ParsedRecipient, parse_mail
from config.model import Settings
from core.address import parse_address
from core.classify import Classifier, Group
from core.errors import InvalidInput, Unavailable
from core.events import (
    NO_COMPLAINTS,
    Accepted,
    BounceReceived,
    ComplaintReceived,
    Delivered,
    Event,
    Replied,
    ReportUnverified,
    SuppressionAdded,
    SuppressionReason,
    Unsubscribed,
)
from core.lane import Attribution
from core.ports import Clock, EventLog, Suppressions
from core.state import Suppression, has_left
from core.tokens import MessageId, Purpose, Token, TokenProblem, TokenSigner

OPT_OUT = frozenset({"opt-out", "opt-out-list"})
ROLES = frozenset({"postmaster", "abuse"})  # RFC 2142: always taken
_ADDRESSED = frozenset({Purpose.RETURN_PATH, Purpose.UNSUBSCRIBE})
_LOCKS = 64
_SUMMARY = 500
_SETTLING_DAYS = 2


class ReportHandler(Protocol):
    """Who reads DMARC, TLS and failure reports (collectors.reports.intake)."""

    async def report(self, content: bytes, mail_from: str, peer: str = "") -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """A message of ours that a report answers."""

    message_id: MessageId
    purpose: Purpose
    recipient: str
    stream: str
    attribution: Attribution
    history: tuple[Event, ...]

    @property
    def address(self) -> str:
        return parse_address(self.recipient).normal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unproven:
    """Why a report was not believed."""

    problem: str


class ReturnMail:
    """See the module."""

    def __init__(
        self,
        *,
        settings: Settings,
        signer: TokenSigner,
        classifier: Classifier,
        log: EventLog,
        suppressions: Suppressions,
        dmarc: ReportHandler,
        clock: Clock,
        executor: Executor | None = None,
    ) -> None:
        self._signer = signer
        self._classifier = classifier
        self._log = log
        self._suppressions = suppressions
        self._dmarc = dmarc
        self._clock = clock
        self._executor = executor
        self._return_paths = frozenset(d.return_path.lower() for d in settings.sending_domains)
        self._domains = self._return_paths | {d.name.lower() for d in settings.sending_domains}
        self._dmarc_address = settings.inbound.dmarc_address.lower()
        self._feedback_address = settings.inbound.feedback_address.lower()
        self._reply_addresses = frozenset(a.lower() for a in settings.inbound.reply_addresses)
        self._locks = [asyncio.Lock() for _ in range(_LOCKS)]

    async def accepts(self, address: str) -> str:
        """'' when mail to `address` is taken, else the SMTP reply that refuses it."""
        low = address.strip().strip("<>").lower()
        local, _, domain = low.rpartition("@")
        if low and (low in (self._dmarc_address, self._feedback_address) or low in self._reply_addresses):
            return ""
        if local in ROLES and domain in self._domains:
            return ""
        if domain not in self._return_paths:
            return "550 5.1.1 No such address here"
        token = self._signer.verify(local, self._clock.now())
        if isinstance(token, Token) and token.purpose in _ADDRESSED:
            return ""
        if token is TokenProblem.EXPIRED:
            return "550 5.1.1 This address has expired"
        return "550 5.1.1 No such address here"

    async def receive(self, mail_from: str, rcpt_tos: Sequence[str], content: bytes, peer: str = "") -> None:
        """Take one mail; `peer` is the address that it came from.  See the module."""
        to = [address.strip().strip("<>").lower() for address in rcpt_tos]
        loop = asyncio.get_running_loop()
        mail = await loop.run_in_executor(self._executor, parse_mail, content, self._classifier)
        if mail.kind in _REPORTS or (self._dmarc_address and self._dmarc_address in to):
            await self._dmarc.report(content, mail_from, peer)
            return
        proof = await self._prove(to, mail)
        wants_out = mail.kind is Kind.UNSUBSCRIBE or (
            # whatever a person writes to the address of List-Unsubscribe is a request to be taken off
            mail.kind is Kind.NOT_RECOGNISED and isinstance(proof, _Proof) and proof.purpose is Purpose.UNSUBSCRIBE
        )
        if mail.kind is Kind.AUTO_REPLY:
            return
        kind = _KINDS.get(mail.kind, "other")
        if isinstance(proof, _Unproven) and mail.kind is Kind.NOT_RECOGNISED and self._reply_addresses.issuperset(to):
            return  # what people write to an address for answers is no report
        if isinstance(proof, _Unproven):
            await self._unverified(kind, proof.problem, mail_from, to, mail)
            return
        async with self._locks[hash(proof.message_id) % _LOCKS]:
            proof = await self._again(proof)
            if mail.kind is Kind.BOUNCE:
                await self._bounce(proof, mail)
            elif mail.kind is Kind.COMPLAINT:
                await self._complaint(proof, mail)
            elif wants_out:
                await self._unsubscribe(proof, "mail")
            elif mail_from.strip("<> ") and self._signs(mail.answered, proof):
                await self._replied(proof)
            else:
                await self._unverified(kind, mail.reason or f"no reader for {mail.kind}", mail_from, to, mail)

    # --- proof -----------------------------------------------------------------------------------
    async def _prove(self, to: Sequence[str], mail: ParsedMail) -> _Proof | _Unproven:
        now = self._clock.now()
        candidates = [local for local, _, domain in (a.rpartition("@") for a in to) if domain in self._return_paths]
        problem = "no token"
        for text in dict.fromkeys([*candidates, *mail.answered, *mail.original.tokens]):
            token = self._signer.verify(text, now)
            if isinstance(token, TokenProblem):
                problem = f"token {token}" if token is not TokenProblem.MALFORMED else problem
                continue
            if token.purpose is Purpose.SEED:
                problem = "token of a seed mailbox"
                continue
            found = await self._message(token)
            if found is not None:
                return found
            problem = "token of a message that is not in the log"
        return _Unproven(problem=problem)

    async def _message(self, token: Token) -> _Proof | None:
        history = tuple(logged.event for logged in await self._log.of_message(token.message_id))
        accepted = next((event for event in history if isinstance(event, Accepted)), None)
        if accepted is None:
            return None
        attributed = [
            found for event in history if isinstance(found := getattr(event, "attribution", None), Attribution)
        ]
        if not attributed:
            if self._clock.now() - accepted.at < _SETTLING_DAYS * 86400:
                raise Unavailable("the delivery that this report answers is not settled yet")
            return None
        return _Proof(
            message_id=token.message_id, purpose=token.purpose, recipient=accepted.recipient, stream=accepted.stream,
            attribution=attributed[-1], history=history,
        )  # fmt: skip

    async def _again(self, proof: _Proof) -> _Proof:
        """The same message as its log stands now, inside the lock."""
        token = Token(purpose=proof.purpose, message_id=proof.message_id, day=0)
        return await self._message(token) or proof

    # --- what follows ----------------------------------------------------------------------------
    async def _bounce(self, proof: _Proof, mail: ParsedMail) -> None:
        told = _about(proof, mail.recipients)
        terminal = told.diagnosis.group is not Group.NOT_A_BOUNCE
        if any(
            isinstance(event, BounceReceived)
            and event.terminal == terminal
            and (terminal or event.bounce_class is told.diagnosis.bounce_class)
            for event in proof.history
        ):
            return
        event = BounceReceived(
            at=self._clock.now(), message_id=proof.message_id, recipient=proof.recipient, attribution=proof.attribution,
            reply=told.reply, bounce_class=told.diagnosis.bounce_class, terminal=terminal,
        )  # fmt: skip
        if terminal and told.diagnosis.at_once:
            await self._suppress(proof, "", SuppressionReason.HARD_BOUNCE, str(told.reply), [event])
        else:
            await self._log.append([event])

    async def _complaint(self, proof: _Proof, mail: ParsedMail) -> None:
        kind = mail.feedback_type
        if kind in OPT_OUT:
            await self._unsubscribe(proof, "mail")
            return
        told = {event.feedback_type for event in proof.history if isinstance(event, ComplaintReceived)}
        if kind in told or (kind not in NO_COMPLAINTS and told - NO_COMPLAINTS):
            return  # one person complains once about one mail, whatever the reports call it
        reporter = mail.complaint.reporter if mail.complaint else mail.sender
        event = ComplaintReceived(
            at=self._clock.now(), message_id=proof.message_id, recipient=proof.recipient, attribution=proof.attribution,
            feedback_type=kind, reporter=reporter, sent_at=_sent_at(proof),
            reported_at=mail.complaint.reported_at if mail.complaint else 0.0,
        )  # fmt: skip
        if kind not in NO_COMPLAINTS:
            await self._suppress(proof, "", SuppressionReason.COMPLAINT, f"{kind} report from {reporter}", [event])
            return
        if kind == "not-spam":
            await self._lift(proof)  # first: a crash in between repeats both, and the second lift finds nothing
        await self._log.append([event])

    def _signs(self, answered: Sequence[str], proof: _Proof) -> bool:
        """True when the answer names the message that it is about: a bounce of unknown form does not."""
        told = (self._signer.verify(text, self._clock.now()) for text in answered)
        return any(isinstance(token, Token) and token.message_id == proof.message_id for token in told)

    async def _replied(self, proof: _Proof) -> None:
        if any(isinstance(event, Replied) for event in proof.history):
            return
        event = Replied(
            at=self._clock.now(), message_id=proof.message_id, recipient=proof.recipient, attribution=proof.attribution
        )
        await self._log.append([event])

    async def _lift(self, proof: _Proof) -> None:
        """Take back the suppression that a complaint about this very message made."""
        made = any(
            isinstance(event, SuppressionAdded) and event.reason is SuppressionReason.COMPLAINT
            for event in proof.history
        )
        entry = (await self._suppressions.check([proof.address], "")).get(proof.address)
        if made and entry is not None and entry.reason is SuppressionReason.COMPLAINT:
            await self._suppressions.remove(proof.address, entry.stream, "not-spam report", self._clock.now())

    async def _unsubscribe(self, proof: _Proof, method: Literal["mail"]) -> None:
        # by the list, not by the log: who came back since may leave again with the same mail in hand
        if has_left(await self._suppressions.of_address(proof.address), proof.stream):
            return
        event = Unsubscribed(
            at=self._clock.now(), message_id=proof.message_id, recipient=proof.recipient, attribution=proof.attribution,
            method=method,
        )  # fmt: skip
        await self._suppress(proof, proof.stream, SuppressionReason.UNSUBSCRIBE, method, [event])

    async def _suppress(
        self, proof: _Proof, stream: str, reason: SuppressionReason, evidence: str, events: Sequence[Event]
    ) -> None:
        entry = Suppression(
            address=proof.address, stream=stream, reason=reason, at=self._clock.now(), evidence=evidence[:_SUMMARY]
        )
        await self._suppressions.add([entry], proof.message_id, events)

    async def _unverified(
        self,
        kind: Literal["bounce", "complaint", "dmarc", "other"],
        problem: str,
        mail_from: str,
        to: Sequence[str],
        mail: ParsedMail,
    ) -> None:
        said = "; ".join(f"{r.address} {r.diagnosis.bounce_class} {r.reply}" for r in mail.recipients[:5])
        await self._log.append([
            ReportUnverified(
                at=self._clock.now(), kind=kind, problem=problem, sender=(mail_from or mail.sender)[:300],
                to=", ".join(to)[:300], summary=f"{mail.kind} {mail.feedback_type} {said or mail.reason}"[:_SUMMARY],
            )
        ])  # fmt: skip


_REPORTS = frozenset({Kind.DMARC, Kind.TLSRPT, Kind.FAILURE_REPORT})
_KINDS: dict[Kind, Literal["bounce", "complaint", "dmarc", "other"]] = {
    Kind.BOUNCE: "bounce",
    Kind.COMPLAINT: "complaint",
    Kind.DMARC: "dmarc",
    Kind.FAILURE_REPORT: "dmarc",
}


def _about(proof: _Proof, recipients: Sequence[ParsedRecipient]) -> ParsedRecipient:
    """What the bounce says about our recipient.

    A report that names others was made after forwarding: then one living mailbox behind the address is enough for it
    to live, so the finding that suppresses least speaks."""
    for recipient in recipients:
        if recipient.address and _same(recipient.address, proof.address):
            return recipient
    return min(recipients, key=lambda r: (r.diagnosis.suppresses, r.diagnosis.group is not Group.NOT_A_BOUNCE))


def _sent_at(proof: _Proof) -> float:
    """When the host took the message; before its log says so, when the last attempt was made."""
    taken = [event.at for event in proof.history if isinstance(event, Delivered)]
    return taken[-1] if taken else max((e.at for e in proof.history if not isinstance(e, Accepted)), default=0.0)


def _same(address: str, normal: str) -> bool:
    try:
        return parse_address(address).normal == normal
    except InvalidInput:
        return False
