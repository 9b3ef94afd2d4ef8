"""Profiles of hypothesis: a small one for the developer's loop, a large one where CI is set."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("small", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("large", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("large" if os.environ.get("CI") else "small")
