"""Points that obey equations: rational values for most symbols, and proven balls for those that the equations fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from flint import acb, arb, fmpq
from sympy import Basic, Expr, Heaviside, Piecewise, Rational, Symbol, floor, sign

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.domain import Range, declared, points
from derive.nodes.binders import Binder

__all__ = ["ball_of", "holds", "obeying", "places", "points_on", "root_ball"]

#: a root is enclosed to so many bits; fewer where every value is an integral
_BITS, _FEW = 190, 120
_STEPS = 60
#: one point in so many takes the first zero of an equation, the next the second, and so on
_ROOTS = 3
_JUMPS = (sign, Heaviside, Piecewise, floor)


def ball_of(e: Basic, point: Mapping[Symbol, Any], bits: int = 160, **how: Any) -> arb | None:
    """The value at a point as a real ball; None where it has none, is not finite or is not real."""
    try:
        value = enclose(e, point, bits, **how)
    except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(value, acb) or not value.is_finite() else value


def points_on(
    equations: Sequence[Expr], symbols: Sequence[Symbol], domain: Domain, seed: int, count: int, calm: float = 1.0
) -> Iterator[dict[Symbol, Any]]:
    """Points of a domain on which expressions vanish: symbol -> rational, or a ball proven to contain a zero.

    All equations together hold at some point of the ball: each is solved for a symbol that no earlier one contains.
    """
    free = Domain(domain.intervals)
    drawn = points({*symbols, *_symbols(equations), *_symbols(domain.constraints)}, free, seed, count, calm)
    for number, point in enumerate(drawn):
        found = obeying(equations, point, domain, number % _ROOTS)
        if found is not None:
            yield found


def _symbols(exprs: Sequence[Basic]) -> set[Symbol]:
    return {s for e in exprs for s in e.free_symbols if isinstance(s, Symbol)}


def obeying(
    equations: Sequence[Expr], point: Mapping[Symbol, Rational], domain: Domain, skip: int = 0
) -> dict[Symbol, Any] | None:
    """The point, moved in as many symbols as there are equations so that all vanish; None where that fails.

    Args: skip (roots that are passed over where an equation without averages has more).
    """
    moved: dict[Symbol, Any] = dict(point)
    fixed: set[Symbol] = set()
    for p in sorted(equations, key=lambda e: (len(e.free_symbols), str(e))):
        if not p.has(Binder):
            value = ball_of(p, moved, 128)
            if value is not None and value.is_zero():
                fixed |= p.free_symbols
                continue
        for symbol in _by_preference(p, [s for s in p.free_symbols - fixed if s in moved]):
            root = root_ball(p, symbol, {k: v for k, v in moved.items() if k != symbol}, domain, skip)
            if root is not None:
                moved[symbol] = root
                fixed |= p.free_symbols
                break
        else:
            return None
    return moved if all(holds(k, moved) for k in domain.constraints) else None


def _by_preference(p: Expr, symbols: Sequence[Symbol]) -> list[Symbol]:
    """Symbols outside averages first, and of these the constants of the functions that stand for undefined ones: they
    are free and often enter linearly."""
    inside = {s for node in p.atoms(Binder) for s in node.free_symbols}

    def key(s: Symbol) -> tuple[bool, bool, str]:
        return s in inside, not s.name.startswith(("constant of ", "slope of ", "value of ")), s.name

    return sorted(symbols, key=key)


def holds(condition: Basic, point: Mapping[Symbol, Any]) -> bool:
    """Whether a condition holds at a point for certain."""
    if condition == True:  # noqa: E712 - a SymPy Boolean
        return True
    lhs, rhs = getattr(condition, "lhs", None), getattr(condition, "rhs", None)
    if lhs is None or rhs is None or (condition.free_symbols - set(point)):
        return False
    d = ball_of(lhs - rhs, point)
    used = {s: point[s] for s in condition.free_symbols}
    exact = d is not None and d.contains(0) and all(getattr(v, "is_Rational", False) for v in used.values())
    if exact and (lhs - rhs).xreplace(used) == 0:  # on the edge
        return condition.rel_op in (">=", "<=")
    return d is not None and bool({">": d > 0, ">=": d >= 0, "<": d < 0, "<=": d <= 0, "!=": d > 0 or d < 0}.get(
        condition.rel_op, False))


def root_ball(p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], domain: Domain, skip: int = 0) -> arb | None:
    """A tight ball in the range of a symbol that contains a zero of p, by opposite signs at its ends.

    So many zeros are skipped where more are seen and p has no averages.

    p is continuous between them, for its ball over the whole of it is finite and it has no jumps.
    """
    with precision(_BITS + 64):
        return _root_ball(p, symbol, rest, domain, skip)


def _root_ball(p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], domain: Domain, skip: int) -> arb | None:
    if p.has(*_JUMPS):
        return None
    r = declared(symbol, domain)
    slope = p.diff(symbol)
    if symbol not in slope.free_symbols:
        return _linear(p, slope, symbol, rest, r)
    lower, upper = _rational(r.lower, rest), _rational(r.upper, rest)
    few = p.has(Binder)
    found: arb | None = None
    for found in islice(_zeros(p, symbol, rest, _grid(r, lower, upper, few)), 1 if few else 1 + skip):  # noqa: B007
        pass
    return found


def _zeros(p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], grid: Iterable[Rational]) -> Iterator[arb]:
    """Balls about zeros of p that are seen between the places of a grid, or at one."""
    few = p.has(Binder)
    previous: tuple[Rational, int] | None = None
    for x in grid:
        value = ball_of(p, {**rest, symbol: x}, 96, goal=40, evaluations=4000)
        found = _sign(value)
        if value is not None and value.is_zero():
            yield _exact(x)
        elif found and previous is not None and found != previous[1]:
            root = _narrowed(p, symbol, rest, previous[0], x, _FEW if few else _BITS)
            if root is not None:
                yield root
        previous = (x, found) if found else None


def _linear(p: Expr, slope: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], r: Range) -> arb | None:
    """The zero of p = p(0) + slope * symbol, where it lies in the range for certain."""
    start, rise = (ball_of(e, {**rest, symbol: Rational(0)}, _FEW + 60) for e in (p, slope))
    if start is None or rise is None or rise.contains(0):
        return None
    root = -start / rise
    for bound, side in ((r.lower, 1), (r.upper, -1)):
        if bound.is_infinite:
            continue
        end = ball_of(bound, rest)
        if end is None or not side * (root - end) > 0:
            return None
    return root


def places(symbol: Symbol, rest: Mapping[Symbol, Any], domain: Domain) -> Iterator[Rational]:
    """Values inside the range of a symbol, in order, given values of the others."""
    r = declared(symbol, domain)
    yield from _grid(r, _rational(r.lower, rest), _rational(r.upper, rest), False)


def _narrowed(
    p: Expr, symbol: Symbol, rest: Mapping[Symbol, Any], low: Rational, high: Rational, bits: int
) -> arb | None:
    """False position with halved weights (Illinois), then a last ball with opposite signs at its ends."""

    def f(x: arb) -> arb | None:
        return ball_of(p, {**rest, symbol: x}, bits + 40)

    a, b = _exact(low), _exact(high)
    fa, fb = f(a), f(b)
    if not _sign(fa) or not _sign(fb) or _sign(fa) == _sign(fb):
        return None
    assert fa is not None
    assert fb is not None
    wa, wb = fa.mid(), fb.mid()
    side = 0
    for step in range(_STEPS):
        width = (b - a).mid()
        if width < arb(2) ** -bits * (1 + abs(a)):
            break
        x = ((a * wb - b * wa) / (wb - wa)).mid() if step % 8 != 7 else ((a + b) / 2).mid()
        if not (a < x < b):
            x = ((a + b) / 2).mid()
        value = f(x)
        if value is None:
            return None
        found = _sign(value)
        if found == 0 or abs(value).upper() < arb(2) ** -bits * (1 + abs(fa).upper() + abs(fb).upper()):
            tight = _around(f, x, a, b, _sign(fa), bits)
            if tight is not None:
                a, b = tight
                break
            if found == 0:
                return None
        if found == _sign(fa):
            a, wa = x, value.mid()
            wb, side = (wb / 2, 1) if side == 1 else (wb, 1)
        else:
            b, wb = x, value.mid()
            wa, side = (wa / 2, 2) if side == 2 else (wa, 2)
    root = a.union(b)
    return root if f(root) is not None else None


def _around(f: Any, x: arb, a: arb, b: arb, left: int, bits: int) -> tuple[arb, arb] | None:
    """A narrow pair of places about x with opposite signs."""
    for k in (bits - 8, bits - 24, bits - 48, bits // 2):
        reach = arb(2) ** -k * (1 + abs(x))
        low, high = (x - reach).mid(), (x + reach).mid()
        if low > a and high < b and _sign(f(low)) == left and _sign(f(high)) == -left:
            return low, high
    return None


def _exact(x: Rational) -> arb:
    return arb(fmpq(int(x.p), int(x.q)))


def _sign(value: arb | None) -> int:
    return 0 if value is None else 1 if value > 0 else -1 if value < 0 else 0


def _rational(bound: Expr, rest: Mapping[Symbol, Any]) -> Rational | None:
    """An end of a range as a number, None where it is infinite or not known exactly enough."""
    at = bound.xreplace({k: v for k, v in rest.items() if isinstance(v, Rational)})
    if at.is_Rational:
        return at
    if at.is_infinite or at.free_symbols:
        return None
    value = at.evalf(30)
    return Rational(str(value)) if value.is_Float else None


def _grid(r: Range, lower: Rational | None, upper: Rational | None, few: bool) -> Iterator[Rational]:
    """Places inside a range, in order."""
    if (lower is None and r.lower.is_infinite is not True) or (upper is None and r.upper.is_infinite is not True):
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
