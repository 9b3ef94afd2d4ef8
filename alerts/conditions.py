"""From what is known now to the alerts that should be firing.  Pure: takes `Observed`, returns alerts, keeps nothing.

Besides gates that are not open (`alerts.gates`) these conditions are told:
- `RuleFiring`: a rule that holds no mail found something (`alerts.rules`);
- `MonitorLag`: the monitor is behind, so ramping lanes hold;
- `SourceOut`: an egress source is of no use and was taken out (`alerts.sources`);
- `RelayOut`: a relay takes no mail (`alerts.relays`);
- `WebhookDead`: an endpoint takes no events (`alerts.hooks`);
- `SeedBlind`: a seed mailbox cannot be looked into: placement there is unknown, which is not "good";
- `SeedLoginDead`: the same because its login is refused: somebody must renew it;
- `QueueStuck`: due mail of a provider that no attempt reached for too long, and no gate explains it;
- `MailStrayed`: the watchdog put mail back that nobody would have come for (`alerts.strays`);
- `UnmatchedReplies`: refusals that no reply rule knows: texts changed, and the classes may be wrong;
- `UnverifiedReports`: many reports that prove nothing: a forger, or a forwarder that strips our tokens;
- what feedback over time tells (`alerts.feedback`);
- reply rules that act (`alerts.replies`);
- what the watches of DNS, blocklists and postmaster feeds know (`alerts.watching`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from alerts.feedback import NO_FEEDBACK, FeedbackSeen, feedback_alerts
from alerts.form import form_alert, page_of
from alerts.gates import gate_alert
from alerts.hooks import DeadHook, hook_alert
from alerts.relays import RelayOut, relay_alert
from alerts.replies import Acting, acting_alerts
from alerts.reports import ReportTrouble, report_alerts
from alerts.rules import rule_alert
from alerts.sources import source_alert
from alerts.strays import stray_alerts
from alerts.told import whole
from alerts.watching import ActiveListing, BlindZone, StaleFeed, watch_alerts
from alerts.words import Language, number, sample, span
from config.tables import Rule
from core.events import Logged, PutBack, RecordChanged, RuleChanged, SeedBlind, SeedPlaced, SeedSighted, SourceRested
from core.state import Alert, Gate

BLIND_AFTER = 900.0  # domain seconds: a host that is away for a moment is no alert
_KINDS = {"bounce": "отказы", "complaint": "жалобы", "dmarc": "DMARC", "other": "прочие"}
REFUSED_AFTER = 120.0  # a login that was refused once may be the host's mistake; several times it is dead


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckQueue:
    """Due mail that waits although nothing of ours forbids it.  `oldest` in epoch seconds."""

    provider: str
    queued: int
    oldest: float
    last_reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """`count` refusals of one provider, since `since`, that no rule matched, with up to five of their texts."""

    provider: str
    count: int
    since: float
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """`count` reports of one kind (bounce, complaint, …), since `since`, without a valid token."""

    kind: str
    count: int
    since: float
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the service knows at one moment.  `monitor_lag` and `max_lag` in real seconds."""

    gates: tuple[Gate, ...] = ()
    findings: tuple[RuleChanged, ...] = ()
    blind: tuple[SeedBlind, ...] = ()
    sources_out: tuple[SourceRested, ...] = ()
    monitor_lag: float = 0.0
    max_lag: float = 60.0
    stuck: tuple[StuckQueue, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    unverified: tuple[Unverified, ...] = ()
    listings: tuple[ActiveListing, ...] = ()
    blind_zones: tuple[BlindZone, ...] = ()
    records: tuple[RecordChanged, ...] = ()
    stale_feeds: tuple[StaleFeed, ...] = ()
    dead_hooks: tuple[DeadHook, ...] = ()
    feedback: FeedbackSeen = NO_FEEDBACK
    reports: tuple[ReportTrouble, ...] = ()
    acting: tuple[Acting, ...] = ()
    put_back: tuple[PutBack, ...] = ()
    relays_out: tuple[RelayOut, ...] = ()


def find_alerts(
    seen: Observed, *, rules: Sequence[Rule], now: float, language: Language = "en", dashboard: str = ""
) -> list[Alert]:
    """Every alert that should be firing at `now` (epoch seconds).  `dashboard` is the page's address without slash."""
    by_name = {rule.name: rule for rule in rules}
    alerts = [
        alert
        for gate in seen.gates
        if (alert := gate_alert(gate, by_name, language=language, link=_link(dashboard, gate.pause_id))) is not None
    ]
    rule_link = f"{dashboard}{page_of('RuleFiring')}" if dashboard else ""
    alerts += [
        alert
        for found in seen.findings
        if (alert := rule_alert(found, by_name, language=language, link=rule_link)) is not None
    ]
    english = language == "en"
    if seen.monitor_lag > seen.max_lag:
        alerts.append(
            form_alert(
                "MonitorLag", "critical", {}, now, dashboard,
                summary=f"The monitor is {span(seen.monitor_lag, language)} behind; ramping lanes hold"
                if english else f"Монитор отстаёт на {span(seen.monitor_lag, language)}; прогрев ждёт",
                lag_seconds=f"{seen.monitor_lag:.0f}", limit_seconds=f"{seen.max_lag:.0f}",
                remedy="See the log for errors of 'monitor'; check the database's load"
                if english else "Проверьте ошибки 'monitor' в журнале и нагрузку базы данных",
            )
        )  # fmt: skip
    alerts += [source_alert(rested, language, dashboard) for rested in seen.sources_out]
    alerts += [relay_alert(out, language, dashboard) for out in seen.relays_out]
    alerts += [hook_alert(dead, now, language, dashboard) for dead in seen.dead_hooks]
    alerts += [
        _blind(blind, language, dashboard)
        for blind in seen.blind
        if now - blind.at >= (REFUSED_AFTER if blind.login else BLIND_AFTER)
    ]
    alerts += [_stuck(stuck, now, language, dashboard) for stuck in seen.stuck]
    alerts += [_unmatched(found, language, dashboard) for found in seen.unmatched]
    alerts += [_unverified(found, language, dashboard) for found in seen.unverified]
    alerts += stray_alerts(seen.put_back, language, dashboard)
    alerts += feedback_alerts(seen.feedback, now=now, language=language, dashboard=dashboard)
    alerts += acting_alerts(seen.acting, now=now, language=language, dashboard=dashboard)
    alerts += report_alerts(seen.reports, language=language, dashboard=dashboard)
    alerts += watch_alerts(
        seen.listings, seen.blind_zones, seen.records, seen.stale_feeds, now=now, language=language, dashboard=dashboard
    )
    return [whole(alert, language) for alert in alerts]


def blind_now(events: Iterable[Logged]) -> tuple[SeedBlind, ...]:
    """Mailboxes that are blind after these events (oldest first), each with the first of its failures in a row."""
    blind: dict[str, SeedBlind] = {}
    for logged in events:
        match logged.event:
            case SeedBlind() as event:
                before = blind.get(event.mailbox)
                blind[event.mailbox] = event if before is None or before.login != event.login else before
            case SeedPlaced() | SeedSighted() as event:
                blind.pop(event.mailbox, None)
            case _:
                pass
    return tuple(blind.values())


def _blind(blind: SeedBlind, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    if blind.login:
        return form_alert(
            "SeedLoginDead", "warning", {"mailbox": blind.mailbox, "provider": blind.provider}, blind.at, dashboard,
            summary=f"Seed mailbox {blind.mailbox} ({blind.provider}) refuses our login: placement there is unknown"
            if english else f"Ящик {blind.mailbox} ({blind.provider}) не пускает: попадание во входящие там неизвестно",
            problem=sample(blind.problem),
            remedy="Renew the app password or the refresh token; `penstock placement login` tries every mailbox"
            if english else "Обновите пароль приложения или refresh-токен; `penstock placement login` проверит ящики",
        )  # fmt: skip
    return form_alert(
        "SeedBlind", "warning", {"mailbox": blind.mailbox, "provider": blind.provider}, blind.at, dashboard,
        summary=f"Seed mailbox {blind.mailbox} ({blind.provider}) cannot be looked into: placement there is unknown"
        if english else f"Ящик {blind.mailbox} ({blind.provider}) недоступен: попадание во входящие там неизвестно",
        problem=sample(blind.problem),
        remedy="See whether its host answers and how many connections it allows; `penstock placement login` tries it"
        if english else "Проверьте, отвечает ли сервер и сколько соединений разрешает; `penstock placement login`",
    )  # fmt: skip


def _stuck(stuck: StuckQueue, now: float, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    where = stuck.provider or ("domains without a known route" if english else "домены, чей маршрут не найден")
    count, age = number(stuck.queued, language), span(now - stuck.oldest, language)
    return form_alert(
        "QueueStuck", "warning", {"provider": stuck.provider} if stuck.provider else {}, stuck.oldest, dashboard,
        summary=f"Due mail to {where} waits: {count} in the queue, the oldest for {age}"
        if english else f"Почта ждёт отправки ({where}): писем {count}, старшее ждёт {age}",
        queued=str(stuck.queued), **({"samples": sample(stuck.last_reply)} if stuck.last_reply else {}),
        remedy="`penstock explain` tells why a message waits; `penstock doctor` checks DNS and port 25"
        if english else "`penstock explain` скажет, чего ждёт письмо; `penstock doctor` проверит DNS и порт 25",
    )  # fmt: skip


def _unmatched(found: Unmatched, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    count = number(found.count, language)
    return form_alert(
        "UnmatchedReplies", "warning", {"provider": found.provider}, found.since, dashboard,
        summary=f"Refusals of {found.provider} that match no reply rule: {count}" if english
        else f"{found.provider}: отказов без подходящего правила: {count}",
        count=str(found.count), samples="\n".join(sample(s) for s in found.samples[:5]),
        remedy="Look at the samples; add a reply rule for the new text" if english
        else "Посмотрите примеры; добавьте правило для нового текста",
    )  # fmt: skip


def _unverified(found: Unverified, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    count, kind = number(found.count, language), _KINDS.get(found.kind, found.kind)
    return form_alert(
        "UnverifiedReports", "warning", {"kind": found.kind}, found.since, dashboard,
        summary=f"Reports ({found.kind}) without a valid token: {count} in a day; they have no effect" if english
        else f"Отчёты ({kind}) без действительного токена: {count} за сутки; они не действуют",
        count=str(found.count), samples="\n".join(sample(s) for s in found.samples[:5]),
        remedy="If they are real, check that the return path and the token keys did not change" if english
        else "Если они настоящие, проверьте, не сменились ли обратный адрес и ключи токенов",
    )  # fmt: skip


def _link(dashboard: str, pause_id: str) -> str:
    if not dashboard:
        return ""
    return f"{dashboard}/#pause-{quote(pause_id, safe='')}" if pause_id else f"{dashboard}/"
