"""Exact points that obey premises, values that functions are free to take, and slopes along families of functions."""

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.core import Domain, Step, Verdict
from derive.ledger.counterexamples import counterexample
from derive.ledger.derivation import Derivation, check_step
from derive.ledger.exact_points import in_averages, placed
from derive.ledger.free_values import refuted_by_values
from derive.ledger.ladder import prove_identity, refuted_identity
from derive.ledger.rules import RULES
from derive.ledger.variations import refuted_by_variation
from derive.nodes import GaussianAverage, Normal, TiltedAverage

x, y, xi, z = (sp.Symbol(k, real=True) for k in ("x", "y", "xi", "z"))
m, k = sp.symbols("m k", real=True)
a, b, q, t, V = sp.symbols("a b q t V", positive=True)
sigma, f, F = (sp.Function(name, real=True) for name in ("sigma", "f", "F"))
HALF = sp.Rational(1, 2)


def tilted(body: sp.Expr) -> sp.Expr:
    return TiltedAverage(body, -b * (x - xi) ** 2 / 2, xi, Normal())


# ---- exact points

fractions = st.fractions(min_value=-3, max_value=3, max_denominator=12).map(
    lambda v: sp.Rational(v.numerator, v.denominator))


@settings(max_examples=40, deadline=None)
@given(fractions, fractions, fractions)
def test_a_linear_premise_is_solved_exactly(slope: sp.Rational, shift: sp.Rational, value: sp.Rational) -> None:
    premise = slope * m + k - shift
    found = placed([premise], {m, k}, {m: value, k: sp.Rational(1, 7)}, Domain())
    assert found is not None
    assert found.left == ()
    assert sp.expand(premise.subs(found.at)) == 0


@settings(max_examples=20, deadline=None)
@given(fractions.filter(lambda v: v > 0), fractions.filter(lambda v: v > 0))
def test_an_average_is_closed_before_its_premise_is_solved(at_b: sp.Rational, at_m: sp.Rational) -> None:
    """E x <xi> = b/(1 + b): the premise m = E x <xi>/a is then linear in 1/a, and a is needed for a second average."""
    premise = m - GaussianAverage(x * tilted(xi), x) / a
    assert in_averages(premise) == {b}
    found = placed([premise], {a, b, m}, {b: at_b, m: at_m, a: HALF}, Domain())
    assert found is not None
    assert found.at[b] == at_b
    assert sp.expand(found.at[a] * found.at[m] - at_b / (1 + at_b)) == 0


def test_the_range_of_what_is_solved_for_is_kept() -> None:
    assert placed([V + 2], {V}, {V: HALF}, Domain()) is None
    narrow = Domain(((m, sp.Interval(0, 1)),))
    assert placed([m - 2], {m}, {m: HALF}, narrow) is None
    assert placed([m - HALF], {m}, {m: sp.Integer(0)}, narrow).at == {m: HALF}


def test_constraints_between_symbols_are_kept() -> None:
    room = Domain((), (q - m**2 > 0,))
    assert placed([m - 2], {m, q}, {m: HALF, q: sp.Integer(1)}, room) is None
    assert placed([m - HALF], {m, q}, {m: sp.Integer(2), q: sp.Integer(1)}, room) is not None


def test_a_premise_that_other_symbols_can_obey_is_left_to_them() -> None:
    found = placed([a * m - 1], {m}, {m: HALF}, Domain())
    assert found.at == {m: HALF}
    assert found.left == (a / 2 - 1,)


def test_a_premise_that_no_symbol_can_obey_has_no_point() -> None:
    assert placed([GaussianAverage(x**2, x) - 2], {m}, {m: HALF}, Domain()) is None


def test_a_premise_may_fix_a_symbol_in_its_own_average() -> None:
    """E (k x)^2 = 4 leaves k = 2."""
    found = placed([GaussianAverage((V * x) ** 2, x) - 4], {V}, {V: HALF}, Domain())
    assert found.at == {V: 2}


def test_a_premise_that_is_an_identity_binds_nothing() -> None:
    mean = Step("mean", sp.Eq(GaussianAverage(x * tilted(xi), x), b / (1 + b)), "evaluate")
    saddle = Step("saddle", sp.Eq(m, GaussianAverage(x * tilted(xi), x) / a), "assumption")
    given_them = {"saddle": saddle, "mean": mean}
    right = Step("s", sp.Eq(m, b / (a * (1 + b))), "rearrange", ("saddle", "mean"))
    wrong = Step("s", sp.Eq(m, 2 * b / (a * (1 + b))), "rearrange", ("saddle", "mean"))
    assert RULES["rearrange"](right, given_them).verdict is Verdict.PROVED
    assert RULES["rearrange"](wrong, given_them).verdict is Verdict.REFUTED


# ---- values that functions take


def test_a_quadratic_in_a_free_value_is_obeyed() -> None:
    """f(x)^2 = 2 leaves f(x) = +-sqrt(2), so that f(x)^4 = 4 and not 5."""
    premise = sp.Eq(f(x) ** 2, 2)
    assert refuted_by_values(f(x) ** 4, sp.Integer(4), Domain(), (premise,)) is None
    assert refuted_by_values(f(x) ** 4, sp.Integer(5), Domain(), (premise,)).verdict is Verdict.REFUTED


