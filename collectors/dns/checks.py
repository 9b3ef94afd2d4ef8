"""Checks of the DNS records that mail from our domains and addresses depends on.

Each check is a function over core.ports.Resolver that returns findings: good ones, warnings and problems, each with a
remedy and, where a record is wanted, the exact record.  They ask and never change; a DNS failure is a finding of its
own ("cannot be known now"), never taken for an absent record.
"""

from collectors.dns.bimi import check_bimi
from collectors.dns.dkim import DkimWanted, check_dkim, check_seen_selector
from collectors.dns.dmarc import check_dmarc
from collectors.dns.finding import Finding, Language, Level, Text
from collectors.dns.host import check_source
from collectors.dns.receiving import (
    check_alias,
    check_dane,
    check_link_host,
    check_mta_sts,
    check_mx,
    check_tls_reporting,
)
from collectors.dns.spf import check_spf

__all__ = [
    "DkimWanted",
    "Finding",
    "Language",
    "Level",
    "Text",
    "check_alias",
    "check_bimi",
    "check_dane",
    "check_dkim",
    "check_dmarc",
    "check_link_host",
    "check_mta_sts",
    "check_mx",
    "check_seen_selector",
    "check_source",
    "check_spf",
    "check_tls_reporting",
]
