"""Closed forms of averages over laws of patterns: finite sums, known integrals, completed squares."""

from __future__ import annotations

from typing import Any

import mpmath
from sympy import (
    Add,
    Expr,
    Float,
    Integral,
    Piecewise,
    Poly,
    PolynomialError,
    Rational,
    S,
    StrictGreaterThan,
    Symbol,
    exp,
    log,
    sqrt,
)
from sympy.logic.boolalg import And, Boolean, false, true

from derive.core import DeriveError
from derive.nodes.averages import (
    DivergentAverage,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    noise_split,
)
from derive.nodes.functions import log_cosh, log_sum_exp
from derive.nodes.laws import Atoms, Density, Law, Noisy, Normal
from derive.nodes.piece_forms import log_average_of_pieces
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["log_average_closed_form", "measure_closed_form", "tilted_closed_form"]

SECONDS = 5.0  # for one integral over a density

_FAILURES = (
    TimedOut, NotImplementedError, ValueError, TypeError, AttributeError, RecursionError, PolynomialError,
    ZeroDivisionError,
)

Closed = tuple[Expr | None, Boolean]


def measure_closed_form(body: Expr, x: Symbol, law: Law, node: Any = MeasureAverage) -> Closed:
    """E body over the law: the value and its condition, None where no closed form is found.

    Normal: the Gaussian average.  Noisy: the noise integrated inside, the base outside.  Atoms: the sum.  Density:
    terms integrated one by one, each within a time box; terms that are not found stay nodes.
    """
    if isinstance(law, Normal):
        normal = GaussianAverage(body, x)
        value, condition = normal.closed_form() if isinstance(normal, GaussianAverage) else (normal, true)
        return (normal if value is None else value), condition
    if isinstance(law, Noisy):
        split = noise_split(body, x, law)
        return split.doit(), true
    if isinstance(law, Atoms):
        return Add(*(w * body.subs(x, p) for p, w in zip(law.points, law.weights, strict=True))), true
    if isinstance(law, Density):
        return _over_density(body, x, law, node)
    return None, true


def _over_density(body: Expr, x: Symbol, law: Density, node: Any) -> Closed:
    found: list[Expr] = []
    left: list[Expr] = []
    conditions: list[Boolean] = []
    for term in Add.make_args(body.expand()):
        constant, rest = term.as_independent(x, as_Add=False)
        value, condition = (S.One, true) if rest == 1 else _integral(rest, x, law)
        if value is None:
            left.append(term)
        else:
            found.append(constant * value)
            conditions.append(condition)
    return (Add(*found, node(Add(*left), x, law)), And(*conditions)) if found else (None, true)


def _integral(body: Expr, x: Symbol, law: Density) -> Closed:
    """The integral of body times the density within a time box, and the condition it holds under.

    An integral by computer algebra is believed only where it agrees with the average computed numerically at a
    point of its parameters; otherwise there is none.

    Raises: DivergentAverage where the integral is infinite.
    """
    integrand = body * law.density(x)
    try:
        value = timebox(SECONDS, lambda: Integral(integrand, (x, law.lower, law.upper)).doit())
    except _FAILURES:
        return None, true
    condition: Boolean = true
    if isinstance(value, Piecewise) and any(v.has(Integral) for v, _ in value.args):
        value, condition = value.args[0]
        if any(not v.has(Integral) for v, _ in value.args[1:]):
            return None, true
    if value.has(Integral, S.NaN, S.ComplexInfinity):
        return None, true
    if value.has(S.Infinity, S.NegativeInfinity):
        shown = body.xreplace({x: Symbol("xi")}), law.density(Symbol("xi"))
        raise DivergentAverage(f"the average of {shown[0]} over the density {shown[1]} diverges", false)
    return (value, condition) if _agrees(value, condition, body, x, law) else (None, true)


def _agrees(value: Expr, condition: Boolean, body: Expr, x: Symbol, law: Density) -> bool:
    """Whether a closed form equals the numerical average at one point of the parameters, to eight digits."""
    from derive.nodes.mp_eval import compile_mp

    parameters = sorted((body * law.density(x)).free_symbols - {x} | law.free_symbols, key=str)
    point = {p: _sample(p, k) for k, p in enumerate(parameters)}
    if condition.subs(point) != true:
        return False
    try:
        with mpmath.workdps(20):
            node = MeasureAverage(body, x, law)
            values = [mpmath.mpf(v.p) / v.q for v in point.values()]
            expected = timebox(SECONDS, lambda: compile_mp(node, parameters)(*values))
            found = value.subs(point).evalf(15)
            return bool(abs(found - Float(expected)) <= 1e-8 * (1e-8 + abs(found)))
    except (*_FAILURES, DeriveError, mpmath.libmp.NoConvergence):
        return False


