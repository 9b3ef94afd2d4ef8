"""The folded past gives exactly the counters that the log gives, on both databases, whatever the texts contain."""

from __future__ import annotations

from collections import Counter
from typing import Any

from core.classify import BounceClass
from core.events import (
    BounceReceived,
    ComplaintReceived,
    Deferred,
    Delivered,
    Event,
    Placement,
    SeedPlaced,
    Unsubscribed,
)
from core.lane import HOUR, Attribution, Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.reply import Reply
from core.state import CounterKey
from core.tokens import MessageId
from monitor.counters import counted, fold
from storage.history import History
from storage.stores import Stores

NOON = 1_800_014_400.0
NASTY = 'a"},"attribution":{"cohort":1},"attempt":1,"bounce_class":"unknown_user" \\" } é 名'


def under(at: float, campaign: str = "c") -> Attribution:
    lane = Lane(source=Source("a"), sending_domain=SendingDomain("news.example"), provider=Provider("yahoo"))
    return Attribution(
        traffic=Traffic(lane=lane, stream=Stream("bulk"), campaign=Campaign(campaign)), cohort=cohort_of(at)
    )


def log_of() -> list[Event]:
    found: list[Event] = []
    for i in range(40):
        at = NOON + i * HOUR / 3
        name = MessageId(f"{i:026d}")
        attribution = under(at, NASTY if i % 2 else "")
        reply = Reply(code=450, text=NASTY, status="4.7.1")
        common: dict[str, Any] = {
            "at": at,
            "message_id": name,
            "recipient": f"{NASTY}@x.example",
            "attribution": attribution,
        }
        events: list[Event] = [
            Deferred(**common, site="s", remote=NASTY, reply=reply, bounce_class=BounceClass.RATE_LIMITED,
                     attempt=1 + i % 3, retry_at=at + 60),
            Delivered(**common, site="s", remote="r", reply=reply, attempt=1 + i % 2, tls="", latency=1.0),
            BounceReceived(**common, reply=reply, bounce_class=BounceClass.UNKNOWN_USER, terminal=i % 2 == 0),
            ComplaintReceived(**common, feedback_type="abuse" if i % 3 else "not-spam", reporter=NASTY),
            Unsubscribed(**common, method="one_click"),
            SeedPlaced(at=at, message_id=name, mailbox=NASTY, attribution=attribution, placement=Placement.SPAM,
                       folder=NASTY, seconds=2.0),
        ]  # fmt: skip
        found += events[: 1 + i % 6]
    return found


def added(history: History, since: float) -> Counter[CounterKey]:
    sums: Counter[CounterKey] = Counter()
    for _, event, n in history.folded(since):
        for attribution, metric in counted(event):
            sums[CounterKey(attribution=attribution, metric=metric)] += n
    return sums


async def test_the_folded_log_counts_as_the_log_does(stores: Stores) -> None:
    events = log_of()
    await stores.log.append(events)
    assert added(History(stores.db), 0.0) == fold(events)


async def test_since_leaves_out_what_was_before(stores: Stores) -> None:
    events = log_of()
    await stores.log.append(events)
    since = NOON + 5 * HOUR
    assert added(History(stores.db), since) == fold([e for e in events if e.at >= since])


async def test_slices_come_in_order_and_end_after_their_events(stores: Stores) -> None:
    await stores.log.append(log_of())
    ends = [at for at, _, _ in History(stores.db).folded(0.0, slice_seconds=HOUR)]
    assert ends == sorted(ends)
    assert ends[0] == NOON + HOUR
    assert not list(History(stores.db).folded(NOON * 2))


async def test_an_empty_log_has_no_past(stores: Stores) -> None:
    assert not list(History(stores.db).folded())
