"""Joins what the service observes with the alert keeper and its notifiers."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from alerts.alertmanager import AlertmanagerSink
from alerts.conditions import Observed, StuckQueue, Unverified, blind_now, find_alerts
from alerts.keeper import AlertKeeper
from alerts.mail import MailSink
from alerts.relays import FORGOTTEN_AFTER, RelayOut, relays_out
from alerts.replies import Acting
from alerts.sources import sources_out
from alerts.strays import STRAY_HOURS
from alerts.webhook import WebhookSink
from alerts.words import Language
from config.reactions import load_reaction_rules
from config.secrets import read_secret
from core.clock import SystemClock
from core.errors import InvalidInput
from core.events import Door, PutBack, ReportUnverified, SeedBlind, SourceRested
from core.lane import HOUR
from core.ports import AlertSink, EventLog
from sender.intake import AnswerStatus, Injection, RecipientIn
from service.engaged import SPREAD
from service.feedback import FeedbackDesk
from service.feeds import Feeds
from service.parts import Parts
from service.report_watch import ReportWatch
from warmup.ramp import OTHER, is_other

LANGUAGES: tuple[Language, ...] = ("en", "ru")
_MANY_RESTS = 1000
_LOOK_BACK = 200  # events of a kind that conditions are made of
_UNVERIFIED_HOURS = 24.0
_UNVERIFIED_MANY = 20  # unproven reports of one kind in a day
_STUCK_AFTER = 2 * HOUR  # domain seconds that due mail may wait before somebody is told


class Alerting:
    """`tick()` once a second.  Raises InvalidInput at once when a secret cannot be read."""

    def __init__(
        self, parts: Parts, session: aiohttp.ClientSession, feeds: Feeds, feedback: FeedbackDesk, reports: ReportWatch
    ) -> None:
        self._parts = parts
        self._feeds = feeds
        self._feedback = feedback
        self._reports = reports
        self._reply_rules = {rule.name: rule for rule in load_reaction_rules(parts.settings)}
        settings = parts.settings.alerts
        sinks: list[AlertSink] = []
        if settings.alertmanagers:
            sinks.append(
                AlertmanagerSink(
                    urls=settings.alertmanagers, session=session, clock=parts.clock, real_now=SystemClock().now,
                    post_interval=settings.post_interval_seconds,
                )
            )  # fmt: skip
        sinks += [
            WebhookSink(
                name=hook.name, url=hook.url, session=session, clock=parts.clock, node=parts.settings.node,
                secret=read_secret(hook.secret_file).encode() if hook.secret_file else b"",
            )
            for hook in settings.webhooks
        ]  # fmt: skip
        sinks += [
            MailSink(
                name=mail.name, to=mail.to, sender=mail.sender, submit=self._submit, clock=parts.clock,
                language=settings.language,
            )
            for mail in settings.mails
        ]  # fmt: skip
        self.keeper = AlertKeeper(
            meta=parts.stores.meta, log=parts.stores.log, sinks=sinks, clock=parts.clock,
            repeat_hours=settings.repeat_hours, post_interval=settings.post_interval_seconds,
        )  # fmt: skip

    async def tick(self) -> None:
        """Look, compare, tell."""
        parts = self._parts
        now = parts.clock.now()
        acting = tuple(
            Acting(reaction=one, remedy_en=rule.remedy_en if rule else "", remedy_ru=rule.remedy_ru if rule else "")
            for one in await parts.stores.lore.in_force()
            for rule in [self._reply_rules.get(one.rule)]
        )
        seen = Observed(
            gates=parts.control.snapshot().gates, findings=parts.projector.findings.firing,
            blind=await self._blind(), monitor_lag=parts.projector.lag(),
            max_lag=parts.settings.monitor.max_lag_seconds, stuck=await self._stuck(now, acting),
            unverified=await self._unverified(now), sources_out=await sources_now(parts.stores.log, now),
            dead_hooks=await parts.webhooks.dead(), reports=await self._reports.seen(), acting=acting,
            put_back=await self._put_back(now), relays_out=await self._relays(now),
        )  # fmt: skip
        seen = await self._feedback.complete(await self._feeds.complete(seen, now), now)
        spoken = {
            language: find_alerts(
                seen, rules=parts.rules, now=now, language=language, dashboard=parts.settings.http.public_url
            )
            for language in LANGUAGES
        }
        await self.keeper.tick(spoken[parts.settings.alerts.language], spoken)

    async def _blind(self) -> tuple[SeedBlind, ...]:
        events = await self._parts.stores.log.recent(["SeedBlind", "SeedSighted"], 5 * _LOOK_BACK)
        ours = {seed.mailbox for seed in self._parts.settings.seeds.mailboxes}
        return tuple(one for one in blind_now(reversed(events)) if one.mailbox in ours)

    async def _stuck(self, now: float, acting: Sequence[Acting]) -> tuple[StuckQueue, ...]:
        """Due mail that nothing of ours holds and that no attempt reached for long."""
        held = self._parts.control.snapshot()
        ahead = {stream.name: SPREAD for stream in self._parts.settings.streams if stream.engaged_first}
        found: dict[str, StuckQueue] = {}
        for group in await self._parts.stores.queue.groups(now):
            waits_by_choice = any(
                gate.scope.provider in ("", group.provider) and gate.scope.stream in ("", group.stream)
                for gate in held.gates
                if gate.state != "open"
            ) or any(one.reaction.scope.provider in ("", group.provider) for one in acting)
            plan = OTHER if is_other(group.provider) else group.provider
            ramping = any(s.lane.provider == plan and not s.finished for s in held.steps.values())
            if waits_by_choice or ramping or now - group.oldest < _STUCK_AFTER + ahead.get(group.stream, 0.0):
                continue
            before = found.get(group.provider)
            found[group.provider] = StuckQueue(
                provider=group.provider, queued=group.fresh + group.retries + (before.queued if before else 0),
                oldest=min(group.oldest, before.oldest) if before else group.oldest,
            )  # fmt: skip
        return tuple(found.values())

    async def _relays(self, now: float) -> tuple[RelayOut, ...]:
        if not self._parts.settings.relays:
            return ()
        stores = self._parts.stores
        rests = await stores.lore.resting(now - FORGOTTEN_AFTER, _MANY_RESTS)
        events = await stores.log.recent(["PairRested"], _LOOK_BACK)
        ours = {relay.name for relay in self._parts.settings.relays}
        return tuple(one for one in relays_out(rests, reversed(events), now) if one.relay in ours)

    async def _put_back(self, now: float) -> tuple[PutBack, ...]:
        logged = await self._parts.stores.log.recent(["PutBack"], _LOOK_BACK)
        return tuple(e.event for e in logged if isinstance(e.event, PutBack) and e.event.at >= now - STRAY_HOURS * HOUR)

    async def _unverified(self, now: float) -> tuple[Unverified, ...]:
        since = now - _UNVERIFIED_HOURS * HOUR
        kinds: dict[str, list[ReportUnverified]] = {}
        for logged in await self._parts.stores.log.recent(["ReportUnverified"], _LOOK_BACK):
            event = logged.event
            if isinstance(event, ReportUnverified) and event.at >= since:
                kinds.setdefault(event.kind, []).append(event)
        return tuple(
            Unverified(
                kind=kind, count=len(events), since=events[-1].at,
                samples=tuple(f"{e.problem}: {e.summary}" for e in events[:5]),
            )
            for kind, events in kinds.items()
            if len(events) >= _UNVERIFIED_MANY
        )  # fmt: skip

    async def _submit(self, message: bytes, recipients: tuple[str, ...]) -> None:
        """An alert mail goes through our own core, on the first transactional stream."""
        parts = self._parts
        stream = parts.settings.transactional[0] if parts.settings.transactional else parts.settings.streams[0].name
        wanted = tuple(RecipientIn(address=address) for address in recipients)
        answers = await parts.intake.submit(
            Injection(stream=stream, door=Door.INTERNAL, recipients=wanted, mime=message)
        )
        if not any(answer.status is AnswerStatus.ACCEPTED for answer in answers):
            raise InvalidInput("alerts.mails", f"nobody was accepted: {answers[0].reason}", "See the suppression list")


async def sources_now(log: EventLog, now: float) -> tuple[SourceRested, ...]:
    """Egress sources that are out now, in any process: by what the log says."""
    return sources_out(reversed(await log.recent(["SourceRested", "SourceReturned"], _LOOK_BACK)), now)
