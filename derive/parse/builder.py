"""Trees to expressions: every number is bounded before it is made, and what cancels is kept in mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import mpmath
import sympy as sp
from sympy import Expr, Rational

from derive.parse.functions import CONSTANTS, context
from derive.parse.grammar import Grammar
from derive.parse.words import MAX_BITS, MAX_DEGREE, MAX_DIGITS, MAX_GAMMA, Tree, read_number

__all__ = ["Parser"]


@dataclass(frozen=True)
class _Value:
    """An expression with what bounds its cost: an approximate value where it is constant, and its degree."""

    expr: Expr
    approx: Any = None
    degree: int = 0


@dataclass
class Parser(Grammar):
    """Text to expression."""

    def build(self, node: Tree) -> _Value:
        """The expression of a tree, every intermediate number bounded before it is made."""
        if node.head == "number":
            value = self.number(node)
        elif node.head == "name":
            value = self.name(node.text)
        elif node.head == "neg":
            inner = self.build(node.args[0])
            value = _Value(-inner.expr, None if inner.approx is None else -inner.approx, inner.degree)
        elif node.head == "sum":
            value = self.total([self.build(k) for k in node.args], node)
        elif node.head == "product":
            value = self.times(node)
        elif node.head == "power":
            value = self.raised(self.build(node.args[0]), self.build(node.args[1]), node)
        elif node.head == "call":
            value = self.called(node)
        else:
            value = self.cases(node)
        return self.bounded(value, node)

    def bounded(self, value: _Value, node: Tree) -> _Value:
        if value.expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            self.fail("a number that is not finite (a division by zero, the logarithm of zero)", node.at,
                      allowed="finite real numbers")
        if value.expr.has(sp.I) or (value.approx is not None and mpmath.im(value.approx) != 0):
            self.fail("a number that is not real", node.at, allowed="finite real numbers")
        if value.degree > MAX_DEGREE:
            self.fail(f"a power above {MAX_DEGREE} of a variable", node.at, allowed=f"powers up to {MAX_DEGREE}")
        if value.approx is not None and value.approx != 0:
            size = mpmath.mag(value.approx)
            if not abs(size) <= MAX_BITS:
                self.too_large(node)
        return value

    def too_large(self, node: Tree) -> NoReturn:
        self.fail("a number that is too large (or too close to zero)", node.at,
                  allowed=f"numbers of at most {MAX_DIGITS} digits")

    def number(self, node: Tree) -> _Value:
        value = read_number(node.text)
        if value is None:
            self.too_large(node)
        mp = context()
        return _Value(value, mp.mpf(value.p) / value.q)

    def name(self, name: str) -> _Value:
        expr = self.variables.get(name, CONSTANTS.get(name))
        assert expr is not None  # the parser lets no other name through
        if name in self.variables and expr.free_symbols:
            return _Value(expr, None, 1)
        return _Value(expr, context().mpf(sp.N(expr, 50)))

    def total(self, values: list[_Value], node: Tree) -> _Value:
        if sum(_bits(k.expr) for k in values) > 2 * MAX_BITS:
            self.too_large(node)
        constant = all(k.approx is not None for k in values)
        approx = context().fsum(k.approx for k in values) if constant else None
        return _Value(self.made(sp.Add, [k.expr for k in values]), approx, max(k.degree for k in values))

    def made(self, function: Callable[..., Expr], parts: Sequence[Expr]) -> Expr:
        """A sum, a product or a power; a divisor of its parts that cancels is kept in mind."""
        whole = function(*parts)
        left = _divisors((whole,))
        self.cancelled.extend(d for d in _divisors(parts) if d not in left and d not in self.cancelled)
        return whole

    def times(self, node: Tree) -> _Value:
        values = []
        for k in node.args:
            if k.head != "divide":
                values.append(self.build(k))
                continue
            inner = self.build(k.args[0])
            if inner.expr.is_zero:
                self.fail("a division by zero", k.at, allowed="finite real numbers")
            values.append(self.bounded(self.raised(inner, _Value(sp.Integer(-1), context().mpf(-1)), k), k))
        if sum(_bits(k.expr) for k in values) > 2 * MAX_BITS:
            self.too_large(node)
        constant = all(k.approx is not None for k in values)
        approx = context().fprod(k.approx for k in values) if constant else None
        return _Value(self.made(sp.Mul, [k.expr for k in values]), approx, sum(k.degree for k in values))

    def raised(self, base: _Value, exponent: _Value, node: Tree) -> _Value:
        mp = context()
        steep = self.steepness(exponent.expr)
        if steep * (_bits(base.expr) + _bits_in_logs(exponent.expr)) > 2 * MAX_BITS:
            self.too_large(node)
        degree = max(1, exponent.degree) if exponent.degree else base.degree * max(1, int(mpmath.ceil(steep)))
        in_logs = any(k.free_symbols for k in exponent.expr.atoms(sp.log))  # exp(n log(1 + x)) is (1 + x)^n
        if (base.degree and degree > MAX_DEGREE) or (in_logs and steep > MAX_DEGREE):
            self.fail(f"a power above {MAX_DEGREE} of a variable", node.at, allowed=f"powers up to {MAX_DEGREE}")
        approx = None
        if base.approx is not None and exponent.approx is not None:
            if base.approx == 0 and not exponent.approx > 0:
                self.fail("zero to a power that is not positive", node.at, allowed="finite real numbers")
            if base.approx != 0 and abs(mp.log(abs(base.approx), 2) * exponent.approx) > MAX_BITS:
                self.too_large(node)
            approx = mp.power(base.approx, exponent.approx)
        return _Value(self.made(sp.Pow, [base.expr, exponent.expr]), approx, degree)

    def steepness(self, exponent: Expr) -> Any:
        """The largest number by which an exponent can multiply the size of its base."""
        coefficients = (term.as_coeff_Mul()[0] for term in sp.Add.make_args(exponent))
        return max(abs(context().mpf(k.p) / k.q) if k.is_Rational else 1 for k in coefficients)

    def called(self, node: Tree) -> _Value:
        mp = context()
        function, arguments = self.functions[node.text], [self.build(k) for k in node.args]
        if node.text == "exp":
            return self.raised(_Value(sp.E, mp.e), arguments[0], node)
        if node.text == "sqrt":
            return self.raised(arguments[0], _Value(Rational(1, 2), mp.mpf(1) / 2), node)
        constant = all(k.approx is not None for k in arguments)
        if constant and node.text in ("gamma", "loggamma") and not abs(arguments[0].approx) <= MAX_GAMMA:
            self.fail(f"{node.text} of a number above {MAX_GAMMA}", node.at, allowed=f"arguments up to {MAX_GAMMA}")
        approx = None
        if constant:
            if node.text in ("sinh", "cosh", "sech", "softplus", "erfc", "log_erfc", "erfcx", "log_cosh") \
                    and not abs(arguments[0].approx) ** 2 <= MAX_BITS ** 2:
                self.too_large(node)
            try:
                approx = function.approx(*(k.approx for k in arguments))
            except (ValueError, ZeroDivisionError):
                self.fail(f"{node.text} has no value there", node.at, allowed="finite real numbers")
        degree = max(k.degree for k in arguments)
        if node.text == "mean":  # one value of what is averaged over does not count
            bound = set().union(*(k.expr.free_symbols for k in arguments[1:]))
            self.cancelled = [d for d in self.cancelled if not d.free_symbols & bound]
        return _Value(function.build(*(k.expr for k in arguments)), approx, degree)

    def cases(self, node: Tree) -> _Value:
        values = [self.build(k.args[0]) for k in node.args]
        conditions = [self.truth(k.args[1]) for k in node.args]
        expr = sp.Piecewise(*zip((k.expr for k in values), conditions, strict=True))
        approx = None if expr.free_symbols else context().mpf(sp.N(expr, 50))
        return _Value(expr, approx, max(k.degree for k in values))

    def truth(self, node: Tree) -> Any:
        if node.head == "true":
            return sp.true
        if node.head in ("&", "|"):
            return (sp.And if node.head == "&" else sp.Or)(*(self.truth(k) for k in node.args))
        relation = {"<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}[node.head]
        left, right = (self.build(k).expr for k in node.args)
        return relation(left, right)


def _divisors(parts: Sequence[Expr]) -> list[Expr]:
    """What expressions divide by, as far as it may be zero; of a product its factors."""
    powers = {p for e in parts for p in e.atoms(sp.Pow) if p.exp.is_negative}
    return sorted({p.base for p in powers if p.base.is_nonzero is not True}, key=str)


def _bits(expr: Expr) -> int:
    """The size in bits of the rational numbers in an expression."""
    return sum(max(int(k.p).bit_length(), int(k.q).bit_length()) - 1 for k in _numbers(expr))


def _bits_in_logs(expr: Expr) -> int:
    return sum(_bits(k) for k in expr.atoms(sp.log))


def _numbers(expr: Expr) -> Iterator[Any]:
    return (k for k in sp.preorder_traversal(expr) if k.is_Rational)
