"""What needs a person now: firing alerts that no gate's card tells about.  Pure.

Contract: critical ones first, then the oldest; each with what was done, what to do, and where to look closer.  The
words are the viewer's language where the keeper knows them; a summary that only the log knows is shown as it was told.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup, escape

from alerts.form import page_of
from alerts.words import Language, sample, span
from service.web.phrases import phrase
from service.web.view import AlertRow, DashboardView

MAX_SHOWN = 20
_NO_NEED = 300  # characters of a problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One alert; texts are '' where there is nothing to say."""

    row: AlertRow
    name: str
    summary: str
    lasts: str
    problem: str
    action: str
    remedy: str
    address: str


def attention(view: DashboardView, language: Language) -> list[Need]:
    """At most MAX_SHOWN; gates that are not open have cards of their own."""
    gates = {gate.pause_id for gate in view.gates}
    firing = [row for row in view.alerts if not row.ended and row.words(language).get("pause_id") not in gates]
    return [_need(row, view.now, language) for row in firing[:MAX_SHOWN]]


def commands(text: str) -> Markup:
    """The text with what stands between backticks as code; everything else is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def _need(row: AlertRow, now: float, language: Language) -> Need:
    said = row.words(language)
    path, _, part = page_of(row.name).partition("#")
    address = f"#{part}" if path == "/" and part else "" if path == "/" else f"{path}?lang={language}#{part}"
    return Need(
        row=row, name=row.name, summary=said["summary"],
        lasts=phrase("firing_for", language).format(span=span(max(0.0, now - row.since), language)),
        problem=sample(said.get("problem") or said.get("reason", ""))[:_NO_NEED],
        action=said.get("action", ""), remedy=said.get("remedy", ""), address=address,
    )  # fmt: skip
