"""The density of a spectral law as a compiled, vectorised distribution.

Each bulk is cut into cells at points close to which the density is steep, each cell in the middle, and each half is
described from its own end (see `pieces`).  The ends are kept to twice the digits of a float: distances from them are
formed without losing what x had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from flint import arb

from derive.ledger.balls import precision
from derive.methods.spectra.edges import Atom, Bulk, Edge, anchor, rational_point
from derive.methods.spectra.mapped import MappedSheet
from derive.methods.spectra.pieces import Half, half_cell
from derive.methods.spectra.sheet import Critical, NoSheet, PhysicalSheet, as_fraction

__all__ = ["Cell", "Distribution", "distribution"]

Array = np.ndarray[Any, np.dtype[Any]]

_STEEP = 0.02  # height of a critical point over its distance from the edges, below which the bulk is cut there


@dataclass(frozen=True)
class Cell:
    """A stretch of a bulk between two anchors, in two halves."""

    bulk: Bulk
    left: Half
    right: Half

    @cached_property
    def lower(self) -> tuple[float, float]:
        """The lower end as a sum of two floats."""
        return self.left.anchor.split

    @cached_property
    def upper(self) -> tuple[float, float]:
        """The upper end as a sum of two floats."""
        return self.right.anchor.split

    @cached_property
    def middle(self) -> float:
        """Where the halves meet."""
        return self.lower[0] + (self.lower[1] + self.left.length)

    @cached_property
    def last(self) -> bool:
        """Whether the cell ends its bulk."""
        return self.right.anchor == self.bulk.upper

    def sides(self, x: Array) -> Iterator[tuple[Half, Array, Array]]:
        """Each half, the distances of x from its end, and which x belong to it."""
        below, above = (x - self.lower[0]) - self.lower[1], (self.upper[0] - x) + self.upper[1]
        yield self.left, below, (x <= self.middle) & (below >= 0)
        # a point between two cells belongs to the upper one
        yield self.right, above, (x > self.middle) & ((above >= 0) if self.last else (above > 0))

    def mass_below(self, x: Array) -> Array:
        """Weight of the cell at or below x."""
        inner, outer = self._within(x)
        return np.where(x <= self.middle, inner, self.left.mass + (self.right.mass - outer))

    def mass_above(self, x: Array) -> Array:
        """Weight of the cell above x."""
        inner, outer = self._within(x)
        return np.where(x <= self.middle, self.right.mass + (self.left.mass - inner), outer)

    def _within(self, x: Array) -> tuple[Array, Array]:
        return (
            self.left.mass_within(np.clip((x - self.lower[0]) - self.lower[1], 0.0, self.left.length)),
            self.right.mass_within(np.clip((self.upper[0] - x) + self.upper[1], 0.0, self.right.length)),
        )


@dataclass(frozen=True)
class Distribution:
    """Atoms and cells of a law as numbers."""

    atoms: tuple[Atom, ...]
    cells: tuple[Cell, ...]

    def density(self, x: Array) -> Array:
        """Density of the continuous part; zero outside the bulks."""
        out = np.zeros(x.shape)
        for cell in self.cells:
            for half, distance, here in cell.sides(x):
                if here.any():
                    out[here] += half.density(distance[here])
        return out

    def density_from(self, edge: Edge, distance: Array) -> Array:
        """Density at distances from an edge into its bulk; zero beyond the bulk."""
        out = np.zeros(distance.shape)
        sign = 1 if edge.lower else -1
        own = [cell for cell in self.cells if edge in (cell.bulk.lower, cell.bulk.upper)]
        for cell in own:
            ends = [_apart(edge, half.anchor, sign) for half in (cell.left, cell.right)]
            steps = [(distance - high) - low for high, low in ends]
            if sign < 0:
                steps = [-step for step in steps]
            # distances from the lower end upwards, and from the upper end downwards
            below, above = steps[0], -steps[1]
            near = below <= cell.left.length
            inner = near & (below >= 0)
            outer = ~near & (above >= 0)
            out[inner] = cell.left.density(below[inner])
            out[outer] = cell.right.density(above[outer])
        return out

    @cached_property
    def _parts(self) -> list[Any]:
        """What carries weight, atoms and halves, in order of position."""
        parts: list[tuple[float, Any]] = [(float(a), a) for a in self.atoms]
        for cell in self.cells:
            parts += [(cell.lower[0], cell.left), (cell.middle, cell.right)]
        return [part for _, part in sorted(parts, key=lambda p: p[0])]

    @property
    def mass(self) -> float:
        """Weight of everything: one, up to rounding, for a law."""
        return float(sum(_weight(part) for part in self._parts))

    def cdf(self, x: Array) -> Array:
        """Weight of the points <= x."""
        out = sum((float(a.weight) * (x >= float(a)) for a in self.atoms), np.zeros(x.shape))
        return np.minimum(sum((cell.mass_below(x) for cell in self.cells), out), 1.0)

    def sf(self, x: Array) -> Array:
        """Weight of the points > x, right relative to itself up to the upper end."""
        out = sum((float(a.weight) * (x < float(a)) for a in self.atoms), np.zeros(x.shape))
        return np.minimum(sum((cell.mass_above(x) for cell in self.cells), out), 1.0)

    def ppf(self, q: Array) -> Array:
        """The smallest point with weight q at or below it."""
        below = np.cumsum([0.0, *(_weight(part) for part in self._parts)])
        index = np.clip(np.searchsorted(below, q, side="left") - 1, 0, len(self._parts) - 1)
        return self._points(index, lambda k, here: (q[here] - below[k], below[k + 1] - q[here]))

    def isf(self, q: Array) -> Array:
        """The largest point with weight q at or above it."""
        above = np.cumsum([0.0, *(_weight(part) for part in self._parts[::-1])])[::-1]
        index = np.clip(len(self._parts) - np.searchsorted(above[::-1], q, side="left"), 0, len(self._parts) - 1)
        return self._points(index, lambda k, here: (above[k] - q[here], q[here] - above[k + 1]))

    def _points(self, index: Array, weights: Callable[[int, Array], tuple[Array, Array]]) -> Array:
        """Points on the parts of these indices, given the weights of a part that lie below and above them."""
        out = np.full(index.shape, np.nan)
        for k, part in enumerate(self._parts):
            here = index == k
            if not here.any():
                continue
            if isinstance(part, Atom):
                out[here] = float(part)
                continue
            high, low = part.anchor.split
            below, above = weights(k, here)
            if part.anchor.lower:
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
        for cell in self.cells:
            for half in (cell.left, cell.right):
                high, low = half.anchor.split
                close = 0.0 if singular is None or not half.anchor.lower else max((high - singular) + low, 0.0)
                d, w = half.quadrature(close)
                made.append((high + (low + d) if half.anchor.lower else high + (low - d), w))
        return made

    @cached_property
    def _cauchy(self) -> tuple[Array, Array]:
        parts = self._quadratures(None)
        points = [p for p, _ in parts] + [np.array([float(a) for a in self.atoms])]
        weights = [w for _, w in parts] + [np.array([float(a.weight) for a in self.atoms])]
        return np.concatenate(points), np.concatenate(weights)

    def stieltjes(self, z: Array) -> Array:
        """g(z) = <1/(c - z)>; on a bulk its value from above.

        Close to a bulk by the series continued off their pieces, elsewhere by quadrature.
        """
        lower_plane = z.imag < 0
        w = np.where(lower_plane, z.conj(), z)
        points, weights = self._cauchy
        out = np.empty(w.shape, dtype=complex)
        near = np.zeros(w.shape, dtype=bool)
        for cell in self.cells:
            width = cell.left.length + cell.right.length
            for half, side in ((cell.left, w.real <= cell.middle), (cell.right, w.real > cell.middle)):
                high, low = half.anchor.split
                d = ((w - high) - low) * (1.0 if half.anchor.lower else -1.0)
                s = _branch(d, half.ramification, half.anchor.lower)
                index, usable = half.local(s)
                # beyond an end that is no edge lies another cell
                usable &= side & (np.abs(d) <= 1.5 * width) & ((d.real >= 0) | (half.ramification > 1))
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
    """d^(1/r) continued from d > 0 through the upper half plane of z, which is the lower one of d at an upper end."""
    if r == 1:
        return d
    angle = np.angle(d)
    if not lower:
        angle = np.where(angle == np.pi, -np.pi, angle)
    return np.asarray(np.abs(d) ** (1.0 / r) * np.exp(1j * angle / r))


def _apart(edge: Edge, anchor: Edge, sign: int) -> tuple[float, float]:
    """The distance of an anchor from an edge, into the bulk, as a sum of two floats."""
    with precision(400):
        exact = (sign * (anchor.point.at(360) - edge.point.at(360))).mid()
        high = float(exact)
        return high, float((exact - arb(high)).mid())


def _weight(part: Any) -> float:
    return float(part.weight) if isinstance(part, Atom) else float(part.mass)


def distribution(sheet: PhysicalSheet | MappedSheet, atoms: Sequence[Atom], bulks: Sequence[Bulk]) -> Distribution:
    """Compile a law.

    Raises: NoSheet where the weights do not sum to one: the sheet followed was no law's.
    """
    poles = {atom.point for atom in atoms}
    cells = [
        Cell(bulk, *(half_cell(sheet, bulk, end, length, end.point in poles) for end in (lower, upper)))
        for bulk in bulks
        for lower, upper, length in _stretches(sheet, bulk)
    ]
    made = Distribution(tuple(atoms), tuple(cells))
    if abs(made.mass - 1.0) > 1e-10:
        raise NoSheet(f"its density and atoms weigh {made.mass:.12g}, not 1")
    return made


def steep_points(sheet: PhysicalSheet | MappedSheet, bulk: Bulk) -> tuple[Critical, ...]:
    """Points inside a bulk at which g is not analytic, or complex critical points come close to the axis, in order.

    There the density changes over the distance of the critical point, which may be far below the rounding of the
    distance from the edges.  One point serves for all critical points that are further from the axis than from it.
    """
    found = {_middle(p): p for p in bulk.marks}
    with precision(400):
        lower, upper = bulk.lower.point.at(360).mid(), bulk.upper.point.at(360).mid()
        for real, height in sorted(sheet.complex_criticals, key=lambda c: float(c[1])):
            room = min(real - lower, upper - real, key=float)
            exact = as_fraction(real)
            place = Fraction(int(exact.p), int(exact.q))
            if bool(height < _STEEP * room) and all(abs(place - p) > float(height) for p in found):
                found[place] = rational_point(exact)
    return tuple(found[place] for place in sorted(found))


def _middle(point: Critical) -> Fraction:
    middle = (point.low + point.high) / 2
    return Fraction(int(middle.p), int(middle.q))


def _stretches(sheet: PhysicalSheet | MappedSheet, bulk: Bulk) -> Iterator[tuple[Edge, Edge, float]]:
    """The cells of a bulk: lower and upper end, and half of the length."""
    inner = steep_points(sheet, bulk)
    lower = [bulk.lower, *(anchor(p, True) for p in inner)]
    upper = [*(anchor(p, False) for p in inner), bulk.upper]
    for a, b in zip(lower, upper, strict=True):
        with precision(400):
            yield a, b, float((b.point.at(360) - a.point.at(360)).mid()) / 2
