"""Closed forms of averages over laws of patterns: finite sums, known integrals, completed squares."""

from __future__ import annotations

from typing import Any

from sympy import Add, Expr, Integral, Poly, PolynomialError, S, Symbol, exp, log, sqrt
from sympy.logic.boolalg import Boolean, true

from derive.nodes.averages import (
    DivergentAverage,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    noise_split,
)
from derive.nodes.functions import log_cosh, log_sum_exp
from derive.nodes.laws import Atoms, Density, Law, Noisy, Normal
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["log_average_closed_form", "measure_closed_form", "tilted_closed_form"]

SECONDS = 5.0  # for one integral over a density

Closed = tuple[Expr | None, Boolean]


def measure_closed_form(body: Expr, x: Symbol, law: Law, node: Any = MeasureAverage) -> Closed:
    """E body over the law: the value and its condition, None where no closed form is found.

    Normal: the Gaussian average.  Noisy: the noise integrated inside, the base outside.  Atoms: the sum.  Density:
    terms integrated one by one, each within a time box; terms that are not found stay nodes.
    """
    if isinstance(law, Normal):
        return GaussianAverage(body, x).doit(), true
    if isinstance(law, Noisy):
        split = noise_split(body, x, law)
        return split.doit(), true
    if isinstance(law, Atoms):
        return Add(*(w * body.subs(x, p) for p, w in zip(law.points, law.weights, strict=True))), true
    if isinstance(law, Density):
        return _over_density(body, x, law, node), true
    return None, true


def _over_density(body: Expr, x: Symbol, law: Density, node: Any) -> Expr | None:
    found, left = [], []
    for term in Add.make_args(body.expand()):
        constant, rest = term.as_independent(x, as_Add=False)
        value = S.One if rest == 1 else _integral(rest, x, law)
        if value is None:
            left.append(term)
        else:
            found.append(constant * value)
    if not found:
        return None
    return Add(*found, node(Add(*left), x, law))


def _integral(body: Expr, x: Symbol, law: Density) -> Expr | None:
    integrand = body * law.density(x)
    try:
        value = timebox(SECONDS, lambda: Integral(integrand, (x, law.lower, law.upper)).doit(conds="separate"))
    except (TimedOut, NotImplementedError, ValueError, TypeError, PolynomialError, ZeroDivisionError):
        return None
    if isinstance(value, tuple):
        value, condition = value
        if condition != true:
            return None
    if value.has(Integral, S.NaN, S.ComplexInfinity):
        return None
    if value.has(S.Infinity, S.NegativeInfinity):
        raise DivergentAverage(f"the average of {body} over the density {law.pdf} diverges", S.false)
    return value


def _quadratic(g: Expr, x: Symbol) -> tuple[Expr, Expr, Expr] | None:
    """(g2, g1, g0) of g = g2 x^2 + g1 x + g0, or None."""
    try:
        poly = Poly(g, x)
    except PolynomialError:
        return None
    if poly.degree() > 2 or any(x in c.free_symbols for c in poly.all_coeffs()):
        return None
    return poly.coeff_monomial(x**2), poly.coeff_monomial(x), poly.coeff_monomial(1)


def _split_constant(g: Expr, x: Symbol) -> tuple[Expr, Expr]:
    """g = constant + rest, the constant free of the variable."""
    constant, rest = g.expand().as_independent(x, as_Add=True)
    return constant, rest


def log_average_closed_form(g: Expr, x: Symbol, law: Law) -> Closed:
    """log E exp(g): completed square over a normal law, log-sum-exp over atoms; constants are taken out."""
    if isinstance(law, Atoms):
        return _log_sum(g, x, law), true
    constant, rest = _split_constant(g, x)
    if isinstance(law, Normal) and (quadratic := _quadratic(rest, x)) is not None:
        g2, g1, _ = quadratic
        width = 1 - 2 * g2
        if width.is_nonpositive:
            raise DivergentAverage(f"log E exp({g}) over a standard normal {x} diverges", width > 0)
        return constant + g1**2 / (2 * width) - log(width) / 2, width > 0
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
            raise DivergentAverage(f"the average tilted by exp({g}) over a standard normal {x} diverges", width > 0)
        y = Dummy("y", real=True)
        return GaussianAverage(f.subs(x, g1 / width + y / sqrt(width)), y).doit(), width > 0
    pieces = []
    for term in Add.make_args(f.expand()):
        constant, part = term.as_independent(x, as_Add=False)
        pieces.append(constant * TiltedAverage(part, rest, x, law))
    return Add(*pieces), true

