"""The preview is what a recipient gets: preheader in its places, text made, links tagged, sizes told."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput
from sender.preparing.preview import preview
from sender.preparing.text_from_html import text_of

PARTS = {
    "from": "Shop <news@example.com>",
    "subject": "Hello {{ name }}",
    "preheader": "{{ name }}, only & today",
    "html": "<html><body class=x><p>Dear {{ name }}, see <a href='https://x.test/'>it</a>.</p></body></html>",
    "utm": "x.test",
}


def test_the_preheader_is_hidden_in_html_and_first_in_text() -> None:
    seen = preview(PARTS, {"name": "Ann"})
    assert seen.preheader == "Ann, only & today"
    assert seen.text.startswith("Ann, only & today\n\nDear Ann, see it [1].")
    body = seen.html.index("<body class=x>") + len("<body class=x>")
    assert seen.html[body:].startswith('<div style="display:none;')
    assert "Ann, only &amp; today&#847;" in seen.html
    assert text_of(seen.html).startswith("Dear Ann"), "not a word of it is visible"


@pytest.mark.parametrize("frame", ["{}", "<!DOCTYPE html>{}", "<html><head><title>t</title></head>{}</html>"])
def test_a_page_without_body_tag_takes_the_preheader_before_its_first_words(frame: str) -> None:
    html = preview({**PARTS, "html": frame.format("<p>x</p>")}, {"name": "Ann"}).html
    assert html.index("Ann") < html.index("<p>x</p>")
    assert html.index("Ann") > html.find("</title>")


def test_a_preheader_stands_outside_of_what_is_inlined_for_each_message() -> None:
    html = "<style>.a{color: red}</style><body><p class='{{ name }}'>x</p></body>"
    seen = preview({**PARTS, "html": html}, {"name": "a"})
    assert "color: red" in seen.html
    assert seen.text == "a, only & today\n\nx\n"


def test_links_are_tagged_in_both_parts_and_the_way_out_is_not() -> None:
    html = PARTS["html"] + '<a href="{{ unsubscribe_url }}">out</a>'
    seen = preview({**PARTS, "html": html, "utm": "all"}, {"name": "Ann"}, source="s.test", campaign="c", stream="bulk")
    assert (
        'href="https://x.test/?utm_source=s.test&amp;utm_medium=email&amp;utm_campaign=c&amp;utm_content=bulk"'
        in seen.html
    )
    assert "[1] https://x.test/?utm_source=s.test&utm_medium=email&utm_campaign=c&utm_content=bulk\n" in seen.text
    assert seen.html.count("utm_medium") == seen.text.count("utm_medium") == 1


def test_sizes_are_those_of_the_finished_parts() -> None:
    seen = preview(PARTS, {"name": "Анна"})
    assert seen.html_size == len(seen.html.encode())
    assert seen.text_size == len(seen.text.encode())
    assert seen.message_size > seen.html_size + seen.text_size
    assert not seen.clipped
    assert preview({**PARTS, "html": "x" * 104_500}, {"name": "Ann"}).clipped


@pytest.mark.parametrize(
    ("change", "field"),
    [({}, "variables.name"), ({"preheader": "a\nb"}, "preheader"), ({"preheader": "{% if %}"}, "preheader"),
     ({"utm": "x"}, "utm"), ({"colour": "red"}, "colour")],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(change: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        preview({**PARTS, **change}, {} if field.startswith("variables") else {"name": "Ann"})
    assert caught.value.field == field
