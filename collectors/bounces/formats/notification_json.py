"""Notifications of Amazon SES through SNS: one JSON object as the text of a mail.

Bounces and deliveries are findings here; complaints are read by collectors.arf's caller through `complained`.
"""

from __future__ import annotations

import json
from typing import Any

from collectors.bounces.diagnostic import find_address, read_reply
from collectors.bounces.finding import Action, Finding
from collectors.bounces.notice import Notice
from collectors.bounces.prose import MAX_FINDINGS

_MAX_JSON = 200_000


def notification(notice: Notice) -> dict[str, Any]:
    """The object, empty when the text is none."""
    text = notice.whole_text.lstrip()[:_MAX_JSON]
    if not text.startswith("{") or ("notificationType" not in text[:_MAX_JSON] and "eventType" not in text):
        return {}
    try:
        found, _ = json.JSONDecoder().raw_decode(text.replace("\n ", "").replace("\n", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def complained(notice: Notice) -> list[str]:
    """Addresses of a complaint notification."""
    told = notification(notice).get("complaint")
    rows = told.get("complainedRecipients") if isinstance(told, dict) else None
    return [address for row in _rows(rows) if (address := find_address(str(row.get("emailAddress", ""))))]


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value[:MAX_FINDINGS] if isinstance(row, dict)] if isinstance(value, list) else []


class NotificationJson:
    """See the module."""

    name = "amazon-ses-notification"
    order = 1

    def read(self, notice: Notice) -> list[Finding]:
        told = notification(notice)
        bounce, delivery = told.get("bounce"), told.get("delivery")
        found: list[Finding] = []
        if isinstance(bounce, dict):
            for row in _rows(bounce.get("bouncedRecipients")):
                said = str(row.get("diagnosticCode", "")).partition(";")
                reply = read_reply(said[2] or said[0], status=str(row.get("status", ""))[:10])
                action = Action.DELAYED if row.get("action") == "delayed" else Action.FAILED
                found.append(
                    Finding(address=find_address(str(row.get("emailAddress", ""))), action=action, reply=reply)
                )
        elif isinstance(delivery, dict):
            reply = read_reply(str(delivery.get("smtpResponse", "")))
            recipients = delivery.get("recipients")
            for address in recipients[:MAX_FINDINGS] if isinstance(recipients, list) else []:
                found.append(Finding(address=find_address(str(address)), action=Action.DELIVERED, reply=reply))
        return found


FORMAT = NotificationJson()
