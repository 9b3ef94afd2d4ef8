"""A recipient domain cannot make us post to machines behind our own walls."""

from __future__ import annotations

import pytest

from service.tlsrpt import _is_public


@pytest.mark.parametrize(
    ("ip", "public"),
    [("93.184.216.34", True), ("2606:2800::1", True), ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False),
     ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False),
     ("fe80::1", False), ("fd00::1", False), ("::ffff:127.0.0.1", False), ("224.0.0.1", False)],
)  # fmt: skip
def test_what_may_be_posted_to(ip: str, public: bool) -> None:
    assert _is_public(ip) is public
