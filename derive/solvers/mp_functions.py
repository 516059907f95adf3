"""The safe functions in mpmath, to the current precision; copied into exported files."""

from __future__ import annotations

from typing import Any

import mpmath
from mpmath import mp


def more(bits: Any) -> Any:
    """A context with so many more bits."""
    return mp.workprec(mp.prec + 20 + max(0, int(bits)))


def size(x: Any) -> int:
    """How many bits the size of a number takes; negative for small ones, within what is worth the work."""
    return 0 if x == 0 or not mpmath.isfinite(x) else max(-20000, min(20000, int(mpmath.mag(x))))


def log_cosh(x: Any) -> Any:
    """log cosh x."""
    x = abs(x)
    return mpmath.log1p(2 * mpmath.sinh(x / 2) ** 2) if x < 1 else x + mpmath.log1p(mpmath.exp(-2 * x)) - mpmath.log(2)


def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def log1mexp(x: Any) -> Any:
    """log(1 - e^-x)."""
    return mpmath.log(-mpmath.expm1(-x))


def log_sum_exp(*xs: Any) -> Any:
    """log of the sum of e^x."""
    top = max(xs)
    return top if mpmath.isinf(top) else top + mpmath.log(mpmath.fsum(mpmath.exp(x - top) for x in xs))


def erfcx(x: Any) -> Any:
    """e^(x^2) erfc x."""
    with more(2 * size(x)):
        return mpmath.exp(x * x) * mpmath.erfc(x)


def log_erfc(x: Any) -> Any:
    """log erfc x."""
    with more(-size(x)):
        return mpmath.log1p(-mpmath.erf(x)) if x < 0.5 else mpmath.log(mpmath.erfc(x))


def log_erfc_drop(x: Any, y: Any) -> Any:
    """log(erfc x - erfc y) for x < y."""
    if x + y < 0:
        x, y = -y, -x
    with more(size(x) + size(y) - size(y - x)):
        return mpmath.log(mpmath.erf(y) - mpmath.erf(x)) if x < 1 else mpmath.log(mpmath.erfc(x) - mpmath.erfc(y))


def mp_response(b: Any, ratio: Any) -> Any:
    """V in (0, 1) with ratio b V^2 + (b (1 - ratio) + ratio) V - ratio = 0."""
    linear = b * (1 - ratio) + ratio
    with more(size(b)):
        root = mpmath.sqrt(linear * linear + 4 * ratio * ratio * b)
        return 2 * ratio / (linear + root) if linear > 0 else (root - linear) / (2 * ratio * b)
