"""Limits at ends of intervals, exact: leading terms of a normal form in q, log q and exponentials, as q falls to 0.

An end is moved to q = 0 by x = end + q, x = 1/q or x = -log q.  Of the numerator and the denominator each monomial is
an exponential times a power of q times a power of log q times what is continuous at q = 0; the fastest group of them is
the leading term where its coefficient does not vanish.  Nothing else is concluded: an answer is a proof, and None is
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Add, Dummy, Expr, Interval, Rational, S, Symbol, atan, erf, exp, log, oo

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.field import Field
from derive.ledger.generators import Full, Generator, Unsupported

__all__ = ["end_value", "number_sign"]

_NEAR = Rational(1, 1024)  # how far from the end signs are asked for; any distance would do
_FAR = {erf: S.One, atan: S.Pi / 2}
#: (x-power of the exponent, log-power of the exponent) -> how often it stands there, the fastest first
_Growth = tuple[tuple[tuple[tuple[Rational, int], Expr], ...], Rational, int]


def number_sign(value: Expr) -> int | None:
    """The sign of a number, 0 where it is zero exactly; None where it is not decided."""
    if value.is_Rational:
        return int(bool(value > 0)) - int(bool(value < 0))
    if value.free_symbols or value.has(S.NaN, S.ComplexInfinity, oo, -oo):
        return None
    for bits in (80, 320, 1200):
        try:
            ball = enclose(value, {}, bits)
        except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
            return None
        if getattr(ball, "imag", 0) != 0:
            return None
        if ball > 0 or ball < 0:
            return 1 if ball > 0 else -1
    from derive.ledger.rungs import exactly_zero

    try:
        proof = exactly_zero(value, Domain())
    except (Unsupported, Full):
        return None
    return 0 if proof is not None and not proof.open else None


def end_value(e: Expr, x: Symbol, end: Expr, side: int) -> Expr | None:
    """The limit of an expression in one symbol at an end of an interval: a number, oo or -oo; None if it is not found.

    Args: e, x, end (may be infinite), side (+1 for a lower end, which x falls to, -1 for an upper one).

    >>> x = Symbol("x")
    >>> end_value(log(1 + exp(x)) - x, x, oo, -1), end_value(x*log(x), x, S.Zero, 1)
    (0, 0)
    """
    q = Dummy("q", positive=True)
    forms = (end + side * q,) if end.is_finite else (-side / q, side * log(q))
    for form in forms:
        try:
            found = _Near(q).limit(e.subs(x, form))
        except (Unsupported, Full):
            continue
        if found is not None:
            return found
    return None


@dataclass
class _Near:
    """Limits as q falls to 0."""

    q: Symbol

    def limit(self, e: Expr) -> Expr | None:
        if self.q not in e.free_symbols:
            return e
        f = _field(self.q)
        a = f.build(e)
        up, down = self._groups(f, a.num), self._leading(f, a.den)
        if up is None or down is None:
            return None
        relative = {_times(growth, down[0], -1): value for growth, value in up.items()}
        if any(kind != "non-zero" for kind in f.conditions.values()):
            return None
        fastest = _fastest(relative)
        if _direction(fastest) <= 0:  # a coefficient that goes to zero does so at a rate that does not matter
            return Add(*(v for g, v in relative.items() if _direction(g) == 0)) / down[1]
        sign = number_sign(_coefficient(relative, fastest) / down[1])
        return sign * (-1) ** fastest[2] * oo if sign else None  # log q is negative

    def _groups(self, f: Field, poly: Any) -> dict[_Growth, Expr] | None:
        """The growths of the monomials and the limits of their coefficients."""
        parts: dict[int, tuple[_Growth, Expr] | None] = {
            i: self._of(f.gens[i]) for i, d in enumerate(poly.degrees()) if d}
        if any(p is None for p in parts.values()):
            return None
        groups: dict[_Growth, list[Expr]] = {}
        for monomial, c in poly.terms():
            growth: _Growth = ((), S.Zero, 0)
            value: Expr = Rational(int(c.p), int(c.q))
            for i, power in enumerate(monomial):
                part = parts.get(i)
                if power and part is not None:
                    growth, value = _times(growth, part[0], power), value * part[1] ** power
            groups.setdefault(growth, []).append(value)
        return {growth: Add(*values) for growth, values in groups.items()}

    def _leading(self, f: Field, poly: Any) -> tuple[_Growth, Expr] | None:
        """The fastest growth among the monomials and its coefficient at q = 0, which does not vanish."""
        groups = self._groups(f, poly)
        if not groups:
            return None
        fastest = _fastest(groups)
        value = _coefficient(groups, fastest)
        return (fastest, value) if number_sign(value) else None

    def _of(self, g: Generator) -> tuple[_Growth, Expr] | None:
        """The growth of a generator and the limit of what is left of it."""
        e = g.expr
        if self.q not in e.free_symbols:
            return ((), S.Zero, 0), e
        if e == self.q:
            return ((), S.One, 0), S.One
        base, power = e.as_base_exp()
        if base == self.q and power.is_Rational:
            return ((), power, 0), S.One
        if e == log(self.q):
            return ((), S.Zero, 1), S.One
        if isinstance(e, exp):
            return self._exponential(e.args[0])
        if power.is_Rational and power != 1:
            inside = self.limit(base)
            good = inside is not None and inside.is_finite and number_sign(inside) == 1
            return (((), S.Zero, 0), inside**power) if good and inside is not None else None
        if len(e.args) != 1:
            return None
        inside = self.limit(e.args[0])
        if inside is None:
            return None
        if inside.is_infinite:
            far = _FAR.get(e.func)
            return None if far is None else (((), S.Zero, 0), far if inside == oo else -far)
        if isinstance(e, log):
            return (((), S.Zero, 0), log(inside)) if number_sign(inside) == 1 else None
        if e.func.__name__ in ("sin", "cos", "erf", "atan", "erfi"):
            return ((), S.Zero, 0), e.func(inside)
        return None

    def _exponential(self, argument: Expr) -> tuple[_Growth, Expr] | None:
        inside = self.limit(argument)
        if inside is None:
            return None
        if inside.is_finite:
            return ((), S.Zero, 0), exp(inside)
        f = _field(self.q)
        a = f.build(argument)
        up, down = self._leading(f, a.num), self._leading(f, a.den)
        if up is None or down is None or len(list(a.num.terms())) != 1 or len(list(a.den.terms())) != 1:
            return None  # only a single power of q and log q is compared with others
        scale, power, logs = _times(up[0], down[0], -1)
        if scale or not (power < 0 or (power == 0 and logs >= 2)):
            return None
        return ((((-power, logs), up[1] / down[1] * (-1) ** logs),), S.Zero, 0), S.One


def _field(q: Symbol) -> Field:
    from derive.ledger.rungs import sign_oracle

    domain = Domain(((q, Interval.open(0, _NEAR)),))
    return Field(domain, sign_oracle(domain), 48)


def _times(a: _Growth, b: _Growth, power: int) -> _Growth:
    """The growth of a times a power of b."""
    exponents = dict(a[0])
    for kind, coefficient in b[0]:
        exponents[kind] = exponents.get(kind, S.Zero) + power * coefficient
    kept = tuple((k, exponents[k]) for k in sorted(exponents, reverse=True) if exponents[k] != 0)
    return kept, a[1] + power * b[1], a[2] + power * b[2]


def _fastest(growths: Iterable[_Growth]) -> _Growth:
    first, *rest = growths
    for growth in rest:
        if _direction(_times(growth, first, -1)) > 0:
            first = growth
    return first


def _coefficient(groups: Mapping[_Growth, Expr], fastest: _Growth) -> Expr:
    return Add(*(v for g, v in groups.items() if _direction(_times(g, fastest, -1)) == 0))


def _direction(growth: _Growth) -> int:
    """+1 for what grows beyond all bounds as q falls to 0, -1 for what goes to zero, 0 for a constant."""
    for _, coefficient in growth[0]:
        sign = number_sign(coefficient)
        if sign is None:
            raise Unsupported("exponentials that are not compared")
        if sign:
            return sign
    if growth[1] != 0:
        return -1 if growth[1] > 0 else 1
    return (growth[2] > 0) - (growth[2] < 0)
