"""Looking downhill for a point at which an inequality fails: from random points to where its sides come closest."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction

from sympy import Expr, Rational, Symbol
from sympy.core.function import AppliedUndef

from derive.core import Domain, Evidence, Verdict
from derive.ledger.domain import declared, seed_of
from derive.ledger.roots import ball_of, holds
from derive.ledger.sampling import ball_text, shown_point
from derive.nodes.binders import Binder

__all__ = ["descended"]

_STARTS = 10
_STEPS = 60
_SHORTEST = 1 / 64
_Map = Callable[[float], Fraction | None]


def descended(larger: Expr, smaller: Expr, domain: Domain) -> Evidence | None:
    """A refutation of larger >= smaller at a point that is found by going downhill in (larger - smaller)/(|larger| +
    |smaller|); None where none was met.

    >>> x = Symbol("x", positive=True)
    >>> from sympy import exp
    >>> descended(Rational(541, 1000), x**2*exp(-x), Domain()).verdict.name
    'REFUTED'
    """
    symbols = sorted((s for s in (larger - smaller).free_symbols if isinstance(s, Symbol)), key=str)
    everything = (larger, smaller, *domain.constraints)
    if not 0 < len(symbols) <= 4 or any(e.has(Binder, AppliedUndef) for e in everything):
        return None
    maps = [_coordinate(s, domain) for s in symbols]
    if any(m is None for m in maps):
        return None

    def point(at: tuple[float, ...]) -> dict[Symbol, Rational] | None:
        values = [m(u) for m, u in zip(maps, at, strict=True) if m is not None]
        if any(v is None for v in values):
            return None
        found = {s: Rational(v.numerator, v.denominator) for s, v in zip(symbols, values, strict=True) if v is not None}
        return found if all(holds(c, found) for c in domain.constraints) else None

    def height(at: tuple[float, ...]) -> float:
        where = point(at)
        if where is None:
            return math.inf
        a, b = (ball_of(e, where, 96) for e in (larger, smaller))
        if a is None or b is None:
            return math.inf
        size = float((abs(a) + abs(b)).mid())
        return float((a - b).mid()) / size if 0 < size < math.inf else math.inf

    for at in _bottoms(height, len(symbols), random.Random(seed_of(larger, smaller))):
        where = point(at)
        if where is None:
            continue
        value = ball_of(larger - smaller, where, 200)
        if value is not None and value < 0:
            shown = tuple((k.lstrip("_"), v) for k, v in shown_point(where))
            said = ", ".join(f"{k} = {v}" for k, v in shown)
            return Evidence(Verdict.REFUTED, f"the difference is {ball_text(value)} at {said}",
                            (*shown, ("difference", ball_text(value))))
    return None


def _coordinate(symbol: Symbol, domain: Domain) -> _Map | None:
    """All reals onto the interval of a symbol, in short fractions; None for an integer, or ends that are no numbers."""
    r = declared(symbol, domain)
    if symbol.is_integer or r.lower.free_symbols or r.upper.free_symbols:
        return None
    low = None if r.lower.is_infinite else float(r.lower)
    high = None if r.upper.is_infinite else float(r.upper)

    def at(u: float) -> Fraction | None:
        if abs(u) > 300:
            return None
        if low is not None and high is not None:
            value = low + (high - low) / (1 + math.exp(-u))
        elif low is not None:
            value = low + math.exp(u)
        elif high is not None:
            value = high - math.exp(u)
        else:
            value = math.sinh(u)
        found = Fraction(f"{value:.9g}")
        return found if Rational(found.numerator, found.denominator) in r else None

    return at


def _bottoms(
    height: Callable[[tuple[float, ...]], float], count: int, rng: random.Random
) -> Iterator[tuple[float, ...]]:
    """Places of negative height, each the first on a way downhill from one of several starts."""
    for start in range(_STARTS):
        here = tuple(0.0 if start == 0 else rng.uniform(-4, 4) for _ in range(count))
        value, step = height(here), 2.0
        for _ in range(_STEPS):
            if value < 0:
                yield here
                break
            around = [tuple(h + step * d for h, d in zip(here, way, strict=True)) for way in _ways(count, rng)]
            best, place = min((height(p), p) for p in around)
            if best < value:
                here, value = place, best
            elif step < _SHORTEST:
                break
            else:
                step /= 2


def _ways(count: int, rng: random.Random) -> list[tuple[float, ...]]:
    """Directions: forth and back in each coordinate, and two at random."""
    plain = [tuple(float(s) if k == j else 0.0 for k in range(count)) for j in range(count) for s in (1, -1)]
    return plain if count == 1 else [*plain, *(tuple(rng.uniform(-1, 1) for _ in range(count)) for _ in range(2))]
