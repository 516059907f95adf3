"""What follows from premises together, from their averages done, and from functions that take no value twice."""

from __future__ import annotations

import pytest
from sympy import (
    Derivative,
    Eq,
    Function,
    Ge,
    Gt,
    Heaviside,
    Interval,
    Lt,
    Rational,
    Rel,
    Symbol,
    atanh,
    erf,
    log,
    sign,
    sqrt,
    tanh,
)

from derive.core import Domain, Step, Verdict
from derive.ledger import Derivation
from derive.nodes import GaussianAverage

x, y, h, z = (Symbol(k, real=True) for k in "xyhz")
a, beta, D, J = (Symbol(k, positive=True) for k in ("a", "beta", "D", "J"))
m, p, q = (Symbol(k, real=True) for k in "mpq")
F = Function("F", real=True)
DOMAIN = Domain(((m, Interval.open(-1, 1)), (p, Interval.open(0, 1)), (q, Interval.open(0, 1))))


def verdict(claim: Rel, rule: str, *given: Rel) -> Verdict:
    ground = tuple(Step(f"p{k}", g, "definition", (), DOMAIN) for k, g in enumerate(given))
    steps = (*ground, Step("s", claim, rule, tuple(g.label for g in ground), DOMAIN))
    return Derivation("premises", "Premises", steps).check()["s"].verdict


SLOPE = -3*beta**2*q**2/4 + q/(2*(1 - q)**2)


@pytest.mark.parametrize(("claim", "expected"), [
    (Eq(SLOPE, 0), Verdict.PROVED), (Eq(SLOPE + q/(1 - q)**2, 0), Verdict.REFUTED),
])
def test_two_premises_about_one_slope(claim: Rel, expected: Verdict) -> None:
    """The saddle of the spherical p-spin at p = 3."""
    slope = Derivative(F(q), q)
    assert verdict(claim, "identity", Eq(slope, 0), Eq(slope, SLOPE)) is expected


@pytest.mark.parametrize(("claim", "expected"), [
    (Eq(atanh(m), beta*m + h), Verdict.PROVED), (Eq(log((1 + m)/(1 - m))/2, beta*m + h), Verdict.PROVED),
    (Eq(atanh(m), beta*m - h), Verdict.REFUTED),
])
def test_the_inverse_of_tanh_is_taken_of_both_sides(claim: Rel, expected: Verdict) -> None:
    assert verdict(claim, "rearrange", Eq(m, tanh(beta*m + h))) is expected


def test_atanh_outside_its_real_range_is_not_taken() -> None:
    assert verdict(Eq(atanh(x), atanh(y), evaluate=False), "rearrange", Eq(x, y)) is not Verdict.REFUTED
    assert verdict(Eq(atanh(x), y), "rearrange", Eq(x, tanh(y))) is Verdict.PROVED
    assert verdict(Eq(atanh(x), y), "rearrange", Eq(x, tanh(2*y))) is Verdict.REFUTED


@pytest.mark.parametrize(("value", "expected"), [
    (2, Verdict.PROVED), (2 + Rational(1, 10**12), Verdict.REFUTED),
])
def test_an_equation_with_an_average_is_solved(value: int, expected: Verdict) -> None:
    """Gardner's capacity at zero stability."""
    load = Eq(a*GaussianAverage(z**2*Heaviside(z), z), 1, evaluate=False)
    assert verdict(Eq(a, value), "solve", load) is expected


@pytest.mark.parametrize(("width", "expected"), [(sqrt(2*D), Verdict.PROVED), (sqrt(D), Verdict.REFUTED)])
def test_a_premise_whose_average_can_be_done(width: Rel, expected: Verdict) -> None:
    """The random field Ising model at zero temperature."""
    state = Eq(m, GaussianAverage(sign(J*m + sqrt(D)*z), z))
    assert verdict(Eq(m, erf(J*m/width)), "evaluate", state) is expected


ENTROPY = -p*log(p) - (1 - p)*log(1 - p)


@pytest.mark.parametrize(("claim", "expected"), [
    (Gt(ENTROPY, 0), Verdict.PROVED), (Gt(ENTROPY, Rational(1, 10)), Verdict.REFUTED),
    (Lt(ENTROPY, log(2)), Verdict.REFUTED),
    (Ge(m**2*(1 - m)*(1 + m)**3, 0), Verdict.PROVED), (Lt(q*(1 - q)**2, Rational(4, 27)), Verdict.REFUTED),
    (Gt((2*q - 1)**2, 0), Verdict.REFUTED),
])
def test_strict_inequalities_of_entropies_and_maxima(claim: Rel, expected: Verdict) -> None:
    assert verdict(claim, "positivity") is expected
