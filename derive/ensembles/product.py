"""Patterns with independent entries of any law: a density with a support, or atoms with weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
from sympy import Abs, Expr, Float, Integral, Rational, S, Symbol, integrate, log, nsimplify, oo, sympify
from sympy.calculus.singularities import singularities

from derive.core import DeriveError
from derive.ensembles.base import Ensemble
from derive.ensembles.sites import MeasureSites, SiteLaw
from derive.nodes import Atoms, Density, Law, MeasureAverage
from derive.nodes.mp_eval import compile_mp
from derive.nodes.timebox import TimedOut, timebox
from derive.symbols import xi as XI

__all__ = ["ProductMeasure"]

_FAR, _FARTHER = mpmath.mpf(10) ** 6, mpmath.mpf(10) ** 12
_SECONDS = 5.0


def _exact(value: object) -> Expr:
    """A number as given by a user, exact: a float is read as the decimal it prints as."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise DeriveError(f"{value} is not a finite number", given=str(value), allowed="a finite real number")
        return Rational(repr(value))
    result = sympify(value) if not isinstance(value, str) else None
    if result is None or not isinstance(result, Expr):
        raise DeriveError(f"{value!r} is not a number", given=repr(value), allowed="a number or a SymPy expression")
    if isinstance(result, Float):
        return Rational(str(result))
    return result


@dataclass(frozen=True, eq=False)
class ProductMeasure(Ensemble):
    """Independent entries with the law that the user writes down.

    Args:
        density: an expression in `variable`, non-negative on the support; it is normalised here.
        variable: the symbol in it; may be left out where the density has only one.
        support: (lower, upper), with oo allowed; the whole line by default.
        atoms: mapping value -> weight instead of a density; weights positive with sum 1.

    Raises: DeriveError where both or neither are given, the weights do not sum to 1, the density is negative somewhere,
    has further symbols, or cannot be normalised.

    >>> from sympy import Rational, symbols
    >>> ProductMeasure(atoms={0: Rational(9, 10), 1: Rational(1, 10)}).rho
    1/10
    >>> x = symbols("x", real=True)
    >>> ProductMeasure(density=1 + 0*x, variable=x, support=(-1, 1)).rho
    1/3
    """

    density: Expr | None = None
    variable: Symbol | None = None
    support: tuple[object, object] = (-oo, oo)
    atoms: Mapping[object, object] | None = None
    law: Law = field(init=False)

    name = "product"

    def __post_init__(self) -> None:
        if (self.density is None) == (self.atoms is None):
            raise DeriveError(
                "a product measure takes a density or atoms, not both and not neither",
                given="both" if self.atoms is not None else "neither",
                allowed="density=... or atoms={...}",
            )
        law = _atoms(self.atoms) if self.atoms is not None else _density(self.density, self.variable, self.support)
        object.__setattr__(self, "law", law)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProductMeasure) and self.law == other.law

    def __hash__(self) -> int:
        return hash(self.law)

    def __str__(self) -> str:
        if isinstance(self.law, Atoms):
            return "atoms " + ", ".join(f"{p}: {w}" for p, w in zip(self.law.points, self.law.weights, strict=True))
        x = Symbol("x", real=True)
        return f"density {self.law.density(x)} on ({self.law.lower}, {self.law.upper})"

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"independent entries, {self}"

    @property
    def site(self) -> SiteLaw:
        return MeasureSites(self.law)

    @cached_property
    def rho(self) -> Expr:
        """Second moment of an entry: exact where it can be found, else the average itself."""
        return MeasureAverage(XI**2, XI, self.law).doit()

    @cached_property
    def mean(self) -> Expr:
        """First moment of an entry."""
        return MeasureAverage(XI, XI, self.law).doit()

    @property
    def entropy(self) -> Expr:
        if isinstance(self.law, Atoms):
            return sum((-w * log(w) for w in self.law.weights), S.Zero)
        return oo

    @cached_property
    def tails(self) -> tuple[tuple[int, Any, Any], ...]:
        """For each unbounded side, (side, linear, quadratic): the limits of -log p(x)/|x| and -log p(x)/x^2.

        Each is 0, a positive number (mpf) or infinity, read off at |x| = 10^6 and 10^12 in arbitrary-range arithmetic.
        """
        if not isinstance(self.law, Density):
            return ()
        return tuple(
            _tail(self.law, side) for side, end in ((-1, self.law.lower), (+1, self.law.upper)) if end in (oo, -oo)
        )

    def require_cumulant(self) -> None:
        """Raise DeriveError where E exp(y xi) diverges for some y that a query can bring about."""
        for side, linear, _ in self.tails:
            if linear != mpmath.inf:
                raise DeriveError(
                    "the cumulant log E exp(lambda x xi) diverges: the tail of the density towards "
                    f"{'+' if side > 0 else '-'}oo falls no faster than an exponential, while the query x is unbounded",
                    given=str(self),
                    allowed="a bounded support, or a tail that falls faster than any exponential",
                )

    @property
    def gaussian_tail(self) -> Expr:
        """The largest k with p(x) <= exp(-(k + o(1)) x^2) at infinity: 0, positive, or oo (bounded support too)."""
        rates = [quadratic for _, _, quadratic in self.tails]
        if not rates or min(rates) == mpmath.inf:
            return oo
        return nsimplify(Float(str(mpmath.nstr(min(rates), 12)), 12), rational=True, tolerance=1e-9)


