"""One site of a squared-distance energy whose fields hardly differ: the activation by its derivatives at the query's.

At inverse variance b the patterns that count lie within b^(-1/2) of the query.  With

    V = r - q = kappa/b,   q - m^2 = pi/b,   1 - m = delta/b,   query noise of variance rho/b,

the field of a replica is u + b^(-1/2) y, y = sqrt(pi) v + sqrt(kappa) w - b^(-1/2) delta u, and sigma(u + b^(-1/2) y) -
sigma(u) is a Taylor series in b^(-1/2).  To lowest order the exponent is quadratic in w; what follows is averaged with
the Gaussian weight that is left.  The result, per site and before the average over u, is said in the derivatives
sigma_1 = sigma'(u), sigma_2, sigma_3 and holds for every activation that is smooth at u.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy as sp
from sympy import Expr, S, Symbol, oo

from derive.methods.asymptotics.dominance import NotExpandable
from derive.nodes import GaussianAverage, LogAverageExp, Normal
from derive.nodes.piece_forms import Piece, interval_of
from derive.nodes.products import NotClosed, cases

__all__ = [
    "DELTA", "FIELD", "KAPPA", "PI", "RHO", "SLOPES", "Local", "LocalAverage", "local_site", "smooth_pieces",
]

#: V, q - m^2, 1 - m and the query's noise, in units of 1/b
KAPPA, PI, DELTA = Symbol("kappa_V", positive=True), Symbol("pi_q", nonnegative=True), Symbol("delta_m", real=True)
RHO = Symbol("rho_s", nonnegative=True)
#: derivatives of the activation at the field u of the query
SLOPES = tuple(Symbol(f"sigma_{k}", real=True) for k in (1, 2, 3))
FIELD = Symbol("u", real=True)
_V, _Z, _W, _STEP = (Symbol(k, real=True) for k in ("v", "z", "w", "eta"))


@cache
def smooth_pieces(sigma: Expr) -> tuple[Piece, ...]:
    """The pieces of an activation, from left to right.

    Raises: NotExpandable where a kink is not at the zero of a straight line.

    >>> [(p.lower, p.upper, p.expr) for p in smooth_pieces(sp.Max(0, FIELD))]
    [(-oo, 0, 0), (0, oo, u)]
    """
    try:
        found = [(interval_of(lines), piece) for lines, piece in cases(sigma, FIELD)]
    except NotClosed:
        raise NotExpandable(
            f"the kinks of {sigma} are not at zeros of straight lines", given=str(sigma),
            allowed="kinks at a + b h = 0") from None
    pieces = [Piece(-oo if ends[0] is None else ends[0], oo if ends[1] is None else ends[1], piece)
              for ends, piece in found if ends is not None]
    return tuple(sorted(pieces, key=lambda p: p.lower))


class LocalAverage(Expr):  # type: ignore[misc]
    """E over the query's field u of an expression in `SLOPES`, for one activation: arguments body, sigma(u).

    What does not depend on the slopes is taken out.

    >>> LocalAverage(KAPPA * SLOPES[0] ** 2, FIELD**2).doit()
    4*kappa_V
    """

    is_commutative = True
    is_real = True

    def __new__(cls, body: Expr, sigma: Expr) -> Expr:
        outer, inner = sp.factor_terms(body).as_independent(*SLOPES, as_Add=False)
        if inner.free_symbols.isdisjoint(SLOPES):
            return outer * inner
        return outer * sp.Basic.__new__(cls, inner, sigma)

    @property
    def free_symbols(self) -> set[Symbol]:
        found: set[Symbol] = self.args[0].free_symbols - set(SLOPES)
        return found

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        return LocalAverage(self.args[0].diff(symbol), self.args[1])

    def doit(self, **hints: Any) -> Expr:
        """The same with the activation put in."""
        body, sigma = self.args
        total = S.Zero
        for piece in smooth_pieces(sigma):
            slopes = {k: piece.expr.diff(FIELD, i + 1) for i, k in enumerate(SLOPES)}
            total += GaussianAverage(piece.indicator(FIELD) * body.subs(slopes), FIELD).doit()
        return total


@dataclass(frozen=True)
class Local:
    """E log int Dw exp g over common field and noise: at b -> oo, and the coefficient of 1/b that follows.

    Functions of `KAPPA`, `PI`, `DELTA`, `RHO`, `SLOPES` and `FIELD`.
    """

    leading: Expr
    following: Expr


@cache
def local_site() -> Local:
    """The site's average to the order 1/b, for g = -b (x - xi)^2/2.

    >>> s = SLOPES[0]
    >>> sp.simplify(local_site().leading.subs({PI: 0, RHO: 0}) + sp.log(1 + KAPPA * s**2) / 2)
    0
    """
    parts = _exponent()
    level = LogAverageExp(parts[0], _W, Normal()).doit()
    mean, variance = _tilt(parts[0])
    first, square, second = (_gaussian_moment(e, mean, variance) for e in (parts[1], parts[1] ** 2, parts[2]))
    spread = second + (square - first**2) / 2
    return Local(sp.factor_terms(_over_noise(level)), sp.together(_over_noise(spread)))


def _over_noise(body: Expr) -> Expr:
    done: Expr = GaussianAverage(sp.expand(body), _V, _Z).doit()
    return done


def _exponent() -> tuple[Expr, Expr, Expr]:
    """The exponent in powers of b^(-1/2), the first three."""
    y = sp.sqrt(PI) * _V + sp.sqrt(KAPPA) * _W - _STEP * DELTA * FIELD
    change = sum((s * _STEP**k * y ** (k + 1) / sp.factorial(k + 1) for k, s in enumerate(SLOPES)), S.Zero)
    powers = sp.Poly(sp.expand(-((sp.sqrt(RHO) * _Z - change) ** 2) / 2), _STEP)
    zero, one, two = (powers.coeff_monomial(_STEP**k) for k in range(3))
    return zero, one, two


def _tilt(exponent: Expr) -> tuple[Expr, Expr]:
    """Mean and variance of w under exp of a quadratic form."""
    form = sp.Poly(exponent, _W)
    variance = 1 / (1 - 2 * form.coeff_monomial(_W**2))
    return sp.together(form.coeff_monomial(_W) * variance), sp.together(variance)


def _gaussian_moment(body: Expr, mean: Expr, variance: Expr) -> Expr:
    """The mean of a polynomial in w."""
    total = S.Zero
    for (k,), c in sp.Poly(body, _W).terms():
        moment = sum(
            (sp.binomial(k, 2 * j) * sp.factorial2(2 * j - 1) * variance**j * mean ** (k - 2 * j)
             for j in range(k // 2 + 1)), S.Zero)
        total += c * moment
    return total
