"""A world for the tests of reports: the real store in memory, zone text as DNS, and report mails, signed or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from collectors.reports.intake import ReportIntake
from collectors.reports.naming import Namer
from collectors.reports.provenance import OriginCheck
from config.services import load_services
from core.clock import FixedClock
from core.events import Event
from sender.dkim import new_key
from storage.stores import Stores, open_stores
from tests.unit.collectors.watch_zone import Zone

NOW = 1_793_100_000.0
BEGIN, END = 1_793_000_000, 1_793_086_399
PEER = "192.0.2.77"
PEM, RECORD = new_key("rsa-sha256")
ZONE = f"""
mailhaus.example TXT v=spf1 ip4:{PEER} -all
_dmarc.mailhaus.example TXT v=DMARC1; p=reject
k1._domainkey.mailhaus.example TXT {RECORD}
evil.example TXT v=spf1 ip4:203.0.113.6 -all
_dmarc.evil.example TXT v=DMARC1; p=reject
"""


def xml(
    report_id: str = "1", *, org: str = "Mailhaus", email: str = "dmarc@mailhaus.example", ip: str = "198.51.100.9",
    count: int = 5, dkim: str = "pass", spf: str = "pass", selector: str = "p1", envelope: str = "b.news.example",
    begin: int = BEGIN, end: int = END,
) -> str:  # fmt: skip
    """One report with one record."""
    return (
        f"<feedback><report_metadata><org_name>{org}</org_name><email>{email}</email><report_id>{report_id}</report_id>"
        f"<date_range><begin>{begin}</begin><end>{end}</end></date_range></report_metadata>"
        "<policy_published><domain>news.example</domain><p>none</p></policy_published>"
        f"<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated>"
        f"<disposition>none</disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row>"
        f"<identifiers><envelope_from>{envelope}</envelope_from><header_from>news.example</header_from></identifiers>"
        f"<auth_results><dkim><domain>news.example</domain><selector>{selector}</selector><result>{dkim}</result></dkim>"
        f"<spf><domain>{envelope}</domain><result>{spf}</result></spf></auth_results></record></feedback>"
    )


def mail(body: str, sender: str = "dmarc@mailhaus.example", headers: str = "") -> bytes:
    """A report mail whose only part is the XML."""
    head = f"{headers}From: {sender}\r\nTo: d@b.news.example\r\nSubject: Report Domain: news.example\r\n"
    return f"{head}MIME-Version: 1.0\r\nContent-Type: text/xml\r\n\r\n{body}\r\n".encode()


@dataclass
class World:
    """See the module."""

    stores: Stores
    clock: FixedClock
    intake: ReportIntake

    async def events(self) -> list[Event]:
        return [logged.event for logged in await self.stores.log.read(0)]

    async def counted(self) -> int:
        return sum(tally.messages for tally in await self.stores.dmarc.tally([]))


@asynccontextmanager
async def world(zone: str = ZONE, **changes: object) -> AsyncIterator[World]:
    """An empty store and an intake over this zone."""
    stores = await open_stores("sqlite://", inline=True)
    clock = FixedClock(NOW)
    hops = changes.pop("trusted_hops", ())
    assert isinstance(hops, tuple)
    refused = stores.refused_reports if changes.pop("keep_refused", False) else None
    intake = ReportIntake(
        store=stores.dmarc, others=stores.other_reports, log=stores.log, clock=clock,
        origin=OriginCheck(Zone(zone), trusted_hops=hops),
        namer=Namer(load_services(), {"192.0.2.10": "mta1"}, {"news.example": frozenset({"p1"})}), refused=refused,
        **changes,  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        yield World(stores, clock, intake)
    finally:
        await stores.close()
