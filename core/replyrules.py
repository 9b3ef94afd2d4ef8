"""Reply rules: which replies of a provider lead to an automatic reaction.

The rules are data (`config/data/reply-rules.toml`, docs/reply-rules.md); `RuleBook` says which of them a reply is taken
by.  Pure and total.

Contract: rules are tried in order; the first that fits takes the reply, and later ones see it only if that rule says
`go_on`.  Every part that a rule gives must hold.  A pattern is searched, without regard to case, in
`CODE STATUS TEXT` of at most MAX_REPLY_TEXT characters, where IP addresses were replaced by `<ip>`.  Successes are
never taken.  A reply through a relay is the relay's: only rules of every provider see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.classify import BounceClass, code_pattern, masked
from core.lane import Scope, Traffic
from core.reaction import ReactionAction
from core.reply import Reply, Stage

OTHER = "other"  # stands for every provider that is not in the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a rule acts: `count` matching replies within `window` seconds (0: not by count), or a share of at least
    `rate` of all answers in the window, of which there must be `minimum`."""

    window: float
    count: int = 0
    rate: float = 0.0
    minimum: int = 1

    def acts(self, hits: int, answers: int) -> bool:
        """True when so many of so many are enough."""
        if self.count:
            return hits >= self.count
        return answers >= self.minimum and hits > 0 and hits >= self.rate * answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRule:
    """One rule.  Durations in domain seconds; a limit of 0 is left as it is."""

    name: str
    trigger: Trigger
    action: ReactionAction
    seconds: float
    longest: float  # each further acting while one is not over doubles `seconds`, up to this
    by: tuple[str, ...]  # parts of core.lane.Scope, and 'site'
    providers: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None
    classes: frozenset[BounceClass] = frozenset()
    codes: tuple[str, ...] = ()
    stages: frozenset[Stage] = frozenset()
    probe: int = 0
    connections: int = 0
    messages_per_connection: int = 0
    per_minute: float = 0.0
    alert: bool = False
    spare: tuple[str, ...] = ()
    go_on: bool = False
    remedy_en: str = ""
    remedy_ru: str = ""

    def scope(self, traffic: Traffic, site: str) -> tuple[Scope, str]:
        """What the rule counts together and acts on: a scope, and a site ('' for every one)."""
        lane = traffic.lane
        relayed = site.startswith("relay:")
        by = self.by
        scope = Scope(
            source=lane.source if "source" in by else "",
            sending_domain=lane.sending_domain if "sending_domain" in by else "",
            # a relay stands in for the provider: what it says is about its own site
            provider=lane.provider if "provider" in by and not relayed else "",
            stream=traffic.stream if "stream" in by else "",
            campaign=traffic.campaign if "campaign" in by else "",
            spare=self.spare,
        )
        return scope, site if "site" in by or (relayed and "provider" in by) else ""


@dataclass(frozen=True, slots=True)
class _Ready:
    rule: ReactionRule
    codes: re.Pattern[str] | None

    def takes(self, reply: Reply, bounce_class: BounceClass, text: str) -> bool:
        rule = self.rule
        if rule.classes and bounce_class not in rule.classes:
            return False
        if rule.stages and reply.stage not in rule.stages:
            return False
        codes = self.codes
        if codes is not None and not (
            codes.fullmatch(str(reply.code)) or (reply.status and codes.fullmatch(reply.status))
        ):
            return False
        return rule.pattern is None or rule.pattern.search(text) is not None


class RuleBook:
    """See the module.  `known` are the names of the provider table."""

    def __init__(self, rules: Sequence[ReactionRule], known: Sequence[str] = ()) -> None:
        self.rules = tuple(rules)
        self._known = frozenset(known)
        self._ready = tuple(_Ready(rule, _codes(rule.codes)) for rule in rules)
        self._of: dict[str, tuple[_Ready, ...]] = {}

    def of_provider(self, provider: str) -> tuple[ReactionRule, ...]:
        """The rules that may take a reply of this provider."""
        return tuple(ready.rule for ready in self._for(self._family(provider)))

    def taken_by(self, reply: Reply, provider: str, bounce_class: BounceClass) -> list[ReactionRule]:
        """The rules that take this reply; none for a success or when no host answered and no rule asks for that."""
        if reply.is_success:
            return []
        ready = self._for(self._family(provider))
        if not ready:
            return []
        text = masked(str(reply))
        found: list[ReactionRule] = []
        for one in ready:
            if one.takes(reply, bounce_class, text):
                found.append(one.rule)
                if not one.rule.go_on:
                    break
        return found

    def _family(self, provider: str) -> str:
        if provider.startswith("relay:"):
            return "relay:"
        return provider if provider in self._known else OTHER

    def _for(self, family: str) -> tuple[_Ready, ...]:
        found = self._of.get(family)
        if found is None:
            found = self._of[family] = tuple(
                one for one in self._ready if not one.rule.providers or family in one.rule.providers
            )
        return found


def _codes(codes: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{code_pattern(code)})" for code in codes)) if codes else None
