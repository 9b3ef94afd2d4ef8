"""Background tasks that must not die unseen.

Contract: `Supervisor.keep(name, run)` runs `run()` until the supervisor stops.  When it raises, the error is
logged with its name, the task counts as failing (readiness turns red) and it is started again after a wait that
doubles from 0.5 s to 30 s real time; a run of a minute clears the record.  When `run()` returns it is not started
again.  `stop()` cancels every task and waits for them, at most `patience` real seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine

logger = logging.getLogger("penstock.tasks")
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_HEALTHY_AFTER = 60.0


class Supervisor:
    """See the module.  Build it inside a running loop."""

    def __init__(self, *, patience: float = 20.0) -> None:
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: dict[str, str] = {}

    @property
    def failing(self) -> dict[str, str]:
        """Name → public text of the last error, for each task that is down or was just restarted."""
        return dict(self._failing)

    def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run and keep running."""
        # not through `_logged`: a task that is cancelled before its first step would leave a coroutine never awaited
        self._started(name, self._kept(name, run))

    def spawn(self, name: str, coroutine: Awaitable[None]) -> asyncio.Task[None]:
        """Run once; an error is logged."""
        return self._started(name, self._logged(name, coroutine))

    def _started(self, name: str, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel everything and wait for it."""
        # a second call for those that lost the first; late, because it would cut an orderly end short
        for share in (0.75, 0.25):
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=self._patience * share)
        for task in self._tasks:
            logger.error("task %s did not end within %.0f s", task.get_name(), self._patience)

    async def _kept(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                await run()
            except Exception as error:
                if time.monotonic() - began > _HEALTHY_AFTER:
                    wait = _FIRST_WAIT
                self._failing[name] = f"{type(error).__name__}: {error}"[:300]
                logger.exception("%s failed; starting it again in %.1f s", name, wait)
            else:
                self._failing.pop(name, None)
                return
            await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)
            asyncio.get_running_loop().call_later(_HEALTHY_AFTER, self._failing.pop, name, None)

    async def _logged(self, name: str, coroutine: Awaitable[None]) -> None:
        try:
            await coroutine
        except Exception:
            logger.exception("%s failed", name)
