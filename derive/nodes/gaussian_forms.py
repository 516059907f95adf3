"""Closed forms of Gaussian averages.

A body is spread into products (derive.nodes.products).  The exponential of a quadratic form is absorbed by completing
the square, with the condition that the coefficient of x^2 is below 1/2; a polynomial times steps and error functions
is averaged by Stein recursions.  Several variables are averaged one after the other: the conditions met on the way are
the pivots of the quadratic form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import comb

from sympy import Add, Expr, I, Ne, S, StrictLessThan, Symbol, asin, atan, cos, erf, erfc, exp, pi, re, sin, sqrt
from sympy.logic.boolalg import And, Boolean, false, true

from derive.nodes.averages import DivergentAverage, GaussianAverage
from derive.nodes.growth import growth, integrable, odd
from derive.nodes.products import Line, NotClosed, Product, coefficients_in, delta_factor, products_of, spread

__all__ = ["gaussian_closed_form", "gaussian_convergence"]

Closed = tuple[Expr | None, Boolean]


# --- one product --------------------------------------------------------------------------------------------------


def _phi(at: Expr) -> Expr:
    return exp(-(at**2) / 2) / sqrt(2 * pi)


def _orientation(slope: Expr) -> Expr:
    return S.One if slope.is_positive else S.NegativeOne if slope.is_negative else slope / sqrt(slope**2)


def _plain_moments(count: int) -> list[Expr]:
    """E[z^n] for n = 0 ... count."""
    moments: list[Expr] = [S.One, S.Zero]
    while len(moments) <= count:
        moments.append((len(moments) - 1) * moments[-2])
    return moments[: count + 1]


def _step_moments(a: Expr, b: Expr, orientation: Expr, count: int) -> list[Expr]:
    """E[z^n Heaviside(a + b z)], by Stein: (n-1) E[z^(n-2) H] + (-a/b)^(n-1) sign(b) phi(a/b)."""
    moments: list[Expr] = [erfc(-orientation * a / (b * sqrt(2))) / 2]
    for n in range(1, count + 1):
        edge = (-a / b) ** (n - 1) * orientation * _phi(a / b)
        moments.append(edge + (n - 1) * moments[n - 2] if n > 1 else edge)
    return moments


def _erf_moments(a: Expr, b: Expr, count: int) -> list[Expr]:
    """E[z^n erf(a + b z)], by Stein: (n-1) E[z^(n-2) erf] + E[z^(n-1) 2 b exp(-(a+bz)^2)/sqrt(pi)]."""
    width = 1 + 2 * b**2
    front = 2 * b / sqrt(pi) * exp(-(a**2) / width) / sqrt(width)
    centre = -2 * a * b / width
    moments: list[Expr] = [erf(a / sqrt(width))]
    for n in range(1, count + 1):
        shifted = Add(*(comb(n - 1, k) * centre ** (n - 1 - k) * m / width ** (S(k) / 2)
                        for k, m in enumerate(_plain_moments(n - 1)) if m != 0))
        moments.append(front * shifted + ((n - 1) * moments[n - 2] if n > 1 else 0))
    return moments


def _mean_of(one: Product, coefficients: Sequence[Expr], x: Symbol) -> tuple[Expr, list[Boolean]]:
    """The average of a product with a polynomial of the given coefficients, and its conditions.

    Raises: NotClosed, DivergentAverage.
    """
    width = 1 - 2 * one.q2
    conditions: list[Boolean] = []
    if one.special and (width.has(I) or one.q1.has(I) or not width.is_real):
        raise NotClosed
    if width.is_nonpositive:
        if one.special:
            raise NotClosed
        polynomial = Add(*(c * x**n for n, c in enumerate(coefficients)))
        raise DivergentAverage(
            f"E[{_named(polynomial * exp(one.q0 + one.q1 * x + one.q2 * x**2), x)}] over a standard normal x diverges: "
            f"the coefficient of x^2 in the exponent is {one.q2}, it must be below 1/2",
            StrictLessThan(one.q2, S.Half, evaluate=False),
        )
    if not (width.is_positive or (width.is_rational_function() and width.factor().is_positive)):
        conditions.append((re(width) if width.is_real is False else width) > 0)
    front = exp(one.q0 + one.q1**2 / (2 * width)) / sqrt(width)
    centre, scale = one.q1 / width, 1 / sqrt(width)
    count = len(coefficients) - 1

    def moved(line: Line) -> Line:
        return line[0] + line[1] * centre, line[1] * scale

    if one.step is not None and not one.step[1].is_nonzero:
        conditions.append(Ne(one.step[1], 0))
    moments = _moments(None if one.step is None else moved(one.step), [moved(e) for e in one.erfs], count)
    terms = [
        c * comb(n, k) * centre ** (n - k) * scale**k * moments[k]
        for n, c in enumerate(coefficients) for k in range(n + 1) if moments[k] != 0 and c != 0
    ]
    return front * Add(*terms), conditions


def _moments(step: Line | None, erfs: Sequence[Line], count: int) -> list[Expr]:
    """E[z^n step erfs] for n = 0 ... count.

    Raises: NotClosed. Two error functions, or a step and one, are known centred and without a power (arcsine laws).
    """
    if step is None and not erfs:
        return _plain_moments(count)
    if step is not None and not erfs:
        return _step_moments(*step, _orientation(step[1]), count)
    if step is None and len(erfs) == 1:
        return _erf_moments(*erfs[0], count)
    if count or any(line[0] != 0 for line in erfs) or (step is not None and step[0] != 0):
        raise NotClosed
    slopes = [b for _, b in erfs]
    if step is not None and len(slopes) == 1:
        return [_orientation(step[1]) * atan(sqrt(2) * slopes[0]) / pi]
    if step is None and len(slopes) == 2:
        b1, b2 = slopes
        return [2 / pi * asin(2 * b1 * b2 / sqrt((1 + 2 * b1**2) * (1 + 2 * b2**2)))]
    raise NotClosed


def _named(expr: Expr, x: Symbol) -> Expr:
    return expr.xreplace({x: Symbol("x", real=True)})


def _sampled(rest: Expr, x: Symbol, delta: Line) -> tuple[Expr, list[Boolean]]:
    """E[rest DiracDelta(a + b x)]."""
    a, b = delta
    needed: list[Boolean] = [] if b.is_nonzero else [Ne(b, 0)]
    return rest.subs(x, -a / b) * _phi(a / b) / sqrt(b**2), needed


# --- one variable -------------------------------------------------------------------------------------------------


class _Known:
    """Averages of the terms of one body, in groups that share everything but the polynomial."""

    def __init__(self, terms: Sequence[Expr], x: Symbol, outer: Sequence[Symbol]) -> None:
        self.x, self.outer = x, set(outer)
        self.terms = list(terms)
        self.left: set[int] = set()
        self.divergence: DivergentAverage | None = None
        self.diverging: set[int] = set()
        self.pieces: list[tuple[int, Product]] = []
        self.sampled: list[Expr] = []
        self.conditions: list[Boolean] = []
        self._cache: dict[tuple[Product, Expr], tuple[Expr, list[Boolean]]] = {}
        for number, term in enumerate(self.terms):
            self._take(number, term)
        self.values = self._settle()

    def _take(self, number: int, term: Expr) -> None:
        delta = delta_factor(term, self.x)
        if delta is not None:
            value, needed = _sampled(*delta[:1], self.x, delta[1])
            self.sampled.append(value)
            self.conditions.extend(c for c in needed if not c.free_symbols & self.outer)
            return
        try:
            self.pieces.extend((number, p) for p in products_of(term, self.x))
        except NotClosed:
            self.left.add(number)

    def _settle(self) -> list[Expr]:
        """Values of the groups; a group that fails takes its terms out of all groups, and all is done again."""
        while True:
            groups: Groups = {}
            for number, one in self.pieces:
                if number not in self.left:
                    key = Product(S.One, one.q0, one.q1, one.q2, one.step, one.erfs)
                    total, members = groups.get(key, (S.Zero, set()))
                    groups[key] = total + one.polynomial, members | {number}
            values, conditions, failed = [], [], set()
            for key, (total, members) in _one_sided(groups).items():
                found = self._group(key, total, members)
                if found is None:
                    failed |= members
                else:
                    values.append(found[0])
                    conditions.extend(found[1])
            if not failed:
                self.conditions.extend(conditions)
                return values
            self.left |= failed

    def _group(self, key: Product, polynomial: Expr, members: set[int]) -> tuple[Expr, list[Boolean]] | None:
        coefficients = coefficients_in(polynomial, self.x)
        assert coefficients is not None
        if coefficients == [0] or not any(c.expand() != 0 for c in coefficients):
            return S.Zero, []
        if (key, polynomial) not in self._cache:
            try:
                self._cache[key, polynomial] = _mean_of(key, coefficients, self.x)
            except NotClosed:
                return None
            except DivergentAverage as error:
                self.divergence = self.divergence or error
                self.diverging |= members
                return None
        value, needed = self._cache[key, polynomial]
        inside = [c for c in needed if c.free_symbols & self.outer]
        if any(not isinstance(c, Ne) for c in inside):
            return None  # a condition on another integration variable cannot be stated outside
        return value, [c for c in needed if c not in inside]


Groups = dict[Product, tuple[Expr, set[int]]]


def _one_sided(groups: Groups) -> Groups:
    """Where both sides of a joint occur with the same exponential, the second is written as 1 - the first."""
    joined: Groups = {}

    def add(key: Product, polynomial: Expr, members: set[int]) -> None:
        total, others = joined.get(key, (S.Zero, set()))
        joined[key] = total + polynomial, others | members

    for key, (polynomial, members) in groups.items():
        mirrored = None if key.step is None else replace(key, step=(-key.step[0], -key.step[1]))
        if mirrored is not None and mirrored in joined:
            add(mirrored, -polynomial, members)
            add(replace(key, step=None), polynomial, members)
        else:
            add(key, polynomial, members)
    return joined


def _one_variable(body: Expr, x: Symbol, outer: Sequence[Symbol]) -> tuple[Expr | None, list[Boolean]]:
    """E over x of the body: known terms plus averages of what is left; None where nothing is known.

    `outer`: the other integration variables.
    """
    if x not in body.free_symbols:
        return body, []
    try:
        terms = spread(body.expand() if body.is_polynomial(x) else body, x)
    except NotClosed:
        return None, []
    known = _Known(terms, x, outer)
    others = [terms[k] for k in sorted(known.left - known.diverging)]
    if known.divergence is not None:
        if all(integrable(t, x) for t in others):
            raise known.divergence
        return None, []
    safe = [t for t in others if integrable(t, x)]
    unsafe = [t for t in others if t not in safe]
    remaining = [(c, f) for c, f in _by_factor(safe, x) if not odd(f, x)]
    rest = Add(*(c * GaussianAverage(f, x) for c, f in remaining), GaussianAverage(Add(*unsafe), x))
    value = _real_form(Add(*known.values, *known.sampled), body) + rest
    return (None, []) if value == GaussianAverage(body, x) else (value, known.conditions)


def _by_factor(terms: Sequence[Expr], x: Symbol) -> list[tuple[Expr, Expr]]:
    """Terms as (constant, part with x), equal parts joined."""
    joined: dict[Expr, Expr] = {}
    for term in terms:
        constant, part = term.as_independent(x, as_Add=False)
        joined[part] = joined.get(part, S.Zero) + constant
    return [(c, p) for p, c in joined.items()]


def _real_form(value: Expr, body: Expr) -> Expr:
    """A value without the imaginary unit, where circular functions brought it in."""
    if not value.has(I) or body.has(I):
        return value

    def polar(e: Expr) -> Expr:
        real, imaginary = e.args[0].expand().as_real_imag()
        return exp(real) * (cos(imaginary) + I * sin(imaginary))

    return value.replace(lambda e: isinstance(e, exp) and e.has(I), polar).expand()


# --- several variables --------------------------------------------------------------------------------------------


def gaussian_closed_form(body: Expr, variables: Sequence[Symbol]) -> Closed:
    """The average over all variables, one after the other, in the order that leaves the least open.

    Raises: DivergentAverage where the average certainly does not exist.
    """
    orders = [tuple(variables)] if len(variables) == 1 else [tuple(variables), tuple(reversed(variables))]
    found = [_in_order(body, order) for order in orders[:1]]
    if _open(found[0]) != (0, 0):
        found += [_in_order(body, order) for order in orders[1:]]
    value, condition = min(found, key=_open)
    return (None, true) if value == GaussianAverage(body, *variables) else (value, condition)


def _open(closed: tuple[Expr, Boolean]) -> tuple[int, int]:
    value, condition = closed
    nodes = sum(len(n.variables) for n in value.atoms(GaussianAverage))
    return nodes, 0 if condition == true else len(And.make_args(condition))


def _in_order(body: Expr, order: Sequence[Symbol]) -> tuple[Expr, Boolean]:
    conditions: list[Boolean] = []
    current = body
    for k in range(len(order) - 1, -1, -1):
        value, needed = _one_variable(current, order[k], order[:k])
        conditions.extend(needed)
        current = GaussianAverage(current, order[k]) if value is None else value
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
