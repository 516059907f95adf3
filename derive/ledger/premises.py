"""Premises put to use: symbols that say what the domain says of them, and equations solved for the symbols they fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

from sympy import (
    Basic,
    Eq,
    Expr,
    Symbol,
)
from sympy.core.function import AppliedUndef

from derive.core import Domain
from derive.ledger.domain import declared, sharpened
from derive.ledger.field import Field
from derive.ledger.generators import Full, Unsupported
from derive.ledger.rewriting import carried_out, defines, rewrite
from derive.ledger.rungs import Attempts, Proof, averages_done, by_closed_forms, exactly_zero, modulo_premises
from derive.nodes.averages import DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "Pair", "Solved", "carried_in", "closed_forms", "eliminate", "eliminations", "forget", "holds_everywhere",
    "independent", "quick_proof", "said_with", "sharpened_domain", "sharpened_sides",
]


Solved = tuple[tuple[Eq, Symbol, Expr], ...]


class Pair(Basic):  # type: ignore[misc]
    """Two expressions that are rewritten together."""


def sharpened_sides(exprs: Sequence[Basic], domain: Domain) -> tuple[list[Expr], dict[Symbol, Symbol]]:
    pair = Pair(*exprs, *domain.constraints)
    new, names = sharpened(pair, domain)
    for symbol, _ in domain.intervals:
        if symbol not in names:
            names[symbol] = sharpened(symbol, domain)[0]
    return [carried_out(e) for e in new.args[: len(exprs)]], names


def sharpened_domain(domain: Domain, names: dict[Symbol, Symbol]) -> Domain:
    return Domain(
        tuple((names.get(s, s), i.xreplace(names)) for s, i in domain.intervals),
        tuple(c.xreplace(names) for c in domain.constraints),
    )


@lru_cache(maxsize=1024)
def closed_forms(e: Expr, domain: Domain) -> Expr:
    """The averages carried out, as far as that is done in time; conditions stay, to be decided at each point."""
    if not e.has(Binder):
        return e
    try:
        return timebox(4.0, averages_done, e, domain, True)
    except (TimedOut, DivergentAverage):
        return e


@lru_cache(maxsize=1024)
def holds_everywhere(equation: Eq, domain: Domain) -> bool:
    """Whether an equation is an identity, proved; every point obeys it then."""
    if equation.lhs == equation.rhs:
        return True
    proof = quick_proof(equation.lhs - equation.rhs, domain)
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
            follows = timebox(1.0, modulo_premises, difference, tuple(kept), domain, Attempts()) if kept else None
        except TimedOut:
            follows = None
        if follows is None or follows.open:
            kept.append(e)
    return tuple(kept)


def _zero_given(difference: Expr, solved: Solved, domain: Domain) -> Proof | None:
    return said_with(exactly_zero(eliminate(difference, solved), domain), "the premises")


def quick_proof(
    difference: Expr, domain: Domain, given: tuple[Eq, ...] = (), ways: Sequence[tuple[Solved, Domain]] = ()
) -> Proof | None:
    """Normal forms, by themselves and with the premises; closed forms too where there are averages, whose values cost
    more than a proof."""
    rungs: list[tuple[float, Callable[[], Proof | None]]] = [(1.5, lambda: exactly_zero(difference, domain))]
    for solved, narrowed in ways:
        if solved:
            rungs.append((1.5, partial(_zero_given, difference, solved, narrowed)))
    if given:
        rungs.append((3.0, lambda: modulo_premises(difference, given, domain, Attempts())))
    if difference.has(Binder):
        rungs.append((5.0, lambda: by_closed_forms(difference, domain)))
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


def said_with(proof: Proof | None, what: str) -> Proof | None:
    return None if proof is None else Proof(f"{proof.how}, with {what}", proof.open, proof.named)


def eliminations(given: Sequence[Eq], domain: Domain, sides: Sequence[Expr]) -> list[tuple[Solved, Domain]]:
    """Ways to use up the premises by solving each for a symbol that enters it linearly; the richest first."""
    found: Solved = ()
    for premise in given:
        p = Eq(eliminate(premise.lhs, found), eliminate(premise.rhs, found), evaluate=False)
        solved = _solve_linear(p, domain, sides)
        if solved is not None:
            symbol, value = solved
            found = (*((q, s, v.subs(symbol, value)) for q, s, v in found), (premise, symbol, value))
    constraints: list[Basic] = []
    for _, symbol, value in found:
        constraints.extend(_membership(symbol, value, domain))
    rest = tuple(eliminate(c, found) for c in domain.constraints)
    sampled = Domain(domain.intervals, (*(c for c in (*rest, *constraints) if c != True),))  # noqa: E712
    ways: list[tuple[Solved, Domain]] = [(found, sampled)]
    return ways


def carried_in(domain: Domain, given: Sequence[Eq]) -> Domain:
    """The domain in terms of what is left once premises that give values to symbols are put in: conditions on these
    symbols, and their ranges, are conditions on the values.

    >>> from sympy import Interval
    >>> m, q = Symbol("m", real=True), Symbol("q", positive=True)
    >>> carried_in(Domain(((m, Interval(0, 1)),), (q - m**2 > 0,)), [Eq(m, q/2)]).constraints
    (-q**2/4 + q > 0, q/2 <= 1)
    """
    light = [g for g in given if g.lhs.is_Symbol and defines(g) and not g.rhs.has(AppliedUndef, Binder)]
    put = [rewrite(c, light)[0] for c in domain.constraints] if light else domain.constraints
    conditions = (c for c in (*put, *_ranges(given, domain)) if c != True)  # noqa: E712
    return Domain(domain.intervals, tuple(dict.fromkeys(conditions)))


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


def eliminate(e: Basic, solved: Solved) -> Basic:
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
