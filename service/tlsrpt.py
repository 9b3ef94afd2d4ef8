"""Sends the daily TLS reports to recipient domains that ask for them (RFC 8460).

Contract: sessions are counted from the log by the book of deliveries, from every sender process, each once.  After the
end of a UTC day each domain's report leaves at a moment of its own within `delay_hours`; a domain that publishes
nothing at `_smtp._tls` gets nothing.  What was done is stored for (day, domain, address): a restart or another node
repeats nothing.  A report by mail goes through intake into the durable queue, under a key; it is signed, and no TLS
policy of the domain keeps it back.  A report by HTTPS is tried again for KEPT_TRYING; only public addresses are posted
to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import zlib
from typing import Any

import aiohttp

from config.model import Settings
from core.errors import InvalidInput
from core.events import Door
from core.lane import DAY, HOUR, day_of
from core.ports import Clock, NameMissing, Resolver, ResolverFailed
from core.reports import SentTlsReport, TlsCount, TlsReportState
from core.tls import PolicyType, StsMode
from sender.injection import Injection, RecipientIn
from sender.intake import AnswerStatus, Intake
from sender.sts_cache import stored_policy
from sender.tlsrpt.record import addresses
from sender.tlsrpt.report import MEDIA_TYPE, Policies, Reporter, document, mail, packed, report_id
from service.job import Job
from service.resolver import DnsResolver
from service.sts import policy_session
from storage.stores import Stores

logger = logging.getLogger("penstock.tlsrpt")
SECONDS = 10.0  # real, between turns
BEHIND = 3  # days back that are still reported: RFC 8460 section 4.1 asks for the day before
KEPT = 14  # days that sessions are kept
KEPT_TRYING = 20 * HOUR  # after the day's end
_DOMAINS = 100  # in one turn
_AT_ONCE = 8
_MAX_COUNTS = 2000


class TlsReporting:
    """See the module."""

    def __init__(self, settings: Settings, stores: Stores, intake: Intake, resolver: Resolver, clock: Clock) -> None:
        given = settings.tls_reports
        domain = given.sending_domain or settings.sending_domains[0].name
        if settings.domain(domain) is None:
            raise InvalidInput("tls_reports.sending_domain", f"{domain} is not configured", "Name a sending domain")
        self.enabled = given.enabled
        self.reporter = Reporter(
            organization=given.organization or domain, contact=given.contact or f"postmaster@{domain}", domain=domain
        )
        self._stream = given.stream or next(iter(settings.transactional), settings.streams[0].name)
        if settings.stream(self._stream) is None:
            raise InvalidInput("tls_reports.stream", f"{self._stream} is not configured", "Name a stream")
        self._delay = given.delay_hours * HOUR
        self._stores = stores
        self._intake = intake
        self._resolver = resolver
        self._clock = clock
        self._ca_file = settings.delivery.ca_file
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    @property
    def jobs(self) -> list[Job]:
        """For the timetable."""
        return [Job(name="tls reports", seconds=SECONDS, work=self.tick)] if self.enabled else []

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def tick(self) -> None:
        """Report what is due.  Raises Unavailable; what was done by then is noted."""
        now = self._clock.now()
        today = day_of(now)
        waiting = await self._stores.tls_sessions.open(today - BEHIND, today)
        due = [(day, domain) for day, domain in waiting if now >= (day + 1) * DAY + self._moment(domain)]
        await asyncio.gather(*(self._bounded(day, domain) for day, domain in due[:_DOMAINS]))
        await self._stores.tls_sessions.forget(today - KEPT)

    async def report(self, day: int, domain: str) -> dict[str, Any]:
        """The report about that day as it would go out now; without policies when there were no sessions."""
        counts = await self._stores.tls_sessions.of(day, domain, _MAX_COUNTS)
        return document(day, domain, counts, await self._policies(domain, counts), self.reporter)

    async def _bounded(self, day: int, domain: str) -> None:
        async with self._slots:
            await self._one(day, domain)

    async def _one(self, day: int, domain: str) -> None:
        done = {one.address: one for one in await self._stores.tls_sessions.noted(day, domain)}
        try:
            wanted = addresses(await self._resolver.txt(f"_smtp._tls.{domain}"))
        except NameMissing:
            wanted = ()
        except ResolverFailed:
            if day == day_of(self._clock.now()) - 1:
                return  # asked again at the next turn
            wanted = ()
        if not wanted:
            await self._stores.tls_sessions.note([self._sent(day, domain, "", TlsReportState.UNWANTED)])
            return
        report = await self.report(day, domain)
        # all of them first: whatever ends us after one delivery, the others stay open
        fresh = [self._sent(day, domain, address, TlsReportState.RETRY) for address in wanted if address not in done]
        await self._stores.tls_sessions.note(fresh)
        for address in wanted:
            before = done.get(address)
            if before is None or before.state is TlsReportState.RETRY:
                await self._deliver(day, domain, address, report, before)

    async def _deliver(
        self, day: int, domain: str, address: str, report: dict[str, Any], before: SentTlsReport | None
    ) -> None:
        tries = before.tries + 1 if before else 1
        now = self._clock.now()
        if before and before.tries and now < before.at + min(HOUR, 60 * 2.0**before.tries):
            return
        if address.startswith("mailto:"):
            problem, again = await self._mail(day, domain, address.removeprefix("mailto:"), report), False
        else:
            problem, again = await self._post(address, packed(report)), now < (day + 1) * DAY + KEPT_TRYING
        failed = TlsReportState.RETRY if again else TlsReportState.FAILED
        outcome = self._sent(day, domain, address, failed if problem else TlsReportState.SENT, tries, problem)
        await self._stores.tls_sessions.note([outcome])
        if problem:
            logger.warning("the TLS report about %s could not be sent to %s: %s", domain, address, problem)

    async def _mail(self, day: int, domain: str, to: str, report: dict[str, Any]) -> str:
        injection = Injection(
            stream=self._stream, door=Door.INTERNAL, kind="report", recipients=(RecipientIn(address=to),),
            mime=mail(day, domain, report, self.reporter, to, self._clock.now()), sending_domain=self.reporter.domain,
            idempotency_key=f"tlsrpt:{report_id(day, domain, self.reporter)}:{to}"[:200],
            metadata={"tls_report": f"{domain} {report['date-range']['start-datetime']}"},
        )  # fmt: skip
        try:
            (answer,) = await self._intake.submit(injection)
        except InvalidInput as error:
            return str(error)[:300]
        return "" if answer.status is AnswerStatus.ACCEPTED else f"{answer.status}: {answer.reason}"[:300]

    async def _post(self, url: str, content: bytes) -> str:
        if self._session is None:
            self._session = policy_session(self._resolver, self._ca_file, permits=_is_public)
        headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "Penstock"}
        try:
            async with self._session.post(url, data=content, headers=headers, allow_redirects=False) as answer:
                return "" if 200 <= answer.status < 300 else f"the server answers {answer.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error)[:300] or type(error).__name__

    async def _policies(self, domain: str, counts: list[TlsCount]) -> Policies:
        kinds = {one.policy for one in counts}
        sts = await stored_policy(self._stores.meta, domain) if PolicyType.STS in kinds else None
        tlsa: dict[str, list[str]] = {}
        resolver = self._resolver
        if PolicyType.TLSA in kinds and isinstance(resolver, DnsResolver):
            for host in sorted({one.host for one in counts if one.policy == PolicyType.TLSA})[:10]:
                try:
                    found = await resolver.tlsa(host, 25)
                except (NameMissing, ResolverFailed):
                    continue
                tlsa[host] = [f"{r.usage} {r.selector} {r.matching} {r.data.hex().upper()}" for r in found.records[:10]]
        return Policies(sts=sts if sts is not None and sts.mode is not StsMode.NONE else None, tlsa=tlsa)

    def _sent(
        self, day: int, domain: str, address: str, state: TlsReportState, tries: int = 0, detail: str = ""
    ) -> SentTlsReport:
        at = self._clock.now()
        return SentTlsReport(day=day, domain=domain, address=address, state=state, tries=tries, at=at, detail=detail)

    def _moment(self, domain: str) -> float:
        """Seconds after the day's end, always the same for a domain: RFC 8460 section 4.1 asks to spread them."""
        return zlib.crc32(f"{domain} {self.reporter.domain}".encode()) / 2**32 * self._delay


def _is_public(ip: str) -> bool:
    """Not an address of this machine or of a network behind it: where a report goes, the recipient domain says."""
    address = ipaddress.ip_address(ip)
    private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "0.0.0.0/8")
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
        or any(address in ipaddress.ip_network(net) for net in private)
        or (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None)
    )  # fmt: skip
