"""The sandbox as one object: providers' servers on loopback, their DNS, people, reports and the story.

Use: make a World, write `settings_toml()` to a file, make the DKIM keys that it names (`sandbox.settings.DKIM_KEYS`),
build the service with `resolver`, then `start()`; `stop()` in the end.  Both from the same task: it holds a TaskGroup,
so that an error inside the sandbox cancels that task and comes out of `stop()`.

Contract: SMTP listens on `port` and IMAPS on `imap_port` of each provider's own loopback address; reports are mailed
to `feedback_to`.  State (story, reputations, waiting reports, DMARC counts) goes through `load_state` and `save_state`
as one JSON text, every few seconds and at the end.  A state that cannot be read is told in the log and begins anew.
Raises InvalidInput naming address, port and remedy when a server cannot listen.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from core.errors import Unavailable
from core.ports import Clock
from sandbox import settings
from sandbox.audience import Audience
from sandbox.auth import Authenticator
from sandbox.behaviour import Behaviour, shipped_behaviours
from sandbox.dmarc import DmarcTally
from sandbox.dns import ZoneResolver, provider_zone
from sandbox.host import make_hosts
from sandbox.imap import imap_server
from sandbox.listen import Listener
from sandbox.mailbox import SeedMailboxes
from sandbox.outbox import Outbox
from sandbox.post import Postman
from sandbox.scenario import Inject, Scenario, Story, shipped_story
from sandbox.smtp import smtp_server
from sandbox.tls import ThrowawayCertificate

STATE_VERSION = 1
SAVE_SECONDS = 3.0  # real
SEEDS_EACH = 2
# behaviours by the name under which config's provider table knows them; others have no seed mailboxes
SEEDED = ("gmail", "outlook", "yahoo", "mailru")
LoadState = Callable[[], Awaitable[str | None]]
SaveState = Callable[[str], Awaitable[None]]
_log = logging.getLogger(__name__)


class World:
    """See the module.

    `imap_port` 0 takes the port above `port`; `behaviours` and `story` default to the shipped ones.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        seed: int,
        port: int,
        feedback_to: tuple[str, int],
        inject: Inject,
        load_state: LoadState,
        save_state: SaveState,
        imap_port: int = 0,
        behaviours: Mapping[str, Behaviour] | None = None,
        story: Story | None = None,
    ) -> None:
        self._clock = clock
        self._port = port
        self._imap_port = imap_port or port + 1
        self._feedback_to = feedback_to
        self._load_state = load_state
        self._save_state = save_state
        self._behaviours = dict(behaviours or shipped_behaviours())
        self._zone = _zone(self._behaviours)
        self._outbox = Outbox(clock)
        authenticator = Authenticator(self._zone)
        self._mailboxes = SeedMailboxes(authenticator)
        self._tally = DmarcTally(self._zone, authenticator, self._outbox, seed)
        self.audience = Audience(self._behaviours, seed=seed)
        self.seeds = self._open_seeds()
        self.scenario = Scenario(
            story or shipped_story(),
            audience=self.audience,
            clock=clock,
            inject=inject,
            seed=seed,
            seeds={name: [s.address for s in self.seeds if s.provider == name] for name in SEEDED},
        )
        self.hosts = make_hosts(
            self._behaviours.values(),
            people=self.audience.person,
            clock=clock,
            seed=seed,
            outbox=self._outbox,
            complaints_to=settings.FEEDBACK_ADDRESS,
            observe=self.scenario.observe,
            keepers=(self._mailboxes, self._tally),
        )
        names = [name for b in self._behaviours.values() for name in b.mx]
        self._certificate = ThrowawayCertificate(names, [b.address for b in self._behaviours.values()])
        self._servers: list[Listener] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []
        self._data_dir: Path | None = None

    @property
    def resolver(self) -> ZoneResolver:
        """The Resolver port: answers from the built-in zone only."""
        return self._zone

    def settings_toml(self, data_dir: Path, http_port: int, submission_port: int = 0) -> str:
        """A complete penstock.toml; writes the secrets that it names below `data_dir`.

        `submission_port` 0 takes the port above the inbound listener's.
        """
        self._data_dir = data_dir
        return settings.sample_settings(
            data_dir,
            http_port=http_port,
            smtp_port=self._port,
            imap_port=self._imap_port,
            inbound=self._feedback_to,
            submission_port=submission_port or self._feedback_to[1] + 1,
            seeds=self.seeds,
            trust_anchor=self._certificate.pem,
        )

    async def start(self) -> None:
        """Publish the DKIM keys, take up the stored state, listen, and begin the story."""
        self._publish_keys()
        self._take_up(await self._load_state())
        await self._listen()
        postman = Postman(self._feedback_to, {b.address: b.mx[0] for b in self._behaviours.values()})
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._running = [
            self._tasks.create_task(self.scenario.run(), name="sandbox story"),
            self._tasks.create_task(self._outbox.run(postman.deliver), name="sandbox reports"),
            self._tasks.create_task(self._keep(), name="sandbox state"),
        ]

    async def stop(self) -> None:
        """End the story, close every connection and keep the state.  Raises what a task of the sandbox raised."""
        tasks, self._tasks = self._tasks, None
        for task in self._running:
            task.cancel()
        try:
            if tasks is not None:
                await tasks.__aexit__(None, None, None)
        finally:
            for server in self._servers:
                await server.stop()
            self._servers = []
            if tasks is not None:
                await self._save_state(self._dump())

    async def __aenter__(self) -> World:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _listen(self) -> None:
        for behaviour in self._behaviours.values():
            context = self._certificate.context
            self._servers.append(smtp_server(self.hosts[behaviour.name], self._port, context))
            self._servers.append(
                imap_server(self._mailboxes, behaviour.domains, behaviour.address, self._imap_port, context)
            )
        try:
            for server in self._servers:
                await server.start()
        except BaseException:
            for server in self._servers:
                await server.stop()
            self._servers = []
            raise

    async def _keep(self) -> None:
        """Close DMARC days and save, for ever."""
        while True:
            await self._clock.sleep(self._clock.real(SAVE_SECONDS))
            self._tally.close(self._behaviours, self._clock.now())
            try:
                await self._save_state(self._dump())
            except Unavailable as error:
                _log.info("the sandbox's state is not saved for now: %s", error)

    def _open_seeds(self) -> list[settings.SeedAccount]:
        seeds = []
        # another value in each life: mail of the one before is gone, and UIDs begin anew
        validity = int(self._clock.now()) % (1 << 32)
        for name in SEEDED:
            if name not in self._behaviours:
                continue
            behaviour = self._behaviours[name]
            for number in range(1, SEEDS_EACH + 1):
                address = f"seed{number}@{behaviour.domains[0]}"
                account = settings.SeedAccount(
                    address=address, provider=name, host=behaviour.address, password=secrets.token_urlsafe(12)
                )
                self._mailboxes.open(address, account.password, behaviour, validity)
                self.audience.add_seed(address)
                seeds.append(account)
        return seeds

    def _publish_keys(self) -> None:
        """The DKIM records of the keys that lie where the settings name them; a missing one is not published."""
        if self._data_dir is None:
            return
        for selector, _, name in settings.DKIM_KEYS:
            path = settings.folder_of(self._data_dir) / name
            if not path.is_file():
                _log.warning("%s is missing: no DKIM record for selector %s", path, selector)
                continue
            public = load_pem_private_key(path.read_bytes(), None).public_key()
            if isinstance(public, Ed25519PublicKey):
                kind, raw = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            else:
                kind, raw = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._zone.add_key(f"{selector}._domainkey.{settings.DOMAIN}", kind, raw)

    def _dump(self) -> str:
        state = {
            "version": STATE_VERSION,
            "scenario": self.scenario.dump(),
            "models": {name: host.model.dump() for name, host in self.hosts.items()},
            "outbox": self._outbox.dump(),
            "dmarc": self._tally.dump(),
        }
        return json.dumps(state)

    def _take_up(self, stored: str | None) -> None:
        if not stored:
            return
        try:
            state: dict[str, Any] = json.loads(stored)
            if state["version"] != STATE_VERSION:
                raise ValueError(f"version {state['version']}")
            self.scenario.load(state["scenario"])
            for name, standing in state["models"].items():
                if name in self.hosts:
                    self.hosts[name].model.load(standing)
            self._outbox.load(state["outbox"])
            self._tally.load(state["dmarc"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the sandbox's stored state cannot be read (%s): its story begins anew", error)


def _zone(behaviours: Mapping[str, Behaviour]) -> ZoneResolver:
    """The providers' zone with the sender's own records beside it."""
    zone = provider_zone(behaviours.values())
    zone.add_address(settings.DOMAIN, "127.0.0.1", reverse=False)
    zone.add_address(f"inbound.{settings.DOMAIN}", "127.0.0.1")
    zone.add_mx(settings.RETURN_PATH, [f"inbound.{settings.DOMAIN}"])
    spf = "v=spf1 " + " ".join(f"ip4:{ip}" for ip in settings.SOURCES.values()) + " -all"
    for name in (settings.DOMAIN, settings.RETURN_PATH):
        zone.add_txt(name, spf)
    zone.add_txt(f"_dmarc.{settings.DOMAIN}", f"v=DMARC1; p=quarantine; rua=mailto:{settings.DMARC_ADDRESS}")
    for behaviour in behaviours.values():
        # reports count only when their mail proves whose it is
        sender = behaviour.report_sender.rpartition("@")[2]
        zone.add_txt(sender, f"v=spf1 ip4:{behaviour.address} -all")
    for source, ip in settings.SOURCES.items():
        zone.add_address(settings.ehlo_of(source), ip)
        zone.add_txt(settings.ehlo_of(source), f"v=spf1 ip4:{ip} -all")
    return zone
