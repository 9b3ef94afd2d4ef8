"""Checks of reply rules and retry schedules: a rule that can never match, or never act, is an error.  Pure.

What is found: names that are not known (providers), parts that exclude one another (a code of success, an example
that the rule does not take, one that an earlier rule takes first, one that is classified otherwise than the rule
says), triggers that no window can hold, actions that would change nothing, patterns that a hostile reply could make
slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from config.model import Settings
from config.problems import Problem
from config.reaction_tables import ReactionRow, RetryRow
from config.tables import ProviderRow
from core.classify import BounceClass, Classifier
from core.reaction import ReactionAction
from core.reply import Reply, Stage, parse_reply
from core.replyrules import OTHER, ReactionRule, RuleBook

MOST_PER_SECOND = 5000.0  # answers that one installation can hear: the limit of its signatures, docs/performance.md
_FOUND = Iterator[tuple[str, str, str]]
_NO_LIMIT = (ReactionAction.STOP, ReactionAction.ALERT)
_CONNECTIONS = (ReactionAction.ONE_CONNECTION, ReactionAction.RETUNE)
_CODE = re.compile(r"[45]\d\d|[45]xx|xxx|[45x]\.\d{1,3}\.(?:\d{1,3}(?:-\d{1,3})?)?")
_UNBOUNDED = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A rule with the place where it stands; `shipped`: in our own table, behind the owner's rules."""

    file: str
    key: str
    row: ReactionRow
    rule: ReactionRule
    shipped: bool = False


def check_reactions(
    rules: Sequence[Standing], providers: Sequence[ProviderRow], classifier: Classifier, settings: Settings
) -> list[Problem]:
    """Every problem of the rules that are on, in their order."""
    found: list[Problem] = []
    table = {row.name: row for row in providers}
    book = RuleBook([one.rule for one in rules], list(table))
    for index, one in enumerate(rules):
        rows = [
            *_matching(one.row, table),
            *_trigger(one.row),
            *_action(one.row, table, settings),
            *_examples(one, rules, book, classifier, table),
            *_covered(one, rules[:index]),
        ]
        found += [Problem(file=one.file, key=f"{one.key}.{key}", problem=said, remedy=cure) for key, said, cure in rows]
    return found


def check_retries(rows: Sequence[tuple[str, str, RetryRow]], known: frozenset[str], shipped: str) -> list[Problem]:
    """Every problem of the retry schedules.  The owner's may take all deferrals of rows of the file `shipped`."""
    found: list[Problem] = []
    earlier: list[RetryRow] = []
    for index, (file, key, row) in enumerate(rows):
        if file == shipped and (not index or rows[index - 1][0] != shipped):
            earlier.clear()
        if row.off:
            continue
        said = list(_unknown_providers(row.providers, known))
        if any(minutes <= 0 for minutes in row.minutes):
            said.append(("minutes", "holds a wait of 0 or less", "Write minutes above 0"))
        for before in earlier:
            if _takes_all(before.providers, row.providers) and _takes_all(before.classes, row.classes):
                said.append(("name", f"'{before.name}' takes all of its deferrals first", "Put it before that one"))
        earlier.append(row)
        found += [Problem(file=file, key=f"{key}.{part}", problem=p, remedy=cure) for part, p, cure in said]
    return found


def _matching(row: ReactionRow, table: dict[str, ProviderRow]) -> _FOUND:
    yield from _unknown_providers(row.providers, frozenset(table))
    if not (row.pattern or row.classes or row.codes or row.stages):
        yield "pattern", "is missing: the rule would take every refusal", "Give pattern, classes, codes or stages"
    for index, code in enumerate(row.codes):
        if not _CODE.fullmatch(code):
            yield f"codes[{index}]", f"'{code}' is no code of a refusal", "Write 421, 4xx, 4.7.28, 4.7. or 5.7.606-649"
    if row.pattern and _may_explode(row.pattern):
        yield "pattern", "repeats a repetition: a hostile reply could hold a sender up", "Write it without (…+)+"
    if row.pattern and re.compile(row.pattern).search(""):
        yield "pattern", "matches a reply that says nothing", "Name the words that it looks for"
    if row.pattern and not row.examples:
        yield "examples", "is missing: nothing shows that the pattern can match", "Give a reply that it must take"


def _trigger(row: ReactionRow) -> _FOUND:
    if (row.count is None) == (row.rate is None):
        yield "count", "and rate: a rule has one of them", "Write count = 1 to act at once, or a rate with its minimum"
    holds = MOST_PER_SECOND * row.window_minutes * 60
    if row.count is not None and row.count > holds:
        said = f"is more than {row.window_minutes:g} minutes can hold ({holds:,.0f} answers)"
        yield "count", said, "Lower it, or widen window_minutes"
    if row.rate is not None and row.minimum > holds:
        said = f"is more than {row.window_minutes:g} minutes can hold ({holds:,.0f} answers)"
        yield "minimum", said, "Lower it, or widen window_minutes"


