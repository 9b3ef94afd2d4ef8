"""The closed loop on real mail: inject, deliver, see trouble, close the gate, tell, open it again, explain.

Real Knot, Postfix, rspamd, Dovecot and Alertmanager; Penstock runs as a process of its own.  The tests build on one
another's mail only through the log, so each can be run alone.
"""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import imaplib
import os
import re
import signal
import smtplib
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.clock import iso
from storage.stores import open_stores
from tests.daemons.dovecot import IMAP
from tests.daemons.process import program
from tests.integration.conftest import World
from tests.integration.settings import INBOUND, OURS, PASSWORD, SEEDS
from tests.waiting import DAEMONS, StallMeter, wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
BETA_SCOPE = "provider=other:mx1.beta.test"


def mailbox(user: str, folder: str, token: str = "") -> list[EmailMessage]:
    """Mails of a folder whose header block holds `token`; nothing is marked."""
    with imaplib.IMAP4("127.0.0.1", IMAP, timeout=30) as connection:
        connection.login(user, "secret")
        connection.select(folder, readonly=True)
        numbers = connection.search(None, "ALL")[1][0].split()
        found = []
        for number in numbers:
            data: Any = connection.fetch(number.decode(), "(BODY.PEEK[])")[1][0]
            if token.encode() in data[1]:
                found.append(email.message_from_bytes(data[1], policy=email.policy.default))
        return found


def arrived(user: str, folder: str, message_id: str) -> EmailMessage:
    wait_until(lambda: mailbox(user, folder, message_id), f"{message_id} in {folder} of {user}")
    return mailbox(user, folder, message_id)[0]


def authentication(mail: EmailMessage) -> str:
    return " ".join(str(mail["Authentication-Results"]).split())


def test_mail_injected_by_http_is_signed_delivered_and_authenticated(world: World) -> None:
    (message_id,) = world.inject("bulk", ["ann@alpha.test"], campaign="spring")
    world.wait_for(message_id, "Delivered")
    mail = arrived("ann@alpha.test", "INBOX", message_id)
    results = authentication(mail)
    assert "dkim=pass" in results
    assert "spf=pass" in results
    assert "dmarc=pass" in results
    assert len(mail.get_all("DKIM-Signature") or []) == 2, "RSA and Ed25519"
    assert re.fullmatch(r"<[a-z2-7]{42}@rp\.sender\.test>", str(mail["Return-Path"]))
    assert "One-Click" in str(mail["List-Unsubscribe-Post"])
    assert "TLS" in next(row["text"] for row in world.story(message_id) if row["event"] == "Delivered")


