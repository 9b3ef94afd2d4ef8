"""Preview: the plan's best case, day by day, for the audience's own mix."""

from __future__ import annotations

import pytest

from tests.unit.warmup.world import plan
from warmup.preview import chart, preview, table

MIX = {"gmail": 3.0, "yahoo": 1.0}


def test_each_day_carries_the_least_of_cap_and_wish_until_all_goes() -> None:
    shown = preview(plan(), MIX, 800)
    assert [(d.caps["gmail"], d.sent["gmail"], d.sent["yahoo"]) for d in shown.days] == [
        (100, 100, 100), (150, 150, 150), (225, 225, 200), (337, 337, 200), (506, 506, 200), (759, 600, 200),
    ]  # fmt: skip
    assert (shown.ready, shown.days[0].share, shown.days[-1].share) == (6, 0.25, 1.0)


def test_more_lanes_carry_more() -> None:
    assert preview(plan(), MIX, 800, lanes=4).ready < preview(plan(), MIX, 800).ready


def test_a_target_below_the_wish_is_told() -> None:
    shown = preview(plan(target=200), MIX, 4000)
    assert shown.ready == 0
    assert "do not carry 4,000" in table(shown)
    assert "4\u202f000" in table(shown, "ru")
    assert "10\u00a0%" in table(shown, "ru")


def test_the_table_speaks_both_languages() -> None:
    shown = preview(plan(), MIX, 800)
    lines = table(shown).splitlines()
    assert lines[0].split() == ["day", "gmail", "yahoo", "total", "share"]
    assert lines[1].split() == ["1", "100", "100", "200", "25%"]
    assert "from day 6 on" in lines[-1]
    assert "с 6-го дня" in table(shown, "ru")


@pytest.mark.parametrize("changes", [{"mix": {}}, {"daily": 0}, {"lanes": 0}, {"mix": {"gmail": -1.0}}])
def test_an_impossible_wish_is_refused(changes: dict[str, object]) -> None:
    given: dict[str, object] = {"mix": MIX, "daily": 10, "lanes": 1, **changes}
    with pytest.raises(ValueError, match="preview"):
        preview(plan(), given["mix"], given["daily"], lanes=given["lanes"])  # type: ignore[arg-type]


def test_a_chart_has_a_bar_a_day_and_the_base_its_share() -> None:
    shown = preview(plan(start=100, growth=2, target=1000), {"gmail": 1, "yahoo": 1}, 1600)
    bars = chart(shown).splitlines()
    assert bars[0] == "gmail: up to 800 a day"
    assert len(bars[1].strip()) == len(shown.days)
    assert bars[1].strip()[0] < bars[1].strip()[-1]
    assert "of the base" in table(shown, base=16_000)
    assert table(shown, base=16_000).splitlines()[1].split()[-1] == "1.2%"


def test_the_adaptive_plan_is_shown_at_its_best_and_a_missed_deadline_is_told() -> None:
    given = plan(controller="adaptive", start=500, growth=2, max_growth=3, target=100_000, deadline_days=3)
    shown = preview(given, {"gmail": 1}, 10_000)
    assert [day.caps["gmail"] for day in shown.days] == [500, 1000, 2500, 7500, 22_500]
    assert shown.late
    assert "later than the plan's deadline, day 3" in table(shown)
