"""One site of a free entropy whose activation is a straight line on each of several intervals: no quadrature in w.

NumPy and SciPy alone; like `runtime`, this text may be copied into an exported file.

With g quadratic in xi and xi = c + s y on (low, high), y = omega + sqrt(V) w, the exponent is quadratic in w on every
interval: its square is completed, and the moments of w are those of a truncated normal variable, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[Any]

LOG_ROOT_2PI = 0.9189385332046727
#: (lower end, upper end, constant, slope) of the activation on an interval
Piece = tuple[float, float, float, float]
#: a function of x and xi, quadratic in xi: itself, its slope and half its curvature in xi
Form = tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array], Callable[[Array, Array], Array]]


def log_weight(low: Array, high: Array) -> Array:
    """log of the weight of (low, high) under the standard normal law, right in both tails."""
    turned = low < -high
    a, b = np.where(turned, -high, low), np.where(turned, -low, high)
    tail = special.log_ndtr(-a)
    gap = special.log_ndtr(-b) - tail
    outer = tail + np.log1p(-np.exp(np.minimum(gap, -1e-300)))
    inner = np.log(np.maximum(special.ndtr(b) - special.ndtr(np.minimum(a, b)), 1e-300))
    return np.asarray(np.where(np.isinf(b), tail, np.where(a > 0.0, outer, inner)))


def piece_moments(
    pieces: Sequence[Piece], form: Form, x: Array, omega: Array, root_v: float
) -> tuple[Array, list[Array]]:
    """log int Dw exp g over every piece, and the raw moments 1..4 of w there; pieces along the first axis."""
    levels, moments = [], []
    for low, high, constant, slope in pieces:
        here = constant + slope * omega
        step = slope * root_v
        k = 1.0 - 2.0 * form[2](x, here) * step * step
        pull = form[1](x, here) * step
        centre, scale = pull / k, 1.0 / np.sqrt(k)
        a, b = np.broadcast_arrays(*(((end - omega) / root_v - centre) / scale for end in (low, high)))
        weight = log_weight(a, b)
        levels.append(form[0](x, here) + 0.5 * pull * centre - 0.5 * np.log(k) + weight)
        moments.append(_truncated(a, b, weight, centre, scale))
    return np.stack(np.broadcast_arrays(*levels)), [
        np.stack(np.broadcast_arrays(*(m[j] for m in moments))) for j in range(4)
    ]


def _truncated(a: Array, b: Array, weight: Array, centre: Array, scale: Array) -> list[Array]:
    """Raw moments 1..4 of centre + scale y, y standard normal in (a, b)."""
    edges = []
    for end in (a, b):
        density = np.exp(-0.5 * end * end - LOG_ROOT_2PI - weight)
        edges.append((np.where(np.isfinite(end), end, 0.0), np.where(np.isfinite(end), density, 0.0)))
    y = [np.ones_like(weight), edges[0][1] - edges[1][1]]
    for n in range(2, 5):
        y.append((n - 1) * y[n - 2] + edges[0][0] ** (n - 1) * edges[0][1] - edges[1][0] ** (n - 1) * edges[1][1])
    c, s = centre, scale
    return [
        c + s * y[1],
        c * c + 2 * c * s * y[1] + s * s * y[2],
        c**3 + 3 * c * c * s * y[1] + 3 * c * s * s * y[2] + s**3 * y[3],
        c**4 + 4 * c**3 * s * y[1] + 6 * c * c * s * s * y[2] + 4 * c * s**3 * y[3] + s**4 * y[4],
    ]


def closed_moments(
    pieces: Sequence[Piece], form: Form, extras: Sequence[Form], x: Array, omega: Array, root_v: float, want: bool
) -> tuple[Array, list[Array], list[Array]]:
    """log int Dw exp g, the raw moments 1..4 of w, and the tilted averages of forms in xi (where wanted)."""
    levels, parts = piece_moments(pieces, form, x, omega, root_v)
    top = levels.max(0)
    share = np.exp(levels - top)
    total = share.sum(0)
    share /= total
    moments = [(share * part).sum(0) for part in parts]
    found = []
    for value, turn, bend in extras if want else ():
        mean = np.zeros_like(total)
        for i, (_, _, constant, slope) in enumerate(pieces):
            here, step = constant + slope * omega, slope * root_v
            first, second = step * parts[0][i], step * step * parts[1][i]
            mean += share[i] * (value(x, here) + turn(x, here) * first + bend(x, here) * second)
        found.append(mean)
    return top + np.log(total), moments, found
