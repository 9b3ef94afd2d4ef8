"""What a recipient gets: rendered or kept, with our header fields, safe against what stands in values and bodies."""

from __future__ import annotations

import email
import json
import re
from email import policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.lane import Campaign, SendingDomain, Stream
from core.messages import Body, BodyId, Leased, Node, Submission
from core.state import Envelope
from core.tokens import MessageId, Purpose, Token
from sender.compose import Composer, check_template
from sender.headers import crlf, mailbox, prepare, split_mailbox
from tests.unit.sender.fakes import START, NoDkim, make_settings, make_signer

ID = MessageId("a" * 20)
TEMPLATE = {
    "from": "Shop <news@example.com>",
    "subject": "Hello {{ name }}",
    "text": "Dear {{ name }}, you owe 5 < 7.\n",
    "html": "<p>Dear {{ name }}</p>",
}
MIME = (
    b"From: Shop <news@example.com>\r\nTo: list@x.test\r\nSubject: hi\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nhello\r\n"
)


def _lease(recipient: str = "ann@x.test", stream: str = "bulk", campaign: str = "autumn", **variables: str) -> Leased:
    submission = Submission(
        message_id=ID, recipient=recipient, stream=Stream(stream), campaign=Campaign(campaign), priority=5,
        sending_domain=SendingDomain("example.com"), body_id=BodyId("b"), accepted_at=START, not_before=START,
        expires_at=START + 1000, variables=variables,
    )  # fmt: skip
    return Leased(
        submission=submission, node=Node("n"), source="a", lease_until=START + 900, attempts=0, first_sent_at=0.0
    )


def _composer() -> Composer:
    return Composer(make_signer(), make_settings(), NoDkim())


def _mime(content: bytes, stream: str = "bulk") -> Envelope:
    return _composer().compose(_lease(stream=stream), Body(body_id=BodyId("b"), kind="mime", content=content), START)


def _template(parts: dict[str, str], recipient: str = "ann@x.test", stream: str = "bulk", **variables: str) -> Envelope:
    body = Body(body_id=BodyId("b"), kind="template", content=json.dumps(parts).encode())
    return _composer().compose(_lease(recipient, stream, **variables), body, START)


def _read(envelope: Envelope) -> EmailMessage:
    return email.message_from_bytes(envelope.content, policy=policy.default)


def _text(part: object) -> str:
    return str(cast(EmailMessage, part).get_content()).replace("\r\n", "\n")


# --- our header fields -----------------------------------------------------------------------------------------------
def test_every_token_names_the_message_and_its_own_purpose() -> None:
    envelope = _mime(MIME)
    message = _read(envelope)
    signer = make_signer()
    path, at, domain = envelope.mail_from.partition("@")
    assert (at, domain) == ("@", "rp.example.com")
    one_click = re.search(r"/u/([a-z2-7]+)>", str(message["List-Unsubscribe"]))
    assert one_click is not None
    for text, purpose in (
        (path, Purpose.RETURN_PATH),
        (str(message["X-Penstock-Token"]), Purpose.MESSAGE_ID),
        (str(message["Message-ID"]).strip("<>").partition("@")[0], Purpose.MESSAGE_ID),
        (one_click[1], Purpose.UNSUBSCRIBE),
    ):
        token = signer.verify(text, START, purpose)
        assert isinstance(token, Token)
        assert token.message_id == ID
    assert str(message["Message-ID"]).endswith("@example.com>")


