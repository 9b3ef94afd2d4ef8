"""Typed keys under which the web application holds its parts."""

from __future__ import annotations

from aiohttp import web

from service.parts import Parts
from service.unsubscribe import Unsubscriber

PARTS = web.AppKey("parts", Parts)
UNSUBSCRIBER = web.AppKey("unsubscriber", Unsubscriber)
