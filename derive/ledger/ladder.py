"""The ladder: how an identity is proved, refuted or corroborated.

Before any proof a few cheap points are tried; a point where the two sides differ ends the matter.  Then, each exact:

1. normal form: lhs - rhs as a rational function in generators (derive.ledger.field) has numerator zero, by itself or
   modulo the defining polynomials of roots, of the Marchenko-Pastur response (where possible through its rational
   parametrisation b = ratio (1 - V)/(V (ratio V + 1 - ratio))) and modulo the premises;
2. closed forms: the same after the averages have been carried out (doit, by linearity) and functions rewritten;
3. calculus: the derivative in one symbol vanishes by the rungs before, and the sides agree at one exact point;
4. averages: a combination of averages over one law is the average of the combination, which vanishes by the rungs
   before, or does so after adding its mirror image where the law is even;
5. pieces: functions with kinks or jumps are taken apart where their arguments change sign, in one symbol by sign
   charts; each piece vanishes by its normal form, and the points between pieces by exact values.

Where no rung proves it, at least twenty rational points of the domain are compared in balls.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sympy import (
    Add,
    Basic,
    Eq,
    Expr,
    Symbol,
    sympify,
)
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain, Evidence, Verdict
from derive.ledger.domain import seed_of
from derive.ledger.free_values import refuted_by_values
from derive.ledger.generators import Full, Unsupported
from derive.ledger.joints import joints
from derive.ledger.members import named_only, simple_members
from derive.ledger.one_symbol import KINKS, equal_in_pieces
from derive.ledger.premises import (
    Pair,
    carried_in,
    closed_forms,
    eliminate,
    eliminations,
    holds_everywhere,
    independent,
    quick_proof,
    said_with,
    sharpened_domain,
    sharpened_sides,
)
from derive.ledger.reductions import equal_by_cases
from derive.ledger.rewriting import carried_out, rewrite
from derive.ledger.rungs import Attempts, Proof, modulo_premises, vanishes
from derive.ledger.sampling import Tally, bound_functions, compare, corners, probe, shown_point
from derive.ledger.variations import refuted_by_variation
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "ENOUGH", "Contradiction", "prove_identity", "refuted_by_members", "refuted_identity",
    "shown_with",
]

#: points that must agree before an identity is called corroborated
ENOUGH = 20
_FIRST = 3
_CAPACITIES = (16, 32, 64, 128)


class Contradiction(AssertionError):
    """A proof and a refuting point for one claim: one of the two is wrong, and so is the program."""






Solved = tuple[tuple[Eq, Symbol, Expr], ...]


def prove_identity(
    lhs: Expr, rhs: Expr, domain: Domain | None = None, rewriting: Sequence[Basic] = (), *, seconds: float = 8.0
) -> Evidence:
    """What is known of lhs = rhs on a domain, given equations.

    Args:
        lhs, rhs: the two sides.
        domain: where the identity is claimed.
        rewriting: equations that may be used, carried in from left to right first.
        seconds: the time for proofs, and again for points.
    Returns: Evidence, PROVED with the rung; REFUTED with a point; CORROBORATED; UNDECIDED with what was tried.
    Raises: Contradiction where a proof and a refuting point are found together.

    >>> x = Symbol("x", real=True)
    >>> prove_identity((x + 1)**2, x**2 + 2*x + 1).verdict.name
    'PROVED'
    """
    start = time.perf_counter()
    ready = _prepared(sympify(lhs), sympify(rhs), domain or Domain(), rewriting)
    evidence = _decide(ready, seconds)
    if evidence.verdict is Verdict.UNDECIDED:
        evidence = refuted_by_values(ready.a, ready.b, ready.domain, ready.given, ready.names) or evidence
    return Evidence(evidence.verdict, evidence.detail, evidence.witness, time.perf_counter() - start)


def refuted_identity(
    lhs: Expr, rhs: Expr, domain: Domain | None = None, rewriting: Sequence[Basic] = (), *, seconds: float = 8.0
) -> Evidence | None:
    """A point of the domain that obeys the equations, at which lhs = rhs fails; None where none was found in time.

    Nothing is proved on the way but that the point is one: no rule and no rung takes part.

    >>> x = Symbol("x", real=True)
    >>> refuted_identity((x + 1)**2, x**2 + 1).verdict.name
    'REFUTED'
    """
    ready = _prepared(sympify(lhs), sympify(rhs), domain or Domain(), rewriting)
    if ready.a == ready.b:
        return None
    seed = seed_of(_plain(ready.a, ready.names), _plain(ready.b, ready.names))
    member = refuted_by_members(ready, seed) if ready.heavy else None
    if member is not None:
        return member
    trial = _trial(ready, eliminations(ready.given, ready.domain, (ready.a, ready.b)))
    for count, coarse, share in ((ENOUGH, True, 0.4), (ENOUGH, False, 0.6)):
        tally = _points(trial, seed, count, 3, share * seconds, coarse=coarse)
        if tally.refuted:
            return _refutation(tally, ready.names)
    return refuted_by_values(ready.a, ready.b, ready.domain, ready.given, ready.names)


@dataclass(frozen=True)
class _Prepared:
    """Two sides with the premises carried in and symbols that say what the domain says of them.

    Attributes: a, b (the sides), domain, given (equations that are left), names (new symbol -> old one), bound (the
    functions of which an inequality speaks).
    """

    a: Expr
    b: Expr
    domain: Domain
    given: tuple[Eq, ...]
    names: dict[Symbol, Symbol]
    bound: frozenset[UndefinedFunction]

    @property
    def heavy(self) -> bool:
        """Whether a value costs an integral."""
        return any(e.has(Binder) for e in (self.a, self.b, *self.given))


def _prepared(lhs: Expr, rhs: Expr, domain: Domain, rewriting: Sequence[Basic]) -> _Prepared:
    given = [e for e in rewriting if isinstance(e, Eq)]
    relations = [e for e in rewriting if not isinstance(e, Eq) and getattr(e, "is_Relational", False)]
    pair, left = rewrite(Pair(carried_out(lhs), carried_out(rhs)), given)
    left_side, right_side = _apart_from_averages(*pair.args)
    left = named_only(left, (left_side, right_side, *domain.constraints, *relations))
    facts = carried_in(Domain(domain.intervals, (*domain.constraints, *relations)), given)
    sides, names = sharpened_sides((left_side, right_side, *(e for eq in left for e in eq.args)), facts)
    left = tuple(Eq(sides[2 + 2 * i], sides[3 + 2 * i], evaluate=False) for i in range(len(left)))
    bound = bound_functions(c.xreplace(names) for c in (*domain.constraints, *relations))
    back = {v: k for k, v in names.items()}
    return _Prepared(sides[0], sides[1], sharpened_domain(facts, names), left, back, bound)


def _apart_from_averages(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """Two sides without the averages that are terms of both."""
    common = {t for t in Add.make_args(left) if t.has(Binder)} & set(Add.make_args(right))
    rest = (Add(*(t for t in Add.make_args(e) if t not in common)) for e in (left, right))
    return (left, right) if not common else (next(rest), next(rest))








def _decide(ready: _Prepared, seconds: float) -> Evidence:
    a, b, domain, given, names, heavy = ready.a, ready.b, ready.domain, ready.given, ready.names, ready.heavy
    if a == b:
        return Evidence(Verdict.PROVED, "both sides are the same expression")
    seed = seed_of(_plain(a, names), _plain(b, names))
    eliminated = eliminations(given, domain, (a, b)) if given else [((), domain)]
    attempts = Attempts()
    start = time.perf_counter()
    trial = _trial(ready, eliminated)
    if heavy and not trial.deep:  # values are cheap, as all averages have closed forms
        early = _points(trial, seed, 2, 0, 1.0, coarse=True)
        if early.refuted:
            return _refutation(early, names)
    proof = quick_proof(a - b, domain, given, eliminated)
    if heavy and given and (proof is None or proof.open):
        proof = said_with(quick_proof(trial.left - trial.right, trial.domain, trial.given), "averages done") or proof
    if proof is not None and not proof.open and heavy:
        return Evidence(Verdict.PROVED, proof.text)
    if heavy:
        member = refuted_by_members(ready, seed)
        if member is not None:
            return member
        quick = _points(trial, seed, 20, 0, min(seconds, 3.0), coarse=True)
        if not quick.refuted:
            quick = _points(trial, seed, 1, 1, min(seconds, 2.0))
    else:
        quick = _points(trial, seed, _FIRST, 1, min(seconds, 2.0))
    if quick.refuted:
        if proof is not None and not proof.open:
            raise Contradiction(f"{a} = {b}: {proof.text}, but {quick.witness}")
        return _refutation(quick, names)
    if proof is None:
        try:
            proof = timebox(seconds, _prove, a, b, domain, given, eliminated, attempts)
        except TimedOut:
            attempts.tried.append(f"proof stopped after {seconds:g} s")
    if proof is not None and not proof.open:
        return Evidence(Verdict.PROVED, proof.text)
    pieces = _in_pieces(a - b, domain) if not given else None
    if pieces is not None:
        return replace(pieces, witness=tuple((k.lstrip("_"), v) for k, v in pieces.witness))
    rest = _points(trial, seed, ENOUGH, 3, seconds)
    if rest.refuted:
        if proof is not None and not proof.open:
            raise Contradiction(f"{a} = {b}: {proof.text}, but {rest.witness}")
        return _refutation(rest, names)
    special = _at_corners(trial)
    if special is not None:
        return _refutation(special, names)
    spent = time.perf_counter() - start
    return _unproved(proof, attempts, rest, spent)


def _in_pieces(difference: Expr, domain: Domain) -> Evidence | None:
    if not difference.has(*KINKS):
        return None
    try:
        if len(difference.free_symbols) == 1:
            return timebox(3.0, equal_in_pieces, difference, domain)
        if difference.has(Binder, AppliedUndef):
            return None
        why = timebox(3.0, equal_by_cases, difference, domain)
    except (TimedOut, Unsupported, Full):
        return None
    return Evidence(Verdict.PROVED, why.replace("_", "")) if why else None


def refuted_by_members(ready: _Prepared, seed: int) -> Evidence | None:
    """A point, and simple functions for those that are averaged, where the premises hold and the two sides differ."""
    free = refuted_by_values(ready.a, ready.b, ready.domain, ready.given, ready.names, 1.0)
    if free is not None:
        return free
    zeros = [g.lhs - g.rhs for g in ready.given]
    for member in simple_members((ready.a, ready.b), zeros, ready.domain, seed, ready.bound):
        if member.refutes is not None:
            return member.refutes
        left, right, *rest = member.exprs
        equations = tuple(Eq(e, 0, evaluate=False) for e in rest if e != 0)
        found = None
        if any(e.has(AppliedUndef) for e in member.exprs):
            found = refuted_by_values(left, right, member.domain, equations, ready.names)
        if found is None:
            used, narrowed = eliminations(equations, member.domain, (left, right))[0]
            unsolved = tuple(e for e in equations if e not in {p for p, _, _ in used})
            trial = _Trial(eliminate(left, used), eliminate(right, used), narrowed, unsolved, ready.bound)
            tally = _points(trial, seed, 2, 0, 1.0, coarse=True)
            found = _refutation(tally, ready.names) if tally.refuted else None
        if found is not None:
            return shown_with(found, member.shown)
    return refuted_by_variation(ready.a - ready.b, zeros, ready.domain, seed, ready.bound)


def shown_with(found: Evidence, shown: Sequence[tuple[str, str]]) -> Evidence:
    """A refutation with more of its point: the values that a member of a class of functions was closed at."""
    shown = tuple((k.lstrip("_"), v) for k, v in shown)
    at = ", ".join(f"{k} = {v}" for k, v in shown)
    return Evidence(found.verdict, f"{found.detail}, where {at}", (*shown, *found.witness))


def _unproved(proof: Proof | None, attempts: Attempts, rest: Tally, spent: float) -> Evidence:
    how = "in balls" if rest.methods == {"balls"} else "sampled in mpmath" if rest.methods == {"mpmath"} else (
        "in balls and sampled in mpmath")
    tried = proof.text if proof is not None else "no exact rung closed it (" + ", ".join(attempts.tried) + ")"
    if rest.agreed >= ENOUGH:
        return Evidence(Verdict.CORROBORATED, f"{rest.agreed} random points agree to 30 digits, {how}; {tried}")
    reason = f"; {rest.reason}" if rest.reason else ""
    return Evidence(
        Verdict.UNDECIDED, f"only {rest.agreed} of {ENOUGH} points could be compared in {spent:.1f} s{reason}; {tried}")


@dataclass(frozen=True)
class _Trial:
    """What is compared at points: two sides, where, the equations that the points must obey, and functions bound."""

    left: Expr
    right: Expr
    domain: Domain
    given: tuple[Eq, ...]
    bound: frozenset[UndefinedFunction]

    @property
    def deep(self) -> bool:
        """Whether an average stands inside another."""
        return any(_nested(e) for e in (self.left, self.right, *self.given))


def _nested(e: Basic) -> bool:
    if isinstance(e, Binder):
        return len(e.bound_symbols) > 1 or any(a.has(Binder) for a in e.args)
    return any(_nested(a) for a in e.args)


def _trial(ready: _Prepared, eliminated: Sequence[tuple[Solved, Domain]]) -> _Trial:
    """The sides and the premises as they are compared: averages in closed form where they have one, premises that hold
    everywhere left out, and of the others those that can be solved put in."""
    a, b, domain, given = ready.a, ready.b, ready.domain, ready.given
    if ready.heavy:
        a, b = (closed_forms(e, domain) for e in (a, b))
        closed = (Eq(closed_forms(g.lhs, domain), closed_forms(g.rhs, domain), evaluate=False) for g in given)
        given = tuple(g for g in closed if not holds_everywhere(g, domain))
        eliminated = eliminations(given, domain, (a, b))
    used, narrowed = eliminated[0]
    unsolved = independent([g for g in given if g not in {p for p, _, _ in used}], domain)
    left, right = (eliminate(s, used) for s in (a, b))
    return _Trial(left, right, narrowed, unsolved, ready.bound)










def _points(trial: _Trial, seed: int, count: int, deep: int, seconds: float, *, coarse: bool = False) -> Tally:
    last = Tally()
    sides = trial.left, trial.right, trial.domain, trial.given, seed

    def run() -> None:
        nonlocal last
        for last in probe(*sides, count, deep, coarse=coarse, bound=trial.bound):  # noqa: B007
            pass
        if last.agreed < count and not last.refuted and count >= ENOUGH:
            for last in probe(*sides, 3 * count, bound=trial.bound):
                if last.agreed >= count or last.refuted:
                    break

    try:
        timebox(seconds, run)
    except TimedOut:
        last.reason = last.reason or f"{seconds:g} s were over"
    return last


def _at_corners(trial: _Trial) -> Tally | None:
    """A simple exact point at which the two sides differ: zero, one, a closed end, where a function may jump."""
    everything = (trial.left, trial.right, *trial.domain.constraints)
    if trial.given or any(e.has(Binder, AppliedUndef) for e in everything):
        return None
    symbols = {s for e in (trial.left, trial.right) for s in e.free_symbols if isinstance(s, Symbol)}
    try:
        places = (*corners(symbols, trial.domain, True), *joints((trial.left, trial.right), trial.domain))
        return timebox(2.0, _first_apart, trial, places)
    except TimedOut:
        return None


def _first_apart(trial: _Trial, places: Iterable[dict[Symbol, Any]]) -> Tally | None:
    for point in places:
        found = compare(trial.left, trial.right, point)
        if found.outcome == "differ" and found.method == "balls":
            return Tally(witness=shown_point(point, found.value), value=found.value, method=found.method)
    return None


def _refutation(tally: Tally, names: dict[Symbol, Symbol]) -> Evidence:
    at = ", ".join(f"{k.lstrip('_')} = {v}" for k, v in tally.witness if k != "lhs - rhs")
    witness = tuple((k.lstrip("_"), v) for k, v in tally.witness)
    how = "a ball that excludes zero" if tally.method == "balls" else "sampled in mpmath at 40 and 50 digits"
    return Evidence(Verdict.REFUTED, f"lhs - rhs = {tally.value}{f' at {at}' if at else ''} ({how})", witness)








def _plain(e: Basic, names: dict[Symbol, Symbol]) -> Basic:
    return e.xreplace(names)


# ---- premises














# ---- proofs


def _prove(
    a: Expr, b: Expr, domain: Domain, given: tuple[Eq, ...], ways: list[tuple[Solved, Domain]], attempts: Attempts
) -> Proof | None:
    difference = a - b
    proof = vanishes(difference, domain, attempts)
    if proof is not None or not given:
        return proof
    for solved, narrowed in ways:
        if not solved:
            continue
        proof = vanishes(eliminate(difference, solved), narrowed, attempts)
        if proof is not None:
            return Proof(f"{proof.how}, with the premises", proof.open, proof.named)
    return modulo_premises(difference, given, domain, attempts)
