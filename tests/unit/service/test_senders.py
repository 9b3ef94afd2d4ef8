"""Sender processes: their names, what they hear, and whose claims are taken back when their number changes."""

from __future__ import annotations

import fcntl
from pathlib import Path

from config.model import Settings
from core.clock import FixedClock
from core.messages import Node
from service.senderproc import Heard
from service.senders import lock_path, sender_count, sender_name, take_back


class RecoveringQueue:
    """Notes whose rows were taken back."""

    def __init__(self) -> None:
        self.recovered: list[Node] = []

    async def recover(self, node: Node, now: float) -> int:
        self.recovered.append(node)
        return 0


def settings(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder,
            "sending_domains": [{"name": "a.test", "return_path": "rp.a.test"}],
            "sources": [{"name": "out1", "ehlo": "out1.a.test"}],
        }
    )


def test_names_tell_node_and_process() -> None:
    assert [sender_name("node1", index) for index in range(2)] == ["node1.s1", "node1.s2"]


def test_zero_asks_for_one_process_for_each_core() -> None:
    assert sender_count(0) >= 1
    assert sender_count(3) == 3


def test_silence_of_the_main_process_counts_as_lag() -> None:
    heard = Heard()
    heard.told(5.0)
    assert 5.0 <= heard.lag() < 5.5
    assert heard.lag() <= heard.lag(), "it only grows until the next word"


async def test_with_fewer_processes_the_claims_of_the_others_are_taken_back(tmp_path: Path) -> None:
    for name in ("node1.s1", "node1.s2", "node1.s3"):
        lock_path(tmp_path, name).touch()
    queue = RecoveringQueue()
    await take_back(settings(tmp_path), queue, FixedClock(1.0), senders=2)
    assert queue.recovered == ["node1", "node1.s3"]


async def test_back_to_one_process_every_sender_processs_claims_are_taken_back(tmp_path: Path) -> None:
    lock_path(tmp_path, "node1.s1").touch()
    queue = RecoveringQueue()
    await take_back(settings(tmp_path), queue, FixedClock(1.0), senders=1)
    assert queue.recovered == ["node1.s1"]


async def test_a_process_that_still_lives_keeps_its_claims(tmp_path: Path) -> None:
    with lock_path(tmp_path, "node1.s3").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        queue = RecoveringQueue()
        await take_back(settings(tmp_path), queue, FixedClock(1.0), senders=2)
    assert queue.recovered == ["node1"]