def _atoms(atoms: Mapping[object, object]) -> Atoms:
    points = [_exact(p) for p in atoms]
    weights = [_exact(w) for w in atoms.values()]
    for value in (*points, *weights):
        if not (value.is_real and value.is_finite) or value.free_symbols:
            raise DeriveError(
                f"an atom's value or weight is not a real number: {value}", given=str(value), allowed="real numbers"
            )
    if len(set(points)) < 2:
        raise DeriveError(
            "a law with a single value has no patterns to tell apart", given=str(points), allowed="at least two atoms"
        )
    if len(set(points)) < len(points):
        raise DeriveError("an atom is given twice", given=", ".join(map(str, points)), allowed="distinct values")
    if not all(w.is_positive for w in weights):
        raise DeriveError(
            "an atom's weight is not positive",
            given=", ".join(map(str, weights)),
            allowed="positive weights with sum 1",
        )
    total = sum(weights, S.Zero)
    if not (total - 1).equals(0):
        nearest = ",".join(f"{p}:{w / total}" for p, w in zip(points, weights, strict=True))
        raise DeriveError(
            f"the weights of the atoms sum to {total}, not to 1",
            given=str(total),
            allowed="weights with sum 1",
            nearest=nearest,
        )
    order = sorted(range(len(points)), key=lambda i: points[i])
    return Atoms(tuple(points[i] for i in order), tuple(weights[i] for i in order))


def _density(density: object, variable: Symbol | None, support: tuple[object, object]) -> Density:
    expr = sympify(density)
    free = expr.free_symbols
    if variable is None:
        if len(free) > 1:
            raise DeriveError(
                f"which symbol is the entry? the density has {', '.join(sorted(map(str, free)))}",
                given=str(expr),
                allowed="one variable",
            )
        variable = next(iter(free), Symbol("x", real=True))
    if extra := free - {variable}:
        raise DeriveError(
            f"the density has a free symbol left over: {', '.join(sorted(map(str, extra)))}",
            given=str(expr),
            allowed=f"an expression in {variable}",
        )
    lower, upper = (_end(e) for e in support)
    if (lower < upper) is not S.true:
        raise DeriveError(f"the support {lower}:{upper} is empty", given=f"{lower}:{upper}", allowed="lower < upper")
    x = Symbol("x", real=True)
    expr = expr.subs(variable, x)
    _check_sign(expr, x, lower, upper)
    _check_integrable(expr, x, lower, upper)
    return Density(expr / _norm(expr, x, lower, upper), x, lower, upper)


