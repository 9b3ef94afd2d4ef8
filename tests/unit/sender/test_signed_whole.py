"""What a composed message says of itself stands under every signature, of both domains: an independent verifier
(dkimpy) refuses the message once any of it is changed, taken away or said twice."""

from __future__ import annotations

import json
from pathlib import Path

import dkim
import pytest

from config.model import Settings
from core.lane import Campaign, SendingDomain, Stream
from core.messages import Body, BodyId, Leased, Node, Submission
from core.tokens import MessageId
from sender.compose import Composer
from sender.dkim import DkimSigner, new_key
from tests.unit.sender.fakes import make_signer

NOW = 1_790_000_000.0  # a verifier refuses signatures from the future
KEYS = {
    "r1._domainkey.example.com.": new_key("rsa-sha256"), "e1._domainkey.example.com.": new_key("ed25519-sha256"),
    "c1._domainkey.company.test.": new_key("rsa-sha256"),
}  # fmt: skip
SIGNED = (
    b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type", b"X-Penstock-Token",
    b"Feedback-ID", b"CFBL-Address", b"CFBL-Feedback-ID", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Precedence",
)  # fmt: skip


def settings(folder: Path, feedback: str = "fbl@company.test", *, second: bool = True) -> Settings:
    for name, (pem, _record) in KEYS.items():
        (folder / f"{name[:2]}.pem").write_bytes(pem)
    return Settings.model_validate({
        "sending_domains": [{
            "name": "example.com", "return_path": "rp.example.com",
            "dkim": [
                {"selector": "r1", "key_file": folder / "r1.pem"},
                {"selector": "e1", "algorithm": "ed25519-sha256", "key_file": folder / "e1.pem"},
            ],
            "second_signatures": [{"domain": "company.test", "selector": "c1", "key_file": folder / "c1.pem"}] * second,
        }],
        "sources": [{"name": "a", "ehlo": "mta1.example.com"}], "inbound": {"feedback_address": feedback},
    })  # fmt: skip


def composed(given: Settings) -> bytes:
    parts = {"from": "Shop <news@example.com>", "subject": "Hello", "text": "Dear\n", "html": "<p>Dear</p>"}
    body = Body(body_id=BodyId("b"), kind="template", content=json.dumps(parts).encode())
    submission = Submission(
        message_id=MessageId("a" * 20), recipient="ann@x.test", stream=Stream("bulk"), campaign=Campaign("c"),
        priority=5, sending_domain=SendingDomain("example.com"), body_id=BodyId("b"), accepted_at=NOW,
        not_before=NOW, expires_at=NOW + 1000,
    )  # fmt: skip
    lease = Leased(
        submission=submission, node=Node("n"), source="a", lease_until=NOW + 900, attempts=0, first_sent_at=0.0
    )
    composer = Composer(make_signer(), given, DkimSigner(given.sending_domains))
    return composer.compose(lease, body, NOW).content


def verdicts(message: bytes) -> list[bool]:
    verifier = dkim.DKIM(message)
    found = []
    for index in range(message.count(b"DKIM-Signature: v=1;")):
        try:
            good = verifier.verify(idx=index, dnsfunc=lambda name, timeout=5: KEYS[name.decode()][1].encode())
        except dkim.ValidationError:
            good = False
        found.append(bool(good))
    return found


@pytest.fixture(scope="module")
def message(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return composed(settings(tmp_path_factory.mktemp("keys")))


def test_both_domains_sign(message: bytes) -> None:
    assert [message.count(b"d=example.com;"), message.count(b"d=company.test;")] == [2, 1]
    assert verdicts(message) == [True, True, True]


@pytest.mark.parametrize("name", SIGNED, ids=lambda name: name.decode())
def test_no_field_can_be_changed_taken_away_or_said_twice(message: bytes, name: bytes) -> None:
    start = message.index(b"\r\n" + name + b":") + 2
    end = message.index(b"\r\n", start)
    while message[end + 2 : end + 3] in (b" ", b"\t"):
        end = message.index(b"\r\n", end + 2)
    field = message[start : end + 2]
    for tampered in (
        message.replace(field, field[:-2] + b"x\r\n"), message.replace(field, b""),
        message.replace(field, field + name + b": other\r\n"),
        b"%b: other\r\n%b" % (name, message),
    ):  # fmt: skip
        assert verdicts(tampered) == [False, False, False], tampered[:400]


@pytest.mark.parametrize("name", [b"Reply-To", b"Sender", b"Cc"])
def test_what_is_not_there_cannot_be_added(message: bytes, name: bytes) -> None:
    assert verdicts(name + b": evil@evil.test\r\n" + message) == [False, False, False]


@pytest.mark.parametrize(
    ("feedback", "second", "told"),
    [("fbl@rp.example.com", False, True), ("fbl@example.com", False, True), ("fbl@company.test", True, True),
     ("fbl@company.test", False, False), ("fbl@notexample.com", False, False), ("", True, False)],
)  # fmt: skip
def test_the_feedback_address_stands_only_where_a_signature_speaks_for_it(
    tmp_path: Path, feedback: str, second: bool, told: bool
) -> None:
    content = composed(settings(tmp_path, feedback, second=second))
    assert (f"CFBL-Address: {feedback}; report=arf".encode() in content) is told
