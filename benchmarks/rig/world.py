"""The world around a sender under measurement, on loopback: a name server, a sink that counts, the CPU that is used.

The sink is Postfix's `smtp-sink` (it takes and forgets), the same for every subject; its own CPU is not counted for
anybody.  The name server knows the recipients' domains and says NXDOMAIN to all else.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

DOMAINS = tuple(f"d{n}.test" for n in range(1, 6))
_COUNT = re.compile(rb"mesg=(\d+)")
_TICKS = os.sysconf("SC_CLK_TCK")


class Absent(Exception):
    """A program is not installed; the text names its package."""


def program(name: str, package: str) -> str:
    """Path of a program.  Raises Absent."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin"]))
    if found is None:
        raise Absent(f"{name} is not installed: apt-get install {package}")
    return found


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_that(ready: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Look every 5 ms.  Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.005)


def accepts(port: int) -> bool:
    """Whether something listens on loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.3):
            return True
    except OSError:
        return False


class Names:
    """A name server in a thread: `dN.test` has the exchanger `mx.dN.test` at 127.0.0.1."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                packet, peer = self._socket.recvfrom(4096)
                self._socket.sendto(_answer(packet), peer)
            except OSError:
                return

    def stop(self) -> None:
        self._socket.close()


def _answer(packet: bytes) -> bytes:
    query = dns.message.from_wire(packet)
    reply = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    if name in DOMAINS:
        if question.rdtype == dns.rdatatype.MX:
            reply.answer.append(dns.rrset.from_text(question.name, 3600, "IN", "MX", f"10 mx.{name}."))
    elif name.removeprefix("mx.") in DOMAINS:
        if question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, 3600, "IN", "A", "127.0.0.1"))
    else:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply.to_wire()


class Sink:
    """`smtp-sink`, and how many messages it took."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / f"sink{self.port}"
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [program("smtp-sink", "postfix"), "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"],
                stdout=out, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        await_that(lambda: accepts(self.port), "the sink")

    def taken(self) -> int:
        """Messages so far."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 200))
            counts = _COUNT.findall(file.read())
        return int(counts[-1]) if counts else 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def cpu_seconds(roots: list[int]) -> float:
    """CPU of processes and everything below them, ended children included."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS
    return sum(used[pid] for pid in used if _is_below(pid, roots, parents))


def cpu_of(pid: int) -> float:
    """CPU of one process alone, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS


def memory_mb(roots: list[int]) -> float:
    """Proportional set size of processes and everything below them: pages they share are counted once."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    total = 0
    for pid in parents:
        if _is_below(pid, roots, parents):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _is_below(pid: int, roots: list[int], parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid in roots:
            return True
        pid = parents.get(pid, 0)
    return False
