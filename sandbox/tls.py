"""A throwaway certificate for the sandbox's servers: STARTTLS and IMAPS on loopback, made anew at each start.

Contract: one self-signed certificate for all names and addresses; `pem` may be given to clients as their trust anchor.
The private key exists in memory and, for the moment in which OpenSSL reads it, in a file of mode 0600.
Its validity is fixed and long: the sandbox's clock runs ahead of the machine's, and nobody trusts it outside.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class ThrowawayCertificate:
    """`context` is for servers, `pem` the certificate as text."""

    def __init__(self, names: Sequence[str], addresses: Sequence[str]) -> None:
        # P-256 and not RSA: a handshake costs a tenth, and servers and sender share one core
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Penstock sandbox")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        with tempfile.TemporaryDirectory() as folder:  # mode 0700
            path = Path(folder) / "both.pem"
            path.touch(mode=0o600)
            path.write_bytes(private + self.pem.encode())
            self.context.load_cert_chain(path)


class TlsChannel:
    """TLS inside a running plain connection (STARTTLS), without tasks: bytes in, bytes out.

    `receive` gives the plain text that became readable; `pending` the bytes that have to be written to the wire.
    Raises ssl.SSLError when the peer breaks the protocol.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self._shaken = False

    @property
    def version(self) -> str:
        """Protocol, e.g. 'TLSv1.3'; '' before the handshake is over."""
        return (self._object.version() or "") if self._shaken else ""

    def receive(self, data: bytes) -> bytes:
        """Feed bytes from the wire."""
        self._in.write(data)
        plain = bytearray()
        try:
            if not self._shaken:
                self._object.do_handshake()
                self._shaken = True
            while chunk := self._object.read(65_536):
                plain += chunk
        except ssl.SSLWantReadError:
            pass
        return bytes(plain)

    def send(self, data: bytes) -> None:
        """Encrypt plain text; fetch the result with `pending`."""
        self._object.write(data)

    def pending(self) -> bytes:
        """Bytes for the wire."""
        return self._out.read()
