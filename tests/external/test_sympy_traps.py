"""Behaviour of SymPy 1.14 that this project works around: a new SymPy that changes one of them tells so here."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy import erf, erfc, exp, limit, log, oo, series, sqrt

from derive.methods.scaling import limit_of
from derive.nodes.timebox import TimedOut, timebox

X, A, B = sp.symbols("x a b", positive=True)


def test_a_competition_of_exponentials_is_decided_without_being_known():
    """sympy#22893: oo for any positive a and b; for a > b the limit is b."""
    competing = (A * exp(-A * X) + B * exp(-B * X)) * exp(B * X)
    assert timebox(60, limit, competing, X, oo) is oo
    assert limit_of(competing, X, oo, where=(A > B,)).limit == B


@pytest.mark.parametrize("expr", [2 * erf(X), log(erfc(X))])
def test_series_of_error_functions_at_infinity(expr):
    """sympy#27109."""
    with pytest.raises((sp.PoleError, NotImplementedError, ValueError)):
        timebox(60, series, expr, X, oo)
    assert limit_of(expr, X, oo).verdict.sound


def test_assuming_has_no_effect_on_limits():
    y, rate = sp.Symbol("y", positive=True), sp.Symbol("r", real=True)
    with sp.assuming(sp.Q.positive(rate)):
        try:
            found = timebox(20, limit, exp(-rate * y), y, oo)
        except (NotImplementedError, TimedOut):
            return
    assert found != 0


def test_lambdify_evaluates_every_branch_of_a_piecewise():
    """sympy#15014."""
    f = sp.lambdify(X, sp.Piecewise((log(X), X > 0), (0, True)), "numpy")
    with pytest.warns(RuntimeWarning):
        f(np.array([-1.0, 1.0]))


def test_lambdify_loses_the_shape_of_a_constant():
    """sympy#5642."""
    assert np.shape(sp.lambdify(X, sp.Integer(2), "numpy")(np.zeros(3))) == ()


def test_log_cosh_overflows_in_doubles():
    f = sp.lambdify(X, log(sp.cosh(X)), "numpy")
    with pytest.warns(RuntimeWarning):
        assert np.isinf(f(np.float64(800)))


def test_a_scaled_error_function_is_not_a_number_in_doubles():
    f = sp.lambdify(X, exp(X**2) * erfc(X), ["scipy", "numpy"])
    with pytest.warns(RuntimeWarning):
        assert np.isnan(f(np.float64(30)))


def test_mpmath_has_no_erfcx():
    assert not hasattr(mpmath, "erfcx")


def test_roots_of_products_differ_off_the_real_axis():
    z, a, b = -1 + sp.I / 10, 1, 2
    joined, apart = sqrt((z - a) * (z - b)), sqrt(z - a) * sqrt(z - b)
    assert abs(sp.N(joined + apart)) < 1e-12
    assert abs(sp.N(joined)) > 1


def test_nsolve_returns_a_root_of_the_numerator():
    """sympy#11768: sin(x)/x has no root at 0, and 0 is what comes back."""
    y = sp.Symbol("y")
    root = sp.nsolve((y**2 - y) / y, y, -0.1, verify=False)
    assert abs(root) < 1e-10 or abs(root - 1) < 1e-10


def test_sympify_evaluates_text():
    assert sp.sympify("().__class__.__name__") is not None
