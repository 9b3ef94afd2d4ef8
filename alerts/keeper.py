"""Keeps alerts: what fires, since when, who was told, and when to tell again.

`tick(active)` compares what should be firing with what is known, tells the notifiers what is due, and stores the
result:

- an alert keeps its first instant as long as it fires, whatever its figures do; after a restart too;
- a notifier that forgets (`refreshes`: Alertmanager) gets every firing alert each `post_interval` real seconds, and
  an ended one for five real minutes more; the others get it once, again after `repeat_hours`, and its end once;
- all alerts due for one notifier go in one call, so that an incident is one mail, not thirty;
- a notifier that fails is asked again after 5, 10, 20 … 300 real seconds (this file is the one owner of retries); it
  delays nobody else, and its failure is an event once, not once a try.

Events: `AlertChanged` when an alert begins or ends; `AlertDelivered` when a notifier took a beginning, a repetition or
an end, and when it begins to fail.  Events are written before the state: a crash between the two repeats a
notification rather than losing one.  Exactly one node may tick at a time (lease `alerts`); it holds no state between
two ticks except what it shows in `entries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from alerts import ledger
from alerts.ledger import Entry, Told
from alerts.words import Language
from core.errors import PenstockError
from core.events import AlertChanged, AlertDelivered, Event
from core.lane import HOUR
from core.ports import AlertSink, Clock, EventLog, Meta
from core.state import Alert

logger = logging.getLogger("penstock.alerts")

META_NAME = "alerts"
MAX_ALERTS = 500  # known at once; the most severe are kept
AFTERGLOW = 300.0  # real seconds for which an ended alert is still posted to notifiers that forget
GIVE_UP = 3600.0  # real seconds after which an end that nobody takes is no longer told
FIRST_RETRY, MAX_RETRY = 5.0, 300.0  # real seconds
SINK_TIMEOUT = 15.0  # real seconds for one notifier in one tick
_SEVERITY = {"critical": 0, "warning": 1}


class AlertKeeper:
    """See the module.  `repeat_hours` in domain hours, `post_interval` in real seconds."""

    def __init__(
        self,
        *,
        meta: Meta,
        log: EventLog,
        sinks: Sequence[AlertSink],
        clock: Clock,
        repeat_hours: float = 4.0,
        post_interval: float = 60.0,
    ) -> None:
        self._meta = meta
        self._log = log
        self._sinks = tuple(sinks)
        self._clock = clock
        self._repeat = repeat_hours * HOUR
        self._post_interval = post_interval
        self._entries: dict[str, Entry] = {}
        self._stored = ""
        self._spoken: dict[str, dict[str, dict[str, str]]] = {}

    @property
    def entries(self) -> dict[str, Entry]:
        """Fingerprint → what is known, as of the last tick; for pages.  Not to be changed."""
        return self._entries

    @property
    def spoken(self) -> Mapping[str, Mapping[str, dict[str, str]]]:
        """Language → fingerprint → annotations, as far as `tick` was given them; for pages."""
        return self._spoken

    async def tick(self, active: Sequence[Alert], others: Mapping[Language, Sequence[Alert]] | None = None) -> None:
        """Take over what should be firing now, and tell whoever has to be told.

        `others`: the same alerts in other languages, which only pages show.
        """
        now = self._clock.now()
        text = await self._meta.get(META_NAME)
        entries = ledger.read(text)
        self._stored = text or ""
        events = self._compare(entries, active, now)
        if events:
            await self._log.append(events)
        told = await self._tell(entries, now)
        if told:
            await self._log.append(told)
        self._forget(entries, now)
        fresh = ledger.dump(entries)
        if fresh != self._stored:
            await self._meta.put(META_NAME, fresh)
        self._entries = entries
        self._speak(others or {})

    def _speak(self, others: Mapping[Language, Sequence[Alert]]) -> None:
        """An alert that ended keeps its last words as long as it is known."""
        for language, alerts in others.items():
            kept = {key: said for key, said in self._spoken.get(language, {}).items() if key in self._entries}
            fresh = {ledger.fingerprint(alert): alert.annotations for alert in alerts}
            self._spoken[language] = kept | fresh

    # --- comparing -------------------------------------------------------------------------------
    def _compare(self, entries: dict[str, Entry], active: Sequence[Alert], now: float) -> list[Event]:
        wanted = {ledger.fingerprint(alert): alert for alert in self._bounded(active)}
        events: list[Event] = []
        for key, alert in wanted.items():
            known = entries.get(key)
            if known is not None and known.firing:
                known.alert = replace(alert, starts_at=known.alert.starts_at, ends_at=0.0)
                continue
            entries[key] = Entry(alert=replace(alert, starts_at=min(alert.starts_at, now), ends_at=0.0))
            events.append(_changed(key, entries[key].alert, firing=True, now=now))
        for key, entry in entries.items():
            if entry.firing and key not in wanted:
                entry.alert = replace(entry.alert, ends_at=max(now, entry.alert.starts_at))
                for told in entry.told.values():
                    told.retry_at = 0.0  # an end is worth a try at once
                events.append(_changed(key, entry.alert, firing=False, now=now))
        return events

    def _bounded(self, active: Sequence[Alert]) -> Sequence[Alert]:
        if len(active) <= MAX_ALERTS:
            return active
        logger.error("%d alerts at once: only the %d most severe are kept", len(active), MAX_ALERTS)
        ranked = sorted(active, key=lambda a: (_SEVERITY.get(a.labels.get("severity", ""), 2), a.starts_at))
        return ranked[:MAX_ALERTS]

    # --- telling ---------------------------------------------------------------------------------
    async def _tell(self, entries: dict[str, Entry], now: float) -> list[Event]:
        due = [(sink, keys) for sink in self._sinks if (keys := self._due(sink, entries, now))]
        results = await asyncio.gather(*(self._notify(sink, [entries[k].alert for k in keys]) for sink, keys in due))
        events: list[Event] = []
        for (sink, keys), problem in zip(due, results, strict=True):
            for key in keys:
                events += self._note(sink, key, entries[key], problem, now)
        return events

    def _due(self, sink: AlertSink, entries: dict[str, Entry], now: float) -> list[str]:
        return [key for key, entry in entries.items() if self._is_due(sink, entry, now)]

    def _is_due(self, sink: AlertSink, entry: Entry, now: float) -> bool:
        told = entry.told.get(sink.name, Told())
        if now < told.retry_at:
            return False
        again = self._clock.real(self._post_interval) if sink.refreshes else self._repeat
        if entry.firing:
            return not told.firing_at or now - told.posted_at >= again
        if not told.firing_at and not told.failures:
            return False  # never heard of it, so its end is no news
        return not told.resolved_at or (sink.refreshes and now - told.posted_at >= again)

    async def _notify(self, sink: AlertSink, alerts: list[Alert]) -> str:
        """Why it failed, '' when it did not."""
        try:
            async with asyncio.timeout(SINK_TIMEOUT):
                await sink.notify(alerts)
        except TimeoutError:
            return f"no answer within {SINK_TIMEOUT:.0f} s"
        except PenstockError as error:
            return str(error)
        except Exception as error:  # a notifier's defect must not silence the others
            logger.exception("notifier %s failed", sink.name)
            return f"internal error ({type(error).__name__})"
        return ""

    def _note(self, sink: AlertSink, key: str, entry: Entry, problem: str, now: float) -> list[Event]:
        told = entry.told.setdefault(sink.name, Told())
        if problem:
            told.failures += 1
            told.problem = problem[:300]
            wait = min(MAX_RETRY, FIRST_RETRY * 2 ** min(told.failures - 1, 10))
            told.retry_at = now + self._clock.real(wait)
            logger.warning("notifier %s did not take an alert (try %d): %s", sink.name, told.failures, problem)
            return [_delivered(key, sink, ok=False, detail=told.problem, now=now)] if told.failures == 1 else []
        detail = "firing" if entry.firing else "resolved"
        news = told.failures > 0 or not sink.refreshes or not (told.firing_at if entry.firing else told.resolved_at)
        if entry.firing and told.firing_at and not sink.refreshes:
            detail = "repeated"
        told.failures, told.retry_at, told.problem, told.posted_at = 0, 0.0, "", now
        if entry.firing:
            told.firing_at = now
        else:
            told.resolved_at = now
        return [_delivered(key, sink, ok=True, detail=detail, now=now)] if news else []

    # --- forgetting ------------------------------------------------------------------------------
    def _forget(self, entries: dict[str, Entry], now: float) -> None:
        names = {sink.name for sink in self._sinks}
        for key, entry in list(entries.items()):
            for gone in entry.told.keys() - names:
                del entry.told[gone]
            if not entry.firing and all(self._is_done(sink, entry, now) for sink in self._sinks):
                del entries[key]

    def _is_done(self, sink: AlertSink, entry: Entry, now: float) -> bool:
        told = entry.told.get(sink.name)
        ended = now - entry.alert.ends_at
        if told is None or ended >= self._clock.real(GIVE_UP):
            return True
        if not told.firing_at and not told.failures:
            return True
        return bool(told.resolved_at) and (not sink.refreshes or ended >= self._clock.real(AFTERGLOW))


def _changed(key: str, alert: Alert, *, firing: bool, now: float) -> AlertChanged:
    return AlertChanged(
        at=now, fingerprint=key, name=alert.labels.get("alertname", ""), firing=firing,
        severity=alert.labels.get("severity", ""), summary=alert.annotations.get("summary", ""),
        scope=alert.labels.get("scope", ""),
    )  # fmt: skip


def _delivered(key: str, sink: AlertSink, *, ok: bool, detail: str, now: float) -> AlertDelivered:
    return AlertDelivered(at=now, fingerprint=key, notifier=sink.name, ok=ok, detail=detail)
