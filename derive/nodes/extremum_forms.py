"""Where an extremum lies, when its stationarity condition can be solved explicitly."""

from __future__ import annotations

from sympy import Add, Expr, Interval, Max, Min, Ne, Poly, PolynomialError, S, Symbol, solve
from sympy.logic.boolalg import And, Boolean, false, true

from derive.nodes.timebox import TimedOut, timebox

__all__ = ["explicit_place"]

SECONDS = 3.0


def explicit_place(
    body: Expr, x: Symbol, interval: Interval, kind: str, curvature: int = 0
) -> tuple[Expr | None, Boolean]:
    """The point of the extremum and its condition.

    One stationary point and a curvature of one sign: the vertex, clipped to the interval for a maximum or a minimum of
    the right curvature, with the condition that it lies inside for kind "extr".  Otherwise (None, true).  A
    constant curvature whose sign is not known becomes part of the condition (`curvature`: the sign then assumed).
    """
    slope = body.diff(x)
    bend = slope.diff(x)
    curvature = curvature or _sign(bend)
    if curvature == 0 and x not in bend.free_symbols:
        needed = Ne(bend, 0) if kind == "extr" else bend < 0 if kind == "max" else bend > 0
        if needed == false:
            return None, true
        vertex_point, condition = explicit_place(body, x, interval, kind, 1 if kind == "min" else -1)
        return vertex_point, And(needed, condition)
    if kind == "extr":
        if curvature == 0:
            return None, true
    elif curvature != (-1 if kind == "max" else 1):
        return None, true
    vertex = _zero(slope, x)
    if vertex is None or x in vertex.free_symbols:
        return None, true
    if kind == "extr":
        return vertex, _inside(vertex, interval)
    low = vertex if interval.start == S.NegativeInfinity else Max(vertex, interval.start)
    point = low if interval.end == S.Infinity else Min(low, interval.end)
    # An open end that is reached by clipping belongs to no maximum: the vertex must lie inside it.
    conditions = []
    if interval.left_open and interval.start != S.NegativeInfinity:
        conditions.append(vertex > interval.start)
    if interval.right_open and interval.end != S.Infinity:
        conditions.append(vertex < interval.end)
    return point, And(*conditions)


def _inside(point: Expr, interval: Interval) -> Boolean:
    conditions: list[Boolean] = []
    if interval.start != S.NegativeInfinity:
        conditions.append(point > interval.start if interval.left_open else point >= interval.start)
    if interval.end != S.Infinity:
        conditions.append(point < interval.end if interval.right_open else point <= interval.end)
    return And(*conditions)


def _sign(expr: Expr) -> int:
    """1 or -1 where the sign of an expression follows from its assumptions, else 0."""
    for form in (expr, expr.factor() if isinstance(expr, Add) else expr):
        if form.is_positive:
            return 1
        if form.is_negative:
            return -1
    return 0


def _zero(slope: Expr, x: Symbol) -> Expr | None:
    """The zero of the slope if it is the only one and explicit; linear slopes directly, others by a timed solve."""
    try:
        poly = Poly(slope, x)
        if poly.degree() == 1 and not any(x in c.free_symbols for c in poly.all_coeffs()):
            return -poly.coeff_monomial(1) / poly.coeff_monomial(x)
    except PolynomialError:
        pass
    try:
        roots = timebox(SECONDS, solve, slope, x)
    except (TimedOut, NotImplementedError, ValueError, TypeError, PolynomialError):
        return None
    explicit = isinstance(roots, list) and len(roots) == 1 and isinstance(roots[0], Expr)
    return roots[0] if explicit and roots[0].is_extended_real else None
