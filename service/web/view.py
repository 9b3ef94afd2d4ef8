"""What the dashboard shows, as plain data: the page's handler gathers it, `service.web.dashboard` renders it.

Nothing here is a guess: what is not known is None (or a share of 0 observations) and is shown as "unknown", never as 0.
Instants are epoch seconds of the service's clock; days are `core.lane.day_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.ledger import Entry
from config.rules import Budget, Rule
from core.events import AlertChanged, GateChanged, GateState, RuleChanged, StepChanged, StepMove
from core.feedback import ReplyCluster
from core.lane import Lane
from core.rates import wilson
from core.reaction import Reaction
from core.state import Gate
from service.warming_view import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`part` of `of`; unknown while `of` is 0."""

    part: int
    of: int

    @property
    def rate(self) -> float | None:
        return min(1.0, self.part / self.of) if self.of > 0 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.part, self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Since 00:00 UTC of the service's clock."""

    accepted: int | None = None
    delivered: int | None = None
    deferred: int | None = None
    bounced: int | None = None
    complaints: int | None = None
    complained: Share = Share(part=0, of=0)  # complaints of deliveries to providers that report them


@dataclass(frozen=True, slots=True, kw_only=True)
class DayVolume:
    """First attempts of one lane on one day; `cap` None when nothing limited it."""

    day: int
    sent: int
    cap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One lane today.  `complained` None: the provider sends no complaint feedback, so there is no such rate.

    `state` is that of the strictest gate over the lane's marketing mail.  `trend` ends with today.  `standing` is its
    warm-up, `moved` the newest move of its step that the log's end still holds.
    """

    lane: Lane
    plan: str
    step: int
    cap: int | None
    used: int
    finished: bool
    delivered: Share
    bounced: Share
    complained: Share | None
    state: GateState = GateState.OPEN
    reason: str = ""
    trend: tuple[DayVolume, ...] = ()
    standing: Standing | None = None
    moved: StepMove | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A span of time in which a gate over `provider` ('' for every one) was in `state`.  `end` None: until now."""

    provider: str
    state: GateState
    begin: float
    end: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One alert.  `ended` 0 while firing.  `told` maps a notifier to whether it took the latest word;
    `said` a language to the annotations."""

    name: str
    severity: str
    scope: str
    summary: str
    since: float
    ended: float = 0.0
    told: Mapping[str, bool] = field(default_factory=dict)
    said: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def words(self, language: str) -> Mapping[str, str]:
        """Its annotations in that language; where only the log knows it, its summary as it was told."""
        return self.said.get(language) or {"summary": self.summary}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRow:
    """Seed mail of one provider over the window; `blind` when a mailbox there cannot be looked into."""

    provider: str
    inbox: int
    spam: int
    missing: int
    blind: bool = False

    @property
    def total(self) -> int:
        return self.inbox + self.spam + self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcSummary:
    """Stored aggregate reports: reports, messages in them, aligned ones, distinct source addresses."""

    reports: int
    messages: int
    aligned: int
    sources: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardView:
    """The whole page.  `rate` is the clock's (1 for real time); `monitor_lag` in real seconds, None when unknown.

    `decisions` newest first.  `note` is a line for people, e.g. what the sandbox is playing.
    """

    now: float
    node: str
    rate: float = 1.0
    sandbox: bool = False
    note: str = ""
    monitor_lag: float | None = None
    max_lag: float = 60.0
    totals: Totals = Totals()
    queue: Mapping[str, int] | None = None  # provider ('' unrouted) → messages
    limits_full: tuple[tuple[str, float], ...] = ()  # limits that leave nothing free, and until when
    lanes: tuple[LaneRow, ...] = ()
    gates: tuple[Gate, ...] = ()
    bands: tuple[Band, ...] = ()
    decisions: tuple[GateChanged | StepChanged, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    placement: tuple[PlacementRow, ...] = ()
    suppressions: Mapping[str, int] | None = None  # reason → addresses
    dmarc: DmarcSummary | None = None
    rules: tuple[Rule, ...] = ()
    notifiers: bool = True  # somebody is told of alerts
    budget: Budget | None = None
    reactions: tuple[Reaction, ...] = ()  # of reply rules, in force
    resting: int = 0  # pairs of source and site
    unknown: tuple[ReplyCluster, ...] = ()  # replies of the last week that no rule knows, most frequent first
    findings: tuple[RuleChanged, ...] = ()  # what rules without a gate say now


def alert_rows(
    entries: Mapping[str, Entry],
    recent: tuple[AlertChanged, ...] = (),
    spoken: Mapping[str, Mapping[str, dict[str, str]]] | None = None,
) -> tuple[AlertRow, ...]:
    """Rows of what the keeper knows: firing first, of these the critical; then ended ones that only the log knows."""
    rows = [
        AlertRow(
            name=entry.alert.labels.get("alertname", ""), severity=entry.alert.labels.get("severity", ""),
            scope=entry.alert.labels.get("scope", ""), summary=entry.alert.annotations.get("summary", ""),
            since=entry.alert.starts_at, ended=entry.alert.ends_at,
            told={name: told.failures == 0 for name, told in entry.told.items()},
            said={language: {**entry.alert.annotations, **said.get(key, {})} for language,
            said in (spoken or {}).items()},
        )
        for key, entry in entries.items()
    ]  # fmt: skip
    known = set(entries)
    for event in recent:
        if event.fingerprint not in known and not event.firing:
            known.add(event.fingerprint)
            rows.append(
                AlertRow(
                    name=event.name, severity=event.severity, scope=event.scope, summary=event.summary,
                    since=event.at, ended=event.at,
                )
            )  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (row.ended > 0, row.severity != "critical", -row.since)))


def bands_of(changes: tuple[GateChanged, ...]) -> tuple[Band, ...]:
    """Bands from gate events, oldest first: each lasts until the same episode's next event."""
    bands: list[Band] = []
    last: dict[str, GateChanged] = {}
    for change in changes:
        before = last.pop(change.pause_id, None)
        if before is not None:
            bands.append(_band(before, change.at))
        if change.after is not GateState.OPEN:
            last[change.pause_id] = change
    return (*bands, *(_band(change, None) for change in last.values()))


def _band(change: GateChanged, end: float | None) -> Band:
    return Band(provider=change.scope.provider, state=change.after, begin=change.at, end=end)
