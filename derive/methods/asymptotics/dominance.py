"""Signs of constants, decided from what is assumed of the parameters, never guessed.

The order of two scales is the sign of a constant such as 1 - alpha_D or a - b.  It is looked for in this order:
assumptions of the symbols, after each parameter is written through one that is positive and free (a < p < b becomes
p = (a + b q)/(1 + q), because assumptions about inequalities do not reach SymPy's own reasoning); a look at random
points at high precision, which can refute and finds zeros.  A sign that differs from point to point is `Undecided`, and
that exception carries the expression, so that the caller can split into cases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp
from sympy import Dummy, Expr, Interval, Symbol, oo

from derive.core import DeriveError
from derive.methods.asymptotics.constants import Constant, Values
from derive.nodes.mp_eval import compile_mp
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Lost", "Moment", "NotExpandable", "Signs", "Undecided", "moment", "natural", "spelled"]

DIGITS = 60
POINTS = 24  # at which a sign that is not proved must agree
_SMALL = mpmath.mpf(10) ** (-DIGITS // 2)


class NotExpandable(DeriveError):
    """An expression of a kind that this calculus does not know, or that has no limit; the words say which."""


class Lost(NotExpandable):
    """All terms kept have cancelled: what is left is below the order of the calculation."""


class Undecided(NotExpandable):
    """The sign of a constant is not settled by what is assumed. Attribute `expr`: the constant."""

    def __init__(self, expr: Expr) -> None:
        super().__init__(
            f"the order of two terms hangs on the sign of {expr}",
            given=str(expr),
            allowed="an assumption that settles it",
        )
        self.expr = expr


class Moment(Dummy):  # type: ignore[misc]
    """A letter for an average of which nothing is free: a number that is looked up once.

    Attribute: node, the average.
    """

    node: Expr

    def value(self) -> Any:
        """The number, to the current precision."""
        return +_moment_value(self.node, 60 * (1 + mpmath.mp.dps // 60))


@lru_cache(maxsize=1000)
def moment(node: Expr, positive: bool) -> Moment:
    """The letter of an average."""
    made: Moment = Dummy.__new__(Moment, "E", real=True, positive=True if positive else None)
    made.node = node
    return made


@lru_cache(maxsize=1000)
def _moment_value(node: Expr, digits: int) -> Any:
    with mpmath.workdps(digits):
        return compile_mp(node, ())()


def spelled(e: Any) -> Any:
    """An expression with the averages themselves in place of their letters."""
    return e.xreplace({k: k.node for k in e.atoms(Moment)}) if isinstance(e, sp.Basic) else e


@dataclass
class Signs:
    """What is known of the parameters, and the signs found so far.

    Attributes: intervals (symbol -> where it may lie), conditions (further relations), constants (known by their
    equations), seen (signs that were read off random points, not proved).
    """

    intervals: Mapping[Symbol, Interval] = field(default_factory=dict)
    conditions: tuple[Any, ...] = ()
    constants: tuple[Constant, ...] = ()
    seen: list[Expr] = field(default_factory=list)
    _known: dict[Expr, int] = field(default_factory=dict)
    _points: list[dict[Symbol, Any]] = field(default_factory=list)
    _values: Values = field(init=False)

    def __post_init__(self) -> None:
        self._values = Values(self.constants)

    def with_constant(self, constant: Constant) -> Signs:
        """The same knowledge with one more constant."""
        return Signs(self.intervals, self.conditions, (*self.constants, constant), self.seen)

    def with_interval(self, symbol: Symbol, interval: Interval) -> Signs:
        """The same knowledge with a symbol on an interval."""
        made = Signs({**self.intervals, symbol: interval}, self.conditions, self.constants, self.seen)
        made._values = self._values
        return made

    # ------------------------------------------------------------------------------------------------------- signs

    def sign(self, expr: Expr) -> int:
        """-1, 0 or 1.

        Raises: Undecided where it depends on the parameters.
        """
        if expr not in self._known:
            self._known[expr] = self._sign(expr)
        return self._known[expr]

    def is_zero(self, expr: Expr) -> bool:
        """Whether the constant vanishes identically, seen at random points to 30 digits."""
        if expr.is_number and not expr.free_symbols:
            return self.sign(expr) == 0
        return expr == 0 or all(abs(v) <= _SMALL * size for v, size in self.values(expr, 3))

    def _sign(self, expr: Expr) -> int:
        if expr.is_Rational:
            return int(sp.sign(expr))
        if expr.is_positive:
            return 1
        if expr.is_negative:
            return -1
        looked = [0 if abs(v) <= _SMALL * size else int(mpmath.sign(v)) for v, size in self.values(expr, 3)]
        if not any(looked):
            return 0
        if len(set(looked)) > 1:
            raise Undecided(expr)
        if all(isinstance(k, Moment) for k in expr.free_symbols):
            return looked[0]
        for proved in (self._proved, self._by_sampling):
            found = proved(expr, looked[0])
            if found is not None:
                if found != looked[0]:
                    raise Undecided(expr)
                return found
        raise Undecided(expr)

    def _proved(self, expr: Expr, looked: int) -> int | None:
        """By assumptions, after each bounded parameter is written through a free positive one."""
        free = expr.subs(self.free())
        forms: tuple[Callable[[Expr], Expr], ...] = (lambda e: e, sp.expand, sp.factor)
        for form in forms:
            try:
                shaped = timebox(1.0, form, free)
            except (TimedOut, sp.PolynomialError):
                continue
            if shaped.is_positive:
                return 1
            if shaped.is_negative:
                return -1
        return None

    def free(self) -> dict[Symbol, Expr]:
        """Each parameter on an interval, through a positive symbol that is free."""
        found: dict[Symbol, Expr] = {}
        for symbol, interval in self.intervals.items():
            q, (a, b) = Dummy("q", positive=True), (interval.start, interval.end)
            if a.is_finite and b.is_finite:
                found[symbol] = (a + b * q) / (1 + q)
            elif a.is_finite and a != 0:
                found[symbol] = a + q
            elif b.is_finite:
                found[symbol] = b - q
        for condition in self.conditions:
            found |= _through(condition, found)
        return found

    def _by_sampling(self, expr: Expr, looked: int) -> int:
        values = [int(mpmath.sign(v)) for v, _ in self.values(expr, POINTS)]
        if any(v != looked for v in values):
            raise Undecided(expr)
        self.seen.append(expr)
        return looked

    # ---------------------------------------------------------------------------------------------------- sampling

    def points(self, count: int) -> Sequence[dict[Symbol, Any]]:
        """Random points of the domain: values for the parameters, and for the constants that follow."""
        rng = random.Random(f"dominance {len(self._points)}")
        tries = 0
        while len(self._points) < count:
            tries += 1
            if tries > 200 * count:
                raise NotExpandable(
                    "the conditions leave no room", given=str(self.conditions), allowed="other conditions"
                )
            point = {k: _draw(rng, interval, isinstance(k, Dummy)) for k, interval in self.intervals.items()}
            if all(_met(c, point) for c in self.conditions):
                self._points.append(point)
        return self._points[:count]

    def values(self, expr: Expr, count: int) -> list[tuple[Any, Any]]:
        """(value, size of its largest part) at random points, to DIGITS digits."""
        symbols = sorted(expr.free_symbols, key=str)
        self._admit(symbols)
        f = _compiled(expr)
        parts = [_compiled(a) for a in expr.args] if expr.is_Add else [f]
        found = []
        with mpmath.workdps(DIGITS):
            for point in self.points(count if symbols else 1):
                at = self.at(point, symbols)
                try:
                    value = f(at)
                    size = max((abs(p(at)) for p in parts), default=mpmath.mpf(1))
                except (ValueError, ZeroDivisionError, OverflowError, DeriveError):
                    raise Undecided(expr) from None
                if isinstance(value, mpmath.mpc):
                    if abs(value.imag) > _SMALL * max(1, abs(value)):
                        raise NotExpandable(f"{expr} is not real", given=str(expr), allowed="a real expression")
                    value = value.real
                found.append((value, max(size, _SMALL)))
        return found

    def _admit(self, symbols: Sequence[Symbol]) -> None:
        """Symbols of no stated domain range over what their own assumptions allow."""
        wanted = {*symbols, *self._values.symbols()} - {c.symbol for c in self.constants}
        new = {
            k: natural(k) for k in sorted(wanted, key=str) if k not in self.intervals and not isinstance(k, Moment)
        }
        if new:
            self.intervals = {**self.intervals, **new}
            self._points.clear()

    def at(self, point: Mapping[Symbol, Any], wanted: Sequence[Symbol]) -> dict[Symbol, Any]:
        """Numbers for parameters, and for the constants among the symbols wanted."""
        at: dict[Symbol, Any] = {k: _number(v) for k, v in point.items()}
        at |= {k: k.value() for k in {*wanted, *self._values.symbols()} if isinstance(k, Moment)}
        return self._values(at, wanted)


def _through(condition: Any, taken: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    """a > f as a = f + q, and a < f as a = f/(1 + q) for positive a and f."""
    if not isinstance(condition, sp.StrictGreaterThan | sp.GreaterThan | sp.StrictLessThan | sp.LessThan):
        return {}
    for symbol, bound in ((condition.gts, condition.lts), (condition.lts, condition.gts)):
        if not symbol.is_Symbol or symbol in taken or symbol in bound.free_symbols or bound.free_symbols & set(taken):
            continue
        q = Dummy("q", positive=True)
        if symbol == condition.gts:
            return {symbol: bound + q}
        if symbol.is_positive and bound.is_positive:
            return {symbol: bound / (1 + q)}
    return {}


def _met(condition: Any, point: Mapping[Symbol, Any]) -> bool:
    """Whether a relation holds at a point, by its numbers: exact powers of exact numbers may have no end."""
    if not isinstance(condition, sp.core.relational.Relational):
        return bool(condition.subs(point))
    with mpmath.workdps(DIGITS):
        at = {k: _number(v) for k, v in point.items()}
        sides = (_compiled(k)(at) for k in condition.args)
        difference = next(sides) - next(sides)
        return bool(condition.func(int(mpmath.sign(difference)), 0))


def _number(value: Any) -> Any:
    return mpmath.mpf(value.p) / value.q if isinstance(value, sp.Rational) else value


def _compiled(expr: Expr) -> Callable[[Mapping[Symbol, Any]], Any]:
    symbols = sorted(expr.free_symbols, key=str)
    f = compile_mp(expr, symbols)
    return lambda at: f(*(at[k] for k in symbols))


def natural(symbol: Symbol) -> Interval:
    """Where a symbol may lie by its own assumptions."""
    if symbol.is_positive:
        return Interval.open(0, oo)
    if symbol.is_nonnegative:
        return Interval(0, oo)
    return Interval.open(-oo, 0) if symbol.is_negative else Interval.open(-oo, oo)


def _draw(rng: random.Random, interval: Interval, far: bool = False) -> sp.Rational:
    """A random rational of an interval, spread over scales; over many where `far` (the open constant of a trial)."""
    a, b = interval.start, interval.end
    spread = 10 ** (6 * rng.uniform(-1, 1)) if far else 20 ** rng.uniform(-1, 1)
    wide = sp.Rational(int(10**9 * spread) + 1, 10**9)
    low, high = (None if not k.is_finite else k if k.is_Rational else sp.Rational(str(sp.N(k, 20))) for k in (a, b))
    if low is not None and high is not None:
        share = sp.Rational(rng.randint(1, 9999), 10000)
        return low + (high - low) * (wide / (1 + wide) if far else share)
    if low is not None:
        return low + wide
    return high - wide if high is not None else wide * rng.choice((-1, 1))
