"""Rows of the API's answers as forms (see `openapi_words`).

Where a route answers with the fields of a dataclass, its form is made of them and cannot lag behind; the others are
written out beside the function that makes the row.  Instants are RFC 3339, days the number of days since 1970-01-01
(`date` the same as 2026-12-31), shares and rates 0 to 1, sizes bytes.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from collectors.reports.readiness import Readiness
from collectors.reports.reconcile import Line
from config.egress import Limit, Pool
from core.audience import Engagement, Terms
from core.reports import Dim, FailureReport
from core.state import DmarcRecord, Observation
from monitor.figures import DIMENSIONS
from sender.preparing.preview import Preview
from service.figures import LaneFigures
from service.placement_views import SeedState
from service.report_views import Reporter, Selector, TlsLine
from service.waiting import BucketState
from service.webhooks import Backlog

Form = Any
NUMBER = (int, float)
TEXT = (str, None)


def fields_of(kind: Any) -> dict[str, Form]:
    """The form of a dataclass as `dataclasses.asdict` shows it."""
    hints = get_type_hints(kind)
    return {field.name: _form(hints[field.name]) for field in fields(kind)}


def _form(hint: Any) -> Form:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return tuple(None if one is types.NoneType else _form(one) for one in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str: _form(inner[1])}
    if origin is not None:
        return [_form(inner[0])]
    kind = getattr(hint, "__supertype__", hint)
    if is_dataclass(kind):
        return fields_of(kind)
    if kind is float:
        return NUMBER
    return next(base for base in (bool, int, str) if issubclass(kind, base))


_BOTH = {"en": str, "ru": str}
_LISTS = {"en": [str], "ru": [str]}
EVIDENCE = {
    "numerator": int, "denominator": int, "rate": NUMBER, "threshold": NUMBER, "e_value": NUMBER, "acts_at": NUMBER,
    "samples": [str],
}  # fmt: skip
GATE = {
    "id": str, "scope": str, "spares": [str], "state": str, "rule": str, "since": str, "until": TEXT, "reason": str,
    "by": str, "limit": int, "evidence": (EVIDENCE, None),
}  # fmt: skip
LANE = {**fields_of(LaneFigures), "lane": str, "bounce_rate": (float, None), "complaint_rate": (float, None)}
BACKLOG = {**fields_of(Backlog), "oldest": TEXT}
BUCKET = {**fields_of(BucketState), "opens_at": str}
LIMIT = {name: [str] if name == "each" else int if one.annotation is int else str
         for name, one in Limit.model_fields.items()}  # fmt: skip
POOL = {name: [str] if name == "sources" else str for name in Pool.model_fields}
REST = {"source": str, "site": str, "since": str, "until": str, "strikes": int}
REACTION = {
    "key": str, "rule": str, "action": str, "scope": str, "site": str, "spares": [str], "state": str, "since": str,
    "until": str, "strikes": int, "probe": int, "passed": int, "connections": int, "messages_per_connection": int,
    "per_minute": NUMBER, "alert": bool,
    "evidence": {"hits": int, "answers": int, "window_minutes": NUMBER, "sample": str},
}  # fmt: skip
REPLY_RULE = {
    "name": str, "note": str, "providers": [str], "pattern": str, "classes": [str], "codes": [str], "stages": [str],
    "count": (int, None), "rate": (float, None), "minimum": (int, None), "window_minutes": NUMBER, "by": [str],
    "action": str, "minutes": NUMBER, "max_minutes": NUMBER, "probe": int, "connections": int,
    "messages_per_connection": int, "per_minute": NUMBER, "alert": bool, "spares": [str], "go_on": bool,
    "remedy_en": str, "remedy_ru": str,
}  # fmt: skip
CLUSTER = {"provider": str, "shape": str, "count": int, "first": str, "last": str, "sample": str}
LINT = {"id": str, "level": str, "part": str, "what": _BOTH, "remedy": _BOTH}
PREVIEW = {"from" if name == "sender" else name: one for name, one in fields_of(Preview).items()}

_SHARE = {"part": int, "of": int, "rate": (float, None), "low": NUMBER, "high": NUMBER}
_OUTCOMES = {str: int}
TEST = {
    "id": str, "at": str, "ended_at": TEXT, "schedule": str, "stream": str, "campaign": str, "sending_domain": str,
    "subject": str, "by": str, "copies": int, "inbox": _SHARE, "without_stale": _SHARE,
    "weighted": {"rate": (float, None), "low": NUMBER, "high": NUMBER, "covered": NUMBER}, "outcomes": _OUTCOMES,
    "providers": [{"provider": str, "inbox": _SHARE, "outcomes": _OUTCOMES, "median_seconds": (float, None)}],
    "compared_with": (dict, None),
}  # fmt: skip
SEED = {**fields_of(SeedState), "since": TEXT}
SEED_RESULT = {
    "mailbox": str, "provider": str, "outcome": str, "detail": str, "seconds": (float, None), "message_id": TEXT,
    "authentication": ({"by": str, "spf": str, "dkim": str, "dmarc": str, "arc": str}, None), "filters": {str: str},
    "moves": [{"outcome": str, "folder": str, "seconds": NUMBER}],
}  # fmt: skip

CONSENT = {
    "id": str, "scopes": [str], "wording": str, "language": str, "page": str, "requested_at": str,
    "requested_ip": str, "requested_agent": str, "message_id": str, "confirmed_at": TEXT, "confirmed_ip": str,
    "confirmed_agent": str,
}  # fmt: skip
ENGAGEMENT = {
    "stream": str, "campaign": str, "delivered": int, "opened_human": int, "opened_machine": int, "clicked_human": int,
    "clicked_machine": int, "unsubscribed": int, "complained": int, "open_rate": (float, None),
    "click_rate": (float, None),
}  # fmt: skip
SIGNAL = {
    **{f"{name}?": str for name in DIMENSIONS},
    "signal": str, "scope": str, "bad": int, "total": int, "rate": (float, None), "low": (float, None),
    "high": (float, None), "maturity": NUMBER, "mature": bool, "unknown": TEXT,
}  # fmt: skip
FINDING = {
    "rule": str, "scope": str, "since": str, "action": str, "reason": str, "hint": TEXT, "evidence": (EVIDENCE, None),
}  # fmt: skip
BUDGET = {"action_days": NUMBER, "alert_days": NUMBER, "campaign_chance": NUMBER,
          "rules": {str: {"budget": NUMBER, "scopes": int}}}  # fmt: skip
TERMS = fields_of(Terms)
CENSUS = {
    "stream": str, "list_source": str, **{str(state): int for state in Engagement}, "left": int, "base": int,
    "asleep": int, "sleeping_share": (float, None),
}  # fmt: skip
OFTEN = {"weekly_limit": int, "often": int, "mailed": int, "rate": (float, None)}
LISTING = {"kind": str, "name": str, "subject": str, "zone": str, "since": str, "weight": str}

TALLY = {
    "messages": int, "aligned": int, "dkim": int, "spf": int, "quarantined": int, "rejected": int, "first": str,
    "last": str,
}  # fmt: skip
DRILLED = {**{f"{dim}?": (str, int) for dim in Dim}, **TALLY}
REPORT = {
    "id": int, "reporter": str, "org": str, "domain": str, "report_id": str, "begin": str, "end": str, "received": str,
    "trust": str, "why": str, "policy": str, "records": int, "messages": int, "aligned": int, "refused": int,
    "refused_messages": int,
}  # fmt: skip
RECORD = fields_of(DmarcRecord)
SOURCE = {"ip": str, "kind": str, "name": str, "evidence": str, "ptr": str, **TALLY}
READINESS = {**fields_of(Readiness), "loss": (float, None)}
LINE = {**fields_of(Line), "date": str, "difference": (int, None), "explained": bool}
SELECTOR = fields_of(Selector)
REPORTER = fields_of(Reporter)
TLS_LINE = {**fields_of(TlsLine), "date": str}
FAILURE = {"id": int, "received": str, "proven": bool, "why": str, **fields_of(FailureReport)}
SENT_TLS = {"day": str, "domain": str, "address": str, "state": str, "tries": int, "at": str, "detail": str}
TLS_REPORT = {  # RFC 8460 section 4
    "organization-name": str, "date-range": {"start-datetime": str, "end-datetime": str}, "contact-info": str,
    "report-id": str, "policies": [dict],
}  # fmt: skip
SHEET = {
    "provider": str, "title": _BOTH, "applies_from": int, "as_of": str,
    "rows": [{
        "id": str, "standing": str, "source": str, "what": _BOTH, "evidence": _LISTS, "remedy": _BOTH, "seen": TEXT,
    }],
}  # fmt: skip
ZONE = {"zone": str, "trusted": bool, "problem": str, "blind_since": TEXT, "queries_today": int}
OBSERVATION = {**fields_of(Observation), "date": str}
