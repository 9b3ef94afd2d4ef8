"""The peers: Postfix with OpenDKIM, and Haraka with its DKIM plugin, each near its defaults and with a durable queue.

Both sign each message with RSA-2048 (relaxed/relaxed) and send to the sink; `smtp-source` feeds them over SMTP, one
recipient a message, with 20 sessions in all.  Haraka is looked for in the folder that HARAKA_HOME names:
`npm install Haraka@3.3.4 haraka-plugin-dkim` there.  Postfix needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks.rig.world import DOMAINS, Absent, accepts, await_that, free_port, program
from sender.dkim import new_key

SIZE = 10_240
SESSIONS = 4  # for each of the five domains
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_OPENDKIM = """\
Syslog no
UMask 000
Mode s
Canonicalization relaxed/relaxed
OversignHeaders From
Domain sender.test
Selector s1
KeyFile {folder}/keys/dkim.pem
UserID opendkim
Socket local:{folder}/milter/opendkim.sock
PidFile {folder}/milter/opendkim.pid
InternalHosts 127.0.0.0/8
RequireSafeKeys no
"""


class Peer:
    """One mail transfer agent that listens on `port`."""

    label: ClassVar[str]
    durability: ClassVar[str]
    port: int

    def __init__(self, folder: Path, sink: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        try:
            self._start(folder, sink)
            await_that(lambda: accepts(self.port), f"{self.label} (see {folder})", 30)
        except BaseException:
            self.stop()
            raise

    def _start(self, folder: Path, sink: int) -> None:
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The subject's processes."""
        return [process.pid for process in self._processes]

    def load(self, messages: int) -> None:
        """Feed so many messages; returns when all were accepted."""
        each = messages // len(DOMAINS)
        sources = [
            subprocess.Popen(
                [program("smtp-source", "postfix"), "-s", str(SESSIONS), "-l", str(SIZE), "-m", str(each),
                 "-f", "shop@sender.test", "-t", f"user@{domain}", f"127.0.0.1:{self.port}"],
                stdout=subprocess.DEVNULL,
            )
            for domain in DOMAINS
        ]  # fmt: skip
        for source in sources:
            if source.wait(600):
                raise RuntimeError("smtp-source failed")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def _run(self, argv: list[str], folder: Path, **environment: str) -> None:
        with (folder / "output").open("ab") as out:
            self._processes.append(
                subprocess.Popen(
                    argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                    start_new_session=True, env={**os.environ, **environment},
                )
            )  # fmt: skip


class PostfixOpenDkim(Peer):
    """Postfix with the OpenDKIM milter."""

    label = "Postfix + OpenDKIM"
    durability = "fsync of each queue file before 250"

    def _start(self, folder: Path, sink: int) -> None:
        opendkim, master = program("opendkim", "opendkim"), program("master", "postfix")
        if os.geteuid():
            raise Absent("Postfix needs root: run this as root")
        _key(folder)
        milter = folder / "milter"
        milter.mkdir()
        shutil.chown(milter, "opendkim", "opendkim")
        shutil.chown(folder / "keys" / "dkim.pem", "opendkim")
        (folder / "opendkim.conf").write_text(_OPENDKIM.format(folder=folder))
        self._run([opendkim, "-f", "-x", str(folder / "opendkim.conf")], folder)
        await_that(lambda: (milter / "opendkim.sock").exists(), "OpenDKIM", 15)
        etc = folder / "etc"
        etc.mkdir()
        _postfix_folders(folder)
        parameters = {
            "compatibility_level": "3.6", "queue_directory": folder / "queue", "data_directory": folder / "data",
            "daemon_directory": Path(master).parent, "command_directory": "/usr/sbin", "mail_owner": "postfix",
            "setgid_group": "postdrop", "maillog_file": folder / "mail.log", "maillog_file_prefixes": folder,
            "myhostname": "mx.sender.test", "mydestination": "", "alias_maps": "", "alias_database": "",
            "local_recipient_maps": "", "mynetworks": "127.0.0.0/8", "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4", "disable_dns_lookups": "yes", "smtp_host_lookup": "native",
            "smtpd_peername_lookup": "no", "relayhost": "", "transport_maps": f"texthash:{etc}/transport",
            "smtp_tls_security_level": "", "smtpd_tls_security_level": "", "biff": "no",
            "smtpd_relay_restrictions": "permit_mynetworks, reject", "in_flow_delay": "1s",
            "smtpd_milters": f"unix:{milter}/opendkim.sock", "default_database_type": "texthash",
        }  # fmt: skip
        (etc / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in parameters.items()))
        (etc / "master.cf").write_text(_MASTER.format(port=self.port))
        (etc / "transport").write_text("".join(f"{domain} smtp:[127.0.0.1]:{sink}\n" for domain in DOMAINS))
        for file in etc.iterdir():
            os.utime(file, (file.stat().st_atime - 60, file.stat().st_mtime - 60))
        self._run([master, "-c", str(etc), "-d"], folder, MAIL_CONFIG=str(etc))


