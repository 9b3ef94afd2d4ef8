"""The test world: name server, two mailbox providers, Alertmanager, and Penstock itself as a process of its own.

Everything runs inside `tests/in-namespace`; outside of it these tests fail and say how to run them.  Each file of
tests has a world of its own: what the receivers counted of one must not stand in the reports of another.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sender.dkim import new_key
from tests.daemons.alertmanager import Alertmanager, WebhookReceiver
from tests.daemons.dovecot import LMTP, Dovecot
from tests.daemons.knot import Knot, txt
from tests.daemons.postfix import Exchanger, Postfix
from tests.daemons.process import Daemon
from tests.daemons.rspamd import MILTER, Rspamd
from tests.integration.settings import ALPHA, BETA, CONFIG, GAMMA, PASSWORD, RECORDS, SEEDS, TOKEN, USERS
from tests.waiting import DAEMONS, wait_until

_DMARC = """
reporting { enabled = true; email = "dmarc@receiver.test"; domain = "receiver.test"; org_name = "Receiver";
 from_name = "Receiver"; msgid_from = "receiver.test"; smtp = "192.0.2.20"; smtp_port = 25; helo = "mx.receiver.test";
 report_local_controller = true; }
"""
# dead addresses are refused at RCPT, as a real provider does; the temporary one is deferred first
_LATE = "/^late/ 550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table\n"
_RCPT = "/^dead/ 550 5.1.1 The email account that you tried to reach does not exist\n"


class World:
    """Handles to the daemons and to Penstock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hook = WebhookReceiver()
        self.keys = {algorithm: new_key(algorithm) for algorithm in ("rsa-sha256", "ed25519-sha256")}
        keys = [("ps1", "rsa-sha256"), ("ps1e", "ed25519-sha256")]
        records = RECORDS + "".join(
            f"{selector}._domainkey.sender.test. TXT {txt(self.keys[algorithm][1])}\n" for selector, algorithm in keys
        )
        self.knot = Knot(self._sub("knot"), records)
        self.rspamd = Rspamd(self._sub("rspamd"), dns="127.0.0.1:53", dmarc=_DMARC)
        self.dovecot = Dovecot(
            self._sub("dovecot"), USERS, junk="Junk", junked=SEEDS["beta"], report_host="192.0.2.20:25",
            report_to="fbl@rp.sender.test", gone=["gone@gamma.test"], full=["full@gamma.test"],
        )  # fmt: skip
        refuse_dead = f"check_recipient_access regexp:{folder}/postfix/etc/rcpt"
        self.postfix = Postfix(
            self._sub("postfix"),
            [Exchanger(address=ALPHA), Exchanger(address=BETA, parameters={
                "myhostname": "mx1.beta.test", "smtpd_recipient_restrictions":
                f"reject_unauth_destination, {refuse_dead}"}),
             Exchanger(address=GAMMA, parameters={
                "myhostname": "mx1.gamma.test", "smtpd_recipient_restrictions":
                f"reject_unauth_destination, {refuse_dead}", "smtpd_end_of_data_restrictions":
                f"check_recipient_access regexp:{folder}/postfix/etc/late"})],
            ["alpha.test", "beta.test", "gamma.test"], lmtp=("127.0.0.1", LMTP), milter=("127.0.0.1", MILTER),
            files={"rcpt": _RCPT, "late": _LATE, "transport": "slow@gamma.test lmtp:inet:127.0.0.1:9\n"},
        )  # fmt: skip
        self.alertmanager = Alertmanager(self._sub("alertmanager"), self.hook.url)
        self._write_config()
        self.penstock = self.start_penstock()

    def _sub(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o755)
        return path

    def _write_config(self) -> None:
        for algorithm, (pem, _record) in self.keys.items():
            (self.folder / f"{algorithm}.pem").write_bytes(pem)
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "seed").write_text("secret")
        (self.folder / "penstock.toml").write_text(CONFIG.format(alertmanager=self.alertmanager.url))

    def start_penstock(self) -> Daemon:
        """Start (again) and wait until it is ready."""
        penstock = Daemon(
            [str(Path(sys.executable).with_name("penstock")), "run", "--config", str(self.folder / "penstock.toml")],
            self.folder / "penstock.log",
        )
        penstock.await_that(lambda: self._status("/readyz") == 200, "Penstock")
        return penstock

    def _status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:8025{path}", timeout=30) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def call(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """One API call; the JSON of the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:8025{path}", data=None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, text = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        assert status == expect, f"{method} {path}: {status} {text!r}"
        return json.loads(text)

    def inject(self, stream: str, recipients: list[str], *, campaign: str = "", **more: object) -> list[str]:
        """POST /v1/messages; the ids of what was accepted."""
        body = {
            "stream": stream, "campaign": campaign, "from": "News <news@sender.test>", "subject": "Hello",
            "text": "Hello there.\n", "recipients": recipients, **more,
        }  # fmt: skip
        answer = self.call("POST", "/v1/messages", body, expect=202)
        return [row["id"] for row in answer["messages"] if row["status"] == "accepted"]

    def story(self, message_id: str) -> list[dict[str, str]]:
        """The events of one message."""
        rows: list[dict[str, str]] = self.call("GET", f"/v1/messages/{message_id}")["story"]
        return rows

    def kinds(self, message_id: str) -> list[str]:
        """Class names of the events of one message."""
        return [row["event"] for row in self.story(message_id)]

    def wait_for(self, message_id: str, kind: str, seconds: float = DAEMONS) -> None:
        """Wait until a message has an event of that kind."""
        wait_until(
            lambda: kind in self.kinds(message_id),
            lambda: f"{kind} of {message_id}: {self.penstock.tail()}\n{self.postfix.log()[-1500:]}",
            seconds,
        )

    def stop(self) -> None:
        for part in (self.penstock, self.alertmanager, self.postfix, self.dovecot, self.rspamd, self.knot, self.hook):
            part.stop()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), (
        "run these with: tests/in-namespace .venv/bin/pytest tests/integration"
    )
    with tempfile.TemporaryDirectory(prefix="penstock-world-") as folder:
        Path(folder).chmod(0o755)
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.stop()
