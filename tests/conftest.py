"""Settings that all tests share."""

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# The same examples in every run, and no deadline: a slow machine is no counter-example.
settings.register_profile("derive", derandomize=True, deadline=None)
settings.load_profile("derive")
