"""Normal forms: expressions as rational functions over Q in generators, with the relations between them.

A generator is a symbol, a number such as pi, the exponential of a monomial, the logarithm of an irreducible factor, a
root, an undefined function or derivative at an argument, an average that has no closed form, and so on.  Arguments are
themselves brought to normal form first, so that equal arguments give one generator.  exp(a + b) is split into
exp(a) exp(b), and log of a product into logs of its factors, which over the reals is exact where the product is
positive; that condition is recorded.  Roots and the Marchenko-Pastur response obey polynomial relations, and numerators
are reduced by them.

Where the numerator of lhs - rhs is the zero polynomial after reduction, the two sides agree wherever both are defined:
the relations hold, and no independence of the generators is used.  The converse is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import (
    Abs,
    Add,
    Basic,
    Derivative,
    Dummy,
    Expr,
    Function,
    Integer,
    Mul,
    Pow,
    Rational,
    S,
    Subs,
    Symbol,
    Tuple,
    cos,
    erfc,
    exp,
    factorint,
    log,
    sin,
    sqrt,
)
from sympy.core.function import AppliedUndef

from derive.core import Domain
from derive.nodes.binders import Binder

__all__ = ["Field", "Fraction", "Full", "Generator", "Relation", "Unsupported"]


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
class _Root:
    """The finest root taken so far of a positive quantity: top**order is that quantity."""

    top: int
    order: int


SignOracle = Callable[[Expr], bool]


@dataclass
class Field:
    """A field Q(g_0, g_1, ...) that grows as expressions are brought into it.

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
        self._roots: dict[Any, _Root] = {}
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

    # ---- exponentials, logarithms, roots

    def exponential(self, a: Fraction) -> Fraction:
        """exp(a), split over the terms of a."""
        result = self.one
        for monomial, c in a.num.terms():
            term = self.make(self.ctx.from_dict({monomial: fmpq(1)}), a.den)
            lead = term.num.leading_coefficient()
            q = Rational(int(c.p), int(c.q)) * Rational(int(lead.p), int(lead.q))
            term = Fraction(term.num / lead, term.den)
            result = self.mul(result, self._exp_term(term, q))
        return result

    def _exp_term(self, term: Fraction, c: Rational) -> Fraction:
        """exp(c * term), term with coefficient one."""
        if term.den.is_constant() and term.num.total_degree() == 1 and (index := self.index_of(term)) is not None:
            g = self.gens[index]
            if g.kind == "log" and g.argument is not None:
                return self.root_power(g.argument, c)
        known = {f.key: i for f, i in self._exponents}
        if term.key not in known and len(list(term.den.monoms())) > 1:
            combination = self._dependence(term)
            if combination is not None:
                result = self.one
                for other, q in combination:
                    result = self.mul(result, self._exp_term(other, c * q))
                return result
        expr = self.to_expr(term)
        base = self.generator(("exp", term.key), lambda: Generator(
            exp(expr), "exp", True, argument=term, symbols=frozenset(expr.free_symbols)))
        if term.key not in known:
            self._exponents.append((term, self.index_of(base)))
        return self._take_root(self.index_of(base), c)

    def _dependence(self, term: Fraction) -> list[tuple[Fraction, Rational]] | None:
        """term as a combination with rational coefficients of exponents that already have generators, if it is one."""
        from sympy import Matrix

        others = [f for f, _ in self._exponents]
        if not others:
            return None
        common = term.den
        for f in others:
            common = common * (f.den / common.gcd(f.den))
        vectors = [dict((f.num * (common / f.den)).terms()) for f in (*others, term)]
        rows = sorted({m for v in vectors for m in v})
        if len(rows) > 200:
            return None
        matrix = Matrix([[_rational(v.get(m, 0)) for v in vectors] for m in rows])
        for null in matrix.nullspace():
            if null[-1] != 0:
                return [(f, -q / null[-1]) for f, q in zip(others, list(null)[:-1], strict=True) if q != 0]
        return None

    def _take_root(self, base: int, c: Rational) -> Fraction:
        """(generator number base)**c for rational c, base positive."""
        p, q = int(c.p), int(c.q)
        chain = self._roots.setdefault(base, _Root(base, 1))
        if chain.order % q:
            order = lcm(chain.order, q)
            degree = order // chain.order
            expr = self.gens[base].expr
            below = chain.top
            power = expr.args[0] if expr.args else S.One  # the number e is an exponential without arguments
            new = self.generator(("root", base, order), lambda: Generator(
                expr ** Rational(1, order) if self.gens[base].kind != "exp" else exp(power / order),
                "root", True,
                argument=Fraction(self.polys[base], self.ctx.constant(order)), symbols=self.gens[base].symbols))
            top = self.index_of(new)
            self.relations[top] = Relation(degree, self.ctx.constant(1), self.polys[below])
            self._roots[base] = chain = _Root(top, order)
            self._root_base[top] = (base, order)
        g = Fraction(self.polys[chain.top], self.ctx.constant(1))
        return self.power(g, p * chain.order // q)

    @property
    def _root_base(self) -> dict[int, tuple[int, int]]:
        return self.__dict__.setdefault("_root_bases", {})  # type: ignore[no-any-return]

    def root_power(self, a: Fraction, c: Rational) -> Fraction:
        """a**c for a positive a and rational c, split over the factors of a."""
        if c.is_integer:
            return self.power(a, int(c))
        if a.is_zero:
            return self.zero
        content, parts = self.factors(a)
        signs = [self.sign(f) for f, _ in parts]
        sure = [((f if s > 0 else -f), m) for (f, m), s in zip(parts, signs, strict=True) if s]
        for (_, m), s in zip(parts, signs, strict=True):
            if s < 0:
                content *= -1 if m % 2 else 1
        unsure = [(f, m) for (f, m), s in zip(parts, signs, strict=True) if not s]
        odd = [(f, m) for f, m in unsure if m % 2]
        if not odd and content < 0:
            if c.q == 2:
                return self._imaginary_power(a, c)
            raise Unsupported("a root of a negative quantity")
        if odd:
            self._require(self.to_expr(a))
        result = self.one
        for prime, m in _prime_factors(abs(content)):
            result = self.mul(result, self._factor_power(self.constant(prime), c * m))
        for f, m in sure:
            result = self.mul(result, self._factor_power(Fraction(f, self.ctx.constant(1)), c * m))
        for f, m in unsure:
            if m % 2 == 0:
                result = self.mul(result, self._even_root(f, c * m))
        if odd:
            rest = self.constant(1 if content > 0 else -1)
            for f, m in odd:
                rest = self.mul(rest, self.power(Fraction(f, self.ctx.constant(1)), m))
            result = self.mul(result, self._whole_root(rest, c))
        return result

    def _even_root(self, f: Any, c: Rational) -> Fraction:
        """|f|**c for a polynomial of unknown sign."""
        if c.is_integer and int(c) % 2 == 0:
            return self.power(Fraction(f, self.ctx.constant(1)), int(c))
        size = self.absolute(f)
        return self.power(size, int(c)) if c.is_integer else self._take_root(self.index_of(size), c)

    def absolute(self, f: Any) -> Fraction:
        """|f| for a polynomial of unknown sign: a generator whose square is f**2."""
        whole = Fraction(f, self.ctx.constant(1))
        expr = self.to_expr(whole)
        made = self.generator(("abs", whole.key), lambda: Generator(
            Abs(expr), "abs", nonnegative=True, symbols=frozenset(expr.free_symbols)))
        self.relations[self.index_of(made)] = Relation(2, self.ctx.constant(1), f**2)
        return made

    def _imaginary_power(self, a: Fraction, c: Rational) -> Fraction:
        return self.mul(self.power(self.imaginary(), int(c.p)), self.root_power(self.neg(a), c))

    def imaginary(self) -> Fraction:
        """The imaginary unit."""
        found = self.generator("I", lambda: Generator(S.ImaginaryUnit, "I", nonzero=True))
        self.relations[self.index_of(found)] = Relation(2, self.ctx.constant(1), self.ctx.constant(-1))
        return found

    def _whole_root(self, a: Fraction, c: Rational) -> Fraction:
        """A root of a quantity whose factors have unknown signs; the quantity itself is positive by condition."""
        expr = self.to_expr(a)
        key = ("base", a.key)
        found = self.generator(key, lambda: Generator(
            expr, "base", True, symbols=frozenset(expr.free_symbols), argument=a))
        index = self.index_of(found)
        self.relations[index] = Relation(1, a.den, a.num)
        return self._take_root(index, c)

    def _factor_power(self, f: Fraction, c: Rational) -> Fraction:
        """f**c for an irreducible positive polynomial f."""
        if c.is_integer:
            return self.power(f, int(c))
        if f.num.is_constant() or f.num.total_degree() > 1 or len(list(f.num.terms())) > 1:
            expr = self.to_expr(f)
            base = self.generator(("base", f.key), lambda: Generator(
                expr, "base", True, symbols=frozenset(expr.free_symbols), argument=f))
            index = self.index_of(base)
            self.relations[index] = Relation(1, self.ctx.constant(1), f.num)
            return self._take_root(index, c)
        index = self.index_of(f)
        g = self.gens[index]
        if index in self._root_base:
            below, order = self._root_base[index]
            if self.gens[below].kind == "base":
                return self.root_power(self.gens[below].argument, c / order)  # type: ignore[arg-type]
            return self._take_root(below, c / order)
        if g.kind == "exp":
            return self._take_root(index, c)
        return self._take_root(index, c)

    def logarithm(self, a: Fraction) -> Fraction:
        """log(a), a positive, split over the factors of a."""
        if a.is_zero:
            raise Unsupported("the logarithm of zero")
        content, parts = self.factors(a)
        signs = [self.sign(f) for f, _ in parts]
        total = content
        for (_, m), s in zip(parts, signs, strict=True):
            if s < 0:
                total *= (-1) ** m
        odd_unsure = any(s == 0 and m % 2 for (_, m), s in zip(parts, signs, strict=True))
        unsure = any(s == 0 for s in signs)
        if not odd_unsure and total < 0:
            raise Unsupported("the logarithm of a negative quantity")
        if odd_unsure:
            self._require(self.to_expr(a))
        elif unsure:
            self.conditions.setdefault(self.to_expr(a), "non-zero")
        result = self.zero
        for prime, m in _prime_factors(abs(content)):
            found = self.generator(("log", prime), lambda prime=prime: Generator(  # type: ignore[misc]
                log(prime), "log", True, argument=self.constant(prime)))
            result = self.add(result, self.scale(found, Rational(m)))
        for (f, m), s in zip(parts, signs, strict=True):
            g = Fraction(-f if s < 0 else f, self.ctx.constant(1))
            result = self.add(result, self.scale(self._log_factor(g, s != 0), Rational(m)))
        return result

    def _log_factor(self, f: Fraction, positive: bool) -> Fraction:
        """log|f| for an irreducible polynomial f."""
        if f.num.total_degree() == 1 and len(list(f.num.terms())) == 1:
            index = self.index_of(f)
            g = self.gens[index]
            if g.kind == "exp" and g.argument is not None:
                return g.argument
            if index in self._root_base:
                base, order = self._root_base[index]
                below = self.gens[base]
                inner = below.argument if below.kind == "exp" else None
                if inner is None:
                    whole = below.argument if below.kind == "base" and below.argument is not None else Fraction(
                        self.polys[base], self.ctx.constant(1))
                    inner = self.logarithm(whole)
                return self.scale(inner, Rational(1, order))
        conjugate = self._conjugate_log(f)
        if conjugate is not None:
            return conjugate
        expr = self.to_expr(f)
        return self.generator(("log", f.key), lambda: Generator(
            log(expr if positive else Abs(expr)), "log", argument=f, symbols=frozenset(expr.free_symbols)))

    def _conjugate_log(self, f: Fraction) -> Fraction | None:
        """log|A + B r| as log|A^2 - B^2 r^2| - log|A - B r| where r is a square root and the last has a generator."""
        degrees = f.num.degrees()
        for index in sorted(self.relations, reverse=True):
            relation = self.relations[index]
            if relation.degree != 2 or degrees[index] != 1 or relation.tail.degrees()[index]:
                continue
            terms = list(f.num.terms())
            other = self.ctx.from_dict({m: (-c if m[index] else c) for m, c in terms})
            lead = other.leading_coefficient()
            flipped = -other if lead < 0 else other
            sign = self.sign(flipped)
            seen = [Fraction(p, self.ctx.constant(1)) for p in ((-flipped,) if sign < 0 else (flipped,))]
            for candidate in seen:
                if ("log", candidate.key) in self._index:
                    norm = self.make(f.num * candidate.num, self.ctx.constant(1))
                    content, parts = self.factors(norm)
                    result = self.zero
                    for prime, m in _prime_factors(abs(content)):
                        result = self.add(result, self.scale(self.logarithm(self.constant(prime)), Rational(m)))
                    for part, m in parts:
                        s = self.sign(part)
                        g = Fraction(-part if s < 0 else part, self.ctx.constant(1))
                        result = self.add(result, self.scale(self._log_factor(g, s != 0), Rational(m)))
                    known = Fraction(self.polys[self._index["log", candidate.key]], self.ctx.constant(1))
                    return self.sub(result, known)
        return None

    def _require(self, expr: Expr) -> None:
        self.conditions.setdefault(expr, "positive")

    # ---- building

    def build(self, expr: Expr) -> Fraction:
        """The normal form of an expression.

        Raises: Unsupported.
        """
        found = self._memo.get(expr)
        if found is None:
            found = self._memo[expr] = self._build(expr)
        return found

    def _build(self, e: Expr) -> Fraction:
        if e.is_Rational:
            return self.constant(e)
        if e.is_Float:
            return self.constant(Rational(e))
        if e.is_Symbol:
            return self._symbol(e)
        if e.is_Add:
            result = self.zero
            for term in e.args:
                result = self.add(result, self.build(term))
            return result
        if e.is_Mul:
            result = self.one
            for factor in e.args:
                result = self.mul(result, self.build(factor))
            return result
        if e is S.Exp1:
            return self.exponential(self.one)
        if e is S.ImaginaryUnit:
            return self.imaginary()
        if e in (S.NaN, S.Infinity, S.NegativeInfinity, S.ComplexInfinity):
            raise Unsupported(f"{e}")
        if e.is_NumberSymbol:
            return self.generator(("number", e), lambda: Generator(e, "number", bool(e.is_positive)))
        if isinstance(e, exp):
            return self.exponential(self.build(e.args[0]))
        if e.is_Pow:
            return self._pow(e)
        handler = _HANDLERS.get(type(e).__name__)
        if handler is not None:
            return handler(self, e)
        if isinstance(e, AppliedUndef):
            return self._undefined(e)
        if isinstance(e, Derivative):
            return self._derivative(e)
        if isinstance(e, Subs):
            return self._subs(e)
        if isinstance(e, Binder):
            return self._binder(e)
        if isinstance(e, Function):
            return self._function(e)
        if isinstance(e, Expr):
            return self.opaque(e)
        raise Unsupported(f"{type(e).__name__}")

    def _symbol(self, s: Symbol) -> Fraction:
        if s in self.assigned:
            return self.assigned[s]
        from derive.ledger.domain import sharpened

        known = sharpened(s, self.domain)[0]
        return self.generator(("symbol", s), lambda: Generator(
            s, "symbol", bool(known.is_positive), bool(known.is_nonzero), bool(known.is_nonnegative),
            symbols=frozenset((s,))))

    def _pow(self, e: Expr) -> Fraction:
        base, power = e.as_base_exp()
        if power.is_Integer:
            return self.power(self.build(base), int(power))
        if power.is_Rational:
            if base.is_Rational and base.is_negative:
                if power.q != 2:
                    raise Unsupported("a root of a negative number")
                return self.mul(self.power(self.imaginary(), int(power.p)), self.root_power(self.build(-base), power))
            return self.root_power(self.build(base), power)
        below = self.build(base)
        whole, rest = power.as_coeff_Add()
        if whole != 0 and whole.is_Integer:
            return self.mul(self.power(below, int(whole)), self._pow(Pow(base, rest, evaluate=False)))
        return self.exponential(self.mul(self.build(power), self.logarithm(below)))

    def _function(self, e: Expr) -> Fraction:
        if type(e).__name__ in _ODD or type(e).__name__ in _EVEN:
            (argument,) = (self.build(a) for a in e.args)
            flip = argument.num.leading_coefficient() < 0
            inner = self.neg(argument) if flip else argument
            if isinstance(e, cos):
                return self._cosine(inner)
            value = self.generator((type(e).__name__, inner.key), lambda: self._atom(e.func, [inner]))
            return self.neg(value) if flip and type(e).__name__ in _ODD else value
        arguments = [self.build(a) for a in e.args]
        key = (type(e).__name__, *(a.key for a in arguments))
        return self.generator(key, lambda: self._atom(e.func, arguments))

    def _cosine(self, inner: Fraction) -> Fraction:
        """cos, with cos^2 = 1 - sin^2."""
        sine = self.generator(("sin", inner.key), lambda: self._atom(sin, [inner]))
        value = self.generator(("cos", inner.key), lambda: self._atom(cos, [inner]))
        one = self.ctx.constant(1)
        self.relations[self.index_of(value)] = Relation(2, one, one - sine.num**2)
        return value

    def _atom(self, function: Any, arguments: list[Fraction]) -> Generator:
        expr = function(*(self.to_expr(a) for a in arguments), evaluate=False)
        return Generator(expr, "function", self._positive_by_signs(expr), symbols=frozenset(expr.free_symbols))

    def _undefined(self, e: Expr) -> Fraction:
        arguments = [self.build(a) for a in e.args]
        key = ("undefined", e.func, *(a.key for a in arguments))
        return self.generator(key, lambda: Generator(
            e, "undefined", bool(e.is_positive), symbols=frozenset(e.free_symbols)))

    def _derivative(self, e: Derivative, replaced: Mapping[Symbol, Expr] | None = None) -> Fraction:
        """A derivative of an undefined function, at symbols or at what replaces them."""
        replaced = replaced or {}
        inner = e.expr
        if isinstance(inner, AppliedUndef) and all(
            (a.is_Symbol or a not in e.variables) for a in inner.args
        ) and len({a for a in inner.args if a.is_Symbol}) == sum(a.is_Symbol for a in inner.args):
            orders = []
            for a in inner.args:
                orders.append(sum(int(k) for v, k in e.variable_count if v == a))
                if not a.is_Symbol and a.free_symbols & set(e.variables):
                    return self.opaque(e.subs(replaced) if replaced else e)
            arguments = [self.build(a.xreplace(dict(replaced))) for a in inner.args]
            key = ("derived", inner.func, tuple(orders), *(a.key for a in arguments))
            whole = Subs(e, Tuple(*replaced.keys()), Tuple(*replaced.values())) if replaced else e
            return self.generator(key, lambda: Generator(
                whole, "undefined", symbols=frozenset(whole.free_symbols)))
        return self.opaque(Subs(e, Tuple(*replaced.keys()), Tuple(*replaced.values())) if replaced else e)

    def _subs(self, e: Subs) -> Fraction:
        replaced = dict(zip(e.variables, e.point, strict=True))
        fresh = {v: Dummy(v.name, **v._assumptions_orig) for v in e.variables}
        inside = e.expr.xreplace(fresh)
        values = {fresh[v]: p for v, p in replaced.items()}
        return self._substituted(inside, values)

    def _substituted(self, e: Expr, values: Mapping[Symbol, Expr]) -> Fraction:
        """e with values for symbols; derivatives of undefined functions stay derivatives at those values."""
        if not e.free_symbols & set(values):
            return self.build(e)
        if isinstance(e, Derivative):
            if all(values.get(v, v).is_Symbol for v in e.variables) and not isinstance(e.expr, AppliedUndef):
                return self.build(e.subs(values))
            return self._derivative(e, {k: v for k, v in values.items() if k in e.free_symbols or k in e.variables})
        if e.has(Derivative) and (e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer)):
            if e.is_Pow:
                return self.power(self._substituted(e.base, values), int(e.exp))
            result = self.zero if e.is_Add else self.one
            for part in e.args:
                result = (self.add if e.is_Add else self.mul)(result, self._substituted(part, values))
            return result
        return self.build(e.subs(values))

    # ---- averages

    def _binder(self, e: Basic) -> Fraction:
        from derive.ledger.averages import split_average

        return split_average(self, e)

    def bound_split(self, a: Fraction, bound: frozenset[Symbol]) -> list[tuple[Fraction, Fraction]]:
        """a as a sum of (free of the bound symbols) * (a monomial in what depends on them over its own denominator)."""
        depends = [bool(g.symbols & bound) for g in self.gens] + [False] * (self.capacity - len(self.gens))
        free_den, own_den = self.ctx.constant(1), self.ctx.constant(1)
        if not a.den.is_constant():
            c, parts = a.den.factor()
            free_den = free_den * c
            for part, m in parts:
                if any(d and depends[i] for i, d in enumerate(part.degrees())):
                    own_den = own_den * part**m
                else:
                    free_den = free_den * part**m
        else:
            free_den = a.den
        groups: dict[Any, dict[Any, Any]] = {}
        for monomial, c in a.num.terms():
            inside = tuple(e if depends[i] else 0 for i, e in enumerate(monomial))
            outside = tuple(0 if depends[i] else e for i, e in enumerate(monomial))
            groups.setdefault(inside, {})[outside] = c
        return [
            (self.make(self.ctx.from_dict(free), free_den), self.make(self.ctx.from_dict({inside: fmpq(1)}), own_den))
            for inside, free in groups.items()
        ]


