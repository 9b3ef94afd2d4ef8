"""Placement tests: sends one copy to each seed through the normal path, and tells from the log what became of it.

Contract: `start` submits the copies like any caller's mail (suppression, gates, warm-up and signing hold for them) and
logs `PlacementStarted`; `tick` (the timetable's, on one node) starts the tests that are due and ends, with
`PlacementTested`, those whose every copy has an outcome or whose window is over.  The log is the only memory.  A seed
that cannot be looked into is UNKNOWN, never absent.  Scheduled tests leave out providers whose warm-up cap is still
small: seeds would be a visible part of the first mail there.  Raises InvalidInput for what cannot be sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from config.model import PlacementTest, Settings
from core.errors import InvalidInput, PenstockError
from core.events import (
    Door,
    PlacementStarted,
    PlacementTested,
    SeedBlind,
    SeedMoved,
    SeedSighted,
)
from core.lane import HOUR
from core.placement import SeedCopy, SeedMove, SeedOutcome, SeedResult
from core.ports import Clock
from core.tokens import MessageId, new_message_id
from sender.intake import AnswerStatus, Injection, Intake, RecipientIn
from service.commands.template_file import read_template
from service.job import Job
from service.placement_outcome import GRACE, moved_to, outcome_of, result_of
from storage.stores import Stores

logger = logging.getLogger("penstock.placement")
MAX_TESTS = 200  # of the history that one look reads
MAX_MOVES = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementOrder:
    """A test that somebody wants.  `providers` () is every provider with a seed; `name` that of its schedule."""

    stream: str
    parts: Mapping[str, str]
    variables: Mapping[str, str]
    by: str
    sender: str = ""
    campaign: str = ""
    providers: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementView:
    """A test as it stands: `ended_at` 0 while copies are waited for."""

    started: PlacementStarted
    results: tuple[SeedResult, ...]
    ended_at: float = 0.0


class PlacementDesk:
    """See the module."""

    def __init__(self, settings: Settings, stores: Stores, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._intake = intake
        self._clock = clock
        self._newest: PlacementStarted | None = None
        self._final: dict[MessageId, SeedResult] = {}  # outcomes that cannot change any more, of tests under way

    @property
    def configured(self) -> bool:
        """False without a seed mailbox."""
        return bool(self._settings.seeds.mailboxes)

    def busy(self) -> bool:
        """Was a test sent in the last two hours?  By the last look."""
        return self._newest is not None and self._clock.now() - self._newest.at < 2 * HOUR

    async def look(self) -> bool:
        """Was a test sent since the last look?  For who watches the mailboxes, on whichever node that is."""
        newest = await self._stores.log.recent(["PlacementStarted"], 1)
        event = newest[0].event if newest else None
        before, self._newest = self._newest, event if isinstance(event, PlacementStarted) else None
        return self._newest is not None and (before is None or before.test_id != self._newest.test_id)

    async def start(self, order: PlacementOrder) -> PlacementStarted:
        """Send one copy to each seed."""
        seeds = [s for s in self._settings.seeds.mailboxes if not order.providers or s.provider in order.providers]
        if not seeds:
            known = ", ".join(sorted({s.provider for s in self._settings.seeds.mailboxes}))
            raise InvalidInput(
                "providers" if known else "seeds", "there is no such seed mailbox" if known else "there is none",
                f"Use one of: {known}" if known else "Add [[seeds.mailboxes]]",
            )  # fmt: skip
        now = self._clock.now()
        held = await self._too_cold() if order.name else {}
        test_id = str(new_message_id(now))[:14]
        wanted = [seed for seed in seeds if seed.provider not in held]
        answers: dict[str, tuple[str, str]] = {}
        if wanted:
            injection = Injection(
                stream=order.stream, campaign=order.campaign, sender=order.sender, door=Door.INTERNAL,
                recipients=tuple(RecipientIn(address=s.mailbox, variables=dict(order.variables)) for s in wanted),
                parts=dict(order.parts), metadata={"placement_test": test_id},
                idempotency_key=f"placement:{test_id}",
                deadline=now + self._settings.seeds.window_hours * HOUR,
            )  # fmt: skip
            for answer in await self._intake.submit(injection):
                said = "" if answer.status is AnswerStatus.ACCEPTED else f"{answer.status}: {answer.reason}"
                answers[answer.address] = (answer.message_id, said)
        copies = []
        for seed in seeds:
            message_id, reason = answers.get(seed.mailbox, ("", held.get(seed.provider, "")))
            copies.append(
                SeedCopy(
                    mailbox=seed.mailbox, provider=seed.provider, message_id=MessageId(message_id), reason=reason[:300]
                )
            )
        sender = order.parts.get("from") or order.sender
        started = PlacementStarted(
            at=now, test_id=test_id, name=order.name, stream=order.stream, campaign=order.campaign,
            sending_domain=sender.rpartition("@")[2].strip("<> ").lower(),
            subject=order.parts.get("subject", "")[:200], by=order.by, copies=tuple(copies),
        )  # fmt: skip
        await self._stores.log.append([started])
        return started

    async def tests(self, limit: int = 50) -> list[PlacementView]:
        """Tests, newest first."""
        started, ended = await self._history(limit)
        blind, moves = await self._blind(), await self._moves()
        found = []
        for one in started:
            done = ended.get(one.test_id)
            results = done.results if done is not None else await self._results(one, blind)
            found.append(
                PlacementView(started=one, results=_moved(one, results, moves), ended_at=done.at if done else 0.0)
            )
        return found

    async def test(self, test_id: str) -> PlacementView | None:
        """One test; None when it is not among the newest."""
        return next((one for one in await self.tests(MAX_TESTS) if one.started.test_id == test_id), None)

    async def ended(self, limit: int = MAX_TESTS) -> list[PlacementTested]:
        """Tests that came to their end, newest first."""
        return list((await self._history(limit))[1].values())

    async def blind(self) -> dict[str, SeedBlind]:
        """Mailboxes that cannot be looked into now."""
        return await self._blind()

    @property
    def jobs(self) -> list[Job]:
        """What the timetable has to run."""
        seconds = max(1.0, 30.0 / max(1.0, self._clock.rate / 60))
        return [Job(name="placement tests", seconds=seconds, work=self.tick)] if self.configured else []

    # --- the timetable's work --------------------------------------------------------------------
    async def tick(self) -> None:
        """Start what is due, end what is over."""
        started, ended = await self._history(MAX_TESTS)
        now = self._clock.now()
        longest = (self._settings.seeds.window_hours * HOUR + GRACE) * 2
        under_way = [one for one in started if one.test_id not in ended and now - one.at < longest]
        if under_way:
            blind = await self._blind()
            for one in under_way:
                results = await self._results(one, blind)
                if all(result.outcome is not SeedOutcome.WAITING for result in results):
                    await self._end(one, results, now)
        for due in self._due(started, now):
            try:
                await self.start(self._order(due))
            except PenstockError as error:
                logger.warning("placement test %s could not be sent: %s", due.name, error)

    async def _end(self, one: PlacementStarted, results: tuple[SeedResult, ...], now: float) -> None:
        await self._stores.log.append([
            PlacementTested(
                at=now, test_id=one.test_id, name=one.name, stream=one.stream, campaign=one.campaign,
                sending_domain=one.sending_domain, started_at=one.at, results=results,
            )
        ])  # fmt: skip
        for copy in one.copies:
            self._final.pop(copy.message_id, None)

    def _due(self, started: Sequence[PlacementStarted], now: float) -> list[PlacementTest]:
        last = {one.name: one.at for one in reversed(started)}
        return [
            test
            for test in self._settings.seeds.tests
            if now - last.get(test.name, float("-inf")) >= test.every_hours * HOUR
        ]

    def _order(self, test: PlacementTest) -> PlacementOrder:
        file = read_template(test.template)
        return PlacementOrder(
            stream=test.stream, parts=file.parts, variables=file.sample or {}, by="schedule", sender=test.sender,
            campaign=test.campaign, providers=tuple(test.providers), name=test.name,
        )  # fmt: skip

    async def _too_cold(self) -> dict[str, str]:
        """Providers that a scheduled test leaves out, and why."""
        least = self._settings.seeds.lane_minimum
        caps: dict[str, int] = {}
        for step in await self._stores.allowances.steps():
            if not step.finished and self._settings.warmup.enabled:
                caps[step.lane.provider] = min(step.cap, caps.get(step.lane.provider, step.cap))
        return {
            provider: f"warm-up: the cap there is {cap} a day, below seeds.lane_minimum"
            for provider, cap in caps.items()
            if cap < least
        }

    # --- from the log ----------------------------------------------------------------------------
    async def _history(self, limit: int) -> tuple[list[PlacementStarted], dict[str, PlacementTested]]:
        """(started, ended by test id), newest first."""
        log = self._stores.log
        started = [e.event for e in await log.recent(["PlacementStarted"], limit)]
        ended = [e.event for e in await log.recent(["PlacementTested"], limit)]
        return (
            [one for one in started if isinstance(one, PlacementStarted)],
            {one.test_id: one for one in ended if isinstance(one, PlacementTested)},
        )

    async def _blind(self) -> dict[str, SeedBlind]:
        found: dict[str, SeedBlind] = {}
        for logged in reversed(await self._stores.log.recent(["SeedBlind", "SeedSighted"], 1000)):
            match logged.event:
                case SeedBlind() as event:
                    before = found.get(event.mailbox)
                    found[event.mailbox] = event if before is None or before.login != event.login else before
                case SeedSighted(mailbox=mailbox):
                    found.pop(mailbox, None)
                case _:
                    pass
        ours = {seed.mailbox for seed in self._settings.seeds.mailboxes}
        return {mailbox: event for mailbox, event in found.items() if mailbox in ours}

    async def _moves(self) -> dict[MessageId, list[SeedMove]]:
        """What hosts did with copies after they were placed, oldest first."""
        found: dict[MessageId, list[SeedMove]] = {}
        for logged in reversed(await self._stores.log.recent(["SeedMoved"], MAX_MOVES)):
            if isinstance(logged.event, SeedMoved):
                found.setdefault(logged.event.message_id, []).append(moved_to(logged.event))
        return found

    async def _results(self, one: PlacementStarted, blind: Mapping[str, SeedBlind]) -> tuple[SeedResult, ...]:
        now = self._clock.now()
        window = self._settings.seeds.window_hours * HOUR
        results = []
        for copy in one.copies:
            if not copy.message_id:
                results.append(result_of(copy, SeedOutcome.NOT_SENT, copy.reason))
                continue
            known = self._final.get(copy.message_id)
            if known is None:
                story = await self._stores.log.of_message(copy.message_id)
                known = outcome_of(copy, story, now, one.at, window, blind=copy.mailbox in blind)
                if known.outcome not in (SeedOutcome.WAITING, SeedOutcome.UNKNOWN, SeedOutcome.ABSENT):
                    self._final[copy.message_id] = known
            results.append(known)
        return tuple(results)


def _moved(
    one: PlacementStarted, results: tuple[SeedResult, ...], moves: Mapping[MessageId, list[SeedMove]]
) -> tuple[SeedResult, ...]:
    """The results with what happened to their copies afterwards: also after the test came to its end."""
    of = {copy.mailbox: moves[copy.message_id] for copy in one.copies if copy.message_id in moves}
    return tuple(replace(result, moves=tuple(of.get(result.mailbox, ()))) for result in results) if of else results
