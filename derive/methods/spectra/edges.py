"""Where a law lives: its atoms, its bulks, and how the density behaves at their edges."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import comb
from typing import Any

import mpmath
from flint import acb, arb, ctx, fmpq, fmpz_poly
from sympy import Expr, Poly, Rational, S, Symbol

from derive.ledger.balls import precision
from derive.methods.spectra.exact import Sparse, as_rational, ring, to_sympy
from derive.methods.spectra.sheet import Critical, Interval, NoSheet, PhysicalSheet

__all__ = ["Atom", "Bulk", "Edge", "anchor", "atoms_of", "bulks_of", "rational_point", "to_mpmath"]

_CLOSE = 2.0**-60  # of the nearest gap: where the behaviour at a critical point is read off
# shares of the gap at which weights are looked at, until one candidate stands out
_SHARES = (2.0**-12, 2.0**-40, 2.0**-100)
_LOCAL_BITS = 500
_LARGEST_ROOT = 12  # of the powers d^(m/r) that are looked for at an edge


@dataclass(frozen=True)
class Edge:
    """An end of a bulk: a root of an irreducible polynomial, isolated by rational bounds.

    Attributes: point (where), lower (whether the bulk lies above it), exponent (the density is
    coefficient * distance^exponent close to it: 1/2 at a soft edge, -1/2 at a hard one, 1/3 where two bulks touch),
    ramification (g is a power series in distance^(1/ramification)).
    """

    point: Critical
    lower: bool
    exponent: Fraction
    ramification: int

    def __float__(self) -> float:
        return float(self.point.at(96).mid())

    @property
    def value(self) -> float:
        """The edge, right to rounding."""
        return float(self)

    @property
    def polynomial(self) -> Poly:
        """The irreducible polynomial in z with integer coefficients that has the edge as a root."""
        return Poly(list(reversed(self.point.factor)), Symbol("z"))

    @property
    def isolated(self) -> tuple[Rational, Rational]:
        """Rational bounds between which the polynomial has exactly one root."""
        return as_rational(self.point.low), as_rational(self.point.high)

    @property
    def expression(self) -> Expr:
        """The edge in closed form: a number of SymPy, a root of its polynomial where radicals do not help."""
        poly = self.polynomial
        low, high = self.isolated
        roots = poly.real_roots(radicals=poly.degree() <= 2)
        return min(roots, key=lambda r: abs(r.evalf(50) - (low + high) / 2))

    def to_mpmath(self, digits: int) -> Any:
        """The edge to a number of decimal digits."""
        return to_mpmath(self.point.at(int(digits * 3.33) + 16), digits)

    @property
    def split(self) -> tuple[float, float]:
        """The edge as an unevaluated sum of two floats."""
        with precision(256):
            exact = self.point.at(200).mid()
            high = float(exact)
            return high, float((exact - arb(high)).mid())


@dataclass(frozen=True)
class Bulk:
    """An interval on which the density is positive."""

    lower: Edge
    upper: Edge
    intervals: tuple[Interval, ...]  # of the physical sheet: critical points of other sheets may lie inside
    marks: tuple[Critical, ...] = ()  # points inside at which g is not analytic, such as an atom within the bulk

    @property
    def width(self) -> float:
        """upper - lower, without cancellation."""
        with precision(400):
            return float((self.upper.point.at(300) - self.lower.point.at(300)).mid())

    def interval_at(self, x: arb) -> Interval:
        """The interval of the sheet in which a point of the bulk lies."""
        for interval in self.intervals[:-1]:
            assert interval.right is not None
            if bool(x <= interval.right.at(200).mid()):
                return interval
        return self.intervals[-1]


@dataclass(frozen=True)
class Atom:
    """A point of positive weight."""

    point: Critical
    weight: Expr  # exact

    def __float__(self) -> float:
        return float(self.point.at(96).mid())

    @property
    def position(self) -> Expr:
        """The point: a Rational, or the root of its polynomial."""
        exact = self.point.rational
        if exact is not None:
            return as_rational(exact)
        return Edge(self.point, True, Fraction(0), 1).expression


def to_mpmath(ball: arb, digits: int) -> Any:
    """The middle of a ball as an mpf of the digits asked for."""
    mantissa, exponent = ball.mid().man_exp()
    with mpmath.workdps(digits + 5):
        return mpmath.ldexp(mpmath.mpf(int(mantissa)), int(exponent))


# ---- bulks


def bulks_of(sheet: PhysicalSheet) -> tuple[Bulk, ...]:
    """The bulks in order, each edge with its exponent."""
    made: list[Bulk] = []
    open_edge: Edge | None = None
    inside: list[Interval] = []
    marks: list[Critical] = []
    for before, after in pairwise(sheet.intervals):
        point = after.left
        assert point is not None
        if before.bulk and after.bulk:
            inside.append(after)
            if _regular(sheet, before, after):
                continue
            if all(_exponent(sheet, point, side) == 0 for side in (before, after)):
                marks.append(point)
                continue
            inside.pop()
        if before.bulk:
            assert open_edge is not None
            made.append(Bulk(open_edge, _edge(sheet, point, before, False), tuple(inside), tuple(marks)))
            open_edge = None
        if after.bulk:
            open_edge, inside, marks = _edge(sheet, point, after, True), [after], []
    return tuple(made)


def _beside(sheet: PhysicalSheet, point: Critical, interval: Interval, share: float) -> tuple[arb, acb, arb]:
    """A point at a tiny distance from a critical point, g there, and the distance."""
    inner = interval.near_left if interval.left is point else interval.near_right
    bits = _LOCAL_BITS if share < _SHARES[0] else _LOCAL_BITS // 2
    with precision(bits):
        exact = point.at(bits).mid()
        distance = (abs(inner[0] - exact) * arb(share)).mid()
        z = exact + distance if interval.left is point else exact - distance
    return z, sheet.value(interval, z, bits=bits), distance


def _regular(sheet: PhysicalSheet, before: Interval, after: Interval) -> bool:
    """Whether the physical sheet passes through a critical point that only concerns others."""
    point = after.left
    assert point is not None
    _, left, _ = _beside(sheet, point, before, _CLOSE)
    z, right, _ = _beside(sheet, point, after, _CLOSE)
    with precision(_LOCAL_BITS):
        others = sorted(float(abs(r - right).mid()) for r in sheet.roots(z))
        return len(others) < 2 or float(abs(left - right).mid()) < 1e-6 * others[1]


def _exponent(sheet: PhysicalSheet, point: Critical, interval: Interval) -> Fraction:
    """The power of the distance with which the density behaves, from its values at two tiny distances."""
    (_, near, d1), (_, far, d2) = (_beside(sheet, point, interval, share) for share in (_CLOSE, _CLOSE * 2.0**20))
    with precision(_LOCAL_BITS):
        slope = float(((far.imag / near.imag).log() / (d2 / d1).log()).mid())
    exponent = Fraction(slope).limit_denominator(_LARGEST_ROOT)
    if abs(exponent - slope) > 1e-3 or exponent <= -1:
        raise NoSheet(f"its density behaves as distance^{slope:.4g} at {float(point.at(64).mid()):.6g}")
    return exponent


def _edge(sheet: PhysicalSheet, point: Critical, interval: Interval, lower: bool) -> Edge:
    exponent = _exponent(sheet, point, interval)
    return Edge(point, lower, exponent, exponent.denominator)


def anchor(point: Critical, lower: bool) -> Edge:
    """An end of a cell that is no edge: the density has a limit there that is not zero."""
    return Edge(point, lower, Fraction(0), 1)


def rational_point(point: fmpq) -> Critical:
    """A rational number as the root of its polynomial."""
    return Critical((-int(point.p), int(point.q)), point, point)


# ---- atoms


def atoms_of(sheet: PhysicalSheet) -> tuple[Atom, ...]:
    """Points at which (c - z) g(z) does not vanish as z falls on them, with what it tends to.

    The candidates for the weight are exact: the roots of the lowest order of P(u/(z - c), z); which one it is, is seen
    just above the point.
    """
    found = []
    for after in sheet.intervals[1:]:
        point = after.left
        assert point is not None
        if not sheet.leading_vanishes(point):
            continue
        weight: Expr = S.Zero
        candidates = _weights(sheet, point)
        for share in _SHARES:
            seen = _seen_weight(sheet, point, after, share)
            ranked = sorted(candidates, key=partial(_misses, seen))
            weight = ranked[0]
            if len(ranked) == 1 or _misses(seen, weight) < 1e-3 * _misses(seen, ranked[1]):
                break
        if weight < 0:
            raise NoSheet(f"the point {float(point.at(64).mid()):g} has the weight {float(weight):g}")
        if weight != 0:
            found.append(Atom(point, weight))
    return tuple(found)


def _seen_weight(sheet: PhysicalSheet, point: Critical, after: Interval, share: float) -> float:
    """(c - z) g(z) at c plus a tiny imaginary distance."""
    z, g, distance = _beside(sheet, point, after, share)
    with precision(_LOCAL_BITS // 2 if share == _SHARES[0] else _LOCAL_BITS):
        exact = point.at(ctx.prec).mid()

        def quarter(s: Any) -> Any:
            angle = arb(s) / 2
            if bool(arb(s) == 0):
                return acb(z)
            return acb(exact + distance * angle.cos_pi(), distance * angle.sin_pi()).mid()

        top = sheet.follow(quarter, g)
        return float((-acb(0, 1) * distance * top).real.mid())


def _misses(seen: float, weight: Expr) -> float:
    return abs(float(weight) - seen)


def _weights(sheet: PhysicalSheet, point: Critical) -> list[Expr]:
    """What (c - z) g(z) can tend to on any of the sheets, zero included.

    P(u/(z - c), z) at lowest order in z - c is a polynomial L(u, c); c is eliminated with its own polynomial, so that
    the weight is a root of a polynomial over the integers in any case.
    """
    context = ring(("u", "c"))
    u, c = context.gens()
    own = _in(context, fmpz_poly(list(point.factor)), c)
    n = sheet.degree
    derivatives = [_taylor(f) for f in sheet.by_g]
    for order in range(n + max(len(d) for d in derivatives)):
        lowest = context.constant(0)
        for k, terms in enumerate(derivatives):
            if 0 <= order - n + k < len(terms):
                lowest += u**k * _in(context, terms[order - n + k], c)
        eliminated = lowest.resultant(own, 1)
        if not eliminated.is_zero():
            break
    unknown = Symbol("u")
    roots = to_sympy(eliminated, (unknown, Symbol("c"))).as_expr()
    candidates: list[Expr] = [S.Zero]
    for factor, _ in Poly(roots, unknown).factor_list()[1]:
        candidates += [-r for r in factor.real_roots() if r != 0]
    return candidates


def _taylor(f: fmpz_poly) -> list[fmpz_poly]:
    """f, f', f''/2, ...: the coefficients of f(c + e) as polynomials in c."""
    values = [int(v) for v in f.coeffs()]
    return [fmpz_poly([comb(i, k) * values[i] for i in range(k, len(values))]) for k in range(len(values))]


def _in(context: Sparse, f: fmpz_poly, variable: Sparse) -> Sparse:
    made = context.constant(0)
    for value in reversed(f.coeffs()):
        made = made * variable + int(value)
    return made
