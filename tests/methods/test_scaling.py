"""Scaling limits of the quantities: section 4 of the physics as expectations, and what a bad question is told."""

from typing import Any

import pytest
import sympy as sp
from sympy import E, Eq, Rational, exp, log, oo, sqrt

from derive import Binary, DeriveError, Gaussian, HiddenManifold, ProductMeasure, Spherical, Verdict, atlas
from derive.core import Expansion
from derive.methods.scaling import limit_of
from derive.symbols import alpha, alpha_D, lam

TC, TO, TG = (atlas[f"{name}-time"] for name in ("collapse", "onset", "generalization"))
KAPPA = sp.Symbol("kappa", positive=True)


def same(found, expected):
    return sp.simplify(sp.expand(found - expected)) == 0


def corroborated(found: Expansion) -> bool:
    return found.verdict in (Verdict.CORROBORATED, Verdict.CERTIFIED) and all(
        len(c.witnesses) >= 2 and all(w.verdict.sound for w in c.witnesses) for c in found.cases or (found,)
    )


@pytest.mark.slow
def test_collapse_on_a_thin_manifold():
    found = TC.limit("alpha_D", 0)
    assert corroborated(found)
    scale = exp(-2 * alpha / alpha_D) / alpha_D
    assert same(found.expr / scale, 1 - alpha_D / 2 - alpha_D**2 / 24 - alpha_D**3 / 48)
    assert found.limit == 0
    assert same(found.exponential.expr, exp(-4 * alpha / alpha_D) / alpha_D)
    assert same(found.remainder, alpha_D**4 * scale)


def test_the_logarithm_of_the_collapse_time():
    found = TC.limit("alpha_D", 0, of="log")
    assert corroborated(found)
    terms = -2 * alpha / alpha_D - log(alpha_D) - alpha_D / 2 - alpha_D**2 / 6 - alpha_D**3 / 12
    assert same(found.expr, terms)
    assert found.exponential.scale == exp(-2 * alpha / alpha_D)
    assert same(found.closed, -2 * alpha / alpha_D - log(alpha_D) - (1 / alpha_D - 1) * log(1 - alpha_D) - 1)


@pytest.mark.slow
def test_order_counts_the_corrections_that_vanish():
    assert len(TC.limit("alpha_D", 0, order=0).terms) == 1
    assert len(TC.limit("alpha_D", 0, order=1, of="log").terms) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "limit"), [(TG, 0), (TO, E)])
def test_ratios_on_a_thin_manifold(quantity, limit):
    found = quantity.limit("alpha_D", 0, over=TC)
    assert corroborated(found)
    assert found.limit == limit
    expected = {TG: alpha_D, TO: E}[quantity]
    assert same(found.expr, expected)
    assert same(found.exponential.expr, -expected * exp(-2 * alpha / alpha_D))
    assert same(found.closed, expected)  # no powers at all: only exponentials are left
    assert found.remainder.has(exp(-2 * alpha / alpha_D))
    assert [w.name for w in found.witnesses] == ["symbolic", "beyond all orders"]


@pytest.mark.slow
def test_large_load_below_at_and_above_one():
    found = TC.limit("alpha", oo, of="log", order=1)
    assert [c.assumptions for c in found.cases] == [(alpha_D < 1,), (Eq(alpha_D, 1),), (alpha_D > 1,)]
    assert corroborated(found)
    below, at, above = (c.expr - c.terms[-1].expr for c in found.cases)
    assert same(below.subs(alpha_D, Rational(1, 3)),
                (-2 * alpha / alpha_D - log(alpha_D) - (1 / alpha_D - 1) * log(1 - alpha_D) - 1).subs(
                    alpha_D, Rational(1, 3)))
    assert same(at, -2 * alpha - 1)
    assert same(above.subs(alpha_D, 3), -2 * alpha + 2 * log(Rational(3, 2)) - 1)
    scales = [c.terms[-1].scale for c in found.cases]
    assert scales == [exp(-2 * alpha / alpha_D), exp(-alpha), exp(-2 * alpha)]  # a hard edge, a soft one, none at zero


@pytest.mark.slow
def test_small_load():
    assert same(TC.limit("alpha", 0, order=1).expr, 1 / (2 * alpha) - (1 + alpha_D) / (2 * alpha_D))
    assert same(TO.limit("alpha", 0, order=1).expr, 1 / alpha - 3 * (1 + alpha_D) / (4 * alpha_D))
    assert same(TG.limit("alpha", 0, order=1).expr, 2 - 2 * sqrt(3 * alpha) * sqrt((1 + alpha_D) / alpha_D))


