"""What a webhook of events carries: the body of a batch and its signature.  Pure; documented in docs/webhooks.md.

The signature is HMAC-SHA256 over `TIMESTAMP.BODY` with the endpoint's secret, sent as `v1=HEX`; a receiver refuses a
timestamp that is old, so that a recorded request cannot be played again.  A batch never grows beyond `MAX_BYTES`,
except for a single event that is larger by itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from core.clock import iso
from core.events import Accepted, Logged
from core.tokens import MessageId

VERSION = 1
MAX_BYTES = 1_000_000
TIMESTAMP, SIGNATURE, DELIVERY = "X-Penstock-Timestamp", "X-Penstock-Signature", "X-Penstock-Delivery"


def event_json(logged: Logged, accepted: Mapping[MessageId, Accepted]) -> bytes:
    """One event: `id` is its place in the log, by which a receiver knows what it had already."""
    event = logged.event
    said: dict[str, object] = {"id": logged.seq, "event": type(event).__name__, "at": iso(event.at)}
    message_id = getattr(event, "message_id", None)
    if message_id:
        said["message_id"] = message_id
        origin = accepted.get(message_id)
        if origin is not None:
            said["stream"], said["campaign"] = origin.stream, origin.campaign
            said["metadata"], said["list_source"] = origin.metadata, origin.list_source
    said["data"] = event
    return to_json(said, inf_nan_mode="null")


def batch_of(events: Sequence[bytes]) -> int:
    """How many of these fit one request; at least one."""
    size = 0
    for count, event in enumerate(events):
        size += len(event) + 1
        if size > MAX_BYTES and count:
            return count
    return len(events)


def body_of(node: str, endpoint: str, delivery: str, events: Sequence[bytes]) -> bytes:
    """The whole body."""
    head = to_json({"version": VERSION, "node": node, "endpoint": endpoint, "delivery": delivery})
    return head[:-1] + b',"events":[' + b",".join(events) + b"]}"


def signed(body: bytes, secret: bytes, now: float, delivery: str) -> dict[str, str]:
    """The headers of a request that is sent at `now` (epoch seconds)."""
    stamp = str(int(now))
    mac = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json", TIMESTAMP: stamp, SIGNATURE: f"v1={mac}", DELIVERY: delivery,
        "User-Agent": "Penstock",
    }  # fmt: skip
