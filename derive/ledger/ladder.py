"""The ladder: how an identity is proved, refuted or corroborated.

Before any proof a few cheap points are tried; a point where the two sides differ ends the matter.  Then, each exact:

1. normal form: lhs - rhs as a rational function in generators (derive.ledger.field) has numerator zero, by itself or
   modulo the defining polynomials of roots, of the Marchenko-Pastur response (where possible through its rational
   parametrisation b = ratio (1 - V)/(V (ratio V + 1 - ratio))) and modulo the premises;
2. closed forms: the same after the averages have been carried out (doit, by linearity) and functions rewritten;
3. algebra: lhs - rhs is a root of a polynomial X^k Q(X) got by resultants, Q(0) does not vanish, and at one exact point
   of the connected domain lhs - rhs is closer to zero than every root of Q;
4. calculus: the derivative in one symbol vanishes by the rungs before, and the sides agree at one exact point;
5. averages: a combination of averages over one law is the average of the combination, which vanishes by the rungs
   before, or does so after adding its mirror image where the law is even.

Where no rung proves it, at least twenty rational points of the domain are compared in balls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from sympy import (
    Add,
    Basic,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Integer,
    Pow,
    Rational,
    S,
    Subs,
    Symbol,
    expand_func,
    expand_trig,
    gamma,
    log,
    loggamma,
    polylog,
    sqrtdenest,
    sympify,
    together,
)
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain, Evidence, Verdict
from derive.ledger.domain import declared, seed_of, sharpened
from derive.ledger.field import Field, Fraction, Full, Generator, Unsupported
from derive.ledger.members import named_only, simple_members
from derive.ledger.rewriting import carried_out, defines, rewrite
from derive.ledger.sampling import Tally, bound_functions, compare, corners, probe, shown_point
from derive.nodes.averages import Average, DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.functions import MPResponse
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "Contradiction", "Proof", "closed_forms", "exactly_zero", "forget", "holds_everywhere", "independent",
    "prove_identity", "refuted_by_members", "refuted_by_values", "refuted_identity", "shown_with", "vanishes",
]

#: points that must agree before an identity is called corroborated
ENOUGH = 20
_FIRST = 3
_CAPACITIES = (16, 32, 64, 128)


class Contradiction(AssertionError):
    """A proof and a refuting point for one claim: one of the two is wrong, and so is the program."""


@dataclass
class Proof:
    """How zero was proved: the rung in words, and conditions that stay open."""

    how: str
    open: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        parts = [self.how]
        if self.named:
            parts.append("where " + ", ".join(self.named))
        if self.open:
            parts.append("not shown: " + ", ".join(self.open))
        return "; ".join(parts)


@dataclass
class _Attempts:
    """What was tried on the way, for the report."""

    tried: list[str] = field(default_factory=list)


_Solved = tuple[tuple[Eq, Symbol, Expr], ...]


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
    trial = _trial(ready, _eliminations(ready.given, ready.domain, (ready.a, ready.b)))
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
    pair, left = rewrite(_Pair(carried_out(lhs), carried_out(rhs)), given)
    left_side, right_side = _apart_from_averages(*pair.args)
    left = named_only(left, (left_side, right_side, *domain.constraints, *relations))
    facts = Domain(domain.intervals, (*domain.constraints, *relations, *_ranges(given, domain)))
    sides, names = _sharp((left_side, right_side, *(e for eq in left for e in eq.args)), facts)
    left = tuple(Eq(sides[2 + 2 * i], sides[3 + 2 * i], evaluate=False) for i in range(len(left)))
    bound = bound_functions(c.xreplace(names) for c in (*domain.constraints, *relations))
    back = {v: k for k, v in names.items()}
    return _Prepared(sides[0], sides[1], _sharp_domain(facts, names), left, back, bound)


def _apart_from_averages(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """Two sides without the averages that are terms of both."""
    common = {t for t in Add.make_args(left) if t.has(Binder)} & set(Add.make_args(right))
    rest = (Add(*(t for t in Add.make_args(e) if t not in common)) for e in (left, right))
    return (left, right) if not common else (next(rest), next(rest))


class _Pair(Basic):  # type: ignore[misc]
    """Two expressions that are rewritten together."""


def _sharp(exprs: Sequence[Basic], domain: Domain) -> tuple[list[Expr], dict[Symbol, Symbol]]:
    pair = _Pair(*exprs, *domain.constraints)
    new, names = sharpened(pair, domain)
    for symbol, _ in domain.intervals:
        if symbol not in names:
            names[symbol] = sharpened(symbol, domain)[0]
    return [carried_out(e) for e in new.args[: len(exprs)]], names


def _sharp_domain(domain: Domain, names: dict[Symbol, Symbol]) -> Domain:
    return Domain(
        tuple((names.get(s, s), i.xreplace(names)) for s, i in domain.intervals),
        tuple(c.xreplace(names) for c in domain.constraints),
    )


def _decide(ready: _Prepared, seconds: float) -> Evidence:
    a, b, domain, given, names, heavy = ready.a, ready.b, ready.domain, ready.given, ready.names, ready.heavy
    if a == b:
        return Evidence(Verdict.PROVED, "both sides are the same expression")
    seed = seed_of(_plain(a, names), _plain(b, names))
    eliminated = _eliminations(given, domain, (a, b)) if given else [((), domain)]
    attempts = _Attempts()
    start = time.perf_counter()
    trial = _trial(ready, eliminated)
    if heavy and not trial.deep:  # values are cheap, as all averages have closed forms
        early = _points(trial, seed, 2, 0, 1.0, coarse=True)
        if early.refuted:
            return _refutation(early, names)
    proof = _cheap(a - b, domain, given, eliminated)
    if heavy and given and (proof is None or proof.open):
        proof = _said(_cheap(trial.left - trial.right, trial.domain, trial.given), "averages done") or proof
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


def refuted_by_members(ready: _Prepared, seed: int) -> Evidence | None:
    """A point, and simple functions for those that are averaged, where the premises hold and the two sides differ."""
    zeros = [g.lhs - g.rhs for g in ready.given]
    for member in simple_members((ready.a, ready.b), zeros, ready.domain, seed, ready.bound):
        left, right, *rest = member.exprs
        equations = tuple(Eq(e, 0, evaluate=False) for e in rest if e != 0)
        found = None
        if any(e.has(AppliedUndef) for e in member.exprs):
            found = refuted_by_values(left, right, member.domain, equations, ready.names)
        if found is None:
            used, narrowed = _eliminations(equations, member.domain, (left, right))[0]
            unsolved = tuple(e for e in equations if e not in {p for p, _, _ in used})
            trial = _Trial(_eliminate(left, used), _eliminate(right, used), narrowed, unsolved, ready.bound)
            tally = _points(trial, seed, 2, 0, 1.0, coarse=True)
            found = _refutation(tally, ready.names) if tally.refuted else None
        if found is not None:
            return shown_with(found, member.shown)
    return None


def shown_with(found: Evidence, shown: Sequence[tuple[str, str]]) -> Evidence:
    """A refutation with more of its point: the values that a member of a class of functions was closed at."""
    shown = tuple((k.lstrip("_"), v) for k, v in shown)
    at = ", ".join(f"{k} = {v}" for k, v in shown)
    return Evidence(found.verdict, f"{found.detail}, where {at}", (*shown, *found.witness))


def refuted_by_values(
    a: Expr, b: Expr, domain: Domain, given: Sequence[Eq], names: dict[Symbol, Symbol] | None = None
) -> Evidence | None:
    """A point that obeys the premises and not a = b, where functions that nothing is known of take what values they
    must; None where none was found.

    Sound because some smooth function takes any given values, with any derivatives, at finitely many distinct points.
    Where a premise or the domain says more of a function (convexity, say) nothing is concluded.
    """
    exprs = (a, b, *(side for eq in given for side in eq.args))
    if any(c.has(AppliedUndef) for c in domain.constraints):
        return None
    values: dict[Basic, Dummy] = {}
    freed = [_valued(e, values) for e in exprs]
    if any(e is None for e in freed) or not values:
        return None
    sides = [e for e in freed if e is not None]
    equations = tuple(Eq(u, v, evaluate=False) for u, v in zip(sides[2::2], sides[3::2], strict=True))
    used, narrowed = _eliminations(equations, domain, sides[:2])[0]
    if len(used) < len(equations):
        return None
    left, right = (_eliminate(side, used) for side in sides[:2])
    tally = _points(_Trial(left, right, narrowed, (), frozenset()), seed_of(left, right), _FIRST, 1, 4.0)
    if not tally.refuted or not _apart(values, tally.witness):
        return None
    found = _refutation(tally, names or {})
    free = ", ".join(str(v) for v in values)
    return Evidence(found.verdict, f"{found.detail}, with {free} as the premises want them", found.witness)


def _valued(e: Basic, values: dict[Basic, Dummy]) -> Basic | None:
    """The expression with a symbol for each value or derivative of an undefined function; None where that cannot be."""
    if isinstance(e, Subs | Derivative) and not isinstance(e.args[0], AppliedUndef | Derivative):
        return None
    if isinstance(e, AppliedUndef | Subs | Derivative):
        return values.setdefault(e, Dummy(f"value of {e}", real=True))
    if not e.has(AppliedUndef):
        return e
    if isinstance(e, Binder):
        return None
    parts = [_valued(x, values) for x in e.args]
    return None if any(x is None for x in parts) else e.func(*parts)


def _apart(values: Mapping[Basic, Dummy], witness: Sequence[tuple[str, str]]) -> bool:
    """Whether the places at which one function is asked for its values differ at a point."""
    point = {k.lstrip("_"): v for k, v in witness}
    places: dict[Any, list[tuple[Any, ...]]] = {}
    for node in values:
        if isinstance(node, Subs):
            inner, where = node.args[0], dict(zip(node.args[1], node.args[2], strict=True))
        else:
            inner, where = node, {}
        order = tuple(inner.args[1:]) if isinstance(inner, Derivative) else ()
        applied = inner.args[0] if isinstance(inner, Derivative) else inner
        at = []
        for argument in applied.args:
            value = argument.subs(where)
            value = value.subs({s: Rational(point[_bare(s)]) for s in value.free_symbols if _bare(s) in point})
            at.append(value)
        places.setdefault((applied.func, len(order), str(order)), []).append(tuple(at))
    return all(len(set(found)) == len(found) for found in places.values())


def _bare(s: Basic) -> str:
    return str(s).lstrip("_")


def _unproved(proof: Proof | None, attempts: _Attempts, rest: Tally, spent: float) -> Evidence:
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


def _trial(ready: _Prepared, eliminated: Sequence[tuple[_Solved, Domain]]) -> _Trial:
    """The sides and the premises as they are compared: averages in closed form where they have one, premises that hold
    everywhere left out, and of the others those that can be solved put in."""
    a, b, domain, given = ready.a, ready.b, ready.domain, ready.given
    if ready.heavy:
        a, b = (closed_forms(e, domain) for e in (a, b))
        closed = (Eq(closed_forms(g.lhs, domain), closed_forms(g.rhs, domain), evaluate=False) for g in given)
        given = tuple(g for g in closed if not holds_everywhere(g, domain))
        eliminated = _eliminations(given, domain, (a, b))
    used, narrowed = eliminated[0]
    unsolved = independent([g for g in given if g not in {p for p, _, _ in used}], domain)
    left, right = (_eliminate(s, used) for s in (a, b))
    return _Trial(left, right, narrowed, unsolved, ready.bound)


@lru_cache(maxsize=1024)
def closed_forms(e: Expr, domain: Domain) -> Expr:
    """The averages carried out, as far as that is done in time; conditions stay, to be decided at each point."""
    if not e.has(Binder):
        return e
    try:
        return timebox(4.0, _done, e, domain, True)
    except (TimedOut, DivergentAverage):
        return e


@lru_cache(maxsize=1024)
def holds_everywhere(equation: Eq, domain: Domain) -> bool:
    """Whether an equation is an identity, proved; every point obeys it then."""
    if equation.lhs == equation.rhs:
        return True
    proof = _cheap(equation.lhs - equation.rhs, domain)
    return proof is not None and not proof.open


def forget() -> None:
    """Drop all remembered results; for tests that make rules wrong on purpose."""
    closed_forms.cache_clear()
    holds_everywhere.cache_clear()


def independent(equations: Sequence[Eq], domain: Domain) -> tuple[Eq, ...]:
    """The equations without those that follow from others before them, by normal forms; a point that obeys these obeys
    all."""
    kept: list[Eq] = []
    seen: set[Expr] = set()
    for e in equations:
        difference = e.lhs - e.rhs
        if difference == 0 or difference in seen or -difference in seen:
            continue
        seen.add(difference)
        try:
            follows = timebox(1.0, _modulo, difference, tuple(kept), domain, _Attempts()) if kept else None
        except TimedOut:
            follows = None
        if follows is None or follows.open:
            kept.append(e)
    return tuple(kept)


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
        return timebox(2.0, _first_apart, trial, corners(symbols, trial.domain, True))
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


def _zero_given(difference: Expr, solved: _Solved, domain: Domain) -> Proof | None:
    return _said(exactly_zero(_eliminate(difference, solved), domain), "the premises")


def _cheap(
    difference: Expr, domain: Domain, given: tuple[Eq, ...] = (), ways: Sequence[tuple[_Solved, Domain]] = ()
) -> Proof | None:
    """Normal forms, by themselves and with the premises; closed forms too where there are averages, whose values cost
    more than a proof."""
    rungs: list[tuple[float, Callable[[], Proof | None]]] = [(1.5, lambda: exactly_zero(difference, domain))]
    for solved, narrowed in ways:
        if solved:
            rungs.append((1.5, partial(_zero_given, difference, solved, narrowed)))
    if given:
        rungs.append((3.0, lambda: _modulo(difference, given, domain, _Attempts())))
    if difference.has(Binder):
        rungs.append((5.0, lambda: _closed_forms(difference, domain)))
    opened = None
    for seconds, rung in rungs:
        try:
            proof = timebox(seconds, rung)
        except (TimedOut, Unsupported, Full, DivergentAverage):
            continue
        if proof is not None and not proof.open:
            return proof
        opened = opened or proof
    return opened


def _said(proof: Proof | None, what: str) -> Proof | None:
    return None if proof is None else Proof(f"{proof.how}, with {what}", proof.open, proof.named)


def _plain(e: Basic, names: dict[Symbol, Symbol]) -> Basic:
    return e.xreplace(names)


# ---- premises




def _eliminations(given: Sequence[Eq], domain: Domain, sides: Sequence[Expr]) -> list[tuple[_Solved, Domain]]:
    """Ways to use up the premises by solving each for a symbol that enters it linearly; the richest first."""
    found: _Solved = ()
    for premise in given:
        p = Eq(_eliminate(premise.lhs, found), _eliminate(premise.rhs, found), evaluate=False)
        solved = _solve_linear(p, domain, sides)
        if solved is not None:
            symbol, value = solved
            found = (*((q, s, v.subs(symbol, value)) for q, s, v in found), (premise, symbol, value))
    constraints: list[Basic] = []
    for _, symbol, value in found:
        constraints.extend(_membership(symbol, value, domain))
    rest = tuple(_eliminate(c, found) for c in domain.constraints)
    sampled = Domain(domain.intervals, (*(c for c in (*rest, *constraints) if c != True),))  # noqa: E712
    ways: list[tuple[_Solved, Domain]] = [(found, sampled)]
    return ways


def _ranges(given: Sequence[Eq], domain: Domain) -> Iterator[Basic]:
    """That the value a premise gives to a symbol lies where the symbol does."""
    for premise in given:
        if premise.lhs.is_Symbol and defines(premise):
            value, _ = rewrite(premise.rhs, [g for g in given if g is not premise])
            if not value.has(AppliedUndef, Binder) and premise.lhs not in value.free_symbols:
                for condition in _membership(premise.lhs, value, domain):
                    if getattr(condition, "is_Relational", False):
                        yield condition


def _membership(symbol: Symbol, value: Expr, domain: Domain) -> Iterator[Basic]:
    from sympy import Ge, Gt, Le, Lt, oo

    r = declared(symbol, domain)
    if r.lower != -oo:
        yield (Gt if r.lower_open else Ge)(value, r.lower)
    if r.upper != oo:
        yield (Lt if r.upper_open else Le)(value, r.upper)


def _eliminate(e: Basic, solved: _Solved) -> Basic:
    for _, symbol, value in solved:
        if symbol in e.free_symbols:
            e = carried_out(e.subs(symbol, value))
    return e


def _solve_linear(premise: Eq, domain: Domain, sides: Sequence[Expr]) -> tuple[Symbol, Expr] | None:
    """A symbol that the premise determines linearly, with a coefficient that does not vanish, and its value."""
    difference = premise.lhs - premise.rhs
    candidates = []
    for symbol in sorted((s for s in difference.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
        try:
            f = Field(domain, capacity=48)
            n = f.build(difference)
        except (Unsupported, Full):
            continue
        index = f._index.get(("symbol", symbol))
        if index is None or any(symbol in g.symbols for i, g in enumerate(f.gens) if i != index):
            continue
        degree = n.num.degrees()[index]
        if degree != 1:
            continue
        from flint import fmpq

        high = {(*m[:index], 0, *m[index + 1:]): c for m, c in n.num.terms() if m[index] == 1}
        low = {m: c for m, c in n.num.terms() if m[index] == 0}
        lead, rest = f.ctx.from_dict(high), f.ctx.from_dict(low or {(0,) * f.capacity: fmpq(0)})
        if not f.sign(lead):
            continue
        value = f.to_expr(f.make(-rest, lead))
        candidates.append((not lead.is_constant(), len(str(value)), symbol, value))
    if not candidates:
        return None
    _, _, symbol, value = min(candidates, key=lambda c: (c[0], c[1], c[2].name))
    return symbol, value


# ---- proofs


def _prove(
    a: Expr, b: Expr, domain: Domain, given: tuple[Eq, ...], ways: list[tuple[_Solved, Domain]], attempts: _Attempts
) -> Proof | None:
    difference = a - b
    proof = vanishes(difference, domain, attempts)
    if proof is not None or not given:
        return proof
    for solved, narrowed in ways:
        if not solved:
            continue
        proof = vanishes(_eliminate(difference, solved), narrowed, attempts)
        if proof is not None:
            return Proof(f"{proof.how}, with the premises", proof.open, proof.named)
    return _modulo(difference, given, domain, attempts)


def vanishes(difference: Expr, domain: Domain, attempts: _Attempts | None = None, depth: int = 2) -> Proof | None:
    """A proof that an expression is zero on a domain, or None."""
    attempts = attempts or _Attempts()
    rungs: list[tuple[str, Callable[[], Proof | None]]] = [
        ("normal form", lambda: exactly_zero(difference, domain)),
        ("closed forms", lambda: _closed_forms(difference, domain)),
        ("averages", lambda: _merged_averages(difference, domain, depth)),
        ("algebra", lambda: _algebra(difference, domain)),
        ("calculus", lambda: _calculus(difference, domain, depth) if depth else None),
    ]
    for name, rung in rungs:
        try:
            proof = rung()
        except (Unsupported, Full) as obstacle:
            attempts.tried.append(f"{name}: {obstacle or 'too large'}")
            continue
        except DivergentAverage as obstacle:
            attempts.tried.append(f"{name}: {obstacle}")
            continue
        if proof is not None:
            return proof
        attempts.tried.append(name)
    return None


def _oracle(domain: Domain) -> Callable[[Expr], bool]:
    def positive(expr: Expr) -> bool:
        from derive.ledger.positivity import prove_positive

        return prove_positive(expr, domain, depth=1) is not None

    return positive


def with_field(domain: Domain, work: Callable[[Field], Proof | None], oracle: bool = True) -> Proof | None:
    """Work in a field that is made larger as often as needed."""
    for capacity in _CAPACITIES:
        try:
            return work(Field(domain, _oracle(domain) if oracle else None, capacity))
        except Full:
            continue
    raise Unsupported("too many generators")


def exactly_zero(expr: Expr, domain: Domain) -> Proof | None:
    """Rung 1: the numerator of the normal form is the zero polynomial."""
    if expr.is_zero or expr == 0:
        return Proof("normal form")
    if not expr.free_symbols and expr.is_Rational:
        return None

    def work(f: Field) -> Proof | None:
        how = "normal form"
        if _parametrised(f, expr):
            how = "normal form through the rational parametrisation of the Marchenko-Pastur response"
        found = f.build(expr)
        return _concluded(f, found, how) if found.is_zero else None

    return with_field(domain, work)


def _concluded(f: Field, found: Fraction, how: str) -> Proof:
    """The conditions met on the way, discharged where they can be."""
    opened, named = [], []
    if f.relations:
        how += f", modulo {len(f.relations)} polynomial relation{'s' * (len(f.relations) > 1)}"
    for expr, kind in f.conditions.items():
        from derive.ledger.positivity import prove_nonzero, prove_positive

        if kind == "positive":
            if prove_positive(expr, f.domain, depth=2) is None:
                opened.append(f"{_show(expr)} > 0")
        elif prove_nonzero(expr, f.domain) is None:
            named.append(f"{_show(expr)} != 0")
    return Proof(how, tuple(opened), tuple(named))


def _show(e: Expr) -> str:
    text = str(e.xreplace({s: Symbol(s.name) for s in e.free_symbols if isinstance(s, Dummy)}))
    return text if len(text) < 120 else text[:117] + "..."


def _parametrised(f: Field, expr: Expr) -> bool:
    """Write a symbol in terms of the response V(b, ratio), where b is a ratio of linear forms in that symbol.

    From ratio b V^2 + (b (1 - ratio) + ratio) V = ratio: b = ratio (1 - V)/(V (ratio V + 1 - ratio)).
    """
    responses = sorted(expr.atoms(MPResponse), key=lambda v: (len(str(v)), str(v)))
    done = False
    for node in responses:
        b, ratio = node.args
        taken = set(f.assigned)
        candidates = sorted((s for s in b.free_symbols - ratio.free_symbols - taken if isinstance(s, Symbol)), key=str)
        if (b.free_symbols & taken) or (ratio.free_symbols & taken) or b.has(MPResponse) or ratio.has(MPResponse):
            continue
        for symbol in candidates:
            moebius = _moebius(b, symbol)
            if moebius is None or not b.is_positive or not ratio.is_positive:
                continue
            p, q, r, s = moebius  # b = (p x + q)/(r x + s)
            V = Dummy("V", positive=True)
            w = ratio * (1 - V) / (V * (ratio * V + 1 - ratio))
            value = (q - s * w) / (r * w - p)
            made = f.generator(("symbol", V), partial(_response_generator, node))
            one = f.ctx.constant(1)
            g = made.num
            ratio_form = f.build(ratio)
            f.facts.append(one - g)
            if f.sign(ratio_form.den, ask=False) > 0:
                f.facts.append(ratio_form.num * g + ratio_form.den - ratio_form.num)
            f._memo[V] = made
            f.assigned[symbol] = f.build(value)
            f._memo[node] = made
            if symbol.is_positive:
                _known_positive(f, f.assigned[symbol])
            done = True
            break
    return done


def _response_generator(node: MPResponse) -> Generator:
    return Generator(node, "response", True, symbols=frozenset(node.free_symbols))


def _known_positive(f: Field, a: Fraction) -> None:
    """One factor of unknown sign in a positive quantity is known when all others are."""
    _, parts = f.factors(a)
    unknown = [(p, m) for p, m in parts if m % 2 and not f.sign(p, ask=False)]
    if len(unknown) == 1:
        content, _ = f.factors(a)
        sign = 1 if content > 0 else -1
        for p, m in parts:
            if m % 2 and f.sign(p, ask=False) < 0:
                sign = -sign
        f.facts.append(unknown[0][0] * sign)
        f._signs.clear()


def _moebius(b: Expr, x: Symbol) -> tuple[Expr, Expr, Expr, Expr] | None:
    num, den = together(b).as_numer_denom()
    try:
        pn, pd = num.as_poly(x), den.as_poly(x)
    except Exception:  # a form that is no polynomial
        return None
    if pn is None or pd is None or pn.degree() > 1 or pd.degree() > 1 or max(pn.degree(), pd.degree()) < 1:
        return None
    return pn.coeff_monomial(x), pn.coeff_monomial(1), pd.coeff_monomial(x), pd.coeff_monomial(1)


# ---- rung 2


def _closed_forms(difference: Expr, domain: Domain) -> Proof | None:
    done = _done(difference, domain)
    special = _special(done)
    for form in dict.fromkeys((done, special)):
        if form != difference:
            proof = exactly_zero(form, domain)
            if proof is not None:
                return Proof("closed forms of the averages, " + proof.how, proof.open, proof.named)
    return None


def _done(e: Expr, domain: Domain, conditional: bool = False) -> Expr:
    """Averages carried out where closed forms hold: without further conditions, or with one proved on the domain.

    Args: conditional (closed forms that hold under a condition are kept with it, as a Piecewise).
    """
    if not e.has(Binder):
        return e
    from sympy import Piecewise

    def walk(x: Basic) -> Basic:
        if isinstance(x, Average):
            value = x.doit()
            if isinstance(value, Piecewise) and not x.has(Piecewise) and _holds(value.args[0][1], domain):
                return value.args[0][0]
            return x if value.has(Piecewise) and not x.has(Piecewise) and not conditional else value
        if not x.args or not x.has(Binder):
            return x
        return x.func(*(walk(a) for a in x.args))

    return walk(e)


def _holds(condition: Basic, domain: Domain) -> bool:
    """The condition under which a closed form holds, proved on the domain."""
    from derive.ledger.positivity import prove_relation

    return prove_relation(condition, domain) is not None


def _special(e: Expr) -> Expr:
    """Rewritings of special functions that hold without conditions."""
    from sympy import cos, sin, tan

    if e.has(sin, cos, tan):
        e = expand_trig(e)
    if e.has(polylog):
        e = expand_func(e)
    if e.has(gamma, loggamma):
        e = e.replace(lambda u: isinstance(u, loggamma) and u.args[0].is_positive, lambda u: log(gamma(u.args[0])))
        e = e.replace(lambda u: isinstance(u, gamma), expand_func)
    if any(p.exp == Rational(1, 2) and p.base.has(Rational(1, 2)) for p in e.atoms(Pow) if p.base.is_Add):
        e = sqrtdenest(e)
    return e


# ---- rung 3


def _algebra(difference: Expr, domain: Domain) -> Proof | None:
    from derive.ledger.algebra import zero_by_norm

    return with_field(domain, lambda f: zero_by_norm(f, difference, domain))


# ---- rung 4


def _calculus(difference: Expr, domain: Domain, depth: int) -> Proof | None:
    """A function that is continuous on an interval, with slope zero inside it, is constant there."""
    from derive.ledger.positivity import _Prover

    for symbol in sorted((s for s in difference.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
        if symbol.is_integer or not symbol.is_real:
            continue
        whole = _freed(symbol, domain)
        if whole is None or not _Prover(whole).continuous(difference, symbol):
            continue
        try:
            slope = carried_out(difference.diff(symbol))
        except (ValueError, NotImplementedError):
            continue
        proof = _first(partial(exactly_zero, slope, whole), partial(_closed_forms, slope, whole),
                       partial(_merged_averages, slope, whole, depth - 1))
        if proof is None:
            continue
        for point in _exact_points(symbol, whole):
            at = carried_out(difference.subs(symbol, point))
            if at.has(S.NaN, S.ComplexInfinity, S.Infinity):
                continue
            value = S.Zero if at == 0 else None
            there = Proof("") if value == 0 else vanishes(at, whole, depth=depth - 1)
            if there is not None:
                opened = tuple(dict.fromkeys((*proof.open, *there.open)))
                return Proof(f"the derivative in {symbol.name} vanishes ({proof.how}) and the sides agree at "
                             f"{symbol.name} = {point}", opened, tuple(dict.fromkeys((*proof.named, *there.named))))
    return None


def _freed(symbol: Symbol, domain: Domain) -> Domain | None:
    """The domain without the relations that bind a symbol, which then ranges over an interval; None where others'
    intervals depend on it."""
    if any(symbol in i.free_symbols for s, i in domain.intervals if s != symbol):
        return None
    return Domain(domain.intervals, tuple(c for c in domain.constraints if symbol not in c.free_symbols))


def _first(*rungs: Callable[[], Proof | None]) -> Proof | None:
    for rung in rungs:
        try:
            proof = rung()
        except (Unsupported, Full, DivergentAverage):
            continue
        if proof is not None:
            return proof
    return None


def _exact_points(symbol: Symbol, domain: Domain) -> Iterator[Expr]:
    """Simple points inside the interval of a symbol."""
    r = declared(symbol, domain)
    for value in (S.Zero, S.One, S.Half, Integer(2), Rational(-1, 2), S.NegativeOne, Rational(1, 4), Integer(4)):
        if value in r:
            yield value
    if r.lower.is_finite and r.upper.is_finite:
        middle = (r.lower + r.upper) / 2
        if not middle.free_symbols:
            yield middle


# ---- rung 5


def _merged_averages(difference: Expr, domain: Domain, depth: int) -> Proof | None:
    """A combination of averages over one law is the average of the combination."""
    if not difference.has(Average):
        return None
    from derive.ledger.merging import merged

    return merged(difference, domain, lambda e, d: vanishes(e, d, depth=max(depth - 1, 0)))


# ---- premises as an ideal


def _modulo(difference: Expr, given: Sequence[Eq], domain: Domain, attempts: _Attempts) -> Proof | None:
    """The numerator is a combination of those of the premises: pseudo-division by each premise that is linear in some
    generator with a coefficient of known sign, in turn, of the numerator and of the other premises; what is left is a
    multiple of one of them."""
    attempts.tried.append("modulo the premises")

    def work(f: Field) -> Proof | None:
        target = f.build(difference)
        waiting = [f.build(g.lhs - g.rhs).num for g in given]
        num, stuck = target.num, []
        while waiting:
            p = waiting.pop(0)
            pivot = _pivot(f, p)
            if pivot is None:
                stuck.append(p)
                continue
            num, *others = (_without(f, e, p, *pivot) for e in (num, *waiting, *stuck))
            waiting, stuck = others[:len(waiting)], others[len(waiting):]
        multiple = not num.is_zero() and any(not p.is_zero() and divmod(num, p)[1].is_zero() for p in stuck)
        how = "normal form, a multiple of a premise" if multiple else "normal form modulo the premises"
        return _concluded(f, target, how) if multiple or num.is_zero() else None

    try:
        return with_field(domain, work)
    except (Unsupported, Full):
        return None


def _pivot(f: Field, p: Any) -> tuple[int, Any] | None:
    """A generator in which a premise is linear with a coefficient of known sign, and that coefficient."""
    for index in reversed(range(len(f.gens))):
        if p.degrees()[index] == 1:
            high = f.ctx.from_dict({(*m[:index], 0, *m[index + 1:]): c for m, c in p.terms() if m[index] == 1})
            if f.sign(high):
                return index, high
    return None


def _without(f: Field, e: Any, p: Any, index: int, high: Any) -> Any:
    """e times a power of what does not vanish, with the generator that the premise p fixes put in."""
    rest = high * f.polys[index] - p
    degree = e.degrees()[index]
    total = f.ctx.constant(0)
    for k in range(degree + 1):
        part = {(*m[:index], 0, *m[index + 1:]): c for m, c in e.terms() if m[index] == k}
        if part:
            total += f.ctx.from_dict(part) * rest**k * high ** (degree - k)
    return f.reduce(total)[0]
