"""Free convolution of spectral laws, by elimination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flint import arb
from sympy import Expr, Poly, Rational, Symbol

from derive.core import DeriveError
from derive.ledger.balls import precision
from derive.methods.spectra import series
from derive.methods.spectra.exact import (
    Sparse,
    factors,
    from_sympy,
    integer_polynomial,
    normal,
    ordered,
    primitive_part,
    pull_back,
    ring,
    to_sympy,
)
from derive.methods.spectra.law import BALL_BITS, HEAD, AlgebraicLaw, G, Z, apart, head_of
from derive.methods.spectra.sheet import NoSheet

__all__ = ["free_product", "free_sum"]

_ORDERS = (6, 12, 24, 48)  # of the series with which a factor is told from the others
_LARGEST_DEGREE = 40  # in g, of what an elimination may lead to


def free_sum(a: AlgebraicLaw, b: AlgebraicLaw) -> AlgebraicLaw:
    """The law of the sum of free variables: z(g) = z_a(g) + z_b(g) + 1/g, by elimination.

    Of the factors of the resultant the one is taken that has the moments of the sum of the free cumulants.
    """
    symbols = (G, Z, *ordered(a.parameters | b.parameters))
    inner = ring(("u", *map(str, symbols)))
    u, g, z = inner.gens()[:3]
    embed = _embedding(symbols)
    one = inner.constant(1)
    first = pull_back(from_sympy(a.polynomial), inner, {1: (u, one)}, embed(a))
    second = pull_back(from_sympy(b.polynomial), inner, {1: ((z - u) * g - 1, g)}, embed(b))
    poly = _eliminated(first, second, symbols)

    def expected(n: int) -> list[Any]:
        x, y = (series.cumulants_from_moments(m) for m in _common(a, b, n, _sample(symbols)))
        return series.moments_from_cumulants([x[0], *(p + q for p, q in zip(x[1:], y[1:], strict=True))])

    return replace(_selected(poly, expected), recipe=(free_sum, (a, b)))


def free_product(a: AlgebraicLaw, b: AlgebraicLaw) -> AlgebraicLaw:
    """The law of the product of free variables, one of them >= 0: with y = -1 - z g, z(y) = z_a(y) z_b(y) y/(1 + y)."""
    symbols = (G, Z, *ordered(a.parameters | b.parameters))
    if all(law.is_numeric and law.support()[0] < 0 for law in (a, b)):
        raise DeriveError(
            "both factors of a free product reach below zero", given=f"{a.support()}, {b.support()}",
            allowed="at least one law on c >= 0", nearest="free_add",
        )  # fmt: skip
    inner = ring(("u", *map(str, symbols)))
    u, g, z = inner.gens()[:3]
    embed = _embedding(symbols)
    one = inner.constant(1)
    y = -(one + z * g)
    # y and z in place: g_a = -(1 + y)/z_a with z_a = u, z_b = z (1 + y)/(y u)
    rise = one + y
    first = pull_back(from_sympy(a.polynomial), inner, {0: (-rise, u), 1: (u, one)}, embed(a))
    second = pull_back(
        from_sympy(b.polynomial), inner, {0: (-(y * u), z), 1: (z * rise, y * u)}, embed(b)
    )
    poly = _eliminated(first, second, symbols)

    def expected(n: int) -> list[Any]:
        return series.free_product_moments(*_common(a, b, n, _sample(symbols)))

    return replace(_selected(poly, expected), recipe=(free_product, (a, b)))


def _embedding(symbols: Sequence[Symbol]) -> Callable[[AlgebraicLaw], list[int]]:
    return lambda law: [1 + symbols.index(s) for s in law.polynomial.gens]


def _eliminated(first: Sparse, second: Sparse, symbols: Sequence[Symbol]) -> list[Poly]:
    """The factors of the resultant in the first variable of the ring."""
    first, second = (_without_powers(primitive_part(f, 0)) for f in (first, second))
    degree = int(first.degrees()[0]) * int(second.degrees()[1]) + int(second.degrees()[0]) * int(first.degrees()[1])
    if degree > _LARGEST_DEGREE:
        raise DeriveError(
            f"the free convolution would be an equation of degree up to {degree}", given=str(degree),
            allowed=f"at most {_LARGEST_DEGREE}",
        )  # fmt: skip
    eliminated = first.resultant(second, 0)
    names = ring([str(s) for s in symbols])
    moved = names.from_dict({tuple(e)[1:]: v for e, v in eliminated.to_dict().items()})
    return [to_sympy(f, symbols) for f in factors(moved)]


def _selected(candidates: Sequence[Poly], expected: Callable[[int], list[Any]]) -> AlgebraicLaw:
    """The law of the one factor on which the series of the expected moments lies.

    A factor that misses the series at some order is refuted; the orders grow until one is left.
    """
    kept = [c for c in candidates if c.degree(G) > 0]
    values = _sample(kept[0].gens) if kept else {}
    moments: list[Any] = []
    with precision(BALL_BITS):
        for order in _ORDERS:
            moments = expected(order)
            kept = [c for c in kept if series.satisfies(_at_sample(c, values), moments)]
            if len(kept) <= 1:
                break
    if len(kept) != 1:
        raise NoSheet("no factor of it has the moments of the law" if not kept else "two factors have the same moments")
    law = AlgebraicLaw(normal(kept[0]))
    if not law.is_numeric or len(law._branches) == 1:
        return law
    near = tuple(_float(m) for m in moments[:HEAD])
    return replace(law, head=min((head_of(b) for b in law._branches), key=lambda h: apart(h, near)))


def _common(a: AlgebraicLaw, b: AlgebraicLaw, n: int, values: Mapping[Symbol, Expr]) -> tuple[list[Any], list[Any]]:
    """The moments of two laws at sample values of the parameters: rational where both are, else balls."""
    first, second = (law.subs(values)._branch for law in (a, b))
    if first.is_rational and second.is_rational:
        return first.moments(n), second.moments(n)
    return first.balls(n, BALL_BITS), second.balls(n, BALL_BITS)


def _sample(symbols: Sequence[Symbol]) -> dict[Symbol, Expr]:
    """Values of the parameters at which factors are told apart: any will do that is not special."""
    return {s: Rational(31 + 17 * k, 97 + 6 * k) for k, s in enumerate(symbols[2:])}


def _at_sample(poly: Poly, values: Mapping[Symbol, Expr]) -> Poly:
    return integer_polynomial(poly.as_expr().xreplace(dict(values)), (G, Z)) if values else poly


def _without_powers(poly: Sparse) -> Sparse:
    """Without the powers of variables that all terms share."""
    return poly / poly.term_content()


def _float(value: Any) -> float:
    return float(value.mid()) if isinstance(value, arb) else float(value)
