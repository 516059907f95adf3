"""Sign charts of functions of one real variable, exact: where they are positive, negative and zero on an interval.

The numerator and the denominator of the normal form are charted factor by factor.  A polynomial over Q has its real
roots isolated; a factor of one sign by its terms has that sign; any other is divided by a coefficient of known sign and
differentiated, and the chart of the slope, which is simpler, says where it grows and falls: between two marks of the
slope it has at most one zero, which is looked for with the values at the marks, in balls, and at the ends, by their
limits (derive.ledger.end_values).  That ends for polynomials in exponentials, logarithms and error functions, as each
step lowers the degree in one of them (Rolle).  What is not certain is not concluded: no chart, then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from flint import fmpq
from sympy import Add, Expr, Poly, Pow, Rational, S, Symbol, cos, oo, pi, sin
from sympy.polys.polyerrors import BasePolynomialError

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.end_values import end_value, number_sign
from derive.ledger.field import Field
from derive.ledger.generators import Full, Unsupported
from derive.ledger.marks import Mark, Unknown, ball_over, exactly, order, rational_near, refined, resolved, sign_at
from derive.nodes.binders import Binder

__all__ = ["Chart", "chart"]

_DEPTH = 9
_SIZE = 400
_PRIMITIVE = frozenset({"log", "erf", "erfi", "atan", "asin"})
#: analytic on the whole line
_ENTIRE = frozenset({
    "exp", "sin", "cos", "sinh", "cosh", "tanh", "sech", "erf", "erfc", "erfi", "atan", "asinh", "log_cosh", "softplus",
    "erfcx", "log_erfc"})


@dataclass(frozen=True)
class Chart:
    """Signs on the open intervals between marks (one more than there are marks), and at the marks.

    Attributes: marks, cells, at, touching (whether cells may contain isolated zeros that are no marks).
    """

    marks: tuple[Mark, ...]
    cells: tuple[int, ...]
    at: tuple[int, ...]
    touching: bool = False

    def shown(self) -> str:
        """Where the zeros are, in words."""
        places = [str(m.exact) if m.exact is not None else f"{float(m.low):.6g}..." for m in self.marks]
        zeros = [p for p, s in zip(places, self.at, strict=True) if s == 0]
        return f"its zeros are {', '.join(zeros)}" if zeros else "it has no zero"


def chart(e: Expr, x: Symbol, lower: Expr, upper: Expr) -> Chart:
    """The signs of an expression in one real symbol on an open interval, whose ends may be infinite.

    Raises: Unknown.

    >>> from sympy import exp
    >>> x = Symbol("x", real=True)
    >>> found = chart(exp(x) - 1 - x, x, -oo, oo)
    >>> found.cells, found.at, found.marks[0].exact
    ((1, 1), (0,), 0)
    """
    if e.free_symbols - {x} or e.has(Binder) or not lower.free_symbols.isdisjoint({x}):
        raise Unknown("more than one symbol")
    try:
        line = _Line(x, lower, upper)
        found = line.whole(e)
    except (Unsupported, Full, BasePolynomialError, ZeroDivisionError) as obstacle:
        raise Unknown(str(obstacle)) from obstacle
    back = {line.x: x}
    return replace(found, marks=tuple(replace(m, owner=m.owner.xreplace(back) if m.owner is not None else None)
                                      for m in found.marks))


class _Line:
    """Charts on one open interval."""

    def __init__(self, x: Symbol, lower: Expr, upper: Expr) -> None:
        from sympy import Interval

        from derive.ledger.domain import sharpened

        self.lower, self.upper = lower, upper
        domain = Domain(((x, Interval(lower, upper, True, True)),))
        self.outer, self.x = x, sharpened(x, domain)[0]
        self.domain = Domain(((self.x, Interval(lower, upper, True, True)),))
        self.seen: dict[Expr, Chart | None] = {}
        self.factors: dict[Expr, Chart | None] = {}
        self.known: set[Expr] = set()

    # ---- the whole expression

    def whole(self, e: Expr) -> Chart:
        e = e.xreplace({self.outer: self.x})
        self.analytic(e)
        return self.charted(e, _DEPTH)

    def charted(self, e: Expr, depth: int) -> Chart:
        """The chart of an analytic expression, remembered."""
        if e not in self.seen:
            self.seen[e] = None  # not by itself
            self.seen[e] = self._charted(e, depth)
        found = self.seen[e]
        if found is None:
            raise Unknown("no chart of a part")
        return found

    def _charted(self, e: Expr, depth: int) -> Chart:
        if self.x not in e.free_symbols:
            return self._constant(number_sign(e))
        if e.count_ops() > _SIZE or depth <= 0:
            raise Unknown("too long")
        f, a = self._field(e)
        content, parts = f.factors(a)
        if content == 0:
            return self._constant(0)
        found = self._constant(1 if content > 0 else -1)
        for poly, multiplicity in parts:
            part = self._factor(f, poly, depth)
            if multiplicity < 0 and (0 in part.at or part.touching):
                raise Unknown("a pole")
            found = self._product(found, part if multiplicity % 2 else _squared(part))
        return found

    def _field(self, e: Expr) -> tuple[Field, Any]:
        from derive.ledger.rungs import sign_oracle

        f = Field(self.domain, sign_oracle(self.domain), 24)
        a = f.build(e)
        if any(kind != "non-zero" for kind in f.conditions.values()):
            for condition, kind in f.conditions.items():
                if kind != "non-zero":
                    self._positive(condition)
        return f, a

    def _positive(self, e: Expr) -> None:
        found = self.charted(e, _DEPTH)
        if found.touching or any(s != 1 for s in (*found.cells, *found.at)):
            raise Unknown(f"{e} > 0 is not known")

    def _constant(self, sign: int | None) -> Chart:
        if sign is None:
            raise Unknown("the sign of a number")
        return Chart((), (sign,), ())

    # ---- one factor

    def _factor(self, f: Field, poly: Any, depth: int) -> Chart:
        sign = f.sign(poly, ask=False)
        if sign:
            return self._constant(sign)
        used = [i for i, d in enumerate(poly.degrees()) if d]
        moving = [i for i in used if self.x in f.gens[i].symbols]
        e = f.poly_expr(poly)
        if not moving:
            return self._constant(number_sign(e))
        if len(used) == 1 and f.gens[used[0]].expr == self.x:
            return self._polynomial(e)
        bounded = self._bounded(e)
        if bounded is not None:
            return bounded
        known = self.factors.get(e)
        if e in self.factors:
            if known is None:
                raise Unknown("a factor that comes back")
            return known
        self.factors[e] = None
        for i in moving:
            self.analytic(f.gens[i].expr)
        for scale, quotient in self._simpler(f, poly, moving, e):
            try:
                slope = self.charted(quotient.diff(self.x), depth - 1)
                found = self._product(scale, self._from_slope(quotient, slope))
            except Unknown:
                continue
            self.factors[e] = found
            return found
        raise Unknown("no simpler slope")

    def _simpler(self, f: Field, poly: Any, moving: Sequence[int], e: Expr) -> Iterator[tuple[Chart, Expr]]:
        """(chart of a coefficient without zeros, the factor divided by it), the most promising first."""
        plain = self._constant(1)
        options: list[tuple[int, Any]] = []
        for i in reversed(moving):
            g, degree = f.gens[i], poly.degrees()[i]
            if g.kind == "log" or (g.kind == "function" and type(g.expr).__name__ in _PRIMITIVE):
                options.append((0, _coefficient(f, poly, i, degree)))
            elif g.kind in ("exp", "root"):
                options.append((1, _coefficient(f, poly, i, 0)))
        for _, coefficient in sorted(options, key=lambda o: o[0]):
            if coefficient.is_zero() or not any(coefficient.degrees()[i] for i in moving):
                continue
            part = f.poly_expr(coefficient)
            try:
                scale = self.charted(part, 2) if f.sign(coefficient, ask=False) == 0 else self._constant(
                    f.sign(coefficient, ask=False))
            except Unknown:
                continue
            if not scale.marks and not scale.touching:
                yield scale, e / part
        yield plain, e

    def _polynomial(self, e: Expr) -> Chart:
        """A polynomial over Q that is irreducible: its roots inside, isolated."""
        p = Poly(e, self.x, domain="QQ")
        if p.degree() == 1:
            c, d = p.all_coeffs()
            roots = [exactly(-d / c)]
        else:
            roots = [Mark(Rational(a), Rational(b), None, e, 0) for (a, b), _ in p.intervals()]
            roots = [refined(replace(m, above=sign_at(e, self.x, m.high) or 0), self.x, 40) for m in roots]
        inside = [m for m in (self._narrowed_to_line(m) for m in roots) if m is not None]
        signs = [sign_at(e, self.x, c) for c in self._between(inside)]
        if any(not s for s in signs):
            raise Unknown("a sign between roots")
        return Chart(tuple(inside), tuple(s or 0 for s in signs), (0,) * len(inside))

    def _bounded(self, e: Expr) -> Chart | None:
        """a + b sin u + c cos v, where |a| is at least |b| + |c|; sin u or cos u with u linear on a bounded line."""
        trig = [t for t in e.atoms(sin, cos) if self.x in t.free_symbols]
        if not trig:
            return None
        if len(trig) == 1 and e == trig[0]:
            return self._wave(e)
        expanded = e.expand()
        rest = expanded.as_coefficients_dict()
        if not all(k == 1 or k in trig or not k.free_symbols for k in rest):
            return None
        constant = Add(*(c * k for k, c in rest.items() if not k.free_symbols))
        swing = Add(*(abs(rest[t]) for t in trig))
        gap, sign = number_sign(abs(constant) - swing), number_sign(constant)
        if gap is None or gap < 0 or not sign:
            return None
        return Chart((), (sign,), (), gap == 0)

    def _wave(self, e: Expr) -> Chart | None:
        argument = e.args[0]
        slope = argument.diff(self.x)
        if slope.free_symbols or not (self.lower.is_finite and self.upper.is_finite):
            return None
        start = (argument - slope * self.x)
        ends = sorted(float(argument.subs(self.x, v)) for v in (self.lower, self.upper))
        if ends[1] - ends[0] > 60:
            return None
        shift = S.Zero if isinstance(e, sin) else S.Half
        first, last = (int(v / 3.14159) for v in ends)
        zeros = [((k + shift) * pi - start) / slope for k in range(first - 2, last + 3)]
        inside = [z for z in zeros if number_sign(z - self.lower) == 1 and number_sign(self.upper - z) == 1]
        marks = [exactly(z) for z in sorted(inside, key=float)]
        signs = [sign_at(e, self.x, c) for c in self._between(marks)]
        if any(not s for s in signs):
            return None
        return Chart(tuple(marks), tuple(s or 0 for s in signs), (0,) * len(marks))

    # ---- from the slope

    def _from_slope(self, p: Expr, slope: Chart) -> Chart:
        if 0 in slope.cells:  # a constant
            return self._constant(sign_at(p, self.x, next(self._between(()))))
        marks = [resolved(m, self.x) for m in slope.marks]
        values = [self._value(p, m) for m in marks]
        bounds = [None, *marks, None]
        zeros: list[Mark] = []
        signs: list[int] = []
        for k, grows in enumerate(slope.cells):
            low = values[k - 1] if k else None
            high = values[k] if k < len(values) else None
            inner = self._cell(p, grows, bounds[k], bounds[k + 1], low, high)
            if low == 0:
                zeros.append(marks[k - 1])
            elif low is not None and inner[0] != signs.pop():  # the sign goes on
                raise Unknown("signs that do not agree")
            signs.append(inner[0])
            if len(inner) == 3:
                zeros.append(inner[1])
                signs.append(inner[2])
        return Chart(tuple(zeros), tuple(signs), (0,) * len(zeros))

    def _cell(self, p: Expr, grows: int, left: Mark | None, right: Mark | None,
              low: int | None, high: int | None) -> Any:
        """(sign,), or (sign, the zero, sign), of what is strictly monotone between two marks.

        Args: grows (1 where it grows, -1), left, right (None for the ends of the line), low, high (signs there).
        """
        start, end = (low, high) if grows > 0 else (high, low)
        if start is not None and start >= 0:
            return (1,)
        if end is not None and end <= 0:
            return (-1,)
        below = self._witness(p, left, right, grows > 0, -1)
        above = self._witness(p, left, right, grows < 0, 1)
        if below is not None and above is not None:
            a, b = sorted((below, above))
            return (-grows, resolved(Mark(a, b, None, p, grows), self.x), grows)
        if below is None and start is None and self._limit_sign(p, grows > 0) in (0, 1):
            return (1,)
        if above is None and end is None and self._limit_sign(p, grows < 0) in (0, -1):
            return (-1,)
        raise Unknown("a sign near an end")

    def _limit_sign(self, p: Expr, lower: bool) -> int | None:
        """The sign of the limit at an end of the line."""
        value = end_value(p, self.x, self.lower if lower else self.upper, 1 if lower else -1)
        if value is None:
            return None
        return (1 if value == oo else -1) if value.is_infinite else number_sign(value)

    def _witness(self, p: Expr, left: Mark | None, right: Mark | None, to_left: bool, sign: int) -> Rational | None:
        """A rational place between two marks at which p has a sign, looked for towards one of the two."""
        a = left.high if left is not None else None if self.lower == -oo else rational_near(self.lower, 1)
        b = right.low if right is not None else None if self.upper == oo else rational_near(self.upper, -1)
        return next((c for c in _approach(a, b, to_left) if sign_at(p, self.x, c) == sign), None)

    # ---- places

    def _value(self, p: Expr, mark: Mark) -> int:
        """The sign at a mark."""
        if mark.exact is not None:
            sign = sign_at(p, self.x, mark.exact)
            if sign is None:
                raise Unknown("a value at a mark")
            return sign
        for bits in (40, 100, 200):
            mark = refined(mark, self.x, bits)
            if mark.exact is not None:
                return self._value(p, mark)
            try:
                ball = enclose(p, {self.x: ball_over(mark)}, bits + 64)
            except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
                continue
            if getattr(ball, "imag", 0) == 0 and (ball > 0 or ball < 0):
                return 1 if ball > 0 else -1
        raise Unknown("a value at a mark that is not known exactly")

    def _narrowed_to_line(self, mark: Mark) -> Mark | None:
        """The mark, apart from the ends of the line; None where it is outside."""
        for end, outside in ((self.lower, -1), (self.upper, 1)):
            if not end.is_finite:
                continue
            for bits in (0, 20, 60, 150):
                mark = refined(mark, self.x, bits) if bits else mark
                place = mark.exact
                if place is not None:
                    side = number_sign(place - end)
                    if side is None:
                        raise Unknown("a zero at an end")
                    if side in (0, outside):
                        return None
                    break
                sides = number_sign(mark.low - end), number_sign(mark.high - end)
                if sides[0] == sides[1] and sides[0]:
                    if sides[0] == outside:
                        return None
                    break
                if mark.owner is not None and None not in sides and sign_at(mark.owner, self.x, end) == 0:
                    return None  # its one zero is the end itself
            else:
                raise Unknown("a zero close to an end")
        return mark

    def _between(self, marks: Sequence[Mark]) -> Iterator[Rational]:
        """A rational place in each open interval between marks."""
        ends = [None if self.lower == -oo else rational_near(self.lower, 1), *(m for m in marks),
                None if self.upper == oo else rational_near(self.upper, -1)]
        for left, right in pairwise(ends):
            a = left.high if isinstance(left, Mark) else left
            b = right.low if isinstance(right, Mark) else right
            if a is not None and b is not None and not a < b:
                raise Unknown("two places that are not told apart")
            yield _middle(a, b)

    # ---- products

    def _product(self, a: Chart, b: Chart) -> Chart:
        if 0 in a.cells or 0 in b.cells:
            return self._constant(0)
        events: list[tuple[Mark, int | None, int | None]] = []
        i = j = 0
        while i < len(a.marks) or j < len(b.marks):
            turn = (-1 if j >= len(b.marks) else 1 if i >= len(a.marks)
                    else order(a.marks[i], b.marks[j], self.x))
            if turn < 0:
                events.append((a.marks[i], i, None))
                i += 1
            elif turn > 0:
                events.append((b.marks[j], None, j))
                j += 1
            else:
                events.append((a.marks[i], i, j))
                i, j = i + 1, j + 1
        cells = [a.cells[0] * b.cells[0]]
        at: list[int] = []
        p = q = 0
        for _, m, n in events:
            at.append((a.at[m] if m is not None else a.cells[p]) * (b.at[n] if n is not None else b.cells[q]))
            p, q = p + (m is not None), q + (n is not None)
            cells.append(a.cells[p] * b.cells[q])
        return Chart(tuple(e[0] for e in events), tuple(cells), tuple(at), a.touching or b.touching)

    # ---- what a chart needs

    def analytic(self, e: Expr) -> None:
        """That an expression is analytic inside the line, from its parts."""
        if self.x not in e.free_symbols or e == self.x or e in self.known:
            return
        name = type(e).__name__
        for part in e.args:
            self.analytic(part)
        if isinstance(e, Pow) and e.base is not S.Exp1:
            if not e.exp.is_Integer:
                self._positive(e.base)
            elif e.exp < 0:
                self._nowhere_zero(e.base)
        elif name == "log" and len(e.args) == 1:
            self._positive(e.args[0])
        elif name == "tan":
            self._nowhere_zero(cos(e.args[0]))
        elif name in ("atanh", "asin", "acos"):
            self._positive(1 - e.args[0] ** 2)
        elif not (e.is_Add or e.is_Mul or isinstance(e, Pow) or name in _ENTIRE):
            raise Unknown(f"{name} in a chart")
        self.known.add(e)

    def _nowhere_zero(self, e: Expr) -> None:
        found = self.charted(e, _DEPTH)
        if found.touching or found.marks or 0 in found.cells:
            raise Unknown(f"{e} may vanish")


def _squared(c: Chart) -> Chart:
    return Chart(c.marks, tuple(abs(s) for s in c.cells), tuple(abs(s) for s in c.at), c.touching)


def _coefficient(f: Field, poly: Any, index: int, degree: int) -> Any:
    return f.ctx.from_dict({(*m[:index], 0, *m[index + 1:]): c for m, c in poly.terms() if m[index] == degree} or {
        (0,) * f.capacity: fmpq(0)})


def _approach(a: Rational | None, b: Rational | None, to_left: bool) -> Iterator[Rational]:
    """Rational places between two, or beyond one, that come close to one end."""
    for k in (0, 1, 2, 4, 8, 16, 32, 64, 128):
        step = Rational(1, 2 ** (k + 1))
        if a is not None and b is not None:
            if a >= b:
                return
            yield a + step * (b - a) if to_left else b - step * (b - a)
        elif a is not None:
            yield a + 2 * step if to_left else a + 2**k
        elif b is not None:
            yield b - 2**k if to_left else b - 2 * step
        else:
            yield Rational(-(2**k)) if to_left else Rational(2**k)


def _middle(a: Rational | None, b: Rational | None) -> Rational:
    if a is not None and b is not None:
        return (a + b) / 2
    return a + 1 if a is not None else b - 1 if b is not None else S.Zero
