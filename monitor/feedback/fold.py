"""Folds events into counts by day, soft records, windows of places and clusters of unknown texts.  Pure.

Contract: `take(event)` for each event of a batch in order, with `records` holding what storage knows about the batch's
addresses; `changes` is then what has to be stored, apart from what follows from outages (`follower`).  Providers that
are not in the table count together as 'other' where the question is "what does this provider say", and each by itself
where it is "is this place out".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from config.model import Suppression as Policy
from core.address import parse_address
from core.classify import OVER_TIME, BounceClass, Classifier
from core.errors import InvalidInput
from core.events import (
    Bounced,
    BounceReceived,
    ComplaintReceived,
    Deferred,
    Delivered,
    DmarcReportStored,
    Event,
    ReportUnverified,
    SuppressionReason,
)
from core.feedback import FeedbackChanges, SoftRecord, Tally
from core.lane import DAY, day_of
from core.state import Suppression
from monitor.feedback import soft
from monitor.feedback.clusters import UnknownReply, clusters
from monitor.feedback.outage import Place

OTHER = "other"
_SAYS_LITTLE = (".0", ".7.1")  # ends of statuses (RFC 3463) that stand for "other" or for any refusal
_UNKNOWN = BounceClass.UNKNOWN_USER
_Key = tuple[str, BounceClass]


def address_of(recipient: str) -> str:
    """Normal form; as it stands when it is no address any more (rules of old logs were other ones)."""
    try:
        return parse_address(recipient).normal
    except InvalidInput:
        return recipient.lower()


def addresses(events: Iterable[Event]) -> set[str]:
    """Whose records a batch may change."""
    return {address_of(e.recipient) for e in events if isinstance(e, Delivered | Deferred | Bounced | BounceReceived)}


def places_of(event: Delivered | Deferred | Bounced | BounceReceived) -> tuple[str, ...]:
    """Names of the places that an answer speaks for."""
    provider = event.attribution.traffic.lane.provider
    names = [f"provider:{provider}"] if provider else []
    site = "" if isinstance(event, BounceReceived) else event.site
    if site and provider.partition(":")[2] != site:
        names.append(f"site:{site}")
    return tuple(names)


class Fold:
    """One batch.  `places` is changed in place; `refused` lists (place, address) that were called unknown."""

    def __init__(
        self,
        policy: Policy,
        classifier: Classifier,
        places: dict[str, Place],
        records: Mapping[_Key, SoftRecord],
    ) -> None:
        self._classifier = classifier
        self._limits = soft.limits(policy)
        self._forget_after = policy.forget_days * DAY
        self._places = places
        self._records = dict(records)
        self._unknown: list[UnknownReply] = []
        self.changes = FeedbackChanges()
        self.refused: list[tuple[str, str]] = []

    def take(self, event: Event) -> None:
        """One event."""
        match event:
            case Delivered():
                self._delivered(event)
            case Deferred():
                if event.attempt == 1:
                    self._refusal(event)
                self._soft(event, later=False)
            case Bounced() if event.bounce_class is not BounceClass.EXPIRED:
                if event.attempt == 1 or event.bounce_class is _UNKNOWN:
                    self._refusal(event)
                self._soft(event, later=False)
                self._place(event)
            case BounceReceived():
                self._count(Tally.REPORT, f"bounce:{_family(event.attribution.traffic.lane.provider)}", event.at)
                if event.terminal:
                    self._refusal(event)
                    self._soft(event, later=True)
                    self._place(event)
            case ComplaintReceived():
                self._count(Tally.REPORT, f"complaint:{event.reporter.rpartition('@')[2].lower() or '?'}", event.at)
            case DmarcReportStored():
                self._count(Tally.REPORT, f"dmarc:{event.reporter.lower()[:100]}", event.at)
            case ReportUnverified():
                self._count(Tally.UNVERIFIED, event.kind, event.at)
            case _:
                pass

    def done(self) -> FeedbackChanges:
        """What changed."""
        self.changes.clusters = clusters(self._unknown)
        return self.changes

    def _count(self, tally: Tally, name: str, at: float, n: int = 1) -> None:
        key = (tally, name, day_of(at))
        self.changes.days[key] = self.changes.days.get(key, 0) + n

    def _delivered(self, event: Delivered) -> None:
        for name in places_of(event):
            self._at(name).delivered(event.at)
            self._count(Tally.DELIVERED, name, event.at)
        if not self._records:
            return
        address = address_of(event.recipient)
        for kind in OVER_TIME:
            record = self._records.get((address, kind))
            if record is not None:
                self._put(soft.delivered(record, event.message_id, event.at))

    def _at(self, name: str) -> Place:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = Place(name=name)
        return place

    def _place(self, event: Bounced | BounceReceived) -> None:
        if event.bounce_class is not _UNKNOWN:
            return
        address = address_of(event.recipient)
        for name in places_of(event):
            place = self._at(name)
            if isinstance(event, BounceReceived) and place.taken_back():
                self._count(Tally.DELIVERED, name, event.at, -1)
            place.refused(event.at, address, str(event.reply))
            self._count(Tally.UNKNOWN, name, event.at)
            self.refused.append((name, address))

    def _refusal(self, event: Deferred | Bounced | BounceReceived) -> None:
        provider = _family(event.attribution.traffic.lane.provider)
        self._count(Tally.CLASS, f"{provider}|{event.bounce_class}", event.at)
        if event.reply.code == 0 and not event.reply.status:
            return  # no host said anything
        known = self._classifier.classify(event.reply, provider)
        by_number = known.rule == "code" or (known.rule == "status" and event.reply.status.endswith(_SAYS_LITTLE))
        if event.bounce_class is BounceClass.UNDETERMINED or by_number:
            self._count(Tally.UNMATCHED, provider, event.at)
            self._unknown.append(UnknownReply(at=event.at, provider=provider, reply=event.reply))

    def _soft(self, event: Deferred | Bounced | BounceReceived, *, later: bool) -> None:
        if event.bounce_class not in OVER_TIME:
            return
        address = address_of(event.recipient)
        failure = soft.Failure(
            at=event.at, address=address, kind=event.bounce_class, message_id=event.message_id, text=str(event.reply),
            later=later,
        )  # fmt: skip
        record = soft.failed(self._records.get((address, event.bounce_class)), failure, forget_after=self._forget_after)
        # our own DNS has the last word about a domain (follower.ask_domains)
        if event.bounce_class is not BounceClass.UNKNOWN_DOMAIN and soft.exhausted(record, self._limits[record.kind]):
            entry = Suppression(
                address=address, stream="", reason=SuppressionReason.HARD_BOUNCE, at=event.at,
                evidence=soft.evidence(record),
            )  # fmt: skip
            self.changes.suppress.append((entry, event.message_id))
            self._drop((address, record.kind))
        else:
            self._put(record)

    def _put(self, record: SoftRecord) -> None:
        self._records[record.address, record.kind] = record
        self.changes.records[record.address, record.kind] = record

    def _drop(self, key: _Key) -> None:
        self._records.pop(key, None)
        self.changes.records[key] = None


def _family(provider: str) -> str:
    return OTHER if not provider or provider.startswith(("other:", "relay:")) else provider
