"""What a refusal means: classes, groups, actions, and the engine that applies the rules.

The rules themselves are data (`config/data/replies/*.toml`).  Both the sender (SMTP replies) and the
collectors (diagnostics in bounce mails) classify through `Classifier.classify`.

Contract: only the *recipient* group suppresses at once.  Reputation, policy, content, quota, rate and
infrastructure never do, whatever the code says.  The first matching rule wins; without one the enhanced
status decides, then the reply code; what is left is UNDETERMINED, which never suppresses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core.errors import InvalidInput
from core.reply import Reply, Stage
from core.sentences import Language


class Group(StrEnum):
    """What kind of thing went wrong, hence whose fault it is."""

    RECIPIENT = "recipient"
    QUOTA = "quota"
    RATE = "rate"
    REPUTATION = "reputation"
    POLICY = "policy"
    AUTHENTICATION = "authentication"
    INFRASTRUCTURE = "infrastructure"
    NOT_A_BOUNCE = "not_a_bounce"
    UNDETERMINED = "undetermined"


class BounceClass(StrEnum):
    """One cause.  See `GROUP_OF` for its group."""

    UNKNOWN_USER = "unknown_user"
    UNKNOWN_DOMAIN = "unknown_domain"
    NO_MAIL_HOST = "no_mail_host"  # null MX, RFC 7505
    MAILBOX_INACTIVE = "mailbox_inactive"
    MAILBOX_MOVED = "mailbox_moved"
    MAILBOX_FULL = "mailbox_full"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    GREYLISTED = "greylisted"
    IP_BLOCKED = "ip_blocked"
    DOMAIN_BLOCKED = "domain_blocked"
    LISTED = "listed"
    SPAM_CONTENT = "spam_content"
    VIRUS = "virus"
    POLICY_REFUSED = "policy_refused"
    RELAY_DENIED = "relay_denied"
    SENDER_REFUSED = "sender_refused"
    TOO_LARGE = "too_large"
    FORMAT = "format"
    AUTH_FAILED = "auth_failed"
    PTR_MISSING = "ptr_missing"
    TLS_REQUIRED = "tls_required"
    NETWORK = "network"
    DNS_FAILURE = "dns_failure"
    REMOTE_ERROR = "remote_error"
    EXPIRED = "expired"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    AUTO_REPLY = "auto_reply"
    CHALLENGE_RESPONSE = "challenge_response"
    UNSUBSCRIBE = "unsubscribe"
    COMPLAINT = "complaint"
    UNDETERMINED = "undetermined"


class Action(StrEnum):
    """What the class asks of us."""

    SUPPRESS = "suppress"
    RETRY = "retry"
    SLOW_LANE = "slow_lane"
    STOP_LANE = "stop_lane"
    FIX_CONFIGURATION = "fix_configuration"
    NONE = "none"


_C, _G = BounceClass, Group
GROUP_OF: dict[BounceClass, Group] = {
    **dict.fromkeys([_C.UNKNOWN_USER, _C.UNKNOWN_DOMAIN, _C.NO_MAIL_HOST, _C.MAILBOX_INACTIVE, _C.MAILBOX_MOVED], _G.RECIPIENT),
    _C.MAILBOX_FULL: _G.QUOTA,
    **dict.fromkeys([_C.RATE_LIMITED, _C.TOO_MANY_CONNECTIONS, _C.GREYLISTED], _G.RATE),
    **dict.fromkeys([_C.IP_BLOCKED, _C.DOMAIN_BLOCKED, _C.LISTED, _C.SPAM_CONTENT, _C.VIRUS], _G.REPUTATION),
    **dict.fromkeys([_C.POLICY_REFUSED, _C.RELAY_DENIED, _C.SENDER_REFUSED, _C.TOO_LARGE, _C.FORMAT], _G.POLICY),
    **dict.fromkeys([_C.AUTH_FAILED, _C.PTR_MISSING, _C.TLS_REQUIRED], _G.AUTHENTICATION),
    **dict.fromkeys([_C.NETWORK, _C.DNS_FAILURE, _C.REMOTE_ERROR, _C.EXPIRED], _G.INFRASTRUCTURE),
    **dict.fromkeys([_C.DELIVERED, _C.DELAYED, _C.AUTO_REPLY, _C.CHALLENGE_RESPONSE, _C.UNSUBSCRIBE, _C.COMPLAINT], _G.NOT_A_BOUNCE),
    _C.UNDETERMINED: _G.UNDETERMINED,
}  # fmt: skip

# mailbox_full and mailbox_inactive suppress by count and span over time, never at once (facts of the field:
# a full or sleeping mailbox comes back); they are therefore not in this set.
SUPPRESS_AT_ONCE = frozenset({_C.UNKNOWN_USER, _C.UNKNOWN_DOMAIN, _C.NO_MAIL_HOST, _C.MAILBOX_MOVED})

# what a single refusal does not prove: a name that does not exist today is asked about again over days
OVER_TIME = frozenset({_C.MAILBOX_FULL, _C.MAILBOX_INACTIVE, _C.UNKNOWN_DOMAIN})

_ACTION_OF_GROUP = {
    _G.RECIPIENT: Action.NONE,
    _G.QUOTA: Action.RETRY,
    _G.RATE: Action.SLOW_LANE,
    _G.REPUTATION: Action.STOP_LANE,
    _G.POLICY: Action.NONE,
    _G.AUTHENTICATION: Action.FIX_CONFIGURATION,
    _G.INFRASTRUCTURE: Action.RETRY,
    _G.NOT_A_BOUNCE: Action.NONE,
    _G.UNDETERMINED: Action.NONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A classified refusal.  `rule` names the rule that decided ('status', 'code' or '' without one)."""

    bounce_class: BounceClass
    rule: str = ""

    @property
    def group(self) -> Group:
        return GROUP_OF[self.bounce_class]

    @property
    def suppresses(self) -> bool:
        """True when the refusal says that the address is dead; see `at_once` for when it is acted upon."""
        return self.bounce_class in SUPPRESS_AT_ONCE

    @property
    def at_once(self) -> bool:
        """True when this one refusal is proof enough; `monitor.feedback` decides about the others over time.

        Rule 'dns' is our own router, which has asked for days before it says that a name does not exist."""
        return self.suppresses and (self.bounce_class not in OVER_TIME or self.rule == "dns")

    @property
    def action(self) -> Action:
        """What a final refusal of this class asks of us now.  An unknown domain is asked about again first."""
        if self.suppresses:
            return Action.SUPPRESS if self.at_once else Action.RETRY
        return _ACTION_OF_GROUP[self.group]

    def action_after(self, reply: Reply) -> Action:
        """The same for this very reply: a refusal that is not final is tried again, whatever it says."""
        return Action.RETRY if self.suppresses and reply.is_transient else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRule:
    """One rule of the table.  Every part that is given must hold.

    `sentences` (core.sentences): one of them must be said; `unless`: none of these may be.  `pattern` is a regular
    expression searched, without regard to case, in the text after IP addresses were replaced by `<ip>`; it is for
    what words cannot say, and a table that holds one is applied without memory.
    `codes`: reply code ('550', '5xx'), enhanced status or a beginning of it ('5.7.1', '4.7.', '5.7.606-649').  Where a
    rule names statuses, a reply that has one must have one of these; its code then does not matter.
    """

    name: str
    bounce_class: BounceClass
    pattern: re.Pattern[str] | None = None
    sentences: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    providers: frozenset[str] = field(default_factory=frozenset)
    codes: tuple[str, ...] = ()
    stages: frozenset[Stage] = field(default_factory=frozenset)


