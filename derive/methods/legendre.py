"""Legendre transforms of convex functions: parametric always, explicit where the slope can be inverted.

The conjugate of a strictly convex f is f*(p) = max over x of p x - f(x).  At the slope p = f'(x) it is x f'(x) - f(x),
for any f, known or not; that parametric form is what a derivation needs.  Where f'(x) = p has one solution in closed
form on the domain, the explicit form follows; it is accepted by its property (it inverts f' all over the domain), never
by its place in a list of roots.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from sympy import (
    Derivative,
    Dummy,
    Eq,
    Expr,
    Function,
    Gt,
    Integer,
    Interval,
    Limit,
    Lt,
    Poly,
    Rational,
    S,
    Subs,
    Symbol,
    diff,
    limit,
    oo,
    powsimp,
    real_roots,
    simplify,
    solve,
)
from sympy.core.function import Application as AppliedFunction
from sympy.core.function import AppliedUndef

from derive.core import Branch, DeriveError, Domain, Parameter, Problem, Stage, Step
from derive.ledger import Derivation
from derive.ledger.generators import Full, Unsupported
from derive.nodes import Average, Extremum, TimedOut, timebox

__all__ = ["LegendreTransform", "legendre_transform"]

SLOPE = Symbol("p", real=True)
SOURCE = "PHYSICS, section 1; Rockafellar (1970), section 26"
SECONDS = 6.0  # for one call of computer algebra
_DIGITS = 30
_LARGE = (Rational(10), Rational(100), Rational(10**4))


@dataclass(frozen=True)
class LegendreTransform:
    """The Legendre transform of a function; made by `legendre_transform`.

    Attributes: function (f), variable (x), dual (the symbol of the slope p), domain (interval of x).
    """

    function: Expr
    variable: Symbol
    dual: Symbol
    domain: Interval

    # ---- parametric

    def at(self, x: Expr) -> tuple[Expr, Expr]:
        """(p, f*(p)) at the point where f has that slope: (f'(x), x f'(x) - f(x))."""
        return self._put(self.slope, x), self._put(self.value, x)

    @property
    def slope(self) -> Expr:
        """p = f'(x)."""
        return diff(self.function, self.variable)

    @property
    def value(self) -> Expr:
        """f*(f'(x)) = x f'(x) - f(x)."""
        return self.variable * self.slope - self.function

    @property
    def curvature(self) -> Expr:
        """f''(x); the curvature of the conjugate at the slope f'(x) is one over it."""
        return diff(self.function, self.variable, 2)

    def _put(self, expr: Expr, x: Expr) -> Expr:
        return expr.subs(self.variable, x)

    @property
    def supremum(self) -> Expr:
        """f*(p) as it is defined, the maximum over x of p x - f(x), a node."""
        return Extremum(self.dual * self.variable - self.function, self.variable, self.domain, "max")

    def gap(self, x: Expr, at: Expr) -> Expr:
        """f(x) + f*(p) - p x at the slope p = f'(at): not negative, and zero for x = at only (Fenchel and Young)."""
        p, conjugate = self.at(at)
        return self._put(self.function, x) + conjugate - p * x

    # ---- explicit

    @cached_property
    def slopes(self) -> Interval | None:
        """The slopes that f takes on its domain, where f* is smooth; None where the ends of the range are not found."""
        first, last = _end_slope(self, upper=False), _end_slope(self, upper=True)
        if first is None or last is None:
            return None
        (low, low_open), (high, high_open) = first, last
        if (high - low).is_nonpositive:
            return None
        return Interval(low, high, low_open, high_open)

    @cached_property
    def inverse(self) -> Expr | None:
        """x as a function of p, or None where f'(x) = p has no solution in closed form that inverts f' everywhere."""
        if _unknown(self.slope):
            return None
        x = Dummy("x", **_signs(self.domain))
        p = Dummy("p", real=True)
        try:
            found = timebox(SECONDS, solve, Eq(self._put(self.slope, x), p), x)
        except (TimedOut, NotImplementedError, ValueError, TypeError):
            return None
        right = [
            r.xreplace({p: self.dual})
            for r in found
            if isinstance(r, Expr) and x not in r.free_symbols and _inverts(self, r, p)
        ]
        return _simplest(right[0], self.dual, self.slopes) if len(right) == 1 else None

    @cached_property
    def explicit(self) -> Expr | None:
        """f* as a function of p, or None where the slope is not inverted in closed form."""
        if self.inverse is None:
            return None
        whole = self.dual * self.inverse - self._put(self.function, self.inverse)
        return _simplest(whole, self.dual, self.slopes)

    def conjugate(self) -> LegendreTransform:
        """The transform of the explicit conjugate, whose conjugate is f again.

        Raises: DeriveError where the conjugate is not explicit.
        """
        if self.explicit is None or self.slopes is None:
            raise DeriveError(
                f"the Legendre transform of {self.function} has no explicit form",
                given=str(self.function),
                allowed="a function whose slope can be inverted",
                nearest="the parametric form, .at(x)",
            )
        return legendre_transform(self.explicit, self.dual, self.variable, self.slopes)

    # ---- numbers

    def problem(self, name: str = "conjugate") -> Problem:
        """The conjugate as a problem: the slope p (and the other symbols of f) are given, x is solved for.

        Raises: DeriveError for an f that contains an undefined function.
        """
        if _unknown(self.function):
            raise DeriveError(
                f"{self.function} contains an undefined function and has no numbers",
                given=str(self.function),
                allowed="a known function",
            )
        unknown = Symbol(f"{self.variable.name}_*", **_signs(self.domain))
        others = sorted(self.function.free_symbols - {self.variable}, key=lambda s: str(s.name))
        parameters = (
            Parameter(self.dual, self._reachable(), "slope"),
            *(Parameter(s, _range(s), "parameter of the function") for s in others),
        )
        stage = Stage(
            unknown,
            self._put(self.slope, unknown) - self.dual,
            +1,
            self.domain.start,
            self.domain.end,
            clip=_closed(self.domain, False) or _closed(self.domain, True),
            absent=f"the supremum of p x - f(x) is not taken on {self.domain}: the function has no such slope there",
        )
        value = self.dual * unknown - self._put(self.function, unknown)
        branches = (Branch("conjugate", value),)
        return Problem(name, Symbol("f*", real=True), parameters, branches, (stage,), (("x", unknown),), positive=False)

    def _reachable(self) -> Interval:
        """The slopes at which the supremum is known to be taken, all where that is not known."""
        if self.slopes is None or self.slopes.free_symbols:
            return Interval(-oo, oo)
        low = -oo if _closed(self.domain, False) else self.slopes.start
        high = oo if _closed(self.domain, True) else self.slopes.end
        return Interval.open(low, high)

    # ---- derivation

    def derivation(self, name: str = "legendre-transform") -> Derivation:
        """From the definition of the conjugate as a supremum to its parametric form, slope, curvature and involution.

        Steps: "legendre-convex", "legendre-supremum" (definition), "legendre-value" (the parametric form),
        "legendre-young" (Fenchel and Young), "legendre-slope" (df*/dp = x), "legendre-curvature" (f*'' = 1/f''),
        "legendre-involution" and, where the conjugate is explicit, "legendre-inverse", "legendre-explicit" and their
        agreement with the parametric form.
        """
        return Derivation(name, f"Legendre transform of {self.function}", tuple(_steps(self)))


