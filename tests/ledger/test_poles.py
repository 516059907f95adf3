"""Equations that fail at single points of their domain: poles that cancel, jumps, roots that were lost."""

from __future__ import annotations

import pytest
from sympy import Eq, Heaviside, Interval, Rel, Symbol, diff, exp, log, oo, sign, sqrt

from derive.core import Domain, Step, Verdict
from derive.ledger import Derivation

x, y = Symbol("x", real=True), Symbol("y", real=True)
a, b = Symbol("a", positive=True), Symbol("b", positive=True)


def checked(claim: Rel, rule: str = "identity", *, given: Rel | None = None, on: tuple[Rel, ...] = (),
            inside: Interval | None = None) -> tuple[Verdict, str]:
    domain = Domain(((x, inside),) if inside is not None else (), on)
    ground = () if given is None else (Step("p", given, "definition"),)
    premises = ("p",) if ground else ()
    steps = (*ground, Step("s", claim, rule, premises, domain))
    found = Derivation("pole", "A pole", steps).check()["s"]
    return found.verdict, found.detail


@pytest.mark.parametrize(("claim", "given", "where"), [
    (Eq((x**2 - 1)/(x - 1), x + 1), None, "x = 1"),
    (Eq(x + 1, (x**2 - 1)/(x - 1)), None, "x = 1"),
    (Eq(1/(x - 1) - x/(x - 1), -1), None, "x = 1"),
    (Eq((x**2 - y**2)/(x - y), x + y), None, "x = "),
    (Eq(x/y, 1), Eq(x, y), "x = 0, y = 0"),
])
def test_a_cancelled_factor_that_vanishes_refutes(claim: Rel, given: Rel | None, where: str) -> None:
    verdict, detail = checked(claim, given=given)
    assert verdict is Verdict.REFUTED
    assert f"not defined at {where}" in detail


@pytest.mark.parametrize(("claim", "options"), [
    (Eq((x**2 - 1)/(x - 1), x + 1), {"inside": Interval.open(0, 1)}),
    (Eq((x**2 - 1)/(x - 1), x + 1), {"on": (x > 1,)}),
    (Eq(1/(x - 1) + 1/(x + 1), 2*x/(x**2 - 1)), {}),
    (Eq(a/b, 1), {"given": Eq(a, b)}),
    (Eq(log(a**2) - 2*log(a), 0), {}),
    (Eq((x**2 - 2*a)/(x - sqrt(2)*sqrt(a)), x + sqrt(2)*sqrt(a)), {"inside": Interval.open(-1, 0)}),
    (Eq(1/(x - sqrt(b)) + 1/(x + sqrt(b)), 2*x/(x**2 - b)), {}),
])
def test_a_pole_outside_the_domain_or_of_both_sides_does_not(claim: Rel, options: dict[str, object]) -> None:
    assert checked(claim, **options)[0] is Verdict.PROVED  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", [Eq(sign(x)**2, 1), Eq(sqrt(x)*sign(x)**2, sqrt(x) + 1 - sign(x)**2)])
def test_a_jump_at_a_closed_end_or_zero_is_looked_at(claim: Rel) -> None:
    assert checked(claim, inside=Interval(0, oo))[0] is Verdict.REFUTED


@pytest.mark.parametrize("jump", [Heaviside(x), sign(x)])
def test_the_slope_of_a_jump_is_not_called_zero(jump: Heaviside) -> None:
    verdict, detail = checked(Eq(diff(jump, x), 0, evaluate=False), "differentiate")
    assert verdict is Verdict.UNDECIDED
    assert "delta function" in detail


@pytest.mark.parametrize("other", [-1, 0, 1])
def test_every_root_but_one_refutes(other: int) -> None:
    verdict, _ = checked(Eq(x, other, evaluate=False), given=Eq(x**3, x))
    assert verdict is Verdict.REFUTED


def test_a_second_solution_is_found() -> None:
    verdict, detail = checked(Eq(x, 0, evaluate=False), "solve", given=Eq(x*(x - 1)*exp(x), 0))
    assert verdict is Verdict.REFUTED
    assert "x = 1.0" in detail
