"""What a rule may see: the claim, its domain, and the claims of the premises where they are known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Basic, Eq, Expr, Interval, Rel, Symbol, oo
from sympy.logic.boolalg import And, Boolean

from derive.core import Domain, Evidence, Step, Verdict
from derive.ledger.domain import declared

__all__ = ["Context", "context", "hints_of", "parts_of", "undecided", "weakened"]


@dataclass(frozen=True)
class Context:
    """Domain of the claim, equations and inequalities that may be used, and conditions that stay open."""

    domain: Domain
    equations: tuple[Eq, ...]
    relations: tuple[Boolean, ...]
    open: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[Basic, ...]:
        """Everything that may be used."""
        return (*self.equations, *self.relations)


def context(step: Step, premises: Mapping[str, Step], only: Iterable[str] | None = None) -> Context:
    """What the premises of a step give on its domain.

    A symbol of which the step's domain says nothing keeps the interval that the premises state.  A premise that is
    known only on a smaller domain leaves that open.
    """
    used = [premises[n] for n in (step.premises if only is None else only) if n in premises]
    inherited = Domain()
    for premise in used:
        own = {s: i for s, i in premise.domain.intervals if inherited.interval(s) is None}
        inherited = Domain((*inherited.intervals, *own.items()))
    domain = inherited | step.domain
    equations: list[Eq] = []
    relations: list[Boolean] = []
    opened: list[str] = []
    for premise in used:
        if isinstance(premise.claim, str):
            continue
        opened.extend(_uncovered(premise, domain))
        for part in parts_of(premise.claim):
            if isinstance(part, Eq):
                equations.append(part)
            elif isinstance(part, Rel):
                relations.append(part)
    return Context(domain, tuple(equations), tuple(relations), tuple(dict.fromkeys(opened)))


def parts_of(claim: Basic) -> tuple[Basic, ...]:
    """The relations of a conjunction, or the claim itself."""
    return tuple(claim.args) if isinstance(claim, And) else (claim,)


def _uncovered(premise: Step, domain: Domain) -> list[str]:
    """Conditions of a premise that the domain of the claim does not imply."""
    from derive.ledger.positivity import prove_relation

    missing = []
    assert isinstance(premise.claim, Basic)
    for symbol in premise.claim.free_symbols:
        interval = premise.domain.interval(symbol)
        if isinstance(interval, Interval) and not _inside(symbol, interval, domain):
            missing.append(f"{premise.label} is known for {symbol} in {interval} only")
    for condition in premise.domain.constraints:
        if condition not in domain.constraints and prove_relation(condition, domain) is None:
            missing.append(f"{premise.label} is known where {condition} only")
    return missing


def _inside(symbol: Symbol, interval: Interval, domain: Domain) -> bool:
    if domain.interval(symbol) == interval:
        return True
    r = declared(symbol, domain)
    below = interval.start == -oo or _at_least(r.lower, interval.start, not r.lower_open and bool(interval.left_open))
    above = interval.end == oo or _at_least(interval.end, r.upper, not r.upper_open and bool(interval.right_open))
    return below and above


def _at_least(larger: Expr, smaller: Expr, strictly: bool) -> bool:
    gap = larger - smaller
    return bool(gap.is_positive if strictly else gap.is_nonnegative)


def hints_of(step: Step) -> dict[str, Any]:
    """Hints by name; of a repeated name the last."""
    return {str(name): value for name, value in step.hints}


def undecided(why: str) -> Evidence:
    """Nothing was decided, and why."""
    return Evidence(Verdict.UNDECIDED, why)


def weakened(evidence: Evidence, opened: Iterable[str]) -> Evidence:
    """A proof that leaves conditions open is not one: it corroborates, and the conditions are named."""
    opened = tuple(opened)
    if not opened or evidence.verdict is not Verdict.PROVED:
        return evidence
    return Evidence(Verdict.CORROBORATED, f"{evidence.detail}; not shown: {'; '.join(opened)}", evidence.witness)
