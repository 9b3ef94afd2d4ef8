"""What the lint finds in a template, and what it leaves in peace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.preparing.finding import Language, Level
from sender.preparing.lint import CLIPPED_AT, lint
from sender.preparing.lint_rules import EVERY

FOOTER = '<p>Shop Ltd, 12 Long Street, 10115 Berlin. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'
WORDS = "<p>Dear {{ name }}, our autumn sale begins on Monday, and everything in the shop is cheaper for a week.</p>"
RUSSIAN = '<p>ООО «Лавка», 101000, Москва, ул. Длинная, 1. <a href="{{ unsubscribe_url }}">Отписаться</a></p>'
GOOD = {
    "from": "Shop <news@example.com>",
    "subject": "Autumn sale",
    "preheader": "From Monday",
    "text": "Dear {{ name }}, sale. Shop Ltd. Unsubscribe: {{ unsubscribe_url }}",
    "html": f"{WORDS}{FOOTER}",
}


def _ids(parts: dict[str, str], variables: dict[str, str] | None = None, **options: bool | str) -> list[str]:
    marketing = bool(options.get("marketing", True))
    return [
        f.rule.id for f in lint(parts, variables, marketing=marketing, legal_address=str(options.get("address", "")))
    ]


def _html(html: str, marketing: bool = True) -> list[str]:
    return _ids({**GOOD, "html": WORDS + html + FOOTER}, marketing=marketing)


def test_a_good_template_has_no_findings() -> None:
    assert _ids(GOOD, {"name": "Ann"}) == []
    assert _ids(GOOD) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"subject": ""}, "subject_missing"),
        ({"subject": "s" * 61}, "subject_long"),
        ({"subject": "BUY NOW TODAY"}, "subject_capitals"),
        ({"subject": "КУПИ СЕЙЧАС"}, "subject_capitals"),
        ({"subject": "Really?!"}, "subject_marks"),
        ({"preheader": ""}, "preheader_missing"),
        ({"text": ""}, "text_missing"),
        ({"text": "", "html": ""}, "body_missing"),
        ({"text": "  "}, "text_empty"),
        ({"html": "{% if %}"}, "broken"),
        ({"utm": "nonsense"}, "broken"),
        ({"subject": "a\nb"}, "broken"),
        ({"html": GOOD["html"] + "<i>" + "x" * CLIPPED_AT}, "too_large"),
        ({"html": GOOD["html"] + "<i>" + "x" * (CLIPPED_AT - 3000)}, "nearly_too_large"),
        ({"html": WORDS + FOOTER.replace("{{ unsubscribe_url }}", "https://x.test")}, ""),
        ({"html": WORDS + "<p>12 Long Street, 10115 Berlin</p>"}, "unsubscribe_missing"),
        ({"html": WORDS + FOOTER.replace("<a ", "<a style='display:none' ")}, "unsubscribe_missing"),
        ({"html": WORDS + FOOTER.replace(">Unsubscribe<", "><")}, "unsubscribe_missing"),
        ({"html": WORDS + FOOTER.replace("<p>", '<p style="font-size: 6px">')}, "unsubscribe_small"),
        ({"text": "Dear {{ name }}"}, "unsubscribe_missing"),
        ({"html": WORDS + FOOTER.replace("10115", "")}, "address_unseen"),
        ({"html": WORDS + RUSSIAN}, ""),
    ],
)  # fmt: skip
def test_each_fault_is_found_alone(change: dict[str, str], found: str) -> None:
    assert _ids({**GOOD, **change}) == ([found] if found else [])


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<img src=a.png>", "alt_missing"),
        ("<img src=a.png alt=''>", ""),
        ("<img src=p.gif width=1 height=1>", ""),
        ("<a href='http://x.test/'>x</a>", "link_insecure"),
        ("<a href='#'>x</a>", "link_empty"),
        ("<form action=x></form>", "active_content"),
        ("<p>WHAT A GREAT DEAL THIS WILL BE FOR YOURSELF</p>", "capitals"),
        ("<a href='https://evil.test/'>https://bank.test/login</a>", "link_deceptive"),
        ("<a href='https://evil.test/'>bank.com</a>", "link_deceptive"),
        ("<a href='https://evil.test/'>www.bank.test</a>", "link_deceptive"),
        ("<a href='https://click.bank.com/1'>www.bank.com</a>", ""),
        ("<a href='https://shop.bank.co.uk/1'>bank.co.uk</a>", ""),
        ("<a href='https://other.co.uk/1'>bank.co.uk</a>", "link_deceptive"),
        ("<a href='https://xn--e1afmkfd.xn--p1ai/'>пример.рф</a>", ""),
        ("<a href='https://x.test/'>report.pdf</a> <a href='https://x.test/'>Visit us.</a>", ""),
    ],
)  # fmt: skip
def test_each_fault_of_the_page_is_found_alone(html: str, found: str) -> None:
    assert _html(html) == ([found] if found else [])


def test_images_without_words_are_found() -> None:
    html = '<a href="{{ unsubscribe_url }}"><img src=a.png alt="unsubscribe"></a> 10115 Berlin, Long Street'
    assert _ids({**GOOD, "html": html}) == ["image_only"]


def test_transactional_mail_needs_no_way_out_and_no_address() -> None:
    parts = {"subject": "Your code", "text": "123456", "html": "<img src=logo alt=Shop><p>Your code is 123456</p>"}
    assert _ids(parts, marketing=False) == []


def test_missing_and_unused_variables_are_named() -> None:
    parts = {
        **GOOD,
        "text": GOOD["text"] + "{{ who }}{{ nick|default('you') }}{% if vip is defined %}{{ vip }}{% endif %}",
    }
    found = lint(parts, {"nmae": "Ann"})
    said = [(f.rule.id, dict(f.values)["name"]) for f in found]
    assert said == [("variable_missing", "name"), ("variable_missing", "who"), ("variable_unused", "nmae")]
    assert "{{ name|default('…') }}" in found[0].remedy("en")


def test_the_legal_address_that_the_sender_names_must_stand_in_it() -> None:
    assert _ids(GOOD, address="12 Long Street,\n10115 Berlin") == []
    assert _ids(GOOD, address="7 Short Street") == ["address_missing"]


def test_the_worst_stands_first() -> None:
    levels = [f.level for f in lint({"subject": "BUY NOW TODAY", "html": "<img src=x><a href=http://x.test>x</a>"})]
    assert levels == sorted(levels, key=[Level.PROBLEM, Level.WARNING, Level.NOTE].index)
    assert levels[0] is Level.PROBLEM


def test_every_finding_is_said_in_both_languages_and_its_values_are_filled_in() -> None:
    assert len({r.id for r in EVERY}) == len(EVERY)
    for rule in EVERY:
        for english, russian in (rule.what, rule.remedy):
            assert english
            assert any("а" <= c <= "я" for c in russian.lower()) or russian.startswith("{")
    languages: tuple[Language, ...] = ("en", "ru")
    for finding in lint({**GOOD, "subject": "BUY!!! " * 20, "html": "<img src='{'>{{ name }}", "text": ""}, {}):
        for language in languages:
            assert finding.what(language)
            assert finding.remedy(language)


@given(st.dictionaries(st.sampled_from(["subject", "html", "text", "preheader", "utm", "x"]), st.text(max_size=60)))
def test_it_never_raises(parts: dict[str, str]) -> None:
    for finding in lint(parts):
        finding.what("ru")
