"""Folds events into counters (core.metrics.Metric), each under the attribution of the message it is about.

Contract: `fold` is additive: folding a log in any pieces and adding the results gives what one fold of the whole
gives, so that a replay from zero reproduces every counter.  An event that counts nothing adds nothing.  Pure.

A message that ended because it grew too old (EXPIRED) had its last attempt counted when that attempt ended; its end
is a soft bounce and no attempt.  Reports that are no refusal (auto-replies, delays) are not bounces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from core.classify import GROUP_OF, BounceClass, Group
from core.events import (
    NO_COMPLAINTS,
    Accepted,
    Bounced,
    BounceReceived,
    Clicked,
    ComplaintReceived,
    Deferred,
    Delivered,
    Event,
    Opened,
    Placement,
    SeedPlaced,
    Unsubscribed,
)
from core.lane import UNROUTED, Attribution, Campaign, Lane, SendingDomain, Source, Stream, Traffic, cohort_of
from core.metrics import Metric
from core.recipient import Actor
from core.state import CounterKey

# RFC 5965 section 7.3 with the types of its registry; not-spam and opt-out are no complaints, virus is no opinion
# an actor that nobody can tell counts for neither side
_OPENED = {Actor.HUMAN: Metric.OPENED_HUMAN, Actor.MACHINE: Metric.OPENED_MACHINE}
_CLICKED = {Actor.HUMAN: Metric.CLICKED_HUMAN, Actor.MACHINE: Metric.CLICKED_MACHINE}
_SEED = {
    Placement.INBOX: Metric.SEED_INBOX,
    Placement.TAB: Metric.SEED_INBOX,
    Placement.SPAM: Metric.SEED_SPAM,
    Placement.MISSING: Metric.SEED_MISSING,
}


def fold(events: Iterable[Event]) -> dict[CounterKey, int]:
    """What these events add to the counters."""
    sums: Counter[CounterKey] = Counter()
    alike: dict[tuple[object, ...], tuple[Event, int]] = {}
    for event in events:
        # nearly all events are of two kinds and differ in nothing that is counted: those are counted once together
        match event:
            case Delivered():
                where = event.attribution
                traffic = where.traffic
                lane = traffic.lane
                key: tuple[object, ...] = (
                    event.attempt == 1, where.cohort, lane.source, lane.sending_domain, lane.provider, traffic.stream,
                    traffic.campaign, traffic.list_source,
                )  # fmt: skip
            case Accepted():
                key = (cohort_of(event.at), event.sending_domain, event.stream, event.campaign, event.list_source)
            case _:
                _add(sums, event, 1)
                continue
        first, n = alike.get(key, (event, 0))
        alike[key] = (first, n + 1)
    for event, n in alike.values():
        _add(sums, event, n)
    return dict(sums)


def _add(sums: Counter[CounterKey], event: Event, n: int) -> None:
    for attribution, metric in counted(event):
        sums[CounterKey(attribution=attribution, metric=metric)] += n


def counted(event: Event) -> list[tuple[Attribution, Metric]]:
    """The counters to which one event adds 1."""
    match event:
        case Accepted():
            return [(_before_routing(event), Metric.ACCEPTED)]
        case Delivered():
            found = [Metric.DELIVERED]
            if event.attempt == 1:
                found.append(Metric.ATTEMPTED)
        case Deferred():
            found = [Metric.DEFERRALS, *_by_group(event.bounce_class)]
            if event.attempt == 1:
                found += [Metric.ATTEMPTED, Metric.DEFERRED, *_first(event.bounce_class)]
                if event.bounce_class is not BounceClass.GREYLISTED:
                    found.append(Metric.PUT_OFF)
        case Bounced():
            found = [_bounce(event.bounce_class), *_by_group(event.bounce_class)]
            if event.attempt == 1 and event.bounce_class is not BounceClass.EXPIRED:
                found += [Metric.ATTEMPTED, *_first(event.bounce_class)]
        case BounceReceived():
            if not event.terminal or GROUP_OF[event.bounce_class] is Group.NOT_A_BOUNCE:
                return []
            found = [_bounce(event.bounce_class), *_by_group(event.bounce_class)]
        case ComplaintReceived():
            found = [Metric.COMPLAINED] if event.feedback_type.lower() not in NO_COMPLAINTS else []
        case Unsubscribed():
            found = [Metric.UNSUBSCRIBED]
        case Opened():
            found = [_OPENED[event.actor]] if event.actor in _OPENED else []
        case Clicked():
            found = [_CLICKED[event.actor]] if event.first and event.actor in _CLICKED else []
        case SeedPlaced():
            found = [_SEED[event.placement]]
        case _:
            return []
    return [(event.attribution, metric) for metric in found]


def _before_routing(event: Accepted) -> Attribution:
    """A lane without source and provider: neither is known when mail is accepted."""
    lane = Lane(source=Source(""), sending_domain=SendingDomain(event.sending_domain), provider=UNROUTED)
    traffic = Traffic(
        lane=lane, stream=Stream(event.stream), campaign=Campaign(event.campaign), list_source=event.list_source
    )
    return Attribution(traffic=traffic, cohort=cohort_of(event.at))


def _bounce(bounce_class: BounceClass) -> Metric:
    return Metric.HARD_BOUNCED if GROUP_OF[bounce_class] is Group.RECIPIENT else Metric.SOFT_BOUNCED


def _first(bounce_class: BounceClass) -> list[Metric]:
    match GROUP_OF[bounce_class]:
        case Group.REPUTATION:
            return [Metric.BLOCKED_FIRST]
        case Group.AUTHENTICATION:
            return [Metric.AUTH_FAILED_FIRST]
        case _:
            return []


def _by_group(bounce_class: BounceClass) -> list[Metric]:
    match GROUP_OF[bounce_class]:
        case Group.REPUTATION:
            return [Metric.BLOCKED]
        case Group.AUTHENTICATION:
            return [Metric.AUTH_FAILED]
        case _:
            return []
