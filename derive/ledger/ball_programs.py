"""Expressions as short programs: what an integrand asks for at each of its places, without walking its tree again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Add, Basic, Expr, Mul, Pow, S, Symbol, exp, factor, log, sqrt

from derive.ledger.ball_functions import FUNCTIONS, Ball
from derive.nodes.averages import LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.binders import Binder
from derive.nodes.laws import Atoms, Density

__all__ = ["Program", "finite_sum", "free_parts", "placed", "program_of", "smoothed"]

#: an evaluation at one point: gives the ball of a part, and knows its branches
Evaluation = Any
#: fills the next slot from those before it
Operation = Callable[[Evaluation, list[Ball]], Ball]


@lru_cache(maxsize=4096)
def placed(e: Expr, symbol: Symbol, at: Expr) -> Expr:
    """An expression with something in place of a symbol; integrands ask for the same again and again."""
    return e.xreplace({symbol: at})


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


@dataclass(frozen=True)
class Program:
    """How the value of an expression in one symbol is found at any place of it.

    Attributes: constants (what does not contain the symbol, asked for once), operations (what does, in order: each
    adds a value to those before it, the constants and the symbol first), parts (of what some operations still ask an
    evaluation for, the largest that do not contain the symbol; None where no operation asks).
    """

    constants: tuple[Basic, ...]
    operations: tuple[Operation, ...]
    parts: tuple[Basic, ...] | None

    def __call__(self, evaluation: Evaluation, constants: list[Ball], at: Ball) -> Ball:
        """The value where the symbol has the value `at`, given the values of the constants."""
        values = [*constants, at]
        for operation in self.operations:
            values.append(operation(evaluation, values))
        return values[-1]


@lru_cache(maxsize=512)
def program_of(body: Expr, symbol: Symbol) -> Program:
    """The value of an expression in one symbol as a program.

    Sums, products, rational powers and functions of what contains the symbol are carried out in a fixed order, each
    once; anything else that contains it is asked of the evaluation.
    """
    constants: dict[Basic, int] = {}
    order: dict[Basic, tuple[Basic, ...] | None] = {}  # None: asked of the evaluation
    same: dict[Basic, Basic] = {}

    def visit(e: Basic) -> None:
        if e == symbol or e in constants or e in order or e in same:
            return
        if symbol not in e.free_symbols:
            constants[e] = len(constants)
            return
        opened = finite_sum(e)
        if opened is not None:
            visit(opened)
            same[e] = opened
            return
        parts = _parts(e, symbol)
        for a in parts or ():
            visit(a)
        order[e] = parts

    visit(body)
    places = {symbol: len(constants)} | {e: len(constants) + 1 + k for k, e in enumerate(order)} | constants

    def place(e: Basic) -> int:
        return places[same.get(e, e)]

    operations = [_ask(e) if parts is None else _operation(e, tuple(place(a) for a in parts))
                  for e, parts in order.items()]
    if place(body) < len(constants) + len(operations):  # not the last one: the body is constant, or the symbol itself
        operations.append(_copy(place(body)))
    asked = [e for e, parts in order.items() if parts is None]
    free = tuple(dict.fromkeys(part for e in asked for part in free_parts(e, symbol))) if asked else None
    return Program(tuple(constants), tuple(operations), free)


def free_parts(e: Basic, symbol: Symbol) -> Iterator[Basic]:
    """The largest parts of an expression that need no value of the symbol, rational numbers apart."""
    if not e.args or not isinstance(e, Expr):
        return
    if symbol not in e.free_symbols:
        if not e.is_number or not e.is_Rational:
            yield e
        return
    if isinstance(e, Binder):
        return  # what stands below another sign of averaging has bound symbols
    for a in e.args:
        yield from free_parts(a, symbol)


def _parts(e: Basic, symbol: Symbol) -> tuple[Basic, ...] | None:
    """What an operation works on, all that is constant in a sum or product as one; None where it has to be asked."""
    if isinstance(e, Add | Mul):
        fixed = [a for a in e.args if symbol not in a.free_symbols]
        rest = [a for a in e.args if symbol in a.free_symbols]
        return (e.func(*fixed), *rest) if fixed else tuple(rest)
    if isinstance(e, Pow) and e.exp.is_Rational and e.base is not S.Exp1:
        return (e.base,)
    if type(e).__name__ in FUNCTIONS or (type(e).__name__ == "log" and len(e.args) == 1):
        return tuple(e.args)
    return None


def _ask(e: Basic) -> Operation:
    return lambda evaluation, values: evaluation(e)


def _copy(place: int) -> Operation:
    return lambda evaluation, values: values[place]


def _operation(e: Basic, places: tuple[int, ...]) -> Operation:
    if isinstance(e, Add | Mul):
        return (_sum if isinstance(e, Add) else _product)(places)
    first = places[0]
    if isinstance(e, Pow) and e.base is not S.Exp1:
        power = e.exp
        return lambda evaluation, values: evaluation.raised(values[first], power)
    name = type(e).__name__
    if name == "log":
        return lambda evaluation, values: evaluation.log(values[first])
    function = FUNCTIONS[name]
    if len(places) == 1:
        return lambda evaluation, values: function(evaluation, values[first])
    return lambda evaluation, values: function(evaluation, *(values[k] for k in places))


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
