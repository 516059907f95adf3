"""Run-time functions against mpmath, and the root search on equations with known roots."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from derive.solvers import runtime

EPS = 2.0**-52
ratios = st.one_of(st.sampled_from([1.0, 1 - 1e-12, 1 + 1e-9, 0.002, 2.0]), st.floats(1e-3, 50.0))
logarithms = st.one_of(st.floats(-40, 40), st.floats(-300, 700), st.floats(-2, 2))


def response(log_b: float, ratio: float) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """b, V from the quadratic formula in so many digits that nothing cancels, bV, d log V/d log t."""
    t, r = mpmath.exp(-mpmath.mpf(log_b)), mpmath.mpf(ratio)
    linear = 1 - r + r * t
    root = mpmath.sqrt(linear**2 + 4 * r**2 * t)
    V = (root - linear) / (2 * r)
    return 1 / t, V, V / t, t * r * (1 - V) / (root * V)


@given(logarithms, ratios)
def test_response_of_the_spectrum(log_b: float, ratio: float) -> None:
    with mp.workdps(700), np.errstate(all="ignore"):
        _, V, gain, fall = response(log_b, ratio)
        got = [float(x[0]) for x in runtime.mp_response(np.array([log_b]), np.array([ratio]))]
        expected = [mpmath.log(V), 1 - V, mpmath.log(gain), fall, mpmath.log1p(gain), gain / (1 + gain)]
        for value, exact, absolute in zip(got, expected, (True, False, True, False, False, False), strict=True):
            scale = max(mpmath.mpf(1), abs(exact)) if absolute else abs(exact)
            assert abs(value - exact) <= 4 * EPS * scale
        if V > 0.6:  # close to one its logarithm is right relatively
            assert abs(got[0] - mpmath.log(V)) <= 8 * EPS * abs(mpmath.log(V))


@pytest.mark.parametrize("log_b", [-1e6, -1e5, 1e5, 1e6])
@pytest.mark.parametrize("ratio", [1e-3, 0.5, 1.0, 2.0, 30.0])
def test_response_far_out(log_b: float, ratio: float) -> None:
    """Where b is far beyond the doubles the response is its leading asymptotics."""
    with np.errstate(all="ignore"):
        log_v, rest, log_bv, *_ = (float(x[0]) for x in runtime.mp_response(np.array([log_b]), np.array([ratio])))
    if log_b < 0:
        assert (log_v, rest) == (0.0, 0.0)
        assert log_bv == log_b
    elif ratio < 1:
        assert log_bv == pytest.approx(math.log(ratio / (1 - ratio)), abs=1e-14)
        assert log_v == pytest.approx(-log_b, rel=1e-4)
    elif ratio == 1:
        assert (log_v, log_bv) == (-log_b / 2, log_b / 2)
    else:
        assert log_v == pytest.approx(math.log1p(-1 / ratio), rel=1e-14)
        assert rest == pytest.approx(1 / ratio, rel=1e-14)


@pytest.mark.parametrize(
    ("function", "exact", "points"),
    [
        (runtime.softplus, lambda x: mpmath.log1p(mpmath.exp(x)), [-700.0, -40.0, -1e-3, 0.0, 3.0, 800.0]),
        (
            runtime.log_softplus,
            lambda x: mpmath.log(mpmath.log1p(mpmath.exp(x))),
            [-1e5, -700.0, -37.5, -36.5, -1.0, 5.0, 900.0],
        ),
        (runtime.log1mexp, lambda x: mpmath.log(-mpmath.expm1(-x)), [1e-300, 1e-9, 0.5, 0.7, 30.0, 800.0]),
        (runtime.log_cosh, lambda x: mpmath.log(mpmath.cosh(x)), [1e-8, -1e-3, 0.999, 1.001, -30.0, 2000.0]),
        (runtime.log_erfc, lambda x: mpmath.log(mpmath.erfc(x)), [-30.0, -1.0, -1e-9, 1e-9, 0.3, 5.0, 1000.0]),
    ],
)
def test_safe_functions(function, exact, points: list[float]) -> None:
    with mp.workdps(900):
        expected = np.array([float(exact(mpmath.mpf(x))) for x in points])
    with np.errstate(under="ignore", divide="ignore", over="ignore"):
        assert_allclose(function(np.array(points)), expected, rtol=4e-15, atol=0)


def test_difference_of_exponentials() -> None:
    assert_allclose(
        runtime.log_subtract(np.array([-1e5, 0.0]), np.array([-1e5 - 1.0, -800.0])),
        [-1e5 + math.log(-math.expm1(-1.0)), 0.0],
        rtol=1e-15,
    )


def test_pieces_are_evaluated_only_where_they_hold() -> None:
    def careful(x: np.ndarray) -> np.ndarray:
        assert (x > 0).all()
        return np.log(x)

    x = np.array([[-1.0, 2.0], [0.0, 4.0]])
    out = runtime.piecewise((x,), (lambda x: x > 0, careful), (lambda x: x < 0, lambda x: -x))
    assert_array_equal(out, [[1.0, math.log(2.0)], [np.nan, math.log(4.0)]])


def search(function, lower, upper, direction, limit=runtime.LOG_LIMIT):
    lower, upper = np.atleast_1d(np.array(lower, float)), np.atleast_1d(np.array(upper, float))
    with np.errstate(all="ignore"):
        return runtime.bracketed_roots(lambda x, env: function(x), {}, lower, upper, direction, limit)


@given(st.floats(-1e6, 1e6), st.sampled_from([-1, 1]))
def test_search_on_the_whole_line(root: float, direction: int) -> None:
    x, _, state, _, _ = search(lambda x: direction * np.arctan(x - root), -np.inf, np.inf, direction)
    assert state[0] == 0
    assert abs(x[0] - root) <= 2 * EPS * max(1.0, abs(root))


@given(st.floats(-5, 5), st.floats(1e-3, 10), st.floats(0.01, 0.99))
def test_search_in_an_interval(lower: float, width: float, share: float) -> None:
    root = lower + share * width
    x, _, state, _, _ = search(lambda x: (x - root) ** 3 + (x - root), lower, lower + width, 1)
    assert state[0] == 0
    assert abs(x[0] - root) <= 4 * EPS * max(1.0, abs(root))


@pytest.mark.parametrize(("sign", "direction", "side"), [(1.0, 1, -1), (-1.0, 1, 1), (1.0, -1, 1), (-1.0, -1, -1)])
def test_no_sign_change(sign: float, direction: int, side: int) -> None:
    assert search(lambda x: sign + 0 * x, 0.0, 1.0, direction)[2][0] == side
    assert search(lambda x: sign * np.exp(-np.abs(x)), -np.inf, np.inf, direction)[2][0] == side


def test_a_residual_that_is_no_number() -> None:
    assert search(lambda x: np.nan * x, 0.0, 1.0, 1)[2][0] == 2


def test_singular_ends_do_no_harm() -> None:
    """The residual may be infinite or undefined at the ends themselves."""
    x, _, state, _, _ = search(lambda x: 1 / x - 1 / (1 - x) - 3, 0.0, 1.0, -1)
    assert state[0] == 0
    assert 1 / x[0] - 1 / (1 - x[0]) == pytest.approx(3, rel=1e-13)
    x, _, state, _, _ = search(lambda x: np.where((x <= 0) | (x >= 1), np.nan, x - 1e-9), 0.0, 1.0, 1)
    assert (state[0], x[0]) == (0, pytest.approx(1e-9, rel=1e-6))


@given(st.floats(0.01, 50.0), st.floats(-300, 300))
def test_bent_step_is_exact_for_its_shape(amplitude: float, root: float) -> None:
    """For amplitude log(1 + exp(root - x)) - offset one step from zero lands near the root, wherever it is."""
    slope = lambda x: -amplitude / (1 + np.exp(x - root))  # noqa: E731
    value = lambda x: amplitude * runtime.softplus(root - x)  # noqa: E731
    offset = -value(np.array([root / 2 - 1.0]))
    x = np.zeros(1)
    with np.errstate(all="ignore"):
        step = runtime.bent_step(value(x) + offset, slope(x), offset, np.full(1, np.nan))
    assume(np.isfinite(step[0]))
    assert x[0] + step[0] == pytest.approx(root / 2 - 1.0, abs=0.02 * (1 + abs(root)))
