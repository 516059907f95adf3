"""Mutations: wrong formulas made on purpose, and how many of them the checks catch.

Every step that a rule checks is copied with one small error in its claim; the rule is asked about the copy, with the
premises as they were. All mutants are made before any of them is checked, from a fixed list of operators (OPERATORS).
Four outcomes: KILLED (REFUTED with a witness at the mutated step itself), EQUIVALENT (the mutant was proved to say the
same as the original, or to be true as well), SURVIVED (the check was content with it), UNDECIDED. Only KILLED counts:
the kill rate is killed / (generated - equivalent). Steps that are ASSUMED cannot be caught and are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from sympy import (
    Add,
    Basic,
    Eq,
    Expr,
    Ge,
    Gt,
    Identity,
    Integer,
    Interval,
    Le,
    Lt,
    MatrixSymbol,
    Max,
    Min,
    Mul,
    Pow,
    Rational,
    Rel,
    S,
    Symbol,
    Tuple,
    erf,
    erfc,
    exp,
    log,
)
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And
from sympy.printing.str import StrPrinter

from derive.core import DeriveError, Step, UniqueRoot, Verdict
from derive.ledger.asking import agreeing_points, ask, exchanged, renamed, same_claim
from derive.ledger.context import parts_of
from derive.ledger.derivation import Derivation, content_of
from derive.ledger.explained import EXPLAINED
from derive.ledger.processes import each
from derive.nodes.extremum import Extremum

__all__ = [
    "OPERATORS", "Mutant", "MutationReport", "Outcome", "Trial", "drawn_mutants", "mutants_of", "mutate", "question_of",
]

_DEPTH = 7
_SECONDS = 25.0
#: random points at which a mutated relation must hold, besides its proof, to count as true as well
_AGREEING = 10


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    EQUIVALENT = "equivalent"
    SURVIVED = "survived"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Mutant:
    """A step with one error: the derivation and the step's label, the operator, and the wrong claim."""

    derivation: str
    label: str
    operator: str
    claim: Basic


@dataclass(frozen=True)
class Trial:
    """A mutant and what its check found."""

    mutant: Mutant
    outcome: Outcome
    detail: str
    witness: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MutationReport:
    """What became of all mutants.

    Attributes: trials (in the order of generation), steps (mutated), assumed (steps left out because nothing checks
    them), seed, share (of the mutants, drawn by the seed), shared ((derivation, label) of a step -> the same of other
    steps that claim the same by the same rule from the same premises, and are mutated with it).
    """

    trials: tuple[Trial, ...]
    steps: int
    assumed: int
    seed: int
    share: float
    shared: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def count(self, outcome: Outcome, operator: str | None = None) -> int:
        """How many mutants had an outcome, by one operator or by all."""
        return sum(t.outcome is outcome and operator in (None, t.mutant.operator) for t in self.trials)

    @property
    def generated(self) -> int:
        """How many mutants were tried."""
        return len(self.trials)

    @property
    def kill_rate(self) -> float:
        """killed / (generated - equivalent); nan where there is nothing to kill."""
        refutable = self.generated - self.count(Outcome.EQUIVALENT)
        return self.count(Outcome.KILLED) / refutable if refutable else float("nan")

    @property
    def left(self) -> tuple[Trial, ...]:
        """The mutants that were neither killed nor equivalent; all of them."""
        return tuple(t for t in self.trials if t.outcome in (Outcome.SURVIVED, Outcome.UNDECIDED))

    @property
    def unexplained(self) -> tuple[Trial, ...]:
        """Those of them of which no explanation is on file."""
        return tuple(t for t in self.left if not explanation(t.mutant))

    def by_operator(self) -> dict[str, dict[str, int]]:
        """operator -> outcome -> count, operators in their fixed order."""
        names = [name for name in OPERATORS if any(t.mutant.operator == name for t in self.trials)]
        return {name: {o.value: self.count(o, name) for o in Outcome} for name in names}

    def by_step(self) -> dict[tuple[str, str], dict[str, int]]:
        """(derivation, label) -> outcome -> count."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for t in self.trials:
            found.setdefault((t.mutant.derivation, t.mutant.label), Counter())[t.outcome.value] += 1
        return {key: {o.value: counter[o.value] for o in Outcome} for key, counter in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the mutants that are left are listed one by one."""
        return {
            "generated": self.generated,
            **{o.value: self.count(o) for o in Outcome},
            "kill_rate": self.kill_rate if self.generated > self.count(Outcome.EQUIVALENT) else None,
            "steps": self.steps,
            "shared": sum(map(len, self.shared.values())),
            "assumed": self.assumed,
            "seed": self.seed,
            "share": self.share,
            "operators": self.by_operator(),
            "by_step": [
                {"derivation": d, "label": label, **counts,
                 **({"also": also} if (also := [list(k) for k in self.shared.get((d, label), ())]) else {})}
                for (d, label), counts in self.by_step().items()
            ],
            "left": [
                {"derivation": t.mutant.derivation, "label": t.mutant.label, "operator": t.mutant.operator,
                 "claim": str(t.mutant.claim), "outcome": t.outcome.value, "detail": t.detail,
                 "explanation": explanation(t.mutant)}
                for t in self.left
            ],
        }


