"""One TCP connection as the transport needs it: write, flush, read what came, begin TLS, hang up.

Contract: waits end by TimeoutError at their deadline (the loop's time); one timer serves all waits of a connection,
because to make and cancel one for each reply costs more than to read it.  `flush` returns when no byte is left in our
hands (in plain text exactly; under TLS the last records may still wait below), so that "the final dot was sent" can be
told from "it was not".  `read` gives b"" once the connection is gone, after everything that came before; `why` then
says how it went.  A host that sends more than MAX_PENDING unread bytes is cut off.  asyncio's StreamReader is not used
because it hides whether bytes are pending, which STARTTLS must know (RFC 3207, injected plain text), and because it
drops what came before a reset.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import cast

MAX_PENDING = 262_144


class Channel(asyncio.Protocol):
    """An asyncio protocol; make it with `loop.create_connection`."""

    def __init__(self) -> None:
        self.why = ""
        self.gone = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._eof = False
        self._stuffed = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # asyncio's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_PENDING:
            self._buffer.clear()
            self.why = "the host sent without end"
            self.abort()
        self._wake()

    def eof_received(self) -> None:
        self._eof = True
        self.why = self.why or "closed by the host"
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.why = self.why or (str(exc) if exc is not None else "closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def pause_writing(self) -> None:
        self._stuffed = True

    def resume_writing(self) -> None:
        self._stuffed = False
        self._wake()

    # the transport's side
    @property
    def pending(self) -> bool:
        """True when bytes came that nobody has read, or the end."""
        return bool(self._buffer) or self._eof or self.gone

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS below, None for plain text."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return cast(ssl.SSLObject | None, tls)

    def write(self, chunks: tuple[bytes, ...]) -> None:
        """Begin to send; nothing happens on a connection that is gone (the next read says so)."""
        if self._transport is not None and not self.gone:
            # one write, one segment for a small message: TCP_NODELAY would send each chunk by itself
            self._transport.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    async def flush(self, deadline: float = math.inf) -> bool:
        """Wait until everything was handed to the network.  False when the connection broke before."""
        while self._stuffed and not self.gone:
            await self._wait(deadline)
        return not self._stuffed and not self.gone

    async def read(self, deadline: float = math.inf) -> bytes:
        """What came, at once or when it comes; b"" at the end."""
        while not self.pending:
            await self._wait(deadline)
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Shake hands.  Raises OSError (ssl.SSLError is one) when that fails; the connection is then lost."""
        assert self._transport is not None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
            )
        except ssl.SSLError:
            raise  # a bad certificate is a ValueError too
        except ValueError as error:  # a host name that cannot be sent as SNI
            raise OSError(str(error)) from error
        if transport is None:
            raise ConnectionAbortedError("closed in the TLS handshake")
        self.connection_made(transport)

    async def close(self, timeout: float) -> None:
        """Close, politely for `timeout` real seconds, then by force."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            deadline = asyncio.get_running_loop().time() + timeout
            while not self.gone:
                await self._wait(deadline)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Close at once; unsent bytes are dropped."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self, deadline: float) -> None:
        assert self._waiter is None, "one task at a time speaks on a connection"
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._deadline = deadline
        if deadline < math.inf and (self._timer is None or self._timer.when() > deadline):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(deadline, self._ring)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        """The timer's instant has come; the wait that set it may be over and another one run by now."""
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._deadline == math.inf:
            return
        loop = self._waiter.get_loop()
        if self._deadline > loop.time():
            self._timer = loop.call_at(self._deadline, self._ring)
        else:
            self._waiter.set_exception(TimeoutError())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
