"""Tracking: which links are written anew, and that a message stays the same mail otherwise."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.headers import prepare
from sender.tracking.links import Wish, Writer, html_pieces, joined, target_of, text_pieces
from sender.tracking.whole import cut

OWN = "https://mail.brand.test"
BOTH, CLICKS, OPENS = Wish(opens=True, clicks=True), Wish(clicks=True), Wish(opens=True)
WRITER = Writer(click=lambda target: f"{OWN}/c/{len(target)}", pixel=lambda: f"{OWN}/t/x.gif")


def page(html: str, wish: Wish = CLICKS) -> str:
    return joined(html_pieces(html, wish, OWN), WRITER)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:ann@x.test">write</a>',
        '<a href="#top">up</a>',
        '<a href="tel:+123">call</a>',
        f'<a href="{OWN}/u/token">leave</a>',
        f'<a href="{OWN}/p/token">choose</a>',
        '<a href="https://shop.test/unsubscribe?id=1">leave</a>',
        '<a href="https://shop.test/%D0%BE%D1%82%D0%BF%D0%B8%D1%81%D0%BA%D0%B0">leave</a>',
        '<a href="https://shop.test/preferences">choose</a>',
        '<a href="javascript:alert(1)">no</a>',
        '<a data-track="off" href="https://shop.test/">private</a>',
        '<img src="https://shop.test/a.png">',
        '<link href="https://shop.test/a.css">',
        "<p>https://shop.test/</p>",
        '<a href="https://user@shop.test/">odd</a>',
    ],
)
def test_these_links_stay(html: str) -> None:
    assert page(html) == html


@pytest.mark.parametrize(
    ("html", "target"),
    [
        ('<a href="https://shop.test/">go</a>', "https://shop.test/"),
        ("<A class=x HREF='https://shop.test/a'>go</A>", "https://shop.test/a"),
        ("<a href=https://shop.test/a>go</a>", "https://shop.test/a"),
        ('<a href="https://shop.test/?a=1&amp;b=2">go</a>', "https://shop.test/?a=1&b=2"),
        ('<area href="http://shop.test/">', "http://shop.test/"),
        ('<v:roundrect href="http://shop.test/">', "http://shop.test/"),
        (
            '<a href="https://магазин.рф/скидки?я=1">go</a>',
            "https://xn--80aairftm.xn--p1ai/%D1%81%D0%BA%D0%B8%D0%B4%D0%BA%D0%B8?%D1%8F=1",
        ),
    ],
)
def test_these_links_are_followed_through_us(html: str, target: str) -> None:
    seen: list[str] = []
    writer = Writer(click=lambda url: seen.append(url) or "https://t/", pixel=str)  # type: ignore[func-returns-value]
    written = joined(html_pieces(html, CLICKS, OWN), writer)
    assert seen == [target]
    assert 'ref="https://t/"' in written.replace("REF", "ref")


def test_the_pixel_stands_at_the_end_of_the_page_and_only_when_wished() -> None:
    assert "<img" not in page("<html><body>Hi</body></html>")
    assert re.search(r'Hi<img src="\S+/t/x.gif"[^>]*alt=""[^>]*></body>', page("<body>Hi</body>", OPENS))
    assert page("Hi", OPENS).startswith("Hi<img")


def test_links_of_texts_are_left_alone_unless_that_is_wished() -> None:
    text = "See https://shop.test/a. Or (https://shop.test/b)!"
    assert joined(text_pieces(text, BOTH, OWN), WRITER) == text
    written = joined(text_pieces(text, Wish(clicks=True, text=True), OWN), WRITER)
    assert written == f"See {OWN}/c/19. Or ({OWN}/c/19)!"


@given(st.text())
def test_cutting_and_joining_loses_nothing(html: str) -> None:
    pieces = html_pieces(html, CLICKS, OWN)
    assert "".join(p if isinstance(p, str) else "" for p in pieces) in html or len(pieces) > 1
    assert all(isinstance(p, str) for p in html_pieces(html, Wish(), OWN))


def test_a_page_of_unfinished_tags_is_no_work() -> None:
    html = '<a "' * 20_000
    assert page(html) == html


def mail(html: str, *, charset: str = "utf-8", cte: str = "quoted-printable") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["Subject"] = "shop@brand.test", "Hi"
    message.set_content("Plain https://shop.test/plain\n")
    message.add_alternative(html, subtype="html", charset=charset, cte=cte)
    message.add_attachment("<a href='https://shop.test/file'>x</a>", subtype="html", filename="page.html")
    return message


def tracked(raw: bytes, wish: Wish = BOTH) -> bytes | None:
    ready = prepare(raw)
    found = cut(ready, wish, OWN)
    return None if found is None else found.fields + b"\r\n" + found.body(WRITER)


def parts(raw: bytes) -> list[EmailMessage]:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return [part for part in message.walk() if not part.is_multipart()]


@pytest.mark.parametrize("cte", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "windows-1251"])
def test_a_whole_message_keeps_its_other_parts_its_charset_and_its_words(charset: str, cte: str) -> None:
    html = '<html><body><p>Привет = мир</p>\n<a href="https://shop.test/?a=1&amp;b=2">Скидки</a></body></html>\n'
    raw = mail(html, charset=charset, cte=cte).as_bytes(policy=email.policy.SMTP)
    done = tracked(raw)
    assert done is not None
    before, after = parts(raw), parts(done)
    assert [p.get_content_type() for p in after] == ["text/plain", "text/html", "text/html"]
    assert after[0].as_bytes() == before[0].as_bytes()
    assert after[2].as_bytes() == before[2].as_bytes(), "an attached page is a file, not the mail"
    assert after[1].get_content_charset() == charset
    content = after[1].get_content()
    assert "Привет = мир" in content
    assert f'<a href="{OWN}/c/26">Скидки</a><img src="{OWN}/t/x.gif"' in content
    assert max(map(len, done.split(b"\r\n"))) <= 78
    assert b"\n" not in done.replace(b"\r\n", b"")


def test_a_message_that_is_one_page_gets_its_coding_in_the_head() -> None:
    raw = (
        b"From: a@brand.test\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"PGEgaHJlZj0iaHR0cHM6Ly9zaG9wLnRlc3QvIj54PC9hPg==\r\n"
    )
    done = tracked(raw, CLICKS)
    assert done is not None
    assert done.count(b"Content-Transfer-Encoding") == 1
    assert parts(done)[0].get_content().strip() == f'<a href="{OWN}/c/18">x</a>'


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Type: multipart/signed; boundary="b"; protocol="application/pgp-signature"\r\n',
        b'Content-Type: multipart/mixed; boundary="other"\r\n',
        b"Content-Type: text/html; charset=no-such-charset\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n",
        b"Content-Type: text/calendar\r\n",
        b"",
    ],
)
def test_these_messages_stay_as_they_are(head: bytes) -> None:
    body = b'--b\r\nContent-Type: text/html\r\n\r\n<a href="https://shop.test/">x</a>\r\n--b--\r\n'
    assert tracked(b"From: a@brand.test\r\n" + head + b"\r\n" + body, BOTH) is None


def test_a_message_inside_a_message_stays() -> None:
    inner = mail('<a href="https://shop.test/">x</a>')
    outer = EmailMessage()
    outer["From"] = "a@brand.test"
    outer.set_content("see below")
    outer.add_attachment(inner)
    assert tracked(outer.as_bytes(policy=email.policy.SMTP), BOTH) is None


def test_a_tower_of_parts_is_bounded() -> None:
    body = b'<a href="https://shop.test/">x</a>'
    head = b"Content-Type: text/html\r\n"
    for n in range(40):
        boundary = b"b%d" % n
        body = b"--" + boundary + b"\r\n" + head + b"\r\n" + body + b"\r\n--" + boundary + b"--\r\n"
        head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    assert tracked(b"From: a@brand.test\r\n" + head + b"\r\n" + body, BOTH) is None


@given(st.binary(max_size=400))
def test_no_body_makes_cutting_fail(body: bytes) -> None:
    head = b'From: a@brand.test\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    body = body.replace(b"\0", b"")
    tracked(head + b"--b\r\nContent-Type: text/html\r\n\r\n" + body, BOTH)


def test_a_link_of_ours_is_no_target_and_a_look_alike_is() -> None:
    assert target_of(OWN, OWN) == "" == target_of(f"{OWN}/x", OWN)
    assert target_of(f"{OWN}.evil.test/x", OWN) == f"{OWN}.evil.test/x"
