"""What a browser shows for a refused request, in the frame of the other pages; programs get the same as JSON.  Pure."""

from __future__ import annotations

from aiohttp import web

from alerts.words import Language
from service.web.dashboard import template_of
from service.web.public import language_of

_HEADINGS: dict[Language, dict[int, str]] = {
    "en": {401: "Access token needed", 403: "Not allowed", 404: "No such page", 422: "The address is not understood",
           0: "This did not work"},
    "ru": {401: "Нужен токен доступа", 403: "Нет доступа", 404: "Такой страницы нет", 422: "Адрес не понят",
           0: "Не получилось"},
}  # fmt: skip
_REMEDIES: dict[Language, dict[int, str]] = {
    "en": {401: "Load the page again and give a token of `http.tokens` as the password; the name does not matter.",
           404: "Choose a page above.", 503: "The database is away or busy. Load the page again in a few seconds."},
    "ru": {401: "Загрузите страницу снова и введите токен из `http.tokens` как пароль; имя любое.",
           404: "Выберите страницу выше.", 503: "База данных недоступна или занята. Обновите страницу через "
           "несколько секунд."},
}  # fmt: skip


def wants_page(request: web.Request) -> bool:
    """True for a person's browser at a page; the API always answers in JSON."""
    return (
        request.method == "GET"
        and "text/html" in request.headers.get("Accept", "")[:500]
        and not request.path.startswith(("/v1/", "/openapi.json", "/static/"))
    )


def error_page(request: web.Request, refusal: web.StreamResponse, problem: str, remedy: str) -> web.Response:
    """The page for a refusal, with its status and its headers."""
    language: Language = "ru" if language_of(request) == "ru" else "en"
    headings = _HEADINGS[language]
    html = template_of("error.html", language).render(
        d={"heading": headings.get(refusal.status, headings[0]), "hint": ""}, here="", status=refusal.status,
        problem=problem, remedy=_REMEDIES[language].get(refusal.status, remedy),
    )  # fmt: skip
    kept = {k: v for k, v in refusal.headers.items() if k in ("WWW-Authenticate", "Retry-After", "Allow")}
    return web.Response(text=html, content_type="text/html", status=refusal.status, headers=kept)
