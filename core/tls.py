"""Words of transport security between mail hosts: what was demanded of a connection, and what came about.

Contract: plain values.  `TlsFailure` is the vocabulary of TLS reports (RFC 8460 section 4.3), so that our own attempts
and the reports of others can be laid side by side.  `Passage` is what a route asks of a connection (RFC 8461, 7672);
`covers` says whether an open connection may carry mail of another passage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verified(StrEnum):
    """How the host proved its name."""

    NONE = "none"
    WEBPKI = "webpki"
    DANE = "dane"


class PolicyType(StrEnum):
    """Which policy ruled the attempt (RFC 8460 section 4.2)."""

    NONE = "no-policy-found"
    STS = "sts"
    TLSA = "tlsa"


class TlsFailure(StrEnum):
    """Result types of RFC 8460 section 4.3; NONE where nothing failed."""

    NONE = ""
    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"  # none of the records fits what the host showed
    DNSSEC_INVALID = "dnssec-invalid"  # the records cannot be had or are bogus
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


class StsMode(StrEnum):
    """The mode of an MTA-STS policy (RFC 8461 section 5)."""

    NONE = "none"
    TESTING = "testing"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """One connection's security.  `str()` is the protocol, '' for plain text.

    `failure` stands also where mail went on in spite of it (opportunistic, policy in testing).  `fingerprint` is the
    SHA-256 of the certificate in hexadecimal; subject and issuer are RFC 4514 texts, shortened.
    """

    protocol: str = ""
    cipher: str = ""
    verified: Verified = Verified.NONE
    policy: PolicyType = PolicyType.NONE
    failure: TlsFailure = TlsFailure.NONE
    subject: str = ""
    issuer: str = ""
    fingerprint: str = ""

    def __str__(self) -> str:
        return self.protocol


NO_TLS = TlsFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What the route asks of the connection.

    `sts_hosts` are those of the site's hosts that the domain's policy lists; they matter unless `sts` is NONE.
    `authentic`: the MX set is proven by DNSSEC, so the hosts' TLSA records count.  `relay` names a configured relay.
    `domain` is for whom the passage was found, `sts_failure` why its policy could not be had: both are told in reports
    and make no difference otherwise.
    """

    sts: StsMode = StsMode.NONE
    sts_hosts: tuple[str, ...] = ()
    authentic: bool = False
    relay: str = ""
    domain: str = field(default="", compare=False)
    sts_failure: TlsFailure = field(default=TlsFailure.NONE, compare=False)

    def covers(self, other: Passage) -> bool:
        """True when a connection opened under this passage may carry mail whose passage is `other`."""
        return (
            self.relay == other.relay
            and (self.authentic or not other.authentic)
            and (
                other.sts is not StsMode.ENFORCE
                or (self.sts is StsMode.ENFORCE and set(self.sts_hosts) <= set(other.sts_hosts))
            )
        )


FREE_PASSAGE = Passage()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsaRecord:
    """One TLSA record (RFC 6698 section 2.1); numbers as in DNS."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsaAnswer:
    """The TLSA records of a host's port.  `authentic`: DNSSEC proves them, or their absence."""

    authentic: bool = False
    records: tuple[TlsaRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSession:
    """One attempt to open a connection, for the books: TLS reports count sessions, not messages."""

    at: float
    domain: str
    host: str
    ip: str
    facts: TlsFacts
    detail: str = ""  # what went wrong, for people
    source_ip: str = ""  # our address, where the source is bound to one


class StsProblem(Exception):
    """An MTA-STS policy cannot be had or used.  `failure` says which of both."""

    def __init__(self, text: str, failure: TlsFailure = TlsFailure.STS_POLICY_INVALID) -> None:
        super().__init__(text)
        self.failure = failure
