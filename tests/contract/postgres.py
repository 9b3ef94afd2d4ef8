"""A private PostgreSQL server in a temporary directory, reached by a socket file; an empty database for each test.

A database is emptied and used again: making one from a template costs ten times as much.

Runs as user postgres when the tests run as root (the server refuses root).  Its durability is switched off: the tests
are about what is committed, not about power cuts.
"""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from storage.database import Database
from storage.migrations import migrate
from tests.daemons.process import program
from tests.waiting import DAEMONS

_PORT = 5432  # only part of the socket file's name: nothing listens on the network
_SETTINGS = """
listen_addresses = ''
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
autovacuum_naptime = 60
deadlock_timeout = 100ms
"""


class Postgres:
    """The server.  `stop()` ends it by its process id and removes its directory."""

    def __init__(self) -> None:
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
        initdb = program("initdb", "postgresql", *folders)
        postgres = program("postgres", "postgresql", *folders)
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        data = self.folder / "data"
        subprocess.run(
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", user=self._user,
        )  # fmt: skip
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(_SETTINGS)
        self._log = self.folder / "log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [postgres, "-D", data, "-k", self.folder, "-p", str(_PORT)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd="/", user=self._user, start_new_session=True,
            )  # fmt: skip
        self._admin = self._connect()
        self._numbers = itertools.count(1)
        self._execute("CREATE DATABASE model")
        engine = Database(self._url("model")).engine
        migrate(engine)
        engine.dispose()  # a database with a connection cannot be a template
        self._reset = self._make_reset()
        self._free: list[str] = []

    def create(self) -> str:
        """URL of an empty, migrated database."""
        if self._free:
            return self._url(self._free.pop())
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE model")
        return self._url(name)

    def drop(self, url: str) -> None:
        """Empty a database for the next test; connections that a test left open are cut."""
        name = url.partition("@/")[2].partition("?")[0]
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        with self._connect(name) as connection:
            connection.execute(self._reset.encode())
        self._free.append(name)

    def _make_reset(self) -> str:
        """Statements that bring a database back to what the migrations left: rows that they wrote are kept aside."""
        with self._connect("model") as connection:
            tables = [
                row[0]
                for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            ]
            connection.execute("CREATE SCHEMA kept")
            kept = []
            for table in tables:
                if connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1'.encode()).fetchone() is not None:
                    connection.execute(f'CREATE TABLE kept."{table}" AS TABLE "{table}"'.encode())
                    kept.append(table)
            numbers = [row[0] for row in connection.execute("SELECT sequencename FROM pg_sequences")]
        # not TRUNCATE, which makes a new file for each table and index
        away = "".join(f'DELETE FROM "{table}";' for table in tables)
        again = "".join(f"SELECT setval('\"{name}\"', 1, false);" for name in numbers)
        back = "".join(f'INSERT INTO "{table}" SELECT * FROM kept."{table}";' for table in kept)
        return away + again + back

    def stop(self) -> None:
        self._admin.close()
        self._process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        try:
            self._process.wait(DAEMONS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(DAEMONS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}&port={_PORT}"

    def _execute(self, statement: str) -> None:
        self._admin.execute(statement.encode())

    def _connect(self, database: str = "postgres") -> psycopg.Connection:
        end = time.monotonic() + DAEMONS
        while True:
            try:
                return psycopg.connect(
                    host=str(self.folder), port=_PORT, user="postgres", dbname=database, autocommit=True
                )
            except psycopg.OperationalError as error:
                alive = self._process.poll() is None
                if not alive or time.monotonic() > end:
                    text = self._log.read_text(errors="replace")[-3000:]
                    raise AssertionError(f"PostgreSQL did not start: {error}\n{text}") from error
                time.sleep(0.02)
