"""The watchdog knows every reason to wait, and nothing beyond them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.progress import Longest, Resident, Stray, judge
from core.tokens import MessageId

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0
LONGEST = Longest(retry=DAY, lease=900.0, route=HOUR)
WAITING = Resident(
    message_id=MessageId("m"), recipient="ann@a.test", group=7, is_leased=False, due_at=NOW, not_before=NOW,
    attempts=0, lease_until=0.0, group_known=True, group_queued=1, route_at=0.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"due_at": NOW - 40 * DAY}, None),  # long due: whatever holds it is told elsewhere
        ({"due_at": NOW + 300 * DAY, "not_before": NOW + 300 * DAY}, None),  # send-at
        ({"due_at": NOW + DAY, "attempts": 3}, None),  # the retry schedule
        ({"due_at": NOW + 2 * DAY, "attempts": 3}, Stray.DUE_TOO_LATE),
        ({"due_at": NOW + 2 * DAY}, Stray.SEND_AT_MISSED),
        ({"due_at": NOW + 302 * DAY, "not_before": NOW + 300 * DAY}, Stray.SEND_AT_MISSED),
        ({"is_leased": True, "lease_until": NOW + 900}, None),
        ({"is_leased": True, "lease_until": NOW - 60}, None),  # the next round of recovery takes it
        ({"is_leased": True, "lease_until": NOW + DAY}, Stray.LEASE_TOO_LONG),
        ({"is_leased": True, "lease_until": NOW - 2 * HOUR}, Stray.LEASE_LEFT),
        ({"group_known": False, "group_queued": 0}, Stray.GROUP_LOST),
        ({"group_queued": 0}, Stray.GROUP_UNCOUNTED),
        ({"group": 0, "route_at": NOW + HOUR}, None),
        ({"group": 0, "route_at": NOW + DAY}, Stray.ROUTE_TOO_LATE),
    ],
)
def test_what_lies_beyond_every_known_reason_is_found(changes: dict[str, object], found: Stray | None) -> None:
    assert judge(replace(WAITING, **changes), LONGEST, NOW) is found  # type: ignore[arg-type]
