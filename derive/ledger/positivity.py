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

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sympy import (
    Abs,
    Add,
    Basic,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Integer,
    Mul,
    Poly,
    Pow,
    Rational,
    Rel,
    S,
    Symbol,
    count_roots,
    expand_mul,
    log,
    oo,
    together,
)
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from derive.core import Domain
from derive.ledger.context import Context
from derive.ledger.domain import declared, sharpened
from derive.ledger.field import Field, Fraction, Full, Unsupported
from derive.nodes.averages import (
    Average,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    SpectralAverage,
    TiltedAverage,
)
from derive.nodes.laws import Atoms, Density, MarchenkoPastur, Noisy, Normal

__all__ = ["continuous_at", "prove_nonzero", "prove_positive", "prove_relation", "uniqueness", "within_range"]


def prove_positive(expr: Expr, domain: Domain, depth: int = 3, strict: bool = True) -> str | None:
    """A reason why an expression is positive (non-negative where not strict) on a domain, or None.

    >>> from sympy import Interval
    >>> x = Symbol("x", real=True)
    >>> prove_positive(log(1 + x) - x/(1 + x), Domain(((x, Interval.open(0, oo)),))) is not None
    True
    """
    from derive.ledger.ladder import _sharp, _sharp_domain

    sharp, names = _sharp((expr,), domain)
    return _Prover(_sharp_domain(domain, names)).positive(sharp[0], strict, depth)


def prove_nonzero(expr: Expr, domain: Domain, depth: int = 2) -> str | None:
    """A reason why an expression does not vanish on a domain, or None."""
    return prove_positive(expr, domain, depth) or prove_positive(-expr, domain, depth)


def continuous_at(expr: Expr, symbol: Symbol, point: Expr, domain: Domain) -> bool:
    """Whether an expression is known to be continuous at a point of the closed range of a symbol, from inside."""
    from derive.ledger.ladder import _sharp, _sharp_domain

    sharp, names = _sharp((expr,), domain)
    return _Prover(_sharp_domain(domain, names))._continuous(sharp[0], names.get(symbol, symbol), point)


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


