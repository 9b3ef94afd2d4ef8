"""Inline SVG of the dashboard: pure geometry.

No style attributes (the page's CSP forbids them): colours come from classes of static/penstock.css.  Every drawing is
either described (`role="img"` with a label) or hidden from assistive technology where the table beside it says the
same.  Text inside is escaped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup, escape

from alerts.words import Language, number, percent
from core.lane import DAY, day_of
from core.state import Gate
from service.web.phrases import compact, date, phrase
from service.web.view import Band, DayVolume, LaneRow

MAX_DAYS, MIN_DAYS = 45, 14
MAX_SERIES = 7  # providers drawn on their own; the rest is one more series
_WIDTH, _PLOT, _LEFT, _RIGHT, _TOP = 1120.0, 210.0, 84.0, 8.0, 30.0
_STRIP, _AXIS = 15.0, 26.0
_KNOWN_ORDER = ("gmail", "outlook", "yahoo", "mailru", "apple", "yandex")


def series_of(lanes: Sequence[LaneRow]) -> list[str]:
    """Providers in the order (hence colour) in which they are drawn: well-known first, the same each time."""
    volume: dict[str, int] = defaultdict(int)
    for row in lanes:
        volume[row.lane.provider] += sum(point.sent for point in row.trend)
    fixed = [name for name in _KNOWN_ORDER if name in volume]
    others = sorted((name for name in volume if name not in fixed), key=lambda name: (-volume[name], name))
    return (fixed + others)[:MAX_SERIES]


def nice_top(value: float) -> float:
    """The least of 1, 2, 2.5, 5 × 10ⁿ × 4 steps that holds `value`: the end of a scale with four even lines."""
    if value <= 4:
        return 4.0
    step = 10.0 ** math.floor(math.log10(value / 4))
    return next(4 * step * m for m in (1, 2, 2.5, 5, 10, 20) if 4 * step * m >= value)


def volume_chart(lanes: Sequence[LaneRow], bands: Sequence[Band], now: float, language: Language) -> Markup:
    """Daily first attempts, stacked by provider, over strips that show when each provider's gate was not open."""
    names = series_of(lanes)
    sent: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in lanes:
        name = row.lane.provider if row.lane.provider in names else ""
        for point in row.trend:
            sent[point.day][name] += point.sent
    today = day_of(now)
    first = min([day for day in sent if day > today - MAX_DAYS] or [today])
    first = min(first, today - MIN_DAYS + 1)
    days = today - first + 1
    order = [*names, *([""] if any("" in row for row in sent.values()) else [])]
    top = nice_top(max([sum(row.values()) for day, row in sent.items() if day >= first] or [0]))
    base = _TOP + _PLOT
    height = base + _AXIS + _STRIP * len(order)
    width = (_WIDTH - _LEFT - _RIGHT) / days
    out = [
        f'<svg class="volume" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(phrase("volume_label", language))}">'
    ]
    out.append(f'<text class="tick unit" x="{_LEFT:g}" y="14">{escape(phrase("volume_axis", language))}</text>')
    for line in range(5):
        y = base - _PLOT * line / 4
        out.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:g}" y2="{y:g}"/>')
        out.append(f'<text class="tick end" x="{_LEFT - 8:g}" y="{y + 4:g}">{compact(top * line / 4, language)}</text>')
    for day in range(first, today + 1):
        x = _LEFT + (day - first) * width
        out.append(_stack(sent.get(day, {}), order, x, width, base, top, day, language))
        if (today - day) % max(1, round(days / 8)) == 0:
            out.append(
                f'<text class="tick mid" x="{x + width / 2:.1f}" y="{base + 17:g}">{date(day * DAY, language)}</text>'
            )
    for index, name in enumerate(order):
        y = base + _AXIS + index * _STRIP
        label = name or phrase("others", language)
        out.append(f'<text class="tick end" x="{_LEFT - 8:g}" y="{y + 8:g}">{escape(_short(label))}</text>')
        out.append(
            f'<rect class="strip" x="{_LEFT:g}" y="{y:g}" width="{_WIDTH - _LEFT - _RIGHT:g}" height="9" rx="3"/>'
        )
        for band in bands:
            if band.provider == name or not band.provider or (not name and band.provider not in names):
                out.append(_band(band, first, days, now, y, language))
    out.append("</svg>")
    return Markup("".join(out))  # noqa: S704  every text in it went through escape()


