"""Proven digits: enclosures hold the values of an independent route, and what cannot be proven is said."""

import json
import math
import random
import subprocess
import sys
from fractions import Fraction
from typing import Any

import mpmath
import pytest
import sympy as sp
from flint import arb
from sympy import Rational, Symbol

from derive import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas
from derive.certify import certify
from derive.core import DeriveError, Stage, Verdict
from derive.ledger.stage_roots import Obstacle, Undecided, krawczyk, newton, within_ends

SEED = 20261124
X = Symbol("x", real=True)


def drawn(count: int) -> list[tuple[str, Any, dict[str, str]]]:
    """Thresholds at random points, one after the other."""
    rng = random.Random(SEED)
    kinds = [
        ("collapse-time", HiddenManifold(), {"alpha": (0.05, 3), "alpha_D": (0.05, 5)}),
        ("onset-time", HiddenManifold(), {"alpha": (0.05, 3), "alpha_D": (0.05, 5)}),
        ("generalization-time", HiddenManifold(), {"alpha": (0.05, 3), "alpha_D": (0.05, 5)}),
        ("collapse-time", Gaussian(), {"alpha": (0.05, 3)}),
        ("rem-condensation", Spherical(), {"alpha": (0.05, 3)}),
        ("rem-condensation", Binary(), {"alpha": (0.05, 0.6)}),
        ("retrieval-capacity", Binary(), {"lam": (0.1, 3)}),
        ("retrieval-capacity", Spherical(), {"lam": (0.1, 9)}),
        ("retrieval-capacity", HiddenManifold(), {"lam": (0.1, 4), "alpha_D": (0.1, 3)}),
        ("full-capacity", Binary(), {"lam": (0.1, 3)}),
    ]
    cases = []
    for name, ensemble, ranges in kinds[:count]:
        cases.append((name, ensemble, {k: f"{rng.uniform(*ends):.4g}" for k, ends in ranges.items()}))
    return cases


@pytest.mark.parametrize("case", drawn(10), ids=lambda case: f"{case[0]}/{case[1]}")
def test_thirty_digits_at_ten_drawn_points(case: tuple[str, Any, dict[str, str]]) -> None:
    name, ensemble, parameters = case
    quantity = atlas[name].with_(ensemble=ensemble)
    found = certify(quantity, 30, **parameters)
    assert found.verdict is Verdict.CERTIFIED, found.obstacle
    assert found.digits == 30
    other = quantity.solver("mpmath")(digits=45, **parameters)
    with mpmath.workdps(60):
        low, value, high = (mpmath.mpf(str(x)) for x in (found.lower, other.value[()], found.upper))
        slack = abs(value) * mpmath.mpf(10) ** -38  # the ends are shown rounded
        assert low - slack <= value <= high + slack
        assert abs(mpmath.mpf(found.value) - value) < abs(value) * mpmath.mpf(10) ** -29


def test_a_value_below_the_smallest_double() -> None:
    found = certify(atlas["collapse-time"], 30, alpha="1", alpha_D="1/500")
    assert found.verdict is Verdict.CERTIFIED
    assert found.log_value.startswith("-993.78639256891194265888935655")
    assert found.value.endswith("e-432")


def test_at_the_joint_the_branch_is_not_claimed() -> None:
    """Where two branches meet no ball is on one side: the value is given, without a proof."""
    capacity = atlas["retrieval-capacity"].with_(ensemble=Gaussian())
    found = certify(capacity, 20, lam=1)
    assert found.verdict is Verdict.CORROBORATED
    assert "do not decide" in found.obstacle
    near = certify(capacity, 20, lam=Fraction(10**12 + 1, 10**12))
    assert near.verdict is Verdict.CERTIFIED
    assert near.branch == "saturated"


def test_no_root_is_no_certificate() -> None:
    found = certify(atlas["collapse-time"].with_(ensemble=Binary()), 20, alpha="0.8")
    assert found.verdict is Verdict.UNDECIDED
    assert found.value == "nan"
    assert "entropy" in found.obstacle