def legendre_transform(
    f: Expr, x: Symbol, p: Symbol | None = None, domain: Interval | None = None
) -> LegendreTransform:
    """The Legendre transform of a strictly convex function.

    Args:
        f: the function, an expression in x; undefined functions are allowed, and then taken to be convex.
        x: its variable.
        p: the symbol of the slope.
        domain: where x lies; by default what its assumptions say (positive: the half line).

    Raises: DeriveError for a variable that is no symbol or does not occur, a slope symbol that occurs in f, an empty
    domain, and an f that is found not to be real, or not strictly convex, on the domain.
    Source: PHYSICS, section 1 (rate function and cumulant).

    >>> x, p = Symbol("x", real=True), Symbol("p", real=True)
    >>> pair = legendre_transform(x**2 / 4, x, p)
    >>> pair.explicit, pair.inverse, pair.slopes
    (p**2, 2*p, Interval(-oo, oo))
    >>> zeta = Function("zeta")
    >>> legendre_transform(zeta(x), x).value
    x*Derivative(zeta(x), x) - zeta(x)
    """
    dual = SLOPE if p is None else p
    _check_symbols(f, x, dual)
    where = domain if domain is not None else _range(x)
    if not isinstance(where, Interval) or where.is_empty or where.start == where.end:
        raise DeriveError(
            f"the domain {where} of {x} is not an interval", given=str(where), allowed="a non-empty Interval"
        )
    transform = LegendreTransform(f, x, dual, where)
    _check_convex(transform)
    return transform


