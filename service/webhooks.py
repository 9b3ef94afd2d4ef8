"""Webhooks: every event of the log, posted to endpoints of the owner's.

Contract: at least once, in the order of the log (hence in order for each message), batched, signed.  Each endpoint has
a cursor of its own in the store and a task of its own: what an endpoint does not take waits in the log, where it lies
anyway, so a dead one costs no memory and holds nobody up.  A failed batch is sent again after 1 s, then after twice as
long, up to ten minutes, for as long as `max_age_days`; events older than that are skipped, counted and told in the log.
On several nodes a lease lets one of them post; the next takes over where the cursor stands.  An endpoint that is new
begins with what happens from then on.
2xx is success; everything else, redirects too, is a failure, told by its status and never by the address, whose path
may be a secret.  A `Retry-After` in seconds is honoured up to an hour.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import takewhile

import aiohttp

from alerts.hooks import DeadHook
from config.model import EventHook
from config.secrets import read_secret
from core.clock import iso
from core.errors import StorageConflict
from core.events import Logged
from core.lane import DAY
from core.messages import Node
from core.ports import Clock
from core.tokens import MessageId
from service.hook_form import batch_of, body_of, event_json, signed
from service.tasks import Supervisor
from storage.stores import Stores

logger = logging.getLogger("penstock.webhooks")
_READ = 1000  # events that are looked at at once: the bound of an endpoint's memory
_LINGER = 0.2  # real seconds in which events gather, so that a busy log is not posted one by one
_LEASE = 60.0  # real seconds
_RENEW = 20.0
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = 1.0, 600.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """What is remembered of an endpoint besides its cursor.  Instants in epoch seconds, 0: not failing."""

    failing_since: float = 0.0
    error: str = ""
    skipped: int = 0  # events that were given up, ever
    delivered: int = 0  # events, up to the last change of `failing_since`


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What an endpoint has not taken.  `events` is at most so many: its filter is not applied to them."""

    name: str
    events: int
    oldest: float  # epoch seconds, 0 when nothing waits
    state: HookState


