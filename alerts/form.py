"""The form of every alert that is not a gate's: labels are identity, everything that may change is an annotation."""

from __future__ import annotations

from core.state import Alert

DASHBOARD = "/"
_PAGE = {
    **dict.fromkeys(("SeedBlind", "SeedLoginDead"), "/placement#seeds"),
    **dict.fromkeys(("NewSource", "AlignmentDrop", "PolicyChanged"), "/dmarc#sources"),
    **dict.fromkeys(("ReporterMissing", "ReportsUnreadable"), "/dmarc#reporters"),
    **dict.fromkeys(("RuleFiring",), "/signals#findings"),
    **dict.fromkeys(("ReplyRule",), "/#replies"),
    **dict.fromkeys(("UnmatchedReplies", "ClassesShifted"), "/#unknown-replies"),
    **dict.fromkeys(("QueueStuck", "MailStrayed"), "/#queue"),
}


def page_of(name: str) -> str:
    """The page that shows most about an alert of this name: a path of ours, the dashboard for most."""
    return _PAGE.get(name, DASHBOARD)


def form_alert(name: str, severity: str, parts: dict[str, str], since: float, dashboard: str, **said: str) -> Alert:
    """An alert with the scope made of `parts`; `said` holds at least `summary` and `remedy`."""
    scope = ",".join(f"{key}={value}" for key, value in parts.items()) or "all"
    labels = {"alertname": name, "severity": severity, "scope": scope, "service": "penstock", **parts}
    said.setdefault("description", f"{said['summary']}. {said['remedy']}")
    link = f"{dashboard}{page_of(name)}" if dashboard else ""
    return Alert(labels=labels, annotations=said, starts_at=since, ends_at=0.0, link=link)
