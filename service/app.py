"""The composition root: the only place where adapters are built and joined.

`Service.build` opens the store and wires the parts; `start` opens the doors after everything behind them runs;
`stop` closes the doors first, lets the messages in flight end, and closes the store last.  Nothing accepted is lost
at any point: what is not settled stays in the queue under a lease.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from pathlib import Path
from typing import Self

import aiohttp

from collectors.returnmail import ReturnMail
from config.load import load_plans, load_providers, load_rulebook
from config.model import Settings
from config.replies import shipped_classifier
from config.tokens import load_token_keys
from core.clock import SystemClock
from core.messages import Node
from core.ports import Resolver
from core.tokens import TokenSigner
from monitor.projector import Projector
from sender.intake import Intake
from sender.route import Router
from sender.routebook import RouteBook
from service.alerting import Alerting
from service.audience import Audience
from service.campaigngates import CampaignGates
from service.canaries import canary_terms
from service.clockstore import note_clock
from service.control import Control
from service.engaged import door_of
from service.feedback import FeedbackDesk
from service.feeds import build_feeds
from service.figures import silent_providers
from service.inbound import InboundServer
from service.job import Job
from service.lateness import Delays
from service.library import TemplateLibrary
from service.metering import Metering
from service.notices import NoticeDesk
from service.operator import Operator, known_names, known_scopes
from service.parts import Parts
from service.placement import PlacementDesk
from service.pressure import Pressure
from service.recipients import RecipientDesk
from service.report_watch import ReportWatch
from service.reports import build_reports
from service.resolver import DnsResolver
from service.retention import retention_jobs
from service.seeds import SeedWatch, build_seeds
from service.senders import Senders, sender_count, take_back
from service.sending import Sending, build_sending
from service.submission import SubmissionServer
from service.tasks import Supervisor
from service.timetable import Timetable
from service.tlsrpt import TlsReporting
from service.warming import Warming
from service.watch import Watch
from service.watchdog import Watchdog
from service.web.server import WebServer
from service.webhooks import Webhooks
from storage.skew import clock_skew
from storage.stores import Stores, open_stores
from warmup.steps import Steps

logger = logging.getLogger("penstock.service")
MOST_SKEW = 5.0  # seconds between this clock and that of the database, beyond which a start warns


class Service:
    """A wired service.  Build with `Service.build`."""

    placement: PlacementDesk

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._http: aiohttp.ClientSession | None = None
        self._doors: list[SubmissionServer | InboundServer | WebServer] = []
        self._open: list[SubmissionServer | InboundServer | WebServer] = []
        self._timetable: Timetable | None = None
        self._sending: Sending | None = None
        self._senders: Senders | None = None
        self._seeds: SeedWatch | None = None
        self._routes: RouteBook | None = None

    @classmethod
    async def build(
        cls,
        settings: Settings,
        clock: SystemClock,
        *,
        stores: Stores | None = None,
        resolver: Resolver | None = None,
        sandbox: bool = False,
    ) -> Self:
        """Wire everything.  Raises InvalidInput or Unavailable when something cannot be read or opened."""
        _make_folder(settings.data_dir)
        stores = stores or await open_stores(settings.storage.url)
        resolver_given = resolver is not None
        resolver = resolver or DnsResolver(settings.dns, clock)
        plans, book, providers = load_plans(settings), load_rulebook(settings), load_providers()
        rules = book.rules
        signer = TokenSigner(load_token_keys(settings.tokens.key_file), settings.tokens.max_age_days)
        classifier = shipped_classifier()
        supervisor = Supervisor()
        node = Node(settings.node)

        projector = Projector(
            log=stores.log, counters=stores.counters, controls=stores.controls, rules=rules,
            transactional=settings.transactional,
            no_feedback=silent_providers(providers),
            clock=clock, on_change=lambda: control.gates_changed(), canaries=canary_terms(settings, rules),
        )  # fmt: skip
        steps = Steps(
            plans=plans,
            allowances=stores.allowances,
            counters=stores.counters,
            log=stores.log,
            clock=clock,
            words={rule.name: rule.warmup for rule in rules},
        )
        control = Control(
            controls=stores.controls, allowances=stores.allowances, projector=projector, steps=steps, clock=clock,
            on_change=lambda: service._gates_changed(),
        )  # fmt: skip
        count = 1 if sandbox or resolver_given else sender_count(settings.senders)
        senders = Senders(settings, count, projector.lag) if count > 1 else None
        sending = None if senders else build_sending(
            settings, node=node, stores=stores, resolver=resolver, clock=clock, control=control, signer=signer,
            plans=plans, providers=providers,
        )  # fmt: skip
        wake = senders.wake if senders else sending.dispatcher.mail_came if sending else None
        assert wake is not None
        routes = RouteBook(sending.router if sending else Router(resolver, providers, relays=settings.relays), clock)
        pressure = Pressure(stores.queue, settings.intake)
        intake = Intake(
            queue=door_of(stores, settings, clock), suppressions=stores.suppressions,
            idempotency=stores.idempotency, clock=clock,
            settings=settings, frequencies=stores.choices, on_accepted=wake, way=routes.way,
            backlog=lambda: pressure.queued, max_queued=settings.intake.max_queued,
        )  # fmt: skip
        parts = Parts(
            settings=settings, clock=clock, stores=stores, intake=intake, signer=signer, projector=projector,
            desk=RecipientDesk.build(settings=settings, signer=signer, stores=stores, intake=intake, clock=clock),
            control=control, supervisor=supervisor, plans=tuple(plans), rules=tuple(rules),
            budget=book.budget, audience=Audience(settings, stores, clock),
            providers=tuple(providers), sandbox=sandbox,
            library=TemplateLibrary(settings.templates), pressure=pressure,
            watchdog=Watchdog(stores.residents, settings.delivery, clock),
            reporting=TlsReporting(settings, stores, intake, resolver, clock),
            webhooks=Webhooks(settings.webhooks, stores=stores, clock=clock, node=node),
            operator=Operator(
                controls=stores.controls, suppressions=stores.suppressions, clock=clock, spare=settings.transactional,
                unknown=known_names(settings), forbidden=known_scopes(settings),
            ),
            warming=Warming(
                settings=settings, plans=plans, providers=providers, allowances=stores.allowances, clock=clock
            ),
        )  # fmt: skip
        service = cls(parts)
        service._http = aiohttp.ClientSession()
        reports = build_reports(settings, resolver=resolver, stores=stores, clock=clock)
        returns = ReturnMail(
            settings=settings, signer=signer, classifier=classifier, log=stores.log,
            suppressions=stores.suppressions, dmarc=reports.intake, clock=clock,
        )  # fmt: skip
        placement = PlacementDesk(settings, stores, intake, clock)
        seeds = build_seeds(
            settings, signer, log=stores.log, leases=stores.leases, clock=clock, session=service._http,
            placement=placement,
        )  # fmt: skip
        watch = Watch(
            settings=settings, rules=rules, counters=stores.counters, log=stores.log, audience=parts.audience,
            findings=lambda: projector.findings, clock=clock,
        )  # fmt: skip
        feeds = build_feeds(
            settings, resolver=resolver, stores=stores, clock=clock, session=service._http, sandbox=sandbox
        )
        feedback = FeedbackDesk(
            settings=settings, stores=stores, classifier=classifier, resolver=resolver, returns=returns, clock=clock
        )
        ended = CampaignGates(
            stores.campaigns, stores.controls, lambda: projector.counters, canary_terms(settings, rules), clock
        )
        alerting = Alerting(parts, service._http, feeds, feedback, ReportWatch(reports))
        notices = NoticeDesk(settings, stores, intake, clock)
        service._doors = [
            *([InboundServer(settings, returns)] if settings.inbound.enabled else []),
            *([SubmissionServer(settings, intake, notices, parts.library)] if settings.submission.enabled else []),
            WebServer(parts, alerting.keeper, feeds, reports, placement),
        ]  # fmt: skip
        jobs = [
            *feeds.jobs, *reports.jobs, *feedback.jobs, *notices.jobs, *parts.reporting.jobs, *placement.jobs,
            Job(name="slow rules", seconds=max(5.0, 600 / clock.rate), work=watch.look),
            Job(name="campaigns' gates", seconds=max(5.0, 300 / clock.rate), work=ended.look),
            *retention_jobs(settings, stores, clock),
            Job(name="sunset", seconds=max(5.0, 3600 / clock.rate), work=parts.audience.sunset),
        ]  # fmt: skip
        service._timetable = Timetable(parts, steps, alerting, Metering(parts), jobs)
        service._sending, service._senders, service._seeds, service._routes = sending, senders, seeds, routes
        service.placement = placement
        return service

    async def start(self) -> None:
        """Run the loops, then open the doors.  OSError names an address that is taken."""
        parts = self.parts
        if parts.clock.rate == 1.0 and abs(skew := await clock_skew(parts.stores.db, SystemClock().now())) > MOST_SKEW:
            logger.warning("this machine's clock differs from the database's by %.0f s: run NTP", skew)
        await parts.projector.start()
        await parts.control.refresh()
        delays = Delays(parts.stores.lateness, parts.projector, parts.clock)
        parts.supervisor.keep("audience", parts.audience.run)
        parts.supervisor.keep("reporting delays", delays.run)
        parts.supervisor.keep("monitor", parts.projector.run)
        parts.supervisor.keep("control", parts.control.run)
        await take_back(
            parts.settings, parts.stores.queue, parts.clock, senders=self._senders.count if self._senders else 1
        )
        if self._sending is not None:
            parts.supervisor.keep("dispatch", self._sending.dispatcher.run)
            parts.supervisor.keep("tls book", self._sending.book.run)
        if self._senders is not None:
            parts.supervisor.keep("monitor's word to the senders", self._senders.tell_lag)
            for index in range(self._senders.count):
                parts.supervisor.keep(f"sender {index + 1}", partial(self._senders.run, index))
        if self._routes is not None:
            parts.supervisor.keep("ways known beforehand", self._routes.run)
        parts.supervisor.keep("clock", self._keep_clock)
        parts.supervisor.keep("opens and clicks", parts.desk.recorder.run)
        parts.supervisor.keep("pressure", parts.pressure.run)
        parts.webhooks.start(parts.supervisor)
        if self._seeds is not None:
            parts.supervisor.keep("seed mailboxes", self._seeds.run)
        assert self._timetable is not None
        self._timetable.start()
        for door in self._doors:
            await door.start()
            self._open.append(door)
        logger.info("node %s is up on %s", parts.settings.node, socket.gethostname())

    async def stop(self) -> None:
        """Close the doors, end the loops, close the store.  Safe to call after a failed start."""
        for door in self._open:
            await door.stop()
        if self._timetable is not None:
            self._timetable.stop()
        await self.parts.supervisor.stop()
        await self.parts.desk.stop()
        await self.parts.webhooks.close()
        if self._sending is not None:
            await self._sending.close()
        await self.parts.reporting.close()
        if self._http is not None:
            await self._http.close()
        await note_clock(self.parts.stores.meta, self.parts.clock)
        await self.parts.stores.close()

    def _gates_changed(self) -> None:
        if self._sending is not None:
            self._sending.dispatcher.wake()
        if self._senders is not None:
            self._senders.gates_changed()

    async def _keep_clock(self) -> None:
        machine = SystemClock()
        while True:
            await note_clock(self.parts.stores.meta, self.parts.clock)
            before = machine.now()
            await asyncio.sleep(1)
            if machine.now() < before and self._timetable is not None:
                logger.warning("the machine's clock was set back by %.0f s or more", before - machine.now())
                self._timetable.begin_anew()


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
