"""What `penstock doctor` can only know by speaking to somebody: HTTPS pages of ours, and whether our MX takes mail.

Contract: looks only; no message is sent (RCPT TO, then QUIT).  Bounded: 10 s and 64 kB a probe, no redirects.  Nothing
is raised: what went wrong is the answer.  `Probes` is what `examine` takes, so that tests need no network.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Protocol

import aiohttp

SECONDS = 10.0
MAX_BYTES = 65_536
MAX_LINES = 50  # of one SMTP reply
_CODE = re.compile(rb"([2-5][0-9][0-9])([ -])")


class Probes(Protocol):
    """See the module."""

    async def page(self, url: str) -> tuple[int, str]:
        """(status, text) of a GET; (0, why) when there was no answer."""
        ...

    async def refusals(self, host: str, port: int, ehlo: str, recipients: Sequence[str]) -> dict[str, str]:
        """For each recipient '' when the host takes mail for it, else its reply; {'': why} when it cannot be asked."""
        ...


class NetworkProbes:
    """The real ones."""

    async def page(self, url: str) -> tuple[int, str]:
        """See Probes."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                content = await answer.content.read(MAX_BYTES)
                return answer.status, content.decode("utf-8", "replace")
        except TimeoutError:
            return 0, f"no answer within {SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, str(error)[:200] or type(error).__name__

    async def refusals(self, host: str, port: int, ehlo: str, recipients: Sequence[str]) -> dict[str, str]:
        """See Probes."""
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_connection(host, port, limit=4096)
                try:
                    return await _ask(reader, writer, ehlo, recipients)
                finally:
                    writer.close()
        except TimeoutError:
            return {"": f"{host}: no answer within {SECONDS:g} s"}
        except (OSError, ValueError, EOFError) as error:
            return {"": f"{host}: {str(error)[:200] or type(error).__name__}"}


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ehlo: str, recipients: Sequence[str]
) -> dict[str, str]:
    async def say(line: str) -> tuple[int, str]:
        writer.write(line.encode("ascii", "replace") + b"\r\n")
        await writer.drain()
        return await _reply(reader)

    opening = [await _reply(reader), await say(f"EHLO {ehlo}"), await say("MAIL FROM:<>")]
    bad = next((text for code, text in opening if code >= 400), "")
    if bad:
        return {"": bad}
    answers = {}
    for recipient in recipients:
        code, text = await say(f"RCPT TO:<{recipient}>")
        answers[recipient] = text if code >= 400 else ""
    await say("QUIT")
    return answers


async def _reply(reader: asyncio.StreamReader) -> tuple[int, str]:
    lines: list[str] = []
    for _ in range(MAX_LINES):
        line = await reader.readline()
        match = _CODE.match(line)
        if match is None:
            raise ValueError("it does not speak SMTP" if line else "it closed the connection")
        lines.append(line.decode("utf-8", "replace").strip())
        if match[2] == b" ":
            return int(match[1]), " ".join(lines)[:300]
    raise ValueError("its reply has no end")
