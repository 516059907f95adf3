"""Inequalities at points: where one is violated, and where it holds, both in balls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from flint import acb, arb
from sympy import Eq, Expr, Symbol
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain, Evidence, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import points, seed_of
from derive.ledger.generators import Full, Unsupported
from derive.ledger.joints import edges, joints
from derive.ledger.premises import sharpened_domain, sharpened_sides
from derive.ledger.roots import points_on
from derive.ledger.rungs import exactly_zero
from derive.ledger.sampling import FAMILIES, corners, function_instances, instantiated, shown_point, shown_value
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Case", "agreements", "violation"]


@dataclass(frozen=True)
class Case:
    """That an expression is positive (or not negative, or not zero) on a domain, where equations hold.

    Attributes: e, domain, given (equations that the points must obey), bound (functions that premises bind), strict,
    nonzero (only that it does not vanish).
    """

    e: Expr
    domain: Domain
    given: tuple[Eq, ...] = ()
    bound: frozenset[UndefinedFunction] = frozenset()
    strict: bool = True
    nonzero: bool = False


def violation(case: Case, count: int, seconds: float, *, coarse: bool = False) -> Evidence | None:
    """A refutation by a point at which the inequality fails for certain; None where none was met in time.

    Args: count (of points tried), coarse (rough balls only, which come fast).
    """
    try:
        return timebox(seconds, _violated, case, count, coarse)
    except TimedOut:
        return None


def agreements(case: Case, count: int) -> int:
    """At how many of so many random points the expression is positive for certain (or zero, where that is allowed)."""
    good = 0
    for _, value in _values(case, count, False):
        if value is not None and not isinstance(value, acb):
            good += bool(value > 0) or (not case.strict and bool(value.is_zero()))
    return good


def _violated(case: Case, count: int, coarse: bool) -> Evidence | None:
    for point, value in _values(case, count, coarse):
        if value is None or not value.is_finite():
            continue
        zero = bool(value.is_zero())
        wrong = zero and case.strict if (zero or isinstance(value, acb)) else bool(value < 0) and not case.nonzero
        if isinstance(value, acb) and not zero:
            wrong = not value.imag.contains(0)
        if wrong:
            shown = tuple((k.lstrip("_"), v) for k, v in shown_point(point))
            text = str(value.str(10))
            at = ", ".join(f"{k} = {v}" for k, v in shown)
            return Evidence(Verdict.REFUTED, f"the difference is {text} at {at or 'every point'}",
                            (*shown, ("difference", text)))
    return None


def _values(case: Case, count: int, coarse: bool) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Balls of the expression at points of the domain, corners first."""
    relations = Domain(case.domain.intervals, case.domain.constraints)
    sharp, names = sharpened_sides((case.e, *(g.lhs - g.rhs for g in case.given)), relations)
    domain = sharpened_domain(relations, names)
    everything = (*sharp, *domain.constraints)
    undefined = any(e.atoms(AppliedUndef) for e in everything)
    turns = FAMILIES if undefined else 1
    bound = frozenset(case.bound)
    heavy = any(e.has(Binder) for e in sharp)
    for turn in range(turns):
        seed = seed_of(case.e) + turn
        instances = function_instances(everything, seed, turn, bool(case.given), bound) if undefined else {}
        plain, *zeros = (instantiated(e, instances) for e in sharp)
        inside = Domain(domain.intervals, tuple(instantiated(c, instances) for c in domain.constraints))
        symbols = sorted({s for e in (plain, *zeros) for s in e.free_symbols if isinstance(s, Symbol)}, key=str)
        share = -(-count // turns)
        calm = 0.5 if heavy and coarse else 1.0
        drawn: Iterator[dict[Symbol, Any]]
        if zeros:
            drawn = points_on(zeros, symbols, inside, seed, share, 0.5)
        else:
            simple = chain(corners(set(symbols), inside, heavy),
                           _flat_zeros(plain, inside) if case.strict and not coarse else (),
                           () if coarse or heavy else edges((plain,), inside),
                           () if coarse or heavy else joints((plain,), inside))
            drawn = chain(simple, points(symbols, inside, seed, share, calm))
        for point in drawn:
            own = {s: shown_value(v) for s, v in point.items() if s in symbols}
            value = _value(plain, point, coarse)
            if not coarse and not heavy and case.strict and value is not None and _vanishes(plain, point, value):
                value = arb(0)
            yield own, value


def _vanishes(e: Expr, point: dict[Symbol, Any], value: Any) -> bool:
    """Whether the value in a ball about zero is zero itself, where that is not seen by the ball."""
    if value.is_zero() or not value.is_finite() or not value.contains(0) or not _simple(point):
        return False
    at = e.xreplace(point)
    try:
        return bool(at == 0) or timebox(0.5, exactly_zero, at, Domain()) is not None
    except (TimedOut, Unsupported, Full, ArithmeticError, TypeError, ValueError):
        return False


def _simple(point: dict[Symbol, Any]) -> bool:
    """Whether exact values at a point cost little: rational numbers that are not very large or small."""
    return all(getattr(v, "is_Rational", False) and max(abs(v.p), v.q) < 10**6 for v in point.values())


def _flat_zeros(e: Expr, domain: Domain) -> Iterator[dict[Symbol, Any]]:
    """Rational points at which a rational function vanishes: where a strict inequality may be none."""
    from derive.ledger.poles import rational_zeros

    if not e.has(Binder, AppliedUndef) and len(e.free_symbols) <= 5:
        yield from islice(rational_zeros(e, (), domain), 12)


def _value(e: Expr, point: dict[Symbol, Any], coarse: bool) -> Any:
    value = None
    for bits in (64,) if coarse else (96, 400, 2000):
        try:
            value = enclose(e, point, bits, goal=24, evaluations=1200) if coarse else enclose(e, point, bits)
        except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
            return None
        if value.is_finite() and (not value.contains(0) or value.is_zero()):
            break
    return value
