"""TLS sessions of a day and what was reported of them, on both databases."""

from __future__ import annotations

import pytest

from core.errors import StorageConflict
from core.reports import SentTlsReport, TlsCount, TlsReportState
from storage.stores import Stores

GOOD = TlsCount(day=100, domain="a.test", host="mx.a.test", failure="", sessions=2, policy="sts")
BAD = TlsCount(
    day=100, domain="a.test", host="mx.a.test", failure="certificate-expired", sessions=1, policy="sts",
    host_ip="192.0.2.1", source_ip="192.0.2.9", reason="expired",
)  # fmt: skip


def told(state: TlsReportState, address: str = "mailto:t@a.test") -> SentTlsReport:
    return SentTlsReport(day=100, domain="a.test", address=address, state=state, tries=1, at=5.0, detail="x")


async def test_sessions_add_up_and_each_batch_counts_once(stores: Stores) -> None:
    await stores.sent.add(0, 10, [], [GOOD, BAD])
    await stores.sent.add(10, 20, [], [GOOD])
    with pytest.raises(StorageConflict):
        await stores.sent.add(10, 20, [], [GOOD])
    found = await stores.tls_sessions.of(100, "a.test", 10)
    assert [(one.failure, one.sessions, one.host_ip) for one in found] == [
        ("", 4, ""), ("certificate-expired", 1, "192.0.2.1"),
    ]  # fmt: skip


async def test_a_domain_is_open_until_it_was_told_or_wants_nothing(stores: Stores) -> None:
    await stores.sent.add(0, 10, [], [GOOD])
    opened = stores.tls_sessions.open
    assert await opened(98, 101) == [(100, "a.test")]
    assert await opened(98, 100) == []
    assert await opened(101, 105) == []
    await stores.tls_sessions.note([told(TlsReportState.RETRY)])
    assert await opened(98, 101) == [(100, "a.test")]
    await stores.tls_sessions.note([told(TlsReportState.SENT)])
    assert await opened(98, 101) == []
    assert await stores.tls_sessions.noted(100, "a.test") == [told(TlsReportState.SENT)]


async def test_one_address_that_fails_keeps_the_domain_open_for_itself(stores: Stores) -> None:
    await stores.sent.add(0, 10, [], [GOOD])
    await stores.tls_sessions.note([told(TlsReportState.SENT), told(TlsReportState.RETRY, "https://a.test/")])
    assert await stores.tls_sessions.open(98, 101) == [(100, "a.test")]
    await stores.tls_sessions.note([told(TlsReportState.FAILED, "https://a.test/")])
    assert await stores.tls_sessions.open(98, 101) == []
    assert len(await stores.tls_sessions.recent(10)) == 2


async def test_old_days_are_forgotten(stores: Stores) -> None:
    await stores.sent.add(0, 10, [], [GOOD])
    await stores.tls_sessions.note([told(TlsReportState.SENT)])
    await stores.tls_sessions.forget(100)
    assert await stores.tls_sessions.of(100, "a.test", 10)
    await stores.tls_sessions.forget(101)
    assert not await stores.tls_sessions.of(100, "a.test", 10)
    assert not await stores.tls_sessions.recent(10)
