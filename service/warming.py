"""A person's word over warm-up, from the API and from the command line alike: start, hold, resume, step back, import.

Contract: a scope names lanes by source, sending domain and provider (`provider=gmail`, `source=a`, `all`); each lane is
stored with its event in one transaction, and a lost race with the day's turn is tried again on the fresh state.  A
running service obeys within a second: it reads the steps from the same store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.model import Settings
from config.tables import Plan, ProviderRow
from core.errors import InvalidInput, StorageConflict
from core.events import StepMove
from core.lane import Lane, Provider, Scope, SendingDomain, Source, day_of, parse_scope
from core.ports import Allowances, Clock
from core.state import StepState
from warmup import operator as word
from warmup.history import Known, imported, levels, read_history
from warmup.ramp import OTHER, plan_for, plan_lane

_TRIES = 5
MOST_STARTED = 2000  # lanes by one word


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of each lane of a history: `taken`, `known` (the same history before) or `above` already."""

    taken: tuple[StepState, ...]
    known: tuple[Lane, ...]
    above: tuple[Lane, ...]


class Warming:
    """See the module."""

    def __init__(
        self,
        *,
        settings: Settings,
        plans: Sequence[Plan],
        providers: Sequence[ProviderRow],
        allowances: Allowances,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._plans = tuple(plans) if settings.warmup.enabled else ()
        self._providers = tuple(row.name for row in providers)
        self._allowances = allowances
        self._clock = clock

    async def hold(self, scope: str, *, by: str, reason: str, until: float = 0.0) -> list[StepState]:
        """Keep the caps of these lanes from rising before `until` (0: until resumed)."""
        return await self._each(scope, lambda state, now: word.hold(state, now=now, until=until, reason=reason, by=by))

    async def resume(self, scope: str, *, by: str, reason: str) -> list[StepState]:
        """Lift the holds of these lanes."""
        return await self._each(
            scope, lambda state, now: word.resume(state, now=now, reason=reason, by=by),
            lambda state, now: state.is_held(now),
        )  # fmt: skip

    async def step_back(self, scope: str, *, by: str, reason: str, to: int = 0) -> list[StepState]:
        """Lower the caps of these lanes at once: to the step at or below `to`, or by half."""
        return await self._each(
            scope,
            lambda state, now: word.step_back(state, self._plan(state.lane), now=now, to=to, reason=reason, by=by),
        )

    async def start(self, scope: str, *, by: str, reason: str, at: int = 0, again: bool = False) -> list[StepState]:
        """Begin the configured lanes of a scope that have no state yet (`again`: also those that have one)."""
        given = _scope(scope)
        lanes = self._configured(given)
        known = {state.lane: state for state in await self._allowances.steps()}
        wanted = [lane for lane in lanes if again or lane not in known]
        if not wanted:
            problem = f"every lane of {given.key} was started already" if lanes else f"no lane of a plan is {given.key}"
            raise InvalidInput("scope", problem, "See penstock warmup status; --again begins a lane anew")
        if len(wanted) > MOST_STARTED:
            raise InvalidInput("scope", f"names {len(wanted):,} lanes", f"Narrow it; at most {MOST_STARTED:,} at once")
        begun = []
        for lane in wanted:
            now = self._clock.now()
            before = known.get(lane)
            state, event = word.start(
                lane, self._plan(lane), before, now=now, at=at, again=again, reason=reason, by=by
            )  # fmt: skip
            await self._allowances.put_step(state, event, before=before)
            begun.append(state)
        return begun

    async def take_over(self, content: bytes, *, by: str) -> Imported:
        """Import lanes that were warmed elsewhere (warmup.history).  Raises InvalidInput; then nothing was imported."""
        now = self._clock.now()
        rows = read_history(
            content,
            Known(
                sources={s.name for s in self._settings.sources},
                domains={d.name for d in self._settings.sending_domains},
                providers=set(self._providers), today=day_of(now),
            ),
        )  # fmt: skip
        found = [(level, self._plan(level.lane)) for level in levels(rows)]
        states = {state.lane: state for state in await self._allowances.steps()}
        taken, known, above = [], [], []
        for level, plan in found:
            before, new = states.get(level.lane), imported(level, plan, now)
            if before is not None and before.imported == new.imported:
                known.append(level.lane)
            elif before is not None and (before.finished or (before.cap >= new.cap and not new.finished)):
                above.append(level.lane)
            else:
                event = word.told(before, new, StepMove.IMPORTED, now, new.reason, by=by)
                await self._allowances.put_step(new, event, before=before)
                taken.append(new)
        return Imported(taken=tuple(taken), known=tuple(known), above=tuple(above))

    async def _each(
        self,
        scope: str,
        change: Callable[[StepState, float], word.Word],
        wanted: Callable[[StepState, float], bool] = lambda state, now: True,
    ) -> list[StepState]:
        given = _scope(scope)
        changed: dict[Lane, StepState] = {}
        for _ in range(_TRIES):
            now = self._clock.now()
            states = [s for s in await self._allowances.steps() if _holds(given, s.lane) and s.lane not in changed]
            picked = [s for s in states if wanted(s, now) and plan_for(self._plans, s.lane) is not None]
            if not picked and not changed:
                problem = f"no lane of {given.key} is held" if states else f"no lane is {given.key}"
                raise InvalidInput("scope", problem, "See penstock warmup status for the lanes")
            words, refused = [], []
            for state in picked:
                try:
                    words.append((state, *change(state, now)))
                except InvalidInput as error:
                    refused.append(error)  # told only when no lane of the scope could obey
            if refused and not words and not changed:
                raise refused[0]
            try:
                for before, after, event in words:
                    await self._allowances.put_step(after, event, before=before)
                    changed[after.lane] = after
            except StorageConflict:
                continue
            return list(changed.values())
        raise StorageConflict("The warm-up keeps changing; try again")

    def _plan(self, lane: Lane) -> Plan:
        plan = plan_for(self._plans, lane)
        if plan is None:
            raise InvalidInput("lane", f"no plan covers {lane.key}", "Add it to a plan's sources and sending_domains")
        return plan

    def _configured(self, scope: Scope) -> list[Lane]:
        """Every lane of a plan that a scope names: configured sources and domains, known providers and the other."""
        providers = [OTHER, *self._providers]
        found = [
            Lane(source=Source(s.name), sending_domain=SendingDomain(d.name), provider=Provider(p))
            for s in self._settings.sources for d in self._settings.sending_domains for p in providers
        ]  # fmt: skip
        return [lane for lane in found if _holds(scope, lane) and plan_for(self._plans, lane) is not None]


def _scope(text: str) -> Scope:
    try:
        scope = parse_scope(text)
    except ValueError as error:
        raise InvalidInput("scope", str(error), "Write e.g. source=a,provider=gmail, or all") from error
    if scope.stream or scope.campaign:
        raise InvalidInput("scope", "names a stream or campaign", "Warm-up is by source, sending_domain, provider")
    return scope


def _holds(scope: Scope, lane: Lane) -> bool:
    shared = plan_lane(Lane(source=lane.source, sending_domain=lane.sending_domain, provider=Provider(scope.provider)))
    return (
        scope.source in ("", lane.source)
        and scope.sending_domain in ("", lane.sending_domain)
        and (not scope.provider or shared.provider == lane.provider)
    )
