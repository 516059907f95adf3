"""Fractions over Q in a growing list of generators: arithmetic modulo their relations, and signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import (
    Add,
    Basic,
    Expr,
    Mul,
    Rational,
    Symbol,
)

from derive.core import Domain

__all__ = ["Fraction", "Fractions", "Full", "Generator", "Relation", "Root", "SignOracle", "Unsupported"]


class Unsupported(Exception):
    """An expression that has no normal form here; the message says which part."""


class Full(Exception):
    """More generators than there is room for."""


@dataclass(frozen=True, eq=False)
class Fraction:
    """num/den, reduced, den monic in the term order."""

    num: Any
    den: Any

    @property
    def key(self) -> str:
        """Equal for equal fractions in one field."""
        return f"{self.num}|{self.den}"

    @property
    def is_zero(self) -> bool:
        return bool(self.num.is_zero())


@dataclass
class Generator:
    """expr: what it stands for; positive: True where known to be; parent: the generator it is a root of."""

    expr: Expr
    kind: str
    positive: bool = False
    nonzero: bool = False
    nonnegative: bool = False
    argument: Fraction | None = None
    symbols: frozenset[Symbol] = frozenset()


@dataclass
class Relation:
    """lead * g**degree = tail, with lead and tail in earlier generators."""

    degree: int
    lead: Any
    tail: Any


@dataclass
class Root:
    """The finest root taken so far of a positive quantity: top**order is that quantity."""

    top: int
    order: int


SignOracle = Callable[[Expr], bool]


@dataclass
class Fractions:
    """Rational functions over Q in generators g_0, g_1, ..., a list that grows, modulo the relations between them.

    Args: domain (signs of the symbols are read from it), oracle (tells whether an expression is positive on the domain;
    asked where signs cannot be read off), capacity (how many generators there may be).
    """

    domain: Domain = field(default_factory=Domain)
    oracle: SignOracle | None = None
    capacity: int = 24

    def __post_init__(self) -> None:
        self.ctx = fmpq_mpoly_ctx.get([f"g{i}" for i in range(self.capacity)], Ordering.lex)
        self.polys = self.ctx.gens()
        self.gens: list[Generator] = []
        self.relations: dict[int, Relation] = {}
        self.facts: list[Any] = []
        self.conditions: dict[Expr, str] = {}
        self.assigned: dict[Symbol, Fraction] = {}
        self._index: dict[Any, int] = {}
        self._memo: dict[Basic, Fraction] = {}
        self._roots: dict[Any, Root] = {}
        self._root_base: dict[int, tuple[int, int]] = {}
        self._exponents: list[tuple[Fraction, int]] = []
        self._signs: dict[str | tuple[str, str], int] = {}
        self.zero, self.one = self.constant(0), self.constant(1)

    # ---- arithmetic

    def constant(self, value: Any) -> Fraction:
        """A rational number."""
        q = Rational(value)
        return Fraction(self.ctx.constant(fmpq(int(q.p), int(q.q))), self.ctx.constant(1))

    def make(self, num: Any, den: Any) -> Fraction:
        """num/den in lowest terms, both reduced by the relations."""
        num, den = self._cleared(num, den)
        if den.is_zero():
            raise Unsupported("a denominator vanishes identically")
        if num.is_zero():
            return Fraction(num, self.ctx.constant(1))
        if not den.is_constant():
            common = num.gcd(den)
            if not common.is_constant():
                num, den = num / common, den / common
        lead = den.leading_coefficient()
        return Fraction(num / lead, den / lead) if lead != 1 else Fraction(num, den)

    def _cleared(self, num: Any, den: Any) -> tuple[Any, Any]:
        if not self.relations:
            return num, den
        num, up = self.reduce(num)
        den, down = self.reduce(den)
        return num * down, den * up

    def reduce(self, poly: Any) -> tuple[Any, Any]:
        """(r, f) with f * poly = r modulo the relations, f a product of leading coefficients of relations."""
        factor = self.ctx.constant(1)
        for index in sorted(self.relations, reverse=True):
            relation = self.relations[index]
            if poly.is_zero() or poly.degrees()[index] < relation.degree:
                continue
            poly, extra = self._reduced_in(poly, index, relation)
            factor = factor * extra
            if not extra.is_constant():
                factor, more = self.reduce(factor)
                poly = poly * more
        return poly, factor

    def _reduced_in(self, poly: Any, index: int, relation: Relation) -> tuple[Any, Any]:
        """Remainder of poly by one relation, by powers: g**(n k + j) -> tail**k g**j / lead**k."""
        n = relation.degree
        parts: dict[int, dict[Any, Any]] = {}
        for monomial, coefficient in poly.terms():
            k, j = divmod(monomial[index], n)
            lowered = (*monomial[:index], j, *monomial[index + 1:])
            parts.setdefault(k, {})[lowered] = coefficient
        if relation.tail.degrees()[index] == 0:
            top = max(parts)
            total = self.ctx.constant(0)
            for k, terms in parts.items():
                total += self.ctx.from_dict(terms) * relation.tail**k * relation.lead ** (top - k)
            return total, relation.lead**top
        g, factor = self.polys[index], self.ctx.constant(1)
        while (degree := poly.degrees()[index]) >= n:
            high = self.ctx.from_dict({
                (*m[:index], degree - n, *m[index + 1:]): c for m, c in poly.terms() if m[index] == degree})
            poly = relation.lead * poly - high * (relation.lead * g**n - relation.tail)
            factor = factor * relation.lead
            if poly.is_zero():
                break
        return poly, factor

    def add(self, a: Fraction, b: Fraction) -> Fraction:
        if a.is_zero:
            return b
        if b.is_zero:
            return a
        if a.den == b.den:
            return self.make(a.num + b.num, a.den)
        common = a.den.gcd(b.den)
        left, right = a.den / common, b.den / common
        return self.make(a.num * right + b.num * left, a.den * right)

    def neg(self, a: Fraction) -> Fraction:
        return Fraction(-a.num, a.den)

    def sub(self, a: Fraction, b: Fraction) -> Fraction:
        return self.add(a, self.neg(b))

    def mul(self, a: Fraction, b: Fraction) -> Fraction:
        return self.make(a.num * b.num, a.den * b.den)

    def div(self, a: Fraction, b: Fraction) -> Fraction:
        if b.is_zero:
            raise Unsupported("a denominator vanishes identically")
        return self.make(a.num * b.den, a.den * b.num)

    def power(self, a: Fraction, n: int) -> Fraction:
        if abs(n) > 4096:
            raise Unsupported(f"a power of {n}")
        if n < 0:
            return self.div(self.one, self.power(a, -n))
        return self.make(a.num**n, a.den**n)

    def scale(self, a: Fraction, c: Rational) -> Fraction:
        return self.mul(a, self.constant(c))

    # ---- generators

    def generator(self, key: Any, made: Callable[[], Generator]) -> Fraction:
        """The generator of that key, made where it is not there yet."""
        index = self._index.get(key)
        if index is None:
            index = len(self.gens)
            if index >= self.capacity:
                raise Full
            self.gens.append(made())
            self._index[key] = index
        return Fraction(self.polys[index], self.ctx.constant(1))

    def index_of(self, a: Fraction) -> int:
        """The number of a fraction that is a generator."""
        return next(i for i, e in enumerate(next(iter(a.num.monoms()))) if e)

    def opaque(self, expr: Expr) -> Fraction:
        """An expression as a generator, equal only to itself."""
        return self.generator(("expr", expr), lambda: Generator(
            expr, "opaque", self._positive_by_signs(expr), symbols=frozenset(expr.free_symbols)))

    def _positive_by_signs(self, expr: Expr) -> bool:
        from derive.ledger.domain import sharpened

        return bool(sharpened(expr, self.domain)[0].is_positive)

    def to_expr(self, a: Fraction) -> Expr:
        """Back to SymPy."""
        return self.poly_expr(a.num) / self.poly_expr(a.den)

    def poly_expr(self, poly: Any) -> Expr:
        """A polynomial in the generators as a SymPy expression."""
        terms = []
        for monomial, c in poly.terms():
            factors = [self.gens[i].expr ** e for i, e in enumerate(monomial) if e]
            terms.append(Mul(Rational(int(c.p), int(c.q)), *factors))
        return Add(*terms)

    def symbols_of(self, poly: Any) -> frozenset[Symbol]:
        """Free symbols of the generators in a polynomial."""
        return frozenset().union(*(self.gens[i].symbols for i, d in enumerate(poly.degrees()) if d))

    # ---- signs

    def sign(self, poly: Any, ask: bool = True) -> int:
        """+1 or -1 where the polynomial is known to have that strict sign on the domain, else 0."""
        if poly.is_constant():
            c = poly.leading_coefficient() if not poly.is_zero() else 0
            return (c > 0) - (c < 0)
        key = str(poly)
        if key not in self._signs:
            self._signs[key] = self._sign(poly, ask)
        found = self._signs[key]
        if found == 0 and ask and self.oracle is not None and (key, "asked") not in self._signs:
            self._signs[key, "asked"] = 0
            found = self._signs[key] = self._asked(poly)
        return found

    def _sign(self, poly: Any, ask: bool) -> int:
        found = self._termwise(poly)
        if found:
            return found
        monic = poly / poly.leading_coefficient()
        lead = 1 if poly.leading_coefficient() > 0 else -1
        for fact in self.facts:
            if monic == fact / fact.leading_coefficient():
                return lead * (1 if fact.leading_coefficient() > 0 else -1)
        return 0

    def _termwise(self, poly: Any) -> int:
        signs = set()
        strict = False
        for monomial, c in poly.terms():
            if any(e % 2 and not (self.gens[i].positive or self.gens[i].nonnegative) for i, e in enumerate(monomial)):
                return 0
            signs.add(c > 0)
            strict = strict or all(self.gens[i].positive or self.gens[i].nonzero for i, e in enumerate(monomial) if e)
        return (1 if signs.pop() else -1) if len(signs) == 1 and strict else 0

    def _asked(self, poly: Any) -> int:
        assert self.oracle is not None
        expr = self.poly_expr(poly)
        if self.oracle(expr):
            return 1
        return -1 if self.oracle(-expr) else 0

    def factors(self, a: Fraction) -> tuple[Rational, list[tuple[Any, int]]]:
        """a = c * product of poly**multiplicity, polynomials irreducible over Q, with positive leading coefficient."""
        content = Rational(1)
        found: list[tuple[Any, int]] = []
        for poly, side in ((a.num, 1), (a.den, -1)):
            if poly.is_constant():
                c = poly.leading_coefficient()
                content *= Rational(int(c.p), int(c.q)) ** side
                continue
            c, parts = poly.factor()
            content *= Rational(int(c.p), int(c.q)) ** side
            for part, multiplicity in parts:
                if part.leading_coefficient() < 0:
                    part, content = -part, content * (-1) ** int(multiplicity)
                found.append((part, side * int(multiplicity)))
        return content, found
