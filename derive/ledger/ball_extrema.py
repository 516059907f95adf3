"""The largest value of a function on an interval, and the place of an extremum, in balls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from flint import arb
from sympy import Expr, Interval, Rational, Symbol, oo

from derive.core import Domain, Stage
from derive.ledger.balls import NotEnclosed, enclose
from derive.nodes.extremum import ArgExtremum, Extremum
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["largest", "place_of"]

Ball = Any  # arb or acb
_SECONDS = 5.0
_CELLS = 600


def largest(f: Callable[[arb], Ball], slope: Callable[[arb], Ball], low: arb, high: arb, goal: int) -> arb:
    """An enclosure of the largest value of a differentiable function on an interval."""
    best = f(low).max(f(high)) if all(_is_real(f(z)) for z in (low, high)) else arb("-inf")
    cells, closed = [(low, high)], [z for z in (f(low), f(high)) if _is_real(z)]
    for _ in range(_CELLS):
        if not cells:
            break
        uppers = [(_upper(f, slope, a, b), a, b) for a, b in cells]
        top = max((u for u, _, _ in uppers), default=best)
        if top.is_finite() and best.is_finite() and top - best < arb(2) ** -goal * (1 + abs(best)):
            return best.union(arb(best.max(top).upper()))
        kept = []
        for upper, a, b in uppers:
            if upper.is_finite() and upper <= best.lower():
                continue
            middle = ((a + b) / 2).mid()
            value = f(middle)
            if _is_real(value):
                closed.append(value)
                best = arb(best.lower()).max(value) if best.is_finite() else value
            turn = slope(a.union(b))
            if _is_real(turn) and (turn > 0 or turn < 0):
                value = f(b if turn > 0 else a)
                if _is_real(value):  # the largest value of the cell is at its end
                    best = best.max(value) if best.is_finite() else value
                    continue
            kept += [(a, middle), (middle, b)]
        if len(kept) > _CELLS:
            break
        cells = kept
    if cells or not best.is_finite():
        raise NotEnclosed("the bounds of an extremum did not close in")
    return best


def _upper(f: Callable[[arb], Ball], slope: Callable[[arb], Ball], a: arb, b: arb) -> arb:
    """An upper bound of a function on a cell, by its ball there and by its slope."""
    cell, middle = a.union(b), ((a + b) / 2).mid()
    direct, turn, there = f(cell), slope(cell), f(middle)
    bounds = [arb(direct.upper())] if _is_real(direct) else []
    if _is_real(turn) and _is_real(there):
        bounds.append(arb((there + abs(turn) * (b - a) / 2).upper()))
    return min(bounds, key=float) if bounds else arb("+inf")


def _is_real(z: Ball) -> bool:
    return isinstance(z, arb) and bool(z.is_finite())


def place_of(node: Extremum | ArgExtremum, known: Mapping[Symbol, Any], bits: int) -> arb:
    """The place of an extremum: the only zero of the slope on the interval.

    It is the only one because the curvature is proved to have one sign on the whole interval, by a rule; or because
    the slope has none outside a part of a bounded interval on which balls show the sign of the curvature.  For an
    extremum of kind "max" that sign is negative, for "min" positive.
    Raises: NotEnclosed where neither is shown, or where the extremum is at an end.
    """
    (x,), (body,) = node.open()
    slope, interval = body.diff(x), node.interval
    sign = _curved(slope.diff(x).xreplace(_exact(known)), x, interval)
    if sign and node.kind in ("extr", "min" if sign > 0 else "max"):
        return _root(slope, x, known, bits, Stage(x, slope, sign, interval.start, interval.end))
    inner = _alone(slope, x, known, interval)
    if inner is None or (node.kind != "extr" and inner.direction != (1 if node.kind == "min" else -1)):
        raise NotEnclosed(f"where an extremum over {interval} is taken: that its slope has one zero is not shown")
    return _root(slope, x, known, bits, inner)


def _exact(known: Mapping[Symbol, Any]) -> dict[Symbol, Rational]:
    """The values that are exact numbers."""
    found = {}
    for symbol, ball in known.items():
        if isinstance(ball, arb) and ball.is_exact() and ball.is_finite():
            mantissa, exponent = ball.man_exp()
            found[symbol] = Rational(int(mantissa)) * Rational(2) ** int(exponent)
    return found


def _root(slope: Expr, x: Symbol, known: Mapping[Symbol, Any], bits: int, stage: Stage) -> arb:
    from derive.ledger.stage_roots import Obstacle, newton, sign_change

    guess = sign_change(stage, known)
    try:
        if guess is None:
            raise Obstacle("its slope has no value")
        ball: arb = newton(slope, x, known, guess, bits)[0]
    except Obstacle as reason:
        raise NotEnclosed(f"where an extremum is taken inside its interval: {reason}") from None
    low, high = (None if end in (oo, -oo) else enclose(end, known, bits) for end in (stage.lower, stage.upper))
    if (low is not None and not ball > low) or (high is not None and not ball < high):
        raise NotEnclosed("where an extremum is taken: whether it is at an end of its interval")
    return ball


@lru_cache(maxsize=256)
def _curved(curvature: Expr, x: Symbol, interval: Interval) -> int:
    """The sign of a curvature on a whole interval, for all values of the other symbols; 0 where it is not proved."""
    from derive.ledger.positivity import prove_positive

    domain = Domain(((x, interval),))
    for sign in (-1, 1):
        try:
            if timebox(_SECONDS, prove_positive, sign * curvature, domain) is not None:
                return sign
        except TimedOut:
            continue
    return 0


def _alone(slope: Expr, x: Symbol, known: Mapping[Symbol, Any], interval: Interval, parts: int = 64) -> Stage | None:
    """The part of a bounded interval outside of which a slope has no zero, and on which it is monotone."""
    if interval.start.is_infinite or interval.end.is_infinite:
        return None
    low, high = (enclose(end, known, 64) for end in (interval.start, interval.end))
    if not (_is_real(low) and _is_real(high) and low.is_exact() and high.is_exact()):
        return None
    left = []
    for k in range(parts):
        cell = (low + (high - low) * k / parts).union(low + (high - low) * (k + 1) / parts)
        turn = enclose(slope, {**known, x: cell}, 64, goal=30)
        if not _is_real(turn) or turn.contains(0):
            left.append((k, k + 1))
    if not left:
        return None
    first, last = left[0][0], left[-1][1]
    edges = [Rational(k, parts) * (interval.end - interval.start) + interval.start for k in (first, last)]
    hull = enclose(edges[0], known, 64).union(enclose(edges[1], known, 64))
    bend = enclose(slope.diff(x), {**known, x: hull}, 64, goal=30)
    if not _is_real(bend) or bend.contains(0):
        return None
    return Stage(x, slope, 1 if bend > 0 else -1, edges[0], edges[1])
