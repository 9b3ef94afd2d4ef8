"""Double opt-in: an address is asked whether it agrees, and what it agreed to is kept as proof.

Contract: `request` stores the request with its wording before the mail goes out by the normal intake; a request beyond
the bound of its address is refused (a form on the web must not become a way to flood somebody).  Only the link in that
mail confirms, once, until it is too old.  Confirming lifts what the person had wished away before in those scopes, and
nothing else: an address that bounced or complained stays suppressed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from config.model import Settings
from core.address import normal_domain, parse_address
from core.errors import InvalidInput, LimitExceeded, PenstockError
from core.events import LIFTED_BY_WISH, Door, SuppressionReason
from core.ports import Clock, Consents, Suppressions
from core.recipient import EVERY_OPTIONAL, OptIn, Origin, topic_scope
from core.state import Suppression
from core.tokens import MessageId, Purpose, Token, TokenSigner, new_message_id
from sender.headers import split_mailbox
from sender.intake import AnswerStatus, Injection, Intake, RecipientAnswer, RecipientIn
from sender.template import template_of

DAY = 86400.0
MAX_WORDING = 5000
MAX_PAGE = 2000
MAX_AGENT = 300
MAX_SCOPES = 50
_MAIL = {
    "en": {
        "subject": "Please confirm your subscription",
        "text": "Somebody, probably you, asked us to send mail to this address:\n\n{{ wording }}\n\n"
                "To agree, open this page and press the button:\n{{ confirm_url }}\n\n"
                "If it was not you, do nothing: no mail will come.\n",
    },
    "ru": {
        "subject": "Подтвердите подписку",
        "text": "Кто-то (вероятно, вы) попросил присылать письма на этот адрес:\n\n{{ wording }}\n\n"
                "Чтобы согласиться, откройте страницу и нажмите кнопку:\n{{ confirm_url }}\n\n"
                "Если это были не вы, ничего не делайте: писем не будет.\n",
    },
}  # fmt: skip


class TooManyRequests(PenstockError):
    """The address was asked often enough for now."""


class OptInProblem(Enum):
    """Why a link does not confirm."""

    UNKNOWN = "unknown"
    TOO_OLD = "too old"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request as a caller gives it.  `parts` replace those of the mail and must use `confirm_url`."""

    address: str
    stream: str
    topics: tuple[str, ...] = ()
    wording: str
    page: str = ""
    ip: str = ""
    agent: str = ""
    language: str = "en"
    sender: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


