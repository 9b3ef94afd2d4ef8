"""A submission listener with its store and its desk of notifications, and clients that talk to it."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from config.model import Settings
from core.clock import FixedClock
from core.events import Accepted
from sender.intake import Intake
from service.library import TemplateLibrary
from service.notices import NoticeDesk
from service.submission import SubmissionServer
from storage.stores import Stores, open_stores
from tests.daemons.certificate import make_certificate
from tests.ports import free_port
from tests.waiting import within

NOW = 1_800_000_000.0
PASSWORD = "a password of this test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A listener with its store."""

    port: int
    tls_port: int
    stores: Stores
    certificate: Path
    clock: FixedClock
    desk: NoticeDesk
    templates: Path

    async def with_client(self, talk: Callable[[smtplib.SMTP], Any], *, login: bool = True) -> Any:
        """Run a blocking dialogue beside the server's loop."""

        def run() -> Any:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
                client.ehlo("app.test")
                if login:
                    client.starttls(context=ssl.create_default_context(cafile=str(self.certificate)))
                    client.login("crm", PASSWORD)
                return talk(client)

        return await asyncio.to_thread(run)

    async def raw(self, *lines: bytes) -> bytes:
        """Everything that is answered to these bytes, sent at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await reader.readline()
        writer.write(b"".join(lines))
        answer = await within(reader.read(), "the end of the answers")
        writer.close()
        await writer.wait_closed()
        return answer

    async def accepted(self) -> list[Accepted]:
        return [row.event for row in await self.stores.log.read(0) if isinstance(row.event, Accepted)]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    certificate, key = make_certificate(tmp_path, "submission.test")
    (tmp_path / "password").write_text(PASSWORD)
    port, tls_port = free_port(), free_port()
    settings = Settings.model_validate({
        "sending_domains": [{"name": "sender.test", "return_path": "rp.sender.test"}],
        "templates": tmp_path / "templates", "sources": [{"name": "mta1", "ehlo": "mta1.sender.test"}],
        "submission": {
            "port": port, "tls_port": tls_port, "tls_cert": certificate, "tls_key": key, "max_size": 200_000,
            "users": [{"name": "crm", "password_file": tmp_path / "password"}],
        },
    })  # fmt: skip
    stores = await open_stores(f"sqlite:///{tmp_path}/p.db")
    clock = FixedClock(NOW)
    intake = Intake(
        queue=stores.queue, suppressions=stores.suppressions, idempotency=stores.idempotency, clock=clock,
        settings=settings,
    )  # fmt: skip
    desk = NoticeDesk(settings, stores, intake, clock)
    server = SubmissionServer(settings, intake, desk, TemplateLibrary(settings.templates))
    await server.start()
    yield Door(
        port=port, tls_port=tls_port, stores=stores, certificate=certificate, clock=clock, desk=desk,
        templates=tmp_path / "templates",
    )  # fmt: skip
    await server.stop()
    await stores.close()


def message(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Shop <shop@sender.test>"
    mail["To"] = "ann@x.test"
    mail["Subject"] = "Your receipt"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Thank you.\n")
    return mail
