"""Alerts about what the watches of DNS, blocklists and postmaster feeds know.  Pure.

- `Listed`: a blocklist lists a source's address or a sending domain; critical when it holds mail;
- `BlocklistBlind`: a blocklist cannot be trusted for long: listed or not is unknown there, which is not "clean";
- `RecordChanged`: one of our DNS records changed within the last day, with before and after;
- `FeedStale`: a postmaster feed refuses our key, fails, or has no new figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alerts.form import form_alert
from alerts.words import MAX_SAMPLE, Language, sample, span
from core.events import RecordChanged
from core.lane import DAY, HOUR
from core.state import Alert

ZONE_BLIND_AFTER = 6 * HOUR  # lists and resolvers have bad hours
CHANGE_TOLD_FOR = DAY
_KEPT_ALIKE = 60  # characters before the first difference
NOTHING = {"en": "(nothing)", "ru": "(ничего)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveListing:
    """One listing.  `holds`: mail waits for its end."""

    kind: Literal["source", "sending_domain"]
    name: str
    subject: str
    zone: str
    since: float
    text: str
    delist: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindZone:
    """A blocklist that failed its self-test or does not answer."""

    zone: str
    since: float
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleFeed:
    """A postmaster feed that gives nothing new."""

    name: str
    kind: str
    since: float
    problem: str  # '' when it answers but has no new figures


def watch_alerts(
    listings: Sequence[ActiveListing],
    zones: Sequence[BlindZone],
    records: Sequence[RecordChanged],
    feeds: Sequence[StaleFeed],
    *,
    now: float,
    language: Language,
    dashboard: str,
) -> list[Alert]:
    """Every alert of these kinds that should be firing at `now`."""
    alerts = [_listed(one, language, dashboard) for one in listings]
    alerts += [_blind(one, now, language, dashboard) for one in zones if now - one.since >= ZONE_BLIND_AFTER]
    newest = {(one.name, one.type): one for one in sorted(records, key=lambda r: r.at)}
    alerts += [_changed(one, language, dashboard) for one in newest.values() if now - one.at < CHANGE_TOLD_FOR]
    alerts += [_stale(one, now, language, dashboard) for one in feeds]
    return alerts


def _listed(one: ActiveListing, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    subject = one.subject if one.subject == one.name else f"{one.subject} ({one.name})"
    own_page = f"the page of {one.zone}" if english else f"на странице {one.zone}"
    return form_alert(
        "Listed", "critical" if one.holds else "warning",
        {one.kind: one.name, "zone": one.zone, "subject": one.subject}, one.since, dashboard,
        summary=f"{one.zone} lists {subject}" if english else f"{subject} — в списке {one.zone}",
        reason=sample(one.text),
        action=("Its marketing mail waits until the listing ends; then a probe decides" if english
                else "Рассылки ждут конца блокировки; затем решит проба") if one.holds
        else ("Nothing is held" if english else "Ничего не удерживается"),
        remedy=f"Find the cause first, then ask to be delisted: {one.delist or own_page}" if english
        else f"Сначала найдите причину, затем просите об исключении: {one.delist or own_page}",
    )  # fmt: skip


def _blind(one: BlindZone, now: float, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    long = span(now - one.since, language)
    return form_alert(
        "BlocklistBlind", "warning", {"zone": one.zone}, one.since, dashboard,
        summary=f"{one.zone} cannot be used for {long}: listed or not is unknown there" if english
        else f"{one.zone} не удаётся использовать уже {long}: есть ли мы в нём, неизвестно",
        problem=sample(one.problem),
        remedy="Use a resolver of your own under [dns], add a key under [[blocklists.keys]], or skip the zone"
        if english
        else "Укажите в [dns] свой резолвер, добавьте ключ в [[blocklists.keys]] или внесите список в blocklists.skip",
    )  # fmt: skip


def _changed(one: RecordChanged, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    before, after = (sample(text) or NOTHING[language] for text in _where_they_differ(one.before, one.after))
    return form_alert(
        "RecordChanged", "warning", {"record": one.name, "type": one.type}, one.at, dashboard,
        summary=f"The {one.type} record of {one.name} changed" if english
        else f"Изменилась запись {one.type} имени {one.name}",
        before=before, after=after,
        reason=f"{before} → {after}",
        remedy="If nobody of yours did that, put the old record back and find out who did; run `penstock doctor`"
        if english else "Если это сделали не вы, верните прежнюю запись и выясните, кто; запустите `penstock doctor`",
    )  # fmt: skip


def _where_they_differ(before: str, after: str) -> tuple[str, str]:
    """Both texts, values beside each other; what begins alike is cut where a sample would not reach the difference."""
    old, new = (text.replace("\n", " | ") for text in (before, after))
    if max(len(old), len(new)) <= MAX_SAMPLE:
        return old, new
    alike = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    cut = alike - _KEPT_ALIKE
    return (old, new) if cut <= 0 else (f"…{old[cut:]}", f"…{new[cut:]}")


def _stale(one: StaleFeed, now: float, language: Language, dashboard: str) -> Alert:
    english = language == "en"
    long = span(now - one.since, language)
    if one.problem:
        return form_alert(
            "FeedStale", "warning", {"feed": one.name}, one.since, dashboard,
            summary=f"Postmaster feed {one.name} ({one.kind}): {sample(one.problem)}" if english
            else f"Фид постмастера {one.name} ({one.kind}): {sample(one.problem)}",
            problem=sample(one.problem),
            remedy="Renew its key or token, or mend what the problem names (see docs/feeds.md)" if english
            else "Обновите ключ или токен либо исправьте названное (см. docs/feeds.md)",
        )  # fmt: skip
    return form_alert(
        "FeedStale", "warning", {"feed": one.name}, one.since, dashboard,
        summary=f"Postmaster feed {one.name} ({one.kind}) gives nothing new for {long}" if english
        else f"Данные постмастера {one.name} ({one.kind}) не обновляются уже {long}",
        problem="it answers, without new figures" if english else "отвечает, но новых данных нет",
        remedy="A feed without enough mail may be empty by right; else look at its page and at its subjects" if english
        else "При малом объёме писем данных может не быть; иначе проверьте страницу фида и его subjects",
    )  # fmt: skip
