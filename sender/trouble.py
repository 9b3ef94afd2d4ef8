"""What a reply means for the message, and what else it stops: the one table of it.

Contract: `judge` is pure and total.  Outcome says what happens to the message; Stops says what besides it must wait.
The connection itself is a matter of `AttemptResult.reusable`.  Principles (after Postfix, smtp_trouble.c):
- only a reply about the recipient is final for the address; a block of ours is final for the message at most;
- before MAIL nothing was said about the message, so even a 5xx there only defers it;
- a refusal for rate is never final while the message has age left, whatever its code;
- 503 is about the order of commands: the session was out of step, which the next one need not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.classify import BounceClass, Classifier, Diagnosis, Group
from core.reply import Reply, Stage


class Outcome(StrEnum):
    """What becomes of the message."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Stops(StrEnum):
    """What besides this message has to wait."""

    NOTHING = "nothing"
    SITE = "site"  # the pair of source and site rests
    SITE_IF_REPEATED = "site_if_repeated"  # it rests when such replies are more than a few
    CROWD = "crowd"  # fewer connections from this source to this site


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """See the module."""

    outcome: Outcome
    stops: Stops


_D, _B = Outcome.DEFERRED, Outcome.BOUNCED
_N, _S, _R, _C = Stops.NOTHING, Stops.SITE, Stops.SITE_IF_REPEATED, Stops.CROWD
# group → (after a transient reply, after a permanent one)
_BY_GROUP: dict[Group, tuple[tuple[Outcome, Stops], tuple[Outcome, Stops]]] = {
    Group.RECIPIENT: ((_D, _N), (_B, _N)),
    Group.QUOTA: ((_D, _N), (_B, _N)),
    Group.RATE: ((_D, _S), (_D, _S)),
    Group.REPUTATION: ((_D, _S), (_B, _S)),
    Group.POLICY: ((_D, _N), (_B, _N)),
    Group.AUTHENTICATION: ((_D, _S), (_B, _S)),
    Group.INFRASTRUCTURE: ((_D, _R), (_B, _N)),
    Group.NOT_A_BOUNCE: ((_D, _N), (_B, _N)),
    Group.UNDETERMINED: ((_D, _N), (_B, _N)),
}
# Where the class says more than its group.
_BY_CLASS: dict[BounceClass, tuple[tuple[Outcome, Stops], tuple[Outcome, Stops]]] = {
    BounceClass.GREYLISTED: ((_D, _N), (_D, _N)),  # about this sender-recipient pair only, RFC 6647
    BounceClass.TOO_MANY_CONNECTIONS: ((_D, _C), (_D, _C)),
    BounceClass.SPAM_CONTENT: ((_D, _R), (_B, _R)),  # one message's words, until many are refused
    BounceClass.VIRUS: ((_D, _N), (_B, _N)),
}
_BEFORE_THE_MESSAGE = frozenset({Stage.CONNECT, Stage.HELO, Stage.STARTTLS})


def diagnose(reply: Reply, provider: str, classifier: Classifier) -> Diagnosis:
    """The class of a reply; what we say ourselves about a host's TLS is the host's fault, and no refusal of us."""
    if reply.stage is Stage.STARTTLS and reply.code:
        return Diagnosis(bounce_class=BounceClass.REMOTE_ERROR, rule="tls")
    return classifier.classify(reply, provider)


def judge(reply: Reply, diagnosis: Diagnosis) -> Verdict:
    """The table's answer for one reply."""
    if 200 <= reply.code < 300 and reply.stage is Stage.FINAL:
        return Verdict(outcome=Outcome.DELIVERED, stops=Stops.NOTHING)
    if reply.is_success:  # out of turn: nobody took responsibility for the message
        return Verdict(outcome=Outcome.DEFERRED, stops=Stops.NOTHING)
    pair = _BY_CLASS.get(diagnosis.bounce_class) or _BY_GROUP[diagnosis.group]
    outcome, stops = pair[reply.is_permanent]
    if diagnosis.group in (Group.RATE, Group.INFRASTRUCTURE) and reply.status[1:4] == ".2.":
        stops = Stops.NOTHING  # x.2.y is about the mailbox: one person gets too much mail, not the whole host
    elif diagnosis.group is Group.INFRASTRUCTURE and reply.code == 421:
        stops = Stops.SITE  # the host closes its door, whatever the command was
    if reply.code == 503 and diagnosis.bounce_class is BounceClass.FORMAT:
        outcome = Outcome.DEFERRED
    if reply.stage in _BEFORE_THE_MESSAGE:
        outcome = Outcome.DEFERRED
        stops = stops if stops is Stops.CROWD else Stops.SITE
    return Verdict(outcome=outcome, stops=stops)
