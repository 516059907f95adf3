"""Closed forms of averages over the Marchenko-Pastur law, in terms of its response V(b).

With C = F F^T/D, ratio = D/N (see MarchenkoPastur) and V = MPResponse(b, ratio):

    <c^k>               Narayana polynomials in 1/ratio;   <c^-k> = <c^(k-1)> (ratio/(ratio-1))^(2k-1) for ratio > 1
    <c/(1+bc)>          V/(1+bV)
    <1/(1+bc)>          1/(1+bV)
    <log(1+bc)>         log(1+bV) - ratio log V - ratio (1-V)

Higher poles follow by differentiation in b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import comb

from sympy import (
    Add,
    Eq,
    Expr,
    GreaterThan,
    Mul,
    Ne,
    Piecewise,
    Poly,
    PolynomialError,
    S,
    StrictGreaterThan,
    Symbol,
    apart,
    factor,
    fraction,
    log,
    symbols,
    together,
)
from sympy.logic.boolalg import And, Boolean, false, true

from derive.nodes.averages import DivergentAverage, SpectralAverage
from derive.nodes.functions import MPResponse
from derive.nodes.laws import MarchenkoPastur
from derive.nodes.products import NotClosed, spread
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["moment", "pole", "spectral_closed_form"]

SECONDS = 5.0  # for one partial-fraction decomposition

Closed = tuple[Expr | None, Boolean]


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

    <c^j/(1+bc)^n> = -1/(n-1) d/db <c^(j-1)/(1+bc)^(n-1)>, and for j = 0 (1 + b/(n-1) d/db) <1/(1+bc)^(n-1)>; j > n by
    bc = (1+bc) - 1.

    >>> from sympy.abc import r
    >>> pole(1, 1, S(2), r)
    MPResponse(2, r)/(2*MPResponse(2, r) + 1)
    """
    if n == 0:
        return moment(j, ratio)[0]
    if j > n:
        return (pole(j - 1, n - 1, b, ratio) - pole(j - 1, n, b, ratio)) / b
    V = MPResponse(b, ratio)
    slope = ratio * (1 + b * V) ** 2 + b
    if (j, n) in _EXPLICIT:
        return _EXPLICIT[j, n](b, V, ratio, slope)
    return _high_pole(j, n).subs(dict(zip(_LETTERS, (b, V, ratio), strict=True)), simultaneous=True)


_EXPLICIT: dict[tuple[int, int], Callable[[Expr, Expr, Expr, Expr], Expr]] = {
    (0, 1): lambda b, V, ratio, slope: 1 / (1 + b * V),
    (1, 1): lambda b, V, ratio, slope: V / (1 + b * V),
    (0, 2): lambda b, V, ratio, slope: (1 + b**2 * V / slope) / (1 + b * V) ** 2,
    (1, 2): lambda b, V, ratio, slope: ratio * V / slope,
    (2, 2): lambda b, V, ratio, slope: V * (V + 1 / slope) / (1 + b * V) ** 2,
}
_LETTERS = symbols("b V ratio", positive=True)


@cache
def _high_pole(j: int, n: int) -> Expr:
    """<c^j/(1+bc)^n> for 0 <= j <= n in the letters b, V, ratio, with dV/db = -V/(ratio (1+bV)^2 + b)."""
    b, V, ratio = _LETTERS
    slope = ratio * (1 + b * V) ** 2 + b
    if (j, n) in _EXPLICIT:
        return _EXPLICIT[j, n](b, V, ratio, slope)
    lower = _high_pole(max(j - 1, 0), n - 1)
    change = (lower.diff(b) - lower.diff(V) * V / slope) / (n - 1)
    return factor(-change if j else lower + b * change)


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
    return Piecewise((S.NegativeOne, Eq(ratio, 1)), (value, True)), ratio >= 1


def spectral_closed_form(body: Expr, c: Symbol, ratio: Expr) -> Closed:
    """<body> over MarchenkoPastur(ratio), by linearity; terms without closed form stay nodes.

    Raises: DivergentAverage for c^-k or log c where the law has an atom or a hard edge at zero.
    """
    resolved: list[Expr] = []
    left: list[Expr] = []
    conditions: list[Boolean] = []
    divergent: DivergentAverage | None = None
    try:
        terms = spread(body, c)
    except NotClosed:
        return None, true
    rational = [t for t in terms if t.is_rational_function(c)]
    pieces, coincidences = _partial_fractions(rational, c)
    for term in [*pieces, *(t for t in terms if t not in rational)]:
        try:
            value, needed = _term(term, c, ratio)
        except NotClosed:
            left.append(term)
            continue
        if needed == false:
            divergent = divergent or _divergence(term, c, ratio)
        resolved.append(value)
        conditions.append(needed)
    if divergent is not None:
        if left:
            return None, true  # what diverges here might be compensated there
        raise divergent
    if not resolved:
        return None, true
    return Add(*resolved, SpectralAverage(Add(*left), c, MarchenkoPastur(ratio))), And(*conditions, *coincidences)


