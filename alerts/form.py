"""The form of every alert that is not a gate's: labels are identity, everything that may change is an annotation."""

from __future__ import annotations

from core.state import Alert


def form_alert(name: str, severity: str, parts: dict[str, str], since: float, dashboard: str, **said: str) -> Alert:
    """An alert with the scope made of `parts`; `said` holds at least `summary` and `remedy`."""
    scope = ",".join(f"{key}={value}" for key, value in parts.items()) or "all"
    labels = {"alertname": name, "severity": severity, "scope": scope, "service": "penstock", **parts}
    said.setdefault("description", f"{said['summary']}. {said['remedy']}")
    link = f"{dashboard}/" if dashboard else ""
    return Alert(labels=labels, annotations=said, starts_at=since, ends_at=0.0, link=link)
