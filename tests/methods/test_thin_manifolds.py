"""Limits of thresholds over a saddle point: the law of a thin manifold for any activation, and the two witnesses."""

from fractions import Fraction

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Interval, Rational, exp, oo, sqrt

from derive import DeriveError, Verdict, atlas
from derive.core import Problem
from derive.ensembles import Activation
from derive.methods.asymptotics.argument import Request, argument, kept_terms, scale_of
from derive.methods.asymptotics.dominance import spelled
from derive.methods.asymptotics.linearised import DELTA, FIELD, KAPPA, PI, RHO, SLOPES, LocalAverage, local_site
from derive.nodes import GaussianAverage
from derive.solvers.narrow import narrow_solver
from derive.symbols import alpha, alpha_D

H = sp.Symbol("h", real=True)
SCALE = exp(-2 * alpha / alpha_D) / alpha_D
NAMES = ("collapse-time", "onset-time", "generalization-time")


def problem(name: str, activation) -> Problem:
    return atlas[name].with_(activation=activation).problem


def series(name: str, activation, order: int = 1):
    """The terms of the symbolic argument, by scale."""
    request = Request(alpha_D, sp.S.Zero, order=order, intervals={alpha: Interval.open(0, oo)})
    found, _, _ = argument([problem(name, activation)], request, float("inf"))
    return {scale_of(m, request): spelled(c) for m, c in found.ring.ordered(found.series)}


def moment(slope, power: int):
    """E sigma'^power to 25 digits, by its definition."""
    with mpmath.workdps(25):
        f = sp.lambdify(H, slope**power * exp(-H**2 / 2) / sqrt(2 * sp.pi), "mpmath")
        return mpmath.quad(f, [-12, -6, -3, -1, 0, 1, 3, 6, 12])


# ------------------------------------------------------------------------------------------------- identities


def test_the_leading_site_is_that_of_a_straight_line():
    """A straight activation has no higher derivatives: what is left is exact, by Gaussian integration."""
    s = SLOPES[0] ** 2
    expected = -sp.log(1 + KAPPA * s) / 2 - (RHO + PI * s) / (2 * (1 + KAPPA * s))
    assert sp.simplify(local_site().leading - expected) == 0
    following = local_site().following.subs({SLOPES[1]: 0, SLOPES[2]: 0})
    assert sp.simplify(following + DELTA**2 * s * FIELD**2 / (2 * (1 + KAPPA * s))) == 0


def test_averages_take_out_what_does_not_depend_on_the_slopes():
    found = LocalAverage(3 * KAPPA * SLOPES[0] ** 2, sp.tanh(FIELD))
    assert sp.simplify(found / (3 * KAPPA) - LocalAverage(SLOPES[0] ** 2, sp.tanh(FIELD))) == 0
    assert found.diff(KAPPA) == found / KAPPA
    assert found.free_symbols == {KAPPA}


@pytest.mark.parametrize("name", NAMES)
def test_a_stretched_line_is_the_line_at_another_time(name):
    """sigma(h) = a h multiplies all data by a, hence all times by a^2: two routes, one of them without a saddle."""
    a = Rational(3, 2)
    linear = atlas[name].problem
    request = Request(alpha_D, sp.S.Zero, order=2, intervals={alpha: Interval.open(0, oo)})
    known, _, _ = argument([linear], request, float("inf"))
    expected = {scale_of(m, request): spelled(c) for m, c in known.ring.ordered(known.series)}
    found = series(name, lambda h: a * h, order=2)
    shown = [k for k in found if k in expected][:4]
    assert len(shown) == 4
    for k in shown:
        assert sp.simplify(found[k] - a**2 * expected[k]) == 0


# -------------------------------------------------------------------------------------------------- the law


@pytest.mark.parametrize(("activation", "slope"), [
    (sp.tanh, 1 - sp.tanh(H) ** 2),
    (sp.erf, 2 / sqrt(sp.pi) * exp(-H**2)),
    pytest.param(sp.sin, sp.cos(H), marks=pytest.mark.slow),
    (lambda h: h**3 - h, 3 * H**2 - 1),
    (lambda h: sp.Max(0, h), sp.Heaviside(H)),
    (lambda h: sp.Abs(h) + h / 3, sp.sign(H) + Rational(1, 3)),
    pytest.param(lambda h: h + sp.tanh(h) / 2, Rational(3, 2) - sp.tanh(H) ** 2 / 2, marks=pytest.mark.slow),
])
def test_prefactor_and_first_correction(activation, slope):
    """t_c ~ (E sigma'^2/alpha_D) e^(-2 alpha/alpha_D) [1 - (alpha_D/2) E sigma'^4/(E sigma'^2)^2]."""
    found = series("collapse-time", activation)
    second, fourth = (moment(slope, k) for k in (2, 4))
    assert abs(sp.N(found[SCALE], 25) - second) < 1e-15
    assert abs(sp.N(found[sp.powsimp(SCALE * alpha_D)], 25) + fourth / (2 * second)) < 1e-15 * fourth


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.fractions(Fraction(1, 4), 3, max_denominator=9), st.fractions(-2, 2, max_denominator=9))
def test_ratios_of_the_times_hold_for_any_cubic(a, b):
    """t_g/t_c = alpha_D and t_o/t_c = e to all powers, whatever the activation."""
    cubic = Activation(Rational(a) * H + Rational(b) * H**3)
    collapse, onset, best = (series(name, cubic) for name in NAMES)
    for k, scale in enumerate((SCALE, sp.powsimp(SCALE * alpha_D), sp.powsimp(SCALE * alpha_D**2))):
        shifted = sp.powsimp(scale * alpha_D)
        assert sp.simplify(onset[scale] - sp.E * collapse[scale]) == 0, k
        assert sp.simplify(best[shifted] - collapse[scale]) == 0, k


