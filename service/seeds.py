"""Builds the watch over the seed mailboxes from the settings, and keeps it on one node of many.

Contract: `SeedWatch.run` watches while this process holds the lease; another node takes over a minute after it died.
A mailbox is never watched by two nodes for longer than that.  Raises InvalidInput when a secret cannot be read.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from collectors.placement.imap import ImapMailbox
from collectors.placement.oauth import SERVICES, OAuthAccount, TokenSource
from collectors.placement.patrol import Patrol
from collectors.placement.watch import SeedWatcher
from config.model import Seed, Settings
from config.secrets import secret_from
from core.errors import PenstockError
from core.messages import Node
from core.ports import Clock, EventLog, Leases, MailboxSource
from core.tokens import TokenSigner
from service.placement import PlacementDesk

logger = logging.getLogger("penstock.seeds")
_LEASE, _RENEW = 60.0, 15.0  # real seconds
_LISTEN = 2.0
_MISSING = 300.0  # seconds between two searches for what never came


class SeedWatch:
    """See the module.  Build with `build_seeds`."""

    def __init__(
        self, watcher: SeedWatcher, patrol: Patrol, placement: PlacementDesk, leases: Leases, node: Node, clock: Clock
    ) -> None:
        self.watcher = watcher
        self._patrol = patrol
        self._placement = placement
        self._leases = leases
        self._node = node
        self._clock = clock
        self._until = 0.0

    async def run(self) -> None:
        """Watch, on one node at a time, until cancelled."""
        while True:
            if await self._holds():
                async with asyncio.TaskGroup() as group:
                    works = (self._patrol.run, self._tell_missing, self._listen)
                    tasks = [group.create_task(work()) for work in works]
                    await self._keep()
                    for task in tasks:
                        task.cancel()
            await asyncio.sleep(_RENEW)

    async def _keep(self) -> None:
        """Until the lease is lost."""
        while True:
            await asyncio.sleep(_RENEW)
            if not await self._holds():
                return

    async def _tell_missing(self) -> None:
        # here and not in the timetable: only who looks knows that nothing was there
        hurry = max(1.0, self._clock.rate / 60)
        while True:
            try:
                await self.watcher.missing(self._clock.now())
            except PenstockError as error:
                logger.warning("missing seed mails are not told: %s", error)
            await asyncio.sleep(max(1.0, _MISSING / hurry))

    async def _listen(self) -> None:
        """A test that began, here or by command, makes the mailboxes be looked into soon."""
        while True:
            try:
                if await self._placement.look() and self._placement.busy():
                    self._patrol.rouse()
            except PenstockError as error:
                logger.warning("placement tests cannot be read: %s", error)
            await asyncio.sleep(_LISTEN)

    async def _holds(self) -> bool:
        now = self._clock.now()
        until = now + self._clock.real(_LEASE)
        try:
            if not await self._leases.acquire("seed mailboxes", self._node, now, until):
                return False
        except PenstockError:
            return now < self._until  # a store that does not answer for a moment: every connection would be opened anew
        self._until = until
        return True


def build_seeds(
    settings: Settings,
    signer: TokenSigner,
    *,
    log: EventLog,
    leases: Leases,
    clock: Clock,
    session: aiohttp.ClientSession,
    placement: PlacementDesk,
) -> SeedWatch | None:
    """None when no seed is configured."""
    seeds = settings.seeds
    if not seeds.mailboxes:
        return None
    watcher = SeedWatcher(
        sources=[open_mailbox(seed, session) for seed in seeds.mailboxes], signer=signer, log=log, clock=clock,
        window_hours=seeds.window_hours,
        trusted={seed.mailbox: seed.authserv_ids for seed in seeds.mailboxes if seed.authserv_ids},
    )  # fmt: skip
    patrol = Patrol(
        watcher, poll_seconds=seeds.poll_seconds, quiet_seconds=seeds.quiet_seconds, busy=placement.busy, host_of=_host,
        close=_close,
    )  # fmt: skip
    return SeedWatch(watcher, patrol, placement, leases, Node(settings.node), clock)


def open_mailbox(seed: Seed, session: aiohttp.ClientSession) -> ImapMailbox:
    """One seed mailbox with its login.  Connects to nothing yet.  Raises InvalidInput."""
    given = seed.oauth2
    if given is None:
        return ImapMailbox(seed, secret_from(seed.password_file, seed.password_env))
    url, scope, mechanism = SERVICES.get(given.service, ("", "", "auto"))
    account = OAuthAccount(
        mailbox=seed.mailbox, token_url=given.token_url or url, client_id=given.client_id,
        client_secret=secret_from(given.client_secret_file, given.client_secret_env).strip(),
        refresh_token=secret_from(given.refresh_token_file, given.refresh_token_env).strip(),
        refresh_file=given.refresh_token_file, scope=given.scope or scope,
        mechanism=mechanism if given.mechanism == "auto" else given.mechanism,
    )  # fmt: skip
    return ImapMailbox(seed, TokenSource(account, session))


def _host(source: MailboxSource) -> str:
    return source.host if isinstance(source, ImapMailbox) else ""


async def _close(source: MailboxSource) -> None:
    if isinstance(source, ImapMailbox):
        await source.close()
