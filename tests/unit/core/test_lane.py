"""Scopes: what they cover, and that their names can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lane import (
    Campaign,
    Lane,
    Provider,
    Scope,
    SendingDomain,
    Source,
    Stream,
    Traffic,
    cohort_of,
    day_of,
    parse_scope,
)

LANE = Lane(source=Source("mta1"), sending_domain=SendingDomain("example.com"), provider=Provider("gmail"))
BULK = Traffic(lane=LANE, stream=Stream("bulk"), campaign=Campaign("spring"))
RECEIPT = Traffic(lane=LANE, stream=Stream("transactional"))


@pytest.mark.parametrize(
    ("scope", "covered"),
    [("lane=mta1|example.com|gmail", True), ("lane=mta1|example.com|yahoo", False), ("site=mx.a,mx.b", False),
     ("pool=warm", False), ("all", True),
     ("provider=gmail", True), ("provider=yahoo", False), ("provider=gmail,stream=bulk", True),
     ("stream=transactional", False), ("campaign=spring", True), ("source=mta1,sending_domain=example.com", True)],
)  # fmt: skip
def test_a_scope_covers_what_every_given_part_matches(scope: str, covered: bool) -> None:
    assert parse_scope(scope).covers(BULK) is covered


def test_a_spared_stream_goes_on_unless_the_scope_names_it() -> None:
    assert not parse_scope("provider=gmail", spare=("transactional",)).covers(RECEIPT)
    assert parse_scope("provider=gmail,stream=transactional", spare=("transactional",)).covers(RECEIPT)


@pytest.mark.parametrize("text", ["", "gmail", "provider=", "color=red", "provider=gmail,"])
def test_a_scope_that_cannot_be_read_names_the_part(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parse_scope(text)


@pytest.mark.parametrize("text", ["provider=gmail,provider=yahoo", "lane=a|b|gmail,source=c"])
def test_a_part_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_scope(text)


def test_a_site_and_a_pool_lie_inside_where_they_are_told() -> None:
    scope = parse_scope("site=mx1.a.net,mx2.a.net,pool=warm,stream=bulk")
    assert (scope.site, scope.pool, scope.is_narrow) == ("mx1.a.net,mx2.a.net", "warm", True)
    assert scope.covers(BULK, "mx1.a.net,mx2.a.net", "warm")
    assert not scope.covers(BULK, "mx1.a.net,mx2.a.net", "cold")
    assert not scope.covers(BULK, "mx1.a.net", "warm")


sites = st.lists(st.from_regex(r"[a-z0-9.-]{1,10}", fullmatch=True), max_size=3).map(",".join)


@given(sites, sites)
def test_a_key_with_the_commas_of_a_site_reads_back(site: str, other: str) -> None:
    scope = Scope(site=site, provider=f"other:{other}" if other else "", stream="bulk")
    assert parse_scope(scope.key) == scope


names = st.from_regex(r"[a-z0-9.-]{0,10}", fullmatch=True)


@given(names, names, names)
def test_a_scopes_key_reads_back_as_the_scope(source: str, provider: str, stream: str) -> None:
    scope = Scope(source=source, provider=provider, stream=stream)
    assert parse_scope(scope.key) == scope


def test_a_lanes_key_reads_back_even_for_providers_with_colons() -> None:
    lane = Lane(source=Source("a"), sending_domain=SendingDomain("b.c"), provider=Provider("other:mx.d|mx.e"))
    assert Lane.from_key(lane.key) == lane


def test_hours_and_days_are_whole_and_utc() -> None:
    assert (cohort_of(7199.9), cohort_of(7200.0)) == (1, 2)
    assert (day_of(86399.9), day_of(86400.0)) == (0, 1)