def _end(value: object) -> Expr:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return oo if value > 0 else -oo
    end: Expr = value if value in (oo, -oo) else _exact(value)
    if not end.is_extended_real or end.free_symbols:
        raise DeriveError(
            f"the support ends at {end}, which is not a real number", given=str(end), allowed="real numbers, oo or -oo"
        )
    return end


def _inside(lower: Expr, upper: Expr, count: int = 101) -> list[mpmath.mpf]:
    """Points that fill the support, towards infinity in powers."""
    grid = [mpmath.mpf(2 * i + 1) / (2 * count) for i in range(count)]
    lo, hi = (mpmath.mpf(str(e.evalf(30))) if e.is_finite else None for e in (lower, upper))
    if lo is not None and hi is not None:
        return [lo + (hi - lo) * g for g in grid]
    stretched = [g / (1 - g) for g in grid]
    if lo is not None:
        return [lo + g for g in stretched]
    if hi is not None:
        return [hi - g for g in stretched]
    return [(2 * g - 1) / (1 - abs(2 * g - 1)) for g in grid]


def _check_sign(expr: Expr, x: Symbol, lower: Expr, upper: Expr) -> None:
    f = compile_mp(expr, (x,))
    largest = mpmath.mpf(0)
    for point in _inside(lower, upper):
        try:
            value = f(point)
        except (ZeroDivisionError, ValueError):
            continue
        if isinstance(value, mpmath.mpc) and abs(value.imag) > mpmath.mpf(10) ** -10 * (1 + abs(value)):
            raise DeriveError(
                f"the density is not real at {mpmath.nstr(point, 5)}",
                given=str(expr),
                allowed="a real expression, >= 0",
            )
        value = mpmath.re(value)
        if mpmath.isnan(value):
            raise DeriveError(
                f"the density is not a number at {mpmath.nstr(point, 5)}",
                given=str(expr),
                allowed="a real expression, >= 0",
            )
        if value < 0:
            raise DeriveError(
                f"the density is negative at {mpmath.nstr(point, 5)}",
                given=str(expr),
                allowed="an expression that is >= 0 on the support",
            )
        largest = max(largest, value)
    if largest == 0:
        raise DeriveError("the density vanishes on its support", given=str(expr), allowed="a positive density")


def _slope(f: object, near: mpmath.mpf, far: mpmath.mpf) -> mpmath.mpf:
    """Local exponent k of f ~ r^k between two distances."""
    try:
        first, second = (abs(f(point)) for point in (near, far))  # type: ignore[operator]
    except (ZeroDivisionError, ValueError):
        return mpmath.nan
    if second == 0:
        return mpmath.inf * mpmath.sign(mpmath.log(near / far))
    if first == 0:
        return mpmath.nan
    return mpmath.log(second / first) / mpmath.log(far / near)


def _check_integrable(expr: Expr, x: Symbol, lower: Expr, upper: Expr) -> None:
    """Exponents at infinity, at the ends and at singular points inside: integrable only below -1 or above -1."""
    f = compile_mp(expr, (x,))
    not_normalisable = "the density is not normalisable: its integral diverges at {}"
    with mpmath.workdps(80):
        for side, end in ((-1, lower), (+1, upper)):
            if end.is_infinite:
                slope = _slope(lambda r, s=side: f(s * r), _FAR, _FARTHER)
                if not mpmath.isnan(slope) and slope > mpmath.mpf("-1.0000001"):
                    raise DeriveError(
                        not_normalisable.format("+oo" if side > 0 else "-oo"),
                        given=str(expr),
                        allowed="a density with finite integral",
                    )
        points = [(end, -side) for side, end in ((-1, lower), (+1, upper)) if end.is_finite]
        for point in _singular_points(expr, x, lower, upper):
            points += [(point, -1), (point, +1)]
        for point, side in points:
            at = mpmath.mpf(str(point.evalf(70)))
            slope = _slope(lambda r, p=at, s=side: f(p + s * r), 1 / _FAR**2, 1 / _FARTHER**2)
            if not mpmath.isnan(slope) and slope < mpmath.mpf("-0.9999999"):
                raise DeriveError(
                    not_normalisable.format(point), given=str(expr), allowed="a density with finite integral"
                )