def test_unsubscribing_by_one_click_is_offered_where_the_stream_has_it() -> None:
    bulk, receipt = _read(_mime(MIME)), _read(_mime(MIME, stream="receipts"))
    assert bulk["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "<mailto:" in bulk["List-Unsubscribe"]
    assert "@rp.example.com?subject=unsubscribe>" in bulk["List-Unsubscribe"]
    assert bulk["Precedence"] == "bulk"
    assert receipt["List-Unsubscribe"] is None
    assert receipt["Precedence"] is None


def test_the_feedback_id_has_four_fields_whatever_the_campaign_is_called() -> None:
    body = Body(body_id=BodyId("b"), kind="mime", content=MIME)
    envelope = _composer().compose(_lease(campaign="a:b c\u0444"), body, START)
    assert _read(envelope)["Feedback-ID"] == "a_b_c_:bulk:example.com:penstock"


def test_the_signature_covers_all_of_it() -> None:
    assert _mime(MIME).content.startswith(b"DKIM-Signature: d=example.com\r\nX-Penstock-Token: ")


# --- whole messages --------------------------------------------------------------------------------------------------
def test_the_content_of_a_whole_message_is_kept_byte_for_byte() -> None:
    body = b"<\xd0\xbf\xd1\x80>\r\n.\r\n..dots\r\n\r\ntrailing \t\r\n"
    head = b"From: a@example.com\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nX-Odd:   spaces \r\n"
    content = _mime(head + b"\r\n" + body).content
    assert content.partition(b"\r\n\r\n")[2] == body
    assert b"X-Odd:   spaces \r\n" in content
    assert b"Content-Type: text/plain;\r\n charset=utf-8\r\n" in content


def test_fields_that_must_not_leave_are_removed_and_the_message_id_is_kept_aside() -> None:
    message = _read(
        _mime(
            b"Bcc: secret@x.test,\r\n other@x.test\r\nReturn-Path: <x@x.test>\r\nMessage-ID:\r\n <old@x.test>\r\n"
            b"X-Penstock-Token: forged\r\nx-penstock-stream: other\r\nList-Unsubscribe: <https://old>\r\n"
            b"Feedback-ID: forged\r\nDKIM-Signature: v=1; broken\r\n" + MIME
        )
    )
    text = message.as_string()
    assert not any(word in text for word in ("secret", "other@x.test", "forged", "https://old", "v=1; broken"))
    assert message["X-Penstock-Original-Message-ID"] == "<old@x.test>"
    assert len(message.get_all("Message-ID", [])) == 1
    assert message["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"


def test_a_stream_without_unsubscribing_keeps_the_callers_own_fields() -> None:
    content = b"List-Unsubscribe: <https://mine>\r\nPrecedence: list\r\n" + MIME
    message = _read(_mime(content, stream="receipts"))
    assert message["List-Unsubscribe"] == "<https://mine>"
    assert message["Precedence"] == "list"


def test_what_is_missing_is_added() -> None:
    message = _read(_mime(b"From: a@example.com\n\nhi"))
    assert message["To"] == "ann@x.test"
    assert message["MIME-Version"] == "1.0"
    assert parsedate_to_datetime(str(message["Date"])).timestamp() == START
    assert _text(message) == "hi\n"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"Subject: x\r\n\r\nhi", "From"),
        (b"From: a@example.com\r\nFrom: b@evil.test\r\n\r\nhi", "2 From"),
        (b"From: a@example.com\r\nno field here\r\n\r\nhi", "no field"),
        (b"From: a@example.com\r\nBad\x01Name: x\r\n\r\nhi", "no field"),
        (b" folded first\r\nFrom: a@example.com\r\n\r\nhi", "no field"),
        (b"From: a@example.com\r\n\r\nnul \0 byte", "NUL"),
        (b"From: a@example.com\r\n\r\n" + b"x" * 999, "999 bytes"),
        (b"From: a@example.com\r\nX: " + b"y\r\n " * 100_000 + b"\r\n\r\nhi", "header fields"),
        (b"", "From"),
    ],
)
def test_a_message_that_no_host_would_take_is_refused_with_the_reason(content: bytes, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        prepare(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_prepared_or_refused(noise: bytes) -> None:
    for content in (noise, b"From: a@example.com\r\n" + noise, b"From: a@example.com\r\n\r\n" + noise):
        try:
            ready = prepare(content)
        except InvalidInput:
            continue
        lines = (ready.fields + b"\r\n" + ready.body).split(b"\r\n")
        assert not any(b"\r" in line or b"\n" in line for line in lines)


@given(st.lists(st.sampled_from([b"a", b"", b"\r", b"\n", b"\r\n", b"bc"]), max_size=20))
def test_line_ends_become_crlf_and_stay_so(pieces: list[bytes]) -> None:
    once = crlf(b"".join(pieces))
    assert crlf(once) == once
    assert once.endswith(b"\r\n")
    assert once.replace(b"\r\n", b"\n").split(b"\n")[:-1] == once.replace(b"\r\n", b"\n").splitlines()


def test_letters_outside_ascii_in_header_or_recipient_need_smtputf8_and_in_the_body_not() -> None:
    plain = MIME.replace(b"hello", "\u043f\u0440\u0438\u0432\u0435\u0442".encode())
    assert not _mime(plain).smtputf8
    assert _mime(plain.replace(b"Subject: hi", "X-Word: \u043f".encode())).smtputf8
    assert _template(TEMPLATE, recipient="\u0438\u0432\u0430\u043d@x.test", name="I").smtputf8


# --- templates -------------------------------------------------------------------------------------------------------
def test_a_template_becomes_a_message_with_both_alternatives() -> None:
    message = _read(_template(TEMPLATE, name="Ann & Co"))
    assert message["Subject"] == "Hello Ann & Co"
    assert message["From"] == "Shop <news@example.com>"
    assert message["To"] == "ann@x.test"
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert _text(text) == "Dear Ann & Co, you owe 5 < 7.\n"
    assert _text(html) == "<p>Dear Ann &amp; Co</p>\n"


def test_text_alone_needs_no_multipart() -> None:
    parts = {k: v for k, v in TEMPLATE.items() if k != "html"}
    assert _read(_template(parts, name="Ann")).get_content_maintype() == "text"


def test_html_alone_gets_a_text_part_made_from_it() -> None:
    parts = {k: v for k, v in TEMPLATE.items() if k != "text"}
    text, html = _read(_template(parts, name="Ann <3")).iter_parts()
    assert _text(text) == "Dear Ann <3\n"
    assert _text(html).strip() == "<p>Dear Ann &lt;3</p>"


def test_links_are_tagged_with_stream_and_campaign_and_the_way_out_is_not() -> None:
    html = '<a href="https://x.test/">x</a><a href="{{ unsubscribe_url }}">out</a>'
    message = _read(_template({**TEMPLATE, "html": html, "utm": "all", "preheader": "For {{ name }}"}, name="Ann"))
    text, page = message.iter_parts()
    parameters = "utm_source=example.com&amp;utm_medium=email&amp;utm_campaign=autumn&amp;utm_content=bulk"
    assert f'<a href="https://x.test/?{parameters}">' in _text(page)
    assert _text(page).count("utm_medium") == 1
    assert _text(text).startswith("For Ann\n\nDear Ann")


_WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co", "Cf", "Zs"]) | st.just(" "), max_size=200
)


@given(name=_WORDS, subject=_WORDS)
def test_any_text_arrives_as_it_was_written(name: str, subject: str) -> None:
    parts = {"from": "news@example.com", "subject": "s {{ s }}", "text": "{{ n }}\n", "html": "<b>{{ n }}</b>"}
    envelope = _template(parts, n=name, s=subject)
    assert all(len(line) <= 998 for line in envelope.content.split(b"\r\n"))
    assert envelope.content.isascii()
    message = _read(envelope)
    assert str(message["Subject"]).strip() == f"s {subject}".strip()
    assert _text(next(message.iter_parts())) == name + "\n"


def test_a_display_name_is_encoded_and_quoted_as_it_needs() -> None:
    for sender, name in (
        ("\u041c\u0430\u0433\u0430\u0437\u0438\u043d <news@example.com>", "\u041c\u0430\u0433\u0430\u0437\u0438\u043d"),
        ('"Shop, the \\"best\\"" <news@example.com>', 'Shop, the "best"'),
    ):
        found = _read(_template({**TEMPLATE, "from": sender}, name="x"))["From"].addresses
        assert [(a.display_name, a.addr_spec) for a in found] == [(name, "news@example.com")]


@given(name=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), max_size=40))
def test_any_display_name_reads_back(name: str) -> None:
    field = mailbox(name, "a@example.com").decode()
    if name.isascii() and len(name) <= 60:
        assert split_mailbox(field.replace("\r\n", "")) == (name, "a@example.com")
    message = email.message_from_bytes(b"From: " + field.encode() + b"\r\n\r\n", policy=policy.default)
    assert [a.addr_spec for a in message["From"].addresses] == ["a@example.com"]


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("a@example.com", "", "a@example.com"),
        ("<a@example.com>", "", "a@example.com"),
        ("Cron Daemon <root@example.com>", "Cron Daemon", "root@example.com"),
        ("root@example.com (Cron Daemon)", "Cron Daemon", "root@example.com"),
        ('"A, B" C <a@example.com>', "A, B C", "a@example.com"),
    ],
)
def test_one_mailbox_is_read(text: str, name: str, address: str) -> None:
    assert split_mailbox(text) == (name, address)


