"""The notifiers against real HTTP servers on loopback, and the mail that is composed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from alerts.alertmanager import AlertmanagerSink
from alerts.mail import MailSink, body, subject
from alerts.webhook import SIGNATURE, WebhookSink
from alerts.words import Language
from core.clock import FixedClock
from core.errors import Unavailable
from core.state import Alert

REAL_NOW = 2_000_000_000.0
FIRING = Alert(
    labels={"alertname": "SendingPaused", "severity": "critical", "scope": "provider=gmail", "empty": ""},
    annotations={
        "summary": "Paused: provider gmail\r\nBcc: x", "numerator": "31", "denominator": "10000", "rate": "0.31 %",
        "interval": "0.22 % – 0.44 %", "threshold": "0.10 %", "threshold_from": "rule complaints", "e_value": "4200",
        "acts_at": "1000", "undo": "penstock resume provider=gmail", "action": "Paused until noon",
        "samples": "550 {{no}} template\n421 ждите", "remedy": "Clean the list",
    },
    starts_at=940.0, ends_at=0.0, link="http://127.0.0.1:8025/#pause-p1",
)  # fmt: skip
ENDED = replace(FIRING, ends_at=970.0)


class Receiver:
    """An HTTP server that records posts and answers as scripted."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.refuse = ""  # a batch that holds this text is answered 400
        self.delay = 0.0
        app = web.Application()
        app.router.add_post("/{tail:.*}", self.take)
        self.server = TestServer(app)

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.posts.append((request.path, dict(request.headers), content))
        await asyncio.sleep(self.delay)
        if self.refuse and self.refuse.encode() in content:
            return web.Response(status=400, text='{"error": "bad label"}')
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, text="x" * 100_000, headers={"Location": "/elsewhere"})

    def rows(self, index: int = -1) -> Any:
        return json.loads(self.posts[index][2])

    @property
    def url(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def alertmanager(
    session: aiohttp.ClientSession, *urls: str, rate: float = 1.0, timeout: float = 5.0
) -> AlertmanagerSink:
    clock = FixedClock(1000.0)
    clock.rate = rate
    return AlertmanagerSink(urls=urls, session=session, clock=clock, real_now=lambda: REAL_NOW, timeout=timeout)


def real(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() - REAL_NOW


async def test_alertmanager_gets_the_v2_form_with_an_end_ahead(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    await alertmanager(session, receiver.url + "/").notify([FIRING])
    ((path, headers, _),) = receiver.posts
    (row,) = receiver.rows()
    assert path == "/api/v2/alerts"
    assert headers["Content-Type"] == "application/json"
    assert "empty" not in row["labels"]  # an empty label is an absent one, and refused by some versions
    assert row["generatorURL"] == FIRING.link
    assert real(row["startsAt"]) == -60
    assert real(row["endsAt"]) == 300


async def test_an_ended_alert_has_its_end_in_the_past(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    await alertmanager(session, receiver.url).notify([ENDED])
    (row,) = receiver.rows()
    assert (real(row["startsAt"]), real(row["endsAt"])) == (-60, -30)


async def test_instants_of_a_fast_clock_become_real_ones(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    await alertmanager(session, receiver.url, rate=60.0).notify([ENDED])
    (row,) = receiver.rows()
    assert (real(row["startsAt"]), real(row["endsAt"])) == (-1, -0.5)


async def test_every_peer_gets_its_own_post_and_a_dead_one_harms_nothing(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    second = Receiver()
    await second.server.start_server()
    try:
        sink = alertmanager(session, receiver.url, "http://127.0.0.1:1", second.url)
        await sink.notify([FIRING])
    finally:
        await second.server.close()
    assert len(receiver.posts) == len(second.posts) == 1


async def test_only_when_no_peer_took_them_it_is_a_failure(session: aiohttp.ClientSession) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        await alertmanager(session, "http://127.0.0.1:1").notify([FIRING])


async def test_a_refused_batch_is_repeated_one_by_one_so_that_one_bad_alert_hides_no_good_one(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    receiver.refuse = "poison"
    bad = replace(FIRING, annotations={"summary": "poison"})
    await alertmanager(session, receiver.url).notify([bad, ENDED])
    assert [len(receiver.rows(i)) for i in range(3)] == [2, 1, 1]
    with pytest.raises(Unavailable, match=r"400 .*bad label"):
        await alertmanager(session, receiver.url).notify([bad])


async def test_a_silent_peer_is_left_after_the_time_out(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    receiver.delay = 1.0
    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        await alertmanager(session, receiver.url, timeout=0.05).notify([FIRING])


def webhook(session: aiohttp.ClientSession, url: str, secret: bytes = b"") -> WebhookSink:
    return WebhookSink(name="chat", url=url, session=session, clock=FixedClock(1000.0), secret=secret, node="node1")


async def test_a_webhook_body_is_signed_and_complete(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    await webhook(session, receiver.url + "/hook", b"key").notify([ENDED, FIRING])
    ((path, headers, content),) = receiver.posts
    assert path == "/hook"
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"key", content, hashlib.sha256).hexdigest()
    document = json.loads(content)
    assert (document["status"], document["node"]) == ("firing", "node1")
    assert document["sentAt"] == "1970-01-01T00:16:40.000Z"
    assert [a["status"] for a in document["alerts"]] == ["resolved", "firing"]
    assert document["alerts"][1]["endsAt"] is None
    assert document["alerts"][1]["annotations"]["denominator"] == "10000"
    assert document["alerts"][0]["fingerprint"] == document["alerts"][1]["fingerprint"]


async def test_without_a_secret_there_is_no_signature(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    await webhook(session, receiver.url).notify([ENDED])
    assert SIGNATURE not in receiver.posts[0][1]
    assert receiver.rows()["status"] == "resolved"


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_anything_but_success_is_a_failure_with_a_bounded_text_and_one_post(
    receiver: Receiver, session: aiohttp.ClientSession, status: int
) -> None:
    receiver.statuses = [status]
    with pytest.raises(Unavailable, match=f"answered {status}") as caught:
        await webhook(session, receiver.url + "/secret-path").notify([FIRING])
    assert len(receiver.posts) == 1
    assert len(str(caught.value)) < 300
    assert "secret-path" not in str(caught.value)


async def test_a_dead_webhook_never_tells_its_address(session: aiohttp.ClientSession) -> None:
    with pytest.raises(Unavailable) as caught:
        await webhook(session, "http://127.0.0.1:1/secret-path").notify([FIRING])
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    ("language", "head", "threshold"), [("en", "[FIRING]", "Threshold"), ("ru", "[ТРЕВОГА]", "Порог")]
)
async def test_an_alert_mail_holds_the_figures_and_cannot_be_split_by_its_summary(
    language: Language, head: str, threshold: str
) -> None:
    sent: list[tuple[bytes, tuple[str, ...]]] = []

    async def submit(content: bytes, recipients: tuple[str, ...]) -> None:
        sent.append((content, recipients))

    sink = MailSink(
        name="ops", to=["ops@example.org", "b@example.org"], sender="penstock@example.com", submit=submit,
        clock=FixedClock(1_764_072_000.0), language=language,
    )  # fmt: skip
    await sink.notify([FIRING, ENDED])
    ((content, recipients),) = sent
    message = message_from_bytes(content, policy=default)
    assert recipients == ("ops@example.org", "b@example.org")
    assert message["Subject"].startswith(f"{head} Paused: provider gmail Bcc: x (")
    assert message["Bcc"] is None
    assert message["From"].addresses[0].addr_spec == "penstock@example.com"
    assert message["To"].addresses[1].addr_spec == "b@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.year == 2025
    text = message.get_content()
    assert threshold in text
    assert "31 / 10000" in text
    assert "421 ждите" in text
    assert b"\r\n" in content
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_ends_do_not_tell_how_to_undo_and_come_after_what_still_fires() -> None:
    text = body([ENDED, FIRING], "en")
    assert text.index("FIRING (critical):") < text.index("RESOLVED:")
    assert text.count("Undo:") == 1
    assert subject([ENDED], "ru").startswith("[ЗАВЕРШЕНО]")


def test_a_mail_about_very_many_alerts_stays_readable() -> None:
    assert "and 70 more" in body([FIRING] * 100, "en")
    assert len(subject([replace(FIRING, annotations={"summary": "s" * 9999})] * 9, "en")) < 180
