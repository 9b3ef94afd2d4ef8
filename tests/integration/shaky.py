"""A way to a host that breaks: connections are cut after some bytes of the first visits, and all at once on demand."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class ShakyWay:
    """Forwards loopback connections from `port` to `target`.  The first `cuts` end after `after` bytes of answer."""

    def __init__(self, port: int, target: int, *, cuts: int, after: int) -> None:
        self._target, self._cuts, self._after = target, cuts, after
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_all(self) -> int:
        """End every connection now; how many there were."""
        with self._lock:
            ended = list(self._open)
        for one in ended:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return len(ended)

    def stop(self) -> None:
        """No further connections."""
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            limit = self._after if self.visits <= self._cuts else None
            threading.Thread(target=self._forward, args=(client, limit), daemon=True).start()

    def _forward(self, client: socket.socket, limit: int | None) -> None:
        with self._lock:
            self._open.add(client)
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._target)) as server,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            answered, going = 0, True
            while going and (limit is None or answered < limit):
                for key, _ in ready.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    content = source.recv(65536)
                    going = going and bool(content)
                    key.data.sendall(content)
                    answered += len(content) if source is server else 0
        with self._lock:
            self._open.discard(client)
