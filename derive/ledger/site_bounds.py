"""Bounds under the tilted law of one site, on the real line and in a strip about it: what a quadrature's error needs.

mu is the law of w, of density e^h/Z under the standard normal one, h = beta sigma + C sigma^2.  Where e^h/Z <= e^D,
P(|w| > a) <= e^(D - a^2/2), so that w^2 is at most 2 D plus an exponential variable of mean 2 (stochastically) and
E w^(2k) <= sum over i of binom(k, i) (2 D)^(k-i) 2^i i!.  Where h <= a0 + a1 |w| only, a1 |w| <= a1^2 + w^2/4 says the
same of a normal law of variance 2.

log Z is analytic in omega: Z(omega + i eta)/Z(omega) is e^(eta^2/2V) times the mean of exp(i eta w/sqrt V), which
stays within 9/10 of a phase while eta^2 E w^2/V <= 9/5; in x likewise, with B sigma in place of w/sqrt V.  Neither
needs anything of sigma but its growth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb, factorial

from flint import arb
from sympy import Expr, Symbol, oo

from derive.ledger.balls import NotEnclosed, continued, enclose
from derive.ledger.tails import majorant
from derive.nodes.piece_forms import interval_of
from derive.nodes.products import KINKS, NotClosed, cases

__all__ = ["Growth", "Tilt", "growth_of", "smooth_pieces", "tail_moment"]

_TURN = arb("1.8")
"""Variance of a phase, at most: 1 - _TURN/2 is left of the modulus of its mean."""
_INSIDE = arb("0.99")
"""The share of the strip in omega that is used: V may be wider there than its least value by one percent."""
LOSS = arb(10)
"""What a ratio of averages gains in the strip, at most: 1/(1 - _TURN/2)."""
SHIFT = arb(6)
"""|log Z| in the strip exceeds its bound on the real line by less: eta^2/2V + log 10 + |phase| < 0.5 + 2.4 + 2.7."""


def smooth_pieces(sigma: Expr, h: Symbol) -> list[tuple[Expr, Expr, Expr]]:
    """(lower, upper, expression) of a function without kinks on each of several intervals.

    Raises: NotEnclosed where kinks are not at the zeros of straight lines.

    >>> from sympy import Max, tanh
    >>> h = Symbol("h", real=True)
    >>> smooth_pieces(tanh(h) + Max(0, h), h)
    [(-oo, 0, tanh(h)), (0, oo, h + tanh(h))]
    """
    try:
        found = [(interval_of(lines), expr) for lines, expr in cases(sigma, h)]
    except NotClosed:
        raise NotEnclosed(f"averages over {sigma}, whose kinks are not known exactly") from None
    pieces = [(-oo if e[0] is None else e[0], oo if e[1] is None else e[1], expr) for e, expr in found if e is not None]
    pieces.sort(key=lambda piece: piece[0])
    joined = all(a[1] == b[0] for a, b in pairwise(pieces))
    if not pieces or pieces[0][0] != -oo or pieces[-1][1] != oo or not joined or any(
        expr.atoms(*KINKS) for _, _, expr in pieces
    ):
        raise NotEnclosed(f"averages over {sigma}, whose kinks are not known exactly")
    return pieces


@dataclass(frozen=True)
class Growth:
    """|sigma(y)| <= flat + slope |y| on the whole line."""

    flat: arb
    slope: arb

    def at(self, reach: arb) -> arb:
        """A bound on |y| <= reach."""
        return self.flat + self.slope * reach


def growth_of(pieces: list[tuple[Expr, Expr, Expr]], h: Symbol) -> Growth:
    """The growth of a function given by its smooth pieces.

    Raises: NotEnclosed where it grows faster than linearly.
    """
    flat, slope = arb(0), arb(0)
    for lower, upper, expr in pieces:
        for side, end in ((-1, lower), (1, upper)):
            if end in (oo, -oo):
                terms = majorant(expr, h, side, lambda e: enclose(e, {}, 64))
                if any(t.power > 1 or not t.linear.is_zero() or not t.quadratic.is_zero() for t in terms):
                    raise NotEnclosed("averages over an activation that grows faster than linearly")
                flat = flat.max(sum((t.size for t in terms if t.power == 0), arb(0)))
                slope = slope.max(sum((t.size for t in terms if t.power == 1), arb(0)))
        low = arb(-1) if lower == -oo else enclose(lower, {}, 64)
        high = arb(1) if upper == oo else enclose(upper, {}, 64)
        low, high = (low.min(high - 1) if lower == -oo else low), (high.max(low + 1) if upper == oo else high)
        f = continued(expr, h)
        for k in range(32):  # the part that the majorant of the tails leaves out
            a, b = low + (high - low) * k / 32, low + (high - low) * (k + 1) / 32
            value = f(a.union(b))
            if not value.is_finite():
                raise NotEnclosed(f"an activation without a bound near {float(a):.3g}")
            flat = flat.max(abs(value).upper())
    return Growth(arb(flat.upper()), arb(slope.upper()))


@dataclass(frozen=True)
class Tilt:
    """Bounds for all |beta| <= pull, |omega| <= field; C the coefficient of sigma^2, V the variance of y.

    >>> Tilt(Growth(arb(1), arb(0)), arb(1), arb(0), arb(1), arb(3)).excess.str(4, radius=False)
    '2.000'
    """

    growth: Growth
    pull: arb
    C: arb
    V: arb
    field: arb
    limit: arb | None = None
    """A bound of the excess found in another way."""

    @property
    def bounded(self) -> bool:
        """Whether sigma is."""
        return bool(self.growth.slope == 0)

    @property
    def push(self) -> arb:
        """a1 in h <= a0 + a1 |w|: nonzero where nothing else bounds h."""
        if self.bounded or self.C < 0:
            return arb(0)
        if not self.C == 0:
            raise NotEnclosed("averages of exp(c sigma^2), c > 0, over an activation without a bound")
        return self.pull * self.growth.slope * self.V.sqrt()

    @property
    def top(self) -> arb:
        """a0 in h <= a0 + a1 |w|."""
        plain = self.pull * self.growth.at(self.field) + self.C.max(arb(0)) * self.growth.flat**2
        if self.C < 0:
            square = self.pull**2 / (-4 * self.C)
            if self.bounded and self.pull > -2 * self.C * self.growth.flat:  # largest at the end of sigma's range
                return self.pull * self.growth.flat + self.C * self.growth.flat**2
            return plain.min(square) if self.bounded else square
        return plain

    @property
    def bottom(self) -> arb:
        """log Z is at least minus this, the mean of h under the normal law being so."""
        size = self.growth.at(self.field + self.V.sqrt())
        return self.pull * size + (-self.C).max(arb(0)) * size**2

    @property
    def level(self) -> arb:
        """|log Z| is at most this."""
        above = self.top + (self.push**2 / 2 + arb(2).log() if self.push > 0 else 0)
        return above.max(self.bottom)

    @property
    def excess(self) -> arb:
        """D."""
        if self.limit is not None:
            return self.limit
        return self.top + self.bottom + self.beyond

    @property
    def beyond(self) -> arb:
        """What D has besides top and bottom: the price of a law of variance 2."""
        return self.push**2 + arb(2).log() / 2 if self.push > 0 else arb(0)

    def even(self, k: int) -> arb:
        """E w^(2k), at most."""
        scale = arb(4 if self.push > 0 else 2)
        return sum((comb(k, i) * (scale * self.excess) ** (k - i) * scale**i * factorial(i) for i in range(k + 1)),
                   arb(0))

    def absolute(self, k: int) -> arb:
        """E |w|^k, at most."""
        return self.even(k // 2) if k % 2 == 0 else (self.even(k // 2) * self.even(k // 2 + 1)).sqrt()

    def moment(self, a: int, c: int, moved: arb) -> arb:
        """E (|w| + moved)^a |sigma|^c, at most."""
        base, rate = self.growth.at(self.field), self.growth.slope * self.V.sqrt()
        total = arb(0)
        for i in range(a + 1):
            for j in range(c + 1):
                if j and self.bounded:
                    continue
                weight = comb(a, i) * moved ** (a - i) * comb(c, j) * base ** (c - j) * rate**j
                total = total + weight * self.absolute(i + j)
        return total

    @property
    def field_strip(self) -> arb:
        """Half-width of the strip in omega."""
        return (_TURN * self.V / self.even(1)).sqrt() * _INSIDE

    def query_strip(self, B: arb) -> arb:
        """Half-width of the strip in x."""
        return _TURN.sqrt() / (abs(B) * self.moment(0, 2, arb(0)).sqrt())


def tail_moment(tilt: Tilt, a: int, c: int, cut: arb) -> arb:
    """The integral of |w|^a |sigma|^c e^h over |w| > cut under the standard normal law, at most.

    Raises: NotEnclosed where the cut is too near.
    """
    base, rate = tilt.growth.at(tilt.field), tilt.growth.slope * tilt.V.sqrt()
    fall = cut - tilt.push - (a + c) / cut
    if not fall > 0:
        raise NotEnclosed("the tail of an average over a hidden field has no bound here")
    size = cut**a * (base + rate * cut) ** c * (tilt.top + tilt.push * cut - cut**2 / 2).exp()
    return 2 * size / (fall * (2 * arb.pi()).sqrt())
