"""One service for each node name and data folder.

Two of one name would take each other's claimed messages for those of a dead process, and send them twice.  The lock is
the kernel's (flock): it ends with the process, however that ends.  Nodes on other machines are not seen: give each its
own `node`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import Unavailable


@contextmanager
def alone(folder: Path, node: str) -> Iterator[None]:
    """Hold the node's lock in its data folder, which is made.  Raises Unavailable while another process holds it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"node-{node}.lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise Unavailable(
                f"{folder}: the node {node} runs here already (process {lock.read(20).strip()}). "
                "Stop it first, or give this one a `data_dir` and a `node` of its own"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
