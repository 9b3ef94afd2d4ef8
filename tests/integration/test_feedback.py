"""What comes back from a real Postfix and a real Dovecot, end to end: refusals early, late and later, quota, delay,
a move to Junk and back, and reports in a mailbox of their own."""

from __future__ import annotations

import asyncio
import email
import email.policy
import imaplib
import re
import smtplib
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.events import BounceReceived, Delivered, Event
from core.feedback import SoftRecord
from storage.stores import open_stores
from tests.daemons.dovecot import IMAP, LMTP
from tests.integration.conftest import World
from tests.integration.settings import INBOUND, MAILBOX, TOKEN
from tests.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
EVE = "eve@gamma.test"


def entry(world: World, address: str) -> dict[str, Any]:
    """The suppression of an address, {} without one."""
    rows = world.call("GET", f"/v1/suppressions?limit=1000&after={quote(address[:-1])}")["suppressions"]
    return next((row for row in rows if row["address"] == address), {})


def events(world: World, message_id: str, kind: type[Event]) -> list[Any]:
    async def read() -> list[Any]:
        stores = await open_stores(f"sqlite:///{world.folder}/var/penstock.db")
        try:
            found = await stores.log.of_message(message_id)  # type: ignore[arg-type]
            return [logged.event for logged in found if isinstance(logged.event, kind)]
        finally:
            await stores.close()

    return asyncio.run(read())


def records(world: World, address: str) -> list[SoftRecord]:
    async def read() -> list[SoftRecord]:
        stores = await open_stores(f"sqlite:///{world.folder}/var/penstock.db")
        try:
            return await stores.feedback.records([address])
        finally:
            await stores.close()

    return asyncio.run(read())


def send(world: World, address: str, until: str) -> str:
    (message_id,) = world.inject("transactional", [address])
    world.wait_for(message_id, until)
    return message_id


def test_a_refusal_at_rcpt_suppresses(world: World) -> None:
    message_id = send(world, "dead-early@gamma.test", "Bounced")
    assert "unknown_user" in next(r["text"] for r in world.story(message_id) if r["event"] == "Bounced")
    assert entry(world, "dead-early@gamma.test")["reason"] == "hard_bounce"


def test_a_refusal_after_data_suppresses(world: World) -> None:
    send(world, "late@gamma.test", "Bounced")
    assert entry(world, "late@gamma.test")["reason"] == "hard_bounce"


def test_a_user_that_only_the_mailbox_server_misses_comes_back_as_a_bounce_and_is_suppressed(world: World) -> None:
    message_id = send(world, "gone@gamma.test", "BounceReceived")
    assert world.kinds(message_id)[:2] == ["Accepted", "Delivered"]
    (bounce,) = events(world, message_id, BounceReceived)
    assert (bounce.bounce_class, bounce.terminal) == ("unknown_user", True)
    (delivered,) = events(world, message_id, Delivered)
    assert bounce.attribution == delivered.attribution
    wait_until(lambda: entry(world, "gone@gamma.test"), "the suppression")


def test_a_full_mailbox_is_counted_and_suppresses_nobody(world: World) -> None:
    message_id = send(world, "full@gamma.test", "BounceReceived")
    (bounce,) = events(world, message_id, BounceReceived)
    assert bounce.bounce_class == "mailbox_full"
    wait_until(lambda: records(world, "full@gamma.test"), "the soft record")
    (record,) = records(world, "full@gamma.test")
    assert (record.kind, record.hits) == ("mailbox_full", 1)
    assert entry(world, "full@gamma.test") == {}
    assert world.inject("transactional", ["full@gamma.test"]), "mail to it goes on"


def test_a_warning_about_a_delay_is_no_bounce(world: World) -> None:
    message_id = send(world, "slow@gamma.test", "BounceReceived")
    bounces = events(world, message_id, BounceReceived)
    assert [(b.bounce_class, b.terminal) for b in bounces] == [("delayed", False)]
    assert entry(world, "slow@gamma.test") == {}
    assert records(world, "slow@gamma.test") == []


def move(user: str, message_id: str, source: str, target: str) -> None:
    with imaplib.IMAP4("127.0.0.1", IMAP, timeout=30) as connection:
        connection.login(user, "secret")

        def found() -> bytes:
            connection.select(source)
            numbers: bytes = connection.search(None, "HEADER", "X-Penstock-Token", message_id)[1][0]
            return numbers

        wait_until(found, f"{message_id} in {source}")
        connection._simple_command("MOVE", found().split()[0].decode(), target)


