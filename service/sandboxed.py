"""`penstock sandbox`: the same service, with the emulated providers around it.

The only differences to `penstock run` are data: the settings come from `sandbox.world`, DNS answers from a built-in
zone, and the clock runs a day in some seconds.  Stopped and started again it goes on where it was: the store, the
clock's instant and the story's position are kept in the data folder.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from config.load import load_settings
from core.clock import ScaledClock, SystemClock
from core.errors import InvalidInput
from core.events import Door
from core.lane import DAY
from sandbox.scenario import ScenarioMail
from sandbox.settings import DKIM_KEYS, folder_of
from sandbox.world import World
from sender.dkim import new_key
from sender.intake import Injection, RecipientIn
from service.app import Service
from service.clockstore import resumed_clock
from storage.stores import Stores, open_stores

STATE_KEY = "sandbox"
SEED = 20261125
_SMTP_PORT, _INBOUND_PORT, _SUBMISSION_PORT = 2525, 2626, 2587


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """What the command line says.  `day_seconds` real seconds a day takes."""

    data: Path
    port: int
    day_seconds: float
    fresh: bool


class SandboxService(Service):
    """The service and its world, started and stopped together."""

    world: World

    async def start(self) -> None:
        """The world first: the service finds its providers up."""
        await self.world.start()
        await super().start()

    async def stop(self) -> None:
        """The story ends first, so that nothing is injected into closed doors."""
        try:
            await self.world.stop()
        finally:
            await super().stop()


async def open_sandbox(options: SandboxOptions) -> SandboxService:
    """Prepare the data folder and wire everything.  Raises InvalidInput for impossible options."""
    if not 1 <= options.day_seconds <= DAY:
        raise InvalidInput("--day-seconds", f"{options.day_seconds:g} is out of range", "Give 1 to 86400")
    _prepare(options)
    stores = await open_stores(f"sqlite:///{options.data / 'penstock.db'}")
    clock = await resumed_clock(stores.meta, _midnight(), DAY / options.day_seconds)
    return await _wire(options, stores, clock)


async def _wire(options: SandboxOptions, stores: Stores, clock: ScaledClock) -> SandboxService:
    async def inject(mail: ScenarioMail) -> None:
        parts = {"from": mail.sender, "subject": mail.subject, "text": mail.text, "html": mail.html}
        await service.parts.intake.submit(
            Injection(
                stream=mail.stream, campaign=mail.campaign, sender=mail.sender, door=Door.HTTP,
                recipients=tuple(RecipientIn(address=address) for address in mail.recipients), parts=parts,
            )
        )  # fmt: skip

    async def load_state() -> str | None:
        return await stores.meta.get(STATE_KEY)

    async def save_state(text: str) -> None:
        await stores.meta.put(STATE_KEY, text)

    world = World(
        clock=clock, seed=SEED, port=_SMTP_PORT, feedback_to=("127.0.0.1", _INBOUND_PORT), inject=inject,
        load_state=load_state, save_state=save_state,
    )  # fmt: skip
    config = options.data / "penstock.toml"
    config.write_text(world.settings_toml(options.data, options.port, _SUBMISSION_PORT), encoding="utf-8")
    settings = load_settings(config)
    service = await SandboxService.build(settings, clock, stores=stores, resolver=world.resolver, sandbox=True)
    service.world = world
    return service


def _prepare(options: SandboxOptions) -> None:
    for old in list(options.data.iterdir()) if options.fresh and options.data.exists() else ():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.suffix != ".lock":  # ours by now
            old.unlink()
    folder = folder_of(options.data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _selector, algorithm, name in DKIM_KEYS:
        path = folder / name
        if not path.exists():
            pem, _record = new_key(algorithm)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)


def _midnight() -> float:
    """The story begins at the start of a UTC day."""
    return SystemClock().now() // DAY * DAY