def test_without_the_root_that_no_branch_mentions_there_is_no_value() -> None:
    """The overlap at a given amplitude is explicit, but it bounds a basin only where some noise is tolerated."""
    basin = atlas["retrieval-basin"].with_(ensemble=HiddenManifold()).given("a")
    found = certify(basin, 20, alpha="1.18", lam="2.29", a="0.0582", alpha_D="4.76")
    assert found.verdict is Verdict.UNDECIDED
    assert found.value == "nan"
    assert "no noise is tolerated" in found.obstacle


@pytest.mark.parametrize("power", [2, 3])
def test_a_multiple_root_cannot_be_certified(power: int) -> None:
    x = Symbol("t_c", positive=True)
    with pytest.raises(Obstacle, match="derivative"):
        newton((x - Rational(1, 3)) ** power, x, {}, -1.0986122886681098, 128)


@pytest.mark.parametrize(("name", "atoms", "point"), [
    ("collapse-time", {-3: Rational(1, 10), Rational(1, 3): Rational(9, 10)}, {"alpha": "1e-6"}),
    ("collapse-time", {0: Rational(1, 2), 10**6: Rational(1, 2)}, {"alpha": "0.2"}),
    ("retrieval-capacity", {-1: Rational(1, 2), 1: Rational(49, 100), 1000: Rational(1, 100)}, {"lam": "1"}),
    ("full-capacity", {1: Rational(1, 2), 1 + Rational(1, 10**6): Rational(1, 2)}, {"lam": "1"}),
])
def test_flat_and_strongly_bent_equations(name: str, atoms: dict[Any, Any], point: dict[str, str]) -> None:
    """Slopes far below one, brackets far below the size of the root, and branches that 160 bits do not tell apart."""
    quantity = atlas[name].with_(ensemble=ProductMeasure(atoms=atoms))
    found = certify(quantity, 25, **point)
    assert (found.verdict, found.digits) == (Verdict.CERTIFIED, 25)
    other = quantity.solver("mpmath")(digits=35, **point)
    with mpmath.workdps(45):
        assert mpmath.mpf(found.lower) < mpmath.mpf(str(other.value[()])) < mpmath.mpf(found.upper)


def test_a_root_beyond_the_end_of_its_interval_is_none() -> None:
    stage = Stage(X, X - 2, 1, sp.S.Zero, sp.S.One)
    with pytest.raises(Obstacle, match="beyond"):
        within_ends(stage, {}, arb(2), 64)
    with pytest.raises(Undecided):
        within_ends(stage, {}, arb(1, "1e-9"), 64)
    held = Stage(X, X - 2, 1, sp.S.Zero, sp.S.One, clip=True)
    assert within_ends(held, {}, arb(2), 64) == 1
    assert within_ends(held, {}, arb("0.5"), 64) == arb("0.5")


def test_without_a_first_guess_in_time_balls_look_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    condensation = atlas["rem-condensation"].with_(ensemble=Binary())
    expected = condensation.solver("mpmath")(digits=20, alpha="0.1")
    monkeypatch.setattr("derive.certify.points._AT_FIRST", 0.0)
    found = certify(condensation, 20, alpha="0.1")
    assert (found.verdict, found.value) == (Verdict.CERTIFIED, str(expected.value[()]))


def test_what_has_no_enclosure_is_said_so() -> None:
    x = Symbol("x", real=True)
    quantity = atlas["onset-time"].with_(ensemble=ProductMeasure(density=sp.exp(-x), variable=x, support=(0, sp.oo)))
    found = certify(quantity, 20, seconds=3, alpha="1/5")
    assert found.verdict is Verdict.CORROBORATED
    assert "unbounded support" in found.obstacle
    assert "multiple root" not in found.obstacle


