"""Signatures that an independent verifier (dkimpy) accepts, and canonical forms that agree with its own."""

from __future__ import annotations

import re
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from dkim.canonicalization import Relaxed
from hypothesis import example, given
from hypothesis import strategies as st

from config.model import DkimKey, SendingDomain
from core.errors import InvalidInput
from sender.dkim import Algorithm, DkimSigner, new_key, public_record
from sender.dkim_canon import relaxed_body, relaxed_fields, split_message
from sender.wire import crlf

NOW = 1_790_000_000.0
HEAD = b"From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\n"
RSA, ED = new_key("rsa-sha256"), new_key("ed25519-sha256")
ZONE = {b"r1._domainkey.example.com.": RSA[1].encode(), b"e1._domainkey.example.com.": ED[1].encode()}


def _dns(name: bytes, timeout: int = 5) -> bytes:
    return ZONE[name]


def _domain(folder: Path, *keys: tuple[str, Algorithm, bytes]) -> SendingDomain:
    rows = []
    for selector, algorithm, pem in keys:
        file = folder / f"{selector}.pem"
        file.write_bytes(pem)
        rows.append(DkimKey.model_validate({"selector": selector, "algorithm": algorithm, "key_file": file}))
    return SendingDomain(name="example.com", return_path="rp.example.com", dkim=rows)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> DkimSigner:
    folder = tmp_path_factory.mktemp("keys")
    return DkimSigner([_domain(folder, ("r1", "rsa-sha256", RSA[0]), ("e1", "ed25519-sha256", ED[0]))])


def _verified(message: bytes) -> list[bool]:
    """The verdict on each signature of the message."""
    verifier = dkim.DKIM(message)
    return [_verdict(verifier, index) for index in range(message.count(b"DKIM-Signature: v=1;"))]


def _verdict(verifier: dkim.DKIM, index: int) -> bool:
    try:
        return bool(verifier.verify(idx=index, dnsfunc=_dns))
    except dkim.ValidationError:  # its word for a body that was changed
        return False


def test_both_signatures_of_a_message_verify(signer: DkimSigner) -> None:
    message = HEAD + b"\r\nHello\r\n"
    signed = signer.sign(message, "example.com", NOW)
    assert signed.endswith(message)
    assert _verified(signed) == [True, True]
    assert [m.decode() for m in re.findall(rb" s=(\w+); t=(\d+);", signed)[0]] == ["r1", "1790000000"]
    assert max(map(len, signed.split(b"\r\n"))) <= 78


WORD = st.binary(max_size=30).map(lambda b: b.translate(None, b"\r\n\x0b\x0c\x00\x1c\x1d\x1e\x1f\x85"))
SPACE = st.text(" \t", max_size=3).map(str.encode)
FOLD = st.sampled_from([b"\r\n ", b"\r\n\t", b"\r\n  \t", b" \r\n "])
VALUE = st.lists(st.tuples(SPACE, WORD, st.one_of(SPACE, FOLD), WORD), max_size=4).map(
    lambda parts: b"".join(map(b"".join, parts)) + b"."
)
NAME = st.sampled_from(
    [b"From", b"SUBJECT", b"subject", b"To", b"Cc", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Feedback-ID",
     b"X-Penstock-Token", b"Message-ID", b"Received", b"Content-Type", b"X-Other", b"Reply-To"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(NAME, VALUE).map(lambda f: f[0] + b":" + f[1] + b"\r\n"), max_size=12)
LINES = st.lists(
    st.sampled_from([b"", b" ", b"\t ", b"a", b" b\t\tc ", b".", b"..", "Привет".encode(), b"\xff\xfe", b"=20"]) | WORD,
    max_size=12,
)
BODY = st.tuples(LINES, st.sampled_from([b"", b"\r\n", b"\r\n\r\n\r\n", b" \r\n \r\n", b" "])).map(
    lambda b: b"\r\n".join(b[0]) + b[1]
)


@given(fields=FIELDS, body=BODY)
@example(fields=[], body=b"")
@example(fields=[], body=b"\r\n\r\n\r\n")
@example(fields=[], body=b"no line end ")
@example(fields=[b"Subject: one\r\n", b"Subject: two\r\n"], body=b"8-bit \xe4\r\n")
def test_every_shape_of_message_verifies(signer: DkimSigner, fields: list[bytes], body: bytes) -> None:
    signed = signer.sign(HEAD + b"".join(fields) + b"\r\n" + body, "example.com", NOW)
    assert _verified(signed) == [True, True]


@given(body=BODY)
def test_the_body_form_agrees_with_the_reference(body: bytes) -> None:
    assert relaxed_body(crlf(body)) == Relaxed.canonicalize_body(crlf(body))


@given(value=VALUE)
def test_the_header_form_agrees_with_the_reference(value: bytes) -> None:
    ((_, expected),) = Relaxed.canonicalize_headers([(b"x", value)])
    ((_, ours),) = relaxed_fields(b"X:" + value)
    assert ours + b"\r\n" == expected


@given(fields=FIELDS, body=BODY)
def test_the_split_of_a_message_agrees_with_the_reference(fields: list[bytes], body: bytes) -> None:
    message = HEAD + b"".join(fields) + b"\r\n" + body
    head, found_body = split_message(message)
    expected, expected_body = dkim.rfc822_parse(message)
    assert found_body == expected_body
    relaxed = [(name.lower().rstrip(), value) for name, value in Relaxed.canonicalize_headers(expected)]
    assert [(name, value + b"\r\n") for name, value in relaxed_fields(head)] == relaxed


def test_a_name_with_space_before_its_colon_is_the_same_field() -> None:
    assert relaxed_fields(b"Subject : x\r\nTo\t:y") == [(b"subject", b"x"), (b"to", b"y")]


def test_white_space_is_space_and_tab_only() -> None:
    # RFC 6376 section 2.8; bytes.split() would swallow these two and break the signature at every other verifier
    assert relaxed_fields(b"X: a\x0b \x0cb\x0c") == [(b"x", b"a\x0b \x0cb\x0c")]
    assert relaxed_body(b"a\x0b\r\n") == b"a\x0b\r\n"


def test_a_run_of_a_megabyte_of_spaces_is_no_trap() -> None:
    assert relaxed_body(b"a" + b" \t" * 500_000 + b"b" + b"\r\n" * 500_000) == b"a b\r\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.replace(b"Hello", b"Hullo", 1),
        lambda m: m + b"more\r\n",
        lambda m: b"From: eve@example.org\r\n" + m,
        lambda m: m.replace(b"\r\n\r\n", b"\r\nReply-To: eve@example.org\r\n\r\n", 1),
        lambda m: m.replace(b"\r\n\r\n", b"\r\nList-Unsubscribe: <https://evil.test>\r\n\r\n", 1),
        lambda m: m.replace(b"List-Unsubscribe-Post: List", b"List-Unsubscribe-Post: Fist", 1),
        lambda m: m.replace(b"X-Penstock-Token: t", b"X-Penstock-Token: u", 1),
        lambda m: m.replace(b"Feedback-ID: f", b"Feedback-ID: g", 1),
        lambda m: m.replace(b"Message-ID: <i", b"Message-ID: <j", 1),
        lambda m: m.replace(b"text/plain", b"text/html", 1),
    ],
)  # fmt: skip
def test_a_changed_or_added_field_breaks_the_signatures(signer: DkimSigner, change: object) -> None:
    message = (
        HEAD + b"Message-ID: <i@example.com>\r\nContent-Type: text/plain\r\nList-Unsubscribe: <https://u.test>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: f\r\nX-Penstock-Token: t\r\n\r\nHi\r\n"
    )
    signed = signer.sign(message, "example.com", NOW)
    assert _verified(signed) == [True, True]
    assert callable(change)
    changed = change(signed)
    assert changed != signed
    assert _verified(changed) == [False, False]


