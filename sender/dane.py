"""DANE for SMTP (RFC 7672): does what a host showed in the handshake fit its TLSA records?  Pure.

Contract: `usable` says which records count: DANE-TA(2) and DANE-EE(3), selector 0 or 1, matching 0, 1 or 2, with data
of the right length.  PKIX-TA(0) and PKIX-EE(1) never do (section 3.1.3).  `fits` answers '' when one record fits, else
why none does.
- DANE-EE: the record names the certificate or its key; names and dates in it make no difference (section 3.1.1).
- DANE-TA: the record names an authority of the chain that the host showed (or is that certificate itself, 2 0 0);
  from there on the chain must be good at `now` and made for one of the names (section 3.1.2, 3.2.2).

A chain of more than MAX_CHAIN certificates is not looked at; at most MAX_RECORDS records are.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from core.tls import TlsaRecord

MAX_CHAIN = 16
MAX_RECORDS = 32
TRUST_ANCHOR, END_ENTITY = 2, 3
_LENGTHS = {1: 32, 2: 64}


def usable(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """The records that can prove a host's identity."""
    return tuple(record for record in records if _is_usable(record))[:MAX_RECORDS]


def fits(records: Sequence[TlsaRecord], chain: Sequence[bytes], names: Sequence[str], now: float) -> str:
    """'' when the chain (DER, the host's own certificate first) fits a usable record; else the reason, for people."""
    if not chain:
        return "the host showed no certificate"
    if len(chain) > MAX_CHAIN:
        return f"the host showed {len(chain)} certificates"
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        if any(_is_named(record, certificates[0]) for record in records if record.usage == END_ENTITY):
            return ""
        why = "no TLSA record names what the host showed"
        for record in (r for r in records if r.usage == TRUST_ANCHOR):
            for anchor in _anchors(record, certificates):
                why = _chained(certificates, anchor, names, now)
                if not why:
                    return ""
    except ValueError:
        return "the host showed a certificate that cannot be read"
    return why


def _is_usable(record: TlsaRecord) -> bool:
    if (
        record.usage not in (TRUST_ANCHOR, END_ENTITY)
        or record.selector not in (0, 1)
        or record.matching not in (0, 1, 2)
    ):
        return False
    return len(record.data) == _LENGTHS[record.matching] if record.matching else bool(record.data)


def _is_named(record: TlsaRecord, certificate: x509.Certificate) -> bool:
    if record.selector == 0:
        shown = certificate.public_bytes(Encoding.DER)
    else:
        shown = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match record.matching:
        case 1:
            return hashlib.sha256(shown).digest() == record.data
        case 2:
            return hashlib.sha512(shown).digest() == record.data
        case _:
            return shown == record.data


def _anchors(record: TlsaRecord, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    if record.selector == 0 and record.matching == 0:
        return [x509.load_der_x509_certificate(record.data)]  # the host need not send it along
    return [certificate for certificate in certificates[1:] if _is_named(record, certificate)]


def _is_authority(_policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("an issuer in the chain is no authority")


# Authorities of DANE are often home-made: what the web's authorities must carry besides is not asked of them.  Names
# and dates are checked by the verifier itself.
_AUTHORITY = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
_HOST = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)


def _chained(
    certificates: Sequence[x509.Certificate], anchor: x509.Certificate, names: Sequence[str], now: float
) -> str:
    why = "no name to check"
    for name in names:
        try:
            verifier = (
                PolicyBuilder()
                .store(Store([anchor]))
                .time(datetime.datetime.fromtimestamp(now, datetime.UTC))
                .extension_policies(ca_policy=_AUTHORITY, ee_policy=_HOST)
                .build_server_verifier(x509.DNSName(name))
            )
            verifier.verify(certificates[0], list(certificates[1:]))
        except (VerificationError, ValueError) as error:
            why = f"the chain to the named authority is not good for {name} ({error})"[:300]
        else:
            return ""
    return why
