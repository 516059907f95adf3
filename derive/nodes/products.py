"""Bodies of Gaussian averages spread into products whose averages are known.

A product is: constant, polynomial in x, exponential of a quadratic form, at most one step Heaviside(a + b x), factors
erf(a + b x), or a DiracDelta(a + b x).  Kinks and jumps (Abs, sign, Heaviside, Max, Min, Piecewise), also inside other
functions, become cases on half-lines; hyperbolic and circular functions become exponentials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from sympy import (
    Abs,
    Add,
    DiracDelta,
    E,
    Expr,
    Heaviside,
    I,
    Max,
    Min,
    Mul,
    Piecewise,
    Pow,
    S,
    Symbol,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    log,
    sign,
    sin,
    sinh,
)
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan
from sympy.logic.boolalg import Boolean, true

from derive.nodes.functions import erfcx

__all__ = ["Line", "NotClosed", "Product", "coefficients_in", "delta_factor", "linear", "products_of", "spread"]

MAX_TERMS = 4000  # products into which one body may be spread
MAX_DEGREE = 400  # of a polynomial

Line = tuple[Expr, Expr]  # (a, b) of a + b x
KINKS = (Abs, sign, Heaviside, Max, Min, Piecewise)


class NotClosed(Exception):
    """No closed form is known here for a term."""


def coefficients_in(expr: Expr, x: Symbol) -> list[Expr] | None:
    """Coefficients of a polynomial in x, lowest first, without leading zeros; None where it is not a polynomial.

    Factors without x are left as they are, so that nothing is expanded that need not be.

    >>> from sympy.abc import a, x
    >>> coefficients_in((x + 1) * (x - 1) / (a + 1)**2, x)
    [-1/(a + 1)**2, 0, (a + 1)**(-2)]
    """
    found = _polynomial(expr, x)
    if found is None:
        return None
    while len(found) > 1 and (found[-1] == 0 or (isinstance(found[-1], Add) and found[-1].expand() == 0)):
        found.pop()
    return found


def _polynomial(expr: Expr, x: Symbol) -> list[Expr] | None:
    if x not in expr.free_symbols:
        return [expr]
    if expr == x:
        return [S.Zero, S.One]
    if isinstance(expr, Add):
        parts = [_polynomial(a, x) for a in expr.args]
        known = [p for p in parts if p is not None]
        if len(known) < len(parts):
            return None
        return [Add(*(p[n] for p in known if n < len(p))) for n in range(max(map(len, known)))]
    if isinstance(expr, Mul):
        constant, factor = expr.as_independent(x, as_Add=False)
        parts = [_polynomial(a, x) for a in Mul.make_args(factor)]
        return _product([[constant], *parts])
    if isinstance(expr, Pow) and expr.exp.is_Integer and 0 < expr.exp <= MAX_DEGREE:
        return _product([_polynomial(expr.base, x)] * int(expr.exp))
    return None


def _product(factors: list[list[Expr] | None]) -> list[Expr] | None:
    total: list[Expr] = [S.One]
    for factor in factors:
        if factor is None or len(total) + len(factor) > MAX_DEGREE:
            return None
        terms: list[list[Expr]] = [[] for _ in range(len(total) + len(factor) - 1)]
        for n, one in enumerate(total):
            for m, two in enumerate(factor):
                if one != 0 and two != 0:
                    terms[n + m].append(one * two)
        total = [Add(*t) for t in terms]
    return total


def linear(expr: Expr, x: Symbol) -> Line | None:
    """(a, b) of expr = a + b x with b not identically zero, or None."""
    found = coefficients_in(expr, x)
    return (found[0], found[1]) if found is not None and len(found) == 2 else None


def spread(expr: Expr, x: Symbol) -> list[Expr]:
    """Products that sum up to the expression, distributed over the factors that contain x.

    Raises: NotClosed where there would be too many.
    """
    if x not in expr.free_symbols:
        return [expr]
    if isinstance(expr, Add):
        return [t for a in expr.args for t in spread(a, x)]
    if isinstance(expr, Mul):
        lists = [spread(a, x) for a in expr.args]
    elif _is_power(expr) and not expr.is_polynomial(x):
        lists = [spread(expr.base, x)] * int(expr.exp)
    else:
        return [expr]
    count = 1
    for terms in lists:
        count *= len(terms)
    if count > MAX_TERMS:
        raise NotClosed
    return [Mul(*factors) for factors in product(*lists)]


def _is_power(expr: Expr) -> bool:
    """(sum or product)^n for an integer n > 1."""
    return isinstance(expr, Pow) and bool(expr.exp.is_Integer and expr.exp > 1) and isinstance(expr.base, (Add, Mul))


# --- cases on half-lines ------------------------------------------------------------------------------------------

Cases = list[tuple[tuple[Line, ...], Expr]]


def cases(expr: Expr, x: Symbol) -> Cases:
    """The expression as smooth expressions on disjoint sets, each the product of steps Heaviside(a + b x).

    Raises: NotClosed where a kink or jump is not at the zero of a linear form.
    """
    if x not in expr.free_symbols or not any(x in k.free_symbols for k in expr.atoms(*KINKS)):
        return [((), expr)]
    if isinstance(expr, Piecewise):
        return _piecewise(expr, x)
    found: Cases = []
    for choice in product(*(cases(a, x) for a in expr.args if isinstance(a, Expr))):
        steps = tuple(line for lines, _ in choice for line in lines)
        values = [value for _, value in choice]
        smooth = _kink(expr, values, x) if isinstance(expr, KINKS) else [((), expr.func(*values))]
        found.extend(((*steps, *more), value) for more, value in smooth)
        if len(found) > MAX_TERMS:
            raise NotClosed
    return found


def _kink(expr: Expr, values: list[Expr], x: Symbol) -> Cases:
    if isinstance(expr, (Max, Min)):
        best: Cases = [((), values[0])]
        for other in values[1:]:
            best = [
                ((*steps, *more), value)
                for steps, one in best
                for more, value in _larger(one, other, x, 1 if isinstance(expr, Max) else -1)
            ]
        return best
    if x not in values[0].free_symbols:
        return [((), expr.func(*values))]
    up, down = _sides(values[0], x)
    if isinstance(expr, Abs):
        return [((up,), values[0]), ((down,), -values[0])]
    return [((up,), S.One), ((down,), S.NegativeOne if isinstance(expr, sign) else S.Zero)]


def _sides(form: Expr, x: Symbol) -> tuple[Line, Line]:
    line = linear(form, x)
    if line is None:
        raise NotClosed
    return line, (-line[0], -line[1])


def _larger(one: Expr, other: Expr, x: Symbol, direction: int) -> Cases:
    gap = (direction * (other - one)).expand()
    if x not in gap.free_symbols:
        return [((), one + direction * Max(0, gap))]
    up, down = _sides(gap, x)
    return [((up,), other), ((down,), one)]


def _piecewise(expr: Piecewise, x: Symbol) -> Cases:
    """The cases of a Piecewise whose conditions compare linear forms; the complement of a step is a step."""
    found: Cases = []
    before: tuple[Line, ...] = ()
    for value, condition in expr.args:
        last = condition == true
        here, otherwise = ((), ()) if last else _compared(condition, x)
        found.extend(((*before, *here, *steps), inner) for steps, inner in cases(value, x))
        if last:
            return found
        before = (*before, *otherwise)
    raise NotClosed


def _compared(condition: Boolean, x: Symbol) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    if isinstance(condition, (StrictGreaterThan, GreaterThan)):
        up, down = _sides((condition.lhs - condition.rhs).expand(), x)
    elif isinstance(condition, (StrictLessThan, LessThan)):
        up, down = _sides((condition.rhs - condition.lhs).expand(), x)
    else:
        raise NotClosed
    return (up,), (down,)


# --- exponentials -------------------------------------------------------------------------------------------------


def _outside_functions(expr: Expr, x: Symbol, change: Callable[[Expr, Symbol], Expr]) -> Expr:
    """Apply a rewriting to the sums, products and integer powers of an expression, not inside other functions."""
    if x not in expr.free_symbols:
        return expr
    if isinstance(expr, (Add, Mul)):
        return expr.func(*(_outside_functions(a, x, change) for a in expr.args))
    if isinstance(expr, Pow) and expr.exp.is_Integer:
        return _outside_functions(expr.base, x, change) ** expr.exp
    return change(expr, x)


def _exponential(expr: Expr, x: Symbol) -> Expr:
    """One factor: hyperbolic, circular, erfc and erfcx functions and powers with x in the exponent, rewritten."""
    if isinstance(expr, Pow) and expr.base != E:
        plain = bool(expr.base.is_positive) and x not in expr.base.free_symbols
        return exp(expr.exp * log(expr.base)) if plain else expr
    if not isinstance(expr, (cosh, sinh, cos, sin, erfc, erfcx)) or not expr.args[0].is_polynomial(x):
        return expr
    (at,) = expr.args
    if isinstance(expr, (cosh, sinh)):
        return (exp(at) + (1 if isinstance(expr, cosh) else -1) * exp(-at)) / 2
    if isinstance(expr, cos):
        return (exp(I * at) + exp(-I * at)) / 2
    if isinstance(expr, sin):
        return (exp(I * at) - exp(-I * at)) / (2 * I)
    return 1 - erf(at) if isinstance(expr, erfc) else exp(at**2) * (1 - erf(at))


# --- products -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """polynomial * exp(q0 + q1 x + q2 x^2) * [Heaviside(step)] * erf(...)...; other constants are in the polynomial."""

    polynomial: Expr
    q0: Expr
    q1: Expr
    q2: Expr
    step: Line | None
    erfs: tuple[Line, ...]

    @property
    def special(self) -> bool:
        """Whether there is more than a polynomial times an exponential."""
        return self.step is not None or bool(self.erfs)


def products_of(term: Expr, x: Symbol) -> list[Product]:
    """A term as a sum of products of known average.

    Raises: NotClosed where a factor is none of the known ones.
    """
    found: list[Product] = []
    for steps, smooth in cases(term, x):
        signed = _one_step(steps)
        if not signed:
            continue
        for piece in spread(_outside_functions(smooth, x, _exponential), x):
            polynomial, exponent, erfs = _read(piece, x)
            found.extend(Product(weight * polynomial, *exponent, step, erfs) for weight, step in signed)
            if len(found) > MAX_TERMS:
                raise NotClosed
    return found


def _read(term: Expr, x: Symbol) -> tuple[Expr, tuple[Expr, Expr, Expr], tuple[Line, ...]]:
    """Polynomial, coefficients of the exponent and error functions of one product."""
    polynomial: Expr = S.One
    exponent: Expr = S.Zero
    erfs: list[Line] = []
    for factor in Mul.make_args(term):
        base, power = factor.as_base_exp()
        if isinstance(factor, exp):
            exponent += factor.args[0]
        elif factor.is_polynomial(x):
            polynomial *= factor
        elif isinstance(base, exp) and power.is_integer and x not in power.free_symbols:
            exponent += power * base.args[0]
        elif isinstance(base, erf) and power.is_Integer and power > 0 and (line := linear(base.args[0], x)):
            erfs.extend([line] * int(power))
        else:
            raise NotClosed
    quadratic = coefficients_in(exponent, x)
    if quadratic is None or len(quadratic) > 3:
        raise NotClosed
    q0, q1, q2 = (*quadratic, S.Zero, S.Zero)[:3]
    return polynomial, (q0, _tidy(q1), _tidy(q2)), tuple(erfs)


def _tidy(coefficient: Expr) -> Expr:
    """One form for equal coefficients, in which signs are easy to see."""
    return coefficient.cancel() if not coefficient.is_Atom and coefficient.is_rational_function() else coefficient


def _one_step(steps: tuple[Line, ...]) -> list[tuple[int, Line | None]]:
    """A product of steps as a signed sum of single ones (None: the constant one).

    Raises: NotClosed where the order of two joints does not follow from the assumptions.
    """
    if not steps:
        return [(1, None)]
    slope = steps[0][1]
    lower: Line | None = None
    upper: Line | None = None
    for line in steps:
        ratio = line[1] / slope
        if ratio.is_positive:
            lower = line if lower is None else _tighter(lower, line)
        elif ratio.is_negative:
            upper = line if upper is None else _tighter(upper, line)
        else:
            raise NotClosed
    assert lower is not None
    if upper is None:
        return [(1, lower)]
    width = (lower[0] / abs(lower[1]) + upper[0] / abs(upper[1])).expand()  # of the interval between the joints
    if width.is_nonpositive:
        return []
    if not width.is_positive:
        raise NotClosed
    return [(1, lower), (-1, (-upper[0], -upper[1]))]


def _tighter(one: Line, two: Line) -> Line:
    """The step of two equally oriented ones that is the product of both."""
    gap = (two[0] / abs(two[1]) - one[0] / abs(one[1])).expand()
    if gap.is_nonnegative:
        return one
    if gap.is_nonpositive:
        return two
    raise NotClosed


def delta_factor(term: Expr, x: Symbol) -> tuple[Expr, Line] | None:
    """(rest, (a, b)) of a term with one factor DiracDelta(a + b x), or None."""
    deltas = [f for f in Mul.make_args(term) if isinstance(f, DiracDelta) and x in f.free_symbols]
    if len(deltas) != 1 or len(deltas[0].args) != 1:
        return None
    line = linear(deltas[0].args[0], x)
    return None if line is None else (Mul(*(f for f in Mul.make_args(term) if f is not deltas[0])), line)

