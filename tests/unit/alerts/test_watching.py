"""What is told about listings, blind blocklists, changed records and silent feeds."""

from __future__ import annotations

from dataclasses import replace

from alerts.conditions import Observed, find_alerts
from alerts.watching import CHANGE_TOLD_FOR, ZONE_BLIND_AFTER, ActiveListing, BlindZone, StaleFeed
from alerts.words import Language
from core.events import GateState, RecordChanged
from core.lane import Scope
from core.state import Alert, Gate

NOW = 1_764_072_000.0
LISTING = ActiveListing(
    kind="source", name="mta1", subject="192.0.2.10", zone="zen.spamhaus.org", since=NOW - 60, text="SBL: spam source",
    delist="https://check.spamhaus.org/", holds=True,
)  # fmt: skip
ZONE = BlindZone(zone="bl.example", since=NOW - ZONE_BLIND_AFTER, problem="it lists 127.0.0.1")
CHANGE = RecordChanged(at=NOW - 60, name="news.example", type="TXT", before="v=spf1 -all", after="")
FEED = StaleFeed(name="gpt", kind="google", since=NOW - 86_400, problem="token revoked")


def told(seen: Observed, language: Language = "en", *, now: float = NOW) -> list[Alert]:
    return find_alerts(seen, rules=[], now=now, language=language, dashboard="http://x")


def test_a_listing_is_critical_when_it_holds_mail_and_names_the_way_out() -> None:
    (alert,) = told(Observed(listings=(LISTING,)))
    assert (alert.labels["alertname"], alert.labels["severity"], alert.labels["source"]) == (
        "Listed",
        "critical",
        "mta1",
    )
    assert alert.annotations["summary"] == "zen.spamhaus.org lists 192.0.2.10 (mta1)"
    assert "https://check.spamhaus.org/" in alert.annotations["remedy"]
    assert "waits" in alert.annotations["action"]
    (bare,) = told(Observed(listings=(replace(LISTING, delist=""),)))
    assert bare.annotations["remedy"].endswith("the page of zen.spamhaus.org")
    (mild,) = told(Observed(listings=(replace(LISTING, holds=False),)))
    assert mild.labels["severity"] == "warning"


def test_a_blind_zone_is_told_when_it_lasts() -> None:
    assert told(Observed(blind_zones=(replace(ZONE, since=NOW - 60),))) == []
    (alert,) = told(Observed(blind_zones=(ZONE,)))
    assert alert.annotations["problem"] == "it lists 127.0.0.1"
    assert "6\u00a0h" in alert.annotations["summary"]


def test_a_changed_record_is_told_for_a_day_with_before_and_after_and_only_its_newest_change() -> None:
    newer = replace(CHANGE, at=NOW - 30, before="", after="v=spf1 +all\nv=x")
    (alert,) = told(Observed(records=(newer, CHANGE)))
    assert (alert.annotations["before"], alert.annotations["after"]) == ("(nothing)", "v=spf1 +all | v=x")
    assert alert.labels["record"] == "news.example"
    assert told(Observed(records=(CHANGE,)), now=CHANGE.at + CHANGE_TOLD_FOR) == []


def test_a_long_record_is_told_by_where_it_changed() -> None:
    networks = " ".join(f"ip4:198.51.100.{n}" for n in range(25))
    change = replace(CHANGE, before=f"v=spf1 {networks} -all", after=f"v=spf1 {networks} ip4:203.0.113.66 -all")
    (alert,) = told(Observed(records=(change,)))
    assert "203.0.113.66" in alert.annotations["after"]
    assert alert.annotations["before"].endswith("198.51.100.24 -all")


def test_a_silent_feed_is_told_with_its_problem() -> None:
    (alert,) = told(Observed(stale_feeds=(FEED,)))
    assert alert.annotations["problem"] == "token revoked"
    assert alert.annotations["summary"] == "Postmaster feed gpt (google): token revoked"
    assert "by right" not in alert.annotations["remedy"], "a refused token is no lack of mail"
    (quiet,) = told(Observed(stale_feeds=(replace(FEED, problem=""),)))
    assert "without new figures" in quiet.annotations["problem"]


def test_everything_is_there_in_russian_with_the_same_identity() -> None:
    seen = Observed(listings=(LISTING,), blind_zones=(ZONE,), records=(CHANGE,), stale_feeds=(FEED,))
    english, russian = told(seen), told(seen, "ru")
    assert [a.labels for a in english] == [a.labels for a in russian]
    assert len(english) == 4
    for one, other in zip(english, russian, strict=True):
        assert one.annotations.keys() == other.annotations.keys()
        assert all(any("а" <= c <= "я" for c in other.annotations[key]) for key in ("summary", "remedy"))


def test_a_pause_by_a_listing_says_what_ends_it() -> None:
    gate = Gate(
        scope=Scope(source="mta1"), state=GateState.PAUSED, pause_id="p1", rule="listing", since=NOW, until=0.0,
        reason="zen.spamhaus.org lists 192.0.2.10", by="listing",
    )  # fmt: skip
    (alert,) = told(Observed(gates=(gate,)))
    assert "until the listing ends" in alert.annotations["action"]
    assert "192.0.2.10" in alert.annotations["summary"]
