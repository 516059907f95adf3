"""Saddle points and the thresholds above them: what is proven holds the values of other routes, the rest is said."""

from __future__ import annotations

import random
from typing import Any

import mpmath
import pytest
import sympy as sp
from flint import arb
from sympy import Rational, Symbol

from derive import HiddenManifold, atlas
from derive.certify import certify
from derive.core import Verdict
from derive.ledger.balls import NotEnclosed, precision
from derive.ledger.krawczyk import NoBox
from derive.ledger.saddle_roots import SaddleRoots, saddle_chain
from derive.ledger.site_balls import SiteBalls
from derive.ledger.site_bounds import Growth, Tilt, growth_of, smooth_pieces
from derive.ledger.site_calculus import SiteCalculus
from derive.symbols import alpha_D, l

H = Symbol("h", real=True)
SEED = 20261125


def relu(h: Any) -> Any:
    return sp.Max(0, h)


def noise(activation: Any) -> Any:
    """The saddle of the noise of a dense memory."""
    chain = saddle_chain(atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(activation)).problem.stages[0])
    assert chain is not None
    return chain[1]


def solved(activation: Any, at: float, ratio: float) -> tuple[float, float, float]:
    """The overlaps of the noise at an inverse temperature below the one of the noise."""
    quantity = atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(activation))
    found = quantity.solver()(lam=at, alpha_D=ratio).outputs
    assert float(found["lambda_noise"]) == at
    return float(found["m"]), float(found["q"]), float(found["r"])


def roots(thresholds: Any = (), starts: Any = (), moved: float = 0.0, **known: Any) -> SaddleRoots:
    m, q, r = solved(sp.sign, 0.5, 0.5)
    values = {alpha_D: Rational(1, 2), **({} if thresholds else {l: Rational(1, 2)})}
    return SaddleRoots(noise(sp.sign), thresholds, values, (m + moved, q + moved, r + moved), starts, True)


def sign_onset(alpha: str, overlaps: tuple[float, float, float], start: float) -> Any:
    """t of the onset for signs at D = N/2 from one integral in mpmath; errors of the overlaps count squared."""
    a, ratio = mpmath.mpf(alpha), mpmath.mpf("0.5")
    m, q, r = map(mpmath.mpf, overlaps)
    p, V = q - m * m, r - q

    def balance(t: Any) -> Any:
        wrong = mpmath.exp(-2 / t)

        def integrand(f: Any) -> Any:  # f = omega / sqrt q, given a positive planted field
            x = mpmath.sqrt(q / V) * f
            weight = mpmath.npdf(f) * 2 * mpmath.ncdf(m * f / mpmath.sqrt(p))
            return weight * mpmath.log(mpmath.ncdf(x) + wrong * mpmath.ncdf(-x))

        site = mpmath.quad(integrand, mpmath.linspace(-12, 12, 9))
        return a + ratio / 2 * (mpmath.log(V) + p / V + 1 - m * m - p - V) + site

    return mpmath.findroot(balance, (start, start * (1 + 1e-9)), tol=1e-18)


def test_a_threshold_of_signs_against_mpmath() -> None:
    quantity = atlas["onset-time"].with_(ensemble=HiddenManifold(sp.sign))
    found = certify(quantity, 12, alpha="3/10", alpha_D="1/2")
    assert found.verdict is Verdict.CERTIFIED, found.obstacle
    assert found.digits == 12
    doubles = quantity.solver()(alpha=0.3, alpha_D=0.5)
    m, q, r = (float(doubles.outputs[k]) for k in "mqr")
    with mpmath.workdps(20):
        t = sign_onset("0.3", (m, q, r), float(doubles.value))
        low, high = mpmath.mpf(found.lower), mpmath.mpf(found.upper)
        assert low - t * mpmath.mpf(10) ** -17 < t < high + t * mpmath.mpf(10) ** -17
        assert high - low < t * mpmath.mpf(10) ** -12
        there = {"m": m, "log (q - m^2)": mpmath.log(q - m * m), "log (r - q)": mpmath.log(r - q),
                 "log t_o": mpmath.log(t)}
        assert set(found.brackets) == set(there)
        for name, ends in found.brackets.items():
            assert mpmath.mpf(ends[0]) < there[name] < mpmath.mpf(ends[1])
    assert "not proven" in found.uniqueness  # that no other saddle point lies higher


def test_at_the_end_of_the_interval() -> None:
    capacity = atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(sp.sign))
    found = certify(capacity, 6, lam="1/2", alpha_D="1/2")
    assert found.verdict is Verdict.CERTIFIED
    assert found.branch == "unsaturated"
    assert "l = 1/2" in found.existence
    assert float(found.value) == pytest.approx(float(capacity.solver()(lam=0.5, alpha_D=0.5).value), rel=2e-6)


