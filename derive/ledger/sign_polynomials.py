"""Signs of normal forms: factors of known sign, shifts to the ends of intervals, Sturm, discriminants, radicals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from sympy import (
    Abs,
    Dummy,
    Expr,
    Integer,
    Poly,
    Rational,
    S,
    count_roots,
    oo,
)
from sympy.core.function import AppliedUndef

from derive.ledger.domain import declared
from derive.ledger.field import Field
from derive.ledger.generators import Fraction, Full, Unsupported
from derive.ledger.signs import Signs

__all__ = ["PolynomialSigns"]


class PolynomialSigns(Signs):
    """Inequalities by the factors of a normal form."""

    def _normal_form(self, e: Expr, strict: bool, depth: int) -> str | None:
        from derive.ledger.rungs import parametrised

        for capacity in (24, 64):
            f = Field(self.domain, None, capacity)
            try:
                parametrised(f, e)
                a = f.build(e)
                self._tell(f)
            except Full:
                continue
            if a.is_zero:
                return None if strict else "it is zero"
            return self._by_factors(f, a, strict, depth, e)
        return None

    def _tell(self, f: Field) -> None:
        """Give the field the inequalities of the domain."""
        for fact, known_strict in self._facts():
            if not known_strict:
                continue
            try:
                a = f.build(fact)
            except Unsupported:
                continue
            sign = f.sign(a.den, ask=False)
            if sign:
                f.facts.append(a.num * sign)
        f._signs.clear()

    def _by_factors(self, f: Field, a: Any, strict: bool, depth: int, whole: Expr) -> str | None:
        conditions = [c for c, kind in f.conditions.items() if kind != "non-zero"]
        content, parts = f.factors(a)
        sign = 1 if content > 0 else -1
        unknown: list[tuple[Any, int]] = []
        for poly, m in parts:
            s = f.sign(poly, ask=False)
            if s == 0:
                unknown.append((poly, m))
            elif m % 2:
                sign *= s
        open_odd = [(p, m) for p, m in unknown if m % 2]
        why = "factors of known sign"
        resolved = []
        for p, m in open_odd:
            found = self._factor_sign(f, p, depth, whole)
            if found is None and not strict and m > 0:
                found = self._weak_sign(f, p, depth)
            if found is None:
                return None
            sign *= found[0]
            resolved.append(found[1])
        for p, m in unknown:
            if m % 2 == 0 and (strict or m < 0) and not self._almost_nonzero(f, p) and (
                    self._factor_sign(f, p, depth, whole) is None):
                return None
        if sign < 0 or not all(self.positive(c, True, max(depth - 1, 0)) for c in conditions if c != whole):
            return None
        return why if not resolved else f"{why} ({', '.join(dict.fromkeys(resolved))})"

    def _almost_nonzero(self, f: Field, poly: Any) -> bool:
        """Whether a factor vanishes at finitely many values of an integration variable only."""
        for x in self.almost:
            index = f._index.get(("symbol", x))
            if index is None or not poly.degrees()[index]:
                continue
            if any(d and i != index and x in f.gens[i].symbols for i, d in enumerate(poly.degrees())):
                continue
            top = poly.degrees()[index]
            lead = {(*m[:index], 0, *m[index + 1:]): c for m, c in poly.terms() if m[index] == top}
            if f.sign(f.ctx.from_dict(lead), ask=False):
                return True
        return False

    def _factor_sign(self, f: Field, poly: Any, depth: int, whole: Expr) -> tuple[int, str] | None:
        """The sign of a factor in normal form, by the rules for polynomials and, where it is not all, by any rule."""
        for s in (1, -1):
            found = self._polynomial(f, poly * s, True, depth)
            if found:
                return s, found
        if depth <= 0:
            return None
        expr = self._signed(f.poly_expr(poly))
        if expr == whole or -expr == whole or expr.has(AppliedUndef):
            return None
        for s in (1, -1):
            signed = s * expr
            if signed == whole:
                continue
            found = self._logarithm(signed, True, depth - 1) or self._average(signed, True, depth - 1)
            if found is None:
                found = self._monotone(signed, True, depth - 1)
            if found:
                return s, found
        return None

    def _weak_sign(self, f: Field, poly: Any, depth: int) -> tuple[int, str] | None:
        """1 for a factor that is never negative, -1 for one that is never positive."""
        for s in (1, -1):
            found = self._polynomial(f, poly * s, False, depth)
            if found:
                return s, found
        return None

    def _signed(self, e: Expr) -> Expr:
        """The expression with absolute values of what has one sign replaced by that or its negative."""
        for node in sorted(e.atoms(Abs), key=str):
            (u,) = node.args
            for value in (u, -u):
                if self.positive(value, True, 1):
                    e = e.xreplace({node: value})
                    break
        return e

    def _polynomial(self, f: Field, poly: Any, strict: bool, depth: int) -> str | None:
        """Substitution to one sign of all coefficients, Sturm, discriminant."""
        return (self._shifted(f, poly, strict) or self._sturm(f, poly, strict)
                or self._discriminant(f, poly, strict, depth) or self._radical(f, poly, depth)
                or (None if strict or depth <= 0 else self._squares(f, poly)))

    def _squares(self, f: Field, poly: Any) -> str | None:
        """Never negative by squares, once what has a root is written as a power of it."""
        fine = poly
        for i in sorted(f.relations):
            relation = f.relations[i]
            below = relation.tail
            if relation.lead == 1 and below.total_degree() == 1 and len(list(below.terms())) == 1 and (
                    below.leading_coefficient() == 1 and f.gens[i].positive):
                j = next(k for k, d in enumerate(below.degrees()) if d)
                fine = _substitute(f, fine, j, f.polys[i] ** relation.degree, f.ctx.constant(1))
        if any(fine.degrees()[i] for i in f.relations if f.gens[i].kind not in ("root", "base")):
            return None
        return "squares" if _never_negative(f, fine, 3) else None

    def _radical(self, f: Field, poly: Any, depth: int) -> str | None:
        """A + K g > 0 for a square root g > 0, by the sign of K and of K^2 g^2 - A^2, or of A and of A^2 - K^2 g^2."""
        if depth <= 0:
            return None
        for i in sorted(f.relations, reverse=True):
            relation, degree = f.relations[i], poly.degrees()[i]
            if relation.degree != 2 or degree != 1 or relation.tail.degrees()[i] or not f.gens[i].positive:
                continue
            if f.sign(relation.lead, ask=False) <= 0:
                continue
            a, k = (f.ctx.from_dict({(*m[:i], 0, *m[i + 1:]): c for m, c in poly.terms() if m[i] == j} or {
                tuple(0 for _ in range(f.capacity)): 0}) for j in range(2))
            excess = f.reduce(k**2 * relation.tail - a**2 * relation.lead)[0]
            for part, difference in ((k, excess), (a, -excess)):
                if part.is_zero() or difference.is_zero():
                    continue
                if self._known(f, part, depth - 1) and self._known(f, difference, depth - 1):
                    return "a square root against the rest, by their squares"
        return None

    def _known(self, f: Field, poly: Any, depth: int) -> bool:
        """Whether a polynomial in generators is known to be positive."""
        content, parts = f.factors(Fraction(poly, f.ctx.constant(1)))
        sign = 1 if content > 0 else -1
        for part, m in parts:
            s = f.sign(part, ask=False)
            if s == 0:
                s = next((t for t in (1, -1) if self._polynomial(f, part * t, True, depth)), 0)
            if s == 0:
                return False
            sign *= s if m % 2 else 1
        return sign > 0

    def _shifted(self, f: Field, poly: Any, strict: bool) -> str | None:
        """All coefficients positive once bounded generators are written in positive ones."""
        used = [i for i, d in enumerate(poly.degrees()) if d]
        forms = [(i, options) for i in used if (options := self._substitutions(f, i))]
        if not forms:
            return None
        for choice in _choices(forms):
            ordered = _in_order(choice)
            if ordered is None:
                continue
            shifted = poly
            degrees = {}
            for i, shift in ordered:
                degrees[i] = shifted.degrees()[i]
                shifted = _substitute(f, shifted, i, shift.num, shift.den)
            shifted = _reduced(f, shifted, set(degrees))
            if shifted is None:
                continue
            if strict and _sure(f, shifted, dict(ordered), degrees):
                return "positive coefficients after a shift to the ends of the intervals"
            if not strict and (shifted.is_zero() or _weak_termwise(f, shifted, frozenset(degrees))):
                return "coefficients that are not negative after a shift to the ends of the intervals"
        return None

    def _substitutions(self, f: Field, index: int) -> list[_Shift]:
        """Fractions in the same generator, now positive, that run over the range of a generator."""
        g, q, one = f.gens[index], f.polys[index], f.ctx.constant(1)
        if index in f.relations:
            return []
        if g.kind == "response":
            return [_Shift(one, one + q)]
        if g.kind == "exp" and g.argument is not None:
            s = f.sign(g.argument.num, ask=False) * f.sign(g.argument.den, ask=False)
            return [_Shift(one + q, one)] if s > 0 else [_Shift(one, one + q)] if s < 0 else []
        if g.kind == "function" and type(g.expr).__name__ == "erf":
            return [_Shift(one, one + q)] if g.positive else [_Shift(q - one, q + one)]
        if g.kind != "symbol":
            return []
        options: list[_Shift] = []
        r = declared(g.expr, self.domain)
        low, high = not r.lower_open, not r.upper_open
        try:
            if r.lower.is_finite and r.upper.is_finite:
                a, b = f.build(r.lower), f.build(r.upper)
                den = (one + q) * a.den * b.den
                options.append(_Shift(a.num * b.den + b.num * a.den * q, den, low, high))
            elif r.lower.is_finite and r.lower != 0:
                a = f.build(r.lower)
                options.append(_Shift(a.num + a.den * q, a.den, low))
            elif r.upper.is_finite:
                a = f.build(r.upper)
                options.append(_Shift(a.num - a.den * q, a.den, high))
            for fact, known_strict in self._facts():
                x = g.expr
                if x in fact.free_symbols and fact.diff(x).is_number and fact.diff(x) != 0:
                    slope = fact.diff(x)
                    bound = f.build(-(fact - slope * x) / slope)
                    if slope > 0:
                        options.append(_Shift(bound.num + bound.den * q, bound.den, not known_strict))
                    elif g.positive and r.upper == oo:  # 0 < x < bound
                        options.append(_Shift(bound.num, bound.den * (one + q), not known_strict))
        except Unsupported:
            return options
        return [o for o in options if f.sign(o.den, ask=False) > 0 or o.den.is_constant() or _sure(
            f, o.den, {index: o}, {index: 0})]

    def _sturm(self, f: Field, poly: Any, strict: bool) -> str | None:
        used = [i for i, d in enumerate(poly.degrees()) if d]
        if len(used) != 1 or f.gens[used[0]].kind not in ("symbol", "exp", "response", "function"):
            return None
        g = f.gens[used[0]]
        x = Dummy("x")
        p = Poly({(int(m[used[0]]),): Rational(int(c.p), int(c.q)) for m, c in poly.terms()}, x)
        lower, upper = self._range(g)
        if lower is None or upper is None:
            return None
        ends = (None if lower == -oo else lower, None if upper == oo else upper)
        inside = count_roots(p, *ends)
        for end in ends:
            if end is not None and p.eval(end) == 0:
                inside -= 1
        if inside > 0:
            return None
        middle = _middle(lower, upper)
        return "Sturm: no root in the interval" if p.eval(middle) > 0 else None

    def _range(self, g: Any) -> tuple[Any, Any]:
        """Rational ends of the range of a generator; the ends themselves are not reached."""
        if g.kind == "response":
            return S.Zero, S.One
        if g.kind == "exp":
            return S.Zero, oo
        if g.kind == "function":
            return (S.NegativeOne, S.One) if type(g.expr).__name__ == "erf" else (None, None)
        r = declared(g.expr, self.domain)
        if (not r.lower_open and r.lower.is_finite) or (not r.upper_open and r.upper.is_finite):
            return None, None
        ok = all(v.is_Rational or v in (oo, -oo) for v in (r.lower, r.upper))
        return (r.lower, r.upper) if ok else (None, None)

    def _discriminant(self, f: Field, poly: Any, strict: bool, depth: int) -> str | None:
        if depth <= 0:
            return None
        for i, d in enumerate(poly.degrees()):
            if d != 2 or i in f.relations:
                continue
            c = [f.ctx.from_dict({(*m[:i], 0, *m[i + 1:]): v for m, v in poly.terms() if m[i] == k} or {
                tuple(0 for _ in range(f.capacity)): 0}) for k in range(3)]
            lead = f.sign(c[2], ask=False)
            negative = 4 * c[2] * c[0] - c[1] ** 2
            if lead > 0 and not negative.is_zero() and f.sign(negative, ask=False) > 0:
                return "a leading coefficient and a discriminant of opposite signs"
        return None


def _middle(lower: Any, upper: Any) -> Rational:
    if lower == -oo:
        return Integer(0) if upper == oo else upper - 1
    return lower + 1 if upper == oo else (lower + upper) / 2


@dataclass(frozen=True)
class _Shift:
    """num/den, which runs over the range of a generator as q runs over all that is positive.

    Attributes: num, den, zero, infinity (whether q = 0 and q = oo belong to it: closed ends).
    """

    num: Any
    den: Any
    zero: bool = False
    infinity: bool = False


def _choices(forms: list[tuple[int, list[_Shift]]]) -> Iterator[list[tuple[int, _Shift]]]:
    """Ways to substitute, the plain one (first option for all) first, at most 24; an option may be left out."""
    lists = [[*((i, o) for o in options), None] for i, options in forms]
    for combination in islice(product(*lists), 24):
        chosen = [c for c in combination if c is not None]
        if chosen:
            yield chosen


def _in_order(choice: list[tuple[int, _Shift]]) -> list[tuple[int, _Shift]] | None:
    """The substitutions, each before that of a generator which it brings in; None where they go round in a circle."""
    waiting, done = list(choice), []
    while waiting:
        free = next((w for w in waiting if not any(
            o is not w and (o[1].num.degrees()[w[0]] or o[1].den.degrees()[w[0]]) for o in waiting)), None)
        if free is None:
            return None
        waiting.remove(free)
        done.append(free)
    return done


def _sure(f: Field, poly: Any, shifts: Mapping[int, _Shift], degrees: Mapping[int, int]) -> bool:
    """Whether a polynomial is positive wherever the generators that were shifted are, closed ends included.

    At each corner of the closed ends some term is left: without q where q = 0, with its highest power where q = oo.
    """
    if poly.is_zero() or not _weak_termwise(f, poly, frozenset(shifts)):
        return False
    firm = [m for m, _ in poly.terms() if all(
        i in shifts or f.gens[i].positive or f.gens[i].nonzero for i, e in enumerate(m) if e)]
    faces = [[(i, power) for power, there in ((0, s.zero), (degrees[i], s.infinity)) if there]
             for i, s in shifts.items()]
    return all(any(all(m[i] == power for i, power in corner) for m in firm)
               for corner in product(*(face for face in faces if face)))


def _substitute(f: Field, poly: Any, index: int, num: Any, den: Any) -> Any:
    """Numerator of poly with generator -> num/den, den positive."""
    degree = poly.degrees()[index]
    total = f.ctx.constant(0)
    for k in range(degree + 1):
        part = {(*m[:index], 0, *m[index + 1:]): c for m, c in poly.terms() if m[index] == k}
        if part:
            total += f.ctx.from_dict(part) * num**k * den ** (degree - k)
    return total


def _reduced(f: Field, poly: Any, replaced: set[int]) -> Any | None:
    """A polynomial modulo the relations that do not rest on replaced generators, up to a positive factor."""
    for index in sorted(f.relations, reverse=True):
        relation = f.relations[index]
        touched = index in replaced or any(relation.tail.degrees()[i] or relation.lead.degrees()[i] for i in replaced)
        if touched or poly.is_zero() or poly.degrees()[index] < relation.degree:
            continue
        poly, extra = f._reduced_in(poly, index, relation)
        if f.sign(extra, ask=False) <= 0:
            return None
    return poly


def _weak_termwise(f: Field, poly: Any, shifted: frozenset[int] = frozenset()) -> bool:
    """Whether no term is negative, where some generators were shifted and are not."""
    return all(
        c > 0 and not any(e % 2 and not (i in shifted or f.gens[i].positive or f.gens[i].nonnegative)
                          for i, e in enumerate(m))
        for m, c in poly.terms()
    )


def _never_negative(f: Field, poly: Any, depth: int) -> bool:
    """Whether a polynomial is nowhere negative: even powers, factors, or squares completed in one generator."""
    if poly.is_zero() or _weak_termwise(f, poly):
        return True
    if depth <= 0 or poly.is_constant():
        return False
    content, parts = f.factors(Fraction(poly, f.ctx.constant(1)))
    if len(parts) > 1 or parts[0][1] > 1:
        sign = 1 if content > 0 else -1
        for part, m in parts:
            if m % 2 == 0:
                continue
            s = next((t for t in (1, -1) if _never_negative(f, part * t, depth - 1)), 0)
            if not s:
                return False
            sign *= s
        return sign > 0
    for i, d in enumerate(poly.degrees()):
        if d == 2:
            c0, c1, c2 = (f.ctx.from_dict({(*m[:i], 0, *m[i + 1:]): v for m, v in poly.terms() if m[i] == k} or {
                (0,) * f.capacity: 0}) for k in range(3))
            if f.sign(c2, ask=False) > 0 and _never_negative(f, 4 * c2 * c0 - c1**2, depth - 1):
                return True
    return False