def _divergence(term: Expr, c: Symbol, ratio: Expr) -> DivergentAverage:
    shown = term.xreplace({c: Symbol("c")})
    strict = not shown.has(log)
    condition = (StrictGreaterThan if strict else GreaterThan)(ratio, S.One, evaluate=False)
    return DivergentAverage(
        f"<{shown}> over a Marchenko-Pastur law of ratio {ratio} diverges at c = 0: "
        f"the ratio must be {'above' if strict else 'at least'} 1",
        condition,
    )


def _partial_fractions(terms: Sequence[Expr], c: Symbol) -> tuple[Sequence[Expr], list[Boolean]]:
    """Rational terms as sums of simple ones, and the coincidences of poles that the split must exclude.

    Terms that are simple already stay as they are, unless one has a pole at zero, which others may compensate.
    """
    if all(_simple(t, c) for t in terms):
        return terms, []
    try:
        split = Add.make_args(timebox(SECONDS, apart, together(Add(*terms)), c))
    except (TimedOut, PolynomialError, NotImplementedError, ZeroDivisionError):
        return terms, []
    given = {f for t in terms for f in _constant_divisors(t, c)}
    new = {f for t in split for f in _constant_divisors(t, c)} - given
    return split, [Ne(f, 0) for f in sorted(new, key=lambda f: f.sort_key()) if not f.is_nonzero]


def _constant_divisors(term: Expr, c: Symbol) -> set[Expr]:
    constant, _ = term.as_independent(c, as_Add=False)
    return {f.as_base_exp()[0] for f in Mul.make_args(fraction(together(constant))[1].factor())}


def _simple(term: Expr, c: Symbol) -> bool:
    """constant * c^j / (p + q c)^n with j >= 0 or n = 0."""
    try:
        _, j, n, _, _ = _factors(term, c)
    except NotClosed:
        return False
    return j >= 0 or n == 0


def _factors(term: Expr, c: Symbol) -> tuple[Expr, int, int, Expr, Expr]:
    """(constant, j, n, p, q) of constant c^j/(p + q c)^n; n = 0 without a pole away from zero."""
    constant: Expr = S.One
    j = n = 0
    p, q = S.One, S.One
    for part in Mul.make_args(term):
        if c not in part.free_symbols:
            constant *= part
            continue
        base, power = part.as_base_exp()
        if not power.is_Integer:
            raise NotClosed
        if base == c:
            j += int(power)
            continue
        line = Poly(base, c) if base.is_polynomial(c) else None
        if line is None or line.degree() != 1 or n or power > 0:
            raise NotClosed
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
    needed: Boolean
    constant, j, n, p, q = _factors(term, c)
    if n == 0:
        value, needed = moment(j, ratio)
        return constant * value, needed
    if j < 0:
        raise NotClosed
    b = (q / p).cancel() if (q / p).is_rational_function() else q / p
    if b.is_positive:
        needed = true
    elif b.is_nonpositive or b.is_real is False:
        raise NotClosed
    else:
        needed = b > 0
    return constant * p ** (-n) * pole(j, n, b, ratio), needed


def _log_term(term: Expr, c: Symbol, ratio: Expr) -> tuple[Expr, Boolean]:
    constant, part = term.as_independent(c, as_Add=False)
    if not isinstance(part, log):
        raise NotClosed
    numerator, denominator = fraction(together(part.args[0]))
    total: Expr = S.Zero
    conditions: list[Boolean] = []
    for side, expr in ((1, numerator), (-1, denominator)):
        for part in Mul.make_args(expr.factor(c) if expr.is_polynomial(c) else expr):
            value, needed = _log_factor(part, c, ratio)
            total += side * value
            conditions.append(needed)
    return constant * total, And(*conditions)


def _log_factor(part: Expr, c: Symbol, ratio: Expr) -> tuple[Expr, Boolean]:
    base, power = part.as_base_exp()
    if c not in base.free_symbols:
        if not part.is_positive:
            raise NotClosed
        return log(part), true
    if c in power.free_symbols or not base.is_polynomial(c):
        raise NotClosed
    line = Poly(base, c)
    if line.degree() != 1:
        raise NotClosed
    q, p = line.all_coeffs()
    if p == 0:
        if not q.is_positive:
            raise NotClosed
        value, needed = log_moment(ratio)
        return power * (value + log(q)), needed
    if not (p.is_positive and (q / p).is_nonnegative):
        raise NotClosed
    return power * (log(p) + shannon(q / p, ratio)), true

