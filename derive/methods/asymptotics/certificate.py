"""The third look at an expansion without free parameters: a proof of the bound of its remainder.

The unknown is bracketed: with its expansion u_N and a scale s, the residual has opposite signs at u_N - C s and
u_N + C s for every X >= X0.  The residual is monotone, by the claim of the stage that the derivation proves, so that
the root lies between.  Branches and ends are decided by signs that hold for every X >= X0, and the value is enclosed
with all of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb
from sympy import Expr, Rational, S, Symbol, oo

from derive.core import Problem, Stage, Verdict, Witness
from derive.methods.asymptotics.argument import Found, Request, large_form, needed, scale_of
from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import NotExpandable
from derive.methods.asymptotics.enclosures import Algebra, Enclosed, NotProven
from derive.methods.asymptotics.transseries import Monomial, Ring, Series, level

__all__ = ["certificate"]

STARTS = (4, 16, 64, 256, 1024, 10**4, 10**6)
ENOUGH = 4  # a larger X0 has to make the bound so much smaller
WIDTHS = (1, 16, 256, 4096, 10**6)
LARGE = Symbol("X", positive=True)


def certificate(
    problems: Sequence[Problem],
    found: Found,
    kept: Sequence[tuple[Monomial, Expr]],
    remainder: Monomial | None,
    request: Request,
) -> Witness | None:
    """A proof that the terms kept leave at most a constant times the remainder; None where none is found.

    Args: problems, one, or two whose quotient is expanded; found, the symbolic argument, with no free parameters; kept,
    the terms that are shown; remainder, the scale of what is left out, None where nothing is.
    """
    best: tuple[Any, int] | None = None
    for start in STARTS:
        try:
            bound = _bound(problems, found, kept, remainder, request, Rational(start))
        except (NotProven, NotExpandable):
            continue
        if best is None or bound < best[0] / ENOUGH:
            best = bound, start
        elif bound.is_exact() or bound > best[0] / ENOUGH:
            break
    return None if best is None else Witness("proof", Verdict.CERTIFIED, _words(*best, remainder, request, found))


def _words(bound: Any, start: int, remainder: Monomial | None, request: Request, found: Found) -> str:
    name, point = request.parameter, request.point
    if point in (oo, -oo):
        where = f"{name} >= {start}" if point is oo else f"{name} <= -{start}"
    else:
        gap = str(name) if point == 0 else f"{name} - {point}" if request.direction == "+" else f"{point} - {name}"
        where = f"0 < {gap} <= 1/{start}"
    how = "ball arithmetic" + ("; the root is bracketed, and monotone residuals have one" if any(found.roots) else "")
    if remainder is None:
        return f"nothing is left for {where}: exact expressions, signs in {how}"
    limit = (bound * arb("1.001")).upper().str(4, radius=False)
    return f"at most {limit} times {scale_of(remainder, request)} is left for {where}: {how}"


def _bound(
    problems: Sequence[Problem],
    found: Found,
    kept: Sequence[tuple[Monomial, Expr]],
    remainder: Monomial | None,
    request: Request,
    start: Rational,
) -> Any:
    """A ball above |value - kept|/remainder for X >= start."""
    ring = found.ring
    inner = {request.parameter: large_form(request, LARGE)}
    put = {k: v.subs(inner) for k, v in request.held.items()} | inner
    large = Enclosed({level(0): Ratio.of(1)})
    values = []
    for problem, roots in zip(problems, found.roots, strict=True):
        algebra = Algebra(ring, start, ring.terms + 2, {LARGE: large})
        values.append(_value(_Placed(problem, put, roots), algebra))
    algebra = Algebra(ring, start, ring.terms + 2, {LARGE: large})
    value = values[0] if len(values) == 1 else algebra.mul(values[0], algebra.power(values[1], S.NegativeOne))
    if request.of == "log":
        value = algebra.log(value)
    left = algebra.add(value, *(Enclosed({m: ring.table.ratio(-c)}) for m, c in kept))
    if remainder is None:
        if any(not ring.table.reduced(c) == Ratio.of(0) for c in left.terms.values()) or left.rest:
            raise NotProven("what is left is not exactly zero")
        return arb(0)
    return algebra.over(left, remainder)


@dataclass(frozen=True)
class _Placed:
    """A problem in the large variable, with the series of its unknowns."""

    problem: Problem
    put: Mapping[Symbol, Expr]
    roots: Mapping[Symbol, Series]

    def __call__(self, e: Any) -> Any:
        return e.subs(self.put, simultaneous=True) if hasattr(e, "subs") else e


def _value(placed: _Placed, algebra: Algebra) -> Enclosed:
    for stage in placed.problem.stages:
        if needed(stage.unknown, placed.problem):
            algebra = _with_stage(stage, placed, algebra)
    for branch in placed.problem.branches:
        if _holds(placed(branch.condition), algebra):
            if branch.value is None:
                raise NotProven("a branch without value")
            return algebra(placed(branch.value))
    raise NotProven("no branch holds")


def _holds(condition: Any, algebra: Algebra) -> bool:
    """Whether a condition holds for every X >= X0, or for none; NotProven elsewhere."""
    if condition in (sp.true, sp.false, True, False):
        return bool(condition)
    if not isinstance(condition, sp.core.relational.Relational):
        raise NotProven(f"the condition {condition}")
    return bool(condition.func(algebra.sign(algebra(condition.lhs - condition.rhs)), 0))


def _with_stage(stage: Any, placed: _Placed, algebra: Algebra) -> Algebra:
    if not isinstance(stage, Stage) or stage.inner:
        raise NotProven("a saddle, or unknowns that are solved together")
    if not _holds(placed(stage.exists), algebra):
        raise NotProven("no root exists")
    residual, lower, upper = (placed(e) for e in (stage.residual, stage.lower, stage.upper))
    if stage.unknown not in placed.roots:
        return _at_an_end(stage, residual, lower, upper, algebra)
    u = placed.roots[stage.unknown]
    terms = Enclosed(u.terms)
    inside = algebra.bound({stage.unknown: terms})
    if not u.errors and inside.sign(inside(residual)) == 0:
        return inside
    scale = algebra.ring.largest(u.errors or [_beyond(u, algebra.ring)])
    assert scale is not None
    for width in WIDTHS:
        try:
            sides = [algebra.add(terms, Enclosed({scale: Ratio.of(k * width)})) for k in (-1, 1)]
            if all(_sign(stage.unknown, residual, v, algebra) == k * stage.direction
                   for k, v in zip((-1, 1), sides, strict=True)):  # fmt: skip
                _inside(sides, lower, upper, algebra)
                return algebra.bound({stage.unknown: algebra.shortened(u.terms, {scale: arb(width)})})
        except NotProven:
            if width == WIDTHS[-1]:
                raise
    raise NotProven("the residual does not change its sign around the expansion")


def _beyond(u: Series, ring: Ring) -> Monomial:
    """A scale below all terms of an exact series."""
    smallest = ring.sorted(u.terms)[-1]
    return smallest / level(0)


def _sign(unknown: Symbol, residual: Expr, value: Enclosed, algebra: Algebra) -> int:
    at = algebra.bound({unknown: value})
    return at.sign(at(residual))


def _inside(sides: Sequence[Enclosed], lower: Expr, upper: Expr, algebra: Algebra) -> None:
    """Both sides lie in the interval on which the residual is monotone."""
    minus = Ratio.of(-1)
    if algebra.sign(algebra.add(sides[0], algebra.scaled(algebra(lower), minus))) < 0:
        raise NotProven("below the interval")
    if upper is not oo and algebra.sign(algebra.add(algebra(upper), algebra.scaled(sides[1], minus))) < 0:
        raise NotProven("above the interval")


def _at_an_end(stage: Stage, residual: Expr, lower: Expr, upper: Expr, algebra: Algebra) -> Algebra:
    """An unknown that sits at the end towards which the sign of the residual points."""
    for end, towards in ((upper, 1), (lower, -1)):
        if end is oo or end == 0:
            continue
        at = algebra.bound({stage.unknown: algebra(end)})
        if at.sign(at(residual)) * stage.direction * towards <= 0:
            return at
    raise NotProven("neither end")
