"""Exact polynomials behind spectral laws: numbers as the user gives them, and bivariate polynomials over the rationals.

The arithmetic that grows (resultants, discriminants, factors) is FLINT's; polynomials are SymPy's where they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from numbers import Real
from typing import Any

from flint import Ordering, fmpq_mpoly_ctx, fmpz_mpoly_ctx, fmpz_poly
from sympy import Expr, Integer, Poly, Rational, S, Symbol, fraction, sympify, together
from sympy.polys.polyerrors import BasePolynomialError

from derive.core import DeriveError

__all__ = [
    "Sparse",
    "as_rational",
    "coefficients",
    "factors",
    "from_sympy",
    "integer_pair",
    "integer_polynomial",
    "normal",
    "number",
    "ordered",
    "primitive_part",
    "pull_back",
    "ring",
    "to_sympy",
    "univariate",
]

Sparse = Any  # an fmpz_mpoly; the bindings carry no types


def number(value: Any, what: str) -> Expr:
    """A number or parameter as an exact expression; a float is the decimal fraction that it is written as.

    Raises: DeriveError for anything else, nan and infinity included.

    >>> number(0.1, "a variance")
    1/10
    """
    try:
        if isinstance(value, str) or (isinstance(value, Real) and not isinstance(value, (int, Rational))):
            return Rational(str(value)) if not isinstance(value, str) else Rational(value)
        expr = sympify(value, strict=True)
    except (TypeError, ValueError):
        raise _no_number(value, what) from None
    if not isinstance(expr, Expr) or isinstance(value, bool):
        raise _no_number(value, what)
    if expr.is_Float:
        expr = Rational(str(float(expr)))
    if expr.is_number and not expr.is_Rational:
        raise _no_number(value, what)
    return expr


def _no_number(value: Any, what: str) -> DeriveError:
    return DeriveError(
        f"{what} is {value}, not a number", given=str(value), allowed="a rational number, a float or a parameter",
        nearest="Rational(1, 2)",
    )  # fmt: skip


def as_rational(value: Any) -> Rational:
    """The SymPy number of an fmpq, fmpz, int or element of QQ."""
    numerator = getattr(value, "p", None)
    if numerator is None:
        numerator, denominator = value.numerator, value.denominator
    else:
        denominator = value.q
    return Rational(int(numerator), int(denominator))


def ring(names: Iterable[str]) -> Any:
    """The ring of integer polynomials in variables of these names, in lexicographic order."""
    return fmpz_mpoly_ctx.get(tuple(names), Ordering.lex)


def integer_polynomial(expr: Expr, symbols: Sequence[Symbol]) -> Poly:
    """The numerator of a rational expression as a polynomial in `symbols` with coprime integer coefficients.

    Raises: DeriveError where it is not rational in them with rational coefficients.
    """
    try:
        exact = expr.replace(lambda e: e.is_Float, lambda e: Rational(str(float(e))))
        numerator, _ = fraction(together(exact))
        made = Poly(numerator, *symbols)
        return made.clear_denoms(convert=True)[1].set_domain("ZZ").primitive()[1]
    except (BasePolynomialError, ValueError):
        raise DeriveError(
            f"the equation {expr} is not polynomial with rational coefficients", given=str(expr),
            allowed="a polynomial in the transform, its argument and parameters", nearest="z*g**2 + z*g + 1",
        ) from None  # fmt: skip


def from_sympy(poly: Poly) -> Sparse:
    """A SymPy polynomial over the integers in FLINT's ring of the same symbols."""
    made = fmpz_mpoly_ctx.get(tuple(str(s) for s in poly.gens), Ordering.lex)
    return made.from_dict({exponents: int(c) for exponents, c in poly.as_dict(native=True).items()})


def to_sympy(poly: Sparse, symbols: Sequence[Symbol]) -> Poly:
    """The other way, the symbols in the order of the ring's variables."""
    return Poly.from_dict({tuple(map(int, e)): Integer(int(c)) for e, c in poly.to_dict().items()}, *symbols)


