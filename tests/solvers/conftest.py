"""Hypothesis at a pace that two cores can follow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "solvers", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("solvers")
