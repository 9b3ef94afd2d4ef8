"""A gate as JSON: one form for `GET /v1/pauses`, `GET /v1/status` and the commands' `--json`."""

from __future__ import annotations

from core.clock import iso
from core.state import Gate


def gate_json(gate: Gate) -> dict[str, object]:
    """Instants are ISO 8601 in UTC, rates shares of 1; `until` is null without end, `evidence` of a person's word."""
    evidence = gate.evidence
    return {
        "id": gate.pause_id, "scope": gate.scope.key, "spares": list(gate.scope.spare), "state": str(gate.state),
        "rule": gate.rule, "since": iso(gate.since), "until": iso(gate.until) if gate.until else None,
        "reason": gate.reason, "by": gate.by, "limit": gate.limit,
        "evidence": None if evidence is None else {
            "numerator": evidence.numerator, "denominator": evidence.denominator, "rate": evidence.rate,
            "threshold": evidence.threshold, "e_value": evidence.e_value, "acts_at": evidence.limit,
            "samples": list(evidence.samples),
        },
    }  # fmt: skip
