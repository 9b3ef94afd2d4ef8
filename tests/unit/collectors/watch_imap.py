"""A scripted IMAP server on a real socket: as much of RFC 3501 as a look into a mailbox needs.

It serves the folders it is given, remembers every command, and can refuse logins or drop connections.
"""

from __future__ import annotations

import re
import socketserver
import threading
from dataclasses import dataclass, field
from io import BufferedIOBase


@dataclass(slots=True)
class FolderScript:
    """One folder: its name as sent on the wire, its flags and its mails by UID."""

    wire_name: str
    flags: str = ""
    mails: dict[int, bytes] = field(default_factory=dict)
    validity: int = 1

    @property
    def next_uid(self) -> int:
        return max(self.mails, default=0) + 1


class _Connection(socketserver.StreamRequestHandler):
    server: ImapScript
    disable_nagle_algorithm = True  # else every answer of several lines waits for a delayed acknowledgement
    wbufsize = -1

    def handle(self) -> None:
        self.wfile.write(b"* OK ready\r\n")
        self.wfile.flush()
        folder: FolderScript | None = None
        while line := self.rfile.readline(8192):
            tag, _, command = line.decode().strip().partition(" ")
            self.server.commands.append(command)
            verb = command.upper().removeprefix("UID ").partition(" ")[0]
            if self.server.drop and verb != "LOGIN":
                self.server.drop -= 1
                return
            answer = "OK done"
            if verb == "CAPABILITY":
                self._send(f"* CAPABILITY IMAP4rev1 {self.server.capabilities}")
            elif verb == "LOGIN":
                answer = "OK in" if '"secret"' in command else "NO [AUTHENTICATIONFAILED] wrong password"
            elif verb == "LIST":
                for one in self.server.folders:
                    self._send(f'* LIST ({one.flags}) "/" "{one.wire_name}"')
            elif verb == "EXAMINE":
                name = command.partition(" ")[2].strip('"')
                folder = next((f for f in self.server.folders if f.wire_name == name), None)
                if folder is None:
                    answer = "NO no such folder"
                else:
                    self._send(f"* {len(folder.mails)} EXISTS")
                    self._send(f"* OK [UIDVALIDITY {folder.validity}] ok")
                    self._send(f"* OK [UIDNEXT {folder.next_uid}] ok")
            elif verb == "SEARCH" and folder is not None:
                self._send("* SEARCH " + " ".join(map(str, self._search(command, folder))))
            elif verb == "FETCH" and folder is not None:
                if "<0." in command and not self.server.partial:
                    answer = "BAD no partial fetch here"
                else:
                    self._fetch(command, folder)
            elif verb == "IDLE":
                self.wfile.write(b"+ idling\r\n" + self.server.idle_news)
                self.wfile.flush()
                self.server.idling = self.wfile
                assert self.rfile.readline().strip() == b"DONE"
                self.server.idling = None
            elif verb == "LOGOUT":
                self._send("* BYE")
            else:
                answer = "BAD unknown"
            self._send(f"{tag} {answer}")
            self.wfile.flush()

    def _send(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def _search(self, command: str, folder: FolderScript) -> list[int]:
        if sequence := re.fullmatch(r"UID SEARCH (\d+):\*", command):
            return list(folder.mails)[int(sequence[1]) - 1 :]
        found = re.search(r"UID (\d+):(\*|\d+)", command.removeprefix("UID "))
        assert found, command
        last = max(folder.mails, default=0)
        low, high = int(found[1]), last if found[2] == "*" else int(found[2])
        uids = [uid for uid in folder.mails if min(low, last) <= uid <= high]
        tab = re.search(r"category:(\w+)", command)
        return [uid for uid in uids if tab is None or b"X-Tab: " + tab[1].encode() in folder.mails[uid]]

    def _fetch(self, command: str, folder: FolderScript) -> None:
        sets = command.split()[2]
        origin = "<0>" if "<0." in command else ""
        limit = re.search(r"<0\.(\d+)>", command)
        for part in sets.split(","):
            low, _, high = part.partition(":")
            for uid in range(int(low), int(high or low) + 1):
                if uid in folder.mails:
                    data = folder.mails[uid][: int(limit[1]) if limit else None]
                    number = list(folder.mails).index(uid) + 1
                    head = f"* {number} FETCH (UID {uid} BODY[HEADER]{origin} {{{len(data)}}}\r\n"
                    self.wfile.write(head.encode() + data + b")\r\n")


class ImapScript(socketserver.ThreadingTCPServer):
    """The server; use it as a context manager."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *folders: FolderScript, capabilities: str = "SPECIAL-USE") -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.folders = list(folders)
        self.capabilities = capabilities
        self.commands: list[str] = []
        self.drop = 0  # so many further commands end in a lost connection
        self.partial = True
        self.idle_news = b""  # sent in one piece with the answer to IDLE
        self.idling: BufferedIOBase | None = None  # to whoever waits

    def tell(self, line: bytes) -> None:
        """Say something to the connection that is idle."""
        while self.idling is None:  # IDLE is answered in another thread
            threading.Event().wait(0.01)
        self.idling.write(line)
        self.idling.flush()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def __enter__(self) -> ImapScript:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
