"""Averages that do not exist at a point: an exponential that outgrows the Gaussian weight, proven by its exponent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flint import acb
from sympy import Basic, Expr, Mul, Piecewise, Poly, PolynomialError, Rel, Symbol, exp, log

from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.roots import holds
from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.laws import Atoms, MarchenkoPastur, Normal

__all__ = ["divergence"]


def divergence(e: Basic, point: Mapping[Symbol, Any]) -> str | None:
    """Why an average in an expression is infinite at a point, in words; None where that is not known.

    E exp(g) over a standard normal variable is infinite where g is a polynomial of odd degree above two, or of even
    degree above two with a positive leading coefficient, or of degree two with a leading coefficient of 1/2 or more.
    Below an average over a spectrum one value inside the bulk is enough: it is so in a neighbourhood too.  A spectrum
    with an atom at zero has no average of c^-k or log c.

    >>> x, p = Symbol("x", real=True), Symbol("p", positive=True)
    >>> divergence(GaussianAverage(exp(p*x**2), x), {p: 1}) is not None
    True
    """
    if isinstance(e, GaussianAverage) and len(e.variables) == 1:
        if _outgrown(_exponent(e.body, e.variables[0]), e.variables[0], point):
            return f"{e} diverges"
    elif isinstance(e, LogAverageExp | TiltedAverage) and isinstance(e.law, Normal):
        if _outgrown(e.g, e.var, point):
            return f"{e} diverges"
    elif isinstance(e, SpectralAverage | MeasureAverage):
        if _infinite_at_atom(e, point):
            return f"{e} diverges"
        for inside in _values(e, point):
            found = divergence(e.body, {**point, **inside})
            if found is not None:
                return found
        return None
    if isinstance(e, Piecewise):
        case = _case(e, point)
        return None if case is None else divergence(case, point)
    for a in e.args:
        if isinstance(a, Expr) and (found := divergence(a, point)) is not None:
            return found
    return None


def _case(e: Piecewise, point: Mapping[Symbol, Any]) -> Expr | None:
    """The case that holds at a point for certain."""
    for expr, condition in e.args:
        if condition == True or holds(condition, point):  # noqa: E712 - a SymPy Boolean
            return expr
        if not (isinstance(condition, Rel) and holds(condition.negated, point)):
            return None
    return None


def _values(e: SpectralAverage | MeasureAverage, point: Mapping[Symbol, Any]) -> Iterator[dict[Symbol, Any]]:
    """Values of the averaged variable that the law takes."""
    if isinstance(e.law, Atoms):
        yield from ({e.var: p} for p in e.law.points)
    elif isinstance(e.law, MarchenkoPastur):
        try:
            low, high = (enclose(edge, point, 96) for edge in (e.law.lower, e.law.upper))
        except (NotEnclosed, ValueError, ZeroDivisionError):
            return
        yield from ({e.var: (low + (high - low) * k / 16).mid()} for k in (1, 8, 15))
    else:
        yield {}


def _infinite_at_atom(e: SpectralAverage | MeasureAverage, point: Mapping[Symbol, Any]) -> bool:
    """Whether the law of Marchenko and Pastur has an atom at zero, and the body is infinite there."""
    factors = Mul.make_args(e.body)
    singular = [f for f in factors if f == log(e.var) or (f.is_Pow and f.base == e.var and f.exp.is_negative)]
    if not singular or not isinstance(e.law, MarchenkoPastur):
        return False
    rest = Mul(*(f for f in factors if f not in singular)).subs(e.var, 0)
    try:
        ratio, factor = enclose(e.law.ratio, point, 96), enclose(rest, point, 96)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return False
    return bool(ratio < 1) and factor.is_finite() and not factor.contains(0)


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
