"""What the lane table says about a lane's warm-up: who holds it and until when, why it fell, what comes next.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.words import Language, number, sample
from core.events import StepMove
from service.step_words import reason_words
from service.warming_view import Standing
from service.web.phrases import moment, phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneMark:
    """`tone` '' while it rises; `title` with its moment and `why` are '' then.  `ahead` says what is next."""

    tone: str
    title: str
    why: str
    ahead: str


def lane_mark(standing: Standing | None, moved: StepMove | None, language: Language) -> LaneMark | None:
    """None for lanes that no plan covers and for warm ones that nobody holds."""
    if standing is None or not standing.plan or (standing.finished and not standing.held_by):
        return None
    why = sample(reason_words(standing.held_reason if standing.held_by else standing.reason, language))
    tomorrow = moment(standing.judged_at, language)
    tone, title = "", ""
    if standing.held_by:
        key = "mark_person" if standing.held_until else "mark_person_open"
        until = moment(standing.held_until, language) if standing.held_until else ""
        tone, title = "slowed", phrase(key, language).format(by=sample(standing.held_by), until=until)
    elif standing.braked:
        tone, title = "slowed", phrase("mark_braked", language).format(until=tomorrow)
    elif moved is StepMove.STEPPED_BACK:
        tone, title = "paused", phrase("mark_back", language).format(until=tomorrow)
    elif moved is StepMove.HELD:
        tone, title = "slowed", phrase("mark_held", language).format(until=tomorrow)
    return LaneMark(tone=tone, title=title, why=why if title else "", ahead=_ahead(standing, language))


def _ahead(standing: Standing, language: Language) -> str:
    if standing.finished:
        return ""
    said = phrase("mark_next", language).format(
        cap=number(standing.next_cap, language), days=number(standing.days_left, language)
    )
    return said + (" · " + phrase("mark_late", language) if standing.late else "")
