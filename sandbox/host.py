"""One provider at work: model, users, reports and seed mailboxes behind the servers and the in-memory transport.

Contract: `greet`, `recipient` and `take` are called in this order for a connection, each recipient and each message
that was taken.  Whatever follows later (complaint, late bounce) is built at once and put into the outbox with its
time, because only then the message is at hand.  No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from core.ports import Clock
from sandbox.behaviour import Behaviour
from sandbox.feedback import Sent, bounce_mail, complaint_mail
from sandbox.model import Complaint, LateBounce, MailFacts, Nothing, ProviderModel, Situation, Verdict
from sandbox.outbox import Outbox, ReturnedMail
from sandbox.people import People


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One recipient was judged: the truth that the sender does not see, for scenarios and simulations."""

    provider: str
    at: float
    ip: str
    recipient: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that the provider took, with how it came."""

    sent: Sent
    ehlo: str
    tls: str
    verdict: Verdict


class Keeper(Protocol):
    """Takes note of every message that was taken: seed mailboxes, DMARC counts."""

    def __call__(self, behaviour: Behaviour, taken: Taken, /) -> None: ...


class ProviderHost:
    """The hosts of one provider.  `complaints_to` is the address of the feedback loop; '' sends none."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        people: People,
        clock: Clock,
        rng: Random,
        outbox: Outbox,
        complaints_to: str = "",
        observe: Callable[[Judged], None] | None = None,
        keepers: tuple[Keeper, ...] = (),
        model: ProviderModel | None = None,
    ) -> None:
        self.behaviour = behaviour
        self.model = model or ProviderModel(behaviour)
        self._people = people
        self._clock = clock
        self._rng = rng
        self._outbox = outbox
        self._complaints_to = complaints_to
        self._observe = observe
        self._keepers = keepers
        self._open: dict[str, int] = {}

    def greet(self, ip: str) -> Verdict:
        """A new connection from `ip`; counts it unless it is turned away.  Pair with `hang_up`."""
        verdict = self.model.greet(ip, self._open.get(ip, 0))
        if verdict.situation is Situation.GREETING:
            self._open[ip] = self._open.get(ip, 0) + 1
        return verdict

    def hang_up(self, ip: str) -> None:
        """A greeted connection ended."""
        self._open[ip] = max(0, self._open.get(ip, 0) - 1)

    def begin(self, ip: str, messages_before: int) -> Verdict | None:
        """MAIL FROM on a connection that carried so many messages: a refusal, or None."""
        if messages_before >= self.behaviour.limits.messages_per_connection:
            return self.model.answer(Situation.TOO_MANY_MESSAGES, ip=ip)
        return None

    def recipient(self, ip: str, mail_from: str, recipient: str, size: int) -> Verdict:
        """Judge one recipient of a message."""
        now = self._clock.now()
        facts = MailFacts(
            ip=ip,
            sender_domain=mail_from.rpartition("@")[2].lower(),
            recipient=recipient.lower(),
            person=self._people(recipient.lower()),
            size=size,
        )
        verdict = self.model.judge(facts, now, self._rng)
        if self._observe is not None:
            self._observe(
                Judged(provider=self.behaviour.name, at=now, ip=ip, recipient=facts.recipient, verdict=verdict)
            )
        return verdict

    def take(
        self, ip: str, ehlo: str, tls: str, mail_from: str, recipient: str, content: bytes, verdict: Verdict
    ) -> None:
        """The message was accepted for this recipient: keep it, and send back later what is to follow."""
        now = self._clock.now()
        sent = Sent(mail_from=mail_from, recipient=recipient, ip=ip, content=content, at=now)
        later = verdict.later
        match later:
            case Complaint(after=after):
                if self.behaviour.complaints.form != "none" and self._complaints_to:
                    self._put(
                        self.behaviour.complaints.reporter,
                        self._complaints_to,
                        complaint_mail(self.behaviour, sent, self._complaints_to, now + after),
                        now + after,
                    )
            case LateBounce(after=after):
                refusal = self.model.answer(Situation.UNKNOWN_USER, ip=ip, recipient=recipient).lines
                if mail_from:  # a bounce never answers a bounce (RFC 5321 section 6.1)
                    self._put("", mail_from, bounce_mail(self.behaviour, sent, refusal, now + after), now + after)
            case Nothing():
                pass
        taken = Taken(sent=sent, ehlo=ehlo, tls=tls, verdict=verdict)
        for keep in self._keepers:
            keep(self.behaviour, taken)

    def _put(self, mail_from: str, rcpt_to: str, content: bytes, at: float) -> None:
        mail = ReturnedMail(mail_from=mail_from, rcpt_to=rcpt_to, content=content, from_ip=self.behaviour.address)
        self._outbox.put(at, mail)


def make_hosts(
    behaviours: Iterable[Behaviour],
    *,
    people: People,
    clock: Clock,
    seed: int,
    outbox: Outbox,
    complaints_to: str = "",
    observe: Callable[[Judged], None] | None = None,
    keepers: tuple[Keeper, ...] = (),
) -> dict[str, ProviderHost]:
    """One host for each behaviour, by provider name, each with randomness of its own drawn from `seed`."""
    return {
        behaviour.name: ProviderHost(
            behaviour,
            people=people,
            clock=clock,
            rng=Random(f"{seed} {behaviour.name}"),
            outbox=outbox,
            complaints_to=complaints_to,
            observe=observe,
            keepers=keepers,
        )
        for behaviour in behaviours
    }
