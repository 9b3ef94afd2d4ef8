"""The OpenAPI document is true: every operation of a running service answers as it says, given its own example."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from service.web.api import ROUTES
from service.web.openapi import openapi_document
from service.web.openapi_words import WORDS
from tests.unit.service.running import TOKENS, Caller, running

DOCUMENT = openapi_document()
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), "null": (type(None),),
}  # fmt: skip
# what a service without seed mailboxes, reports or reactions cannot do
REFUSED = {
    "POST /v1/rules/end": 422, "POST /v1/placement": 422, "GET /v1/placement/{id}": 404, "GET /v1/reports/{id}": 404,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    extra = '[[sources]]\nname = "mta1"\nehlo = "mta1.example.com"\n'
    async with running(tmp_path_factory.mktemp("service"), extra) as made:
        yield made


def test_no_route_lacks_words_and_no_words_lack_a_route() -> None:
    served = {f"{route.method} {route.path}" for route in ROUTES}
    assert served <= set(WORDS)
    assert set(WORDS) - served == {"GET /healthz", "GET /readyz"}
    told = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == served | {f"GET {path}" for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")}


def misfits(value: Any, schema: dict[str, Any], where: str = "answer") -> list[str]:
    """Where the value is not as the schema says, or has what it does not name."""
    if "anyOf" in schema:
        return min((misfits(value, one, where) for one in schema["anyOf"]), key=len)
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    allowed = tuple(one for name in names for one in TYPES[name])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        return [f"{where}: {value!r} is no {names}"]
    found = []
    if isinstance(value, dict):
        found += [f"{where}.{key} is missing" for key in schema.get("required", ()) if key not in value]
        for key, inner in schema.get("properties", {}).items():
            found += misfits(value[key], inner, f"{where}.{key}") if key in value else []
        for key in value if "additionalProperties" in schema else ():
            found += misfits(value[key], schema["additionalProperties"], f"{where}.{key}")
        if "properties" in schema:
            found += [f"{where}.{key} is not told of" for key in value if key not in schema["properties"]]
    if isinstance(value, list):
        for number, one in enumerate(value):
            found += misfits(one, schema["items"], f"{where}[{number}]") if "items" in schema else []
    return found


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        (None, {"type": "string"}),
        ({}, {"type": "object", "required": ["id"]}),
        ({"id": "", "new": 1}, {"type": "object", "properties": {"id": {"type": "string"}}}),
        ({"any": "word"}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        ({}, {"anyOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]}),
        ([{"id": 1}], {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}}),
    ],
)
def test_the_check_itself_finds_what_is_wrong(value: object, schema: dict[str, Any]) -> None:
    assert misfits(value, schema)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_operation_answers_as_the_document_says(caller: Caller) -> None:
    await caller.call("POST", "/v1/warmup/import", headers={"Content-Type": "text/csv"})
    paused = await caller.call("POST", "/v1/pauses", {"scope": "stream=bulk", "reason": "for the story"})
    rows = await caller.inject("bob@example.net", campaign="spring")
    known = {
        "/v1/messages/{id}": rows[0]["id"], "/v1/pauses/{id}": paused[1]["pause"]["id"],
        "/v1/lanes/{key}": "a|example.com|gmail", "/v1/campaigns/{name}": "spring",
        "/v1/suppressions/{address}": "ann@example.net",
        "/v1/consents/{address}": "ann@example.net", "/v1/tls-reports/{domain}": "example.net",
        "/v1/placement/{id}": "nothing", "/v1/reports/{id}": "1",
    }  # fmt: skip
    wrong: list[str] = []
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if path in ("/metrics", "/openapi.json"):
                continue
            key = f"{method.upper()} {path}"
            address = path if "{" not in path else path[: path.index("{")] + quote(known[path], safe="")
            sent: dict[str, Any] = {}
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                example = content["example"]
                sent = {"json": example} if kind == "application/json" else {"data": example.encode()}
            async with caller.session.request(
                method, caller.base + address, headers={"Authorization": f"Bearer {TOKENS['admin']}"}, **sent
            ) as answer:
                document = await answer.json()
            expected = REFUSED.get(key) or int(next(code for code in operation["responses"] if code.isdigit()))
            if answer.status != expected:
                wrong.append(f"{key}: {answer.status} in place of {expected}: {document}")
                continue
            responses = operation["responses"]
            said = responses["4XX" if expected >= 400 else str(expected)]["content"]["application/json"]["schema"]
            schema = DOCUMENT["components"]["schemas"]["Problem"] if "$ref" in said else said
            wrong += [f"{key}: {one}" for one in misfits(document, schema)]
    assert not wrong, "\n".join(wrong)
