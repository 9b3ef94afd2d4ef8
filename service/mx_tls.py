"""How the hosts that take our bounces do TLS: what `penstock doctor` compares with the DANE records and the MTA-STS
policy that we publish.  A host that does not keep what is published gets no mail from senders that honour it.

Contract: `check_hosts` shakes hands with at most MAX_HOSTS hosts through the injected probes and sends no mail.
Nothing is said of a host that nothing is published about, but that it does not answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, found
from collectors.dns.sight import tlsa_of
from core.ports import Resolver
from core.tls import StsMode
from sender.dane import fits, usable
from service import doctor_texts as say
from service.probes import Handshake, Probes

MAX_HOSTS = 3


async def check_hosts(
    resolver: Resolver,
    probes: Probes,
    domain: str,
    hosts: Sequence[str],
    *,
    mode: StsMode,
    told: Sequence[str],
    port: int,
    ehlo: str,
    now: float,
) -> list[Finding]:
    """Findings about `hosts`, the MX of `domain`; a silent one of `told` is told of elsewhere."""
    findings: list[Finding] = []
    for host in hosts[:MAX_HOSTS]:
        records = await tlsa_of(resolver, host)
        proofs = usable(records.records) if records.authentic else ()
        shake = await probes.handshake(host, port, ehlo)
        if shake.silent:
            if host not in told:
                findings.append(found(say.MX_SILENT, domain, host=host, problem=shake.silent))
            continue
        demand = " + ".join([*(["DANE"] if proofs else []), *(["MTA-STS"] if mode is StsMode.ENFORCE else [])])
        if not shake.chain:
            if demand:
                findings.append(found(say.MX_NO_TLS, domain, host=host, demand=demand, problem=shake.problem))
            continue
        if proofs and (why := fits(proofs, shake.chain, [host, domain], now)):
            findings.append(found(traps.DANE_MISMATCH, domain, host=host, why=why, record=_record(shake)))
        if mode is StsMode.ENFORCE and shake.distrust:
            findings.append(found(say.STS_CERTIFICATE, domain, host=host, problem=shake.distrust))
    return findings


def _record(shake: Handshake) -> str:
    """The TLSA record that fits what the host shows."""
    try:
        key = x509.load_der_x509_certificate(shake.chain[0]).public_key()
    except ValueError:
        return "3 1 1 …"
    shown = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"3 1 1 {hashlib.sha256(shown).hexdigest()}"
