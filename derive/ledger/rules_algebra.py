"""Rules about equations: identities, substitution, rearrangement, solutions, special cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sympy import Basic, Eq, Function, Lambda, Rel, S, Symbol, oo
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from derive.core import Domain, Evidence, Step, UniqueRoot, Verdict
from derive.ledger.context import Context, context, parts_of, undecided, weakened
from derive.ledger.domain import declared
from derive.ledger.ladder import ENOUGH, prove_identity
from derive.ledger.poles import one_sided_pole
from derive.ledger.premises import (
    closed_forms,
)
from derive.ledger.rewriting import carried_out, replace_function, rewrite
from derive.ledger.same_zeros import same_zeros

__all__ = [
    "assumption", "definition", "differentiate", "evaluate", "identity", "rearrange", "solve",
    "specialise", "substitute", "substitutions", "theorem",
]

Premises = Mapping[str, Step]


def definition(step: Step, premises: Premises) -> Evidence:
    """A name is given to an expression, or a condition is laid down that says what is looked for.

    Nothing is derived: what is defined is an input, and the verdict is ASSUMED.
    """
    return Evidence(Verdict.ASSUMED, "definition")


def assumption(step: Step, premises: Premises) -> Evidence:
    """Something is taken for granted: a property of the model, a limit, an ansatz. The verdict is ASSUMED."""
    return Evidence(Verdict.ASSUMED, "assumption")


def theorem(step: Step, premises: Premises) -> Evidence:
    """A result proved elsewhere is cited and not proved here. The verdict is ASSUMED."""
    return Evidence(Verdict.ASSUMED, f"cited: {step.source}" if step.source else "cited")


def _trivial(claim: Basic) -> Evidence | None:
    if isinstance(claim, BooleanTrue):
        return Evidence(Verdict.PROVED, "both sides are the same expression")
    if isinstance(claim, BooleanFalse):
        return Evidence(Verdict.REFUTED, "the claim is false for every value", (("claim", "False"),))
    return None


def identity(step: Step, premises: Premises) -> Evidence:
    """The two sides are equal on the domain, given the premises, which are carried in from left to right.

    Exact because equals may be replaced by equals; the equality itself is proved by the ladder (derive.ledger.ladder),
    whose rungs are exact each.  Where absolute values, signs, steps, maxima or cases occur and one symbol is left, each
    piece is proved by itself and the points at which pieces join are compared exactly.
    """
    return _all_equal(step, premises)


def evaluate(step: Step, premises: Premises) -> Evidence:
    """Averages, sums, extrema in the claim are carried out; the result is compared by the ladder.

    Exact because the closed forms of the nodes are (each states its conditions), and the ladder is.
    """
    return _all_equal(step, premises)


def differentiate(step: Step, premises: Premises) -> Evidence:
    """Derivatives written in the claim are performed, after the functions that premises define are put in.

    A definition holds for every value of its argument, so that it may be differentiated; a premise that fixes the value
    of a symbol is used only after the derivatives are taken.
    """
    return _all_equal(step, premises)


def _all_equal(step: Step, premises: Premises) -> Evidence:
    ctx = context(step, premises)
    assert isinstance(step.claim, Basic)
    found = []
    for part in parts_of(step.claim):
        trivial = _trivial(part)
        if trivial is None and not isinstance(part, Eq):
            return undecided(f"the claim {part} is not an equation")
        found.append(trivial or weakened(_equal(part, ctx), ctx.open))
    return min(found, key=lambda e: e.verdict.value)


def _equal(claim: Eq, ctx: Context) -> Evidence:
    """The ladder's word, and where it proves, that no side has a pole which the other does not share."""
    found = prove_identity(claim.lhs, claim.rhs, ctx.domain, ctx.facts)
    if found.verdict is not Verdict.PROVED or ctx.open:
        return found
    return one_sided_pole(claim, ctx.domain, ctx.facts) or found


# ---- one equation from another


def substitute(step: Step, premises: Premises) -> Evidence:
    """The first premise, with values put for symbols (hints), is the claim up to identities.

    Exact because an equation that holds for every value of a symbol on its interval holds for a value inside it; that
    the value lies there is proved, or named as not shown.
    """
    if not step.premises:
        return undecided("there is no premise to substitute in")
    general = premises[step.premises[0]]
    pairs = list(substitutions(step, general))
    if not pairs:
        return undecided("the hints name no symbol and value")
    ctx = context(step, premises, step.premises[1:])
    opened = [*ctx.open, *_conditions(general, pairs, ctx)]
    found = _instance(step, general, pairs, ctx)
    return weakened(found, opened)


