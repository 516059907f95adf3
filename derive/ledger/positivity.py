"""Proofs of inequalities: each rule exact, the search shallow and time-boxed by its callers.

A quantity is shown to be positive on a domain by

- signs of symbols, sums and products of what is positive, even powers;
- the factors of its normal form, each of known sign, after the substitutions x = lower + q,
  x = (lower + upper q)/(1 + q) and x = y + q (for a known x > y) with q > 0, in which all coefficients have one sign;
- Sturm sequences, for a factor in one generator over Q;
- a leading coefficient and a discriminant of opposite signs;
- a square root against the rest, by their squares;
- a derivative of one sign together with the value at the end from which the quantity grows (again and again);
- log u > 0 where u > 1;
- averages of what is positive; the variance E f^2 - (E f)^2, plain or tilted; Jensen: log E e^g >= E g.

Strict and weak are kept apart: a weak inequality never yields a strict one without a reason.
"""

from __future__ import annotations

from sympy import (
    Add,
    Basic,
    Derivative,
    Expr,
    Mul,
    Rel,
    S,
    Symbol,
    log,
)
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from derive.core import Domain
from derive.ledger.continuity import Continuity
from derive.ledger.domain import declared
from derive.ledger.field import Field
from derive.ledger.generators import Full, Unsupported
from derive.ledger.sign_averages import AverageSigns
from derive.ledger.sign_polynomials import PolynomialSigns
from derive.nodes.averages import (
    Average,
)

__all__ = ["Prover", "continuous_at", "prove_nonzero", "prove_positive", "prove_relation"]


def prove_positive(expr: Expr, domain: Domain, depth: int = 3, strict: bool = True) -> str | None:
    """A reason why an expression is positive (non-negative where not strict) on a domain, or None.

    >>> from sympy import Interval, oo
    >>> x = Symbol("x", real=True)
    >>> prove_positive(log(1 + x) - x/(1 + x), Domain(((x, Interval.open(0, oo)),))) is not None
    True
    """
    from derive.ledger.premises import sharpened_domain, sharpened_sides

    sharp, names = sharpened_sides((expr,), domain)
    return Prover(sharpened_domain(domain, names)).positive(sharp[0], strict, depth)


def prove_nonzero(expr: Expr, domain: Domain, depth: int = 2) -> str | None:
    """A reason why an expression does not vanish on a domain, or None."""
    return prove_positive(expr, domain, depth) or prove_positive(-expr, domain, depth)


def continuous_at(expr: Expr, symbol: Symbol, point: Expr, domain: Domain) -> bool:
    """Whether an expression is known to be continuous at a point of the closed range of a symbol, from inside."""
    from derive.ledger.premises import sharpened_domain, sharpened_sides

    sharp, names = sharpened_sides((expr,), domain)
    return Prover(sharpened_domain(domain, names))._continuous(sharp[0], names.get(symbol, symbol), point)


def prove_relation(relation: Basic, domain: Domain, depth: int = 3) -> str | None:
    """A reason why an inequality holds on a domain, or None."""
    if isinstance(relation, BooleanTrue):
        return "true by the signs of its symbols"
    if isinstance(relation, BooleanFalse) or not isinstance(relation, Rel):
        return None
    difference = relation.lhs - relation.rhs
    if relation.rel_op in (">", ">="):
        return prove_positive(difference, domain, depth, relation.rel_op == ">")
    if relation.rel_op in ("<", "<="):
        return prove_positive(-difference, domain, depth, relation.rel_op == "<")
    if relation.rel_op == "!=":
        return prove_nonzero(difference, domain, depth)
    return None


