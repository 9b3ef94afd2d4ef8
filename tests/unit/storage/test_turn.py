"""Processes that write to one file take turns, and none of them can keep the others out for ever."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

from storage.turn import Turn

_HOLD = "import sys; from storage.turn import Turn\nwith Turn(sys.argv[1]): print('held', flush=True); sys.stdin.read()"


def _holder(database: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_turn_waits_for_the_one_before_and_comes_when_its_process_dies(tmp_path: Path) -> None:
    holder = _holder(tmp_path / "p.db")
    order: list[str] = []
    with Turn(str(tmp_path / "other.db")):
        order.append("another file")

    def write() -> None:
        with Turn(str(tmp_path / "p.db")):
            order.append("turn")

    thread = threading.Thread(target=write)
    thread.start()
    order.append("killed")
    holder.kill()
    thread.join(10)
    holder.communicate()
    assert order == ["another file", "killed", "turn"]


def test_who_comes_again_stands_behind_who_waits(tmp_path: Path) -> None:
    mine, waits, order = Turn(str(tmp_path / "p.db")), threading.Event(), list[str]()

    def other() -> None:
        waits.set()
        with Turn(str(tmp_path / "p.db")):
            order.append("other")

    thread = threading.Thread(target=other)
    with mine:
        thread.start()
        waits.wait(10)
        while not _is_taken(tmp_path / "p.db-gate"):
            pass
    with mine:
        order.append("mine")
    thread.join(10)
    assert order == ["other", "mine"]


def test_a_folder_that_cannot_be_written_to_is_left_to_the_database(tmp_path: Path) -> None:
    with Turn(str(tmp_path / "absent" / "p.db")):
        assert not (tmp_path / "absent").exists()


def _is_taken(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
