"""Laws of (a x + b)/(c x + d): the sheet, the bulks and the atoms of x, carried along by the map.

Nothing is followed or isolated anew, so that a map that squeezes a bulk by many orders of magnitude costs nothing and
loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd
from typing import Any

from flint import acb, arb, ctx, fmpq, fmpq_poly

from derive.ledger.balls import precision
from derive.methods.spectra.edges import Atom, Bulk, Edge
from derive.methods.spectra.sheet import NODE_BITS, Critical, PhysicalSheet

__all__ = ["MappedSheet", "MoebiusMap", "mapped_atoms", "mapped_bulks"]

_GUARD = 64  # bits for the map and back


@dataclass(frozen=True)
class MoebiusMap:
    """x -> (a x + b)/(c x + d) with rational coefficients."""

    a: fmpq
    b: fmpq
    c: fmpq
    d: fmpq

    @property
    def determinant(self) -> fmpq:
        """a d - b c: the map rises between its poles where it is positive."""
        return self.a * self.d - self.b * self.c

    def __call__(self, x: Any) -> Any:
        """The image of a point."""
        return (self.a * x + self.b) / (self.c * x + self.d)

    def back(self, z: Any) -> Any:
        """The point whose image is z."""
        return (self.d * z - self.b) / (self.a - self.c * z)

    def critical(self, point: Critical) -> Critical:
        """The image of an isolated root, isolated, with its own polynomial."""
        exact = point.rational
        if exact is not None:
            value = self(exact)
            return Critical((-int(value.p), int(value.q)), value, value)
        top, bottom = fmpq_poly([-self.b, self.d]), fmpq_poly([self.a, -self.c])
        degree = len(point.factor) - 1
        total = fmpq_poly([0])
        for k, value in enumerate(point.factor):
            total += value * top**k * bottom ** (degree - k)
        values = [int(v) for v in total.numer().coeffs()]
        common = gcd(*values) * (1 if values[-1] > 0 else -1)
        low, high = sorted((self(point.low), self(point.high)))
        return Critical(tuple(v // common for v in values), low, high)


@dataclass(frozen=True)
class MappedSheet:
    """The physical sheet of the image of a law: g'(z) = (c + det g(x)/(a - c z))/(a - c z) at x = m^-1(z)."""

    source: PhysicalSheet | MappedSheet
    map: MoebiusMap

    @cached_property
    def complex_criticals(self) -> tuple[tuple[arb, arb], ...]:
        """Images of the critical points off the real line: real part, and imaginary part > 0."""
        made = []
        with precision(400):
            for real, height in self.source.complex_criticals:
                image = (self.map.a * acb(real, height) + self.map.b) / (self.map.c * acb(real, height) + self.map.d)
                made.append((image.real.mid(), abs(image.imag).mid()))
        return tuple(made)

    def on_bulk(self, bulk: Bulk, z: arb, seed: acb | None = None, bits: int = NODE_BITS) -> Any:
        """g'(z + i0) on a bulk; a map that falls turns the upper half plane into the lower one."""
        m = self.map
        falls = m.determinant < 0
        with precision(max(bits, ctx.prec) + _GUARD):
            below = m.a - m.c * z
            if seed is not None:
                seed = ((seed * below - m.c) * below / m.determinant).mid()
                seed = seed.conjugate() if falls else seed
            g = self.source.on_bulk(bulk, m.back(z).mid(), seed, bits)
            return ((m.c + m.determinant * (g.conjugate() if falls else g) / below) / below).mid()


def mapped_bulks(bulks: tuple[Bulk, ...], m: MoebiusMap) -> tuple[Bulk, ...]:
    """The images of bulks, in order; each keeps the intervals of the source in which its values are found."""
    made = []
    for bulk in bulks:
        ends = [Edge(m.critical(e.point), False, e.exponent, e.ramification) for e in (bulk.lower, bulk.upper)]
        if m.determinant < 0:
            ends.reverse()
        lower = Edge(ends[0].point, True, ends[0].exponent, ends[0].ramification)
        made.append(Bulk(lower, ends[1], bulk.intervals, tuple(m.critical(p) for p in bulk.marks)))
    return tuple(sorted(made, key=lambda bulk: _place(bulk.lower.point)))


def mapped_atoms(atoms: tuple[Atom, ...], m: MoebiusMap) -> tuple[Atom, ...]:
    """The images of atoms, in order."""
    made = [Atom(m.critical(atom.point), atom.weight) for atom in atoms]
    return tuple(sorted(made, key=lambda atom: _place(atom.point)))


def _place(point: Critical) -> Fraction:
    return Fraction(int(point.low.p), int(point.low.q))
