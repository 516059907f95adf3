"""Averages over the Marchenko-Pastur law, for ratios below, at and above one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from sympy import Integer, Ne, Piecewise, Rational, Symbol, lambdify, log, sqrt

from derive.nodes import DivergentAverage, MarchenkoPastur, MPResponse, SpectralAverage
from derive.nodes.spectral_forms import moment, pole

c = Symbol("c", nonnegative=True)
b, t, r = (Symbol(n, positive=True) for n in ("b", "t", "r"))
k = Symbol("k", real=True)
POINT = {b: Rational(7, 3), t: Rational(2, 5), k: Rational(1, 2)}
RATIOS = [Rational(1, 50), Rational(1, 3), Integer(1), Rational(5, 2), Integer(40)]


def numerically(body, ratio):
    """The average by quadrature, c = lower + width sin^2(angle / 2), plus the atom at zero."""
    f, a = lambdify(c, body.subs(POINT), "numpy"), float(ratio)
    low, width = (1 - np.sqrt(a)) ** 2 / a, 4 / np.sqrt(a)

    def integrand(angle):
        bulk = low + width * np.sin(angle / 2) ** 2
        weight = a * (width * np.sin(angle) / 2) ** 2 / (2 * np.pi * bulk) if bulk > 0 else a * width / (2 * np.pi)
        return weight * f(bulk)

    value = quad(integrand, 0, np.pi, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    return value + (1 - a) * f(0.0) if a < 1 else value


CLOSED = [
    c**4 - 2 * c + k,
    c / (1 + b * c),
    c / (1 + b * c) ** 2,
    1 / (1 + b * c) ** 2,
    c**2 / (1 + b * c) ** 3,
    1 / (1 + b * c) ** 4,
    c**3 / (1 + b * c) ** 2,
    c / (c + t),
    c**2 / (c + t) ** 2,
    log(1 + c / t),
    log(c + t),
    1 / ((c + t) * (1 + b * c)),
    log((1 + b * c) / (c + t)),
    b * c**2 * (c + k) / (1 + b * c) ** 2,
    log(1 + b * c) + b * (c + k) / (1 + b * c),
    log((1 + b * c) ** 3 * (c + t)),
    (c**2 + 1) / (c + t) ** 2,
]


@pytest.mark.parametrize("body", CLOSED, ids=str)
def test_closed_forms_agree_with_quadrature(body):
    general = SpectralAverage(body, c, MarchenkoPastur(r)).doit()
    for ratio in RATIOS:
        expected = numerically(body, ratio)
        special = SpectralAverage(body, c, MarchenkoPastur(ratio)).doit().subs(POINT)
        assert not special.has(SpectralAverage)
        for value in (special, general.subs(POINT).subs(r, ratio)):
            assert float(value.evalf(20)) == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_moments_satisfy_their_recursion():
    """m_(k+1) = (1 - y) m_k + y sum_i m_i m_(k-i) with y = 1/ratio, from the law's quadratic equation."""
    m = [SpectralAverage(c**n, c, MarchenkoPastur(r)).doit() for n in range(9)]
    for n in range(8):
        convolution = sum(m[i] * m[n - i] for i in range(n + 1))
        assert (m[n + 1] - (1 - 1 / r) * m[n] - convolution / r).expand() == 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_inverse_moments(n):
    node = SpectralAverage(c**-n, c, MarchenkoPastur(r))
    assert node.convergence() == (r > 1)
    assert isinstance(node.doit(), Piecewise)
    for ratio in (Rational(5, 2), Integer(40)):
        assert float(node.subs(r, ratio).doit()) == pytest.approx(numerically(c**-n, ratio), rel=1e-8)
        assert float(node.doit().subs(r, ratio)) == pytest.approx(numerically(c**-n, ratio), rel=1e-8)
    for ratio in (Rational(1, 3), Integer(1)):
        with pytest.raises(DivergentAverage, match="above 1"):
            node.subs(r, ratio).doit()


