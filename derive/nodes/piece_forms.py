"""log E exp(g) over a standard normal where g is quadratic on each of several intervals.

On every interval the square is completed, and what is left is the weight of the interval under a normal law.  All is
said in logarithms, so that no exponential is ever formed:

    log E exp(g) = log_sum_exp over the intervals of  q0 + q1^2/(2 k) - log(k)/2 + log of the weight,   k = 1 - 2 q2,

for g = q0 + q1 x + q2 x^2 there.  An interval with one end at infinity has the weight erfc(.)/2; one with two ends has
a difference of two, taken in the tail where nothing cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Add, Expr, Heaviside, S, Symbol, log, oo, sqrt
from sympy.logic.boolalg import And, Boolean, true

from derive.nodes.functions import log_erfc, log_erfc_drop, log_sum_exp
from derive.nodes.products import KINKS, Line, NotClosed, cases, coefficients_in

__all__ = ["Piece", "interval_of", "log_average_of_pieces", "straight_pieces"]

MAX_PIECES = 40


@dataclass(frozen=True)
class Piece:
    """A smooth piece of a function of one variable: the expression that holds on (lower, upper)."""

    lower: Expr
    upper: Expr
    expr: Expr

    @property
    def whole(self) -> bool:
        """Whether it holds everywhere."""
        return bool(self.lower == -oo and self.upper == oo)

    @property
    def middle(self) -> Expr:
        """A point inside."""
        if self.whole:
            return S.Zero
        if self.lower == -oo:
            return self.upper - 1
        return self.lower + 1 if self.upper == oo else (self.lower + self.upper) / 2

    def indicator(self, x: Symbol) -> Expr:
        """1 inside, 0 outside."""
        below = S.One if self.lower == -oo else Heaviside(x - self.lower)
        return below if self.upper == oo else below - Heaviside(x - self.upper)


def log_average_of_pieces(g: Expr, x: Symbol) -> tuple[Expr, Boolean] | None:
    """The value and the condition under which it converges; None where g is not quadratic on intervals.

    >>> from sympy import Max, sign
    >>> h, a = Symbol("h", real=True), Symbol("a", real=True)
    >>> log_average_of_pieces(sign(h + a), h)[0]
    log_sum_exp(log_erfc(-sqrt(2)*a/2) - log(2) + 1, log_erfc(sqrt(2)*a/2) - 1 - log(2))
    >>> log_average_of_pieces(a * Max(0, h), h)[0]
    log_sum_exp(a**2/2 + log_erfc(-sqrt(2)*a/2) - log(2), -log(2))
    """
    if not any(x in k.free_symbols for k in g.atoms(*KINKS)):
        return None
    try:
        found = [(interval_of(lines), expr) for lines, expr in cases(g, x)]
    except NotClosed:
        return None
    pieces = [(ends, expr) for ends, expr in found if ends is not None]
    if not 1 < len(pieces) <= MAX_PIECES:
        return None
    terms, conditions = [], []
    for ends, expr in pieces:
        coefficients = coefficients_in(expr.expand(), x)
        if coefficients is None or len(coefficients) > 3:
            return None
        q0, q1, q2 = (*coefficients, S.Zero, S.Zero)[:3]
        width = 1 - 2 * q2
        if width.is_nonpositive:
            return None
        conditions.append(true if width.is_positive else width > 0)
        lower, upper = ends
        moved = (None if e is None else ((e - q1 / width) * sqrt(width)).expand() for e in (lower, upper))
        weight = _log_weight(*moved)
        terms.append(Add(q0, q1**2 / (2 * width), -log(width) / 2, weight, -log(2)))
    return log_sum_exp(*terms), And(*conditions)


Ends = tuple[Expr | None, Expr | None]


def interval_of(lines: tuple[Line, ...]) -> Ends | None:
    """The interval on which all a + b x are positive, its ends where finite; None where it is empty.

    Raises: NotClosed where the order of the ends does not follow from the assumptions.
    """
    lower: Expr | None = None
    upper: Expr | None = None
    for a, b in lines:
        end = -a / b
        if b.is_positive:
            lower = end if lower is None else _further(lower, end)
        elif b.is_negative:
            upper = end if upper is None else -_further(-upper, -end)
        else:
            raise NotClosed
    if lower is not None and upper is not None:
        width = (upper - lower).expand()
        if width.is_nonpositive:
            return None
        if not width.is_positive:
            raise NotClosed
    return lower, upper


def _further(one: Expr, other: Expr) -> Expr:
    gap = (other - one).expand()
    if gap.is_nonnegative:
        return other
    if gap.is_nonpositive:
        return one
    raise NotClosed


def _log_weight(lower: Expr | None, upper: Expr | None) -> Expr:
    """log of twice the weight of (lower, upper) under the standard normal law."""
    if lower is None and upper is None:
        return log(2)
    if upper is None and lower is not None:
        return log_erfc(lower / sqrt(2))
    if lower is None and upper is not None:
        return log_erfc(-upper / sqrt(2))
    return log_erfc_drop(lower / sqrt(2), upper / sqrt(2))


def straight_pieces(expr: Expr, x: Symbol) -> list[tuple[Expr, Expr, Expr, Expr]] | None:
    """(lower, upper, constant, slope) of a function that is a straight line on each of several intervals, else None.

    >>> from sympy import Max
    >>> h = Symbol("h", real=True)
    >>> straight_pieces(Max(0, h), h)
    [(-oo, 0, 0, 0), (0, oo, 0, 1)]
    """
    try:
        found = [(interval_of(lines), piece) for lines, piece in cases(expr, x)]
    except NotClosed:
        return None
    pieces = []
    for ends, piece in found:
        if ends is None:
            continue
        coefficients = coefficients_in(piece.expand(), x)
        if coefficients is None or len(coefficients) > 2 or not all(c.is_number for c in coefficients):
            return None
        lower, upper = (-oo if ends[0] is None else ends[0]), (oo if ends[1] is None else ends[1])
        pieces.append((lower, upper, coefficients[0], coefficients[1] if len(coefficients) == 2 else S.Zero))
    return sorted(pieces, key=lambda p: p[0]) if 0 < len(pieces) <= MAX_PIECES else None
