"""Which streams send a slice of a campaign first, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence

from config.model import Settings
from config.tables import Rule
from monitor.canary import Terms, slice_size


def canary_terms(settings: Settings, rules: Sequence[Rule]) -> dict[str, Terms]:
    """Terms by stream; only streams that want one."""
    wanted = [stream for stream in settings.streams if stream.canary]
    size = slice_size(rules) if wanted else 0
    return {s.name: Terms(messages=s.canary_messages or size, hours=s.canary_hours) for s in wanted}
