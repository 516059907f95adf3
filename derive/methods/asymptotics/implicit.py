"""Roots of F(u) = 0 as transseries: the dominant balance is found, substituted back, and corrected order by order.

A *balance* is a family of trial scales with one constant c left open: c, c X^q, exp(-c X), c log X, ...  Put into F,
the terms that survive either determine c (their sum vanishes there), or compete with an order that hangs on c (the
critical c balances them), or do neither: then the family is not the scale of the root.  Once a scale is found,
Newton's method in the field of transseries doubles the number of correct terms a step; a step counts only where it
makes the residual smaller.  F is monotone in u (a Stage claims that), so that a balance that closes is the root.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sympy as sp
from sympy import Dummy, Expr, Rational, S, Symbol, oo

from derive.core import Stage
from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import Lost, NotExpandable, Undecided
from derive.methods.asymptotics.expand import Expander
from derive.methods.asymptotics.still import name_root, roots, still_root
from derive.methods.asymptotics.transseries import ONE, Monomial, Ring, Series, level
from derive.nodes.timebox import TimedOut

__all__ = ["Root", "solve_root"]

POWERS = (1, Rational(1, 2), 2, Rational(1, 3), Rational(2, 3), Rational(3, 2), 3, Rational(1, 4), 4)
STEPS = 12
UNKNOWN = Dummy("u", positive=True)  # stands for the unknown where a residual is remembered


@dataclass(frozen=True)
class Root:
    """A root: its series, and the balance it grew from (its leading term)."""

    series: Series
    balance: Series


@dataclass(frozen=True)
class Trial:
    """A family of scales with one constant open."""

    words: str
    series: Series
    constant: Symbol


def _families(ring: Ring, c: Symbol) -> Iterator[Trial]:
    """Trial scales, the plain ones first."""
    large = sp.Symbol("X", positive=True)

    def trial(m: Monomial) -> Trial:
        made = Series({m: ring.table.ratio(c)})
        return Trial(str(c * m.expr(large)), made, c)

    def exponential(inner: Monomial, sign: int) -> Trial:
        m = Monomial.of((), {inner: sign * c})
        return Trial(str(m.expr(large)), Series({m: Ratio.of(1)}), c)

    yield trial(ONE)
    for q in POWERS[:3]:
        yield from (trial(Monomial((S(side * q),))) for side in (1, -1))
    for side in (-1, 1):
        yield exponential(level(0), side)
    yield from (trial(Monomial((S.Zero, S(side)))) for side in (1, -1))
    for q in POWERS[1:4]:
        yield from (exponential(Monomial((S(q),)), side) for side in (-1, 1))
    for q in POWERS[3:]:
        yield from (trial(Monomial((S(side * q),))) for side in (1, -1))
    for side in (-1, 1):
        yield Trial(f"X**({side}c)", Series({Monomial((side * c,)): Ratio.of(1)}), c)
    for q in (Rational(1, 2), Rational(-1, 2)):
        yield trial(Monomial((S.Zero, q)))
    for p in (1, -1):
        for q in (1, -1):
            yield trial(Monomial((S(p), S(q))))
    for q in (1, -1):
        yield trial(Monomial((S.Zero, S.Zero, S(q))))


def solve_root(residual: Expr, stage: Stage, expander: Expander) -> Root:
    """The root of a stage's residual as a transseries.

    Args: residual, with inner unknowns already bound in the expander; stage, for the unknown and its interval.
    Raises: NotExpandable where no balance closes.
    """
    unknown, residual = stage.unknown, expander.settled(residual)
    if not expander.moves(residual):
        series = expander.ring.constant(still_root(residual, stage, expander))
        return Root(series, series)
    plain = residual.xreplace({unknown: UNKNOWN})
    if plain in expander.starts:
        start = expander.starts[plain]
        return Root(_refined(residual, unknown, start, expander), start)
    tried: list[str] = []
    c = Dummy("c", positive=True)
    rough = expander.ring.with_(3, 2)
    trial_expander = Expander(rough, expander.bindings, expander.deadline)
    open_order: Undecided | None = None
    for trial in _families(rough, c):
        try:
            closing, equation = _close(residual, unknown, trial, trial_expander)
        except Undecided as undecided:
            open_order = open_order or undecided
            continue
        for value in closing:
            start = _with(trial, value, expander.ring)
            try:
                series = _refined(residual, unknown, start, expander)
            except Undecided:
                raise
            except NotExpandable as error:
                tried.append(f"{trial.words}: {error}")
                continue
            expander.starts[plain] = start
            return Root(series, start)
        if equation is not None and not closing:
            name_root(equation, c, unknown, expander)
    if open_order is not None:
        raise open_order
    words = "; ".join(tried[:3]) or "no family of scales closes"
    raise NotExpandable(f"no dominant balance found for {unknown}: {words}", given=str(unknown), allowed="")


def _put(m: Monomial, c: Symbol, value: Expr) -> Monomial:
    return Monomial.of((p.subs(c, value) for p in m.powers), {k: v.subs(c, value) for k, v in m.expo})


def _with(trial: Trial, value: Expr, ring: Ring) -> Series:
    """A trial scale with its constant put in."""
    c, table = trial.constant, ring.table
    return Series({_put(m, c, value): table.ratio(table.expr(k).subs(c, value)) for m, k in trial.series.terms.items()})


def _leading(residual: Expr, bindings: dict[Symbol, Series], expander: Expander) -> tuple[Monomial, Expr] | None:
    """The same as `_head`, the coefficient as an expression."""
    found = _head(residual, bindings, expander)
    return None if found is None else (found[0], expander.ring.table.expr(found[1]))


def _head(residual: Expr, bindings: dict[Symbol, Series], expander: Expander) -> tuple[Monomial, Ratio] | None:
    """Leading term, with more terms where the first ones cancel."""
    for more in (0, 4):
        ring = expander.ring.with_(expander.ring.terms + more, expander.ring.sectors + more // 2)
        try:
            return ring.leading(Expander(ring, {**expander.bindings, **bindings}, expander.deadline)(residual))
        except Lost:
            continue
    raise Lost("all terms kept have cancelled", given=str(residual), allowed="")


def _close(residual: Expr, unknown: Symbol, trial: Trial, expander: Expander) -> tuple[list[Expr], Expr | None]:
    """Values of the open constant at which the surviving terms balance, and the equation that says so."""
    found = _between(residual, unknown, trial, expander, S.Zero, oo, 0)
    return found.roots, found.equation


@dataclass(frozen=True)
class _Look:
    """What an interval of the open constant shows: a sign of the residual, or where it changes, or an equation."""

    sign: int | None = None
    roots: list[Expr] = field(default_factory=list)
    equation: Expr | None = None


def _between(
    residual: Expr, unknown: Symbol, trial: Trial, expander: Expander, low: Expr, high: Expr, depth: int
) -> _Look:
    """The sign of the residual for the constant in (low, high), or the constants there at which it changes sign.

    Raises: Undecided where a parameter, not the constant, leaves an order open.
    """
    c = trial.constant
    signs = expander.ring.signs.with_interval(c, sp.Interval.open(low, high))
    ring = Ring(signs, expander.ring.terms, expander.ring.sectors, expander.ring.table)
    local = Expander(ring, expander.bindings, expander.deadline)
    try:
        found = _leading(residual, {unknown: trial.series}, local)
        if found is None:
            return _Look()
        try:
            return _Look(signs.sign(found[1]))
        except Undecided:
            if c not in found[1].free_symbols:
                raise
            return _Look(None, [k for k in roots(found[1], c, expander) if _inside(k, low, high, expander)], found[1])
    except Undecided as undecided:
        if c not in undecided.expr.free_symbols:
            raise
        critical = [k for k in roots(undecided.expr, c, expander) if _inside(k, low, high, expander)]
        if len(critical) != 1 or depth == 4:
            return _Look()
    except (NotExpandable, TimedOut, ValueError, ZeroDivisionError):
        if time.monotonic() > expander.deadline:
            raise
        return _Look()
    (middle,) = critical
    below = _between(residual, unknown, trial, expander, low, middle, depth + 1)
    if below.roots or below.equation is not None:
        return below
    above = _between(residual, unknown, trial, expander, middle, high, depth + 1)
    if above.roots or above.equation is not None:
        return above
    if below.sign is None or above.sign is None:
        return _Look()
    return _Look(below.sign) if below.sign == above.sign else _Look(None, [middle])


def _inside(value: Expr, low: Expr, high: Expr, expander: Expander) -> bool:
    sign = expander.ring.signs.sign
    return sign(value - low) > 0 and (high is oo or sign(high - value) > 0)


# ------------------------------------------------------------------------------------------------------ corrections


def _refined(residual: Expr, unknown: Symbol, start: Series, expander: Expander) -> Series:
    """The whole root, found once for each residual and what it hangs on: a stage may solve again what an inner one
    did."""
    bound = ((k, s) for k, s in expander.bindings.items() if k in residual.free_symbols)
    key = (
        residual.xreplace({unknown: UNKNOWN}),
        tuple((k, tuple(s.terms.items()), s.errors) for k, s in bound),
        tuple(start.terms.items()),
    )
    if key not in expander.solved:
        expander.solved[key] = _best(residual, unknown, start, expander)
    return expander.solved[key]


def _best(residual: Expr, unknown: Symbol, start: Series, expander: Expander) -> Series:
    """Newton's method for the residual, or for the logarithm of its two sides where the residual is too far from
    linear over what is left."""
    ring = expander.ring
    try:
        found = _refine(residual, unknown, start, expander, _step, ring)
    except Undecided:
        raise
    except NotExpandable as error:
        failed: NotExpandable | None = error
    else:
        failed = None
        if _linear(residual, unknown, found, expander):
            return found
    wide = expander.on(ring.with_(4 * ring.terms + 4, ring.sectors))
    try:
        return _refine(residual, unknown, start, wide, _log_step, ring)
    except (NotExpandable, ZeroDivisionError):
        if failed is not None:
            raise failed from None
        raise


def _linear(residual: Expr, unknown: Symbol, root: Series, expander: Expander) -> bool:
    """Whether the residual is linear in log u over what the series of its root leaves open."""
    ring = expander.ring
    at = expander.bound({unknown: Series(root.terms)})
    slope = unknown * residual.diff(unknown)
    try:
        first, second = (ring.leading(at(e)) for e in (slope, unknown * slope.diff(unknown)))
    except NotExpandable:
        return True
    if first is None or second is None:
        return True
    leads = _leads(ring, root)
    return all(ring.compare(e / m * second[0] / first[0], ONE) < 0 for e in root.errors for m in leads)


def _step(residual: Expr, unknown: Symbol, at: Expander) -> Series:
    """Newton's correction to log u, for the residual."""
    ring = at.ring
    found = at(residual)
    r = Series({m: k for m, k in found.terms.items() if not ring.is_zero(k)}, found.errors)
    if not r.terms and not r.errors:
        return r
    return at.negative(ring.mul(r, ring.power(at(unknown * residual.diff(unknown)), S.NegativeOne)))


