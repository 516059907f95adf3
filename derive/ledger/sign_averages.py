"""Signs of averages: of what is positive, variances, Jensen's inequality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import (
    Add,
    Dummy,
    Expr,
    Mul,
    Symbol,
    expand_mul,
)

from derive.core import Domain
from derive.ledger.signs import Signs
from derive.nodes.averages import (
    Average,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    SpectralAverage,
    TiltedAverage,
)
from derive.nodes.laws import Atoms, Density, MarchenkoPastur, Noisy, Normal

__all__ = ["AverageSigns"]


class AverageSigns(Signs):
    """Inequalities between averages over one law."""

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

    def _inside(self, points: Sequence[Symbol], law: Any) -> Signs:
        """A prover that knows the support of a law."""
        from sympy import Interval

        if isinstance(law, Density):
            extra = tuple((p, Interval.open(law.lower, law.upper)) for p in points)
            return type(self)(Domain((*self.domain.intervals, *extra), self.domain.constraints), frozenset(points))
        spread = isinstance(law, Normal | Noisy)
        return type(self)(self.domain, frozenset(points)) if spread else type(self)(self.domain)

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
        from derive.ledger.rungs import exactly_zero

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
        from derive.nodes.averages import average

        rest = e - c * node + c * average(node.g, node.var, node.law)
        from derive.ledger.rungs import exactly_zero, vanishes

        if rest.has(LogAverageExp) or (strict and not _varies(node.g, node, node.law)):
            return None
        zero = exactly_zero(rest, self.domain) or vanishes(rest, self.domain, depth=0)
        return "Jensen's inequality: log E exp(g) >= E g" if zero else None


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
    return slope != 0 and slope.is_zero is not True
