"""Limits of plain expressions: shapes on which computer algebra is silently wrong, and random ones against mpmath."""

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import E, Rational, erf, erfc, exp, log, oo, pi, sqrt

from derive.core import Verdict
from derive.methods.scaling import limit_of
from derive.nodes import erfcx, log_cosh, log_erfc, log_sum_exp, softplus

X = sp.Symbol("x", positive=True)
A, B = sp.symbols("a b", positive=True)

#: expression, limit as x -> oo
KNOWN = [
    (exp(X**2) * erfc(X) * X, 1 / sqrt(pi)),
    (X * erfcx(X), 1 / sqrt(pi)),
    (log_erfc(X) + X**2 + log(X), -log(pi) / 2),
    (log(erfc(X)) / X**2, -1),
    (2 * erf(X), 2),
    (exp(X**2 + X) * erfc(X + Rational(1, 2)) * X, exp(-Rational(1, 4)) / sqrt(pi)),
    (erfc(X) * exp(X) * X**5, 0),
    (log_cosh(X) - X, -log(2)),
    (softplus(X) - X, 0),
    (exp(X) * (softplus(X) - X), 1),
    (log_sum_exp(2 * X, X) - 2 * X, 0),
    (log(exp(3 * X) + X * exp(2 * X)) - 3 * X, 0),
    ((1 + 1 / X) ** X, E),
    (X ** (1 / X), 1),
    (exp(sqrt(X + 1)) / exp(sqrt(X)), 1),
    (sqrt(X) * (sqrt(X + 1) - sqrt(X)), Rational(1, 2)),
    (log(X + log(X)) - log(X), 0),
    (exp(-X) * exp(exp(-X)) * exp(X), 1),
    (exp(exp(X)) / exp(exp(X - exp(-exp(X)))), 1),
    ((exp(X) + exp(-X)) / (exp(X) - exp(-X)), 1),
    (X**2 * (1 - sp.tanh(X)) * exp(X), 0),
    (log(2 * sp.cosh(X)) / X, 1),
]


@pytest.mark.parametrize(("expr", "value"), KNOWN, ids=[str(e) for e, _ in KNOWN])
def test_limits_that_are_known(expr, value):
    found = limit_of(expr, X, oo)
    assert found.verdict.sound, found
    assert sp.simplify(found.limit - value) == 0


def test_a_competition_of_exponentials_is_split_into_cases():
    """sympy#22893: SymPy answers oo for all positive a and b."""
    found = limit_of((A * exp(-A * X) + B * exp(-B * X)) * exp(B * X), X, oo)
    assert [(set(c.assumptions), c.limit) for c in found.cases] == [
        ({A < B}, oo), ({sp.Eq(A, B)}, 2 * B), ({A > B}, B)
    ]
    assert found.verdict is Verdict.CORROBORATED
    assert found.limit is None


@pytest.mark.parametrize(("where", "limit"), [(A < B, oo), (A > B, B)])
def test_an_assumption_settles_the_competition(where, limit):
    found = limit_of((A * exp(-A * X) + B * exp(-B * X)) * exp(B * X), X, oo, where=(where,))
    assert (found.limit, found.cases) == (limit, ())


def test_parameters_that_are_not_in_competition_need_no_cases():
    found = limit_of(log(exp(A * X) + exp((A + B) * X)) / X, X, oo)
    assert (found.limit, found.verdict) == (A + B, Verdict.CORROBORATED)


def test_the_free_entropy_of_two_levels_is_the_larger_one():
    found = limit_of(log(exp(A * X) + exp(B * X)) / X, X, oo)
    assert [c.limit for c in found.cases] == [B, B, A]


def test_exponentials_behind_a_power_series_are_named():
    found = limit_of(1 / (1 - 1 / X) + exp(-X), X, oo, order=2)
    assert found.remainder == X**-3
    assert (found.exponential.coefficient, found.exponential.scale) == (1, exp(-X))


def test_a_limit_from_either_side():
    x = sp.Symbol("x", real=True)
    assert limit_of(exp(1 / x), x, 0).limit is oo
    assert limit_of(exp(1 / x), x, 0, direction="-").limit == 0


@pytest.mark.parametrize("expr", [sp.sin(X), X * sp.cos(X), sp.zeta(X) * exp(X)])
def test_what_has_no_limit_or_is_not_known_is_undecided(expr):
    found = limit_of(expr, X, oo)
    assert (found.verdict, found.limit) == (Verdict.UNDECIDED, None)
    assert found.reason


def test_cancellation_to_all_orders_is_undecided_not_wrong():
    """The difference is exp(-x), below every power: a truncated series cannot see it."""
    found = limit_of(exp(X) * (exp(1 / X + exp(-X)) - exp(1 / X)), X, oo)
    assert found.verdict is Verdict.UNDECIDED or found.limit == 1


def test_the_time_box_holds():
    tower = exp(exp(X) + exp(-X) + log(X)) * sum((exp(-k * A * X) for k in range(1, 12)), sp.Integer(0))
    found = limit_of(tower ** Rational(7, 3), X, oo, seconds=1e-3)
    assert found.verdict is Verdict.UNDECIDED
    assert "within 0.001 s" in found.reason


rates = st.fractions(min_value=-4, max_value=4, max_denominator=6)
weights = st.fractions(min_value=Rational(1, 4), max_value=4, max_denominator=4)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(weights, rates), min_size=2, max_size=4), st.integers(-2, 2))
def test_random_sums_of_exponentials(terms, power):
    """log of the sum, with a power in front, against its value at x = 400 to 50 digits."""
    levels = [Rational(r.numerator, r.denominator) for _, r in terms]
    body = sum((Rational(w.numerator, w.denominator) * exp(r * X) for (w, _), r in zip(terms, levels, strict=True)), 0)
    found = limit_of(X**power * body, X, oo, order=1, of="log")
    assert found.verdict.sound, found
    with mpmath.workdps(50):
        parts = (mpmath.mpf(w.numerator) / w.denominator * mpmath.exp(mpmath.mpf(r.p) / r.q * 400)
                 for (w, _), r in zip(terms, levels, strict=True))
        value = power * mpmath.log(400) + mpmath.log(sum(parts))
        gap = abs(value - mpmath.mpf(sp.N(found.expr.subs(X, 400), 50)))
        assert gap < mpmath.exp(-2 * mpmath.mpf(400) / 36)  # rates differ by 1/30 at least, and one correction is kept


@settings(max_examples=6, deadline=None)
@given(weights, weights, weights)
def test_erfc_against_a_gaussian(p, q, r):
    """exp(p x^2 + q x) erfc(r x): the order of p and r^2 decides, and the ratio decides on equality."""
    p, q, r = (Rational(k.numerator, k.denominator) for k in (p, q, r))
    found = limit_of(exp(p * X**2 - q * X) * erfc(r * X), X, oo)
    assert found.verdict.sound
    assert found.limit == (oo if p > r**2 else 0)
