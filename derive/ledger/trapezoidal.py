"""Integrals of analytic functions in balls by the trapezoidal rule, whose error a strip of analyticity bounds.

*Over a period.*  Averages over a Marchenko-Pastur law are of this kind: with c = low + span sin(phi/2)^2 the square
roots at both edges go, and what is left is even, has period 2 pi and is analytic in the strip whose image, an ellipse
about the support, holds no singularity.  For |g| <= M in |Im phi| <= h the rule on N places misses the mean by at most
2 M/(exp(h N) - 1) (Trefethen and Weideman 2014, theorem 3.2).

*Over a line*, up to ends where the function has decayed, as in Gaussian averages.  With places in the middles of N
steps s, and w(z) = 1/(1 + exp(-2 pi i (z + X)/s)), the rule is the integral of g w along the border of the rectangle
|Re z| <= X, |Im z| <= h, and the integral is that of g along its lower part: the rule misses it by at most the
integrals of |g| along top and bottom over exp(2 pi h/s) - 1, and half of those along the two sides, where
0 < w <= 1/2 above and 0 < 1 - w <= 1/2 below.

Either way a few hundred places do what a general integrator needs thousands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flint import acb, arb

from derive.ledger.ball_functions import precision

__all__ = ["Strip", "line_integral", "mean", "wide_strip"]

#: a function real on the real line, in balls; not finite where it may not be analytic
Wave = Callable[[arb | acb], Any]

_FIRST, _FACTOR, _WIDEST, _NARROWEST = 0.4, 1.5, 4.0, 0.02
_HEIGHTS = (1.4, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)
_DEPTH = 4
_FEW, _PLACES = 160, 4096
"""Places for which no wider strip is looked for, as that costs about as much, and the most that are taken."""
_COARSE = 64

Strip = tuple[float, arb]
"""Half the width of a strip about the real line, and a bound of the function in it."""


def wide_strip(analytic: Wave, wave: Wave, bits: int) -> Strip | None:
    """A strip in which a function is shown to be analytic, and its bound there; None where none was found.

    Args:
        analytic: finite on a ball only where the function is analytic on all of it.
        wave: the function; even, of period 2 pi and real on the real line.
        bits: of the mean that is asked for; it is not worth looking for the widest strip.
    """
    found: Strip | None = None
    below, height = 0.0, _FIRST
    with precision(_COARSE):
        while _NARROWEST < height < _WIDEST:
            bound = _bound(wave, height) if _covered(analytic, (arb(0), arb.pi()), 4, below, height) else None
            if bound is None and found is None:
                height /= _FACTOR
                continue
            if bound is None:
                break
            found, below, height = (height, bound), height, height * _FACTOR
            if _half(found, bits) <= _FEW:
                break
    return found


def _half(strip: Strip, bits: int) -> int:
    """The places in (0, pi), half of all, that make the error less than 2^-bits."""
    height, bound = strip
    return max(2, int(float(((bound.max(1) * 2) * arb(2) ** bits + 1).log().upper()) / (2 * height)) + 1)


def mean(wave: Wave, strip: Strip, bits: int) -> arb | None:
    """The mean over a period, its error below 2^-bits and what the balls add; None where that takes too many places."""
    height, bound = strip
    half = _half(strip, bits)
    if half > _PLACES:
        return None
    step = arb.pi() / (2 * half)
    total = arb(0)
    for k in range(half):
        total += _real(wave(acb((2 * k + 1) * step)))
    error = 2 * bound / ((2 * half * arb(height)).exp() - 1)
    return total / half + arb(0, error.upper())


def line_integral(g: Wave, reach: int, bits: int) -> arb | None:
    """The integral from -reach to reach, its error below 2^-bits and what the balls add.

    None where no strip of analyticity was found, where the function has not decayed at the ends, or where that takes
    too many places.
    """
    with precision(_COARSE):
        ends = (arb(-reach), arb(reach))
        height = next((h for h in _HEIGHTS if _covered(g, ends, reach, 0.0, h)), None)
        if height is None:
            return None
        top = _size(lambda x: g(acb(x, arb(height))), ends, 4 * reach)
        sides = _side(g, ends[0], height) + _side(g, ends[1], height)
        if not (top.is_finite() and sides < arb(2) ** (-bits)):
            return None
        wanted = (2 * top * arb(2) ** bits + 1).log() / (2 * arb.pi() * height)  # steps in a length of one
        count = int(float((2 * reach * wanted).upper())) + 1
    if count > _PLACES:
        return None
    step = arb(2 * reach) / count
    total = arb(0)
    for k in range(count):
        total += _real(g(step * (2 * k + 1) / 2 - reach))
    error = 2 * top / ((2 * arb.pi() * height / step).exp() - 1) + sides
    return total * step + arb(0, error.upper())


def _real(value: Any) -> arb:
    return value.real if isinstance(value, acb) else value


def _box(left: arb, right: arb, low: float, high: float) -> acb:
    return acb(left.union(right), arb(low).union(arb(high)))


def _cells(ends: tuple[arb, arb], parts: int) -> Iterator[tuple[arb, arb]]:
    start, end = ends
    for k in range(parts):
        yield start + (end - start) * k / parts, start + (end - start) * (k + 1) / parts


def _covered(analytic: Wave, ends: tuple[arb, arb], parts: int, low: float, high: float) -> bool:
    """Whether the rectangle between two ends and two heights is shown to be free of singularities."""
    todo = [(left, right, low, high, 0) for left, right in _cells(ends, parts)]
    while todo:
        left, right, a, b, depth = todo.pop()
        if _finite(analytic(_box(left, right, a, b))):
            continue
        if depth == _DEPTH:
            return False
        x, y = (left + right) / 2, (a + b) / 2
        todo += [(*sides, *heights, depth + 1) for sides in ((left, x), (x, right)) for heights in ((y, b), (a, y))]
    return True


def _bound(wave: Wave, height: float, parts: int = 12) -> arb | None:
    """A bound on the two lines that border a strip, and so in it; None where none was found."""
    largest = arb(0)
    for left, right in _cells((arb(0), arb.pi()), parts):
        value = wave(_box(left, right, height, height))
        if not _finite(value):
            return None
        largest = largest.max(abs(value))
    return arb(largest.upper())


def _side(g: Wave, end: arb, height: float) -> arb:
    return _size(lambda y: g(acb(end, y)), (arb(0), arb(height)), 2)


def _size(g: Callable[[arb], Any], ends: tuple[arb, arb], parts: int) -> arb:
    """A bound of the integral of |g| between two ends, infinite where none was found."""
    total = arb(0)
    todo = [(left, right, 0) for left, right in _cells(ends, parts)]
    while todo:
        left, right, depth = todo.pop()
        value = g(left.union(right))
        if _finite(value):
            total += (right - left) * abs(value)
        elif depth == _DEPTH:
            return arb("inf")
        else:
            middle = (left + right) / 2
            todo += [(left, middle, depth + 1), (middle, right, depth + 1)]
    return arb(total.upper())


def _finite(value: Any) -> bool:
    return bool(value.is_finite())
