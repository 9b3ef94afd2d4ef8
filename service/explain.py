"""Tells the story of one message, pause or lane from the event log alone.

Contract: reads, never guesses.  Every line is an instant and what happened then, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

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
    Dropped,
    Event,
    Evidence,
    GateChanged,
    Held,
    IntakeRefused,
    ListingChanged,
    Logged,
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
from core.lane import Attribution, Lane
from core.ports import EventLog
from core.tokens import MessageId

_LANE_EVENTS = ("StepChanged", "GateChanged", "RuleChanged", "Held", "ReplyRuleActed", "ReplyRuleEnded", "PairRested")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One line of a story.  `kind` is the event's class name."""

    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{iso(self.at)}  {self.text}"


async def explain_message(log: EventLog, message_id: MessageId) -> list[StoryLine]:
    """What happened to one message, and what held its traffic back while it waited."""
    events = await log.of_message(message_id)
    lines = [line_of(logged.event) for logged in events]
    begun = [e.event.at for e in events]
    if not begun:
        return []
    traffic = next((a.traffic for e in events if (a := _attribution(e.event)) is not None), None)
    accepted = next((e.event for e in events if isinstance(e.event, Accepted)), None)
    last = max(begun)
    still_waiting = not any(isinstance(e.event, Delivered | Bounced | Dropped) for e in events)
    for logged in await log.recent(["Held", "GateChanged", "ReplyRuleActed", "ReplyRuleEnded"], 500):
        event = logged.event
        if event.at < begun[0] or (event.at > last and not still_waiting):
            continue
        held = isinstance(event, Held) and accepted is not None and _may_concern(event, accepted, traffic)
        gated = (
            isinstance(event, GateChanged | ReplyRuleActed | ReplyRuleEnded)
            and traffic is not None
            and event.scope.covers(traffic)
        )
        if held or gated:
            lines.append(line_of(event))
    lines.sort(key=lambda line: line.at)
    if still_waiting:
        lines.append(StoryLine(at=last, kind="Waiting", text="still in the queue: no terminal event yet"))
    return lines


def _may_concern(held: Held, accepted: Accepted, traffic: object) -> bool:
    if held.traffic.stream != accepted.stream or held.traffic.campaign != accepted.campaign:
        return False
    known = getattr(traffic, "lane", None)
    return known is None or held.traffic.lane.provider == known.provider


async def explain_pause(log: EventLog, pause_id: str) -> list[StoryLine]:
    """Every move of one pause, from its first closing to its opening, with the alerts about its scope."""
    events = await log.of_pause(pause_id)
    lines = [line_of(logged.event) for logged in events]
    scopes = {e.event.scope.key for e in events if isinstance(e.event, GateChanged)}
    if events:
        began, ended = events[0].event.at, events[-1].event.at
        for logged in await log.recent(["AlertChanged"], 500):
            event = logged.event
            if isinstance(event, AlertChanged) and event.scope in scopes and began <= event.at <= ended + 86400:
                lines.append(line_of(event))
    return sorted(lines, key=lambda line: line.at)


async def explain_lane(log: EventLog, lane: Lane, limit: int = 60) -> list[StoryLine]:
    """A lane's warm-up moves, gates, holds, reply rules and rests, oldest first."""
    lines = []
    for logged in await log.recent(_LANE_EVENTS, limit * 20):
        if _of_lane(logged, lane):
            lines.append(line_of(logged.event))
    return sorted(lines, key=lambda line: line.at)[-limit:]


def _of_lane(logged: Logged, lane: Lane) -> bool:
    event = logged.event
    if isinstance(event, StepChanged):
        return event.lane == lane
    if isinstance(event, Held):
        return event.traffic.lane == lane
    if isinstance(event, PairRested):
        return event.source == lane.source and event.provider == lane.provider
    if isinstance(event, GateChanged | RuleChanged | ReplyRuleActed | ReplyRuleEnded):
        scope = event.scope
        return (
            scope.source in ("", lane.source)
            and scope.sending_domain in ("", lane.sending_domain)
            and scope.provider in ("", lane.provider)
        )
    return False


