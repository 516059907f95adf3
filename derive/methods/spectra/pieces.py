"""The density of a bulk in series: half a cell at a time, by the distance from its end.

With d the distance from an edge and s = d^(1/r), r the ramification of the edge, density / s^m is analytic at s = 0.
It is kept as Chebyshev series in s on pieces that are halved until the series has converged.  The values behind a
series come from the physical sheet at 256 bits, so that the density is right to rounding relative to itself, up to the
edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from flint import acb, arb
from numpy.polynomial import chebyshev, legendre

from derive.ledger.balls import precision
from derive.methods.spectra.edges import Bulk, Edge
from derive.methods.spectra.mapped import MappedSheet
from derive.methods.spectra.sheet import NoSheet, PhysicalSheet

__all__ = ["Half", "half_cell"]

Array = np.ndarray[Any, np.dtype[Any]]

_NODES = 22  # of a Chebyshev series
_TAIL = 4e-15  # of its last coefficients, against the smallest value on the piece
_DEEPEST = 70  # bisections towards an edge
_MOST = 400  # pieces of a half: more say that the series does not converge
_GAUSS = 56
_RATIO = 30.0  # largest over smallest value on a piece
_ELLIPSE = 1.35  # within it a series is continued off its piece, outside the quadrature converges


@dataclass(frozen=True)
class Piece:
    """A stretch of a half bulk in s = distance^(1/ramification)."""

    low: float
    high: float
    density: Array  # Chebyshev coefficients of density / s^m
    transform: Array  # and of g s^q, complex


@dataclass(frozen=True)
class Half:
    """One half of a cell, described from its end: an edge, or a point close to which the density is steep."""

    anchor: Edge
    length: float  # distance from the anchor to the middle of the cell
    ramification: int  # r
    power: int  # m: the density is s^m times an analytic function
    pole: int  # q: g is s^-q times an analytic function
    pieces: tuple[Piece, ...]

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        return np.array([p.low for p in self.pieces] + [self.pieces[-1].high]), np.array(
            [p.density for p in self.pieces]
        )

    @cached_property
    def _cumulative(self) -> tuple[Array, Array, Array]:
        """Mass below each piece; Chebyshev coefficients of the mass on it, for the first divided by s^(k + 1)."""
        k = self.power + self.ramification - 1
        nodes, weights = _gauss()
        size = _NODES + k + 2
        at, values = _chebyshev_nodes(size), []
        below = [0.0]
        for piece in self.pieces:
            s = piece.low + (piece.high - piece.low) * (at + 1) / 2
            if piece.low == 0.0:
                share = (nodes + 1) / 2
                inner = s[:, None] * share
                f = _clenshaw_one(piece.density, 2 * inner / piece.high - 1)
                mass = self.ramification * (f * share**k) @ (weights / 2)
                total = float(chebyshev.chebval(1.0, _coefficients(mass))) * piece.high ** (k + 1)
            else:
                inner = piece.low + (s[:, None] - piece.low) * (nodes + 1) / 2
                u = 2 * (inner - piece.low) / (piece.high - piece.low) - 1
                f = _clenshaw_one(piece.density, u)
                mass = self.ramification * ((f * inner**k) @ (weights / 2)) * (s - piece.low)
                total = float(chebyshev.chebval(1.0, _coefficients(mass)))
            values.append(_coefficients(mass))
            below.append(below[-1] + total)
        return np.array(below), np.array(values), np.array([k + 1] + [0] * (len(self.pieces) - 1))

    @property
    def mass(self) -> float:
        """Weight of the half."""
        return float(self._cumulative[0][-1])

    @property
    def coefficient(self) -> float:
        """Of distance^exponent in the density close to the edge."""
        return float(chebyshev.chebval(-1.0, self.pieces[0].density))

    def root(self, distance: Array) -> Array:
        """s of a distance."""
        if self.ramification == 1:
            return distance
        if self.ramification == 2:
            return np.asarray(np.sqrt(distance))
        return np.asarray(np.cbrt(distance) if self.ramification == 3 else distance ** (1.0 / self.ramification))

    def density(self, distance: Array) -> Array:
        """The density at distances >= 0 from the edge, relative to itself right to rounding."""
        s = self.root(distance)
        value = self._smooth(s)
        if self.power == 0:
            return value
        with np.errstate(divide="ignore"):
            return np.asarray(value * s**self.power if self.power != 1 else value * s)

    def _smooth(self, s: Array) -> Array:
        bounds, table = self._table
        index = np.searchsorted(bounds[1:-1], s, side="right")
        return _clenshaw(table, index, _local(bounds, index, s))

    def mass_within(self, distance: Array) -> Array:
        """Weight between the edge and a distance from it, up to the length of the half."""
        s = self.root(distance)
        bounds, _ = self._table
        return self._mass(np.searchsorted(bounds[1:-1], s, side="right"), s)

    def _mass(self, index: Array, s: Array) -> Array:
        below, table, powers = self._cumulative
        value = _clenshaw(table, index, _local(self._table[0], index, s))
        return np.asarray(below[index] + s ** powers[index] * value)

    def distance_at(self, mass: Array) -> Array:
        """The distance within which a weight lies: the inverse of `mass_within`, by Newton's method in s, bracketed."""
        below, _, _ = self._cumulative
        bounds, table = self._table
        k = self.power + self.ramification - 1
        mass = np.clip(mass, 0.0, below[-1])
        index = np.clip(np.searchsorted(below, mass, side="right") - 1, 0, len(self.pieces) - 1)
        low, high = bounds[index].copy(), bounds[index + 1].copy()
        share = (mass - below[index]) / (below[index + 1] - below[index])
        first = index == 0
        s = low + (high - low) * np.where(first, share ** (1.0 / (k + 1)), share)
        out = s.copy()
        moving = np.arange(s.size)
        for _ in range(80):
            excess = self._mass(index, s) - mass
            low, high = np.where(excess < 0, s, low), np.where(excess > 0, s, high)
            slope = self.ramification * s**k * _clenshaw(table, index, _local(bounds, index, s))
            with np.errstate(divide="ignore", invalid="ignore"):
                new = s - excess / slope
            new = np.where(np.isfinite(new) & (new >= low) & (new <= high), new, (low + high) / 2)
            new = np.where(excess == 0, s, new)
            out[moving] = new
            going = (np.abs(new - s) > 4e-16 * s) & (np.abs(excess) > 1e-16 * below[-1] + 1e-16 * mass)
            if not going.any():
                break
            moving, s, index, mass, low, high = (v[going] for v in (moving, new, index, mass, low, high))
        return np.asarray(out**self.ramification)

    def quadrature(self, close: float = 0.0) -> tuple[Array, Array]:
        """Distances from the edge and weights with which smooth functions are averaged over the half.

        Args: close (a distance beyond the edge at which the function is singular: the first piece is refined towards
        it; 0 for none).
        """
        nodes, weights = _gauss()
        bounds, _ = self._table
        cuts = list(bounds)
        if close > 0:
            target = close ** (1.0 / self.ramification)
            first: list[float] = []
            while cuts[1] * 0.5 ** len(first) > target and len(first) < 400:
                first.insert(0, cuts[1] * 0.5 ** (len(first) + 1))
            cuts = [0.0, *first, *cuts[1:]]
        ends = np.array(cuts)
        widths = np.diff(ends)
        s = (ends[:-1, None] + widths[:, None] * (nodes + 1) / 2).ravel()
        k = self.power + self.ramification - 1
        w = (widths[:, None] * weights / 2).ravel() * self.ramification * s**k * self._smooth(s)
        return s**self.ramification, w

    def transform(self, index: Array, s: Array) -> Array:
        """g at complex s near pieces of the half, by their series."""
        bounds, _ = self._table
        table = np.array([p.transform for p in self.pieces])
        value = _clenshaw(table, index, _local(bounds, index, s))
        with np.errstate(divide="ignore", invalid="ignore"):
            return value / s**self.pole if self.pole else value

    def local(self, s: Array) -> tuple[Array, Array]:
        """Index of the piece next to complex s, and whether s is close enough to it for its series to hold."""
        bounds, _ = self._table
        index = np.searchsorted(bounds[1:-1], s.real, side="right")
        u = _local(bounds, index, s)
        # well inside the ellipse in which the coefficients fall as they do on the piece
        ellipse = np.abs(u + np.sqrt(u - 1) * np.sqrt(u + 1))
        return index, ellipse < _ELLIPSE


