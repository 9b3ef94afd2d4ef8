"""Builds the watcher of the seed mailboxes from the settings."""

from __future__ import annotations

from collectors.placement import SeedWatcher
from collectors.placement_imap import ImapMailbox
from config.model import Settings
from config.secrets import read_secret
from core.ports import Clock, EventLog
from core.tokens import TokenSigner


def build_seeds(settings: Settings, signer: TokenSigner, log: EventLog, clock: Clock) -> SeedWatcher | None:
    """None when no seed is configured.  Raises InvalidInput when a password cannot be read."""
    sources = [ImapMailbox(seed, read_secret(seed.password_file)) for seed in settings.seeds.mailboxes]
    return SeedWatcher(sources=sources, signer=signer, log=log, clock=clock) if sources else None
