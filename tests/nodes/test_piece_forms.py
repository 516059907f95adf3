"""log E exp(g) for g quadratic on intervals: against the integral, at 20 digits, and in the tails."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Expr, Heaviside, Max, Min, Piecewise, Rational, Symbol, erfc, log, sign, sqrt, symbols

from derive.core import DeriveError
from derive.nodes import LogAverageExp, Normal, log_erfc_drop
from derive.nodes.mp_eval import compile_mp
from derive.solvers import mp_functions, runtime

x, w, omega = symbols("x w omega", real=True)
V, lam, b = symbols("V lambda b", positive=True)
h = Symbol("h", real=True)
ACTIVATIONS = [
    Max(0, h), sign(h), Abs(h), Heaviside(h), Max(-1, Min(1, h)), Max(h / 10, h),
    sign(h - Rational(1, 3)) + sign(h + 2),
    Piecewise((h, h < 2), (5 - h, True)), Max(h, -h / 2, 1),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize(
    "exponent", [lambda s: lam * x * s, lambda s: -b * (x - s) ** 2 / 2], ids=["memory", "diffusion"])
def test_the_closed_form_is_the_integral(activation: Expr, exponent) -> None:
    node = LogAverageExp(exponent(activation.subs(h, omega + sqrt(V) * w)), w, Normal())
    closed = node.doit()
    assert not closed.has(LogAverageExp)
    arguments = (x, omega, V, lam, b)
    integral, form = compile_mp(node, arguments), compile_mp(closed, arguments)
    for point in [(0.7, 0.4, 0.3, 2, 3), (-1.2, -2.0, 1.3, 20, 100), (3.0, 0.1, 0.01, 5, 50)]:
        with mpmath.workdps(20):
            expected = integral(*map(mpmath.mpf, point))
            assert abs(form(*map(mpmath.mpf, point)) - expected) < 1e-16 * (1 + abs(expected))


def test_no_closed_form_where_the_order_of_joints_is_not_known() -> None:
    open_ = LogAverageExp(x * Max(0, Min(omega, w)), w, Normal())
    assert open_.doit().has(LogAverageExp)


@given(st.floats(-35, 35), st.floats(1e-6, 20))
@settings(max_examples=60, deadline=None)
def test_drop_of_erfc(low: float, step: float) -> None:
    high = low + step
    with mpmath.workdps(700):
        one, two = mpmath.mpf(low), mpmath.mpf(high)
        exact = mpmath.log(mpmath.erfc(one) - mpmath.erfc(two))
    assert abs(float(log_erfc_drop(low, high).evalf(25)) - exact) <= 1e-15 * (1 + abs(exact))
    assert abs(float(runtime.log_erfc_drop(np.array(low), np.array(high))) - exact) <= 3e-16 * (
        low**2 + high**2 + 30 * (1 + 1 / step) + abs(exact))
    with mpmath.workdps(30):
        assert abs(mp_functions.log_erfc_drop(one, two) - exact) <= mpmath.mpf(10) ** -28 * (1 + abs(exact))


def test_drop_of_erfc_as_an_expression() -> None:
    p, q = Symbol("p", positive=True), Symbol("q", positive=True)
    drop = log_erfc_drop(p, p + q)
    assert drop.rewrite(log) == log(erfc(p) - erfc(p + q))
    numbers = {p: Rational(3, 5), q: Rational(1, 7)}
    for symbol in (p, q):
        slopes = [e.diff(symbol).subs(numbers).evalf(30) for e in (drop, drop.rewrite(log))]
        assert abs(slopes[0] - slopes[1]) < 1e-27
    with pytest.raises(DeriveError, match="log_erfc_drop is given 2, 1"):
        log_erfc_drop(2, 1)
