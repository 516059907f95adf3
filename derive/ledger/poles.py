"""Where the two sides of an equation are not both defined: a pole of one that the other does not share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sympy import Basic, Eq, Expr, Poly, Rational, Rel, Symbol, log, nan, zoo
from sympy.core.function import AppliedUndef
from sympy.polys.polyerrors import BasePolynomialError

from derive.core import Domain, Evidence, Step, Verdict
from derive.ledger.domain import declared, points, seed_of
from derive.ledger.roots import holds
from derive.ledger.sampling import corners, shown_point
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["cancelled_pole", "divided_by", "one_sided_pole", "rational_roots", "rational_zeros",
           "undefined_at"]

_LEFT, _RIGHT = "left side divides by", "right side divides by"
_TRIES = 8
_SECONDS = 2.0


def undefined_at(sides: Sequence[Expr], domain: Domain) -> Evidence | None:
    """A refutation by a simple exact point of the domain at which one of several expressions is not defined (a division
    by zero) and no other is either, or all others are finite; None where none was met."""
    if any(e.has(Binder, AppliedUndef) for e in (*sides, *domain.constraints)):
        return None
    symbols = {s for e in sides for s in e.free_symbols if isinstance(s, Symbol)}
    for point in corners(symbols, domain, True):  # exact values of what is very large cost much
        for k, e in enumerate(sides):
            others = [o.xreplace(point) for j, o in enumerate(sides) if j != k]
            if e.xreplace(point).has(nan, zoo) and not any(o.has(nan, zoo) for o in others):
                return _refuted({s: v for s, v in point.items() if s in symbols})
    return None


def divided_by(left: Sequence[Expr], right: Sequence[Expr]) -> tuple[tuple[str, Expr], ...]:
    """Hints of a step that say what each side of its claim, as it was written, divides by besides what is seen."""
    return (*((_LEFT, d) for d in left), *((_RIGHT, d) for d in right))


def cancelled_pole(step: Step, domain: Domain, given: Sequence[Basic]) -> Evidence | None:
    """A refutation by a point at which one side of a claim, as it was written, divides by zero and the other does not,
    where that no longer shows: x/x = 1 at x = 0; None where none was met."""
    more = tuple(tuple(d for name, d in step.hints if name == side) for side in (_LEFT, _RIGHT))
    if not any(more) or not isinstance(step.claim, Rel):
        return None
    return one_sided_pole(step.claim, domain, given, more)


def one_sided_pole(
    claim: Rel, domain: Domain, given: Sequence[Basic] = (), more: Sequence[Sequence[Expr]] = ((), ())
) -> Evidence | None:
    """A refutation by a point of the domain that obeys the premises, at which one side of an equation divides by zero
    and the other is defined; None where none was met.

    Two sides that are equal as rational functions need not be equal where a factor was cancelled.
    Args: claim, domain, given (premises), more (what each side divides by that does not show).

    >>> x = Symbol("x", real=True)
    >>> one_sided_pole(Eq((x**2 - 1)/(x - 1), x + 1, evaluate=False), Domain()).detail
    'not defined at x = 1: a division by zero'
    """
    from derive.ledger.premises import sharpened_domain, sharpened_sides

    facts = Domain(domain.intervals, (*domain.constraints, *(
        g for g in given if getattr(g, "is_Relational", False) and not isinstance(g, Eq))))
    equations = [g for g in given if isinstance(g, Eq)]
    everything = (claim.lhs, claim.rhs, *(side for g in equations for side in g.args), *more[0], *more[1])
    if any(e.has(AppliedUndef) for e in facts.constraints):
        return None
    sharp, _ = sharpened_sides(everything, facts)
    inside = sharpened_domain(facts, sharpened_sides(everything, facts)[1])
    split = 2 + 2 * len(equations)
    left = (*_divisors(sharp[0]), *sharp[split:split + len(more[0])])
    right = (*_divisors(sharp[1]), *sharp[split + len(more[0]):])
    if not any(_may_vanish(d) for d in (*left, *right)):
        return None
    premises = [Eq(sharp[k], sharp[k + 1], evaluate=False) for k in range(2, split, 2)]
    try:
        return timebox(_SECONDS, _pole, left, right, inside, premises)
    except (TimedOut, ArithmeticError, NotImplementedError, TypeError, ValueError):
        return None


def _divisors(e: Basic) -> tuple[Expr, ...]:
    """What an expression divides by, or takes the logarithm of, outside averages; for functions that nothing is known
    of only their arguments are looked at."""
    if isinstance(e, Binder):
        return ()
    found = tuple(d for a in e.args for d in _divisors(a))
    if getattr(e, "is_Pow", False) and e.exp.is_negative:
        return (*found, e.base)
    return (*found, e.args[0]) if isinstance(e, log) else found


def _may_vanish(d: Expr) -> bool:
    return bool(d.free_symbols) and d.is_nonzero is not True and not d.has(Binder, AppliedUndef)


def _pole(left: Sequence[Expr], right: Sequence[Expr], domain: Domain, premises: Sequence[Eq]) -> Evidence | None:
    from derive.ledger.premises import eliminate, eliminations

    solved, narrowed = eliminations(premises, domain, ())[0] if premises else ((), domain)
    if len(solved) < len(premises):
        return None
    sides = [[eliminate(d, solved) for d in side] for side in (left, right)]
    for own, other in (sides, sides[::-1]):
        for d in own:
            if not _may_vanish(d):
                continue
            for point in rational_zeros(d, (*own, *other), narrowed):
                if all(_away(o, point) for o in other):
                    values = {s: v.xreplace(point) for _, s, v in solved if not v.xreplace(point).free_symbols}
                    return _refuted({**point, **values})
    return None


def rational_zeros(d: Expr, others: Sequence[Expr], domain: Domain) -> Iterator[Mapping[Symbol, Rational]]:
    """Rational points of the domain at which a rational function vanishes exactly, for a few values of the others."""
    symbols = {s for e in (d, *others) for s in e.free_symbols if isinstance(s, Symbol)}
    for start in points(symbols, Domain(domain.intervals), seed_of(d), _TRIES):
        for symbol in sorted(d.free_symbols, key=str):
            rest = {s: v for s, v in start.items() if s != symbol}
            for root in rational_roots(d.xreplace(rest), symbol):
                point = {**rest, symbol: root}
                if root in declared(symbol, domain) and all(holds(c, point) for c in domain.constraints):
                    yield point


def rational_roots(d: Expr, symbol: Symbol) -> list[Rational]:
    """The rational zeros of a function of one symbol, where it is rational; of others 0, 1 and -1 if they are."""
    try:
        poly = Poly(d.as_numer_denom()[0], symbol, domain="QQ")
    except BasePolynomialError:  # coefficients that are no rational numbers
        return [v for v in (Rational(0), Rational(1), Rational(-1)) if d.xreplace({symbol: v}) == 0]
    return list(poly.ground_roots()) if 0 < poly.degree() <= 8 else []


def _away(d: Expr, point: Mapping[Symbol, Rational]) -> bool:
    """Whether a divisor is certainly not zero at a point."""
    return bool(d.xreplace(dict(point)).is_nonzero)


def _refuted(point: Mapping[Any, Any]) -> Evidence:
    shown = tuple((k.lstrip("_"), v) for k, v in shown_point(point))
    at = ", ".join(f"{k} = {v}" for k, v in shown)
    return Evidence(Verdict.REFUTED, f"not defined at {at}: a division by zero", shown)
