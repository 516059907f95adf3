"""Legendre transforms: identities, explicit forms chosen by property, numbers by the generated solver."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import (
    Abs,
    Eq,
    Function,
    Integer,
    Interval,
    Rational,
    S,
    Symbol,
    cosh,
    exp,
    log,
    oo,
    sin,
    sqrt,
)

from derive.core import DeriveError, Problem, Verdict
from derive.ledger import Derivation
from derive.ledger.derivation import check_step
from derive.methods import legendre_transform
from derive.nodes import log_cosh, softplus
from derive.solvers import compile_numpy

x = Symbol("x", real=True)
p = Symbol("p", real=True)
y = Symbol("y", positive=True)
k = Symbol("k", positive=True)
zeta = Function("zeta")
UNIT = Interval.open(-1, 1)

#: function, variable, domain, range of slopes, conjugate
PAIRS = {
    "derrida": (x**2 / 4, x, None, Interval(-oo, oo), p**2),
    "shifted": (k * x**2 / 2 + x, x, None, Interval(-oo, oo), (p - 1) ** 2 / (2 * k)),
    "exponential": (exp(x), x, None, Interval.open(0, oo), p * log(p) - p),
    "entropy": (y * log(y), y, None, Interval(-oo, oo), exp(p - 1)),
    "logarithm": (-log(y), y, None, Interval.open(-oo, 0), -1 - log(-p)),
    "spins": (log_cosh(x), x, None, UNIT, (1 + p) * log(1 + p) / 2 + (1 - p) * log(1 - p) / 2),
    "plain spins": (log(cosh(x)), x, None, UNIT, (1 + p) * log(1 + p) / 2 + (1 - p) * log(1 - p) / 2),
    "bits": (softplus(x), x, None, Interval.open(0, 1), p * log(p) + (1 - p) * log(1 - p)),
    "hyperbola": (sqrt(1 + x**2), x, None, UNIT, -sqrt(1 - p**2)),
    "circle": (-sqrt(1 - x**2), x, UNIT, Interval(-oo, oo), sqrt(1 + p**2)),
    "cubic on the half line": (x**3, x, Interval.open(0, oo), Interval.open(0, oo), 2 * (p / 3) ** Rational(3, 2)),
}


@cache
def made(name):
    f, variable, domain, *_ = PAIRS[name]
    return legendre_transform(f, variable, p, domain)


def interior(interval, part):
    """A rational point inside an interval, part in (0, 1)."""
    low, high = interval.start, interval.end
    if low.is_finite and high.is_finite:
        return low + (high - low) * part
    if low.is_finite:
        return low + part / (1 - part)
    return high - part / (1 - part) if high.is_finite else (2 * part - 1) / (part * (1 - part))


parts = st.integers(1, 99).map(lambda n: Rational(n, 100))


@pytest.mark.parametrize("name", PAIRS)
def test_known_pairs(name):
    *_, slopes, conjugate = PAIRS[name]
    transform = made(name)
    assert transform.slopes == slopes
    for part in (Rational(1, 7), Rational(1, 2), Rational(11, 13)):
        at = {p: interior(slopes, part), k: Rational(3, 2)}
        assert abs((transform.explicit - conjugate).subs(at).evalf(30)) < 1e-25


@pytest.mark.parametrize("name", PAIRS)
def test_every_step_is_proved(name):
    ledger = made(name).derivation().check()
    assert ledger.exceptions == {}
    assert ledger.verdict is Verdict.PROVED
    assert {"legendre-value", "legendre-young", "legendre-explicit-value"} <= set(ledger)


def test_a_function_that_nobody_knows():
    transform = legendre_transform(zeta(y), y, p)
    ledger = transform.derivation().check()
    assert ledger.verdict is Verdict.PROVED
    assert ledger["legendre-convex"].verdict is Verdict.ASSUMED
    assert ledger["legendre-value"].verdict is Verdict.PROVED
    assert ledger["legendre-young"].verdict is Verdict.PROVED
    assert transform.slopes is None
    assert transform.explicit is None
    assert transform.value == y * zeta(y).diff(y) - zeta(y)
    particular = transform.value.subs(zeta(y), y**2 / 2).doit()
    assert particular == legendre_transform(y**2 / 2, y, p).value


BROKEN = {
    "legendre-value": lambda e: Eq(e.lhs, e.rhs + 1),
    "legendre-slope": lambda e: Eq(e.lhs, 2 * e.rhs),
    "legendre-involution": lambda e: Eq(e.lhs, -e.rhs),
    "legendre-curvature": lambda e: Eq(e.lhs, e.rhs + 1),
    "legendre-explicit": lambda e: Eq(e.lhs, e.rhs + p),
    "legendre-explicit-slope": lambda e: Eq(e.lhs, -e.rhs),
}


@pytest.mark.parametrize("label", BROKEN)
def test_a_broken_step_is_refuted_with_a_counterexample(label):
    whole = made("spins").derivation()
    steps = tuple(replace(s, claim=BROKEN[label](s.claim)) if s.label == label else s for s in whole)
    found = check_step(Derivation("broken", "", steps), label)
    assert found.verdict is Verdict.REFUTED, found
    assert found.witness


def test_a_function_that_is_not_convex_where_it_could_not_be_decided_is_refuted():
    convex_for_some = legendre_transform(y**k, y, p)
    assert check_step(convex_for_some.derivation(), "legendre-convex").verdict is Verdict.REFUTED


@pytest.mark.parametrize("name", ["derrida", "exponential", "entropy", "spins", "bits", "hyperbola", "circle"])
def test_the_conjugate_of_the_conjugate(name):
    f, variable, *_ = PAIRS[name]
    transform = made(name)
    back = transform.conjugate().conjugate()
    assert back.variable == variable
    assert back.domain == transform.domain
    for part in (Rational(2, 9), Rational(3, 5)):
        place = interior(transform.domain, part)
        assert abs((back.function - f).subs(variable, place).evalf(30)) < 1e-25


@given(st.sampled_from(sorted(PAIRS)), parts, parts)
def test_fenchel_and_young(name, first, second):
    transform = made(name)
    places = [interior(transform.domain, part) for part in (first, second)]
    gap = transform.gap(*places).subs(k, Rational(3, 2)).evalf(40)
    assert gap >= -1e-30
    assert (abs(gap) < 1e-30) == (first == second)


@given(st.sampled_from(sorted(PAIRS)), parts)
def test_parametric_and_explicit_form(name, part):
    transform = made(name)
    place = interior(transform.domain, part)
    slope, value = (e.subs(k, Rational(3, 2)) for e in transform.at(place))
    explicit, inverse = (e.subs(k, Rational(3, 2)).subs(p, slope) for e in (transform.explicit, transform.inverse))
    assert abs((explicit - value).evalf(30)) < 1e-20
    assert abs((inverse - place).evalf(30)) < 1e-20


def test_a_branch_is_taken_by_its_property():
    lower_half = legendre_transform(x**2 * (x**2 + 1), x, p, Interval.open(-oo, 0))
    upper_half = legendre_transform(x**2 * (x**2 + 1), x, p, Interval.open(0, oo))
    for transform, sign in ((lower_half, -1), (upper_half, 1)):
        if transform.inverse is not None:
            slope = transform.at(Integer(sign))[0]
            assert abs(transform.inverse.subs(p, slope).evalf(30) - sign) < 1e-20
    assert legendre_transform(x**2, x, p, Interval.open(-oo, 0)).slopes == Interval.open(-oo, 0)


def test_the_supremum_is_the_definition():
    transform = made("derrida")
    assert transform.supremum.doit() == transform.explicit


# ---- numbers


@pytest.mark.parametrize("name", ["derrida", "exponential", "entropy", "spins", "bits", "hyperbola"])
def test_the_generated_solver(name):
    transform = made(name)
    problem = transform.problem()
    assert isinstance(problem, Problem)
    slopes = [interior(transform.slopes, Rational(n, 20)) for n in range(1, 20)]
    found = compile_numpy(problem)(p=np.array([float(s) for s in slopes]))
    assert found.converged.all()
    expected = [float(transform.explicit.subs(p, s).evalf(20)) for s in slopes]
    np.testing.assert_allclose(found.value, expected, rtol=1e-11, atol=1e-13)


def test_where_the_inverse_is_not_explicit():
    found = compile_numpy(legendre_transform(x**4 / 4 + exp(x), x, p).problem())(p=np.array([-2.0, 0.5, 30.0]))
    place = found.outputs["x"]
    np.testing.assert_allclose(place**3 + np.exp(place), [-2.0, 0.5, 30.0], rtol=1e-10)
    np.testing.assert_allclose(found.value, place * [-2.0, 0.5, 30.0] - place**4 / 4 - np.exp(place), rtol=1e-10)


def test_a_closed_interval_gives_its_ends_beyond_the_slopes():
    found = compile_numpy(legendre_transform(x**2 / 2, x, p, Interval(-1, 1)).problem())(p=np.array([-3.0, 0.5, 3.0]))
    np.testing.assert_allclose(found.value, [2.5, 0.125, 2.5], rtol=1e-12)


# ---- bad input


@pytest.mark.parametrize(
    ("f", "variable", "domain", "words"),
    [
        (x**3, x, None, "-6.00000 at x = -1"),
        (sin(x), x, None, "second derivative"),
        (3 * x + 1, x, None, "affine"),
        (k * x, x, None, "affine"),
        (-k * x**2, x, None, "negative"),
        (Abs(x), x, None, "vanishes"),
        (x**4 / 12 - x**2 / 2, x, None, "at x = 0"),
        (x**4 - x**2 / 10**6, x, None, "second derivative"),
        (log(x), x, None, "not a real number"),
        (log(y), y, None, "negative"),
        (y**2, x, None, "does not depend on x"),
        (x**2, x, Interval(1, 1), "interval"),
        (x**2, x, S.EmptySet, "interval"),
        (x**2 + p, x, None, "cannot name the slope"),
        (x**2, x**2, None, "variable"),
        ("x**2", x, None, "SymPy expression"),
    ],
)
def test_one_line_for_each_mistake(f, variable, domain, words):
    with pytest.raises(DeriveError) as caught:
        legendre_transform(f, variable, p, domain)
    message = str(caught.value)
    assert words in f"{message} {caught.value.allowed}"
    assert "\n" not in message
    assert caught.value.given


def test_no_explicit_form_and_no_numbers():
    for call in (
        lambda: legendre_transform(zeta(x), x, p).problem(),
        lambda: legendre_transform(x**4 / 4 + exp(x), x, p).conjugate(),
    ):
        with pytest.raises(DeriveError):
            call()