def specialise(step: Step, premises: Premises) -> Evidence:
    """A general claim, taken at a particular function or value (hints, or further premises that define it).

    Exact because a claim for every function or value of a class holds for each; inequalities that the general claim was
    said to need are conditions here.
    """
    return substitute_or_define(step, premises)


def substitute_or_define(step: Step, premises: Premises) -> Evidence:
    """As substitute, where the values may come from premises that define functions."""
    if not step.premises:
        return undecided("there is no general claim among the premises")
    general = premises[step.premises[0]]
    pairs = list(substitutions(step, general))
    ctx = context(step, premises, step.premises[1:])
    return weakened(_instance(step, general, pairs, ctx), [*ctx.open, *_conditions(general, pairs, ctx)])


def substitutions(step: Step, general: Step) -> Iterator[tuple[Any, Any]]:
    """(symbol or function, value) from hints ("symbol", s), ("value", v) in turn, or (s, v) directly."""
    waiting: Any = None
    for name, value in step.hints:
        if name in ("symbol", "function"):
            waiting = value
        elif name == "value" and waiting is not None:
            yield waiting, value
            waiting = None
        elif isinstance(name, Basic | UndefinedFunction):
            yield name, value
        elif isinstance(name, str) and isinstance(general.claim, Basic):
            match = [s for s in general.claim.free_symbols if s.name == name]
            match += [a.func for a in general.claim.atoms(AppliedUndef) if a.func.__name__ == name]
            if match:
                yield match[0], value


def _put(e: Basic, pairs: Sequence[tuple[Any, Any]]) -> Basic:
    symbols = {}
    for what, value in pairs:
        if isinstance(what, AppliedUndef):
            e = replace_function(e, what.func, what.args, value)
        elif isinstance(what, UndefinedFunction):
            body = value if isinstance(value, Lambda) else None
            if body is None:
                x = Symbol("x")
                body = Lambda(x, value(x)) if callable(value) else Lambda(x, value)
            e = replace_function(e, what, tuple(body.signature), body.expr)
        else:
            symbols[what] = value
    if not symbols:
        return e
    e = carried_out(e)
    return carried_out(e.subs(symbols, simultaneous=True))


def _conditions(general: Step, pairs: Sequence[tuple[Any, Any]], ctx: Context) -> list[str]:
    """That each value lies where the general claim holds, as far as it is not proved."""
    from derive.ledger.positivity import prove_relation

    opened = []
    for what, value in pairs:
        if not isinstance(what, Symbol):
            continue
        r = declared(what, general.domain)
        from sympy import Ge, Gt, Le, Lt

        bounds = []
        if r.lower != -oo:
            bounds.append((Gt if r.lower_open else Ge)(value, r.lower, evaluate=False))
        if r.upper != oo:
            bounds.append((Lt if r.upper_open else Le)(value, r.upper, evaluate=False))
        facts = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *ctx.relations))
        opened += [str(b) for b in bounds if prove_relation(b, facts) is None]
    for condition in general.domain.constraints:
        put = _put(condition, pairs)
        if put not in ctx.domain.constraints and prove_relation(put, ctx.domain) is None:
            opened.append(str(put))
    return opened


def _instance(step: Step, general: Step, pairs: Sequence[tuple[Any, Any]], ctx: Context) -> Evidence:
    claim = step.claim
    assert isinstance(claim, Basic)
    if isinstance(general.claim, str):
        return undecided("the first premise is a sentence")
    put = _put(general.claim, pairs)
    put, _ = rewrite(put, ctx.equations)
    trivial = _trivial(claim)
    if trivial is not None:
        return trivial
    if isinstance(claim, UniqueRoot) and isinstance(put, UniqueRoot):
        same = put.unknown == claim.unknown and put.interval == claim.interval and put.direction == claim.direction
        if not same:
            return Evidence(Verdict.REFUTED, "unknown, interval or direction differ from the general claim",
                            (("general claim", str(put)),))
        return prove_identity(put.residual, claim.residual, ctx.domain, ctx.facts)
    if isinstance(put, BooleanTrue):
        return undecided("the general claim says nothing at these values")
    if isinstance(claim, Eq) and isinstance(put, Eq):
        return same_zeros(claim, put, ctx)
    if isinstance(claim, Rel) and isinstance(put, Rel):
        sign = {">": 1, ">=": 1, "<": -1, "<=": -1}
        strict = {">", "<"}
        if claim.rel_op not in sign or put.rel_op not in sign or (claim.rel_op in strict and put.rel_op not in strict):
            return undecided(f"{claim} does not follow from {put} in this way")
        left = sign[claim.rel_op] * (claim.lhs - claim.rhs)
        right = sign[put.rel_op] * (put.lhs - put.rhs)
        return prove_identity(left, right, ctx.domain, ctx.facts)
    return undecided(f"{type(claim).__name__} does not follow from {type(put).__name__} in this way")


