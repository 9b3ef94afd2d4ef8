"""A node runs once: a second start is refused before it touches what the first has claimed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from core.errors import Unavailable
from service.alone import alone
from service.cli import main
from tests.ports import free_port


def config(folder: Path, port: int) -> Path:
    """Settings of a service that listens at one port alone."""
    path = folder / "penstock.toml"
    path.write_text(
        f'data_dir = "{folder / "var"}"\n[[sending_domains]]\nname = "a.test"\nreturn_path = "rp.a.test"\n'
        f'[[sources]]\nname = "out1"\nehlo = "out1.a.test"\n[http]\nport = {port}\n'
        "[submission]\nenabled = false\n[inbound]\nenabled = false\n"
    )
    return path


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with alone(tmp_path, "node1"):
        with (
            pytest.raises(Unavailable, match=rf"node1 runs here already \(process {os.getpid()}\)"),
            alone(tmp_path, "node1"),
        ):
            pytest.fail("two of one name")
        with alone(tmp_path, "node2"):
            pass
    with alone(tmp_path, "node1"):
        pass


def test_a_second_run_and_a_second_fresh_sandbox_leave_everything_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = config(tmp_path, free_port())
    with alone(tmp_path / "var", "node1"), alone(tmp_path / "box", "sandbox"):
        (tmp_path / "box" / "mail").touch()
        assert main(["run", "--config", str(order)]) == 2
        assert main(["sandbox", "--fresh", "--data", str(tmp_path / "box")]) == 2
        assert capsys.readouterr().err.count("runs here already") == 2
        assert (tmp_path / "box" / "mail").exists()
        assert not (tmp_path / "var" / "penstock.db").exists()


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["run", "--config", str(config(tmp_path, port))]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert str(port) in told
    assert told.endswith("already in use. Stop what listens there, or give the configuration another port")
