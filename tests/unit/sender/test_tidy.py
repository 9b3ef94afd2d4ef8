"""A tidy body is what the ordinary way makes of the same text, and needs none of what that way does to it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st

from core.lane import Campaign, SendingDomain, Stream
from core.messages import Body, BodyId, Leased, Node, Submission
from core.state import Envelope
from core.tokens import MessageId
from sender.compose import Composer
from sender.dkim_canon import relaxed_body
from sender.headers import SEVEN_BIT, text_part
from sender.template import MailTemplate
from sender.tidy import MAX_LINE, Tidy, TidyText, is_tidy
from sender.wire import dot_stuffed
from tests.unit.sender.fakes import START, NoDkim, make_settings, make_signer

_ALPHABET = "ab. \t\r\n\0é\ud800-\x7f"
_LINE = st.text("ab. -", max_size=8).map(lambda text: text + "\n")
texts = st.one_of(_LINE, st.lists(_LINE, max_size=4).map("".join), st.text(_ALPHABET, max_size=12), st.just("a" * 70))
values = st.one_of(st.text("ab .-", min_size=1, max_size=6), st.text(_ALPHABET, max_size=4), st.just("b" * 70))


@example(parts=[], end="\ud800")  # half a character is nothing that can be sent: not tidy
@given(parts=st.lists(st.tuples(texts, values), max_size=5), end=texts)
def test_what_is_tidy_is_its_own_encoding_canonical_form_and_stuffed_form(
    parts: list[tuple[str, str]], end: str
) -> None:
    pieces = [(text, f"v{n}") for n, (text, _) in enumerate(parts)]
    tidy = TidyText.of([*pieces, (end, "")])
    assume(tidy is not None)
    assert tidy is not None
    body = tidy.body({f"v{n}": value for n, (_, value) in enumerate(parts)})
    event(f"tidy: {body is not None}, with values: {bool(parts)}")
    if body is None:
        return
    whole = "".join(text + value for text, value in parts) + end
    assert text_part("plain", whole) == (SEVEN_BIT, body)
    assert is_tidy(body)
    assert relaxed_body(body) == body
    assert dot_stuffed(body) == body


@given(st.binary(max_size=40) | st.lists(st.sampled_from([b"a", b" ", b".", b"\r\n", b"\t", b"\n"])).map(b"".join))
def test_bytes_are_tidy_only_where_nothing_would_be_done_to_them(content: bytes) -> None:
    if is_tidy(content):
        assert text_part("plain", content.decode()) == (SEVEN_BIT, content)
        assert relaxed_body(content) == dot_stuffed(content) == content


@pytest.mark.parametrize(
    ("value", "tidy"),
    [
        ("Ann Lee", True), ("a" * (MAX_LINE - 6), True), ("a" * (MAX_LINE - 5), False), ("", False), (" Ann", False),
        ("Ann ", False), ("Ann  Lee", False), (".", False), ("Ann\n.", False), ("Ann\tLee", False), ("Zoë", False),
    ],
)  # fmt: skip
def test_each_recipients_values_are_looked_at(value: str, tidy: bool) -> None:
    template = MailTemplate({"from": "a@example.com", "subject": "s", "text": "Dear {{ name }},\nhello"})
    assert (template.tidy({"name": value}) is not None) is tidy


def test_a_template_that_changes_after_it_was_rendered_or_has_a_page_is_not_tidy() -> None:
    plain = {"from": "a@example.com", "subject": "s", "text": "see https://example.com/ now\n"}
    assert MailTemplate(plain).tidy({}) == b"see https://example.com/ now\r\n"
    assert MailTemplate(plain | {"html": "<p>hello</p>"}).tidy({}) is None
    assert MailTemplate(plain | {"utm": "all"}).tidy({}) is None
    assert MailTemplate(plain | {"text": "{% if a %}b{% endif %}\n"}).tidy({"a": "b"}) is None


def test_a_text_without_variables_is_one_body_for_all_so_that_it_is_hashed_once() -> None:
    template = MailTemplate({"from": "a@example.com", "subject": "{{ name }}", "text": "hello\n"})
    assert template.tidy({"name": "a"}) is template.tidy({"name": "b"})


# --- in a composed message -------------------------------------------------------------------------------------------
def _composed(name: str, stream: str = "bulk", *, tracked: bool = False) -> Envelope:
    settings = make_settings()
    if tracked:
        streams = [s.model_copy(update={"track_clicks": True, "track_text": True}) for s in settings.streams]
        settings = settings.model_copy(update={"streams": streams})
    text = "Dear {{ name }},\nsee https://shop.example.com/ now.\n"
    parts = {"from": "Shop <news@example.com>", "subject": "Hello", "text": text}
    submission = Submission(
        message_id=MessageId("a" * 20), recipient="ann@x.test", stream=Stream(stream), campaign=Campaign("autumn"),
        priority=5, sending_domain=SendingDomain("example.com"), body_id=BodyId("b"), accepted_at=START,
        not_before=START, expires_at=START + 1000, variables={"name": name},
    )  # fmt: skip
    lease = Leased(submission=submission, node=Node("n"), source="a", lease_until=START + 900, attempts=0,
                   first_sent_at=0.0)  # fmt: skip
    body = Body(body_id=BodyId("b"), kind="template", content=json.dumps(parts).encode())
    return Composer(make_signer(), settings, NoDkim()).compose(lease, body, START)


def test_a_tidy_message_and_an_untidy_one_differ_in_nothing_but_the_value() -> None:
    tidy, untidy = _composed("Ann Lee"), _composed("Ann  Lee")
    assert (tidy.undotted, untidy.undotted) == (True, False)
    assert replace(untidy, content=untidy.content.replace(b"Ann  Lee", b"Ann Lee"), undotted=True) == tidy


def test_a_text_whose_links_are_replaced_goes_the_ordinary_way() -> None:
    tracked = _composed("Ann", tracked=True)
    assert not tracked.undotted
    assert b"/c/" in tracked.content
    assert b"shop.example.com" not in tracked.content.partition(b"\r\n\r\n")[2].partition(b"/c/")[0]


def test_tidy_bytes_are_bytes() -> None:
    assert b"".join((b"a", Tidy(b"b"))) == b"ab"