@pytest.mark.slow
def test_independent_data_come_back_on_a_wide_manifold():
    found = TC.limit("alpha_D", oo, order=1)
    assert corroborated(found)
    assert same(found.limit, 1 / (exp(2 * alpha) - 1))
    onset = TO.limit("alpha_D", oo, order=1)
    assert corroborated(onset)
    ((name, equation),) = onset.definitions
    t = sp.Symbol("t", positive=True)
    plain = alpha - log(1 + 1 / t) / 2 - 1 / (2 * (1 + t))
    quotient = (equation.lhs / plain).subs({name: Rational(2, 3), t: Rational(2, 3)})
    assert sp.N(quotient.subs(alpha, 1) - quotient.subs(alpha, 2), 30) == pytest.approx(0, abs=1e-25)


@pytest.mark.slow
def test_two_scales_together():
    found = TC.limit("alpha_D", 0, hold={"kappa": alpha / alpha_D}, order=1)
    assert corroborated(found)
    assert same(found.expr, 1 / (alpha_D * (exp(2 * KAPPA) - 1)) - exp(-2 * KAPPA) / 2)
    other = TC.limit("alpha", 0, hold={"kappa": alpha / alpha_D}, order=0)
    assert same(other.expr, KAPPA / (alpha * (exp(2 * KAPPA) - 1)))


@pytest.mark.slow
def test_the_uniform_approximation_and_its_error():
    plain = 1 / (alpha_D * (exp(2 * alpha / alpha_D) - 1))
    found = TC.limit("alpha_D", 0, hold={"kappa": alpha / alpha_D}, over=plain, order=1)
    assert corroborated(found)
    assert same(found.expr, 1 - alpha_D * (1 - exp(-2 * KAPPA)) / 2)


CAPACITIES = [
    (Gaussian(), oo, Rational(1, 2)),
    (Gaussian(), 0, lam - lam**2 / 2),
    (Spherical(), oo, (1 + log(lam)) / 2 + 1 / (8 * lam)),
    (Binary(), oo, log(2) - exp(-2 * lam) + exp(-4 * lam) / 2),
    (Binary(), 0, lam - lam**2 / 2 + lam**4 / 12),
    (HiddenManifold(), oo, alpha_D / (2 * (1 + alpha_D))),
    (HiddenManifold(), 0, lam - lam**2 * (1 + 1 / alpha_D) / 2),
]


@pytest.mark.parametrize(("ensemble", "point", "expected"), CAPACITIES, ids=[f"{e} {p}" for e, p, _ in CAPACITIES])
def test_capacities(ensemble, point, expected):
    found = atlas["retrieval-capacity"].with_(ensemble=ensemble).limit("lam", point, order=2)
    assert corroborated(found)
    order = len(sp.Add.make_args(sp.expand(expected)))
    assert same(found.truncated(order - 1), expected)


THREE = ProductMeasure(atoms={-1: Rational(1, 4), 0: Rational(1, 2), 1: Rational(1, 4)})
ALL = [
    (Gaussian(), oo, log(2) / 4),  # pairs decide; B1 and section 2
    (Gaussian(), 0, lam - 2 * lam ** Rational(3, 2)),
    (Binary(), oo, log(2) - exp(-2 * lam)),
    (THREE, oo, log(Rational(8, 5)) / 2),  # ties: 3/8 of equal nonzero pairs and of zeros, 5/8 in all
    (THREE, 0, lam / 2 - lam ** Rational(3, 2) / 2),
]


@pytest.mark.parametrize(("ensemble", "point", "expected"), ALL, ids=[f"{e} {p}" for e, p, _ in ALL])
def test_capacities_for_all_patterns(ensemble, point, expected):
    found = atlas["full-capacity"].with_(ensemble=ensemble).limit("lam", point, order=1)
    assert corroborated(found)
    assert same(found.truncated(len(sp.Add.make_args(sp.expand_log(expected))) - 1), expected)