@pytest.mark.parametrize(
    "text", ["A, B <a@x.test>", "a@x.test <b@y.test>", "g: a@x.test;<b@y.test>", '"open <a@x.test>']
)
def test_a_from_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        split_mailbox(text)


def test_unsubscribe_link_and_recipient_are_there_for_the_text() -> None:
    parts = {**TEMPLATE, "text": "{{ recipient }} {{ unsubscribe_url }}\n"}
    text = _text(next(_read(_template(parts, name="x")).iter_parts()))
    assert re.fullmatch(r"ann@x.test http://127.0.0.1:8025/u/[a-z2-7]{42}\n", text)


@pytest.mark.parametrize("part", ["subject", "text", "html", "from"])
def test_a_missing_variable_refuses_the_recipient_by_name(part: str) -> None:
    parts = {"from": "x@example.com", "subject": "s", "text": "t", part: "{{ first_name }} <x@example.com>"}
    with pytest.raises(InvalidInput, match=r"variables\.first_name"):
        check_template(parts, {"other": "1"})
    with pytest.raises(InvalidInput, match=r"variables\.first_name"):
        _template(parts)


def test_a_missing_variable_is_fine_where_the_template_provides_for_it() -> None:
    parts = {**TEMPLATE, "text": "{% if name is defined %}{{ name }}{% endif %} {{ city|default('') }}", "html": ""}
    check_template({**parts, "subject": "s"}, {})


