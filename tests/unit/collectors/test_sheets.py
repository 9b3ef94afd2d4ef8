"""Requirement sheets: pass only what is known and good; and the shipped sheets name only what exists."""

from __future__ import annotations

import re

import pytest

from collectors.dns import texts_auth, texts_host
from collectors.dns.finding import Finding, Text, found
from collectors.dns.sheets import Fact, Standing, judge, render
from config.load import load_sheets
from config.tables import Requirement, Sheet
from service.requirements import FACTS

GOOD = found(texts_auth.SPF_OK, "b.news.example", lookups=1)
NEAR = found(texts_auth.SPF_NEAR_LIMIT, "b.news.example", lookups=9)
BAD = found(texts_auth.SPF_MISSING, "b.news.example", record="v=spf1 -all")
OTHER_FAILED = found(texts_auth.DNS_FAILED, "news.example", name="MX news.example", problem="SERVFAIL")
WHICH_FAILED = found(texts_auth.DNS_FAILED, "news.example", name="news.example", problem="SERVFAIL")
FAILED = found(texts_auth.DNS_FAILED, "news.example", name="SPF", problem="SERVFAIL")
YES = Fact(True, ("it is so", "так и есть"))
NO = Fact(False, ("it is not so", "это не так"))
NOBODY_KNOWS = Fact(None, ("nobody knows", "неизвестно"))
LOOKED = 1_764_072_000.0


def row(findings: list[str], facts: list[str], *, strict: bool = False) -> Sheet:
    return Sheet(
        provider="gmail", title_en="Rules", title_ru="Правила", as_of="2026-11",
        rows=[
            Requirement(
                id="x", what_en="what", what_ru="что", remedy_en="mend", remedy_ru="исправьте", source="https://x",
                findings=findings, facts=facts, warnings_fail=strict,
            )
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "facts", "sheet", "expected"),
    [
        ([GOOD], {}, row(["spf."], []), Standing.PASS),
        ([NEAR], {}, row(["spf."], []), Standing.PASS),
        ([NEAR], {}, row(["spf."], [], strict=True), Standing.FAIL),
        ([GOOD, BAD], {}, row(["spf."], []), Standing.FAIL),
        ([GOOD, FAILED], {}, row(["spf."], []), Standing.UNKNOWN),
        ([GOOD, OTHER_FAILED], {}, row(["spf."], []), Standing.PASS),
        ([GOOD, WHICH_FAILED], {}, row(["spf."], []), Standing.UNKNOWN),
        ([BAD, FAILED], {}, row(["spf."], []), Standing.FAIL),
        ([], {}, row(["spf."], []), Standing.UNKNOWN),
        ([], {"a": YES}, row([], ["a"]), Standing.PASS),
        ([], {"a": NO}, row([], ["a"]), Standing.FAIL),
        ([], {"a": NOBODY_KNOWS}, row([], ["a"]), Standing.UNKNOWN),
        ([], {}, row([], ["a"]), Standing.UNKNOWN),
        ([GOOD], {"a": YES}, row(["spf."], ["a"]), Standing.PASS),
        ([GOOD], {"a": NO}, row(["spf."], ["a"]), Standing.FAIL),
        ([GOOD], {"a": YES}, row(["spf."], ["a", "b"]), Standing.UNKNOWN),
        ([GOOD], {"a": YES}, row([], []), Standing.UNKNOWN),
    ],
)
def test_a_row_passes_only_when_everything_is_known_and_good(
    findings: list[Finding], facts: dict[str, Fact], sheet: Sheet, expected: Standing
) -> None:
    result = judge(sheet, findings, facts, LOOKED).rows[0]
    assert result.standing is expected
    assert result.evidence
    assert bool(result.remedy("en")) == bool(result.remedy("ru")) == (expected is not Standing.PASS)


def test_a_sheet_is_shown_with_evidence_and_remedy_in_both_languages() -> None:
    results = [judge(row(["spf."], ["a"]), [BAD], {"a": YES}, LOOKED)]
    assert render(results, "en").splitlines() == [
        "Rules — 0 pass, 1 fail, 0 unknown", "  ✗ what", "      b.news.example: there is no SPF record", "      → mend",
    ]  # fmt: skip
    unknown = render([judge(row(["spf."], []), [FAILED], {}, LOOKED)], "en")
    assert unknown.endswith("→ if it is not met: mend"), "what is not known to be wrong is not told to be mended"
    assert "нет записи SPF" in render(results, "ru")
    assert "нарушено 1" in render(results, "ru")


SHEETS = load_sheets()


def test_four_providers_have_sheets() -> None:
    assert {sheet.provider for sheet in SHEETS} == {"gmail", "yahoo", "outlook", "mailru"}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.provider)
def test_a_shipped_sheet_names_only_findings_and_facts_that_exist(sheet: Sheet) -> None:
    ids = [t.id for table in (texts_auth, texts_host) for t in vars(table).values() if isinstance(t, Text)]
    assert len({one.id for one in sheet.rows}) == len(sheet.rows)
    for one in sheet.rows:
        assert all(any(known.startswith(beginning) for known in ids) for beginning in one.findings)
        assert set(one.facts) <= FACTS
        assert one.source.startswith("https://")
        assert re.search("[а-яё]", one.what_ru + one.remedy_ru)
