"""Reading bounce mails: every format known, tried in order.

Contract: `read_bounce(notice)` gives one Finding a recipient, empty when no format recognises the mail.  A structured
report (RFC 3464) is read first; when it names recipients without explaining, the human text beside it is added as
`prose`.  Raises Refused when a mail names more recipients than MAX_RECIPIENTS: one message of ours has one.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from collectors.bounces import formats
from collectors.bounces.finding import Action, Finding, Format
from collectors.bounces.notice import Notice
from collectors.mime import Refusal, Refused

__all__ = ["FORMATS", "MAX_RECIPIENTS", "Action", "Finding", "Format", "Notice", "read_bounce"]
MAX_RECIPIENTS = 2_000
MAX_EXPLAINED = 50  # recipients for whom the human text is searched


def _load() -> tuple[Format, ...]:
    found: list[Format] = []
    for module in pkgutil.iter_modules(formats.__path__):
        found.append(importlib.import_module(f"{formats.__name__}.{module.name}").FORMAT)
    return tuple(sorted(found, key=lambda one: (one.order, one.name)))


FORMATS = _load()


def read_bounce(notice: Notice) -> list[Finding]:
    """See the module."""
    for format_ in FORMATS:
        found = format_.read(notice)
        if not found:
            continue
        if len(found) > MAX_RECIPIENTS:
            raise Refused(Refusal.TOO_MANY_RECIPIENTS, f"more than {MAX_RECIPIENTS} recipients")
        return _explained(notice, found) if format_.order == 0 else found
    return []


def _explained(notice: Notice, found: list[Finding]) -> list[Finding]:
    """Structured findings with what the human text says about each."""
    text = notice.text
    if not text.strip() or len(found) > MAX_EXPLAINED:
        return found
    out: list[Finding] = []
    low = text.lower()
    starts = sorted(at for at in (low.find(one.address.lower()) for one in found if one.address) if at >= 0)
    for one in found:
        at = low.find(one.address.lower()) if one.address else -1
        if len(found) == 1:
            prose = text
        elif at >= 0:
            following = [other for other in starts if other > at]
            prose = text[at : following[0] if following else len(text)]
        else:
            prose = ""
        out.append(replace(one, prose=prose[:3000]))
    return out
