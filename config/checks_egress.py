"""Checks of pools: what they name must exist, and what cannot be used is told."""

from __future__ import annotations

from collections.abc import Iterator

from config.model import Settings


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
