"""The SMTP session as scripted dialogue: no socket, every line of both sides written down."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reply import Reply, Stage
from core.state import Envelope
from sender.session import Answer, Command, HangUp, Misuse, Opened, SmtpSession, StartTls, Tls, Write
from sender.session_table import AWAITING, MAYBE_TAKEN, REPLIES, TABLE, WHERE, Input, State
from sender.wire import BrokenReply, ReplyReader, crlf, dot_stuffed, is_path, parse_capabilities

MAIL = Envelope(mail_from="t@rp.example.com", rcpt_to="ann@example.net", content=b"Subject: x\r\n\r\nhello\r\n")


class Dialogue:
    """`says` is the host, `hears` what the host hears; what else came out is in `outcome`."""

    def __init__(self, tls: Tls = Tls.OPPORTUNISTIC) -> None:
        self.session = SmtpSession("mx.example.com", tls)
        self.outcome: list[Command] = []
        self._heard = b""

    def note(self, commands: list[Command]) -> Dialogue:
        for command in commands:
            if isinstance(command, Write):
                self._heard += b"".join(command.chunks)
                if command.content:
                    self.note(self.session.flushed())
            else:
                self.outcome.append(command)
        return self

    def says(self, text: str) -> Dialogue:
        return self.note(self.session.receive(text.encode().replace(b"\n", b"\r\n")))

    def hears(self, text: str) -> Dialogue:
        assert self._heard.decode() == text.replace("\n", "\r\n")
        self._heard = b""
        return self

    def sends(self, envelope: Envelope = MAIL) -> Dialogue:
        self.outcome.clear()
        return self.note(self.session.send(envelope))

    @property
    def answer(self) -> Reply:
        answers = [c.reply for c in self.outcome if isinstance(c, Answer)]
        assert len(answers) == 1
        return answers[0]


def opened(*capabilities: str, tls: Tls = Tls.OPPORTUNISTIC) -> Dialogue:
    talk = Dialogue(tls).says("220 mx ready\n").hears("EHLO mx.example.com\n")
    lines = ["mx at your service", *capabilities]
    talk.says("".join(f"250{' ' if i == len(lines) - 1 else '-'}{line}\n" for i, line in enumerate(lines)))
    assert talk.outcome == [Opened()]
    return talk


def test_a_message_in_lockstep() -> None:
    talk = opened("SIZE 1000").sends().hears("MAIL FROM:<t@rp.example.com> SIZE=21\n")
    talk.says("250 2.1.0 ok\n").hears("RCPT TO:<ann@example.net>\n")
    talk.says("250 ok\n").hears("DATA\n")
    talk.says("354 go\n").hears("Subject: x\n\nhello\n.\n")
    assert talk.says("250 2.0.0 queued as 7\n").answer == Reply(code=250, status="2.0.0", text="queued as 7")
    assert talk.session.state is State.READY


def test_a_message_pipelined_and_another_without_reset() -> None:
    talk = opened("PIPELINING", "8BITMIME")
    for _ in range(2):
        talk.sends().hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\n")
        talk.says("250 ok\n250 ok\n354 go\n").hears("Subject: x\n\nhello\n.\n")
        assert talk.says("250 ok\n").answer.code == 250


def test_replies_may_come_in_any_pieces() -> None:
    talk = opened("PIPELINING").sends()
    for byte in "250-a\n250 ok\n250 ok\n354 go\n250 done\n":
        talk.says(byte)
    assert talk.answer.text == "done"


@pytest.mark.parametrize(
    ("replies", "stage", "code", "heard", "state"),
    [
        ("450 later\n", Stage.MAIL, 450, "", State.READY),
        ("250 ok\n550 5.1.1 nobody\n", Stage.RCPT, 550, "RCPT TO:<ann@example.net>\nRSET\n", State.RESET),
        ("250 ok\n250 ok\n554 no\n", Stage.DATA, 554, "RCPT TO:<ann@example.net>\nDATA\nRSET\n", State.RESET),
        ("421 4.7.28 rate\n", Stage.MAIL, 421, "", State.CLOSED),
    ],
)
def test_a_refusal_in_lockstep_names_its_stage(replies: str, stage: Stage, code: int, heard: str, state: State) -> None:
    talk = opened().sends().hears("MAIL FROM:<t@rp.example.com>\n")
    for line in replies.splitlines(keepends=True):
        talk.says(line)
    talk.hears(heard)
    assert talk.session.state is state
    if state is State.RESET:
        talk.says("250 flushed\n")
    assert (talk.answer.code, talk.answer.stage) == (code, stage)


@pytest.mark.parametrize(
    ("replies", "stage", "code"),
    [
        ("550 go away\n503 mail first\n503 rcpt first\n", Stage.MAIL, 550),
        ("250 ok\n550 5.1.1 nobody\n554 no recipients\n", Stage.RCPT, 550),
        ("250 ok\n250 ok\n451 not now\n", Stage.DATA, 451),
    ],
)
def test_a_refusal_in_a_pipeline_is_the_first_one_and_the_rest_is_drained(
    replies: str, stage: Stage, code: int
) -> None:
    talk = opened("PIPELINING").sends().hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\n")
    talk.says(replies).hears("RSET\n").says("250 ok\n")
    assert (talk.answer.code, talk.answer.stage) == (code, stage)
    assert talk.session.state is State.READY


def test_a_354_after_a_refusal_gets_a_dot_and_never_the_message() -> None:
    talk = opened("PIPELINING").sends()
    talk.hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\n")
    talk.says("250 ok\n550 5.1.1 nobody\n354 go\n").hears(".\n").says("250 nothing done\n")
    assert (talk.answer.code, talk.answer.stage) == (550, Stage.RCPT)
    assert talk.session.state is State.READY


def test_a_host_that_keeps_the_refused_transaction_open_is_reset_before_the_next_message() -> None:
    # Postfix does after a refusal by smtpd_end_of_data_restrictions
    talk = opened("PIPELINING").sends().says("250 a\n250 b\n354 go\n")
    talk.hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\nSubject: x\n\nhello\n.\n")
    talk.says("550 5.7.1 no\n").hears("RSET\n").says("250 ok\n")
    assert talk.answer.code == 550
    talk.sends().hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\n")


def test_a_recipient_that_joins_somebody_elses_transaction_is_never_sent_a_dot() -> None:
    talk = opened("PIPELINING").sends()
    talk.hears("MAIL FROM:<t@rp.example.com>\nRCPT TO:<ann@example.net>\nDATA\n")
    talk.says("503 5.5.1 nested MAIL command\n250 ok\n354 go\n").hears("")
    assert talk.session.state is State.CLOSED
    assert talk.outcome[-1] == HangUp()
    assert (talk.answer.code, talk.answer.stage) == (503, Stage.MAIL)


def test_a_refusal_stands_when_the_connection_breaks_behind_it() -> None:
    talk = opened("PIPELINING").sends().says("250 ok\n550 5.1.1 nobody\n").note([])
    talk.note(talk.session.lost("reset by peer"))
    assert talk.answer.code == 550
    assert talk.session.state is State.CLOSED


@pytest.mark.parametrize("code", [250, 451, 550])
def test_the_reply_to_the_final_dot_decides(code: int) -> None:
    talk = opened("PIPELINING").sends().says("250 a\n250 b\n354 go\n").says(f"{code} this counts\n")
    if code != 250:
        assert talk.session.state is State.RESET
        talk.says("250 flushed\n")
    assert (talk.answer.code, talk.answer.stage) == (code, Stage.FINAL)
    assert talk.session.state is State.READY


def test_a_host_that_knows_no_ehlo_is_greeted_with_helo() -> None:
    talk = Dialogue().says("220 old\n").hears("EHLO mx.example.com\n")
    talk.says("500 what?\n").hears("HELO mx.example.com\n").says("250 hello\n")
    assert talk.outcome == [Opened()]
    talk.sends().hears("MAIL FROM:<t@rp.example.com>\n")


@pytest.mark.parametrize(
    ("dialogue", "code", "stage"),
    [
        (["554 no service\n"], 554, Stage.CONNECT), (["421 busy\n"], 421, Stage.CONNECT),
        (["220 x\n", "450 later\n"], 450, Stage.HELO), (["220 x\n", "502 ?\n", "550 no\n"], 550, Stage.HELO),
        (["HTTP/1.1 400 Bad Request\n"], 0, Stage.CONNECT), (["354 go\n"], 0, Stage.CONNECT),
    ],
)  # fmt: skip
def test_an_opening_that_fails_is_answered_and_closed(dialogue: list[str], code: int, stage: Stage) -> None:
    talk = Dialogue()
    for line in dialogue:
        talk.says(line)
    assert (talk.answer.code, talk.answer.stage) == (code, stage)
    assert talk.outcome[-1] == HangUp()


def test_starttls_then_everything_said_before_is_forgotten() -> None:
    talk = Dialogue().says("220 x\n").hears("EHLO mx.example.com\n")
    talk.says("250-x\n250-SIZE 5\n250 STARTTLS\n").hears("STARTTLS\n").says("220 go\n")
    assert talk.outcome == [StartTls()]
    talk.note(talk.session.tls_up()).hears("EHLO mx.example.com\n").says("250-x\n250 PIPELINING\n")
    assert talk.outcome[-1] == Opened()
    assert talk.session.encrypted
    assert talk.session.capabilities.keywords == {"PIPELINING": ""}


def test_plain_text_smuggled_behind_the_starttls_reply_ends_the_connection() -> None:
    talk = Dialogue().says("220 x\n").says("250-x\n250 STARTTLS\n").says("220 go\n250 injected\n")
    assert talk.answer.code == 0
    assert StartTls() not in talk.outcome


def test_a_refused_starttls_goes_on_in_plain_text_when_that_will_do() -> None:
    talk = Dialogue().says("220 x\n").says("250-x\n250 STARTTLS\n").says("454 no certificate\n")
    assert talk.outcome == [Opened()]


@pytest.mark.parametrize(
    "dialogue",
    [["250 x\n"], ["502 no EHLO\n"], ["250-x\n250 STARTTLS\n", "454 no certificate\n"]],
)
def test_where_tls_is_required_plain_text_is_refused_for_now(dialogue: list[str]) -> None:
    talk = Dialogue(Tls.REQUIRED).says("220 x\n")
    for line in dialogue:
        talk.says(line)
    assert (talk.answer.code, talk.answer.stage, talk.answer.is_transient) == (451, Stage.STARTTLS, True)
    assert talk.session.state is State.CLOSED


def test_tls_off_never_asks() -> None:
    Dialogue(Tls.OFF).says("220 x\n").hears("EHLO mx.example.com\n").says("250-x\n250 STARTTLS\n").hears("")


# --- what a host can take ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("envelope", "capabilities", "code", "status"),
    [
        (Envelope(mail_from="a@b.c", rcpt_to="d@e.f", content=b"x" * 99), ["SIZE 100"], 552, "5.3.4"),
        (Envelope(mail_from="a@b.c", rcpt_to="d@e.f", content=b"x", smtputf8=True), [], 550, "5.6.9"),
        (Envelope(mail_from="a@b.c", rcpt_to="дима@e.f", content=b"x"), ["8BITMIME"], 550, "5.6.7"),
        (Envelope(mail_from="a@b.c", rcpt_to="d@e.f>\r\nRCPT TO:<x@y.z", content=b"x"), [], 553, "5.1.3"),
        (Envelope(mail_from="a b@b.c", rcpt_to="d@e.f", content=b"x"), [], 553, "5.1.7"),
    ],
)
def test_what_a_host_cannot_take_is_refused_before_a_byte_is_sent(
    envelope: Envelope, capabilities: list[str], code: int, status: str
) -> None:
    talk = opened(*capabilities).sends(envelope).hears("")
    assert (talk.answer.code, talk.answer.status, talk.answer.is_permanent) == (code, status, True)
    talk.sends().hears("MAIL FROM:<t@rp.example.com>" + (" SIZE=21\n" if "SIZE 100" in capabilities else "\n"))


def test_parameters_of_mail_follow_the_message_and_the_host() -> None:
    utf8 = Envelope(mail_from="", rcpt_to="дима@e.f", content="Тема".encode())
    opened("8BITMIME", "SMTPUTF8", "SIZE").sends(utf8).hears("MAIL FROM:<> SIZE=10 BODY=8BITMIME SMTPUTF8\n")
    opened("8BITMIME").sends().hears("MAIL FROM:<t@rp.example.com>\n")


@pytest.mark.parametrize(("size", "limit"), [("SIZE 0", 0), ("SIZE", 0), ("SIZE x", 0), ("SIZE " + "9" * 30, 0)])
def test_a_size_that_limits_nothing(size: str, limit: int) -> None:
    assert parse_capabilities(["250-x", f"250 {size}"]).size_limit == limit


def test_capabilities_are_bounded() -> None:
    assert len(parse_capabilities([f"250-X{n}" for n in range(1000)]).keywords) == 64


# --- trouble -------------------------------------------------------------------------------------
def test_lost_after_the_final_dot_is_told_apart_from_lost_before_it() -> None:
    talk = opened("PIPELINING").sends().says("250 a\n250 b\n354 go\n")
    talk.note(talk.session.lost("reset"))
    assert (talk.answer.code, talk.answer.stage) == (0, Stage.FINAL)
    assert MAYBE_TAKEN in talk.answer.text

    session = opened("PIPELINING").sends().session
    (write,) = session.receive(b"250 a\r\n250 b\r\n354 go\r\n")
    assert isinstance(write, Write)
    (answer, _) = session.lost("reset")  # while the content was still in our hands
    assert isinstance(answer, Answer)
    assert (answer.reply.stage, MAYBE_TAKEN in answer.reply.text) == (Stage.DATA, False)


def test_an_unasked_reply_between_messages_closes_without_an_answer() -> None:
    talk = opened()
    talk.outcome.clear()
    assert talk.says("421 idle too long\n").outcome == [HangUp()]


def test_a_2xx_to_data_is_never_taken_for_a_delivery() -> None:
    talk = opened().sends().says("250 a\n").says("250 b\n").says("250 c\n")
    assert (talk.answer.code, talk.answer.stage) == (0, Stage.DATA)


def test_quit() -> None:
    talk = opened()
    talk.note(talk.session.quit()).hears("QUIT\n").says("221 bye\n")
    assert talk.outcome == [Opened(), HangUp()]


# --- the table -----------------------------------------------------------------------------------
def test_the_table_over_the_product_of_states_and_inputs() -> None:
    wishes = {  # the only states in which each of these makes sense
        Input.SECURE: {State.EHLO}, Input.INSECURE: {State.EHLO, State.STARTTLS}, Input.DECLINED: {State.STARTTLS},
        Input.TLS_UP: {State.HANDSHAKE}, Input.SEND: {State.READY}, Input.PIPE: {State.READY},
        Input.FLUSHED: {State.CONTENT}, Input.QUIT: {State.READY, State.CLOSED}, Input.LOGIN: {State.EHLO},
        Input.NO_LOGIN: {State.EHLO, State.HELO, State.STARTTLS},
    }  # fmt: skip
    for state, given_input in itertools.product(State, Input):
        if given_input in REPLIES:
            foreseen = state in AWAITING or given_input is Input.LOST
        else:
            foreseen = state in wishes[given_input]
        assert ((state, given_input) in TABLE) == foreseen, (state, given_input)
    assert all(TABLE[state, Input.LOST] is State.CLOSED for state in State)
    assert all(TABLE[state, Input.BROKEN] is State.CLOSED for state in AWAITING)
    assert set(WHERE) == set(State)
    reached = {State.GREETING, *TABLE.values()}
    assert reached == set(State)


def test_a_pair_without_a_row_names_both() -> None:
    with pytest.raises(Misuse, match="FLUSHED in state GREETING"):
        SmtpSession("x", Tls.OFF).flushed()
    with pytest.raises(Misuse, match="state greeting"):
        SmtpSession("x", Tls.OFF).send(MAIL)


REPLY_LINES = st.sampled_from(
    ["220 x", "250 ok", "250-a\r\n250-PIPELINING\r\n250 STARTTLS", "354 go", "421 bye", "450 l", "550 n", "600 ?", "hm"]
)


@given(st.lists(REPLY_LINES, max_size=12), st.sampled_from(Tls))
def test_whatever_the_host_says_each_transaction_has_one_answer(lines: list[str], tls: Tls) -> None:
    talk = Dialogue(tls)
    for line in lines:
        if talk.session.state is State.CLOSED:
            break
        talk.says(line + "\n")
        if talk.session.state is State.HANDSHAKE:
            talk.note(talk.session.tls_up())
        if talk.session.state is State.READY:
            talk.sends()
    talk.note(talk.session.lost("end"))
    answer = talk.answer
    assert answer.stage is Stage.FINAL or not answer.is_success


# --- bytes ---------------------------------------------------------------------------------------
@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"\r", b"\n", b".", b"a"]), max_size=30).map(b"".join))
def test_content_on_the_wire_has_crlf_only_and_no_bare_dot(content: bytes) -> None:
    wire = dot_stuffed(crlf(content))
    assert wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n")
    assert wire == b"" or wire.endswith(b"\r\n")
    assert not wire.startswith(b".\r\n")
    assert b"\r\n.\r\n" not in wire
    undone = b"".join(line[1:] if line.startswith(b".") else line for line in wire.splitlines(keepends=True))
    assert undone == crlf(content)


def test_clean_content_is_not_copied() -> None:
    content = b"a\r\n" * 1000
    assert dot_stuffed(crlf(content)) is content


@pytest.mark.parametrize(
    "data", [b"a" * 5000, b"250-x\r\n" * 200, b"250-" + b"x" * 4000 + b"\r\n" + b"250-" * 1, b"99 x\r\n", b"250:x\r\n"]
)
def test_a_reply_beyond_the_bounds_is_broken(data: bytes) -> None:
    reader = ReplyReader()
    with pytest.raises(BrokenReply):  # noqa: PT012
        for _ in range(40):
            reader.feed(data)
            while reader.next() is not None:
                pass


def test_a_reply_with_two_codes_decides_nothing() -> None:
    reader = ReplyReader()
    reader.feed(b"250-ok\r\n550 no\r\n")
    with pytest.raises(BrokenReply, match="two codes"):
        reader.next()


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("a@b.c", True), ('"a b>"@b.c', True), ("a+b=c@[192.0.2.1]", True), ("дима@пример.рф", True), ("", False),
        ("a@b@c", False), ('"a"x@b.c', False), ("a@b.c\n", False), ("a>@b.c", False), ('"a\r\n"@b.c', False),
    ],
)  # fmt: skip
def test_what_may_stand_between_angle_brackets(address: str, good: bool) -> None:
    assert is_path(address) is good
