"""Averages of polynomials over standard normal variables, by Gauss's rule with one, two or three nodes, which is exact.

They need no expansion and no closed form, and share nothing with those: a value costs as many values of the body as
there are nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from sympy import Add, Basic, Expr, Integer, Mul, Pow, Rational, Symbol, sqrt

__all__ = ["nodes_of"]

_RULES: tuple[tuple[tuple[Expr, Rational], ...], ...] = (
    ((Integer(0), Integer(1)),),
    ((Integer(-1), Rational(1, 2)), (Integer(1), Rational(1, 2))),
    ((-sqrt(3), Rational(1, 6)), (Integer(0), Rational(2, 3)), (sqrt(3), Rational(1, 6))),
)
_MOST = 729


def nodes_of(body: Expr, variables: Sequence[Symbol]) -> Iterator[tuple[Rational, Expr]] | None:
    """Weights, and the body at the nodes, whose sum is the average; None where the body is no polynomial of a degree
    below six in each variable, or the nodes are too many.

    >>> x, a = Symbol("x", real=True), Symbol("a")
    >>> sum(weight * value for weight, value in nodes_of((x + a)**2, [x])).expand()
    a**2 + 1
    """
    degrees = [_degree(body, v) for v in variables]
    if any(d is None or d > 5 for d in degrees):
        return None
    rules = [_RULES[d // 2] for d in degrees if d is not None]
    if prod(map(len, rules)) > _MOST:
        return None
    return ((Mul(*(w for _, w in chosen)), body.xreplace(dict(zip(variables, (x for x, _ in chosen), strict=True))))
            for chosen in product(*rules))


def _degree(e: Basic, variable: Symbol) -> int | None:
    """The degree in a variable as it is written, or a number above it; None where the expression is no polynomial."""
    if variable not in e.free_symbols:
        return 0
    if e == variable:
        return 1
    if isinstance(e, Add | Mul):
        parts = [_degree(a, variable) for a in e.args]
        known = [p for p in parts if p is not None]
        return None if len(known) < len(parts) else max(known) if isinstance(e, Add) else sum(known)
    if isinstance(e, Pow) and e.exp.is_Integer and e.exp.is_positive:
        base = _degree(e.base, variable)
        return None if base is None else int(e.exp) * base
    return None