def _rational(c: Any) -> Rational:
    return Rational(int(c.p), int(c.q)) if isinstance(c, fmpq) else Rational(c)


def _prime_factors(q: Rational) -> list[tuple[Integer, int]]:
    """Primes of a positive rational with multiplicities; numbers too large to factor stay whole."""
    found: list[tuple[Integer, int]] = []
    for n, side in ((int(q.p), 1), (int(q.q), -1)):
        if n == 1:
            continue
        primes = factorint(n) if n < 10**15 else factorint(n, limit=10**4)
        found.extend((Integer(p), side * m) for p, m in primes.items())
    return found


# ---- functions that are written in exponentials, logarithms and error functions

_ODD = frozenset({"erf", "erfi", "atan", "sin", "asin"})
_EVEN = frozenset({"cos"})


def _cosh_pair(f: Field, e: Expr) -> tuple[Fraction, Fraction]:
    up = f.exponential(f.build(e.args[0]))
    return up, f.div(f.one, up)


def _cosh(f: Field, e: Expr) -> Fraction:
    up, down = _cosh_pair(f, e)
    return f.scale(f.add(up, down), Rational(1, 2))


def _sinh(f: Field, e: Expr) -> Fraction:
    up, down = _cosh_pair(f, e)
    return f.scale(f.sub(up, down), Rational(1, 2))


