"""A mail exchanger in a thread that remembers every message it took: the witness of the kill test.

It speaks just enough SMTP and answers fast.  `judge(recipient, visit)` gives the reply to RCPT; what it accepted is
in `taken`, with the instants (monotonic seconds) of RCPT and of the final reply.
"""

from __future__ import annotations

import re
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(rb"^X-Penstock-Token: m[a-z2-7]([a-z2-7]{20})[a-z2-7]{20}\r?$", re.M)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One message that was answered with 250 after its final dot."""

    message_id: str
    recipient: str
    rcpt_at: float
    sender: str  # MAIL FROM, '' for the null return path
    content: bytes


class Sink:
    """Listens on address:port until `stop()`; `keep` gets each message before it is answered for."""

    def __init__(
        self,
        address: str,
        port: int,
        judge: Callable[[str, int], str],
        keep: Callable[[Taken], None] = lambda taken: None,
    ) -> None:
        self.taken: list[Taken] = []
        self.rcpts: list[tuple[str, float]] = []
        visits: Counter[str] = Counter()
        lock = threading.Lock()
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    self.converse()
                except (ConnectionError, ValueError, IndexError):
                    return  # the sender was killed in the middle: that is what the test does

            def say(self, text: str) -> None:
                self.wfile.write(text.encode() + b"\r\n")

            def converse(self) -> None:
                self.say("220 sink.test ESMTP")
                sender, recipient, rcpt_at = "", "", 0.0
                while line := self.rfile.readline(4096):
                    verb = line[:4].upper()
                    if verb in (b"EHLO", b"HELO"):
                        self.say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000")
                    elif verb == b"MAIL":
                        sender = line.split(b"<")[1].split(b">")[0].decode()
                        self.say("250 2.1.0 Ok")
                    elif verb == b"RCPT":
                        recipient, rcpt_at = line.split(b"<")[1].split(b">")[0].decode().lower(), time.monotonic()
                        with lock:
                            visits[recipient] += 1
                            sink.rcpts.append((recipient, rcpt_at))
                        answer = judge(recipient, visits[recipient])
                        self.say(answer)
                        recipient = recipient if answer.startswith("2") else ""
                    elif verb == b"DATA":
                        if not recipient:
                            self.say("503 5.5.1 No valid recipients")
                            continue
                        self.say("354 Go on")
                        content = b""
                        while not content.endswith(b"\r\n.\r\n"):
                            part = self.rfile.readline(70_000)
                            if not part:
                                return
                            content += part
                        found = _TOKEN.search(content)
                        message_id = found[1].decode() if found else ""
                        taken = Taken(
                            message_id=message_id, recipient=recipient, rcpt_at=rcpt_at, sender=sender, content=content
                        )
                        with lock:
                            sink.taken.append(taken)
                            keep(taken)
                        self.say("250 2.0.0 Ok: taken")
                    elif verb == b"QUIT":
                        self.say("221 2.0.0 Bye")
                        return
                    else:
                        self.say("250 2.0.0 Ok")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

        self._server = Server((address, port), Session)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the listening socket."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
