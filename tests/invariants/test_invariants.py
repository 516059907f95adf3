"""Each invariant, a few times; `make soak` tries them for an hour."""

import pytest
from hypothesis import settings
from invariants import COSTLY, INVARIANTS


@pytest.mark.parametrize(
    "invariant",
    [pytest.param(k, id=k.__name__, marks=[pytest.mark.slow] * (k in COSTLY)) for k in INVARIANTS],
)
def test_it_holds(invariant):
    settings(max_examples=6, derandomize=True, deadline=None)(invariant)()
