"""What is read off a spectrum, with proof: enclosures hold closed forms and other routes, touching bulks are said."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import mpmath
import pytest
import sympy as sp
from click.testing import CliRunner
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational

from derive import HiddenManifold, atlas
from derive.certify import certify, certify_spectrum
from derive.cli import cli
from derive.core import DeriveError, Verdict
from derive.ensembles import VarianceManifold
from derive.ledger.balls import NotEnclosed, precision
from derive.ledger.free_sums import FreeSum, falling_root

SEED = 20261127
DIGITS = 30
TWO = {1: Rational(1, 2), Rational(1, 25): Rational(1, 2)}
THREE = {1: Rational(1, 3), Rational(9, 100): Rational(1, 3), Rational(1, 10**4): Rational(1, 3)}
MANIFOLDS = {
    "isotropic": HiddenManifold(), "two": VarianceManifold(TWO), "three": VarianceManifold(THREE),
    "tanh": HiddenManifold(sp.tanh), "relu, two": VarianceManifold(TWO, lambda h: sp.Max(0, h)),
}
ASKED = {
    "spectral-edges": ((), ("t",)), "spectral-gap": (("t",),), "gap-times": (("resolution",),),
    "spectral-density": (("c",), ("t", "j")),
}


def drawn(name: str, given_: tuple[str, ...], rng: random.Random) -> dict[str, str]:
    ranges = {"alpha_D": (0.05, 3), "t": (0.01, 3), "resolution": (0.05, 0.9), "c": (0.01, 5), "j": (-0.95, -0.05)}
    return {k: f"{rng.uniform(*ranges[k]):.4g}" for k in ("alpha_D", *given_)}


@pytest.mark.parametrize("manifold", MANIFOLDS)
@pytest.mark.parametrize("name", ASKED)
def test_the_enclosures_hold_the_other_route(name: str, manifold: str) -> None:
    """At drawn points, those of the polynomial's roots to 40 digits; the same entries are there."""
    rng = random.Random(f"{SEED}/{name}/{manifold}")
    for parameters in (p for p in ASKED[name] for _ in range(2)):
        quantity = atlas[name].with_(ensemble=MANIFOLDS[manifold]).given(*parameters)
        point = drawn(name, parameters, rng)
        found, other = certify_spectrum(quantity, DIGITS, **point), quantity.solver("mpmath")(digits=40, **point)
        if not bool(other.converged):
            assert found.verdict is Verdict.UNDECIDED
            continue
        assert (found.verdict, found.digits, found.obstacle) == (Verdict.CERTIFIED, DIGITS, ""), point
        values = {quantity.symbol.name: other.value, **other.outputs}
        for key, row in found.values.items():
            there = [v for v in values[key].reshape(-1) if v != "nan"]
            assert len(there) == len(row), (key, point)
            with mpmath.workdps(60):
                for one, value in zip(row.values(), map(mpmath.mpf, there), strict=True):
                    slack = abs(value) * mpmath.mpf(10) ** -38
                    assert mpmath.mpf(one.lower) - slack <= value <= mpmath.mpf(one.upper) + slack, (key, point)
                    assert abs(mpmath.mpf(one.value) - value) <= abs(value) * mpmath.mpf(10) ** -(DIGITS - 1)


def test_one_variance_against_the_closed_form() -> None:
    found = certify_spectrum(atlas["spectral-edges"], 60, alpha_D="3/7")
    low, high = found.values["gamma"].values()
    with mpmath.workdps(80):
        for one, sign in ((low, -1), (high, 1)):
            edge = (1 + sign / mpmath.sqrt(mpmath.mpf(3) / 7)) ** 2
            assert mpmath.mpf(one.lower) < edge < mpmath.mpf(one.upper)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 60)), min_size=1, max_size=4, unique_by=lambda p: p[0]))