def coefficients(poly: Sparse, index: int) -> list[Sparse]:
    """Coefficients of the powers of one variable, constant first; each lies in the same ring."""
    context = poly.context()
    parts: dict[int, dict[tuple[int, ...], Any]] = {}
    for exponents, value in poly.to_dict().items():
        rest = list(exponents)
        power, rest[index] = int(rest[index]), 0
        parts.setdefault(power, {})[tuple(rest)] = value
    return [context.from_dict(parts.get(k, {})) for k in range(max(parts, default=0) + 1)]


def univariate(poly: Sparse, index: int) -> fmpz_poly:
    """A polynomial in one variable only as a dense one."""
    values = {int(e[index]): int(c) for e, c in poly.to_dict().items()}
    return fmpz_poly([values.get(k, 0) for k in range(max(values, default=0) + 1)])


def factors(poly: Sparse) -> list[Sparse]:
    """The irreducible factors that depend on something, each once, with coprime coefficients, the leading one positive.

    Factored over the rationals: over the integers the bindings fail to sort factors with coefficients beyond a word.
    """
    context = poly.context()
    rational = fmpq_mpoly_ctx.get(context.names(), Ordering.lex).from_dict(poly.to_dict())
    made = []
    for factor, _ in rational.factor()[1]:
        terms = factor.to_dict()
        common = lcm(*(int(c.q) for c in terms.values()))
        whole = context.from_dict({e: int(c * common) for e, c in terms.items()})
        if not whole.is_constant():
            whole = whole.primitive()[1]
            made.append(-whole if whole.leading_coefficient() < 0 else whole)
    return made


def primitive_part(poly: Sparse, index: int = 0) -> Sparse:
    """Without what does not depend on one variable, and without repeated factors."""
    made = poly.context().constant(1)
    for factor in factors(poly):
        if factor.degrees()[index]:
            made *= factor
    return made


def pull_back(
    poly: Sparse, context: Any, replacements: Mapping[int, tuple[Sparse, Sparse]], embed: Sequence[int]
) -> Sparse:
    """The numerator of a polynomial after variables were replaced by fractions.

    Args: poly, context (the ring of the result), replacements (index: numerator and denominator in that ring), embed
    (for each variable of poly its index in the new ring, where it is not replaced).
    """
    degrees = [int(d) for d in poly.degrees()]
    made = context.constant(0)
    gens = context.gens()
    powers: dict[tuple[int, int, int], Sparse] = {}

    def power(index: int, side: int, exponent: int) -> Sparse:
        key = (index, side, exponent)
        if key not in powers:
            powers[key] = replacements[index][side] ** exponent
        return powers[key]

    for exponents, value in poly.to_dict().items():
        term = context.constant(int(value))
        for index, exponent in enumerate(map(int, exponents)):
            if index in replacements:
                term *= power(index, 0, exponent) * power(index, 1, degrees[index] - exponent)
            elif exponent:
                term *= gens[embed[index]] ** exponent
        made += term
    return made


def normal(poly: Poly) -> Poly:
    """Coprime integer coefficients, the leading one positive."""
    made = poly.set_domain("ZZ").primitive()[1]
    return -made if made.LC() < 0 else made


def ordered(symbols: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """Parameters in the order of their names."""
    return tuple(sorted(symbols, key=str))


def integer_pair(expr: Expr, symbols: Sequence[Symbol]) -> tuple[Sparse, Sparse]:
    """Numerator and denominator of a rational expression as integer polynomials."""
    made = []
    scale = S.One
    for part, side in zip(fraction(together(expr)), (1, -1), strict=True):
        poly = Poly(part, *symbols)
        factor, whole = poly.clear_denoms(convert=True)
        scale *= factor**side
        made.append(from_sympy(whole.set_domain("ZZ")))
    p, q = scale.as_numer_denom()
    return made[0] * int(q), made[1] * int(p)