def _singular_points(expr: Expr, x: Symbol, lower: Expr, upper: Expr) -> list[Expr]:
    try:
        found = timebox(_SECONDS, singularities, expr, x)
        return [p for p in found if p.is_real and (p > lower) == True and (p < upper) == True]  # noqa: E712
    except (TimedOut, NotImplementedError, TypeError, ValueError):
        return []


def _norm(expr: Expr, x: Symbol, lower: Expr, upper: Expr) -> Expr:
    """The integral of the density: exact where SymPy finds it and a numerical integral agrees, else 80 digits."""
    numeric = _numeric_norm(expr, x, lower, upper)
    try:
        exact = timebox(_SECONDS, integrate, expr, (x, lower, upper))
    except (TimedOut, NotImplementedError, ValueError, TypeError, AttributeError):
        exact = None
    if exact is not None and not exact.has(Integral) and exact.is_finite is not False and not exact.free_symbols:
        value = mpmath.mpmathify(exact.evalf(30))
        if abs(value - numeric) <= abs(numeric) * mpmath.mpf(10) ** -8:
            return exact
    if not mpmath.isfinite(numeric) or numeric <= 0:
        raise DeriveError(
            "the density is not normalisable", given=str(expr), allowed="a density with finite, positive integral"
        )
    with mpmath.workdps(85):
        return Float(mpmath.nstr(_numeric_norm(expr, x, lower, upper, 80), 80), 80)


def _numeric_norm(expr: Expr, x: Symbol, lower: Expr, upper: Expr, digits: int = 20) -> mpmath.mpf:
    f = compile_mp(expr, (x,))
    with mpmath.workdps(digits + 5):
        ends = [
            mpmath.mpf("-inf") if lower == -oo else mpmath.mpf(str(lower.evalf(digits + 5))),
            mpmath.inf if upper == oo else mpmath.mpf(str(upper.evalf(digits + 5))),
        ]
        inner = sorted(mpmath.mpf(str(p.evalf(digits + 5))) for p in _break_points(expr, x, lower, upper))
        return mpmath.quad(lambda y: mpmath.re(f(y)), [ends[0], *inner, ends[1]])


def _break_points(expr: Expr, x: Symbol, lower: Expr, upper: Expr) -> list[Expr]:
    """Where the density is not smooth, plus a few points that split the line."""
    points = set(_singular_points(expr, x, lower, upper))
    for node in expr.atoms(Abs):
        try:
            from sympy import solveset

            points |= {p for p in timebox(1.0, solveset, node.args[0], x, S.Reals) if p.is_number}
        except (TimedOut, NotImplementedError, TypeError, ValueError):
            continue
    points |= {Rational(k) for k in (-8, -2, 0, 2, 8)}
    return [p for p in points if (p > lower) == True and (p < upper) == True]  # noqa: E712


def _tail(law: Density, side: int) -> tuple[int, mpmath.mpf, mpmath.mpf]:
    x = Symbol("x", real=True)
    f = compile_mp(-log(law.density(side * x)), (x,))
    with mpmath.workdps(60):
        values = [f(r) for r in (_FAR, _FARTHER)]
        limits = []
        for power in (1, 2):
            near, far = (v / r**power for v, r in zip(values, (_FAR, _FARTHER), strict=True))
            if mpmath.isinf(far) or far > near * mpmath.mpf("1.05"):
                limits.append(mpmath.inf)
            else:
                limits.append(far if far > near * mpmath.mpf("0.95") else mpmath.mpf(0))
    return side, limits[0], limits[1]