def test_the_first_exponential_hangs_on_the_curvature():
    """Relative size e^(-2 alpha/alpha_D) (1 - E sigma''^2/(2 E sigma'^2)), from information in Gaussian channels."""
    second = exp(-4 * alpha / alpha_D) / alpha_D
    slope, bend = 3 * H**2 - 1, 6 * H
    found = series("collapse-time", lambda h: h**3 - h)
    expected = moment(slope, 2) * (1 - moment(bend, 2) / (2 * moment(slope, 2)))
    assert abs(sp.N(found[second], 25) - expected) < 1e-15


# ---------------------------------------------------------------------------------------- the numerical witness


def test_the_narrow_solver_agrees_with_the_linear_manifold():
    """Of a stretched line, where the linear manifold has an equation without a saddle point."""
    narrow = narrow_solver(problem("collapse-time", lambda h: 2 * h))
    for a, d in ((Fraction(1), Fraction(1, 20)), (Fraction(2), Fraction(1, 10))):
        exact = atlas["collapse-time"].solver("mpmath")(digits=30, alpha=a, alpha_D=d).value[()]
        with mpmath.workdps(30):
            assert abs(narrow({"alpha": a, "alpha_D": d}, 20) / (4 * mpmath.mpf(str(exact))) - 1) < 1e-19


def test_the_narrow_solver_declines_where_overlaps_are_wide():
    narrow = narrow_solver(problem("collapse-time", sp.tanh))
    assert narrow({"alpha": Fraction(1, 5), "alpha_D": Fraction(1, 2)}, 20) is None
    with pytest.raises(DeriveError, match="no root over one saddle point"):
        narrow_solver(atlas["retrieval-capacity"].problem)


def test_kinks_have_two_witnesses():
    """ReLU silences half of the rows: a linear manifold of ratio 2 alpha_D, 1/(2 alpha_D) (1 - a/2 - a^2/24) there."""
    found = atlas["collapse-time"].with_(activation=lambda h: sp.Max(0, h)).limit("alpha_D", 0, order=2, seconds=240)
    assert found.verdict is Verdict.CORROBORATED
    expected = (1 - alpha_D - alpha_D**2 / 6) / 2
    assert sp.simplify(sp.expand(found.expr / SCALE - expected)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_steps_have_no_such_time_and_the_reason_is_a_law(name):
    """The most that patterns of signs carry, alpha_D (log(c/alpha_D) + 1/2), against the solver of saddle points."""
    signs = atlas[name].with_(activation=sp.sign)
    found = signs.limit("alpha_D", 0)
    assert found.verdict is Verdict.UNDECIDED
    assert found.limit is None
    assert "jumps and no slope" in found.reason
    text = found.reason.partition("about ")[2].partition(" per N with c = ")
    law, c = sp.sympify(text[0], locals={"alpha_D": alpha_D}), Rational(text[2].partition(",")[0])
    if name == "collapse-time":
        ratios = (0.04, 0.02)
        exact = [float(signs.solver()(alpha=0.001, alpha_D=a).outputs["pattern_entropy"]) for a in ratios]
        left = [e - float(law.subs({"c": c, alpha_D: a})) for e, a in zip(exact, ratios, strict=True)]
        assert abs(left[1]) < 1e-3 * exact[1]
        assert 3 < left[0] / left[1] < 16  # what is left falls faster than the square of alpha_D


@pytest.mark.slow
def test_the_solver_of_saddle_points_sees_the_exponential():
    """Where t is not tiny: what the law leaves falls like the next exponential, by e^-4 from load to load."""
    loads, ratio = (0.2, 0.3, 0.4), 0.1
    solve = atlas["collapse-time"].with_(activation=sp.tanh).solver()
    found = series("collapse-time", sp.tanh, order=3)
    left = []
    for load in loads:
        law = sum(c * k for k, c in found.items()).subs({alpha: load, alpha_D: ratio})
        left.append(abs(float(solve(alpha=load, alpha_D=ratio).value) / float(sp.N(law)) - 1))
    assert left[1] < 1e-2 * float(sp.exp(-2 * loads[1] / ratio)) ** 0.5
    assert left[2] < left[1] < left[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tanh_has_two_witnesses(name):
    found = atlas[name].with_(activation=sp.tanh).limit("alpha_D", 0, order=1, seconds=240)
    assert found.verdict is Verdict.CORROBORATED
    assert [w.verdict.sound for w in found.witnesses] == [True, True]
    assert found.terms[0].coefficient.has(GaussianAverage)
    assert any("E[sigma'^k]" in str(a) for a in found.assumptions)


@pytest.mark.slow
def test_a_wrong_coefficient_is_refuted(monkeypatch):
    """The second witness sees a symbolic argument that is wrong by one percent."""
    from derive.methods.asymptotics import cases

    def wrong(ring, s, request):
        shown, beyond = kept_terms(ring, s, request)
        return [(m, c * Rational(101, 100)) if k == 1 else (m, c) for k, (m, c) in enumerate(shown)], beyond

    monkeypatch.setattr(cases, "kept_terms", wrong)
    found = atlas["collapse-time"].with_(activation=sp.tanh).limit("alpha_D", 0, order=1, seconds=240)
    assert found.verdict is Verdict.REFUTED
    assert "not of the order claimed" in found.reason
