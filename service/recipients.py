"""Everything that serves recipients, joined: unsubscribing, wishes, consents, opens and clicks.

Marks of opens and clicks are forgotten after `tracking.keep_days`; the events stay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Self

from collectors.engagement.recorder import Recorder
from config.machines import load_machines
from config.model import Settings
from core.errors import PenstockError
from core.ports import Clock
from core.tokens import TokenSigner
from sender.intake import Intake
from service.optins import OptIns
from service.preferences import Preferences
from service.unsubscribe import Unsubscriber
from storage.stores import Stores

logger = logging.getLogger("penstock.recipients")
DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientDesk:
    """See the module."""

    unsubscriber: Unsubscriber
    preferences: Preferences
    optins: OptIns
    recorder: Recorder
    stores: Stores
    keep_days: int

    @classmethod
    def build(cls, *, settings: Settings, signer: TokenSigner, stores: Stores, intake: Intake, clock: Clock) -> Self:
        """Join the parts.  Raises InvalidInput when the table of machines cannot be read."""
        unsubscriber = Unsubscriber(signer=signer, log=stores.log, suppressions=stores.suppressions, clock=clock)
        return cls(
            unsubscriber=unsubscriber,
            preferences=Preferences(
                settings=settings, signer=signer, unsubscriber=unsubscriber, suppressions=stores.suppressions,
                frequencies=stores.choices, clock=clock,
            ),
            optins=OptIns(
                settings=settings, signer=signer, intake=intake, consents=stores.consents,
                suppressions=stores.suppressions, clock=clock,
            ),
            recorder=Recorder(
                log=stores.log, engagements=stores.engagements, clock=clock,
                machines=load_machines(settings.tracking.machines),
            ),
            stores=stores, keep_days=settings.tracking.keep_days,
        )  # fmt: skip

    async def forget(self, now: float) -> int:
        """Drop marks that are too old to matter.  How many."""
        return await self.stores.engagements.forget(now - self.keep_days * DAY)

    async def stop(self) -> None:
        """Write what was noted, as far as the database takes it."""
        try:
            while self.recorder.waiting:
                await self.recorder.step(settled=True)
        except PenstockError as error:
            logger.warning("%d opens and clicks are lost: %s", self.recorder.waiting, error)
