"""Bounds of remainders that are proven: they hold where mpmath looks, and a wrong expansion has none."""

import pytest
import sympy as sp
from flint import arb
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from sympy import Rational, S, Symbol, exp, log, oo, sqrt

from derive import Binary, Gaussian, HiddenManifold, Spherical, Verdict, atlas
from derive.methods.asymptotics.argument import Request, argument, kept_terms
from derive.methods.asymptotics.certificate import certificate
from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import Signs
from derive.methods.asymptotics.enclosures import Algebra, Enclosed, NotProven
from derive.methods.asymptotics.expand import Expander, variable
from derive.methods.asymptotics.transseries import ONE, Monomial, Ring, level
from derive.nodes import Density, log_cosh
from derive.nodes.averages import LogAverageExp, MeasureAverage
from derive.symbols import alpha, alpha_D, lam

X = Symbol("X", positive=True)


def algebra(start=16, terms=5):
    return Algebra(Ring(Signs()), Rational(start), terms, {X: Enclosed({level(0): Ratio.of(1)})})


SMALL = st.sampled_from([1 / X, exp(-X), 1 / X**2, log(X) / X, exp(-X) * X, 1 / sqrt(X)])
OUTER = st.sampled_from(
    [lambda e: exp(e), lambda e: log(1 + e), lambda e: sqrt(2 + e), lambda e: 1 / (3 + e), lambda e: sp.tanh(X) + e,
     lambda e: X * log(1 + 1 / X) + e**2, lambda e: exp(X + e) - X]
)


@seed(20261126)
@settings(max_examples=25, deadline=None)
@given(SMALL, SMALL, OUTER, OUTER, st.integers(16, 400))
def test_the_rest_is_bounded_wherever_one_looks(one, two, outer, second, point):
    expr = outer(one) * second(two)
    a = algebra()
    try:
        found = a(expr)
    except NotProven:
        return
    values = sum((a.ring.table.expr(c) * m.expr(X) for m, c in found.terms.items()), S.Zero)
    rest = sum((sp.Rational(str((b * arb("1.0001")).upper().str(20, radius=False))) * m.expr(X)
                for m, b in found.rest.items()), S.Zero)  # fmt: skip
    left = abs(sp.N((expr - values).subs(X, point), 80, maxn=2000))
    assert left <= sp.N(rest.subs(X, point), 80, maxn=2000) + Rational(1, 10**60)


def test_a_scale_that_grows_is_never_bounded():
    for m in (level(0), Monomial((S(2),)), Monomial((S(-1), S(9)))):
        with pytest.raises(NotProven):
            algebra(4).sup(m)
    assert algebra(4).sup(ONE) == 1


CERTIFIED = [
    ("retrieval-capacity", Spherical(), "lam", oo, {}),
    ("retrieval-capacity", Binary(), "lam", 0, {}),
    ("retrieval-capacity", Gaussian(), "lam", oo, {}),
    ("rem-condensation", Spherical(), "alpha", 0, {"order": 1}),
    ("collapse-time", HiddenManifold(), "alpha_D", 0, {"where": {"alpha": Rational(1, 2)}, "order": 1, "of": "log"}),
]


@pytest.mark.parametrize(("name", "ensemble", "parameter", "point", "more"), CERTIFIED)
def test_expansions_without_free_parameters_are_certified(name, ensemble, parameter, point, more):
    found = atlas[name].with_(ensemble=ensemble).limit(parameter, point, **more)
    assert found.verdict is Verdict.CERTIFIED
    assert [w.name for w in found.witnesses] == ["symbolic", "numerical", "proof"]
    assert "ball arithmetic" in found.witnesses[-1].detail


@pytest.mark.parametrize("wrong", [Rational(1, 7), -Rational(1, 2), S.Zero])
def test_a_wrong_coefficient_has_no_proof(wrong):
    problem = atlas["retrieval-capacity"].with_(ensemble=Spherical()).problem
    request = Request(lam, oo, order=1)
    found, _, _ = argument([problem], request, float("inf"))
    shown, beyond = kept_terms(found.ring, found.series, request)
    assert certificate([problem], found, shown, beyond[0][0], request) is not None
    changed = [*shown[:-1], (shown[-1][0], wrong)]
    assert certificate([problem], found, changed, beyond[0][0], request) is None
    assert certificate([problem], found, shown, beyond[1][0], request) is None  # a remainder said to be too small


def test_a_root_that_is_not_there_is_not_bracketed():
    problem = atlas["collapse-time"].problem
    request = Request(alpha_D, S.Zero, order=1, held={alpha: Rational(1, 2)})
    found, _, _ = argument([problem], request, float("inf"))
    shown, beyond = kept_terms(found.ring, found.series, request)
    (unknown,) = found.roots[0]
    root = found.roots[0][unknown]
    head, *others = found.ring.sorted(root.terms)
    moved = type(root)({head: root.terms[head], **{m: root.terms[m] + root.terms[m] for m in others}}, root.errors)
    false = type(found)(found.series, found.ring, found.balance, ({unknown: moved},))
    assert certificate([problem], found, shown, beyond[0][0], request) is not None
    assert certificate([problem], false, shown, beyond[0][0], request) is None


def test_log_cosh_of_both_kinds_of_argument():
    a = algebra()
    far, near = a(log_cosh(X)), a(log_cosh(1 / X))
    assert a.over(a.add(far, a(-X + log(2))), Monomial((), ((level(0), S(-2)),))) < 1.01
    assert a.over(near, Monomial((S(-2),))) < 0.51


def test_averages_over_a_bounded_law_are_taken_term_by_term():
    """Uniform entries: E log(sinh(l x)/(l x)) has the cumulants l^2 x^2/6 - l^4 x^4/180 to be averaged."""
    x, xi = sp.symbols("x xi", real=True)
    law = Density(S.Half, xi, -1, 1)
    noise = MeasureAverage(LogAverageExp(x * xi / X, xi, law), x, law)
    ring = Ring(Signs())
    found = Expander(ring, {X: variable()})(noise)
    terms = {m.expr(X): ring.table.expr(c) for m, c in found.terms.items()}
    assert {k: v for k, v in terms.items() if k in (X**-2, X**-4)} == {X**-2: Rational(1, 18), X**-4: -Rational(1, 900)}