def test_the_logarithm():
    node = SpectralAverage(log(c), c, MarchenkoPastur(r))
    assert node.convergence() == (r >= 1)
    assert node.subs(r, 1).doit() == -1
    assert node.doit().subs(r, 1) == -1
    assert float(node.subs(r, 3).doit()) == pytest.approx(numerically(log(c), 3), rel=1e-9)
    with pytest.raises(DivergentAverage, match="at least 1"):
        node.subs(r, Rational(1, 2)).doit()


def test_a_pole_at_zero_that_cancels():
    body = 1 / c - 1 / (c * (1 + b * c))
    assert SpectralAverage(body, c, MarchenkoPastur(Rational(1, 2))).doit() == b / (
        1 + b * MPResponse(b, Rational(1, 2))
    )


def test_coinciding_poles_are_excluded():
    node = SpectralAverage(1 / ((c + t) * (1 + b * c)), c, MarchenkoPastur(r))
    assert node.convergence() == Ne(b * t - 1, 0)
    merged = node.subs(t, 1 / b).doit()
    assert (merged - b * pole(0, 2, b, r)).simplify() == 0


def test_what_is_not_known_stays():
    node = SpectralAverage(sqrt(c) + 2 * c, c, MarchenkoPastur(r))
    assert node.doit() == 2 + SpectralAverage(sqrt(c), c, MarchenkoPastur(r))
    assert SpectralAverage(1 / (1 + c**2), c, MarchenkoPastur(r)).doit().has(SpectralAverage)
    assert float(SpectralAverage(sqrt(c), c, MarchenkoPastur(2)).evalf()) == pytest.approx(
        numerically(sqrt(c), 2), rel=1e-10
    )


positives = st.fractions(min_value=Rational(1, 50), max_value=50, max_denominator=50).map(
    lambda v: Rational(v.numerator, v.denominator)
)


@settings(max_examples=30)
@given(positives, positives)
def test_identities_of_the_response(at_b, ratio):
    """Normalisation and derivatives, exactly in terms of numbers to 30 digits."""
    at = {b: at_b, r: ratio}

    def value(body):
        return SpectralAverage(body, c, MarchenkoPastur(r)).doit().subs(at).evalf(40)

    V = MPResponse(b, r).subs(at).evalf(40)
    assert abs(value(b * c / (1 + b * c)) + value(1 / (1 + b * c)) - 1) < 1e-30
    assert abs(value(b * c / (1 + b * c)) - ratio * (1 - V)) < 1e-30
    assert abs(value(c / (1 + b * c) ** 2) + at_b * value(c**2 / (1 + b * c) ** 2) - value(c / (1 + b * c))) < 1e-30
    assert abs(value(1 / (1 + b * c) ** 3) + at_b * value(c / (1 + b * c) ** 3) - value(1 / (1 + b * c) ** 2)) < 1e-30
    shannon = SpectralAverage(log(1 + b * c), c, MarchenkoPastur(r))
    assert abs(shannon.doit().diff(b).subs(at).evalf(40) - value(c / (1 + b * c))) < 1e-30
    assert abs(shannon.diff(b).doit().subs(at).evalf(40) - value(c / (1 + b * c))) < 1e-30


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("body", [log(1 + b * c), c**3 / (1 + b * c)], ids=str)
def test_derivative_in_the_ratio(body, ratio):
    node = SpectralAverage(body, c, MarchenkoPastur(r))
    step = ratio / 10**8
    ahead, behind = (node.doit().subs(r, ratio + d).subs(POINT).evalf(40) for d in (step, -step))
    assert float(node.diff(r).subs(r, ratio).subs(POINT).evalf(20)) == pytest.approx(
        float((ahead - behind) / (2 * step)), rel=1e-10
    )


def test_moment_conditions():
    assert moment(0, r) == (1, True)
    assert moment(-1, r) == (r / (r - 1), r > 1)


def test_law():
    assert MarchenkoPastur(Rational(1, 4)).atom == Rational(3, 4)
    assert (MarchenkoPastur(4).lower, MarchenkoPastur(4).upper) == (Rational(1, 4), Rational(9, 4))
