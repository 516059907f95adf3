"""Laplace transforms of bounded laws in balls: closed forms, wide balls, branches of the logarithm, laws with noise."""

import mpmath
import pytest
from flint import acb, arb
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Rational, S, Symbol, exp, oo, pi, sqrt

from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.transforms import Transform, applies, transform_of
from derive.nodes.averages import LogAverageExp, MeasureAverage, TiltedAverage
from derive.nodes.laws import Density, Noisy

X, Y, V = Symbol("x", real=True), Symbol("y", real=True), Symbol("v", positive=True)
UNIFORM = Density(S.Half, X, -1, 1)
ARCSINE = Density(1 / (pi * sqrt(1 - X**2)), X, -1, 1)
SEMICIRCLE = Density(2 * sqrt(1 - X**2) / pi, X, -1, 1)
TRIANGLE = Density(1 - Abs(X), X, -1, 1)
SKEW = Density(Rational(3, 2) * sqrt(X), X, 0, 1)
CLOSED = {
    UNIFORM: lambda s: mpmath.sinh(s) / s,
    ARCSINE: lambda s: mpmath.besseli(0, s),
    SEMICIRCLE: lambda s: 2 * mpmath.besseli(1, s) / s,
    TRIANGLE: lambda s: 2 * (mpmath.cosh(s) - 1) / s**2,
    SKEW: lambda s: mpmath.hyp1f1(1.5, 2.5, s),
}
LAWS = list(CLOSED)


def log_of(transform: Transform, s: object) -> object:
    """log M(s) as what is known of it says."""
    found = transform.tilted(s, 0)
    return s * found.c - transform.b * found.c**2 / 2 + found.level  # type: ignore[operator]


def holds(ball: object, value: object, digits: int) -> bool:
    """Whether a ball contains a number known to so many digits."""
    z = acb(ball) - acb(arb(mpmath.nstr(mpmath.re(value), digits)), arb(mpmath.nstr(mpmath.im(value), digits)))
    margin = arb(0, 10.0 ** (1 - digits) * (float(abs(mpmath.mpc(value))) + 1))
    return bool((z + acb(margin, margin)).contains(0))


@pytest.mark.parametrize("law", LAWS, ids=str)
@given(st.floats(-300, 300).filter(lambda s: abs(s) > 1e-3))
@settings(max_examples=15, deadline=None)
def test_closed_forms(law: Density, s: float) -> None:
    with precision(200), mpmath.workdps(60):
        ball = log_of(transform_of(law, arb(0), 128, 0), arb(s))
        assert ball.rad() < 1e-30
        assert holds(ball, mpmath.log(CLOSED[law](mpmath.mpf(s))), 50)