_IP = re.compile(r"\[?\b\d{1,3}(?:\.\d{1,3}){3}\b\]?|\[?\b(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}\b\]?", re.I)

# RFC 3463, used only when no sentence told more.  5.1.1 and its kin name the recipient; 5.7.x never does.
_BY_STATUS: tuple[tuple[str, BounceClass], ...] = (
    ("5.1.1", _C.UNKNOWN_USER), ("5.1.2", _C.UNKNOWN_DOMAIN), ("5.1.3", _C.UNKNOWN_USER),
    ("5.1.6", _C.MAILBOX_MOVED), ("x.1.7", _C.SENDER_REFUSED), ("x.1.8", _C.SENDER_REFUSED), ("5.1.10", _C.UNKNOWN_USER),
    ("x.2.1", _C.MAILBOX_INACTIVE), ("x.2.2", _C.MAILBOX_FULL), ("x.2.3", _C.TOO_LARGE), ("x.3.1", _C.REMOTE_ERROR),
    ("x.3.4", _C.TOO_LARGE), ("x.3", _C.REMOTE_ERROR), ("x.4.1", _C.NETWORK), ("x.4.2", _C.NETWORK), ("x.4.3", _C.DNS_FAILURE),
    ("x.4.4", _C.DNS_FAILURE), ("x.4.5", _C.RATE_LIMITED), ("x.4.7", _C.EXPIRED), ("x.4", _C.NETWORK), ("x.5.3", _C.RATE_LIMITED),
    ("x.5", _C.REMOTE_ERROR), ("x.6", _C.FORMAT), ("x.7.25", _C.PTR_MISSING), ("x.7.20", _C.AUTH_FAILED), ("x.7.23", _C.AUTH_FAILED),
    ("x.7.26", _C.AUTH_FAILED), ("x.7", _C.POLICY_REFUSED),
)  # fmt: skip
_BY_CODE = {
    421: _C.REMOTE_ERROR, 450: _C.REMOTE_ERROR, 451: _C.REMOTE_ERROR, 452: _C.MAILBOX_FULL, 500: _C.FORMAT, 501: _C.FORMAT,
    502: _C.FORMAT, 503: _C.FORMAT, 521: _C.NO_MAIL_HOST, 523: _C.TOO_LARGE, 530: _C.TLS_REQUIRED, 534: _C.AUTH_FAILED,
    535: _C.AUTH_FAILED, 552: _C.MAILBOX_FULL, 556: _C.NO_MAIL_HOST,
}  # fmt: skip
_MEMORY = 50_000  # remembered answers; forgotten all at once when full


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule made ready."""

    rule: ReplyRule
    said: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    codes: re.Pattern[str] | None
    statuses: re.Pattern[str] | None
    answer: Diagnosis

    def fits(self, reply: Reply) -> bool:
        """True when code and status are among those that the rule names."""
        if self.statuses is not None and reply.status:
            return self.statuses.fullmatch(reply.status) is not None
        if self.codes is not None:
            return self.codes.fullmatch(str(reply.code)) is not None
        return self.statuses is None


class Classifier:
    """Applies a table of rules.  Pure; build it once.  Answers are remembered by what the text says, so that one more
    queue id or address in a known sentence costs a look-up (facts of the field: a few hundred sentences are nearly
    everything that a sender hears)."""

    def __init__(self, rules: Sequence[ReplyRule]) -> None:
        self._language = Language(sentence for rule in rules for sentence in (*rule.sentences, *rule.unless))
        self._encode = self._language.encode
        self._rules = tuple(self._ready(rule) for rule in rules)
        self._remembers = all(rule.pattern is None for rule in rules)
        self._memory: dict[tuple[str, int, str, Stage, str], Diagnosis] = {}

    def classify(self, reply: Reply, provider: str = "") -> Diagnosis:
        """The meaning of one refusal by `provider` ('' when unknown).

        A success is DELIVERED.  `code` 0 (no reply at all) is NETWORK unless a rule says more.
        """
        code = reply.code
        if 200 <= code < 400:
            return _DELIVERED
        key = (self._encode(reply.text), code, reply.status, reply.stage, provider)
        found = self._memory.get(key)
        if found is None:
            found = self._judge(reply, key[0], provider)
            if reply.stage is Stage.MAIL and found.group is Group.RECIPIENT:
                # no recipient was named yet: whoever is unknown there, it is the sender
                found = Diagnosis(bounce_class=_C.SENDER_REFUSED, rule=found.rule)
            if self._remembers:
                if len(self._memory) >= _MEMORY:
                    self._memory.clear()
                self._memory[key] = found
        return found

    def _ready(self, rule: ReplyRule) -> _Rule:
        try:
            return self._compiled(rule)
        except InvalidInput as error:
            raise InvalidInput("replies", f"rule {rule.name!r}: {error.problem}", error.remedy) from error

    def _compiled(self, rule: ReplyRule) -> _Rule:
        return _Rule(
            rule=rule,
            said=self._language.pattern(rule.sentences) if rule.sentences else None,
            unless=self._language.pattern(rule.unless) if rule.unless else None,
            codes=_codes([code for code in rule.codes if "." not in code]),
            statuses=_codes([code for code in rule.codes if "." in code]),
            answer=Diagnosis(bounce_class=rule.bounce_class, rule=rule.name),
        )

    def _judge(self, reply: Reply, said: str, provider: str) -> Diagnosis:
        text = "" if self._remembers else masked(reply.text)
        for ready in self._rules:
            rule = ready.rule
            if rule.providers and provider not in rule.providers:
                continue
            if rule.stages and reply.stage not in rule.stages:
                continue
            if not ready.fits(reply):
                continue
            if ready.said is not None and not ready.said.search(said):
                continue
            if ready.unless is not None and ready.unless.search(said):
                continue
            if rule.pattern is not None and not rule.pattern.search(text):
                continue
            return ready.answer
        if reply.code == 556:
            return Diagnosis(bounce_class=_C.NO_MAIL_HOST, rule="code")  # RFC 7504
        if reply.status:
            found = _by_status(reply)
            if found is not _C.UNDETERMINED:
                return Diagnosis(bounce_class=found, rule="status")
        if reply.code == 0 and reply.stage is not Stage.REPORT:
            return Diagnosis(bounce_class=_C.NETWORK, rule="code")
        return Diagnosis(bounce_class=_BY_CODE.get(reply.code, _C.UNDETERMINED), rule="code")


_DELIVERED = Diagnosis(bounce_class=_C.DELIVERED, rule="code")


def _codes(codes: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{code_pattern(code)})" for code in codes)) if codes else None


def masked(text: str) -> str:
    """A reply's text with `<ip>` for every IP address."""
    return _IP.sub("<ip>", text)


def code_pattern(code: str) -> str:
    """'550', '5xx', '5.7.1', '4.7.' or '5.7.606-649' as a pattern for a whole code or status."""
    span = re.fullmatch(r"([245x]\.\d+\.)(\d+)-(\d+)", code)
    if span:
        numbers = "|".join(str(n) for n in range(int(span[2]), int(span[3]) + 1))
        return span[1].replace(".", r"\.").replace("x", r"\d") + f"(?:{numbers})"
    body = re.escape(code.rstrip(".")).replace("x", r"\d")
    return body + r"(?:\..*)?" if "." in code else body


def _by_status(reply: Reply) -> BounceClass:
    anywhere = "x" + reply.status[1:]
    for prefix, found in _BY_STATUS:
        subject = anywhere if prefix.startswith("x") else reply.status
        if subject == prefix or subject.startswith(prefix + "."):
            return found
    return _C.UNDETERMINED
