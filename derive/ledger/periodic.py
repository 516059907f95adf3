"""Means of periodic analytic functions in balls: the trapezoidal rule, whose error a strip of analyticity bounds.

Averages over a Marchenko-Pastur law are such means: with c = low + span sin(phi/2)^2 the square roots at both edges go,
and what is left is even, has period 2 pi and is analytic in the strip whose image, an ellipse about the support, holds
no singularity.  For |g| <= M in |Im phi| <= h the rule on N places misses the mean by at most 2 M/(exp(h N) - 1)
(Trefethen and Weideman 2014, theorem 3.2), so that a few dozen places do what a general integrator needs thousands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import acb, arb

__all__ = ["Strip", "mean", "wide_strip"]

#: a function of phi, in balls; not finite where it may not be analytic
Wave = Callable[[acb], Any]

_FIRST, _FACTOR, _WIDEST, _NARROWEST = 0.4, 1.5, 4.0, 0.02
_DEPTH = 4
_FEW, _PLACES = 160, 4096
"""Places for which no wider strip is looked for, as that costs about as much, and the most that are taken."""

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
    while _NARROWEST < height < _WIDEST:
        bound = _bound(wave, height) if _covered(analytic, below, height) else None
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
        value = wave(acb((2 * k + 1) * step))
        total += value.real if isinstance(value, acb) else value
    error = 2 * bound / ((2 * half * arb(height)).exp() - 1)
    return total / half + arb(0, error.upper())


def _box(left: arb, right: arb, low: float, high: float) -> acb:
    return acb(left.union(right), arb(low).union(arb(high)))


def _covered(analytic: Wave, low: float, high: float) -> bool:
    """Whether all of 0 <= Re phi <= pi, low <= Im phi <= high is shown to be free of singularities."""
    cells = [(k, 4, low, high, 0) for k in range(4)]
    while cells:
        k, parts, a, b, depth = cells.pop()
        if _finite(analytic(_box(arb.pi() * k / parts, arb.pi() * (k + 1) / parts, a, b))):
            continue
        if depth == _DEPTH:
            return False
        middle = (a + b) / 2
        cells += [(2 * k + i, 2 * parts, *ends, depth + 1) for i in (0, 1) for ends in ((a, middle), (middle, b))]
    return True


def _bound(wave: Wave, height: float, parts: int = 12) -> arb | None:
    """A bound on the two lines that border a strip, and so in it; None where none was found."""
    largest = arb(0)
    for k in range(parts):
        value = wave(_box(arb.pi() * k / parts, arb.pi() * (k + 1) / parts, height, height))
        if not _finite(value):
            return None
        largest = largest.max(abs(value))
    return arb(largest.upper())


def _finite(value: Any) -> bool:
    return bool(value.is_finite())
