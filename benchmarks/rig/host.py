"""A mail host in a thread of the benchmark's own process: it takes mail and hands each recipient to whoever measures.

`recipient` is asked for each RCPT with the line, and the instant (by `clock`) when its MAIL came: it notes what it
wants and says whether the address is taken.  A message, and a refusal, take `delay` seconds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable


class Host:
    """See the module.  Begins to listen at once, on `port`, and ends with the process."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, delay: float = 0.0) -> None:
        self.port = 0
        self.delay = delay
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        if not ready.wait(10):
            raise TimeoutError("the benchmark's mail host does not listen after 10 s: is loopback up?")

    def recipient(self, line: bytes, began: float) -> bool:
        """One RCPT, in the host's thread; False refuses it as unknown."""
        raise NotImplementedError

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, limit=1_000_000)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 host\r\n")
        began, taken = 0.0, False
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-host\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"MAIL":
                began, taken = self.clock(), False
                writer.write(b"250 2.1.0 ok\r\n")
            elif verb == b"RCPT":
                taken = self.recipient(line, began)
                if taken:
                    writer.write(b"250 2.1.5 ok\r\n")
                else:
                    await asyncio.sleep(self.delay)
                    writer.write(b"550 5.1.1 no such user here\r\n")
            elif verb == b"DATA" and not taken:
                writer.write(b"554 5.5.1 no valid recipients\r\n")  # it was pipelined behind a refused RCPT
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                await asyncio.sleep(self.delay)
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")
