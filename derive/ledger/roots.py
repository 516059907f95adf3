"""Points that obey equations: rational values for all symbols but those that the equations fix, proven balls for these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flint import acb, arb, fmpq
from sympy import Basic, Expr, Rational, Symbol

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import Range, declared, points
from derive.nodes.binders import Binder

__all__ = ["ball_of", "obeying", "points_on", "root_ball"]

#: halvings of a bracket: more than thirty digits below a unit, fewer where every value is an integral
_HALVINGS, _FEW = 190, 125


def ball_of(e: Basic, point: Mapping[Symbol, Any], bits: int = 160) -> arb | None:
    """The value at a point as a real ball, None where there is none."""
    try:
        value = enclose(e, point, bits)
    except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(value, acb) or not value.is_finite() else value


def points_on(
    equations: Sequence[Expr], symbols: Sequence[Symbol], domain: Domain, seed: int, count: int, calm: float = 1.0
) -> Iterator[dict[Symbol, Any]]:
    """Points of a domain on which expressions vanish: symbol -> rational, or a ball proven to contain a zero."""
    for point in points(symbols, domain, seed, count, calm):
        found = obeying(equations, point, domain)
        if found is not None:
            yield found


def obeying(equations: Sequence[Expr], point: Mapping[Symbol, Rational], domain: Domain) -> dict[Symbol, Any] | None:
    """The point, moved in as many symbols as there are equations so that all vanish; None where that fails.

    Each equation in turn is solved for one symbol that the ones before do not contain.
    """
    moved: dict[Symbol, Any] = dict(point)
    used: set[Symbol] = set()
    for p in equations:
        value = ball_of(p, moved)
        if value is not None and value.is_zero():
            used |= p.free_symbols
            continue
        for symbol in sorted((s for s in p.free_symbols - used if s in moved), key=lambda s: s.name):
            root = root_ball(p, symbol, {k: v for k, v in moved.items() if k != symbol}, domain)
            if root is not None:
                moved[symbol] = root
                used |= p.free_symbols
                break
        else:
            return None
    return moved if _inside(moved, domain) else None


def _inside(point: Mapping[Symbol, Any], domain: Domain) -> bool:
    """Whether the constraints of a domain hold at a point for certain."""
    for condition in domain.constraints:
        lhs, rhs = getattr(condition, "lhs", None), getattr(condition, "rhs", None)
        if lhs is None or rhs is None:
            return False
        d = ball_of(lhs - rhs, point)
        holds = d is not None and {">": d > 0, ">=": d >= 0, "<": d < 0, "<=": d <= 0}.get(condition.rel_op, False)
        if not holds:
            return False
    return True


def root_ball(p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], domain: Domain) -> arb | None:
    """A tight ball in the range of a symbol that contains a zero of p, by the signs at its ends and continuity inside."""
    r = declared(symbol, domain)
    bounds = [_rational(b.xreplace({k: v for k, v in rest.items() if isinstance(v, Rational)})) for b in (r.lower, r.upper)]
    few = p.has(Binder)
    previous: tuple[Rational, int] | None = None
    for x in _grid(r, *bounds, few):
        value = ball_of(p, {**rest, symbol: x}, 96)
        if value is not None and value.is_zero():
            return arb(fmpq(int(x.p), int(x.q)))
        sign = _sign(value)
        if sign and previous is not None and sign != previous[1]:
            return _halved(p, symbol, rest, previous[0], x, sign, _FEW if few else _HALVINGS)
        previous = (x, sign) if sign else None
    return None


def _halved(
    p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], low: Rational, high: Rational, sign: int, steps: int
) -> arb | None:
    a, b = (arb(fmpq(int(v.p), int(v.q))) for v in (low, high))
    bits = steps + 60
    for _ in range(steps):
        middle = ((a + b) / 2).mid()
        value = ball_of(p, {**rest, symbol: middle}, bits)
        if value is not None and value.is_zero():
            return middle
        found = _sign(value)
        if found == 0:
            break
        a, b = (a, middle) if found == sign else (middle, b)
    root = a.union(b)
    return root if ball_of(p, {**rest, symbol: root}, bits) is not None else None


def _sign(value: arb | None) -> int:
    return 0 if value is None else 1 if value > 0 else -1 if value < 0 else 0


def _rational(e: Expr) -> Rational | None:
    if e.is_Rational:
        return e
    if e.is_infinite or e.free_symbols:
        return None
    value = e.evalf(30)
    return Rational(str(value)) if value.is_Float else None


def _grid(r: Range, lower: Rational | None, upper: Rational | None, few: bool) -> Iterator[Rational]:
    """Places inside a range, in order."""
    if (lower is None and r.lower.is_finite) or (upper is None and r.upper.is_finite):
        return
    if lower is not None and upper is not None:
        parts = 12 if few else 40
        yield from (lower + (upper - lower) * Rational(k, parts) for k in range(1, parts))
        return
    scales = [Rational(2) ** k for k in (range(-6, 7, 2) if few else range(-12, 13))]
    if lower is not None:
        yield from (lower + s for s in scales)
    elif upper is not None:
        yield from (upper - s for s in reversed(scales))
    else:
        yield from (-s for s in reversed(scales))
        yield from scales
