"""Roots of equations in balls proven to hold exactly one: the interval Newton method and Krawczyk's operator.

With U a ball about u0 and f'(U) away from zero, a Newton image u0 - f(u0)/f'(U) inside U proves exactly one root in U;
Krawczyk's operator does the same for several equations.  Positive unknowns are enclosed through their logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from math import log
from typing import Any

from flint import acb, arb, arb_mat
from sympy import Expr, Symbol, oo

from derive.core import Stage
from derive.ledger.balls import MAX_EVALUATIONS, NotEnclosed, enclose, precision
from derive.ledger.krawczyk import NoBox, contraction, contraction_box

__all__ = ["FIRST", "Obstacle", "Undecided", "krawczyk", "newton", "sign_change", "within_ends"]

FIRST = 192
"""The precision in bits at which brackets are looked for."""
_WIDTHS = ("1e-2", "1e-4", "1e-6", "1e-9", "1e-12")
_NARROWER = ("1e-16", "1e-20", "1e-25")
_PRECISIONS = (80, FIRST)
_POLISH = 6
_COARSE = 1500
"""Evaluations in an integral at a wide ball, whose width no more of them lessen."""
_ROUNDS = 40
_STEEP = 64
"""So many bits of a derivative: each step adds as many to those of the root."""
_SPARE = 40
"""A root is sharp enough where it misses so many of the bits."""
_FAINT = (24, 80, 240, 720)
_FAR, _FARTHEST = 80.0, 1e6
_PLACES = 60


class Obstacle(Exception):
    """What could not be proven, in words."""


class Undecided(Obstacle):
    """What more bits may decide."""


def newton(residual: Expr, x: Symbol, known: Mapping[Symbol, Any], guess: float, bits: int) -> tuple[Any, Any]:
    """The ball of an unknown, and the bracket in which its root is the only one.

    Args: residual; x; known (values and balls of all other symbols); guess (its logarithm where x is positive, as the
        bracket is); bits.
    Raises: Obstacle where no bracket was found, as at a multiple root.
    """
    positive = bool(x.is_positive)
    slope = residual.diff(x)

    def f(u: Any, e: Expr, prec: int, goal: int | None = None, places: int = MAX_EVALUATIONS) -> Any:
        with precision(prec):
            point = u.exp() if positive else u
        value = enclose(e, {**known, x: point}, prec, goal=goal, evaluations=places)
        if isinstance(value, acb) or not value.is_finite():
            raise Obstacle(f"the equation for {x.name} has no finite ball there")
        with precision(prec):
            return value * point if positive and e is slope else value

    enclosed: list[Any] = []  # where the slope is, and what is known of why it is not elsewhere
    refusals: list[str] = []

    def bracket(center: arb, faint: int, widths: Sequence[str], places: int) -> tuple[Any, Any] | None:
        for prec, width in product(_PRECISIONS, widths):
            with precision(FIRST + faint):
                whole = arb(center, float(width) * max(1.0, abs(guess)))
            try:
                derivative = f(whole, slope, prec + faint, 24 + faint, places)
                enclosed.append(whole)
                if derivative.contains(0):
                    continue
                with precision(FIRST + faint):
                    image = center - f(center, residual, prec + faint, 48 + faint) / derivative
                    if whole.contains_interior(image):
                        return whole, image
            except (Obstacle, NotEnclosed, ValueError, ZeroDivisionError) as refusal:
                refusals.append(str(refusal))
        return None

    def polished(faint: int) -> arb:
        """The guess after steps by middles of balls, which prove nothing."""
        at, bits = arb(guess), FIRST + faint
        for _ in range(_POLISH):
            with precision(bits), suppress(Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
                step = (f(at, residual, bits, bits) / f(at, slope, bits, 48 + faint)).mid()
                if not abs(step) < 1e-3:
                    return at
                at = (at - step).mid()
        return at

    faint, found = 0, bracket(arb(guess), 0, _WIDTHS, _COARSE)
    if found is None:  # where the equation is nearly flat, or bends much, more bits and narrower brackets are tried
        faint = _faintness(lambda goal: _flatter(f(arb(guess), slope, FIRST + goal, goal), arb(guess), positive))
        found = bracket(polished(faint), faint, (*_WIDTHS, *_NARROWER), MAX_EVALUATIONS)
    if found is None and not enclosed:
        raise Obstacle(f"no enclosure of the slope of the equation for {x.name} is known: {refusals[-1]}")
    if found is None:
        raise Obstacle(f"no bracket about the root {x.name} in which its derivative does not vanish was found: "
                       "a multiple root, or one too close to another, cannot be certified")
    whole, image = found
    ball, full = image, False
    for _ in range(_ROUNDS):
        reached = _reached([ball])  # the error is squared: no more is computed than counts
        sharp = bits if full else min(bits, 2 * reached + 60)
        with precision(bits):
            center = ball.mid()
            steep = f(ball, slope, min(sharp, reached + 60) + faint, min(reached + 12, _STEEP) + faint)
            image = center - f(center, residual, sharp + faint, sharp - 24 + faint) / steep
            if not image.overlaps(ball):
                raise Obstacle(f"the Newton step for {x.name} left its bracket")
            smaller = ball.intersection(image)
            stalled = smaller.rad() * 2 > ball.rad()
            ball = smaller
        if sharp == bits and (stalled or _reached([ball]) >= bits - _SPARE):
            break
        full = full or stalled
    with precision(bits):
        return (ball.exp() if positive else ball), whole


def _faintness(slope: Callable[[int], Any]) -> int:
    """How many bits a slope, given to so many bits, is smaller than one; 0 where it is not, or is not told from 0."""
    for goal in _FAINT:
        try:
            size = abs(slope(goal)).lower()
        except (Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
            return 0
        if size > 0:
            return max(0, -int(float(size.log()) / log(2)))
    return 0


def _flatter(slope: Any, guess: arb, positive: bool) -> Any:
    """The smaller of the slopes in an unknown and in its logarithm, given the latter."""
    return slope * (-guess).exp().min(arb(1)) if positive else slope


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
    faint = [0] * len(equations)

    def points_of(box: Sequence[Any], prec: int) -> list[Any]:
        with precision(prec):
            return [b.exp() if u.is_positive else b for u, b in zip(unknowns, box, strict=True)]

    def at(box: Sequence[Any], prec: int, derivatives: bool) -> Any:
        points = points_of(box, prec)
        scope = {**known, **dict(zip(unknowns, points, strict=True))}
        wanted = slopes if derivatives else [[e] for e in equations]
        goal = min(prec, _reached(box) + 16, _STEEP if derivatives else prec)  # a wide box has no sharper values
        values = [[enclose(e, scope, prec + more, goal=goal + more) for e in row]
                  for row, more in zip(wanted, faint, strict=True)]
        if any(isinstance(v, acb) or not v.is_finite() for row in values for v in row):
            raise NotEnclosed("the equations have no finite ball there")
        with precision(prec):
            if derivatives:
                values = [[v * p if u.is_positive else v for v, u, p in zip(row, unknowns, points, strict=True)]
                          for row in values]
            return arb_mat(values)

    def inside(box: Sequence[Any]) -> bool:
        return allowed({**known, **dict(zip(unknowns, points_of(box, FIRST), strict=True))})

    def flattest(row: Sequence[Expr], goal: int) -> Any:
        points = points_of([arb(s) for s in starts], FIRST + goal)
        scope = {**known, **dict(zip(unknowns, points, strict=True))}
        sizes = [enclose(e, scope, FIRST + goal, goal=goal) * (p.min(arb(1)) if u.is_positive else 1)
                 for e, u, p in zip(row, unknowns, points, strict=True)]
        return max((abs(v).lower() for v in sizes if isinstance(v, arb)), key=float, default=arb(0))

    try:
        whole, box = _box(at, unknowns, starts, inside)
    except Obstacle:  # where equations are nearly flat, more bits of them are asked for
        faint[:] = [_faintness(partial(flattest, row)) for row in slopes]
        if not any(faint):
            raise
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


def within_ends(stage: Stage, known: Mapping[Symbol, Any], ball: Any, bits: int) -> Any:
    """The ball of a root of a stage inside its interval; held at the ends, which are the answer beyond them, if asked.

    Args: known (values and balls of what the ends ask for); ball (of the root); bits.
    Raises: Obstacle for one outside, Undecided where balls do not tell.
    """
    for end, side in ((stage.upper, 1), (stage.lower, -1)):
        if end in (oo, -oo) or (end == 0 and side < 0 and stage.unknown.is_positive):
            continue
        place = enclose(end, known, bits)
        with precision(bits):
            if side * (place - ball) > 0:
                continue
            if stage.clip:
                ball = ball.min(place) if side > 0 else ball.max(place)
            elif side * (place - ball) < 0:
                raise Obstacle(f"the root found for {stage.unknown.name} lies beyond the end {end} of its interval")
            else:
                raise Undecided(f"balls do not decide whether {stage.unknown.name} lies inside its interval")
    return ball


def sign_change(stage: Stage, known: Mapping[Symbol, Any]) -> float | None:
    """About where the residual of a stage, monotone in its unknown, changes sign; the logarithm where positive.

    The end of the interval where it keeps its sign up to there; None where it has no value.  Unknowns inside it are
    looked for in the same way.  It proves nothing.
    """
    positive = bool(stage.unknown.is_positive)

    def end(e: Expr, far: float) -> float:
        if e in (oo, -oo):
            return far
        ball = enclose(e, known, 64)
        return float(ball) if not positive else float(ball.log()) if ball > 0 else far

    far = _FAR if positive else _FARTHEST
    low, high = end(stage.lower, -far), end(stage.upper, far)

    def rises(u: float) -> float | None:
        """The residual, with the sign that makes it rise through the root."""
        there = {**known, stage.unknown: _exp(u) if positive else arb(u)}
        for inner in stage.inner:
            about = sign_change(inner, there) if isinstance(inner, Stage) else None
            if about is None:
                return None
            there[inner.unknown] = _exp(about) if inner.unknown.is_positive else arb(about)
        value = enclose(stage.residual, there, 64, goal=40, evaluations=4000)
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


def _exp(u: float) -> arb:
    with precision(64):
        return arb(u).exp()


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
