"""A process that has loaded Penstock once and gives birth to it many times: a life that is killed costs no imports.

`Nursery.penstock(config, log)` is `penstock run` in a session of its own: the child calls the same `service.cli.main`
with the same words, and what it starts (sender processes) it starts as ever.  Only the two seconds of loading modules
are left out, which a test of fifty lives would spend four fifths of its time on.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.daemons.process import DaemonFailed
from tests.waiting import DAEMONS

_MOTHER = """\
import gc, json, os, signal, sys
import service.app, service.commands.running, service.cli
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = service.cli.main(["run", "--config", order["config"]])
    sys.stdout.flush()
    os._exit(code)
"""


class Life:
    """One `penstock run`.  All that it started has its process group."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._handle = os.pidfd_open(pid)

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def ended(self, seconds: float = 0.0) -> bool:
        """Whether it has ended, at the latest after so long."""
        return self._handle < 0 or bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self, *, family: bool = False) -> None:
        """SIGKILL, to it alone or to all that it started too; returns when it is gone."""
        if family:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
        if not self.ended(DAEMONS):
            raise DaemonFailed(f"process {self.pid} outlives SIGKILL")

    def stop(self, seconds: float = DAEMONS) -> None:
        """SIGTERM, and an orderly end; may be called again."""
        if not self.ended():
            os.kill(self.pid, signal.SIGTERM)
            if not self.ended(seconds):
                os.killpg(self.pid, signal.SIGKILL)
                raise DaemonFailed(f"no end within {seconds:.0f} s of SIGTERM\n{self.tail()}")
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Nursery:
    """See the module."""

    def __init__(self) -> None:
        self._mother = subprocess.Popen(
            [sys.executable, "-c", _MOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._answer() != "ready":
            raise DaemonFailed("the process that gives birth to Penstock did not come up")

    def penstock(self, config: Path, log: Path) -> Life:
        """One more."""
        assert self._mother.stdin is not None
        self._mother.stdin.write(json.dumps({"config": str(config), "log": str(log)}) + "\n")
        self._mother.stdin.flush()
        return Life(int(self._answer()), log)

    def stop(self) -> None:
        """No more."""
        self._mother.kill()
        self._mother.wait(10)
        for pipe in (self._mother.stdin, self._mother.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self) -> str:
        assert self._mother.stdout is not None
        return self._mother.stdout.readline().strip()
