"""Counter-examples that use no rule: a point of the domain that obeys the premises and at which a claim fails.

They are the last word on a claim that its rule cannot decide, and the witness against a rule that is itself wrong: only
balls (or, named as such, mpmath) and the points of the domain take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Add, Basic, Eq, Expr, Rational, Rel, Symbol
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.logic.boolalg import BooleanFalse

from derive.core import Domain, Evidence, Step, UniqueRoot, Verdict
from derive.ledger.context import Context, context, parts_of
from derive.ledger.domain import points, seed_of
from derive.ledger.free_values import refuted_by_values
from derive.ledger.inequalities import Case, violation
from derive.ledger.ladder import refuted_identity
from derive.ledger.members import simple_members
from derive.ledger.poles import undefined_at
from derive.ledger.premises import carried_in, holds_everywhere, independent
from derive.ledger.rewriting import carried_out, rewrite
from derive.ledger.roots import ball_of, places, points_on
from derive.ledger.sampling import (
    FAMILIES,
    ball_text,
    bound_functions,
    function_instances,
    instantiated,
    shown_point,
    shown_value,
    undefined_functions,
)
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["counterexample"]


def counterexample(step: Step, premises: Mapping[str, Step], *, seconds: float = 8.0) -> Evidence | None:
    """A refutation of a step's claim at a point that obeys its premises; None where none was found in time.

    Args: step (its rule is not asked), premises (by label), seconds.

    >>> from sympy import sin
    >>> x = Symbol("x", real=True)
    >>> counterexample(Step("s", Eq(sin(2*x), 2*sin(x)), "identity"), {}).verdict.name
    'REFUTED'
    """
    claim = step.claim
    if not isinstance(claim, Basic):
        return None
    try:
        ctx = context(step, premises)
        if ctx.open:  # a premise is not known to hold on all of the domain, and the point might lie where it does not
            return None
        return timebox(1.5 * seconds, _counterexample, claim, ctx, seconds)
    except (TimedOut, ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError):
        return None


def _counterexample(claim: Basic, ctx: Context, seconds: float) -> Evidence | None:
    for part in parts_of(claim):
        found: Evidence | None = None
        if isinstance(part, BooleanFalse):
            found = Evidence(Verdict.REFUTED, "the claim is false for every value", (("claim", "False"),))
        elif isinstance(part, Eq):
            found = refuted_identity(part.lhs, part.rhs, ctx.domain, ctx.facts, seconds=seconds)
            if found is None and not ctx.facts:
                found = undefined_at((part.lhs, part.rhs), ctx.domain)
        elif isinstance(part, UniqueRoot):
            found = _crossing(part, ctx)
        elif isinstance(part, Rel):
            found = _inequality(part, ctx, seconds)
        if found is not None:
            return found
    return None


def _inequality(relation: Any, ctx: Context, seconds: float) -> Evidence | None:
    up = relation.rel_op in (">", ">=", "!=")
    difference = relation.lhs - relation.rhs if up else relation.rhs - relation.lhs
    plain, left = rewrite(carried_out(difference), ctx.equations)
    facts = (rewrite(r, ctx.equations)[0] for r in ctx.relations)
    conditions = (*ctx.domain.constraints, *(f for f in facts if isinstance(f, Rel)))
    domain = carried_in(Domain(ctx.domain.intervals, conditions), ctx.equations)
    given = independent([e for e in left if not holds_everywhere(e, domain)], domain)
    bound = bound_functions((*ctx.domain.constraints, *ctx.relations))
    case = Case(plain, domain, given, bound, relation.rel_op in (">", "<", "!="), relation.rel_op == "!=")
    return (_free_value(plain, given, domain)
            or violation(case, 6, 0.4 * seconds, coarse=True) or violation(case, 60, 0.6 * seconds)
            or (None if given else undefined_at((plain,), domain)) or _at_members(plain, given, domain, bound))


def _at_members(
    e: Expr, given: Sequence[Eq], domain: Domain, bound: frozenset[UndefinedFunction]
) -> Evidence | None:
    """A refutation of e > 0, or e >= 0, where e has averages that are carried out at numbers."""
    if given or not e.has(Binder):
        return None
    for member in simple_members((e,), (), domain, seed_of(e), bound):
        if member.refutes is not None:
            return member.refutes
        symbols = {s for s in member.exprs[0].free_symbols if isinstance(s, Symbol)}
        for point in points(symbols, member.domain, seed_of(e), 2, 0.5):
            value = ball_of(member.exprs[0], point, 96)
            if value is not None and value < 0:
                rest = {s: v for s, v in point.items() if s in symbols}
                shown = (*member.shown, *shown_point(rest, ball_text(value)))
                at = ", ".join(f"{k} = {v}" for k, v in shown if k != "lhs - rhs")
                return Evidence(Verdict.REFUTED, f"the difference is {ball_text(value)} at {at}", shown)
    return None


def _free_value(e: Expr, given: Sequence[Eq], domain: Domain) -> Evidence | None:
    """A refutation of e > 0 where e is made of values of functions that the premises leave free: it may be -1."""
    if not e.has(AppliedUndef):
        return None
    somewhere = Add(*sorted((s for x in (e, *given, *domain.constraints) for s in x.free_symbols), key=str))
    found = refuted_by_values(somewhere, somewhere + 1, domain, (*given, Eq(e, -1, evaluate=False)), seconds=1.0)
    if found is None:
        return None
    shown = tuple((k, v) for k, v in found.witness if k != "lhs - rhs")
    at = ", ".join(f"{k} = {v}" for k, v in shown)
    return Evidence(Verdict.REFUTED, f"{e} may be -1: no premise gives its value at {at}", (*shown, (str(e), "-1")))


def _crossing(claim: UniqueRoot, ctx: Context) -> Evidence | None:
    """Signs of the residual, in order, that a function with one crossing in the stated direction cannot have."""
    x, direction = claim.unknown, int(claim.direction)
    residual, left = rewrite(carried_out(claim.residual), ctx.equations)
    whole = carried_in(ctx.domain, ctx.equations)
    domain = Domain((*((s, i) for s, i in whole.intervals if s != x), (x, claim.interval)), whole.constraints)
    everything = (residual, *left, *domain.constraints)
    undefined = bool(undefined_functions(everything))
    bound = bound_functions((*ctx.domain.constraints, *ctx.relations))
    for turn in range(FAMILIES if undefined else 1):
        seed = seed_of(residual) + turn
        instances = function_instances(everything, seed, turn, bool(left), bound) if undefined else {}
        f, *zeros = (instantiated(e, instances) for e in (residual, *(e.lhs - e.rhs for e in left)))
        if any(x in z.free_symbols for z in zeros):
            return None
        inside = Domain(domain.intervals, tuple(instantiated(c, instances) for c in domain.constraints))
        others = [s for s in f.free_symbols if isinstance(s, Symbol) and s != x]
        for point in points_on(zeros, others, inside, seed, 4, 0.5):
            seen = _signs(f, x, {k: v for k, v in point.items() if k != x}, inside)
            wrong = _impossible(seen, direction)
            if wrong is not None:
                shown = shown_point({k: shown_value(v) for k, v in point.items() if k in others})
                where = tuple((f"residual at {x} = {at}", sign) for at, sign in wrong)
                said = ", ".join(f"{k}: {v}" for k, v in where)
                return Evidence(
                    Verdict.REFUTED, f"no single crossing in the direction {direction:+d}: {said}", (*shown, *where))
    return None


def _signs(f: Expr, x: Symbol, rest: Mapping[Symbol, Any], domain: Domain) -> list[tuple[Rational, int]]:
    found = []
    for at in places(x, rest, domain):
        value = ball_of(f, {**rest, x: at}, 96, goal=40, evaluations=3000)
        if value is not None and (value > 0 or value < 0):
            found.append((at, 1 if value > 0 else -1))
    return found


def _impossible(seen: list[tuple[Rational, int]], direction: int) -> tuple[tuple[Rational, str], ...] | None:
    """Places in order whose signs contradict one crossing in a direction: + before - where it rises."""
    for k, (a, first) in enumerate(seen):
        if first == direction:
            for b, second in seen[k + 1:]:
                if second == -direction:
                    return (a, "+" if first > 0 else "-"), (b, "+" if second > 0 else "-")
    return None
