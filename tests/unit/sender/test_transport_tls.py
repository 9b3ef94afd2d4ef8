"""TLS towards hosts: taken where offered, never asked whose, and never given up where it is required."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.tables import ProviderRow
from core.reply import Stage
from sender.connection import SmtpConnection
from tests.unit.sender.scripted_host import (
    DOMAIN,
    DROP,
    MAIL,
    NO_ONE,
    NO_TLS,
    OFFERING,
    OUR,
    PLAIN,
    RESET,
    TAKES,
    TLS,
    Host,
    listening,
    opened,
    refused,
    transport,
)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS context with a self-signed certificate for another name: nobody would verify it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone.else.test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = Path(tmp_path_factory.mktemp("tls")) / "host.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


SECURED = [*OFFERING, TLS, "250-mx\r\n250 PIPELINING", *TAKES]


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
async def test_encrypted_where_offered_whoever_the_host_is(context: ssl.SSLContext, tls: str) -> None:
    host = Host(SECURED, context=context)
    async with listening(host) as port:
        connection = await opened(port, tls=tls)
        result = await connection.send(MAIL)
        await connection.close()
    assert (result.reply.code, result.tls) == (250, "TLSv1.3")
    assert host.heard[0][:4] == ["EHLO out.example.com", "STARTTLS", "<tls>", "EHLO out.example.com"]
    assert host.heard[0][-1] == "QUIT"


async def test_a_failed_handshake_falls_back_to_plain_text_in_a_new_connection_and_is_remembered() -> None:
    host = Host([*OFFERING, NO_TLS], OFFERING + TAKES)
    async with listening(host) as port:
        sender = transport(port)
        for _ in range(2):
            connection = await sender.connect(OUR, ["mx1.test"], DOMAIN)
            assert isinstance(connection, SmtpConnection)
            result = await connection.send(MAIL)
            assert (result.reply.code, result.tls) == (250, "")
            await connection.close()
    assert [lines[1].split(":")[0] for lines in host.heard] == ["STARTTLS", "MAIL FROM", "MAIL FROM"]


async def test_a_host_that_hangs_up_in_the_handshake_gets_the_mail_in_plain_text() -> None:
    host = Host([*OFFERING, NO_ONE], OFFERING + TAKES)
    async with listening(host) as port:
        connection = await opened(port)
        assert (await connection.send(MAIL)).reply.code == 250
        await connection.close()


@pytest.mark.parametrize("answer", [DROP, RESET, "220 go\r\n250 and more"])
async def test_a_host_that_breaks_off_at_starttls_gets_the_mail_in_plain_text(answer: str) -> None:
    host = Host([*OFFERING, answer], OFFERING + TAKES)
    async with listening(host) as port:
        connection = await opened(port)
        assert (await connection.send(MAIL)).reply.code == 250
        await connection.close()


GMAIL = ProviderRow(name="gmail", mx=["test"], tls_required=True)


@pytest.mark.parametrize("settings", [("required", ()), ("opportunistic", (GMAIL,))])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (PLAIN, "does not offer"),
        ([*OFFERING, "454 4.7.0 no certificate"], "no certificate"),
        ([*OFFERING, NO_TLS], "handshake failed"),
        ([*OFFERING, DROP], "handshake failed"),
    ],
)
async def test_where_tls_is_required_there_is_no_plain_text(
    settings: tuple[str, Sequence[ProviderRow]], script: list[str], said: str
) -> None:
    tls, providers = settings
    host = Host(script)
    async with listening(host) as port:
        result = await refused(await transport(port, tls=tls, providers=providers).connect(OUR, ["mx1.test"], DOMAIN))
    assert (result.reply.stage, result.reply.is_transient) == (Stage.STARTTLS, True)
    assert said in result.reply.text
    assert len(host.heard) == 1


async def test_a_provider_is_recognised_at_a_label_boundary() -> None:
    row = ProviderRow(name="est", mx=["est"], tls_required=True)
    async with listening(Host(PLAIN)) as port:
        connection = await transport(port, providers=[row]).connect(OUR, ["mx1.test"], DOMAIN)
        assert isinstance(connection, SmtpConnection)
        await connection.close()
