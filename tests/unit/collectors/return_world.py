"""A world for the tests of returned mail: the real store in memory, one sent message, and the mails that answer it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from collectors.returnmail import ReturnMail
from config.model import InboundListener, SendingDomain, Settings, Source
from config.replies import shipped_classifier
from core.clock import FixedClock
from core.events import Accepted, Delivered, Door, Event
from core.lane import Attribution, Campaign, Lane, Provider, Stream, Traffic, cohort_of
from core.lane import SendingDomain as Domain
from core.lane import Source as SourceName
from core.reply import Reply
from core.tokens import MessageId, Purpose, TokenSigner, new_message_id
from storage.stores import Stores, open_stores

START = 1_800_000_000.0
RETURN_PATH = "rp.news.example"
RECIPIENT = "Ann@shop.example"
ADDRESS = "ann@shop.example"


@dataclass
class Dmarc:
    """Remembers what it was handed."""

    mails: list[tuple[bytes, str]] = field(default_factory=list)

    async def report(self, content: bytes, mail_from: str, peer: str = "") -> int:
        self.mails.append((content, mail_from))
        return 1


@dataclass
class World:
    """See the module."""

    stores: Stores
    clock: FixedClock
    signer: TokenSigner
    dmarc: Dmarc
    returns: ReturnMail
    message_id: MessageId

    def token(self, purpose: Purpose, *, at: float = START) -> str:
        return self.signer.sign(purpose, self.message_id, at)

    @property
    def bounce_address(self) -> str:
        return f"{self.token(Purpose.RETURN_PATH)}@{RETURN_PATH}"

    @property
    def unsubscribe_address(self) -> str:
        return f"{self.token(Purpose.UNSUBSCRIBE)}@{RETURN_PATH}"

    async def events(self, kind: type[Event]) -> list[Event]:
        return [logged.event for logged in await self.stores.log.read(0) if isinstance(logged.event, kind)]

    async def suppressed(self) -> dict[str, tuple[str, str]]:
        return {entry.address: (str(entry.reason), entry.stream) for entry in await self.stores.suppressions.page()}

    async def deliver(self, message_id: MessageId) -> Attribution:
        where = Attribution(
            traffic=Traffic(
                lane=Lane(source=SourceName("s1"), sending_domain=Domain("news.example"), provider=Provider("other:x")),
                stream=Stream("bulk"),
                campaign=Campaign("april"),
            ),
            cohort=cohort_of(START),
        )
        await self.stores.log.append([Delivered(
            at=START + 5, message_id=message_id, recipient=RECIPIENT, attribution=where, site="mx.shop.example",
            remote="mx.shop.example", reply=Reply(code=250, text="ok"), attempt=1, tls="", latency=5,
        )])  # fmt: skip
        return where

    async def accept(self, message_id: MessageId) -> None:
        await self.stores.log.append([Accepted(
            at=START, message_id=message_id, recipient=RECIPIENT, stream="bulk", campaign="", door=Door.HTTP, size=10,
            sending_domain="news.example",
        )])  # fmt: skip


@asynccontextmanager
async def world(*, delivered: bool = True) -> AsyncIterator[World]:
    """A store with one message that was accepted and (unless told otherwise) delivered."""
    stores = await open_stores("sqlite://", inline=True)
    clock = FixedClock(START + 60)
    signer = TokenSigner({"a": b"0123456789abcdef"})
    dmarc = Dmarc()
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path=RETURN_PATH)],
        sources=[Source(name="s1", ehlo="s1.news.example")],
        inbound=InboundListener(
            dmarc_address=f"dmarc@{RETURN_PATH}",
            feedback_address=f"fbl@{RETURN_PATH}",
            reply_addresses=["News@news.example"],
        ),
    )
    returns = ReturnMail(
        settings=settings, signer=signer, classifier=shipped_classifier(), log=stores.log,
        suppressions=stores.suppressions, dmarc=dmarc, clock=clock,
    )  # fmt: skip
    message_id = new_message_id(START)
    here = World(stores=stores, clock=clock, signer=signer, dmarc=dmarc, returns=returns, message_id=message_id)
    await here.accept(message_id)
    if delivered:
        await here.deliver(message_id)
    try:
        yield here
    finally:
        await stores.close()


def dsn(
    recipient: str = ADDRESS, *, said: str = "550 5.1.1 User unknown", action: str = "failed", original: str = ""
) -> bytes:
    """A delivery status notification."""
    return f"""From: MAILER-DAEMON@mx.shop.example
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b1

--b1
Content-Type: text/plain

Not delivered.
--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.shop.example

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {said.split()[1]}
Diagnostic-Code: smtp; {said}

--b1
Content-Type: text/rfc822-headers

Message-ID: <{original}@news.example>
Subject: Offer

--b1--
""".encode()


def arf(kind: str = "abuse", *, token: str = "", field_name: str = "Message-ID") -> bytes:
    """A feedback report that withholds the recipient."""
    value = f"<{token}@news.example>" if field_name == "Message-ID" else token
    return f"""From: feedback@mail.example
Subject: FW: Offer
Content-Type: multipart/report; report-type=feedback-report; boundary=b1

--b1
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Loop/1.0
Version: 1
Original-Rcpt-To: <redacted-0815@mail.example>

--b1
Content-Type: text/rfc822-headers

{field_name}: {value}
Subject: Offer

--b1--
""".encode()


def plain(subject: str, text: str = "", *headers: str) -> bytes:
    """An ordinary mail."""
    return "\n".join(["From: ann@shop.example", f"Subject: {subject}", *headers, "", text]).encode()