def _check_symbols(f: Any, x: Any, p: Any) -> None:
    if not isinstance(f, Expr):
        raise DeriveError(f"the function is given as {type(f).__name__}", given=repr(f), allowed="a SymPy expression")
    names = sorted(s.name for s in f.free_symbols)
    if not isinstance(x, Symbol):
        raise DeriveError(
            f"the variable of a Legendre transform is given as {x!r}",
            given=repr(x),
            allowed=", ".join(names) or "a symbol",
        )
    if x not in f.free_symbols:
        near = next(iter(difflib.get_close_matches(x.name, names, 1, 0.0)), None)
        raise DeriveError(
            f"{f} does not depend on {x}" + (f"; did you mean {near!r}?" if near else ""),
            given=str(x),
            allowed=", ".join(names),
            nearest=near,
        )
    if not isinstance(p, Symbol) or p in f.free_symbols:
        raise DeriveError(f"{p} cannot name the slope", given=str(p), allowed=f"a symbol that does not occur in {f}")


# ---- what is known of the variable


def _range(x: Symbol) -> Interval:
    """The interval that the assumptions of a symbol leave."""
    low = S.Zero if x.is_nonnegative else -oo
    high = S.Zero if x.is_nonpositive else oo
    return Interval(low, high, bool(x.is_nonzero), bool(x.is_nonzero))


def _signs(domain: Interval) -> dict[str, bool]:
    """Assumptions that hold inside an interval."""
    if domain.start.is_nonnegative:
        return {"positive": True}
    return {"negative": True} if domain.end.is_nonpositive else {"real": True}


def _closed(domain: Interval, upper: bool) -> bool:
    """Whether an end is finite and belongs to the interval."""
    end, is_open = (domain.end, domain.right_open) if upper else (domain.start, domain.left_open)
    return bool(end.is_finite and not is_open)


def _unknown(expr: Expr) -> bool:
    return bool(expr.has(AppliedUndef) or expr.has(Subs))


def _points(domain: Interval) -> tuple[Expr, ...]:
    """Points inside an interval, over several scales and near its ends."""
    low, high = domain.start, domain.end
    scales = [Rational(k, 7) * Integer(10) ** n for n in (-3, -2, -1, 0, 1) for k in (5, 12, 29)]
    if low.is_finite and high.is_finite:
        parts = [Rational(k, 29) for k in range(1, 29)] + [Rational(1, 10**4), 1 - Rational(1, 10**4)]
        return tuple(low + (high - low) * part for part in parts)
    if low.is_finite:
        return tuple(low + s for s in scales)
    if high.is_finite:
        return tuple(high - s for s in scales)
    return (*(-s for s in reversed(scales)), S.Zero, *scales)


def _sample(symbols: Iterable[Symbol]) -> dict[Symbol, Expr]:
    """One generic rational value for each symbol, in keeping with its assumptions."""
    values: dict[Symbol, Expr] = {}
    for index, symbol in enumerate(sorted(symbols, key=lambda s: str(s.name))):
        value = Rational(13 + 4 * index, 11)
        values[symbol] = -value if symbol.is_nonpositive else value
    return values


def _number(expr: Expr, digits: int = _DIGITS) -> Expr | None:
    """A real number to that many digits; None where it is none."""
    try:
        value = timebox(SECONDS, lambda: expr.evalf(digits))
    except (TimedOut, ValueError, ArithmeticError, TypeError):
        return None
    if value.is_Number and value.is_finite:
        return value
    real, imaginary = value.as_real_imag()
    if (
        real.is_Number
        and imaginary.is_Number
        and real.is_finite
        and abs(imaginary) < Rational(1, 10 ** (digits - 8)) * (1 + abs(real))
    ):
        return real
    return None


