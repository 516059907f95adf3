"""The physical sheet of a spectral equation P(g, z) = 0, followed along the real axis.

g(z) = <1/(c - z)> is the branch with g ~ -1/z at infinity and Im g > 0 in the upper half plane.  It is picked up far to
the left, where its power series holds, and followed from there: on the real axis between critical points (zeros of the
discriminant and of the leading coefficient in g, where sheets meet or run away), and around each critical point on an
arc in the upper half plane.  At every step all roots are computed, and the step is halved until one of them, and only
one, is where the slope of g says.  No root is ever chosen by its place in a list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

from flint import acb, acb_poly, arb, ctx, fmpq, fmpz_poly

from derive.core import DeriveError
from derive.ledger.balls import precision
from derive.methods.spectra.exact import Sparse, coefficients, factors, univariate

__all__ = ["Critical", "Interval", "NoSheet", "PhysicalSheet", "as_fraction", "isolate"]

_BITS = 160  # to follow roots
NODE_BITS = 256  # to compute a value
_STEPS = 5000  # along one path
_CAUTION = (0.5, 0.15)  # by what share of a step a prediction may miss; the second where the first leads nowhere
_CLUSTER = 8.0  # roots at so many times the distance of the nearest one are looked at together
_RETRIES = 6


class NoSheet(DeriveError):
    """The equation has no sheet that is the Stieltjes transform of a law."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the equation has no physical sheet: {why}", given="the equation",
            allowed="a sheet with g ~ -1/z at infinity and Im g > 0 in the upper half plane",
            nearest="g**2 + z*g + 1",
        )  # fmt: skip


@dataclass(frozen=True)
class Critical:
    """A real zero of the discriminant or of the leading coefficient: root of an irreducible polynomial, isolated."""

    factor: tuple[int, ...]  # coefficients, constant first
    low: fmpq
    high: fmpq  # exactly one root of the factor lies in [low, high]

    def at(self, bits: int) -> arb:
        """The point to a relative accuracy of about 2^-bits, as a ball."""
        return _refined(self, bits)

    @property
    def rational(self) -> fmpq | None:
        """The point itself where it is rational."""
        return fmpq(-self.factor[0], self.factor[1]) if len(self.factor) == 2 else None


@lru_cache(maxsize=4096)
def _refined(point: Critical, bits: int) -> arb:
    with precision(bits + 32):
        exact = point.rational
        if exact is not None:
            return arb(exact)
        f = fmpz_poly(list(point.factor))
        slope = f.derivative()
        x = arb((point.low + point.high) / 2)
        for _ in range(200):
            step = f(x) / slope(x)
            new = (x - step).mid()
            if bool(abs(new - x) <= abs(x) * arb(2) ** (-bits - 8)):
                x = new
                break
            x = new
        room = abs(x) * arb(2) ** (-bits)
        left, right = x - room, x + room
        if not (bool(f(left) * f(right) < 0) and bool(left >= point.low) and bool(right <= point.high)):
            return _bisected(point, f, bits)
        return left.union(right)


def _bisected(point: Critical, f: fmpz_poly, bits: int) -> arb:
    """By exact bisection, for roots that Newton's method does not find from the middle."""
    low, high = point.low, point.high
    at_low = f(low)
    while (high - low) * 2**bits > max(abs(low), abs(high)):
        middle = (low + high) / 2
        value = f(middle)
        if value == 0:
            return arb(middle)
        low, high, at_low = (middle, high, value) if value * at_low > 0 else (low, middle, at_low)
    return arb(low).union(arb(high))


class HasIntervals(Protocol):
    """A bulk: it knows in which interval of the sheet a point lies."""

    def interval_at(self, x: arb) -> Interval:
        """The interval that contains a point."""


@dataclass(frozen=True)
class Interval:
    """What the physical sheet is between two neighbouring critical points (None: infinity)."""

    index: int
    left: Critical | None
    right: Critical | None
    bulk: bool  # whether the density is positive there; it is or is not on the whole interval
    pairs: int  # pairs of roots that are not real: constant on the interval
    near_left: tuple[Any, Any]  # a point just right of `left` with the value of g there
    near_right: tuple[Any, Any]


