"""Microsoft SNDS (Smart Network Data Services), automated data access: a CSV by key link, one row an address.

Access: the key of the link that SNDS shows under "Automated Data Access"; the secret file holds the key alone.  Links
end after 30 days: a page instead of data is told as a refused key.  Columns are read by the names in the first line;
without such a line by the documented order.  Filter results are shares of mail taken for spam: GREEN < 10 %, YELLOW,
RED > 90 %; complaint rates come as "< 0.1%": both are kept as intervals.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from collections.abc import Iterator

import aiohttp

from collectors.postmaster.feed import Account
from collectors.postmaster.http import Refused, get
from core.clock import utc
from core.errors import Unavailable
from core.lane import DAY
from core.rates import wilson
from core.state import Observation

URL = "https://sendersupport.olc.protection.outlook.com/snds/data.aspx"
MAX_ROWS = 10_000
ORDER = (
    "ip", "start", "end", "rcpt_commands", "data_commands", "message_recipients", "filter_result", "complaint_rate",
    "trap_start", "trap_end", "trap_hits", "sample_helo", "sample_mail_from", "comments",
)  # fmt: skip
_NAMES = {
    "ip": ("ipaddress", "ip"),
    "rcpt_commands": ("rcptcommands", "rcpt"),
    "data_commands": ("datacommands", "data"),
    "message_recipients": ("messagerecipients", "recipients"),
    "filter_result": ("filterresult", "filterresults"),
    "complaint_rate": ("complaintrate",),
    "trap_hits": ("traphits", "trapmessages", "trapmessagecount"),
}
_COUNTS = ("rcpt_commands", "data_commands", "message_recipients", "trap_hits")
_FILTER = {"GREEN": (0.0, 0.1), "YELLOW": (0.1, 0.9), "RED": (0.9, 1.0)}
_RATE = re.compile(r"(<|>)?\s*([0-9]+(?:\.[0-9]+)?)\s*%")


async def fetch(session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
    """Figures of one day for every address of the account, or those among its subjects."""
    query = {"key": account.secret, "date": utc(day * DAY).strftime("%m%d%y")}
    text = await get(session, account.url, query=query)
    if text.lstrip()[:1] == "<":
        raise Refused("SNDS answered a page and no data: the key's link has ended (30 days), make a new one")
    found: list[Observation] = []
    for row in rows_of(text):
        ip = row["ip"]
        if account.subjects and ip not in account.subjects:
            continue
        found += observed(account.name, ip, day, row)
    return found


def rows_of(text: str) -> Iterator[dict[str, str]]:
    """Rows by our column names.  Raises Unavailable when the address column cannot be told."""
    reader = csv.reader(io.StringIO(text))
    places: dict[str, int] | None = None
    try:
        for count, cells in enumerate(reader):
            if count > MAX_ROWS:
                raise Unavailable(f"SNDS answered more than {MAX_ROWS:,} rows")
            if not any(cell.strip() for cell in cells):
                continue
            if places is None:
                places = {name: i for i, name in enumerate(ORDER)} if is_ip(cells[0]) else _header(cells)
                if not is_ip(cells[places["ip"]]):
                    continue
            row = {name: cells[i].strip() for name, i in places.items() if i < len(cells)}
            if is_ip(row.get("ip", "")):
                yield row
    except csv.Error as error:
        raise Unavailable(f"SNDS answered no CSV ({error})") from None


def places_of(cells: list[str]) -> dict[str, int]:
    """Where our columns stand among these names."""
    names = ["".join(c for c in cell.lower() if c.isalnum()) for cell in cells]
    return {ours: names.index(name) for ours, known in _NAMES.items() for name in known[::-1] if name in names}


def _header(cells: list[str]) -> dict[str, int]:
    places = places_of(cells)
    if "ip" not in places or len(places) < 2:
        raise Unavailable(f"SNDS names columns that are not known: {', '.join(cells)[:150]}")
    return places


def is_ip(text: str) -> bool:
    """True for an address."""
    try:
        ipaddress.ip_address(text.strip())
    except ValueError:
        return False
    return True


def observed(feed: str, ip: str, day: int, row: dict[str, str]) -> Iterator[Observation]:
    """What one row says."""

    def one(
        metric: str, value: float, counted: int = 0, interval: tuple[float, float] | None = None, text: str = ""
    ) -> Observation:
        return Observation(
            feed=feed, subject=ip, metric=metric, day=day, value=value, counted=counted, interval=interval, text=text
        )

    counts = {name: int(row[name]) for name in _COUNTS if row.get(name, "").isascii() and row.get(name, "").isdigit()}
    for name, count in counts.items():
        yield one(name, float(count))
    recipients = counts.get("message_recipients", 0)
    word = row.get("filter_result", "").upper()
    if word in _FILTER:
        low, high = _FILTER[word]
        yield one("filter_spam_share", (low + high) / 2, recipients, (low, high), word)
    rate = _RATE.fullmatch(row.get("complaint_rate", ""))
    if rate is not None:
        share = min(1.0, float(rate[2]) / 100)
        ranges = {"<": (0.0, share), ">": (share, 1.0)}
        interval = ranges[rate[1]] if rate[1] else wilson(round(share * recipients), recipients)
        yield one("complaint_rate", share, recipients, interval, rate[0])