def _sample(symbol: Symbol, number: int) -> Rational:
    """A plain value that a symbol may have."""
    value = Rational(3 + number, 7 + 2 * number)
    if symbol.is_integer:
        value = Rational(2 + number)
    return -value if symbol.is_negative else value


def _quadratic(g: Expr, x: Symbol) -> tuple[Expr, Expr, Expr] | None:
    """(g2, g1, g0) of g = g2 x^2 + g1 x + g0, or None."""
    try:
        poly = Poly(g, x)
    except PolynomialError:
        return None
    if poly.degree() > 2 or any(x in c.free_symbols for c in poly.all_coeffs()):
        return None
    return poly.coeff_monomial(x**2), poly.coeff_monomial(x), poly.coeff_monomial(1)


def _named(expr: Expr, x: Symbol) -> Expr:
    return expr.xreplace({x: Symbol("x", real=True)})


def _divergence(what: str, width: Expr) -> DivergentAverage:
    condition = StrictGreaterThan(width, S.Zero, evaluate=False)
    return DivergentAverage(f"{what} over a standard normal x diverges: {width} must be positive", condition)


def _split_constant(g: Expr, x: Symbol) -> tuple[Expr, Expr]:
    """g = constant + rest, the constant free of the variable."""
    constant, rest = g.expand().as_independent(x, as_Add=True)
    return constant, rest


def log_average_closed_form(g: Expr, x: Symbol, law: Law) -> Closed:
    """log E exp(g): completed squares over a normal law, log-sum-exp over atoms; constants are taken out."""
    if isinstance(law, Atoms):
        return _log_sum(g, x, law), true
    constant, rest = _split_constant(g, x)
    if isinstance(law, Normal) and (quadratic := _quadratic(rest, x)) is not None:
        g2, g1, _ = quadratic
        width = 1 - 2 * g2
        if width.is_nonpositive:
            raise _divergence(f"log E exp({_named(g, x)})", width)
        return constant + g1**2 / (2 * width) - log(width) / 2, width > 0
    if isinstance(law, Normal) and (found := log_average_of_pieces(g, x)) is not None:
        return found
    if constant == 0:
        return None, true
    return constant + LogAverageExp(rest, x, law), true


def _log_sum(g: Expr, x: Symbol, law: Atoms) -> Expr:
    exponents = [g.subs(x, p) for p in law.points]
    if len(exponents) == 2 and law.weights[0] == law.weights[1]:
        mean, half = ((exponents[1] + s * exponents[0]).expand() / 2 for s in (1, -1))
        return mean + log_cosh(half)
    return log_sum_exp(*(e + log(w) for e, w in zip(exponents, law.weights, strict=True)))


def tilted_closed_form(f: Expr, g: Expr, x: Symbol, law: Law) -> Closed:
    """E[f e^g]/E[e^g]: a shifted Gaussian average over a normal law with quadratic g, a finite sum over atoms."""
    from sympy import Dummy, tanh

    from derive.nodes.averages import TiltedAverage

    if isinstance(law, Atoms):
        values, exponents = ([h.subs(x, p) for p in law.points] for h in (f, g))
        if len(values) == 2 and law.weights[0] == law.weights[1]:
            lean = tanh(((exponents[1] - exponents[0]) / 2).expand())
            return (values[0] + values[1]) / 2 + (values[1] - values[0]) / 2 * lean, true
        total = _log_sum(g, x, law)
        return Add(*(w * v * exp(e - total) for v, e, w in zip(values, exponents, law.weights, strict=True))), true
    _, rest = _split_constant(g, x)
    if isinstance(law, Normal) and (quadratic := _quadratic(rest, x)) is not None:
        g2, g1, _ = quadratic
        width = 1 - 2 * g2
        if width.is_nonpositive:
            raise _divergence(f"the average tilted by exp({_named(g, x)})", width)
        y = Dummy("y", real=True)
        return GaussianAverage(f.subs(x, g1 / width + y / sqrt(width)), y).doit(), width > 0
    pieces = []
    for term in Add.make_args(f.expand()):
        constant, part = term.as_independent(x, as_Add=False)
        pieces.append(constant * TiltedAverage(part, rest, x, law))
    return Add(*pieces), true

