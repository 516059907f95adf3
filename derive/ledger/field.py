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
from dataclasses import dataclass
from typing import Any

from flint import fmpq
from sympy import (
    Add,
    Basic,
    Derivative,
    Dummy,
    Expr,
    Function,
    Pow,
    Rational,
    S,
    Subs,
    Symbol,
    Tuple,
    asin,
    cos,
    erfc,
    exp,
    log,
    pi,
    sin,
    sqrt,
)
from sympy.core.function import AppliedUndef

from derive.ledger.generators import Fraction, Generator, Relation, Unsupported
from derive.ledger.powers import Powers
from derive.nodes.binders import Binder

__all__ = ["Field"]


@dataclass
class Field(Powers):
    """A field Q(g_0, g_1, ...) that grows as expressions are brought into it.

    Args: domain (signs of the symbols are read from it), oracle (tells whether an expression is positive on the domain;
    asked where signs cannot be read off), capacity (how many generators there may be).
    """

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
    "acos": _rewritten(lambda x: pi / 2 - asin(x)),
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