class Webhook:
    """One endpoint.  `run()` never returns; `backlog()` may be asked on any node."""

    def __init__(
        self,
        hook: EventHook,
        *,
        stores: Stores,
        clock: Clock,
        node: str,
        secret: bytes,
        first_wait: float = _FIRST_WAIT,
        linger: float = _LINGER,
    ) -> None:
        self._hook = hook
        self._stores = stores
        self._clock = clock
        self._node = Node(node)
        self._secret = secret
        self._first_wait = first_wait
        self._linger = linger
        self._name = f"webhook:{hook.name}"
        self._kinds = frozenset(hook.events)
        self._renewed = 0.0
        self._stored = self._at = 0  # the cursor as stored, and how far was looked: what nobody wants costs no write
        self._state = HookState()
        self._began = False

    @property
    def name(self) -> str:
        return self._hook.name

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Post for ever, whenever this node holds the lease."""
        wait = self._first_wait
        while True:
            if not await self._held():
                self._began = False
                await asyncio.sleep(_RENEW / 4)
                continue
            try:
                if not self._began:
                    await self._begin()
                asked = await self._step(session)
            except StorageConflict:
                self._began = False  # another node posted meanwhile
                continue
            if asked is None:
                wait = self._first_wait
                continue
            await self._pause(max(wait, min(asked, _LONGEST_ASKED)))
            wait = min(_LONGEST_WAIT, wait * 2)

    async def close(self) -> None:
        """Let another node go on at once."""
        await self._stores.leases.release(self._name, self._node)

    async def backlog(self) -> Backlog:
        """By what the store knows."""
        stored = await self._stores.counters.cursor(self._name)
        raw = await self._stores.meta.get(self._name)
        at = max(stored, self._at)
        waiting = await self._stores.log.read(at, 1) if raw is not None else []
        head = await self._stores.log.head()
        return Backlog(
            name=self.name, events=head - at if waiting else 0, oldest=waiting[0].event.at if waiting else 0.0,
            state=self._state_of(raw),
        )  # fmt: skip

    async def _held(self) -> bool:
        if self._renewed and time.monotonic() - self._renewed < _RENEW:
            return True
        now = self._clock.now()
        held = await self._stores.leases.acquire(self._name, self._node, now, now + self._clock.real(_LEASE))
        self._renewed = time.monotonic() if held else 0.0
        return held

    async def _begin(self) -> None:
        self._stored = self._at = await self._stores.counters.cursor(self._name)
        raw = await self._stores.meta.get(self._name)
        self._state = self._state_of(raw)
        if raw is None:
            head = await self._stores.log.head()
            if head > self._stored:
                await self._move(head)
            await self._remember(self._state)
        self._began = True

    async def _step(self, session: aiohttp.ClientSession) -> float | None:
        """Look once and post once.  None when all is well, else the seconds that the endpoint asked for (0: none)."""
        rows = await self._stores.log.read(self._at, _READ)
        if not rows:
            await self._stores.log.changed(_RENEW / 4)
            await asyncio.sleep(self._linger)
            return None
        wanted = [row for row in rows if not self._kinds or type(row.event).__name__ in self._kinds]
        wanted = wanted[: self._hook.batch_size]
        if not wanted:
            self._at = rows[-1].seq
            if self._at - self._stored >= _READ:
                await self._move(self._at)
            return None
        said = await self._said(wanted)
        count = batch_of(said)
        problem, asked = await self._post(session, wanted[:count], said[:count])
        if problem:
            await self._failed(problem, rows)
            return asked
        await self._move(wanted[count - 1].seq)
        self._state = replace(self._state, delivered=self._state.delivered + count)
        if self._state.failing_since:
            logger.info("webhook %s takes events again", self.name)
            await self._remember(replace(self._state, failing_since=0.0, error=""))
        return None

    async def _said(self, wanted: list[Logged]) -> list[bytes]:
        ids = {MessageId(i) for row in wanted if (i := getattr(row.event, "message_id", None))}
        accepted = await self._stores.log.accepted(ids)
        return [event_json(row, accepted) for row in wanted]

    async def _post(self, session: aiohttp.ClientSession, wanted: list[Logged], said: list[bytes]) -> tuple[str, float]:
        """('', 0) or what went wrong and the seconds that the endpoint asked for."""
        delivery = f"{self.name}-{wanted[0].seq}-{wanted[-1].seq}"
        body = body_of(self._node, self.name, delivery, said)
        try:
            async with session.post(
                self._hook.url, data=body, headers=signed(body, self._secret, self._clock.now(), delivery),
                timeout=aiohttp.ClientTimeout(total=self._hook.timeout_seconds), allow_redirects=False,
            ) as answer:  # fmt: skip
                if 200 <= answer.status < 300:
                    return "", 0.0
                asked = answer.headers.get("Retry-After", "")
                return f"answered {answer.status}", float(asked) if asked.isascii() and asked.isdigit() else 0.0
        except TimeoutError:
            return f"no answer within {self._hook.timeout_seconds:g} s", 0.0
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"cannot be reached ({type(error).__name__})", 0.0

    async def _failed(self, problem: str, rows: list[Logged]) -> None:
        now = self._clock.now()
        if not self._state.failing_since:
            logger.warning("webhook %s %s; it is tried again", self.name, problem)
            await self._remember(replace(self._state, failing_since=now, error=problem))
        elif problem != self._state.error:
            await self._remember(replace(self._state, error=problem))
        while old := list(takewhile(lambda row: row.event.at < now - self._hook.max_age_days * DAY, rows)):
            await self._move(old[-1].seq)
            await self._remember(replace(self._state, skipped=self._state.skipped + len(old)))
            logger.error("webhook %s: %d events up to %s are given up", self.name, len(old), iso(old[-1].event.at))
            rows = await self._stores.log.read(self._at, _READ) if len(old) == len(rows) else []

    async def _move(self, to: int) -> None:
        await self._stores.counters.commit(self._name, self._stored, to, {}, [])
        self._stored = self._at = to

    async def _remember(self, state: HookState) -> None:
        self._state = state
        await self._stores.meta.put(self._name, json.dumps(asdict(state)))

    async def _pause(self, seconds: float) -> None:
        """Wait, and keep the lease meanwhile: the endpoint is not another node's to try either."""
        until = time.monotonic() + seconds
        # no event brings the endpoint back
        while (left := until - time.monotonic()) > 0 and await self._held():  # noqa: ASYNC110
            await asyncio.sleep(min(left, _RENEW / 2))

    @staticmethod
    def _state_of(raw: str | None) -> HookState:
        return HookState(**json.loads(raw)) if raw else HookState()


class Webhooks:
    """All endpoints.  Raises InvalidInput when a secret cannot be read."""

    def __init__(self, settings: Sequence[EventHook], *, stores: Stores, clock: Clock, node: str) -> None:
        self._clock = clock
        self._dead_after = {hook.name: hook.dead_after_minutes * 60 for hook in settings}
        self._hooks = tuple(
            Webhook(hook, stores=stores, clock=clock, node=node, secret=read_secret(hook.secret_file).encode())
            for hook in settings
        )
        self._session: aiohttp.ClientSession | None = None

    def start(self, supervisor: Supervisor) -> None:
        """Post, each endpoint in a task of its own."""
        if not self._hooks:
            return
        self._session = session = aiohttp.ClientSession()
        for hook in self._hooks:
            supervisor.keep(f"webhook {hook.name}", partial(hook.run, session))

    async def close(self) -> None:
        """Give the leases back, after the supervisor stopped the tasks."""
        if self._session is not None:
            await self._session.close()
            for hook in self._hooks:
                await hook.close()

    async def backlogs(self) -> list[Backlog]:
        return [await hook.backlog() for hook in self._hooks]

    async def dead(self) -> tuple[DeadHook, ...]:
        """Endpoints that have failed for longer than their settings bear."""
        now = self._clock.now()
        return tuple(
            DeadHook(name=b.name, since=b.state.failing_since, events=b.events, oldest=b.oldest, problem=b.state.error)
            for b in await self.backlogs()
            if b.state.failing_since and now - b.state.failing_since >= self._dead_after[b.name]
        )
