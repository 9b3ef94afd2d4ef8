"""The OpenAPI 3.1 document, made from the same table that serves the routes, so it cannot lag behind them."""

from __future__ import annotations

import re
from typing import Any

from service.web.api import ROUTES, RouteDoc


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
        }
    }
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
    }


def _operation(route: RouteDoc, schemas: dict[str, Any]) -> dict[str, Any]:
    failed = {
        "description": "What was wrong, where, and the remedy",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
        "responses": {str(route.success): {"description": "Done"}, "4XX": failed, "503": failed},
    }
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[route.body.__name__] = schema
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.body.__name__}"}}},
        }
    return operation
