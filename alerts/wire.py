"""What the HTTP notifiers share: one bounded POST, and instants as receivers in real time expect them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp

from core.errors import Unavailable
from core.ports import Clock

MAX_ANSWER = 2000  # bytes of an error answer that are read and told


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], timeout: float
) -> tuple[int, str]:
    """(status, beginning of the answer).  `timeout` in real seconds for everything.  Follows no redirect.

    Raises Unavailable when there was no HTTP answer.
    """
    try:
        async with session.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", **headers},
            timeout=aiohttp.ClientTimeout(total=timeout),
            allow_redirects=False,
        ) as answer:
            content = await answer.content.read(MAX_ANSWER)
            text = "".join(c if c.isprintable() else " " for c in content.decode("utf-8", "replace"))
            return answer.status, text.strip()
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # the error's own text may repeat the URL, which may hold a secret path
        raise Unavailable(f"no connection ({type(error).__name__})") from error


def in_real_time(at: float, clock: Clock, real_now: Callable[[], float]) -> float:
    """A domain instant on the real clock: the same age, shortened by the clock's rate.  Equal for the system clock."""
    return real_now() - (clock.now() - at) / clock.rate
