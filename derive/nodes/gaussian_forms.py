"""Closed forms of Gaussian averages.

A body is spread into products of: constants, a polynomial, the exponential of a quadratic form, steps Heaviside(a+bx),
erf(a+bx) and DiracDelta(a+bx).  The exponential is absorbed by completing the square, with the condition that the
coefficient of x^2 is below 1/2; what is left is a polynomial times at most two of the other functions, averaged by
Stein recursions.  Several variables are averaged one after the other: the conditions met on the way are the pivots
of the quadratic form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from sympy import (
    Abs, Add, Basic, DiracDelta, E, Expr, Heaviside, I, Max, Min, Mul, Ne, Piecewise, Poly, PolynomialError, Pow, S,
    Symbol, acos, asin, atan, cos, cosh, erf, erfc, exp, log, pi, sign, sin, sinh, sqrt, tanh,
)
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan
from sympy.logic.boolalg import And, Boolean, false, true

from derive.nodes.averages import DivergentAverage, GaussianAverage
from derive.nodes.functions import erfcx, log_cosh, log_erfc, softplus

__all__ = ["gaussian_closed_form", "gaussian_convergence", "growth"]

Closed = tuple[Expr | None, Boolean]
MAX_TERMS = 4000  # products into which one body may be spread


class _NotClosed(Exception):
    """The term has no closed form among those known here."""


# --- the spread of a body into products ---------------------------------------------------------------------------


def linear(expr: Expr, x: Symbol) -> tuple[Expr, Expr] | None:
    """(a, b) of expr = a + b x with b not identically zero, or None."""
    coefficients = _coefficients(expr, x)
    return None if coefficients is None or len(coefficients) != 2 else (coefficients[0], coefficients[1])


def _coefficients(expr: Expr, x: Symbol) -> list[Expr] | None:
    """Coefficients of a polynomial in x, lowest first; None where it is not one."""
    if x not in expr.free_symbols:
        return [expr]
    if not expr.is_polynomial(x):
        return None
    try:
        poly = Poly(expr, x)
    except PolynomialError:
        return None
    return [c.as_expr() if isinstance(c, Poly) else c for c in reversed(poly.all_coeffs())]


def _stepwise(expr: Expr, x: Symbol) -> Expr:
    """Abs, sign, Max, Min and Piecewise with joints linear in x, written with Heaviside; other parts as they are."""

    def straight(e: Basic) -> bool:
        return isinstance(e, Expr) and linear(e, x) is not None

    def step(e: Expr) -> Expr:
        return Heaviside(e, S.Half)

    def pick(e: Expr) -> Expr:
        if isinstance(e, (Max, Min)):
            best, *others = e.args
            for other in others:
                gap = (other - best).expand()
                if not straight(gap):
                    return e
                best = best + gap * step(gap if isinstance(e, Max) else -gap)
            return best
        if isinstance(e, Piecewise):
            return _piecewise_steps(e, x) or e
        return e

    expr = expr.replace(lambda e: isinstance(e, Abs) and straight(e.args[0]), lambda e: e.args[0] * (2 * step(e.args[0]) - 1))
    expr = expr.replace(lambda e: isinstance(e, sign) and straight(e.args[0]), lambda e: 2 * step(e.args[0]) - 1)
    expr = expr.replace(lambda e: isinstance(e, Heaviside) and straight(e.args[0]), lambda e: step(e.args[0]))
    return expr.replace(lambda e: isinstance(e, (Max, Min, Piecewise)) and x in e.free_symbols, pick)


def _piecewise_steps(expr: Piecewise, x: Symbol) -> Expr | None:
    """A Piecewise whose conditions compare linear forms, as a sum over its cases; None where it is not such."""
    total: Expr = S.Zero
    left: Expr = S.One
    for value, condition in expr.args:
        if condition == true:
            return total + left * value
        if isinstance(condition, (StrictGreaterThan, GreaterThan)):
            gap = (condition.lhs - condition.rhs).expand()
        elif isinstance(condition, (StrictLessThan, LessThan)):
            gap = (condition.rhs - condition.lhs).expand()
        else:
            return None
        if linear(gap, x) is None:
            return None
        here = Heaviside(gap, S.Half)
        total, left = total + left * here * value, left * (1 - here)
    return None


def _exponential(expr: Expr, x: Symbol) -> Expr:
    """Hyperbolic and circular functions of polynomials in x, and powers with x in the exponent, as exponentials."""

    def polynomial(e: Basic) -> bool:
        return x in e.free_symbols and bool(e.args[0].is_polynomial(x))

    expr = expr.replace(lambda e: isinstance(e, (cosh, sinh)) and polynomial(e), lambda e: e.rewrite(exp))
    expr = expr.replace(
        lambda e: isinstance(e, cos) and polynomial(e), lambda e: (exp(I * e.args[0]) + exp(-I * e.args[0])) / 2
    )
    expr = expr.replace(
        lambda e: isinstance(e, sin) and polynomial(e), lambda e: (exp(I * e.args[0]) - exp(-I * e.args[0])) / (2 * I)
    )
    expr = expr.replace(lambda e: isinstance(e, erfc) and linear(e.args[0], x) is not None, lambda e: 1 - erf(e.args[0]))
    expr = expr.replace(
        lambda e: isinstance(e, erfcx) and linear(e.args[0], x) is not None,
        lambda e: exp(e.args[0] ** 2) * (1 - erf(e.args[0])),
    )
    return expr.replace(
        lambda e: isinstance(e, Pow) and e.base != E and bool(e.base.is_positive) and x in e.exp.free_symbols
        and x not in e.base.free_symbols,
        lambda e: exp(e.exp * log(e.base)),
    )


def _outside_functions(expr: Expr, x: Symbol, change: Callable[[Expr, Symbol], Expr]) -> Expr:
    """Apply a rewriting to the sums, products and integer powers of an expression, not inside other functions."""
    if x not in expr.free_symbols:
        return expr
    if isinstance(expr, (Add, Mul)):
        return expr.func(*(_outside_functions(a, x, change) for a in expr.args))
    if isinstance(expr, Pow) and expr.exp.is_Integer:
        return _outside_functions(expr.base, x, change) ** expr.exp
    return change(expr, x)


def spread(expr: Expr, x: Symbol) -> list[Expr]:
    """Products that sum up to the expression, distributed over the factors that contain x.

    Raises: _NotClosed where there would be too many.
    """
    if x not in expr.free_symbols:
        return [expr]
    if isinstance(expr, Add):
        return [t for a in expr.args for t in spread(a, x)]
    if isinstance(expr, Mul):
        lists = [spread(a, x) for a in expr.args]
    elif isinstance(expr, Pow) and expr.exp.is_Integer and expr.exp > 1 and isinstance(expr.base, (Add, Mul)):
        if isinstance(expr.base, Add) and expr.base.is_polynomial(x):
            return [expr]
        lists = [spread(expr.base, x)] * int(expr.exp)
    else:
        return [expr]
    count = 1
    for terms in lists:
        count *= len(terms)
    if count > MAX_TERMS:
        raise _NotClosed
    return [Mul(*factors) for factors in product(*lists)]


# --- one product --------------------------------------------------------------------------------------------------


class _Term:
    """constant * polynomial * exp(quadratic) * specials, the parts of one product in one variable."""

    def __init__(self, term: Expr, x: Symbol) -> None:
        self.constant: Expr = S.One
        self.polynomial: Expr = S.One
        self.exponent: Expr = S.Zero
        self.steps: list[tuple[Expr, Expr]] = []
        self.erfs: list[tuple[Expr, Expr]] = []
        self.delta: tuple[Expr, Expr] | None = None
        for factor in Mul.make_args(term):
            self._take(factor, x)
        coefficients = _coefficients(self.exponent, x)
        if coefficients is None or len(coefficients) > 3:
            raise _NotClosed
        self.q0, self.q1, self.q2 = (*coefficients, S.Zero, S.Zero)[:3]

    def _take(self, factor: Expr, x: Symbol) -> None:
        if x not in factor.free_symbols:
            self.constant *= factor
            return
        if factor.is_polynomial(x):
            self.polynomial *= factor
            return
        if isinstance(factor, exp):
            self.exponent += factor.args[0]
            return
        base, power = factor.as_base_exp()
        if isinstance(base, exp) and x not in power.free_symbols and power.is_integer:
            self.exponent += power * base.args[0]
            return
        form = linear(base.args[0], x) if isinstance(base, (Heaviside, erf, DiracDelta)) else None
        if form is None or not (power.is_Integer and power > 0):
            raise _NotClosed
        if isinstance(base, Heaviside):
            self.steps.append(form)
        elif isinstance(base, erf):
            self.erfs.extend([form] * int(power))
        elif self.delta is None and power == 1 and len(base.args) == 1:
            self.delta = form
        else:
            raise _NotClosed

    @property
    def special(self) -> bool:
        return bool(self.steps or self.erfs)


def _same_sign(first: Expr, second: Expr) -> int | None:
    ratio = first / second
    return 1 if ratio.is_positive else -1 if ratio.is_negative else None


def _one_step(steps: list[tuple[Expr, Expr]]) -> list[tuple[int, tuple[Expr, Expr] | None]]:
    """A product of steps as a sum of signed single steps; the empty product is the step None.

    Raises: _NotClosed where the order of two joints does not follow from the assumptions.
    """
    if not steps:
        return [(1, None)]
    lower: tuple[Expr, Expr] | None = None
    upper: tuple[Expr, Expr] | None = None
    first, *rest = steps
    if not rest:
        return [(1, first)]
    # Joints -a/b; steps that rise with the first one bound x from one side, the others from the other side.
    for a, b in steps:
        orientation = _same_sign(b, first[1])
        if orientation is None:
            raise _NotClosed
        if orientation == 1:
            lower = (a, b) if lower is None else _tighter(lower, (a, b))
        else:
            upper = (a, b) if upper is None else _tighter(upper, (a, b))
    assert lower is not None
    if upper is None:
        return [(1, lower)]
    gap = (lower[0] / lower[1] - upper[0] / upper[1]) * (1 if lower[1].is_positive else -1)
    if not (lower[1].is_positive or lower[1].is_negative):
        raise _NotClosed
    if gap.is_nonpositive:
        return []
    if not gap.is_positive:
        raise _NotClosed
    return [(1, lower), (-1, (-upper[0], -upper[1]))]


def _tighter(one: tuple[Expr, Expr], two: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
    """The step of two equally oriented ones that is the product of both."""
    gap = two[0] / abs(two[1]) - one[0] / abs(one[1])
    if gap.is_nonnegative:
        return one
    if gap.is_nonpositive:
        return two
    raise _NotClosed


def _phi(at: Expr) -> Expr:
    return exp(-(at**2) / 2) / sqrt(2 * pi)


def _plain_moments(count: int) -> list[Expr]:
    moments: list[Expr] = [S.One, S.Zero]
    while len(moments) <= count:
        moments.append((len(moments) - 1) * moments[-2])
    return moments


def _step_moments(a: Expr, b: Expr, orientation: Expr, count: int) -> list[Expr]:
    """E[z^n Heaviside(a + b z)], by Stein: (n-1) E[z^(n-2) H] + (-a/b)^(n-1) sign(b) phi(a/b)."""
    moments: list[Expr] = [erfc(-orientation * a / (b * sqrt(2))) / 2]
    for n in range(1, count + 1):
        edge = (-a / b) ** (n - 1) * orientation * _phi(a / b)
        moments.append((n - 1) * moments[n - 2] + edge if n > 1 else edge)
    return moments


def _erf_moments(a: Expr, b: Expr, count: int) -> list[Expr]:
    """E[z^n erf(a + b z)], by Stein: (n-1) E[z^(n-2) erf] + E[z^(n-1) 2 b exp(-(a+bz)^2)/sqrt(pi)]."""
    width = 1 + 2 * b**2
    front = 2 * b / sqrt(pi) * exp(-(a**2) / width) / sqrt(width)
    centre, variance = -2 * a * b / width, 1 / width
    shifted = [sum(_binomial(n, k) * centre ** (n - k) * m * variance ** (S(k) / 2) for k, m in
                   enumerate(_plain_moments(n)[: n + 1]) if m != 0) for n in range(count + 1)]
    moments: list[Expr] = [erf(a / sqrt(width))]
    for n in range(1, count + 1):
        moments.append(((n - 1) * moments[n - 2] if n > 1 else S.Zero) + front * shifted[n - 1])
    return moments


def _binomial(n: int, k: int) -> int:
    from math import comb

    return comb(n, k)


def _pair_mean(one: tuple[Expr, Expr], two: tuple[Expr, Expr]) -> Expr:
    """E[erf(b1 z) erf(b2 z)], centred (Williams' arcsine)."""
    if one[0] != 0 or two[0] != 0:
        raise _NotClosed
    b1, b2 = one[1], two[1]
    return 2 / pi * asin(2 * b1 * b2 / sqrt((1 + 2 * b1**2) * (1 + 2 * b2**2)))


def _average_term(parts: _Term, polynomial: Expr, x: Symbol) -> tuple[Expr, list[Boolean]]:
    """The average of one product with the given polynomial, and its conditions.

    Raises: _NotClosed, DivergentAverage.
    """
    width = 1 - 2 * parts.q2
    conditions: list[Boolean] = []
    if not width.is_positive:
        if width.is_nonpositive:
            if parts.special:
                raise _NotClosed
            raise DivergentAverage(f"the average of {polynomial * exp(parts.exponent)} over a normal {x} diverges", width > 0)
        if width.is_real is False:
            conditions.append(_real_part(width) > 0)
        else:
            conditions.append(width > 0)
    if parts.special and width.is_real is False:
        raise _NotClosed
    front = parts.constant * exp(parts.q0 + parts.q1**2 / (2 * width)) / sqrt(width)
    z = x
    centre, spread_ = parts.q1 / width, 1 / sqrt(width)
    coefficients = _coefficients(polynomial.subs(x, centre + spread_ * z), z)
    assert coefficients is not None
    degree = len(coefficients) - 1

    def moved(form: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
        return form[0] + form[1] * centre, form[1] * spread_

    total: Expr = S.Zero
    for weight, step in _one_step(parts.steps):
        if step is None and not parts.erfs:
            moments = _plain_moments(degree)
        elif step is None and len(parts.erfs) == 1:
            moments = _erf_moments(*moved(parts.erfs[0]), degree)
        elif step is None and len(parts.erfs) == 2 and degree == 0:
            moments = [_pair_mean(*map(moved, parts.erfs))]
        elif step is not None and not parts.erfs:
            slope = step[1]
            if not slope.is_nonzero:
                conditions.append(Ne(slope, 0))
            moments = _step_moments(*moved(step), _orientation(slope), degree)
        elif step is not None and len(parts.erfs) == 1 and degree == 0:
            (a, _), (centre_erf, slope_erf) = moved(step), moved(parts.erfs[0])
            if a != 0 or centre_erf != 0:
                raise _NotClosed
            if not step[1].is_nonzero:
                conditions.append(Ne(step[1], 0))
            moments = [_orientation(step[1]) * atan(sqrt(2) * slope_erf) / pi]
        else:
            raise _NotClosed
        total += weight * Add(*(c * m for c, m in zip(coefficients, moments, strict=False)))
    return front * total, conditions


def _orientation(slope: Expr) -> Expr:
    return S.One if slope.is_positive else S.NegativeOne if slope.is_negative else slope / sqrt(slope**2)


def _real_part(expr: Expr) -> Expr:
    from sympy import re

    return re(expr)


# --- one variable -------------------------------------------------------------------------------------------------


def _one_variable(body: Expr, x: Symbol, outer: Sequence[Symbol]) -> tuple[Expr | None, list[Boolean]]:
    """E over x of the body: resolved products plus an average of what is left; None where nothing is resolved.

    Conditions that involve other integration variables (`outer`) cannot be stated outside: such products are left.
    """
    if x not in body.free_symbols:
        return body, []
    smooth = body.expand() if body.is_polynomial(x) else body
    prepared = _outside_functions(smooth, x, lambda e, v: _exponential(_stepwise(e, v), v))
    prepared = _outside_functions(prepared, x, lambda e, v: _exponential(_stepwise(e, v), v))
    try:
        products = spread(prepared, x)
    except _NotClosed:
        products = [body]
    groups: dict[Any, tuple[_Term, Expr, list[Expr]]] = {}
    left: list[Expr] = []
    resolved: list[Expr] = []
    conditions: list[Boolean] = []
    for term in products:
        try:
            parts = _Term(term, x)
        except _NotClosed:
            left.append(term)
            continue
        if parts.delta is not None:
            value, needed = _sampled(term, x, parts.delta)
            resolved.append(value)
            conditions.extend(needed)
            continue
        key = (parts.q2, parts.q1, tuple(parts.steps), tuple(parts.erfs))
        weight = parts.constant * exp(parts.q0) * parts.polynomial
        parts.constant, parts.q0 = S.One, S.Zero
        first, polynomial, terms = groups.get(key, (parts, S.Zero, []))
        groups[key] = (first, polynomial + weight, [*terms, term])
    divergent: DivergentAverage | None = None
    for parts, polynomial, terms in groups.values():
        expanded = polynomial.expand()
        if expanded == 0:
            resolved.append(S.Zero)
            continue
        try:
            value, needed = _average_term(parts, expanded, x)
        except _NotClosed:
            left.extend(terms)
            continue
        except DivergentAverage as error:
            divergent = error
            left.extend(terms)
            continue
        if any(c.free_symbols & set(outer) and not isinstance(c, Ne) for c in needed):
            left.extend(terms)
            continue
        resolved.append(value)
        conditions.extend(c for c in needed if not c.free_symbols & set(outer))
    if divergent is not None:
        if all(_diverges_alone(t, x) for t in left):
            raise divergent
        return None, []
    safe, unsafe = [], []
    for term in left:
        (safe if _integrable(term, x) else unsafe).append(term)
    rest, vanished = [], False
    for group in _by_constant(safe, x):
        constant, factor = group
        if _odd(factor, x):
            vanished = True
            continue
        rest.append(constant * GaussianAverage(factor, x))
    if unsafe:
        rest.append(GaussianAverage(Add(*unsafe), x))
    if not resolved and not vanished and len(rest) == 1 and rest[0] == GaussianAverage(body, x):
        return None, []
    return _real_form(Add(*resolved), body) + Add(*rest), conditions


def _diverges_alone(term: Expr, x: Symbol) -> bool:
    try:
        parts = _Term(term, x)
    except _NotClosed:
        return False
    return not parts.special and bool((1 - 2 * parts.q2).is_nonpositive)


def _by_constant(terms: list[Expr], x: Symbol) -> list[tuple[Expr, Expr]]:
    """Terms as (constant, part with x), equal parts joined."""
    joined: dict[Expr, Expr] = {}
    for term in terms:
        constant, part = term.as_independent(x, as_Add=False)
        joined[part] = joined.get(part, S.Zero) + constant
    return [(c, p) for p, c in joined.items()]


def _sampled(term: Expr, x: Symbol, delta: tuple[Expr, Expr]) -> tuple[Expr, list[Boolean]]:
    a, b = delta
    point = -a / b
    rest = Mul(*(f for f in Mul.make_args(term) if not (isinstance(f, DiracDelta) and x in f.free_symbols)))
    needed = [] if b.is_nonzero else [Ne(b, 0)]
    return rest.subs(x, point) * _phi(point) / sqrt(b**2), needed


def _real_form(value: Expr, body: Expr) -> Expr:
    """A value without the imaginary unit, where circular functions brought it in."""
    if not value.has(I) or body.has(I):
        return value

    def polar(e: Expr) -> Expr:
        real, imaginary = e.args[0].expand().as_real_imag()
        return exp(real) * (cos(imaginary) + I * sin(imaginary))

    return value.replace(lambda e: isinstance(e, exp) and e.has(I), polar).expand()


# --- growth and parity --------------------------------------------------------------------------------------------

_BOUNDED = (tanh, erf, erfc, sin, cos, atan, acos, sign, Heaviside)
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
        coefficients = _coefficients(expr.args[0].expand(), x)
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
        constant, rest = expr.as_independent(x, as_Add=False)
        return constant != 1 and _subquadratic(rest, x)
    if isinstance(expr, (log_cosh, softplus, Abs)):
        return bool(expr.args[0].is_real) and _subquadratic(expr.args[0], x)
    return isinstance(expr, _BOUNDED) and bool(expr.args[0].is_real)


def _integrable(term: Expr, x: Symbol) -> bool:
    rate = growth(term, x)
    return rate is not None and bool((1 - 2 * rate).is_positive)


def _odd(expr: Expr, x: Symbol) -> bool:
    return bool((expr.subs(x, -x) + expr).expand() == 0)


# --- several variables --------------------------------------------------------------------------------------------


def gaussian_closed_form(body: Expr, variables: Sequence[Symbol]) -> Closed:
    """The average over all variables, one after the other, in the better of the two orders."""
    best: Closed | None = None
    orders = [tuple(variables), tuple(reversed(variables))]
    for order in orders[: 1 if len(variables) == 1 else 2]:
        value, condition = _in_order(body, order)
        if best is None or _open_count(value) < _open_count(best[0]):
            best = (value, condition)
        if _open_count(value) == 0:
            break
    assert best is not None
    value, condition = best
    return (None, true) if value == GaussianAverage(body, *variables) else (value, condition)


def _open_count(value: Expr | None) -> int:
    return 0 if value is None else sum(len(n.variables) for n in value.atoms(GaussianAverage))


def _in_order(body: Expr, order: Sequence[Symbol]) -> Closed:
    conditions: list[Boolean] = []
    current = body
    for k in range(len(order) - 1, -1, -1):
        value, needed = _one_variable(current, order[k], order[:k])
        if value is None:
            current = GaussianAverage(current, order[k])
        else:
            current = value
            conditions.extend(needed)
    return current, And(*conditions)


def gaussian_convergence(body: Expr, variables: Sequence[Symbol]) -> Boolean:
    """The condition under which the average exists, as far as closed forms and growth tell."""
    try:
        value, condition = gaussian_closed_form(body, variables)
    except DivergentAverage:
        return false
    if len(variables) == 1 and (value is None or value.has(GaussianAverage)):
        rate = growth(body, variables[0])
        if rate is not None:
            return And(condition, 1 - 2 * rate > 0)
    return condition
