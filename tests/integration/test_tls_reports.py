"""TLS reports from end to end (RFC 8460): sessions with a real Postfix under an MTA-STS policy are counted, and the
day's report reaches the domain that asks for it, by mail and by HTTPS, signed, once, over kills.

Real Knot and Postfix; an HTTPS server that holds the policy and takes reports; read back by parsedmarc and by our own
intake.
"""

from __future__ import annotations

import gzip
import http.server
import json
import os
import signal
import sqlite3
import ssl
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dkim
import parsedmarc
import pytest

from collectors.reports.tlsrpt import parse_tls
from core.clock import SystemClock, iso
from core.lane import DAY, day_of
from core.reports import TlsReport
from sender.dkim import new_key
from tests.daemons.certificate import make_certificate
from tests.daemons.knot import Knot, txt
from tests.daemons.postfix import Exchanger, Postfix
from tests.daemons.process import Daemon
from tests.integration.sink import Sink
from tests.integration.submission_world import read
from tests.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
MX, WEB, SINK, OURS = "198.51.100.2", "198.51.100.26", "127.0.0.9", "192.0.2.10"
API = "http://127.0.0.1:8025"
RECORDS = f"""\
good.test. MX 10 mx.good.test.
mx.good.test. A {MX}
_mta-sts.good.test. TXT "v=STSv1; id=1"
mta-sts.good.test. A {WEB}
report.good.test. A {WEB}
_smtp._tls.good.test. TXT "v=TLSRPTv1; rua=https://report.good.test/tls,mailto:tls@sink.test"
quiet.test. MX 10 mx.quiet.test.
mx.quiet.test. A {MX}
other.test. MX 10 mx.good.test.
_smtp._tls.other.test. TXT "v=TLSRPTv1;rua=mailto:other@sink.test"
sink.test. MX 10 mx.sink.test.
mx.sink.test. A {SINK}
"""
POLICY = "version: STSv1\nmode: testing\nmx: mx.good.test\nmax_age: 86400\n"
CONFIG = f"""\
data_dir = "var"
[storage]
url = "sqlite:///var/penstock.db"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sending_domains.dkim]]
selector = "ps1"
key_file = "dkim.pem"
[[sources]]
name = "mta1"
bind = "{OURS}"
ehlo = "mta1.sender.test"
[submission]
enabled = false
[inbound]
enabled = false
[dns]
nameservers = ["127.0.0.1"]
[delivery]
ca_file = "cert.pem"
[warmup]
enabled = false
[tls_reports]
enabled = true
organization = "Sender Größe"
contact = "tls@sender.test"
delay_hours = 0
"""


