"""The overflow-safe functions against their elementary forms, at points where those still work, and beyond."""

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Float, Rational, S, Symbol, cosh, erfc, exp, latex, log, oo, sqrt

from derive.core import DeriveError
from derive.nodes import MPResponse, erfcx, log1mexp, log_cosh, log_erfc, log_sum_exp, softplus

x = Symbol("x", real=True)
p, q = Symbol("p", positive=True), Symbol("q", positive=True)

ELEMENTARY = {
    log_cosh: lambda v: log(cosh(v)),
    log_erfc: lambda v: log(erfc(v)),
    erfcx: lambda v: exp(v**2) * erfc(v),
    softplus: lambda v: log(1 + exp(v)),
    log1mexp: lambda v: log(1 - exp(-v)),
}
POINTS = [Rational(n, 7) for n in (-40, -9, -1, 1, 2, 16, 60)] + [Rational(1, 10**12), S(12)]


def exact(v):
    return Rational(v.numerator, v.denominator)


rationals = st.fractions(min_value=-30, max_value=30, max_denominator=10**6).map(exact)
positives = st.fractions(min_value=Rational(1, 1000), max_value=1000, max_denominator=1000).map(exact)


def close(one, two, digits):
    return abs(one - two) <= abs(two) * Float(10, 20) ** (-digits)


@pytest.mark.parametrize(
    ("function", "point"), [(f, v) for f in ELEMENTARY for v in POINTS if v > 0 or f is not log1mexp]
)
@pytest.mark.parametrize("digits", [15, 60])
def test_values_agree_with_the_elementary_form(function, point, digits):
    assert close(function(point).evalf(digits), ELEMENTARY[function](point).evalf(digits + 10, maxn=2000), digits - 2)


@pytest.mark.parametrize("function", ELEMENTARY)
def test_rewriting_and_derivative(function):
    argument = p if function is log1mexp else x
    plain = ELEMENTARY[function](argument)
    assert function(argument).rewrite(log) == plain
    at = Rational(3, 5)
    slopes = [e.diff(argument).subs(argument, at).evalf(40) for e in (function(argument), plain)]
    assert close(*slopes, 28)


@settings(max_examples=40)
@given(rationals)
def test_identities(v):
    assert log_cosh(-v) == log_cosh(v)
    for left, right in (
        (log_cosh(v), softplus(2 * v) - v - log(2)),
        (log_erfc(v), log(erfcx(v)) - v**2),
        (softplus(v), softplus(-v) + v),
        (log_sum_exp(v, 0), softplus(v)),
        (exp(log_erfc(v)) + exp(log_erfc(-v)), S(2)),
    ):
        if right != 0:
            assert abs((left - right).evalf(30)) < 1e-24 * (1 + abs(left.evalf(15)))


def test_where_the_elementary_form_overflows():
    assert log_cosh(10**6).evalf(20) == (10**6 - log(2)).evalf(20)
    assert close(log_erfc(10**5).evalf(20), -Float("10000000012.0852904079449285", 25), 19)
    assert softplus(-(10**5)).evalf(20) == exp(-(10**5)).evalf(20)
    assert log_sum_exp(-(10**7), -(10**7) + 1).evalf(25) == (log_sum_exp(0, 1) - 10**7).evalf(25)
    assert log1mexp(Rational(1, 10**40)).evalf(20) == log(Rational(1, 10**40)).evalf(20)
    with mpmath.workdps(40):
        assert close(erfcx(10**9).evalf(30), Float(1 / (10**9 * mpmath.sqrt(mpmath.pi)), 40), 17)


def test_special_values_and_signs():
    assert (log_cosh(0), log_erfc(0), erfcx(0), softplus(0)) == (0, 0, 1, log(2))
    assert (log_cosh(-oo), log_erfc(oo), log_erfc(-oo), erfcx(oo), softplus(-oo)) == (oo, -oo, log(2), 0, 0)
    assert log_cosh(x).is_nonnegative
    assert erfcx(x).is_positive
    assert softplus(x).is_positive
    assert log1mexp(p).is_negative
    assert log_erfc(p).is_negative
    assert log_erfc(-p).is_positive
    assert log_erfc(x).is_positive is None
    assert log_cosh(Symbol("w")).is_real is None


def test_log_sum_exp_is_symmetric_flat_and_joins_equal_terms():
    a, b, c = (Symbol(n, real=True) for n in "abc")
    assert log_sum_exp(a, b, c) == log_sum_exp(c, a, b) == log_sum_exp(log_sum_exp(a, c), b)
    assert log_sum_exp(a) == a
    assert log_sum_exp(a, -oo) == a
    assert log_sum_exp(a, a, a) == a + log(3)
    total = log_sum_exp(a, b, c)
    gradient = [total.diff(v) for v in (a, b, c)]
    point = {a: 1000, b: -3, c: Rational(2001, 2)}
    assert close(Add(*gradient).subs(point).evalf(30), S(1), 28)


@settings(max_examples=40)
@given(positives, positives)
def test_the_response_is_the_root_between_zero_and_one(b, ratio):
    value = MPResponse(b, ratio).evalf(40)
    assert 0 < value < 1
    exact = MPResponse.polynomial(value, b, ratio)
    slope = MPResponse.polynomial(Symbol("V"), b, ratio).diff(Symbol("V")).subs("V", value)
    assert abs(exact / slope) < Float(10, 50) ** -38 * value
    assert close(MPResponse(b, ratio).rewrite(sqrt).evalf(40, maxn=400), value, 36)


@settings(max_examples=20)
@given(positives, positives)
def test_derivatives_of_the_response(b, ratio):
    V, explicit = MPResponse(p, q), MPResponse(p, q).rewrite(sqrt)
    at = {p: b, q: ratio}
    for symbol in (p, q):
        assert close(V.diff(symbol).subs(at).evalf(30), explicit.diff(symbol).subs(at).evalf(30, maxn=400), 25)


def test_the_response_at_its_ends():
    assert MPResponse(0, p) == 1
    assert MPResponse(p, q).is_positive
    assert close(MPResponse(10**40, 3).evalf(20), Rational(2, 3), 18)
    assert close(MPResponse(10**40, Rational(1, 3)).evalf(20), Rational(1, 2) / 10**40, 18)
    with pytest.raises(DeriveError):
        MPResponse(-1, 2)
    with pytest.raises(DeriveError):
        MPResponse(1, 0)
    with pytest.raises(DeriveError):
        log1mexp(-1).evalf()


def test_latex():
    assert latex(log_cosh(x) ** 2) == r"\left(\log \cosh\left(x\right)\right)^{2}"
    assert latex(MPResponse(p, q) ** 2) == r"V^{2}_{q}\left(p\right)"
    assert latex(log_sum_exp(x, p)) == r"\log\left(e^{p} + e^{x}\right)"
