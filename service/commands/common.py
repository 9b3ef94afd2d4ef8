"""What every command shares: the config file, an open store, and how errors are shown."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.load import load_settings
from config.model import Settings
from core.clock import SystemClock
from service.clockstore import clock_of
from service.operator import Operator, known_names, known_scopes
from storage.stores import Stores, open_stores

DEFAULT_CONFIG = Path("penstock.toml")
Subparsers = argparse._SubParsersAction  # argparse has no public name for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An open store with what a command needs around it."""

    settings: Settings
    stores: Stores
    clock: SystemClock
    operator: Operator


def add_config(parser: argparse.ArgumentParser) -> None:
    """The --config option."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration (default: penstock.toml)"
    )


def add_language(parser: argparse.ArgumentParser, help_text: str = "language of the words (default: en)") -> None:
    """The --lang option."""
    parser.add_argument("--lang", choices=["en", "ru"], default="en", help=help_text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The --json option of commands that answer with one thing."""
    parser.add_argument("--json", action="store_true", help="one JSON document in place of text")


def who() -> str:
    """The operator's name for the log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


@asynccontextmanager
async def desk(config: Path) -> AsyncIterator[Desk]:
    """Open the store that the config names; works beside a running service and without one."""
    settings = load_settings(config)
    stores = await open_stores(settings.storage.url)
    try:
        clock = await clock_of(stores.meta)
        operator = Operator(
            controls=stores.controls,
            suppressions=stores.suppressions,
            clock=clock,
            spare=settings.transactional,
            unknown=known_names(settings),
            forbidden=known_scopes(settings),
        )
        yield Desk(settings=settings, stores=stores, clock=clock, operator=operator)
    finally:
        await stores.close()