def explanation(mutant: Mutant) -> str:
    """Why a mutant that is left need not be caught, where that is on file; empty otherwise."""
    return EXPLAINED.get((mutant.label, mutant.operator, str(mutant.claim)), "")


# ---- operators: each yields what may stand in the place of one part of a claim


def _sign(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Add):
        for at in range(len(e.args)):
            yield Add(*(-a if k == at else a for k, a in enumerate(e.args)))
    elif isinstance(e, Mul | Pow | AppliedUndef | Symbol):
        yield -e


def _coefficient(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Rational) and e not in (S.Zero, S.One, S.NegativeOne):
        yield e * Rational(3, 2)
    elif isinstance(e, Add):
        for at in range(len(e.args)):
            yield Add(*(2 * a if k == at else a for k, a in enumerate(e.args)))
    elif isinstance(e, Mul | Pow | AppliedUndef):
        yield 2 * e
        yield e * (1 + Rational(1, 10**12))


def _exponent(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Pow) and e.base is not S.Exp1 and isinstance(e.exp, Rational):
        yield e.base ** (e.exp + 1)
        yield e.base ** (e.exp * Rational(3, 2))
    elif isinstance(e, exp):
        yield exp(2 * e.args[0])


def _dropped(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Add | Mul):
        for at, a in enumerate(e.args):
            if not (isinstance(e, Mul) and a.is_Rational and abs(a) == 1):
                yield e.func(*(b for k, b in enumerate(e.args) if k != at))


def _off_by_one(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Integer) and abs(int(e)) >= 1:
        yield e + 1
        yield e - 1
    elif isinstance(e, Eq) and e.rhs == 0:
        yield Eq(e.lhs, 1, evaluate=False)


def _branch(e: Basic) -> Iterator[Basic]:
    if isinstance(e, Pow) and isinstance(e.exp, Rational) and e.exp.q == 2:
        yield -e
    elif isinstance(e, Max):
        yield Min(*e.args)
    elif isinstance(e, Min):
        yield Max(*e.args)
    elif isinstance(e, erfc | erf):
        yield e.func(-e.args[0])
    elif isinstance(e, log):
        yield log(1 / e.args[0]) if e.args[0].is_Symbol else -e
    elif isinstance(e, Extremum):
        other = "min" if str(e.args[-1]) == "max" else "max"
        yield e.func(*e.args[:-1], type(e.args[-1])(other))


def _side(e: Basic) -> Iterator[Basic]:
    flipped: dict[type, type] = {Gt: Lt, Lt: Gt, Ge: Le, Le: Ge}
    if type(e) in flipped:
        yield flipped[type(e)](*e.args, evaluate=False)
    elif isinstance(e, UniqueRoot):
        yield UniqueRoot(e.residual, e.unknown, e.interval, -e.direction)


#: the operators, by name, in the order of the report; "swapped symbol" is made from the symbols of the whole claim
OPERATORS: Mapping[str, Callable[[Basic], Iterator[Basic]] | None] = {
    "sign": _sign,
    "coefficient": _coefficient,
    "exponent": _exponent,
    "swapped symbol": None,
    "dropped term": _dropped,
    "off by one": _off_by_one,
    "wrong branch": _branch,
    "wrong side": _side,
}


def _parts(e: Basic, depth: int = _DEPTH) -> Iterator[tuple[tuple[int, ...], Basic]]:
    """The parts of a claim that may be wrong, with their paths; ranges, names of functions and sizes of matrices that
    are only named are not among them."""
    yield (), e
    if depth == 0 or isinstance(e, Symbol | Tuple | Interval | MatrixSymbol | Identity):
        return
    last = 1 if isinstance(e, UniqueRoot) else len(e.args)
    for at, a in enumerate(e.args[:last]):
        if isinstance(a, Tuple | Interval) or not isinstance(a, Expr | Rel):
            continue
        for path, part in _parts(a, depth - 1):
            yield (at, *path), part