def test_mail_injected_with_swaks_over_smtp_is_delivered(world: World, tmp_path: Path) -> None:
    done = subprocess.run(
        [program("swaks", "swaks"), "--server", "127.0.0.1:1587", "--auth", "PLAIN", "--auth-user", "crm",
         "--auth-password", PASSWORD, "--from", "shop@sender.test", "--to", "bob@beta.test",
         "--header", "Subject: Your receipt", "--header", "X-Penstock-Stream: transactional", "--body", "Thank you."],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    message_id = re.search(r"queued as ([a-z2-7]{20})", done.stdout)
    assert message_id, done.stdout
    world.wait_for(message_id[1], "Delivered")
    mail = arrived("bob@beta.test", "INBOX", message_id[1])
    assert "dkim=pass" in authentication(mail)
    assert mail["X-Penstock-Stream"] is None
    assert mail["List-Unsubscribe"] is None, "receipts carry no unsubscribe link"


def test_nobody_relays_without_credentials(world: World) -> None:
    for extra in ([], ["--auth", "PLAIN", "--auth-user", "crm", "--auth-password", "wrong"]):
        done = subprocess.run(
            [program("swaks", "swaks"), "--server", "127.0.0.1:1587", *extra, "--from", "x@sender.test",
             "--to", "bob@beta.test"], capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode != 0, done.stdout
        assert "queued as" not in done.stdout
    with smtplib.SMTP(INBOUND, 25, timeout=30) as client:
        client.helo("spammer.test")
        client.mail("x@spammer.test")
        assert client.rcpt("bob@beta.test")[0] == 550, "the inbound listener relays nothing"


def test_dead_addresses_close_the_gate_within_a_second_and_spare_receipts(world: World) -> None:
    dead = [f"dead{n}@beta.test" for n in range(60)]
    began = time.monotonic()
    with StallMeter() as meter:
        world.inject("bulk", dead, campaign="bought-list")
        wait_until(lambda: "paused" in states(world), f"a pause: {world.penstock.tail()}")
    held_up = meter.allowance(began, time.monotonic())
    pause = next(p for p in beta_pauses(world) if p["state"] == "paused")
    assert pause["until"], "an automatic pause expires"
    evidence = pause["evidence"]
    assert evidence["numerator"] > 0
    assert evidence["denominator"] >= evidence["numerator"]
    assert "does not exist" in " ".join(evidence["samples"])

    # the deciding event is the youngest one that the evidence counts; the pause is an event of its own
    story = world.call("GET", f"/v1/pauses/{quote(pause['id'])}")["story"]
    closed = next(row for row in story if "→ paused" in row["text"])
    bounces = [row for row in recent_bounces(world) if row <= closed["at"]]
    assert seconds_between(bounces[-1], closed["at"]) <= 1.0 + held_up

    # transactional mail to the same provider goes on, marketing waits
    (receipt,) = world.inject("transactional", ["bob@beta.test"])
    (news,) = world.inject("bulk", ["bob@beta.test"], campaign="bought-list")
    world.wait_for(receipt, "Delivered")
    assert "Delivered" not in world.kinds(news)

    def told() -> list[dict[str, Any]]:
        return [a for a in world.hook.alerts("firing") if pause["scope"] in str(a["labels"])]

    wait_until(told, "the webhook of Alertmanager")
    text = str(told()[-1]["annotations"])
    assert str(evidence["numerator"]) in text
    assert str(evidence["denominator"]) in text

    lines = penstock(world, "explain", "pause", pause["id"])
    assert "→ paused" in lines
    assert "does not exist" in lines, "the story shows a reply"

    # the operator takes the bad list out, which also ends what still waits of it, and opens the gates
    world.call("POST", "/v1/suppressions", {"addresses": dead, "note": "bought list"}, expect=201)
    for scope in {p["scope"] for p in beta_pauses(world)}:
        world.call("POST", "/v1/pauses/resume", {"scope": scope, "reason": "list removed"})
    world.wait_for(news, "Delivered")
    assert "gate over" in penstock(world, "explain", "message", news)
    wait_until(
        lambda: any(pause["scope"] in str(a["labels"]) for a in world.hook.alerts("resolved")),
        lambda: f"the resolved alert of {pause['scope']}: {beta_pauses(world)}",
    )


def beta_pauses(world: World) -> list[dict[str, Any]]:
    pauses: list[dict[str, Any]] = world.call("GET", "/v1/pauses")["pauses"]
    return [p for p in pauses if "beta" in p["scope"] or "bought-list" in p["scope"]]


def states(world: World) -> set[str]:
    return {p["state"] for p in beta_pauses(world)}


def recent_bounces(world: World) -> list[str]:
    """Instants of bounces, from the log itself, read beside the running service."""

    async def read() -> list[str]:
        stores = await open_stores(f"sqlite:///{world.folder}/var/penstock.db")
        try:
            return sorted(iso(logged.event.at) for logged in await stores.log.recent(["Bounced"], 500))
        finally:
            await stores.close()

    return asyncio.run(read())


def seconds_between(first: str, second: str) -> float:
    return (datetime.datetime.fromisoformat(second) - datetime.datetime.fromisoformat(first)).total_seconds()


def penstock(world: World, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("penstock")), *arguments, "--config", str(world.folder / "penstock.toml")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def suppressed(world: World, address: str) -> dict[str, Any] | None:
    rows = world.call("GET", f"/v1/suppressions?limit=1000&after={quote(address[:-1])}")["suppressions"]
    return next((row for row in rows if row["address"] == address), None)


def test_dead_addresses_are_suppressed_and_refused_at_the_door(world: World) -> None:
    (message_id,) = world.inject("transactional", ["dead-one@beta.test"])
    world.wait_for(message_id, "Bounced")
    assert (suppressed(world, "dead-one@beta.test") or {})["reason"] == "hard_bounce"
    assert world.inject("transactional", ["dead-one@beta.test"]) == []


def test_a_move_to_junk_becomes_a_complaint_and_a_suppression_by_its_token(world: World) -> None:
    (message_id,) = world.inject("bulk", ["ann@alpha.test"], campaign="complained")
    arrived("ann@alpha.test", "INBOX", message_id)
    with imaplib.IMAP4("127.0.0.1", IMAP, timeout=30) as connection:
        connection.login("ann@alpha.test", "secret")
        connection.select("INBOX")
        (found,) = connection.search(None, "HEADER", "X-Penstock-Token", message_id)[1][0].split()
        connection.copy(found.decode(), "Junk")
    world.wait_for(message_id, "ComplaintReceived")
    assert (suppressed(world, "ann@alpha.test") or {})["reason"] == "complaint"
    assert world.inject("bulk", ["ann@alpha.test"]) == []
    world.call("DELETE", "/v1/suppressions/ann@alpha.test")


def forged_report(message_id: str) -> str:
    token = "ma" + message_id + "a" * 20
    return (
        "From: abuse@provider.test\r\nTo: fbl@rp.sender.test\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nspam\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: forged/1\r\nVersion: 1\r\nOriginal-Rcpt-To: bob@beta.test\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-Penstock-Token: {token}\r\n"
        f"Message-ID: <{token}@sender.test>\r\nTo: bob@beta.test\r\n\r\n--b--\r\n"
    )


def test_a_forged_report_suppresses_nobody(world: World) -> None:
    (message_id,) = world.inject("transactional", ["bob@beta.test"])
    world.wait_for(message_id, "Delivered")
    with smtplib.SMTP(INBOUND, 25, timeout=30) as client:
        client.sendmail("", ["fbl@rp.sender.test"], forged_report(message_id))
    assert "ComplaintReceived" not in world.kinds(message_id)
    assert suppressed(world, "bob@beta.test") is None


def test_a_seed_mail_is_found_in_the_inbox_at_one_provider_and_in_junk_at_the_other(world: World) -> None:
    ids = [world.inject("bulk", [SEEDS[name]], campaign="placement")[0] for name in ("alpha", "beta")]
    for message_id, placement in zip(ids, ("inbox", "spam"), strict=True):
        world.wait_for(message_id, "SeedPlaced")
        text = next(row["text"] for row in world.story(message_id) if row["event"] == "SeedPlaced")
        assert f"found in {placement}" in text


def test_a_dmarc_report_made_by_rspamd_is_stored_with_every_record_counted(world: World) -> None:
    (message_id,) = world.inject("transactional", ["ann@alpha.test"])
    world.wait_for(message_id, "Delivered")
    forged = b"From: x@sender.test\r\nTo: ann@alpha.test\r\nSubject: hi\r\n\r\nx\r\n"
    for _ in range(3):
        world.rspamd.check(forged, ip="203.0.113.66", helo="bad.test", mail_from="x@sender.test", rcpt="ann@alpha.test")
    day = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")

    def reported() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = world.call("GET", "/v1/dmarc")["reports"]
        return rows

    printed = world.rspamd.send_dmarc_reports(day)
    wait_until(reported, f"a stored report: {printed}")
    (report,) = reported()
    assert report["domain"] == "sender.test"
    assert report["refused"] == 0
    sources = {row["ip"]: row for row in world.call("GET", "/v1/dmarc")["sources"]}
    assert sources["203.0.113.66"]["messages"] == 3
    assert sources["203.0.113.66"]["aligned"] == 0
    assert sources[OURS]["aligned"] == sources[OURS]["messages"] > 0
    assert report["messages"] == sum(row["messages"] for row in sources.values())


def test_one_click_unsubscribes_and_a_get_does_not(world: World) -> None:
    (message_id,) = world.inject("bulk", ["ann@alpha.test"], campaign="leave")
    mail = arrived("ann@alpha.test", "INBOX", message_id)
    link = re.search(r"<(http://127\.0\.0\.1:8025/u/[a-z2-7]{42})>", str(mail["List-Unsubscribe"]))
    assert link
    path = link[1].removeprefix("http://127.0.0.1:8025")
    curl = [program("curl", "curl"), "-sf", "--max-time", "10"]
    subprocess.run([*curl, link[1]], check=True, capture_output=True)
    assert suppressed(world, "ann@alpha.test") is None, path
    subprocess.run([*curl, "-d", "List-Unsubscribe=One-Click", link[1]], check=True, capture_output=True)
    assert (suppressed(world, "ann@alpha.test") or {})["reason"] == "unsubscribe"
    assert world.inject("bulk", ["ann@alpha.test"]) == []
    assert world.inject("transactional", ["ann@alpha.test"]), "receipts are another stream"
    world.call("DELETE", "/v1/suppressions/ann@alpha.test?stream=bulk")


def test_the_story_of_a_message_is_told_from_the_log_after_a_restart(world: World) -> None:
    (message_id,) = world.inject("transactional", ["ann@alpha.test"])
    world.wait_for(message_id, "Delivered")
    os.kill(world.penstock.process.pid, signal.SIGTERM)
    assert world.penstock.process.wait(DAEMONS) == 0
    assert "did not end within" not in world.penstock.tail(), "no part of it had to be cut off"
    text = penstock(world, "explain", "message", message_id)
    assert "accepted over HTTP" in text
    assert "delivered to" in text
    world.penstock = world.start_penstock()
