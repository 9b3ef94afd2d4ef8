"""How one host must be spoken to: the one table of TLS towards mail hosts.  Pure.

In order of rank:
1. a relay's own settings;
2. `delivery.tls = "off"` (test worlds);
3. DANE (RFC 7672): the host's addresses and TLSA records are authentic.  Usable records: TLS that fits them, or
   nothing.  Only unusable ones: TLS, whoever the host is.  It outranks MTA-STS also where it fails (RFC 8461
   section 2);
4. MTA-STS (RFC 8461), `enforce`: only hosts that the policy lists, with a certificate good for their name;
5. `tls_required` of the provider, or the setting `required`: TLS, whoever the host is;
6. MTA-STS `testing`: as 4, but mail goes on when it fails, and the failure is told;
7. opportunistic: TLS where it is offered and works, else plain text (RFC 7435).

Contract: `demand_of` gives a Demand, or a Refusal when this host cannot be spoken to at all.  `Demand.weaker` is what
may be tried after a handshake failed with this demand; None: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from config.model import Relay
from core.tls import Passage, PolicyType, StsMode, TlsaAnswer, TlsaRecord, TlsFailure, Verified
from sender.dane import usable
from sender.session import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """See the module.  `at_once`: TLS from the first byte.  `failure`: what failed already and did not stop us."""

    tls: Tls
    verify: Verified = Verified.NONE
    policy: PolicyType = PolicyType.NONE
    tlsa: tuple[TlsaRecord, ...] = ()
    at_once: bool = False
    failure: TlsFailure = TlsFailure.NONE
    detail: str = ""

    def weaker(self, failure: TlsFailure, detail: str) -> Demand | None:
        """What may be tried instead."""
        if self.tls is not Tls.OPPORTUNISTIC:
            return None
        failed = replace(self, failure=self.failure or failure, detail=self.detail or detail)
        if self.verify is not Verified.NONE:
            return replace(failed, verify=Verified.NONE)
        return replace(failed, tls=Tls.OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The policy forbids to speak to this host."""

    policy: PolicyType
    failure: TlsFailure
    text: str


Security: TypeAlias = Demand | Refusal


def demand_of(setting: Tls, passage: Passage, host: str, tlsa: TlsaAnswer, *, encrypted_only: bool) -> Security:
    """Ranks 2 to 7 for one host; `encrypted_only`: its provider takes no plain text."""
    if setting is Tls.OFF:
        return Demand(tls=Tls.OFF)
    if tlsa.authentic and tlsa.records:
        records = usable(tlsa.records)
        if not records:
            return Demand(tls=Tls.REQUIRED, policy=PolicyType.TLSA, failure=TlsFailure.TLSA_INVALID)
        return Demand(tls=Tls.REQUIRED, verify=Verified.DANE, policy=PolicyType.TLSA, tlsa=records)
    listed = host in passage.sts_hosts
    unlisted = f"{host} is not among the hosts of the domain's MTA-STS policy"
    if passage.sts is StsMode.ENFORCE:
        if not listed:
            return Refusal(policy=PolicyType.STS, failure=TlsFailure.VALIDATION_FAILURE, text=unlisted)
        return Demand(tls=Tls.REQUIRED, verify=Verified.WEBPKI, policy=PolicyType.STS)
    failure, detail = passage.sts_failure, ""
    if passage.sts is StsMode.TESTING and not listed:
        failure, detail = TlsFailure.VALIDATION_FAILURE, unlisted
    policy = PolicyType.STS if passage.sts is StsMode.TESTING or passage.sts_failure else PolicyType.NONE
    if encrypted_only or setting is Tls.REQUIRED:
        return Demand(tls=Tls.REQUIRED, policy=policy, failure=failure, detail=detail)
    verify = Verified.WEBPKI if passage.sts is StsMode.TESTING else Verified.NONE
    return Demand(tls=Tls.OPPORTUNISTIC, verify=verify, policy=policy, failure=failure, detail=detail)


def demand_of_relay(relay: Relay) -> Demand:
    """Rank 1."""
    if relay.security == "none":
        return Demand(tls=Tls.OFF)
    verify = Verified.WEBPKI if relay.verify else Verified.NONE
    return Demand(tls=Tls.REQUIRED, verify=verify, at_once=relay.security == "tls")