@pytest.mark.slow
def test_inside_the_interval() -> None:
    capacity = atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(sp.tanh))
    found = certify(capacity, 6, seconds=300, lam="3", alpha_D="1/2")
    assert found.verdict is Verdict.CERTIFIED, found.obstacle
    assert found.branch == "saturated"
    assert "log l" in found.brackets
    assert float(found.value) == pytest.approx(float(capacity.solver()(lam=3.0, alpha_D=0.5).value), rel=2e-6)


def test_a_false_root_is_refused() -> None:
    with pytest.raises(NoBox):
        roots(moved=1e-3)


def test_a_double_point_is_refused() -> None:
    with pytest.raises(NoBox):
        roots([(l, (l - Rational(1, 2)) ** 2)], [float(sp.log(0.5))])


def test_two_roots_in_a_box_are_not_called_one() -> None:
    near = Rational(1, 2) + Rational(1, 10**6)
    found = roots([(l, (l - Rational(1, 2)) * (l - near))], [float(sp.log(0.5))])
    bracket = found.brackets[f"log {l.name}"]
    with precision(100):
        first, second = (arb(1) / 2).log(), (arb(1) / 2 + arb(10) ** -6).log()
        assert bracket.contains(first)
        assert not bracket.overlaps(second)


def test_on_the_boundary_there_is_no_root() -> None:
    with pytest.raises(NotEnclosed, match="boundary"):
        SaddleRoots(noise(sp.sign), (), {alpha_D: Rational(1, 2), l: Rational(1, 2)}, (0.5, 0.25, 1.0), (), True)


def test_what_has_no_enclosure_is_said() -> None:
    quantity = atlas["onset-time"].with_(ensemble=HiddenManifold(lambda h: sp.sign(h**2 - 1)))
    found = certify(quantity, 6, alpha="1/10", alpha_D="2")
    assert found.verdict is Verdict.CORROBORATED
    assert "kinks are not known exactly" in found.obstacle
    assert float(found.value) > 0


def test_time_that_runs_out_is_said() -> None:
    quantity = atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(sp.tanh))
    found = certify(quantity, 30, seconds=0.2, lam="1/2", alpha_D="1/2")
    assert found.verdict is Verdict.CORROBORATED
    assert "0.2 s" in found.obstacle


def test_averages_and_their_derivatives() -> None:
    """The derivatives found by Stein's lemma are those of the balls themselves."""
    stage = noise(sp.sign)
    calculus = SiteCalculus(stage)
    m, q, r = solved(sp.sign, 0.5, 0.5)
    step = Rational(1, 2**14)
    point = {alpha_D: Rational(1, 2), l: Rational(1, 2), calculus.m: Rational(m), calculus.p: Rational(q - m * m),
             calculus.V: Rational(r - q)}

    def mean(e: Any, shift: dict[Symbol, Any]) -> Any:
        moved = {k: arb(0) + _exact(v + shift.get(k, 0)) for k, v in point.items()}
        return SiteBalls(calculus, moved, 128, 56, True).means([e])[0]

    with precision(128):
        for z in (calculus.m, calculus.p, calculus.V, l):
            exact = mean(calculus.derivative(calculus.site, z), {})
            apart = (mean(calculus.site, {z: step}) - mean(calculus.site, {z: -step})) / (2 * _exact(step))
            assert abs(exact - apart).upper() < arb("1e-7")
            assert exact.rad() < arb("1e-12")


def _exact(x: Any) -> arb:
    return arb(int(x.p)) / int(x.q)


def test_pieces_and_growth() -> None:
    pieces = smooth_pieces(sp.Max(-1, sp.Min(1, H)), H)
    assert [(a, b) for a, b, _ in pieces] == [(-sp.oo, -1), (-1, 1), (1, sp.oo)]
    growth = growth_of(pieces, H)
    assert growth.slope == 0
    assert 1 <= growth.flat < 1.001
    leaky = growth_of(smooth_pieces(sp.Max(H / 10, H), H), H)
    for y in (-30.0, -0.5, 0.0, 2.0, 40.0):
        assert max(y / 10, y) <= float(leaky.at(abs(arb(y))))
    with pytest.raises(NotEnclosed):
        growth_of(smooth_pieces(H**2, H), H)


@pytest.mark.parametrize("pull", [0.1, 1.0, 4.0])
@pytest.mark.parametrize(("growth", "f"), [((1, 0), mpmath.tanh), ((0, 1), lambda y: max(0, y))], ids=["tanh", "relu"])
@pytest.mark.parametrize("C", [0.0, -2.0])
def test_bounds_hold_under_the_tilted_law(pull: float, growth: tuple[int, int], f: Any, C: float) -> None:
    tilt = Tilt(Growth(arb(growth[0]), arb(growth[1])), arb(pull), arb(C), arb("0.7"), arb(2))
    for omega in (-2.0, 0.3, 2.0):
        def weight(w: Any, omega: float = omega) -> Any:
            s = f(omega + mpmath.sqrt(mpmath.mpf("0.7")) * w)
            return mpmath.npdf(w) * mpmath.exp(pull * s + C * s * s)

        total = mpmath.quad(weight, mpmath.linspace(-20, 20, 21))
        assert abs(mpmath.log(total)) <= float(tilt.level) + 1e-9
        for k in range(1, 5):
            moment = mpmath.quad(lambda w, k=k: abs(w) ** k * weight(w), mpmath.linspace(-20, 20, 21)) / total
            assert moment <= float(tilt.absolute(k)) + 1e-9


