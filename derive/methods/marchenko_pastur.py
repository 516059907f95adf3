"""The Marchenko-Pastur law: from the cavity equations of its resolvent to density, moments and transforms.

C = F F^T / D with F an N x D matrix of independent N(0, 1), ratio = D / N kept fixed.  Everything is written through one
quantity, the response V(b) in (0, 1): the mean posterior variance of a latent variable that is seen through F with
precision b.  `derivation` reaches all formulas of this module from two cited equations for V, for ratios below, at and
above 1; `SpectralLaw` holds the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import (
    Add, And, Derivative, Dummy, Eq, Expr, Function, Ge, Gt, I, Interval, Le, Lt, Max, Piecewise, Rational, S, Subs, Symbol,
    cancel, diff, expand, log, oo, pi, sqrt, together,
)

from derive.core import DeriveError, Domain, Step, UniqueRoot
from derive.ledger import Derivation
from derive.nodes import Density, MarchenkoPastur, MPResponse, SpectralAverage
from derive.symbols import V as RESPONSE
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import b as B
from derive.symbols import c as C

if TYPE_CHECKING:
    from derive.nodes.quadrature import MarchenkoPasturLaw

__all__ = ["SpectralLaw", "derivation"]

SOURCE = "PHYSICS; Marchenko and Pastur (1967)"


@dataclass(frozen=True)
class SpectralLaw:
    """The limiting spectrum of F F^T / D at ratio D / N.

    Args:
        ratio: positive; a symbol, an exact number or any expression of known sign.

    Raises: DeriveError for a ratio that is not positive.

    >>> law = SpectralLaw(Rational(1, 4))
    >>> law.edges, law.atom
    ((1, 9), 3/4)
    >>> [law.moment(k) for k in range(4)]
    [1, 1, 5, 29]
    """

    ratio: Expr

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", self.node.ratio)

    # ---- the law

    @property
    def node(self) -> MarchenkoPastur:
        """The law as a node that can be averaged over."""
        return MarchenkoPastur(self.ratio)

    @property
    def lower(self) -> Expr:
        """Lower edge of the bulk, (1 - sqrt(ratio))^2 / ratio."""
        return self.node.lower

    @property
    def upper(self) -> Expr:
        """Upper edge of the bulk, (1 + sqrt(ratio))^2 / ratio."""
        return self.node.upper

    @property
    def edges(self) -> tuple[Expr, Expr]:
        """The two edges of the bulk, lower first."""
        return self.lower, self.upper

    @property
    def atom(self) -> Expr:
        """Weight of the eigenvalue zero, max(0, 1 - ratio)."""
        return Max(0, 1 - self.ratio)

    def density(self, x: Expr) -> Expr:
        """Density of the continuous part, zero outside the bulk; it integrates to min(1, ratio)."""
        return Piecewise((self.bulk(x), And(x > self.lower, x < self.upper)), (S.Zero, True))

    def bulk(self, x: Expr) -> Expr:
        """Density at a point inside the bulk."""
        return self.ratio * sqrt((self.upper - x) * (x - self.lower)) / (2 * pi * x)

    def average(self, body: Expr, c: Symbol = C) -> Expr:
        """<body> over the spectrum, a node; `.doit()` gives its closed form."""
        return SpectralAverage(body, c, self.node)

    def moment(self, k: int) -> Expr:
        """<c^k>, exact for any integer k; negative k needs ratio > 1.

        Positive orders follow from the resolvent at infinity, negative ones from the resolvent at zero.

        Raises: DeriveError for a negative order unless the ratio is known to exceed 1.
        """
        if k >= 0:
            return _moment(k, self.ratio)
        if not (self.ratio - 1).is_positive:
            raise DeriveError(
                f"<c^{k}> over the Marchenko-Pastur law of ratio {self.ratio} exists only for ratio > 1",
                given=str(self.ratio), allowed="ratio > 1", nearest="moments of order >= 0",
            )
        return _inverse_moment(-k, self.ratio)

    # ---- transforms

    def response(self, b: Expr) -> Expr:
        """V(b), the root in (0, 1) of `response_polynomial`."""
        return MPResponse(b, self.ratio)

    def response_polynomial(self, V: Expr, b: Expr) -> Expr:
        """ratio b V^2 + (b (1 - ratio) + ratio) V - ratio."""
        return MPResponse.polynomial(V, b, self.ratio)

    def response_explicit(self, b: Expr) -> Expr:
        """V(b) in square roots, without cancellation for ratio <= 1."""
        linear = self._linear(b)
        return 2 * self.ratio / (linear + sqrt(linear**2 + 4 * self.ratio**2 * b))

    def _linear(self, b: Expr) -> Expr:
        return b * (1 - self.ratio) + self.ratio

    def response_slope(self, b: Expr) -> Expr:
        """dV/db."""
        V = self.response(b)
        return -V / (self.ratio * (1 + b * V) ** 2 + b)

    def resolvent(self, b: Expr) -> Expr:
        """<1/(1 + b c)>."""
        return 1 / (1 + b * self.response(b))

    def loss(self, b: Expr) -> Expr:
        """<b c/(1 + b c)> = ratio (1 - V)."""
        return self.ratio * (1 - self.response(b))

    def square_loss(self, b: Expr) -> Expr:
        """<c/(1 + b c)^2>."""
        V = self.response(b)
        return self.ratio * V / (self.ratio * (1 + b * V) ** 2 + b)

    def stieltjes_polynomial(self, g: Expr, z: Expr) -> Expr:
        """z g^2 + (ratio z + 1 - ratio) g + ratio, of which <1/(c - z)> is a root."""
        return z * g**2 + self._shift(z) * g + self.ratio

    def _shift(self, z: Expr) -> Expr:
        return self.ratio * z + 1 - self.ratio

    def stieltjes(self, z: Expr) -> Expr:
        """g(z) = <1/(c - z)>, in the form with two separate roots that is right on the whole plane off the bulk.

        It is the root with Im g > 0 in the upper half plane and g ~ -1/z at infinity; inside the bulk principal roots
        give its value from above.
        """
        roots = sqrt(z - self.lower) * sqrt(z - self.upper)
        return (self.ratio * roots - self._shift(z)) / (2 * z)

    def shannon(self, b: Expr) -> Expr:
        """<log(1 + b c)> through the response: log(1 + b V) - ratio log V - ratio (1 - V)."""
        V = self.response(b)
        return log(1 + b * V) - self.ratio * log(V) - self.ratio * (1 - V)

    def shannon_explicit(self, b: Expr) -> Expr:
        """<log(1 + b c)> in square roots, in the form of Tulino and Verdu.

        With h = b (1 - V) = (sqrt(1 + b upper) - sqrt(1 + b lower))^2 / 4.  It cancels at large b; `shannon` does not.
        """
        h = self.spread(b)
        return self.ratio * log(1 + b / self.ratio - h) + log(1 + b - h) - self.ratio * h / b

    def spread(self, b: Expr) -> Expr:
        """h = b (1 - V) in terms of the edges."""
        return (sqrt(1 + b * self.upper) - sqrt(1 + b * self.lower)) ** 2 / 4

    # ---- numbers

    def runtime(self) -> MarchenkoPasturLaw:
        """The vectorised law of the quadrature floor; averages any function of an eigenvalue.

        Raises: DeriveError where the ratio is a symbol.
        """
        from derive.nodes.quadrature import MarchenkoPasturLaw

        return MarchenkoPasturLaw(self._number())

    def density_values(self, x: Any) -> np.ndarray:
        """Density of the continuous part at an array of points, same shape; zero outside, inf at a hard edge.

        The distance to the edges is computed with twice the digits: a point one unit in the last place inside an edge
        still has a density right to rounding.
        """
        ratio, at = self._number(), np.asarray(x, dtype=float)
        _finite(at, "x")
        # pi rho = Im g = sqrt(4 ratio x - (ratio x + 1 - ratio)^2) / (2 x)
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.where(np.abs(at) < 1e100, _discriminant(ratio, at), -1.0)
        inside = (gap > 0) & (at > 0)
        out = np.zeros(at.shape)
        out[inside] = np.sqrt(gap[inside]) / (2 * np.pi * at[inside])
        if ratio == 1:
            out[at == 0] = np.inf
        return out

    def stieltjes_values(self, z: Any) -> np.ndarray:
        """g(z) = <1/(c - z)> at an array of complex points, same shape; on the bulk its value from above.

        Raises: DeriveError at z = 0 for ratio <= 1, where g is infinite.
        """
        ratio, at = self._number(), np.asarray(z, dtype=complex)
        _finite(at, "z")
        if ratio <= 1 and (at == 0).any():
            raise DeriveError(
                f"the Stieltjes transform at ratio {self.ratio} is infinite at z = 0", given="z = 0", allowed="z != 0"
            )
        a = np.sqrt(ratio)
        lower, upper = ((1 - ratio) / (1 + a)) ** 2 / ratio, (1 + a) ** 2 / ratio
        shift = ratio * at + (1 - ratio)
        roots = ratio * np.sqrt(at - lower) * np.sqrt(at - upper)
        # both are the same root; the sum that does not cancel is taken
        aligned = (shift * roots.conj()).real >= 0
        return np.where(
            aligned,
            -2 * ratio / np.where(aligned, shift + roots, 1.0),
            (roots - shift) / np.where(aligned, 1.0, 2 * at),
        )

    def response_values(self, b: Any) -> np.ndarray:
        """V at an array of b >= 0, same shape, to rounding for any size of b."""
        ratio, at = self._number(), _precision(b)
        linear = at * (1 - ratio) + ratio
        root = np.hypot(linear, 2 * ratio * np.sqrt(at))
        up = linear > 0
        small = 2 * ratio / np.where(up, linear + root, 1.0)
        return np.where(up, small, (root - linear) / np.where(up, 1.0, 2 * ratio * at))

    def shannon_values(self, b: Any) -> np.ndarray:
        """<log(1 + b c)> at an array of b >= 0, same shape, to rounding for any size of b."""
        ratio, at = self._number(), _precision(b)
        V = self.response_values(at)
        a = np.sqrt(ratio)
        low, high = (np.hypot(1, np.sqrt(at) * (1 + sign * a) / a) for sign in (-1, 1))
        w = 4 * (at / ratio / (low + high)) / (low + high)  # 1 - V
        return np.asarray(np.log1p(at * V) - ratio * (np.where(w < 0.5, np.log1p(-np.minimum(w, 0.5)), np.log(V)) + w))

    def _number(self) -> float:
        if not self.ratio.is_number:
            raise DeriveError(
                f"numbers are asked of the Marchenko-Pastur law with ratio {self.ratio}", given=str(self.ratio),
                allowed="a ratio that is a number", nearest="SpectralLaw(Rational(1, 2))",
            )
        return float(self.ratio)


def _finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        raise DeriveError(f"{name} contains nan or infinity", given=name, allowed="finite numbers")


def _precision(b: Any) -> np.ndarray:
    at = np.asarray(b, dtype=float)
    _finite(at, "b")
    if (at < 0).any():
        raise DeriveError(f"b is {float(at.min()):g}", given=f"{float(at.min()):g}", allowed="b >= 0")
    return at


def _discriminant(ratio: float, x: np.ndarray) -> np.ndarray:
    """4 ratio x - (ratio x + 1 - ratio)^2 for floats taken as exact, with an error of the square of a rounding."""
    p, p_low = _product(np.float64(ratio), x)
    q, q_low = _sum(np.float64(1.0), np.float64(-ratio))
    s, s_low = _sum(p, q)
    s_low = s_low + p_low + q_low
    s, s_low = _sum(s, s_low)
    square, square_low = _product(s, s)
    high, high_low = _sum(4 * p, -square)
    return np.asarray(high + (high_low + (4 * p_low - square_low - 2 * s * s_low - s_low**2)))


def _sum(x: Any, y: Any) -> tuple[Any, Any]:
    """x + y as an unevaluated sum of two floats (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _product(x: Any, y: Any) -> tuple[Any, Any]:
    """x y as an unevaluated sum of two floats (Dekker)."""
    total = x * y
    (xh, xl), (yh, yl) = _halves(x), _halves(y)
    return total, ((xh * yh - total) + xh * yl + xl * yh) + xl * yl


def _halves(x: Any) -> tuple[Any, Any]:
    wide = 134217729.0 * x  # 2^27 + 1
    high = wide - (wide - x)
    return high, x - high


@lru_cache(maxsize=512)
def _moment(k: int, ratio: Expr) -> Expr:
    """The resolvent M(s) = sum of m_k s^k obeys M = 1 + s M (1 - (1 - M)/ratio); compare powers of s."""
    moments: list[Expr] = [S.One]
    for n in range(k):
        pairs = Add(*(moments[i] * moments[n - i] for i in range(n + 1)))
        moments.append(expand((1 - 1 / ratio) * moments[n] + pairs / ratio))
    return moments[k]


@lru_cache(maxsize=512)
def _inverse_moment(k: int, ratio: Expr) -> Expr:
    """g(z) = sum of <c^-(n+1)> z^n obeys z g^2 + (ratio z + 1 - ratio) g + ratio = 0; compare powers of z."""
    found: list[Expr] = [ratio / (ratio - 1)]
    for n in range(1, k):
        pairs = Add(*(found[i] * found[n - 1 - i] for i in range(n)))
        found.append(cancel(together((ratio * found[n - 1] + pairs) / (ratio - 1))))
    return found[k - 1]
