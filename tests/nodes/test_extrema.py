"""Extrema: closed forms, clipping, the envelope theorem."""

import pytest
from sympy import Eq, FiniteSet, Interval, Max, Min, Piecewise, Rational, Symbol, exp, log, oo

from derive.nodes import ArgExtremum, Extremum, log_cosh

x, h, k = (Symbol(n, real=True) for n in "xhk")
p = Symbol("p", positive=True)
LINE = Interval(-oo, oo)


def test_quadratics():
    node = Extremum(h * x - p * x**2 / 2, x, LINE, "max")
    assert node.doit() == h**2 / (2 * p)
    assert node.argument.doit() == h / p
    assert Extremum(h * x + p * x**2 / 2, x, LINE, "min").doit() == -(h**2) / (2 * p)
    assert Extremum(h * x + p * x**2 / 2, x, LINE, "extr").doit() == -(h**2) / (2 * p)


def test_a_maximum_of_the_wrong_curvature_is_not_a_stationary_value():
    node = Extremum(h * x + p * x**2, x, LINE, "max")
    assert node.doit() == node


def test_an_undecided_curvature_is_a_condition():
    value = Extremum(h * x + k * x**2, x, LINE, "max").doit()
    assert isinstance(value, Piecewise)
    assert value.args[0] == (-(h**2) / (4 * k), k < 0)


@pytest.mark.parametrize("at", [-3, Rational(1, 2), 1, 5])
def test_clipping_to_the_interval(at):
    place = Extremum(h * x - x**2, x, Interval(0, 1), "max").argument.doit()
    assert place == Min(1, Max(0, h / 2))
    grid = [Rational(n, 64) for n in range(65)]
    best = max(grid, key=lambda v: at * v - v**2)
    assert place.subs(h, at) == best
    assert Extremum(h * x - x**2, x, Interval(0, 1), "max").doit().subs(h, at) == at * best - best**2


def test_an_open_end_is_not_reached():
    value = Extremum(h * x - x**2, x, Interval.open(0, oo), "max").doit()
    assert value.args[0] == (h**2 / 4, h / 2 > 0) or value.args[0][1] == (h > 0)


@pytest.mark.parametrize("interval", [f(a, b) for f in (Interval, Interval.open, Interval.Lopen, Interval.Ropen)
                                      for a, b in ((0, 1), (-oo, 1), (0, oo))])
def test_a_stationary_point_lies_in_the_interval(interval):
    """Its value has the condition that the point is in the interval, its ends counted where they are closed."""
    value = Extremum(x**2 - 2 * h * x, x, interval, "extr").doit()
    assert isinstance(value, Piecewise)
    assert value.args[0][0] == -(h**2)
    for at in (-1, 0, Rational(1, 2), 1, 2):
        assert bool(value.args[0][1].subs(h, at)) == (at in interval)


def test_other_explicit_stationary_points():
    assert Extremum(p * log(x) - x, x, Interval.open(0, oo), "max").doit() == p * log(p) - p
    assert Extremum(exp(x) - p * x, x, LINE, "min").doit() == p - p * log(p)


def test_stationarity_is_an_equation_in_the_bound_variable():
    node = Extremum(h * x - log_cosh(x), x, LINE, "max")
    assert isinstance(node.stationarity, Eq)
    assert node.stationarity.lhs.free_symbols == {h, node.var}


@pytest.mark.parametrize("symbol", [h, p])
def test_envelope_theorem(symbol):
    at = {h: Rational(1, 3), p: Rational(5, 4)}
    node = Extremum(h * x - p * log_cosh(x) - p * x**2, x, LINE, "max")
    assert node.diff(symbol).has(ArgExtremum)
    step = Rational(1, 10**8)
    ahead, behind = (node.subs(symbol, at[symbol] + d).subs(at).evalf(35) for d in (step, -step))
    assert abs(node.diff(symbol).subs(at).evalf(25) - (ahead - behind) / (2 * step)) < 1e-13
    place = node.argument
    ahead, behind = (place.subs(symbol, at[symbol] + d).subs(at).evalf(35) for d in (step, -step))
    assert abs(place.diff(symbol).subs(at).evalf(25) - (ahead - behind) / (2 * step)) < 1e-13


def test_differentiation_commutes_with_doit():
    node = Extremum(h * x - p * x**2 / 2, x, LINE, "max")
    for symbol in (h, p):
        assert (node.diff(symbol).doit() - node.doit().diff(symbol)).simplify() == 0
        assert (node.argument.diff(symbol).doit() - node.argument.doit().diff(symbol)).simplify() == 0


def test_degenerate_cases():
    assert Extremum(h, x, LINE, "max") == h
    assert Extremum(h * x, x, FiniteSet(2), "max") == 2 * h
    assert Extremum(h * x - x**2, x, Interval(0, p), "max").subs(p, 0) == 0
