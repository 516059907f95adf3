"""Where bulks merge and split as a parameter of a law moves.

Edges are roots in z of the discriminant D(z, p) of the equation.  As p moves they can meet, or run off to infinity,
only at roots of the discriminant of D in z, of the resultants of its factors and of its leading coefficients: finitely
many values of p, which are isolated exactly.  Between two of them the number of bulks is constant and is counted at one
rational point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from flint import fmpq
from sympy import Expr, Poly, Symbol

from derive.core import DeriveError
from derive.methods.spectra.exact import Sparse, as_rational, coefficients, factors, from_sympy, number, univariate
from derive.methods.spectra.law import AlgebraicLaw
from derive.methods.spectra.sheet import Critical, isolate

__all__ = ["Transition", "transitions"]


@dataclass(frozen=True)
class Transition:
    """A value of a parameter at which the number of bulks changes.

    Attributes: parameter, point (a root of an irreducible polynomial, isolated), below and above (the number of bulks
    on either side).
    """

    parameter: Symbol
    point: Critical
    below: int
    above: int

    def __float__(self) -> float:
        return float(self.point.at(96).mid())

    @property
    def kind(self) -> str:
        """What happens as the parameter grows: "merging" or "splitting"."""
        return "merging" if self.above < self.below else "splitting"

    @property
    def polynomial(self) -> Poly:
        """The irreducible polynomial in the parameter that has the value as a root."""
        return Poly(list(reversed(self.point.factor)), self.parameter)

    @property
    def expression(self) -> Expr:
        """The value as a number of SymPy."""
        middle = as_rational((self.point.low + self.point.high) / 2)
        return min(self.polynomial.real_roots(), key=lambda r: abs(r.evalf(50) - middle))


def transitions(law: AlgebraicLaw, parameter: Symbol, low: Any, high: Any) -> tuple[Transition, ...]:
    """Values of the only parameter of a law in (low, high) at which bulks merge or split.

    Raises: DeriveError for a law with other parameters too, or an empty range.

    >>> w = Symbol("w", positive=True)
    >>> coin = AlgebraicLaw.of_atoms({-1: 0.5, 1: 0.5})
    >>> [(t.expression, t.kind) for t in transitions(coin.free_add(AlgebraicLaw.semicircle(w)), w, 0, 3)]
    [(1, 'merging')]
    """
    if law.parameters != {parameter}:
        names = ", ".join(sorted(map(str, law.parameters))) or "no parameters"
        raise DeriveError(
            f"the bulks of a law with {names} are followed in {parameter}", given=names, allowed=f"{parameter} alone",
            nearest="subs",
        )  # fmt: skip
    first, last = number(low, "the lower end"), number(high, "the upper end")
    if not (first.is_Rational and last.is_Rational and first < last):
        raise DeriveError(f"the range {low}:{high} is empty", given=f"{low}:{high}", allowed="low < high")
    ends = fmpq(int(first.p), int(first.q)), fmpq(int(last.p), int(last.q))
    found, _, _ = isolate(sorted({tuple(int(c) for c in univariate(f, 2).coeffs()) for f in _meetings(law)}))
    inside = [c for c in found if ends[0] < c.low and c.high < ends[1]]
    walls = [ends[0], *(e for c in inside for e in (c.low, c.high)), ends[1]]
    samples = [as_rational(_simple(a, b)) for a, b in zip(walls[::2], walls[1::2], strict=True)]
    counts = [len(law.subs({parameter: value}).bulks()) for value in samples]
    return tuple(
        Transition(parameter, c, below, above)
        for c, (below, above) in zip(inside, pairwise(counts), strict=True)
        if below != above
    )


def _meetings(law: AlgebraicLaw) -> Iterable[Sparse]:
    """Irreducible polynomials in the parameter at whose roots critical points may meet or run away."""
    poly = from_sympy(law.polynomial)
    curves: list[Sparse] = []
    for source in (coefficients(poly, 0)[-1], poly.discriminant(0)):
        for factor in factors(source):
            if factor not in curves:
                curves.append(factor)
    moving = [c for c in curves if c.degrees()[1]]
    still = [c for c in curves if not c.degrees()[1]]
    sources = [coefficients(c, 1)[-1] for c in moving]
    sources += [c.discriminant(1) for c in moving if c.degrees()[1] > 1]
    sources += [a.resultant(b, 1) for a, b in combinations(moving, 2)]
    for source in (*still, *sources):
        if not source.is_constant():
            yield from factors(source)


def _simple(low: fmpq, high: fmpq) -> fmpq:
    """A rational number with a small denominator strictly between two others."""
    denominator = 1
    while True:
        numerator = (low * denominator).floor() + 1
        if fmpq(numerator, denominator) < high:
            return fmpq(numerator, denominator)
        denominator *= 2
