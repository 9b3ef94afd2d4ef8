"""Styles inlined: once for a template wherever that gives what inlining each message would give."""

from __future__ import annotations

import re
from html import unescape

import pytest
from css_inline import CSSInliner
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput, LimitExceeded
from sender.preparing.holes import Holes
from sender.preparing.inlining import inline, inline_template
from sender.template import MailTemplate

STYLE = "<style>p{color:red} .row td{padding:2px} @media (max-width:600px){p{color:blue}}</style>"
HEAD = {"from": "news@example.com", "subject": "s", "text": "t"}
BUILT_IN = {"recipient": "ann@x.test", "unsubscribe_url": "https://us.test/u/1"}


def _html(html: str, **variables: str) -> str:
    return MailTemplate({**HEAD, "html": html}).render({**BUILT_IN, **variables}).html


def test_a_page_without_style_sheets_is_kept_byte_for_byte() -> None:
    html = "<P class=x>a<BR/>&nbsp;<td>'\n"
    assert inline(html) == html
    assert inline_template(Holes.of(html)) == html


def test_rules_go_into_attributes_and_media_queries_stay() -> None:
    done = inline(f"<html><head>{STYLE}</head><body><p>x</p></body></html>")
    assert re.search(r'<p style="color: ?red;?">x</p>', done)
    assert "@media (max-width:600px)" in done
    assert "p{color:red}" not in done


def test_links_and_imports_are_never_followed(tmp_path: object) -> None:
    done = inline(
        '<link rel=stylesheet href="file:///etc/passwd"><style>@import url(file:///etc/passwd);p{color:red}</style><p>x'
    )
    assert "root:" not in done


@pytest.mark.parametrize(
    "html",
    [
        "<p>Dear {{ name }}</p>",
        "{% if vip %}<p>x</p>{% else %}<p>y</p>{% endif %}",
        "<table class=row><tbody>{% for c in name %}<tr><td>{{ c }}</td></tr>{% endfor %}</tbody></table>",
        '<p><a href="https://x.test/{{ name }}?a=1&amp;b={{ vip }}">x</a></p>',
        "<p><a href={{ vip }}>x</a></p><!--[if mso]>{% if vip %}<p>{{ vip }}</p>{% endif %}<![endif]-->",
        "<p>{# a note #}{% raw %}{{ not }}{% endraw %}{{ name -}}  </p>",
        "<p title='{% if vip %}{{ vip }}{% endif %}'>x</p>",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "frame", ["{}", "<!DOCTYPE html><html><head><title>{{{{ name }}}}</title></head><body>{}</body></html>"]
)
def test_inlining_early_gives_what_inlining_late_gives(html: str, frame: str) -> None:
    source = frame.format(STYLE + html)
    assert inline_template(Holes.of(source)), "this template can be inlined once"
    for values in ({"name": "Ann <b>", "vip": "1"}, {"name": "", "vip": ""}):
        plain = MailTemplate({**HEAD, "html": source.replace("<style>", "<stylx>")}).render({**BUILT_IN, **values}).html
        late = inline(plain.replace("<stylx>", "<style>"))
        assert _like(_html(source, **values)) == _like(late)


def _like(html: str) -> str:
    """As a browser reads it, without spaces and without what browsers add by themselves."""
    read = CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, inline_style_tags=False).inline(html)
    return unescape(re.sub(r"</?(?:html|head|body|tbody)[^>]*>|<!DOCTYPE html>|\s+", "", read))


@pytest.mark.parametrize(
    "html",
    [
        "<p class='{{ kind }}'>x</p>",
        "<p style='color:{{ kind }}'>x</p>",
        "<style>.y{color: {{ kind }} }</style><p>x</p>",
        "<style>li:nth-child(2){color:red}</style><ul>{% for c in kind %}<li>{{ c }}</li>{% endfor %}</ul>",
        "{% if kind %}<div class=a>{% else %}<div>{% endif %}<p>x</p></div>",
        "<p {{ kind }}>x</p>",
        "<{{ kind }}>x",
        "<p>{{ kind|safe }}</p>",
        "<style>a[href^=x]{color:red}</style><a href='{{ kind }}'>x</a>",
        "<p>a{% if kind %}<div>b</div>{% endif %}c</p>",
        "<p>&#123;&#123; x }}{{ kind }}</p>",
    ],
)
def test_what_the_values_decide_is_inlined_in_each_message(html: str) -> None:
    assert inline_template(Holes.of(STYLE + html)) == ""


def test_a_class_chosen_by_a_variable_is_styled() -> None:
    assert "color: red" in _html("<style>.hot{color: red}</style><p class='{{ kind }}'>x</p>", kind="hot")


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000,
        "<span><dd></span><span><li></span>" * 2_000,
        "<div><!--</div>--></x>" * 2_000,
        '<div a"b>' * 2_000 + "</div>" * 2_000,
        "<dd><li>" * 2_000,
        "<b>x" * 50,
        "<p>x" * 2_000,
    ],
)
def test_pages_that_would_overflow_the_inliner_are_refused(html: str) -> None:
    with pytest.raises(LimitExceeded):
        inline(STYLE + html)


def test_more_work_than_any_newsletter_needs_is_refused() -> None:
    rules = "".join(f".c{n}{{color:red}}" for n in range(3000))
    with pytest.raises(LimitExceeded, match="3000 style rules"):
        inline(f"<style>{rules}</style>" + "<b>x</b>" * 1000)


def test_a_broken_template_is_named_by_its_own_line() -> None:
    with pytest.raises(InvalidInput, match="html: line 3"):
        MailTemplate({**HEAD, "html": f"{STYLE}\n\n{{% if %}}"})


_HTML = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<div>", "</div>", "{% if a %}", "{% else %}", "{% endif %}", "{{ a }}", "x", "<li>", "<ul>",
         "</ul>", "<table><tr><td>", "</td></tr></table>", "<a href='{{ a }}'>", "</a>", "<!--", "-->", "<b>", "</b>"]
    ),
    max_size=14,
)  # fmt: skip


@given(_HTML)
def test_whatever_is_inlined_early_has_the_same_text_for_each_value(words: list[str]) -> None:
    source = STYLE + "".join(words)
    try:
        template = MailTemplate({**HEAD, "html": source})
    except InvalidInput:
        return
    for value in ("", "1"):
        plain = MailTemplate({**HEAD, "html": "".join(words)}).render({**BUILT_IN, "a": value}).html
        try:
            late = inline(STYLE + plain)
        except InvalidInput:
            continue
        assert _like(template.render({**BUILT_IN, "a": value}).html) == _like(late)
