"""Reply rules and their reactions for people and machines: as JSON, in a line, and the end by a person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.clock import iso
from core.errors import InvalidInput
from core.feedback import ReplyCluster
from core.reaction import Lessons, Lore, Reaction, ReplyRuleEnded, Rest
from core.replyrules import ReactionRule


async def end_reaction(lore: Lore, key: str, *, by: str, now: float) -> Reaction:
    """End a reaction that is in force.  Raises InvalidInput when none of that key is."""
    found = next((one for one in await lore.in_force() if one.key == key), None)
    if found is None:
        raise InvalidInput(
            "key", f"{key[:200]!r} is not in force", "`penstock rules list` and GET /v1/rules show what is"
        )
    event = ReplyRuleEnded(
        at=now, key=found.key, rule=found.rule, action=found.action, scope=found.scope, site=found.site, by=by,
        detail="ended by hand",
    )  # fmt: skip
    await lore.tell(Lessons(ended=[(replace(found, ended=now), event)]), now)
    return found


def rule_words(rule: ReactionRule) -> str:
    """A rule in a line."""
    who = "/".join(sorted(rule.providers)) or "every provider"
    what = " · ".join(
        part
        for part in (
            "/".join(sorted(rule.classes)), " ".join(rule.codes), "/".join(sorted(rule.stages)),
            f"/{rule.pattern.pattern}/" if rule.pattern else "",
        )
        if part
    )  # fmt: skip
    trigger = rule.trigger
    plural = "reply" if trigger.count == 1 else "replies"
    when = f"{trigger.count} {plural}" if trigger.count else f"{trigger.rate:.1%} of at least {trigger.minimum} answers"
    limits = ", ".join(
        f"{value:g} {name}"
        for value, name in (
            (rule.connections, "connections"), (rule.messages_per_connection, "messages a connection"),
            (rule.per_minute, "a minute"),
        )
        if value
    )  # fmt: skip
    probe = f", probe {rule.probe}" if rule.probe else ""
    return (
        f"{who}: {what}; {when} in {trigger.window / 60:g} min → {rule.action}"
        f"{f' ({limits})' if limits else ''} by {', '.join(rule.by)} for {rule.seconds / 60:g} min{probe}"
    )


def rule_json(rule: ReactionRule, note: str = "") -> dict[str, Any]:
    """A rule."""
    trigger = rule.trigger
    return {
        "name": rule.name, "note": note, "providers": sorted(rule.providers),
        "pattern": rule.pattern.pattern if rule.pattern else "", "classes": sorted(rule.classes),
        "codes": list(rule.codes), "stages": sorted(rule.stages), "count": trigger.count or None,
        "rate": trigger.rate or None, "minimum": trigger.minimum if trigger.rate else None,
        "window_minutes": trigger.window / 60, "by": list(rule.by), "action": str(rule.action),
        "minutes": rule.seconds / 60, "max_minutes": rule.longest / 60, "probe": rule.probe,
        "connections": rule.connections, "messages_per_connection": rule.messages_per_connection,
        "per_minute": rule.per_minute, "alert": rule.alert, "spares": list(rule.spare), "go_on": rule.go_on,
        "remedy_en": rule.remedy_en, "remedy_ru": rule.remedy_ru,
    }  # fmt: skip


def reaction_json(one: Reaction, now: float) -> dict[str, Any]:
    """A reaction in force."""
    return {
        "key": one.key, "rule": one.rule, "action": str(one.action), "scope": one.scope.key, "site": one.site,
        "spares": list(one.scope.spare), "state": "probing" if one.probing(now) else "acting", "since": iso(one.since),
        "until": iso(one.until), "strikes": one.strikes, "probe": one.probe, "passed": one.passed,
        "connections": one.connections, "messages_per_connection": one.messages_per_connection,
        "per_minute": one.per_minute, "alert": one.alert,
        "evidence": {
            "hits": one.hits, "answers": one.answers, "window_minutes": one.window / 60, "sample": one.sample,
        },
    }  # fmt: skip


def rest_json(one: Rest) -> dict[str, Any]:
    """A pair that rests; `site` '' is a whole source."""
    return {
        "source": one.source, "site": one.site, "since": iso(one.troubled), "until": iso(one.until),
        "strikes": one.strikes,
    }  # fmt: skip


def cluster_json(one: ReplyCluster) -> dict[str, Any]:
    """A cluster of replies that no rule knows."""
    return {
        "provider": one.provider, "shape": one.shape, "count": one.count, "first": iso(one.first_at),
        "last": iso(one.last_at), "sample": one.sample,
    }  # fmt: skip
