"""The density of a spectral law as a compiled, vectorised distribution.

Each bulk is cut in the middle, and each half is described by the distance d from its own edge: with s = d^(1/r), r the
ramification of the edge, density / s^m is analytic at s = 0, and is kept as Chebyshev series in s on pieces that are
halved until the series has converged.  The values behind a series come from the physical sheet at 256 bits, so that the
density is right to rounding relative to itself, up to the edge.  Edges are kept to twice the digits of a float: d is
formed without losing what x had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from flint import acb, arb
from numpy.polynomial import chebyshev, legendre

from derive.ledger.balls import precision
from derive.methods.spectra.edges import Atom, Bulk, Edge
from derive.methods.spectra.sheet import NoSheet, PhysicalSheet

__all__ = ["Distribution", "Half"]

Array = np.ndarray[Any, np.dtype[Any]]

_NODES = 22  # of a Chebyshev series
_TAIL = 4e-15  # of its last coefficients, against the smallest value on the piece
_DEEPEST = 70  # bisections towards an edge
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
    """One half of a bulk, described from its edge."""

    edge: Edge
    length: float  # distance from the edge to the middle of the bulk
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


def halves_of(sheet: PhysicalSheet, bulk: Bulk) -> tuple[Half, Half]:
    """The two halves of a bulk."""
    length = bulk.width / 2
    return tuple(_half(sheet, bulk, edge, length) for edge in (bulk.lower, bulk.upper))  # type: ignore[return-value]


def _half(sheet: PhysicalSheet, bulk: Bulk, edge: Edge, length: float) -> Half:
    for times in (1, 2, 3, 4, 6):
        r = edge.ramification * times
        power = int(edge.exponent * r)
        made = _pieces(sheet, bulk, edge, length, r, power)
        if made is not None:
            pole, pieces = made
            return Half(edge, length, r, power, pole, pieces)
    raise NoSheet(f"its density is no power series at the edge {float(edge):.6g}")


def _pieces(
    sheet: PhysicalSheet, bulk: Bulk, edge: Edge, length: float, r: int, power: int
) -> tuple[int, tuple[Piece, ...]] | None:
    evaluate = _Evaluator(sheet, bulk, edge, r)
    pole = max(0, -power)
    whole = length ** (1.0 / r)
    waiting, done = [(0.0, whole, 0)], []
    at = _chebyshev_nodes(_NODES)
    while waiting:
        low, high, depth = waiting.pop()
        s = low + (high - low) * (at + 1) / 2
        g = evaluate(s)
        smooth = g.imag / np.pi * s ** (-power)
        coefficients = _coefficients(smooth)
        smallest, largest = smooth.min(), smooth.max()
        if largest <= _RATIO * smallest and np.abs(coefficients[-2:]).max() <= _TAIL * smallest:
            done.append(Piece(low, high, coefficients, _coefficients(g * s**pole)))
            continue
        if depth >= _DEEPEST:
            return None
        middle = (low + high) / 2
        waiting += [(middle, high, depth + 1), (low, middle, depth + 1)]
    return pole, tuple(sorted(done, key=lambda p: p.low))


class _Evaluator:
    """g at distances s^r from an edge into a bulk."""

    def __init__(self, sheet: PhysicalSheet, bulk: Bulk, edge: Edge, r: int) -> None:
        self._sheet, self._bulk, self._edge, self._r = sheet, bulk, edge, r

    def __call__(self, s: Array) -> Array:
        values = []
        seed: acb | None = None
        sign = 1 if self._edge.lower else -1
        with precision(320):
            point = self._edge.point.at(300).mid()
            for value in s[::-1]:
                z = point + sign * arb(float(value)) ** self._r
                seed = self._sheet.value(self._bulk.interval_at(z), z, seed)
                values.append(complex(float(seed.real.mid()), float(seed.imag.mid())))
        return np.array(values[::-1])


# ---- the distribution


@dataclass(frozen=True)
class Distribution:
    """Atoms and bulks of a law as numbers."""

    atoms: tuple[Atom, ...]
    bulks: tuple[Bulk, ...]
    halves: tuple[tuple[Half, Half], ...]

    @cached_property
    def _cuts(self) -> list[tuple[float, float, tuple[float, float], tuple[float, float]]]:
        """For each bulk its middle, and both edges in two floats."""
        made = []
        for bulk in self.bulks:
            lower, upper = bulk.lower.split, bulk.upper.split
            made.append((lower[0] + (lower[1] + bulk.width / 2), bulk.width, lower, upper))
        return made

    def density(self, x: Array) -> Array:
        """Density of the continuous part; zero outside the bulks."""
        out = np.zeros(x.shape)
        for (middle, _, lower, upper), (left, right) in zip(self._cuts, self.halves, strict=True):
            for half, here, d in (
                (left, x <= middle, (x - lower[0]) - lower[1]),
                (right, x > middle, (upper[0] - x) + upper[1]),
            ):
                inside = here & (d >= 0)
                if inside.any():
                    out[inside] += half.density(d[inside])
        return out

    @cached_property
    def _steps(self) -> tuple[list[tuple[float, Any]], list[float]]:
        """What carries weight, in order of position: atoms and halves; and the weight below each."""
        parts: list[tuple[float, Any]] = [(float(a), a) for a in self.atoms]
        for (middle, _, lower, _), (left, right) in zip(self._cuts, self.halves, strict=True):
            parts += [(lower[0], left), (middle, right)]
        parts.sort(key=lambda p: p[0])
        below = [0.0]
        for _, part in parts:
            below.append(below[-1] + _weight(part))
        return parts, below

    @property
    def mass(self) -> float:
        """Weight of everything: one, up to rounding, for a law."""
        return self._steps[1][-1]

    def cdf(self, x: Array) -> Array:
        """Weight of the points <= x."""
        return self._weight_beside(x, True)

    def sf(self, x: Array) -> Array:
        """Weight of the points > x, right relative to itself up to the upper end."""
        return self._weight_beside(x, False)

    def _weight_beside(self, x: Array, below: bool) -> Array:
        out = np.zeros(x.shape)
        for atom in self.atoms:
            out += float(atom.weight) * ((x >= float(atom)) == below)
        for (middle, _, lower, upper), (left, right) in zip(self._cuts, self.halves, strict=True):
            inner = left.mass_within(np.clip((x - lower[0]) - lower[1], 0.0, left.length))
            outer = right.mass_within(np.clip((upper[0] - x) + upper[1], 0.0, right.length))
            if below:
                out += np.where(x <= middle, inner, left.mass + (right.mass - outer))
            else:
                out += np.where(x <= middle, right.mass + (left.mass - inner), outer)
        return np.minimum(out, 1.0)

    def ppf(self, q: Array) -> Array:
        """The smallest point with weight q at or below it."""
        parts, below = self._steps
        edges = np.array(below)
        index = np.clip(np.searchsorted(edges, q, side="left") - 1, 0, len(parts) - 1)
        return self._points(index, lambda k, here: (q[here] - edges[k], edges[k + 1] - q[here]))

    def isf(self, q: Array) -> Array:
        """The largest point with weight q at or above it."""
        parts, _ = self._steps
        above = np.append(np.cumsum([_weight(part) for _, part in parts[::-1]])[::-1], 0.0)
        index = np.clip(len(parts) - np.searchsorted(above[::-1], q, side="left"), 0, len(parts) - 1)
        return self._points(index, lambda k, here: (above[k] - q[here], q[here] - above[k + 1]))

    def _points(self, index: Array, weights: Callable[[int, Array], tuple[Array, Array]]) -> Array:
        """Points on the parts of these indices, given the weights of a part that lie below and above them."""
        out = np.full(index.shape, np.nan)
        for k, (_, part) in enumerate(self._steps[0]):
            here = index == k
            if not here.any():
                continue
            if isinstance(part, Atom):
                out[here] = float(part)
                continue
            high, low = part.edge.split
            below, above = weights(k, here)
            if part.edge.lower:
                out[here] = high + (low + part.distance_at(below))
            else:
                out[here] = high + (low - part.distance_at(above))
        return out

    def average(self, function: Callable[[Array], Array], singular: float | None = None) -> float:
        """The average of a function that is smooth on every bulk.

        Args: function (vectorised), singular (a point below all bulks at which it is singular).
        """
        total = 0.0
        for atom in self.atoms:
            total += float(atom.weight) * float(function(np.array([float(atom)]))[0])
        for points, weights in self._quadratures(singular):
            total += float(weights @ function(points))
        return total

    def _quadratures(self, singular: float | None) -> list[tuple[Array, Array]]:
        made = []
        for pair in self.halves:
            for half in pair:
                high, low = half.edge.split
                close = 0.0 if singular is None or not half.edge.lower else max((high - singular) + low, 0.0)
                d, w = half.quadrature(close)
                made.append((high + (low + d) if half.edge.lower else high + (low - d), w))
        return made

    @cached_property
    def _cauchy(self) -> tuple[Array, Array]:
        parts = self._quadratures(None)
        points = [p for p, _ in parts] + [np.array([float(a) for a in self.atoms])]
        weights = [w for _, w in parts] + [np.array([float(a.weight) for a in self.atoms])]
        return np.concatenate(points), np.concatenate(weights)

    def stieltjes(self, z: Array) -> Array:
        """g(z) = <1/(c - z)>; on a bulk its value from above."""
        lower_plane = z.imag < 0
        w = np.where(lower_plane, z.conj(), z)
        points, weights = self._cauchy
        out = np.empty(w.shape, dtype=complex)
        near = np.zeros(w.shape, dtype=bool)
        for (middle, width, lower, upper), (left, right) in zip(self._cuts, self.halves, strict=True):
            for half, (high, low), side in ((left, lower, w.real <= middle), (right, upper, w.real > middle)):
                sign = 1.0 if half.edge.lower else -1.0
                d = sign * ((w - high) - low)
                # distances are seen from the upper half plane: from a lower edge d has a positive imaginary part
                s = _branch(d, half.ramification, half.edge.lower)
                index, usable = half.local(s)
                usable &= side & (np.abs(d) <= 1.5 * width)
                if usable.any():
                    out[usable] = half.transform(index[usable], s[usable])
                    near |= usable
        rest = np.flatnonzero(~near)
        for block in np.array_split(rest, max(1, rest.size * points.size // 2_000_000 + 1)):
            if block.size:
                with np.errstate(divide="ignore", invalid="ignore"):
                    out[block] = (weights / (points - w[block, None])).sum(axis=1)
        return np.where(lower_plane, out.conj(), out)


def _branch(d: Array, r: int, lower: bool) -> Array:
    """d^(1/r) continued from d > 0 through the upper half plane of z."""
    if r == 1:
        return d
    angle = np.angle(d)
    if not lower:  # z in the upper half plane is d in the lower one
        angle = np.where(angle == np.pi, -np.pi, angle)
    return np.asarray(np.abs(d) ** (1.0 / r) * np.exp(1j * angle / r))


def _weight(part: Any) -> float:
    return float(part.weight) if isinstance(part, Atom) else float(part.mass)


def distribution(sheet: PhysicalSheet, atoms: Sequence[Atom], bulks: Sequence[Bulk]) -> Distribution:
    """Compile a law.

    Raises: DeriveError where the weights do not sum to one: the sheet followed was no law's.
    """
    made = Distribution(tuple(atoms), tuple(bulks), tuple(halves_of(sheet, bulk) for bulk in bulks))
    if abs(made.mass - 1.0) > 1e-10:
        raise NoSheet(f"its density and atoms weigh {made.mass:.12g}, not 1")
    return made

