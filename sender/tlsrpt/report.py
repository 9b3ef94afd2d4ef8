"""A TLS report as JSON and as a mail (RFC 8460 sections 4 and 5).  Pure.

Contract: `document` counts each session once: a policy's successes and failures, the failures again by kind, host and
address, at most MAX_DETAILS kinds (the rest stands in the summary).  `mail` gives a whole RFC 5322 message with the
report packed; the same report always has the same id, so a receiver that gets it twice can tell.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.clock import iso
from core.lane import DAY
from core.reports import TlsCount
from core.tls import PolicyType, StsMode
from core.tokens import new_message_id
from sender.headers import encoded, mailbox, text_part
from sender.sts import Policy

MAX_DETAILS = 1000
MEDIA_TYPE = "application/tlsrpt+gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Who reports.  `domain` signs the mails and names the submitter."""

    organization: str
    contact: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What is told of the policies: the MTA-STS policy, and the TLSA records of each host as DNS writes them."""

    sts: Policy | None = None
    tlsa: Mapping[str, Sequence[str]] | None = None


def report_id(day: int, domain: str, reporter: Reporter) -> str:
    """Of the report about that day."""
    return f"{iso(day * DAY)[:10]}.{domain}@{reporter.domain}"


def document(
    day: int, domain: str, counts: Sequence[TlsCount], policies: Policies, reporter: Reporter
) -> dict[str, Any]:
    """The report about one UTC day and one domain, in the words of RFC 8460 section 4.4."""
    kinds = list(dict.fromkeys(one.policy or PolicyType.NONE for one in counts))
    return {
        "organization-name": reporter.organization,
        "date-range": {"start-datetime": _second(day * DAY), "end-datetime": _second((day + 1) * DAY - 1)},
        "contact-info": reporter.contact,
        "report-id": report_id(day, domain, reporter),
        "policies": [
            _policy(kind, domain, [one for one in counts if (one.policy or PolicyType.NONE) == kind], policies)
            for kind in kinds
        ],
    }


def packed(report: Mapping[str, Any]) -> bytes:
    """The JSON, compressed; the same bytes for the same report."""
    return gzip.compress(json.dumps(report, ensure_ascii=False).encode(), mtime=0)


def filename(day: int, domain: str, reporter: Reporter) -> str:
    """RFC 8460 section 5.1."""
    return f"{reporter.domain}!{domain}!{day * DAY:.0f}!{(day + 1) * DAY - 1:.0f}!001.json.gz"


def mail(day: int, domain: str, report: Mapping[str, Any], reporter: Reporter, to: str, now: float) -> bytes:
    """The message to `to` (RFC 8460 section 5.3)."""
    boundary = f"=_{new_message_id(now)}"
    number = report_id(day, domain, reporter)
    name = filename(day, domain, reporter)
    subject = f"Report Domain: {domain} Submitter: {reporter.domain} Report-ID: <{number}>"
    head = (
        b"From: " + mailbox(reporter.organization, f"noreply-smtp-tls-reporting@{reporter.domain}") + b"\r\n"
        b"To: " + to.encode() + b"\r\n"
        b"Subject: " + encoded(subject, 9) + b"\r\n"
        b"TLS-Report-Domain: " + domain.encode() + b"\r\n"
        b"TLS-Report-Submitter: " + reporter.domain.encode() + b"\r\n"
        b"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="' + boundary.encode() + b'"\r\n\r\n'
    )  # fmt: skip
    attached = base64.encodebytes(packed(report)).replace(b"\n", b"\r\n")
    parts = (
        b"\r\n".join(text_part("plain", _for_people(domain, report, reporter))),
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment;\r\n filename="{name}"\r\n\r\n'.encode()
        + attached,
    )
    mark = f"--{boundary}".encode()
    return head + b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def _policy(kind: str, domain: str, counts: Sequence[TlsCount], policies: Policies) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": str(kind), "policy-domain": domain}
    if kind == PolicyType.STS and policies.sts is not None and policies.sts.mode is not StsMode.NONE:
        sts = policies.sts
        policy["policy-string"] = [
            "version: STSv1", f"mode: {sts.mode}", *(f"mx: {host}" for host in sts.mx), f"max_age: {sts.max_age}",
        ]  # fmt: skip
        policy["mx-host"] = list(sts.mx)
    if kind == PolicyType.TLSA and policies.tlsa:
        policy["policy-string"] = [text for host in sorted(policies.tlsa) for text in policies.tlsa[host]]
    failed = [one for one in counts if one.failure]
    return {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(one.sessions for one in counts if not one.failure),
            "total-failure-session-count": sum(one.sessions for one in failed),
        },
        **({"failure-details": [_detail(one) for one in failed[:MAX_DETAILS]]} if failed else {}),
    }


def _detail(one: TlsCount) -> dict[str, Any]:
    told = {
        "result-type": one.failure, "sending-mta-ip": one.source_ip, "receiving-mx-hostname": one.host,
        "receiving-ip": one.host_ip, "failed-session-count": one.sessions, "failure-reason-code": one.reason,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value != ""}


def _for_people(domain: str, report: Mapping[str, Any], reporter: Reporter) -> str:
    span = report["date-range"]
    lines = [
        f"This is an aggregate TLS report from {reporter.organization} ({reporter.domain})",
        f"about mail to {domain}, {span['start-datetime']} to {span['end-datetime']}.", "",
    ]  # fmt: skip
    for policy in report["policies"]:
        summary = policy["summary"]
        lines.append(
            f"{policy['policy']['policy-type']}: {summary['total-successful-session-count']} sessions succeeded, "
            f"{summary['total-failure-session-count']} failed"
        )
    return "\n".join((*lines, "", f"Questions: {reporter.contact}", ""))


def _second(at: float) -> str:
    return iso(at)[:19] + "Z"