# ---- convexity


def _check_convex(transform: LegendreTransform) -> None:
    """Raise where the function is found not to be strictly convex; what is not decided here is left to the ledger."""
    f, x, domain = transform.function, transform.variable, transform.domain
    second = transform.curvature
    inside = Dummy(x.name, **_signs(domain))
    sign = second.xreplace({x: inside})
    if sign.is_zero:
        raise _not_convex(transform, "it is affine in it: its conjugate lives on one slope only")
    if sign.is_negative:
        raise _not_convex(transform, "its second derivative is negative")
    if _unknown(second) or second.free_symbols - {x} or domain.free_symbols:
        return
    if second.has(Average):
        places: tuple[Expr, ...] = _points(domain)[::6]
    else:
        places = (*_between_roots(second, x, domain), *_points(domain))
    values = []
    for place in places:
        if _number(f.subs(x, place), 15) is None:
            raise DeriveError(
                f"{f} is not a real number at {x} = {place}",
                given=f"{x} in {domain}",
                allowed="a domain on which the function is real",
                nearest="the argument `domain`",
            )
        value = _number(second.subs(x, place))
        if (
            value is not None
            and value < 0
            and (again := _number(second.subs(x, place), 2 * _DIGITS)) is not None
            and again < 0
        ):
            raise _not_convex(transform, f"its second derivative is {value.n(6)} at {x} = {place}")
        values.append(value)
    if sum(v == 0 for v in values) >= min(5, len(values)):
        raise _not_convex(transform, "its second derivative vanishes on a part of it")


def _not_convex(transform: LegendreTransform, why: str) -> DeriveError:
    return DeriveError(
        f"{transform.function} is not strictly convex in {transform.variable} on {transform.domain}: {why}",
        given=str(transform.function),
        allowed="a strictly convex function",
        nearest="its negative, or a smaller domain",
    )


def _between_roots(second: Expr, x: Symbol, domain: Interval) -> tuple[Expr, ...]:
    """A point of each interval in which a polynomial second derivative has one sign; none for other functions."""
    if not second.is_polynomial(x):
        return ()
    poly = Poly(second, x)
    if not all(c.is_Rational for c in poly.all_coeffs()):
        return ()
    inner = [r for r in sorted(set(real_roots(poly))) if domain.contains(r) == True]  # noqa: E712 - a SymPy Boolean
    ends = [domain.start, *inner, domain.end]
    found = []
    for low, high in pairwise(ends):
        if low == -oo:
            found.append(high - 1 if high != oo else S.Zero)
        else:
            found.append(low + 1 if high == oo else (low + high) / 2)
    return tuple(found)


# ---- range of the slope


def _end_slope(transform: LegendreTransform, upper: bool) -> tuple[Expr, bool] | None:
    """The slope at an end of the domain, and whether it is not taken there; None where it is not found.

    A limit of computer algebra counts only where the increasing slope is seen to approach it.
    """
    slope, x, domain = transform.slope, transform.variable, transform.domain
    if _unknown(slope) or slope.has(Average):
        return None
    end = domain.end if upper else domain.start
    inside = Dummy(x.name, **_signs(domain))
    if _closed(domain, upper):
        value = _put_at(slope, x, end)
        if value is not None:
            return value, False
    try:
        value = timebox(SECONDS, limit, slope.xreplace({x: inside}), inside, end, "-" if upper else "+")
    except (TimedOut, NotImplementedError, ValueError, TypeError, ArithmeticError):
        return None
    if (
        not isinstance(value, Expr)
        or value.has(Limit)
        or inside in value.free_symbols
        or value.is_extended_real is False
    ):
        return None
    return (value, True) if _approaches(transform, value, upper) else None


def _put_at(expr: Expr, x: Symbol, point: Expr) -> Expr | None:
    value = expr.subs(x, point)
    return value if isinstance(value, Expr) and value.is_finite and value.is_real else None


