"""Checks of seed mailboxes and placement tests: one login each, known references, no secret in the clear."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from config.model import Seed, SeedOAuth, Settings
from config.parts import is_loopback
from core.address import parse_address
from core.errors import InvalidInput

Found = Iterator[tuple[str, str, str]]


def check_seeds(settings: Settings, providers: frozenset[str]) -> Found:
    """(key, problem, remedy) of everything that is inconsistent."""
    for index, seed in enumerate(settings.seeds.mailboxes):
        yield from _seed(f"seeds.mailboxes[{index}]", seed, providers)
    yield from _twice("seeds.mailboxes[{}].mailbox", [seed.mailbox.lower() for seed in settings.seeds.mailboxes])
    yield from _twice("seeds.tests[{}].name", [test.name for test in settings.seeds.tests])
    streams = [stream.name for stream in settings.streams]
    seeded = {seed.provider for seed in settings.seeds.mailboxes}
    for index, test in enumerate(settings.seeds.tests):
        key = f"seeds.tests[{index}]"
        if test.stream not in streams:
            yield f"{key}.stream", f"'{test.stream}' is not configured", f"Use one of: {', '.join(streams)}"
        if not seeded:
            yield key, "there is no seed mailbox to send it to", "Add [[seeds.mailboxes]]"
        for position, name in enumerate(test.providers):
            if seeded and name not in seeded:
                known = f"Use one of: {', '.join(sorted(seeded))}"
                yield f"{key}.providers[{position}]", f"no seed mailbox is at '{name}'", known


def missing_variables(settings: Settings) -> Found:
    """Environment variables that seeds name and that are not set."""
    for index, seed in enumerate(settings.seeds.mailboxes):
        key = f"seeds.mailboxes[{index}]"
        named = [(f"{key}.password_env", seed.password_env)]
        if seed.oauth2 is not None:
            named.append((f"{key}.oauth2.client_secret_env", seed.oauth2.client_secret_env))
            named.append((f"{key}.oauth2.refresh_token_env", seed.oauth2.refresh_token_env))
        for where, name in named:
            if name and not os.environ.get(name):
                yield where, f"{name} is not set", "Set the variable for the service, or name a file"


def _seed(key: str, seed: Seed, providers: frozenset[str]) -> Found:
    try:
        parse_address(seed.mailbox)
    except InvalidInput as error:
        yield f"{key}.mailbox", error.problem, error.remedy
    if seed.provider not in providers and not seed.provider.startswith("other"):
        yield f"{key}.provider", f"'{seed.provider}' is not known", f"Use one of: {', '.join(sorted(providers))}"
    if not seed.host or not set(seed.host).isdisjoint("/@ ") or seed.host.count(":") == 1:
        yield (
            f"{key}.host",
            f"'{seed.host}' is no host",
            "Write its name alone, such as imap.example.com; the port is port",
        )
    if seed.security == "none" and not is_loopback(seed.host):
        yield f"{key}.security", "the password would cross the network in the clear", "Use tls or starttls"
    ways = [seed.password_file is not None, bool(seed.password_env), seed.oauth2 is not None]
    if sum(ways) != 1:
        problem = "two ways to log in" if sum(ways) else "there is no way to log in"
        yield f"{key}.password_file", problem, "Give password_file, password_env or oauth2, one of them"
    if seed.oauth2 is not None:
        yield from _oauth(f"{key}.oauth2", seed.oauth2)


def _oauth(key: str, given: SeedOAuth) -> Found:
    if (given.refresh_token_file is None) == (not given.refresh_token_env):
        yield f"{key}.refresh_token_file", "one refresh token is needed", "Give refresh_token_file or refresh_token_env"
    if given.client_secret_file is not None and given.client_secret_env:
        yield f"{key}.client_secret_env", "the client secret is given twice", "Give the file or the variable"
    if given.service == "other" and not given.token_url:
        yield f"{key}.token_url", "is needed for another service", "Write its address, or name the service"
    if given.token_url:
        parts = urlsplit(given.token_url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if not safe or not parts.hostname:
            yield f"{key}.token_url", "would carry a secret in the clear", "Use https"


def _twice(key: str, values: list[str]) -> Found:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield key.format(index), f"'{value}' is the name of another one already", "Names must differ"