class OptIns:
    """See the module."""

    def __init__(
        self,
        *,
        settings: Settings,
        signer: TokenSigner,
        intake: Intake,
        consents: Consents,
        suppressions: Suppressions,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._intake = intake
        self._consents = consents
        self._suppressions = suppressions
        self._clock = clock

    async def request(self, wish: Wish) -> tuple[OptIn, RecipientAnswer]:
        """Ask.  Raises InvalidInput, TooManyRequests, and what intake raises."""
        address = parse_address(wish.address)
        scopes = self._scopes(wish)
        _bounded(wish)
        if wish.language not in _MAIL:
            raise InvalidInput("language", f"{wish.language[:20]!r} is not known", "Use en or ru")
        now = self._clock.now()
        optin = OptIn(
            optin_id=new_message_id(now), address=address.normal, recipient=str(address), scopes=scopes,
            wording=wish.wording, language=wish.language, requested_at=now,
            requested=Origin(ip=_ip(wish.ip), agent=wish.agent, page=wish.page),
        )  # fmt: skip
        injection = self._mail(wish, optin, now)
        if not await self._consents.request(
            optin, since=now - DAY, most=self._settings.optins.per_address_per_day
        ):  # fmt: skip
            raise TooManyRequests("This address was asked often enough today")
        (answer,) = await self._intake.submit(injection)
        if answer.status is AnswerStatus.ACCEPTED:
            await self._consents.sent(optin.optin_id, answer.message_id)
        return optin, answer

    async def find(self, token: str) -> OptIn | OptInProblem:
        """The request that a link confirms, or has confirmed."""
        now = self._clock.now()
        verified = self._signer.verify(token, now, Purpose.OPT_IN)
        if not isinstance(verified, Token):
            return OptInProblem.UNKNOWN
        optin = await self._consents.find(verified.message_id)
        if optin is None:
            return OptInProblem.UNKNOWN
        if not optin.confirmed_at and now > optin.requested_at + self._settings.optins.valid_days * DAY:
            return OptInProblem.TOO_OLD
        return optin

    async def confirm(self, optin: OptIn, *, ip: str, agent: str) -> bool:
        """The owner agrees.  False when that was so already."""
        now = self._clock.now()
        first = await self._consents.confirm(optin.optin_id, now, Origin(ip=ip, agent=agent[:MAX_AGENT]))
        # asked again, it does what a crash may have left undone: wishes from before the consent go, later ones stay
        agreed_at = now if first else optin.confirmed_at
        entries = {
            entry.stream: entry.reason
            for entry in await self._suppressions.of_address(optin.address)
            if entry.reason in LIFTED_BY_WISH and entry.at <= agreed_at
        }
        streams = {scope.partition("/")[0] for scope in optin.scopes}
        lifted = {*optin.scopes, *streams, EVERY_OPTIONAL, ""} & entries.keys()
        wishes = {scope for scope in lifted if entries[scope] is SuppressionReason.UNSUBSCRIBE}
        await self._keep_out(optin, self._others(optin, wishes) - entries.keys(), now)
        for scope in sorted(lifted):
            await self._suppressions.remove(optin.address, scope, f"opt-in {optin.optin_id}", now)
        return first

    async def of_address(self, address: str) -> list[OptIn]:
        """Every request of an address, newest first.  Raises InvalidInput."""
        return await self._consents.of_address(parse_address(address).normal)

    def _others(self, optin: OptIn, lifted: set[str]) -> set[str]:
        """What else the lifted wishes covered: streams and topics that nobody agreed to.  They stay wished away, by
        their own names."""
        streams = {scope.partition("/")[0] for scope in optin.scopes}
        others: set[str] = set()
        if lifted & {"", EVERY_OPTIONAL}:
            others |= {s.name for s in self._settings.streams if s.unsubscribe} - streams
        for topic in self._settings.topics:
            whole = topic.stream in optin.scopes
            if topic.stream in streams and not whole and lifted & {"", EVERY_OPTIONAL, topic.stream}:
                others |= {topic_scope(topic.stream, topic.name)} - {*optin.scopes}
        return others

    async def _keep_out(self, optin: OptIn, scopes: set[str], now: float) -> None:
        if scopes:
            await self._suppressions.add([
                Suppression(
                    address=optin.address, stream=scope, reason=SuppressionReason.UNSUBSCRIBE, at=now,
                    evidence="kept by a later opt-in to something else",
                )
                for scope in sorted(scopes)
            ])  # fmt: skip

    def _scopes(self, wish: Wish) -> tuple[str, ...]:
        stream = self._settings.stream(wish.stream)
        if stream is None or not stream.unsubscribe:
            known = ", ".join(s.name for s in self._settings.streams if s.unsubscribe)
            raise InvalidInput("stream", "is no stream that one can subscribe to", f"Use one of: {known}")
        if len(wish.topics) > MAX_SCOPES:
            raise LimitExceeded("topics", "are too many", f"At most {MAX_SCOPES}")
        known_topics = {t.name for t in self._settings.topics if t.stream == wish.stream}
        for topic in wish.topics:
            if topic not in known_topics:
                raise InvalidInput("topics", f"{topic[:80]!r} is no topic of {wish.stream}", "See [[topics]]")
        return tuple(topic_scope(wish.stream, topic) for topic in dict.fromkeys(wish.topics)) or (wish.stream,)

    def _mail(self, wish: Wish, optin: OptIn, now: float) -> Injection:
        options = self._settings.optins
        stream = options.stream or next(iter(self._settings.transactional), "")
        sender = wish.sender or options.sender
        if not stream:
            raise InvalidInput("optins.stream", "there is no transactional stream", "Name the stream of the mail")
        if not sender:
            raise InvalidInput("from", "there is no From address", "Give one, or set optins.sender")
        # asked before the request is stored: what intake refuses as a whole must not count against the address
        domain = parse_address(split_mailbox(sender)[1]).domain
        ours = [normal_domain(row.name) for row in self._settings.sending_domains]
        if not any(domain == name or domain.endswith("." + name) for name in ours):
            raise InvalidInput("from", f"{domain} is not one of our sending domains", f"Use one of: {', '.join(ours)}")
        parts = {name: text for name, text in wish.parts.items() if text} or dict(_MAIL[wish.language])
        if "confirm_url" not in template_of(parts).names:
            raise InvalidInput("text, html", "do not hold the link", "Write {{ confirm_url }} where it belongs")
        token = self._signer.sign(Purpose.OPT_IN, MessageId(optin.optin_id), now)
        variables = {"wording": wish.wording, "confirm_url": f"{self._settings.http.public_url}/o/{token}"}
        return Injection(
            stream=stream, door=Door.HTTP, sender=sender, parts={"from": sender, **parts},
            recipients=(RecipientIn(address=wish.address, variables=variables),),
        )  # fmt: skip


def _bounded(wish: Wish) -> None:
    if not wish.wording.strip():
        raise InvalidInput("wording", "is empty", "Say what the person agrees to, word for word")
    bounds = (("wording", wish.wording, MAX_WORDING), ("page", wish.page, MAX_PAGE), ("agent", wish.agent, MAX_AGENT))
    for name, text, most in bounds:
        if len(text) > most:
            raise LimitExceeded(name, f"is {len(text)} characters long", f"At most {most}")
        if "\0" in text:
            raise InvalidInput(name, "holds a NUL character", "Remove it")


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise InvalidInput("ip", f"{text[:60]!r} is no IP address", "Give that of the person's browser") from error
