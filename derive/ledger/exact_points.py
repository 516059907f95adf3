"""Exact points that obey premises: values for symbols such that expressions vanish, each solved for one symbol.

An average is closed once the symbols in it have values; what is then left of its premise is solved for a symbol that
stands outside it, or in it where the closed form is simple in that symbol.  Premises are taken in an order in which
this works: those without averages first, then those with the fewest symbols in their averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Basic, Dummy, Expr, Poly, PolynomialError, Rational, Symbol, expand, sqrt, together
from sympy.core.function import AppliedUndef

from derive.core import Domain
from derive.ledger.domain import Range, declared
from derive.ledger.roots import ball_of, holds
from derive.nodes.binders import Binder

__all__ = ["Placed", "in_averages", "placed"]

#: symbols in averages of which a closed form is asked for
_MOVES = 4


@dataclass(frozen=True)
class Placed:
    """Exact values of symbols, and what is left of the premises there: expressions still to vanish."""

    at: Mapping[Symbol, Expr]
    left: tuple[Expr, ...]


def in_averages(e: Basic) -> set[Symbol]:
    """The symbols in the averages of an expression."""
    free = e.free_symbols
    return {s for node in e.atoms(Binder) for s in node.free_symbols if isinstance(s, Symbol) and s in free}


def placed(
    premises: Sequence[Expr], wanted: set[Symbol], drawn: Mapping[Symbol, Rational], domain: Domain
) -> Placed | None:
    """Values for the wanted symbols at which premises vanish, or can be made to by other symbols or free functions.

    Args: premises (expressions); wanted (symbols that are to have values); drawn (what they are where no premise says
        otherwise); domain (whose ranges and constraints the values obey).
    Returns: None where the premises leave no such values near the drawn ones.

    >>> m, v = Symbol("m", real=True), Symbol("v", positive=True)
    >>> placed([2*m + v - 1], {m, v}, {m: Rational(3), v: Rational(1, 2)}, Domain()).at
    {v: 1/2, m: 1/4}
    """
    at: dict[Symbol, Expr] = {}
    left: list[Expr] = []
    for premise in sorted(premises, key=lambda e: (e.has(Binder), len(in_averages(e)), str(e))):
        fresh = {s: drawn[s] for s in sorted(in_averages(premise) - set(at), key=str) if s in drawn}
        at.update(fresh)
        rest = _closed(premise, at)
        if rest == 0 or _vanishes(rest):
            continue
        free = {s for s in rest.free_symbols if isinstance(s, Symbol)}
        if free - wanted or rest.has(AppliedUndef):
            left.append(rest)
            continue
        found = next(_solutions(rest, free, drawn, domain) if free else _moved(premise, fresh, at, domain), None)
        if found is None:
            return None
        at.update(found)
    at.update({s: drawn[s] for s in sorted(wanted - set(at), key=str) if s in drawn})
    conditions = (c.subs(at) for c in domain.constraints)
    if any(c == False or (not c.free_symbols and not holds(c, {})) for c in conditions):  # noqa: E712 - SymPy Booleans
        return None
    return Placed(at, tuple(_closed(e, at) for e in left))


def _closed(e: Expr, at: Mapping[Symbol, Expr]) -> Expr:
    put = e.subs(at)
    return put.doit() if put.has(Binder) else put


def _vanishes(e: Expr) -> bool:
    """Whether a number is zero, exactly."""
    if e.free_symbols or e.has(Binder):
        return False
    value = ball_of(e, {}, 96)
    return value is not None and value.contains(0) and bool(expand(together(e)).equals(0))


def _solutions(
    e: Expr, free: set[Symbol], drawn: Mapping[Symbol, Rational], domain: Domain
) -> Iterator[dict[Symbol, Expr]]:
    """Values of all free symbols at which an expression vanishes: one is solved for, the others are as drawn."""
    for symbol in sorted(free, key=str):
        others = {s: drawn[s] for s in sorted(free - {symbol}, key=str) if s in drawn}
        if len(others) < len(free) - 1:
            continue
        put = e.subs(others)
        for value in _zeros(put, symbol):
            if _inside(value, declared(symbol, domain), others) and _regular(put, symbol, value):
                yield {**others, symbol: value}


def _moved(
    premise: Expr, fresh: Mapping[Symbol, Rational], at: Mapping[Symbol, Expr], domain: Domain
) -> Iterator[dict[Symbol, Expr]]:
    """Another value of one of the symbols in the averages of a premise, where these have a closed form in it."""
    for symbol in list(fresh)[:_MOVES]:
        rest = _closed(premise, {s: v for s, v in at.items() if s != symbol})
        if not rest.has(Binder):
            yield from _solutions(rest, {symbol}, {}, domain)


def _zeros(e: Expr, symbol: Symbol) -> Iterator[Expr]:
    """Exact zeros of an expression that is rational in a symbol or its square root, of first or second degree."""
    root = Dummy("root", positive=True)
    for unknown, put, power in ((symbol, e, 1), (root, e.subs(symbol, root**2), 2)):
        try:
            poly = Poly(expand(together(put).as_numer_denom()[0]), unknown)
        except PolynomialError:
            continue
        coefficients = poly.all_coeffs()
        if len(coefficients) == 2:
            yield (-coefficients[1] / coefficients[0]) ** power
        elif len(coefficients) == 3:
            a, b, c = coefficients
            discriminant = b**2 - 4 * a * c
            if discriminant.is_nonnegative:
                yield from (((-b + sign * sqrt(discriminant)) / (2 * a)) ** power for sign in (1, -1))


def _inside(value: Expr, r: Range, others: Mapping[Symbol, Expr]) -> bool:
    """Whether a value certainly lies in a range."""
    for bound, side, open_end in ((r.lower, 1, r.lower_open), (r.upper, -1, r.upper_open)):
        if bound.is_infinite:
            continue
        gap = ball_of(side * (value - bound.subs(others)), {})
        if gap is None or not (gap > 0 or (not open_end and gap.is_zero())):
            return False
    return True


def _regular(e: Expr, symbol: Symbol, value: Expr) -> bool:
    """Whether an expression has a finite value where its numerator vanishes, so that it vanishes too."""
    ball = ball_of(e.subs(symbol, value), {}, 96)
    return ball is not None and ball.contains(0)
