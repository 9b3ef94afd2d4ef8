"""Placement tests over HTTP: send one, and see where the copies landed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web
from pydantic import Field

from core.clock import iso
from service.placement import MAX_TESTS, PlacementDesk, PlacementOrder
from service.placement_views import PlacementViews, digest_json
from service.web.asked import number
from service.web.auth import caller_of, problem
from service.web.bodies import BodyModel
from service.web.keys import PARTS

PLACEMENT = web.AppKey("placement", PlacementDesk)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PlacementBody(BodyModel):
    """POST /v1/placement: what each seed mailbox is sent."""

    stream: str = Field(max_length=64)
    campaign: str = Field("", max_length=100)
    sender: str = Field("", alias="from", max_length=1000)
    template: str = Field("", max_length=100, description="Name of a stored template; parts given here replace its")
    subject: str = Field("", max_length=2000)
    preheader: str = Field("", max_length=2000)
    text: str = ""
    html: str = ""
    utm: str = Field("", max_length=4000)
    variables: dict[str, str] = Field(default_factory=dict, max_length=100)
    providers: list[str] = Field(default_factory=list, max_length=50, description="Seeds there only; all when empty")


def views_of(request: web.Request) -> PlacementViews:
    """The views at this moment."""
    parts = request.app[PARTS]
    return PlacementViews(
        request.app[PLACEMENT], parts.stores, parts.clock.now(), stale_days=parts.settings.seeds.stale_days
    )


async def get_tests(request: web.Request) -> web.Response:
    """Tests, newest first."""
    found = await views_of(request).digests(number(request, "limit", 20, MAX_TESTS))
    return web.json_response({"tests": [digest_json(one, full=False) for one in found]})


async def get_test(request: web.Request) -> web.Response:
    """One test with every mailbox."""
    digest = await views_of(request).digest(request.match_info["id"])
    if digest is None:
        return problem(404, "id", "no placement test of that id is in the log", "See GET /v1/placement for the ids")
    return web.json_response(digest_json(digest, full=True))


async def get_seeds(request: web.Request) -> web.Response:
    """The mailboxes, what is wrong with them, and their newest outcomes."""
    seeds = request.app[PARTS].settings.seeds.mailboxes
    found = await views_of(request).seeds([(seed.mailbox, seed.provider) for seed in seeds])
    rows = [{**asdict(one), "since": iso(one.since) if one.since else None} for one in found]
    return web.json_response({"seeds": rows})


async def post_test(request: web.Request) -> web.Response:
    """Send one."""
    parts = request.app[PARTS]
    body = PlacementBody.model_validate_json(await request.read())
    content = await parts.library.parts(body.template) if body.template else {}
    given = {
        "from": body.sender, "subject": body.subject, "preheader": body.preheader, "text": body.text,
        "html": body.html, "utm": body.utm,
    }  # fmt: skip
    content |= {name: text for name, text in given.items() if text}
    started = await request.app[PLACEMENT].start(
        PlacementOrder(
            stream=body.stream, parts=content, variables=body.variables, by=caller_of(request), sender=body.sender,
            campaign=body.campaign, providers=tuple(body.providers),
        )
    )  # fmt: skip
    return web.json_response(
        {
            "id": started.test_id, "accepted": sum(bool(copy.message_id) for copy in started.copies),
            "copies": [
                {"mailbox": c.mailbox, "provider": c.provider, "message_id": c.message_id or None, "reason": c.reason}
                for c in started.copies
            ],
        },
        status=202,
    )  # fmt: skip


PLACEMENT_ROUTES: tuple[tuple[str, str, Handler, str, type[BodyModel] | None, int], ...] = (
    ("GET", "/v1/placement", get_tests, "Placement tests, newest first, with shares and intervals", None, 200),
    ("POST", "/v1/placement", post_test, "Send one copy to each seed mailbox", PlacementBody, 202),
    ("GET", "/v1/placement/seeds", get_seeds, "Seed mailboxes: dead logins, stale ones, newest outcomes", None, 200),
    ("GET", "/v1/placement/{id}", get_test, "One placement test, mailbox by mailbox", None, 200),
)