class PhysicalSheet:
    """The physical sheet of P(g, z) = 0.

    Args: poly (in (g, z), irreducible, integer coefficients), moments (balls of 1, m_1, ...: the branch at infinity).

    Raises: NoSheet where the branch is none of a law.
    """

    def __init__(self, poly: Sparse, moments: Sequence[arb]) -> None:
        self._moments = list(moments)
        by_g = coefficients(poly, 0)
        self.by_g = [univariate(c, 1) for c in by_g]
        self._slopes = [c.derivative() for c in self.by_g]
        self.degree = len(by_g) - 1
        leading = by_g[-1]
        candidates = set()
        if not leading.is_constant():
            candidates |= {_key(univariate(f, 1)) for f in factors(leading)}
        if self.degree > 1:
            candidates |= {_key(univariate(f, 1)) for f in factors(poly.discriminant(0))}
        self.criticals, self.complex_criticals, self._radius = isolate(sorted(candidates))
        self._bits = _BITS + _spread(self.criticals, self._radius)
        self._known: dict[int, list[tuple[float, arb, acb]]] = {}
        self._caution = _CAUTION[0]
        self.intervals = self._followed()

    # ---- roots

    def leading_vanishes(self, point: Critical) -> bool:
        """Whether a root runs away to infinity at a critical point."""
        return self.by_g[-1].gcd(fmpz_poly(list(point.factor))).degree() > 0

    def _at(self, z: Any) -> acb_poly:
        return acb_poly([c(z) for c in self.by_g])

    def roots(self, z: Any) -> list[acb]:
        """All roots at z, isolated; precision and unit of g are changed until they are.

        The simultaneous iteration starts on the unit circle, and for a few polynomials it gets nowhere from there,
        whatever the precision: in another unit of g it starts elsewhere.
        """
        bits = ctx.prec
        for attempt in range(_RETRIES):
            with precision(bits):
                f = self._at(z)
                unit = arb(3) ** -attempt
                try:
                    found = acb_poly([c * unit**k for k, c in enumerate(f.coeffs())]).roots()
                except ValueError:
                    bits *= 2
                    continue
                slope = f.derivative()
                return [_improved(f, slope, (r * unit).mid()) for r in found]
        raise NoSheet("its roots cannot be told apart")

    def _slope(self, z: Any, g: acb) -> acb:
        """dg/dz on the curve."""
        return -acb_poly([c(z) for c in self._slopes])(g) / self._at(z).derivative()(g)

    def polished(self, z: Any, g: acb, goal: float = 1e-18) -> acb | None:
        """The root at a real or complex z that Newton's method reaches from g, or None where it reaches none.

        Converged when the step is below `goal` of the imaginary part, or of the modulus for a real root.
        """
        f = self._at(z)
        slope = f.derivative()
        for _ in range(60):
            below = slope(g)
            if below.contains(0):
                return None
            step = f(g) / below
            g = (g - step).mid()
            size = abs(g.imag) if not g.imag.contains(0) else abs(g)
            if bool(abs(step) <= size * goal):
                # once more, for what the last step left behind, and to see whether the balls agree
                step = f(g) / slope(g)
                if not bool(abs(step) <= size * goal):
                    return None
                return (g - step).mid()
        return None

    # ---- along a path

    def follow(self, path: Callable[[Any], Any], g: acb) -> acb:
        """The value of the sheet at path(1), given it at path(0); path maps [0, 1] to the plane."""
        done, step, count = arb(0), arb(0.125), 0
        z = path(done)
        roots = self.roots(z)
        while bool(done < 1):
            count += 1
            ahead = done + step
            if not bool(ahead < 1):
                ahead = arb(1)
            there = path(ahead)
            found = self.roots(there)
            moved = self._moved(z, g, roots, there, found)
            if moved is None:
                step = (step / 2).mid()
                if bool(step < arb(2) ** (-self._bits // 2)) or count > _STEPS:
                    raise NoSheet("its sheets cannot be told apart along the real axis")
                continue
            done, z, g, roots, step = ahead.mid(), there, moved, found, (step * 2).mid()
        return g

    def _moved(self, z: Any, g: acb, roots: Sequence[acb], there: Any, found: Sequence[acb]) -> acb | None:
        """The root at the next point that follows g, or None where the step is too long to tell."""
        if len(found) == 1:
            return found[0]
        apart = _apart(g, roots)
        own = self._slope(z, g) * (there - z)
        alone = self._recognised(g + own, own, apart, found)
        cluster = [r for r in roots if _distance(r, g) <= _CLUSTER * apart]
        if alone is not None or len(cluster) == 1:
            return alone
        # sheets that run side by side, much further than they are apart: what they have in common is taken off
        common = sum((self._slope(z, r) for r in cluster), acb(0)) * (there - z) / len(cluster)
        center = sum(cluster, acb(0)) / len(cluster) + common
        ranked = sorted(found, key=lambda r: _distance(r, center))
        inside, outside = ranked[: len(cluster)], ranked[len(cluster) :]
        offset = sum(inside, acb(0)) / len(inside) - center
        width = max(_distance(r, center + offset) for r in inside)
        if outside and _distance(outside[0], center + offset) < 4 * (width + _distance(offset, acb(0))):
            return None
        return self._recognised(g + own + offset, own - common, apart, found)

    def _recognised(self, predicted: acb, change: acb, apart: float, found: Sequence[acb]) -> acb | None:
        """The root that a prediction means, if it can mean one only.

        The change is small against the distance from other roots at both ends, and the prediction misses one root by
        less than a part of it, and any other root by far more.
        """
        far = sorted(_distance(r, predicted) for r in found)
        nearest = min(found, key=lambda r: _distance(r, predicted))
        then, size = _apart(nearest, found), _distance(change, acb(0))
        missed = far[0] > self._caution * size + 1e-9 * min(_distance(nearest, acb(0)), apart)
        if not missed and far[0] < 0.4 * self._caution * far[1] and size < self._caution * min(apart, then):
            return nearest
        return None

    def _followed(self) -> tuple[Interval, ...]:
        """The intervals, in the first way of following that comes to an end which a physical sheet can have."""
        refused: NoSheet | None = None
        for self._caution in _CAUTION:
            try:
                return self._follow_all()
            except NoSheet as reason:
                refused = refused or reason
        assert refused is not None
        raise refused

    def _follow_all(self) -> tuple[Interval, ...]:
        with precision(self._bits):
            reach, g = self._from_infinity()
            points = [c.at(self._bits).mid() for c in self.criticals]
            rooms = self._rooms(points, reach)
            made = []
            start = -reach
            at_start, left = (start, g), None
            for k, (critical, point) in enumerate(zip(self.criticals, points, strict=True)):
                stop = (point - rooms[k]).mid()
                g = self.follow(_between(start, stop, point, points[k - 1] if k else None), g)
                made.append(self._interval(k, left, critical, at_start, (stop, g)))
                g = self.follow(_arc(point, rooms[k]), g)
                start, left = (point + rooms[k]).mid(), critical
                at_start = (start, g)
            stop = arb(reach)
            g = self.follow(_between(start, stop, None, points[-1] if points else None), g)
            made.append(self._interval(len(points), left, None, at_start, (stop, g)))
            expected = self._series(stop)
            if not bool(abs(g - expected) < abs(expected) * arb(1e-6)):
                raise NoSheet("the branch g ~ -1/z does not come back to itself along the real axis")
            if made[0].bulk or made[-1].bulk:
                raise NoSheet("the branch g ~ -1/z is not real near infinity")
        return tuple(made)

    def _from_infinity(self) -> tuple[arb, acb]:
        """A real distance from zero at which the branch at infinity is recognised, and its value at minus that."""
        reach = arb(4) * arb(self._radius) + 1
        for _ in range(40):
            expected = self._series(-reach)
            roots = self.roots(-reach)
            found = sorted((_distance(r, expected), i) for i, r in enumerate(roots))
            if len(found) == 1 or found[0][0] < 1e-3 * found[1][0]:
                g = self.polished(-reach, acb(roots[found[0][1]].real))
                if g is not None:
                    return reach, g
            reach = reach * 4
        raise NoSheet("no root is near -1/z far out")

    def _series(self, z: arb) -> acb:
        total = arb(0)
        for m in reversed(self._moments):
            total = total / z + m
        return acb(-total / z)

    def _rooms(self, points: Sequence[arb], reach: arb) -> list[arb]:
        """Radius of the arc around each critical point: well inside the gaps beside it."""
        walls = [-reach, *points, reach]
        return [
            min((walls[k + 1] - walls[k]).mid(), (walls[k + 2] - walls[k + 1]).mid(), key=float) * arb(0.375)
            for k in range(len(points))
        ]

    def _interval(
        self, index: int, left: Critical | None, right: Critical | None, first: tuple[Any, acb], last: tuple[Any, acb]
    ) -> Interval:
        z, g = first
        roots = self.roots(z)
        real = [r for r in roots if self._is_real(r, roots)]
        own = min(roots, key=lambda r: _distance(r, g))
        bulk = all(own is not r for r in real)
        if bulk and not bool(g.imag > 0):
            raise NoSheet("Im g < 0 above the real axis")
        if not bulk:
            slope = self._slope(z, g).real
            if bool(slope < 0):
                raise NoSheet("g decreases on the real axis off the support")
        return Interval(index, left, right, bulk, (len(roots) - len(real)) // 2, first, last)

    @staticmethod
    def _is_real(root: acb, roots: Sequence[acb]) -> bool:
        """Whether a root of a real polynomial is its own conjugate: no other root is nearer to that than itself."""
        mirror = root.conjugate()
        return min(roots, key=lambda r: _distance(r, mirror)) is root

    # ---- values

    def on_bulk(self, bulk: HasIntervals, z: arb, seed: acb | None = None, bits: int = NODE_BITS) -> Any:
        """g(z + i0) at a point of a bulk; see `value`."""
        return self.value(bulk.interval_at(z), z, seed, bits)

    def value(self, interval: Interval, z: arb, seed: acb | None = None, bits: int = NODE_BITS) -> Any:
        """g(z + i0) at a real point of an interval, to about 17 digits of its imaginary part or more.

        Args: interval, z (a ball inside it), seed (a guess; it is checked, not trusted), bits (working precision).
        """
        goal = min(1e-18, 2.0 ** (-bits // 4)) if bits > NODE_BITS else 1e-18
        for _ in range(_RETRIES):
            with precision(bits):
                if interval.bulk and interval.pairs == 1:
                    found = self._upper(z, seed, goal)
                else:
                    near = self._tracked(interval, z)
                    found = self.polished(z, near if interval.bulk else acb(near.real), goal)
            if found is not None:
                return found
            bits *= 2
        raise NoSheet("a value on it cannot be computed")

    def _upper(self, z: arb, seed: acb | None, goal: float) -> Any:
        """The only root in the upper half plane."""
        if seed is not None:
            found = self.polished(z, seed, goal)
            if found is not None and bool(found.imag > 0):
                return found
        roots = self.roots(z)
        (highest,) = (r for r in roots if bool(r.imag > 0) and not self._is_real(r, roots))
        found = self.polished(z, highest, goal)
        return found if found is not None and bool(found.imag > 0) else None

    def _tracked(self, interval: Interval, z: arb) -> Any:
        """The value followed to a point of an interval from the nearest one at which it is known."""
        left = interval.left.at(ctx.prec).mid() if interval.left else None
        right = interval.right.at(ctx.prec).mid() if interval.right else None

        def place(point: arb) -> float:
            """Where a point is on a scale that is logarithmic towards both ends."""
            below = 0.0 if left is None else float(abs(point - left).log().mid())
            above = 0.0 if right is None else float(abs(right - point).log().mid())
            return below - above

        known = self._known.setdefault(interval.index, [])
        if not known:
            known += [(place(p), p, g) for p, g in (interval.near_left, interval.near_right)]
        here = place(z)
        _, start, g = min(known, key=lambda entry: abs(entry[0] - here))
        if bool(start == z):
            return g
        g = self.follow(_between(start, z.mid(), right, left), g)
        known.append((here, z.mid(), g))
        return g


def _key(f: fmpz_poly) -> tuple[int, ...]:
    return tuple(int(c) for c in f.coeffs())


def isolate(
    polynomials: Sequence[tuple[int, ...]],
) -> tuple[tuple[Critical, ...], tuple[tuple[arb, arb], ...], float]:
    """The roots of irreducible polynomials: real ones isolated and in order, others, and a bound on the moduli.

    Of others the real and the imaginary part, for positive imaginary part.  The polynomials differ, so that their roots
    do: the precision is raised until the balls of all real roots are disjoint.
    """
    bits = 128
    while True:
        with precision(bits):
            real: list[tuple[Any, tuple[int, ...]]] = []
            others: list[tuple[arb, arb]] = []
            largest = 0.0
            for key in polynomials:
                roots: Any = fmpz_poly(list(key)).complex_roots()
                for ball, _ in roots:
                    largest = max(largest, float(abs(ball).upper()))
                    if isinstance(ball, arb) or ball.imag == 0:
                        real.append((ball if isinstance(ball, arb) else ball.real, key))
                    elif bool(ball.imag > 0):
                        others.append((ball.real.mid(), ball.imag.mid()))
            real.sort(key=lambda item: _Order(item[0]))
            if all(bool(a[0] < b[0]) for a, b in pairwise(real)):
                return tuple(Critical(key, *_ends(ball)) for ball, key in real), tuple(others), largest
        bits *= 2


def _improved(f: acb_poly, slope: acb_poly, root: acb) -> acb:
    """By Newton's method, to four tenths of the bits: isolated roots come with ten digits."""
    goal = arb(2) ** (-(2 * ctx.prec) // 5)
    for _ in range(12):
        below = slope(root)
        if below.contains(0):
            return root
        step = f(root) / below
        root = (root - step).mid()
        if bool(abs(step) <= goal * abs(root)):
            break
    return root


def _distance(a: acb, b: acb) -> float:
    return float(abs(a - b).mid())


def _apart(g: acb, roots: Sequence[acb]) -> float:
    """How far the root nearest to g is from the next one."""
    distances = sorted(_distance(r, g) for r in roots)
    return distances[1] if len(distances) > 1 else float("inf")


class _Order:
    """Balls by their midpoints."""

    def __init__(self, ball: arb) -> None:
        self.middle = ball.mid()

    def __lt__(self, other: _Order) -> bool:
        return bool(self.middle < other.middle)


def _ends(ball: arb) -> tuple[fmpq, fmpq]:
    return as_fraction(ball.lower()), as_fraction(ball.upper())


def as_fraction(x: arb) -> fmpq:
    """A ball without radius as the rational number that it is."""
    mantissa, exponent = x.man_exp()
    m, e = int(mantissa), int(exponent)
    return fmpq(m * 2**e) if e >= 0 else fmpq(m, 2**-e)


def _spread(points: Sequence[Critical], radius: float) -> int:
    """Bits that are lost where the closest critical points are told apart."""
    gaps = [b.low - a.high for a, b in pairwise(points)]
    if not gaps:
        return 0
    closest = min(gaps)
    lost = 0
    while closest < fmpq(1) * int(radius + 1) / 2 ** (8 * (lost + 1)):
        lost += 1
    return 8 * lost


def _between(start: Any, stop: Any, right: Any, left: Any) -> Callable[[Any], Any]:
    """A path on the real axis, in steps that shrink towards the critical points on either side."""
    start, stop = arb(start).mid(), arb(stop).mid()
    if left is not None and right is not None:
        # log((z - left)/(right - z)) runs evenly
        first, last = ((z - left) / (right - z) for z in (start, stop))
        ratio = last / first

        def inside(s: Any) -> Any:
            share = first * ratio ** arb(s)
            return _end(s, start, stop, (left + share * right) / (1 + share))

        return inside
    if left is None and right is None:
        return lambda s: start + arb(s) * (stop - start)
    wall = left if left is not None else right
    ratio = (stop - wall) / (start - wall)
    return lambda s: _end(s, start, stop, wall + (start - wall) * ratio ** arb(s))


def _end(s: Any, start: Any, stop: Any, z: Any) -> Any:
    """The ends of a path exactly, points on it without their radii."""
    if bool(arb(s) == 0):
        return start
    return stop if bool(arb(s) == 1) else z.mid()


def _arc(center: arb, radius: arb) -> Callable[[Any], Any]:
    """Around a critical point through the upper half plane, from the left to the right."""

    def at(s: Any) -> Any:
        angle = arb(s)
        if bool(angle == 0):
            return acb(center - radius)
        if bool(angle == 1):
            return acb(center + radius)
        return acb(center - radius * angle.cos_pi(), radius * angle.sin_pi()).mid()

    return at
