"""Whether two equations hold at the same points: a factor between them that does not vanish, or a point of only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Basic, Eq, Expr, S, Symbol, asinh, atanh, exp, log, sinh, tanh
from sympy.core.function import AppliedUndef

from derive.core import Domain, Evidence, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.context import Context, undecided
from derive.ledger.divergence import divergence
from derive.ledger.domain import seed_of
from derive.ledger.field import Field
from derive.ledger.free_values import refuted_by_values
from derive.ledger.generators import Full, Unsupported
from derive.ledger.ladder import shown_with
from derive.ledger.members import named_only, simple_members
from derive.ledger.premises import (
    carried_in,
    holds_everywhere,
    independent,
    sharpened_domain,
    sharpened_sides,
)
from derive.ledger.rewriting import carried_out, defines_slice, rewrite
from derive.ledger.roots import points_on
from derive.ledger.rungs import Proof, parametrised, shown_expr, vanishes, with_field
from derive.ledger.sampling import (
    FAMILIES,
    ball_text,
    bound_functions,
    function_instances,
    instantiated,
    shown_functions,
    shown_point,
    shown_value,
)
from derive.ledger.variations import refuted_by_variation
from derive.nodes.averages import Average, DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["same_difference", "same_zeros"]

#: real functions that take no value twice
_ONE_TO_ONE = (exp, log, tanh, atanh, sinh, asinh)
#: the value of an expression with an average that diverges, in words
_INFINITE = "not finite (an average diverges)"


def same_zeros(claim: Eq, premise: Eq, ctx: Context) -> Evidence:
    """Whether two equations hold at the same points of a domain; REFUTED with a point where only one does."""
    domain = ctx.domain
    pair, left = rewrite(Basic(claim.lhs, claim.rhs, premise.lhs, premise.rhs), ctx.equations)
    a, b, c, d = pair.args
    if a == c and b == d:
        return Evidence(Verdict.PROVED, "the same equation")
    if a == b:
        return Evidence(Verdict.PROVED, "both sides are the same expression")
    if defines_slice(premise):
        instance, _ = rewrite(Basic(a, b), (premise,))
        if instance.args[0] == instance.args[1]:
            return Evidence(Verdict.PROVED, "the premise, at other arguments")
    first, second = a - b, c - d
    relations = carried_in(Domain(domain.intervals, (*domain.constraints, *ctx.relations)), ctx.equations)
    sharp, names = sharpened_sides((first, second, *(e.lhs - e.rhs for e in left)), relations)
    inside = sharpened_domain(relations, names)
    heavy = any(e.has(Average) for e in sharp)  # a proof costs less than a value then
    others = [] if heavy else _conditions_left(sharp[2:], inside)
    early = None if heavy else _only_one_holds(sharp[0], sharp[1], others, inside, 8, 2.0)
    if early is not None:
        return early
    at_once = same_difference(first - second, domain, 2.0) if heavy else None
    if at_once is not None:
        return at_once
    how: Proof | None = None
    try:
        how = timebox(4.0 if heavy else 10.0, _ratio, sharp[0], sharp[1], inside)
    except (TimedOut, Unsupported, Full, DivergentAverage):
        how = None
    if how is not None and not how.open:
        return Evidence(Verdict.PROVED, how.text)
    if heavy:
        renamed = [Eq(e.lhs.xreplace(names), e.rhs.xreplace(names), evaluate=False) for e in left]
        member = _members_differ(sharp[0], sharp[1], renamed, inside)
        if member is not None:
            return member
    for difference, said in ((first - second, ""), (first + second, "the same equation up to the sign: ")):
        same = same_difference(difference, domain, 8.0, said)
        if same is not None:
            return same
    for function in _ONE_TO_ONE:
        for x, y in ((c, d), (d, c)):
            if (_zero(a - function(x), domain) and _zero(b - function(y), domain)
                    and (function is not atanh or _inside_one(c, relations) or _inside_one(d, relations))):
                return Evidence(Verdict.PROVED, f"{function.__name__} of both sides, which is one-to-one")
    others = _conditions_left(sharp[2:], inside) if heavy else others
    counter = _only_one_holds(sharp[0], sharp[1], others, inside, 12, 6.0)
    if counter is not None:
        return counter
    given = tuple(Eq(e, S.Zero, evaluate=False) for e in (sharp[1], *others))
    try:
        valued = timebox(8.0, refuted_by_values, sharp[0], S.Zero, inside, given)
    except (TimedOut, Unsupported, Full):
        valued = None
    if valued is not None:
        return valued
    why = f"; {how.text}" if how is not None else ""
    return undecided(f"no factor between the two equations was found that certainly does not vanish{why}")


def same_difference(difference: Expr, domain: Domain, seconds: float, said: str = "") -> Evidence | None:
    """A proof that a difference vanishes on a domain, by the rungs that need no premises; None where there is none in
    time.

    Args: difference; domain; seconds; said (what comes before the proof's words).
    """
    try:
        quick = timebox(seconds, _zero, difference, domain)
    except TimedOut:
        return None
    return None if quick is None else Evidence(Verdict.PROVED, said + quick)


def _members_differ(first: Expr, second: Expr, left: Sequence[Eq], domain: Domain) -> Evidence | None:
    """The same with simple functions for those that are averaged, so that no value costs an integral."""
    others = [carried_out(e.lhs - e.rhs) for e in named_only(left, (first, second, *domain.constraints))]
    premises = tuple(Eq(e, S.Zero, evaluate=False) for e in (second, *others))
    free = refuted_by_values(first, S.Zero, domain, premises, seconds=1.0)
    if free is not None:
        return free
    bound = bound_functions(domain.constraints)
    for p, q, said in ((second, first, "the premise holds and the claim does not"),
                       (first, second, "the claim holds and the premise does not")):
        for member in simple_members((q,), (p, *others), domain, seed_of(first, second), bound):
            if member.refutes is not None:
                return member.refutes
            away, *zeros = member.exprs
            zeros = [e for e in zeros if e != 0]
            found = None
            if any(e.has(AppliedUndef) for e in member.exprs):
                given = tuple(Eq(e, S.Zero, evaluate=False) for e in zeros)
                found = refuted_by_values(away, S.Zero, member.domain, given)
            found = found or _one_vanishes(zeros, away, member.domain, 3, 1.0, said)
            if found is not None:
                return shown_with(found, member.shown)
        varied = refuted_by_variation(q, (p, *others), domain, seed_of(first, second), bound)
        if varied is not None:
            return varied
    return None


def _inside_one(x: Expr, domain: Domain) -> bool:
    """Whether a side lies between -1 and 1, where atanh is real."""
    from derive.ledger.positivity import prove_positive

    return prove_positive(1 - x, domain) is not None and prove_positive(1 + x, domain) is not None


def _conditions_left(sides: Sequence[Expr], domain: Domain) -> list[Expr]:
    """What else has to vanish at a point, of the differences of premises that are not used up."""
    rest = (Eq(e, 0, evaluate=False) for e in sides if e != 0)
    return [e.lhs for e in independent([e for e in rest if not holds_everywhere(e, domain)], domain)]


def _zero(e: Expr, domain: Domain) -> str | None:
    sharp, names = sharpened_sides((carried_out(e),), domain)
    proof = vanishes(sharp[0], sharpened_domain(domain, names), depth=1)
    return proof.text if proof is not None and not proof.open else None


def _ratio(first: Expr, second: Expr, domain: Domain) -> Proof | None:
    """first/second in normal form, with every factor of known sign."""
    def work(f: Field) -> Proof | None:
        parametrised(f, first + second)
        x, y = f.build(first), f.build(second)
        if x.is_zero or y.is_zero:
            return Proof("both sides of each equation are equal identically") if x.is_zero and y.is_zero else None
        _, parts = f.factors(f.div(x, y))
        unknown = [p for p, _ in parts if not f.sign(p)]
        conditions = [(e, kind == "positive") for e, kind in f.conditions.items() if kind != "non-zero"]
        from derive.ledger.positivity import prove_positive

        opened = [f"{shown_expr(e)} {'>' if strict else '>='} 0" for e, strict in conditions
                  if prove_positive(e, domain, depth=1, strict=strict) is None]
        opened += [f"{shown_expr(f.poly_expr(p))} != 0" for p in unknown]
        shown = shown_expr(f.to_expr(f.div(x, y)))
        return Proof(f"lhs - rhs is that of the premise times {shown}, which does not vanish" if not opened
                     else f"lhs - rhs is that of the premise times {shown}", tuple(opened))

    return with_field(domain, work)


def _only_one_holds(
    first: Expr, second: Expr, others: Sequence[Expr], domain: Domain, count: int, seconds: float
) -> Evidence | None:
    """A point at which one of two equations holds and the other does not, both in balls, and all other premises do."""
    for p, q, said in ((second, first, "the premise holds and the claim does not"),
                       (first, second, "the claim holds and the premise does not")):
        found = _one_vanishes((p, *others), q, domain, count, seconds, said)
        if found is not None:
            return found
    return None


def _one_vanishes(
    zeros: Sequence[Expr], q: Expr, domain: Domain, count: int, seconds: float, said: str
) -> Evidence | None:
    try:
        found = timebox(seconds, _witness, zeros, q, domain, count)
    except TimedOut:
        return None
    if found is None:
        return None
    point, value = found
    at = "at " + ", ".join(f"{k} = {v}" for k, v in point) + " " if point else ""
    return Evidence(Verdict.REFUTED, f"{at}{said}: lhs - rhs = {value}", (*point, ("lhs - rhs", value)))


def _witness(
    zeros: Sequence[Expr], q: Expr, domain: Domain, count: int
) -> tuple[tuple[tuple[str, str], ...], str] | None:
    """A point at which expressions vanish, proven, and q does not, or is infinite; and its value, in words."""
    everything = (*zeros, q, *domain.constraints)
    undefined = any(e.atoms(AppliedUndef) for e in everything)
    for turn in range(FAMILIES if undefined else 1):
        seed = seed_of(*zeros[:1]) + turn
        instances = function_instances(everything, seed, turn, True) if undefined else {}
        right, *rest = (instantiated(e, instances) for e in (q, *zeros))
        inside = Domain(domain.intervals, tuple(instantiated(c, instances) for c in domain.constraints))
        symbols = sorted((s for e in (right, *rest[:1]) for s in e.free_symbols if isinstance(s, Symbol)), key=str)
        calm = 0.35 if any(e.has(Binder) for e in (right, *rest)) else 0.5
        for point in points_on(rest, symbols, inside, seed, count, calm):
            value = _away_from_zero(right, point)
            said = ball_text(value) if value is not None else _INFINITE if divergence(right, point) else ""
            if said:
                shown = shown_point({k: shown_value(v) for k, v in point.items() if k in symbols})
                shown += shown_functions(instances)
                return tuple((k.lstrip("_"), v) for k, v in shown), said
    return None


def _away_from_zero(e: Expr, point: Mapping[Symbol, Any]) -> Any:
    """The value at a point as a ball without zero, complex where it is; None where that is not seen."""
    for bits, goal, evaluations in ((64, 24, 1200), (160, 60, 3000)):
        try:
            value = enclose(e, point, bits, goal=goal, evaluations=evaluations)
        except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
            return None
        if not value.is_finite():
            return None
        if not value.contains(0):
            return value
    return None
