"""Reply rules over HTTP: what they are, what is in force, what rests, and replies that no rule knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import Field

from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY
from core.replyrules import ReactionRule
from service.reactions import cluster_json, end_reaction, reaction_json, rest_json, rule_json
from service.web.auth import caller_of
from service.web.bodies import BodyModel
from service.web.keys import PARTS

# read and checked once, at start: that takes a quarter of a second
REPLY_RULES = web.AppKey("reply_rules", list[tuple[ReactionRule, str]])


class EndBody(BodyModel):
    """POST /v1/rules/end."""

    key: str = Field(max_length=2000, description="As GET /v1/rules names it")


async def get_rules(request: web.Request) -> web.Response:
    """Every rule in its order, the reactions in force, the pairs that rest."""
    parts = request.app[PARTS]
    now, lore = parts.clock.now(), parts.stores.lore
    return web.json_response(
        {
            "now": iso(now),
            "rules": [rule_json(rule, note) for rule, note in request.app[REPLY_RULES]],
            "in_force": [reaction_json(one, now) for one in await lore.in_force()],
            "rests": [rest_json(one) for one in await lore.resting(now)],
        }
    )  # fmt: skip


async def post_rules_end(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = EndBody.model_validate_json(await request.read())
    ended = await end_reaction(parts.stores.lore, body.key, by=caller_of(request), now=parts.clock.now())
    return web.json_response({"ended": ended.key})


async def get_unknown(request: web.Request) -> web.Response:
    """Clusters, most frequent first."""
    parts = request.app[PARTS]
    try:
        days, limit = float(request.query.get("days", "7")), int(request.query.get("limit", "100"))
    except ValueError as error:
        raise InvalidInput("days, limit", "is no number", "Give numbers, e.g. days=7&limit=100") from error
    if not 0 < days <= 400 or not 0 < limit <= 1000:
        raise InvalidInput("days, limit", "is out of range", "Up to 400 days and 1000 clusters")
    found = await parts.stores.feedback.clusters(parts.clock.now() - days * DAY, limit)
    return web.json_response({"clusters": [cluster_json(one) for one in found]})


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REPLY_ROUTES: tuple[tuple[str, str, Handler, str, type[BodyModel] | None], ...] = (
    ("GET", "/v1/rules", get_rules,
     "Reply rules, their reactions in force, pairs of source and site that rest", None),
    ("POST", "/v1/rules/end", post_rules_end, "End a reaction of a reply rule", EndBody),
    ("GET", "/v1/replies/unknown", get_unknown,
     "Replies that no rule knows, clustered, with a sample each (days=7, limit=100)", None),
)  # fmt: skip
