"""Asking a rule about a claim: one that stands in a derivation, or another in its place.

There is one road: derive.ledger.derivation.check_step.  `Derivation.check` takes it for every step (a reader's page and
the command line, in several processes), `ask` for one, with another claim or a time limit where wanted (mutations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from sympy import Basic, Eq, Integer, Rel, Symbol
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And

from derive.core import Evidence, Step, UniqueRoot, Verdict
from derive.ledger.context import Context, context, parts_of
from derive.ledger.derivation import Derivation, check_step
from derive.ledger.domain import seed_of
from derive.ledger.inequalities import Case, agreements
from derive.ledger.ladder import prove_identity
from derive.ledger.members import named_only
from derive.ledger.premises import holds_everywhere
from derive.ledger.replica import explicit_agreements
from derive.ledger.rewriting import carried_out, defines, rewrite
from derive.ledger.same_zeros import same_difference, same_zeros
from derive.ledger.sampling import Tally, bound_functions, probe
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["agreeing_points", "ask", "exchanged", "renamed", "same_claim", "with_claim"]

_FAILURES = (ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)


def with_claim(derivation: Derivation, label: str, claim: Basic | str) -> Derivation:
    """The part of a derivation that a step stands on, and that step with another claim.

    Raises: DeriveError for a label that is not in the derivation.
    """
    return Derivation(derivation.name, derivation.title, tuple(
        replace(s, claim=claim) if s.label == label else s for s in derivation.up_to(label)))


def ask(
    derivation: Derivation, label: str, claim: Basic | str | None = None, *, seconds: float | None = None
) -> Evidence:
    """What the rule of a step finds of its claim, or of another claim in its place, with the premises as they are.

    Args: derivation, label (of the step), claim (in place of the step's; None asks about the step itself), seconds
        (after which the rule is stopped; UNDECIDED then).
    Raises: DeriveError for a label that is not in the derivation.

    >>> from sympy import Symbol
    >>> x = Symbol("x", real=True)
    >>> steps = (Step("square", Eq((x + 1)**2, x**2 + 2*x + 1), "identity"),)
    >>> square = Derivation("square", "The square of a sum", steps)
    >>> ask(square, "square").verdict.name
    'PROVED'
    >>> ask(square, "square", Eq((x + 1)**2, x**2 + 1)).verdict.name
    'REFUTED'
    """
    asked = derivation if claim is None else with_claim(derivation, label, claim)
    if seconds is None:
        return check_step(asked, label)
    try:
        return timebox(seconds, check_step, asked, label)
    except TimedOut:
        return Evidence(Verdict.UNDECIDED, f"the check was stopped after {seconds:g} s", (), seconds)


def same_claim(derivation: Derivation, label: str, other: Basic, *, seconds: float = 10.0) -> str | None:
    """Why another claim says the same as that of a step on its domain; None where that was not proved in time."""
    try:
        return timebox(seconds, _same, derivation, derivation[label], other)
    except (TimedOut, *_FAILURES):
        return None


def _same(derivation: Derivation, step: Step, other: Basic) -> str | None:
    claim = step.claim
    bare = context(replace(step, premises=()), {})
    if isinstance(claim, And) and isinstance(other, And):
        return _same_parts(derivation, step, other)
    if isinstance(claim, Eq) and isinstance(other, Eq):
        given = context(step, {name: derivation[name] for name in step.premises})
        mine, its = claim.lhs - claim.rhs, other.lhs - other.rhs
        for difference in (mine - its, mine + its):
            at_once = same_difference(carried_out(difference), bare.domain, 2.0)
            if at_once is not None:
                return f"the same equation: {at_once.detail}"
        for where, said in ((bare, ""), (given, ", given the premises")):
            for sign in (1, -1):
                alike = prove_identity(mine, sign * its, where.domain, where.facts, seconds=2.0)
                if alike.verdict is Verdict.PROVED:
                    return f"the same equation{said}: {alike.detail}"
        if same_zeros(other, claim, bare).verdict is Verdict.PROVED:
            return "the same equation up to a factor that does not vanish"
        return None
    if isinstance(claim, UniqueRoot) and isinstance(other, UniqueRoot):
        if claim.args[1:] != other.args[1:]:
            return None
        zero = Integer(0)
        alike = same_zeros(
            Eq(other.residual, zero, evaluate=False), Eq(claim.residual, zero, evaluate=False), bare)
        return f"the same root: {alike.detail}" if alike.verdict is Verdict.PROVED else None
    if isinstance(claim, Rel) and isinstance(other, Rel) and claim.rel_op == other.rel_op:
        alike = prove_identity(claim.lhs - claim.rhs, other.lhs - other.rhs, bare.domain, bare.facts, seconds=2.0)
        return f"the same inequality: {alike.detail}" if alike.verdict is Verdict.PROVED else None
    return None


def _same_parts(derivation: Derivation, step: Step, other: And) -> str | None:
    """Of two conjunctions: each part that only one of them has says the same as one of the other."""
    assert isinstance(step.claim, And)
    mine, its = ([p for p in a.args if p not in b.args] for a, b in ((step.claim, other), (other, step.claim)))
    said = None
    for these, those in ((its, mine), (mine, its)):
        for part in these:
            said = next((w for q in those if (w := _same(derivation, replace(step, claim=q), part))), None)
            if said is None:
                return None
    return said


def renamed(derivation: Derivation, step: Step, other: Basic) -> bool:
    """Whether another claim is that of a step with two symbols exchanged that only stand for every value of a domain.

    They do where the domain does not tell them apart and the premises are definitions of functions, which hold for
    every argument, or do not contain them.
    """
    assert isinstance(step.claim, Basic)
    domain = context(replace(step, premises=()), {}).domain
    for a, b in combinations(sorted((s for s in step.claim.free_symbols if isinstance(s, Symbol)), key=str), 2):
        names = {a: b, b: a}
        if a.assumptions0 != b.assumptions0 or exchanged(step.claim, names) != other:
            continue
        premises = (p for n in step.premises if not isinstance(c := derivation[n].claim, str) for p in parts_of(c))
        told_apart = (domain.interval(a) != domain.interval(b)
                      or {k.xreplace(names) for k in domain.constraints} != set(domain.constraints)
                      or any({a, b} & p.free_symbols and not (isinstance(p, Eq) and isinstance(p.lhs, AppliedUndef)
                                                              and defines(p)) for p in premises))
        return not told_apart
    return False


def exchanged(e: Basic, names: Mapping[Symbol, Symbol]) -> Basic:
    """Other symbols in a claim; relations are not evaluated, which costs more than to make them."""
    if isinstance(e, And):
        return And(*(exchanged(a, names) for a in e.args))
    if isinstance(e, Rel):
        return e.func(*(a.xreplace(names) for a in e.args), evaluate=False)
    return e.xreplace(names)


def agreeing_points(derivation: Derivation, label: str, relation: Basic, *, seconds: float = 6.0) -> int:
    """At how many random points of a step's domain that obey its premises a relation holds in balls, as it stands.

    Relations between overlap matrices are looked at with the matrices written out; of several, the least number.
    """
    step = derivation[label]
    premises = {name: derivation[name] for name in step.premises}
    if step.rule == "replica-algebra":
        try:
            return timebox(4 * seconds, explicit_agreements, replace(step, claim=relation), premises)
        except (TimedOut, *_FAILURES):
            return 0
    if isinstance(relation, And):
        return min(agreeing_points(derivation, label, part, seconds=seconds) for part in relation.args)
    if not isinstance(relation, Rel):
        return 0
    where = context(step, premises)
    if isinstance(relation, Eq):
        try:
            return timebox(seconds, _agreeing, relation, where)
        except (TimedOut, *_FAILURES):
            return 0
    up = relation.rel_op in (">", ">=", "!=")
    difference, left = rewrite(
        carried_out(relation.lhs - relation.rhs if up else relation.rhs - relation.lhs), where.equations)
    bound = bound_functions((*where.domain.constraints, *where.relations))
    facts = (*where.domain.constraints, *(r for r in where.relations if isinstance(r, Rel)))
    domain = replace(where.domain, constraints=facts)
    left = tuple(e for e in named_only(left, (difference, *facts)) if not holds_everywhere(e, domain))
    case = Case(difference, domain, left, bound, relation.rel_op in ("<", ">", "!="), relation.rel_op == "!=")
    try:
        return timebox(seconds, agreements, case, 40)
    except (TimedOut, *_FAILURES):
        return 0


def _agreeing(relation: Eq, where: Context) -> int:
    """Points at which both sides agree to thirty digits, averages integrated and not done in closed form."""
    sides, left = rewrite(carried_out(Basic(relation.lhs, relation.rhs)), where.equations)
    facts = (*where.domain.constraints, *(r for r in where.relations if isinstance(r, Rel)))
    domain = replace(where.domain, constraints=facts)
    tally = Tally()
    lhs, rhs = sides.args
    for tally in probe(lhs, rhs, domain, left, seed_of(relation), 48, 0):
        if tally.agreed >= 12:
            break
    return 0 if tally.refuted or tally.methods != {"balls"} else tally.agreed