@pytest.mark.slow
def test_capacities_for_all_patterns_on_the_manifold():
    quantity = atlas["full-capacity"].with_(ensemble=HiddenManifold())
    found = quantity.limit("lam", 0, order=1, seconds=240)
    assert corroborated(found)
    assert same(found.truncated(1), lam - 2 * lam ** Rational(3, 2) * sqrt((1 + alpha_D) / alpha_D))
    found = quantity.limit("lam", oo, seconds=240)
    assert corroborated(found)
    assert found.balance[1] == "l ~ alpha_D/(alpha_D + 1)"  # the norm mode saturates where the typical one does
    assert found.limit.subs(alpha_D, 10**6).evalf(8) == pytest.approx(float(log(2) / 4), rel=1e-5)


def test_independent_data_have_a_best_time_to_stop():
    """Squared distance to the nearest point: 2 e_* = 1/(1 + b) + 1/(1 + b)^2 of unit Gaussian data (section 4)."""
    found = TG.limit("alpha_D", oo, order=1)
    assert corroborated(found)
    ((b, equation),) = found.definitions
    assert same(found.limit, 1 / (1 + b) + 1 / (1 + b) ** 2)
    root = sp.nsolve(equation.lhs.subs(alpha, Rational(1, 2)), b, 3)
    wide = TG.solver()(alpha=0.5, alpha_D=1e7).value
    assert float(found.limit.subs(b, root)) == pytest.approx(float(wide), rel=1e-6)


@pytest.mark.parametrize("ensemble", [Gaussian(), Spherical(), HiddenManifold()], ids=str)
def test_condensation_sets_in_without_a_jump(ensemble):
    """Sum of squared weights 1 - lam_*/lam beyond the point, 0 before it (section 1): exponent one, a kink."""
    quantity = atlas["participation-ratio"].with_(ensemble=ensemble)
    found = quantity.limit("lam", "lam_*", direction="+-", order=1)
    assert corroborated(found)
    above, below = found.cases
    gap = lam - found.point
    assert (above.leading.coefficient, above.leading.scale) == (1 / found.point, gap)
    assert same(above.expr, gap / found.point - gap**2 / found.point**2)
    assert (below.limit, below.terms, below.remainder) == (0, (), None)
    (load,) = [a.rhs for a in above.assumptions if isinstance(a, Eq)]
    values = {found.point: Rational(7, 5), alpha_D: Rational(1, 2)}
    star = atlas["rem-condensation"].with_(ensemble=ensemble).solver()
    more = {"alpha_D": 0.5} if isinstance(ensemble, HiddenManifold) else {}
    assert float(star(alpha=float(load.subs(values)), **more).value) == pytest.approx(1.4)


@pytest.mark.parametrize("ensemble", [Binary(), THREE, HiddenManifold(sp.sign)], ids=str)
def test_energies_that_tie_have_no_participation_ratio_here(ensemble):
    with pytest.raises(DeriveError, match="tie"):
        atlas["participation-ratio"].with_(ensemble=ensemble)


def test_another_quantity_may_be_named():
    found = TO.limit("alpha", 0, over="collapse-time", order=1)
    assert corroborated(found)
    onset, collapse = 1 / alpha - 3 * (1 + alpha_D) / (4 * alpha_D), 1 / (2 * alpha) - (1 + alpha_D) / (2 * alpha_D)
    assert same(found.expr, sp.series(onset / collapse, alpha, 0, 2).removeO())  # of test_small_load
    plain = atlas["retrieval-capacity"].with_(ensemble=Spherical())
    assert plain.limit("lam", 0, over="full-capacity").limit == 1


BASINS = [
    (Gaussian(), ("alpha", 0), {"v": Rational(1, 2)}, sqrt(alpha) + alpha ** Rational(3, 2)),
    (Gaussian(), ("lam", oo), {"v": Rational(1, 2), "alpha": Rational(1, 4)}, sqrt(2) / 2),
    (Gaussian(), ("lam", 0), {"v": 0, "alpha": Rational(1, 4)}, (1 - sqrt(2) / 2) / lam),
    (Spherical(), ("alpha", 0), {}, sqrt(2 * alpha) - sqrt(2) * alpha ** Rational(3, 2) / 2),
]


