"""An OAuth 2.0 service: exchanges refresh tokens, and tells an IMAP server whose an access token is."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Grant:
    """What one refresh token gives: access tokens in turn (the last for ever), and perhaps another refresh token."""

    user: str
    access: list[str]
    replaced_by: str = ""
    revoked: bool = False


@dataclass(slots=True)
class TokenService:
    """Listens on loopback; `active` are access tokens that the IMAP server may believe."""

    grants: dict[str, Grant]
    active: dict[str, str]  # access token → user
    exchanges: list[str] = field(default_factory=list)
    port: int = 0
    _server: http.server.ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                form = {k: v[0] for k, v in urllib.parse.parse_qs(self.rfile.read(length).decode()).items()}
                answers: dict[str, Callable[[dict[str, str]], tuple[int, dict[str, object]]]] = {
                    "/token": service.exchange, "/introspect": service.introspect
                }  # fmt: skip
                status, answer = answers[self.path](form)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """RFC 6749 section 6."""
        self.exchanges.append(form.get("refresh_token", ""))
        grant = self.grants.get(form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or grant is None or grant.revoked:
            return 400, {"error": "invalid_grant"}
        access = grant.access.pop(0) if len(grant.access) > 1 else grant.access[0]
        answer: dict[str, object] = {"access_token": access, "expires_in": 3600, "token_type": "Bearer"}
        if grant.replaced_by:
            answer["refresh_token"] = grant.replaced_by
            self.grants[grant.replaced_by] = grant
        return 200, answer

    def introspect(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """RFC 7662."""
        user = self.active.get(form.get("token", ""), "")
        return 200, {"active": bool(user), "username": user, "exp": 4_000_000_000}

    def stop(self) -> None:
        """Close."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
