"""Profiles of hypothesis, and a limit for coroutine tests that tells where they wait.

The gate draws the same examples each time: a change is refused for what it broke, not for what was drawn that day.
`make explore` looks for new ones: many, with a new seed.
"""

from __future__ import annotations

import inspect
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from tests.waiting import bounded

_SLOW_IS_NO_FAULT = [HealthCheck.too_slow]
settings.register_profile(
    "small", max_examples=30, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_NO_FAULT
)
settings.register_profile(
    "large", max_examples=200, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_NO_FAULT
)
settings.register_profile(
    "explore", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=_SLOW_IS_NO_FAULT
)
settings.load_profile("large" if os.environ.get("CI") else "small")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if settings.get_current_profile_name() != "explore":
        # it also tries constants of whatever modules of ours are loaded by then, and that depends on the tests which a
        # worker was given before: `derandomize` alone does not draw the same each time
        vars(providers)["_get_local_constants"] = Constants
    for item in items:
        if item.get_closest_marker("timeout") is not None:
            continue  # has a limit of its own
        if "sim" in item.path.relative_to(item.config.rootpath).parts:
            item.add_marker(pytest.mark.timeout(600))  # weeks of work without a wait: the machine's speed alone counts
        elif isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)
