"""UTM parameters: on the links that the sender chose, and nowhere else."""

from __future__ import annotations

from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from sender.preparing.utm import Tagger, choice_of

OURS = "utm_source=example.com&utm_medium=email&utm_campaign=autumn+sale&utm_content=bulk"


SPARE = ("https://us.test/u/1",)


def _tagger(utm: str = "all") -> Tagger:
    return Tagger(choice_of(utm), source="example.com", campaign="autumn sale", stream="bulk")


@pytest.mark.parametrize(
    ("link", "tagged"),
    [
        ("https://x.test", f"https://x.test?{OURS}"),
        ("https://x.test/a?b=1", f"https://x.test/a?b=1&{OURS}"),
        ("https://x.test/a?b=1#c?d", f"https://x.test/a?b=1&{OURS}#c?d"),
        ("https://x.test/#", f"https://x.test/?{OURS}#"),
        (
            "https://x.test/?utm_campaign=own",
            "https://x.test/?utm_campaign=own&utm_source=example.com&utm_medium=email&utm_content=bulk",
        ),
        ("https://x.test/?a=1&", f"https://x.test/?a=1&{OURS}"),
    ],
)
def test_existing_parameters_and_fragments_are_kept(link: str, tagged: str) -> None:
    assert _tagger().link(link) == tagged
    assert _tagger().link(tagged) == tagged, "a tagged link stays as it is"


@pytest.mark.parametrize(
    "link",
    [
        "mailto:ann@x.test", "tel:+7", "#top", "/a", "", "ftp://x.test", "javascript:alert(1)",
        "https://us.test/u/1", "https://shop.test/unsubscribe?id=1", "https://shop.test/opt-out",
        "https://shop.test/%D0%BE%D1%82%D0%BF%D0%B8%D1%81%D0%BA%D0%B0", "https://x.test/" + "a" * 2000,
    ],
)  # fmt: skip
def test_these_links_are_never_touched(link: str) -> None:
    assert _tagger().link(link, SPARE) == link
    assert _tagger().html(f'<a href="{link}">', SPARE) == f'<a href="{link}">'
    assert _tagger().text(f"see {link} there", SPARE) == f"see {link} there"


@pytest.mark.parametrize(
    ("utm", "link", "chosen"),
    [
        ("off", "https://x.test/", False),
        ("", "https://x.test/", False),
        ("x.test", "https://x.test/", True),
        ("x.test", "https://www.X.test/a", True),
        ("x.test", "https://notx.test/", False),
        ("x.test", "https://x.test@evil.test/", False),
        ("x.test", "https://[broken/", False),
        ("https://x.test/sale y.test", "https://x.test/sale/1", True),
        ("https://x.test/sale y.test", "https://x.test/", False),
        ("https://x.test/sale y.test", "http://y.test", True),
        ("пример.рф", "https://xn--e1afmkfd.xn--p1ai/", True),
    ],
)
def test_the_choice_is_by_domain_or_by_beginning(utm: str, link: str, chosen: bool) -> None:
    assert (_tagger(utm).link(link) != link) == chosen


@pytest.mark.parametrize("utm", ["on", "x", "mailto:a", "https://", "a..b", "x.test " * 51])
def test_a_choice_that_chooses_nothing_is_refused(utm: str) -> None:
    with pytest.raises(InvalidInput, match="utm"):
        choice_of(utm)


def test_links_in_html_are_tagged_in_their_attribute() -> None:
    html = (
        '<a class=b href="https://x.test/?a=1&amp;b=2">x</a><A HREF=https://x.test>y</A>'
        '<img src="https://x.test/i.png"><link href="https://x.test/">'
    )
    amp = OURS.replace("&", "&amp;")
    assert _tagger().html(html) == (
        f'<a class=b href="https://x.test/?a=1&amp;b=2&amp;{amp}">x</a><A HREF="https://x.test?{amp}">y</A>'
        '<img src="https://x.test/i.png"><link href="https://x.test/">'
    )


def test_links_in_text_are_tagged_without_the_punctuation_behind_them() -> None:
    assert _tagger().text("See https://x.test/a, or (https://x.test/b).") == (
        f"See https://x.test/a?{OURS}, or (https://x.test/b?{OURS})."
    )


@given(st.text(alphabet="<a href='\"=>https://x.test/?&#; ", max_size=120))
def test_html_without_a_chosen_link_is_kept(html: str) -> None:
    assert _tagger("y.test").html(html) == html


@given(st.text(alphabet="abc/?&=#%;<>\"'", max_size=60))
def test_every_other_parameter_and_the_path_survive(rest: str) -> None:
    link = "https://x.test/" + rest.replace("unsub", "")
    before, after = urlsplit(link), urlsplit(_tagger().link(link))
    assert (after.netloc, after.path, after.fragment) == (before.netloc, before.path, before.fragment)
    kept = [pair for pair in parse_qsl(after.query, keep_blank_values=True) if not pair[0].startswith("utm_")]
    assert kept == [p for p in parse_qsl(before.query, keep_blank_values=True) if not p[0].startswith("utm_")]
    assert (
        unescape(_tagger().html(f'<a href="{link.replace("&", "&amp;").replace(chr(34), "&quot;")}">')).count(
            "utm_medium"
        )
        == 1
    )


def test_a_link_of_one_message_is_not_remembered_for_another_that_spares_it() -> None:
    tagger = _tagger()
    for number in range(3):
        ours = f"https://us.test/x/{number}"
        html = f'<a href="{ours}">x</a><a href="https://x.test/">y</a>'
        assert tagger.html(html, (ours,)).count("utm_medium") == 1
