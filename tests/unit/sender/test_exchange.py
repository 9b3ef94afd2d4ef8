"""What a sender process believes at its start of what was learned before."""

from __future__ import annotations

from typing import cast

from core.messages import Node
from core.reaction import Learned, Lore, Rest
from core.replyrules import RuleBook
from sender.replies.exchange import Replies

NOW = 1_800_000_000.0


class Known:
    """A store that knows two rests."""

    async def everything(self, now: float, *, writer: str) -> Learned:
        return Learned(
            rests=tuple(
                Rest(source="mta1", site=site, troubled=now - 60, until=now + 600, strikes=3, width=1)
                for site in ("mx.alpha.test", "relay:smart")
            )
        )


async def test_a_start_tries_a_relay_at_once_and_leaves_providers_their_rest() -> None:
    replies = Replies(RuleBook([]), cast(Lore, Known()), Node("n1"))
    await replies.start(NOW)
    assert replies.rest.until("mta1", "mx.alpha.test") == NOW + 600
    assert replies.rest.until("mta1", "relay:smart") == 0
    assert replies.rest.troubled("mta1", "relay:smart"), "the alert stays until it takes mail"