def _erf(f: Field, e: Expr) -> Fraction:
    from sympy import erf

    value = f._function(erf(e.args[0], evaluate=False)) if not isinstance(e, erf) else f._function(e)
    index = next((i for i, d in enumerate(value.num.degrees()) if d), None)
    if index is not None:
        bounds = (f.polys[index] + 1, 1 - f.polys[index])
        if not any(b == fact for fact in f.facts for b in bounds):
            f.facts.extend(bounds)
    return value


def _erfc(f: Field, e: Expr) -> Fraction:
    from sympy import erf

    inner = erf(e.args[0])
    return f.sub(f.one, f.build(inner))


def _abs(f: Field, e: Expr) -> Fraction:
    a = f.build(e.args[0])
    content, parts = f.factors(a)
    result = f.constant(abs(content))
    for p, m in parts:
        s = f.sign(p)
        g = Fraction(p, f.ctx.constant(1))
        if s or m % 2 == 0:
            result = f.mul(result, f.power(f.neg(g) if s < 0 else g, m))
            continue
        result = f.mul(result, f.power(f.absolute(p), m))
    return result


def _response(f: Field, e: Expr) -> Fraction:
    b, ratio = (f.build(a) for a in e.args)
    key = ("response", b.key, ratio.key)
    fresh = key not in f._index
    V = f.generator(key, lambda: Generator(e, "response", True, symbols=frozenset(e.free_symbols)))
    if fresh:
        index = f.index_of(V)
        g = f.polys[index]
        one = f.ctx.constant(1)
        # ratio b V^2 + (b (1 - ratio) + ratio) V - ratio, times the denominators
        nr, dr, nb, db = ratio.num, ratio.den, b.num, b.den
        lead = nr * nb * dr
        tail = nr * dr * db - (nb * (dr - nr) * dr + nr * dr * db) * g
        f.relations[index] = Relation(2, lead, tail)
        f.facts.extend((one - g, db + nb * g))
        if f.sign(dr) > 0:
            f.facts.append(nr * g + dr - nr)
    return V


