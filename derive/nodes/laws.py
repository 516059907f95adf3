"""Laws that can be averaged over: of a pattern entry, of a posterior, of an eigenvalue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Add, Basic, Expr, Float, Symbol, Tuple, exp, oo, pi, sqrt

from derive.core import DeriveError
from derive.nodes.binders import Binder, as_expr, as_symbol, canonical

__all__ = ["Atoms", "Density", "Law", "MarchenkoPastur", "Noisy", "Normal"]

REAL: Mapping[str, bool] = {"real": True}


def support_assumptions(lower: Expr) -> Mapping[str, bool]:
    """What is known of almost every point above `lower`."""
    return {"positive": True} if lower.is_nonnegative else REAL


class Law(Basic):  # type: ignore[misc]
    """A probability law on the real line."""

    @property
    def point_assumptions(self) -> Mapping[str, bool]:
        """Assumptions that hold for (almost) every point of the law."""
        return REAL

    def depends_on(self, symbol: Symbol) -> bool:
        """Whether the law itself changes with a free symbol."""
        return symbol in self.free_symbols


class Normal(Law):
    """The standard normal law N(0, 1)."""

    def __new__(cls) -> Normal:
        return Basic.__new__(cls)  # type: ignore[no-any-return]

    def density(self, at: Expr) -> Expr:
        """exp(-x^2/2)/sqrt(2 pi) at a point."""
        return exp(-(at**2) / 2) / sqrt(2 * pi)

    lower = property(lambda self: -oo)
    upper = property(lambda self: oo)

    def _latex(self, printer: Any) -> str:
        return r"\mathcal{N}(0, 1)"


class Density(Binder, Law):
    """A law with a density on an interval.

    Arguments: pdf (expression in var, normalised to one on the support), var (bound), lower and upper end of the
    support.  The density is kept as given; whether it is normalised is not checked here.

    >>> from sympy.abc import x, y
    >>> Density(x/2, x, 0, 2) == Density(y/2, y, 0, 2)
    True
    """

    letter = "xi"
    names = ("xi", "eta", "zeta")

    def __new__(cls, pdf: Any, var: Any, lower: Any = -oo, upper: Any = oo) -> Density:
        pdf, lower, upper = (as_expr(v, "the density or its support") for v in (pdf, lower, upper))
        symbol = as_symbol(var, "the variable of a density")
        if (upper - lower).is_nonpositive:
            raise DeriveError(
                f"the support {lower}:{upper} of a density is empty", given=f"{lower}:{upper}", allowed="lower < upper"
            )
        (body,), (bound,) = canonical([pdf], [symbol], cls.letter, support_assumptions(lower))
        return Basic.__new__(cls, body, bound, lower, upper)  # type: ignore[no-any-return]

    pdf = property(lambda self: self.args[0])
    var = property(lambda self: self.args[1])
    lower = property(lambda self: self.args[2])
    upper = property(lambda self: self.args[3])

    @property
    def point_assumptions(self) -> Mapping[str, bool]:
        return support_assumptions(self.lower)

    def density(self, at: Expr) -> Expr:
        """The density at a point of the support."""
        (variable,), (pdf,) = self.open()
        return pdf.subs(variable, at)

    def _latex(self, printer: Any) -> str:
        (pdf,), (var,) = self.displayed()
        low, high = printer._print(self.lower), printer._print(self.upper)
        return rf"{printer._print(pdf)},\; {printer._print(var)} \in \left[{low}, {high}\right]"


class Atoms(Law):
    """A law on finitely many points.

    Arguments: points and weights, sequences of one length; exact weights must sum to one.  Equal points are joined and
    points of weight zero dropped; the order does not matter.

    Raises: DeriveError for different lengths, a negative weight, weights that do not sum to one.

    >>> from sympy import Rational
    >>> Atoms([1, -1], [Rational(1, 2), Rational(1, 2)]).points
    (-1, 1)
    """

    def __new__(cls, points: Any, weights: Any) -> Atoms:
        pairs = _paired(points, weights)
        joined: dict[Expr, Expr] = {}
        for point, weight in pairs:
            joined[point] = joined.get(point, 0) + weight
        kept = sorted(((p, w) for p, w in joined.items() if w != 0), key=lambda pw: pw[0].sort_key())
        if any(w.is_negative for _, w in kept):
            raise DeriveError("a weight of the atoms is negative", given=str(pairs), allowed="weights >= 0")
        total = Add(*(w for _, w in kept))
        if _surely_not_zero(total - 1):
            raise DeriveError(
                f"the weights of the atoms sum to {total}, not 1", given=str(total), allowed="weights that sum to 1"
            )
        return Basic.__new__(cls, Tuple(*(p for p, _ in kept)), Tuple(*(w for _, w in kept)))  # type: ignore[no-any-return]

    points = property(lambda self: self.args[0])
    weights = property(lambda self: self.args[1])

    @property
    def point_assumptions(self) -> Mapping[str, bool]:
        if all(p.is_positive for p in self.points):
            return {"positive": True}
        return {"nonnegative": True} if all(p.is_nonnegative for p in self.points) else REAL

    def _latex(self, printer: Any) -> str:
        terms = (
            rf"{printer.parenthesize(w, 60)}\,\delta_{{{printer._print(p)}}}"
            for p, w in zip(self.points, self.weights, strict=True)
        )
        return " + ".join(terms)


def _surely_not_zero(excess: Expr) -> bool:
    """Whether weights miss one: exactly for exact numbers, beyond rounding for floats."""
    if excess.is_number and excess.has(Float):
        return bool(abs(excess) > 1e-12)
    return bool(excess.is_zero is False)


def _paired(points: Sequence[Any], weights: Sequence[Any]) -> list[tuple[Expr, Expr]]:
    given = [as_expr(p, "an atom") for p in points], [as_expr(w, "a weight") for w in weights]
    if len(given[0]) != len(given[1]) or not given[0]:
        raise DeriveError(
            f"{len(given[0])} atoms and {len(given[1])} weights are given",
            allowed="as many weights as atoms, at least one",
        )
    return list(zip(*given, strict=True))


class Noisy(Law):
    """The law of base + sqrt(s) w with w ~ N(0, 1) independent.

    Arguments: base (a law), s (variance of the noise, non-negative).
    """

    def __new__(cls, base: Any, s: Any) -> Law:
        if not isinstance(base, Law):
            raise DeriveError(f"noise is added to a law, not to {base}", given=str(base), allowed="a law")
        variance = as_expr(s, "the variance of the noise")
        if variance.is_negative:
            raise DeriveError(f"the variance of the noise is {variance}", given=str(variance), allowed="s >= 0")
        if variance == 0:
            return base
        if isinstance(base, Noisy):
            return Noisy(base.base, base.s + variance)
        return Basic.__new__(cls, base, variance)  # type: ignore[no-any-return]

    base = property(lambda self: self.args[0])
    s = property(lambda self: self.args[1])

    def _latex(self, printer: Any) -> str:
        base = printer._print(self.base)
        return rf"{base} * \mathcal{{N}}\left(0, {printer._print(self.s)}\right)"


class MarchenkoPastur(Law):
    """The limiting spectrum of C = F F^T / D, F an N x D matrix of independent N(0, 1), ratio = D / N.

    min(D, N) of the N eigenvalues fill [lower, upper] = (1 -+ sqrt(ratio))^2 / ratio, the rest is zero.
    """

    def __new__(cls, ratio: Any) -> MarchenkoPastur:
        value = as_expr(ratio, "the ratio of a Marchenko-Pastur law")
        if value.is_nonpositive or value.is_real is False:
            raise DeriveError(f"the ratio of a Marchenko-Pastur law is {value}", given=str(value), allowed="ratio > 0")
        return Basic.__new__(cls, value)  # type: ignore[no-any-return]

    ratio = property(lambda self: self.args[0])

    @property
    def point_assumptions(self) -> Mapping[str, bool]:
        return {"positive": True} if (self.ratio - 1).is_positive else {"nonnegative": True}

    @property
    def lower(self) -> Expr:
        """Lower edge of the bulk."""
        return (1 - sqrt(self.ratio)) ** 2 / self.ratio

    @property
    def upper(self) -> Expr:
        """Upper edge of the bulk."""
        return (1 + sqrt(self.ratio)) ** 2 / self.ratio

    @property
    def atom(self) -> Expr:
        """Weight of the eigenvalue zero."""
        from sympy import Max

        return Max(0, 1 - self.ratio)

    def density(self, at: Expr) -> Expr:
        """Density of the bulk at a point inside it; it integrates to min(1, ratio)."""
        return self.ratio * sqrt((self.upper - at) * (at - self.lower)) / (2 * pi * at)

    def _latex(self, printer: Any) -> str:
        return rf"\mathrm{{MP}}_{{{printer._print(self.ratio)}}}"
