"""Preview and lint of templates over HTTP, for editors of campaigns.

Contract: nothing is stored or sent.  The work runs in a thread, since a large page takes tens of milliseconds and the
loop sends mail meanwhile.  A template that cannot be rendered is an error (422) of preview, and a finding of lint.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web
from pydantic import Field

from core.errors import LimitExceeded
from sender.preparing.lint import lint
from sender.preparing.preview import preview
from service.commands.templates import finding_json
from service.web.bodies import BodyModel

MAX_BODY = 4_000_000  # bytes


class TemplateBody(BodyModel):
    """POST /v1/templates/preview: the parts of a message and sample values."""

    sender: str = Field("", alias="from", max_length=1000)
    subject: str = Field("", max_length=2000)
    preheader: str = Field("", max_length=2000)
    text: str = ""
    html: str = ""
    utm: str = Field("", max_length=4000)
    variables: dict[str, str] = Field(default_factory=dict, max_length=100)
    stream: str = Field("", max_length=64, description="For UTM parameters")
    campaign: str = Field("", max_length=100, description="For UTM parameters")

    def parts(self) -> dict[str, str]:
        """Those that are not empty."""
        named = {
            "from": self.sender, "subject": self.subject, "preheader": self.preheader, "text": self.text,
            "html": self.html, "utm": self.utm,
        }  # fmt: skip
        return {name: text for name, text in named.items() if text}


class LintBody(TemplateBody):
    """POST /v1/templates/lint."""

    marketing: bool = Field(True, description="Ask for a link to unsubscribe and a postal address")
    legal_address: str = Field("", max_length=500, description="The sender's, which must then stand in it")


async def post_preview(request: web.Request) -> web.Response:
    """The finished parts and their sizes."""
    body = TemplateBody.model_validate_json(await _read(request))
    seen = await asyncio.to_thread(
        preview, body.parts(), body.variables, source=_domain(body.sender), campaign=body.campaign,
        stream=body.stream,
    )  # fmt: skip
    shown = asdict(seen)
    shown["from"] = shown.pop("sender")
    return web.json_response(shown)


async def post_lint(request: web.Request) -> web.Response:
    """Findings, worst first, in English and Russian."""
    body = LintBody.model_validate_json(await _read(request))
    variables = body.variables if "variables" in body.model_fields_set else None
    findings = await asyncio.to_thread(
        lint, body.parts(), variables, marketing=body.marketing, legal_address=body.legal_address
    )
    return web.json_response({"findings": [finding_json(finding) for finding in findings]})


async def _read(request: web.Request) -> bytes:
    content = await request.read()
    if len(content) > MAX_BODY:
        raise LimitExceeded("body", f"has {len(content)} bytes", f"At most {MAX_BODY}")
    return content


def _domain(sender: str) -> str:
    return sender.rpartition("@")[2].rstrip("> ") or "example.com"