def test_a_value_that_no_function_has_refutes_nothing() -> None:
    assert refuted_by_values(f(x), sp.Integer(5), Domain(), (sp.Eq(f(x) ** 2, -1, evaluate=False),)) is None


def test_one_place_has_one_value() -> None:
    assert refuted_by_values(f(x), f(x + y), Domain(), (sp.Eq(y, 0),)) is None


def test_two_places_may_coincide_somewhere_and_differ_elsewhere() -> None:
    assert refuted_by_values(f(x), f(y), Domain(), ()).verdict is Verdict.REFUTED
    assert refuted_by_values(f(x), f(y), Domain(), (sp.Eq(x, y),)) is None


def follows(premise: sp.Eq, claim: sp.Eq, rule: str = "identity") -> Verdict:
    steps = (Step("given", premise, "assumption"), Step("claim", claim, rule, ("given",)))
    return check_step(Derivation("d", "", steps), "claim").verdict


@pytest.mark.parametrize("rule", ["identity", "rearrange"])
def test_a_definition_at_a_number_holds_at_every_other_argument(rule: str) -> None:
    """F(x, 1) = x^2 for every real x says F(y^2, 1) = y^4, and nothing of F(y, 2)."""
    premise = sp.Eq(F(x, 1), x**2)
    assert follows(premise, sp.Eq(F(y, 1), y**2), rule) is Verdict.PROVED
    assert follows(premise, sp.Eq(F(y**2, 1), y**4), rule) is Verdict.PROVED
    assert follows(premise, sp.Eq(F(y**2, 1), y**3), rule) is Verdict.REFUTED
    assert follows(premise, sp.Eq(F(y, 2), y**2), rule) is Verdict.REFUTED


def test_a_value_that_no_premise_gives_refutes_without_an_integral() -> None:
    average = GaussianAverage(sp.log(1 + sp.exp(a * x)), x)
    found = refuted_by_values(F(a, -b), average, Domain(), (sp.Eq(F(a, b), average),))
    assert found.verdict is Verdict.REFUTED
    assert "no premise gives the value of F(a, -b)" in found.detail


# ---- functions of real variables


def test_an_argument_that_is_not_real_refutes() -> None:
    """x and -x are alike under a centred normal law, but sigma(sqrt(1 - t) x) is claimed for every positive t."""
    lhs, rhs = (GaussianAverage(sigma(sign * sp.sqrt(1 - t) * x) ** 2, x) for sign in (1, -1))
    assert refuted_identity(lhs, rhs, Domain(((t, sp.Interval.open(0, 1)),))) is None
    outside = refuted_identity(lhs, rhs)
    assert outside.verdict is Verdict.REFUTED
    assert "sigma is not real" in outside.detail
    assert sp.Rational(dict(outside.witness)["t"]) > 1


# ---- first variations


def noisy(scale: sp.Expr) -> sp.Expr:
    """E x <xi> over the tilt exp(-(sqrt(t) scale z + sigma(x) - sigma(xi))^2/2t)."""
    seen = sp.sqrt(t) * scale * z + sigma(x) - sigma(q * x + sp.sqrt(1 - q**2) * xi)
    return GaussianAverage(x * TiltedAverage(xi, -(seen**2) / (2 * t), xi, Normal()), x, z)


def test_a_noise_that_cancels_for_affine_functions_is_seen_by_a_bend() -> None:
    domain = Domain(((q, sp.Interval.open(0, 1)),))
    right, wrong = noisy(sp.Integer(-1)), noisy(1 + sp.Rational(1, 10**12))
    assert refuted_by_variation(noisy(sp.Integer(1)) - right, (), domain, 1) is None  # z is symmetric
    found = refuted_by_variation(noisy(sp.Integer(1)) - wrong, (), domain, 1)
    assert found.verdict is Verdict.REFUTED
    assert "cos" in dict(found.witness)["sigma"]
    assert prove_identity(noisy(sp.Integer(1)), wrong, domain).verdict is Verdict.REFUTED


def test_a_premise_is_carried_along_the_family() -> None:
    """a is what the premise makes of it for every function; the claim has a noise that is wrong by 1e-12."""
    domain = Domain(((q, sp.Interval.open(0, 1)),))
    premise = m - noisy(sp.Integer(1)) / a
    assert refuted_by_variation(m - noisy(sp.Integer(-1)) / a, (premise,), domain, 1) is None
    found = refuted_by_variation(m - noisy(1 + sp.Rational(1, 10**12)) / a, (premise,), domain, 1)
    assert found.verdict is Verdict.REFUTED


def test_functions_that_relations_speak_of_are_left_alone() -> None:
    wrong = noisy(sp.Integer(1)) - noisy(sp.Integer(2))
    assert refuted_by_variation(wrong, (), Domain(), 1, frozenset((sigma,))) is None


def test_a_point_that_obeys_the_premises_needs_their_averages() -> None:
    """A premise with a symbol in its own average: the counter-example is exact there."""
    premise = Step("p", sp.Eq(m, GaussianAverage(x * tilted(xi), x) / a), "assumption")
    claim = Step("c", sp.Eq(m, GaussianAverage(x * TiltedAverage(xi, -a * (x - xi) ** 2 / 2, xi, Normal()), x) / b),
                 "rearrange", ("p",))
    found = counterexample(claim, {"p": premise}) or RULES["rearrange"](claim, {"p": premise})
    assert found.verdict is Verdict.REFUTED
