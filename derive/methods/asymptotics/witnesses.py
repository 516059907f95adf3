"""The numerical witness of an expansion: the remainder, measured along a sequence of points, against the claimed one.

The quantity is evaluated by a solver that knows nothing of the expansion, to so many digits that the remainder is
resolved.  If the argument is right, what is left after the terms kept approaches the term that it says comes next: the
quotient goes to 1.  A quotient that settles elsewhere refutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import mpmath
import sympy as sp
from sympy import Expr, Interval, Symbol

from derive.core import Expansion, Term, Verdict, Witness
from derive.methods.asymptotics.constants import Constant, Values
from derive.methods.asymptotics.dominance import NotExpandable, Signs, moment
from derive.nodes.averages import Average
from derive.nodes.mp_eval import compile_mp
from derive.nodes.timebox import TimedOut

__all__ = ["Evaluate", "Study", "study"]

Evaluate = Callable[[Mapping[str, Any], int], Any]
"""(parameter name -> exact value, digits) -> the value as an mpf, or None where there is none."""


LEAST = 30  # digits, at least
MOST = 1500  # digits, at most
FARTHEST = mpmath.mpf(10) ** 70  # for terms that fall like logarithms
POINTS = 24  # at least this many in all
DRAWS = 4  # of the other parameters
CLOSE = mpmath.mpf("0.1")
_FALL = 8  # how much the scale of the remainder falls from point to point


@dataclass(frozen=True)
class Study:
    """What is to be looked at: the expansion without verdict, the term said to come next, and the domain.

    `further` are the terms known beyond that one: scales that differ by logarithms only are told apart with them.
    """

    expansion: Expansion
    following: Term | None
    constants: tuple[Constant, ...]
    intervals: Mapping[Symbol, Interval]
    conditions: tuple[Any, ...]
    held: Mapping[Symbol, Expr]
    log: bool
    large: Expr
    back: Expr
    deadline: float = field(default=float("inf"))
    further: Expr = sp.S.Zero


@dataclass
class Row:
    """One point: its parameters as text, the quotient of remainder and next term (or the plain remainder), the size of
    that term over the leading one, and whether the terms fall like logarithms there.
    """

    place: str
    quotient: Any
    scale: Any
    slow: bool = False


def study(s: Study, evaluate: Sequence[Evaluate]) -> Witness:
    """The witness; UNDECIDED where the solver gives too few values."""
    name = "numerical"
    try:
        lines = [_line(s, evaluate, draw) for draw in _draws(s)]
    except TimedOut:
        return Witness(name, Verdict.UNDECIDED, "the numerical study did not end in time")
    except NotExpandable as error:
        return Witness(name, Verdict.UNDECIDED, f"no numerical study: {error}")
    rows = [r for line in lines for r in line]
    if len(rows) < POINTS - 4:
        return Witness(name, Verdict.UNDECIDED, f"only {len(rows)} of {POINTS} points of the study have a value")
    if s.following is None and s.expansion.remainder is None:
        return _exact(lines)
    if s.following is None:
        return _bounded(lines)
    return _compared(lines)


def _data(lines: Sequence[Sequence[Row]]) -> tuple[tuple[str, str], ...]:
    return tuple((r.place, mpmath.nstr(r.quotient, 8)) for line in lines for r in (line[0], line[-1]))


def _exact(lines: Sequence[Sequence[Row]]) -> Witness:
    worst = max(abs(r.quotient) for line in lines for r in line)
    verdict = Verdict.CORROBORATED if worst < mpmath.mpf(10) ** (5 - LEAST) else Verdict.REFUTED
    count = sum(map(len, lines))
    return Witness("numerical", verdict, f"equal at {count} points to {mpmath.nstr(worst, 2)}", _data(lines))


def _bounded(lines: Sequence[Sequence[Row]]) -> Witness:
    """No next term is known, only its size: the quotient must stay bounded."""
    growth = max(abs(line[-1].quotient) / max(abs(line[-2].quotient), mpmath.mpf(10) ** -LEAST) for line in lines)
    verdict = Verdict.CORROBORATED if growth < 1.5 else Verdict.UNDECIDED
    return Witness(
        "numerical",
        verdict,
        f"remainder over its claimed size stays bounded: last growth {mpmath.nstr(growth, 4)}",
        _data(lines),
    )


def _compared(lines: Sequence[Sequence[Row]]) -> Witness:
    """The remainder over the next term must go to 1."""
    ends = [line[-1].quotient for line in lines]
    gaps = [[abs(r.quotient - 1) for r in line] for line in lines]
    orders = [k for k in map(_order, lines) if k is not None]
    count, shown = sum(map(len, lines)), ", ".join(mpmath.nstr(e, 6) for e in ends)
    detail = f"remainder over the next term goes to 1: {shown} at the last of {count} points"
    if orders:
        detail += f"; fitted order over the claimed one {mpmath.nstr(orders[0], 6)}"
    if all(g[-1] < CLOSE and (g[-1] < g[0] or g[-1] < 1e-6) for g in gaps):
        return Witness("numerical", Verdict.CORROBORATED, detail, _data(lines))
    for line, gap in zip(lines, gaps, strict=True):
        moved = abs(line[-1].quotient - line[-2].quotient)
        if gap[-1] > CLOSE and moved < gap[-1] / 20 and not line[-1].slow:
            return Witness(
                "numerical",
                Verdict.REFUTED,
                f"remainder over the next term settles at {mpmath.nstr(line[-1].quotient, 8)}, not at 1",
                _data(lines),
            )
    for line in lines:
        before, last = _order(line[:-1]), _order(line)
        if line[-1].slow or before is None or last is None:
            continue
        if abs(last - 1) > CLOSE > 4 * abs(last - before):
            return Witness(
                "numerical",
                Verdict.REFUTED,
                f"the remainder is not of the order claimed, but of that to the power {mpmath.nstr(last, 4)}",
                _data(lines),
            )
    return Witness(
        "numerical", Verdict.UNDECIDED, f"remainder over the next term has not reached 1: {shown}", _data(lines)
    )


def _settled(line: Sequence[Row]) -> bool:
    """Whether the quotient is near 1, or no longer moves: otherwise points further on are worth their time."""
    gap, moved = abs(line[-1].quotient - 1), abs(line[-1].quotient - line[-2].quotient)
    return bool(gap < CLOSE or moved < gap / 20)


def _order(line: Sequence[Row]) -> Any:
    """Fitted order of the remainder, in units of the claimed one, from the last two points."""
    if len(line) < 2:
        return None
    a, b = line[-2], line[-1]
    change = mpmath.log(abs(b.scale / a.scale))
    if abs(change) < 1e-9 or not a.quotient or not b.quotient:
        return None
    return 1 + mpmath.log(abs(b.quotient / a.quotient)) / change


# ------------------------------------------------------------------------------------------------------------ points


def _draws(s: Study) -> list[dict[Symbol, Any]]:
    """Values of the parameters that do not move, a few sets of them."""
    signs = Signs(dict(s.intervals), tuple(c for c in s.conditions if not isinstance(c, sp.Eq)))
    wanted = set(s.intervals) - {s.expansion.variable}
    if not wanted:
        return [{}]
    found: list[dict[Symbol, Any]] = []
    for point in signs.points(40):
        if all(sp.Rational(1, 8) <= abs(v) <= 8 for v in point.values()):
            found.append({k: v for k, v in point.items() if k in wanted})
        if len(found) == DRAWS:
            break
    return found or [dict(p) for p in signs.points(DRAWS)]


def _line(s: Study, evaluate: Sequence[Evaluate], draw: Mapping[Symbol, Any]) -> list[Row]:
    """The study at one set of the other parameters."""
    e, large = s.expansion, Symbol("X", positive=True)
    symbols = sorted(draw, key=str)
    put = {e.variable: s.back}
    names = [large, *symbols, *(c.symbol for c in s.constants)]
    constants = Values(s.constants)

    def numbers() -> list[Any]:
        """The parameters that do not move and the constants, to the precision of the moment."""
        at = {k: mpmath.mpf(draw[k].p) / draw[k].q for k in symbols}
        return [*at.values(), *(constants(at, [c.symbol for c in s.constants])[c.symbol] for c in s.constants)]

    kept = _compiled(e.expr.subs(put), names)
    lead = _compiled(e.leading.expr.subs(put) if e.leading else sp.S.One, names)
    size: Expr = sp.S.One
    if s.following is not None:
        size = s.following.expr
    elif e.remainder is not None:
        size = e.remainder
    following = _compiled(size.subs(put), names)
    parameters = {k.name: compile_mp(v.subs(put), names) for k, v in {e.variable: e.variable, **s.held}.items()}
    others = numbers()
    count = POINTS // DRAWS if draw else POINTS
    rows: list[Row] = []
    open_end = e.remainder is not None
    sequence, slow = _sequence(lambda y: following(y, *others), lambda y: lead(y, *others), open_end, count)
    further = _compiled(s.further.subs(put) if slow else sp.S.Zero, names)
    for x in sequence:
        if time.monotonic() > s.deadline:
            raise TimedOut(0.0)
        with mpmath.workdps(LEAST):
            relative = abs(following(x, *others) / lead(x, *others)) if e.remainder is not None else mpmath.mpf(1)
            digits = LEAST + (int(-1.1 * mpmath.log10(relative)) if 0 < relative < 1 else 0)
            if e.point != 0 and not e.point.is_infinite:  # the gap to the point has to be resolved
                digits += int(mpmath.log10(x))
        if digits > MOST or (len(rows) >= count and (s.following is None or _settled(rows))):
            break
        with mpmath.workdps(digits + 10):
            exact = numbers()
            at: dict[str, Any] = {k.name: Fraction(int(v.p), int(v.q)) for k, v in draw.items()}
            at |= {k: _fraction(f(x, *exact)) for k, f in parameters.items()}
            values = [f(at, digits) for f in evaluate]
            if any(v is None for v in values):
                continue
            value = values[0] / values[1] if len(values) == 2 else values[0]
            if s.log:
                value = mpmath.log(value)
            scale = following(x, *exact)
            left = value - kept(x, *exact) - further(x, *exact)
            unit = scale if e.remainder is not None else max(abs(value), mpmath.mpf(10) ** -LEAST)
            over = scale / lead(x, *exact) if e.remainder is not None else scale
            rows.append(Row(_place(e.variable, at), left / unit, over, slow))
    if len(rows) < 3:
        raise NotExpandable("too few points have a value", given=str(len(rows)), allowed="3")
    return rows


def _compiled(expr: Expr, names: Sequence[Symbol]) -> Callable[..., Any]:
    """A function of numbers, its constant averages looked up once for many precisions."""
    letters = {k: moment(k, False) for k in expr.atoms(Average) if not k.free_symbols}
    function = compile_mp(expr.xreplace(letters), [*names, *letters.values()])
    return lambda *values: function(*values, *(k.value() for k in letters.values()))


def _place(variable: Symbol, at: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {mpmath.nstr(mpmath.mpf(v.numerator) / v.denominator, 6)}" for k, v in at.items())


def _fraction(value: Any) -> Fraction:
    """The exact value of an mpf."""
    sign, mantissa, exponent, _ = mpmath.mpf(value)._mpf_
    number = Fraction(-int(mantissa) if sign else int(mantissa))
    return number * Fraction(2) ** int(exponent)


def _sequence(
    following: Callable[[Any], Any], lead: Callable[[Any], Any], open_end: bool, count: int
) -> tuple[list[Any], bool]:
    """Rational points along which the next term falls by a factor of about _FALL each, over the leading one.

    The second value says that it falls like a logarithm, and by less.
    """
    if not open_end:
        return [mpmath.mpf(1000) * mpmath.mpf(1 + 24 // count) ** k for k in range(count)], False

    def level(x: Any) -> Any:
        return mpmath.log(abs(following(x) / lead(x)))

    x = mpmath.mpf(2)
    found: list[Any] = []
    while len(found) < 3 * count:
        try:
            here = level(x)
        except (ValueError, ZeroDivisionError, OverflowError):
            here = mpmath.inf
        if not found and not here < mpmath.log(mpmath.mpf(1) / 20):
            x = x * 2 if x < 10**6 else x**2
            if x > mpmath.mpf(10) ** 4000:
                break
            continue
        found.append(x)
        if len(found) == 1 and here - _far(level) < count * mpmath.log(_FALL):
            return [*found, *_slow(level, x, here, count)], True
        goal, factor = here - mpmath.log(_FALL), mpmath.mpf("1.02")
        while level(x * factor) > goal and factor < mpmath.mpf(10) ** 3000:
            factor = factor**1.5
        x = mpmath.mpf(int(x * factor * 64)) / 64
    return found, False


def _far(level: Callable[[Any], Any]) -> Any:
    """The level far out; minus infinity where that is too small to tell."""
    try:
        return level(FARTHEST)
    except (ValueError, ZeroDivisionError, OverflowError, MemoryError):
        return -mpmath.inf


def _slow(level: Callable[[Any], Any], x: Any, here: Any, count: int) -> list[Any]:
    """The same for terms that fall like logarithms: as far as the digits go, in equal falls."""
    fall = (here - level(FARTHEST)) / count
    found = []
    for k in range(1, count):
        low, high = mpmath.log(x), mpmath.log(FARTHEST)
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if level(mpmath.exp(middle)) > here - k * fall else (low, middle)
        found.append(mpmath.mpf(int(mpmath.exp(high) * 64)) / 64)
    return found
