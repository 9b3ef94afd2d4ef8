"""Policies against real TLS hosts on loopback: MTA-STS, DANE, relays; who gets the mail, and what is taken down."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from config.model import Relay
from core.errors import InvalidInput
from core.ports import ResolverFailed
from core.reply import Stage
from core.state import AttemptResult
from core.tls import (
    FREE_PASSAGE,
    Passage,
    PolicyType,
    StsMode,
    TlsaAnswer,
    TlsaRecord,
    TlsFailure,
    TlsSession,
    Verified,
)
from sender.connection import SmtpConnection
from sender.transport import SmtpTransport
from tests.unit.sender.authority import Issued, issue, server_context
from tests.unit.sender.scripted_host import (
    DOMAIN,
    MAIL,
    NO_TLS,
    OFFERING,
    OUR,
    PLAIN,
    TAKES,
    TLS,
    Host,
    listening,
    refused,
    transport,
)

ROOT = issue("Test Root", authority=True)
GOOD = issue("mx1.test", ROOT)
SECOND = issue("mx2.test", ROOT)
EXPIRED = issue("mx1.test", ROOT, end=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
ALONE = issue("mx1.test")
SECURED = [*OFFERING, TLS, "250-mx\r\n250 PIPELINING", *TAKES]
ENFORCE = Passage(sts=StsMode.ENFORCE, sts_hosts=("mx1.test", "mx2.test"), domain="example.net")
TESTING = Passage(sts=StsMode.TESTING, sts_hosts=("mx1.test", "mx2.test"), domain="example.net")
PROVEN = Passage(authentic=True, domain="example.net")


class Book:
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[TlsSession] = []

    def note(self, session: TlsSession) -> None:
        self.notes.append(session)


class Tlsa:
    """The same answer for every host."""

    def __init__(self, *records: TlsaRecord, authentic: bool = True, failure: bool = False) -> None:
        self.answer = TlsaAnswer(authentic=authentic, records=records)
        self.failure = failure
        self.asked: list[tuple[str, int]] = []

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        self.asked.append((host, port))
        if self.failure and host == "mx1.test":
            raise ResolverFailed("SERVFAIL")
        return self.answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls")
    (path / "ca.pem").write_bytes(ROOT.pem)
    return path


def secured(folder: Path, certificate: Issued, script: Sequence[str] = SECURED) -> Host:
    return Host(script, context=server_context(folder, certificate, ROOT))


async def sent(found: SmtpConnection | AttemptResult) -> AttemptResult:
    assert isinstance(found, SmtpConnection), found
    result = await found.send(MAIL)
    await found.close()
    assert result.reply.code == 250
    return result


async def one_call(
    host: Host, folder: Path, passage: Passage, *, tlsa: Tlsa | None = None, tls: str = "opportunistic"
) -> tuple[SmtpConnection | AttemptResult, Book]:
    book = Book()
    async with listening(host) as port:
        sender = transport(port, ca_file=folder / "ca.pem", tlsa=tlsa, book=book, tls=tls)
        found = await sender.connect(OUR, ["mx1.test"], DOMAIN, passage=passage)
        return (await sent(found) if isinstance(found, SmtpConnection) else found), book


# --- MTA-STS -------------------------------------------------------------------------------------
@pytest.mark.parametrize("passage", [ENFORCE, TESTING])
async def test_a_host_that_proves_its_name_gets_the_mail(folder: Path, passage: Passage) -> None:
    result, book = await one_call(secured(folder, GOOD), folder, passage)
    assert isinstance(result, AttemptResult)
    facts = result.facts
    assert (str(facts), result.tls, facts.verified, facts.policy) == (
        "TLSv1.3",
        "TLSv1.3",
        Verified.WEBPKI,
        PolicyType.STS,
    )
    assert (facts.failure, facts.subject, facts.issuer) == (TlsFailure.NONE, "CN=mx1.test", "CN=Test Root")
    assert facts.fingerprint == hashlib.sha256(GOOD.der).hexdigest()
    assert facts.cipher
    (note,) = book.notes
    assert (note.domain, note.host, note.ip, note.facts) == ("example.net", "mx1.test", "127.0.0.1", facts)


BAD = [
    (SECURED, ALONE, TlsFailure.CERTIFICATE_NOT_TRUSTED),
    (SECURED, SECOND, TlsFailure.CERTIFICATE_HOST_MISMATCH),
    (SECURED, EXPIRED, TlsFailure.CERTIFICATE_EXPIRED),
    ([*OFFERING, NO_TLS], GOOD, TlsFailure.VALIDATION_FAILURE),
    (PLAIN, GOOD, TlsFailure.STARTTLS_NOT_SUPPORTED),
]


@pytest.mark.parametrize(("script", "certificate", "failure"), BAD)
async def test_under_enforce_a_host_that_proves_nothing_is_passed_over(
    folder: Path, script: Sequence[str], certificate: Issued, failure: TlsFailure
) -> None:
    first, second, book = secured(folder, certificate, script), secured(folder, SECOND), Book()
    async with listening(first, second) as port:
        sender = transport(port, ca_file=folder / "ca.pem", book=book)
        result = await sent(await sender.connect(OUR, ["mx1.test", "mx2.test"], DOMAIN, passage=ENFORCE))
    assert result.remote == "mx2.test [127.0.0.2]"
    assert [(note.host, note.facts.failure) for note in book.notes] == [
        ("mx1.test", failure), ("mx2.test", TlsFailure.NONE),
    ]  # fmt: skip
    assert not any(line.startswith("MAIL") for line in first.heard[0])


async def test_under_enforce_the_last_failure_is_a_transient_reply_that_names_tls(folder: Path) -> None:
    result, _ = await one_call(secured(folder, ALONE), folder, ENFORCE)
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.reply.stage, result.reply.status) == (451, Stage.STARTTLS, "4.7.5")
    assert "self-signed" in result.reply.text
    assert result.facts.failure is TlsFailure.CERTIFICATE_NOT_TRUSTED


async def test_under_enforce_a_host_that_the_policy_does_not_list_is_never_called(folder: Path) -> None:
    host, book = secured(folder, GOOD), Book()
    unlisted = Passage(sts=StsMode.ENFORCE, sts_hosts=("other.test",), domain="example.net")
    async with listening(host) as port:
        sender = transport(port, ca_file=folder / "ca.pem", book=book)
        result = await refused(await sender.connect(OUR, ["mx1.test"], DOMAIN, passage=unlisted))
    assert "not among the hosts" in result.reply.text
    assert not host.heard
    assert book.notes[0].facts.failure is TlsFailure.VALIDATION_FAILURE


@pytest.mark.parametrize(("script", "certificate", "failure"), BAD)
async def test_under_testing_mail_goes_on_and_the_failure_is_told(
    folder: Path, script: Sequence[str], certificate: Issued, failure: TlsFailure
) -> None:
    host = secured(folder, certificate, [*script, *TAKES] if script[-1] != TAKES[-1] else script)
    if NO_TLS in script:
        host.scripts = [script, script, [*OFFERING, *TAKES]]
    result, book = await one_call(host, folder, TESTING)
    assert isinstance(result, AttemptResult)
    assert result.facts.verified is Verified.NONE
    assert [note.facts.failure for note in book.notes] == [failure]


# --- DANE ----------------------------------------------------------------------------------------
def record(usage: int, certificate: Issued) -> TlsaRecord:
    return TlsaRecord(usage=usage, selector=1, matching=1, data=hashlib.sha256(certificate.spki).digest())


@pytest.mark.parametrize("named", [record(3, GOOD), record(2, ROOT)])
async def test_a_host_that_fits_its_tlsa_record_is_proven(folder: Path, named: TlsaRecord) -> None:
    tlsa = Tlsa(named)
    result, _ = await one_call(secured(folder, GOOD), folder, PROVEN, tlsa=tlsa)
    assert isinstance(result, AttemptResult)
    assert (result.facts.verified, result.facts.policy) == (Verified.DANE, PolicyType.TLSA)
    assert tlsa.asked[0][0] == "mx1.test"


async def test_dane_outranks_a_policy_that_would_be_satisfied(folder: Path) -> None:
    both = Passage(sts=StsMode.ENFORCE, sts_hosts=("mx1.test",), authentic=True)
    result, book = await one_call(secured(folder, GOOD), folder, both, tlsa=Tlsa(record(3, SECOND)))
    assert isinstance(result, AttemptResult)
    assert (result.reply.code, result.facts.failure) == (451, TlsFailure.TLSA_INVALID)
    assert book.notes[0].facts.policy is PolicyType.TLSA


async def test_dane_outranks_a_policy_that_would_not_be(folder: Path) -> None:
    both = Passage(sts=StsMode.ENFORCE, sts_hosts=("other.test",), authentic=True)
    result, _ = await one_call(secured(folder, ALONE), folder, both, tlsa=Tlsa(record(3, ALONE)))
    assert isinstance(result, AttemptResult)
    assert result.facts.verified is Verified.DANE


async def test_with_tlsa_there_is_no_plain_text(folder: Path) -> None:
    result, book = await one_call(Host(PLAIN), folder, PROVEN, tlsa=Tlsa(record(3, GOOD)))
    assert isinstance(result, AttemptResult)
    assert result.reply.stage is Stage.STARTTLS
    assert book.notes[0].facts.failure is TlsFailure.STARTTLS_NOT_SUPPORTED


async def test_unusable_records_ask_for_tls_and_for_no_name(folder: Path) -> None:
    tlsa = Tlsa(record(1, GOOD))
    result, _ = await one_call(secured(folder, ALONE), folder, PROVEN, tlsa=tlsa)
    assert isinstance(result, AttemptResult)
    assert (result.tls, result.facts.verified) == ("TLSv1.3", Verified.NONE)
    plain, _ = await one_call(Host(PLAIN), folder, PROVEN, tlsa=tlsa)
    assert isinstance(plain, AttemptResult)
    assert plain.reply.code == 451


async def test_records_that_cannot_be_had_make_the_host_unreachable(folder: Path) -> None:
    first, second = secured(folder, GOOD), secured(folder, SECOND)
    async with listening(first, second) as port:
        sender = transport(port, tlsa=Tlsa(failure=True))
        result = await sent(await sender.connect(OUR, ["mx1.test", "mx2.test"], DOMAIN, passage=PROVEN))
    assert result.remote.startswith("mx2.test")
    assert not first.heard


@pytest.mark.parametrize(("passage", "authentic"), [(FREE_PASSAGE, True), (PROVEN, False)])
async def test_what_dnssec_does_not_prove_binds_nobody(folder: Path, passage: Passage, authentic: bool) -> None:
    result, _ = await one_call(secured(folder, ALONE), folder, passage, tlsa=Tlsa(record(3, GOOD), authentic=authentic))
    assert isinstance(result, AttemptResult)
    assert result.reply.code == 250


# --- relays --------------------------------------------------------------------------------------
LOGGED_IN = ["250-relay\r\n250 AUTH PLAIN", "235 2.7.0 ok", *TAKES]
SECRET = base64.b64encode(b"\0app\0geheim").decode()


def relay(port: int, folder: Path, **values: object) -> Relay:
    password = folder / "password"
    password.write_text("geheim\n")
    given = {"name": "esp", "host": "mx1.test", "port": port, "user": "app", "password_file": password, **values}
    return Relay.model_validate(given)


async def relayed(port: int, folder: Path, **values: object) -> SmtpConnection | AttemptResult:
    sender: SmtpTransport = transport(25, ca_file=folder / "ca.pem", relays=[relay(port, folder, **values)])
    host = str(values.get("host", "mx1.test"))
    return await sender.connect(OUR, [host], DOMAIN, passage=Passage(relay="esp"))


async def test_a_relay_is_verified_and_logged_in_at(folder: Path) -> None:
    host = secured(folder, GOOD, [*OFFERING, TLS, *LOGGED_IN])
    async with listening(host) as port:
        result = await sent(await relayed(port, folder))
    assert result.facts.verified is Verified.WEBPKI
    assert f"AUTH PLAIN {SECRET}" in host.heard[0]


async def test_a_relay_under_tls_from_the_first_byte(folder: Path) -> None:
    host = Host(["220 relay", *LOGGED_IN])
    async with listening(host, tls=server_context(folder, GOOD, ROOT)) as port:
        result = await sent(await relayed(port, folder, security="tls"))
    assert (result.tls, result.facts.verified) == ("TLSv1.3", Verified.WEBPKI)
    assert host.heard[0][1] == f"AUTH PLAIN {SECRET}"


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_relay_that_is_somebody_else_hears_no_password(folder: Path, security: str) -> None:
    host = secured(folder, SECOND, ["220 relay", *LOGGED_IN] if security == "tls" else [*OFFERING, TLS, *LOGGED_IN])
    under: ssl.SSLContext | None = host.context if security == "tls" else None
    async with listening(host, tls=under) as port:
        result = await refused(await relayed(port, folder, security=security))
    assert (result.reply.code, result.reply.stage) == (451, Stage.STARTTLS)
    assert not any("AUTH" in line for lines in host.heard for line in lines)


async def test_a_relay_need_not_be_verified_when_its_owner_says_so(folder: Path) -> None:
    host = secured(folder, SECOND, [*OFFERING, TLS, *LOGGED_IN])
    async with listening(host) as port:
        assert (await sent(await relayed(port, folder, verify=False))).facts.verified is Verified.NONE


async def test_a_relay_on_loopback_may_go_without_tls(folder: Path) -> None:
    host = Host(["220 relay", *LOGGED_IN])
    async with listening(host) as port:
        assert (await sent(await relayed(port, folder, security="none", host="127.0.0.1"))).tls == ""


async def test_a_refused_login_is_a_reply_before_the_message(folder: Path) -> None:
    host = secured(folder, GOOD, [*OFFERING, TLS, LOGGED_IN[0], "535 5.7.8 wrong"])
    async with listening(host) as port:
        result = await refused(await relayed(port, folder))
    assert (result.reply.code, result.reply.stage) == (535, Stage.HELO)
    assert "geheim" not in str(result)


async def test_a_password_that_cannot_be_read_is_told_at_once(folder: Path) -> None:
    with pytest.raises(InvalidInput):
        transport(25, relays=[relay(25, folder, password_file=folder / "none")])


# --- the source ----------------------------------------------------------------------------------
async def test_an_address_that_is_not_ours_is_no_fault_of_the_host() -> None:
    result = await refused(await transport(25, bind="192.0.2.77").connect(OUR, ["mx1.test"], DOMAIN))
    assert result.source_fault