class _Prover:
    """Proofs on one domain, whose symbols carry the assumptions that the domain states."""

    def __init__(self, domain: Domain, almost: frozenset[Symbol] = frozenset()) -> None:
        self.domain = domain
        self.almost = almost  # symbols for which almost every value is enough: integration variables
        self.seen: dict[tuple[Expr, bool, int], str | None] = {}

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

    def _facts(self) -> Iterator[tuple[Expr, bool]]:
        """What the domain says is positive, and whether strictly."""
        for c in self.domain.constraints:
            if isinstance(c, Rel) and c.rel_op in (">", ">=", "<", "<="):
                sign = 1 if c.rel_op in (">", ">=") else -1
                yield sign * (c.lhs - c.rhs), c.rel_op in (">", "<")

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

    # ---- logarithms

    def _logarithm(self, e: Expr, strict: bool, depth: int) -> str | None:
        """sum c_i log u_i > 0 where the product of u_i^c_i exceeds one."""
        if not e.has(log):
            return None
        terms = [t.as_coeff_Mul() for t in Add.make_args(e)]
        if not all(isinstance(t, log) or t == 1 for _, t in terms) or not all(c.is_Rational for c, _ in terms):
            return None
        if any(t == 1 for _, t in terms):
            return None
        common = 1
        for c, _ in terms:
            common = int(common * c.q // _gcd(common, int(c.q)))
        if any(abs(c * common) > 8 for c, _ in terms):
            return None
        up = Mul(*(t.args[0] ** int(c * common) for c, t in terms if c > 0))
        down = Mul(*(t.args[0] ** int(-c * common) for c, t in terms if c < 0))
        found = self.positive(up - down, strict, max(depth - 1, 0))
        return f"a logarithm of what exceeds one ({found})" if found else None

    # ---- averages

    def _average(self, e: Expr, strict: bool, depth: int) -> str | None:
        if not e.has(Average):
            return None
        rules = (self._termwise, self._single_average, self._variance)
        return next((w for w in (r(e, strict, depth) for r in rules) if w), None) or self._jensen(e, strict)

    def _termwise(self, e: Expr, strict: bool, depth: int) -> str | None:
        """Each term of a sum by itself: none negative, one positive."""
        e = e.expand(deep=False) if e.is_Mul and any(a.is_Add and a.has(Average) for a in e.args) else e
        if not e.is_Add or len(e.args) > 12:
            return None
        found = [self.positive(a, False, max(depth - 1, 0)) for a in e.args]
        if not all(found):
            return None
        if strict and not any(self.positive(a, True, max(depth - 1, 0)) for a in e.args):
            return None
        return f"a sum of what is positive ({', '.join(dict.fromkeys(f for f in found if f))})"

    def _single_average(self, e: Expr, strict: bool, depth: int) -> str | None:
        """A combination of averages over one law with an integrand that is positive on the support."""
        from derive.ledger.merging import _law, _linear_parts, _opened

        parts = _linear_parts(e)
        if parts is None:
            if isinstance(e, TiltedAverage):
                found = self._on_support(e.f.xreplace({e.var: self._point(e.law)}), e, strict, depth)
                return f"a tilted average of what is positive ({found})" if found else None
            return None
        terms, rest = parts
        law = _law(terms[0][1])
        if any(_law(n) != law for _, n in terms):
            return None
        if isinstance(law, Atoms):
            kinds = (MeasureAverage, SpectralAverage)
            whole = e.replace(lambda n: isinstance(n, kinds) and n.law == law, lambda n: Add(
                *(w * n.body.xreplace({n.var: p}) for p, w in zip(law.points, law.weights, strict=True))))
            return self.positive(whole, strict, depth) if whole != e else None
        count = max(len(n.bound_symbols) for _, n in terms)
        points = tuple(self._point(law, i) for i in range(count))
        body = Add(rest, *(c * _opened(n, points) for c, n in terms))
        found = self._body(body, points, law, strict, depth)
        return f"an average of what is positive ({found})" if found else None

    def _point(self, law: Any, index: int = 0) -> Symbol:
        """A point of the support, up to a set of measure zero."""
        known = dict(law.point_assumptions)
        if isinstance(law, Density | Normal | Noisy) and "positive" not in known:
            known = {"real": True, "zero": False}
        return Dummy(f"x{index}", **known)

    def _body(self, body: Expr, points: Sequence[Symbol], law: Any, strict: bool, depth: int) -> str | None:
        inside = self._inside(points, law)
        found = inside.positive(body, strict, depth)
        if found is None and isinstance(law, MarchenkoPastur) and strict:
            # a non-negative integrand that is positive off zero: the law has points off zero
            weak = inside.positive(body, False, depth)
            off = [Dummy(p.name, positive=True) for p in points]
            swapped = body.xreplace(dict(zip(points, off, strict=True)))
            if weak and self._inside(off, law).positive(swapped, True, depth):
                return weak
        return found

    def _inside(self, points: Sequence[Symbol], law: Any) -> _Prover:
        """A prover that knows the support of a law."""
        from sympy import Interval

        if isinstance(law, Density):
            extra = tuple((p, Interval.open(law.lower, law.upper)) for p in points)
            return _Prover(Domain((*self.domain.intervals, *extra), self.domain.constraints), frozenset(points))
        spread = isinstance(law, Normal | Noisy)
        return _Prover(self.domain, frozenset(points)) if spread else _Prover(self.domain)

    def _on_support(self, f: Expr, node: TiltedAverage, strict: bool, depth: int) -> str | None:
        if isinstance(node.law, Atoms):
            x = node.var
            bodies = [node.f.xreplace({x: p}) for p in node.law.points]
            if not all(self.positive(b, False, depth) for b in bodies):
                return None
            if strict and not any(self.positive(b, True, depth) for b in bodies):
                return None
            return "at each atom"
        points = [s for s in f.free_symbols if isinstance(s, Dummy) and s not in node.free_symbols]
        return self._body(f, points, node.law, strict, depth)

    def _variance(self, e: Expr, strict: bool, depth: int) -> str | None:
        """c (E f^2 - (E f)^2) + E h with h >= 0, all averages over one law with one tilt."""
        expanded = expand_mul(e)
        linear: list[tuple[Expr, Expr]] = []
        square: tuple[Expr, Expr] | None = None
        rest: list[Expr] = []
        kinds: set[Any] = set()
        for term in Add.make_args(expanded):
            factors = Mul.make_args(term)
            nodes = [x for x in factors if isinstance(x.as_base_exp()[0], Average)]
            others = Mul(*(x for x in factors if x not in nodes))
            if others.has(Average) and not nodes:
                return None
            if not nodes:
                rest.append(term)
                continue
            if len(nodes) > 1:
                return None
            base, power = nodes[0].as_base_exp()
            if isinstance(base, LogAverageExp) or not hasattr(base, "scoped"):
                return None
            kinds.add((type(base), base.args[1:]))
            if power == 1:
                linear.append((others, base))
            elif power == 2 and square is None:
                square = (-others, base)
            else:
                return None
        if square is None or not linear or len(kinds) != 1:
            return None
        c, node = square
        weight = self.positive(c, True, 1)
        if weight is None:
            return None
        f = node.scoped[0]
        remainder = Add(*rest, *(k * n.scoped[0] for k, n in linear)) - c * f**2
        law = Normal() if isinstance(node, GaussianAverage) else node.law
        remainder_point = [Dummy(v.name, **v._assumptions_orig) for v in node.bound_symbols]
        opened = remainder.xreplace(dict(zip(node.bound_symbols, remainder_point, strict=True)))
        from derive.ledger.ladder import exactly_zero

        nothing = exactly_zero(opened, self.domain) is not None
        if not nothing and self._inside(remainder_point, law).positive(opened, False, depth) is None:
            return None
        if strict and not _varies(f, node, law):
            return None
        return "a variance" + ("" if nothing else " plus an average of what is not negative")

    def _jensen(self, e: Expr, strict: bool) -> str | None:
        """c log E e^g - c E g >= 0 for c > 0; strict where g varies."""
        nodes = list(e.atoms(LogAverageExp))
        if len(nodes) != 1:
            return None
        node = nodes[0]
        c = e.coeff(node)
        if c == 0 or not self.positive(c, True, 1):
            return None
        from derive.ledger.merging import merged
        from derive.nodes.averages import average

        rest = e - c * node + c * average(node.g, node.var, node.law)
        from derive.ledger.ladder import exactly_zero, vanishes

        if rest.has(LogAverageExp) or (strict and not _varies(node.g, node, node.law)):
            return None
        _ = merged
        zero = exactly_zero(rest, self.domain) or vanishes(rest, self.domain, depth=0)
        return "Jensen's inequality: log E exp(g) >= E g" if zero else None

    # ---- normal form

    def _normal_form(self, e: Expr, strict: bool, depth: int) -> str | None:
        from derive.ledger.ladder import _parametrised

        for capacity in (24, 64):
            f = Field(self.domain, None, capacity)
            try:
                _parametrised(f, e)
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
        conditions = [c for c, kind in f.conditions.items() if kind == "positive"]
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
        for p, _ in open_odd:
            found = self._factor_sign(f, p, depth, whole)
            if found is None and not strict:
                found = self._weak_sign(f, p, depth)
            if found is None:
                return None
            sign *= found[0]
            resolved.append(found[1])
        if strict:
            for p, m in unknown:
                if m % 2 == 0 and not self._almost_nonzero(f, p) and self._factor_sign(f, p, depth, whole) is None:
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
                or self._discriminant(f, poly, strict, depth) or self._radical(f, poly, depth))

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
        forms: list[tuple[int, list[tuple[Any, Any]]]] = []
        for i in used:
            options = self._substitutions(f, i)
            if options:
                forms.append((i, options))
        if not forms:
            return None
        for choice in _choices(forms):
            shifted = poly
            for i, (num, den) in choice:
                shifted = _substitute(f, shifted, i, num, den)
            reduced = _reduced(f, shifted, {i for i, _ in choice})
            if reduced is None:
                continue
            shifted = reduced
            signs = f._termwise(shifted) if not shifted.is_zero() else 0
            if signs > 0:
                return "positive coefficients after a shift to the ends of the intervals"
            if not strict and (shifted.is_zero() or _weak_termwise(f, shifted)):
                return "coefficients that are not negative after a shift to the ends of the intervals"
        return None

    def _substitutions(self, f: Field, index: int) -> list[tuple[Any, Any]]:
        """(numerator, denominator) in the same generator, now positive, that run over the range of a generator."""
        g, q, one = f.gens[index], f.polys[index], f.ctx.constant(1)
        if index in f.relations:
            return []
        if g.kind == "response":
            return [(one, one + q)]
        if g.kind == "exp" and g.argument is not None:
            s = f.sign(g.argument.num, ask=False) * f.sign(g.argument.den, ask=False)
            return [(one + q, one)] if s > 0 else [(one, one + q)] if s < 0 else []
        if g.kind == "function" and type(g.expr).__name__ == "erf":
            return [(one, one + q)] if g.positive else [(q - one, q + one)]
        if g.kind == "log" and g.argument is not None and not g.positive:
            return []
        if g.kind != "symbol":
            return []
        options: list[tuple[Any, Any]] = []
        r = declared(g.expr, self.domain)
        try:
            if r.lower.is_finite and r.upper.is_finite:
                a, b = f.build(r.lower), f.build(r.upper)
                options.append((a.num * b.den + b.num * a.den * q, (one + q) * a.den * b.den))
            elif r.lower.is_finite and r.lower != 0:
                a = f.build(r.lower)
                options.append((a.num + a.den * q, a.den))
            elif r.upper.is_finite:
                a = f.build(r.upper)
                options.append((a.num - a.den * q, a.den))
            for fact, _ in self._facts():
                x = g.expr
                if x in fact.free_symbols and fact.diff(x).is_number and fact.diff(x) != 0:
                    slope = fact.diff(x)
                    bound = f.build(-(fact - slope * x) / slope)
                    if slope > 0:
                        options.append((bound.num + bound.den * q, bound.den))
                    elif g.positive and r.upper == oo:  # 0 < x < bound
                        options.append((bound.num, bound.den * (one + q)))
        except Unsupported:
            return options
        return [o for o in options if f.sign(o[1], ask=False) > 0 or o[1].is_constant()]

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

    # ---- monotone

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

    def _value_at(self, e: Expr, x: Symbol, end: Expr) -> Expr | None:
        """The limit of e at an end of the range of x, where e is continuous there."""
        if end.is_infinite:
            if end == -oo or not x.is_positive:
                return None
            q = Dummy("q", positive=True)
            turned = e.subs(x, 1 / q)
            plain = turned if turned.has(Average) else together(turned)
            return next((v for v in (self._value_at(t, q, S.Zero) for t in (turned, plain)) if v is not None), None)
        if not self._continuous(e, x, end):
            return None
        value = _at(e, x, end)
        return None if value.has(S.NaN, S.ComplexInfinity, oo, -oo) else value

    def continuous(self, e: Expr, x: Symbol) -> bool:
        """Whether e is continuous in x, judged from its parts, all over the interval of x."""
        return self._continuous(e, x, x)

    def _continuous(self, e: Basic, x: Symbol, end: Expr) -> bool:
        """Whether e is continuous at x = end (from inside), judged from its parts."""
        if x not in e.free_symbols:
            return True
        if e == x:
            return True
        if isinstance(e, Pow) and e.base is not S.Exp1:
            if not (self._continuous(e.base, x, end) and self._continuous(e.exp, x, end)):
                return False
            base = _at(e.base, x, end)
            if e.exp.is_Integer and e.exp > 0:
                return True
            if e.exp.is_Rational and e.exp > 0:
                return bool(base.is_nonnegative) or bool(
                    base.is_number is False and self.positive(base, False, 0))
            return bool(base.is_positive) or bool(e.exp.is_Integer and base.is_nonzero) or bool(
                base.is_number is False and self.positive(base, True, 0))
        name = type(e).__name__
        if name in ("log", "log1mexp"):
            if not self._continuous(e.args[0], x, end):
                return False
            at = _at(e.args[0], x, end)
            return bool(at.is_positive) or bool(not at.has(S.NaN, S.ComplexInfinity) and self.positive(at, True, 0))
        if name == "MPResponse":  # continuous for b >= 0 and ratio > 0
            return all(self._continuous(a, x, end) for a in e.args) and bool(
                e.args[0].subs(x, end).is_nonnegative and e.args[1].subs(x, end).is_positive)
        if isinstance(e, Average):
            law = Normal() if isinstance(e, GaussianAverage) else getattr(e, "law", None)
            if law is None:
                return False
            bounded = end == x or isinstance(law, Atoms | MarchenkoPastur) or (
                isinstance(law, Density) and law.lower.is_finite and law.upper.is_finite)
            return bounded and all(self._continuous(s, x, end) for s in e.scoped) and x not in law.free_symbols
        if name in _CONTINUOUS_WHERE:
            if not all(self._continuous(a, x, end) for a in e.args):
                return False
            conditions = _CONTINUOUS_WHERE[name](*(_at(a, x, end) for a in e.args))
            return all(bool(c.is_positive) or self.positive(c, True, 0) for c in conditions)
        if e.is_Add or e.is_Mul or name in (
            "asinh", "erfi", "exp",
            "sin", "cos", "tanh", "cosh", "sinh", "erf", "erfc", "erfcx", "atan", "log_cosh", "log_erfc",
            "softplus", "log_sum_exp", "Abs", "Max", "Min",
        ):
            return all(self._continuous(a, x, end) for a in e.args)
        return False


