"""The OpenAPI 3.1 document, made from the same table that serves the routes, so it cannot lag behind them."""

from __future__ import annotations

import re
from typing import Any

from service.web.api import ROUTES, RouteDoc
from service.web.openapi_words import WORDS, Words, schema_of

_OPEN: dict[str, tuple[str, str]] = {
    "GET /healthz": ("healthz", "The process lives; needs no token"),
    "GET /readyz": ("readyz", "It can do its work; 503 with what is wrong; needs no token"),
}
_DESCRIPTION = """Inject mail, see what became of it, pause and resume.

Instants are RFC 3339 in UTC by the service's clock.  Every refusal has one form: `error.field` (what was wrong),
`error.problem`, `error.remedy`.  Tokens have the scope `read` (GET), `inject` (also POST /v1/messages, /v1/optins and
/v1/templates/…) or `admin` (everything).
"""


def openapi_document() -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, Any] = {
        "Problem": {
            "type": "object",
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in ("field", "problem", "remedy")},
                    "required": ["field", "problem", "remedy"],
                }
            },
            "required": ["error"],
        }
    }
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for key, (name, summary) in _OPEN.items():
        answers = {"200": _answer(WORDS[key])} | ({"503": _answer(WORDS[key])} if name == "readyz" else {})
        paths[key.partition(" ")[2]] = {
            "get": {"summary": summary, "operationId": name, "security": [], "responses": answers}
        }
    paths["/metrics"] = {
        "get": {
            "summary": "Gauges and today's counters for Prometheus", "operationId": "metrics",
            "responses": {"200": {"description": "Text format 0.0.4", "content": {"text/plain": {}}}, "4XX": _FAILED},
        }
    }  # fmt: skip
    paths["/openapi.json"] = {
        "get": {
            "summary": "This document", "operationId": "openapi",
            "responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {}}}, "4XX": _FAILED},
        }
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock", "version": "1", "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
    }  # fmt: skip


_FAILED = {
    "description": "What was wrong, where, and the remedy",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _answer(words: Words) -> dict[str, Any]:
    return {"description": "Done", "content": {"application/json": {"schema": schema_of(words.answer)}}}


def _operation(route: RouteDoc, schemas: dict[str, Any]) -> dict[str, Any]:
    # a route without words fails a test, not the document
    words = WORDS.get(f"{route.method} {route.path}", Words(answer=dict))
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", route.path)
            ),
            *(
                {"name": name, "in": "query", "description": text, "schema": schema_of(kind)}
                for name, (kind, text) in words.query.items()
            ),
        ],
        "responses": {str(route.success): _answer(words), "4XX": _FAILED, "503": _FAILED},
    }
    if route.path == "/v1/messages":
        operation["parameters"].append(
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200},
             "description": "For seven days the same key gets the same answer and sends nothing"}
        )  # fmt: skip
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[route.body.__name__] = schema
        form: dict[str, Any] = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        content: dict[str, Any] = {"application/json": {"schema": form, "example": words.example}}
    elif words.example is not None:
        content = {words.content: {"schema": {"type": "string"}, "example": words.example}}
    else:
        return operation
    operation["requestBody"] = {"required": True, "content": content}
    return operation
