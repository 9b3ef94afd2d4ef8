"""Groups reply texts that no rule knows by what they say, whatever address, host or id they say it about.  Pure.

Contract: `shape(text)` is the text in lower case with addresses, hosts, links, ids and numbers masked; texts of one
form have one shape.  Bounded in length, and a batch in the number of its clusters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.feedback import ReplyCluster
from core.reply import Reply

MAX_SHAPE = 200
MAX_CLUSTERS = 200  # of one batch: a flood of nonsense must not grow the table without end
OTHER = "(other texts)"
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"[\w.+=-]{1,64}@[\w.-]{1,255}"), "<address>"),
    (re.compile(r"\[?\b\d{1,3}(?:\.\d{1,3}){3}\b\]?|\b(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}\b"), "<ip>"),
    (re.compile(r"\b(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b"), "<host>"),
    (re.compile(r"(?=[a-z0-9_.-]*\d)(?=[a-z0-9_.-]*[a-z])\b[a-z0-9_.-]{6,}\b"), "<id>"),
    (re.compile(r"\d+"), "<n>"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownReply:
    """A refusal that no rule knows."""

    at: float
    provider: str
    reply: Reply


def shape(reply: Reply) -> str:
    """What a reply says, without whom it says it to."""
    text = reply.text[: 2 * MAX_SHAPE].lower()
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    head = " ".join(part for part in (str(reply.code) if reply.code else "", reply.status) if part)
    return f"{head} {' '.join(text.split())}".strip()[:MAX_SHAPE]


def clusters(replies: Iterable[UnknownReply]) -> list[ReplyCluster]:
    """One cluster a provider and shape; `sample` is the newest text."""
    found: dict[tuple[str, str], ReplyCluster] = {}
    for one in replies:
        key = (one.provider, shape(one.reply))
        if key not in found and len(found) >= MAX_CLUSTERS:
            key = (one.provider, OTHER)
        before = found.get(key)
        if before is None:
            found[key] = ReplyCluster(
                provider=key[0], shape=key[1], count=1, first_at=one.at, last_at=one.at, sample=str(one.reply)[:300]
            )
        else:
            found[key] = replace(
                before, count=before.count + 1, last_at=max(before.last_at, one.at), sample=str(one.reply)[:300]
            )
    return list(found.values())
