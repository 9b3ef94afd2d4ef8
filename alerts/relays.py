"""The alert of a relay that takes no mail.  Pure.

`RelayOut`: one alert for a relay that refuses us or cannot be reached, from the first of its rests in a row until it
takes mail again.  A first rest that is short is not told: the next attempt may go through.  Without news for an hour
after a rest ended it is over as well, because nothing was sent to it since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.form import form_alert
from alerts.words import Language, sample
from core.events import Logged
from core.lane import HOUR
from core.reaction import PairRested, Rest
from core.state import Alert

FORGOTTEN_AFTER = HOUR
_SHORT = 300.0  # seconds
_PREFIX = "relay:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOut:
    """A relay of no use since `since`, and what it said last."""

    relay: str
    since: float
    sample: str = ""


def relays_out(rests: Iterable[Rest], events: Iterable[Logged], now: float) -> tuple[RelayOut, ...]:
    """Relays that are out, by what senders know of them and the rests in the log (oldest first)."""
    first: dict[tuple[str, str], float] = {}
    said: dict[tuple[str, str], str] = {}
    for logged in events:
        event = logged.event
        if isinstance(event, PairRested) and event.site.startswith(_PREFIX):
            pair = (event.source, event.site)
            first[pair] = event.at if event.strikes <= 1 else first.get(pair, event.at)
            said[pair] = event.sample
    found: dict[str, RelayOut] = {}
    rests = list(rests)
    working = {rest.site for rest in rests if not rest.strikes}  # it has taken mail of some source since
    for rest in rests:
        if rest.site in working:
            continue
        told = rest.strikes > 1 or (rest.strikes == 1 and rest.until - rest.troubled > _SHORT)
        if not told or not rest.site.startswith(_PREFIX) or now >= rest.until + FORGOTTEN_AFTER:
            continue
        pair, name = (rest.source, rest.site), rest.site.removeprefix(_PREFIX)
        since, before = first.get(pair, rest.troubled), found.get(name)
        if before is None or since < before.since:
            found[name] = RelayOut(relay=name, since=since, sample=said.get(pair, ""))
    return tuple(found[name] for name in sorted(found))


def relay_alert(out: RelayOut, language: Language, dashboard: str) -> Alert:
    """What people are told."""
    english = language == "en"
    return form_alert(
        "RelayOut", "critical", {"relay": out.relay}, out.since, dashboard,
        summary=f"Relay {out.relay} takes no mail" if english else f"Релей {out.relay} не берёт почту",
        samples=sample(out.sample),
        remedy="Check its password, certificate and address in [[relays]]: `penstock doctor` logs in to it"
        if english
        else "Проверьте пароль, сертификат и адрес в [[relays]]: `penstock doctor` пробует войти",
    )  # fmt: skip