#: functions that are continuous where these of their arguments are positive
_CONTINUOUS_WHERE: dict[str, Callable[..., tuple[Expr, ...]]] = {
    "LambertW": lambda z, *k: (z,) if not k else (S.NegativeOne,),
    "acos": lambda z: (1 - z, 1 + z),
    "acosh": lambda z: (z - 1,),
    "asin": lambda z: (1 - z, 1 + z),
    "atanh": lambda z: (1 - z, 1 + z),
    "gamma": lambda z: (z,),
    "loggamma": lambda z: (z,),
    "polygamma": lambda n, z: (n + 1, z),
    "polylog": lambda s, z: (1 - z,),
}


def _at(e: Basic, x: Symbol, end: Expr) -> Basic:
    """e at a point, nan where it has no value there."""
    try:
        return e.subs(x, end)
    except ValueError:
        return S.NaN


def _short(value: Expr) -> str:
    text = str(value)
    return text if len(text) < 40 else "a value that is not negative"


def _gcd(a: int, b: int) -> int:
    from math import gcd

    return gcd(a, b)


def _middle(lower: Any, upper: Any) -> Rational:
    if lower == -oo:
        return Integer(0) if upper == oo else upper - 1
    return lower + 1 if upper == oo else (lower + upper) / 2


def _choices(forms: list[tuple[int, list[tuple[Any, Any]]]]) -> Iterator[list[tuple[int, tuple[Any, Any]]]]:
    """Ways to substitute, the plain one (first option for all) first, at most sixteen; an option may be left out."""
    from itertools import islice, product

    lists = [[*((i, o) for o in options), None] for i, options in forms]
    for combination in islice(product(*lists), 24):
        chosen = [c for c in combination if c is not None]
        if chosen:
            yield chosen


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


