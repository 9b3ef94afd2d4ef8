"""Returned mail of every form: the project's own samples, and the shared corpus when it is there.

A case is `NNN-name.eml` with `NNN-name.json` beside it in tests/corpus/bounces: kind, recipients, feedback type.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.bounces import FORMATS
from collectors.parse import Kind, parse_mail

HERE = Path(__file__).resolve()
SAMPLES = HERE.parents[2] / "corpus" / "bounces"
SHARED = HERE.parents[3].parent / "shared/corpus/bounces"
SPARED = {"quota", "rate", "reputation", "policy", "authentication", "infrastructure"}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.eml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_sample_is_understood_in_every_line_ending(path: Path, line_end: bytes) -> None:
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    told = parse_mail(_with(path.read_bytes(), line_end)).to_json(path.name)
    assert told["kind"] == expected["kind"]
    assert [{key: row[key] for key in ("address", "action", "class")} for row in told["recipients"]] == expected[
        "recipients"
    ]
    assert told["feedback_type"] == expected.get("feedback_type", "")
    if told["kind"] == "refused":
        assert told["reason"]


def test_every_format_has_an_order_and_a_name_of_its_own() -> None:
    assert len({one.name for one in FORMATS}) == len(FORMATS) > 25
    assert [one.order for one in FORMATS] == sorted(one.order for one in FORMATS)


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n", b"\r"], ids=["as it is", "lf", "crlf", "cr"])
def test_the_shared_corpus_is_read_within_its_promises(line_end: bytes) -> None:
    if not SHARED.is_dir():
        print(f"NOT TESTED: {SHARED.name} is not beside the project")
        return
    labels: dict[str, list[dict[str, Any]]] = json.loads((SHARED / "labels.json").read_text(encoding="utf-8"))
    right = failures = found = hard = 0
    suppressed_wrongly: list[str] = []
    for name, rows in labels.items():
        mail = parse_mail(_with((SHARED / name).read_bytes(), line_end))
        if rows[0]["group"] in ("complaint", "auto_reply"):
            assert mail.kind is Kind(rows[0]["group"]), name
            continue
        failures += 1
        ours = {recipient.address.lower(): recipient for recipient in mail.recipients}
        wanted = {(row["recipient"] or "").lower() for row in rows}
        right += "" in wanted or wanted == set(ours)
        for row in rows:
            mine = ours.get((row["recipient"] or "").lower()) or (mail.recipients[0] if mail.recipients else None)
            suppresses = mine is not None and mine.diagnosis.suppresses
            if row["hard"]:
                hard += 1
                found += suppresses
            elif row["group"] in SPARED and suppresses:
                suppressed_wrongly.append(name)
    assert suppressed_wrongly == []
    assert right / failures >= 0.99
    assert found / hard >= 0.98


def _with(content: bytes, line_end: bytes) -> bytes:
    if not line_end:
        return content
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", line_end)