class Prover(PolynomialSigns, AverageSigns, Continuity):
    """Proofs on one domain, whose symbols carry the assumptions that the domain states."""

    def positive(self, e: Expr, strict: bool, depth: int) -> str | None:
        key = (e, strict, depth)
        if key not in self.seen:
            self.seen[key] = None  # a proof may not use itself
            try:
                self.seen[key] = self._positive(e, strict, depth)
            except (Unsupported, Full):
                self.seen[key] = None
        return self.seen[key]

    def _positive(self, e: Expr, strict: bool, depth: int) -> str | None:
        if (e.is_positive if strict else e.is_nonnegative) or (e == 0 and not strict):
            return "signs of the symbols"
        if e.is_number:
            return self._number(e, strict)
        if e.is_negative or (strict and e.is_nonpositive) or e == 0:
            return None
        rules = (self._fact, self._logarithm, self._average, self._normal_form)
        for rule in rules:
            found = rule(e, strict, depth)
            if found is not None:
                return found
        if depth > 0:
            return (self._monotone(e, strict, depth)
                    or (None if e.has(Average) or not e.has(log) else self._termwise(e, strict, depth)))
        return None

    def _number(self, e: Expr, strict: bool) -> str | None:
        from derive.ledger.balls import NotEnclosed, enclose

        try:
            value = enclose(e, {}, 200)
        except (NotEnclosed, ValueError):
            return None
        return "its value in balls" if getattr(value, "imag", 0) == 0 and value > 0 else None

    def _fact(self, e: Expr, strict: bool, depth: int) -> str | None:
        for fact, known_strict in self._facts():
            if strict and not known_strict:
                continue
            if (e - fact).is_zero or e == fact:
                return "a premise"
            f = Field(self.domain, capacity=32)
            x, y = f.build(e), f.build(fact)
            if y.is_zero:
                continue
            quotient = f.div(x, y)
            if f.sign(quotient.num, ask=False) * f.sign(quotient.den, ask=False) > 0:
                return "a premise times what is positive"
        return None

    def _logarithm(self, e: Expr, strict: bool, depth: int) -> str | None:
        """sum c_i log u_i > 0 where the product of u_i^c_i exceeds one."""
        if not e.has(log):
            return None
        terms = [t.as_coeff_Mul() for t in Add.make_args(e)]
        if not all(isinstance(t, log) or t == 1 for _, t in terms) or not all(c.is_Rational for c, _ in terms):
            return None
        if any(t == 1 for _, t in terms):
            return None
        if not all(self.positive(t.args[0], True, max(depth - 1, 0)) for _, t in terms):
            return None  # a logarithm that may have no value
        common = 1
        for c, _ in terms:
            common = int(common * c.q // _gcd(common, int(c.q)))
        if any(abs(c * common) > 8 for c, _ in terms):
            return None
        up = Mul(*(t.args[0] ** int(c * common) for c, t in terms if c > 0))
        down = Mul(*(t.args[0] ** int(-c * common) for c, t in terms if c < 0))
        found = self.positive(up - down, strict, max(depth - 1, 0))
        return f"a logarithm of what exceeds one ({found})" if found else None

    def _monotone(self, e: Expr, strict: bool, depth: int) -> str | None:
        """Growing from an end where it is not negative, or falling to one."""
        if e.count_ops() > 400:
            return None
        for x in sorted((s for s in e.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
            r = declared(x, self.domain)
            if x.is_integer:
                continue
            slope: Expr | None = None
            for end, side in ((r.lower, 1), (r.upper, -1)):
                value = self._value_at(e, x, end)
                if value is None:
                    continue
                at_end = value == 0 or self.positive(value, False, max(depth - 1, 0))
                if not at_end:
                    continue
                if slope is None:
                    slope = e.diff(x)
                closed = not (r.lower_open if side > 0 else r.upper_open)
                if closed and strict and not (value != 0 and self.positive(value, True, max(depth - 1, 0))):
                    continue
                stripped = self._stripped(side * slope)
                grows = stripped is not None and self.positive(stripped, strict, depth - 1)
                if grows:
                    way = "grows from" if side > 0 else "falls to"
                    return f"it {way} {_short(value)} at {x.name} = {end}"
        return None

    def _stripped(self, e: Expr) -> Expr | None:
        """The expression without factors that are known to be positive."""
        if e.has(AppliedUndef, Derivative):
            return e
        f = Field(self.domain, None, 64)
        try:
            a = f.build(e)
        except (Unsupported, Full):
            return e
        if a.is_zero:
            return S.Zero
        content, parts = f.factors(a)
        sign = 1 if content > 0 else -1
        kept = []
        for p, m in parts:
            s = f.sign(p, ask=False)
            if s:
                sign *= s if m % 2 else 1
            else:
                kept.append(f.poly_expr(p) if m % 2 else f.poly_expr(p) ** 2)
        return sign * Mul(*kept)


def _short(value: Expr) -> str:
    text = str(value)
    return text if len(text) < 40 else "a value that is not negative"


def _gcd(a: int, b: int) -> int:
    from math import gcd

    return gcd(a, b)
