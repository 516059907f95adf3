"""R- and S-transforms of a spectral law as algebraic functions with their power series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
from sympy import Expr, Poly, Symbol, roots

__all__ = ["Transform"]


@dataclass(frozen=True)
class Transform:
    """A function f(x) near x = 0, given by a polynomial equation and the power series that picks its branch.

    Attributes: name ("R" or "S"), polynomial (in f and x, irreducible), series (a function: number of coefficients ->
    the exact coefficients of 1, x, x^2, ...).
    """

    name: str
    polynomial: Poly
    series: Callable[[int], tuple[Expr, ...]]

    @property
    def value(self) -> Symbol:
        """The symbol of f in the polynomial."""
        return self.polynomial.gens[0]

    @property
    def argument(self) -> Symbol:
        """The symbol of x in the polynomial."""
        return self.polynomial.gens[1]

    @property
    def closed_form(self) -> Expr | None:
        """f(x) in radicals where its equation is of degree one or two, else None.

        Of two roots the one that agrees with the series near zero is taken.
        """
        f, x = self.value, self.argument
        poly = Poly(self.polynomial.as_expr(), f)
        if poly.degree() > 2:
            return None
        found = list(roots(poly))
        if len(found) == 1:
            return found[0]
        others = sorted(self.polynomial.as_expr().free_symbols - {f, x}, key=str)
        point = {s: mpmath.mpf(3 + 2 * k) / 7 for k, s in enumerate(others)}
        with mpmath.workdps(40):
            at = mpmath.mpf(10) ** -8
            near = sum(_at(c, point) * at**k for k, c in enumerate(self.series(4)))
            return min(found, key=lambda r: abs(_at(r, {**point, x: at}) - near))


def _at(expr: Expr, point: dict[Symbol, Any]) -> Any:
    return mpmath.mpmathify(expr.evalf(40, subs=point))