def _local(bounds: Array, index: Array, s: Array) -> Array:
    low, high = bounds[index], bounds[index + 1]
    return np.asarray((2 * s - (low + high)) / (high - low))


def _clenshaw(table: Array, index: Array, u: Array) -> Array:
    """Chebyshev series with row `index` of a table as coefficients, at u."""
    columns = table.T
    first, second = columns[-1][index] + 0 * u, 0 * u
    for column in columns[-2:0:-1]:
        first, second = column[index] + 2 * u * first - second, first
    return np.asarray(columns[0][index] + u * first - second)


def _clenshaw_one(row: Array, u: Array) -> Array:
    return np.asarray(chebyshev.chebval(u, row))


@cache
def _gauss() -> tuple[Array, Array]:
    nodes, weights = legendre.leggauss(_GAUSS)
    return nodes, weights


def _chebyshev_nodes(n: int) -> Array:
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)[::-1]


def _coefficients(values: Array) -> Array:
    """Chebyshev coefficients of values at the nodes."""
    n = len(values)
    angles = np.pi * (np.arange(n) + 0.5)[::-1] / n
    made = (2.0 / n) * np.cos(np.outer(np.arange(n), angles)) @ values
    made[0] /= 2
    return np.asarray(made)


# ---- building


def half_cell(sheet: PhysicalSheet | MappedSheet, bulk: Bulk, anchor: Edge, length: float, pole: bool) -> Half:
    """The density from an anchor of a bulk to a distance from it; `pole`: whether there is an atom at the anchor.

    Raises: NoSheet where it is no power series in any small root of the distance.
    """
    for times in (1, 2, 3, 4, 6):
        r = anchor.ramification * times
        power = int(anchor.exponent * r)
        order = r if pole else max(0, -power)
        made = _pieces(sheet, bulk, anchor, length, r, power, order)
        if made is not None:
            return Half(anchor, length, r, power, order, made)
    raise NoSheet(f"its density is no power series at {float(anchor):.6g}")


