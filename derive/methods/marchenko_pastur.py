"""The Marchenko-Pastur law: from the cavity equations of its resolvent to density, moments and transforms.

C = F F^T / D with F an N x D matrix of independent N(0, 1), ratio = D / N kept fixed.  Everything is written through
one quantity, the response V(b) in (0, 1): the mean posterior variance of a latent variable that is seen through F with
precision b.  `derivation` reaches all formulas of this module from two cited equations for V, for ratios below, at and
above 1; `SpectralLaw` holds the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import (
    Add,
    And,
    Derivative,
    Eq,
    Expr,
    Function,
    Gt,
    Interval,
    Le,
    Max,
    Piecewise,
    Rational,
    S,
    Subs,
    Symbol,
    cancel,
    diff,
    expand,
    factorial,
    log,
    oo,
    pi,
    sqrt,
    together,
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
                given=str(self.ratio),
                allowed="ratio > 1",
                nearest="moments of order >= 0",
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
                f"numbers are asked of the Marchenko-Pastur law with ratio {self.ratio}",
                given=str(self.ratio),
                allowed="a ratio that is a number",
                nearest="SpectralLaw(Rational(1, 2))",
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


# ---- derivation

#: any bounded spectrum; the derivation knows of it what the two cited equations say, and nothing else
_ANY = Density(Function("mu", nonnegative=True)(C), C, 0, Symbol("c_max", positive=True))
_X = Symbol("x", positive=True)
_Y = Symbol("y", positive=True)
_Z = Symbol("z", complex=True)
_G = Symbol("g")
_Q = Symbol("q", positive=True)
_DENSITY = Function("rho", real=True)
_STIELTJES = Function("g")
_RESOLVENT = Function("eta", positive=True)
_SHANNON = Function("S", positive=True)
_RUNNING = Function("V", positive=True)


def _mean(body: Expr) -> Expr:
    return SpectralAverage(body, C, _ANY)


def derivation(ratio: Expr = ALPHA_D) -> Derivation:
    """The Marchenko-Pastur law from two cited equations for its response, for any ratio > 0.

    Args: ratio (a positive symbol or number; parts that hold on one side of ratio 1 are left out where a number says
    that they do not apply).

    The spectrum stands as an undefined law until the end: no closed form of an average is looked up on the way.

    Labels: "mp-trace", "mp-cavity" (the cited equations), "mp-root" (V is the only root in (0, 1)), "mp-loss",
    "mp-resolvent", "mp-stieltjes", "mp-discriminant", "mp-density", "mp-atom-*", "mp-moment-*", "mp-shannon",
    "mp-tulino-verdu", "mp-square-loss"; the steps "mp-node-*" say that the nodes' closed forms are what was derived.
    """
    law = SpectralLaw(ratio)
    domain = Domain(((B, _HALF_LINE), (RESPONSE, Interval.open(0, 1))))
    if law.ratio.is_Symbol:
        domain = domain | Domain(((law.ratio, _HALF_LINE),))
    parts = (_response_steps, _stieltjes_steps, _density_steps, _atom_steps, _moment_steps, _shannon_steps, _node_steps)
    steps = tuple(step for part in parts for step in part(law, domain))
    return Derivation("marchenko-pastur", f"The Marchenko-Pastur law at ratio {law.ratio}", steps)


_HALF_LINE = Interval.open(0, oo)


def _step(label: str, claim: Any, rule: str, premises: str, domain: Domain, text: str, *hints: tuple[str, Any]) -> Step:
    needed = tuple(f"mp-{name}" for name in premises.split())
    return Step(f"mp-{label}", claim, rule, needed, domain, SOURCE, text, hints)


def _response_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """From the cited equations to V(b) and the averages of poles."""
    r, V, W = law.ratio, RESPONSE, law.response(B)
    loss, resolvent = _mean(B * C / (1 + B * C)), _mean(1 / (1 + B * C))
    square = _mean(C / (1 + B * C) ** 2)
    running = _RUNNING(B)
    in_b, in_v = (diff(law.response_polynomial(V, B), s) for s in (B, V))
    return (
        _step(
            "matrix",
            "C = F F^T / D, F an N x D matrix of independent N(0, 1), N and D large at D/N = ratio; its "
            "spectrum is self-averaging.  V = Tr (1 + b F^T F / D)^-1 / D.",
            "assumption",
            "",
            domain,
            "what the law is the limit of",
        ),
        _step(
            "trace",
            Eq(loss, r * (1 - V)),
            "theorem",
            "matrix",
            domain,
            "F F^T and F^T F have the same non-zero eigenvalues: both sides are Tr b C (1 + b C)^-1 / N",
        ),
        _step(
            "cavity",
            Eq(loss, B * V / (1 + B * V)),
            "theorem",
            "matrix",
            domain,
            "Marchenko and Pastur: one row of F sees the others through V only (Sherman-Morrison)",
        ),
        _step(
            "closed",
            Eq(B * V / (1 + B * V), r * (1 - V)),
            "rearrange",
            "trace cavity",
            domain,
            "the self-consistent equation of the response",
        ),
        _step(
            "root",
            UniqueRoot(r * (1 - V) - B * V / (1 + B * V), V, Interval.open(0, 1), -1),
            "monotone-root",
            "",
            domain,
            "it falls strictly, from ratio at V = 0 to -b/(1 + b) at V = 1: one root",
        ),
        _step(
            "quadratic", Eq(law.response_polynomial(V, B), 0), "rearrange", "closed", domain, "the same as a polynomial"
        ),
        _step(
            "explicit",
            Eq(V, law.response_explicit(B)),
            "solve",
            "quadratic",
            domain,
            "the positive root: the product of the two is -1/b",
        ),
        _step("response", Eq(V, W), "definition", "root quadratic", domain, "the name of that root"),
        _step(
            "implicit",
            Eq(
                Derivative(law.response_polynomial(running, B), B),
                in_b.subs(V, running) + in_v.subs(V, running) * Derivative(running, B),
            ),
            "differentiate",
            "",
            domain,
            "the polynomial differentiated along V(b)",
        ),
        _step(
            "response-slope",
            Eq(in_b.subs(V, W) + in_v.subs(V, W) * law.response_slope(B), 0),
            "identity",
            "",
            domain,
            "the slope of the response makes it vanish",
        ),
        _step(
            "loss",
            Eq(loss, law.loss(B)),
            "substitute",
            "trace",
            domain,
            "the response in the first equation",
            ("symbol", V),
            ("value", W),
        ),
        _step(
            "loss-pole",
            Eq(loss, B * W / (1 + B * W)),
            "substitute",
            "cavity",
            domain,
            "and in the second",
            ("symbol", V),
            ("value", W),
        ),
        _step("pole", Eq(_mean(C / (1 + B * C)), W / (1 + B * W)), "rearrange", "loss-pole", domain, "divided by b"),
        _step("complement", Eq(resolvent, 1 - loss), "identity", "", domain, "averages are linear"),
        _step(
            "resolvent",
            Eq(resolvent, law.resolvent(B)),
            "identity",
            "complement loss-pole",
            domain,
            "the resolvent on the negative axis",
        ),
        _step("eta", Eq(_RESOLVENT(B), resolvent), "definition", "", domain, "its name"),
        _step("eta-value", Eq(_RESOLVENT(B), law.resolvent(B)), "identity", "eta resolvent", domain, "its value"),
        _step(
            "eta-slope",
            Eq(Derivative(_RESOLVENT(B), B), -square),
            "differentiate",
            "eta",
            domain,
            "its slope is an average of a pole of second order",
        ),
        _step(
            "eta-value-slope",
            Eq(Derivative(_RESOLVENT(B), B), -law.square_loss(B)),
            "differentiate",
            "eta-value",
            domain,
            "and is known",
        ),
        _step(
            "square-loss",
            Eq(square, law.square_loss(B)),
            "rearrange",
            "eta-slope eta-value-slope",
            domain,
            "the pole of second order",
        ),
    )


def _stieltjes_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """The transform on the negative axis, where a sign picks the root, then off the bulk."""
    r, y = law.ratio, _Y
    shift = 1 - r - r * y
    root = (shift + sqrt(shift**2 + 4 * r * y)) / (2 * y)
    split = (shift + r * sqrt(y + law.lower) * sqrt(y + law.upper)) / (2 * y)
    imaginary = y / ((C - _X) ** 2 + y**2)
    axis = domain | Domain(((y, _HALF_LINE),))
    plane = axis | Domain(((_X, Interval(-oo, oo)), (C, Interval(0, oo))))
    return (
        _step(
            "axis",
            Eq(_STIELTJES(-1 / B), _mean(1 / (C + 1 / B))),
            "definition",
            "matrix",
            domain,
            "the Stieltjes transform g(z) = <1/(c - z)> on the negative axis, z = -1/b",
        ),
        _step(
            "axis-mean",
            Eq(_mean(1 / (C + 1 / B)), B * _mean(1 / (1 + B * C))),
            "identity",
            "",
            domain,
            "b 1/(1 + bc) = 1/(c + 1/b)",
        ),
        _step(
            "axis-value",
            Eq(_STIELTJES(-1 / B), B * law.resolvent(B)),
            "identity",
            "axis axis-mean resolvent",
            domain,
            "in terms of the response",
        ),
        _step(
            "axis-quadratic",
            Eq(law.stieltjes_polynomial(B * law.resolvent(B), -1 / B), 0),
            "identity",
            "",
            domain,
            "it is a root of z g^2 + (ratio z + 1 - ratio) g + ratio",
        ),
        _step(
            "axis-equation",
            Eq(law.stieltjes_polynomial(_STIELTJES(-1 / B), -1 / B), 0),
            "identity",
            "axis-value",
            domain,
            "which is the equation of g",
        ),
        _step(
            "axis-moved",
            Eq(law.stieltjes_polynomial(_STIELTJES(-y), -y), 0),
            "substitute",
            "axis-equation",
            axis,
            "at z = -y",
            ("symbol", B),
            ("value", 1 / y),
        ),
        _step(
            "axis-name",
            Eq(_STIELTJES(-y), _Q),
            "definition",
            "axis",
            axis,
            "q stands for g(-y) > 0, the average of the positive 1/(c + y)",
        ),
        _step(
            "axis-polynomial",
            Eq(law.stieltjes_polynomial(_Q, -y), 0),
            "rearrange",
            "axis-moved axis-name",
            axis,
            "a quadratic for q",
        ),
        _step(
            "axis-root",
            Eq(_Q, root),
            "solve",
            "axis-polynomial",
            axis,
            "g > 0 there, and the product of the two roots is negative: the positive one",
        ),
        _step(
            "axis-edges",
            Eq(shift**2 + 4 * r * y, r**2 * (y + law.lower) * (y + law.upper)),
            "identity",
            "",
            axis,
            "the discriminant in factors",
        ),
        _step("axis-split", Eq(_Q, split), "identity", "axis-root axis-edges", axis, "in separate square roots"),
        _step(
            "stieltjes",
            Eq(_STIELTJES(_Z), law.stieltjes(_Z)),
            "theorem",
            "axis-split",
            domain,
            "both sides are analytic off the bulk and the origin and agree on the negative axis, hence everywhere",
        ),
        _step(
            "herglotz",
            Gt(imaginary, 0),
            "positivity",
            "",
            plane,
            "Im 1/(c - z) for z = x + iy: Im g > 0 in the upper half plane",
        ),
        _step(
            "infinity",
            Le(C / (C + y), C / y),
            "positivity",
            "",
            plane,
            "|1 - y g(-y)| = <c/(c + y)> <= <c>/y: g ~ -1/z at infinity",
        ),
    )


def _density_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """Edges and density of the bulk."""
    r, x = law.ratio, _X
    shift = r * x + 1 - r
    real, height = -shift / (2 * x), r * sqrt((law.upper - x) * (x - law.lower)) / (2 * x)
    line = domain | Domain(((x, _HALF_LINE),))
    bulk = domain | Domain(((x, Interval.open(law.lower, law.upper)),))
    return (
        _step(
            "discriminant",
            Eq(shift**2 - 4 * r * x, r**2 * (x - law.lower) * (x - law.upper)),
            "identity",
            "",
            line,
            "the discriminant of the quadratic vanishes at the edges and is negative between them",
        ),
        _step("edges", Gt(law.upper - law.lower, 0), "positivity", "", domain, "the bulk is an interval"),
        _step(
            "conjugate-roots",
            Eq(x * ((_G - real) ** 2 + height**2), law.stieltjes_polynomial(_G, x)),
            "identity",
            "",
            bulk,
            "between them the two roots are complex conjugates",
        ),
        _step("height", Gt(height, 0), "positivity", "", bulk, "the one with positive imaginary part is g(x + i0)"),
        _step(
            "inversion",
            Eq(_DENSITY(x), _Q / pi),
            "theorem",
            "matrix",
            line,
            "Stieltjes and Perron: the density is Im g(x + i0)/pi; q stands for Im g",
        ),
        _step(
            "density",
            Eq(_DENSITY(x), law.bulk(x)),
            "substitute",
            "inversion height",
            bulk,
            "the density of the bulk",
            ("symbol", _Q),
            ("value", height),
        ),
    )


def _atom_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """The weight of zero is <1/(1 + bc)> at b = oo; its distance from there is squeezed by a constant over b."""
    r, W = law.ratio, law.response(B)
    eta = law.resolvent(B)

    def side(low: Expr, high: Expr) -> Domain | None:
        if r.is_Symbol:
            return domain | Domain(((r, Interval.open(low, high)),))
        return domain if (r - low).is_extended_positive and (high - r).is_extended_positive else None

    below, above = side(S.Zero, S.One), side(S.One, oo)
    steps: list[Step] = []
    if below is not None:
        excess, bound = r * W, r**2 / (B * (1 - r))
        left = r**2 * W * (1 + B * W) / (B * (1 - r))
        steps += [
            _step(
                "atom-below", Eq(eta, 1 - r + excess), "identity", "", below, "for ratio < 1: what exceeds 1 - ratio"
            ),
            _step(
                "atom-below-room", Eq(bound - excess, left), "identity", "", below, "and how far it is from its bound"
            ),
            _step(
                "atom-below-bound",
                Gt(left, 0),
                "positivity",
                "",
                below,
                "0 < <1/(1 + bc)> - (1 - ratio) < ratio^2/(b (1 - ratio)): the atom has weight 1 - ratio",
            ),
        ]
    if (r - 1).is_zero or r.is_Symbol:
        V = law.response(B).subs(r, 1)
        steps += [
            _step(
                "atom-at-room", Eq(1 / B - V**2, V / B), "identity", "", domain, "for ratio 1, where <1/(1 + bc)> = V"
            ),
            _step(
                "atom-at-bound", Gt(V / B, 0), "positivity", "", domain, "0 < <1/(1 + bc)>^2 < 1/b: there is no atom"
            ),
        ]
    if above is not None:
        bound, left = r / (B * (r - 1)), r / (B * (r - 1) * W * (1 + B * W))
        steps += [
            _step("atom-above-room", Eq(bound - eta, left), "identity", "", above, "for ratio > 1"),
            _step(
                "atom-above-bound",
                Gt(left, 0),
                "positivity",
                "",
                above,
                "0 < <1/(1 + bc)> < ratio/(b (ratio - 1)): there is no atom",
            ),
        ]
    return tuple(steps)


def _moment_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """Moments from <1/(1 + bc)>, the sum of (-b)^k <c^k>."""
    eta = _RESOLVENT(B)
    steps = [
        _step(
            "moment-recursion",
            Eq(eta, 1 - B * eta * (1 - (1 - eta) / law.ratio)),
            "identity",
            "eta-value",
            domain,
            "compare powers of b: a recursion for the moments of any order",
        ),
    ]
    for k in range(1, 5):
        claim = Eq(_series(k), law.moment(k))
        steps.append(
            _step(f"moment-{k}", claim, "differentiate", "eta-value", domain, f"<c^{k}>, from slopes at b = 0")
        )
    return tuple(steps)


def _series(k: int) -> Expr:
    """<c^k> as a slope of eta at b = 0."""
    return Rational((-1) ** k, factorial(k)) * Subs(Derivative(_RESOLVENT(B), (B, k)), B, 0)


def _shannon_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """The Shannon transform by integrating the pole, and its form in square roots."""
    r, V, W = law.ratio, RESPONSE, law.response(B)
    transform, closed = _mean(log(1 + B * C)), law.shannon(B)
    h = B * (1 - W)
    in_h = r * log(1 + B / r - h) + log(1 + B - h) - r * h / B
    return (
        _step(
            "shannon-slope",
            Eq(Derivative(transform, B), _mean(C / (1 + B * C))),
            "differentiate",
            "",
            domain,
            "the slope of the Shannon transform is the pole",
        ),
        _step(
            "shannon-candidate",
            Eq(Derivative(closed, B), W / (1 + B * W)),
            "differentiate",
            "",
            domain,
            "and this function of the response has that slope",
        ),
        _step("shannon-zero", Eq(Subs(transform - closed, B, 0), 0), "identity", "", domain, "both vanish at b = 0"),
        _step(
            "shannon",
            Eq(transform, closed),
            "primitive",
            "pole shannon-slope shannon-candidate shannon-zero",
            domain,
            "hence they are the same",
            ("symbol", B),
            ("at", S.Zero),
        ),
        _step("shannon-name", Eq(_SHANNON(B), transform), "definition", "", domain, "its name"),
        _step("shannon-value", Eq(_SHANNON(B), closed), "identity", "shannon-name shannon", domain, "its value"),
        _step("reciprocal", Eq(1 / W, 1 + B / r - h), "identity", "", domain, "with h = b (1 - V)"),
        _step("shannon-spread", Eq(closed, in_h), "identity", "", domain, "the transform through h"),
        _step(
            "response-edges",
            Eq(law._linear(B) ** 2 + 4 * r**2 * B, r**2 * (1 + B * law.lower) * (1 + B * law.upper)),
            "identity",
            "",
            domain,
            "the discriminant of the response in terms of the edges",
        ),
        _step(
            "spread",
            Eq(V, 1 - law.spread(B) / B),
            "identity",
            "explicit response-edges",
            domain,
            "h in terms of the edges",
        ),
        _step(
            "spread-response",
            Eq(W, 1 - law.spread(B) / B),
            "substitute",
            "spread",
            domain,
            "for the response itself",
            ("symbol", V),
            ("value", W),
        ),
        _step(
            "tulino-verdu",
            Eq(transform, law.shannon_explicit(B)),
            "identity",
            "shannon shannon-spread spread-response",
            domain,
            "Tulino and Verdu: the Shannon transform in square roots",
        ),
    )


def _node_steps(law: SpectralLaw, domain: Domain) -> tuple[Step, ...]:
    """What the nodes answer over the law itself, against what was derived here."""
    eta = _RESOLVENT(B)
    pairs = (
        ("resolvent", 1 / (1 + B * C), eta, "eta-value"),
        ("loss", B * C / (1 + B * C), 1 - eta, "eta-value"),
        ("square-loss", C / (1 + B * C) ** 2, -Derivative(eta, B), "eta-value"),
        ("moment-4", C**4, _series(4), "eta-value"),
        ("shannon", log(1 + B * C), _SHANNON(B), "shannon-value"),
    )
    text = "averages over the law evaluate to what was derived"
    return tuple(
        _step(f"node-{name}", Eq(law.average(body), value), "evaluate", premise, domain, text)
        for name, body, value, premise in pairs
    )
