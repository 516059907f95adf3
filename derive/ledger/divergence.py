"""Averages that do not exist at a point: an exponential that outgrows the Gaussian weight, proven by its exponent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flint import acb
from sympy import Basic, Expr, Mul, Poly, PolynomialError, Symbol, exp

from derive.ledger.balls import NotEnclosed, enclose
from derive.nodes.averages import GaussianAverage, LogAverageExp, TiltedAverage
from derive.nodes.laws import Normal

__all__ = ["divergence"]


def divergence(e: Basic, point: Mapping[Symbol, Any]) -> str | None:
    """Why an average in an expression is infinite at a point, in words; None where that is not known.

    E exp(g) over a standard normal variable is infinite where g is a polynomial of odd degree above two, or of even
    degree above two with a positive leading coefficient, or of degree two with a leading coefficient of 1/2 or more.

    >>> x, p = Symbol("x", real=True), Symbol("p", positive=True)
    >>> divergence(GaussianAverage(exp(p*x**2), x), {p: 1}) is not None
    True
    """
    for node in sorted(e.atoms(GaussianAverage, LogAverageExp, TiltedAverage), key=str):
        if isinstance(node, GaussianAverage):
            x = node.variables[0]
            if len(node.variables) == 1 and _outgrown(_exponent(node.body, x), x, point):
                return f"{node} diverges"
        elif isinstance(node.law, Normal) and _outgrown(node.g, node.var, point):
            return f"{node} diverges"
    return None


def _exponent(body: Expr, x: Symbol) -> Expr | None:
    """The exponent of a body that is a constant times an exponential."""
    factors = Mul.make_args(body)
    powers = [f.args[0] for f in factors if isinstance(f, exp)]
    if not powers or any(x in f.free_symbols for f in factors if not isinstance(f, exp)):
        return None
    return sum(powers[1:], powers[0])


def _outgrown(g: Expr | None, x: Symbol, point: Mapping[Symbol, Any]) -> bool:
    if g is None:
        return False
    try:
        poly = Poly(g, x)
    except PolynomialError:
        return False
    lead, degree = poly.LC(), poly.degree()
    if degree < 2 or lead.free_symbols - set(point):
        return False
    try:
        value = enclose(lead, point, 96)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return False
    if isinstance(value, acb) or not value.is_finite():
        return False
    if degree == 2:
        return bool(2 * value >= 1)
    return bool(value > 0) or (degree % 2 == 1 and bool(value < 0))
