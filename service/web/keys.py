"""Typed keys under which the web application holds its parts."""

from __future__ import annotations

from aiohttp import web

from service.parts import Parts

PARTS = web.AppKey("parts", Parts)