def _rewritten(rewrite: Callable[..., Expr]) -> Callable[[Field, Expr], Fraction]:
    return lambda f, e: f.build(rewrite(*e.args))


_HANDLERS: dict[str, Callable[[Field, Expr], Fraction]] = {
    "log": lambda f, e: f.logarithm(f.build(e.args[0])),
    "cosh": _cosh,
    "sinh": _sinh,
    "tanh": lambda f, e: f.div(_sinh(f, e), _cosh(f, e)),
    "tan": lambda f, e: f.div(f.build(sin(e.args[0])), f.build(cos(e.args[0]))),
    "coth": lambda f, e: f.div(_cosh(f, e), _sinh(f, e)),
    "sech": lambda f, e: f.div(f.one, _cosh(f, e)),
    "csch": lambda f, e: f.div(f.one, _sinh(f, e)),
    "asinh": _rewritten(lambda x: log(x + sqrt(x**2 + 1))),
    "acosh": _rewritten(lambda x: log(x + sqrt(x - 1) * sqrt(x + 1))),
    "atanh": _rewritten(lambda x: log(1 + x) / 2 - log(1 - x) / 2),
    "log_cosh": lambda f, e: f.logarithm(_cosh(f, e)),
    "log_erfc": lambda f, e: f.logarithm(_erfc(f, e)),
    "log_erfc_drop": _rewritten(lambda x, y: log(erfc(x) - erfc(y))),
    "erfcx": lambda f, e: f.mul(f.exponential(f.power(f.build(e.args[0]), 2)), _erfc(f, e)),
    "log1mexp": _rewritten(lambda x: log(1 - exp(-x))),
    "softplus": _rewritten(lambda x: log(1 + exp(x))),
    "log_sum_exp": lambda f, e: f.build(log(Add(*(exp(x) for x in e.args)))),
    "erf": _erf,
    "erfc": _erfc,
    "Abs": _abs,
    "MPResponse": _response,
}
