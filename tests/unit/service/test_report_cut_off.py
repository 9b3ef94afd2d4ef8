"""An import that is killed in the middle of a long report: its part is told as refused, and nothing of it counts."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from config.load import load_settings
from core.clock import FixedClock, SystemClock
from core.events import DmarcReportStored, ReportUnverified
from service.lateresolver import late_resolver
from service.reports import LEFT_AFTER, build_reports
from storage.stores import open_stores
from tests.unit.collectors.report_world import xml

RECORDS = 60_000


def _config(folder: Path) -> Path:
    made = [sys.executable, "-m", "service.cli", "init", "--out", str(folder / "penstock.toml"), "news.example"]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    path = folder / "penstock.toml"
    path.write_text(path.read_text().replace("# bind = ", "bind = "))
    return path


def _long_report(path: Path) -> None:
    head, record = xml("long").split("<record>")
    record = "<record>" + record.removesuffix("</feedback>")
    records = (record.replace("198.51.100.9", f"10.{n // 62500}.{n // 250 % 250}.{n % 250}") for n in range(RECORDS))
    path.write_text(head + "".join(records) + "</feedback>")


def _rows(database: Path) -> int:
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as found:
            return int(found.execute("SELECT count(*) FROM report_rows").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet


def _import_killed(config: Path, long: Path, database: Path) -> None:
    order = [sys.executable, "-m", "service.cli", "reports", "import", "--config", str(config), str(long)]
    with subprocess.Popen(order, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not _rows(database) and process.poll() is None and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


async def test_a_killed_import_is_refused_whole_and_taken_whole_when_it_is_handed_in_again(tmp_path: Path) -> None:
    config, long = _config(tmp_path), tmp_path / "long.xml"
    _long_report(long)
    settings = load_settings(config)
    database = Path(settings.storage.url.removeprefix("sqlite:///"))
    _import_killed(config, long, database)
    assert 0 < _rows(database) < RECORDS

    stores = await open_stores(settings.storage.url)
    try:
        clock = FixedClock(SystemClock().now() + LEFT_AFTER + 60)
        reports = build_reports(settings, resolver=late_resolver(settings.dns, clock), stores=stores, clock=clock)
        await reports.refuse_leftovers()
        assert _rows(database) == 0
        taken = await reports.intake.upload(long.read_bytes(), "long.xml", "operator")
        assert (taken.stored, taken.records) == (1, RECORDS)
        events = [logged.event for logged in await stores.log.read(0)]
        (refused,) = [event for event in events if isinstance(event, ReportUnverified)]
        assert refused.problem.startswith("cut_off")
        assert f"{5 * RECORDS} messages" in refused.summary
        (stored,) = [event for event in events if isinstance(event, DmarcReportStored)]
        assert stored.counted == 5 * RECORDS
    finally:
        await stores.close()