def _action(row: ReactionRow, table: dict[str, ProviderRow], settings: Settings) -> _FOUND:
    action = row.action
    if action is ReactionAction.SLOW and not row.per_minute:
        yield "per_minute", "is missing: slow means at most so many", "Write messages a minute"
    if action is ReactionAction.RETUNE and not (row.connections or row.messages_per_connection or row.per_minute):
        yield "connections", "is missing: the rule retunes nothing", "Give a limit that it sets"
    if action not in (ReactionAction.SLOW, ReactionAction.RETUNE) and row.per_minute:
        yield "per_minute", f"does nothing with {action}", "Remove it, or use slow"
    if action is not ReactionAction.RETUNE and row.connections:
        yield "connections", f"does nothing with {action}", "Remove it, or use retune"
    if action in (*_NO_LIMIT, ReactionAction.SLOW) and row.messages_per_connection:
        yield "messages_per_connection", f"does nothing with {action}", "Remove it, or use retune"
    if action is ReactionAction.ALERT and row.probe:
        yield "probe", "does nothing with alert: mail was never held", "Remove it"
    if row.max_minutes is not None and row.max_minutes < row.minutes:
        yield "max_minutes", "is below minutes", "Raise it, or shorten the action"
    if len(set(row.by)) != len(row.by):
        yield "by", "names a part twice", "Name each once"
    if action in _CONNECTIONS and not set(row.by) & {"provider", "site"}:
        yield "by", f"{action} is about connections to somebody", "Add provider or site"
    if action in _CONNECTIONS and set(row.by) & {"stream", "campaign"}:
        yield "by", f"{action} by stream or campaign changes nothing: one connection carries all of them", "Remove it"
    limits = [table[name] for name in row.providers if name in table] or [ProviderRow(name="other", mx=["invalid"])]
    for key in ("connections", "messages_per_connection"):
        given, most = getattr(row, key), max(getattr(limit, key) for limit in limits)
        if action is ReactionAction.RETUNE and given and given >= most:
            yield key, f"is not below what the provider table allows ({most}): it changes nothing", "Lower it"
    if (
        action is ReactionAction.ONE_CONNECTION
        and not row.messages_per_connection
        and all(limit.connections == 1 for limit in limits)
    ):
        yield "action", "one_connection changes nothing: the provider table allows no more", "Use slow or stop"
    if row.spare_transactional and all(stream.kind == "transactional" for stream in settings.streams):
        yield "spare_transactional", "spares every stream: the rule never acts", "Remove it"


def _examples(
    one: Standing, rules: Sequence[Standing], book: RuleBook, classifier: Classifier, table: dict[str, ProviderRow]
) -> _FOUND:
    """Each example must be taken by its own rule, for every provider that the rule names.

    A shipped one may be taken by a rule of the owner: whoever writes it wants it to be first."""
    row = one.row
    alone = RuleBook([one.rule], list(table))
    owners = [other.rule for other in rules if not other.shipped]
    for index, text in enumerate(row.examples):
        key = f"examples[{index}]"
        reply = parse_reply(text, _stage(row))
        if reply.is_success or not reply.code:
            yield key, "is no refusal", "Write the whole reply, beginning with its code"
            continue
        for provider in row.providers or [OTHER]:
            if provider not in table and provider != OTHER:
                continue
            found = classifier.classify(reply, provider).bounce_class
            if row.classes and found not in row.classes:
                wanted = ", ".join(row.classes)
                yield key, f"is classified as {found} for {provider}, the rule wants {wanted}", "Mend either"
                break
            if not alone.taken_by(reply, provider, found):
                yield key, f"is not taken by this rule: {_why(row, reply)}", "Mend the rule or the example"
                break
            taken = book.taken_by(reply, provider, found)
            if one.rule not in taken and not (one.shipped and taken[-1] in owners):
                said = f"is taken by the earlier rule '{taken[-1].name}'"
                yield key, said, "Put this rule before that one, or set go_on = true there"
                break


def _covered(one: Standing, earlier: Sequence[Standing]) -> _FOUND:
    """An earlier rule that takes all that this one could."""
    row = one.row
    for before in earlier:
        first = before.row
        if one.shipped and not before.shipped:
            continue
        wider = not first.pattern or first.pattern == row.pattern
        if (
            wider
            and not first.go_on
            and _takes_all(first.providers, row.providers)
            and _takes_all(first.classes, row.classes)
            and _takes_all(first.codes, row.codes)
            and _takes_all(first.stages, row.stages)
        ):
            yield "name", f"can never match: '{first.name}' takes all of it first", "Reorder them, or set go_on there"
            return


def _takes_all(first: Sequence[str], later: Sequence[str]) -> bool:
    """True when a filter lets through whatever the later one does; an empty one lets all through."""
    return not first or (bool(later) and set(later) <= set(first))


def _unknown_providers(given: Sequence[str], known: frozenset[str]) -> _FOUND:
    for index, name in enumerate(given):
        if name not in known and name != OTHER:
            said = f"'{name}' is no provider of the table, so it never matches"
            yield f"providers[{index}]", said, f"Use one of: {', '.join(sorted(known))}, {OTHER}"


def _stage(row: ReactionRow) -> Stage:
    return row.stages[0] if row.stages else Stage.MAIL


def _why(row: ReactionRow, reply: Reply) -> str:
    bare = row.model_copy(update={"pattern": "", "classes": [], "providers": []}).built(())
    if row.codes and not RuleBook([bare]).taken_by(reply, OTHER, BounceClass.UNDETERMINED):
        return f"code {reply.code} {reply.status} is none of {', '.join(row.codes)}"
    return "the pattern does not match"


def _may_explode(pattern: str) -> bool:
    """True when an unbounded repetition lies in an unbounded repetition."""
    parser: Any = import_module("re._parser")  # the standard library's own: nothing else knows the whole syntax

    def deep(part: object, inside: bool) -> bool:
        if isinstance(part, parser.SubPattern):
            return any(deep(item, inside) for item in part.data)
        if isinstance(part, tuple) and len(part) == 2:
            name, argument = str(part[0]), part[1]
            if name in ("MAX_REPEAT", "MIN_REPEAT"):
                _, most, body = argument
                unbounded = int(most) >= _UNBOUNDED
                return (unbounded and inside) or deep(body, inside or unbounded)
            return deep(argument, inside)
        if isinstance(part, list | tuple):
            return any(deep(item, inside) for item in part)
        return False

    return deep(parser.parse(pattern), inside=False)
