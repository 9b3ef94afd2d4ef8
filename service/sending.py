"""What sends, wired: the same in the main process and in each sender process.

`build_sending` joins store, resolver and gate into a dispatcher.  `share` is (which, of how many) of the processes of
this node that send: a provider's limit of connections is divided among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.load import load_rulebook
from config.model import Settings
from config.provider_limits import owner_rows
from config.reactions import load_reaction_rules, load_retries
from config.replies import shipped_classifier
from config.tables import Plan, ProviderRow
from core.clock import SystemClock
from core.messages import Node
from core.ports import Resolver
from core.replyrules import RuleBook
from core.tokens import TokenSigner
from sender.compose import Composer
from sender.dispatch import Dispatcher
from sender.dkim import DkimSigner
from sender.replies.exchange import Replies
from sender.route import Router
from sender.schedule import RetrySchedule
from sender.sts_cache import StsPolicies
from sender.transport import SmtpTransport
from service.canaries import canary_terms
from service.control import Control, StartingAdmission
from service.resolver import DnsResolver
from service.sts import HttpsPolicyFetcher
from service.tlsbook import TlsBook
from storage.stores import Stores
from warmup.admission import GateAdmission


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The parts that run and are closed with the process."""

    dispatcher: Dispatcher
    router: Router
    book: TlsBook
    fetcher: HttpsPolicyFetcher

    async def close(self) -> None:
        """After the dispatcher ended: write what is noted, close what is open."""
        await self.book.flush()
        await self.fetcher.close()


def build_sending(
    settings: Settings,
    *,
    node: Node,
    stores: Stores,
    resolver: Resolver,
    clock: SystemClock,
    control: Control,
    signer: TokenSigner,
    plans: Sequence[Plan],
    providers: Sequence[ProviderRow],
    share: tuple[int, int] = (0, 1),
) -> Sending:
    """Wire it.  Raises InvalidInput when a key cannot be read."""
    fetcher = HttpsPolicyFetcher(resolver, ca_file=settings.delivery.ca_file)
    sts = settings.delivery.mta_sts and settings.delivery.tls != "off"
    policies = StsPolicies(resolver, fetcher, stores.meta, clock) if sts else None
    book = TlsBook(stores.log)
    terms = canary_terms(settings, load_rulebook(settings).rules)
    canaries = {stream: one.messages for stream, one in terms.items()}
    router = Router(resolver, providers, relays=settings.relays, policies=policies)
    rules = RuleBook(load_reaction_rules(settings), [row.name for row in providers])
    dispatcher = Dispatcher(
        node=node, settings=settings, queue=stores.queue, spool=stores.spool, log=stores.log, clock=clock,
        router=router,
        transport=SmtpTransport(
            settings, resolver, providers, clock, tlsa=resolver if isinstance(resolver, DnsResolver) else None,
            book=book,
        ),
        admission=StartingAdmission(GateAdmission(plans, settings, canaries), control),
        composer=Composer(signer, settings, DkimSigner(settings.sending_domains)),
        classifier=shipped_classifier(),
        schedule=RetrySchedule(settings.delivery, rows=load_retries(settings)),
        providers=owner_rows(providers, settings.provider_limits),
        snapshot=control.snapshot, spent=control.spent, share=share, rates=stores.rates,
        replies=Replies(rules, stores.lore, node, share=share),
    )  # fmt: skip
    return Sending(dispatcher=dispatcher, router=router, book=book, fetcher=fetcher)