def drawn(count: int) -> list[tuple[str, Any, dict[str, str]]]:
    rng = random.Random(SEED)
    kinds = [
        ("retrieval-capacity", sp.tanh, {"lam": (0.2, 0.9), "alpha_D": (0.3, 2)}),
        ("retrieval-capacity", sp.erf, {"lam": (0.2, 0.9), "alpha_D": (0.3, 2)}),
        ("retrieval-capacity", relu, {"lam": (0.1, 0.3), "alpha_D": (0.5, 2)}),
        ("rem-condensation", sp.sign, {"alpha": (0.02, 0.15), "alpha_D": (0.5, 2)}),
        ("onset-time", sp.sign, {"alpha": (0.05, 0.3), "alpha_D": (0.5, 2)}),
        ("onset-time", sp.tanh, {"alpha": (0.05, 0.2), "alpha_D": (0.5, 2)}),
        ("retrieval-capacity", sp.sin, {"lam": (0.2, 0.9), "alpha_D": (0.3, 2)}),
    ]
    return [(name, sigma, {k: f"{rng.uniform(*ends):.4g}" for k, ends in ranges.items()})
            for name, sigma, ranges in kinds for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("case", drawn(2), ids=lambda case: f"{case[0]}/{getattr(case[1], '__name__', case[1])}")
def test_at_drawn_points_the_box_holds_the_solver_s_value(case: tuple[str, Any, dict[str, str]]) -> None:
    name, sigma, parameters = case
    quantity = atlas[name].with_(ensemble=HiddenManifold(sigma))
    found = certify(quantity, 6, **parameters)
    assert found.verdict is Verdict.CERTIFIED, found.obstacle
    other = float(quantity.solver()(**{k: float(v) for k, v in parameters.items()}).value)
    slack = 1e-9 * abs(other)  # the solver works in doubles
    assert float(found.lower) - slack <= other <= float(found.upper) + slack


@pytest.mark.parametrize("noisy", [False, True], ids=["plain", "noisy"])
def test_balls_of_doubles_overlap_those_of_many_bits(noisy: bool) -> None:
    """The averages of one site and their derivatives, in either arithmetic, are balls about the same numbers."""
    ensemble = HiddenManifold(sp.sign)
    name, parameters = ("collapse-time", {"alpha": 0.2, "alpha_D": 0.5}) if noisy else (
        "retrieval-capacity", {"lam": 0.5, "alpha_D": 0.5})
    quantity = atlas[name].with_(ensemble=ensemble)
    chain = saddle_chain(quantity.problem.stages[0])
    assert chain is not None
    calculus = SiteCalculus(chain[1])
    (m, q, r) = (float(quantity.solver()(**parameters).outputs[k]) for k in "mqr")
    point = {calculus.m: Rational(m), calculus.p: Rational(q - m * m), calculus.V: Rational(r - q),
             **{s: Rational(1, 2) for s in chain[1].site.exponent.free_symbols | chain[1].site.query.free_symbols
                | chain[1].ratio.free_symbols}}
    exprs = [calculus.site, *(calculus.derivative(calculus.site, z) for z in calculus.unknowns)]
    with precision(128):
        balls = {k: _exact(v) for k, v in point.items()}
        fast = SiteBalls(calculus, balls, 128, 40, True).means(exprs)
        slow = SiteBalls(calculus, balls, 128, 48, True).means(exprs)
        for a, b in zip(fast, slow, strict=True):
            assert a.overlaps(b)
            assert a.rad() < arb("1e-8")
            assert b.rad() < arb("1e-12")


def test_an_unknown_of_another_branch_is_not_asked_for() -> None:
    """Below the collapse the basin has the radius at which it froze; the s of the branch above has no root there."""
    quantity = atlas["basin-radius"].with_(ensemble=HiddenManifold(sp.sign))
    found = certify(quantity, 6, alpha="1/5", t="3/10", alpha_D="1/2")
    assert found.verdict is Verdict.CERTIFIED, found.obstacle
    assert found.branch == "collapsed"
    value = float(quantity.solver()(alpha=0.2, t=0.3, alpha_D=0.5).value)
    assert float(found.lower) - 1e-9 <= value <= float(found.upper) + 1e-9