def test_an_end_that_balls_do_not_tell_from_the_answer_is_named() -> None:
    """The noise falls short of the signal by exp(-10^12)."""
    law = ProductMeasure(atoms={0: Rational(1, 2), 10**6: Rational(1, 2)})
    found = certify(atlas["retrieval-capacity"].with_(ensemble=law), 20, lam="1")
    assert found.verdict is Verdict.CORROBORATED
    assert "stays at the end" in found.obstacle


def test_a_density_with_a_constant_that_has_no_enclosure() -> None:
    x = Symbol("x", real=True)
    law = ProductMeasure(density=(1 - x) ** Rational(1, 3) / sp.sqrt(x), variable=x, support=(0, 1))
    found = certify(atlas["onset-time"].with_(ensemble=law), 20, seconds=3, alpha="1/5")
    assert found.verdict is Verdict.CORROBORATED
    assert "hyper" in found.obstacle


def test_both_bounds_of_the_capacity_for_all_patterns_of_a_density() -> None:
    x = Symbol("x", real=True)
    quantity = atlas["full-capacity"].with_(ensemble=ProductMeasure(density=sp.S.Half, variable=x, support=(-1, 1)))
    found = certify(quantity, 25, lam="1")
    assert (found.verdict, found.digits) == (Verdict.CERTIFIED, 25)
    assert float(found.value) == pytest.approx(float(quantity.solver()(lam=1.0).value), rel=1e-9)


def test_atoms_of_ones_own() -> None:
    sparse = ProductMeasure(atoms={-1: Rational(1, 8), 0: Rational(3, 4), 1: Rational(1, 8)})
    found = certify(atlas["rem-condensation"].with_(ensemble=sparse), 25, alpha="0.1")
    assert found.verdict is Verdict.CERTIFIED
    assert found.digits == 25


def test_digits_without_a_proof_take_no_longer_than_the_proof_may() -> None:
    collapse = atlas["collapse-time"].with_(ensemble=Binary())
    found = certify(collapse, 400, seconds=0.25, alpha="0.3")
    assert (found.verdict, found.digits, found.obstacle) == (Verdict.CORROBORATED, 0, "stopped after 0.25 s")
    assert math.isclose(float(found.value), collapse.solver()(alpha=0.3).value[()], rel_tol=1e-12)


def test_a_law_of_nine_points_about_which_there_is_noise() -> None:
    """The normal laws about all points are integrated at once; the solver in doubles goes point by point."""
    wide = ProductMeasure(atoms={k: Rational(1, 9) for k in range(-4, 5)})
    basin = atlas["retrieval-basin"].with_(ensemble=wide)
    given = {"alpha": "0.26", "lam": "1.2", "v": "0.18"}
    found = certify(basin, 30, **given)
    assert (found.verdict, found.digits) == (Verdict.CERTIFIED, 30)
    other = basin.solver()(**{k: float(v) for k, v in given.items()})
    assert math.isclose(float(found.value), other.value[()], rel_tol=1e-12)


@pytest.mark.parametrize("digits", [0, -3, 10**6, True])
def test_digits_out_of_range(digits: Any) -> None:
    with pytest.raises(DeriveError, match="digits"):
        certify(atlas["collapse-time"], digits, alpha="1", alpha_D="1")


