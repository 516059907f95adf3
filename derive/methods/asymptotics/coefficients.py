"""Coefficients of transseries: quotients of polynomials over the integers, in lowest terms.

The letters are the parameters, and every constant that is not rational in them (log(1 - alpha_D), exp(2 kappa),
sqrt(2)) under a letter of its own.  Arithmetic is exact and fast; that letters may be related is left to the tests for
zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import sympy as sp
from sympy import Expr, S

from derive.methods.asymptotics.dominance import Moment, NotExpandable

__all__ = ["Ratio", "Table"]

LETTERS = 40
LONGEST = 5000  # terms of numerator and denominator
_CONTEXT = flint.fmpz_mpoly_ctx.get([f"g{i}" for i in range(LETTERS)], flint.Ordering.lex)
_ZERO, _ONE = _CONTEXT.constant(0), _CONTEXT.constant(1)


class Ratio:
    """A quotient of polynomials in lowest terms, the denominator's leading coefficient positive."""

    __slots__ = ("den", "num")

    def __init__(self, num: Any, den: Any = _ONE) -> None:
        if den != 1:
            if len(num) + len(den) > LONGEST:  # one call of the greatest common divisor could outlast any time box
                raise NotExpandable("coefficients become too long", given=str(len(num)), allowed=f"{LONGEST} terms")
            common = num.gcd(den)
            if common != 1:
                num, den = num / common, den / common
            if den.leading_coefficient() < 0:
                num, den = -num, -den
        self.num, self.den = num, den

    @staticmethod
    def of(p: int, q: int = 1) -> Ratio:
        """The fraction p/q."""
        return Ratio(_CONTEXT.constant(p), _CONTEXT.constant(q))

    def __add__(self, other: Ratio) -> Ratio:
        if self.den == other.den:
            return Ratio(self.num + other.num, self.den)
        return Ratio(self.num * other.den + other.num * self.den, self.den * other.den)

    def __sub__(self, other: Ratio) -> Ratio:
        return self + (-other)

    def __neg__(self) -> Ratio:
        return Ratio(-self.num, self.den)

    def __mul__(self, other: Ratio) -> Ratio:
        return Ratio(self.num * other.num, self.den * other.den)

    def __truediv__(self, other: Ratio) -> Ratio:
        if other.num == 0:
            raise ZeroDivisionError("a coefficient is divided by zero")
        return Ratio(self.num * other.den, self.den * other.num)

    def __pow__(self, power: int) -> Ratio:
        if power < 0:
            return Ratio(self.den, self.num) ** -power if self.num != 0 else Ratio.of(1) / self
        return Ratio(self.num**power, self.den**power)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ratio) and bool(self.num == other.num) and bool(self.den == other.den)

    def __hash__(self) -> int:
        return hash((str(self.num), str(self.den)))

    def __bool__(self) -> bool:
        return bool(self.num != 0)

    @property
    def number(self) -> sp.Rational | None:
        """The fraction, where no letter occurs."""
        if self.num.is_constant() and self.den.is_constant():
            return sp.Rational(int(self.num.leading_coefficient()) if self else 0, int(self.den.leading_coefficient()))
        return None


def _lowered(poly: Any, i: int, degree: int, value: Ratio) -> Ratio:
    """A polynomial in which the power `degree` of letter i is a value."""
    sums: dict[int, dict[tuple[int, ...], Any]] = {}
    for powers, c in poly.to_dict().items():
        times, rest = divmod(int(powers[i]), degree)
        sums.setdefault(times, {})[(*powers[:i], rest, *powers[i + 1 :])] = c
    total = Ratio.of(0)
    for times, terms in sums.items():
        total = total + Ratio(_CONTEXT.from_dict(terms)) * value**times
    return total


