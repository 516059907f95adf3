"""Places on the real line: exact numbers, or the one zero of a function between two rational numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from flint import arb, fmpq
from sympy import E, Expr, Rational, Symbol, exp, log, pi, sqrt

from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.end_values import number_sign

__all__ = ["Mark", "Unknown", "ball_over", "exactly", "order", "rational_near", "refined", "resolved", "sign_at"]


class Unknown(Exception):
    """A chart that could not be made with certainty."""


@dataclass(frozen=True)
class Mark:
    """A place: exact, or the one zero of `owner` between two rational numbers, which has the sign `above` at `high`."""

    low: Rational
    high: Rational
    exact: Expr | None = None
    owner: Expr | None = None
    above: int = 0


def sign_at(e: Expr, x: Symbol, at: Expr) -> int | None:
    """The sign of an expression at an exact place; None where it is not decided, or has no value there."""
    if at.is_Rational:
        for bits in (64, 256):
            try:
                ball = enclose(e, {x: at}, bits)
            except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
                break
            if getattr(ball, "imag", 0) == 0 and (ball > 0 or ball < 0):
                return 1 if ball > 0 else -1
    return number_sign(e.subs(x, at))


def resolved(mark: Mark, x: Symbol) -> Mark:
    """The mark, exact where a simple number is its zero."""
    if mark.exact is not None:
        return mark
    fine = refined(mark, x, 130)
    if fine.exact is not None or fine.owner is None:
        return fine
    for value in _guesses(fine.low, fine.high):
        inside = number_sign(value - fine.low), number_sign(fine.high - value)
        if None not in inside and -1 not in inside and number_sign(fine.owner.subs(x, value)) == 0:
            return Mark(fine.low, fine.high, value)
    return fine


def refined(mark: Mark, x: Symbol, bits: int) -> Mark:
    """A narrower mark."""
    low, high, owner = mark.low, mark.high, mark.owner
    if owner is None or low == high:
        return mark
    for _ in range(2 * bits):
        if (high - low) * 2**bits <= max(abs(low), abs(high), Rational(1, 2**bits)):
            break
        middle = _short(low, high)
        sign = sign_at(owner, x, middle)
        if sign is None:
            break
        if sign == 0:
            return Mark(middle, middle, middle)
        low, high = (low, middle) if sign == mark.above else (middle, high)
    return replace(mark, low=low, high=high)


def order(a: Mark, b: Mark, x: Symbol) -> int:
    if a.exact is not None and b.exact is not None:
        sign = number_sign(a.exact - b.exact)
        if sign is not None:
            return sign
    for bits in (20, 60, 150):
        a, b = refined(a, x, bits), refined(b, x, bits)
        if a.high < b.low:
            return -1
        if b.high < a.low:
            return 1
    raise Unknown("two zeros that are not told apart")


def exactly(value: Expr) -> Mark:
    return Mark(rational_near(value, -1), rational_near(value, 1), value)


def rational_near(value: Expr, side: int) -> Rational:
    """A rational number just above (side 1) or below (-1) a number; itself where it is one."""
    if value.is_Rational:
        return value
    ball = enclose(value, {}, 200)
    end = ball.upper() if side > 0 else ball.lower()
    mantissa, power = end.mid().man_exp()
    return Rational(int(mantissa)) * Rational(2) ** int(power)


def ball_over(mark: Mark) -> arb:
    low, high = (arb(fmpq(int(v.p), int(v.q))) for v in (mark.low, mark.high))
    return low.union(high)


def _short(low: Rational, high: Rational) -> Rational:
    """A rational number well inside an interval, with a short denominator."""
    middle = (low + high) / 2
    width = high - low
    power = 0
    while Rational(1, 2**power) * 4 > width:
        power += 8
    rounded = Rational(round(middle * 2**power), 2**power)
    return rounded if low < rounded < high else middle


def _guesses(low: Rational, high: Rational) -> Iterator[Expr]:
    """Simple numbers in a narrow interval."""
    forms: tuple[tuple[Callable[[arb], arb], Callable[[Rational], Expr]], ...] = (
        (lambda v: v, lambda r: r),
        (lambda v: v * v, lambda r: sqrt(r) if low > 0 else -sqrt(r)),
        (lambda v: v.exp(), log),
        (lambda v: v.log(), exp),
        (lambda v: v / arb.pi(), lambda r: r * pi),
        (lambda v: v / arb(1).exp(), lambda r: r * E),
        (lambda v: v * v * arb.pi(), lambda r: (sqrt(r / pi) if low > 0 else -sqrt(r / pi))),
    )
    with precision(300):
        ball = arb(fmpq(int(low.p), int(low.q))).union(arb(fmpq(int(high.p), int(high.q))))
        for there, back in forms:
            if there(ball).is_finite() and abs(ball) < 10**4:
                found = _simplest(there(ball))
                if found is not None:
                    yield back(found)


def _simplest(ball: arb) -> Rational | None:
    """The rational number of small height in a ball, if there is one."""
    middle, power = ball.mid().man_exp()
    rest = Rational(int(middle)) * Rational(2) ** int(power)
    terms: list[int] = []
    p, q, p_, q_ = 1, 0, 0, 1
    for _ in range(24):
        whole = int(rest.p // rest.q)
        p, q, p_, q_ = whole * p + p_, whole * q + q_, p, q
        terms.append(whole)
        if abs(p) > 10**6 or q > 10**6:
            return None
        if ball.contains(fmpq(p, q)):
            return Rational(p, q)
        rest = rest - whole
        if rest == 0:
            return None
        rest = 1 / rest
    return None


