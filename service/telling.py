"""One event of the log in words, in English or Russian.  Pure.

Contract: `text_of` is total over the event vocabulary.  `reasons` gives the sentence in the reader's language of
reasons that an event carries in English alone, such as a gate's within a `Held`; see `reasons_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from alerts.words import Language, number
from core.causes import said, worded
from core.clock import iso
from core.events import (
    Accepted,
    AlertChanged,
    AlertDelivered,
    Bounced,
    BounceReceived,
    Clicked,
    ComplaintReceived,
    Deferred,
    Delivered,
    DmarcReportStored,
    Door,
    Dropped,
    Event,
    Evidence,
    GateChanged,
    Held,
    IntakeRefused,
    ListingChanged,
    Opened,
    OptInConfirmed,
    OptInRequested,
    OutageChanged,
    PairRested,
    PlacementStarted,
    PlacementTested,
    PutBack,
    RecordChanged,
    Replied,
    ReplyRuleActed,
    ReplyRuleEnded,
    ReportUnverified,
    RuleChanged,
    SeedBlind,
    SeedMoved,
    SeedPlaced,
    SeedSighted,
    SourceRested,
    SourceReturned,
    StepChanged,
    SuppressionAdded,
    SuppressionRemoved,
    TlsNegotiated,
    Unsubscribed,
)
from service.step_words import reason_words
from service.story_words import SENTENCES, name

_DOORS = {Door.HTTP: "by_http", Door.SMTP: "by_smtp", Door.COMMAND: "by_command", Door.INTERNAL: "by_internal"}


class Teller:
    """Sentences of one language."""

    def __init__(self, language: Language, reasons: Mapping[str, str] | None = None) -> None:
        self.language = language
        self._sentences = SENTENCES[language]
        self._reasons = reasons or {}

    def say(self, key: str, **fields: object) -> str:
        """The sentence of a key."""
        return self._sentences[key].format(**fields)

    def name(self, code: object) -> str:
        """Of a state, reason or kind."""
        return name(code, self.language)

    def number(self, value: float) -> str:
        """An integer with its thousands apart."""
        return number(value, self.language)

    def reason(self, text: str) -> str:
        """A reason that is stored in English, in the reader's words where they are known."""
        before, colon, rest = text.partition(": ")
        if (found := self._reasons.get(text)) is not None:
            return found
        if colon and (found := self._reasons.get(rest)) is not None:
            return f"{before}: {found}"
        told = reason_words(text, self.language)
        return f"{before}: {reason_words(rest, self.language)}" if told == text and colon else told

    def until(self, at: float, key: str = "also_until") -> str:
        """', until …', '' for no end."""
        return self.say(key, until=iso(at)) if at else ""

    def detail(self, text: str) -> str:
        """' (…)', '' for none."""
        return self.say("of_detail", detail=self.reason(text)) if text else ""

    def door(self, door: Door, by: str = "") -> str:
        """How a message came in."""
        key = _DOORS[door]
        return self.say("by_command_who", by=by) if by and door is Door.COMMAND else self.say(key)

    def evidence(self, evidence: Evidence) -> str:
        """`23 of 1,000 (2.30 %), threshold 2.00 %, e-value 310 (acts at 100), newest: “…”`."""
        text = self.say(
            "evidence", bad=self.number(evidence.numerator), total=self.number(evidence.denominator),
            rate=self._share(evidence.rate), threshold=self._share(evidence.threshold),
        )  # fmt: skip
        if evidence.limit:  # a count of the base and a fixed window weigh no evidence
            text += self.say("weighed", e=self._short(evidence.e_value), limit=self._short(evidence.limit))
        return text + (self.say("newest", text=evidence.samples[0]) if evidence.samples else "")

    def _share(self, value: float) -> str:
        return f"{value:.2%}" if self.language == "en" else f"{number(value * 100, 'ru', 2)}\u00a0%"

    def _short(self, value: float) -> str:
        text = f"{value:,.0f}" if 1000 <= value < 1e15 else f"{value:.4g}"
        return text if self.language == "en" else text.replace(",", "\u202f").replace(".", ",")


def reasons_of(events: Iterable[Event], language: Language) -> dict[str, str]:
    """English reasons of gates and rules, with their sentence in the asked language."""
    return {
        event.reason: said(event.cause, language)
        for event in events
        if isinstance(event, GateChanged | RuleChanged) and event.cause is not None
    }


