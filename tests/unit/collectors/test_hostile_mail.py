"""Mail from people who mean us no good: forged by the thousand, or broken in every way that bytes can be.

With CI set, hypothesis looks at many more examples (tests/conftest.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.forged_reports import run
from collectors.parse import Kind, ParsedMail, parse_mail

SAMPLES = [file.read_bytes() for file in sorted((Path(__file__).parents[2] / "corpus/bounces").glob("*.eml"))]
NASTY = [
    b"\r", b"\n", b"\r\n", b"\0", b"--", b"=?utf-8?b?", b"?=", b"=", b"Content-Type: multipart/mixed; boundary=\n\n",
    b"Content-Transfer-Encoding: base64\n", b"Content-Type: message/rfc822\n\n", b"charset=\"utf-7\"", b"\xff\xfe",
    b"<" * 50, b"@" * 50, b"Final-Recipient: rfc822; a@b.example\n", b";" * 200, b"(" * 200, b'"', b"\x1b$B",
]  # fmt: skip

mutations = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.integers(0, 400)),
        st.tuples(st.just("double"), st.floats(0, 1), st.integers(0, 400)),
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.sampled_from(NASTY)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.binary(max_size=40)),
        st.tuples(st.just("lines"), st.floats(0, 1), st.sampled_from([b"\r", b"\r\n", b"\n\n", b"\r\r\n", b" \n"])),
    ),
    min_size=1,
    max_size=12,
)


def mutate(content: bytes, steps: list[tuple[str, float, object]]) -> bytes:
    """The mail after these accidents."""
    for step, where, what in steps:
        at = int(where * len(content))
        match step, what:
            case "cut", int(n):
                content = content[:at] + content[at + n :]
            case "double", int(n):
                content = content[: at + n] + content[at:]
            case "flip", int(n):
                content = content[:at] + bytes([n]) + content[at + 1 :]
            case "insert", bytes(text):
                content = content[:at] + text + content[at:]
            case "lines", bytes(end):
                content = content.replace(b"\n", end)
        content = content[:200_000]
    return content


@given(st.sampled_from(SAMPLES), mutations)
def test_a_broken_mail_is_always_an_answer(sample: bytes, steps: list[tuple[str, float, object]]) -> None:
    mail = parse_mail(mutate(sample, steps))
    assert isinstance(mail, ParsedMail)
    assert (mail.kind is Kind.REFUSED) <= bool(mail.reason)
    assert len(mail.recipients) <= 2000
    assert all(len(recipient.reply.text) <= 1000 for recipient in mail.recipients)
    mail.to_json("x")


REPEATED = b'Content-Type: multipart/mixed; boundary="b"\n\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n" * 100_000, "empty"),
        (b"no field here", "no_header"),
        (b"Subject: x\n\n" + b"x" * 30_000_001, "too_large"),
        (b"X: y\n" * 30_000 + b"\nx", "header_too_large"),
        (b"X: y\n" + b" folded\n" * 30_000 + b"\nx", "header_too_large"),
        (REPEATED + b"--b\n" * 300, "too_many_parts"),
        (REPEATED + (b"--b\n" + REPEATED) * 300, "too_many_parts"),
        (b"".join(REPEATED.replace(b'"b"', b'"b%d"' % n) + b"--b%d\n" % n for n in range(12)), "too_deep"),
        (
            b"X-Failed-Recipients: u@shop.example\n\nHi. This is the qmail-send program.\n\n"
            + b"".join(b"<u%d@shop.example>:\n550 user unknown\n\n" % n for n in range(2_001)),
            "too_many_recipients",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_a_bound_is_refused_by_its_name(content: bytes, reason: str) -> None:
    mail = parse_mail(content)
    assert (mail.kind, mail.reason.partition(":")[0]) == (Kind.REFUSED, reason)


@pytest.mark.parametrize(
    "subject",
    ["=?utf-8?b?Q?=", "=?utf-8?b?====?= x", "=?x?q?=ZZ?=", "=?utf-8?b?QQ==?=" * 900, "=?iso-2022-jp?b?GyRC?="],
)
def test_a_subject_that_cannot_be_decoded_stands_as_it_is(subject: str) -> None:
    assert parse_mail(f"From: a@b.example\nSubject: {subject}\n\nx".encode()).kind is Kind.NOT_RECOGNISED


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_answer(content: bytes) -> None:
    assert isinstance(parse_mail(content), ParsedMail)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_form_is_understood_with_any_line_ends(end: bytes) -> None:
    for sample in SAMPLES:
        plain = sample.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        want, got = parse_mail(plain), parse_mail(plain.replace(b"\n", end))
        assert (got.kind, [r.diagnosis for r in got.recipients]) == (want.kind, [r.diagnosis for r in want.recipients])


async def test_thousands_of_forged_reports_suppress_nobody_and_are_all_kept(tmp_path: Path) -> None:
    found = await run(3000, 120.0, f"sqlite:///{tmp_path}/forged.db")
    assert found["reports"] == 3000
    assert (found["suppressed"], found["believed"]) == (0, 0)
    assert found["refused at RCPT"] + found["kept as unverified"] == 3000
