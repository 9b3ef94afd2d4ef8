"""The part of `penstock doctor` that calls the relays: an answer, a good certificate, a login that counts?

Contract: every relay of the settings is called as the sender calls it, from the first source, up to the point where a
message would be handed over; then QUIT.  Nothing is sent and nothing raised; RELAY_SECONDS for each at most.
"""

from __future__ import annotations

import asyncio

from collectors.dns.checks import Finding
from collectors.dns.finding import found
from config.model import Relay, Settings
from core.clock import SystemClock
from core.errors import InvalidInput
from core.lane import SendingDomain, Source
from core.ports import Resolver
from core.tls import Passage
from sender.connection import SmtpConnection
from sender.transport import SmtpTransport
from service import doctor_texts as say

RELAY_SECONDS = 20.0


async def check_relays(settings: Settings, resolver: Resolver) -> list[Finding]:
    """A finding for each relay."""
    if not settings.relays:
        return []
    try:
        transport = SmtpTransport(settings, resolver, [], SystemClock())
    except InvalidInput:
        return []  # a password or certificate file that cannot be read: the check of the files names it
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_check(relay, settings, transport)) for relay in settings.relays]
    return [task.result() for task in tasks]


async def _check(relay: Relay, settings: Settings, transport: SmtpTransport) -> Finding:
    where = f"{relay.host}:{relay.port}"
    source, domain = Source(settings.sources[0].name), SendingDomain(settings.sending_domains[0].name)
    try:
        async with asyncio.timeout(RELAY_SECONDS):
            answer = await transport.connect(source, [relay.host], domain, passage=Passage(relay=relay.name))
            if isinstance(answer, SmtpConnection):
                await answer.close()
                return found(say.RELAY_OK, relay.name, where=where)
    except TimeoutError:
        return found(say.RELAY_REFUSES, relay.name, where=where, problem=f"no answer within {RELAY_SECONDS:g} s")
    return found(say.RELAY_REFUSES, relay.name, where=where, problem=str(answer.reply)[:300])