def _attribution(event: Event) -> Attribution | None:
    found = getattr(event, "attribution", None)
    return found if isinstance(found, Attribution) else None


def evidence_text(evidence: Evidence) -> str:
    """`23 of 1,000 (2.30 %), threshold 2.00 %, e-value 310 of 100`."""
    said = f", newest: “{evidence.samples[0]}”" if evidence.samples else ""
    return (
        f"{evidence.numerator:,} of {evidence.denominator:,} ({evidence.rate:.2%}), "
        f"threshold {evidence.threshold:.2%}, e-value {evidence.e_value:,.4g} (acts at {evidence.limit:,.4g}){said}"
    )


def line_of(event: Event) -> StoryLine:
    """One event in words."""
    return StoryLine(at=event.at, kind=type(event).__name__, text=_text(event))


def _text(event: Event) -> str:  # one arm an event: a table of words
    match event:
        case Accepted():
            return f"accepted by {event.door} for {event.recipient}, stream {event.stream}{_campaign(event.campaign)}"
        case IntakeRefused():
            return f"refused at the door ({event.door}) for {event.recipient}: {event.reason}"
        case Held():
            until = f" until {iso(event.until)}" if event.until else ""
            why = f"{event.reason} ({event.detail})" if event.detail else event.reason
            return f"held by our own choice: {why} on {event.traffic.lane.key} {event.traffic.stream}{until}"
        case PutBack():
            return f"put back by the watchdog: nobody would have come for it ({event.reason}, {event.detail})"
        case Delivered():
            tls = f" over {event.tls}" if event.tls else " without TLS"
            lane = event.attribution.traffic.lane.key
            return f"delivered to {event.remote}{tls}, attempt {event.attempt}, on lane {lane}: {event.reply}"
        case Deferred():
            return (
                f"deferred ({event.bounce_class}) by {event.remote or event.site}, attempt {event.attempt}: "
                f"{event.reply}; tried again at {iso(event.retry_at)}"
            )
        case Bounced():
            by = event.remote or event.site or "ourselves"
            return f"bounced ({event.bounce_class}) by {by}, attempt {event.attempt}: {event.reply}"
        case Dropped():
            return f"dropped without sending: {event.reason} {event.detail}".rstrip()
        case BounceReceived():
            return f"bounce mail came back ({event.bounce_class}): {event.reply}"
        case ComplaintReceived():
            return f"complaint ({event.feedback_type}) reported by {event.reporter or 'the provider'}"
        case Unsubscribed():
            return f"recipient unsubscribed ({event.method})"
        case Opened():
            return f"opened by a {event.actor} ({event.reason})"
        case Replied():
            return "answered by a person"
        case Clicked():
            return f"link followed by a {event.actor} ({event.reason}): {event.target}"
        case OptInRequested():
            return f"opt-in of {event.address} to {', '.join(event.scopes)} requested from {event.origin or 'the API'}"
        case OptInConfirmed():
            return f"opt-in of {event.address} to {', '.join(event.scopes)} confirmed"
        case ReportUnverified():
            return f"unproven {event.kind} from {event.sender or '<>'}: {event.problem}; nothing was suppressed"
        case SuppressionAdded():
            return f"suppressed {event.address} for {event.stream or 'every stream'}: {event.reason} ({event.evidence})"
        case SuppressionRemoved():
            return f"suppression of {event.address} lifted by {event.by}"
        case SeedPlaced():
            return f"seed {event.mailbox}: found in {event.placement} (folder {event.folder or '–'})"
        case SeedMoved():
            return f"seed {event.mailbox}: moved from {event.before} to {event.placement} (folder {event.folder})"
        case SeedBlind():
            return f"seed {event.mailbox} cannot be looked into: {event.problem}"
        case SeedSighted():
            return f"seed {event.mailbox} can be looked into again"
        case PlacementStarted():
            return f"placement test {event.test_id} sent to {len(event.copies)} seeds by {event.by}"
        case PlacementTested():
            return f"placement test {event.test_id} ended with {len(event.results)} outcomes"
        case DmarcReportStored():
            return (
                f"DMARC report of {event.reporter} about {event.domain}: {event.counted:,} messages, "
                f"{event.aligned:,} aligned, {event.refused} rows refused"
            )
        case ListingChanged():
            word = "lists" if event.listed else "no longer lists"
            return f"{event.zone} {word} {event.subject} ({event.kind} {event.name}) {event.text}".rstrip()
        case RecordChanged():
            before, after = event.before.replace("\n", " | "), event.after.replace("\n", " | ")
            return f"{event.type} of {event.name} changed from {before or '(nothing)'} to {after or '(nothing)'}"
        case SourceRested():
            return f"source {event.source} is taken out ({event.trouble}) until {iso(event.until)}: {event.detail}"
        case SourceReturned():
            return f"source {event.source} gets answers again"
        case TlsNegotiated():
            facts = event.facts
            how = f"{facts.protocol} {facts.cipher}, verified: {facts.verified}" if facts.protocol else "no TLS"
            failed = f"; {facts.failure}: {event.detail}" if facts.failure else ""
            return f"connection to {event.host} for {event.domain or 'a relay'}: {how}{failed}"
        case GateChanged():
            figures = f" — {evidence_text(event.evidence)}" if event.evidence else ""
            until = f", until {iso(event.until)}" if event.until else ""
            move = f"{event.before} → {event.after} by {event.by}"
            return f"gate over {event.scope.key}: {move}: {event.reason}{figures}{until}"
        case RuleChanged():
            said = f"; {evidence_text(event.evidence)}" if event.evidence is not None and event.firing else ""
            begun = "fires" if event.firing else "is over"
            return f"rule {event.rule} {begun} over {event.scope.key} ({event.action}): {event.reason}{said}"
        case StepChanged():
            caps = f"cap {event.cap_before:,} → {event.cap_after:,}"
            by = f" by {event.by}" if event.by != "plan" else ""
            until = f", until {iso(event.until)}" if event.until else ""
            return f"warm-up of {event.lane.key}: {event.move}{by}, step {event.step}, {caps}: {event.reason}{until}"
        case AlertChanged():
            return (
                f"alert {event.name} ({event.severity}) {'fires' if event.firing else 'is resolved'}: {event.summary}"
            )
        case AlertDelivered():
            took = "took" if event.ok else "did not take"
            return f"notifier {event.notifier} {took} the alert. {event.detail}".rstrip(". ")
        case OutageChanged():
            shares = (
                f"{event.refused:,} of {event.answered:,} recipients unknown, "
                f"{event.past_refused:,} of {event.past_answered:,} in the days before"
            )
            word = "nobody is suppressed there as unknown" if event.began else "addresses are judged again"
            return f"outage at {event.place}: {event.reason} ({shares}); {event.lifted:,} suppressions lifted; {word}"
        case ReplyRuleActed():
            return acted_text(event)
        case ReplyRuleEnded():
            return f"reply rule {event.rule}: {event.action} over {_about(event)} ended by {event.by}: {event.detail}"
        case PairRested():
            return (
                f"mail from {event.source} to {event.site} rests until {iso(event.until)} ({event.reason}, "
                f"{event.strikes} in a row), then goes over one connection: {event.sample}"
            )
        case _:
            assert_never(event)


def acted_text(event: ReplyRuleActed) -> str:
    """What a reply rule does, why and until when."""
    limits = f" ({event.limits})" if event.limits else ""
    probe = f", then a probe of {event.probe} messages" if event.probe else ""
    again = f", for the {event.strikes}. time" if event.strikes > 1 else ""
    return (
        f"reply rule {event.rule}: {event.action}{limits} over {_about(event)} until {iso(event.until)}{probe}{again}: "
        f"{event.hits:,} of {event.answers:,} answers in {event.window / 60:,.3g} min: {event.sample}"
    )


def _about(event: ReplyRuleActed | ReplyRuleEnded) -> str:
    return event.scope.key + (f",site={event.site}" if event.site else "")


def _campaign(campaign: str) -> str:
    return f", campaign {campaign}" if campaign else ""