def test_on_the_command_line() -> None:
    def derive(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "derive", "solve", "collapse-time", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = derive("alpha=0.5", "alpha_D=0.5", "--certify", "--digits", "40", "--json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["verdict"] == "CERTIFIED"
    assert data["digits"] == 40
    assert data["value"].startswith("0.24379198010997848")
    many = derive("alpha=0.5:1:3", "alpha_D=0.5", "--certify")
    assert many.returncode == 2
    assert "one value" in many.stderr


@pytest.mark.parametrize(
    ("name", "ensemble", "parameters"),
    [
        ("full-capacity", Gaussian(), {"lam": "0.31"}),  # the load's end, noise
        ("full-capacity", Gaussian(), {"lam": "1.7"}),  # both unknowns inside, pairs decide
        ("retrieval-basin", Gaussian(), {"alpha": "0.08698", "lam": "1.283", "v": "0.4"}),
        ("retrieval-basin", Gaussian(), {"alpha": "0.13", "lam": "0.3232", "v": "1.1"}),  # the noise unfrozen
    ],
)
def test_unknowns_that_are_solved_anew_for_each_value_of_another(
    name: str, ensemble: Any, parameters: dict[str, str]
) -> None:
    quantity = atlas[name].with_(ensemble=ensemble)
    found = certify(quantity, 30, **parameters)
    assert (found.verdict, found.digits, found.obstacle) == (Verdict.CERTIFIED, 30, "")
    other = quantity.solver("mpmath")(digits=45, **parameters)
    with mpmath.workdps(60):
        difference = mpmath.mpf(found.value) - mpmath.mpf(str(other.value[()]))
        assert abs(difference) < abs(mpmath.mpf(found.value)) * mpmath.mpf(10) ** -29
    data = found.to_dict()
    assert data["exists"] is data["unique"] is True
    assert data["bracket"] in data["brackets"].values()


Y = Symbol("y", positive=True)


def test_a_system_of_equations_is_enclosed_with_the_box_in_which_it_has_one_solution() -> None:
    equations = [X**2 + Y**2 - 4, X - Y * sp.exp(-X)]
    known = mpmath.findroot(lambda a, b: [a**2 + b**2 - 4, a - b * mpmath.exp(-a)], (0.9, 1.7))
    (x, y), box = krawczyk(equations, [X, Y], {}, [float(known[0]) + 1e-4, float(mpmath.log(known[1]))], 200)
    assert abs(float(x) - float(known[0])) + abs(float(y) - float(known[1])) < 1e-12
    assert x.rel_accuracy_bits() > 150
    assert all(b.rad() > 0 for b in box)


@pytest.mark.parametrize(
    ("equations", "starts"),
    [([(X - 1) ** 2, Y - 2], [1.0, 0.7]), ([X - 1, (Y - 2) ** 3], [1.0, 0.693]), ([X - Y, 2 * X - 2 * Y], [1.0, 0.0]),
     ([X**2 + 1, Y - 1], [0.0, 0.0])],
)
def test_a_double_solution_or_none_is_no_certificate(equations: list[Any], starts: list[float]) -> None:
    with pytest.raises(Exception, match="cannot be certified"):
        krawczyk(equations, [X, Y], {}, starts, 120)


@pytest.mark.slow
def test_nested_averages_of_a_binary_law() -> None:
    """An average over noisy signs of the logarithm of another average."""
    quantity = atlas["collapse-time"].with_(ensemble=Binary())
    found = certify(quantity, 12, seconds=400, alpha="0.3")
    assert (found.verdict, found.digits) == (Verdict.CERTIFIED, 12)
    other = float(quantity.solver()(alpha=0.3).value)
    assert abs(float(found.value) / other - 1) < 1e-9


@pytest.mark.parametrize(("name", "point"), [
    ("retrieval-basin", {"alpha": "1/10", "lam": "1", "v": "1/2"}),
    ("collapse-time", {"alpha": "1/5"}),
])
def test_averages_over_a_density_with_noise_inside_one_another(name: str, point: dict[str, str]) -> None:
    x = Symbol("x", real=True)
    quantity = atlas[name].with_(ensemble=ProductMeasure(density=sp.S.Half, variable=x, support=(-1, 1)))
    found = certify(quantity, 30, **point)
    assert (found.verdict, found.digits) == (Verdict.CERTIFIED, 30)
    other = quantity.solver()(**{k: float(Fraction(v)) for k, v in point.items()})
    assert float(found.value) == pytest.approx(float(other.value), rel=1e-9)
