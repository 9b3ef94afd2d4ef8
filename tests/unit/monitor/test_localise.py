"""Localisation names the culprit, the whole culprit and nothing but the culprit."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from core.lane import Campaign, Lane, Provider, Scope, SendingDomain, Source, Stream, Traffic
from monitor.localise import Part, culprits

WHOLE = Scope(stream="bulk", spare=("receipts",))
PROVIDERS, CAMPAIGNS = ("gmail", "mailru", "outlook"), ("spring", "summer", "autumn", "winter")


def narrowest(whole: Scope, counts: dict[Traffic, tuple[int, int]], threshold: float) -> Part | None:
    found = culprits(whole, counts, threshold)
    assert len(found) <= 1
    return found[0] if found else None


def cell(campaign: str, provider: str, source: str = "s1") -> Traffic:
    lane = Lane(source=Source(source), sending_domain=SendingDomain("news.example"), provider=Provider(provider))
    return Traffic(lane=lane, stream=Stream("bulk"), campaign=Campaign(campaign))


def mail(bad: dict[tuple[str, str], int], total: int = 10_000) -> dict[Traffic, tuple[int, int]]:
    return {cell(c, p): (bad.get((c, p), 2), total) for c in CAMPAIGNS for p in PROVIDERS}


def test_a_bad_campaign_at_one_provider_is_named_by_both() -> None:
    part = narrowest(WHOLE, mail({("spring", "gmail"): 80}), 0.001)
    assert part is not None
    assert (part.scope.campaign, part.scope.provider, part.scope.stream) == ("spring", "gmail", "bulk")
    assert (part.bad, part.total, part.rest_bad, part.rest_total) == (80, 10_000, 22, 110_000)
    assert part.scope.spare == WHOLE.spare


def test_a_part_is_not_named_by_more_than_is_clear() -> None:
    counts = {
        cell("spring", "mailru", "river"): (8, 16),
        cell("spring", "mailru", "lake"): (0, 1),
        cell("letter", "mailru", "river"): (1, 40),
        cell("letter", "mailru", "lake"): (0, 21),
    }
    whole = Scope(provider="mailru", stream="bulk")
    part = narrowest(whole, counts, 0.02)
    assert part is not None
    assert part.scope.key == "provider=mailru,stream=bulk,campaign=spring"


def test_a_campaign_that_is_bad_everywhere_is_named_alone() -> None:
    part = narrowest(WHOLE, mail({("spring", p): 60 for p in PROVIDERS}), 0.001)
    assert part is not None
    assert (part.scope.campaign, part.scope.provider) == ("spring", "")


def test_a_provider_where_everything_is_bad_is_named_alone() -> None:
    part = narrowest(WHOLE, mail({(c, "mailru"): 60 for c in CAMPAIGNS}), 0.001)
    assert part is not None
    assert (part.scope.campaign, part.scope.provider) == ("", "mailru")


def test_what_is_bad_all_over_has_no_narrower_name() -> None:
    assert narrowest(WHOLE, mail({(c, p): 40 for c in CAMPAIGNS for p in PROVIDERS}), 0.001) is None


def test_two_culprits_are_both_named_and_the_rest_goes_on() -> None:
    parts = culprits(WHOLE, mail({("spring", "gmail"): 200, ("summer", "mailru"): 150}), 0.001)
    assert {(p.scope.campaign, p.scope.provider) for p in parts} == {("spring", "gmail"), ("summer", "mailru")}
    assert {(p.rest_bad, p.rest_total) for p in parts} == {(20, 100_000)}


def test_many_culprits_are_the_whole() -> None:
    bad = {(c, p): 200 for i, c in enumerate(CAMPAIGNS) for j, p in enumerate(PROVIDERS) if (i + j) % 2}
    assert culprits(WHOLE, mail(bad), 0.001) == ()


def test_mail_of_one_kind_only_is_the_whole() -> None:
    assert narrowest(WHOLE, {cell("spring", "gmail"): (90, 10_000)}, 0.001) is None
    assert narrowest(WHOLE, {}, 0.001) is None


def test_chance_names_no_culprit_among_equals() -> None:
    source = random.Random(5)
    named = 0
    for _ in range(300):
        counts = {
            cell(f"c{n}", p): (sum(source.random() < 0.02 for _ in range(200)), 200)
            for n in range(8)
            for p in PROVIDERS
        }
        named += narrowest(WHOLE, counts, 0.01) is not None
    assert named <= 6  # the whole is bad everywhere: a name would let the rest go on


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(CAMPAIGNS), st.sampled_from(PROVIDERS), st.sampled_from(["s1", "s2"])),
        st.tuples(st.integers(0, 300), st.integers(0, 20_000)),
        max_size=20,
    )
)
def test_a_part_lies_inside_its_whole_and_counts_add_up(
    given_counts: dict[tuple[str, str, str], tuple[int, int]],
) -> None:
    counts = {cell(*names): told for names, told in given_counts.items()}
    for part in (parts := culprits(WHOLE, counts, 0.001)):
        inside = [told for traffic, told in counts.items() if part.scope.covers(traffic)]
        assert part.bad <= sum(b for b, _ in inside)
        assert 0 < part.total < sum(max(n, b) for b, n in counts.values())
        assert part.bad * part.rest_total > part.rest_bad * part.total
        assert WHOLE.stream == part.scope.stream
    if parts:
        rest = [told for traffic, told in counts.items() if not any(p.scope.covers(traffic) for p in parts)]
        assert {(p.rest_bad, p.rest_total) for p in parts} == {
            (sum(b for b, _ in rest), sum(max(n, b) for b, n in rest))
        }
