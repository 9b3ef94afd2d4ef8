"""TLS reports (RFC 8460): JSON, packed or not, to values.

Contract: `parse_tls(payload, filename)` gives a TlsReport or a Refusal for each file inside.  Lossless: sessions in the
report = sessions in `rows` + what `refused` tells; failures that the summary counts and no detail explains become a
row of result 'unspecified'.  Lenient where meaning is plain (numbers as text, one policy in place of a list),
strict where it is not (negative or impossible counts, no period).  Bounded: 10 MB of JSON, 10,000 rows.
"""

from __future__ import annotations

import json
from typing import Any

from collectors.dmarc.defects import Defect, Limits, Meter, Refusal, Refused
from collectors.dmarc.unpack import Stream, unpack
from collectors.dmarc.values import plain, read_count, read_domain, read_instant
from core.reports import TlsReport, TlsRow

MAX_JSON = 10_000_000
MAX_ROWS = 10_000
UNSPECIFIED = "unspecified"
TYPES = frozenset({"tlsa", "sts", "no-policy-found"})
RESULTS = frozenset(
    {
        "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
        "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
        "sts-policy-invalid", "sts-webpki-invalid",
    }
)  # fmt: skip


def parse_tls(payload: bytes, filename: str = "") -> list[TlsReport | Refusal]:
    """Every report in one attached or uploaded file."""
    meter = Meter(Limits())
    found: list[TlsReport | Refusal] = []
    for stream in unpack(payload, filename, meter):
        if isinstance(stream, Refusal):
            found.append(stream)
            continue
        try:
            found.append(_read(stream))
        except Refused as error:
            found.append(error.of(stream.name))
    return found


def looks_like_json(data: bytes) -> bool:
    """True when a file begins as JSON does."""
    return data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _read(stream: Stream) -> TlsReport:
    held = bytearray()
    for piece in stream.open():
        held += piece
        if len(held) > MAX_JSON:
            raise Refused(Defect.TOO_LARGE, f"more than {MAX_JSON} bytes of JSON")
    try:
        told = json.loads(bytes(held).decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refused(Defect.NOT_A_REPORT, f"is no JSON: {type(error).__name__}") from error
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    if not isinstance(told, dict) or "policies" not in told:
        raise Refused(Defect.NOT_A_REPORT, "is JSON, but no TLS report: it has no policies")
    span = told.get("date-range")
    try:
        begin = read_instant(_text(span, "start-datetime"), "start-datetime")
        end = read_instant(_text(span, "end-datetime"), "end-datetime")
    except ValueError as error:
        raise Refused(Defect.INVALID, str(error)) from error
    if end < begin:
        raise Refused(Defect.INVALID, "date-range ends before it begins")
    folded = _Fold()
    policies = told["policies"]
    for policy in policies if isinstance(policies, list) else [policies]:
        folded.policy(policy)
    contact = plain(_text(told, "contact-info"))
    return TlsReport(
        organization=plain(_text(told, "organization-name")) or contact.rpartition("@")[2] or "unknown",
        contact=contact, report_id=plain(_text(told, "report-id")) or f"{begin:.0f}-{end:.0f}", begin=begin, end=end,
        rows=tuple(folded.rows), refused=tuple(folded.refused),
    )  # fmt: skip


class _Fold:
    def __init__(self) -> None:
        self.rows: list[TlsRow] = []
        self.refused: list[str] = []

    def policy(self, told: object) -> None:
        policy = told.get("policy") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(policy, dict):
            self._refuse("a policy that is no object")
            return
        domain = read_domain(_text(policy, "policy-domain"))
        kind = _text(policy, "policy-type").lower()
        kind = kind if kind in TYPES else plain(kind, 40)
        if not domain:
            self._refuse("a policy without domain")
            return
        summary = told.get("summary")
        good = self._count(summary, "total-successful-session-count")
        bad = self._count(summary, "total-failure-session-count")
        if good:
            self._add(TlsRow(policy_domain=domain, policy_type=kind, result="", sessions=good))
        details = told.get("failure-details") or []
        explained = 0
        for detail in details if isinstance(details, list) else [details]:
            explained += self._failure(domain, kind, detail)
        if bad > explained:
            self._add(TlsRow(policy_domain=domain, policy_type=kind, result=UNSPECIFIED, sessions=bad - explained))

    def _failure(self, domain: str, kind: str, detail: object) -> int:
        if not isinstance(detail, dict):
            self._refuse("a failure that is no object")
            return 0
        sessions = self._count(detail, "failed-session-count")
        result = _text(detail, "result-type").lower()
        if sessions:
            self._add(
                TlsRow(
                    policy_domain=domain, policy_type=kind,
                    result=result if result in RESULTS else plain(result, 40) or UNSPECIFIED, sessions=sessions,
                    sending_ip=plain(_text(detail, "sending-mta-ip"), 45),
                    receiving_host=read_domain(_text(detail, "receiving-mx-hostname")),
                    receiving_ip=plain(_text(detail, "receiving-ip"), 45),
                    reason=plain(_text(detail, "failure-reason-code") or _text(detail, "additional-information"), 200),
                )
            )  # fmt: skip
        return sessions

    def _count(self, told: object, name: str) -> int:
        given = _text(told, name)
        if not given:
            return 0
        try:
            return read_count(given)
        except ValueError as error:
            self._refuse(f"{name}: {error}")
            return 0

    def _add(self, row: TlsRow) -> None:
        if len(self.rows) < MAX_ROWS:
            self.rows.append(row)
        else:
            self._refuse(f"{row.sessions} sessions beyond the limit of {MAX_ROWS} rows")

    def _refuse(self, reason: str) -> None:
        if len(self.refused) < 1000:
            self.refused.append(reason[:200])


def _text(told: object, name: str) -> str:
    value: Any = told.get(name) if isinstance(told, dict) else None
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return ""
    return str(value)[:2000]