def _put(e: Basic, path: Sequence[int], part: Basic) -> Basic:
    if not path:
        return part
    args = list(e.args)
    args[path[0]] = _put(args[path[0]], path[1:], part)
    return e.func(*args, evaluate=False) if isinstance(e, Rel) else e.func(*args)


def _swaps(claim: Basic) -> Iterator[Basic]:
    sizes = {s for m in claim.atoms(MatrixSymbol, Identity) for size in m.shape for s in size.free_symbols}
    symbols = sorted((s for s in claim.free_symbols - sizes if isinstance(s, Symbol)), key=str)
    for at, a in enumerate(symbols):
        for b in symbols[at + 1:]:
            if a.is_positive == b.is_positive:
                yield exchanged(claim, {a: b, b: a})
                yield _first_only(claim, a, b)


def _first_only(claim: Basic, a: Symbol, b: Symbol) -> Basic:
    """b in the place of one a, the last in the order of reading."""
    paths = [path for path, part in _parts(claim, 12) if part == a]
    return _put(claim, paths[-1], b) if paths else claim


def mutants_of(step: Step) -> tuple[tuple[str, Basic], ...]:
    """All mutants of a step's claim: (operator, wrong claim), without doubles and without the claim itself.

    >>> x = Symbol("x")
    >>> [str(claim) for name, claim in mutants_of(Step("s", Eq(x, 5), "identity")) if name == "off by one"]
    ['Eq(x, 6)', 'Eq(x, 4)']
    """
    claim = step.claim
    if isinstance(claim, str):
        return ()
    seen = {_key(claim)}
    found: list[tuple[str, Basic]] = []
    parts = list(_parts(claim))
    for name, operator in OPERATORS.items():
        candidates = _swaps(claim) if operator is None else (
            _rebuilt(claim, path, other) for path, part in parts for other in operator(part))
        for candidate in candidates:
            if candidate is None or candidate.has(S.NaN, S.ComplexInfinity) or not _typed(candidate):
                continue
            if not (isinstance(candidate, type(claim)) or (isinstance(claim, Rel) and isinstance(candidate, Rel))):
                continue
            key = _key(candidate)
            if key not in seen:
                seen.add(key)
                found.append((name, candidate))
    return tuple(found)


def _rebuilt(claim: Basic, path: Sequence[int], other: Basic) -> Basic | None:
    try:
        return _put(claim, path, other)
    except (DeriveError, TypeError, ValueError, AttributeError, IndexError):
        return None  # what cannot be written down cannot be claimed


def _typed(claim: Basic) -> bool:
    """Whether a matrix is equated with a matrix of its shape, and a number with a number, wherever two are equated."""
    return all(getattr(e.lhs, "shape", None) == getattr(e.rhs, "shape", None)
               for e in parts_of(claim) if isinstance(e, Rel))


def _key(claim: Basic) -> Any:
    """What makes two claims the same at sight: the two sides of an equation may be exchanged or both negated."""
    if isinstance(claim, Eq):
        difference = claim.lhs - claim.rhs
        return ("Eq", frozenset((difference, -difference)))
    return claim


# ---- trials

Progress = Callable[[int, int, Trial], None]


