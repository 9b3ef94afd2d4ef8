"""Tracking in composed mail: under the signature, for streams that wish it, at no cost for others."""

from __future__ import annotations

import base64
import email
import json
import re
from email import policy
from email.message import EmailMessage
from pathlib import Path

import dkim

from config.model import DkimKey, SendingDomain, Settings, StreamSettings
from core.lane import Campaign, Stream
from core.lane import SendingDomain as Domain
from core.links import Link, read_link
from core.messages import Body, BodyId, Leased, Node, Submission
from core.tokens import MessageId, Purpose, Token
from sender.compose import Composer
from sender.dkim import DkimSigner, new_key
from tests.unit.sender.fakes import START, NoDkim, make_settings, make_signer

ID = MessageId("a" * 20)
PAST = 1_790_000_000.0  # dkimpy does not believe signatures of the future
PAGE = (
    '<html><body><a href="https://shop.test/{{ name }}">Go</a> <a href="{{ preferences_url }}">Choose</a></body></html>'
)
PARTS = {"from": "Shop <news@example.com>", "subject": "Hi", "text": "See https://shop.test/t\n", "html": PAGE}


def settings(**wish: bool) -> Settings:
    return make_settings().model_copy(
        update={"streams": [StreamSettings(name="bulk", **wish), StreamSettings(name="other")]}
    )


def lease(stream: str = "bulk") -> Leased:
    submission = Submission(
        message_id=ID, recipient="ann@x.test", stream=Stream(stream), campaign=Campaign(""), priority=5,
        sending_domain=Domain("example.com"), body_id=BodyId("b"), accepted_at=START, not_before=START,
        expires_at=START + 1000, variables={"name": "ann"},
    )  # fmt: skip
    return Leased(
        submission=submission, node=Node("n"), source="a", lease_until=START + 900, attempts=0, first_sent_at=0.0
    )


def template(parts: dict[str, str] = PARTS) -> Body:
    return Body(body_id=BodyId("b"), kind="template", content=json.dumps(parts).encode())


def whole() -> Body:
    message = EmailMessage()
    message["From"], message["Subject"] = "Shop <news@example.com>", "Hi"
    message.set_content("See https://shop.test/t\n")
    message.add_alternative('<a href="https://shop.test/ann">Go</a>', subtype="html")
    return Body(body_id=BodyId("b"), kind="mime", content=message.as_bytes())


def html_of(content: bytes) -> str:
    message = email.message_from_bytes(content, policy=policy.default)
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def test_links_and_the_pixel_name_the_message_in_templates_and_whole_messages() -> None:
    composer = Composer(make_signer(), settings(track_opens=True, track_clicks=True), NoDkim())
    url = make_settings().http.public_url
    for body in (template(), whole()):
        html = html_of(composer.compose(lease(), body, START).content)
        link = re.search(rf'href="{url}/c/([^"]+)"', html)
        assert link is not None
        assert read_link(make_signer(), link[1], START) == Link(message_id=ID, target="https://shop.test/ann")
        pixel = re.search(rf'src="{url}/t/([a-z2-7]+)\.gif"', html)
        assert pixel is not None
        assert isinstance(make_signer().verify(pixel[1], START, Purpose.OPEN), Token)


def test_the_preference_page_is_linked_by_a_token_of_its_own_and_never_tracked() -> None:
    composer = Composer(make_signer(), settings(track_clicks=True), NoDkim())
    html = html_of(composer.compose(lease(), template(), START).content)
    link = re.search(r'href="\S+/p/([a-z2-7]+)"', html)
    assert link is not None
    assert isinstance(make_signer().verify(link[1], START, Purpose.PREFERENCES), Token)


def test_other_streams_and_text_parts_stay_as_they_were_written() -> None:
    composer = Composer(make_signer(), settings(track_opens=True, track_clicks=True), NoDkim())
    plain = Composer(make_signer(), settings(), NoDkim())
    for body in (template(), whole()):
        untracked = plain.compose(lease("other"), body, START).content
        assert composer.compose(lease("other"), body, START).content == untracked
        message = email.message_from_bytes(composer.compose(lease(), body, START).content, policy=policy.default)
        text = message.get_body(("plain",))
        assert text is not None
        assert text.get_content().strip() == "See https://shop.test/t"


def test_the_signature_is_made_over_what_is_sent(tmp_path: Path) -> None:
    pem, record = new_key("ed25519-sha256")
    path = tmp_path / "key.pem"
    path.write_bytes(pem)
    domain = SendingDomain(
        name="example.com", return_path="rp.example.com",
        dkim=[DkimKey(selector="k", algorithm="ed25519-sha256", key_file=path)],
    )  # fmt: skip
    known = settings(track_opens=True, track_clicks=True).model_copy(update={"sending_domains": [domain]})
    composer = Composer(make_signer(), known, DkimSigner([domain]))
    for body in (template(), whole()):
        content = composer.compose(lease(), body, PAST).content
        assert b"/c/" in content.replace(b"=\r\n", b"")
        assert dkim.verify(content, dnsfunc=lambda _name, timeout=5: record.encode())


def test_a_base64_part_without_a_last_line_end_still_leaves_the_final_dot_a_line_of_its_own() -> None:
    page = base64.encodebytes(b'<html><a href="https://shop.test/ann">Go</a></html>')
    head = b"From: news@example.com\r\nSubject: Hi\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n"
    body = Body(body_id=BodyId("b"), kind="mime", content=head + b"\r\n" + page)
    composer = Composer(make_signer(), settings(track_clicks=True), NoDkim())
    assert composer.compose(lease(), body, START).content.endswith(b"\r\n")