class Haraka(Peer):
    """Haraka with haraka-plugin-dkim, two worker processes."""

    label = "Haraka + DKIM, 2 processes"
    durability = "fsync of each queue file before 250"

    def _start(self, folder: Path, sink: int) -> None:
        node = program("node", "nodejs")
        home = Path(os.environ.get("HARAKA_HOME", "haraka"))
        script = home / "node_modules" / "Haraka" / "bin" / "haraka"
        if not script.exists():
            raise Absent("not in HARAKA_HOME: npm install Haraka@3.3.4 haraka-plugin-dkim")
        pem = _key(folder)
        config = folder / "config"
        signing = config / "dkim" / "sender.test"
        signing.mkdir(parents=True)
        (folder / "queue").mkdir()
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "bench.js").write_text(
            "'use strict'\nexports.register = function () {\n  this.register_hook('lookup_rdns', 'rdns')\n"
            "  this.register_hook('connect', 'relay')\n  this.register_hook('get_mx', 'mx')\n}\n"
            "exports.rdns = (next) => next(OK, 'localhost')\n"
            "exports.relay = (next, connection) => { connection.relaying = true; next() }\n"
            f"exports.mx = (next, hmail, domain) => next(OK, {{ priority: 0, exchange: '127.0.0.1', port: {sink} }})\n"
        )
        files = {
            "plugins": "bench\ndkim\n", "me": "mx.sender.test\n", "host_list": "mx.sender.test\n",
            # without this file it fails on every connection
            "connection.ini": "[haproxy]\nhosts[] =\n[headers]\nmax_lines=1000\nmax_received=100\n[max]\n"
            "bytes=26214400\nmime_parts=1000\nline_length=512\ndata_line_length=992\n"
            "[message]\nhelo=Haraka is at your service.\nclose=closing connection.\n"
            "[uuid]\nbanner_chars=6\ndeny_chars=0\n",
            "log.ini": "[main]\nlevel=warn\n", "outbound.ini": "enable_tls=false\nlocal_mx_ok=true\n",
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=2\n",
            "dkim.ini": "[main]\n[sign]\nenabled = true\nselector = s1\ndomain = sender.test\nheaders = From, Sender, "
            "Reply-To, Subject, Date, Message-ID, To, Cc, MIME-Version, Content-Type, Content-Transfer-Encoding\n"
            "[canon]\nbody = relaxed\n[verify]\nenabled = false\n",
            "dkim/sender.test/selector": "s1", "dkim/sender.test/private": pem.decode(),
        }  # fmt: skip
        for name, text in files.items():
            (config / name).write_text(text)
        os.symlink((home / "node_modules").resolve(), folder / "node_modules")
        (folder / "package.json").write_text('{"name": "bench", "version": "0.0.1"}')
        self._run([node, str(script.resolve()), "-c", str(folder)], folder)


def _key(folder: Path) -> bytes:
    pem, _ = new_key("rsa-sha256")
    (folder / "keys").mkdir(mode=0o755)
    (folder / "keys" / "dkim.pem").write_bytes(pem)
    return pem


def _postfix_folders(folder: Path) -> None:
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
