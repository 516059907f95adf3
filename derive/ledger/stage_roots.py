"""Roots of equations in balls proven to hold exactly one: the interval Newton method and Krawczyk's operator.

With U a ball about u0 and f'(U) away from zero, a Newton image u0 - f(u0)/f'(U) inside U proves exactly one root in U;
Krawczyk's operator does the same for several equations.  Positive unknowns are enclosed through their logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from flint import acb, arb, arb_mat
from sympy import Expr, Symbol, oo

from derive.core import Stage
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.krawczyk import NoBox, contraction, contraction_box

__all__ = ["FIRST", "Obstacle", "krawczyk", "newton", "sign_change"]

FIRST = 192
"""The precision in bits at which brackets are looked for."""
_WIDTHS = ("1e-2", "1e-4", "1e-6", "1e-9", "1e-12")
_PRECISIONS = (80, FIRST)
_ROUNDS = 40
_STEEP = 64
"""So many bits of a derivative: each step adds as many to those of the root."""
_SPARE = 40
"""A root is sharp enough where it misses so many of the bits."""
_FAR, _FARTHEST = 80.0, 1e6
_PLACES = 60


class Obstacle(Exception):
    """What could not be proven, in words."""


def newton(residual: Expr, x: Symbol, known: Mapping[Symbol, Any], guess: float, bits: int) -> tuple[Any, Any]:
    """The ball of an unknown, and the bracket in which its root is the only one.

    Args: residual; x; known (values and balls of all other symbols); guess (its logarithm where x is positive, as the
        bracket is); bits.
    Raises: Obstacle where no bracket was found, as at a multiple root.
    """
    log = bool(x.is_positive)
    slope = residual.diff(x)

    def f(u: Any, e: Expr, prec: int, goal: int | None = None) -> Any:
        with precision(prec):
            point = u.exp() if log else u
        value = enclose(e, {**known, x: point}, prec, goal=goal)
        if isinstance(value, acb) or not value.is_finite():
            raise Obstacle(f"the equation for {x.name} has no finite ball there")
        with precision(prec):
            return value * point if log and e is slope else value

    for prec, width in product(_PRECISIONS, _WIDTHS):
        with precision(FIRST):
            center = arb(guess)
            whole = arb(guess, float(width) * max(1.0, abs(guess)))
        try:
            derivative = f(whole, slope, prec, 24)
            if derivative.contains(0):
                continue
            with precision(FIRST):
                image = center - f(center, residual, prec, 48) / derivative
                if whole.contains_interior(image):
                    break
        except (Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
            continue
    else:
        raise Obstacle(f"no bracket about the root {x.name} in which its derivative does not vanish was found: "
                       "a multiple root, or one too close to another, cannot be certified")
    ball, full = image, False
    for _ in range(_ROUNDS):
        reached = _reached([ball])  # the error is squared: no more is computed than counts
        sharp = bits if full else min(bits, 2 * reached + 60)
        with precision(bits):
            center = ball.mid()
            steep = f(ball, slope, min(sharp, reached + 60), min(reached + 12, _STEEP))
            image = center - f(center, residual, sharp, sharp - 24) / steep
            if not image.overlaps(ball):
                raise Obstacle(f"the Newton step for {x.name} left its bracket")
            smaller = ball.intersection(image)
            stalled = smaller.rad() * 2 > ball.rad()
            ball = smaller
        if sharp == bits and (stalled or _reached([ball]) >= bits - _SPARE):
            break
        full = full or stalled
    with precision(bits):
        return (ball.exp() if log else ball), whole


def krawczyk(
    equations: Sequence[Expr], unknowns: Sequence[Symbol], known: Mapping[Symbol, Any], starts: Sequence[float],
    bits: int, allowed: Callable[[Mapping[Symbol, Any]], bool] = lambda points: True,
) -> tuple[list[Any], list[Any]]:
    """Balls of several unknowns, and the box in which their equations have that one solution and no other.

    With K(X) = c - Y F(c) + (1 - Y F'(X)) (X - c), Y about the inverse of F'(c): K(X) inside X proves exactly one
    solution in X (Krawczyk 1969). Positive unknowns are enclosed by their logarithm, in which `starts` are given too.
    `allowed` says of a box whether all of it may be looked at.
    Raises: Obstacle where no box was found, as at a multiple root.
    """
    slopes = [[e.diff(u) for u in unknowns] for e in equations]

    def points_of(box: Sequence[Any], prec: int) -> list[Any]:
        with precision(prec):
            return [b.exp() if u.is_positive else b for u, b in zip(unknowns, box, strict=True)]

    def at(box: Sequence[Any], prec: int, derivatives: bool) -> Any:
        points = points_of(box, prec)
        scope = {**known, **dict(zip(unknowns, points, strict=True))}
        wanted = slopes if derivatives else [[e] for e in equations]
        goal = min(prec, _reached(box) + 16, _STEEP if derivatives else prec)  # a wide box has no sharper values
        values = [[enclose(e, scope, prec, goal=goal) for e in row] for row in wanted]
        if any(isinstance(v, acb) or not v.is_finite() for row in values for v in row):
            raise NotEnclosed("the equations have no finite ball there")
        with precision(prec):
            if derivatives:
                values = [[v * p if u.is_positive else v for v, u, p in zip(row, unknowns, points, strict=True)]
                          for row in values]
            return arb_mat(values)

    def inside(box: Sequence[Any]) -> bool:
        return allowed({**known, **dict(zip(unknowns, points_of(box, FIRST), strict=True))})

    whole, box = _box(at, unknowns, starts, inside)
    box = _nearer(at, starts, whole) or box
    full = False
    for _ in range(_ROUNDS):
        sharp = bits if full else min(bits, 2 * _reached(box) + 60)
        with precision(bits):
            smaller = [b.intersection(k) for b, k in zip(box, contraction(at, box, sharp), strict=True)]
            stalled = all(k.rad() * 2 > b.rad() for b, k in zip(box, smaller, strict=True))
            box = smaller
        if sharp == bits and (stalled or _reached(box) >= bits - _SPARE):
            break
        full = full or stalled
    return points_of(box, bits), whole


def _box(
    at: Callable[[Sequence[Any], int, bool], Any], unknowns: Sequence[Symbol], starts: Sequence[float],
    allowed: Callable[[Sequence[Any]], bool],
) -> tuple[list[Any], list[Any]]:
    """A box with exactly one solution, and its first image; Obstacle where none is found."""
    reason = ""
    for bits in _PRECISIONS:
        try:
            return contraction_box(at, starts, _WIDTHS, allowed, bits)
        except NoBox as refusal:
            reason = str(refusal)
    names = ", ".join(u.name for u in unknowns)
    raise Obstacle(f"no box about {names} was found in which their equations have one solution: a multiple root, "
                   f"or one too close to another, cannot be certified (last: {reason})")


def _nearer(
    at: Callable[[Sequence[Any], int, bool], Any], starts: Sequence[float], whole: Sequence[Any]
) -> list[Any] | None:
    """An image about the starts as sharp as doubles are; what has a solution inside the whole box has that of it."""
    try:
        near, image = contraction_box(at, starts, (_WIDTHS[-1],), bits=FIRST)
    except NoBox:
        return None
    return image if all(w.contains_interior(b) for w, b in zip(whole, near, strict=True)) else None


def _reached(box: Sequence[Any]) -> int:
    """The bits to which the least accurate ball of a box is known."""
    return max(16, min(int(b.rel_accuracy_bits()) for b in box))


def sign_change(stage: Stage, known: Mapping[Symbol, Any]) -> float | None:
    """About where the residual of a stage, monotone in its unknown, changes sign; the logarithm where positive.

    The end of the interval where it keeps its sign up to there; None where it has no value.  It proves nothing.
    """
    log = bool(stage.unknown.is_positive)

    def end(e: Expr, far: float) -> float:
        if e in (oo, -oo):
            return far
        ball = enclose(e, known, 64)
        return float(ball) if not log else float(ball.log()) if ball > 0 else far

    far = _FAR if log else _FARTHEST
    low, high = end(stage.lower, -far), end(stage.upper, far)

    def rises(u: float) -> float | None:
        """The residual, with the sign that makes it rise through the root."""
        with precision(64):
            point = arb(u).exp() if log else arb(u)
        value = enclose(stage.residual, {**known, stage.unknown: point}, 64, goal=40, evaluations=4000)
        if isinstance(value, acb) or not value.is_finite():
            return None
        return 0.0 if value.contains(0) else float(value) * stage.direction

    margin = min(1.0, (high - low) / 2)
    a = min(max(0.0, low + margin), high - margin)
    fa = rises(a)
    if fa is None or fa == 0:
        return None if fa is None else a
    step, toward = 1.0, (1 if fa < 0 else -1)
    while True:
        b = min(max(a + toward * step, low), high)
        fb = rises(b)
        if fb is None:
            return None
        if fb * fa <= 0:
            break
        if b in (low, high):
            return b
        a, fa, step = b, fb, 2 * step
    return _illinois(rises, a, fa, b, fb)


def _illinois(f: Callable[[float], float | None], a: float, fa: float, b: float, fb: float) -> float | None:
    """False position with halved weights between places of opposite sign."""
    for _ in range(_PLACES):
        if fb == 0 or abs(b - a) <= 1e-10 * max(1.0, abs(b)):
            return b
        c = b - fb * (b - a) / (fb - fa)
        if not min(a, b) < c < max(a, b):
            c = (a + b) / 2
        fc = f(c)
        if fc is None:
            return None
        if fc * fb < 0:
            a, fa = b, fb
        else:
            fa /= 2
        b, fb = c, fc
    return b
