"""Penstock's door for SMTP clients, a sink that takes what it sends, and a Postfix that is one of the clients."""

from __future__ import annotations

import email
import email.policy
import json
import sqlite3
import sys
import urllib.error
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.daemons.certificate import make_certificate
from tests.daemons.knot import Knot
from tests.daemons.postfix import Exchanger, Postfix
from tests.daemons.process import Daemon
from tests.integration.sink import Sink, Taken
from tests.waiting import answer_of, wait_until

HOST, PORT, TLS_PORT = "mail.sender.test", 1587, 1465
INBOUND = ("192.0.2.20", 25)
USER, PASSWORD = "crm", "test-smtp-password-123"
OFFICE = "198.51.100.25"  # where the Postfix in front takes mail
SINK = "127.0.0.9"
API = "http://127.0.0.1:8025"
CONFIG = f"""\
data_dir = "var"
templates = "templates"
[storage]
url = "sqlite:///var/penstock.db"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sources]]
name = "mta1"
ehlo = "mta1.sender.test"
[submission]
port = {PORT}
tls_port = {TLS_PORT}
tls_cert = "cert.pem"
tls_key = "key.pem"
delay_notice_hours = 0.0003
[[submission.users]]
name = "{USER}"
password_file = "password"
[inbound]
host = "{INBOUND[0]}"
port = {INBOUND[1]}
[dns]
nameservers = ["127.0.0.1"]
[delivery]
port = 2525
[warmup]
enabled = false
"""
TEMPLATE = """\
subject = "Order {{ number }}"
text = "Dear {{ name }}, order {{ number }} is on its way."
"""


def judge(recipient: str, _visit: int) -> str:
    """Dead ones are refused, late ones put off for ever, the rest is taken."""
    if recipient.startswith("late"):
        return "450 4.2.1 Try again later"
    return "550 5.1.1 User unknown" if recipient.startswith("dead") else "250 2.1.5 Ok"


class SubmissionWorld:
    """Handles to all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        records = (
            f"{HOST}. A 127.0.0.1\nsink.test. MX 10 mx.sink.test.\nmx.sink.test. A {SINK}\n"
            f"office.test. MX 10 mx.sink.test.\n"
            f"delay.test. MX 10 mx.delay.test.\nmx.delay.test. A {SINK}\n"
            f"failure.test. MX 10 mx.failure.test.\nmx.failure.test. A {SINK}\n"
        )
        self.knot = Knot(folder / "knot", records)
        self.sink = Sink(SINK, 2525, judge)
        self.certificate, _ = make_certificate(folder, HOST)
        (folder / "password").write_text(PASSWORD)
        (folder / "templates").mkdir()
        (folder / "templates" / "order.toml").write_text(TEMPLATE)
        (folder / "penstock.toml").write_text(CONFIG)
        self.penstock = self.start_penstock()
        (folder / "postfix").mkdir(mode=0o755)
        self.postfix = Postfix(
            folder / "postfix", [Exchanger(address=OFFICE)], [],
            files={"password": f"[{HOST}]:{PORT} {USER}:{PASSWORD}\n"},
            parameters={
                "myhostname": "mx.office.test", "mynetworks": "127.0.0.0/8 198.51.100.0/24",
                "relayhost": f"[{HOST}]:{PORT}",
                "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
                "smtp_sasl_password_maps": f"texthash:{folder}/postfix/etc/password",
                "smtp_tls_security_level": "secure", "smtp_tls_CAfile": str(self.certificate),
                "smtp_tls_secure_cert_match": HOST, "smtpd_relay_restrictions": "permit_mynetworks, reject",
                "smtpd_recipient_restrictions": "permit_mynetworks, reject", "virtual_mailbox_domains": "",
            },
        )  # fmt: skip

    def start_penstock(self) -> Daemon:
        """Start (again) and wait until it is ready."""
        penstock = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(self.folder / "penstock.toml")],
            self.folder / "penstock.log",
        )
        penstock.await_that(lambda: self.get("/readyz") is not None, "Penstock")
        return penstock

    def get(self, path: str) -> Any:
        """The JSON answer, None when there was none."""
        try:
            with urllib.request.urlopen(f"{API}{path}", timeout=30) as reply:
                return json.load(reply)
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def queued(self) -> int:
        """Messages that wait."""
        depth: int = answer_of(lambda: self.get("/v1/status"), "the status")["queue"]["total"]
        return depth

    def put_off(self, recipient: str) -> bool:
        """Whether an attempt was answered with "later" and the answer is noted."""
        return bool(self.sql("SELECT 1 FROM queue WHERE recipient = ? AND attempts > 0", recipient))

    def sql(self, statement: str, *values: object) -> list[Any]:
        database = sqlite3.connect(self.folder / "var/penstock.db", timeout=30)
        try:
            with database:
                return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def arrived(self, recipient: str) -> EmailMessage:
        """The first mail that the sink took for this address."""
        wait_until(
            lambda: self.taken(recipient),
            lambda: f"mail for {recipient}: {self.penstock.tail()}\n{self.postfix.log()[-1500:]}",
        )  # fmt: skip
        return read(self.taken(recipient)[0].content)

    def taken(self, recipient: str) -> list[Taken]:
        return [one for one in self.sink.taken if one.recipient == recipient]

    def stop(self) -> None:
        for part in (self.postfix, self.penstock, self.sink, self.knot):
            part.stop()


def read(content: bytes) -> EmailMessage:
    """A message as it came over the wire."""
    mail = email.message_from_bytes(
        content.replace(b"\r\n..", b"\r\n.").removesuffix(b".\r\n"), policy=email.policy.default
    )
    assert isinstance(mail, EmailMessage)
    return mail


def status_of(mail: EmailMessage) -> tuple[EmailMessage, EmailMessage]:
    """The fields of a notification: of the message, of its one recipient (RFC 3464)."""
    assert mail.get_content_type() == "multipart/report", mail.as_string()
    part = list(mail.iter_parts())[1]
    blocks = part.get_payload()
    assert isinstance(blocks, list)
    head, recipient = blocks
    assert isinstance(head, EmailMessage)
    assert isinstance(recipient, EmailMessage)
    return head, recipient
