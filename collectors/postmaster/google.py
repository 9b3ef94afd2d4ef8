"""Google Postmaster Tools API v2: `domains.domainStats.query` by day, `domains.getComplianceStatus` as it stands now.

Access: OAuth 2.0, scope `https://www.googleapis.com/auth/postmaster.traffic.readonly`.  The secret file is the JSON of
an authorised user: `client_id`, `client_secret`, `refresh_token`.  The domain must be verified in Postmaster Tools.
Google gives shares without counts, only for days with enough mail, some two days late.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aiohttp

from collectors.postmaster.feed import Account
from collectors.postmaster.http import Refused, get_json, post_json
from collectors.postmaster.token import access_token
from core.clock import utc
from core.lane import DAY
from core.state import Observation

URL = "https://gmailpostmastertools.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 -- an address
PAGES = 10
LOOPS = 20  # feedback loop ids of one day that are asked about
METRICS: tuple[tuple[str, str, str], ...] = (  # our name, Google's metric, filter
    ("spam_rate", "SPAM_RATE", ""),
    ("spf_success_rate", "AUTH_SUCCESS_RATE", 'auth_type = "spf"'),
    ("dkim_success_rate", "AUTH_SUCCESS_RATE", 'auth_type = "dkim"'),
    ("dmarc_success_rate", "AUTH_SUCCESS_RATE", 'auth_type = "dmarc"'),
    ("tls_rate_inbound", "TLS_ENCRYPTION_RATE", 'traffic_direction = "inbound"'),
    ("tls_rate_outbound", "TLS_ENCRYPTION_RATE", 'traffic_direction = "outbound"'),
    ("delivery_error_rate", "DELIVERY_ERROR_RATE", ""),
    ("delivery_reject_rate", "DELIVERY_ERROR_RATE", 'error_type = "reject"'),
    ("delivery_temp_fail_rate", "DELIVERY_ERROR_RATE", 'error_type = "temp_fail"'),
    ("feedback_loops", "FEEDBACK_LOOP_ID", ""),
)
BARE_RATES = frozenset({"spam_rate", "delivery_error_rate", "delivery_reject_rate", "delivery_temp_fail_rate"})


async def fetch(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """Figures of one day for every domain."""
    headers = await _authorised(session, account)
    found: list[Observation] = []
    for domain in account.subjects:
        found += await _domain(session, account, domain, day, headers)
    return found


async def state(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """The compliance rows of every domain, as they stand now: 1 is COMPLIANT, 0 is NEEDS_WORK."""
    headers = await _authorised(session, account)
    found = []
    for domain in account.subjects:
        url = f"{account.url}/v2/domains/{quote(domain, safe='')}/complianceStatus"
        answer = await get_json(session, url, headers=headers)
        for name, status, reason in _compliance(answer, domain):
            if status in ("COMPLIANT", "NEEDS_WORK"):
                text = f"{status} {reason}".rstrip() if reason else status
                value = float(status == "COMPLIANT")
                found.append(_observed(account, domain, f"compliance.{name.lower()}", day, value, text))
    return found


async def _domain(
    session: aiohttp.ClientSession, account: Account, domain: str, day: int, headers: dict[str, str]
) -> list[Observation]:
    found: list[Observation] = []
    loops: list[str] = []
    for name, value in await _query(session, account, domain, day, headers, METRICS):
        if name == "feedback_loops":
            loops = sorted(_words(value))[:LOOPS]
        else:
            found += _numbers(account, domain, name, day, value)
    wanted = tuple(
        (f"feedback_loop.{loop}", "FEEDBACK_LOOP_SPAM_RATE", f'feedback_loop_id = "{loop}"')
        for loop in loops
        if '"' not in loop and "\\" not in loop
    )
    if wanted:
        for name, value in await _query(session, account, domain, day, headers, wanted):
            found += _numbers(account, domain, name, day, value)
    return found


async def _query(
    session: aiohttp.ClientSession,
    account: Account,
    domain: str,
    day: int,
    headers: dict[str, str],
    metrics: tuple[tuple[str, str, str], ...],
) -> list[tuple[str, dict[str, Any]]]:
    at = utc(day * DAY)
    date = {"year": at.year, "month": at.month, "day": at.day}
    body: dict[str, Any] = {
        "metricDefinitions": [
            {"name": f"m{i}", "baseMetric": {"standardMetric": metric}, **({"filter": only} if only else {})}
            for i, (_, metric, only) in enumerate(metrics)
        ],
        "timeQuery": {"dateRanges": {"dateRanges": [{"start": date, "end": date}]}},
        "aggregationGranularity": "DAILY",
        "pageSize": 200,
    }
    names = {f"m{i}": name for i, (name, _, _) in enumerate(metrics)}
    found: list[tuple[str, dict[str, Any]]] = []
    url = f"{account.url}/v2/domains/{quote(domain, safe='')}/domainStats:query"
    for _ in range(PAGES):
        answer = await post_json(session, url, body, headers=headers)
        for row in _rows(answer.get("domainStats")):
            value = row.get("value")
            if row.get("metric") in names and isinstance(value, dict) and row.get("date", date) == date:
                found.append((names[row["metric"]], value))
        token = answer.get("nextPageToken")
        if not token:
            break
        body["pageToken"] = token
    return found


async def _authorised(session: aiohttp.ClientSession, account: Account) -> dict[str, str]:
    try:
        given = json.loads(account.secret)
        form = {name: str(given[name]) for name in ("client_id", "client_secret", "refresh_token")}
    except (ValueError, KeyError, TypeError):
        raise Refused(
            "the secret file of a google feed must be JSON with client_id, client_secret and refresh_token"
        ) from None
    token = await access_token(session, account, {**form, "grant_type": "refresh_token"})
    return {"Authorization": f"Bearer {token}"}


def _compliance(answer: dict[str, Any], domain: str) -> Iterator[tuple[str, str, str]]:
    """(requirement, status, reason); those of the subdomain itself go before those of the domain above it."""
    data = answer.get("complianceData")
    below = answer.get("subdomainComplianceData")
    if isinstance(below, dict) and below.get("domainId", domain) == domain:
        data = below
    if not isinstance(data, dict):
        return
    for row in _rows(data.get("rowData")):
        yield str(row.get("requirement", "")), _status(row), ""
    for key, name in (("oneClickUnsubscribeVerdict", "ONE_CLICK_UNSUBSCRIBE"),
                      ("honorUnsubscribeVerdict", "HONOR_UNSUBSCRIBE")):  # fmt: skip
        verdict = data.get(key)
        if isinstance(verdict, dict):
            yield name, _status(verdict), str(verdict.get("reason", ""))[:100]


def _status(row: dict[str, Any]) -> str:
    status = row.get("status")
    return str(status.get("status", "")) if isinstance(status, dict) else ""


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _words(value: dict[str, Any]) -> list[str]:
    given = value.get("stringList") or []
    given = given.get("values", []) if isinstance(given, dict) else given
    return [str(word) for word in given] if isinstance(given, list) else []


def _numbers(account: Account, domain: str, name: str, day: int, value: dict[str, Any]) -> list[Observation]:
    for kind in ("doubleValue", "floatValue", "intValue"):
        try:
            number = float(value[kind])
        except (KeyError, TypeError, ValueError):
            continue
        if 0 <= number < float("inf"):
            return [_observed(account, domain, name, day, number, "")]
    return []


def _observed(account: Account, domain: str, name: str, day: int, value: float, text: str) -> Observation:
    return Observation(feed=account.name, subject=domain, metric=name, day=day, value=value, text=text)
