"""Start, await and stop one daemon.

A program that is not installed fails with the name of its Debian package, never with a skip.  Every wait is bounded
and shows the daemon's log when it runs out.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.waiting import DAEMONS


class DaemonFailed(AssertionError):
    """A daemon did not start or stop; the text holds the end of its log."""


def program(name: str, package: str, *folders: str) -> str:
    """Path of an installed program.  Raises DaemonFailed naming the package."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise DaemonFailed(f"{name} is not installed: apt-get install {package} (or run tests/install-daemons)")
    return found


class Daemon:
    """One process in a session of its own, with its output in `log`."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def await_that(self, ready: Callable[[], bool], what: str, seconds: float = DAEMONS) -> None:
        """Look every 20 ms until `ready`; raises DaemonFailed with the log when it dies or time runs out."""
        end = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise DaemonFailed(f"{what}: ended with {self.process.returncode}\n{self.tail()}")
            if time.monotonic() > end:
                raise DaemonFailed(f"{what}: not within {seconds:.0f} s\n{self.tail()}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM, seconds: float = DAEMONS) -> int:
        """End it and what it started; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(seconds)
        return self.process.returncode


def accepts(host: str, port: int, *, greets: bool = False) -> Callable[[], bool]:
    """A check that something listens there (and, if wanted, speaks first)."""

    def ready() -> bool:
        try:
            with socket.create_connection((host, port), 0.5) as connection:
                if greets:
                    connection.settimeout(2)
                    return bool(connection.recv(1))
                return True
        except OSError:
            return False

    return ready
