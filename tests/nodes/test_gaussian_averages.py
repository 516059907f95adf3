"""Gaussian averages: closed forms against quadrature, divergence, Stein's lemma."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from sympy import (
    Abs,
    DiracDelta,
    Function,
    Heaviside,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    S,
    Symbol,
    cos,
    cosh,
    diff,
    erf,
    erfc,
    exp,
    factorial2,
    lambdify,
    log,
    oo,
    pi,
    sign,
    sin,
    sinh,
    sqrt,
    tanh,
)

from derive.core import DeriveError
from derive.nodes import DivergentAverage, GaussianAverage, erfcx, log_cosh, stein
from derive.nodes.growth import growth

x, y, k, a = (Symbol(n, real=True) for n in "xyka")
p = Symbol("p", positive=True)
POINT = {k: Rational(3, 10), a: Rational(-2, 5), p: Rational(7, 10)}
JOINTS = sorted({0, -0.4, 0.4, -3 / 7, 3 / 7, -10 / 7, 10 / 7, -0.3, 1, -1})


def numerically(body, *variables):
    """The average by quadrature of the body itself."""
    safe = {"log_cosh": lambda v: np.logaddexp(v, -v) - np.log(2)}
    f = lambdify(variables, body.subs(POINT), [safe, "scipy", "numpy"])
    if len(variables) == 1:
        total = quad(lambda t: f(t) * np.exp(-t * t / 2), -13, 13, points=JOINTS, epsabs=1e-12, limit=400)[0]
        return total / np.sqrt(2 * np.pi)
    grid = np.linspace(-10, 10, 2001)
    weight = np.exp(-(grid**2) / 2) * (grid[1] - grid[0]) / np.sqrt(2 * np.pi)
    return float(weight @ f(grid[:, None], grid[None, :]) @ weight)


CLOSED = [
    x**2 + 3,
    x**7 + x**6,
    (x + a) ** 3 * (x - 1),
    x**2 * exp(k * x + a - p * x**2),
    x * cosh(k * x + a),
    x**3 * sinh(k * x),
    x**2 * cos(k * x + a),
    sin(k * x + a),
    exp(-p * x**2) * cos(k * x + a),
    exp(k * x) * sin(x),
    cosh(k * x) ** 2,
    sin(x) ** 2 * x**2,
    2 ** (k * x),
    erf(a + p * x),
    x * erf(a + k * x),
    erf(p * x) ** 2,
    erf(x) * erf(k * x),
    Heaviside(x) * erf(k * x),
    (x + erf(x)) ** 2,
    x**3 * erfc(a + k * x) * exp(-p * x**2 + k * x),
    erfcx(k * x),
    Abs(x),
    Abs(x) ** 3,
    x**2 * Abs(x - a),
    x * sign(x - a),
    Max(0, k + p * x),
    x**2 * Max(0, x),
    Min(x, a),
    Max(-1, Min(1, p * x + k)),
    exp(x) * Heaviside(x - a),
    cosh(x) * Abs(x),
    exp(-p * Abs(x - a)),
    exp(Max(x, 0)),
    Piecewise((x, x > a), (x**2, True)),
    Piecewise((0, x < 0), (x, x < 1), (exp(x), True)),
    Heaviside(x + 1) * Heaviside(1 - x) * x**2,
    Abs(x) * sign(x - 1) * x,
]


@pytest.mark.parametrize("body", CLOSED, ids=str)
def test_closed_forms_agree_with_quadrature(body):
    value = GaussianAverage(body, x).doit().subs(POINT)
    assert not value.has(GaussianAverage)
    assert float(value.evalf(20)) == pytest.approx(numerically(body, x), rel=1e-9, abs=1e-11)


TWO = [
    x**2 * y**2 + x * y,
    exp(k * x * y),
    exp(k * x * y - p * x**2 + a * y),
    cos(x + k * y) ** 2,
    x * y * sin(x * k + y),
    erf(x + p * y) * y,
    x**4 * y**2,
    (x + y) ** 4 * exp(-p * (x - y) ** 2),
]


@pytest.mark.parametrize("body", TWO, ids=str)
def test_two_variables(body):
    value = GaussianAverage(body, x, y).doit().subs(POINT)
    assert not value.has(GaussianAverage)
    assert float(value.evalf(20)) == pytest.approx(numerically(body, x, y), rel=1e-9, abs=1e-11)


def test_arcsine_laws():
    value = GaussianAverage(sign(x) * sign(x + p * y), x, y).doit()
    correlation = 1 / sqrt(1 + p**2)
    from sympy import asin

    assert float((value - 2 / pi * asin(correlation)).subs(p, Rational(7, 10)).evalf(20)) == pytest.approx(0, abs=1e-18)
    assert GaussianAverage(Max(0, x) * Max(0, y), x, y).doit() == 1 / (2 * pi)
    assert float(GaussianAverage(Abs(x + k * y), x, y).doit().subs(k, 2).evalf()) == pytest.approx(np.sqrt(10 / np.pi))


@pytest.mark.parametrize("n", range(9))
def test_moments(n):
    assert GaussianAverage(x ** (2 * n), x).doit() == factorial2(2 * n - 1)
    assert GaussianAverage(x ** (2 * n + 1), x).doit() == 0


@pytest.mark.parametrize(
    "body", [tanh(x), x**3 * log_cosh(k * x), sin(x) / (1 + x**2), x * exp(-(tanh(x) ** 2))], ids=str
)
def test_odd_integrands_vanish(body):
    assert GaussianAverage(body, x).doit() == 0


def test_what_is_not_known_stays_and_the_rest_is_done():
    node = GaussianAverage(k * log_cosh(x) + 3 * x**2 + p * tanh(x + 1), x)
    assert node.doit() == k * GaussianAverage(log_cosh(x), x) + 3 + p * GaussianAverage(tanh(x + 1), x)
    whole = GaussianAverage(Function("f")(x), x)
    assert whole.doit() is whole


def test_the_whole_converges_where_its_parts_diverge():
    body = exp(x**2) * (1 - tanh(x**2))
    assert GaussianAverage(body, x).doit() == GaussianAverage(body, x)
    assert GaussianAverage(exp(x**2) * x**2 - exp(x**2) * x * (x - 0), x) == 0
    assert GaussianAverage((exp(x**2) + 1) ** 2 - exp(2 * x**2) - 2 * exp(x**2), x).doit() == 1


@pytest.mark.parametrize(
    "body",
    [exp(x**2), exp(x**2 / 2 + x), cosh(x**2), x * exp(p * x**2 + x**2), exp(x**2) + tanh(x), exp(x**2) * sin(k * x)],
    ids=str,
)
def test_divergent_averages_say_so(body):
    with pytest.raises(DivergentAverage, match="must be below 1/2") as error:
        GaussianAverage(body, x).doit()
    assert isinstance(error.value, DeriveError)
    assert error.value.condition.has(S.Half)
    assert GaussianAverage(body, x).convergence() == False  # noqa: E712 - a SymPy Boolean


def test_an_undecided_average_carries_its_condition():
    node = GaussianAverage(exp(k * x**2), x)
    assert node.convergence() == (1 - 2 * k > 0)
    value = node.doit()
    assert isinstance(value, Piecewise)
    assert value.subs(k, Rational(1, 4)) == sqrt(2)
    assert value.args[1][0] == node
    with pytest.raises(DivergentAverage):
        value.subs(k, 1).doit()
    assert GaussianAverage(exp(k * x**2) * tanh(x) ** 2, x).convergence() == (1 - 2 * k > 0)
    assert GaussianAverage(exp(k * x * y), x, y).convergence() == (1 - k**2 > 0)
    assert GaussianAverage(exp(k * x * y), x, y).doit().subs(k, Rational(3, 5)) == Rational(5, 4)


def test_a_slope_that_may_vanish_is_a_condition():
    value = GaussianAverage(Max(0, a + k * x), x).doit()
    assert value.subs({k: 2, a: 0}) == sqrt(2) / sqrt(pi)
    assert value.subs(k, 0).doit() == Max(0, a)


def test_delta_functions_sample():
    assert GaussianAverage(DiracDelta(x - a) * tanh(x), x).doit() == tanh(a) * exp(-(a**2) / 2) / sqrt(2 * pi)


reals = st.fractions(min_value=-2, max_value=2, max_denominator=50).map(lambda v: Rational(v.numerator, v.denominator))
bodies = st.sampled_from(
    [
        x * exp(k * x),
        erf(k + a * x),
        x**2 * cos(k * x + a),
        exp(-(k**2) * x**2 + a * x),
        cosh(k * x) * x**2,
        erf(k * x) * x * a,
    ]
)


@settings(max_examples=15)
@given(bodies, bodies, reals, reals)
def test_linearity_substitution_and_differentiation_commute_with_doit(one, two, at_k, at_a):
    at = {k: at_k, a: at_a}
    node = GaussianAverage(one + 3 * two, x)
    value = node.doit()
    parts = GaussianAverage(one, x).doit() + 3 * GaussianAverage(two, x).doit()

    def same(u, v):
        assert abs((u - v).subs(at).evalf(25)) < 1e-18

    same(value, parts)
    same(node.subs(at).doit(), value.subs(at))
    same(node.diff(k).doit(), value.diff(k))
    same(node.diff(a, 2).doit(), value.diff(a, 2))


@pytest.mark.parametrize(
    "body", [x**3 * tanh(k * x), x * log_cosh(x + a), x**2 + k, x * (x + 1) * exp(-(x**4))], ids=str
)
def test_stein_keeps_the_value(body):
    node = GaussianAverage(body, x)
    for rewritten in (stein(node), node.by_parts()):
        assert rewritten != node
        assert float(rewritten.subs(POINT).evalf()) == pytest.approx(numerically(body, x), rel=1e-10)


def test_stein_in_one_of_several_variables():
    f = Function("f")
    node = GaussianAverage(x * y * f(k * x + y), x, y)
    assert stein(node, 1) == GaussianAverage(x * diff(f(k * x + y), y), x, y)
    assert stein(GaussianAverage(x * Heaviside(x - a), x)).doit() == exp(-(a**2) / 2) / sqrt(2 * pi)
    with pytest.raises(DeriveError):
        stein(node, 2)
    with pytest.raises(DeriveError):
        stein(x)


def test_the_heat_equation():
    """d/dq E f(a + sqrt(q) x) = E f'' / 2: direct differentiation and Stein's lemma reach it."""
    q = Symbol("q", positive=True)
    node = GaussianAverage(tanh(a + sqrt(q) * x), x)
    flowing = stein(node.diff(q))
    curved = GaussianAverage(tanh(a + sqrt(q) * x), x).diff(a, 2) / 2
    assert abs((flowing - curved).subs({a: Rational(1, 3), q: Rational(3, 4)}).evalf(20)) < 1e-18


def test_evaluation_to_many_digits():
    assert abs(GaussianAverage(cos(x), x).evalf(60) - exp(-S.Half).evalf(60)) < Rational(1, 10**58)
    assert GaussianAverage(tanh(k * x) ** 2, x).evalf(20) == GaussianAverage(tanh(k * x) ** 2, x)
    assert abs(GaussianAverage(log_cosh(k * x), x).evalf(subs={k: 1}) - 0.374567207491438) < 1e-14


def test_growth():
    assert growth(x**3 * tanh(x) * exp(a * x**2 + k * x), x) == a
    assert growth(1 / x, x) is None
    assert growth(log(1 + x**2), x) == 0
    assert growth(exp(x**3), x) is None


def test_signs():
    f = Function("f")
    assert GaussianAverage(exp(k * x), x).is_positive
    assert GaussianAverage(x**2, x).is_nonnegative
    assert GaussianAverage(tanh(x + k), x).is_real
    assert GaussianAverage(f(x), x).is_real is None
    assert GaussianAverage(Integer(0) * x, x) == 0
    assert oo not in GaussianAverage(x**2, x).atoms()
