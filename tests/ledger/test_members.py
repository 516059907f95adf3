"""Simple functions in the place of undefined ones: averages of them are exact numbers, and a wrong claim is seen."""

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.core import Domain, Step, Verdict
from derive.ledger.counterexamples import counterexample
from derive.ledger.exact_nodes import nodes_of
from derive.ledger.ladder import prove_identity, refuted_identity
from derive.ledger.members import named_only, simple_members
from derive.nodes import GaussianAverage, Normal, TiltedAverage
from derive.nodes.binders import Binder

x, y, h = (sp.Symbol(k, real=True) for k in "xyh")
m = sp.Symbol("m", real=True)
q, a, V = (sp.Symbol(k, positive=True) for k in ("q", "a", "V"))
f, w, g, F = (sp.Function(k, real=True) for k in ("f", "w", "g", "F"))
DOMAIN = Domain(((m, sp.Interval(-sp.oo, sp.oo)), (q, sp.Interval.open(0, sp.oo))), (q - m**2 > 0,))
FIELD = m * x + sp.sqrt(q - m**2) * y


def over(body: sp.Expr) -> sp.Expr:
    return GaussianAverage(body, x, y)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_nodes_average_polynomials_as_moments_do(terms: list[tuple[int, int, int]]) -> None:
    body = sum((c * x**i * y**j for c, i, j in terms), sp.Integer(0)) + x - x**2
    found = nodes_of(body, [x, y])
    assert found is not None
    moments = sum(c * (sp.factorial2(i - 1) if i % 2 == 0 else 0) * (sp.factorial2(j - 1) if j % 2 == 0 else 0)
                  for c, i, j in terms) - 1
    assert sp.expand(sum(weight * value for weight, value in found)) == moments


@pytest.mark.parametrize("body", [x**6, sp.exp(x), sp.sqrt(1 + x**2), (x * y) ** 6])
def test_nodes_are_for_polynomials_of_low_degree(body: sp.Expr) -> None:
    assert nodes_of(body, [x, y]) is None


def test_members_leave_no_average_and_obey_the_domain() -> None:
    members = list(simple_members((over(w(FIELD) ** 2), m), (), DOMAIN, 1))
    assert len(members) == 2
    for member in members:
        assert not any(e.has(Binder) for e in member.exprs)
        shown = dict(member.shown)
        assert sp.Rational(shown["q"]) > sp.Rational(shown["m"]) ** 2
        assert "w" in shown


def test_no_member_where_a_premise_speaks_of_the_function_itself() -> None:
    """A function that obeys w' = w at every argument is no polynomial."""
    law = sp.Derivative(w(h), h) - w(h)
    assert list(simple_members((over(w(FIELD)), m), (law,), DOMAIN, 1)) == []
    bound = frozenset((w,))
    assert list(simple_members((over(w(FIELD)), m), (), DOMAIN, 1, bound)) == []


def test_names_that_nothing_mentions_bind_nothing() -> None:
    name = sp.Eq(F(h), sp.Derivative(w(h), h))
    assert named_only((name,), (over(w(FIELD)),)) == ()
    assert named_only((name,), (over(F(FIELD)),)) == (name,)


@pytest.mark.parametrize("wrong", [
    over(sp.Derivative(w(h), (h, 2)).subs(h, FIELD)),
    over(sp.Subs(sp.Derivative(w(h), h), h, 2 * FIELD)),
    (1 + sp.Rational(1, 10**12)) * over(sp.Subs(sp.Derivative(w(h), h), h, FIELD)),
])
def test_a_wrong_lemma_of_stein_is_refuted_without_an_integral(wrong: sp.Expr) -> None:
    """E[y w(field)]/sqrt(q - m^2) is E[w'(field)], and nothing else."""
    left = over(y * w(FIELD)) / sp.sqrt(q - m**2)
    found = refuted_identity(left, wrong, DOMAIN)
    assert found is not None
    assert found.verdict is Verdict.REFUTED
    assert dict(found.witness)["w"]


def test_the_curvature_of_a_tilt_is_seen_where_it_varies() -> None:
    """Of second degree in the exponent a function would hide it."""
    slope, curved = sp.Derivative(g(h), h), sp.Derivative(g(h), (h, 2))
    at = a + sp.sqrt(V) * x
    tilt = g(at)
    right = TiltedAverage(sp.Subs(curved, h, at), tilt, x, Normal())
    wrong = TiltedAverage(sp.Subs(curved, h, a - sp.sqrt(V) * x), tilt, x, Normal())
    found = refuted_identity(right, wrong, Domain())
    assert found is not None
    assert found.verdict is Verdict.REFUTED
    assert "log_cosh" in dict(found.witness)["g"]
    assert refuted_identity(right + slope.subs(h, a), right + slope.subs(h, a), Domain()) is None


def test_an_average_that_diverges_is_not_one_that_exists() -> None:
    """Of third degree in the variable an exponent outgrows the weight, for every function that is affine."""
    tilt = w(m * x + y)
    good, wrong = (over(TiltedAverage(h, -(y - w(h + x)) ** k, h, Normal()) ** 2) for k in (2, 3))
    found = refuted_identity(good, wrong, DOMAIN)
    assert found is not None
    assert found.verdict is Verdict.REFUTED
    assert "diverges" in found.detail
    assert refuted_identity(over(tilt), over(tilt.xreplace({x: -x})), DOMAIN) is None


def test_the_sign_of_a_variable_under_an_average_is_no_error() -> None:
    mirrored = over(w(FIELD).xreplace({y: -y}))
    assert prove_identity(over(w(FIELD)), mirrored, DOMAIN).verdict is Verdict.PROVED
    assert prove_identity(over(w(FIELD) * y), -over(w(FIELD).xreplace({y: -y}) * y), DOMAIN).verdict is Verdict.PROVED


def test_premises_hold_at_the_point_of_a_member() -> None:
    """From m = a E w follows m/a = E w, and not m a = E w."""
    premise = sp.Eq(m, a * over(w(FIELD)), evaluate=False)
    wrong = refuted_identity(m * a, over(w(FIELD)), DOMAIN, (premise,))
    assert wrong is not None
    assert wrong.verdict is Verdict.REFUTED
    assert refuted_identity(m / a, over(w(FIELD)), DOMAIN, (premise,)) is None


def test_a_value_that_no_premise_gives_may_be_negative() -> None:
    known = Step("k", sp.Eq(F(m, q), 1 + q), "definition", domain=DOMAIN)
    away = Step("s", sp.Gt(g(2 * q), 0), "positivity", ("k",), domain=DOMAIN)
    found = counterexample(away, {"k": known})
    assert found is not None
    assert found.verdict is Verdict.REFUTED
    assert counterexample(Step("s", sp.Gt(F(m, 2 * q), 0), "positivity", ("k",), domain=DOMAIN), {"k": known}) is None
