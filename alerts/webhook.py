"""Posts alerts as JSON to an address of the owner's: chat bridge, incident tool, own program.

The body is `{"version": "1", "node", "sentAt", "status", "alerts": [{"fingerprint", "status", "labels", "annotations",
"startsAt", "endsAt", "link"}]}`; instants are the service's own (RFC 3339, UTC), `endsAt` null while firing, `status`
"firing" when any alert is.  With a secret, `X-Penstock-Signature: sha256=HEX` is the HMAC-SHA256 of the exact body,
which holds `sentAt`, so that a receiver can refuse an old one.

One call is one POST: `alerts.keeper` owns the retries.  2xx is success; everything else, redirects too, raises
Unavailable with the status and never with the address, whose path may be a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence

import aiohttp

from alerts.ledger import fingerprint
from alerts.wire import post
from core.clock import iso
from core.errors import Unavailable
from core.ports import Clock
from core.state import Alert

SIGNATURE = "X-Penstock-Signature"


def signature(secret: bytes, body: bytes) -> str:
    """The header's value for a body."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


class WebhookSink:
    """Core.ports.AlertSink.  `timeout` in real seconds; `secret` b'' leaves the body unsigned."""

    refreshes = False

    def __init__(
        self,
        *,
        name: str,
        url: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        secret: bytes = b"",
        node: str = "",
        timeout: float = 10.0,
    ) -> None:
        self.name = name
        self._url = url
        self._session = session
        self._clock = clock
        self._secret = secret
        self._node = node
        self._timeout = timeout

    async def notify(self, alerts: Sequence[Alert]) -> None:
        """One signed POST.  Raises Unavailable unless it was answered with 2xx."""
        body = self._body(alerts)
        headers = {SIGNATURE: signature(self._secret, body)} if self._secret else {}
        status, text = await post(self._session, self._url, body, headers, self._timeout)
        if not 200 <= status < 300:
            raise Unavailable(f"answered {status} {text[:200]}".rstrip())

    def _body(self, alerts: Sequence[Alert]) -> bytes:
        rows = [
            {
                "fingerprint": fingerprint(alert),
                "status": "resolved" if alert.ends_at else "firing",
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": iso(alert.starts_at),
                "endsAt": iso(alert.ends_at) if alert.ends_at else None,
                "link": alert.link,
            }
            for alert in alerts
        ]
        document = {
            "version": "1",
            "node": self._node,
            "sentAt": iso(self._clock.now()),
            "status": "resolved" if all(alert.ends_at for alert in alerts) else "firing",
            "alerts": rows,
        }
        return json.dumps(document, ensure_ascii=False).encode()
