"""Numbers in the query of a request: one rule for all routes, which refuse what they do not take."""

from __future__ import annotations

from aiohttp import web

from core.errors import InvalidInput


def number(request: web.Request, name: str, default: int, most: int, *, least: int = 1) -> int:
    """The whole number `name` of the query, from `least` to `most`.  Raises InvalidInput for anything else."""
    text = request.query.get(name, str(default))
    # isdecimal alone lets digits of all scripts pass, which int() reads as well
    if not text.isdecimal() or not least <= int(text[:20]) <= most:
        raise InvalidInput(name, f"{text[:20]!r} is no whole number in range", f"Give {least} to {most}")
    return int(text[:20])
