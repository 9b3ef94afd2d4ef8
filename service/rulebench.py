"""Runs replies through the reply rules, as a sender would: `penstock rules test`.  Pure but for reading lines.

Contract: a line is a reply (`421 4.7.28 …`), perhaps after a provider's name (`gmail 421 …`), or a JSON object with
`reply` and perhaps `provider`, `stage`, `count` (how often, 1 by default), `at` (seconds from the start, rising),
`source`, `sending_domain`, `site`, `stream`.  Replies of success count as answers: a share needs them.  One process
hears everything.  Raises InvalidInput that names the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from core.classify import BounceClass, Classifier
from core.errors import InvalidInput
from core.lane import Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.reaction import Reaction
from core.reply import Reply, Stage, parse_reply
from core.replyrules import RuleBook
from sender.replies.reactor import Reactor, limits_text

START = 1_700_000_000.0
MAX_COUNT = 1_000_000
MAX_LINE = 10_000
_LINE = re.compile(r"(?:(?P<provider>[a-z][\w.:-]*)[ \t]+)?(?P<reply>[2-5]\d\d(?:[ -].*)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One line of the input."""

    reply: Reply
    traffic: Traffic
    site: str
    count: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a line: its class, the rules that took it, and the reactions that it began."""

    heard: Heard
    bounce_class: BounceClass
    known: bool
    rules: tuple[str, ...]
    began: tuple[Reaction, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "reply": str(self.heard.reply), "provider": self.heard.traffic.lane.provider, "count": self.heard.count,
            "class": str(self.bounce_class), "known": self.known, "rules": list(self.rules),
            "acted": [
                {
                    "rule": one.rule, "action": str(one.action), "scope": one.scope.key, "site": one.site,
                    "minutes": round((one.until - one.since) / 60, 3), "limits": limits_text(one),
                    "probe": one.probe, "hits": one.hits, "answers": one.answers,
                }
                for one in self.began
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        times = f" ×{self.heard.count}" if self.heard.count > 1 else ""
        head = f"{self.heard.traffic.lane.provider or '?'}{times}: {str(self.heard.reply)[:110]}"
        if self.heard.reply.is_success:
            return f"{head}\n    an answer of success"
        rules = ", ".join(self.rules) or "no rule"
        lines = [head, f"    {self.bounce_class}{'' if self.known else ' (by its code alone)'}; taken by {rules}"]
        for one in self.began:
            limits = f" ({limits_text(one)})" if limits_text(one) else ""
            probe = f", then a probe of {one.probe}" if one.probe else ""
            where = one.scope.key + (f",site={one.site}" if one.site else "")
            lines.append(
                f"    {one.rule} acts after {one.hits:,} of {one.answers:,}: {one.action}{limits} over {where} for "
                f"{(one.until - one.since) / 60:,.3g} min{probe}"
            )
        return "\n".join(lines)


def try_replies(lines: Iterable[Heard], book: RuleBook, classifier: Classifier) -> Iterator[Tried]:
    """What the rules do with these, in order."""
    reactor = Reactor(book, "bench")
    for heard in lines:
        provider = heard.traffic.lane.provider
        diagnosis = classifier.classify(heard.reply, provider)
        began: list[Reaction] = []
        now = START + heard.at
        reactor.turn(now)
        for _ in range(heard.count):
            reactor.learn(heard.traffic, heard.site, heard.reply, diagnosis, now)
            began += [reaction for reaction, _ in reactor.take_lessons().begun]
        taken = book.taken_by(heard.reply, provider, diagnosis.bounce_class)
        yield Tried(
            heard=heard, bounce_class=diagnosis.bounce_class, rules=tuple(rule.name for rule in taken),
            known=heard.reply.is_success or diagnosis.rule not in ("", "code"), began=tuple(began),
        )  # fmt: skip


def read_lines(lines: Iterable[str], *, provider: str = "") -> Iterator[Heard]:
    """The replies of a file; empty lines and those that begin with # are passed over."""
    last = 0.0
    for number, line in enumerate(lines, 1):
        text = line.strip()[:MAX_LINE]
        if not text or text.startswith("#"):
            continue
        heard = _heard(_object(text, f"line {number}"), f"line {number}", provider, last)
        last = heard.at
        yield heard


def _object(text: str, where: str) -> dict[str, Any]:
    if not text.startswith("{"):
        match = _LINE.fullmatch(text)
        if match is None:
            raise InvalidInput(where, f"{text[:60]!r} is no reply", "Write 'gmail 421 4.7.28 …' or a JSON object")
        return {name: value for name, value in match.groupdict().items() if value}
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(where, f"is no JSON object ({error})", 'Write {"reply": "421 …"}') from error
    known = {"reply", "provider", "stage", "count", "at", "source", "sending_domain", "site", "stream"}
    if not isinstance(told, dict) or (unknown := told.keys() - known):
        said = f"has unknown keys {sorted(unknown)}" if isinstance(told, dict) else "is no object"
        raise InvalidInput(where, said, f"Keys: {', '.join(sorted(known))}")
    return told


def _heard(told: dict[str, Any], where: str, provider: str, last: float) -> Heard:
    try:
        count, at = int(told.get("count", 1)), float(told.get("at", last))
        stage = Stage(told["stage"]) if told.get("stage") else Stage.MAIL
        text = str(told["reply"])
    except KeyError as error:
        raise InvalidInput(where, f"lacks {error}", 'Write {"reply": "421 …"}') from error
    except (ValueError, TypeError) as error:
        raise InvalidInput(where, str(error), f"Stages: {', '.join(Stage)}") from error
    if not 1 <= count <= MAX_COUNT:
        raise InvalidInput(where, f"count is {count}", f"Write 1 to {MAX_COUNT:,}")
    if not last <= at < 1e9:
        raise InvalidInput(where, f"at is {at:g}, before the line above", "Times only rise")
    reply = parse_reply(text, stage)
    if not reply.code:
        raise InvalidInput(where, f"{text[:60]!r} has no code", "Write the whole reply, beginning with its code")
    if reply.is_success:
        reply = Reply(code=reply.code, text=reply.text, status=reply.status, stage=Stage.FINAL)
    name = str(told.get("provider") or provider)
    lane = Lane(
        source=Source(str(told.get("source", "source"))),
        sending_domain=SendingDomain(str(told.get("sending_domain", "example.com"))), provider=Provider(name),
    )  # fmt: skip
    traffic = Traffic(lane=lane, stream=Stream(str(told.get("stream", "bulk"))))
    return Heard(reply=reply, traffic=traffic, site=str(told.get("site", f"mx.{name}")), count=count, at=at)