@pytest.mark.parametrize("value", ["a\r\nBcc: x@x.test", "a\nb", "a\rb", "a\x00b", "a\u2028b", "a\x85b", "a\x0bb"])
@pytest.mark.parametrize("part", ["subject", "from"])
def test_a_value_cannot_add_a_header(part: str, value: str) -> None:
    parts = {**TEMPLATE, part: "{{ v }} <news@example.com>"}
    with pytest.raises(InvalidInput, match="control character"):
        check_template(parts, {"v": value, "name": "x"})
    with pytest.raises(InvalidInput, match="control character"):
        _template(parts, v=value, name="x")


def test_a_value_cannot_change_whose_mail_it_is() -> None:
    parts = {**TEMPLATE, "from": "{{ v }} <news@example.com>"}
    for value in ("Boss <boss@bank.test>", "boss@bank.test,"):
        with pytest.raises(InvalidInput):
            _template(parts, v=value, name="x")


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ ''.__class__ }}",
        "{{ name.format(name) }}",
        "{% for a in name %}{% for b in name %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set a = name ~ name %}{{ a }}",
        "{% include 'x' %}",
        "{{ range(9) }}",
        "{{ name|center(100000) }}",
        "{{ 2 ** 100 }}",
        "{{ name",
        "{{ name|nothing }}",
        "{% if name %}" * 200 + "{% endif %}" * 200,
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
    ],
)
def test_the_template_language_has_no_way_to_run_away(source: str) -> None:
    with pytest.raises(InvalidInput):
        check_template({**TEMPLATE, "text": source}, {"name": "x"})


def test_the_size_of_a_rendering_is_bounded_before_it_is_made() -> None:
    parts = {**TEMPLATE, "text": "{{ name }}" * 5000}
    with pytest.raises(InvalidInput, match="bound"):
        check_template(parts, {"name": "x" * 15_000})


@given(value=st.text(max_size=50))
def test_what_the_check_lets_through_can_be_composed(value: str) -> None:
    variables = {"name": value}
    try:
        check_template(TEMPLATE, variables)
    except InvalidInput:
        return
    assert _read(_template(TEMPLATE, **variables))["To"] == "ann@x.test"


def test_a_stream_or_domain_that_left_the_settings_refuses_the_message() -> None:
    with pytest.raises(InvalidInput, match="stream"):
        _mime(MIME, stream="gone")


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("Subject: Счёт за ноябрь\r\n и ещё немного", "Subject", "Счёт за ноябрь и ещё немного"),
        ("Subject: " + "ё" * 400, "Subject", "ё" * 400),
        ("To: Иван <ivan@x.test>, ann@x.test", "To", "Иван <ivan@x.test>, ann@x.test"),
        ('Cc: "Smith, Ängla" <a@x.test>,"x" <b@x.test>', "Cc", '"Smith, Ängla" <a@x.test>, x <b@x.test>'),
        ('Reply-To: "a \\"ё\\"" <a@x.test>', "Reply-To", '"a \\"ё\\"" <a@x.test>'),
    ],
)
def test_raw_utf8_in_a_header_is_written_in_words_that_every_host_takes(field: str, name: str, told: str) -> None:
    ready = prepare(f"From: Магазин <shop@example.com>\r\n{field}\r\n\r\nx\r\n".encode())
    assert ready.ascii_head
    assert all(len(line) <= 78 for line in ready.fields.split(b"\r\n"))
    read = email.message_from_bytes(ready.fields, policy=policy.default)
    assert (str(read["From"]), str(read[name])) == ("Магазин <shop@example.com>", told)


@pytest.mark.parametrize(
    "field", ["Subject: =?utf-8?q?a?= ё", "To: ё@x.test", "To: друзья: a@x.test;", "Content-Type: text/plain; name=ё"]
)
def test_what_words_cannot_say_stays_and_needs_a_host_with_smtputf8(field: str) -> None:
    ready = prepare(f"From: shop@example.com\r\n{field}\r\n\r\nx\r\n".encode())
    assert field.encode() in ready.fields
    assert not ready.ascii_head
    assert prepare(b"From: a@b.c\r\nSubject: \xff\r\n\r\n").fields.endswith(b"Subject: \xff\r\n")
