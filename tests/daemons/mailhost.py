"""Dovecot as somebody's IMAP host: Maildirs that a test fills, with or without SPECIAL-USE, IDLE, tokens and limits.

Mail is put into a Maildir as a delivery agent does (written to tmp, renamed into new); IDLE tells of it.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from imapclient import imap_utf7

from tests.daemons.certificate import make_certificate
from tests.daemons.process import Daemon, accepts, program

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
instance_name = penstock-{imap}
protocols = imap
listen = 127.0.0.1
disable_plaintext_auth = {tls_only}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_dh =
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_max_userip_connections = {connections}
{oauth}{capability}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
{special}
}}
service anvil {{
  client_limit = 2000
}}
service auth {{
  client_limit = 2000
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  client_limit = 1000
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps}
  }}
}}
service imap {{
  process_limit = 400
}}
"""


class MailHost:
    """One Dovecot with the users `users` (name → password).

    `special` maps folder names to their SPECIAL-USE mark; `oauth_port` is an introspection server on loopback;
    `connections` how many one user may have open; `capability` replaces what the server announces."""

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        *,
        imap: int,
        imaps: int,
        special: Mapping[str, str] | None = None,
        separator: str = "/",
        prefix: str = "",
        mechanisms: str = "plain login",
        oauth_port: int = 0,
        connections: int = 10,
        capability: str = "",
        tls_only: bool = False,
    ) -> None:
        owner = pwd.getpwnam("nobody")
        self._owner = (owner.pw_uid, owner.pw_gid)
        self._serial = count(1)
        self.imap, self.imaps, self.folder = imap, imaps, folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        for name in ("mail", "run", "state"):
            (folder / name).mkdir()
        self.certificate, key = make_certificate(folder, "imap.test")
        (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{word}::::::\n" for user, word in users.items()))
        oauth = ""
        if oauth_port:
            (folder / "oauth2").write_text(
                f"introspection_url = http://127.0.0.1:{oauth_port}/introspect\nintrospection_mode = post\n"
                "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
                "tokeninfo_url =\nforce_introspection = yes\n"
            )
            oauth = (
                "passdb {\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n"
                f"  args = {folder}/oauth2\n}}\n"
            )  # fmt: skip
        marks = "".join(
            f'  mailbox "{name}" {{\n    special_use = \\{mark}\n  }}\n' for name, mark in (special or {}).items()
        )
        (folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=folder, imap=imap, imaps=imaps, certificate=self.certificate, key=key, uid=owner.pw_uid,
                gid=owner.pw_gid, separator=separator, prefix=prefix, special=marks, mechanisms=mechanisms,
                oauth=oauth, connections=connections, tls_only="yes" if tls_only else "no",
                capability=f"imap_capability = {capability}\n" if capability else "",
            )
        )  # fmt: skip
        for user in users:
            self.make_folder(user, "")
        shutil.chown(folder / "mail", *self._owner)
        self.daemon = Daemon(
            [program("dovecot", "dovecot-core dovecot-imapd"), "-c", str(folder / "dovecot.conf"), "-F"],
            folder / "stdout",
        )
        self.daemon.await_that(accepts("127.0.0.1", imap, greets=True), "Dovecot")

    def maildir(self, user: str, name: str = "") -> Path:
        """Where a folder lies; '' is the inbox.  Levels are written with '/'."""
        root = self.folder / "mail" / user / "Maildir"
        return root / ("." + imap_utf7.encode(name).decode().replace("/", ".")) if name else root

    def make_folder(self, user: str, name: str) -> None:
        """Make it, if it is not there."""
        path = self.maildir(user, name)
        for part in ("cur", "new", "tmp"):
            (path / part).mkdir(parents=True, exist_ok=True)
        if name:
            (path / "maildirfolder").touch()
        home = self.folder / "mail" / user
        for each in (home, home / "Maildir", path, *path.iterdir()):
            os.chown(each, *self._owner)

    def put(self, user: str, content: bytes, name: str = "", *, copies: int = 1) -> None:
        """Deliver into a folder."""
        path = self.maildir(user, name)
        first = path / "tmp" / self._file()
        first.write_bytes(content)
        os.chown(first, *self._owner)
        for _ in range(copies - 1):
            os.link(first, path / "new" / self._file())
        first.rename(path / "new" / first.name)

    def _file(self) -> str:
        return f"{next(self._serial):09d}.P{os.getpid()}.test"

    def new_validity(self, user: str) -> None:
        """The inbox is rebuilt, as after a move to another store: every UID changes, and UIDVALIDITY with them."""
        root = self.maildir(user)
        for file in root.glob("dovecot*"):
            if file.is_file():
                file.unlink()
        lines = [f"3 V{2_000_000_000} N1 G0123456789abcdef0123456789abcdef\n"]
        (root / "dovecot-uidlist").write_text("".join(lines))
        os.chown(root / "dovecot-uidlist", *self._owner)

    def flags(self, users: Sequence[str]) -> list[str]:
        """Maildir flags of every mail of these users: '' for each that nobody touched."""
        found = []
        for user in users:
            for path in (self.folder / "mail" / user / "Maildir").rglob("*.test*"):
                found.append(path.name.partition(":2,")[2])
        return found

    def ask_to_stop(self) -> None:
        """Begin to end; several do it at once."""
        self.daemon.process.terminate()

    def stop(self) -> None:
        self.daemon.stop()
