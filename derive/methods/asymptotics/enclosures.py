"""Transseries with proven remainders: what is left out is bounded for every X >= X0, by ball arithmetic.

An enclosure is a finite sum of exact constants times monomials, and a rest of at most C_1 e_1 + C_2 e_2 + ... with
monomials e_k and balls C_k.  Every bound comes from one lemma: a quotient of monomials whose logarithmic derivative
is negative from X0 on is largest at X0.  The order of terms is never trusted, only these bounds are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from flint import arb
from sympy import Expr, Rational, S, Symbol

from derive.ledger.balls import NotEnclosed, enclose
from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import NotExpandable
from derive.methods.asymptotics.transseries import ONE, Monomial, Ring, level, normal
from derive.nodes import MPResponse, log1mexp, log_cosh, log_sum_exp, softplus

__all__ = ["Algebra", "Enclosed", "NotProven"]

PRECISION = 128


class NotProven(Exception):
    """A bound that this arithmetic does not give, at this X0 or at all."""


@dataclass(frozen=True)
class Enclosed:
    """Exact terms, and a bound of the rest: the sum of the balls times their monomials."""

    terms: Mapping[Monomial, Ratio]
    rest: Mapping[Monomial, Any] = field(default_factory=dict)


class Algebra:
    """Arithmetic of enclosures for X >= start.

    Args: ring, for exact constants and for the order in which terms are kept; start, X0, at least 4; terms, kept in an
    enclosure; bindings, symbol -> enclosure.
    """

    def __init__(self, ring: Ring, start: Rational, terms: int, bindings: Mapping[Symbol, Enclosed]) -> None:
        self.ring, self.start, self.terms, self.bindings = ring, start, terms, dict(bindings)
        self._memo: dict[Expr, Enclosed] = {}
        self._logs = [self._ball(start)]
        for _ in range(3):
            self._logs.append(self._logs[-1].log())
        self._balls: dict[Ratio, Any] = {}
        self._sups: dict[Monomial, Any] = {}

    def bound(self, more: Mapping[Symbol, Enclosed]) -> Algebra:
        """The same with further symbols bound."""
        return Algebra(self.ring, self.start, self.terms, {**self.bindings, **more})

    # ------------------------------------------------------------------------------------------------------ numbers

    def _ball(self, e: Expr) -> Any:
        try:
            found = enclose(e, {}, PRECISION)
        except NotEnclosed as error:
            raise NotProven(str(error)) from error
        if not isinstance(found, arb) or not found.is_finite():
            raise NotProven(f"{e} has no enclosure")
        return found

    def size(self, c: Ratio) -> Any:
        """A ball around a coefficient."""
        if c not in self._balls:
            self._balls[c] = self._ball(self.ring.table.expr(c))
        return self._balls[c]

    def _sign(self, c: Ratio) -> int:
        ball = self.size(c)
        if ball > 0:
            return 1
        if ball < 0:
            return -1
        raise NotProven(f"the sign of {self.ring.table.expr(c)}")

    def sup(self, m: Monomial) -> Any:
        """The largest value of a monomial that falls from X0 on; NotProven where it is not seen to fall."""
        if m not in self._sups:
            self._sups[m] = self._sup(m)
        return self._sups[m]

    def _sup(self, m: Monomial) -> Any:
        if m == ONE:
            return arb(1)
        slope, exponent = arb(0), arb(0)  # slope of log m in log X, at most
        for n, c in m.expo:
            if len(n.powers) != 1 or n.expo or not self._ball(n.powers[0]) > 0 or not self._ball(c) < 0:
                raise NotProven(f"{m.expr(Symbol('X'))} is not seen to fall")
            value = self._ball(c) * self._logs[0] ** self._ball(n.powers[0])
            slope, exponent = slope + value * self._ball(n.powers[0]), exponent + value
        value, below = exponent.exp(), arb(1)
        if len(m.powers) > 3:
            raise NotProven("logarithms of logarithms of logarithms")
        for k, p in enumerate(m.powers):
            power = self._ball(p)
            if k == 0:
                slope += power
            else:
                below *= self._logs[k]
                slope += (power if power > 0 else arb(0)) / below
            value *= self._logs[k] ** power
        if not slope <= 0:
            raise NotProven(f"{m.expr(Symbol('X'))} does not fall yet at X = {self.start}")
        return value

    # ---------------------------------------------------------------------------------------------------- arithmetic

    def constant(self, value: Expr | int) -> Enclosed:
        c = self.ring.table.ratio(S(value))
        return Enclosed({ONE: c}) if c else Enclosed({})

    def shortened(self, terms: Mapping[Monomial, Ratio], rest: Mapping[Monomial, Any]) -> Enclosed:
        """So many terms at most; the others, and all that are below the rest, become part of it."""
        kept = {m: r for m, r in ((m, self.ring.table.reduced(c)) for m, c in terms.items()) if r}
        left = dict(rest)
        ordered = self.ring.sorted(kept)
        for m in ordered[self.terms :]:
            left[m] = left.get(m, arb(0)) + abs(self.size(kept.pop(m)))
        worst = self.ring.largest(left)
        if worst is None:
            return Enclosed(kept)
        for m in [*left, *kept]:
            if m == worst:
                continue
            try:
                over = self.sup(m / worst)
            except NotProven:
                continue
            if m in left:
                left[worst] += left.pop(m) * over
            elif self.ring.compare(m, worst) <= 0:
                left[worst] += abs(self.size(kept.pop(m))) * over
        return Enclosed(kept, left)

    def add(self, *parts: Enclosed) -> Enclosed:
        terms: dict[Monomial, Ratio] = {}
        rest: dict[Monomial, Any] = {}
        for a in parts:
            for m, c in a.terms.items():
                terms[m] = terms[m] + c if m in terms else c
            for m, b in a.rest.items():
                rest[m] = rest.get(m, arb(0)) + b
        return self.shortened(terms, rest)

    def mul(self, a: Enclosed, b: Enclosed) -> Enclosed:
        terms: dict[Monomial, Ratio] = {}
        rest: dict[Monomial, Any] = {}
        for m, c in a.terms.items():
            for n, d in b.terms.items():
                terms[m * n] = terms[m * n] + c * d if m * n in terms else c * d
        for one, other in ((a, b), (b, a)):
            for e, bound in one.rest.items():
                for m, c in other.terms.items():
                    rest[e * m] = rest.get(e * m, arb(0)) + bound * abs(self.size(c))
        for e, bound in a.rest.items():
            for f, other_bound in b.rest.items():
                rest[e * f] = rest.get(e * f, arb(0)) + bound * other_bound
        return self.shortened(terms, rest)

    def scaled(self, a: Enclosed, c: Ratio, m: Monomial = ONE) -> Enclosed:
        size = abs(self.size(c))
        return Enclosed({k * m: self.ring.table.reduced(d * c) for k, d in a.terms.items()},
                        {k * m: b * size for k, b in a.rest.items()})  # fmt: skip

    def over(self, a: Enclosed, m: Monomial) -> Any:
        """A bound of |a|/m for X >= X0."""
        parts = [abs(self.size(c)) * self.sup(k / m) for k, c in a.terms.items()]
        return sum((b * self.sup(k / m) for k, b in a.rest.items()), sum(parts, arb(0)))

    def _unit(self, a: Enclosed) -> tuple[Monomial, Ratio, Enclosed]:
        """(m, c, small) with a = c m (1 + small)."""
        head = self.ring.largest(a.terms)
        if head is None:
            raise NotProven("nothing is known of the leading term")
        c = a.terms[head]
        others = Enclosed({m: k for m, k in a.terms.items() if m != head}, a.rest)
        return head, c, self.scaled(others, Ratio.of(1) / c, ONE / head)

    def sign(self, a: Enclosed) -> int:
        """The sign for every X >= X0, 0 of an exact zero."""
        if not a.terms and not a.rest:
            return 0
        _, c, small = self._unit(a)
        if not self.over(small, ONE) < 1:
            raise NotProven("a sign: the rest may be larger than the leading term")
        return self._sign(c)

    def _composed(
        self, coefficient: Callable[[int], Expr], tail: Callable[[int, Any], Any], small: Enclosed
    ) -> Enclosed:
        """sum over k of coefficient(k) small^k; tail(K, r) bounds the rest over |small|^K for |small| <= r."""
        total = self.constant(coefficient(0))
        head = self.ring.largest((*small.terms, *small.rest))
        if head is None:
            return total
        factor = self.over(small, head)
        radius = factor * self.sup(head)
        if not radius < 1:
            raise NotProven("a part that should be small is not below 1 yet")
        power, parts = self.constant(1), [total]
        for k in range(1, self.terms + 1):
            power = self.mul(power, small)
            parts.append(self.mul(power, self.constant(coefficient(k))))
        last = self.terms + 1
        parts.append(Enclosed({}, {head ** S(last): factor**last * tail(last, radius)}))
        return self.add(*parts)

    def power(self, a: Enclosed, r: Expr) -> Enclosed:
        if r == 0:
            return self.constant(1)
        if r.is_Integer and 0 < r <= 8:
            made = a
            for _ in range(int(r) - 1):
                made = self.mul(made, a)
            return made
        if not r.is_Rational:
            raise NotProven(f"a power {r}")
        m, c, small = self._unit(a)
        if not r.is_Integer and self._sign(c) < 0:
            raise NotProven("a root of what is negative")

        def tail(k: int, radius: Any) -> Any:
            edge = 1 - radius if r < k else 1 + radius
            return abs(self._ball(sp.binomial(r, k))) * edge ** self._ball(r - k)

        series = self._composed(lambda k: sp.binomial(r, k), tail, small)
        return self.scaled(series, self.ring.raised(c, r), m**r)

    def log(self, a: Enclosed) -> Enclosed:
        m, c, small = self._unit(a)
        if self._sign(c) < 0:
            raise NotProven("a logarithm of what is negative")
        head = Enclosed({k: self.ring.table.ratio(p) for k, p in m.log_terms})
        value = sp.Add(*(power * self.ring.logarithm(base) for base, power in self.ring.factors(c)))
        series = self._composed(
            lambda k: S.Zero if k == 0 else Rational((-1) ** (k + 1), k), lambda k, r: (1 - r) ** -k / k, small
        )
        return self.add(head, self.constant(value), series)

    def exp(self, a: Enclosed) -> Enclosed:
        powers: dict[int, Expr] = {}
        expo: dict[Monomial, Expr] = {}
        small: dict[Monomial, Ratio] = {}
        value = self.ring.table.ratio(S.One)
        for m, c in a.terms.items():
            if m == ONE:
                value = value * self.ring._exponential(c)
            elif self.ring.compare(m, ONE) < 0:
                small[m] = c
            elif len(m.powers) > 1 and m == level(len(m.powers) - 1):
                powers[len(m.powers) - 2] = normal(self.ring.table.expr(c))
            else:
                expo[m] = normal(self.ring.table.expr(c))
        scale = Monomial.of([powers.get(i, S.Zero) for i in range(max(powers, default=-1) + 1)], expo)
        series = self._composed(
            lambda k: 1 / sp.factorial(k), lambda k, r: r.exp() / self._ball(sp.factorial(k)), Enclosed(small, a.rest)
        )
        return self.scaled(series, value, scale)

    # --------------------------------------------------------------------------------------------------- expressions

    def __call__(self, e: Expr) -> Enclosed:
        """The enclosure of an expression; NotProven for what has none here."""
        if e not in self._memo:
            try:
                self._memo[e] = self._enclosed(e)
            except NotExpandable as error:
                raise NotProven(str(error)) from error
        return self._memo[e]

    def _enclosed(self, e: Expr) -> Enclosed:
        if e.free_symbols.isdisjoint(self.bindings):
            if e.free_symbols:
                raise NotProven(f"{e} has no value")
            return self.constant(e)
        if isinstance(e, Symbol):
            bound: Enclosed = self.bindings[e]
            return bound
        if e.is_Add:
            return self.add(*map(self, e.args))
        if e.is_Mul:
            made = self.constant(1)
            for a in e.args:
                made = self.mul(made, self(a))
            return made
        if isinstance(e, sp.exp):
            return self.exp(self(e.args[0]))
        if isinstance(e, sp.log):
            return self.log(self(e.args[0]))
        if e.is_Pow:
            base, power = e.args
            if not power.free_symbols.isdisjoint(self.bindings):
                return self.exp(self.mul(self(power), self.log(self(base))))
            return self.power(self(base), power)
        if isinstance(e, MPResponse):
            return self._response(*e.args)
        if isinstance(e, sp.Min | sp.Max):
            return self._extreme(e)
        form = PLAIN.get(type(e))
        if form is None:
            raise NotProven(f"{type(e).__name__} has no enclosure here")
        found: Enclosed = self(form(*e.args))
        return found

    def _extreme(self, e: Expr) -> Enclosed:
        best: Enclosed = self(e.args[0])
        for other in map(self, e.args[1:]):
            ahead = self.sign(self.add(other, self.scaled(best, Ratio.of(-1))))
            if ahead == (1 if isinstance(e, sp.Max) else -1):
                best = other
        return best

    def _response(self, b: Expr, ratio: Expr) -> Enclosed:
        """The positive root V of ratio b V^2 + p V - ratio = 0, in the form in which nothing cancels."""
        p = b * (1 - ratio) + ratio
        root = sp.sqrt(p**2 + 4 * ratio**2 * b)
        found: Enclosed = self(2 * ratio / (p + root) if self.sign(self(p)) > 0 else (root - p) / (2 * ratio * b))
        return found


PLAIN: Mapping[type, Callable[..., Expr]] = {
    sp.cosh: lambda a: (sp.exp(a) + sp.exp(-a)) / 2,
    sp.sinh: lambda a: (sp.exp(a) - sp.exp(-a)) / 2,
    sp.tanh: lambda a: (sp.exp(a) - sp.exp(-a)) / (sp.exp(a) + sp.exp(-a)),
    log_cosh: lambda a: sp.log((sp.exp(a) + sp.exp(-a)) / 2, evaluate=False),
    softplus: lambda a: sp.log(1 + sp.exp(a)),
    log1mexp: lambda a: sp.log(1 - sp.exp(-a)),
    log_sum_exp: lambda *xs: sp.log(sp.Add(*map(sp.exp, xs))),
}
