"""Many seed mailboxes watched at once by one process: memory, CPU, and how soon a mail is seen.

    python benchmarks/seeds.py [--mailboxes N] [--idle SECONDS]

`penstock run`, one process, watches N mailboxes of a real Dovecot by TLS, each on a connection of its own (needs root,
and the package dovecot-imapd).  Then one placement test: the copies are filed by a host in this process, half into the
inbox, which IDLE tells of, and half into junk, which the next look finds (`poll_seconds`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.report import not_measured, percentile, report
from benchmarks.rig.world import Absent, Names, await_that, cpu_seconds, free_port, memory_mb, program
from tests.daemons.mailhost import MailHost
from tests.daemons.process import Daemon
from tests.integration.sink import Sink, Taken

POLL = 10
_CONFIG = """\
data_dir = "var"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sources]]
name = "mta1"
ehlo = "mta1.sender.test"
[http]
port = {port}
[submission]
enabled = false
[inbound]
enabled = false
[blocklists]
enabled = false
[records]
enabled = false
[dns]
nameservers = ["127.0.0.1"]
port = {dns}
[delivery]
port = {sink}
tls = "off"
mta_sts = false
[warmup]
enabled = false
[seeds]
poll_seconds = {poll}
quiet_seconds = 600
"""
_SEED = """\
[[seeds.mailboxes]]
mailbox = "{user}@d1.test"
provider = "gmail"
host = "127.0.0.1"
port = {imaps}
ca_file = "host/cert.pem"
user = "{user}"
password_file = "password"
"""


def call(port: int, method: str, path: str, body: object = None) -> Any:
    """JSON of one API call."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, data=json.dumps(body).encode() if body else None
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def measure(folder: Path, mailboxes: int, idle: float) -> None:
    """Print the figures."""
    users = [f"seed{number}" for number in range(mailboxes)]
    host = MailHost(
        folder / "host", dict.fromkeys(users, "right"), imap=free_port(), imaps=free_port(), special={"Junk": "Junk"}
    )
    for user in users:
        host.make_folder(user, "Junk")
    filed: dict[str, tuple[float, bool]] = {}

    def keep(taken: Taken) -> None:
        user = taken.recipient.partition("@")[0]
        junk = users.index(user) % 2 == 1
        host.put(user, taken.content.removesuffix(b".\r\n"), "Junk" if junk else "")
        filed[taken.recipient] = (time.time(), junk)

    names, port, smtp = Names(), free_port(), free_port()
    sink = Sink("127.0.0.1", smtp, lambda _recipient, _visit: "250 2.1.5 Ok", keep)
    (folder / "password").write_text("right\n")
    text = _CONFIG.format(port=port, dns=names.port, sink=smtp, poll=POLL)
    (folder / "penstock.toml").write_text(text + "".join(_SEED.format(user=u, imaps=host.imaps) for u in users))
    command = str(Path(sys.executable).with_name("penstock"))
    began = time.monotonic()
    subject = Daemon([command, "run", "--config", str(folder / "penstock.toml")], folder / "log")
    pid = subject.process.pid
    label = f"{mailboxes} mailboxes, 1 process"
    try:
        log = host.folder / "log"
        await_that(lambda: log.read_text(errors="replace").count("Login: user=<") >= mailboxes, "every login", 180)
        report("seeds", label, "start to the last login", "s", [time.monotonic() - began])
        time.sleep(5)
        before = cpu_seconds([pid])
        time.sleep(idle)
        report("seeds", label, "CPU while nothing comes", "ms/s", [(cpu_seconds([pid]) - before) / idle * 1000])
        report("seeds", label, "memory", "MB", [memory_mb([pid])])
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        report("seeds", label, "threads", "", [threads])
        follow(port, mailboxes, filed, label)
        report("seeds", label, "memory after a test", "MB", [memory_mb([pid])])
        peak = next(
            int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
        )
        report("seeds", label, "largest resident set", "MB", [peak / 1024])
    finally:
        subject.stop()
        sink.stop()
        names.stop()
        host.stop()


def follow(port: int, mailboxes: int, filed: dict[str, tuple[float, bool]], label: str) -> None:
    """One placement test, until every copy was seen."""
    body = {"stream": "bulk", "from": "news@sender.test", "subject": "Check", "text": "Hello"}
    sent = call(port, "POST", "/v1/placement", body)
    seen: dict[str, float] = {}
    wrong: list[str] = []

    def all_seen() -> bool:
        test = call(port, "GET", f"/v1/placement/{sent['id']}")
        for row in test["seeds"]:
            if row["outcome"] != "waiting" and row["mailbox"] not in seen:
                seen[row["mailbox"]] = time.time()
                if row["outcome"] != ("spam" if filed[row["mailbox"]][1] else "inbox"):
                    wrong.append(row["mailbox"])
        time.sleep(0.2)
        return len(seen) == mailboxes

    await_that(all_seen, "every copy was seen", 120)
    for junk, name in ((False, "inbox (IDLE)"), (True, f"junk (looks {POLL} s apart)")):
        waits = [seen[mailbox] - at for mailbox, (at, in_junk) in filed.items() if in_junk == junk]
        report("seeds", label, f"filed to seen, {name}, median", "s", [percentile(waits, 0.5)])
        report("seeds", label, f"filed to seen, {name}, 99 %", "s", [percentile(waits, 0.99)])
    report("seeds", label, "placed wrongly", "", [len(wrong)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mailboxes", type=int, default=200)
    parser.add_argument("--idle", type=float, default=30.0)
    arguments = parser.parse_args()
    try:
        program("dovecot", "dovecot-core dovecot-imapd")
    except Absent as error:
        not_measured("seeds", str(error))
        return
    if os.geteuid() != 0:
        not_measured("seeds", "Dovecot gives each mailbox to another user: run it as root")
        return
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        measure(folder, arguments.mailboxes, arguments.idle)


if __name__ == "__main__":
    main()
