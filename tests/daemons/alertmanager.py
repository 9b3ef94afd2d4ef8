"""Prometheus Alertmanager with one webhook receiver that the tests read."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import Any

from tests.daemons.process import Daemon, accepts, program

PORT = 9093


class WebhookReceiver:
    """An HTTP server on 127.0.0.1 that keeps every JSON body which is posted to it."""

    def __init__(self) -> None:
        bodies: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.bodies = bodies
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """Alerts of every notification with that status ('firing' or 'resolved')."""
        return [a for body in list(self.bodies) for a in body.get("alerts", []) if a["status"] == status]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Alertmanager:
    """Notifies `hook` at once and about every change."""

    def __init__(self, folder: Path, hook: str) -> None:
        self.url = f"http://127.0.0.1:{PORT}"
        (folder / "alertmanager.yml").write_text(
            "global: { resolve_timeout: 30s }\n"
            "route: { receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }\n"
            f"receivers: [ {{ name: hook, webhook_configs: [ {{ url: '{hook}', send_resolved: true }} ] }} ]\n"
        )
        self.daemon = Daemon(
            [program("prometheus-alertmanager", "prometheus-alertmanager"),
             f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{PORT}", "--cluster.listen-address="], folder / "log",
        )  # fmt: skip
        self.daemon.await_that(accepts("127.0.0.1", PORT), "Alertmanager")

    def stop(self) -> None:
        self.daemon.stop()
