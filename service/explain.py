"""Tells the story of one message, pause or lane from the event log alone, in the reader's language.

Contract: reads, never guesses.  Every line is an instant and what happened then, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.words import Language
from core.clock import iso
from core.events import (
    Accepted,
    AlertChanged,
    Bounced,
    Delivered,
    Dropped,
    Event,
    GateChanged,
    Held,
    PairRested,
    ReplyRuleActed,
    ReplyRuleEnded,
    RuleChanged,
    StepChanged,
)
from core.lane import Attribution, Lane, Traffic
from core.ports import EventLog
from core.tokens import MessageId
from service.telling import Teller, reasons_of, text_of

_LANE_EVENTS = ("StepChanged", "GateChanged", "RuleChanged", "Held", "ReplyRuleActed", "ReplyRuleEnded", "PairRested")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One line of a story.  `kind` is the event's class name."""

    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{iso(self.at)}  {self.text}"


def tell(events: Sequence[Event], language: Language, known: Sequence[Event] = ()) -> list[StoryLine]:
    """The events' sentences, oldest first.  `known` are events around them, which say what reasons mean."""
    teller = Teller(language, reasons_of([*known, *events], language))
    lines = [StoryLine(at=event.at, kind=type(event).__name__, text=text_of(event, teller)) for event in events]
    return sorted(lines, key=lambda line: line.at)


async def explain_message(
    log: EventLog, message_id: MessageId, language: Language = "en", ways: Sequence[Traffic] = ()
) -> list[StoryLine]:
    """What happened to one message, and what held its traffic back meanwhile.  `ways`: how a queued one may go."""
    events = [logged.event for logged in await log.of_message(message_id)]
    if not events:
        return []
    tried = [a.traffic for e in events if (a := _attribution(e)) is not None]
    ways = [*ways, *tried]
    accepted = next((e for e in events if isinstance(e, Accepted)), None)
    begun, last = events[0].at, max(e.at for e in events)
    still_waiting = not any(isinstance(e, Delivered | Bounced | Dropped) for e in events)
    around = [e.event for e in await log.recent(["Held", "GateChanged", "ReplyRuleActed", "ReplyRuleEnded"], 500)]
    for event in around:
        if event.at < begun or (event.at > last and not still_waiting):
            continue
        held = isinstance(event, Held) and accepted is not None and _may_concern(event, accepted, ways)
        gated = isinstance(event, GateChanged | ReplyRuleActed | ReplyRuleEnded) and any(
            event.scope.covers(way) for way in ways
        )
        if held or gated:
            events.append(event)
    return tell(events, language, around)


def _may_concern(held: Held, accepted: Accepted, ways: Sequence[Traffic]) -> bool:
    of = held.traffic
    if (of.stream, of.campaign, of.list_source) != (accepted.stream, accepted.campaign, accepted.list_source):
        return False
    return not ways or any(of.lane.provider == way.lane.provider for way in ways)


async def explain_pause(log: EventLog, pause_id: str, language: Language = "en") -> list[StoryLine]:
    """Every move of one pause, from its first closing to its opening, with the alerts about its scope."""
    events = [logged.event for logged in await log.of_pause(pause_id)]
    scopes = {e.scope.key for e in events if isinstance(e, GateChanged)}
    if events:
        began, ended = events[0].at, events[-1].at
        for logged in await log.recent(["AlertChanged"], 500):
            event = logged.event
            if isinstance(event, AlertChanged) and event.scope in scopes and began <= event.at <= ended + 86400:
                events.append(event)
    return tell(events, language)


async def explain_lane(log: EventLog, lane: Lane, limit: int = 60, language: Language = "en") -> list[StoryLine]:
    """A lane's warm-up moves, gates, holds, reply rules and rests, oldest first."""
    around = [logged.event for logged in await log.recent(_LANE_EVENTS, limit * 20)]
    return tell([event for event in around if _of_lane(event, lane)], language, around)[-limit:]


def _of_lane(event: Event, lane: Lane) -> bool:
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