def rearrange(step: Step, premises: Premises) -> Evidence:
    """The claim is the first premise, multiplied by a factor, moved around, or with exp, log, tanh, sinh or an inverse
    of these taken of both sides.

    Exact because (lhs - rhs of the claim) = factor * (lhs - rhs of the premise) with a factor that is finite and does
    not vanish on the domain has the same zeros; those functions are one-to-one.  Hint "factor": that factor.
    """
    if not step.premises or not isinstance(step.claim, Eq):
        trivial = _trivial(step.claim) if isinstance(step.claim, Basic) else None
        return trivial or undecided("an equation is rearranged from an equation among the premises")
    for at, name in enumerate(step.premises):
        general = premises[name]
        if isinstance(general.claim, Eq):
            ctx = context(step, premises, (*step.premises[:at], *step.premises[at + 1:]))
            whole = context(step, premises)
            found = same_zeros(step.claim, general.claim, Context(whole.domain, ctx.equations, ctx.relations))
            return weakened(found, whole.open)
    return undecided("no premise is an equation")


# ---- solutions


def solve(step: Step, premises: Premises) -> Evidence:
    """The claim gives the one value of the unknown that solves the first equation among the premises.

    Exact because putting the value back makes the equation an identity (ladder), the value lies in the interval of the
    unknown (positivity), and there is no other solution: the equation is linear in the unknown with a coefficient that
    does not vanish; or a power; or quadratic with roots of opposite sign and an unknown of one sign; or its two sides
    differ by a strictly monotone function of the unknown.
    """
    claim = step.claim
    if not isinstance(claim, Eq) or not step.premises:
        return undecided("the claim is to be unknown = value, with the equation among the premises")
    equations = [n for n in step.premises if isinstance(premises[n].claim, Eq)]
    if not equations:
        return undecided("no premise is an equation")
    equation = premises[equations[0]].claim
    assert isinstance(equation, Eq)
    unknown, value = claim.lhs, claim.rhs
    if not (unknown.is_Symbol or isinstance(unknown, AppliedUndef)) or value.has(unknown):
        return undecided("the claim is to be unknown = value")
    ctx = context(step, premises, tuple(n for n in step.premises if n != equations[0]))
    whole = context(step, premises)
    ctx = Context(whole.domain, ctx.equations, ctx.relations, whole.open)
    if isinstance(unknown, AppliedUndef):
        symbol = Symbol(unknown.func.__name__, **{k: v for k, v in unknown.assumptions0.items() if k in (
            "real", "positive", "nonnegative", "negative")})
        equation = equation.xreplace({unknown: symbol})
        unknown = symbol
    if unknown not in equation.free_symbols:
        return undecided(f"{unknown} does not occur in the equation")
    back = carried_out(Basic(equation.lhs, equation.rhs)).subs(unknown, value)
    back = carried_out(back)
    solved = prove_identity(back.args[0], back.args[1], ctx.domain, ctx.facts)
    if solved.verdict is not Verdict.PROVED:
        return Evidence(solved.verdict, f"put back: {solved.detail}", solved.witness)
    from derive.ledger.uniqueness import uniqueness, within_range

    inside = within_range(unknown, value, ctx)
    closed = Eq(*(closed_forms(side, ctx.domain) for side in equation.args), evaluate=False)
    only = uniqueness(equation, unknown, value, ctx) or uniqueness(closed, unknown, value, ctx)
    opened = list(ctx.open)
    if inside is None:
        opened.append(f"the value lies in the interval of {unknown}")
    if only is None:
        opened.append(f"{unknown} has no other value")
    detail = f"put back: {solved.detail}" + (f"; {only}" if only else "")
    return weakened(Evidence(Verdict.PROVED, detail), opened)


_ = (ENOUGH, S, Function)
