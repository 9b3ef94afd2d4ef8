"""JSON Schema of `penstock.toml` (draft 2020-12), for editors and for `penstock config schema`.

It says what the model says: names, types, ranges, defaults.  Checks that need several keys (see `config.checks`) have
no place in it; `penstock config check` runs those.
"""

from __future__ import annotations

from typing import Any

from config.model import Settings


def settings_schema() -> dict[str, Any]:
    """The schema as a JSON-ready dict, the same for the same version of Penstock."""
    schema = Settings.model_json_schema()
    schema.pop("description", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "penstock.toml",
        "description": "Settings of Penstock. Relative paths count from the folder of the file.",
        **{key: value for key, value in schema.items() if key != "title"},
    }
