"""A small real IMAP4rev1 server over the seed mailboxes (RFC 3501, SPECIAL-USE RFC 6154, IDLE RFC 2177).

Contract: enough for a mail client that looks: CAPABILITY NOOP ID NAMESPACE LOGIN LOGOUT LIST LSUB STATUS SELECT EXAMINE
CHECK CLOSE UNSELECT SEARCH FETCH (both also with UID) and IDLE.  Changing commands are answered NO: mail comes from the
providers only.  Folder names go over the wire in modified UTF-7.
Bounds: a command of 64 kB with its literals, 10 wrong logins, 30 minutes of silence (RFC 3501 section 5.4).
"""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
from collections.abc import Callable

from imapclient import imap_utf7

from sandbox.imap_fetch import FetchError, fetch_response, parse_items
from sandbox.imap_search import SearchError, search, sequence
from sandbox.listen import Listener, LiveConnections
from sandbox.mailbox import Folder, Mailbox, SeedMailboxes

MAX_COMMAND = 65_536
MAX_LOGINS = 10
IDLE_SECONDS = 1800.0
CAPABILITIES = "IMAP4rev1 SPECIAL-USE IDLE ID NAMESPACE UNSELECT"
_LITERAL = re.compile(rb"\{(\d{1,9})(\+?)\}$")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|\(|\)|\x00(\d+)\x00|((?:[^\s()"\[]|\[[^\]]*\])+)')


def tokens(text: str, literals: list[str]) -> list[str]:
    """Words of a command; quoted strings and literals are unwrapped, parentheses stand alone."""
    out = []
    for match in _TOKEN.finditer(text):
        if match[1] is not None:
            out.append(re.sub(r"\\(.)", r"\1", match[1]))
        elif match[2] is not None:
            out.append(literals[int(match[2])])
        else:
            out.append(match[0])
    return out


class ImapServerProtocol(asyncio.Protocol):
    """One connection to one provider's server."""

    def __init__(self, boxes: SeedMailboxes, domains: frozenset[str], live: LiveConnections) -> None:
        self._boxes = boxes
        self._domains = domains
        self._live = live
        self._buffer = bytearray()
        self._command = ""
        self._literals: list[str] = []
        self._wanted = 0
        self._box: Mailbox | None = None
        self._folder: Folder | None = None
        self._read_only = True
        self._known = 0
        self._idle_tag = ""
        self._failures = 0
        self._closing = False
        self._commands: dict[str, Callable[[str, list[str]], None]] = {
            "CAPABILITY": self._on_capability,
            "NOOP": lambda tag, _: self._done(tag, "NOOP"),
            "CHECK": lambda tag, _: self._done(tag, "CHECK"),
            "ID": self._on_id,
            "LOGIN": self._on_login,
            "LOGOUT": self._on_logout,
        }
        self._inside: dict[str, Callable[[str, list[str]], None]] = {
            "NAMESPACE": self._on_namespace,
            "LIST": self._on_list,
            "LSUB": self._on_list,
            "STATUS": self._on_status,
            "SELECT": lambda tag, words: self._on_select(tag, words, read_only=False),
            "EXAMINE": lambda tag, words: self._on_select(tag, words, read_only=True),
            "CLOSE": self._on_close,
            "UNSELECT": self._on_close,
            "IDLE": self._on_idle,
            "SEARCH": lambda tag, words: self._on_search(tag, words, by_uid=False),
            "FETCH": lambda tag, words: self._on_fetch(tag, words, by_uid=False),
            "UID": self._on_uid,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._live.add(transport)
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        self._timer = loop.call_later(IDLE_SECONDS, self._on_silence)
        self._say(f"* OK [CAPABILITY {CAPABILITIES}] IMAP4rev1 ready")

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._live.remove(self._transport)
        if self._box is not None:
            self._box.watchers.discard(self._on_news)

    def data_received(self, data: bytes) -> None:
        self._last = asyncio.get_running_loop().time()
        self._buffer += data
        while not self._closing and self._read():
            pass

    def _read(self) -> bool:
        if self._wanted:
            if len(self._buffer) < self._wanted:
                return False
            self._literals.append(bytes(self._buffer[: self._wanted]).decode("utf-8", "replace"))
            self._command += f"\x00{len(self._literals) - 1}\x00"
            del self._buffer[: self._wanted]
            self._wanted = 0
            return True
        end = self._buffer.find(b"\n")
        if end < 0 or end + len(self._command) > MAX_COMMAND:
            if len(self._buffer) + len(self._command) > MAX_COMMAND:
                self._say("* BYE command too long")
                self._close()
            return False
        line = bytes(self._buffer[:end]).rstrip(b"\r").replace(b"\x00", b"")
        del self._buffer[: end + 1]
        literal = _LITERAL.search(line)
        if literal:
            self._command += line[: literal.start()].decode("utf-8", "replace")
            self._wanted = int(literal[1])
            if self._wanted + len(self._command) > MAX_COMMAND:
                self._say("* BYE literal too long")
                self._close()
            elif not literal[2]:
                self._say("+ go on")
            return True
        command, literals = self._command + line.decode("utf-8", "replace"), self._literals
        self._command, self._literals = "", []
        self._perform(command, literals)
        return True

    def _perform(self, command: str, literals: list[str]) -> None:
        if self._idle_tag:
            tag, self._idle_tag = self._idle_tag, ""
            if command.strip().upper() == "DONE":
                self._done(tag, "IDLE")
            else:
                self._say(f"{tag} BAD expected DONE")
            return
        tag, _, rest = command.partition(" ")
        verb, _, arguments = rest.partition(" ")
        if not tag or not verb:
            self._say("* BAD tag and command expected")
            return
        action = self._commands.get(verb.upper()) or self._inside.get(verb.upper())
        if action is None:
            known = verb.upper() in {"STORE", "COPY", "MOVE", "EXPUNGE", "APPEND", "CREATE", "DELETE", "RENAME"}
            self._say(f"{tag} {'NO this server is for looking only' if known else 'BAD unknown command'}")
        elif verb.upper() in self._inside and self._box is None:
            self._say(f"{tag} NO log in first")
        else:
            action(tag, tokens(arguments, literals))

    def _on_capability(self, tag: str, _: list[str]) -> None:
        self._say(f"* CAPABILITY {CAPABILITIES}")
        self._done(tag, "CAPABILITY")

    def _on_id(self, tag: str, _: list[str]) -> None:
        self._say('* ID ("name" "penstock-sandbox")')
        self._done(tag, "ID")

    def _on_namespace(self, tag: str, _: list[str]) -> None:
        self._say('* NAMESPACE (("" "/")) NIL NIL')
        self._done(tag, "NAMESPACE")

    def _on_login(self, tag: str, words: list[str]) -> None:
        user, password = ([*words, "", ""])[:2]
        box = self._boxes.get(user) if user.rpartition("@")[2].lower() in self._domains else None
        if box is not None and hmac.compare_digest(box.password.encode(), password.encode()):
            self._box = box
            self._say(f"{tag} OK [CAPABILITY {CAPABILITIES}] logged in")
            return
        self._failures += 1
        self._say(f"{tag} NO [AUTHENTICATIONFAILED] Invalid credentials")
        if self._failures >= MAX_LOGINS:
            self._say("* BYE too many failures")
            self._close()

    def _on_logout(self, tag: str, _: list[str]) -> None:
        self._say("* BYE see you")
        self._say(f"{tag} OK LOGOUT completed")
        self._close()

    def _on_list(self, tag: str, words: list[str]) -> None:
        assert self._box is not None
        special_only = words[:1] == ["("] and "SPECIAL-USE" in [w.upper() for w in words[: words.index(")")]]
        if words[:1] == ["("]:
            words = words[words.index(")") + 1 :]
        pattern = imap_utf7.decode("".join(words[:2]).encode())
        if not pattern:
            self._say('* LIST (\\Noselect) "/" ""')
        wanted = re.compile(
            "".join(".*" if c == "*" else "[^/]*" if c == "%" else re.escape(c) for c in pattern[:200]), re.S
        )
        for folder in self._box.folders.values():
            if wanted.fullmatch(folder.name) and (folder.attribute or not special_only):
                flags = " ".join(f for f in ("\\HasNoChildren", folder.attribute) if f)
                self._say(f'* LIST ({flags}) "/" {_quoted(folder.name)}')
        self._done(tag, "LIST")

    def _on_status(self, tag: str, words: list[str]) -> None:
        folder = self._find(words[0] if words else "")
        if folder is None or self._box is None:
            self._say(f"{tag} NO no such mailbox")
            return
        values = {
            "MESSAGES": len(folder.mails),
            "RECENT": 0,
            "UIDNEXT": folder.next_uid,
            "UIDVALIDITY": self._box.uid_validity,
            "UNSEEN": sum(not m.seen for m in folder.mails),
        }
        items = " ".join(f"{w.upper()} {values[w.upper()]}" for w in words[1:] if w.upper() in values)
        self._say(f"* STATUS {_quoted(folder.name)} ({items})")
        self._done(tag, "STATUS")

    def _on_select(self, tag: str, words: list[str], *, read_only: bool) -> None:
        assert self._box is not None
        self._folder = self._find(words[0] if words else "")
        if self._folder is None:
            self._say(f"{tag} NO [NONEXISTENT] no such mailbox")
            return
        self._read_only = read_only
        self._known = len(self._folder.mails)
        self._say(
            "* FLAGS (\\Seen)",
            "* OK [PERMANENTFLAGS ()] none can be kept",
            f"* {self._known} EXISTS",
            "* 0 RECENT",
            f"* OK [UIDVALIDITY {self._box.uid_validity}] UIDs valid",
            f"* OK [UIDNEXT {self._folder.next_uid}] predicted",
            f"{tag} OK [{'READ-ONLY' if read_only else 'READ-WRITE'}] {'EXAMINE' if read_only else 'SELECT'} completed",
        )

    def _on_close(self, tag: str, _: list[str]) -> None:
        self._folder = None
        self._done(tag, "CLOSE")

    def _on_idle(self, tag: str, _: list[str]) -> None:
        assert self._box is not None
        self._idle_tag = tag
        self._box.watchers.add(self._on_news)
        self._say("+ idling")

    def _on_uid(self, tag: str, words: list[str]) -> None:
        verb = words[0].upper() if words else ""
        if verb == "SEARCH":
            self._on_search(tag, words[1:], by_uid=True)
        elif verb == "FETCH":
            self._on_fetch(tag, words[1:], by_uid=True)
        else:
            self._say(f"{tag} NO UID {verb[:20]} is not offered")

    def _on_search(self, tag: str, words: list[str], *, by_uid: bool) -> None:
        if self._folder is None:
            self._say(f"{tag} BAD select a mailbox first")
            return
        try:
            found = search(self._folder, words)
        except SearchError as error:
            self._say(f"{tag} BAD {error}")
            return
        numbers = [str(mail.uid if by_uid else number) for number, mail in found]
        self._say(" ".join(["* SEARCH", *numbers]))
        self._done(tag, "SEARCH")

    def _on_fetch(self, tag: str, words: list[str], *, by_uid: bool) -> None:
        if self._folder is None:
            self._say(f"{tag} BAD select a mailbox first")
            return
        try:
            items = parse_items(words[1:])
            wanted = sequence(words[0] if words else "", self._folder, by_uid=by_uid)
        except (FetchError, SearchError) as error:
            self._say(f"{tag} BAD {error}")
            return
        for number, mail in enumerate(self._folder.mails, 1):
            if (mail.uid if by_uid else number) in wanted:
                self._transport.write(
                    fetch_response(number, mail, items, with_uid=by_uid, may_mark=not self._read_only)
                )
        self._done(tag, "FETCH")

    def _find(self, wire_name: str) -> Folder | None:
        assert self._box is not None
        return self._box.folder(imap_utf7.decode(wire_name.encode()))

    def _on_news(self) -> None:
        if self._idle_tag:
            self._tell_news()

    def _tell_news(self) -> None:
        """New mail since the client last heard (RFC 3501 section 7: with any command's answer, or while idling)."""
        if self._folder is not None and len(self._folder.mails) != self._known:
            self._known = len(self._folder.mails)
            self._say(f"* {self._known} EXISTS")

    def _done(self, tag: str, name: str) -> None:
        self._tell_news()
        self._say(f"{tag} OK {name} completed")

    def _on_silence(self) -> None:
        loop = asyncio.get_running_loop()
        quiet = loop.time() - self._last
        if quiet >= IDLE_SECONDS:
            self._say("* BYE idle for too long")
            self._close()
        else:
            self._timer = loop.call_later(IDLE_SECONDS - quiet, self._on_silence)

    def _say(self, *lines: str) -> None:
        self._transport.write("".join(line + "\r\n" for line in lines).encode())

    def _close(self) -> None:
        self._closing = True
        self._transport.close()


def _quoted(name: str) -> str:
    wire = imap_utf7.encode(name).decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{wire}"'


def imap_server(
    boxes: SeedMailboxes, domains: list[str], ip: str, port: int, context: ssl.SSLContext | None
) -> Listener:
    """The IMAP server of one provider; with `context` it is IMAPS, without it plain text."""
    allowed = frozenset(domains)
    return Listener(lambda live: ImapServerProtocol(boxes, allowed, live), ip, port, context)
