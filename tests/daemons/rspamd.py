"""rspamd (and the redis it counts in): an independent verdict on DKIM, SPF and DMARC, and real aggregate reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.daemons.process import Daemon, accepts, program

# what would need the Internet or only costs start-up time here
_OFF = (
    "fuzzy_check", "asn", "phishing", "rspamd_update", "neural", "greylist", "history_redis", "ratelimit", "replies",
    "reputation", "url_redirector", "mx_check", "dcc", "clickhouse", "p0f", "bayes_expiry", "emails", "hfilter",
    "once_received", "surbl", "rbl",
)  # fmt: skip
HTTP, CONTROL, MILTER, REDIS = 11333, 11334, 11332, 6379


class Rspamd:
    """Milter, HTTP scan and DMARC reporting on fixed ports of `address`; asks the name server at `dns`."""

    def __init__(self, folder: Path, *, dns: str, dmarc: str, local: Mapping[str, str] | None = None) -> None:
        self.folder, self.address = folder, "127.0.0.1"
        os.chmod(folder, 0o755)
        for name in ("db", "run", "log", "conf/local.d", "redis"):
            (folder / name).mkdir(parents=True)
        self.redis = Daemon(
            [program("redis-server", "redis-server"), "--port", str(REDIS), "--bind", self.address, "--save", "",
             "--appendonly", "no", "--dir", str(folder / "redis")], folder / "redis.log",
        )  # fmt: skip
        self.redis.await_that(accepts(self.address, REDIS), "redis")
        # the stock list of 9,628 public suffixes costs 15 to 30 s of start-up
        (folder / "suffixes").write_text("com\nnet\norg\ntest\nexample\n")
        files = {
            "options.inc": f'url_tld = "{folder}/suffixes";\ndns {{ nameserver = "{dns}"; timeout = 1s; '
            'retransmits = 2; }\nlocal_addrs = ["127.99.99.99/32"];\nlocal_networks = "";\ndisable_hyperscan = true;\n',
            "worker-normal.inc": f'bind_socket = "{self.address}:{HTTP}";\ncount = 1;\n',
            "worker-controller.inc": f'bind_socket = "{self.address}:{CONTROL}";\ncount = 1;\n'
            'password = "q1";\nsecure_ip = ["127.0.0.0/8"];\n',
            "worker-proxy.inc": f'bind_socket = "{self.address}:{MILTER}";\nmilter = yes;\ncount = 1;\n'
            'upstream "local" { default = yes; self_scan = yes; }\n',
            "milter_headers.conf": 'use = ["authentication-results", "spam-header", "x-spamd-result"];\n'
            "authenticated_headers = [];\nskip_local = false;\nskip_authenticated = false;\n"
            "routines { authentication-results { add_smtp_user = false; } }\n",
            "redis.conf": f'servers = "{self.address}:{REDIS}";\n',
            "classifier-bayes.conf": "enabled = false;\n",
            **{f"{name}.conf": "check_local = true;\ncheck_authed = true;\n" for name in ("spf", "dkim", "arc")},
            "dmarc.conf": f'check_local = true;\ncheck_authed = true;\nservers = "{self.address}:{REDIS}";\n{dmarc}\n',
            **{f"{name}.conf": "enabled = false;\n" for name in _OFF},
            **(local or {}),
        }
        for name, text in files.items():
            (folder / "conf/local.d" / name).write_text(text)
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "_rspamd", "_rspamd")
        self.daemon = Daemon(
            [program("rspamd", "rspamd"), "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf",
             *self._places()], folder / "stdout",
        )  # fmt: skip
        for port in (HTTP, CONTROL, MILTER):
            self.daemon.await_that(accepts(self.address, port), f"rspamd on {port}")
        self.daemon.await_that(self._answers, "rspamd's scanner")

    def _places(self) -> list[str]:
        folder = self.folder
        return [
            f"--var=LOCAL_CONFDIR={folder}/conf", f"--var=DBDIR={folder}/db", f"--var=RUNDIR={folder}/run",
            f"--var=LOGDIR={folder}/log",
        ]  # fmt: skip

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}:{HTTP}/ping", timeout=2) as reply:
                return bool(reply.read())
        except (OSError, urllib.error.URLError):
            return False

    def check(self, message: bytes, *, ip: str, helo: str, mail_from: str, rcpt: str) -> dict[str, Any]:
        """The verdict on one message."""
        request = urllib.request.Request(
            f"http://{self.address}:{HTTP}/checkv2", data=message, method="POST",
            headers={"IP": ip, "Helo": helo, "From": mail_from, "Rcpt": rcpt, "Hostname": helo},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as reply:
            verdict: dict[str, Any] = json.load(reply)
            return verdict

    def send_dmarc_reports(self, day: str) -> str:
        """Mail the aggregate reports of a day (YYYYMMDD), for the 24 hours until now; what rspamadm printed.

        A period ends at the last midnight of rspamadm's own time zone: here it lies where midnight is just now."""
        # it would begin where the last one ended, in the middle of an hour
        forget = [program("redis-cli", "redis-tools"), "-p", str(REDIS), "DEL", "rspamd_dmarc_last_collection"]
        subprocess.run(forget, capture_output=True, timeout=10, check=True)
        hours, seconds = divmod(int(time.time()) % 86400, 3600)
        zone = f"MIDNIGHT{hours}:{seconds // 60:02}:{seconds % 60:02}"
        done = subprocess.run(
            [program("rspamadm", "rspamd"), *self._places(), "dmarc_report", "-v", day],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "TZ": zone},
        )  # fmt: skip
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.daemon.stop()
        self.redis.stop()
