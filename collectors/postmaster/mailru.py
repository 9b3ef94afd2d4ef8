"""Postmaster Mail.ru, `ext-api/stat-list-detailed`: figures a day for each DKIM domain.

Access: a refresh token, made once in the Postmaster's API page; the secret file holds it alone.  It is exchanged for
an access token of one hour at o2.mail.ru.  The API's header is literally `Bearer: TOKEN`, not `Authorization`.
Every number that a day has is kept under Mail.ru's own name (messages_sent, delivered, spam, probably_spam, complaints,
reputation, trend, read, deleted_read, deleted_unread); complaint_rate is complaints of delivered, with its interval.
"""

from __future__ import annotations

import math
from typing import Any

import aiohttp

from collectors.postmaster.feed import Account
from collectors.postmaster.http import get_json
from collectors.postmaster.token import access_token
from core.clock import utc
from core.errors import Unavailable
from core.lane import DAY
from core.rates import wilson
from core.state import Observation

URL = "https://postmaster.mail.ru"
TOKEN_URL = "https://o2.mail.ru/token"  # noqa: S105 -- an address
CLIENT = "postmaster_api_client"
MAX_METRICS = 40


async def fetch(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """Figures of one day for every domain."""
    form = {"client_id": CLIENT, "grant_type": "refresh_token", "refresh_token": account.secret.strip()}
    token = await access_token(session, account, form)
    date = utc(day * DAY).strftime("%Y-%m-%d")
    found: list[Observation] = []
    for domain in account.subjects:
        answer = await get_json(
            session,
            f"{account.url}/ext-api/stat-list-detailed/",
            headers={"Bearer": token},
            query={"domain": domain, "date_from": date, "date_to": date},
        )
        if answer.get("ok") is False:
            raise Unavailable(f"Mail.ru says: {str(answer.get('error') or answer.get('detail'))[:150]}")
        for row in _days(answer, domain):
            if str(row.get("date", ""))[:10] == date:
                found += _observed(account.name, domain, day, row)
    return found


def _days(answer: dict[str, Any], domain: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    data = answer.get("data")
    for entry in data if isinstance(data, list) else []:
        if isinstance(entry, dict) and entry.get("domain", domain) == domain and isinstance(entry.get("data"), list):
            found += [row for row in entry["data"] if isinstance(row, dict)]
    return found


def _observed(feed: str, domain: str, day: int, row: dict[str, Any]) -> list[Observation]:
    numbers = {
        name: float(value)
        for name, value in list(row.items())[:MAX_METRICS]
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if name.isascii() and name.isidentifier() and len(name) <= 40
    }
    found = [
        Observation(feed=feed, subject=domain, metric=name, day=day, value=value) for name, value in numbers.items()
    ]
    delivered, complaints = numbers.get("delivered", 0.0), numbers.get("complaints")
    if complaints is not None and delivered > 0:
        bad, total = round(max(0.0, complaints)), round(delivered)
        found.append(
            Observation(
                feed=feed, subject=domain, metric="complaint_rate", day=day, value=min(1.0, bad / total),
                counted=total, interval=wilson(bad, total),
            )
        )  # fmt: skip
    return found
