"""Averages over laws of patterns, and their log-domain forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    Float,
    Function,
    Integer,
    Piecewise,
    Rational,
    S,
    Symbol,
    cos,
    cosh,
    exp,
    log,
    oo,
    pi,
    sinh,
    sqrt,
    tanh,
)

from derive.nodes import (
    Atoms,
    Density,
    DivergentAverage,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    Noisy,
    Normal,
    SpectralAverage,
    TiltedAverage,
    log_cosh,
    log_sum_exp,
)

x, h, k = (Symbol(n, real=True) for n in "xhk")
p = Symbol("p", positive=True)
s = Symbol("s", nonnegative=True)
HALF = Rational(1, 2)
COIN = Atoms([-1, 1], [HALF, HALF])
THREE = Atoms([0, 1, 3], [Rational(1, 4), HALF, Rational(1, 4)])
UNIFORM = Density(HALF, x, -1, 1)
LAPLACE = Density(exp(-Abs(x)) / 2, x, -oo, oo)
ARCSINE = Density(1 / (pi * sqrt(1 - x**2)), x, -1, 1)
EXPONENTIAL = Density(exp(-x), x, 0, oo)
f = Function("f")


def test_atoms_are_a_finite_sum():
    assert MeasureAverage(f(x), x, THREE).doit() == f(0) / 4 + f(1) / 2 + f(3) / 4
    assert SpectralAverage(x**2, x, THREE).doit() == Rational(11, 4)
    assert Atoms([1, 1, 2], [Rational(1, 4)] * 2 + [HALF]) == Atoms([2, 1], [HALF, HALF])


@pytest.mark.parametrize(
    ("law", "body", "value"),
    [
        (UNIFORM, x**4, Rational(1, 5)),
        (LAPLACE, x**4, Integer(24)),
        (ARCSINE, x**2, HALF),
        (EXPONENTIAL, x**3, Integer(6)),
        (LAPLACE, cos(x), HALF),
        (EXPONENTIAL, exp(-p * x), 1 / (1 + p)),
        (Density(2 * x, x, 0, 1), x, Rational(2, 3)),
    ],
    ids=str,
)
def test_moments_of_densities(law, body, value):
    assert (MeasureAverage(body, x, law).doit() - value).simplify() == 0
    assert (SpectralAverage(body, x, law).doit() - value).simplify() == 0


def test_a_parameter_where_the_closed_form_is_singular():
    value = MeasureAverage(exp(h * x), x, UNIFORM).doit()
    assert value.subs(h, 0) == 1
    assert abs((value.subs(h, 2) - sinh(2) / 2).evalf(20)) < 1e-18


def test_densities_that_are_not_integrated_stay():
    node = MeasureAverage(log_cosh(h * x) + k, x, UNIFORM)
    assert node.doit() == k + MeasureAverage(log_cosh(h * x), x, UNIFORM)


def test_divergence():
    with pytest.raises(DivergentAverage):
        MeasureAverage(exp(2 * x), x, EXPONENTIAL).doit()
    with pytest.raises(DivergentAverage):
        LogAverageExp(x**2 + h * x, x, Normal()).doit()
    assert LogAverageExp(k * x**2, x, Normal()).convergence() == (1 - 2 * k > 0)


def test_noise_is_a_gaussian_average_inside():
    assert MeasureAverage(x**2, x, Noisy(UNIFORM, s)).doit() == s + Rational(1, 3)
    assert MeasureAverage(exp(h * x), x, Noisy(COIN, s)).doit().rewrite(cosh).subs(h, 0) == 1
    assert Noisy(Noisy(COIN, s), p) == Noisy(COIN, s + p)
    assert Noisy(COIN, 0) == COIN
    value = MeasureAverage(exp(h * x), x, Noisy(COIN, p)).doit()
    assert abs((value - cosh(h) * exp(h**2 * p / 2)).subs({h: Rational(2, 3), p: 3}).evalf(20)) < 1e-17


def test_normal_is_gaussian():
    assert MeasureAverage(tanh(x) ** 2, x, Normal()).doit() == GaussianAverage(tanh(x) ** 2, x)
    assert MeasureAverage(exp(k * x**2), x, Normal()).convergence() == (1 - 2 * k > 0)
    assert MeasureAverage(exp(p * x), x, Normal()).doit() == exp(p**2 / 2)


def test_log_averages():
    assert LogAverageExp(h * x, x, COIN).doit() == log_cosh(h)
    assert LogAverageExp(h * x + k, x, COIN).doit() == k + log_cosh(h)
    assert LogAverageExp(h * x, x, THREE).doit() == log_sum_exp(-log(4), h - log(2), 3 * h - log(4))
    assert LogAverageExp(h * x - p * x**2, x, Normal()).doit() == h**2 / (2 * (1 + 2 * p)) - log(1 + 2 * p) / 2
    assert LogAverageExp(h * x + k, x, LAPLACE).doit() == k + LogAverageExp(h * x, x, LAPLACE)
    assert isinstance(LogAverageExp(k * x**2, x, Normal()).doit(), Piecewise)
    assert LogAverageExp(h * x, x, COIN).rewrite(log).doit() == log(exp(h) / 2 + exp(-h) / 2)
    assert LogAverageExp(h * x, x, UNIFORM).as_average() == log(MeasureAverage(exp(h * x), x, UNIFORM))


def test_tilted_averages():
    assert TiltedAverage(x, h * x, x, COIN).doit() == tanh(h)
    assert TiltedAverage(x, h * x, x, Normal()).doit() == h
    assert TiltedAverage(k * x + h, h * x, x, UNIFORM).doit() == h + k * TiltedAverage(x, h * x, x, UNIFORM)
    assert abs(TiltedAverage(x**2, 5000 * x, x, THREE).doit().evalf(20) - 9) < 1e-18


DIFFERENTIABLE = [
    LogAverageExp(h * x - k * x**2, x, COIN),
    LogAverageExp(h * x - k**2 * x**2, x, UNIFORM),
    LogAverageExp(h * x * k, x, Noisy(COIN, p)),
    TiltedAverage(x**3 + k * x, h * x, x, THREE),
    TiltedAverage(cos(k * x), h * x - x**2, x, ARCSINE),
    TiltedAverage(x**2 * k, h * x, x, Noisy(COIN, p)),
    MeasureAverage(tanh(h * x + k), x, LAPLACE),
    MeasureAverage(cos(k * x) * h, x, Noisy(COIN, p)),
    MeasureAverage(x * exp(-h * x), x, Density(p**2 * x * exp(-p * x), x, 0, oo)),
    LogAverageExp(-(h**2) * x, x, Density(p * exp(-p * x), x, 0, oo)),
    MeasureAverage(tanh(x + h), x, Atoms([p, -1], [HALF, HALF])),
    LogAverageExp(h * x, x, Atoms([0, 1], [1 - 1 / (1 + p), 1 / (1 + p)])),
    TiltedAverage(x**2, k * x, x, Atoms([0, p], [HALF, HALF])),
]


@pytest.mark.parametrize("node", DIFFERENTIABLE, ids=str)
def test_derivatives_agree_with_differences(node):
    """In every parameter, those of the law too."""
    at = {h: Rational(1, 3), k: Rational(2, 5), p: Rational(6, 5)}
    step = Rational(1, 10**8)
    for symbol in sorted(node.free_symbols, key=str):
        slope = node.diff(symbol).subs(at).evalf(25)
        ahead, behind = (node.subs(symbol, at[symbol] + d).subs(at).evalf(35) for d in (step, -step))
        assert abs(slope - (ahead - behind) / (2 * step)) < 1e-13


@pytest.mark.parametrize("base", [UNIFORM, Density(h * exp(-h * x), x, 0, oo).subs(h, p), Normal()], ids=str)
def test_the_derivative_in_the_noise_commutes_with_doit(base):
    node = MeasureAverage(x**4 + k * x**3, x, Noisy(base, p * s))
    for symbol in (p, s, k):
        assert (node.diff(symbol).doit() - node.doit().diff(symbol)).expand() == 0


values = st.fractions(min_value=-3, max_value=3, max_denominator=20).map(lambda v: Rational(v.numerator, v.denominator))


@settings(max_examples=20)
@given(values, values, st.sampled_from([COIN, THREE, Normal()]))
def test_log_and_tilted_averages_against_plain_ones(at_h, at_k, law):
    at = {h: at_h, k: at_k}
    g = h * x - k**2 * x**2 / 3
    node, tilted = LogAverageExp(g, x, law), TiltedAverage(x**2 - h * x, g, x, law)
    for one in (node, tilted):
        direct, plain = (e.doit().subs(at).evalf(25) for e in (one, one.as_average()))
        assert abs(direct - plain) < 1e-18 * (1 + abs(plain))
        assert abs(one.subs(at).doit().evalf(25) - direct) < 1e-18 * (1 + abs(plain))


def test_numbers_without_closed_form():
    assert abs(LogAverageExp(3 * x, x, UNIFORM).evalf(40) - log(sinh(3) / 3).evalf(40)) < Float(10, 50) ** -38
    assert abs(LogAverageExp(2000 * x, x, UNIFORM).evalf(30) - (2000 - log(4000)).evalf(30)) < Float(10, 50) ** -24
    assert abs(TiltedAverage(x, -x / 2, x, LAPLACE).evalf(30) + Rational(4, 3)) < Float(10, 50) ** -28
    assert S(1) == TiltedAverage(1, h * x, x, UNIFORM)
