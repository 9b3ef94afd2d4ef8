"""Ports for listeners whose number must be known before they start.

They lie below the range from which the kernel takes ports for outgoing connections (32768 and above), so that no
connection of another test can take one between the question and its use; each process of a test run begins at a place
of its own and never gives a number twice.
"""

from __future__ import annotations

import itertools
import os
import socket

_FIRST, _LAST = 20_000, 31_999
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_numbers = itertools.cycle(range(_FIRST, _LAST, 2))
for _ in range((os.getpid() * 89 + _worker * 997) % (len(range(_FIRST, _LAST, 2)))):
    next(_numbers)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens at; the one after it is as free.  Raises OSError when there is none."""
    for _ in range(_FIRST, _LAST, 2):
        port = next(_numbers)
        try:
            for number in (port, port + 1):
                with socket.create_server((host, number)):
                    pass
        except OSError:
            continue
        return port
    raise OSError(f"no free port from {_FIRST} to {_LAST} on {host}")
