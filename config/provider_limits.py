"""The provider table with the owner's own figures in it, and where those are wider than what ships.

Contract: a `[[provider_limits]]` entry takes the place of the shipped figures that it names, wider or narrower.  Wider
is the owner's right (an agreement with the provider, a source of long standing), so it is no problem of the file; but
`penstock config check` says each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from config.egress import ProviderLimit
from config.model import Settings
from config.tables import OTHER_ROW, ProviderRow

FIGURES = ("connections", "messages_per_connection", "new_connections_per_minute")


def owner_rows(rows: Iterable[ProviderRow], limits: Sequence[ProviderLimit]) -> list[ProviderRow]:
    """The table as the owner wants it, with the row of sites that belong to no known provider."""
    own = {limit.provider: _given(limit) for limit in limits}
    return [row.model_copy(update=own.get(row.name, {})) for row in (*rows, OTHER_ROW)]


def check_provider_limits(settings: Settings, providers: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """(key, problem, remedy) of each entry that means nothing."""
    known = sorted({*providers, OTHER_ROW.name})
    seen: set[str] = set()
    for index, limit in enumerate(settings.provider_limits):
        key = f"provider_limits[{index}]"
        if limit.provider not in known:
            yield f"{key}.provider", f"'{limit.provider}' is no provider", f"Use one of: {', '.join(known)}"
        if limit.provider in seen:
            yield f"{key}.provider", f"'{limit.provider}' has an entry already", "Write one entry for each provider"
        seen.add(limit.provider)
        if not _given(limit):
            yield key, "changes nothing", f"Give {', '.join(FIGURES[:-1])} or {FIGURES[-1]}"


def wider(settings: Settings, rows: Iterable[ProviderRow]) -> Iterator[str]:
    """A line for each figure that is wider than the shipped one."""
    shipped = {row.name: row for row in (*rows, OTHER_ROW)}
    for index, limit in enumerate(settings.provider_limits):
        for name, value in _given(limit).items():
            before = getattr(shipped[limit.provider], name)
            if before and (value > before or value == 0):
                yield (
                    f"provider_limits[{index}].{name}: {value or 'no limit'} is wider than the {before} that ship for "
                    f"{limit.provider}; it may answer with deferrals or blocks: go back at the first sign"
                )


def _given(limit: ProviderLimit) -> dict[str, int]:
    return {name: value for name in FIGURES if (value := getattr(limit, name)) is not None}
