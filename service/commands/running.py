"""`penstock run | sandbox`: the service itself.

Ctrl-C or SIGTERM stops it cleanly: no new mail is taken, the messages in flight end, the rest waits in the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from config.load import load_settings
from core.clock import SystemClock
from core.errors import InvalidInput
from service.alone import alone
from service.app import Service
from service.commands.common import add_config
from service.lean import lean
from service.logs import configure_logging
from service.sandboxed import SandboxOptions, open_sandbox


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    run = commands.add_parser("run", help="the service")
    add_config(run)
    run.add_argument(
        "--senders", type=int, default=None, metavar="N",
        help="processes that send (default: senders of the configuration; 0: one for each core)",
    )  # fmt: skip
    run.set_defaults(run=run_service)

    sandbox = commands.add_parser("sandbox", help="the whole service with emulated providers and a sample audience")
    sandbox.add_argument("--data", type=Path, default=Path("var/sandbox"), metavar="DIR", help="state (kept)")
    sandbox.add_argument("--port", type=int, default=8025, help="port of the dashboard")
    sandbox.add_argument("--day-seconds", type=float, default=20.0, help="real seconds a day takes (default 20)")
    sandbox.add_argument("--fresh", action="store_true", help="forget what was before")
    sandbox.set_defaults(run=run_sandbox)


async def run_service(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    configure_logging()
    settings = load_settings(arguments.config, check=True)
    if arguments.senders is not None:
        if not 0 <= arguments.senders <= 64:
            raise InvalidInput("--senders", "lies outside 0 to 64", "Use 0 for one process for each core")
        settings = settings.model_copy(update={"senders": arguments.senders})
    with alone(settings.data_dir, settings.node):
        service = await Service.build(settings, SystemClock())
        await _until_stopped(
            service, f"Penstock: dashboard and API on http://{settings.http.host}:{settings.http.port}/"
        )
    return 0


async def run_sandbox(arguments: argparse.Namespace) -> int:
    """Run the sandbox until told to stop."""
    configure_logging()
    options = SandboxOptions(
        data=arguments.data.resolve(), port=arguments.port, day_seconds=arguments.day_seconds, fresh=arguments.fresh
    )
    with alone(options.data, "sandbox"):
        await _until_stopped(
            await open_sandbox(options),
            f"\n  Penstock sandbox: http://127.0.0.1:{options.port}/\n"
            f"  A day takes {options.day_seconds:g} s.  Ctrl-C stops it; start again and it goes on.\n",
        )
    return 0


async def _until_stopped(service: Service, banner: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await service.start()
        lean()
        print(banner, flush=True)
        await stop.wait()
        print("Stopping: the messages in flight end, the rest stays in the queue.", flush=True)
    finally:
        await service.stop()
