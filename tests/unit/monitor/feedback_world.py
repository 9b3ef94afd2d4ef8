"""The follower over a real store in memory, with a clock and a name server of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from config.model import Suppression as Policy
from config.replies import shipped_classifier
from core.address import parse_address
from core.classify import BounceClass
from core.clock import FixedClock
from core.events import Bounced, BounceReceived, Deferred, Delivered, Event, SuppressionReason
from core.lane import DAY, Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.ports import NameMissing, ResolverFailed
from core.reply import Reply, parse_reply
from core.state import MxHost, Suppression
from core.tokens import MessageId, new_message_id
from monitor.feedback.follower import Follower
from storage.stores import Stores, open_stores

START = 20_000 * DAY + 10 * 3600
CLASSIFIER = shipped_classifier()


@dataclass
class Names:
    """DNS: domains that do not exist, and domains about which nothing is known."""

    missing: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def mx(self, domain: str) -> list[MxHost]:
        self.asked.append(domain)
        if domain in self.missing:
            raise NameMissing(domain)
        if domain in self.failing:
            raise ResolverFailed(domain)
        return [MxHost(preference=10, host=f"mx.{domain}")]

    async def addresses(self, host: str) -> list[str]:
        raise ResolverFailed(host)

    async def txt(self, name: str) -> list[str]:
        raise ResolverFailed(name)

    async def ptr(self, ip: str) -> list[str]:
        raise ResolverFailed(ip)


@dataclass
class World:
    """See the module."""

    stores: Stores
    clock: FixedClock
    names: Names
    follower: Follower
    policy: Policy

    def again(self) -> Follower:
        """A follower of another process."""
        return Follower(
            log=self.stores.log, store=self.stores.feedback, suppressions=self.stores.suppressions,
            classifier=CLASSIFIER, policy=self.policy, clock=self.clock, resolver=self.names,
        )  # fmt: skip

    def _common(self, address: str, provider: str, message_id: MessageId | None) -> dict[str, object]:
        lane = Lane(source=Source("s1"), sending_domain=SendingDomain("news.example"), provider=Provider(provider))
        return {
            "at": self.clock.now(), "message_id": message_id or new_message_id(self.clock.now()), "recipient": address,
            "attribution": Attribution(
                traffic=Traffic(lane=lane, stream=Stream("bulk")), cohort=cohort_of(self.clock.now())
            ),
        }  # fmt: skip

    def delivered(self, address: str, *, provider: str = "gmail", message_id: MessageId | None = None) -> Delivered:
        return Delivered(
            **self._common(address, provider, message_id), site="mx.x", remote="mx.x", tls="", latency=1.0,  # type: ignore[arg-type]
            reply=Reply(code=250, text="ok"), attempt=1,
        )  # fmt: skip

    def refused(
        self, address: str, said: str = "550 5.1.1 User unknown", *, provider: str = "gmail", attempt: int = 1
    ) -> Bounced | Deferred:
        reply = parse_reply(said)
        common = self._common(address, provider, None)
        found = CLASSIFIER.classify(reply, provider).bounce_class
        if reply.is_transient:
            return Deferred(
                **common, site="mx.x", remote="mx.x", reply=reply, bounce_class=found, attempt=attempt,  # type: ignore[arg-type]
                retry_at=self.clock.now() + 600,
            )  # fmt: skip
        return Bounced(**common, site="mx.x", remote="mx.x", reply=reply, bounce_class=found, attempt=attempt)  # type: ignore[arg-type]

    def returned(self, address: str, said: str, message_id: MessageId, *, provider: str = "gmail") -> BounceReceived:
        reply = parse_reply(said)
        return BounceReceived(
            **self._common(address, provider, message_id), reply=reply, terminal=True,  # type: ignore[arg-type]
            bounce_class=CLASSIFIER.classify(reply, provider).bounce_class,
        )  # fmt: skip

    async def log(self, *events: Event) -> None:
        """Write events as sender and collectors do: what is proof at once suppresses in the same transaction."""
        for event in events:
            entries = []
            if isinstance(event, Bounced | BounceReceived) and event.bounce_class is BounceClass.UNKNOWN_USER:
                address = parse_address(event.recipient).normal
                entries = [
                    Suppression(
                        address=address, stream="", reason=SuppressionReason.HARD_BOUNCE, at=event.at,
                        evidence=str(event.reply),
                    )
                ]  # fmt: skip
            await self.stores.suppressions.add(entries, None, [event])
        await self.follower.tick()

    async def suppressed(self) -> list[str]:
        return [entry.address for entry in await self.stores.suppressions.page(limit=1000)]

    async def events(self, kind: type[Event]) -> Sequence[Event]:
        return [logged.event for logged in await self.stores.log.read(0, 10_000) if isinstance(logged.event, kind)]


@asynccontextmanager
async def world(policy: Policy | None = None) -> AsyncIterator[World]:
    """An empty store."""
    stores = await open_stores("sqlite://", inline=True)
    clock, names, policy = FixedClock(START), Names(), policy or Policy()
    follower = Follower(
        log=stores.log, store=stores.feedback, suppressions=stores.suppressions, classifier=CLASSIFIER, policy=policy,
        clock=clock, resolver=names,
    )  # fmt: skip
    made = World(stores=stores, clock=clock, names=names, follower=follower, policy=policy)
    try:
        yield made
    finally:
        await stores.close()


__all__ = ["CLASSIFIER", "START", "BounceClass", "World", "world"]
