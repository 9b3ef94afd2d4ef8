"""A story and what stands in the way now, of a message, pause, lane or campaign: for the command and the API.

Contract: reads the log, gates, the queue and counters; every sentence in the asked language.  `known` is False when
nothing has ever been heard of the id.  Raises InvalidInput for an id that is no lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alerts.words import Language
from config.load import load_providers
from config.model import Settings
from core.errors import InvalidInput
from core.lane import DAY, HOUR, UNROUTED, Lane, cohort_of
from core.ports import Clock
from core.state import CounterKey, Gate
from core.tokens import MessageId
from service.explain import StoryLine, explain_lane, explain_message, explain_pause
from service.figures import silent_providers
from service.standing import counted, explain_campaign, names_of, standing, traffic_of
from service.telling import Teller
from service.waiting import covering, waits_of, waits_of_lane, ways_of
from storage.stores import Stores

What = Literal["message", "pause", "lane", "campaign"]
_COUNTED_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What happened, oldest first; and lines about the present, the first of each item beginning with "now:"."""

    story: list[StoryLine]
    now: list[str]
    waiting: bool = False  # of a message: it is in the queue

    @property
    def known(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.story or self.now)


async def explained(
    stores: Stores, settings: Settings, clock: Clock, what: What, identity: str, language: Language = "en"
) -> Explained:
    """See the module."""
    match what:
        case "message":
            return await _message(stores, settings, clock, MessageId(identity.lower()), language)
        case "pause":
            mine = [gate for gate in await stores.controls.gates() if gate.pause_id == identity]
            now = standing(mine, lambda gate: True, clock.now(), language) if mine else []
            return Explained(story=await explain_pause(stores.log, identity, language), now=now)
        case "lane":
            lane = lane_of(identity)
            gates = await stores.controls.gates()
            return Explained(
                story=await explain_lane(stores.log, lane, language=language),
                now=[
                    *standing(gates, lambda gate: _over_lane(gate, lane), clock.now(), language),
                    *await waits_of_lane(stores, settings, lane, clock.now(), language),
                ],
            )
        case "campaign":
            return await _campaign(stores, settings, clock, identity, language)


def lane_of(key: str) -> Lane:
    """Raises InvalidInput."""
    try:
        return Lane.from_key(key)
    except ValueError as error:
        raise InvalidInput("lane", f"{key!r} is no lane", "Write source|sending_domain|provider") from error


async def _message(
    stores: Stores, settings: Settings, clock: Clock, message_id: MessageId, language: Language
) -> Explained:
    queued = await stores.queue.find(message_id)
    ways = ways_of(settings, queued) if queued is not None else []
    story = await explain_message(stores.log, message_id, language, ways)
    if queued is None:
        return Explained(story=story, now=[])
    over = covering(settings, queued, await stores.controls.gates())
    now = [Teller(language).say("queued"), *await waits_of(stores, settings, queued, clock, language)]
    if queued.provider != UNROUTED:  # which gates are over it shows with its route
        now += standing(over, lambda gate: True, clock.now(), language)
    return Explained(story=story, now=now, waiting=True)


async def _campaign(stores: Stores, settings: Settings, clock: Clock, identity: str, language: Language) -> Explained:
    stream, campaign = names_of(identity, (s.name for s in settings.streams))
    counters: Mapping[CounterKey, int] = await stores.counters.load(cohort_of(clock.now() - _COUNTED_DAYS * DAY))
    known = traffic_of(counters, stream, campaign)
    begun = min((key.attribution.cohort for key in counters if key.attribution.traffic in known), default=0) * HOUR
    story = await explain_campaign(stores.log, stream, campaign, known, begun, language)
    # every stream that it may be in: mail just taken over is not counted yet
    streams = {str(traffic.stream) for traffic in known} | ({stream} if stream else {s.name for s in settings.streams})
    waiting = await stores.campaigns.waiting((name, campaign) for name in streams)
    gates = await stores.controls.gates()
    own = [gate for gate in gates if gate.scope.campaign == campaign and stream in ("", gate.scope.stream)]
    if not (known or waiting or own):
        return Explained(story=story, now=[])
    silent = silent_providers(load_providers())
    over = [gate for gate in gates if gate in own or any(gate.scope.covers(traffic) for traffic in known)]
    now = [
        *counted(counters, known, bool(waiting), silent, language),
        *standing(over, lambda gate: True, clock.now(), language),
    ]
    return Explained(story=story, now=now)


def _over_lane(gate: Gate, lane: Lane) -> bool:
    scope = gate.scope
    return (
        scope.source in ("", lane.source)
        and scope.sending_domain in ("", lane.sending_domain)
        and scope.provider in ("", lane.provider)
    )
