"""Real clients hand mail in by SMTP, hear what became of it, and nobody without credentials gets anything through.

swaks, s-nail, Django, Python and a Postfix with a relay host, over STARTTLS and TLS.
"""

from __future__ import annotations

import os
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemons.process import program
from tests.integration.submission_world import (
    HOST,
    INBOUND,
    OFFICE,
    PASSWORD,
    PORT,
    TLS_PORT,
    USER,
    SubmissionWorld,
    status_of,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
DJANGO = """
import sys
import django
from django.conf import settings
settings.configure(
    EMAIL_HOST=sys.argv[1], EMAIL_PORT=int(sys.argv[2]), EMAIL_HOST_USER=sys.argv[3], EMAIL_HOST_PASSWORD=sys.argv[4],
    EMAIL_USE_TLS=sys.argv[5] == "starttls", EMAIL_USE_SSL=sys.argv[5] == "tls", EMAIL_TIMEOUT=20,
)
django.setup()
from django.core.mail import EmailMultiAlternatives
mail = EmailMultiAlternatives(
    "Ihre Bestellung: größer", "Danke.", "Shop <shop@sender.test>", [sys.argv[6]],
    headers={"X-Penstock-Stream": "triggered", "X-Penstock-Campaign": "django"},
)
mail.attach_alternative("<p>Danke.</p>", "text/html")
print(mail.send())
"""


@pytest.fixture(scope="module")
def world() -> Iterator[SubmissionWorld]:
    assert os.environ.get("PENSTOCK_TEST_NAMESPACE"), "run: tests/in-namespace .venv/bin/pytest tests/integration"
    with tempfile.TemporaryDirectory(prefix="penstock-submission-") as folder:
        Path(folder).chmod(0o755)
        made = SubmissionWorld(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def run(*argv: str, text: str = "", env: dict[str, str] | None = None) -> str:
    """What a client said; it must succeed."""
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def message(to: str, **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@sender.test>", to, "Your receipt"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Thank you.\n..\n.a line that begins with a dot\n")
    return mail


def client(world: SubmissionWorld) -> smtplib.SMTP:
    """Logged in, inside TLS."""
    found = smtplib.SMTP(HOST, PORT, timeout=30)
    found.starttls(context=ssl.create_default_context(cafile=str(world.certificate)))
    found.login(USER, PASSWORD)
    return found


def test_swaks_over_starttls_and_over_tls(world: SubmissionWorld) -> None:
    for number, how in enumerate((["-tls", "--port", str(PORT)], ["-tlsc", "--port", str(TLS_PORT)])):
        run(
            program("swaks", "swaks"), "--server", HOST, *how, "--tls-verify", "--tls-ca-path", str(world.certificate),
            "--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD, "--from", "shop@sender.test",
            "--to", f"swaks{number}@sink.test", "--header", "Subject: hello", "--body", "Thank you.",
        )  # fmt: skip
        assert world.arrived(f"swaks{number}@sink.test").get_content().strip() == "Thank you."


def test_mailx_over_starttls_and_over_tls(world: SubmissionWorld) -> None:
    for number, how in enumerate(
        ([f"mta=smtp://{USER}:{PASSWORD}@{HOST}:{PORT}", "smtp-use-starttls"],
         [f"mta=smtps://{USER}:{PASSWORD}@{HOST}:{TLS_PORT}"])
    ):  # fmt: skip
        options = [
            "v15-compat", *how, f"tls-ca-file={world.certificate}", "tls-verify=strict", "from=shop@sender.test",
            "ttycharset=utf-8", "sendwait",
        ]  # fmt: skip
        run(
            program("s-nail", "s-nail"), "-n", *(part for option in options for part in ("-S", option)),
            "-s", "Привет", f"mailx{number}@sink.test", text="Спасибо.\n",
        )  # fmt: skip
        mail = world.arrived(f"mailx{number}@sink.test")
        assert (mail["Subject"], mail.get_content().strip()) == ("Привет", "Спасибо.")


def test_django_over_starttls_and_over_tls(world: SubmissionWorld) -> None:
    for how, port in (("starttls", PORT), ("tls", TLS_PORT)):
        sent = run(
            sys.executable, "-c", DJANGO, HOST, str(port), USER, PASSWORD, how, f"{how}@sink.test",
            env={"SSL_CERT_FILE": str(world.certificate)},
        )  # fmt: skip
        assert sent.strip() == "1"
        mail = world.arrived(f"{how}@sink.test")
        assert mail["Subject"] == "Ihre Bestellung: größer"
        assert str(mail["Feedback-ID"]).startswith("django:triggered:")
        assert mail["X-Penstock-Campaign"] is None


def test_python_with_dots_and_a_template(world: SubmissionWorld) -> None:
    with client(world) as smtp:
        smtp.send_message(message("dots@sink.test"))
        smtp.send_message(
            message("tmpl@sink.test", X_Penstock_Template="order", X_Penstock_Vars='{"name": "Анна", "number": 7}')
        )
        with pytest.raises(smtplib.SMTPDataError, match="name"):
            smtp.send_message(message("x@sink.test", X_Penstock_Template="order", X_Penstock_Vars='{"number": 7}'))
        with pytest.raises(smtplib.SMTPDataError, match="template"):
            smtp.send_message(message("x@sink.test", X_Penstock_Template="../password"))
    assert world.arrived("dots@sink.test").get_content().splitlines() == message("x").get_content().splitlines()
    mail = world.arrived("tmpl@sink.test")
    assert (mail["Subject"], mail["From"]) == ("Order 7", "Shop <shop@sender.test>")
    assert mail.get_content().strip() == "Dear Анна, order 7 is on its way."


def test_a_postfix_in_front_hands_over_and_its_users_hear_of_failure_and_success(world: SubmissionWorld) -> None:
    with smtplib.SMTP(OFFICE, 25, timeout=30) as smtp:
        smtp.ehlo("app.office.test")
        assert smtp.has_extn("dsn")
        for local in ("fine", "dead"):
            smtp.sendmail(
                f"asker-{local}@office.test", [f"{local}@sink.test"], message(f"{local}@sink.test").as_bytes(),
                mail_options=["RET=HDRS", f"ENVID=job+2B{local}"],
                rcpt_options=["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{local}@sink.test"],
            )  # fmt: skip
    world.arrived("fine@sink.test")
    for local, action, status in (("fine", "relayed", "2.0.0"), ("dead", "failed", "5.1.1")):
        # the Postfix itself says that it handed over to a host that knows DSN, hence says nothing
        head, fields = status_of(world.arrived(f"asker-{local}@office.test"))
        assert (fields["Action"], fields["Status"]) == (action, status)
        assert head["Original-Envelope-Id"] == f"job+{local}"
        assert fields["Original-Recipient"] == f"rfc822; {local}@sink.test"
        (taken,) = world.taken(f"asker-{local}@office.test")
        assert taken.sender == "", "the null return path"


def test_delay_and_expiry_are_told(world: SubmissionWorld) -> None:
    with client(world) as smtp:
        for asked in ("delay", "failure"):
            mail = message(f"late@{asked}.test", X_Penstock_Expires_At=str(int(time.time()) + 3600))
            smtp.sendmail(f"{asked}@office.test", [f"late@{asked}.test"], mail.as_bytes(), (), [f"NOTIFY={asked}"])
    _, delayed = status_of(world.arrived("delay@office.test"))
    assert (delayed["Action"], delayed["Status"]) == ("delayed", "4.2.1")
    # its hour has passed once the host has said why it must wait: a few seconds could be too short for that
    wait_until(lambda: world.put_off("late@failure.test"), world.penstock.tail)
    world.sql("UPDATE queue SET deadline = ? WHERE recipient LIKE 'late@%'", time.time())
    _, failed = status_of(world.arrived("failure@office.test"))
    assert (failed["Action"], failed["Status"]) == ("failed", "4.4.7")
    assert "Try again later" in failed["Diagnostic-Code"]


def test_a_notification_survives_a_kill_and_comes_once(world: SubmissionWorld) -> None:
    with client(world) as smtp:
        smtp.sendmail(
            "asker@office.test", ["dead2@sink.test"], message("dead2@sink.test").as_bytes(), (), ["NOTIFY=FAILURE"]
        )
    wait_until(lambda: any(r == "dead2@sink.test" for r, _ in world.sink.rcpts), "the refusal")
    world.penstock.process.send_signal(signal.SIGKILL)
    world.penstock.process.wait(10)
    world.penstock = world.start_penstock()
    _, fields = status_of(world.arrived("asker@office.test"))
    assert fields["Final-Recipient"] == "rfc822; dead2@sink.test"
    # its own fate is told to nobody: the queue is empty, and one mail came
    wait_until(lambda: world.queued() == 0, "an empty queue")
    assert len(world.taken("asker@office.test")) == 1


def test_what_only_looks_like_a_relay_is_a_mailbox(world: SubmissionWorld) -> None:
    """With credentials: a route is ignored (RFC 5321 appendix C), other signs are part of the mailbox's name."""
    with client(world) as smtp:
        for path in ("@relay.test:routed@sink.test", "a%elsewhere.test@sink.test", '"b@elsewhere.test"@sink.test'):
            assert smtp.mail("shop@sender.test")[0] == 250
            assert smtp.docmd(f"RCPT TO:<{path}>")[0] == 250
            assert smtp.data(message("x@sink.test").as_bytes())[0] == 250
        for path in ("ann", "@sink.test", "ann@-.test", "ann@[192.0.2.1]"):
            assert smtp.mail("shop@sender.test")[0] == 250
            assert smtp.docmd(f"RCPT TO:<{path}>")[0] in (501, 553), path
            smtp.rset()
        # a user may not write in the name of others
        foreign = message("ann@sink.test")
        foreign.replace_header("From", "boss@bank.test")
        with pytest.raises(smtplib.SMTPDataError, match=r"bank\.test"):
            smtp.send_message(foreign)
    for recipient in ("routed@sink.test", "a%elsewhere.test@sink.test", '"b@elsewhere.test"@sink.test'):
        assert world.arrived(recipient)


ATTEMPTS = (
    "<ann@sink.test>", "<@mail.sender.test:ann@sink.test>", "<@sender.test,@rp.sender.test:ann@sink.test>",
    "<ann%sink.test@sender.test>", "<ann%sink.test@rp.sender.test>", "<ann%sink.test@[192.0.2.20]>",
    '<"ann@sink.test"@sender.test>', '<"ann@sink.test"@rp.sender.test>', '<"ann@sink.test">', "<ann%sink.test>",
    "<sink.test!ann>", "<sink.test!ann@rp.sender.test>", "<ann=sink.test@rp.sender.test>", "<postmaster>",
    "<ann@sink.test@rp.sender.test>", "<ann@sink.test>rp.sender.test",
)  # fmt: skip


def opened(door: str, trust: ssl.SSLContext) -> smtplib.SMTP:
    if door == "tls port":
        return smtplib.SMTP_SSL(HOST, TLS_PORT, timeout=30, context=trust)
    return smtplib.SMTP(*INBOUND, timeout=30) if door == "inbound" else smtplib.SMTP(HOST, PORT, timeout=30)


@pytest.mark.parametrize("sender", ["<spam@evil.test>", "<shop@sender.test>", "<>"])
@pytest.mark.parametrize("door", ["starttls port", "within starttls", "tls port", "wrong password", "inbound"])
def test_nothing_gets_through_without_credentials(world: SubmissionWorld, door: str, sender: str) -> None:
    wait_until(lambda: world.queued() == 0, "an empty queue")
    before = len(world.sink.rcpts)
    trust = ssl.create_default_context(cafile=str(world.certificate))
    with opened(door, trust) as smtp:
        smtp.ehlo("app.evil.test")
        if door in ("within starttls", "wrong password"):
            smtp.starttls(context=trust)
            smtp.ehlo("app.evil.test")
        if door == "wrong password":
            with pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login(USER, PASSWORD + "x")
        if door == "starttls port":
            # AUTH without TLS: not offered, and refused all the same
            assert not smtp.has_extn("auth")
            assert smtp.docmd("AUTH", "PLAIN AGNybQB0ZXN0LXNtdHAtcGFzc3dvcmQtMTIz")[0] == 538
        for path in ATTEMPTS:
            answers = [smtp.docmd(f"MAIL FROM:{sender}")[0], smtp.docmd(f"RCPT TO:{path}")[0], smtp.docmd("DATA")[0]]
            assert 354 not in answers, path
            assert answers[1] >= 500, path
            if door != "inbound":
                assert answers[0] == 530
            smtp.rset()
    assert world.queued() == 0
    assert len(world.sink.rcpts) == before
