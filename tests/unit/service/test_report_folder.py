"""The watched folder: what is read moves to done/ or failed/, what is being written waits, a bad file stops none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.model import SendingDomain, Settings, Source
from config.reporting import Reports as ReportSettings
from core.clock import FixedClock
from service.reports import Reports, build_reports
from storage.stores import open_stores
from tests.unit.collectors.report_world import NOW, mail, xml
from tests.unit.collectors.watch_zone import Zone

SEPARATOR = b"From x@mailhaus.example Sat Nov 28 19:00:00 2026\n"


@dataclass
class Watched:
    reports: Reports
    folder: Path

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    stores = await open_stores("sqlite://", inline=True)
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="mta1", ehlo="mta1.news.example", bind="192.0.2.10")],
        reports=ReportSettings(folder=tmp_path),
    )
    yield Watched(build_reports(settings, resolver=Zone(""), stores=stores, clock=FixedClock(NOW)), tmp_path)
    await stores.close()


async def test_files_are_taken_and_moved_and_what_is_being_written_waits(watched: Watched) -> None:
    folder = watched.folder
    (folder / "a.xml").write_text(xml("a"))
    (folder / "b.xml.part").write_text(xml("b"))
    (folder / "c.xml").write_text("<html>")
    (folder / "all.mbox").write_bytes(b"".join(SEPARATOR + mail(xml(f"m{n}")) + b"\n" for n in range(3)))
    await watched.reports.read_folder()
    assert watched.names() == ["b.xml.part", "done/a.xml", "done/all.mbox", "failed/c.xml"]
    assert await watched.reports.stores.dmarc.count() == 4
    (folder / "a.xml").write_text(xml("a"))
    await watched.reports.read_folder()
    assert "done/a.1.xml" in watched.names()
    assert await watched.reports.stores.dmarc.count() == 4


async def test_a_file_that_cannot_be_moved_keeps_no_other_waiting(watched: Watched) -> None:
    (watched.folder / "failed").write_text("a file where the folder should be")
    (watched.folder / "a.xml").write_text("<html>")
    (watched.folder / "b.xml").write_text(xml("b"))
    await watched.reports.read_folder()
    assert await watched.reports.stores.dmarc.count() == 1
    assert "done/b.xml" in watched.names()
