"""How fast the body of a Gaussian average grows, and whether it is odd."""

from __future__ import annotations

from sympy import (
    Abs,
    Add,
    Expr,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Pow,
    S,
    Symbol,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    log,
    sign,
    sin,
    sinh,
    tanh,
)

from derive.nodes.functions import log_cosh, log_erfc, softplus
from derive.nodes.products import coefficients_in, linear

__all__ = ["growth", "integrable", "odd"]

_BOUNDED = (tanh, erf, erfc, sin, cos, atan, sign, Heaviside)
_MODERATE = (log_cosh, softplus, log_erfc, Abs, Max, Min)


def growth(expr: Expr, x: Symbol) -> Expr | None:
    """r such that |expr| < C exp((r + e) x^2) for every e > 0 and no singularity is met; None where unknown.

    >>> from sympy import Symbol, exp, tanh
    >>> x, a = Symbol("x", real=True), Symbol("a", real=True)
    >>> growth(x * tanh(x) * exp(a*x**2), x)
    a
    """
    if x not in expr.free_symbols or expr.is_polynomial(x):
        return S.Zero
    if isinstance(expr, (Add, Piecewise)):
        parts = [p for p, _ in expr.args] if isinstance(expr, Piecewise) else list(expr.args)
        rates = [growth(p, x) for p in parts]
        return None if None in rates else Max(*rates)
    if isinstance(expr, Mul):
        rates = [growth(p, x) for p in expr.args]
        return None if None in rates else Add(*(r for r in rates if r is not None))
    if isinstance(expr, exp):
        coefficients = coefficients_in(expr.args[0].expand(), x)
        if coefficients is not None and len(coefficients) <= 3:
            return (*coefficients, S.Zero, S.Zero)[2]
        return S.Zero if _subquadratic(expr.args[0], x) else None
    if isinstance(expr, (cosh, sinh)):
        return S.Zero if _subquadratic(expr.args[0], x) else None
    if isinstance(expr, _BOUNDED):
        return S.Zero if expr.args[0].is_real else None
    if isinstance(expr, _MODERATE):
        return S.Zero if all(a.is_real and growth(a, x) == 0 for a in expr.args) else None
    if isinstance(expr, log):
        (argument,) = expr.args
        rate = growth(argument, x)
        return S.Zero if _away_from_zero(argument, x) and (rate is not None) else None
    if isinstance(expr, Pow):
        rate = growth(expr.base, x)
        if rate is None or x in expr.exp.free_symbols:
            return None
        if expr.exp.is_Integer and expr.exp > 0:
            return expr.exp * rate
        if _away_from_zero(expr.base, x):
            return S.Zero if expr.exp.is_negative else expr.exp * rate
    return None


def _away_from_zero(expr: Expr, x: Symbol) -> bool:
    """Whether an expression is at least some positive constant for all real x (a sufficient test)."""
    if isinstance(expr, cosh) and expr.args[0].is_real:
        return True
    if isinstance(expr, Add):
        constant, rest = expr.as_independent(x, as_Add=True)
        if constant.is_positive and all(a.is_nonnegative for a in Add.make_args(rest)):
            return True
    if isinstance(expr, Mul):
        return all(a.is_positive if x not in a.free_symbols else _away_from_zero(a, x) for a in expr.args)
    return isinstance(expr, Pow) and bool(expr.exp.is_positive) and _away_from_zero(expr.base, x)


def _subquadratic(expr: Expr, x: Symbol) -> bool:
    """Whether |expr| grows at most linearly in |x| (a sufficient test)."""
    if x not in expr.free_symbols or linear(expr, x) is not None:
        return True
    if isinstance(expr, Add):
        return all(_subquadratic(a, x) for a in expr.args)
    if isinstance(expr, Mul):
        growing = [a for a in expr.args if not _bounded(a, x)]
        return len(growing) < 2 and all(_subquadratic(a, x) for a in growing)
    if isinstance(expr, (log_cosh, softplus, Abs)):
        return bool(expr.args[0].is_real) and _subquadratic(expr.args[0], x)
    return _bounded(expr, x)


def _bounded(expr: Expr, x: Symbol) -> bool:
    """Whether an expression is bounded on the real line (a sufficient test)."""
    if x not in expr.free_symbols:
        return True
    if isinstance(expr, (Add, Mul)):
        return all(_bounded(a, x) for a in expr.args)
    if isinstance(expr, Pow):
        return bool(expr.exp.is_Integer and expr.exp > 0) and _bounded(expr.base, x)
    return isinstance(expr, _BOUNDED) and bool(expr.args[0].is_real)


def integrable(term: Expr, x: Symbol) -> bool:
    """Whether a term is known to have a Gaussian average."""
    rate = growth(term, x)
    return rate is not None and bool((1 - 2 * rate).is_positive)


def odd(expr: Expr, x: Symbol) -> bool:
    """Whether an expression changes its sign with x."""
    return bool((expr.subs(x, -x) + expr).expand() == 0)
