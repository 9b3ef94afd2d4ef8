"""Postfix as the mail exchangers of emulated providers, one smtpd listener each.  Needs root (master(8))."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.daemons.certificate import make_certificate
from tests.daemons.process import Daemon, accepts, program

_SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 5 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, kw_only=True)
class Exchanger:
    """One listener with its own parameters."""

    address: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class Postfix:
    """Takes mail for `domains` on port 25 of each exchanger and hands it over by LMTP, past a milter.

    `parameters` go before the world's own: so it becomes a client that sends everything on by a relay host.
    """

    def __init__(
        self, folder: Path, exchangers: Sequence[Exchanger], domains: Sequence[str], *,
        lmtp: tuple[str, int] = ("127.0.0.1", 9), milter: tuple[str, int] | None = None,
        files: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        os.chmod(folder, 0o755)
        etc = folder / "etc"
        etc.mkdir()
        _make_queue(folder)
        certificate, key = make_certificate(etc, "mx.test")
        for name, text in (files or {}).items():
            (etc / name).write_text(text)
        values = {
            "compatibility_level": "3.6", "queue_directory": folder / "queue", "data_directory": folder / "data",
            "daemon_directory": "/usr/lib/postfix/sbin", "command_directory": "/usr/sbin", "mail_owner": "postfix",
            "setgid_group": "postdrop", "maillog_file": folder / "mail.log", "maillog_file_prefixes": folder,
            "multi_instance_enable": "no", "inet_interfaces": ", ".join(e.address for e in exchangers),
            "inet_protocols": "ipv4", "myhostname": "mx.test",
            "mydestination": "", "local_recipient_maps": "", "alias_maps": "", "alias_database": "",
            "mynetworks": "127.255.255.254/32", "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_maps": "", "virtual_transport": f"lmtp:inet:{lmtp[0]}:{lmtp[1]}",
            "smtpd_recipient_restrictions": "reject_unauth_destination",
            "smtpd_relay_restrictions": "reject_unauth_destination", "biff": "no", "append_dot_mydomain": "no",
            "default_database_type": "texthash", "smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key,
            "smtpd_tls_security_level": "may", "smtpd_client_event_limit_exceptions": "",
            "lmtp_tls_security_level": "none", "smtpd_error_sleep_time": "0", "in_flow_delay": "0",
            "transport_maps": f"texthash:{etc}/transport" if "transport" in (files or {}) else "",
            "delay_warning_time": "1s", "minimal_backoff_time": "2s", "maximal_backoff_time": "5s",
            "queue_run_delay": "2s",
            "smtpd_milters": f"inet:{milter[0]}:{milter[1]}" if milter else "", "milter_default_action": "tempfail",
            "milter_protocol": "6", "milter_mail_macros": "i {mail_addr} {client_addr} {client_name} {auth_authen}",
            **(parameters or {}),
        }  # fmt: skip
        (etc / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        (etc / "master.cf").write_text("".join(_listener(e) for e in exchangers) + _SERVICES)
        for file in etc.iterdir():
            stat = file.stat()
            os.utime(file, (stat.st_atime - 60, stat.st_mtime - 60))  # a younger main.cf is re-read after a 2 s sleep
        self.daemon = Daemon(
            [program("master", "postfix"), "-c", str(etc), "-d"], folder / "stdout",
            env={"MAIL_CONFIG": str(etc), "MAIL_LOGTAG": "postfix"},
        )  # fmt: skip
        for exchanger in exchangers:
            self.daemon.await_that(accepts(exchanger.address, 25, greets=True), f"Postfix on {exchanger.address}")

    def log(self) -> str:
        """What Postfix wrote so far."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        self.daemon.stop()


def _listener(exchanger: Exchanger) -> str:
    options = "".join(f"  -o {{ {name} = {value} }}\n" for name, value in exchanger.parameters.items())
    return f"{exchanger.address}:25 inet n - n - - smtpd\n{options}"


def _make_queue(folder: Path) -> None:
    queue = folder / "queue"
    queue.mkdir()
    for name in (
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
    ):  # fmt: skip
        (queue / name).mkdir(mode=0o700)
        shutil.chown(queue / name, "postfix", "root")
    for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
        (queue / name).mkdir()
        os.chmod(queue / name, mode)
        shutil.chown(queue / name, "postfix", "postdrop")
    (queue / "pid").mkdir(mode=0o755)
    (folder / "data").mkdir(mode=0o700)
    shutil.chown(folder / "data", "postfix", "postfix")
