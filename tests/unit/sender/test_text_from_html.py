"""The text part that is made from HTML: what a person reads, links as footnotes, once for all recipients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.preparing.holes import Holes
from sender.preparing.markup import Kind, pieces
from sender.preparing.text_from_html import text_of, text_template
from sender.template import MailTemplate

HEAD = {"from": "news@example.com", "subject": "s"}
BUILT_IN = {"recipient": "ann@x.test", "unsubscribe_url": "https://us.test/u/1"}


def _text(html: str, **variables: str) -> str:
    return MailTemplate({**HEAD, "html": html}).render({**BUILT_IN, **variables}).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("a <b>b</b>\n  c", "a b c\n"),
        ("<div>One</div><div>Two</div>", "One\nTwo\n"),
        ("one<br>two<br/>three", "one\ntwo\nthree\n"),
        ("<h1>Sale</h1>\n<ul>\n<li>one\n<li>two</ul>end", "Sale\n\n- one\n- two\n\nend\n"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1  2\n3\n"),
        ("fish &amp; chips &lt;3&nbsp;&#8364;", "fish & chips <3 €\n"),
        ("<img src=x alt='A cat'><img src=y alt=''><img src=z>", "A cat\n"),
        ("<style>p{}</style><script>1</script><title>t</title>seen<!-- not -->", "seen\n"),
        ('<div style="display: none">not</div><p hidden>nor this</p>seen', "seen\n"),
        ('<p hidden>not<p>seen', "seen\n"),
        ("<head><title>t</title></head><body>seen", "seen\n"),
        ("a<hr>b", "a\n\n----\n\nb\n"),
        ("", ""),
        ("<img src=x>", ""),
        ("2 < 3 and 4 > 3", "2 < 3 and 4 > 3\n"),
    ],
)  # fmt: skip
def test_the_words_stay_in_their_order_and_blocks_become_lines(html: str, text: str) -> None:
    assert text_of(html) == text


def test_links_are_footnotes_and_one_address_has_one_number() -> None:
    html = '<a href="https://x.test/a?b=1&amp;c=2">Shop</a>, <a href="https://x.test/b">more</a> or <a href="https://x.test/b">all</a>'
    assert text_of(html) == "Shop [1], more [2] or all [2]\n\n[1] https://x.test/a?b=1&c=2\n[2] https://x.test/b\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.test/">https://x.test/</a>', "https://x.test/\n"),
        ('<a href="https://x.test/">x.test</a>', "x.test\n"),
        ('<a href="mailto:ann@x.test">ann@x.test</a>', "ann@x.test\n"),
        ('<a href="mailto:ann@x.test?subject=hi">Write</a>', "Write <ann@x.test>\n"),
        ('<a href="#top">Top</a> <a name="x">here</a> <a href="https://x.test/"><img src=1></a>', "Top here\n"),
    ],
)
def test_a_link_that_says_nothing_new_gets_no_footnote(html: str, text: str) -> None:
    assert text_of(html) == text


def test_values_are_not_escaped_in_text() -> None:
    assert _text("<p>Dear {{ name }}</p>", name="Ann & <Bob>") == "Dear Ann & <Bob>\n"


def test_loops_and_conditions_keep_their_lines() -> None:
    html = (
        "<p>Your order:</p><table>{% for c in word %}<tr><td>{{ c }}</td><td>1</td></tr>{% endfor %}</table>"
        "{% if vip == '1' %}<p>You are a <b>VIP</b>.</p>{% else %}<p>Join us.</p>{% endif %}<p>Bye</p>"
    )
    assert text_template(Holes.of(html)) is not None
    assert _text(html, word="ab", vip="1") == "Your order:\n\na  1\nb  1\n\nYou are a VIP.\n\nBye\n"
    assert _text(html, word="", vip="0") == "Your order:\n\nJoin us.\n\nBye\n"


def test_a_link_in_a_block_stands_beside_its_words() -> None:
    html = "{% if a %}<a href='https://x.test/{{ a }}'>Go</a>{% endif %}<a href='https://y.test/'>Stay</a>"
    assert _text(html, a="1") == "Go <https://x.test/1>Stay [1]\n\n[1] https://y.test/\n"


@pytest.mark.parametrize(
    "html",
    [
        "<p>{{ body|safe }}</p>",
        "{% if a %}<div class=x>{% else %}<div>{% endif %}text</div>",
        "<p>a{% if a %}</p><p>{% endif %}b</p>",
    ],
)
def test_what_depends_on_the_values_is_converted_for_each_message(html: str) -> None:
    assert text_template(Holes.of(html)) is None


def test_markup_in_a_value_marked_safe_leaves_no_tags_in_the_text() -> None:
    assert _text("<p>{{ body|safe }}</p>", body="<b>bold</b> &amp; more") == "bold & more\n"


def test_braces_written_as_entities_stay_braces() -> None:
    assert _text("<p>&#123;&#123; name }} {{ name }}</p>", name="Ann") == "{{ name }} Ann\n"


@given(st.text(alphabet="<>/=\"'!-ab pdivstyle{}%&;#\n", max_size=200))
def test_cutting_loses_nothing(html: str) -> None:
    assert "".join(piece.source for piece in pieces(html)) == html
    text_of(html)


@pytest.mark.parametrize(
    ("html", "tags"),
    [
        ("<a title='></a>'>x</a>", ["a", "/a"]),
        ('<a b"c>x<i>', ["a", "i"]),
        ("<!--><b>", ["b"]),
        ("<!-- --!><b><!-- <i>", ["b"]),
        ("<style><b></style ><i>", ["style", "/style", "i"]),
        ("<a href=x/y>z</a\n>", ["a", "/a"]),
        ("<b><i unfinished='", ["b"]),
        ("</ b><? c ><!d>", []),
    ],
)
def test_tags_are_cut_as_browsers_cut_them(html: str, tags: list[str]) -> None:
    found = [("/" if p.kind is Kind.CLOSE else "") + p.name for p in pieces(html) if p.kind in (Kind.OPEN, Kind.CLOSE)]
    assert found == tags