def mutate(
    derivations: Iterable[Derivation], *, seed: int = 0, share: float = 1.0, per_step: int = 4, workers: int = 1,
    progress: Progress | None = None,
) -> MutationReport:
    """Make mutants of every checked step and ask the rules about them.

    Args:
        derivations: a claim that several derive by one rule from the same premises is mutated once.
        seed: draws which mutants are tried where there are more than `per_step`, and the share.
        share: of all mutants, in (0, 1].
        per_step: at most so many mutants of one step, spread over the operators.
        workers: processes.
        progress: called with how many are done, how many there are, and the last trial.
    Raises: DeriveError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise DeriveError(f"share = {share} of the mutants", given=str(share), allowed="a number in (0, 1]")
    users: dict[Any, list[tuple[Derivation, Step]]] = {}
    for derivation in derivations:
        for step in derivation:
            users.setdefault(question_of(derivation, step), []).append((derivation, step))
    checked = [found for found in users.values() if found[0][1].rule not in _UNCHECKED]
    draws = [drawn_mutants(found[0][1], seed, per_step, share) for found in checked]
    mutants = [(derivation, Mutant(derivation.name, step.label, name, claim))
               for k, ((derivation, step), *_) in enumerate(checked) for name, claim in draws[k]]
    shared = {(d.name, s.label): tuple((other.name, twin.label) for other, twin in rest)
              for k, ((d, s), *rest) in enumerate(checked) if draws[k] and rest}
    trials: list[Trial | None] = [None] * len(mutants)
    tasks = [partial(try_mutant, derivation, mutant) for derivation, mutant in mutants]
    for done, (index, trial) in enumerate(each(tasks, workers)):
        trials[index] = trial
        if progress is not None:
            progress(done + 1, len(mutants), trial)
    return MutationReport(tuple(t for t in trials if t is not None), sum(map(bool, draws)),
                          len(users) - len(checked), seed, share, shared)


_UNCHECKED = ("definition", "assumption", "theorem")


def question_of(derivation: Derivation, step: Step) -> Any:
    """What a rule is asked: claim, domain and rule, and the same of the premises, without their names.

    Steps with the same question have the same answer, and an error planted in one is planted in all.
    """
    from derive.ledger.rules import RULES

    if step.rule in _UNCHECKED or RULES[step.rule].lineage:
        return content_of(derivation, step)
    places = {name: k for k, name in enumerate(step.premises)}
    hints = tuple((k, places[v] if isinstance(v, str) and v in places else v) for k, v in step.hints)
    return (step.claim, step.rule, step.domain, hints, tuple(_premise(derivation[n]) for n in step.premises))


def _premise(step: Step) -> Any:
    """A premise as a rule sees it: of a sentence, whether it is taken for granted."""
    if isinstance(step.claim, str):
        return step.rule in ("assumption", "theorem")
    return (step.claim, step.rule, step.domain)


def drawn_mutants(step: Step, seed: int, per_step: int, share: float = 1.0) -> list[tuple[str, Basic]]:
    """Some mutants of a step, drawn by the seed, by turns from each operator, beginning with any of them."""
    queues: dict[str, list[tuple[float, str, Basic]]] = {}
    written = _Text().doprint
    original = written(step.claim)
    for name, claim in mutants_of(step):
        text = f"{seed}|{step.label}|{original}|{name}|{written(claim)}".encode()
        weight = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
        queues.setdefault(name, []).append((weight, name, claim))
    for queue in queues.values():
        queue.sort(key=lambda item: item[0], reverse=True)
    start = int(_uniform(f"{seed}|{step.label}|{original}") * len(queues))
    turns = [*list(queues.values())[start:], *list(queues.values())[:start]]
    chosen: list[tuple[float, str, Basic]] = []
    while len(chosen) < per_step and any(queues.values()):
        for queue in turns:
            if queue and len(chosen) < per_step:
                chosen.append(queue.pop())
    kept = [item for item in chosen if share >= 1 or _uniform(f"{seed}/{item[1]}/{item[2]}/{step.label}") < share]
    return [(name, claim) for _, name, claim in kept]


class _Text(StrPrinter):  # type: ignore[misc]
    """What str says of many expressions that have most of their parts in common."""

    def __init__(self) -> None:
        super().__init__({"order": None})
        self.known: dict[tuple[type, Any], str] = {}

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if kwargs or not isinstance(expr, Basic):
            return str(super()._print(expr, **kwargs))
        key = (type(expr), expr)
        if key not in self.known:
            self.known[key] = super()._print(expr)
        return self.known[key]


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16], "big") / 2**64


def try_mutant(derivation: Derivation, mutant: Mutant) -> Trial:
    """Ask the rule of a step about a mutant of it."""
    if renamed(derivation, derivation[mutant.label], mutant.claim):
        return Trial(mutant, Outcome.EQUIVALENT, "the same for every value, with two symbols exchanged")
    found = ask(derivation, mutant.label, mutant.claim, seconds=_SECONDS)
    if found.verdict is Verdict.REFUTED:
        return Trial(mutant, Outcome.KILLED, found.detail, found.witness)
    same = same_claim(derivation, mutant.label, mutant.claim)
    if same is not None:
        return Trial(mutant, Outcome.EQUIVALENT, same)
    if found.verdict is Verdict.PROVED and isinstance(mutant.claim, Rel | And):
        agreed = agreeing_points(derivation, mutant.label, mutant.claim)
        if agreed >= _AGREEING:  # the rule's word is not enough
            said = f"true as well: {found.detail}; {agreed} random points agree"
            return Trial(mutant, Outcome.EQUIVALENT, said)
    outcome = Outcome.UNDECIDED if found.verdict is Verdict.UNDECIDED else Outcome.SURVIVED
    return Trial(mutant, outcome, f"{found.verdict.name}: {found.detail}", found.witness)
