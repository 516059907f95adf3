"""The ladder of identities: what is true is never refuted, what is false is never proved, conditions are kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Integer,
    Interval,
    LambertW,
    Max,
    Piecewise,
    Rational,
    Symbol,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    floor,
    gamma,
    log,
    oo,
    pi,
    polygamma,
    polylog,
    sign,
    sin,
    sinh,
    sqrt,
    sympify,
    tan,
    tanh,
)

from derive.core import Domain, Verdict
from derive.ledger.ladder import prove_identity
from derive.nodes import GaussianAverage

x, y = Symbol("x", real=True), Symbol("y", real=True)
p, q = Symbol("p", positive=True), Symbol("q", positive=True)
UNIT = Domain(((x, Interval.open(0, 1)),))
POSITIVE = Domain(((x, Interval.open(0, oo)),))
FAR = Integer(10) ** 40


def average(f: Expr) -> GaussianAverage:
    return GaussianAverage(f, y)


PROVED = {
    "polynomial": ((x + 1) ** 2, x**2 + 2 * x + 1, None),
    "erfc and erf": (erf(x) + erfc(x), 1, None),
    "log cosh": (log(cosh(x)), x + log(1 + exp(-2 * x)) - log(2), None),
    "tanh of twice": (tanh(2 * x), 2 * tanh(x) / (1 + tanh(x) ** 2), None),
    "inverse of tanh": (atanh(tanh(x)), x, None),
    "reflection of the dilogarithm": (
        polylog(2, x) + polylog(2, 1 - x), pi**2 / 6 - log(x) * log(1 - x), UNIT),
    "Landen": (polylog(2, -x) + polylog(2, x / (1 + x)), -log(1 + x) ** 2 / 2, Domain(((x, Interval.open(0, 5)),))),
    "nested roots": (sqrt(3 + 2 * sqrt(2)), 1 + sqrt(2), None),
    "log of a product of positives": (log(p * q), log(p) + log(q), None),
    "moduli": (Abs(x) * Abs(y), Abs(x * y), None),
    "asinh": (asinh(x), log(x + sqrt(x**2 + 1)), None),
    "acosh where it is real": (acosh(x), log(x + sqrt(x**2 - 1)), Domain(((x, Interval(1, oo)),))),
    "Pythagoras": (sin(x) ** 2 + cos(x) ** 2, 1, None),
    "atan of the inverse, on one side": (atan(x) + atan(1 / x), pi / 2, POSITIVE),
    "addition": (cosh(x + y), cosh(x) * cosh(y) + sinh(x) * sinh(y), None),
    "root of a square, on one side": (sqrt(x**2), x, Domain(((x, Interval(0, oo)),))),
    "averages merge": (average(tanh(x + y) ** 2), 1 - average(1 / cosh(x + y) ** 2), None),
    "a Gaussian integral where it converges": (
        average(exp(p * y**2)), 1 / sqrt(1 - 2 * p), Domain(((p, Interval.open(0, Rational(1, 2))),))),
}

TRUE_BUT_HARD = {
    "duplication": (gamma(p) * gamma(p + Rational(1, 2)), 2 ** (1 - 2 * p) * sqrt(pi) * gamma(2 * p), None),
    "recursion of gamma": (gamma(p + 1), p * gamma(p), None),
    "Machin": (16 * atan(Rational(1, 5)) - 4 * atan(Rational(1, 239)), pi, None),
    "positive parts": (Max(x, 0) + Max(-x, 0), Abs(x), None),
    "pieces": (Piecewise((x, x > 0), (-x, True)), Abs(x), None),
    "Lambert": (LambertW(p) * exp(LambertW(p)), p, None),
    "digamma": (polygamma(0, p + 1) - polygamma(0, p), 1 / p, None),
    "Stein": (average(y * tanh(x * y)), x * average(1 - tanh(x * y) ** 2), None),
    "Nishimori": (average(tanh(p**2 + p * y)), average(tanh(p**2 + p * y) ** 2), None),
}

FALSE = {
    "root of a square": (sqrt(x**2), x, None),
    "log of a product": (log(x * y), log(x) + log(y), Domain(((x, Interval(-5, 5)), (y, Interval(-5, 5))))),
    "modulus on the wrong side": (Abs(x - 3), x - 3, Domain(((x, Interval(0, oo)),))),
    "a window of a thousandth": (Max(x, Rational(1, 1000)), x, Domain(((x, Interval(0, oo)),))),
    "a corner far out": (Max(x, -99), x, Domain(((x, Interval(-100, oo)),))),
    "a step at fifty": (Heaviside(x - 50), 0, Domain(((x, Interval(0, oo)),))),
    "a jump of atan": (atan(x) + atan(1 / x), pi / 2, None),
    "an expansion taken for the function": (log(cosh(x)), x - log(2), Domain(((x, Interval(100, 200)),))),
    "exponentially small": (exp(-(p**2)), 0, Domain(((p, Interval.open(30, oo)),))),
    "Ramanujan's number": (exp(pi * sqrt(163)), 262537412640768744, None),
    "an average off by a little": (
        average(tanh(x + y) ** 2), 1 - average(1 / cosh(x + y) ** 2) + Rational(1, 10**25), None),
    "averages do not factorise": (average(tanh(x + y)), tanh(x), None),
}

#: true at every point that a search from the origin meets, and false beyond: no proof may be found
FALSE_FAR_OUT = {
    "modulus": (Abs(x - FAR), FAR - x),
    "root": (sqrt((x - FAR) ** 2), FAR - x),
    "root of a product": (sqrt(FAR - x) * sqrt(FAR - y), sqrt((FAR - x) * (FAR - y))),
    "sign": (sign(x - FAR), -1),
    "slope of the modulus": (Abs(x - FAR) / (x - FAR), -1),
    "a pole": (atan(x - FAR) + atan(1 / (x - FAR)), -pi / 2),
    "step": (Heaviside(x - FAR), 0),
    "maximum": (Max(x, FAR), FAR),
    "pieces": (Piecewise((x, x < FAR), (0, True)), x),
    "log": (log((x - FAR) ** 2) / 2, log(FAR - x)),
    "turns of asin": (asin(sin(x / FAR)), x / FAR),
    "turns of acos": (acos(cos(x / FAR)), Abs(x / FAR)),
    "turns of atan": (atan(tan(x / FAR)), x / FAR),
    "stairs": (floor(x / FAR) * (floor(x / FAR) + 1), 0),
}


@pytest.mark.parametrize("name", PROVED)
def test_a_true_identity_is_proved(name: str) -> None:
    lhs, rhs, domain = PROVED[name]
    found = prove_identity(sympify(lhs), sympify(rhs), domain)
    assert found.verdict is Verdict.PROVED, found.detail


@pytest.mark.parametrize("name", TRUE_BUT_HARD)
def test_a_true_identity_that_no_rung_reaches_is_corroborated(name: str) -> None:
    lhs, rhs, domain = TRUE_BUT_HARD[name]
    found = prove_identity(sympify(lhs), sympify(rhs), domain)
    assert found.verdict in (Verdict.PROVED, Verdict.CORROBORATED), found.detail


@pytest.mark.parametrize("name", FALSE)
def test_a_false_identity_is_refuted_at_a_point(name: str) -> None:
    lhs, rhs, domain = FALSE[name]
    found = prove_identity(sympify(lhs), sympify(rhs), domain)
    assert found.verdict is Verdict.REFUTED, found.detail
    assert "lhs - rhs" in dict(found.witness)


@pytest.mark.parametrize("name", FALSE_FAR_OUT)
def test_what_fails_out_of_sight_is_never_proved(name: str) -> None:
    lhs, rhs = FALSE_FAR_OUT[name]
    found = prove_identity(sympify(lhs), sympify(rhs), None, seconds=3.0)
    assert found.verdict is not Verdict.PROVED, found.detail


@pytest.mark.parametrize("name", [n for n in PROVED if n != "nested roots"])
@pytest.mark.parametrize("digits", [12, 40, 200])
def test_a_small_factor_is_seen(name: str, digits: int) -> None:
    lhs, rhs, domain = PROVED[name]
    if sympify(lhs).has(GaussianAverage) and digits > 40:
        pytest.skip("enclosures of averages stop at some sixty digits")
    found = prove_identity(sympify(lhs), sympify(rhs) * (1 + Rational(1, 10**digits)), domain)
    assert found.verdict is Verdict.REFUTED, found.detail


def test_the_condition_of_a_closed_form_is_kept() -> None:
    """A Gaussian integral that diverges on part of the domain is not what its closed form says there."""
    found = prove_identity(average(exp(p * y**2)), 1 / sqrt(1 - 2 * p), None, seconds=1.0)
    assert found.verdict is Verdict.REFUTED
    assert "diverges" in found.detail
    assert float(Rational(dict(found.witness)["p"])) >= 0.5


LEAVES = st.sampled_from([x, p, Integer(2), Rational(1, 3)])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a: tanh(a), inner),
        st.builds(lambda a: exp(-(a**2)), inner),
        st.builds(lambda a: sqrt(1 + a**2), inner),
        st.builds(lambda a: log(1 + a**2), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(TREES, st.sampled_from([Rational(1, 10**15), Rational(-1, 7), Integer(1)]))
def test_an_expression_equals_its_expansion_and_nothing_else(e: Expr, shift: Rational) -> None:
    other = (e**2).expand()
    assert prove_identity(e * e, other).verdict in (Verdict.PROVED, Verdict.CORROBORATED)
    assert prove_identity(e * e, other + shift).verdict is Verdict.REFUTED


def test_a_claim_about_unknown_functions_is_refuted_by_values_they_may_take() -> None:
    """From lam = alpha + zeta(lam) does not follow lam = lam + zeta(lam): zeta is free there."""
    from sympy import Derivative, Eq, Function

    zeta, lam, alpha = Function("zeta"), Symbol("lambda", positive=True), Symbol("alpha", positive=True)
    premise = Eq(lam, alpha + zeta(lam), evaluate=False)
    wrong = prove_identity(lam, lam + zeta(lam), None, [premise])
    assert wrong.verdict is Verdict.REFUTED, wrong.detail
    assert prove_identity(zeta(lam), lam - alpha, None, [premise]).verdict is Verdict.PROVED
    slope = Eq(lam * Derivative(zeta(lam), lam), lam, evaluate=False)
    assert prove_identity(2 * Derivative(zeta(lam), lam), 1, None, [slope]).verdict is Verdict.REFUTED
    assert prove_identity(Derivative(zeta(lam), lam), 1, None, [slope]).verdict is Verdict.PROVED


def test_nothing_is_concluded_about_functions_that_a_relation_binds() -> None:
    from sympy import Eq, Function

    zeta, lam, alpha = Function("zeta"), Symbol("lambda", positive=True), Symbol("alpha", positive=True)
    given = [Eq(lam, alpha + zeta(lam), evaluate=False), zeta(lam) > lam]
    assert prove_identity(lam, lam + zeta(lam), None, given).verdict is not Verdict.PROVED
