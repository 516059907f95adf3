"""Inequalities in several symbols, brought down to fewer: proofs that each leave simpler inequalities to be proved.

- cases: an absolute value, a sign, a step, a maximum or a minimum, by the sign of what it switches at;
- least values: where the slope in a symbol is p R with R not negative and p growing through zero at a known place of
  the interval, the expression is nowhere below its value at that place;
- halves: an expression that vanishes at zero, on both sides of it;
- sines and cosines, by their bounds;
- scaling: y = t x for positive x and y, after which a power of x comes out;
- factors of the normal form, those in one symbol by sign charts.

The side conditions (the expression is continuous in the symbol all over its interval, the place lies inside, no
relation of the domain binds the symbol) are proved, or the way is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sympy import (
    Abs,
    Add,
    Dummy,
    Expr,
    Ge,
    Gt,
    Heaviside,
    Integer,
    Interval,
    Le,
    Max,
    Min,
    S,
    Symbol,
    cos,
    exp,
    log,
    oo,
    sin,
)
from sympy import sign as sgn
from sympy.core.function import AppliedUndef

from derive.core import Domain, Verdict
from derive.ledger.domain import declared
from derive.ledger.end_values import number_sign
from derive.ledger.field import Field
from derive.ledger.generators import Full, Unsupported
from derive.ledger.one_symbol import decided, switches
from derive.ledger.positivity import Prover, prove_positive
from derive.ledger.premises import sharpened_domain, sharpened_sides
from derive.ledger.rungs import exactly_zero, sign_oracle
from derive.nodes.binders import Binder

__all__ = ["equal_by_cases", "prove_by_reduction"]

_CASES = (Abs, Heaviside, Max, Min, sgn)


def prove_by_reduction(e: Expr, domain: Domain, strict: bool, depth: int = 3) -> str | None:
    """A reason why an expression is positive (not negative where not strict) on a domain, or None.

    >>> x, y = (Symbol(n, positive=True) for n in "xy")
    >>> prove_by_reduction(x*log(x/y) - x + y, Domain(), False)
    'least at x = y'
    """
    if e.has(Binder, AppliedUndef) or len(e.free_symbols) > 4:
        return None
    sharp, names = sharpened_sides((e,), domain)
    found = _Goal(sharp[0], sharpened_domain(domain, names), strict, depth).reduced()
    for old, new in names.items():
        found = found.replace(str(new), old.name) if found else None
    return found


def equal_by_cases(difference: Expr, domain: Domain, depth: int = 3) -> str | None:
    """A reason why an expression with functions of pieces is zero: it is for either sign of each switch, and on it.

    >>> x, y = (Symbol(n, real=True) for n in "xy")
    >>> equal_by_cases(Heaviside(x - y) + Heaviside(y - x) - 1, Domain())
    'zero for either sign of x - y, and on it'
    """
    nodes = [n for n in difference.atoms(*_CASES) if not any(a.has(*_CASES) for a in n.args)]
    if not nodes:
        proof = exactly_zero(difference, domain)
        return proof.how if proof is not None and not proof.open else None
    node = min(nodes, key=lambda n: (len(str(n)), str(n)))
    u = switches(node)[0]
    y = next((s for s in sorted(u.free_symbols, key=str) if u.diff(s).is_number and u.diff(s) != 0), None)
    if depth <= 0 or len(switches(node)) > 1 or y is None:
        return None
    on = y - u / u.diff(y)
    cases = [(difference.subs(y, on.expand()), domain)]
    for sign in (1, -1):
        inside = Domain(domain.intervals, (*domain.constraints, Gt(sign * u, 0)))
        cases.append((difference.xreplace({n: _signed(n, u, sign) for n in nodes}), inside))
    if all(equal_by_cases(e, inside, depth - 1) for e, inside in cases):
        return f"zero for either sign of {u}, and on it"
    return None


def _signed(node: Expr, u: Expr, sign: int) -> Expr:
    """A function of pieces where an expression has a sign; itself where that says nothing of it."""
    found = switches(node)
    if len(found) != 1 or found[0] not in (u, -u):
        return node
    s = sign if found[0] == u else -sign
    if isinstance(node, Abs):
        return s * node.args[0]
    if isinstance(node, Max | Min):
        return node.args[0] if (s > 0) == isinstance(node, Max) else node.args[1]
    return Integer(s) if isinstance(node, sgn) else Integer(s > 0)


@dataclass(frozen=True)
class _Goal:
    """That e > 0, or e >= 0 where not strict, on a domain whose symbols carry what it says of them."""

    e: Expr
    domain: Domain
    strict: bool
    depth: int

    def with_(self, e: Expr, domain: Domain | None = None) -> _Goal:
        return _Goal(e, domain or self.domain, self.strict, self.depth - 1)

    def shown(self) -> str | None:
        """A proof by any way."""
        if not self.strict and self.e == 0:
            return "zero"
        plain = prove_positive(self.e, self.domain, 3, self.strict)
        if plain:
            return plain
        chart = decided(self.e, self.domain, self.strict)
        if chart is not None:
            return chart.detail if chart.verdict is Verdict.PROVED else None
        return self.reduced() if self.depth > 0 else None

    def reduced(self) -> str | None:
        for way in (self.cases, self.bounded, self.least, self.factors, self.halves, self.scaled):
            try:
                found = way()
            except (Unsupported, Full, ValueError):
                continue
            if found:
                return found
        return None

    # ---- cases

    def cases(self) -> str | None:
        nodes = [n for n in self.e.atoms(*_CASES) if not any(a.has(*_CASES) for a in n.args)]
        if not nodes:
            return None
        node = min(nodes, key=lambda n: (len(str(n)), str(n)))
        for value, conditions in _branches(node):
            e = self.e.xreplace({node: value})
            inside = Domain(self.domain.intervals, (*self.domain.constraints, *conditions))
            if inside.constraints and not self.with_(e, inside).shown():
                return None
        return f"by cases of {node}"

    # ---- sines and cosines

    def bounded(self) -> str | None:
        """A number plus sines and cosines that together do not reach it."""
        terms = self.e.expand().as_coefficients_dict()
        waves = [k for k in terms if isinstance(k, sin | cos)]
        number = Add(*(c * k for k, c in terms.items() if k not in waves))
        gap = number_sign(number - Add(*(abs(terms[w]) for w in waves))) if waves and not number.free_symbols else None
        return "sines and cosines lie between -1 and 1" if gap == 1 or (gap == 0 and not self.strict) else None

    # ---- least values

    def least(self) -> str | None:
        for y in self._free():
            if not Prover(self.domain).continuous(self.e, y):
                continue
            for place in self._places(y):
                value = self.e.subs(y, place)
                if value.has(S.NaN, S.ComplexInfinity, oo, -oo):
                    continue
                if self.with_(value.expand() if value != 0 else value).shown():
                    return f"least at {y} = {place}"
        return None

    def _free(self) -> list[Symbol]:
        bound = {s for c in self.domain.constraints for s in c.free_symbols}
        return sorted((s for s in self.e.free_symbols if s not in bound and not s.is_integer
                       and not any(s in i.free_symbols for t, i in self.domain.intervals if t != s)), key=str)

    def _places(self, y: Symbol) -> Iterator[Expr]:
        """Where the slope in y changes from minus to plus, inside the interval of y, and nowhere back."""
        f = Field(self.domain, sign_oracle(self.domain), 48)
        slope = f.build(self.e.diff(y))
        if slope.is_zero or any(kind != "non-zero" for kind in f.conditions.values()):
            return
        content, parts = f.factors(slope)
        for k, (poly, multiplicity) in enumerate(parts):
            if multiplicity != 1:
                continue
            solved = _solved(f, poly, y)
            if solved is None:
                continue
            value, place, lead, positive = solved
            if positive and not prove_positive(value, self.domain, 1):
                continue
            rest = [(p, m) for j, (p, m) in enumerate(parts) if j != k]
            if place.has(y) or not self._inside(place, y) or not self._one_sign(f, content, rest, lead):
                continue
            yield place

    def _one_sign(self, f: Field, content: Any, rest: list[tuple[Any, int]], lead: Any) -> bool:
        """Whether the product of the other factors and a coefficient is never negative, and defined everywhere."""
        sign = 1 if content > 0 else -1
        for poly, m in [*rest, (lead, 1)]:
            s = f.sign(poly)
            if not s:
                if m % 2 == 0 and m > 0:
                    continue
                e = f.poly_expr(poly)
                s = next((t for t in (1, -1) if prove_positive(t * e, self.domain, 2)), 0)
            if not s:
                return False
            sign *= s if m % 2 else 1
        return sign > 0

    def _inside(self, place: Expr, y: Symbol) -> bool:
        r = declared(y, self.domain)
        below = r.lower == -oo or prove_positive(place - r.lower, self.domain, 1, r.lower_open)
        return bool(below and (r.upper == oo or prove_positive(r.upper - place, self.domain, 1, r.upper_open)))

    # ---- halves

    def halves(self) -> str | None:
        for y in self._free():
            r = declared(y, self.domain)
            if y.is_nonnegative or y.is_nonpositive or S.Zero not in r:
                continue
            middle = self.e.subs(y, 0)
            if middle.has(S.NaN, S.ComplexInfinity, oo, -oo) or not self.with_(middle).shown():
                continue
            q = Dummy(y.name, positive=True)
            sides = ((q, Interval.open(0, r.upper)), (-q, Interval.open(0, -r.lower)))
            rest = tuple((s, i) for s, i in self.domain.intervals if s != y)
            if all(self.with_(self.e.subs(y, v), Domain((*rest, (q, i)), self.domain.constraints)).shown()
                   for v, i in sides):
                return f"on both sides of {y} = 0"
        return None

    # ---- scaling and factors

    def scaled(self) -> str | None:
        free = [s for s in self._free() if declared(s, self.domain).lower == 0 and declared(s, self.domain).upper == oo
                and s.is_positive]
        for x in free:
            for y in free:
                if x == y:
                    continue
                t = Dummy("t", positive=True)
                found = self.with_(self.e.subs(y, t * x)).factors()
                if found:
                    return f"with {y} = t {x}: {found}"
        return None

    def factors(self) -> str | None:
        """The sign of the normal form, factor by factor."""
        f = Field(self.domain, sign_oracle(self.domain), 48)
        a = f.build(self.e)
        if any(kind != "non-zero" for kind in f.conditions.values()):
            return None
        content, parts = f.factors(a)
        sign = 1 if content > 0 else -1
        charted = []
        for poly, m in parts:
            s = f.sign(poly)
            if not s and m > 0 and m % 2 == 0 and not self.strict:
                continue
            if not s:
                e = f.poly_expr(poly)
                if len(e.free_symbols) != 1 or len(self.e.free_symbols) == 1:
                    return None
                weak = not self.strict and m > 0
                s = next((t for t in (1, -1) if _charted(t * e, self.domain, not weak)), 0)
                charted.append(str(e))
            if not s:
                return None
            sign *= s if m % 2 else 1
        return f"factors of known sign{', by sign charts: ' + ', '.join(charted) if charted else ''}" if (
            sign > 0) else None


def _charted(e: Expr, domain: Domain, strict: bool) -> bool:
    found = decided(e, domain, strict)
    return found is not None and found.verdict is Verdict.PROVED


def _branches(node: Expr) -> Iterator[tuple[Expr, tuple[Any, ...]]]:
    """What a function of pieces is, and where; the places where it switches belong to a piece on either side."""
    u, *others = switches(node)
    if others:
        return
    if isinstance(node, Abs):
        yield from ((u, (Ge(u, 0),)), (-u, (Le(u, 0),)))
    elif isinstance(node, Max | Min):
        a, b = node.args if isinstance(node, Max) else node.args[::-1]
        yield from ((a, (Ge(a - b, 0),)), (b, (Le(a - b, 0),)))
    else:
        at = node.func(S.Zero)
        yield from ((Integer(1), (u > 0,)), (at, (Ge(u, 0), Le(u, 0))),
                    (Integer(0) if isinstance(node, Heaviside) else Integer(-1), (u < 0,)))


def _solved(f: Field, poly: Any, y: Symbol) -> tuple[Expr, Expr, Any, bool] | None:
    """(value, place, coefficient, whether the value is to be positive) where poly is linear in one growing function of
    y and zero where this has the value: at that place only."""
    moving = [i for i, d in enumerate(poly.degrees()) if d and y in f.gens[i].symbols]
    if len(moving) != 1 or poly.degrees()[moving[0]] != 1:
        return None
    (i,) = moving
    g = f.gens[i].expr
    lead = f.ctx.from_dict({(*m[:i], 0, *m[i + 1:]): c for m, c in poly.terms() if m[i] == 1})
    low = f.ctx.from_dict({m: c for m, c in poly.terms() if m[i] == 0} or {(0,) * f.capacity: 0})
    value = f.to_expr(f.make(-low, lead))
    if g == y:
        return value, value, lead, False
    base, power = g.as_base_exp()
    if base == y and power.is_positive and power.is_Rational:
        return value, value ** (1 / power), lead, True
    if g == exp(y):
        return value, log(value), lead, True
    if g == log(y):
        return value, exp(value), lead, False
    return None
