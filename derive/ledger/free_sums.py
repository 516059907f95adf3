"""Free sums of Marchenko-Pastur laws in balls: the edges of their bulks and their density at a point.

With u = -1/g the resolvent's inverse function is z(u) = shift + u + sum of a v u/(u - v).  The support ends at its
critical points, where the load, the sum of a v^2/(u - v)^2, is 1 (Silverstein, Choi 1995).  The load rises from 0 up to
the smallest v and falls to 0 after the largest, so that there is one critical point on either side; between two
neighbouring v it is convex, and there are two or none.  Signs of the load then prove all of them, and that there is no
other, however close two bulks are; only where bulks touch nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from flint import acb, acb_poly, arb

from derive.ledger.balls import NotEnclosed, precision

__all__ = ["Edge", "FreeSum", "falling_root"]

_ROUNDS = 4000
_NEWTON_STEPS = 12


class Edge(NamedTuple):
    """The place of an edge, its critical point u, and the bracket in which that is the only one; None where u = 0."""

    place: arb
    point: arb
    bracket: tuple[arb, arb] | None


def falling_root(f: Callable[[arb], arb], slope: Callable[[arb], arb], low: arb, high: arb) -> arb:
    """The zero of a function that falls from a positive value to a negative one, by interval Newton steps and halving.

    Raises: NotEnclosed where the signs at the ends are not shown.

    >>> falling_root(lambda x: 2 - x * x, lambda x: -2 * x, arb(1), arb(2)).str(10, radius=False)
    '1.414213562'
    """
    if not (f(low) > 0 and f(high) < 0):
        raise NotEnclosed("an edge between ends at which no sign is shown")
    for _ in range(_ROUNDS):
        ball = low.union(high)
        middle = ball.mid()
        value, steep = f(middle), slope(ball)
        image = middle - value / steep if steep < 0 else ball
        smaller = ball.intersection(image)
        if smaller.rad() * 2 > ball.rad():
            if value.contains(0):
                return smaller
            smaller = middle.union(high) if value > 0 else low.union(middle)
        low, high = arb(low.max(smaller.lower()).mid()), arb(high.min(smaller.upper()).mid())
        if not low < high:
            return smaller
    return low.union(high)


class FreeSum:
    """The law with shift and parts (v, a), balls, at a precision in bits.

    Args: shift; parts; side (of the sum of all a with respect to 1: -1, 0 or 1, known exactly); bits.
    Raises: NotEnclosed where the order of the v is not shown, or bulks touch.

    >>> [e.place.str(8, radius=False) for pair in FreeSum(arb(0), [(arb(4), arb("0.25"))], -1, 64).bulks for e in pair]
    ['1.0000000', '9.0000000']
    """

    def __init__(self, shift: arb, parts: Sequence[tuple[arb, arb]], side: int, bits: int) -> None:
        self.shift, self.side, self.bits = shift, side, bits
        self.parts = sorted(parts, key=lambda part: float(part[0].log()))
        if not all(low < high for (low, _), (high, _) in pairwise(self.parts)):
            raise NotEnclosed("a spectrum of variances whose order is not shown")
        with precision(bits):
            self.gaps = [self._between(k) for k in range(len(self.parts) - 1)]
            ends = [self._lowest(), *(edge for gap in self.gaps if gap for edge in gap), self._highest()]
        self.bulks = list(zip(ends[::2], ends[1::2], strict=True))

    def load(self, u: Any) -> Any:
        """The sum of a v^2/(u - v)^2."""
        return sum((a * (v / (u - v)) ** 2 for v, a in self.parts), arb(0))

    def load_slope(self, u: Any) -> Any:
        """Its slope."""
        return sum((-2 * a * v**2 / (u - v) ** 3 for v, a in self.parts), arb(0))

    def _edge(self, direction: int, low: arb, high: arb) -> Edge:
        """The critical point between two places where the load falls through 1 (direction 1) or rises (-1)."""
        low, high = low.mid(), high.mid()
        u = falling_root(lambda x: direction * (self.load(x) - 1), lambda x: direction * self.load_slope(x), low, high)
        return Edge(self.shift + u * u * sum((a * v / (u - v) ** 2 for v, a in self.parts), arb(0)), u, (low, high))

    @property
    def _far(self) -> arb:
        """Twice the distance from all v beyond which the load is below 1."""
        return 2 * sum((a * v * v for v, a in self.parts), arb(0)).sqrt()

    @staticmethod
    def _near(part: tuple[arb, arb]) -> arb:
        """The distance from one v within which the load exceeds 1."""
        return part[0] * part[1].sqrt()

    def _lowest(self) -> Edge:
        if self.side == 0:
            return Edge(self.shift, arb(0), None)
        first = self.parts[0]
        return self._edge(-1, first[0] - self._far, first[0] - self._near(first) / 2)

    def _highest(self) -> Edge:
        last = self.parts[-1]
        return self._edge(1, last[0] + self._near(last) / 2, last[0] + self._far)

    def _between(self, k: int) -> tuple[Edge, Edge] | None:
        """The facing edges of two bulks between neighbouring v; None where the load exceeds 1 all the way."""
        left, right = self.parts[k], self.parts[k + 1]
        apart = self._apart(left[0] + self._near(left), right[0] - self._near(right))
        if apart is None:
            return None
        return (self._edge(1, left[0] + self._near(left) / 2, apart),
                self._edge(-1, apart, right[0] - self._near(right) / 2))

    def _apart(self, low: arb, high: arb) -> arb | None:
        """A place where the load is below 1, between two outside of which it is above; None where there is none.

        Tangents of a convex function lie below it.
        """
        if low > high:
            return None
        low, high = low.mid(), high.mid()
        for _ in range(4 * self.bits):
            middle = ((low + high) / 2).mid()
            value, slope = self.load(middle), self.load_slope(middle)
            if value < 1:
                return arb(middle)
            left, right = middle - low, high - middle
            if value - (abs(slope) * left.max(right)).upper() > 1:
                return None
            if slope < 0:
                low = middle
            elif slope > 0:
                high = middle
            else:
                break
        raise NotEnclosed("whether two bulks touch")

    def inside(self, c: arb) -> bool:
        """Whether a point lies in the interior of a bulk.

        Raises: NotEnclosed where it is at an edge, as far as balls can tell.
        """
        for low, high in self.bulks:
            if c > low.place and c < high.place:
                return True
            if not (c < low.place or c > high.place):
                raise NotEnclosed("whether a point is beyond an edge of the spectrum")
        return False

    def density(self, c: arb) -> arb:
        """The density at a point in the interior of a bulk: Im u / (pi |u|^2), u the root of z(u) = c with Im u > 0.

        Cleared of denominators the equation is a polynomial, whose roots are isolated: one has Im u > 0.
        Raises: NotEnclosed where this is not shown.
        """
        with precision(self.bits):
            x = c - self.shift
            factors = [acb_poly([-v, 1]) for v, _ in self.parts]
            whole = acb_poly([-x, 1]) * _product(factors)
            for k, (v, a) in enumerate(self.parts):
                whole += acb_poly([0, a * v]) * _product(factors[:k] + factors[k + 1 :])
            try:
                found = [u for u in whole.roots() if u.imag > 0]
            except ValueError:
                found = []
            if len(found) != 1:
                raise NotEnclosed("the one root above the real line, at an edge of the spectrum or close to it")
            u = found[0]
            for _ in range(_NEWTON_STEPS):
                middle = u.mid()
                at = middle - x + sum((a * v * middle / (middle - v) for v, a in self.parts), acb(0))
                image = middle - at / (1 - self.load(u))
                if not image.overlaps(u):
                    raise NotEnclosed("the density at a point close to an edge of the spectrum")
                smaller = acb(u.real.intersection(image.real), u.imag.intersection(image.imag))
                stalled = smaller.real.rad() * 2 > u.real.rad() and smaller.imag.rad() * 2 > u.imag.rad()
                u = smaller
                if stalled:
                    break
            return arb(u.imag / (arb.pi() * (u.real**2 + u.imag**2)))


def _product(factors: Sequence[acb_poly]) -> acb_poly:
    found = acb_poly([1])
    for factor in factors:
        found = found * factor
    return found
