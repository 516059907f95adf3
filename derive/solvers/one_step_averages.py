"""Averages over one site with one step of replica symmetry breaking, with all first and second derivatives.

NumPy alone.  A site sees the field omega = m u + sqrt(p) v + sqrt(d) y: u of the planted pattern, v common to all
replicas, y common to those of one block; the field of a single replica, of variance V, is inside the weight
phi(omega, V) = log E_w exp(...).  The energy of a site is

    E(m, p, d, V, x) = E_{u,v} phi_0,   phi_0(omega) = 1/x log E_y exp(x phi(omega + sqrt(d) y, V)).

exp(phi) and exp(x phi_0) obey heat equations, d phi/dV = (phi'' + phi'^2)/2 and d phi_0/d d = (phi_0'' + x
phi_0'^2)/2, and a variance of a common field acts as half a second derivative (Stein's lemma).  So every derivative of
E is an average of derivatives of phi in omega, up to the fourth, which no root of a variance divides: nothing happens
at p = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from derive.solvers.saddle_averages import Unresolved

__all__ = ["COORDINATES", "BlockAverages", "OutOfWindow", "block_averages"]

Array = npt.NDArray[Any]

#: what the energy of a site depends on: factor of the planted field, variances of the common field, of the field of a
#: block and of the field of a replica, breakpoint
COORDINATES = ("m", "p", "d", "V", "x")


class OutOfWindow(Unresolved):
    """The field of a block has its weight beyond the ends of its grid."""


@dataclass(frozen=True)
class BlockAverages:
    """The energy of a site, its gradient and Hessian in COORDINATES, and the averages beside them.

    curvature_square: E <phi''^2>, the average over a block and over sites, which decides whether blocks are stable;
    inside, E <phi'^2>, and between, E <phi'>^2; extras, averages of other functions over blocks and sites;
    size, the points of the grid.
    """

    value: float
    gradient: Array
    hessian: Array
    curvature_square: float
    inside: float
    between: float
    extras: tuple[float, ...] = ()
    size: int = 0


def block_averages(
    levels: Sequence[Array], u: Array, weight: Array, block: Array, x: float, extras: Sequence[Array] = (),
    u_square: Array | None = None,
) -> BlockAverages:
    """The averages from phi and its first four derivatives on a grid.

    Args: levels, five arrays (O, B) over sites and the field of a block; u, of the sites (O,); weight (O,) of the
    sites and block (B,) of the field of a block, each with the sum 1; x, the breakpoint, positive; extras, further
    functions on the grid; u_square, where it is no number (u itself averaged to its moments).
    Raises: OutOfWindow where the tilted field of a block leaves the grid.
    """
    f, f1, f2, f3, f4 = levels
    top = f.max(1, keepdims=True)
    tilt = np.exp(x * (f - top)) * block
    norm = tilt.sum(1)
    tilt /= norm[:, None]
    if block.size > 1 and weight @ (tilt[:, 0] + tilt[:, -1]) > 1e-15:
        raise OutOfWindow("the field of a block is tilted beyond the window it is followed in")

    def over(a: Array) -> Array:
        found: Array = np.einsum("ob,ob->o", tilt, a)
        return found

    # y = x phi: logarithmic derivatives of exp(y), their averages, and the derivatives of phi_0
    y1, y2 = x * f1, x * f2
    d1, d2 = over(y1), over(y2 + y1 * y1)
    d3 = over(x * f3 + 3.0 * y1 * y2 + y1**3)
    d4 = over(x * f4 + 4.0 * y1 * x * f3 + 3.0 * y2 * y2 + 6.0 * y1 * y1 * y2 + y1**4)
    e0 = top[:, 0] + np.log(norm) / x
    e1 = d1 / x
    e2 = (d2 - d1 * d1) / x
    e3 = (d3 - 3.0 * d1 * d2 + 2.0 * d1**3) / x
    e4 = (d4 - 4.0 * d1 * d3 - 3.0 * d2 * d2 + 12.0 * d1 * d1 * d2 - 6.0 * d1**4) / x

    def jet(a: Array, a1: Array, a2: Array) -> tuple[Array, Array, Array]:
        """The average of a over a block, and its first two derivatives in omega."""
        n0, n1 = over(a), over(a1 + a * y1)
        n2 = over(a2 + 2.0 * a1 * y1 + a * (y2 + y1 * y1))
        return n0, n1 - n0 * d1, n2 - 2.0 * n1 * d1 - n0 * d2 + 2.0 * n0 * d1 * d1

    # g = phi'' + phi'^2 is twice the derivative of phi in V
    g, g1 = f2 + f1 * f1, f3 + 2.0 * f1 * f2
    g2 = f4 + 2.0 * f2 * f2 + 2.0 * f1 * f3
    in_v = [0.5 * part for part in jet(g, g1, g2)]
    level = jet(f, f1, f2)
    in_x = [(level[0] - e0) / x, (level[1] - e1) / x, (level[2] - e2) / x]
    in_d = 0.5 * (e2 + x * e1 * e1)
    in_d1 = 0.5 * (e3 + 2.0 * x * e1 * e2)
    in_d2 = 0.5 * (e4 + 2.0 * x * (e2 * e2 + e1 * e3))
    g_v = 0.5 * f4 + f2 * f2 + 2.0 * f1 * f3 + 2.0 * f1 * f1 * f2
    v_v = 0.5 * (over(g_v) + 0.5 * x * (over(g * g) - over(g) ** 2))
    v_x = 0.5 * (over(g * f) - over(g) * level[0])
    x_x = (over(f * f) - level[0] ** 2 - 2.0 * in_x[0]) / x

    def mean(a: Array) -> float:
        return float(np.einsum("o,o->", weight, a))

    gradient = np.array([mean(u * e1), 0.5 * mean(e2), mean(in_d), mean(in_v[0]), mean(in_x[0])])
    rows = [
        [(u * u if u_square is None else u_square) * e2, 0.5 * u * e3, u * in_d1, u * in_v[1], u * in_x[1]],
        [0.25 * e4, 0.5 * in_d2, 0.5 * in_v[2], 0.5 * in_x[2]],
        [0.5 * (in_d2 + 2.0 * x * e1 * in_d1), 0.5 * in_v[2] + x * e1 * in_v[1],
         0.5 * in_x[2] + x * e1 * in_x[1] + 0.5 * e1 * e1],
        [v_v, v_x],
        [x_x],
    ]
    hessian = np.zeros((5, 5))
    for i, row in enumerate(rows):
        for j, entry in enumerate(row, i):
            hessian[i, j] = hessian[j, i] = mean(entry)
    inside, square = mean(over(f1 * f1)), mean(over(f2 * f2))
    others = tuple(mean(over(a)) for a in extras)
    return BlockAverages(mean(e0), gradient, hessian, square, inside, mean(e1 * e1), others, f.size)
