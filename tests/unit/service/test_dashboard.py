"""The dashboard: what it says, in two languages, and that nothing from outside can speak in its name."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.words import Language
from core.events import GateState, StepMove, SuppressionReason
from core.lane import Scope
from core.reply import Reply
from service.web.charts import nice_top, sparkline, volume_chart
from service.web.dashboard import render_dashboard
from service.web.lane_marks import lane_mark
from service.web.phrases import EN, RU, compact, plural
from service.web.view import AlertRow, Band, DashboardView, DayVolume, LaneRow, Share, bands_of
from tests.unit.service.dashboard_sample import HOSTILE, NOW, PAUSED, SAMPLE, TODAY, gate_change, lane

STATIC = Path(__file__).resolve().parents[3] / "service/web/static"
EMPTY = DashboardView(now=NOW, node="node1")
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: every element that opens is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(params=["en", "ru"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("view", [SAMPLE, EMPTY], ids=["lively", "empty"])
def test_the_page_is_well_formed_and_needs_nothing_from_outside(view: DashboardView, language: str) -> None:
    page = Page(render_dashboard(view, language))
    addresses = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("href", "src") and v]
    ours = ("/static/", "#", "?l", "/?lang=", "/dmarc", "/signals", "/placement", "/requirements")
    assert all(address.startswith(ours) for address in addresses)
    assert all((STATIC / a.removeprefix("/static/")).is_file() for a in addresses if a.startswith("/static/"))
    # the Content-Security-Policy forbids inline style and script
    assert not [tag for tag, attrs in page.tags if "style" in attrs or any(k.startswith("on") for k in attrs)]
    assert [attrs.get("src") for tag, attrs in page.tags if tag == "script"] == ["/static/live.js"]
    assert not [tag for tag, _ in page.tags if tag == "style"]


@pytest.mark.parametrize("view", [SAMPLE, EMPTY], ids=["lively", "empty"])
def test_every_section_is_named_and_every_table_has_headers(view: DashboardView, language: str) -> None:
    page = Page(render_dashboard(view, language))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        if tag == "section":
            assert attrs["aria-labelledby"] in ids
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true" or "viewbox" in attrs
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    assert sum(tag == "table" for tag, _ in page.tags) <= sum(attrs.get("scope") == "row" for _, attrs in page.tags)


def test_hostile_names_and_replies_are_text(language: str) -> None:
    text = render_dashboard(SAMPLE, language)
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<script>alert" not in text
    assert HOSTILE in page.text
    assert "550 5.1.1 invalid mailbox <script>" in page.text


@given(st.text(max_size=60))
def test_whatever_a_campaign_is_called_the_page_stays_whole(name: str) -> None:
    gate = replace(PAUSED, scope=Scope(campaign=name or "x"), reason=name, by=name, rule=name, pause_id="p")
    view = replace(SAMPLE, gates=(gate,), note=name, node=name, queue={name: 3}, suppressions={name: 1})
    page = Page(render_dashboard(view, "en"))
    assert sum(tag == "script" for tag, _ in page.tags) == 1


@pytest.mark.parametrize(("language", "unknown"), [("en", "unknown"), ("ru", "нет данных")])
def test_what_is_not_known_is_said_to_be_unknown_and_never_0(language: str, unknown: str) -> None:
    page = Page(render_dashboard(EMPTY, language))
    figures = page.text.partition(EN["accepted"] if language == "en" else RU["accepted"])[2]
    assert figures.count(unknown) >= 6
    assert " 0 " not in f" {page.text} "
    assert "0\u00a0%" not in page.text


@pytest.mark.parametrize(
    ("language", "unknown", "silent"), [("en", "unknown", "not reported"), ("ru", "нет данных", "не сообщает")]
)
def test_a_rate_without_observations_is_unknown_and_one_that_cannot_exist_is_not_shown(
    language: str, unknown: str, silent: str
) -> None:
    nothing = Share(part=0, of=0)
    row = LaneRow(lane=lane("yahoo"), plan="", step=0, cap=100, used=0, finished=False, delivered=nothing,
                  bounced=nothing, complained=nothing)  # fmt: skip
    page = Page(render_dashboard(replace(EMPTY, lanes=(row,)), language))
    table = page.text.partition("mta1 · news.example.com")[2]
    assert table.count(unknown) >= 3
    assert silent not in table
    page = Page(render_dashboard(replace(EMPTY, lanes=(replace(row, complained=None),)), language))
    assert silent in page.text


@pytest.mark.parametrize(("language", "unknown"), [("en", "unknown"), ("ru", "нет данных")])
def test_placement_without_seed_mail_is_unknown_and_a_blind_mailbox_is_named(language: str, unknown: str) -> None:
    page = Page(render_dashboard(replace(EMPTY, placement=SAMPLE.placement[3:]), language))
    words = page.text.partition((EN if language == "en" else RU)["blind"])[2]
    assert words.split("  ")[0].strip().startswith(" ".join([unknown] * 3))


def test_a_pause_shows_its_figures_its_end_and_how_to_open_it() -> None:
    page = Page(render_dashboard(SAMPLE, "en"))
    told = (
        "0.31 %", "31 of 9,870", "limit 0.10 %", "1,530", "acts at 1,095", "in 5 h", "[TSS04]",
        "penstock resume provider=yahoo,stream=bulk", "at most once in 365 d",
    )  # fmt: skip
    assert not [words for words in told if words not in page.text]
    labels = [attrs["aria-label"] or "" for _, attrs in page.tags if "aria-label" in attrs]
    assert any(label.startswith("Rate 0.31\u00a0%, 95 % interval 0.22\u00a0%") for label in labels)


@pytest.mark.parametrize(
    ("view", "tone", "said"),
    [
        (replace(EMPTY, monitor_lag=0.0), "calm", "Everything flows"),
        (EMPTY, "watch", "Monitor: unknown"),
        (replace(EMPTY, monitor_lag=90.0), "watch", "Monitor 90 s behind"),
        (replace(EMPTY, monitor_lag=0.0, gates=(replace(PAUSED, state=GateState.PROBING),)), "watch", "1 gate lets"),
        (replace(EMPTY, monitor_lag=0.0, gates=(PAUSED,)), "alarm", "1 gate is closed"),
        (replace(EMPTY, monitor_lag=0.0, gates=(replace(PAUSED, state=GateState.OPEN),)), "calm", "Everything flows"),
    ],
)  # fmt: skip
def test_the_first_line_sums_the_page_up(view: DashboardView, tone: str, said: str) -> None:
    page = Page(render_dashboard(view, "en"))
    assert said in page.text
    assert any(attrs.get("class") == f"verdict {tone}" for _, attrs in page.tags)


def test_the_fragment_is_the_main_element_alone(language: str) -> None:
    fragment = render_dashboard(SAMPLE, language, fragment=True)
    whole = render_dashboard(SAMPLE, language)
    assert fragment.strip().startswith("<main")
    assert fragment.strip().endswith("</main>")
    assert fragment.strip() in whole


def test_an_unknown_language_is_english() -> None:
    assert render_dashboard(SAMPLE, "xx") == render_dashboard(SAMPLE, "en")


def test_both_languages_know_the_same_words_with_the_same_gaps() -> None:
    def gaps(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert set(EN) == set(RU)
    assert {k: gaps(v) for k, v in EN.items()} == {k: gaps(v) for k, v in RU.items()}
    said = {*GateState, *StepMove, *SuppressionReason}
    assert {str(word) for word in said} <= set(EN)


def test_every_class_that_the_page_uses_for_a_state_has_a_colour() -> None:
    css = (STATIC / "penstock.css").read_text()
    for state in GateState:
        if state is not GateState.OPEN:
            assert f".band.{state}" in css
            assert f".dot.{state}" in css
    assert all(f".c{index} {{" in css for index in range(8))
    assert "url(" not in css
    assert "@import" not in css


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 затвор закрыт"), (3, "3 затвора закрыты"), (5, "5 затворов закрыты"),
                        (11, "11 затворов закрыты"), (21, "21 затвор закрыт")],
)  # fmt: skip
def test_russian_counts_take_their_forms(count: int, said: str) -> None:
    assert plural(count, "closed", "ru") == said


def test_steps_of_one_day_are_one_entry_and_gates_stand_alone() -> None:
    page = Page(render_dashboard(SAMPLE, "en"))
    assert "Advanced · 3 lanes" in page.text
    assert "mta1 → outlook: 4,800 (only 71 % of the cap was sent)" in page.text


def test_bands_last_until_the_episodes_next_move() -> None:
    bands = bands_of((
        gate_change(10.0, "p", GateState.OPEN, GateState.PAUSED, PAUSED),
        gate_change(20.0, "p", GateState.PAUSED, GateState.PROBING, PAUSED),
        gate_change(30.0, "p", GateState.PROBING, GateState.OPEN, PAUSED),
        gate_change(40.0, "q", GateState.OPEN, GateState.PAUSED, PAUSED),
    ))  # fmt: skip
    assert [(b.state, b.begin, b.end) for b in bands] == [
        (GateState.PAUSED, 10.0, 20.0), (GateState.PROBING, 20.0, 30.0), (GateState.PAUSED, 40.0, None),
    ]  # fmt: skip


volumes = st.lists(
    st.builds(
        DayVolume, day=st.integers(TODAY - 80, TODAY), sent=st.integers(0, 10**8), cap=st.none() | st.integers(0, 10**8)
    ),
    max_size=60,
).map(lambda points: tuple(sorted(points, key=lambda p: p.day)))


@given(volumes, st.floats(NOW - 9e6, NOW + 9e6), st.none() | st.floats(NOW - 9e6, NOW + 9e6))
def test_no_drawing_leaves_its_frame(points: tuple[DayVolume, ...], begin: float, end: float | None) -> None:
    row = replace(SAMPLE.lanes[0], trend=points)
    band = Band(provider="", state=GateState.PAUSED, begin=begin, end=end)
    for drawing in (volume_chart([row], [band], NOW, "en"), sparkline(points, "ru")):
        for attribute in ("x", "y", "width", "height"):
            assert all(float(v) >= 0 for v in re.findall(rf' {attribute}="([^"%]+)"', drawing))
        frame = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
        for x, width in re.findall(r'<rect class="[^"]+" x="([\d.]+)"[^>]* width="([\d.]+)"', drawing):
            assert frame is not None
            assert float(x) + float(width) <= float(frame[1]) + 0.11


@given(st.floats(0, 1e12))
def test_a_scale_holds_its_greatest_value_without_wasting_the_plot(value: float) -> None:
    assert value <= nice_top(value)
    assert nice_top(value) <= max(4.0, 2.5 * value)


def test_scale_labels_are_short() -> None:
    assert [compact(v, "en") for v in (0, 250, 1500, 20_000, 3_000_000)] == ["0", "250", "1.5k", "20k", "3M"]


def test_a_reply_is_shown_as_one_bounded_line() -> None:
    long = str(Reply(code=550, text="x" * 5000))
    evidence = replace(PAUSED.evidence, samples=(long,)) if PAUSED.evidence else None
    page = Page(render_dashboard(replace(EMPTY, gates=(replace(PAUSED, evidence=evidence),)), "en"))
    assert max(len(word) for word in page.text.split()) <= 300


@pytest.mark.parametrize("language", ["en", "ru"])
def test_no_firing_alert_is_hidden_by_others(language: str) -> None:
    rows = tuple(
        AlertRow(name=f"Alert{n}", severity="warning", scope="", summary="", since=NOW - n, told={}) for n in range(20)
    )
    page = Page(render_dashboard(replace(EMPTY, alerts=rows), language))
    text = " ".join(page.words)
    assert [row.name for row in rows if f"{row.name} " not in text] == []
    assert "details" in [tag for tag, _ in page.tags]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Held by anna until 26 Nov, 14:10", "the new domain waits for <DNS>", "Stepped back until",
                "2.5% refused for reputation", "Same step until 26 Nov, 00:00", "misses its deadline",
                "clean days to the target: 12"]),
        ("ru", ["Удерживает anna до 26 ноя, 14:10", "the new domain waits for <DNS>", "Шаг назад до 26 ноя, 00:00",
                "2,5 % отклонено из-за репутации", "Тот же шаг до 26 ноя, 00:00", "не успевает к сроку",
                "до цели чистых дней: 12"]),
    ],
)  # fmt: skip
def test_the_lane_table_says_who_holds_a_lane_why_it_fell_and_what_comes_next(language: str, words: list[str]) -> None:
    text = Page(render_dashboard(SAMPLE, language)).text
    for word in words:
        assert word in text


def test_a_lane_that_rises_has_no_mark_and_a_warm_one_no_next_step() -> None:
    rising = next(row for row in SAMPLE.lanes if row.lane.provider == "yahoo")
    assert rising.standing is not None
    for said in (lane_mark(rising.standing, StepMove.ADVANCED, "en"), lane_mark(rising.standing, None, "en")):
        assert said is not None
        assert (said.tone, said.title, said.why) == ("", "", "")
    assert lane_mark(replace(rising.standing, finished=True), StepMove.HELD, "en") is None
    stopped = lane_mark(replace(rising.standing, braked=True), StepMove.HELD, "en")
    assert stopped is not None
    assert stopped.title.startswith("No more new mail until")


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "until it is listed no more, then a probe"), ("ru", "до исключения из списка, затем проба")],
)
def test_a_gate_of_a_listing_ends_with_the_listing_not_by_a_person(language: Language, words: str) -> None:
    listed = replace(PAUSED, rule="listing", by="listing", until=0.0, evidence=None)
    text = Page(render_dashboard(replace(EMPTY, gates=(listed,)), language)).text
    assert words in text
    assert "a person resumes" not in text
    assert "решения человека" not in text
