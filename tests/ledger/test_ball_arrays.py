"""Arrays of balls hold the exact result for every point of their arguments, in doubles as in python-flint."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.ledger.ball_arrays import DoubleArray, FlintArray
from derive.ledger.balls import NotEnclosed, precision

KINDS = [DoubleArray, FlintArray]
BITS = 300
NUMBERS = st.floats(-600, 600, allow_subnormal=False)
RADII = st.sampled_from([0.0, 1e-12, 1e-6, 0.01])
ROWS = st.lists(st.tuples(NUMBERS, RADII, st.floats(-1, 1)), min_size=1, max_size=5)


def balls(row: list[tuple[float, float, float]]) -> tuple[list[arb], list[arb]]:
    """Balls, and an exact point in each."""
    return [arb(m, r) for m, r, _ in row], [arb(m) + arb(r) * arb(k) * arb("0.99") for m, r, k in row]


def holds(found: Any, exact: list[arb]) -> bool:
    return all(ball.overlaps(point) for ball, point in zip(found.arbs(), exact, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(row=ROWS, other=st.tuples(NUMBERS, RADII, st.floats(-1, 1)))
def test_arithmetic_holds_every_point(kind: Any, row: list[Any], other: Any) -> None:
    with precision(BITS):
        (values, points), (one, point) = balls(row), balls([other])
        a, b = kind.of(values), kind.of(one)
        for op in (operator.add, operator.sub, operator.mul):
            assert holds(op(a, b), [op(p, point[0]) for p in points])
        if abs(point[0]) > 0.1:
            assert holds(a / b, [p / point[0] for p in points])
        assert holds(a.exp(), [p.exp() for p in points])
        assert all(u >= abs(p) for u, p in zip(a.upper(), points, strict=True))
        assert not a.total() < sum((abs(p) for p in points), arb(0))
        assert holds(a.widened(np.array([0.5])), [p + arb("0.499") for p in points])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data(), count=st.integers(1, 1200))
def test_sums_of_products_hold_every_point(kind: Any, data: Any, count: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    mids, radii, moved = rng.normal(size=(2, count)) * 10.0 ** rng.integers(-8, 8, (2, count)), 1e-9, rng.uniform(-1, 1)
    with precision(BITS):
        rows = [[arb(float(m), radii) for m in row] for row in mids]
        points = [[arb(float(m)) + arb(radii) * arb(float(moved)) for m in row] for row in mids]
        exact = sum((x * y for x, y in zip(*points, strict=True)), arb(0))
        a, b = (kind.of(row) for row in rows)
        assert a.dot(b).overlaps(exact)
        assert (a.reshape(1, -1) @ b.reshape(-1, 1)).arbs()[0].overlaps(exact)


def test_doubles_are_sharp() -> None:
    """Errors are those of roundings: 13 digits stay where nothing cancels."""
    rng = np.random.default_rng(20261127)
    with precision(BITS):
        values = [arb(float(v)) for v in rng.uniform(0.5, 2, 40_000)]
        array = DoubleArray.of(values)
        assert array.dot(array).rel_accuracy_bits() > 40
        assert min(v.rel_accuracy_bits() for v in (array.exp() / array).log().arbs()) > 38
        exact = max(abs(v.mid() / p.exp() - 1) for v, p in zip(array.exp().arbs(), values, strict=True))
        assert exact < arb(2) ** -48  # of the 2^-46 that are allowed


@pytest.mark.parametrize("kind", KINDS)
def test_no_quotient_by_a_ball_about_zero(kind: Any) -> None:
    one, zero = kind.of([arb(1)]), kind.of([arb(0, 0.1)])
    try:
        assert not (one / zero).arbs()[0].is_finite()
    except NotEnclosed:
        assert kind is DoubleArray


def test_beyond_the_range_of_doubles_nothing_is_claimed() -> None:
    far = DoubleArray.of([arb(1000), arb(-1000), arb(0, 5)]).exp().arbs()
    assert not far[0].is_finite()
    assert far[1].contains(arb(-1000).exp())
    assert not far[2].is_finite() or far[2].contains(arb(5).exp())
