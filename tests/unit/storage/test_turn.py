"""Processes that write to one file take turns, and none of them can keep the others out for ever."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

from storage.turn import Turn
from tests.waiting import PATIENCE, wait_until

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
    thread.join(PATIENCE)
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
        assert waits.wait(PATIENCE)
        wait_until(lambda: _is_taken(tmp_path / "p.db-gate"), "the other stands in line")
    with mine:
        order.append("mine")
    thread.join(PATIENCE)
    assert order == ["other", "mine"]


def test_who_is_in_a_hurry_goes_past_who_waits_and_is_seen(tmp_path: Path) -> None:
    mine, entered = Turn(str(tmp_path / "p.db")), threading.Event()

    def write() -> None:
        with Turn(str(tmp_path / "p.db"), lambda: True):
            entered.set()

    hurried = threading.Thread(target=write)
    with mine, (tmp_path / "p.db-gate").open("rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # somebody waits for the next turn
        assert not mine.wanted()
        hurried.start()
        while not mine.wanted():
            pass
        assert not entered.is_set()
        mine.__exit__()
        assert entered.wait(10)
        hurried.join(10)
        assert not mine.wanted()


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
