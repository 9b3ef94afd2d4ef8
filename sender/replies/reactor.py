"""Reply rules in one sender process: counts what comes back, begins and ends reactions, and holds mail by them.

Contract: pure; `now` in domain seconds.  `learn` takes every answer; a rule that acts is in force here at once and is
noted in `lessons` for the others (sender.replies.exchange).  `hear` takes over what others learned.  A reaction ends by
its time; one with a probe lets mail through one connection first, and one more with each delivery, until `probe` of
them went through; a matching refusal meanwhile begins it anew for twice as long.  One that is begun again within its
own duration after its end is as long as the one before, doubled.  Limits of numbers are divided among the `share` of
processes, like all others.

`bound` cuts what admission admits, `stopped` is asked before each message, `connections` before a connection opens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from core.classify import Diagnosis
from core.decision import Admit, Decision, Defer, DeferReason
from core.gcra import Rate, available, opens_at, taken
from core.lane import Traffic
from core.reaction import Learned, Lessons, Reaction, ReactionAction, ReplyRuleActed, ReplyRuleEnded
from core.reply import Reply
from core.replyrules import ReactionRule, RuleBook
from sender.replies.tally import Tally, slot_seconds

MAX_REACTIONS = 5000
_SAMPLE = 300
_FAR = 10.0  # seconds after which mail that waits for a probe's connection is looked at again
_LEAST = 0.05  # seconds that mail waits at least
_BURST = 6.0  # seconds whose messages may go at once when a rule paces them; one may in any case
_A = ReactionAction
_PACED = (_A.SLOW, _A.RETUNE)


class Reactor:
    """See the module.  `writer` names the process; `share` is (which, of how many)."""

    def __init__(self, book: RuleBook, writer: str, share: tuple[int, int] = (0, 1)) -> None:
        self._book = book
        self._rules = {rule.name: rule for rule in book.rules}
        self._share = share
        self._tally = Tally(writer)
        self._reactions: dict[str, Reaction] = {}  # in force, and those over whose strikes are remembered
        self._active: list[Reaction] = []
        self._paces: dict[tuple[str, float], float] = {}  # buckets of core.gcra
        self._known: dict[tuple[Traffic, str], tuple[tuple[str, float], ...]] = {}
        self._passed: dict[tuple[str, float], int] = {}
        self.lessons = Lessons()

    @property
    def in_force(self) -> list[Reaction]:
        """Reactions that are not over."""
        return list(self._active)

    # --- what comes back -------------------------------------------------------------------------------------------
    def learn(
        self, traffic: Traffic, site: str, reply: Reply, diagnosis: Diagnosis, now: float, *, whose: str = ""
    ) -> None:
        """One answer of a host to mail of this traffic.  `whose` is the provider it speaks for, the lane's by default.

        A reply without a code is no answer, unless a rule takes it."""
        provider = whose or traffic.lane.provider
        if reply.code:
            for name, length in self._answers(traffic, site, provider):
                self._tally.add(name, length, now)
        if reply.is_success:
            if self._active:
                self._pass(traffic, site, now)
            return
        for rule in self._book.taken_by(reply, provider, diagnosis.bounce_class):
            self._hit(rule, traffic, site, reply, now)

    def _hit(self, rule: ReactionRule, traffic: Traffic, site: str, reply: Reply, now: float) -> None:
        scope, where = rule.scope(traffic, site)
        length = slot_seconds(rule.trigger.window)
        hits_of, answers_of = _hits(rule, scope.key, where), _answers(rule, scope.key, where)
        self._tally.add(hits_of, length, now)
        self._tally.share(hits_of, length)
        self._tally.share(answers_of, length)
        hits = self._tally.sum(hits_of, now)
        answers = max(hits, self._tally.sum(answers_of, now))
        reaction = Reaction(
            rule=rule.name, scope=scope, site=where, action=rule.action, since=now, until=now + rule.seconds,
            strikes=1, hits=hits, answers=answers, window=rule.trigger.window, sample=str(reply)[:_SAMPLE],
            probe=rule.probe, connections=rule.connections, messages_per_connection=rule.messages_per_connection,
            per_minute=rule.per_minute, alert=rule.alert,
        )  # fmt: skip
        before = self._reactions.get(reaction.key)
        if before is not None and not before.ended:
            # under way when it began, or the action does not help yet: it is in force anyway.  A probe that is refused
            # needs no second refusal
            if before.probing(now):
                self._begin(self._again(reaction, before, rule), rule, now)
            return
        if rule.trigger.acts(hits, answers):
            if before is not None and now - before.ended <= before.until - before.since:
                reaction = self._again(reaction, before, rule)
            self._begin(reaction, rule, now)

    @staticmethod
    def _again(reaction: Reaction, before: Reaction, rule: ReactionRule) -> Reaction:
        seconds = min(rule.longest, rule.seconds * 2.0 ** min(before.strikes, 20))
        return replace(reaction, strikes=before.strikes + 1, until=reaction.since + seconds)

    def _begin(self, reaction: Reaction, rule: ReactionRule, now: float) -> None:
        if len(self._reactions) >= MAX_REACTIONS and reaction.key not in self._reactions:
            oldest = min(self._reactions.values(), key=lambda one: (one.ended == 0, one.since))
            del self._reactions[oldest.key]
        event = ReplyRuleActed(
            at=now, key=reaction.key, rule=rule.name, action=rule.action, scope=reaction.scope, site=reaction.site,
            until=reaction.until, strikes=reaction.strikes, hits=reaction.hits, answers=reaction.answers,
            window=reaction.window, sample=reaction.sample, limits=limits_text(reaction), probe=rule.probe,
        )  # fmt: skip
        self._put(reaction)
        self.lessons.begun.append((reaction, event))

    def _pass(self, traffic: Traffic, site: str, now: float) -> None:
        for reaction in self._active:
            if reaction.probing(now) and reaction.covers(traffic, site):
                key = (reaction.key, reaction.since)
                self.lessons.passed[key] = self.lessons.passed.get(key, 0) + 1
                self._put(replace(reaction, passed=reaction.passed + 1))

    def _answers(self, traffic: Traffic, site: str, provider: str) -> tuple[tuple[str, float], ...]:
        """The series of answers that the rules of a provider need."""
        found = self._known.get((traffic, site))
        if found is None:
            if len(self._known) > 20_000:
                self._known.clear()
            wanted: dict[str, float] = {}
            for rule in self._book.of_provider(provider):
                scope, where = rule.scope(traffic, site)
                wanted[_answers(rule, scope.key, where)] = slot_seconds(rule.trigger.window)
            found = self._known[traffic, site] = tuple(wanted.items())
        return found

    # --- time, and others ------------------------------------------------------------------------------------------
    def turn(self, now: float) -> None:
        """End what is over."""
        for reaction in list(self._active):
            if now < reaction.until:
                continue
            if not reaction.probe:
                self._end(reaction, "time", "its time is over", now)
            elif reaction.passed >= reaction.probe:
                self._end(reaction, "probe", f"{reaction.passed} messages went through", now)

    def _end(self, reaction: Reaction, by: str, detail: str, now: float) -> None:
        ended = replace(reaction, ended=now)
        self._put(ended)
        event = ReplyRuleEnded(
            at=now, key=reaction.key, rule=reaction.rule, action=reaction.action, scope=reaction.scope,
            site=reaction.site, by=by, detail=detail,
        )  # fmt: skip
        self.lessons.ended.append((ended, event))

    def hear(self, learned: Learned) -> None:
        """Take over what others learned.  What is new here and not told yet stays."""
        mine = {reaction.key for reaction, _ in self.lessons.begun} | {one.key for one, _ in self.lessons.ended}
        untold = self.lessons.passed
        for reaction in learned.reactions:
            if reaction.key in mine or reaction.rule not in self._rules:
                continue
            before = self._reactions.get(reaction.key)
            if before is None or before.since < reaction.since:
                self._put(reaction)
            elif before.since == reaction.since and not before.ended:
                passed = reaction.passed + untold.get((reaction.key, reaction.since), 0)
                self._put(replace(reaction, passed=max(passed, before.passed)))
        for count in learned.counts:
            length = self._length(count.series)
            if length:
                self._tally.hear(count, length)

    def take_lessons(self) -> Lessons:
        """What others do not know yet; `give_back` when they could not be told."""
        lessons, self.lessons = self.lessons, Lessons()
        lessons.counts = self._tally.untold()
        return lessons

    def give_back(self, lessons: Lessons) -> None:
        """These could not be told."""
        self.lessons.begun[:0] = lessons.begun
        self.lessons.ended[:0] = lessons.ended
        for key, n in lessons.passed.items():
            self.lessons.passed[key] = self.lessons.passed.get(key, 0) + n
        self._tally.not_told(lessons.counts)

    def _put(self, reaction: Reaction) -> None:
        self._reactions[reaction.key] = reaction
        self._active = [one for one in self._reactions.values() if not one.ended]
        if not self._active:
            self._paces.clear()

    def _length(self, series: str) -> float:
        """Length of a slice, by the series' name; 0 when no rule counts it any more."""
        kind, _, rest = series.partition("/")
        name = rest.partition("/")[0]
        if kind == "hits":
            rule = self._rules.get(name)
            return slot_seconds(rule.trigger.window) if rule else 0.0
        return float(name) if kind == "answers" else 0.0

    # --- what may go -----------------------------------------------------------------------------------------------
    def bound(self, decision: Decision, traffic: Traffic, site: str, now: float) -> Decision:
        """What is left of admission's word."""
        if not self._active or isinstance(decision, Defer):
            return decision
        room = decision.messages
        for reaction in self._active:
            if not reaction.covers(traffic, site):
                continue
            if reaction.action is _A.STOP and now < reaction.until:
                return _defer(reaction, reaction.until)
            if reaction.action in _PACED and reaction.per_minute and now < reaction.until:
                rate, tat = self._pace(reaction)
                room = min(room, available(rate, tat, now))
                if room <= 0:
                    return _defer(reaction, max(opens_at(rate, tat, now), now + _LEAST))
            if reaction.probing(now) and not self._part(1 + reaction.passed):
                return _defer(reaction, now + _FAR)
        return decision if room == decision.messages else replace_messages(decision, room)

    def stopped(self, traffic: Traffic, site: str, now: float) -> bool:
        """True when nothing of this may go now."""
        return any(
            reaction.action is _A.STOP and now < reaction.until and reaction.covers(traffic, site)
            for reaction in self._active
        )

    def spent(self, traffic: Traffic, site: str, n: int, now: float) -> None:
        """So many messages were taken up."""
        for reaction in self._active:
            if reaction.action in _PACED and reaction.per_minute and reaction.covers(traffic, site):
                rate, tat = self._pace(reaction)
                self._paces[reaction.key, reaction.since] = taken(rate, tat, now, n)

    def connections(self, traffic: Traffic, site: str, now: float, *, whole: bool = False) -> int:
        """How many may be open from the traffic's source to the site in this process; `whole`: to all the provider's
        sites together."""
        most = 1 << 30
        for reaction in self._active:
            if not reaction.covers(traffic, site) or (whole and reaction.site):
                continue
            if reaction.probing(now):
                most = min(most, self._part(1 + reaction.passed))
            elif reaction.connections and now < reaction.until:
                most = min(most, self._part(reaction.connections))
        return most

    def per_connection(self, traffic: Traffic, site: str, now: float, allowed: int) -> int:
        """How many messages a connection may carry."""
        for reaction in self._active:
            if reaction.messages_per_connection and now < reaction.until and reaction.covers(traffic, site):
                allowed = min(allowed, reaction.messages_per_connection)
        return allowed

    def next(self, now: float) -> float:
        """When a reaction turns next; infinity when none is in force."""
        return min((one.until for one in self._active if one.until > now), default=math.inf)

    def _pace(self, reaction: Reaction) -> tuple[Rate, float]:
        """The rate of this process, and its bucket."""
        mine = reaction.per_minute / self._share[1]
        rate = Rate(count=mine, seconds=60.0, burst=max(1, int(mine * _BURST / 60)))
        return rate, self._paces.get((reaction.key, reaction.since), 0.0)

    def _part(self, connections: int) -> int:
        index, of = self._share
        return connections // of + (index < connections % of)


def limits_text(reaction: Reaction) -> str:
    """What a reaction allows, in words; '' for stop and alert."""
    parts: Iterable[tuple[float, str]] = (
        (reaction.connections, "connections"),
        (reaction.messages_per_connection, "messages a connection"),
        (reaction.per_minute, "messages a minute"),
    )
    return ", ".join(f"{value:g} {name}" for value, name in parts if value)


def replace_messages(decision: Admit, messages: int) -> Admit:
    """Admission's word for fewer messages."""
    return replace(decision, messages=messages)


def _defer(reaction: Reaction, until: float) -> Defer:
    return Defer(until=until, reason=DeferReason.REPLY_RULE, detail=f"{reaction.key}: {reaction.reason}")


def _hits(rule: ReactionRule, scope: str, site: str) -> str:
    return f"hits/{rule.name}/{scope}/{site}"


def _answers(rule: ReactionRule, scope: str, site: str) -> str:
    return f"answers/{slot_seconds(rule.trigger.window)}/{scope}/{site}"
