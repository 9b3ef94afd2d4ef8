"""MTA-STS policy files over HTTPS (RFC 8461 section 3.3): core.ports.PolicyFetcher with aiohttp.

Contract: only `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, with the certificate verified for that name; no
redirect is followed; status 200 and text/plain only; MAX_BYTES and TOTAL_SECONDS at most.  Names are resolved by our
own resolver.  No cookie is kept or sent.  Whatever goes wrong is a StsProblem with its word for TLS reports.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from core.ports import NameMissing, Resolver, ResolverFailed
from core.tls import StsProblem, TlsFailure
from sender.sts import MAX_BYTES

TOTAL_SECONDS = 20.0  # RFC 8461 suggests up to a minute; mail waits meanwhile
_MAX_CONNECTIONS = 20


class HttpsPolicyFetcher:
    """See the module.  `ca_file`: certificates to trust besides the system's; `port` differs only in test worlds."""

    def __init__(self, resolver: Resolver, *, ca_file: Path | None = None, port: int = 443) -> None:
        self._resolver = resolver
        self._port = port
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, domain: str) -> str:
        """See core.ports.PolicyFetcher."""
        url = f"https://mta-sts.{domain}:{self._port}/.well-known/mta-sts.txt"
        try:
            async with self._client().get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise _failed(f"the server answers {answer.status}")
                if answer.content_type != "text/plain":
                    raise _failed(f"the file is {answer.content_type[:60]}, not text/plain")
                content = bytearray()
                async for part in answer.content.iter_chunked(8192):
                    content += part
                    if len(content) > MAX_BYTES:
                        raise StsProblem("the policy is larger than 64 kB")
                return content.decode("utf-8", "replace")
        except aiohttp.ClientConnectorCertificateError as error:
            raise StsProblem(f"the certificate is not good: {error}"[:300], TlsFailure.STS_WEBPKI_INVALID) from error
        except TimeoutError as error:
            raise _failed(f"no answer within {TOTAL_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(str(error)[:300] or type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = policy_session(self._resolver, self._ca_file)
        return self._session


def policy_session(
    resolver: Resolver, ca_file: Path | None, *, permits: Callable[[str], bool] = lambda _ip: True
) -> aiohttp.ClientSession:
    """Verified HTTPS by our own resolver, without cookies and proxies; only to addresses that `permits` allows."""
    tls = ssl.create_default_context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        tls.load_verify_locations(ca_file)
    connector = aiohttp.TCPConnector(
        ssl=tls, resolver=_OurNames(resolver, permits), limit=_MAX_CONNECTIONS, use_dns_cache=False, force_close=True
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS),
    )  # fmt: skip


class _OurNames(AbstractResolver):
    """aiohttp's look-ups through core.ports.Resolver."""

    def __init__(self, resolver: Resolver, permits: Callable[[str], bool]) -> None:
        self._resolver = resolver
        self._permits = permits

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            addresses = await self._resolver.addresses(host)
        except (NameMissing, ResolverFailed) as error:
            raise OSError(str(error)) from error
        return [
            ResolveResult(
                hostname=host, host=ip, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
            )
            for ip in addresses
            if self._permits(ip)
        ]  # fmt: skip

    async def close(self) -> None:
        return


def _failed(text: str) -> StsProblem:
    return StsProblem(text, TlsFailure.STS_POLICY_FETCH_ERROR)
