"""What `penstock doctor` can only know by speaking to somebody: HTTPS pages of ours, whether our MX takes mail, and how
it does TLS.

Contract: looks only; no message is sent (RCPT TO, then QUIT).  Bounded: 10 s and 64 kB a probe, no redirects.  Nothing
is raised: what went wrong is the answer.  `Probes` is what `examine` takes, so that tests need no network.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from sender.certificate import shown_chain

SECONDS = 10.0
MAX_BYTES = 65_536
MAX_LINES = 50  # of one SMTP reply
_CODE = re.compile(rb"([2-5][0-9][0-9])([ -])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """How a mail host does TLS.  `silent`: why it could not be asked at all; `problem`: why there is no TLS; `chain`:
    the certificates that it showed (DER, its own first); `distrust`: why they are not good for its name by the
    authorities of this machine, '' when they are.
    """

    silent: str = ""
    problem: str = ""
    chain: tuple[bytes, ...] = ()
    distrust: str = ""


class Probes(Protocol):
    """See the module."""

    async def page(self, url: str) -> tuple[int, str]:
        """(status, text) of a GET; (0, why) when there was no answer."""
        ...

    async def refusals(self, host: str, port: int, ehlo: str, recipients: Sequence[str]) -> dict[str, str]:
        """For each recipient '' when the host takes mail for it, else its reply; {'': why} when it cannot be asked."""
        ...

    async def handshake(self, host: str, port: int, ehlo: str) -> Handshake:
        """STARTTLS with a mail host."""
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
        except aiohttp.ClientConnectorCertificateError as error:
            return 0, f"its certificate is not good: {_verdict(error.certificate_error)}"
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

    async def handshake(self, host: str, port: int, ehlo: str) -> Handshake:
        """See Probes."""
        good = await _shake(host, port, ehlo, verify=True)
        if not good.distrust:
            return good
        shown = await _shake(host, port, ehlo, verify=False)
        return Handshake(silent=shown.silent, problem=shown.problem, chain=shown.chain, distrust=good.distrust)


async def _shake(host: str, port: int, ehlo: str, *, verify: bool) -> Handshake:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = False
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, port, limit=4096)
            try:
                greeting, _ = await _reply(reader)
                writer.write(f"EHLO {ehlo}\r\n".encode("ascii", "replace"))
                code, offers = await _lines(reader)
                if greeting >= 400 or code >= 400:
                    return Handshake(silent=f"{host}: {' '.join(offers)[:300]}")
                if not any(offer[4:].strip().upper() == "STARTTLS" for offer in offers):
                    return Handshake(problem="it does not offer STARTTLS")
                writer.write(b"STARTTLS\r\n")
                code, text = await _reply(reader)
                if code != 220:
                    return Handshake(problem=text)
                began = True
                await writer.start_tls(context, server_hostname=host)
                return Handshake(chain=tuple(shown_chain(writer.get_extra_info("ssl_object"))))
            finally:
                writer.close()
    except ssl.SSLCertVerificationError as error:
        return Handshake(distrust=_verdict(error))
    except TimeoutError:
        why = f"no answer within {SECONDS:g} s"
    except (OSError, ValueError, EOFError) as error:
        why = str(error)[:200] or type(error).__name__
    return Handshake(problem=why) if began else Handshake(silent=f"{host}: {why}")


def _verdict(error: Exception) -> str:
    """OpenSSL's words alone: 'certificate has expired'."""
    return str(getattr(error, "verify_message", "") or error)[:200]


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
    code, lines = await _lines(reader)
    return code, " ".join(lines)[:300]


async def _lines(reader: asyncio.StreamReader) -> tuple[int, list[str]]:
    lines: list[str] = []
    for _ in range(MAX_LINES):
        line = await reader.readline()
        match = _CODE.match(line)
        if match is None:
            raise ValueError("it does not speak SMTP" if line else "it closed the connection")
        lines.append(line.decode("utf-8", "replace").strip())
        if match[2] == b" ":
            return int(match[1]), lines
    raise ValueError("its reply has no end")
