"""Logging in at a relay (RFC 4954), as scripted dialogue: when the password is said, and when never."""

from __future__ import annotations

import base64

import pytest

from core.reply import Stage
from sender.login import Login, Mechanism, choose
from sender.session import HangUp, Opened, SmtpSession, StartTls, Tls
from sender.session_table import State
from tests.unit.sender.test_session import Dialogue

US = Login(user="app", password="geheim ü")
PLAIN = base64.b64encode("\0app\0geheim ü".encode()).decode()
LINES = [base64.b64encode(text.encode()).decode() for text in ("app", "geheim ü")]


def dialogue(login: Login = US, tls: Tls = Tls.REQUIRED, *, encrypted: bool = True) -> Dialogue:
    talk = Dialogue()
    talk.session = SmtpSession("mx.example.com", tls, login, encrypted=encrypted)
    return talk.says("220 relay\n").hears("EHLO mx.example.com\n")


def test_plain_in_one_step() -> None:
    talk = dialogue().says("250-relay\n250 AUTH LOGIN PLAIN\n").hears(f"AUTH PLAIN {PLAIN}\n")
    assert talk.says("235 2.7.0 welcome\n").outcome == [Opened()]
    talk.sends().hears("MAIL FROM:<t@rp.example.com>\n")


def test_login_in_three_steps() -> None:
    talk = dialogue().says("250-relay\n250 AUTH LOGIN XOAUTH2\n").hears("AUTH LOGIN\n")
    talk.says("334 VXNlcm5hbWU6\n").hears(LINES[0] + "\n")
    talk.says("334 UGFzc3dvcmQ6\n").hears(LINES[1] + "\n")
    assert talk.says("235 ok\n").outcome == [Opened()]


def test_the_password_waits_for_starttls_and_for_what_is_offered_under_it() -> None:
    talk = dialogue(encrypted=False).says("250-relay\n250-AUTH PLAIN\n250 STARTTLS\n").hears("STARTTLS\n")
    assert talk.says("220 go\n").outcome == [StartTls()]
    talk.outcome.clear()
    talk.note(talk.session.tls_up()).hears("EHLO mx.example.com\n")
    talk.says("250-relay\n250 AUTH PLAIN\n").hears(f"AUTH PLAIN {PLAIN}\n")


@pytest.mark.parametrize("tls", [Tls.OFF, Tls.OPPORTUNISTIC])
@pytest.mark.parametrize(
    "answers",
    ["250-relay\n250 AUTH PLAIN\n", "250-relay\n250-STARTTLS\n250 AUTH PLAIN\n"],
)
def test_no_password_in_plain_text(tls: Tls, answers: str) -> None:
    talk = dialogue(tls=tls, encrypted=False).says(answers)
    if talk.session.state is State.STARTTLS:
        talk.says("454 4.7.0 not now\n").hears("STARTTLS\n")
    talk.hears("")
    assert (talk.answer.code, talk.answer.stage.value in ("helo", "starttls")) == (451, True)
    assert talk.outcome[-1] == HangUp()


def test_on_loopback_plain_text_may_be_allowed() -> None:
    allowed = Login(user="app", password="geheim ü", in_clear=True)
    dialogue(allowed, Tls.OFF, encrypted=False).says("250-relay\n250 AUTH PLAIN\n").hears(f"AUTH PLAIN {PLAIN}\n")


@pytest.mark.parametrize("answers", ["250 relay\n", "250-relay\n250 AUTH SCRAM-SHA-256\n", "502 what?\n"])
def test_without_a_way_to_log_in_nothing_is_sent(answers: str) -> None:
    talk = dialogue(tls=Tls.OFF).says(answers)
    if talk.session.state is State.HELO:
        talk.hears("HELO mx.example.com\n").says("250 relay\n")
    assert (talk.answer.code, talk.answer.stage) == (451, Stage.HELO)


@pytest.mark.parametrize("said", ["535 5.7.8 no\n", "454 4.7.0 later\n", "421 bye\n", "334 \n", "noise\n"])
def test_a_refused_login_ends_the_opening(said: str) -> None:
    talk = dialogue().says("250-relay\n250 AUTH PLAIN\n").says(said)
    assert talk.answer.code in (535, 454, 421, 0)
    assert talk.answer.stage is Stage.HELO
    assert talk.session.state is State.CLOSED


def test_the_choice_and_the_secret() -> None:
    assert choose("LOGIN PLAIN") is Mechanism.PLAIN
    assert choose("login") is Mechanism.LOGIN
    assert choose("CRAM-MD5") is None
    assert "geheim" not in repr(US)
