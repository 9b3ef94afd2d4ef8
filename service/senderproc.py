"""One sender process: `python -m service.senderproc`, started by service.senders and by nobody else.

Contract: it reads its orders from standard input (see service.senders), opens a store of its own, and sends until that
input ends or SIGTERM comes: then the messages in flight end, the rest goes back to the queue.  It holds the gate by its
own look at the store every 0.4 s and at once when told.  What it does not hear about the monitor counts as lag: ramping
lanes then hold.  It never listens, monitors or alerts: that is the main process's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import IO

from config.load import load_plans, load_providers, load_rules
from config.model import Settings
from config.tokens import load_token_keys
from core.clock import SystemClock
from core.errors import PenstockError
from core.lane import Lane
from core.messages import Node
from core.ports import Leases
from core.state import Gate
from core.tokens import TokenSigner
from service.control import Control
from service.lean import lean
from service.logs import configure_logging
from service.loop import run
from service.resolver import DnsResolver
from service.senders import GATES, LAG, WAKE, lock_path
from service.sending import build_sending
from service.tasks import Supervisor
from storage.stores import open_stores
from warmup.steps import Steps

logger = logging.getLogger("penstock.senderproc")
_MAX_ORDERS = 4_000_000  # bytes
_NICE = 2  # taking mail over comes before sending it: what is queued is safe, who calls cannot wait
_LANE_LEASE = 5.0  # seconds in which one process of all starts lanes


class Heard:
    """The monitor as this process knows it: by word of the main process.  Silence is lag."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._at = time.monotonic()

    @property
    def gates(self) -> tuple[Gate, ...]:
        """None of its own: gates are read from the store."""
        return ()

    def lag(self) -> float:
        """Seconds that the monitor is behind, as far as is known here."""
        return self._lag + time.monotonic() - self._at

    def told(self, lag: float) -> None:
        """The main process said so just now."""
        self._lag, self._at = lag, time.monotonic()


class LaneStarter:
    """Starts lanes, but in one process at a time: two that start the same one would both tell it."""

    def __init__(self, steps: Steps, leases: Leases, node: Node) -> None:
        self._steps = steps
        self._leases = leases
        self._node = node

    async def ensure(self, lane: Lane, now: float) -> None:
        """See warmup.steps.  Another process's turn: admission asks again."""
        if await self._leases.acquire("start lanes", self._node, now, now + _LANE_LEASE):
            await self._steps.ensure(lane, now)


async def serve(orders: bytes, words: asyncio.StreamReader) -> None:
    """Send by these orders until told to stop."""
    told = json.loads(orders)
    settings = Settings.model_validate(told["settings"])
    node, index, of = Node(told["name"]), int(told["index"]), int(told["of"])
    stop, heard, clock = asyncio.Event(), Heard(), SystemClock()
    # an interrupt from the keyboard reaches every process of the terminal: only the main process acts on it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stores = await open_stores(settings.storage.url)
    plans, providers = load_plans(settings), load_providers()
    steps = Steps(
        plans=plans,
        allowances=stores.allowances,
        counters=stores.counters,
        log=stores.log,
        clock=clock,
        words={rule.name: rule.warmup for rule in load_rules(settings)},
    )
    control = Control(
        controls=stores.controls, allowances=stores.allowances, projector=heard, clock=clock,
        steps=LaneStarter(steps, stores.leases, node), on_change=lambda: sending.dispatcher.wake(),
    )  # fmt: skip
    sending = build_sending(
        settings, node=node, stores=stores, resolver=DnsResolver(settings.dns, clock), clock=clock, control=control,
        signer=TokenSigner(load_token_keys(settings.tokens.key_file), settings.tokens.max_age_days), plans=plans,
        providers=providers, share=(index, of),
    )  # fmt: skip
    supervisor = Supervisor()
    supervisor.spawn("words", _listen(words, heard, control, sending.dispatcher.mail_came, stop))
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_path(settings.data_dir, node).open("ab") as lock:
        try:
            if await _locked(lock, stop):
                await control.refresh()
                supervisor.keep("control", control.run)
                supervisor.keep("dispatch", sending.dispatcher.run)
                supervisor.keep("tls book", sending.book.run)
                lean()
                await stop.wait()
        finally:
            await supervisor.stop()
            await sending.close()
            await stores.close()


async def _listen(
    words: asyncio.StreamReader, heard: Heard, control: Control, mail_came: Callable[[], None], stop: asyncio.Event
) -> None:
    while word := await words.readline():
        if word == WAKE:
            mail_came()
        elif word == GATES:
            control.look()
        elif word.startswith(LAG):
            with contextlib.suppress(ValueError):
                heard.told(float(word[len(LAG) :]))
    stop.set()


async def _locked(lock: IO[bytes], stop: asyncio.Event) -> bool:
    """Wait until the predecessor of this name has ended.  False when told to stop meanwhile."""
    while not stop.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            return True
    return False


async def _main() -> int:
    configure_logging()
    os.nice(_NICE)
    words = asyncio.StreamReader(limit=_MAX_ORDERS)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    orders = await words.readline()
    if not orders.endswith(b"\n"):
        return 0  # the main process ended before it could speak
    try:
        await serve(orders, words)
    except PenstockError as error:
        logger.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run(_main()))
