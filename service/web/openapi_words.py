"""What the OpenAPI document says of each route besides its summary: query, examples, and the form of the answer.

An answer is written as the JSON would look, with types in place of values: `str`, `int`, `float` (any number), `bool`,
`dict` (any object), `list` (of any), `[X]` (a list of X), `(X, None)` (X or null), `{str: X}` (X by any name).  Every
named property is always there, but for one written `name?`; objects may gain properties in later versions.
`tests/unit/service/test_openapi.py` calls every operation of a running service and holds the answers against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.reports import Dim
from service.web import openapi_rows as row
from service.web.openapi_rows import NUMBER, TEXT, Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """`query` maps a parameter to (type, what it is); `example` is a body; `content` its type where it is no JSON."""

    answer: Form
    query: Mapping[str, tuple[type, str]] = field(default_factory=dict)
    example: Any = None
    content: str = "application/json"


_STORY = [{"at": str, "event": str, "text": str}]
_STANDING = {
    "lane": str, "plan": str, "day": int, "step": int, "cap": int, "used": int, "target": int, "finished": bool,
    "days_left": int, "late": bool, "next_cap": int, "judged_at": TEXT, "braked": bool, "held": (dict, None),
    "reason": str,
}  # fmt: skip
_LANES = {"lanes": [_STANDING]}
_DAYS: dict[str, tuple[type, str]] = {"days": (int, "Whole UTC days back with today")}
_LANG: dict[str, tuple[type, str]] = {"lang": (str, "en or ru: language of the sentences; en when left out")}
_LIMIT: dict[str, tuple[type, str]] = {"limit": (int, "Rows at most")}
_SCOPE_EXAMPLE = "provider=gmail,stream=bulk"
_PARTS_EXAMPLE = {
    "from": "Shop <shop@example.com>", "subject": "Your order {{ number }}", "text": "Thank you, {{ name }}!",
    "variables": {"number": "4711", "name": "Ann"},
}  # fmt: skip

WORDS: dict[str, Words] = {
    "POST /v1/messages": Words(
        answer={"accepted": int, "messages": [{"address": str, "status": str, "id": str, "reason": str}]},
        example={
            "stream": "transactional", "from": "Shop <shop@example.com>", "subject": "Your order",
            "text": "Thank you, {{ name }}!",
            "recipients": [{"address": "ann@example.net", "variables": {"name": "Ann"}}],
        },
    ),
    "POST /v1/templates/preview": Words(answer=row.PREVIEW, example=_PARTS_EXAMPLE),
    "POST /v1/templates/lint": Words(answer={"findings": [row.LINT]}, example={**_PARTS_EXAMPLE, "marketing": False}),
    "GET /v1/messages/{id}": Words(answer={"id": str, "queued": bool, "story": _STORY, "now": [str]}, query=_LANG),
    "GET /v1/status": Words(answer={
        "now": str, "node": str, "sandbox": bool, "clock_rate": NUMBER,
        "queue": {"total": int, "by_provider": {str: int}},
        "today": {"attempted": int, "delivered": int, "hard_bounced": int, "complained": int},
        "gates": [row.GATE], "reply_rules": [row.REACTION], "rests": [row.REST], "suppressions": int,
        "limits_reached": int, "put_back": int, "monitor": {"lag_seconds": NUMBER},
        "webhooks": [row.BACKLOG], "failing_tasks": {str: str},
    }),
    "GET /v1/limits": Words(answer={
        "now": str, "limits": [row.LIMIT], "buckets": [row.BUCKET], "pools": [row.POOL],
        "watchdog": {"put_back": int, "rounds": int},
    }),
    "GET /v1/lanes": Words(answer={"now": str, "lanes": [row.LANE]}),
    "GET /v1/lanes/{key}": Words(answer={"lane": str, "story": _STORY, "now": [str]}, query=_LANG),
    "GET /v1/campaigns/{name}": Words(
        answer={"campaign": str, "story": _STORY, "now": [str]},
        query={**_LANG, "stream": (str, "The campaign's stream, where two streams have one of that name")},
    ),
    "GET /v1/pauses": Words(answer={"pauses": [row.GATE]}, query={"all": (str, "1: gates that are open again too")}),
    "GET /v1/pauses/{id}": Words(answer={"id": str, "story": _STORY, "now": [str]}, query=_LANG),
    "POST /v1/pauses": Words(
        answer={"pause": row.GATE}, example={"scope": _SCOPE_EXAMPLE, "hours": 6, "reason": "the wrong template"}
    ),
    "POST /v1/pauses/resume": Words(
        answer={"resumed": [row.GATE]}, example={"scope": _SCOPE_EXAMPLE, "reason": "the template is mended"}
    ),
    "POST /v1/cancellations": Words(
        answer={"scope": str, "cancelled": int, "more": bool},
        example={"scope": "stream=bulk,campaign=spring", "reason": "wrong prices"},
    ),
    "GET /v1/warmup": Words(answer=_LANES),
    "POST /v1/warmup/start": Words(answer=_LANES, example={"scope": "all", "at": 500, "again": True,
                                                           "reason": "moved from another system"}),
    "POST /v1/warmup/hold": Words(answer=_LANES, example={"scope": "all", "reason": "holidays"}),
    "POST /v1/warmup/resume": Words(answer=_LANES, example={"scope": "all", "reason": "back at work"}),
    "POST /v1/warmup/step-back": Words(answer=_LANES, example={"scope": "all", "to": 100, "reason": "a listing"}),
    "POST /v1/warmup/import": Words(
        answer={"imported": [{"lane": str, "cap": int, "finished": bool, "reason": str}], "unchanged": [str],
                "already_above": [str]},
        example="day,source,domain,provider,sent\n2026-01-01,mta1,example.com,gmail,5000\n", content="text/csv",
    ),
    "GET /v1/rules": Words(
        answer={"now": str, "rules": [row.REPLY_RULE], "in_force": [row.REACTION], "rests": [row.REST]}
    ),
    "POST /v1/rules/end": Words(answer={"ended": str}, example={"key": "gmail-block/provider=gmail"}),
    "GET /v1/replies/unknown": Words(
        answer={"clusters": [row.CLUSTER]},
        query={"days": (float, "Days back, up to 400"), "limit": (int, "Clusters at most, up to 1000")},
    ),
    "GET /v1/placement": Words(answer={"tests": [row.TEST]}, query=_LIMIT),
    "POST /v1/placement": Words(
        answer={"id": str, "accepted": int,
                "copies": [{"mailbox": str, "provider": str, "message_id": TEXT, "reason": str}]},
        example={"stream": "bulk", "from": "News <news@example.com>", "subject": "Spring", "text": "Hello"},
    ),
    "GET /v1/placement/seeds": Words(answer={"seeds": [row.SEED]}),
    "GET /v1/placement/{id}": Words(answer={**row.TEST, "seeds": [row.SEED_RESULT]}),
    "POST /v1/optins": Words(
        answer={"id": str, "status": str, "reason": str, "message_id": str},
        example={"address": "ann@example.net", "stream": "bulk", "wording": "I want the newsletter of Example Ltd.",
                 "from": "news@example.com", "ip": "192.0.2.7"},
    ),
    "GET /v1/consents/{address}": Words(answer={"address": str, "consents": [row.CONSENT]}),
    "GET /v1/engagement": Words(answer={"days": int, "engagement": [row.ENGAGEMENT]},
                                query={"days": (int, "1 to 90 whole UTC days with today; 7 when left out")}),
    "GET /v1/signals": Words(
        answer={"now": str, "by": [str], "days": int, "signals": [row.SIGNAL], "findings": [row.FINDING],
                "listings": [row.LISTING], "reporting_delays": {str: {"median_hours": (float, None), "points": [list]}},
                "false_alarm_budget": row.BUDGET},
        query={"by": (str, "Parts of a scope with commas; provider,stream when left out"),
               "days": (int, "Whole UTC days with today; 7 when left out"),
               "signal": (str, "Only these, with commas")},
    ),
    "GET /v1/audience": Words(answer={
        "now": str, "terms": row.TERMS, "sunset": str, "tracked_streams": [str], "audience": [row.CENSUS],
        "over_frequency": {str: row.OFTEN},
    }),
    "GET /v1/suppressions": Words(
        answer={"total": int, "next": TEXT, "suppressions": [
            {"address": str, "stream": str, "reason": str, "at": str, "evidence": str, "expires_at": TEXT}]},
        query={"after": (str, "`next` of the page before"), "limit": (int, "1 to 1000; 100 when left out")},
    ),
    "POST /v1/suppressions": Words(answer={"added": int},
                                   example={"addresses": ["ann@example.net"], "note": "asked by telephone"}),
    "DELETE /v1/suppressions/{address}": Words(
        answer={"removed": bool}, query={"stream": (str, "Of this stream alone; of all streams when left out")}
    ),
    "GET /v1/dmarc": Words(answer={
        "reports": [{name: row.REPORT[name] for name in ("id", "reporter", "domain", "report_id", "begin", "end",
                                                     "messages", "aligned", "refused")}],
        "sources": [{"ip": str, "messages": int, "aligned": int}]}),
    "POST /v1/reports": Words(
        answer={"stored": int, "files": [{"file": str, "stored": int, "repeated": int, "records": int,
                                          "messages": int, "refused": list}]},
        query={"filename": (str, "Name of the file")}, content="application/octet-stream", example="<feedback/>",
    ),
    "GET /v1/reports": Words(
        answer={"reports": [row.REPORT], "next": (int, None)},
        query={"before": (int, "`next` of the page before"), "limit": (int, "Up to 1000; 50 when left out"),
               "apart": (str, "1: those whose origin is not proven")},
    ),
    "GET /v1/reports/sources": Words(answer={"sources": [row.SOURCE]},
                                     query={**_DAYS, "domain": (str, "From domain; all when left out")}),
    "GET /v1/reports/timeline": Words(answer={"days": [{"date": str, **row.TALLY}]},
                                      query={**_DAYS, "domain": (str, "From domain; all when left out")}),
    "GET /v1/reports/tally": Words(
        answer={"rows": [row.DRILLED]},
        query={"by": (str, "Parts with commas; source_ip when left out"), **_DAYS, **_LIMIT,
               **{str(dim): (str, "Only this value") for dim in Dim}},
    ),
    "GET /v1/reports/readiness": Words(answer={"domains": [row.READINESS]}, query=_DAYS),
    "GET /v1/reports/reconcile": Words(answer={"lines": [row.LINE]}, query=_DAYS),
    "GET /v1/reports/selectors": Words(answer={"selectors": [row.SELECTOR]}),
    "GET /v1/reports/reporters": Words(answer={"reporters": [row.REPORTER]}, query=_DAYS),
    "GET /v1/reports/tls": Words(answer={"reports": [row.TLS_LINE]}, query=_DAYS),
    "GET /v1/reports/failures": Words(answer={"failures": [row.FAILURE]}, query=_LIMIT),
    "GET /v1/reports/{id}": Words(
        answer={**row.REPORT, "records": [row.RECORD], "refused_records": [str], "notes": [str]}
    ),
    "GET /v1/tls-reports": Words(answer={"enabled": bool, "reports": [row.SENT_TLS]}),
    "GET /v1/tls-reports/{domain}": Words(
        answer=row.TLS_REPORT, query={"day": (str, "2026-12-31; today when left out")}
    ),
    "GET /v1/requirements": Words(answer={"sheets": [row.SHEET]}),
    "GET /v1/listings": Words(answer={
        "listings": [{**row.LISTING, "asked": str, "codes": [str], "text": str, "delist": str}], "zones": [row.ZONE],
    }),
    "GET /v1/observations": Words(
        answer={"observations": [row.OBSERVATION]},
        query={"feed": (str, "Name of a feed"), "subject": (str, "Domain or address"), "metric": (str, "One figure"),
               "since_day": (int, "Days since 1970-01-01"), "limit": (int, "Up to 5000; 500 when left out")},
    ),
    "GET /healthz": Words(answer={"status": str}),
    "GET /readyz": Words(answer={"ready": bool, "problems": [str]}),
}  # fmt: skip

_NAMES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object",
                          list: "array", None: "null"}  # fmt: skip


def schema_of(form: Form) -> dict[str, Any]:
    """The JSON Schema of a form."""
    if form is NUMBER:
        return {"type": "number"}
    if isinstance(form, tuple):
        if all(one is None or isinstance(one, type) for one in form):
            return {"type": [_NAMES[one] for one in form]}
        return {"anyOf": [schema_of(one) for one in form]}
    if isinstance(form, list):
        return {"type": "array", "items": schema_of(form[0])}
    if isinstance(form, dict):
        if str in form:
            return {"type": "object", "additionalProperties": schema_of(form[str])}
        return {
            "type": "object", "required": [key for key in form if not key.endswith("?")],
            "properties": {key.removesuffix("?"): schema_of(one) for key, one in form.items()},
        }  # fmt: skip
    return {"type": _NAMES[form]}
