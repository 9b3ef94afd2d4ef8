"""Who may call what: bearer tokens with scopes, errors as JSON, and the headers that a browser needs.

Tokens come from files (`http.tokens`); a browser may send one as the password of HTTP Basic.  Scopes: `read` sees,
`inject` may also send mail, `admin` may do everything.  Without any token the API is open, which the service allows
on a loopback address only.  A request whose Origin is another site is refused whatever it carries, so that a page in
an operator's browser cannot act for him; so is, while the API is open, one that came by a name that is not ours
(a foreign name that leads to a loopback address: DNS rebinding).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import logging
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import ValidationError

from config.model import Http
from config.secrets import read_secret
from core.errors import InvalidInput, LimitExceeded, PenstockError, StorageConflict, Unavailable
from sender.intake import Overloaded
from service.web.error_page import error_page, wants_page

logger = logging.getLogger("penstock.web")

# pages of recipients: their tokens are all the authority they need, and must not stand in a log
RECIPIENTS = ("/u/", "/p/", "/o/", "/c/", "/t/")
CALLER = web.RequestKey("caller", str)
PROBLEM = web.ResponseKey("problem", dict[str, str])
_PUBLIC = ("/healthz", "/readyz", *RECIPIENTS, "/static/", "/favicon.ico")
_INJECT = frozenset({"/v1/messages", "/v1/optins", "/v1/templates/preview", "/v1/templates/lint"})
_RANK = {"read": 0, "inject": 1, "admin": 2}
_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"  # noqa: E501  # one header value


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Gatekeeper:
    """Knows the tokens.  Raises InvalidInput when the API would be open to the network."""

    def __init__(self, http: Http) -> None:
        self._own_name = (urlsplit(http.public_url).hostname or "").lower()
        self._tokens = [(read_secret(token.token_file).encode(), token.name, token.scope) for token in http.tokens]
        if not self._tokens and not is_loopback(http.host):
            raise InvalidInput(
                "http.tokens", f"the API would be open to everybody who reaches {http.host}",
                "Add [[http.tokens]] with a token_file, or listen on 127.0.0.1",
            )  # fmt: skip

    def is_strange(self, request: web.Request) -> bool:
        """Whether an open API was reached by a name that somebody else may have made lead here."""
        if self._tokens:
            return False
        name = request.headers.get("Host", "").rpartition(":")[0] or request.headers.get("Host", "")
        name = name.strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name not in ("", "localhost", self._own_name) and not name.endswith(".localhost")
        return False

    def scope_of(self, request: web.Request) -> tuple[str, str] | None:
        """(name, scope) of the caller, None when it has shown no valid token."""
        if not self._tokens:
            return "local", "admin"
        shown = _shown_token(request.headers.get("Authorization", ""))
        found = None
        for secret, name, scope in self._tokens:
            if hmac.compare_digest(secret, shown):
                found = (name, scope)
        return found

    @property
    def middleware(self) -> Middleware:
        """Checks every request that is not public."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(_PUBLIC):
                return await handler(request)
            if self.is_strange(request):
                return problem(
                    403, "Host", "the API is open and this name is not its own", "Call 127.0.0.1, or set tokens"
                )
            if _foreign_origin(request):
                return problem(403, "Origin", "the request comes from another site", "Call the API from its own host")
            caller = self.scope_of(request)
            if caller is None:
                answer = problem(401, "Authorization", "no valid token", "Send Authorization: Bearer TOKEN")
                answer.headers["WWW-Authenticate"] = 'Basic realm="Penstock", charset="UTF-8"'
                return answer
            name, scope = caller
            if _RANK[scope] < _RANK[_needed(request)]:
                return problem(403, "Authorization", f"token {name!r} may only {scope}", "Use a token of wider scope")
            request[CALLER] = name
            return await handler(request)

        return check


def caller_of(request: web.Request) -> str:
    """The name of the token that was shown."""
    name: str = request.get(CALLER, "local")
    return name


def _needed(request: web.Request) -> str:
    if request.path == "/v1/reports/failures":
        return "admin"  # they tell of single messages
    if request.method in ("GET", "HEAD"):
        return "read"
    return "inject" if request.path in _INJECT else "admin"


def _shown_token(header: str) -> bytes:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode("utf-8", "surrogateescape")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _foreign_origin(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None or origin == "null":  # a page in a sandboxed frame hides where it comes from
        site = request.headers.get("Sec-Fetch-Site", "none" if origin is None else "cross-site")
        return site not in ("none", "same-origin") and request.method not in ("GET", "HEAD")
    return origin.partition("://")[2] != request.host


def problem(status: int, field: str, text: str, remedy: str, **more: object) -> web.Response:
    """The one form of every error answer."""
    told = {"field": field, "problem": text, "remedy": remedy}
    answer = web.json_response({"error": told, **more}, status=status)
    answer[PROBLEM] = told
    return answer


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the product's errors into answers; never show a stack trace."""
    try:
        response = await handler(request)
    except Overloaded as error:
        response = problem(429, "queue", str(error), "Send again later")
        response.headers["Retry-After"] = str(error.retry_after)
    except LimitExceeded as error:
        response = problem(413, error.field, error.problem, error.remedy)
    except InvalidInput as error:
        response = problem(422, error.field, error.problem, error.remedy)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        response = problem(422, field or "body", first["msg"], "See /openapi.json for the form")
    except json.JSONDecodeError as error:
        response = problem(400, "body", f"not JSON (line {error.lineno}: {error.msg})", "Send a JSON object")
    except StorageConflict as error:
        response = problem(409, "state", str(error), "Read the state again and repeat")
    except Unavailable as error:
        response = problem(503, "service", str(error), "Send again later")
        response.headers["Retry-After"] = "5"
    except PenstockError as error:
        response = problem(400, "request", str(error), "Mend the request")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem(error.status, "path", error.reason, "See /openapi.json")
        response.headers.update({k: v for k, v in error.headers.items() if k == "Allow"})
    except Exception:
        resource = request.match_info.route.resource  # the path itself may hold an address, or a token
        shown = resource.canonical if resource is not None else request.path[:3]
        logger.exception("%s %s failed", request.method, shown)
        response = problem(500, "service", "internal error", "See the service's log")
    if (told := response.get(PROBLEM)) is not None and wants_page(request):
        response = error_page(request, response, told["problem"], told["remedy"])
    response.headers.setdefault("Content-Security-Policy", _CSP)
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")  # addresses of people
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