@pytest.mark.parametrize(("ensemble", "limit", "given", "expected"), BASINS)
def test_basins_where_inner_unknowns_have_a_formula(ensemble, limit, given, expected):
    found = atlas["retrieval-basin"].with_(ensemble=ensemble).limit(*limit, where=given, order=1)
    assert corroborated(found)
    assert same(found.expr, expected)


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_condensation_goes_away_like_a_logarithm(order):
    """Binary: (2 l + 1) exp(-2 l) = log 2 - alpha, and logarithms of logarithms."""
    found = atlas["rem-condensation"].with_(ensemble=Binary()).limit("alpha", log(2), direction="-", order=order)
    assert found.verdict is Verdict.CORROBORATED
    large = -log(log(2) - alpha)
    scales = [large / 2, log(large) / 2, log(large) / (2 * large), 1 / (2 * large)]
    near = log(2) - exp(-sp.Symbol("X", positive=True))
    assert sp.simplify((found.expr - sum(scales[: order + 1])).subs(alpha, near)) == 0


def test_a_point_with_no_closed_form_to_it_is_refused():
    with pytest.raises(DeriveError, match="no parameter"):
        atlas["retrieval-capacity"].limit("lam", "l")


def test_an_inner_point_from_both_sides():
    found = atlas["retrieval-capacity"].limit("lam", 1, direction="+-")
    assert [c.limit for c in found.cases] == [Rational(1, 2), Rational(1, 2)]
    assert found.limit == Rational(1, 2)
    assert not found.reason


def test_what_neither_side_decides_is_said_once():
    found = atlas["rem-condensation"].with_(ensemble=Binary()).limit("alpha", 2, direction="+-")
    assert [c.limit for c in found.cases] == [None, None]
    assert found.verdict is Verdict.UNDECIDED
    assert "direction" not in found.reason
    assert found.reason.count("no condensation") == 1


def test_no_value_above_the_entropy():
    found = TC.with_(ensemble=Binary()).limit("alpha", 2)
    assert found.verdict is Verdict.UNDECIDED
    assert "entropy" in found.reason


def test_the_fields_are_plain_data():
    data = TC.limit("alpha_D", 0, order=1).to_dict()
    assert data["leading"] == {"coefficient": "1", "scale": "exp(-2*alpha/alpha_D)/alpha_D"}
    assert [w["name"] for w in data["witnesses"]] == ["symbolic", "numerical", "beyond all orders"]
    assert data["verdict"] == "CORROBORATED"


BAD = [
    (("alpha_E", 0), {}, "alpha_D"),
    (("alpha_D", -1), {}, "alpha_D=0"),
    (("alpha_D", 0), {"direction": "-"}, "+"),
    (("alpha_D", 0), {"direction": "up"}, "+"),
    (("alpha_D", "zero"), {}, None),
    (("alpha_D", float("nan")), {}, None),
    (("alpha_D", 0), {"order": -1}, None),
    (("alpha_D", 0), {"of": "sqrt"}, None),
    (("alpha_D", 0), {"hold": {"alpha": alpha / alpha_D}}, None),
    (("alpha_D", 0), {"hold": {"kappa": alpha**2}}, None),
    (("alpha_D", 0), {"where": {"alpha": -1}}, None),
    (("alpha_D", 0), {"where": alpha_D < 1}, None),
    (("alpha_D", 0), {"where": sp.Symbol("aplha") < 1}, "alpha"),
    (("alpha_D", 0), {"over": "colapse-time"}, "collapse-time"),
]


@pytest.mark.parametrize(("arguments", "options", "nearest"), BAD)
def test_bad_questions_are_one_line(arguments, options, nearest):
    with pytest.raises(DeriveError) as error:
        TC.limit(*arguments, **options)
    assert "\n" not in str(error.value)
    assert error.value.nearest == nearest


def test_long_coefficients_are_factored() -> None:
    """FLINT's binding raises where the coefficients of two factors are longer than a machine integer."""
    import flint

    from derive.methods.asymptotics.coefficients import factors_of

    x, y = flint.fmpz_mpoly_ctx.get(("x", "y"), flint.Ordering.lex).gens()
    big = 10**40
    first, second = big * x + (big + 1) * y, big * x + 3
    content, factors = factors_of(6 * first * second)
    assert content == 6
    assert {(str(f), int(k)) for f, k in factors} == {(str(first), 1), (str(second), 1)}


def test_both_sides_of_a_point_share_the_time_box(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, boxes = limit_of(alpha, alpha, 1), []

    def one_side(problems: object, solvers: object, request: Any, subject: str) -> Expansion:
        boxes.append(request.seconds)
        return answer

    monkeypatch.setattr("derive.methods.scaling.scaling_limit", one_side)
    atlas["collapse-time"].limit("alpha_D", 1, direction="+-", seconds=40.0)
    assert boxes[0] <= 20.0
    assert boxes[0] < boxes[1] <= 40.0
