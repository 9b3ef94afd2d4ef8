"""Checks of pools and limits: what they name must exist, and what cannot be used is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from config.model import Settings
from core.gcra import parse_rate
from core.lane import Scope, parse_scope


def check_pools(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(key, problem, remedy) of each inconsistency."""
    sources = {source.name for source in settings.sources}
    pools = {pool.name: pool for pool in settings.pools}
    named: set[str] = set()
    for index, pool in enumerate(settings.pools):
        key = f"pools[{index}]"
        if pool.name in named:
            yield f"{key}.name", f"'{pool.name}' is the name of another one already", "Names must differ"
        named.add(pool.name)
        for position, source in enumerate(pool.sources):
            if source not in sources:
                known = f"Use one of: {', '.join(sorted(sources))}"
                yield f"{key}.sources[{position}]", f"'{source}' is not configured", known
            elif source in pool.sources[:position]:
                yield f"{key}.sources[{position}]", f"'{source}' stands twice", "Name each source once"
        if pool.overflow == pool.name:
            yield f"{key}.overflow", "a pool cannot overflow into itself", "Name another pool, or leave it out"
        elif pool.overflow and pool.overflow not in pools:
            yield f"{key}.overflow", f"'{pool.overflow}' is no pool", _known(pools)
    users = [(f"streams[{i}].pool", stream.pool) for i, stream in enumerate(settings.streams)]
    users += [(f"sending_domains[{i}].pool", domain.pool) for i, domain in enumerate(settings.sending_domains)]
    for key, name in users:
        if name and name not in pools:
            yield key, f"'{name}' is no pool", _known(pools)


def _known(pools: dict[str, object] | object) -> str:
    names = sorted(pools) if isinstance(pools, dict) else []
    return f"Use one of: {', '.join(names)}" if names else "Add it under [[pools]]"


def check_limits(settings: Settings, providers: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """(key, problem, remedy) of each limit that cannot be read, never matches or says nothing."""
    names: set[str] = set()
    for index, limit in enumerate(settings.limits):
        key = f"limits[{index}]"
        if limit.name in names:
            yield f"{key}.name", f"'{limit.name}' is the name of another one already", "Names must differ"
        names.add(limit.name)
        for name in ("messages", "new_connections"):
            if text := getattr(limit, name):
                try:
                    parse_rate(text)
                except ValueError as error:
                    yield f"{key}.{name}", str(error), "Write e.g. 600/minute"
        if not (limit.messages or limit.new_connections or limit.connections or limit.messages_per_connection):
            remedy = "Give messages, new_connections, connections or messages_per_connection"
            yield key, "limits nothing", remedy
        if limit.burst and not (limit.messages or limit.new_connections):
            yield f"{key}.burst", "goes with a rate only", "Give messages or new_connections, or leave burst out"
        if len(set(limit.each)) != len(limit.each):
            yield f"{key}.each", "names a dimension twice", "Name each once"
        try:
            scope = parse_scope(limit.scope)
        except ValueError as error:
            yield f"{key}.scope", str(error), "Write e.g. provider=gmail,stream=bulk, or all"
        else:
            for problem, remedy in unknown_names(scope, settings, providers):
                yield f"{key}.scope", f"{problem}, so it never matches", remedy


def unknown_names(scope: Scope, settings: Settings, providers: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(problem, remedy) of each name in a scope that nothing has."""
    known: dict[str, Iterable[str]] = {
        "source": (s.name for s in settings.sources),
        "sending_domain": (d.name.lower() for d in settings.sending_domains),
        "stream": (s.name for s in settings.streams),
        "pool": (p.name for p in settings.pools),
        "provider": (*providers, *(r.name for r in settings.relays)),
    }
    for name, values in known.items():
        value, all_of = getattr(scope, name), sorted(values)
        if value and value not in all_of and not (name == "provider" and value.startswith(("other:", "relay:"))):
            yield f"{name} '{value}' is not configured", f"Use one of: {', '.join(all_of) or 'none is configured'}"
