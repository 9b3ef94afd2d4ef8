"""A listening address and its live connections, shared by the SMTP and the IMAP servers.

Contract: `start` binds exactly the wanted address and port and says what to do when that fails; `stop` returns
only when the listener and every connection are gone, so that nothing outlives the sandbox.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import TypeAlias

from core.errors import InvalidInput


class LiveConnections:
    """Transports that are open; each protocol adds its own and removes it when the connection is lost."""

    def __init__(self) -> None:
        self._open: set[asyncio.Transport] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)
        self._empty.clear()

    def remove(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        if not self._open:
            self._empty.set()

    async def abort(self) -> None:
        """Drop every connection and wait until each protocol was told."""
        for transport in list(self._open):
            transport.abort()
        await self._empty.wait()


Factory: TypeAlias = Callable[[LiveConnections], asyncio.Protocol]


class Listener:
    """One TCP listener.  With `context` the connections are TLS from the first byte."""

    def __init__(self, factory: Factory, ip: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self._factory = factory
        self._ip = ip
        self._port = port
        self._context = context
        self._live = LiveConnections()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self._ip, self._port

    async def start(self) -> None:
        """Listen; port 0 takes a free one.  Raises InvalidInput naming address, port and remedy."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: self._factory(self._live), self._ip, self._port, ssl=self._context
            )
        except OSError as error:
            where = f"{self._ip}:{self._port}"
            if error.errno == errno.EADDRINUSE:
                raise InvalidInput(
                    "port", f"{where} is in use already", "Stop what listens there or choose another port"
                ) from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidInput(
                    "address",
                    f"{self._ip} is not an address of this machine",
                    f"Add it: ip address add {self._ip}/8 dev lo",
                ) from error
            raise InvalidInput(
                "port", f"cannot listen on {where}: {error.strerror}", "Choose a port above 1023"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and every connection; again is harmless."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        await self._live.abort()
        await server.wait_closed()