def test_a_move_to_junk_suppresses_and_the_move_back_lifts_it(world: World) -> None:
    message_id = send(world, EVE, "Delivered")
    move(EVE, message_id, "INBOX", "Junk")
    world.wait_for(message_id, "ComplaintReceived")
    assert entry(world, EVE)["reason"] == "complaint"
    move(EVE, message_id, "Junk", "INBOX")
    wait_until(lambda: entry(world, EVE) == {}, "the lifted suppression")
    kinds = world.kinds(message_id)
    assert kinds.count("ComplaintReceived") == 2, "abuse, then not-spam"
    assert world.inject("transactional", [EVE])
    asked = urllib.request.Request("http://127.0.0.1:8025/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=30) as reply:
        metrics = reply.read().decode()
    age = re.search(r'penstock_complaint_age_seconds\{quantile="1"\} ([\d.]+)', metrics)
    assert age
    assert float(age[1]) < 3600


def returned(message_id: str) -> bytes:
    """A complaint that quotes the header of a delivered mail."""
    with imaplib.IMAP4("127.0.0.1", IMAP, timeout=30) as connection:
        connection.login(EVE, "secret")

        def found() -> bytes:
            connection.select("INBOX", readonly=True)
            numbers: bytes = connection.search(None, "HEADER", "X-Penstock-Token", message_id)[1][0]
            return numbers

        wait_until(found, f"{message_id} in the inbox")
        data: Any = connection.fetch(found().split()[0].decode(), "(BODY.PEEK[HEADER])")[1][0]
    header = email.message_from_bytes(data[1], policy=email.policy.default)
    return (
        "From: loop@provider.test\r\nTo: abuse@sender.test\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nspam\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: loop/1\r\nVersion: 1\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {header['Message-ID']}\r\n\r\n--b--\r\n"
    ).encode()


def folder(name: str) -> dict[str, str]:
    """Mails of a folder of the report mailbox: subject → flags."""
    with imaplib.IMAP4("127.0.0.1", IMAP, timeout=30) as connection:
        connection.login(MAILBOX, "secret")
        status, count = connection.select(name, readonly=True)
        if status != "OK" or count == [b"0"]:
            return {}
        rows: Any = connection.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return {row[1].decode().partition(":")[2].strip(): row[0].decode() for row in rows if isinstance(row, tuple)}


def test_reports_in_a_mailbox_take_effect_and_are_moved_not_deleted(world: World) -> None:
    message_id = send(world, EVE, "Delivered")
    with smtplib.LMTP("127.0.0.1", LMTP) as client:
        client.sendmail("loop@provider.test", [MAILBOX], returned(message_id))
        client.sendmail("x@y.test", [MAILBOX], b"Subject: chatter\r\n\r\nhello\r\n")
    world.wait_for(message_id, "ComplaintReceived")
    assert entry(world, EVE)["reason"] == "complaint"
    wait_until(lambda: {"complaint", "chatter"} <= folder("Processed").keys(), "processed mail")
    assert "$PenstockRead" in folder("Processed")["complaint"]
    assert folder("INBOX") == {}
    world.call("DELETE", f"/v1/suppressions/{EVE}")


def fetched(path: str, language: str) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Language": language}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:8025{path}", headers=headers)) as reply:
        page: str = reply.read().decode()
    return page


def test_forged_reports_change_nothing_and_their_rise_is_told_everywhere(world: World) -> None:
    message_id = send(world, EVE, "Delivered")
    forged = returned(message_id).replace(b"Message-ID: <", b"Message-ID: <m")
    with smtplib.SMTP(INBOUND, 25, timeout=30) as client:
        for _ in range(30):
            client.sendmail("loop@provider.test", ["fbl@rp.sender.test"], forged)

    def told() -> list[dict[str, Any]]:
        return [a for a in world.hook.alerts("firing") if a["labels"]["alertname"] == "UnverifiedReports"]

    wait_until(told, "the webhook of Alertmanager")
    assert entry(world, EVE) == {}
    assert "without a valid token" in told()[-1]["annotations"]["summary"]
    # pages show what the whole round of telling ended with
    wait_until(lambda: "without a valid token" in fetched("/", "en"), "the alert on the dashboard")
    assert "без действительного токена" in fetched("/", "ru") or "UnverifiedReports" in fetched("/", "ru")
    assert "UnverifiedReports" in command(world, "status").stdout


def command(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("penstock")), *words, "--config", str(world.folder / "penstock.toml")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_unknown_replies_can_be_listed(world: World) -> None:
    done = command(world, "replies", "unknown")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == "", "every refusal of Postfix and Dovecot is known"