class Web:
    """HTTPS on 443: the policy of good.test, and what was posted."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.posted: list[tuple[str, str, bytes]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(POLICY.encode())

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                web.posted.append((self.path, self.headers["Content-Type"], content))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer((WEB, 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class ReportWorld:
    """Handles to all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        certificate, key = make_certificate(folder, "mta-sts.good.test", "report.good.test")
        pem, self.dkim_record = new_key("rsa-sha256")
        (folder / "dkim.pem").write_bytes(pem)
        records = RECORDS + f"ps1._domainkey.sender.test. TXT {txt(self.dkim_record)}\n"
        self.knot = Knot(folder / "knot", records)
        self.web = Web(certificate, key)
        (folder / "postfix").mkdir(mode=0o755)
        self.postfix = Postfix(
            folder / "postfix", [Exchanger(address=MX)], ["good.test", "quiet.test", "other.test"],
            parameters={"virtual_transport": "discard:"},
        )  # fmt: skip
        self.sink = Sink(SINK, 25, lambda _recipient, _visit: "250 2.1.5 Ok")
        (folder / "penstock.toml").write_text(CONFIG)
        self.start()

    def start(self) -> None:
        self.penstock = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(self.folder / "penstock.toml")],
            self.folder / "penstock.log",
        )
        self.penstock.await_that(lambda: self.call("/readyz") is not None, "Penstock")

    def kill(self) -> None:
        self.penstock.process.send_signal(signal.SIGKILL)
        self.penstock.process.wait(10)

    def call(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{API}{path}", data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except (OSError, ValueError):
            return None

    def sql(self, statement: str, *values: object) -> list[Any]:
        database = sqlite3.connect(self.folder / "var/penstock.db", timeout=30)
        try:
            with database:
                return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def mails(self, recipient: str) -> list[bytes]:
        return [one.content for one in self.sink.taken if one.recipient == recipient]

    def stop(self) -> None:
        for part in (self.penstock, self.postfix, self.sink, self.web, self.knot):
            part.stop()


@pytest.fixture(scope="module")
def world() -> Iterator[ReportWorld]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), "run: tests/in-namespace .venv/bin/pytest tests/integration"
    with tempfile.TemporaryDirectory(prefix="penstock-tlsrpt-") as folder:
        Path(folder).chmod(0o755)
        made = ReportWorld(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def test_the_day_is_reported_once_to_who_asks(world: ReportWorld) -> None:
    for recipient in ("ann@good.test", "ann@quiet.test"):
        answer = world.call(
            "/v1/messages",
            {"stream": "transactional", "from": "a@sender.test", "to": recipient, "subject": "s", "text": "t"},
        )
        assert answer["accepted"] == 1
    wait_until(lambda: len(world.sql("SELECT 1 FROM tls_sessions")) >= 2, world.penstock.tail)
    seen = world.call("/v1/tls-reports/good.test?day=" + iso(SystemClock().now())[:10])
    assert seen["policies"][0]["policy"]["policy-type"] == "sts"

    # midnight comes
    world.kill()
    world.sql("UPDATE tls_sessions SET day = day - 1")
    world.start()
    wait_until(lambda: world.mails("tls@sink.test") and world.web.posted, world.penstock.tail)
    (content,) = world.mails("tls@sink.test")
    ((path, kind, posted),) = world.web.posted
    assert (path, kind) == ("/tls", "application/tlsrpt+gzip")

    mail = read(content)
    raw = content.replace(b"\r\n..", b"\r\n.").removesuffix(b".\r\n")
    assert dkim.verify(raw, dnsfunc=lambda *_, **__: world.dkim_record.encode())
    yesterday = day_of(SystemClock().now()) - 1
    number = f"{iso(yesterday * DAY)[:10]}.good.test@sender.test"
    assert mail["Subject"] == f"Report Domain: good.test Submitter: sender.test Report-ID: <{number}>"
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("good.test", "sender.test")
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    assert mail["List-Unsubscribe"] is None
    text, attached = mail.iter_parts()
    assert "sts: 0 sessions succeeded, 1 failed" in text.get_content()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    name = f"sender.test!good.test!{yesterday * DAY:.0f}!{(yesterday + 1) * DAY - 1:.0f}!001.json.gz"
    assert attached.get_filename() == name
    assert attached.get_content() == posted, "both addresses get the same report"

    told = json.loads(gzip.decompress(posted))
    assert (told["organization-name"], told["contact-info"]) == ("Sender Größe", "tls@sender.test")
    (policy,) = told["policies"]
    assert policy["policy"]["policy-string"] == POLICY.splitlines()
    assert policy["policy"]["mx-host"] == ["mx.good.test"]
    (detail,) = policy["failure-details"]
    reason = detail.pop("failure-reason-code")
    assert "self-signed" in reason or "self signed" in reason
    assert detail == {
        "result-type": "certificate-not-trusted", "sending-mta-ip": OURS, "receiving-mx-hostname": "mx.good.test",
        "receiving-ip": MX, "failed-session-count": 1,
    }  # fmt: skip

    # others read it
    theirs = parsedmarc.parse_report_email(raw, offline=True)
    assert theirs["report_type"] == "smtp_tls"
    assert theirs["report"]["policies"][0]["failed_session_count"] == 1
    (ours,) = parse_tls(posted, name)
    assert isinstance(ours, TlsReport)
    assert [(row.result, row.sessions, row.receiving_host) for row in ours.rows] == [
        ("certificate-not-trusted", 1, "mx.good.test")
    ]

    # a kill right after, and another domain's report as the sign that the next turn is over
    world.kill()
    world.sql(
        "INSERT INTO tls_sessions SELECT day, 'other.test', policy, failure, host, host_ip, source_ip, reason, sessions"
        " FROM tls_sessions WHERE domain = 'quiet.test'"
    )
    world.start()
    wait_until(lambda: world.mails("other@sink.test"), world.penstock.tail)
    assert (len(world.mails("tls@sink.test")), len(world.web.posted)) == (1, 1)
    states = {(row["domain"], row["address"]): row["state"] for row in world.call("/v1/tls-reports")["reports"]}
    assert states == {
        ("good.test", "mailto:tls@sink.test"): "sent", ("good.test", "https://report.good.test/tls"): "sent",
        ("other.test", "mailto:other@sink.test"): "sent",
    }  # fmt: skip
    assert {one.recipient for one in world.sink.taken} == {"tls@sink.test", "other@sink.test"}, (
        "quiet.test asks nothing"
    )