def _log_step(residual: Expr, unknown: Symbol, at: Expander) -> Series:
    """The same for log A - log B, where the residual is A(u) - B and constants that cancel are in neither.

    Where A is an exponential of u it is the logarithm that is nearly linear.
    """
    ring = at.ring
    parts = sp.Add.make_args(residual)
    moving = sp.Add(*(k for k in parts if unknown in k.free_symbols))
    a, b = at(moving), at(sp.Add(*(k for k in parts if unknown not in k.free_symbols)))
    shift = ring.of(a.terms[ONE]) if ONE in a.terms else Series({})
    a, b = at.minus(a, shift), at.negative(ring.add(b, shift))
    gap = ring.log(ring.mul(a, ring.power(b, S.NegativeOne)))
    slope = ring.mul(at(unknown * moving.diff(unknown)), ring.power(a, S.NegativeOne))
    return at.negative(ring.mul(gap, ring.power(slope, S.NegativeOne)))


def _refine(
    residual: Expr,
    unknown: Symbol,
    start: Series,
    expander: Expander,
    newton: Callable[[Expr, Symbol, Expander], Series],
    kept: Ring,
) -> Series:
    """Newton's method from a leading term to all the terms that the ring `kept` keeps.

    Raises: NotExpandable where the residual does not become smaller.
    """
    ring = expander.ring
    u = start
    before: Monomial | None = None
    for _ in range(STEPS):
        at = expander.bound({unknown: Series(u.terms)})
        found = at(residual)
        r = Series({m: k for m, k in found.terms.items() if not ring.is_zero(k)}, found.errors)
        if not r.terms and not r.errors:
            return Series(u.terms)
        step = newton(residual, unknown, at)
        try:
            head = ring.leading(step)
        except Lost:
            head = None
        if head is None:
            return kept.cut(u.terms, (e * m for e in step.errors for m in _leads(ring, u)))
        small = ring.compare(head[0], ONE) < 0
        if small:
            moved = kept.cut(ring.mul(Series(u.terms), ring.exp(Series(step.terms))).terms, ())
            if moved.terms == u.terms:  # what is left lies below the last term kept
                return kept.cut(u.terms, (e * m for e in (head[0], *step.errors) for m in _leads(ring, u)))
        try:
            now = ring.leading(r)
        except Lost:  # the residual is below what the ring keeps: the step is all that is missing
            return kept.cut(u.terms, (e * m for e in (head[0], *step.errors) for m in _leads(ring, u)))
        assert now is not None
        if before is not None and ring.compare(now[0], before) >= 0:
            break
        before = now[0]
        u = moved if small else _large_step(residual, unknown, u, head, now[0], expander)
    raise NotExpandable(f"corrections to {unknown} do not become smaller", given=str(unknown), allowed="")


def _leads(ring: Ring, u: Series) -> list[Monomial]:
    lead = ring.leading(Series(u.terms))
    return [] if lead is None else [lead[0]]


def _large_step(
    residual: Expr, unknown: Symbol, u: Series, head: tuple[Monomial, Ratio], size: Monomial, expander: Expander
) -> Series:
    """A correction to log u that does not vanish: one term, where the residual becomes smaller by it."""
    ring = expander.ring
    moved = ring.mul(Series(u.terms), ring.exp(Series({head[0]: head[1]})))
    now = _leading(residual, {unknown: moved}, expander)
    if now is None or ring.compare(now[0], size) < 0:
        return moved
    raise NotExpandable(f"corrections to {unknown} do not become smaller", given=str(unknown), allowed="")