def _pieces(
    sheet: PhysicalSheet | MappedSheet, bulk: Bulk, anchor: Edge, length: float, r: int, power: int, pole: int
) -> tuple[Piece, ...] | None:
    """Pieces on which the series has converged, from s = 0 on; None where it does not."""
    waiting, done = [(0.0, length ** (1.0 / r), 0)], []
    while waiting:
        low, high, depth = waiting.pop()
        s, g = _values(sheet, bulk, anchor, r, low, high)
        smooth = g.imag / np.pi * s ** (-power)
        coefficients = _coefficients(smooth)
        smallest, largest = smooth.min(), smooth.max()
        if largest <= _RATIO * smallest and np.abs(coefficients[-2:]).max() <= _TAIL * smallest:
            done.append(Piece(low, high, coefficients, _coefficients(g * s**pole)))
            continue
        if depth >= _DEEPEST or len(done) + len(waiting) >= _MOST:
            return None
        middle = (low + high) / 2
        waiting += [(middle, high, depth + 1), (low, middle, depth + 1)]
    return tuple(sorted(done, key=lambda p: p.low))


def _values(
    sheet: PhysicalSheet | MappedSheet, bulk: Bulk, anchor: Edge, r: int, low: float, high: float
) -> tuple[Array, Array]:
    """The nodes s of a piece and g there; the points behind them are exact, whatever the rounding of s."""
    at = _chebyshev_nodes(_NODES)
    values = []
    seed: acb | None = None
    sign = 1 if anchor.lower else -1
    with precision(320):
        start = anchor.point.at(300).mid()
        width = arb(high) - arb(low)
        for u in at[::-1]:
            z = (start + sign * (arb(low) + width * (1 + arb(float(u))) / 2) ** r).mid()
            seed = sheet.on_bulk(bulk, z, seed)
            values.append(complex(float(seed.real.mid()), float(seed.imag.mid())))
    return low + (high - low) * (at + 1) / 2, np.array(values[::-1])