def _stack(
    row: dict[str, int], order: Sequence[str], x: float, width: float, base: float, top: float, day: int,
    language: Language,
) -> str:  # fmt: skip
    parts = [(index, name, row[name]) for index, name in enumerate(order) if row.get(name)]
    if not parts:
        return ""
    told = "\n".join(
        f"{name or phrase('others', language)}: {number(value, language)}" for _, name, value in reversed(parts)
    )
    out = [f"<g><title>{escape(date(day * DAY, language))}\n{escape(told)}</title>"]
    y, gap = base, min(width * 0.16, 6)
    for index, _, value in parts:
        size = _PLOT * value / top
        y -= size
        out.append(
            f'<rect class="{colour(index)}" x="{x + gap / 2:.1f}" y="{y:.1f}" width="{width - gap:.1f}" '
            f'height="{size:.1f}"/>'
        )
    return "".join([*out, "</g>"])


def _band(band: Band, first: int, days: int, now: float, y: float, language: Language) -> str:
    span = _WIDTH - _LEFT - _RIGHT
    begin, end = ((at / DAY - first) / days for at in (band.begin, band.end if band.end is not None else now))
    begin, end = max(0.0, begin), min(1.0, end)
    if end <= 0 or begin >= 1:
        return ""
    width = max(4.0, (end - begin) * span)
    left = min(_LEFT + begin * span, _WIDTH - _RIGHT - width)
    return (
        f'<rect class="band {band.state}" x="{left:.1f}" y="{y:g}" width="{width:.1f}" height="9" '
        f'rx="3"><title>{escape(phrase(band.state, language))}</title></rect>'
    )


def sparkline(points: Sequence[DayVolume], language: Language) -> Markup:
    """A lane's daily volume with its cap; hidden from assistive technology, the row tells today's figures."""
    shown = [p for p in points if points and p.day > points[-1].day - MAX_DAYS]
    if not shown:
        return Markup("")
    first, days = shown[0].day, max(MIN_DAYS, shown[-1].day - shown[0].day + 1)
    top = max([1, *(p.sent for p in shown), *(p.cap or 0 for p in shown)])
    width, height = 112.0, 34.0
    step = width / days
    bars = "".join(
        f'<rect x="{(p.day - first) * step:.1f}" y="{height - h:.1f}" width="{max(1.0, step - 0.8):.1f}" '
        f'height="{h:.1f}"/>'
        for p in shown
        if (h := (height - 3) * p.sent / top)
    )
    caps = " ".join(
        f"{x:.1f},{height - (height - 3) * p.cap / top:.1f}"
        for p in shown
        if p.cap is not None
        for x in ((p.day - first) * step, (p.day - first + 1) * step)
    )
    line = f'<polyline class="cap" points="{caps}"/>' if caps else ""
    last = number(shown[-1].sent, language)
    return Markup(  # noqa: S704  numbers only
        f'<svg class="spark" viewBox="0 0 {width:g} {height:g}" aria-hidden="true" focusable="false">'
        f"<title>{last}</title>{bars}{line}</svg>"
    )


def needle(gate: Gate, low: float, high: float, language: Language) -> Markup:
    """The observed rate with its interval against the rule's threshold."""
    evidence = gate.evidence
    assert evidence is not None
    width, height = 340.0, 46.0
    top = max(high, 2 * evidence.threshold) * 1.08
    scale = (width - 16) / top
    rate, edge = 8 + evidence.rate * scale, 8 + evidence.threshold * scale
    anchor = "mid" if 40 < edge < width - 60 else "start" if edge <= 40 else "end"
    label = phrase("needle_label", language).format(
        rate=percent(evidence.rate, language), low=percent(low, language), high=percent(high, language),
        threshold=percent(evidence.threshold, language),
    )  # fmt: skip
    return Markup(  # noqa: S704  numbers and an escaped label
        f'<svg class="needle" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f'<line class="scale" x1="8" x2="{width - 8:g}" y1="16" y2="16"/>'
        f'<rect class="interval" x="{8 + low * scale:.1f}" y="11" width="{max(2.0, (high - low) * scale):.1f}" '
        f'height="10" rx="5"/><circle class="point" cx="{rate:.1f}" cy="16" r="5.5"/>'
        f'<line class="threshold" x1="{edge:.1f}" x2="{edge:.1f}" y1="4" y2="28"/>'
        f'<text class="tick {anchor}" x="{edge:.1f}" y="42">'
        f"{escape(phrase('limit', language))} {percent(evidence.threshold, language)}</text></svg>"
    )


def colour(index: int) -> str:
    """The class of a series' colour."""
    return f"c{index if index < MAX_SERIES else MAX_SERIES}"


def _short(name: str) -> str:
    return name if len(name) <= 11 else name[:10] + "…"
