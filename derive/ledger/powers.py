"""Exponentials, logarithms, roots and absolute values in a field of generators."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

from flint import fmpq
from sympy import (
    Abs,
    Expr,
    Integer,
    Rational,
    S,
    exp,
    factorint,
    log,
)

from derive.ledger.generators import Fraction, Fractions, Generator, Relation, Root, Unsupported

__all__ = ["Powers"]


@dataclass
class Powers(Fractions):
    """Fractions with exponentials split over sums, and roots and logarithms over products."""

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
        chain = self._roots.setdefault(base, Root(base, 1))
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
            self._roots[base] = chain = Root(top, order)
            self._root_base[top] = (base, order)
        g = Fraction(self.polys[chain.top], self.ctx.constant(1))
        return self.power(g, p * chain.order // q)

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
            self._require(self.to_expr(a), "non-negative" if c > 0 else "positive")
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
            self._require(self.to_expr(a), "positive")
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

    def _require(self, expr: Expr, kind: str) -> None:
        if self.conditions.get(expr) != "positive":
            self.conditions[expr] = kind


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
