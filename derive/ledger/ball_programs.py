"""Expressions as short programs: what an integrand asks for at each of its places, without walking its tree again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sympy import Add, Basic, Expr, Mul, Pow, S, Symbol, exp, factor, log, sqrt

from derive.ledger.ball_functions import FUNCTIONS, Ball
from derive.nodes.averages import LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.laws import Atoms, Density

__all__ = ["finite_sum", "program_of", "smoothed"]

#: an evaluation at one point: gives the ball of a part, and knows its branches
Evaluation = Any
#: fills the next slot from those before it
Operation = Callable[[Evaluation, list[Ball]], Ball]


@lru_cache(maxsize=1024)
def finite_sum(e: Basic) -> Expr | None:
    """An average over finitely many points in elementary functions, None for anything else.

    Exponentials are taken relative to one of them throughout, and the differences expanded so that what is common
    cancels: the logarithm is then one analytic function wherever its argument avoids the negative axis.
    """
    law = getattr(e, "law", None)
    if not isinstance(law, Atoms):
        return None
    points, weights = law.points, law.weights
    if isinstance(e, MeasureAverage | SpectralAverage):
        return Add(*(w * e.body.xreplace({e.var: p}) for p, w in zip(points, weights, strict=True)))
    if not isinstance(e, LogAverageExp | TiltedAverage):
        return None
    one = e.g.xreplace({e.var: points[len(points) // 2]})
    tilts = [w * exp((e.g.xreplace({e.var: p}) - one).expand()) for p, w in zip(points, weights, strict=True)]
    if isinstance(e, LogAverageExp):
        return one + log(Add(*tilts))
    return Add(*(k * e.f.xreplace({e.var: p}) for p, k in zip(points, tilts, strict=True))) / Add(*tilts)


@lru_cache(maxsize=256)
def smoothed(integrand: Expr, x: Symbol, law: Density) -> tuple[tuple[Expr, Symbol, Expr], ...]:
    """An integral over a bounded support as two from zero: integrand, variable, upper end.

    The square of the variable is the distance to an end of the support, so that roots and inverse roots of it go.
    """
    u, middle = Symbol(f"root of {x.name}", positive=True), (law.lower + law.upper) / 2
    ends = ((law.lower + u**2, sqrt(middle - law.lower)), (law.upper - u**2, sqrt(law.upper - middle)))
    return tuple((2 * u * _factored(integrand.xreplace({x: place})), u, end) for place, end in ends)


def _factored(e: Expr) -> Expr:
    """Every base of a broken power in factors, so that powers of a positive variable come out of it."""
    return e.replace(lambda p: isinstance(p, Pow) and p.exp.is_Rational and not p.exp.is_Integer,
                     lambda p: factor(p.base) ** p.exp)


@lru_cache(maxsize=512)
def program_of(body: Expr, symbol: Symbol) -> Callable[[Evaluation], Ball]:
    """The value of an expression in one symbol, as a function of an evaluation at a point.

    Sums, products, rational powers and functions of what contains the symbol are carried out in a fixed order, each
    once; anything else, and all that does not contain the symbol, is asked of the evaluation.
    """
    operations: list[Operation] = []
    slots: dict[Basic, int] = {}

    def slot(e: Basic) -> int:
        if e not in slots:
            operation = _operation(e, symbol, slot)
            slots[e] = len(operations)
            operations.append(operation)
        return slots[e]

    slot(body)
    fixed = tuple(operations)

    def run(evaluation: Evaluation) -> Ball:
        values: list[Ball] = []
        for operation in fixed:
            values.append(operation(evaluation, values))
        return values[-1]

    return run


def _operation(e: Basic, symbol: Symbol, slot: Callable[[Basic], int]) -> Operation:
    opened = finite_sum(e) if symbol in e.free_symbols else None
    if opened is not None:
        same = slot(opened)
        return lambda evaluation, values: values[same]
    if symbol in e.free_symbols and isinstance(e, Add | Mul):
        return (_sum if isinstance(e, Add) else _product)(tuple(slot(a) for a in e.args))
    if symbol in e.free_symbols and isinstance(e, Pow) and e.exp.is_Rational and e.base is not S.Exp1:
        at, power = slot(e.base), e.exp
        return lambda evaluation, values: evaluation.raised(values[at], power)
    name = type(e).__name__
    if symbol in e.free_symbols and name in FUNCTIONS:
        function, places = FUNCTIONS[name], tuple(slot(a) for a in e.args)
        return lambda evaluation, values: function(evaluation, *(values[k] for k in places))
    if symbol in e.free_symbols and name == "log" and len(e.args) == 1:
        inside = slot(e.args[0])
        return lambda evaluation, values: evaluation.log(values[inside])
    return lambda evaluation, values: evaluation(e)


def _sum(places: tuple[int, ...]) -> Operation:
    first, *rest = places

    def operation(evaluation: Evaluation, values: list[Ball]) -> Ball:
        total = values[first]
        for k in rest:
            total = total + values[k]
        return total

    return operation


def _product(places: tuple[int, ...]) -> Operation:
    first, *rest = places

    def operation(evaluation: Evaluation, values: list[Ball]) -> Ball:
        total = values[first]
        for k in rest:
            total = total * values[k]
        return total

    return operation
