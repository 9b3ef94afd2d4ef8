"""Who an address in a report is: ours, a known service, a forwarder, or nobody that we know; always with the evidence.

Contract: `Namer.name_all(records)` names every address of records from what they show, without any look-up:
1. an address of one of our sources is ours, whatever else holds;
2. a DKIM signature or an SPF pass of a known service's domain shows the service;
3. our own signature passes from an address that is not ours, and SPF does not: a forwarder, which cannot forge it;
4. everything else is unknown.
`by_ptr` names an address by its (forward-confirmed or not) PTR name, which only names: it is no proof.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

from config.services import SendingService
from core.reports import SourceKind, SourceName
from core.state import DmarcRecord

_REWRITTEN = re.compile(r"^(srs|forward|fwd|bounces?-?fwd)[.0-9-]")


class Namer:
    """See the module.  `ours` maps addresses to source names, `selectors` our sending domains to their selectors."""

    def __init__(
        self,
        services: Sequence[SendingService],
        ours: Mapping[str, str],
        selectors: Mapping[str, frozenset[str]],
    ) -> None:
        self._ours: dict[str, str] = {}
        self.learn(ours)
        self._selectors = selectors
        self._domains = {domain: service.name for service in services for domain in service.domains}
        self._hosts = {suffix: service for service in services for suffix in service.ptr}
        self._memo: dict[str, str] = {}

    def learn(self, ours: Mapping[str, str]) -> None:
        """Our addresses, as far as they are known now."""
        self._ours = {str(ipaddress.ip_address(ip)): name for ip, name in ours.items()}

    def name_all(self, records: Sequence[DmarcRecord]) -> list[SourceName]:
        """One name for each address of the records."""
        found: dict[str, SourceName] = {}
        for record in records:
            known = found.get(record.source_ip)
            if known is not None and known.kind is not SourceKind.UNKNOWN and known.kind is not SourceKind.FORWARDER:
                continue
            named = self._by_record(record)
            if known is None or _ORDER[named.kind] < _ORDER[known.kind]:
                found[record.source_ip] = named
        return list(found.values())

    def _by_record(self, record: DmarcRecord) -> SourceName:
        ip = record.source_ip
        if (source := self._ours.get(ip)) is not None:
            return SourceName(ip=ip, kind=SourceKind.OURS, name=source, evidence=f"address of source {source}")
        if record.dkim_result == "pass" and (service := self._service(record.dkim_domain)):
            return SourceName(
                ip=ip, kind=SourceKind.SERVICE, name=service, evidence=f"DKIM passes for {record.dkim_domain}"
            )
        if record.spf_result == "pass" and (service := self._service(record.spf_domain)):
            return SourceName(
                ip=ip, kind=SourceKind.SERVICE, name=service, evidence=f"SPF passes for {record.spf_domain}"
            )
        if record.dkim == "pass" and record.spf != "pass" and self._is_ours(record):
            how = f"our signature {record.dkim_selector}._domainkey.{record.dkim_domain} survived, SPF did not"
            name = record.envelope_from if record.envelope_from != record.header_from else ""
            rewritten = ", the return path was rewritten" if _REWRITTEN.match(record.envelope_from) else ""
            return SourceName(ip=ip, kind=SourceKind.FORWARDER, name=name, evidence=how + rewritten)
        return SourceName(ip=ip)

    def _is_ours(self, record: DmarcRecord) -> bool:
        known = self._selectors.get(record.dkim_domain)
        return known is not None and (not record.dkim_selector or record.dkim_selector in known)

    def _service(self, domain: str) -> str:
        name = self._memo.get(domain)
        if name is None:
            name = next((self._domains[part] for part in _parents(domain) if part in self._domains), "")
            if len(self._memo) < 20_000:
                self._memo[domain] = name
        return name

    def by_ptr(self, source: SourceName, ptr: str) -> SourceName:
        """The same address with what its PTR name tells."""
        service = next((self._hosts[part] for part in _parents(ptr) if part in self._hosts), None)
        if source.kind is SourceKind.UNKNOWN and service is not None:
            kind = SourceKind.FORWARDER if service.kind == "forwarder" else SourceKind.SERVICE
            return SourceName(ip=source.ip, kind=kind, name=service.name, evidence=f"PTR {ptr}", ptr=ptr)
        return SourceName(
            ip=source.ip, kind=source.kind, name=source.name or _owner(ptr), evidence=source.evidence, ptr=ptr
        )


_ORDER = {kind: place for place, kind in enumerate(SourceKind)}


def _parents(domain: str) -> Iterable[str]:
    """The name and what is above it, longest first: 8 labels at most."""
    labels = domain.lower().rstrip(".").split(".")[-8:]
    return (".".join(labels[at:]) for at in range(len(labels) - 1))


def _owner(ptr: str) -> str:
    """The last labels of a host name: enough for people to know the neighbour by."""
    labels = ptr.rstrip(".").split(".")
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    return ".".join(labels[-keep:])
