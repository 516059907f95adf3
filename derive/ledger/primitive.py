"""The rule `primitive`: two functions with one slope that agree at one point."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Eq, Expr, Symbol

from derive.core import Evidence, Step, Verdict
from derive.ledger.context import context, hints_of, undecided, weakened
from derive.ledger.domain import declared
from derive.ledger.ladder import prove_identity
from derive.ledger.positivity import continuous_at

__all__ = ["primitive"]


def primitive(step: Step, premises: Mapping[str, Step]) -> Evidence:
    """Eq(F, G): F and G have the same derivative in one symbol and the same value at one point.

    Hints: ("symbol", x) and ("at", point), a point of the closed interval of x in the step's domain.  Exact because a
    function that is continuous on an interval and has slope zero inside it is constant; continuity at the point,
    perhaps an end of the interval, is checked.  The slopes may be equal by way of the premises.
    """
    hints = hints_of(step)
    symbol, point = hints.get("symbol"), hints.get("at")
    if not isinstance(step.claim, Eq) or not isinstance(symbol, Symbol) or not isinstance(point, Expr):
        return undecided('the rule needs an equation and the hints "symbol" and "at"')
    ctx = context(step, premises)
    interval = declared(symbol, ctx.domain)
    if not (point - interval.lower).is_extended_nonnegative or not (interval.upper - point).is_extended_nonnegative:
        return undecided(f"it is not known that {symbol} = {point} is a point or an end of the interval")
    lhs, rhs = step.claim.args
    slopes = lhs.diff(symbol), rhs.diff(symbol)
    if not all(continuous_at(e, symbol, point, ctx.domain) for e in (lhs, rhs)):
        return undecided(f"it is not known that both sides are continuous at {symbol} = {point}")
    slope = prove_identity(*slopes, ctx.domain, ctx.facts)
    if slope.verdict is Verdict.REFUTED:
        return Evidence(slope.verdict, f"the slopes differ: {slope.detail}", slope.witness)
    start = prove_identity(lhs.subs(symbol, point), rhs.subs(symbol, point), ctx.domain)
    if start.verdict is Verdict.REFUTED:
        return Evidence(start.verdict, f"the values at {symbol} = {point} differ: {start.detail}", start.witness)
    detail = f"the slopes in {symbol}: {slope.detail}; the values at {symbol} = {point}: {start.detail}"
    both = Verdict.weakest((slope.verdict, start.verdict))
    return weakened(Evidence(both, detail, slope.witness or start.witness), ctx.open)
