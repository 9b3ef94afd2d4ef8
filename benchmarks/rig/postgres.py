"""A PostgreSQL server of its own, for as long as a measurement takes: durable, with the settings a package ships.

Only what a fresh installation leaves to its owner is set: 256 MB of shared buffers, and no network.  `fsync` and
`synchronous_commit` are on.  Runs as user postgres when the benchmark runs as root (the server refuses root).
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rig.world import Absent, await_that

_SETTINGS = "listen_addresses = ''\nshared_buffers = 256MB\nmax_connections = 60\n"
DURABILITY = "PostgreSQL, fsync and synchronous_commit on"


@contextmanager
def postgres(*databases: str) -> Iterator[tuple[str, ...]]:
    """URLs of empty databases, while it is entered.  Raises Absent."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not found:
        raise Absent("postgres is not installed: apt-get install postgresql")
    programs = Path(found[-1])
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", user=user,
    )  # fmt: skip
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(_SETTINGS)
    with (folder / "log").open("wb") as out:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder], stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, cwd="/", user=user, start_new_session=True,
        )  # fmt: skip
    try:
        ready = [str(programs / "pg_isready"), "-q", "-h", str(folder)]
        await_that(lambda: subprocess.run(ready, check=False).returncode == 0, f"PostgreSQL (see {folder}/log)", 30)
        for name in databases:
            subprocess.run([programs / "createdb", "-h", folder, "-U", "postgres", name], check=True, cwd="/")
        yield tuple(f"postgresql+psycopg://postgres@/{name}?host={folder}" for name in databases)
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