def test_line_ends_are_mended_before_signing(signer: DkimSigner) -> None:
    signed = signer.sign(b"From: a@example.com\nSubject: x\ry: z\n\nbody", "example.com", NOW)
    assert signed.endswith(b"From: a@example.com\r\nSubject: x y: z\r\n\r\nbody\r\n")
    assert _verified(signed) == [True, True]


def test_a_shared_body_and_many_bodies_have_their_own_hashes(signer: DkimSigner) -> None:
    bodies = [b"shared\r\n", *(b"%d\r\n" % n for n in range(100)), b"shared\r\n", b"x" * 300_000 + b"\r\n"]
    hashes = [
        re.findall(rb" bh=([^;]+);", signer.sign(HEAD + b"\r\n" + body, "example.com", NOW))[0] for body in bodies
    ]
    assert hashes[0] == hashes[101]
    assert len(set(hashes)) == 102


def test_a_domain_without_keys_is_not_signed_and_one_that_is_not_ours_is_refused() -> None:
    signer = DkimSigner([SendingDomain(name="Plain.Example", return_path="rp.plain.example")])
    assert signer.sign(b"From: a@b\r\n\r\nx", "plain.example", NOW) == b"From: a@b\r\n\r\nx\r\n"
    with pytest.raises(InvalidInput, match=r"other\.example"):
        signer.sign(b"", "other.example", NOW)


# --- keys ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
def test_a_new_key_comes_with_its_record(algorithm: Algorithm) -> None:
    pem, record = new_key(algorithm)
    assert record == public_record(pem)
    assert record.startswith(f"v=DKIM1; k={algorithm.split('-')[0]}; p=")


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


def test_a_pkcs1_key_is_read_as_well(tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(RSA[0], password=None)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert b"BEGIN RSA" in pem
    signed = DkimSigner([_domain(tmp_path, ("r1", "rsa-sha256", pem))]).sign(HEAD + b"\r\nx", "example.com", NOW)
    assert _verified(signed) == [True]


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (b"", "no private key in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "no private key in PEM form"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519"),
        (_pem(rsa.generate_private_key(65537, 1024), b"secret"), "locked with a password"),
        (ED[0], "does not hold a key for rsa-sha256"),
    ],
)
def test_a_bad_key_names_the_file_and_the_remedy(tmp_path: Path, pem: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        DkimSigner([_domain(tmp_path, ("r1", "rsa-sha256", pem))])
    assert caught.value.field == str(tmp_path / "r1.pem")
    assert caught.value.remedy
    assert "c2VjcmV0" not in str(caught.value)


def test_a_missing_key_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    domain = _domain(tmp_path, ("r1", "rsa-sha256", RSA[0]))
    (tmp_path / "r1.pem").unlink()
    with pytest.raises(InvalidInput, match=r"r1\.pem.*cannot be read.*penstock dkim new"):
        DkimSigner([domain])