def _approaches(transform: LegendreTransform, value: Expr, upper: bool) -> bool:
    """Whether the slope goes towards a value at an end of the domain, monotonically and by a good part of the way."""
    slope, x, domain = transform.slope, transform.variable, transform.domain
    end = domain.end if upper else domain.start
    others = _sample((slope.free_symbols | domain.free_symbols | value.free_symbols) - {x})
    step = -1 if upper else 1
    if end.is_finite:
        width = domain.measure if domain.measure.is_finite else S.One
        places = [end + step * width / n for n in _LARGE]
    else:
        places = [-step * n for n in _LARGE]
    values = [_number(slope.subs(x, place).subs(others)) for place in places]
    if any(v is None for v in values):
        return False
    sign = 1 if upper else -1
    first, second, third = (sign * v for v in values)  # type: ignore[operator]
    if value.is_infinite:
        return bool(sign * value == oo and third > second > first and third - first > 1)
    goal = _number(value.subs(others))
    if goal is None:
        return False
    slack = Rational(1, 10 ** (_DIGITS - 8)) * (1 + abs(goal))
    left = [sign * goal - v for v in (first, second, third)]
    return bool(
        left[0] >= left[1] - slack
        and left[1] >= left[2] - slack
        and left[2] >= -slack
        and (left[2] < left[0] / 2 or left[0] <= slack)
    )


# ---- inversion


