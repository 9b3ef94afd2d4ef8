"""The running service's parts, as the edges (web, listeners, commands) see them.  Built in `service.app` only."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.model import Settings
from config.rules import Budget, Rule
from config.tables import Plan, ProviderRow
from core.ports import Clock
from core.tokens import TokenSigner
from monitor.projector import Projector
from sender.intake import Intake
from service.audience import Audience
from service.control import Control
from service.library import TemplateLibrary
from service.operator import Operator
from service.pressure import Pressure
from service.recipients import RecipientDesk
from service.tasks import Supervisor
from service.tlsrpt import TlsReporting
from service.warming import Warming
from service.watchdog import Watchdog
from service.webhooks import Webhooks
from storage.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a request handler may use."""

    settings: Settings
    clock: Clock
    stores: Stores
    intake: Intake
    signer: TokenSigner
    projector: Projector
    control: Control
    operator: Operator
    warming: Warming
    supervisor: Supervisor
    desk: RecipientDesk
    plans: tuple[Plan, ...]
    rules: tuple[Rule, ...]
    budget: Budget
    audience: Audience
    providers: tuple[ProviderRow, ...]
    webhooks: Webhooks
    pressure: Pressure
    watchdog: Watchdog
    library: TemplateLibrary
    reporting: TlsReporting
    sandbox: bool = False
    notes: dict[str, str] = field(default_factory=dict)  # texts for people, e.g. the sandbox's story
