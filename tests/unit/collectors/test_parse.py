"""One reader for whatever comes back: bounded, total, and the same from the command line."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mime import MAX_BYTES, MAX_PARTS, read_mail
from collectors.parse import Kind, parse_mail
from core.tokens import Purpose, TokenSigner, new_message_id
from service.commands_parse import classify_line, run_classify, run_parse
from tests.unit.collectors.return_world import arf, dsn, plain

SAMPLES = Path(__file__).resolve().parents[2] / "corpus" / "bounces"
HEAD = b"From: MAILER-DAEMON@mx.shop.example\nSubject: Undelivered Mail Returned to Sender\n"
REPORT = (
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
    b"--b\nContent-Type: message/delivery-status\n\n"
)
MIXED = b'Content-Type: multipart/mixed; boundary="b"\n\n'
MEMORY = 64_000_000


def _recipients(count: int) -> bytes:
    row = b"Final-Recipient: rfc822; u%d@shop.example\nAction: failed\nStatus: 5.1.1\n\n"
    return HEAD + REPORT + b"".join(row % number for number in range(count))


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", Kind.REFUSED, "empty"),
        (b"\n" * 10_000_000, Kind.REFUSED, "empty"),
        (b"\0" * 10_000_000, Kind.REFUSED, "empty"),
        (HEAD + b"\n" + b"\n" * 10_000_000, Kind.NOT_RECOGNISED, ""),
        (b"x" * (MAX_BYTES + 1), Kind.REFUSED, "too_large"),
        (b"a" * 131_072, Kind.REFUSED, "no_header"),
        (b"Subject: " + b"a" * 131_072 + b"\n\nx", Kind.REFUSED, "header_too_large"),
        (HEAD + b"\n" + b"a" * 131_072, Kind.NOT_RECOGNISED, ""),
        (HEAD + b"\n" + b"ann@shop.example " * 8_000, Kind.BOUNCE, ""),
        (_recipients(1_500), Kind.BOUNCE, ""),
        (_recipients(5_000), Kind.REFUSED, "too_many_recipients"),
        (MIXED + b"--b\n\nx\n" * (MAX_PARTS + 1), Kind.REFUSED, "too_many_parts"),
        (MIXED + (b"--b\n" + MIXED) * 50, Kind.NOT_RECOGNISED, ""),
        (b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (i, i) for i in range(500)),
         Kind.REFUSED, "too_deep"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)  # fmt: skip
def test_hostile_mail_is_bounded_and_refused_by_name(content: bytes, kind: Kind, reason: str) -> None:
    parse_mail(HEAD)  # what is built once does not count
    tracemalloc.start()
    try:
        mail = parse_mail(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert mail.kind is kind
    assert mail.reason.startswith(reason) if reason else mail.kind is not Kind.REFUSED
    assert peak < MEMORY


_FRAGMENTS = st.sampled_from(
    ["--b\n", "\n", "\r", ">", "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: message/rfc822\n",
     "Content-Type: message/delivery-status\n", "Final-Recipient: rfc822;", "ann@shop.example", "Action: failed\n",
     "Status: 5.1.1\n", "Diagnostic-Code: smtp; 550 ", "user unknown", "=?utf-8?q?=", "Received: x\n ", "\x1b$B%",
     "<", "(",
     "Content-Transfer-Encoding: base64\n", "=\n", "Feedback-Type: abuse\n", "was not delivered to:\n", "<style>", "é",
     "{\"notificationType\":", "Hi. This is the qmail-send program\n", "Content-Type: text/html; charset=utf-7\n"]
)  # fmt: skip


@given(st.lists(_FRAGMENTS, max_size=60), st.binary(max_size=60))
def test_no_mail_raises(pieces: list[str], noise: bytes) -> None:
    content = HEAD + "".join(pieces).encode() + noise
    for form in (content, content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r"), noise + content):
        told = parse_mail(form).to_json("x")
        assert json.dumps(told)
        assert told["kind"] in set(Kind)


def test_tokens_are_found_wherever_the_original_shows_them() -> None:
    signer = TokenSigner({"a": b"0123456789abcdef"})
    token = signer.sign(Purpose.MESSAGE_ID, new_message_id(1_800_000_000.0), 1_800_000_000.0)
    envelope = dsn().replace(b"Reporting-MTA:", f"Original-Envelope-Id: {token.upper()}\nReporting-MTA:".encode())
    mails = [dsn(original=token), arf(token=token), envelope, plain("x", f"see https://news.example/u/{token}/x")]
    for mail in mails:
        assert parse_mail(mail).original.tokens == (token,)
    assert parse_mail(dsn(original="x" * 42)).original.tokens == ()
    assert parse_mail(dsn(original=token)).original.message_id == f"{token}@news.example"


def test_damaged_encodings_give_the_text_that_can_be_had() -> None:
    texts = [
        (b"Content-Transfer-Encoding: base64\n\nVXNlciB1bmtub3du!!!", "User unknown"),
        (b"Content-Transfer-Encoding: quoted-printable\n\nUser=20unkn=\nown=ZZ", "User unknown"),
        (b"Content-Type: text/plain; charset=no-such\n\n\xd0\xb4\xd0\xb0", "да"),
        (b"Content-Type: text/plain; charset=unicode_escape\n\n\\u0041\xff", "\\u0041ÿ"),
        (b"Content-Type: text/plain; charset=koi8-r\n\n\xc4\xc1", "да"),
        (b"Content-Type: text/html\n\n<style>x</style><p>User<br>unknown &lt;a@b.example&gt;", "unknown <a@b.example>"),
    ]
    for content, expected in texts:
        assert expected in read_mail(b"Subject: x\n" + content).text()


def test_parse_prints_one_object_a_line_for_files_folders_mboxes_and_maildirs(tmp_path: Path) -> None:
    maildir = tmp_path / "Maildir"
    for folder in ("cur", "new", "tmp"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "cur" / "1:2,S").write_bytes(dsn())
    (maildir / "new" / "2").write_bytes(arf())
    separator = b"From MAILER-DAEMON Mon Nov  2 10:00:00 2026\n"
    box = tmp_path / "box"
    box.write_bytes(
        separator + dsn("a@shop.example") + b"\n" + separator + dsn("b@shop.example") + b"\nFrom here on, text\n"
    )
    single = tmp_path / "one.eml"
    single.write_bytes(plain("unsubscribe"))
    out = io.StringIO()
    assert run_parse([str(single), str(box), str(maildir)], out) == 0
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["kind"] for row in told] == ["unsubscribe", "bounce", "bounce", "bounce", "complaint"]
    assert [row["recipients"][0]["address"] for row in told[1:3]] == ["a@shop.example", "b@shop.example"]
    assert set(told[1]) == {"file", "kind", "recipients", "feedback_type", "original"}
    assert set(told[1]["recipients"][0]) == {
        "address", "action", "status", "reply_code", "class", "group", "suppress", "diagnostic"
    }  # fmt: skip
    assert run_parse([str(tmp_path / "missing")], out) == 2


def test_classify_reads_text_and_json(tmp_path: Path) -> None:
    lines = tmp_path / "replies"
    lines.write_text('550 5.1.1 User unknown\n\n{"reply": "421 4.7.28 x", "provider": "gmail", "stage": "data"}\n')
    out = io.StringIO()
    assert run_classify([str(lines)], out) == 0
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert told[0] == {
        "reply": "550 5.1.1 User unknown", "class": "unknown_user", "group": "recipient", "action": "suppress",
        "suppress": True,
    }  # fmt: skip
    assert (told[1]["class"], told[1]["action"]) == ("rate_limited", "slow_lane")
    assert classify_line("connection lost")["suppress"] is False


def test_a_line_that_is_no_reply_is_named_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "replies"
    lines.write_text('{"reply": "550 x", "stage": "nonsense"}\n550 5.1.1 User unknown\n{"text": 1}\n')
    out = io.StringIO()
    assert run_classify([str(lines)], out) == 2
    assert [json.loads(line)["class"] for line in out.getvalue().splitlines()] == ["unknown_user"]
    told = capsys.readouterr().err
    assert f"{lines}, line 1: " in told
    assert f"{lines}, line 3: " in told


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*-arf-*.eml")), ids=lambda path: path.stem)
def test_reports_tell_reporter_type_and_whether_the_recipient_was_withheld(path: Path) -> None:
    mail = parse_mail(path.read_bytes())
    assert mail.complaint is not None
    assert mail.complaint.user_agent == "Loop/1.0"
    assert mail.complaint.version == "1"
    assert mail.complaint.redacted == ("redacted" in path.stem)
    assert mail.complaint.reporter.endswith("@mail.example")
