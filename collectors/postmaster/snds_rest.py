"""Microsoft SNDS by its REST interface: the figures of `snds`, with OAuth 2.0 in place of a link that ends.

Access: sign in once to the portal's public client (no client secret) and keep the refresh token; the secret file is
JSON with `refresh_token`, and `client_id` where another client was registered.  `GET /api/report/data/YYYY-MM-DD`
gives a row an address, `GET /api/report/status/ip` the addresses that are blocked now; rows come as CSV or as JSON and
are read by the names of their columns.  The form is that of public clients; no account was ever reached from here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import aiohttp

from collectors.postmaster.feed import Account
from collectors.postmaster.http import Refused, get
from collectors.postmaster.snds import MAX_ROWS, is_ip, observed, places_of, rows_of
from collectors.postmaster.token import access_token
from core.clock import utc
from core.errors import Unavailable
from core.lane import DAY
from core.state import Observation

URL = "https://substrate.office.com/ip-domain-management-snds"
TOKEN_URL = "https://login.microsoftonline.com/consumers/oauth2/v2.0/token"  # noqa: S105 -- an address
CLIENT_ID = "a53a6cc1-a1cd-46f7-a4aa-281cdabec33c"  # the portal's own, which is public
_HELD = ("data", "value", "items", "rows", "results")
_FIRST = ("ip", "ipaddress", "firstip", "startip", "ipstart")
_YES = frozenset({"yes", "true", "1", "blocked"})


async def fetch(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """Figures of one day for every address of the account, or those among its subjects."""
    date = utc(day * DAY).strftime("%Y-%m-%d")
    text = await _get(session, account, f"/api/report/data/{date}")
    found: list[Observation] = []
    for row in _rows(text):
        ip = row["ip"]
        if not account.subjects or ip in account.subjects:
            found += observed(account.name, ip, day, row)
    return found


async def state(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """Addresses that are blocked now, each 1 with what is said of it; ranges by their first address."""
    text = await _get(session, account, "/api/report/status/ip")
    found = []
    for row in _status_rows(text):
        ip = row.get("ip", "")
        if is_ip(ip) and row.get("blocked", "").lower() in _YES and (not account.subjects or ip in account.subjects):
            found.append(
                Observation(
                    feed=account.name,
                    subject=ip,
                    metric="blocked",
                    day=day,
                    value=1.0,
                    text=row.get("details", "")[:300],
                )
            )
    return found


async def _get(session: aiohttp.ClientSession, account: Account, path: str) -> str:
    try:
        given = json.loads(account.secret)
        token, client = str(given["refresh_token"]), str(given.get("client_id") or CLIENT_ID)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("the secret file of an snds_rest feed must be JSON with refresh_token") from None
    form = {
        "grant_type": "refresh_token", "client_id": client, "refresh_token": token,
        "scope": f"{client}/.default offline_access",
    }  # fmt: skip
    access = await access_token(session, account, form)
    text = await get(session, account.url + path, headers={"Authorization": f"Bearer {access}"})
    if text.lstrip()[:1] == "<":
        raise Refused("SNDS answered a page and no data: sign in again and renew the refresh token")
    return text


def _rows(text: str) -> Iterator[dict[str, str]]:
    if text.lstrip()[:1] not in ("[", "{"):
        yield from rows_of(text)
        return
    for cells in _objects(text):
        places = places_of(list(cells))
        values = list(cells.values())
        row = {name: values[i] for name, i in places.items()}
        if is_ip(row.get("ip", "")):
            yield row


def _status_rows(text: str) -> Iterator[dict[str, str]]:
    if text.lstrip()[:1] in ("[", "{"):
        for cells in _objects(text):
            plain = {"".join(c for c in name.lower() if c.isalnum()): value for name, value in cells.items()}
            ip = next(
                (plain[name] for name in ("ip", "ipaddress", "firstip", "startip", "ipstart") if name in plain), ""
            )
            said = next((plain[name] for name in ("blocked", "isblocked", "status") if name in plain), "")
            yield {"ip": ip, "blocked": said, "details": plain.get("details", plain.get("reason", ""))}
        return
    # as the link of the older interface gives it: first address, last address, blocked, details
    try:
        for count, line in enumerate(csv.reader(io.StringIO(text))):
            if count > MAX_ROWS:
                raise Unavailable(f"SNDS answered more than {MAX_ROWS:,} rows")
            if len(line) >= 3:
                yield {"ip": line[0].strip(), "blocked": line[2].strip(), "details": ", ".join(line[3:]).strip()}
    except csv.Error as error:
        raise Unavailable(f"SNDS answered no CSV ({error})") from None


def _objects(text: str) -> Iterator[dict[str, str]]:
    """Flat objects of a JSON answer: a list, or an object that holds one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unavailable("SNDS answered neither CSV nor JSON") from None
    if isinstance(value, dict):
        value = next((value[name] for name in _HELD if isinstance(value.get(name), list)), [])
    if len(value) > MAX_ROWS:
        raise Unavailable(f"SNDS answered more than {MAX_ROWS:,} rows")
    for row in value:
        if isinstance(row, dict):
            yield {
                str(name): str(cell).strip() if isinstance(cell, str | int | float) else ""
                for name, cell in row.items()
            }
