"""Expressions as transseries: arithmetic, and the functions of the field with their behaviour at infinity."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp
from sympy import Expr, S, Symbol

from derive.methods.asymptotics.averages import expand_average, expand_local
from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import Lost, NotExpandable, Undecided
from derive.methods.asymptotics.linearised import LocalAverage
from derive.methods.asymptotics.spectral import expand_bounded
from derive.methods.asymptotics.transseries import ONE, Ring, Series, level
from derive.nodes import Density, MPResponse, TimedOut, erfcx, log1mexp, log_cosh, log_erfc, log_sum_exp, softplus
from derive.nodes.averages import Average, SpectralAverage
from derive.nodes.timebox import timebox

__all__ = ["Expander", "variable"]


def variable() -> Series:
    """The large variable itself."""
    return Series({level(0): Ratio.of(1)})


class Expander:
    """Expands expressions in which some symbols stand for transseries.

    Args: ring; bindings, symbol -> series; deadline, a time of the monotonic clock after which it gives up; starts,
    leading terms of roots that were found before, by residual (filled as it goes, as `solved`, whole roots, is).
    """

    def __init__(
        self,
        ring: Ring,
        bindings: Mapping[Symbol, Series],
        deadline: float = float("inf"),
        starts: dict[Expr, Series] | None = None,
    ) -> None:
        self.ring, self.bindings, self.deadline = ring, dict(bindings), deadline
        self.starts = {} if starts is None else starts
        self.solved: dict[Any, Series] = {}
        self.memo: dict[Expr, Series] = {}

    def bound(self, more: Mapping[Symbol, Series]) -> Expander:
        """The same with further symbols bound."""
        made = Expander(self.ring, {**self.bindings, **more}, self.deadline, self.starts)
        made.solved = self.solved
        return made

    def on(self, ring: Ring) -> Expander:
        """The same with another ring."""
        return Expander(ring, self.bindings, self.deadline)

    def __call__(self, expr: Expr) -> Series:
        """The series of an expression.

        Raises: NotExpandable, Lost, Undecided; TimedOut past the deadline.
        """
        if expr not in self.memo:
            if time.monotonic() > self.deadline:
                raise TimedOut(0.0)
            self.memo[expr] = self._expand(expr)
        found: Series = self.memo[expr]
        return found

    def moves(self, expr: Expr) -> bool:
        """Whether an expression depends on a bound symbol."""
        return not expr.free_symbols.isdisjoint(self.bindings)

    def settled(self, expr: Expr) -> Expr:
        """The same expression, with constants in place of what does not move though it could."""
        put = {k: self.constant(s) for k, s in self.bindings.items() if k in expr.free_symbols}
        put |= {e: self.constant(self(e)) for e in expr.atoms(sp.Min, sp.Max) if self.moves(e)}
        return expr.xreplace({k: v for k, v in put.items() if v is not None})

    def constant(self, a: Series) -> Expr | None:
        """The constant that a series is; None for any other."""
        return self.ring.table.expr(a.terms[ONE]) if a.exact and list(a.terms) == [ONE] else None

    def _expand(self, e: Expr) -> Series:
        ring = self.ring
        plain = e.is_Symbol or (e.is_number and not e.has(*HANDLERS)) or not e.has(sp.log, sp.Pow, sp.exp)
        if plain and not self.moves(e):
            if e.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
                raise NotExpandable(f"{e} is not finite", given=str(e), allowed="finite constants")
            return ring.constant(e)
        if isinstance(e, Symbol):
            found: Series = self.bindings[e]
            return found
        if e.is_Add:
            return ring.add(*(self(a) for a in e.args))
        if e.is_Mul:
            made = ring.constant(S.One)
            for a in e.args:
                made = ring.mul(made, self(a))
            return made
        if isinstance(e, sp.exp):
            return ring.exp(self(e.args[0]))
        if e.is_Pow:
            base, power = e.args
            if self.moves(power):
                return ring.exp(ring.mul(self(power), ring.log(self(base))))
            return ring.power(self(base), power)
        if isinstance(e, sp.log):
            return ring.log(self(e.args[0]))
        handler = HANDLERS.get(type(e))
        if handler is not None:
            return handler(self, e)
        if isinstance(e, Average):
            return self._average(e)
        if isinstance(e, sp.Function) and len(e.args) == 1:
            return self._smooth(e.func, self(e.args[0]))
        raise NotExpandable(f"{type(e).__name__} has no expansion here", given=str(e), allowed="elementary functions")

    def _average(self, e: Expr) -> Series:
        still = self.settled(e)
        if not self.moves(still):
            return self.ring.constant(still)
        if isinstance(e, SpectralAverage) or isinstance(e.law, Density):
            try:
                return expand_bounded(e, self)
            except (Lost, Undecided):
                raise
            except NotExpandable:
                pass
        done = timebox(5.0, e.doit)
        if done == e or isinstance(done, sp.Piecewise):
            return expand_average(self, e)
        return self(done)

    # ------------------------------------------------------------------------------------------------ by direction

    def direction(self, a: Series) -> int:
        """1 or -1 where a series goes to plus or minus infinity, 0 where it stays finite."""
        found = self.ring.leading(a) if a.terms or a.errors else None
        if found is None or self.ring.compare(found[0], ONE) <= 0:
            return 0
        return self.ring.sign(found[1])

    def sign(self, a: Series) -> int:
        """The sign that a series has in the end."""
        found = self.ring.leading(a)
        return 0 if found is None else self.ring.sign(found[1])

    def at_finite(self, f: Callable[[Expr], Expr], a: Series) -> Series:
        """f of a series that stays finite."""
        large, constant, small = self.ring.split(a)
        if large.terms:
            raise NotExpandable(
                f"{f(Symbol('x'))} at infinity has no expansion here",
                given=str(f(Symbol("x"))),
                allowed="functions with a limit or known growth",
            )
        return self.ring.taylor(f, self.ring.table.expr(constant), small)

    def _smooth(self, f: Callable[[Expr], Expr], a: Series) -> Series:
        if self.direction(a) and f in (sp.sin, sp.cos, sp.tan):
            raise NotExpandable(
                f"{f.__name__} oscillates without limit", given=f.__name__, allowed="a function with a limit"
            )
        return self.at_finite(f, a)

    def negative(self, a: Series) -> Series:
        return self.ring.scale(a, S.NegativeOne)

    def minus(self, a: Series, b: Series) -> Series:
        return self.ring.add(a, self.negative(b))


def _cosh(x: Expander, e: Expr, sign: int) -> Series:
    a = x(e.args[0])
    return x.ring.scale(x.ring.add(x.ring.exp(a), x.ring.scale(x.ring.exp(x.negative(a)), S(sign))), S.Half)


def _tanh(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    side = x.direction(a)
    if not side:
        return x.at_finite(sp.tanh, a)
    ring = x.ring
    w = ring.exp(ring.scale(a, S(-2 * side)))
    return ring.scale(ring.compose(lambda k: S.One if k == 0 else S(2 * (-1) ** k), w), S(side))


def _log_cosh(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    side = x.direction(a)
    if not side:
        return x.at_finite(lambda y: sp.log(sp.cosh(y)), a)
    ring = x.ring
    w = ring.exp(ring.scale(a, S(-2 * side)))
    return ring.add(ring.scale(a, S(side)), ring.constant(-sp.log(2)), _log1p(ring, w))


def _log1p(ring: Ring, small: Series) -> Series:
    return ring.compose(lambda k: S.Zero if k == 0 else sp.Rational((-1) ** (k + 1), k), small)


def _softplus(x: Expander, e: Expr) -> Series:
    ring = x.ring
    return ring.log(ring.add(ring.constant(S.One), ring.exp(x(e.args[0]))))


def _log1mexp(x: Expander, e: Expr) -> Series:
    ring = x.ring
    a = x(e.args[0])
    if x.direction(a) > 0:
        return _log1p(ring, ring.scale(ring.exp(x.negative(a)), S.NegativeOne))
    return ring.log(x.minus(ring.constant(S.One), ring.exp(x.negative(a))))


def _log_sum_exp(x: Expander, e: Expr) -> Series:
    ring = x.ring
    return ring.log(ring.add(*(ring.exp(x(a)) for a in e.args)))


def _erfcx_far(x: Expander, a: Series) -> Series:
    """exp(a^2) erfc(a) for a going to +oo: 1/(a sqrt pi) sum (-1)^k (2k-1)!!/(2 a^2)^k."""
    ring = x.ring
    inverse = ring.power(a, S.NegativeOne)
    small = ring.scale(ring.mul(inverse, inverse), S.Half)
    series = ring.compose(lambda k: S((-1) ** k) * sp.factorial2(2 * k - 1), small)
    return ring.scale(ring.mul(inverse, series), 1 / sp.sqrt(sp.pi))


def _erfc(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    return _erfc_of(x, a)


def _erfc_of(x: Expander, a: Series) -> Series:
    side, ring = x.direction(a), x.ring
    if not side:
        return x.at_finite(sp.erfc, a)
    if side < 0:
        return x.minus(ring.constant(S(2)), _erfc_of(x, x.negative(a)))
    return ring.mul(ring.exp(x.negative(ring.mul(a, a))), _erfcx_far(x, a))


def _erf(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    side, ring = x.direction(a), x.ring
    if not side:
        return x.at_finite(sp.erf, a)
    return ring.scale(x.minus(ring.constant(S.One), _erfc_of(x, ring.scale(a, S(side)))), S(side))


def _erfcx(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    side, ring = x.direction(a), x.ring
    if not side:
        return x.at_finite(lambda y: sp.exp(y**2) * sp.erfc(y), a)
    if side > 0:
        return _erfcx_far(x, a)
    return ring.mul(ring.exp(ring.mul(a, a)), _erfc_of(x, a))


def _log_erfc(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    ring = x.ring
    if x.direction(a) > 0:
        return x.minus(ring.log(_erfcx_far(x, a)), ring.mul(a, a))
    return ring.log(_erfc_of(x, a))


def _mp_response(x: Expander, e: Expr) -> Series:
    """The root of ratio b V^2 + p V - ratio = 0, p = b (1 - ratio) + ratio, in the form in which nothing cancels."""
    ring = x.ring
    b, ratio = (x(a) for a in e.args)
    p = ring.add(b, x.negative(ring.mul(b, ratio)), ratio)
    root = ring.power(ring.add(ring.mul(p, p), ring.scale(ring.mul(ring.mul(ratio, ratio), b), S(4))), S.Half)
    total = ring.add(p, root)
    try:
        whole = ring.leading(total)
    except Lost:
        whole = None
    top = ring.leading(root)
    if whole is not None and top is not None and ring.compare(whole[0], top[0]) == 0:
        return ring.mul(ring.scale(ratio, 2), ring.power(total, S.NegativeOne))
    below = ring.power(ring.scale(ring.mul(ratio, b), 2), S.NegativeOne)
    return ring.mul(x.minus(root, p), below)


def _abs(x: Expander, e: Expr) -> Series:
    a = x(e.args[0])
    return x.ring.scale(a, S(x.sign(a)))


def _sign(x: Expander, e: Expr) -> Series:
    return x.ring.constant(S(x.sign(x(e.args[0]))))


def _heaviside(x: Expander, e: Expr) -> Series:
    side = x.sign(x(e.args[0]))
    return x.ring.constant(S.Half if side == 0 else S(int(side > 0)))


def _extreme(x: Expander, e: Expr) -> Series:
    wanted = 1 if isinstance(e, sp.Max) else -1
    best = x(e.args[0])
    for other in e.args[1:]:
        a = x(other)
        if x.sign(x.minus(a, best)) == wanted:
            best = a
    return best


def _piecewise(x: Expander, e: Expr) -> Series:
    for value, condition in e.args:
        if holds(x, condition):
            return x(value)
    raise NotExpandable("no case of a Piecewise holds", given=str(e), allowed="a last case that always holds")


def holds(x: Expander, condition: Any) -> bool:
    """Whether a condition holds in the end.

    Raises: Undecided where that depends on the parameters.
    """
    if condition in (sp.true, sp.false):
        return bool(condition)
    if isinstance(condition, sp.And):
        return all(holds(x, c) for c in condition.args)
    if isinstance(condition, sp.Or):
        return any(holds(x, c) for c in condition.args)
    if isinstance(condition, sp.Not):
        return not holds(x, condition.args[0])
    difference = x(condition.lhs - condition.rhs)
    side = x.sign(difference)
    tests: dict[type, Callable[[int], bool]] = {
        sp.StrictLessThan: lambda s: s < 0,
        sp.LessThan: lambda s: s <= 0,
        sp.StrictGreaterThan: lambda s: s > 0,
        sp.GreaterThan: lambda s: s >= 0,
        sp.Eq: lambda s: s == 0,
        sp.Ne: lambda s: s != 0,
    }
    return tests[type(condition)](side)


HANDLERS: Mapping[type, Callable[[Expander, Expr], Series]] = {
    sp.cosh: lambda x, e: _cosh(x, e, 1),
    sp.sinh: lambda x, e: _cosh(x, e, -1),
    sp.tanh: _tanh,
    sp.coth: lambda x, e: x.ring.power(_tanh(x, sp.tanh(e.args[0])), S.NegativeOne),
    log_cosh: _log_cosh,
    softplus: _softplus,
    log1mexp: _log1mexp,
    log_sum_exp: _log_sum_exp,
    sp.erf: _erf,
    sp.erfc: _erfc,
    erfcx: _erfcx,
    log_erfc: _log_erfc,
    MPResponse: _mp_response,
    LocalAverage: expand_local,
    sp.Abs: _abs,
    sp.sign: _sign,
    sp.Heaviside: _heaviside,
    sp.Max: _extreme,
    sp.Min: _extreme,
    sp.Piecewise: _piecewise,
}
