"""What a finished, or failed, TLS handshake says about the host.

Contract: `shown_chain` gives the certificates as the host sent them (DER, its own first), verified or not; `facts_of`
names the connection's protocol, cipher and certificate, and never raises for what stands in a certificate; texts are
bounded.  `failure_of` puts OpenSSL's verdict into the words of TLS reports (RFC 8460 section 4.3).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from core.tls import NO_TLS, TlsFacts, TlsFailure

_SHOWN = 120  # characters of a name
_DER = 2  # _ssl.ENCODING_DER
# X509_V_ERR_* of OpenSSL
_FAILURES = {
    9: TlsFailure.CERTIFICATE_EXPIRED,  # not yet valid
    10: TlsFailure.CERTIFICATE_EXPIRED,
    62: TlsFailure.CERTIFICATE_HOST_MISMATCH,
    64: TlsFailure.CERTIFICATE_HOST_MISMATCH,  # IP address
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 27, 28), TlsFailure.CERTIFICATE_NOT_TRUSTED),
}


def shown_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Every certificate that the host sent."""
    # public from Python 3.13 on; before, the C object below has it
    shown: Any = tls if hasattr(tls, "get_unverified_chain") else getattr(tls, "_sslobj", None)
    found: Iterable[Any] = (shown.get_unverified_chain() or ()) if shown is not None else ()
    return [one if isinstance(one, bytes) else one.public_bytes(_DER) for one in found]


def facts_of(tls: ssl.SSLObject | None) -> TlsFacts:
    """Protocol, cipher, certificate; what was verified is for the caller to add."""
    if tls is None:
        return NO_TLS
    cipher = tls.cipher()
    facts = TlsFacts(protocol=tls.version() or "", cipher=cipher[0] if cipher else "")
    try:
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
        return replace(
            facts,
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            subject=certificate.subject.rfc4514_string()[:_SHOWN],
            issuer=certificate.issuer.rfc4514_string()[:_SHOWN],
        )
    except ValueError:
        return replace(facts, subject="(a certificate that cannot be read)")


def failure_of(error: OSError) -> TlsFailure:
    """Why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _FAILURES.get(error.verify_code, TlsFailure.VALIDATION_FAILURE)
    return TlsFailure.VALIDATION_FAILURE


def cause(error: OSError) -> str:
    """The same for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS error"
    return os.strerror(error.errno) if error.errno else str(error)  # asyncio's own text names addresses, not causes
