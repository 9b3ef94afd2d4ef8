"""DMARC aggregate reports (RFC 7489 appendix C, RFC 9990): unpack, parse, take in.

`parse_report_mail(content)` reads a report mail, `parse_aggregate(payload, filename)` one file.  Both are pure,
bounded and lossless: count in the file = count stored + count refused with a reason.
"""

from collectors.dmarc.defects import Defect, Limits, Refusal
from collectors.dmarc.mail import parse_report_mail
from collectors.dmarc.parse import parse_aggregate

__all__ = ["Defect", "Limits", "Refusal", "parse_aggregate", "parse_report_mail"]