@given(st.floats(0.01, 30), st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_with_a_gaussian_factor(b: float, at: float) -> None:
    """int exp(-b y^2/2 + s y) dy over -1 .. 1 in error functions."""
    with precision(200), mpmath.workdps(80):
        s, root = mpmath.mpf(b) * mpmath.mpf(at), mpmath.sqrt(mpmath.mpf(b) / 2)
        ball = log_of(transform_of(UNIFORM, arb(b), 128, 0), arb(b) * arb(at))
        low, high = root * (-1 - mpmath.mpf(at)), root * (1 - mpmath.mpf(at))
        with mpmath.workdps(80 + int(max(abs(low), abs(high)) ** 2)):
            mass = mpmath.erfc(low) - mpmath.erfc(high) if low > 0 else mpmath.erf(high) - mpmath.erf(low)
            if high < 0:
                mass = mpmath.erfc(-high) - mpmath.erfc(-low)
            value = mpmath.log(mass * mpmath.sqrt(mpmath.pi) / root / 4) + s * s / (2 * b)
        assert ball.rad() < 1e-28 * (1 + abs(float(value)))
        assert holds(ball, value, 50)


@pytest.mark.parametrize("law", [UNIFORM, SKEW], ids=str)
@given(st.floats(-20, 20), st.floats(-2, 2), st.floats(1e-12, 0.3), st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_wide_balls_hold_what_is_inside(law: Density, re: float, im: float, rad: float, u: float, v: float) -> None:
    transform = transform_of(law, arb(1), 96, 2)
    with precision(128):
        wide = transform.tilted(acb(arb(re, rad), arb(im, rad)), 2)
        point = transform.tilted(acb(arb(re) + arb(u) * arb(rad), arb(im) + arb(v) * arb(rad)), 2)
        wide_center, center = wide.c + wide.shift, point.c + point.shift
        if wide.means[1].is_finite() and point.means[1].is_finite():
            assert (wide.means[1] + wide_center).overlaps(point.means[1] + center)
        if wide.c == point.c:
            assert wide.total.overlaps(point.total)
            if wide.level.is_finite() and point.level.is_finite():
                assert wide.level.overlaps(point.level)


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("at", [0.5, 4.0, -9.0])
def test_the_logarithm_continues_that_of_the_real_line(law: Density, at: float) -> None:
    transform, seen = transform_of(law, arb(0), 96, 0), 0
    with precision(128), mpmath.workdps(30):
        before = mpmath.log(CLOSED[law](mpmath.mpf(at)))
        for k in range(1, 120):
            z = mpmath.mpc(at, k / 16)
            value = CLOSED[law](z)
            turn = mpmath.im(mpmath.log(value / mpmath.exp(before)))
            before = mpmath.mpc(mpmath.log(abs(value)), mpmath.im(before) + turn)
            ball = log_of(transform, acb(arb(at), arb(k) / 16))
            if ball.is_finite():
                seen += 1
                assert holds(ball, before, 20)
    assert seen >= 10


def test_laws_that_have_none() -> None:
    assert not applies(Density(exp(-X), X, 0, oo))
    assert not applies(Density(Abs(X**2 - S.Half), X, -1, 1))
    assert not applies(Density(V / 2, X, -1 / V, 1 / V))
    with pytest.raises(NotEnclosed):
        Transform(UNIFORM, arb(-1), 64, 0)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_moments_of_a_law_with_noise(law: Density) -> None:
    square = enclose(MeasureAverage(Y**2, Y, law), {}, 128)
    noisy = enclose(MeasureAverage(Y**2, Y, Noisy(law, Rational(1, 3))), {}, 128)
    with precision(128):
        assert noisy.rad() < 1e-30
        assert noisy.overlaps(square + arb(1) / 3)


@pytest.mark.parametrize("law", [UNIFORM, SKEW], ids=str)
def test_nested_averages_one_inside_the_other(law: Density) -> None:
    """The integral over the law and the noise, one after the other, of what is tilted by hand."""
    tilt, free = -((X - Y) ** 2), Noisy(law, Rational(1, 2))
    found = enclose(MeasureAverage(TiltedAverage(X, tilt, X, law) ** 2, Y, free), {}, 128)
    assert found.rad() < 1e-30
    with mpmath.workdps(20):
        density = {UNIFORM: lambda x: 0.5, SKEW: lambda x: 1.5 * mpmath.sqrt(x)}[law]
        low, high = float(law.lower), float(law.upper)

        def inside(y: mpmath.mpf) -> mpmath.mpf:
            top = mpmath.quad(lambda x: density(x) * x * mpmath.exp(-((x - y) ** 2)), [low, high])
            bottom = mpmath.quad(lambda x: density(x) * mpmath.exp(-((x - y) ** 2)), [low, high])
            return top**2 / bottom / mpmath.sqrt(mpmath.pi)

        value = mpmath.quad(inside, [-6, -2, 0, 1, 3, 7])
    assert abs(float(found) - float(value)) < 1e-9


def test_an_average_that_a_transform_does_not_reach_is_integrated() -> None:
    wide = LogAverageExp(X**3 * Y, X, UNIFORM)
    value = enclose(wide, {Y: Rational(1, 2)}, 96)
    with mpmath.workdps(30):
        expected = mpmath.log(mpmath.quad(lambda x: mpmath.exp(x**3 / 2) / 2, [-1, 1]))
        assert holds(value, expected, 25)