def text_of(event: Event, t: Teller) -> str:  # one arm an event: a table of words
    """The event as a sentence."""
    match event:
        case Accepted():
            campaign = t.say("campaign", campaign=event.campaign) if event.campaign else ""
            return t.say(
                "accepted", door=t.door(event.door, event.by), recipient=event.recipient, stream=event.stream,
                campaign=campaign,
            )  # fmt: skip
        case IntakeRefused():
            return t.say(
                "intake_refused", door=t.door(event.door), recipient=event.recipient, reason=t.reason(event.reason)
            )
        case Held():
            return t.say(
                "held", reason=t.name(event.reason), detail=t.detail(event.detail), lane=event.traffic.lane.key,
                stream=event.traffic.stream, until=t.until(event.until, "until"),
            )  # fmt: skip
        case PutBack():
            return t.say("put_back", reason=t.name(event.reason), detail=t.reason(event.detail))
        case Delivered():
            return t.say(
                "delivered", remote=event.remote, tls=t.say("tls", tls=event.tls) if event.tls else t.say("no_tls"),
                attempt=event.attempt, lane=event.attribution.traffic.lane.key, reply=event.reply,
            )  # fmt: skip
        case Deferred():
            return t.say(
                "deferred", kind=t.name(event.bounce_class), by=event.remote or event.site, attempt=event.attempt,
                reply=event.reply, retry=iso(event.retry_at),
            )  # fmt: skip
        case Bounced():
            return t.say(
                "bounced", kind=t.name(event.bounce_class), by=event.remote or event.site or t.say("ourselves"),
                attempt=event.attempt, reply=event.reply,
            )  # fmt: skip
        case Dropped():
            detail = t.name(event.detail) if event.detail else ""
            return t.say("dropped", reason=t.name(event.reason), detail=detail).rstrip()
        case BounceReceived():
            return t.say("bounce_mail", kind=t.name(event.bounce_class), reply=event.reply)
        case ComplaintReceived():
            return t.say(
                "complaint", kind=t.name(event.feedback_type), reporter=event.reporter or t.say("the_provider")
            )
        case Unsubscribed():
            return t.say("unsubscribed", method=t.name(event.method))
        case Opened():
            return t.say("opened", actor=t.name(event.actor), reason=event.reason)
        case Replied():
            return t.say("replied")
        case Clicked():
            return t.say("clicked", actor=t.name(event.actor), reason=event.reason, target=event.target)
        case OptInRequested():
            return t.say(
                "opt_in_asked", address=event.address, scopes=", ".join(event.scopes),
                origin=event.origin or t.say("the_api"),
            )  # fmt: skip
        case OptInConfirmed():
            return t.say("opt_in", address=event.address, scopes=", ".join(event.scopes))
        case ReportUnverified():
            return t.say("unverified", kind=t.name(event.kind), sender=event.sender or "<>", problem=event.problem)
        case SuppressionAdded():
            return t.say(
                "suppressed", address=event.address, stream=event.stream or t.say("every_stream"),
                reason=t.name(event.reason), evidence=t.reason(event.evidence),
            )  # fmt: skip
        case SuppressionRemoved():
            return t.say("suppression_lifted", address=event.address, by=t.name(event.by))
        case SeedPlaced():
            return t.say("seed", mailbox=event.mailbox, place=t.name(event.placement), folder=event.folder or "–")
        case SeedMoved():
            return t.say(
                "seed_moved", mailbox=event.mailbox, before=t.name(event.before), place=t.name(event.placement),
                folder=event.folder,
            )  # fmt: skip
        case SeedBlind():
            return t.say("seed_blind", mailbox=event.mailbox, problem=event.problem)
        case SeedSighted():
            return t.say("seed_sighted", mailbox=event.mailbox)
        case PlacementStarted():
            return t.say("placement_begun", test=event.test_id, n=len(event.copies), by=event.by)
        case PlacementTested():
            return t.say("placement_over", test=event.test_id, n=len(event.results))
        case DmarcReportStored():
            return t.say(
                "dmarc", reporter=event.reporter, domain=event.domain, n=t.number(event.counted),
                aligned=t.number(event.aligned), refused=event.refused,
            )  # fmt: skip
        case ListingChanged():
            return t.say(
                "listed" if event.listed else "delisted", zone=event.zone, subject=event.subject,
                kind=t.name(event.kind), name=event.name, text=event.text,
            ).rstrip()  # fmt: skip
        case RecordChanged():
            before, after = (side.replace("\n", " | ") or t.say("nothing") for side in (event.before, event.after))
            return t.say("record", type=event.type, name=event.name, before=before, after=after)
        case SourceRested():
            return t.say(
                "source_rests", source=event.source, trouble=t.name(event.trouble), until=iso(event.until),
                detail=event.detail,
            )  # fmt: skip
        case SourceReturned():
            return t.say("source_back", source=event.source)
        case TlsNegotiated():
            facts = event.facts
            known = {"protocol": facts.protocol, "cipher": facts.cipher, "verified": facts.verified}
            return t.say(
                "connection", host=event.host, domain=event.domain or t.say("a_relay"),
                how=t.say("tls_how", **known) if facts.protocol else t.say("tls_none"),
                failed=t.say("tls_failed", what=facts.failure, detail=event.detail) if facts.failure else "",
            )  # fmt: skip
        case GateChanged():
            seen = event.evidence
            # what a canary rests on is the evidence of another rule, which the reason does not name
            other = f"{seen.rule}: " if seen and not event.reason.startswith(f"{seen.rule}:") else ""
            reason = worded(event.cause, t.reason(event.reason), t.language)
            return t.say(
                "gate", scope=event.scope.key, before=t.name(event.before), after=t.name(event.after),
                by=t.name(event.by), reason=f": {reason}" if reason else "",
                figures=f" — {other}{t.evidence(seen)}" if seen else "", until=t.until(event.until),
            )  # fmt: skip
        case RuleChanged():
            return t.say(
                "rule_fires" if event.firing else "rule_over", rule=event.rule, scope=event.scope.key,
                action=t.name(event.action), reason=worded(event.cause, event.reason, t.language),
                figures=f"; {t.evidence(event.evidence)}" if event.evidence is not None and event.firing else "",
            )  # fmt: skip
        case StepChanged():
            return t.say(
                "warmup", lane=event.lane.key, move=t.name(event.move), step=event.step,
                by=t.say("by", by=event.by) if event.by != "plan" else "", before=t.number(event.cap_before),
                after=t.number(event.cap_after), reason=t.reason(event.reason), until=t.until(event.until),
            )  # fmt: skip
        case AlertChanged():
            return t.say(
                "alert_fires" if event.firing else "alert_over", name=event.name, severity=t.name(event.severity),
                summary=event.summary,
            )  # fmt: skip
        case AlertDelivered():
            said_so = t.say("told" if event.ok else "not_told", notifier=event.notifier, detail=event.detail)
            return said_so.rstrip(". ")
        case OutageChanged():
            return t.say(
                "outage", place=event.place, reason=t.reason(event.reason), refused=t.number(event.refused),
                answered=t.number(event.answered), past_refused=t.number(event.past_refused),
                past_answered=t.number(event.past_answered), lifted=t.number(event.lifted),
                word=t.say("outage_begun" if event.began else "outage_over"),
            )  # fmt: skip
        case ReplyRuleActed():
            return acted_text(event, t)
        case ReplyRuleEnded():
            return t.say(
                "reply_rule_over", rule=event.rule, action=t.name(event.action), about=_about(event),
                by=t.name(event.by), detail=t.reason(event.detail),
            )  # fmt: skip
        case PairRested():
            return t.say(
                "pair_rests", source=event.source, site=event.site, until=iso(event.until), reason=t.name(event.reason),
                n=event.strikes, sample=event.sample,
            )  # fmt: skip
        case _:
            assert_never(event)


def acted_text(event: ReplyRuleActed, t: Teller) -> str:
    """What a reply rule does, why and until when."""
    return t.say(
        "reply_rule", rule=event.rule, action=t.name(event.action), limits=t.detail(event.limits), about=_about(event),
        until=iso(event.until), probe=t.say("reply_probe", n=event.probe) if event.probe else "",
        again=t.say("reply_again", n=event.strikes) if event.strikes > 1 else "", hits=t.number(event.hits),
        answers=t.number(event.answers), minutes=f"{event.window / 60:,.3g}", sample=event.sample,
    )  # fmt: skip


def _about(event: ReplyRuleActed | ReplyRuleEnded) -> str:
    return event.scope.key + (f",site={event.site}" if event.site else "")
