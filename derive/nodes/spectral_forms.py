"""Closed forms of averages over the Marchenko-Pastur law, in terms of its response V(b).

With C = F F^T/D, ratio = D/N (see MarchenkoPastur) and V = MPResponse(b, ratio):

    <c^k>               Narayana polynomials in 1/ratio;   <c^-k> = <c^(k-1)> (ratio/(ratio-1))^(2k-1) for ratio > 1
    <c/(1+bc)>          V/(1+bV)
    <1/(1+bc)>          1/(1+bV)
    <log(1+bc)>         log(1+bV) - ratio log V - ratio (1-V)

Higher poles follow by differentiation in b.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

from sympy import Add, Dummy, Expr, Integer, Mul, Piecewise, Poly, PolynomialError, Pow, S, Symbol, apart, fraction, log, together
from sympy.logic.boolalg import And, Boolean, true

from derive.nodes.averages import DivergentAverage, SpectralAverage
from derive.nodes.functions import MPResponse, softplus
from derive.nodes.laws import MarchenkoPastur
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["moment", "pole", "spectral_closed_form"]

SECONDS = 5.0  # for one partial-fraction decomposition

Closed = tuple[Expr | None, Boolean]


class _NotClosed(Exception):
    """The term has no closed form among those known here."""


def moment(k: int, ratio: Expr) -> tuple[Expr, Boolean]:
    """<c^k> and the condition under which it exists: none for k >= 0, ratio > 1 for k < 0.

    >>> from sympy.abc import r
    >>> moment(3, r)[0]
    1 + 3/r + r**(-2)
    """
    if k >= 0:
        return Add(*(S(comb(k, j) * comb(k - 1, j)) / (j + 1) * ratio ** (-j) for j in range(k))) if k else S.One, true
    mirrored, _ = moment(-k - 1, ratio)
    return (ratio / (ratio - 1)) ** (-2 * k - 1) * mirrored, ratio > 1


def pole(j: int, n: int, b: Expr, ratio: Expr) -> Expr:
    """<c^j/(1+bc)^n> for integers j >= 0, n >= 1, b > 0, through derivatives of the response.

    <c^n/(1+bc)^n> = (-1)^(n-1)/(n-1)! (d/db)^(n-1) V/(1+bV); lower j by 1 = (1+bc) - bc, higher j by bc = (1+bc) - 1.

    >>> from sympy.abc import r
    >>> pole(1, 1, Integer(2), r)
    MPResponse(2, r)/(2*MPResponse(2, r) + 1)
    """
    if n == 0:
        return moment(j, ratio)[0]
    if j > n:
        return (pole(j - 1, n - 1, b, ratio) - pole(j - 1, n, b, ratio)) / b
    V = MPResponse(b, ratio)
    if (j, n) == (0, 1):
        return 1 / (1 + b * V)
    slope = ratio * (1 + b * V) ** 2 + b
    if (j, n) == (1, 2):
        return ratio * V / slope
    if (j, n) == (0, 2):
        return (1 + b**2 * V / slope) / (1 + b * V) ** 2
    if j < n:
        # <c^j/(1+bc)^n>: by d/db <c^j/(1+bc)^(n-1)> = -(n-1) <c^(j+1)/(1+bc)^n> and c^j = c^j (1+bc) - b c^(j+1).
        return pole(j, n - 1, b, ratio) - b * pole(j + 1, n, b, ratio)
    running = Dummy("b", positive=True)
    W = MPResponse(running, ratio)
    value: Expr = W / (1 + running * W)
    for k in range(1, n):
        value = -value.diff(running) / k
    return value.subs(running, b)


def shannon(b: Expr, ratio: Expr) -> Expr:
    """<log(1+bc)> for b > 0."""
    V = MPResponse(b, ratio)
    return log(1 + b * V) - ratio * log(V) - ratio * (1 - V)


def log_moment(ratio: Expr) -> tuple[Expr, Boolean]:
    """<log c>: (ratio-1) log(ratio/(ratio-1)) - 1 for ratio > 1, -1 at 1; it diverges below 1."""
    if ratio == 1:
        return S.NegativeOne, true
    value = (ratio - 1) * log(ratio / (ratio - 1)) - 1
    if (ratio - 1).is_positive:
        return value, true
    return Piecewise((S.NegativeOne, S.One.func(1) * (ratio - 1) == 0), (value, True)), ratio >= 1


def spectral_closed_form(body: Expr, c: Symbol, ratio: Expr) -> Closed:
    """<body> over MarchenkoPastur(ratio), by linearity; terms without closed form stay nodes.

    Raises: DivergentAverage for c^-k or log c where the law has an atom or a hard edge at zero.
    """
    resolved: list[Expr] = []
    left: list[Expr] = []
    conditions: list[Boolean] = []
    rational: list[Expr] = []
    for term in Add.make_args(body.expand(log=False, power_base=False, power_exp=False, multinomial=False)):
        (rational if term.is_rational_function(c) else left).append(term)
    others, left = left, []
    if rational:
        for piece in _rational_terms(Add(*rational), c):
            _settle(piece, c, ratio, resolved, left, conditions)
    for term in others:
        _settle(term, c, ratio, resolved, left, conditions)
    if not resolved:
        return None, true
    rest = SpectralAverage(Add(*left), c, MarchenkoPastur(ratio)) if left else S.Zero
    return Add(*resolved) + rest, And(*conditions)


def _settle(
    term: Expr, c: Symbol, ratio: Expr, resolved: list[Expr], left: list[Expr], conditions: list[Boolean]
) -> None:
    try:
        value, needed = _term(term, c, ratio)
    except _NotClosed:
        left.append(term)
        return
    if needed == S.false:
        raise DivergentAverage(f"the spectral average of {term} diverges for ratio {ratio}", S.false)
    resolved.append(value)
    if needed != true:
        conditions.append(needed)


def _rational_terms(body: Expr, c: Symbol) -> Sequence[Expr]:
    """The terms as they stand where each has one pole, else partial fractions; the body where they are not found in time."""
    if body.is_polynomial(c):
        return Add.make_args(body.expand())
    if all(_simple(term, c) for term in Add.make_args(body)):
        return Add.make_args(body)
    try:
        split = timebox(SECONDS, apart, together(body), c)
    except (TimedOut, PolynomialError, NotImplementedError, ZeroDivisionError):
        return Add.make_args(body)
    return Add.make_args(split)


def _simple(term: Expr, c: Symbol) -> bool:
    """constant * c^j / (p + q c)^n with j >= 0 or n = 0."""
    try:
        _, j, n, _, _ = _factors(term, c)
    except _NotClosed:
        return False
    return j >= 0 or n == 0


def _factors(term: Expr, c: Symbol) -> tuple[Expr, int, int, Expr, Expr]:
    """(constant, j, n, p, q) of constant c^j/(p + q c)^n; n = 0 without a pole away from zero."""
    constant: Expr = S.One
    j = n = 0
    p, q = S.One, S.One
    for factor in Mul.make_args(term):
        if c not in factor.free_symbols:
            constant *= factor
            continue
        base, power = factor.as_base_exp()
        if not power.is_Integer:
            raise _NotClosed
        if base == c:
            j += int(power)
            continue
        line = Poly(base, c) if base.is_polynomial(c) else None
        if line is None or line.degree() != 1 or n or power > 0:
            raise _NotClosed
        q, p = line.all_coeffs()
        n = -int(power)
        if p == 0:
            constant, j, n = constant * q**-n, j - n, 0
    return constant, j, n, p, q


def _term(term: Expr, c: Symbol, ratio: Expr) -> tuple[Expr, Boolean]:
    if c not in term.free_symbols:
        return term, true
    logs = [f for f in Mul.make_args(term) if c in f.free_symbols and isinstance(f, log)]
    if logs:
        return _log_term(term, c, ratio)
    constant, j, n, p, q = _factors(term, c)
    if n == 0:
        value, needed = moment(j, ratio)
        return constant * value, needed
    if j < 0:
        raise _NotClosed
    b = (q / p).cancel() if (q / p).is_rational_function() else q / p
    if b.is_positive:
        needed: Boolean = true
    elif b.is_nonpositive or b.is_real is False:
        raise _NotClosed
    else:
        needed = b > 0
    return constant * p ** (-n) * pole(j, n, b, ratio), needed


def _log_term(term: Expr, c: Symbol, ratio: Expr) -> tuple[Expr, Boolean]:
    constant, part = term.as_independent(c, as_Add=False)
    if not isinstance(part, log):
        raise _NotClosed
    numerator, denominator = fraction(together(part.args[0]))
    total: Expr = S.Zero
    conditions: list[Boolean] = []
    for side, expr in ((1, numerator), (-1, denominator)):
        for factor in Mul.make_args(expr.factor(c) if expr.is_polynomial(c) else expr):
            value, needed = _log_factor(factor, c, ratio)
            total += side * value
            conditions.append(needed)
    return constant * total, And(*conditions)


def _log_factor(factor: Expr, c: Symbol, ratio: Expr) -> tuple[Expr, Boolean]:
    base, power = factor.as_base_exp()
    if c not in base.free_symbols:
        if not factor.is_positive:
            raise _NotClosed
        return log(factor), true
    if c in power.free_symbols or not base.is_polynomial(c):
        raise _NotClosed
    line = Poly(base, c)
    if line.degree() != 1:
        raise _NotClosed
    q, p = line.all_coeffs()
    if p == 0:
        value, needed = log_moment(ratio)
        return power * (value + log(q)), needed
    if not (p.is_positive and (q / p).is_nonnegative):
        raise _NotClosed
    return power * (log(p) + shannon(q / p, ratio)), true


_: Any = (Integer, Pow, softplus)
