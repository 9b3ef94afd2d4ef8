"""Daily DMARC aggregate reports of the sandbox's providers, with true counts (RFC 9990; RFC 7489 appendix C).

Contract: a Keeper of the providers' hosts.  Every message that a provider took is counted under its source address and
authentication results, by UTC day of domain time.  `close` makes one report mail for each provider, day and domain
that has ended, addressed to the rua of the domain's own DMARC record, due within a few hours.  No record, no rua: no
report, as in the world.  Counts survive a restart through `dump`/`load`.
"""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any
from xml.sax.saxutils import escape

from core.lane import DAY, HOUR, day_of
from sandbox.auth import Authenticator
from sandbox.behaviour import Behaviour
from sandbox.dns import ZoneResolver
from sandbox.feedback import date_of
from sandbox.host import Taken
from sandbox.outbox import Outbox, ReturnedMail

MAX_ROWS = 2000  # kinds of rows a day; more are counted under the first
# source ip, header from, envelope from, spf result, dkim domain, selector, dkim result, dkim aligned, spf aligned
Row = tuple[str, str, str, str, str, str, str, str, str]


class DmarcTally:
    """Counts and reports."""

    def __init__(self, zone: ZoneResolver, authenticator: Authenticator, outbox: Outbox, seed: int) -> None:
        self._zone = zone
        self._authenticator = authenticator
        self._outbox = outbox
        self._rng = Random(f"{seed} dmarc")
        self._counts: dict[tuple[str, int], Counter[Row]] = {}

    def __call__(self, behaviour: Behaviour, taken: Taken) -> None:
        results = self._authenticator.check(taken.sent)
        signature = next((s for s in results.signatures if s.passed), next(iter(results.signatures), None))
        row: Row = (
            taken.sent.ip,
            results.header_from,
            results.envelope_from,
            results.spf,
            signature.domain if signature else "",
            signature.selector if signature else "",
            "none" if signature is None else "pass" if signature.passed else "fail",
            "pass" if results.dkim_aligned else "fail",
            "pass" if results.spf_aligned else "fail",
        )
        counts = self._counts.setdefault((behaviour.name, day_of(taken.sent.at)), Counter())
        if row in counts or len(counts) < MAX_ROWS:
            counts[row] += 1
        else:
            counts[next(iter(counts))] += 1

    def close(self, behaviours: Mapping[str, Behaviour], now: float) -> int:
        """Send the reports of every day that has ended.  How many."""
        made = 0
        for name, day in [key for key in self._counts if key[1] < day_of(now)]:
            counts = self._counts.pop((name, day))
            behaviour = behaviours.get(name)
            if behaviour is None:
                continue
            for domain in sorted({row[1] for row in counts}):
                policy_domain, record = self._policy(domain)
                rua = record.get("rua", "").partition(",")[0]
                if not rua.startswith("mailto:"):
                    continue
                due = now + self._rng.uniform(0.5, 4) * HOUR
                rows = {row: n for row, n in counts.items() if row[1] == domain}
                content = report_mail(behaviour, policy_domain, record, rows, day, rua[7:], due)
                mail = ReturnedMail(
                    mail_from=behaviour.report_sender, rcpt_to=rua[7:], content=content, from_ip=behaviour.address
                )
                self._outbox.put(due, mail)
                made += 1
        return made

    def dump(self) -> list[Any]:
        """Counts of days that have not ended, JSON-able."""
        return [
            [name, day, [[*row, count] for row, count in rows.items()]] for (name, day), rows in self._counts.items()
        ]

    def load(self, stored: list[Any]) -> None:
        """Take up what `dump` gave."""
        for name, day, rows in stored:
            counts = self._counts.setdefault((name, day), Counter())
            for *row, count in rows:
                counts[tuple(row)] += count

    def _policy(self, domain: str) -> tuple[str, dict[str, str]]:
        """The policy that covers a From domain: its own record or that of a parent (RFC 9989, tree walk)."""
        labels = domain.split(".")
        for start in range(max(1, len(labels) - 1)):
            name = ".".join(labels[start:])
            record = self._zone.text_now(f"_dmarc.{name}")
            if record.startswith("v=DMARC1"):
                pairs = (part.partition("=") for part in record.split(";"))
                return name, {k.strip(): v.strip() for k, _, v in pairs if k.strip()}
        return domain, {}


def report_mail(
    behaviour: Behaviour,
    domain: str,
    record: Mapping[str, str],
    rows: Mapping[Row, int],
    day: int,
    to: str,
    at: float,
) -> bytes:
    """One report as mail: the XML, gzipped, as attachment."""
    begin, end = int(day * DAY), int((day + 1) * DAY) - 1
    report_id = f"{begin}.{behaviour.name}.{domain}"
    name = f"{behaviour.report_name.lower()}!{domain}!{begin}!{end}.xml.gz"
    packed = gzip.compress(_xml(behaviour, domain, record, rows, begin, end, report_id).encode(), mtime=begin)
    boundary = f"=_dmarc_{begin}_{behaviour.name}"
    head = (
        f"From: {behaviour.report_sender}\r\nTo: {to}\r\n"
        f"Subject: Report domain: {domain} Submitter: {behaviour.report_name} Report-ID: {report_id}\r\n"
        f"Date: {date_of(at)}\r\nMessage-ID: <{report_id}@{behaviour.report_sender.rpartition('@')[2]}>\r\n"
        f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'
    )
    body = (
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        f"This is an aggregate report from {behaviour.report_name}.\r\n"
        f'--{boundary}\r\nContent-Type: application/gzip; name="{name}"\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    encoded = base64.encodebytes(packed).replace(b"\n", b"\r\n")
    return (head + body).encode() + encoded + f"--{boundary}--\r\n".encode()


def _xml(
    behaviour: Behaviour,
    domain: str,
    record: Mapping[str, str],
    rows: Mapping[Row, int],
    begin: int,
    end: int,
    report_id: str,
) -> str:
    policy = escape(record.get("p", "none"))
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<feedback>\n<version>1.0</version>\n<report_metadata>',
        f"<org_name>{escape(behaviour.report_name)}</org_name><email>{escape(behaviour.report_sender)}</email>",
        f"<report_id>{escape(report_id)}</report_id>",
        f"<date_range><begin>{begin}</begin><end>{end}</end></date_range>\n</report_metadata>",
        f"<policy_published><domain>{escape(domain)}</domain><adkim>r</adkim><aspf>r</aspf>",
        f"<p>{policy}</p><sp>{policy}</sp><pct>100</pct></policy_published>",
    ]
    for row, count in rows.items():
        ip, header_from, envelope_from, spf, dkim_domain, selector, dkim, dkim_aligned, spf_aligned = map(escape, row)
        signed = (
            f"<dkim><domain>{dkim_domain}</domain><selector>{selector}</selector><result>{dkim}</result></dkim>"
            if dkim_domain
            else ""
        )
        parts.append(
            f"<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated>"
            f"<disposition>none</disposition><dkim>{dkim_aligned}</dkim><spf>{spf_aligned}</spf></policy_evaluated></row>"
            f"<identifiers><envelope_from>{envelope_from}</envelope_from><header_from>{header_from}</header_from>"
            f"</identifiers><auth_results>{signed}<spf><domain>{envelope_from}</domain><result>{spf}</result></spf>"
            "</auth_results></record>"
        )
    return "\n".join([*parts, "</feedback>\n"])