class Table:
    """Which letter stands for which constant."""

    def __init__(self) -> None:
        self.letters: list[Expr] = []
        self._index: dict[Expr, int] = {}
        self._memo: dict[Expr, Ratio] = {}
        self._roots: dict[int, tuple[int, Ratio]] = {}  # letters that are roots: degree, and what the power is

    def letter(self, e: Expr) -> Ratio:
        """The letter of a constant, a new one where it has none."""
        if e not in self._index:
            if len(self.letters) == LETTERS:
                raise NotExpandable(
                    f"more than {LETTERS} constants in one calculation", given=str(e), allowed=str(LETTERS)
                )
            self._index[e] = len(self.letters)
            self.letters.append(e)
        return Ratio(_CONTEXT.gen(self._index[e]))

    def ratio(self, e: Expr | int) -> Ratio:
        """A constant as a quotient of polynomials in the letters."""
        if isinstance(e, int):
            return Ratio.of(e)
        if e.is_Rational:
            return Ratio.of(int(e.p), int(e.q))
        if e not in self._memo:
            self._memo[e] = self._ratio(e)
        return self._memo[e]

    def _ratio(self, e: Expr) -> Ratio:
        if e.is_Add:
            total = Ratio.of(0)
            for a in e.args:
                total = total + self.ratio(a)
            return total
        if e.is_Mul:
            made = Ratio.of(1)
            for a in e.args:
                made = made * self.ratio(a)
            return made
        if isinstance(e, sp.exp):
            return self._exponential(e.args[0])
        if e.is_Pow:
            base, power = e.args
            if power.is_Integer:
                return self.ratio(base) ** int(power)
            if power.is_Add:
                return (
                    self.ratio(sp.Mul(*(base**p for p in power.args)))
                    if any(p.is_Integer for p in power.args)
                    else self._powered(base, power)
                )
            return self._powered(base, power)
        if isinstance(e, sp.log) and e.args[0].is_Rational:
            return self._log_number(e.args[0])
        return self.letter(e)

    def _powered(self, base: Expr, power: Expr) -> Ratio:
        if power.is_Rational:
            whole = int(sp.floor(power))
            part = power - whole
            root = self.letter(base**part)
            self._roots[self._index[base**part]] = (int(part.q), self.ratio(base) ** int(part.p))
            return root * self.ratio(base) ** whole
        if power.could_extract_minus_sign():
            return Ratio.of(1) / self.letter(base ** (-power))
        return self.letter(base**power)

    def _log_number(self, value: sp.Rational) -> Ratio:
        total = Ratio.of(0)
        for side, part in ((1, value.p), (-1, value.q)):
            for prime, times in sp.factorint(part, limit=10**4).items():
                total = total + self.letter(sp.log(prime)) * Ratio.of(side * times)
        return total

    def _exponential(self, exponent: Expr) -> Ratio:
        """exp of a sum, part by part, so that exp(2 kappa) is the square of exp(kappa)."""
        made = Ratio.of(1)
        for part in sp.Add.make_args(sp.expand(exponent)):
            coefficient, rest = part.as_coeff_Mul()
            if rest == 1:
                coefficient, rest = (coefficient, S.One)
            if not coefficient.is_Rational:
                coefficient, rest = S.One, part
            unit = sp.Rational(1, coefficient.q)
            made = made * self.letter(sp.exp(unit * rest)) ** int(coefficient.p)
        return made

    def opaque(self, r: Ratio) -> bool:
        """Whether letters occur that may be related to others."""
        letters = (self.letters[i] for i in self.used(r))
        return any(not k.is_Symbol or isinstance(k, Moment) for k in letters)

    def used(self, r: Ratio) -> Sequence[int]:
        """Indices of the letters that occur."""
        return [i for i, k in enumerate(zip(r.num.degrees(), r.den.degrees(), strict=True)) if any(k)]

    def reduced(self, r: Ratio) -> Ratio:
        """The same constant with the powers of roots done: sqrt(a)**3 is a sqrt(a)."""
        for i, (degree, value) in self._roots.items():
            if r.den.degrees()[i]:
                rest = {int(k[i]) % degree for k in r.den.to_dict()}
                if len(rest) != 1:
                    continue
                lift = _CONTEXT.gen(i) ** ((degree - rest.pop()) % degree)
                r = _lowered(r.num * lift, i, degree, value) / _lowered(r.den * lift, i, degree, value)
            elif r.num.degrees()[i] >= degree:
                r = _lowered(r.num, i, degree, value) / Ratio(r.den)
        return r

    def expr(self, r: Ratio) -> Expr:
        """The constant, numerator and denominator factored."""
        return self._factored(r.num) / self._factored(r.den)

    def _factored(self, poly: Any) -> Expr:
        if poly.is_constant():
            return S(int(poly.leading_coefficient())) if poly != 0 else S.Zero
        content, factors = factors_of(poly)
        return sp.Mul(S(int(content)), *(self._polynomial(f) ** int(k) for f, k in factors))

    def factors(self, r: Ratio) -> tuple[sp.Rational, list[tuple[Expr, int]]]:
        """A rational number and the factors with their powers."""
        found: list[tuple[Expr, int]] = []
        content = S.One
        for side, poly in ((1, r.num), (-1, r.den)):
            c, factors = factors_of(poly)
            content *= S(int(c)) ** side
            found += [(self._polynomial(f), side * int(k)) for f, k in factors]
        return content, found

    def _polynomial(self, poly: Any) -> Expr:
        parts = []
        for powers, c in poly.to_dict().items():
            parts.append(sp.Mul(S(int(c)), *(self.letters[i] ** int(k) for i, k in enumerate(powers) if k)))
        return sp.Add(*parts)


def factors_of(poly: Any) -> tuple[Any, list[tuple[Any, int]]]:
    """Content and factors of a polynomial over the integers; square-free ones where irreducible ones are not to be had.

    FLINT's binding puts factors in order by coefficients as machine integers, and raises where they are longer.
    """
    try:
        return poly.factor()  # type: ignore[no-any-return]
    except OverflowError:
        return poly.factor_squarefree()  # type: ignore[no-any-return]

