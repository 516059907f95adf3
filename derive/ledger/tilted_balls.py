"""Averages over laws with a density on a bounded interval by their Laplace transforms (derive.ledger.transforms).

Tilted averages, their logarithms, and averages over such a law with noise, whose density is exp(-x^2/(2 v)) times the
transform at x/v.  Each gives None where a transform does not apply, and is integrated in another way then.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import TYPE_CHECKING

from flint import acb, arb, ctx
from sympy import Expr, Symbol, sqrt

from derive.ledger.ball_functions import Ball
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.tails import Term, cut_off, majorant
from derive.ledger.transforms import Transform, applies, coefficients, transform_of
from derive.ledger.trapezoidal import line_integral
from derive.nodes.laws import Density, Law, Noisy

if TYPE_CHECKING:
    from derive.ledger.balls import Evaluator

__all__ = ["log_average", "noisy_average", "tilted_average"]

_SPARE = 32
_MOST = 8


def log_average(at: Evaluator, g: Expr, var: Symbol, law: Law) -> Ball | None:
    """log E exp(g)."""
    found = _tilt(at, g, var, law, 0)
    if found is None:
        return None
    transform, (constant, linear, quadratic) = found
    tilted = transform.tilted(linear, 0)
    value = constant + tilted.c * (linear + tilted.c * quadratic) + tilted.level
    return _or_none(value, at)


def tilted_average(at: Evaluator, f: Expr, g: Expr, var: Symbol, law: Law) -> Ball | None:
    """E f exp(g)/E exp(g), f a polynomial."""
    row = coefficients(f, var, _MOST)
    found = None if row is None else _tilt(at, g, var, law, len(row) - 1)
    if row is None or found is None:
        return None
    transform, (_, linear, _) = found
    tilted = transform.tilted(linear, len(row) - 1)
    center = tilted.c + tilted.shift
    total: Ball = arb(0)
    for k, c in enumerate(row):
        if c != 0:
            power = sum((comb(k, i) * _power(center, k - i) * tilted.means[i] for i in range(k + 1)), arb(0))
            total = total + at(c) * power
    return _or_none(total, at)


def noisy_average(at: Evaluator, body: Expr, var: Symbol, law: Noisy) -> Ball | None:
    """E body(y + sqrt(v) w), w normal: one integral over the line, in w about the middle of the support."""
    base = law.base
    if not isinstance(base, Density) or not applies(base) or at.analytic or at.complex_values():
        return None
    variance = at(law.s)
    if not variance > 0:
        return None
    w, middle = _line(var), (base.lower + base.upper) / 2
    placed = _placed(body, var, middle + sqrt(law.s) * w, w)
    root, half = variance.sqrt(), enclose((base.upper - base.lower) / 2, prec=ctx.prec)
    norm, start = 1 / (2 * arb.pi()).sqrt(), enclose(middle, prec=ctx.prec)
    transform = transform_of(base, 1 / variance, _bits(at), 0)
    reach, beyond = 0, arb(0)
    for side in (1, -1):  # exp(-(w - u)^2/2) <= exp(-w^2/2 + |w| |u|), |u| at most half the support in widths
        weight = Term((transform.mass * norm).upper(), 0, arb((half / root).upper()), arb(-1) / 2)
        cut, rest = cut_off([weight * term for term in majorant(placed, w, side, at)], at.goal)
        reach, beyond = max(reach, cut), beyond + rest
    inside = at.over(placed, w, principal=True)

    def weighted(z: Ball, analytic: bool) -> Ball:
        x = start + root * z
        tilted = transform.tilted(x / variance, 0)
        away = x - tilted.c
        return inside(z, analytic) * (-away * away / (2 * variance)).exp() * tilted.total * norm

    try:
        value: Ball | None = line_integral(lambda z: weighted(z, True), reach, at.goal)
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None:
        value = at.finite_integral(weighted, arb(-reach), arb(reach))
    return value + arb(0, beyond) if isinstance(value, arb) else value + acb(arb(0, beyond), arb(0, beyond))


def _tilt(at: Evaluator, g: Expr, var: Symbol, law: Law, most: int) -> tuple[Transform, tuple[Ball, ...]] | None:
    """The transform that a tilt asks for, and the coefficients of the tilt."""
    if not isinstance(law, Density) or not applies(law):
        return None
    row = coefficients(g, var, 2)
    if row is None:
        return None
    balls = [at(c) for c in row]
    balls += [arb(0)] * (3 - len(balls))
    b = -2 * balls[2]
    if isinstance(b, acb):
        if not b.imag.is_zero():
            return None
        b = b.real
    if not b >= 0:
        return None
    try:
        return transform_of(law, b, _bits(at), most), tuple(balls)
    except NotEnclosed:
        return None


def _bits(at: Evaluator) -> int:
    return min(ctx.prec, at.goal + _SPARE)


def _or_none(value: Ball, at: Evaluator) -> Ball | None:
    """What is not finite on a wide real ball may be by another way."""
    return value if value.is_finite() or at.complex_values() else None


def _power(z: Ball, n: int) -> Ball:
    found: Ball = arb(1)
    for _ in range(n):
        found = found * z
    return found


@lru_cache(maxsize=64)
def _line(var: Symbol) -> Symbol:
    return Symbol(f"w of {var.name}", real=True)


@lru_cache(maxsize=256)
def _placed(body: Expr, var: Symbol, place: Expr, w: Symbol) -> Expr:
    return body.xreplace({var: place})