def _inverts(transform: LegendreTransform, candidate: Expr, p: Symbol) -> bool:
    """Whether an expression in p takes f'(x) back to x at points all over the domain; f' is injective, so one can."""
    x, slope = transform.variable, transform.slope
    candidate = candidate.xreplace({p: transform.dual})
    others = _sample(
        (slope.free_symbols | candidate.free_symbols | transform.domain.free_symbols) - {x, transform.dual}
    )
    domain = transform.domain.subs(others) if others else transform.domain
    for place in _points(domain):
        at = slope.subs(x, place).subs(others)
        value = _number(candidate.subs(others).subs(transform.dual, at))
        if value is None or abs(value - place) > Rational(1, 10 ** (_DIGITS // 2)) * (1 + abs(place)):
            return False
    return True


def _simplest(expr: Expr, p: Symbol, slopes: Interval | None) -> Expr:
    """The shortest of an expression, its simplification and its normal form, as far as they come in time."""
    forms = [expr]
    normal = _normal_form(expr, p, slopes)
    for start in (expr, normal, None if normal is None else powsimp(normal, force=True)):
        if start is not None:
            try:
                forms += [start, timebox(SECONDS, simplify, start)]
            except TimedOut:
                forms.append(start)
    return min((f for f in forms if _same(f, expr, p, slopes)), key=lambda f: (f.count_ops() + 8 * _wrapped(f), str(f)))


def _wrapped(expr: Expr) -> int:
    """How many functions stand inside functions."""
    return sum(f.args[0].has(AppliedFunction) for f in expr.atoms(AppliedFunction) if f.args)


def _normal_form(expr: Expr, p: Symbol, slopes: Interval | None) -> Expr | None:
    """Roots and logarithms split over factors that are positive on the slopes; None where that is not known."""
    from derive.ledger.rungs import with_field

    def work(field: Any) -> Expr | None:
        form = field.to_expr(field.build(expr))
        return None if field.conditions else form

    try:
        return timebox(SECONDS, with_field, Domain(() if slopes is None else ((p, slopes),)), work)
    except (TimedOut, Unsupported, Full):
        return None


def _same(form: Expr, expr: Expr, p: Symbol, slopes: Interval | None) -> bool:
    """Whether a rewritten form has the same values at points of the slopes."""
    if form is expr:
        return True
    free = expr.free_symbols | form.free_symbols | (set() if slopes is None else slopes.free_symbols)
    others = _sample(free - {p})
    inside = Interval(-oo, oo) if slopes is None else slopes.subs(others)
    for place in _points(inside)[::4]:
        one, two = (_number(e.subs(others).subs(p, place)) for e in (form, expr))
        if (one is None) != (two is None):
            return False
        if one is not None and two is not None and abs(one - two) > Rational(1, 10**20) * (1 + abs(two)):
            return False
    return True


# ---- steps


def _steps(transform: LegendreTransform) -> list[Step]:
    f, x, p, domain = transform.function, transform.variable, transform.dual, transform.domain
    taken = {s.name for s in f.free_symbols} | {p.name}
    u = Symbol(next(n for n in ("u", "x_*", "u_*", "u_x") if n not in taken), **_signs(domain))
    conjugate = Function("f^*" if "f" not in taken else "g^*", real=True)
    slope_at, value_at = transform.at(u)
    known = not _unknown(f)
    where = Domain(((x, domain), (u, domain)))

    def step(
        label: str,
        claim: Any,
        rule: str,
        premises: tuple[str, ...],
        text: str,
        *hints: tuple[str, Any],
        domain: Domain = where,
    ) -> Step:
        return Step(
            f"legendre-{label}", claim, rule, tuple(f"legendre-{n}" for n in premises), domain, SOURCE, text, hints
        )

    place = Symbol("x_max", **_signs(domain))
    steps = [
        step(
            "convex",
            Gt(transform.curvature, 0, evaluate=False),
            "positivity" if known else "assumption",
            (),
            "strict convexity" if known else "the function is strictly convex",
        ),
        step(
            "concave",
            Lt(-transform.curvature, 0, evaluate=False),
            "positivity",
            ("convex",),
            "p x - f(x) is strictly concave in x",
        ),
        step("point", Eq(place, u), "definition", (), "the point with slope p = f'(u), where it is stationary"),
        step(
            "supremum",
            Eq(conjugate(slope_at), transform.supremum.subs(p, slope_at)),
            "definition",
            (),
            "the conjugate at that slope",
        ),
        step(
            "value",
            Eq(conjugate(slope_at), value_at),
            "extremum",
            ("supremum", "concave", "point"),
            "concave and stationary at x = u: the parametric form",
        ),
        step(
            "young",
            Eq(Extremum(-transform.gap(x, u), x, domain, "max"), 0),
            "extremum",
            ("concave", "point"),
            "Fenchel and Young: p x - f(x) - f*(p) <= 0, with equality at x = u only",
        ),
        step(
            "slope",
            Eq(Derivative(transform.value, x) / Derivative(transform.slope, x), x),
            "differentiate",
            ("convex",),
            "df*/dp = x along the curve p = f'(x)",
        ),
        step(
            "curvature",
            Eq(Derivative(x, x, evaluate=False) / Derivative(transform.slope, x), 1 / transform.curvature),
            "differentiate",
            ("convex",),
            "d2f*/dp2 = dx/dp = 1/f''",
        ),
        step(
            "dual-convex",
            Gt(1 / transform.curvature, 0, evaluate=False),
            "positivity",
            ("convex",),
            "the conjugate is strictly convex",
        ),
        step(
            "involution",
            Eq(x * transform.slope - transform.value, f, evaluate=False),
            "identity",
            (),
            "the conjugate of the conjugate, at its slope x, is f",
        ),
    ]
    inverse, explicit, slopes = transform.inverse, transform.explicit, transform.slopes
    if inverse is not None and explicit is not None and slopes is not None:
        steps += _explicit_steps(transform, inverse, explicit, slopes, step)
    return steps


def _explicit_steps(
    transform: LegendreTransform, inverse: Expr, explicit: Expr, slopes: Interval, step: Callable[..., Step]
) -> list[Step]:
    """The explicit form: x(p) inverts the slope, and the conjugate obeys what the parametric form says."""
    p = transform.dual
    where = Domain(((p, slopes),))
    at_inverse = transform.at(inverse)
    return [
        step("inverse", Eq(at_inverse[0], p), "identity", (), "the place as a function of the slope", domain=where),
        step(
            "explicit",
            Eq(p * inverse - transform._put(transform.function, inverse), explicit, evaluate=False),
            "identity",
            (),
            "the conjugate as a function of the slope",
            domain=where,
        ),
        step("explicit-slope", Eq(Derivative(explicit, p), inverse), "differentiate", (), "df*/dp = x", domain=where),
        step(
            "explicit-value",
            Eq(explicit.subs(p, transform.slope), transform.value),
            "identity",
            (),
            "explicit and parametric form agree",
        ),
    ]