def test_every_critical_point_is_where_its_bracket_says(parts: list[tuple[int, int]]) -> None:
    """Edges ascend, and count as many critical points as the polynomial has real roots (an exact count by Sturm)."""
    total = sum(a for _, a in parts)
    balls = [(arb(fmpq(v, 100)), arb(fmpq(a, 40))) for v, a in parts]
    with precision(200):
        law = FreeSum(arb(0), balls, (total > 40) - (total < 40), 200)
    edges = [edge for pair in law.bulks for edge in pair]
    with precision(200):
        assert all(a.place < b.place for a, b in pairwise(edges))
        assert all(e.bracket[0] < e.point < e.bracket[1] for e in edges if e.bracket is not None)
    u = sp.Symbol("u")
    load = sum(Rational(a, 40) * Rational(v, 100) ** 2 / (u - Rational(v, 100)) ** 2 for v, a in parts) - 1
    assert sp.Poly(sp.fraction(sp.cancel(sp.together(load)))[0], u).count_roots() == len(edges)


def touching(delta: arb) -> list[tuple[arb, arb]]:
    """v = 1 and 4 with weights a and 16 a scaled so that the least load between them is 1 + delta."""
    v, w = arb(1), arb(4)
    ratio = (w / v) ** (arb(2) / 3)  # where the slope of 1/(u - v)^2 + 16/(w - u)^2 vanishes
    u = v + (w - v) / (1 + ratio)
    least = 1 / (u - v) ** 2 + 16 / (w - u) ** 2
    return [(v, (1 + delta) / least), (w, (1 + delta) / least)]


def test_bulks_that_touch_are_not_counted() -> None:
    with precision(200):
        tiny = arb(10) ** -30
        assert len(FreeSum(arb(0), touching(-tiny), -1, 200).bulks) == 2
        assert len(FreeSum(arb(0), touching(tiny), -1, 200).bulks) == 1
        with pytest.raises(NotEnclosed, match="touch"):
            FreeSum(arb(0), touching(arb(0)), -1, 200)


def test_signs_that_are_not_there_are_no_root() -> None:
    with pytest.raises(NotEnclosed, match="no sign"):
        falling_root(lambda x: 1 + x * x, lambda x: 2 * x, arb(1), arb(2))


def test_at_the_joints_nothing_is_claimed() -> None:
    """A resolution that is the largest gap itself, the edge itself, a hard edge, no gap at all."""
    at_edge = certify_spectrum(atlas["spectral-density"].given("c"), 20, alpha_D="1/4", c="1")
    assert at_edge.verdict is not Verdict.CERTIFIED
    assert "edge" in at_edge.obstacle
    hard = certify_spectrum(atlas["spectral-density"].given("c"), 20, alpha_D="1", c="0")
    assert hard.verdict is Verdict.UNDECIDED
    assert "hard edge" in hard.obstacle
    none = certify_spectrum(atlas["gap-times"], 20, alpha_D="2", resolution="1/10")
    assert none.verdict is Verdict.UNDECIDED
    assert "no final gap" in none.obstacle
    outside = certify_spectrum(atlas["spectral-density"].given("c"), 20, alpha_D="1/4", c="10")
    assert [k.value for k in outside.values["rho"].values()] == ["0"]


def test_what_cannot_be_asked() -> None:
    with pytest.raises(DeriveError, match="on a grid"):
        certify_spectrum(atlas["spectral-density"], 20, alpha_D="1/4")
    with pytest.raises(DeriveError, match="not read off a spectrum"):
        certify_spectrum(atlas["collapse-time"], 20, alpha="1", alpha_D="1")
    with pytest.raises(DeriveError, match="digits"):
        certify_spectrum(atlas["spectral-edges"], 0, alpha_D="1/4")
    with pytest.raises(DeriveError, match="read off a spectrum"):
        certify(atlas["spectral-edges"], 20, alpha_D="1/4")


def run(*words: str) -> Any:
    return CliRunner().invoke(cli, words)


def test_on_the_command_line() -> None:
    words = ("solve", "gap-times", "alpha_D=0.3", "resolution=0.1", "--variances", "1:1/2,0.04:1/2", "--certify")
    shown = run(*words)
    assert shown.exit_code == 0
    for expected in ("CERTIFIED", "2 bulks", "bracket of u of edge 4", "existence", "uniqueness", "30 proven"):
        assert expected in shown.output
    data = json.loads(run(*words, "--json").output)
    assert data["exists"]
    assert data["values"]["t_open"]["1"]["value"].startswith("8.92713616466344964")
    grid = run("solve", "spectral-density", "alpha_D=0.3", "--certify")
    assert (grid.exit_code, len(grid.output.strip().splitlines())) == (2, 1)