def _weak_termwise(f: Field, poly: Any) -> bool:
    return all(
        c > 0 and not any(e % 2 and not (f.gens[i].positive or f.gens[i].nonnegative) for i, e in enumerate(m))
        for m, c in poly.terms()
    )


def _varies(f: Expr, node: Any, law: Any) -> bool:
    """Whether a function of the bound variables takes more than one value on the law."""
    variables = [v for v in node.bound_symbols if v in f.free_symbols]
    if not variables:
        return False
    if isinstance(law, Atoms):
        values = {f.xreplace({variables[0]: p}) for p in law.points}
        first = next(iter(values))
        return any((v - first).is_nonzero for v in values if v != first)
    slope = f.diff(variables[0])
    return slope != 0 and bool(slope.is_zero is not True) and not (isinstance(law, Noisy) and False)


# ---- what the rules on roots need


def uniqueness(equation: Eq, unknown: Symbol, value: Expr, ctx: Context) -> str | None:
    """Why an equation has no other solution in the interval of the unknown, or None.

    By Descartes' rule: a polynomial whose coefficients change sign once has one positive root; a linear one has one.
    Otherwise by strict monotony of lhs - rhs.
    """
    from derive.ledger.ladder import _sharp, _sharp_domain
    from derive.ledger.rewriting import rewrite

    pair, _ = rewrite(Basic(equation.lhs, equation.rhs), [e for e in ctx.equations if e.lhs != unknown])
    difference = pair.args[0] - pair.args[1]
    domain = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *ctx.relations))
    sharp, names = _sharp((difference,), domain)
    inside = _sharp_domain(domain, names)
    x = names.get(unknown, unknown)
    if x not in sharp[0].free_symbols:
        return None
    try:
        f = Field(inside, lambda e: prove_positive(e, inside, depth=1) is not None, 64)
        a = f.build(sharp[0])
        index = f._index.get(("symbol", x))
        if index is not None and not any(x in g.symbols for i, g in enumerate(f.gens) if i != index):
            by_power: dict[int, dict[Any, Any]] = {}
            for m, c in a.num.terms():
                by_power.setdefault(m[index], {})[(*m[:index], 0, *m[index + 1:])] = c
            signs = [f.sign(f.ctx.from_dict(by_power[k])) for k in sorted(by_power)]
            if sorted(by_power) in ([0, 1], [1]) and signs[-1]:
                return "the equation is linear in the unknown"
            few = x.is_positive and signs[0] and signs[-1] and signs.count(0) <= 4
            if few and _changes(signs) == {1}:
                return "one change of sign in its coefficients, hence one positive root (Descartes)"
    except (Unsupported, Full):
        pass
    slope = sharp[0].diff(x)
    prover = _Prover(inside)
    for s, word in ((1, "grows"), (-1, "falls")):
        if prover.positive(s * slope, True, 2):
            return f"lhs - rhs {word} strictly with the unknown"
    return None


def _changes(signs: Sequence[int]) -> set[int]:
    """How often a sequence of signs can change, each 0 standing for a sign that is not known."""
    from itertools import pairwise, product

    filled = product(*((s,) if s else (1, -1) for s in signs))
    return {sum(s != t for s, t in pairwise(row)) for row in filled}


def within_range(unknown: Symbol, value: Expr, ctx: Context) -> str | None:
    """Why a value lies in the interval of a symbol, or None."""
    from derive.ledger.rewriting import rewrite

    value, _ = rewrite(value, ctx.equations)
    domain = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *ctx.relations))
    r = declared(unknown, ctx.domain)
    if r.lower != -oo and prove_positive(value - r.lower, domain, 2, r.lower_open) is None:
        return None
    if r.upper != oo and prove_positive(r.upper - value, domain, 2, r.upper_open) is None:
        return None
    return "in the interval"


_ = (sharpened, Rational)
