"""Derivations and their ledgers: ordered steps, and what the rules found of each."""

from __future__ import annotations

import difflib
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import Basic, latex

from derive.core import DeriveError, Evidence, Step, Verdict

__all__ = ["SCHEMA", "Derivation", "Ledger", "Progress", "check_many", "check_step", "content_of"]

#: version of the ledger's JSON
SCHEMA = 1

#: called after each step with the derivation's name, the step and what was found
Progress = Callable[[str, Step, Evidence], None]


@dataclass(frozen=True)
class Derivation:
    """A calculation from its definitions to its result, in steps that can be checked.

    Attributes
    ----------
    name: plain name ("collapse-time").
    title: what is derived, in words.
    steps: in the order of reading; a step uses only earlier ones.

    Raises: DeriveError for a label that occurs twice, an unknown, later or circular premise, an unknown rule, a claim
    that is a sentence where the rule needs mathematics.

    >>> from sympy import Eq, Symbol
    >>> x = Symbol("x", real=True)
    >>> steps = (Step("square", Eq((x + 1)**2, x**2 + 2*x + 1), "identity"),)
    >>> Derivation("square", "The square of a sum", steps).check().verdict.name
    'PROVED'
    """

    name: str
    title: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        _check_form(self)

    def __getitem__(self, label: str) -> Step:
        for step in self.steps:
            if step.label == label:
                return step
        near = _nearest(label, self.labels)
        raise DeriveError(
            f"{self.name} has no step {label!r}{_hint(near)}",
            given=label, allowed=", ".join(self.labels), nearest=near)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __contains__(self, label: object) -> bool:
        return any(step.label == label for step in self.steps)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(step.label for step in self.steps)

    @property
    def conclusion(self) -> Step:
        """The last step."""
        return self.steps[-1]

    @property
    def assumptions(self) -> tuple[Step, ...]:
        """What is taken for granted: assumptions and cited theorems (definitions are not among them)."""
        return tuple(step for step in self.steps if step.rule in ("assumption", "theorem"))

    @property
    def definitions(self) -> tuple[Step, ...]:
        """The definitions."""
        return tuple(step for step in self.steps if step.rule == "definition")

    def ancestors(self, label: str) -> frozenset[str]:
        """Labels of all steps on which a step stands, itself left out."""
        found: set[str] = set()
        waiting = list(self[label].premises)
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting.extend(self[current].premises)
        return frozenset(found)

    def closure(self, label: str) -> dict[str, Step]:
        """The premises of a step, and theirs, down to the ground, by label; its own premises first."""
        own = self[label].premises
        rest = self.ancestors(label) - set(own)
        return {name: self[name] for name in (*own, *(n for n in self.labels if n in rest))}

    def extend(self, *more: Step | Iterable[Step], name: str | None = None, title: str | None = None) -> Derivation:
        """This derivation with further steps at its end, under a new name where one is given."""
        added = tuple(step for item in more for step in ((item,) if isinstance(item, Step) else tuple(item)))
        return Derivation(name or self.name, title or self.title, (*self.steps, *added))

    def up_to(self, label: str, name: str | None = None, title: str | None = None) -> Derivation:
        """The part of this derivation that a step stands on, and that step, which is then the conclusion."""
        kept = self.ancestors(label) | {label}
        return Derivation(name or self.name, title or self.title, tuple(s for s in self.steps if s.label in kept))

    def check(self, progress: Progress | None = None, workers: int = 1) -> Ledger:
        """Check every step by its rule, from its claim and its premises alone.

        Args: progress (called after each step), workers (processes).
        Returns: the ledger; it has one entry a step, in order.
        """
        return check_many((self,), workers=workers, progress=progress)[self.name]

    def latex(self) -> str:
        """The steps as lines of one LaTeX `align` environment, each with its label; sentences stand as text."""
        lines = [rf"{_aligned(step.claim)} && \text{{({step.label})}}" for step in self.steps]
        return "\\begin{align}\n" + " \\\\\n".join(lines) + "\n\\end{align}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: claims as text and LaTeX."""
        return {"schema": SCHEMA, "name": self.name, "title": self.title, "steps": [_step_dict(s) for s in self.steps]}


@dataclass(frozen=True)
class Ledger(Mapping[str, Evidence]):
    """What was found of each step of a derivation: a mapping from its labels to Evidence."""

    derivation: Derivation
    evidence: Mapping[str, Evidence] = field(repr=False)

    def __getitem__(self, label: str) -> Evidence:
        if label not in self.evidence:
            self.derivation[label]  # an unknown label is named with the nearest
        return self.evidence[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.derivation.labels)

    def __len__(self) -> int:
        return len(self.derivation)

    __hash__ = None  # type: ignore[assignment]

    @property
    def verdict(self) -> Verdict:
        """The verdict of the weakest step, given the assumptions."""
        return Verdict.weakest(e.verdict for e in self.values())

    @property
    def sound(self) -> bool:
        """Whether no step is REFUTED or UNDECIDED."""
        return self.verdict.sound

    @property
    def counts(self) -> dict[str, int]:
        """How many steps have each verdict, by name, strongest first; verdicts that do not occur have 0."""
        found = Counter(e.verdict for e in self.values())
        order = sorted(Verdict, key=lambda v: (v is Verdict.ASSUMED, -v.value))
        return {v.name: found[v] for v in order}

    @property
    def proved_share(self) -> float:
        """Share of PROVED among the steps that are not ASSUMED; 1 where there are none."""
        checked = [e for e in self.values() if e.verdict is not Verdict.ASSUMED]
        return sum(e.verdict is Verdict.PROVED for e in checked) / len(checked) if checked else 1.0

    @property
    def exceptions(self) -> dict[str, Evidence]:
        """The checked steps that are not PROVED: label -> evidence."""
        return {k: e for k, e in self.items() if e.verdict not in (Verdict.PROVED, Verdict.ASSUMED)}

    @property
    def seconds(self) -> float:
        """Time spent on checking."""
        return sum(e.seconds for e in self.values())

    def rows(self) -> tuple[dict[str, Any], ...]:
        """One row a step, for reports: label, claim (LaTeX), text, rule, premises, verdict, detail, witness, seconds,
        source."""
        return tuple(
            {"label": s.label, "claim": claim_latex(s.claim), "text": s.text, "rule": s.rule, "premises": s.premises,
             "verdict": self[s.label].verdict.name, "detail": self[s.label].detail,
             "witness": dict(self[s.label].witness), "seconds": self[s.label].seconds, "source": s.source}
            for s in self.derivation
        )

    def table(self, width: int = 110) -> str:
        """The ledger as plain text, one line a step."""
        from derive.ledger.report import text_table

        return text_table(self, width)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: counts by verdict and the claims."""
        claims = [
            {"quantity": self.derivation.name, **_step_dict(s), "verdict": self[s.label].verdict.name,
             "detail": self[s.label].detail, "witness": dict(self[s.label].witness)}
            for s in self.derivation
        ]
        return {"schema": SCHEMA, "quantity": self.derivation.name, "verdict": self.verdict.name, "counts": self.counts,
                "claims": claims}


def check_step(derivation: Derivation, label: str) -> Evidence:
    """What the step's rule finds of its claim, from the step and its premises alone, and the time it took.

    A rule that looks at the lineage of its premises (routes-agree) is given all that they stand on.  What the rule
    cannot decide, or proves under conditions that it could not discharge, is REFUTED still where a point obeys the
    premises and not the claim.
    """
    from derive.ledger.counterexamples import counterexample
    from derive.ledger.rules import RULES

    step = derivation[label]
    rule = RULES[step.rule]
    seen = derivation.closure(label) if rule.lineage else {name: derivation[name] for name in step.premises}
    start = time.perf_counter()
    try:
        evidence = rule(step, seen)
    except (ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError) as failure:
        why = str(failure).splitlines()[0][:200] if str(failure) else ""
        detail = f"the rule could not handle the claim: {type(failure).__name__} {why}".strip()
        evidence = Evidence(Verdict.UNDECIDED, detail)
    if evidence.verdict in (Verdict.UNDECIDED, Verdict.CORROBORATED):
        own = {name: seen[name] for name in step.premises}
        evidence = counterexample(step, own) or evidence
    if evidence.verdict not in (Verdict.REFUTED, Verdict.ASSUMED):
        evidence = _undefined(step, {name: seen[name] for name in step.premises}) or evidence
    return Evidence(evidence.verdict, evidence.detail, evidence.witness, time.perf_counter() - start)


def _undefined(step: Step, premises: Mapping[str, Step]) -> Evidence | None:
    """A refutation where the claim, as it was written, is not defined on all of its domain."""
    from derive.ledger.context import context
    from derive.ledger.poles import cancelled_pole

    ctx = context(step, premises)
    return None if ctx.open else cancelled_pole(step, ctx.domain, ctx.facts)


def check_many(
    derivations: Iterable[Derivation], workers: int = 1, progress: Progress | None = None
) -> dict[str, Ledger]:
    """Check several derivations; a step that several share, with the same premises, is checked once.

    Args: derivations; workers (processes; 1 checks in this one); progress (called once for each step).
    Returns: name -> Ledger.
    Raises: DeriveError for two different derivations of one name.
    """
    derivations = tuple(derivations)
    names = Counter(d.name for d in dict.fromkeys(derivations))
    if doubled := [n for n, k in names.items() if k > 1]:
        raise DeriveError(
            f"two derivations have the name {doubled[0]}", given=doubled[0], allowed="one derivation a name")
    users: dict[Any, list[tuple[str, str]]] = {}
    tasks: dict[Any, tuple[Derivation, str]] = {}
    for derivation in derivations:
        for step in derivation:
            key = content_of(derivation, step)
            users.setdefault(key, []).append((derivation.name, step.label))
            tasks.setdefault(key, (derivation, step.label))
    by_name = {d.name: d for d in derivations}
    found: dict[tuple[str, str], Evidence] = {}
    for key, evidence in _run(tasks, workers):
        for index, (name, label) in enumerate(users[key]):
            share = evidence if index == 0 else Evidence(evidence.verdict, evidence.detail, evidence.witness, 0.0)
            found[name, label] = share
            if progress is not None:
                progress(name, by_name[name][label], share)
    return {d.name: Ledger(d, {label: found[d.name, label] for label in d.labels}) for d in derivations}


def _run(tasks: Mapping[Any, tuple[Derivation, str]], workers: int) -> Iterator[tuple[Any, Evidence]]:
    global _TASKS
    keys = list(tasks)
    threaded = "jax" in sys.modules  # its threads do not survive a fork
    if workers <= 1 or len(keys) < 2 or threaded or "fork" not in multiprocessing.get_all_start_methods():
        for key in keys:
            yield key, check_step(*tasks[key])
        return
    from derive.ledger import rules  # noqa: F401 - imported once, before the processes part

    _TASKS = [tasks[key] for key in keys]
    try:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            for index, evidence in pool.imap_unordered(_work, range(len(keys))):
                yield keys[index], evidence
    finally:
        _TASKS = []


#: what the worker processes inherit; only verdicts travel back
_TASKS: list[tuple[Derivation, str]] = []


def _work(index: int) -> tuple[int, Evidence]:
    return index, check_step(*_TASKS[index])


def content_of(derivation: Derivation, step: Step) -> tuple[Any, ...]:
    """All that a check can depend on, as a key."""
    from derive.ledger.rules import RULES

    def bare(s: Step) -> tuple[Any, ...]:
        return (s.label, s.claim, s.rule, s.premises, s.domain, s.hints, s.source)

    if RULES[step.rule].lineage:
        return (bare(step), tuple(bare(s) for s in derivation.closure(step.label).values()))
    return (bare(step), tuple((derivation[n].claim, derivation[n].domain, derivation[n].rule) for n in step.premises))


def _check_form(derivation: Derivation) -> None:
    from derive.ledger.rules import RULES

    name = derivation.name
    if not derivation.steps:
        raise DeriveError(f"{name} has no steps", given=name, allowed="at least one step")
    counts = Counter(s.label for s in derivation.steps)
    if doubled := [label for label, count in counts.items() if count > 1]:
        raise DeriveError(f"{name} has two steps labelled {doubled[0]!r}", given=doubled[0], allowed="one step a label")
    known: set[str] = set()
    for step in derivation.steps:
        for premise in step.premises:
            if premise not in counts:
                near = _nearest(premise, counts)
                raise DeriveError(f"step {step.label!r} of {name} stands on {premise!r}, which is no step{_hint(near)}",
                                  given=premise, allowed=", ".join(counts), nearest=near)
            if premise not in known:
                what = "circular" if _reaches(derivation.steps, premise, step.label) else "a later step"
                raise DeriveError(f"step {step.label!r} of {name} stands on {premise!r}, which is {what}",
                                  given=premise, allowed="earlier steps")
        known.add(step.label)
        if step.rule not in RULES:
            near = _nearest(step.rule, RULES)
            raise DeriveError(
                f"step {step.label!r} of {name} names the rule {step.rule!r}, which is unknown{_hint(near)}",
                given=step.rule, allowed=", ".join(RULES), nearest=near)
        if isinstance(step.claim, str) and step.rule not in ("assumption", "theorem", "definition"):
            raise DeriveError(
                f"step {step.label!r} of {name} claims a sentence; the rule {step.rule!r} needs a relation",
                given=step.claim, allowed="a relation such as Eq(lhs, rhs)")
        if not isinstance(step.claim, str | Basic):
            raise DeriveError(
                f"step {step.label!r} of {name} claims {step.claim!r}, which is neither relation nor sentence",
                given=repr(step.claim), allowed="a SymPy relation or a sentence")


def _reaches(steps: tuple[Step, ...], start: str, goal: str) -> bool:
    """Whether following premises from one label leads to another."""
    by_label = {s.label: s for s in steps}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        label = waiting.pop()
        if label == goal:
            return True
        if label not in seen and label in by_label:
            seen.add(label)
            waiting.extend(by_label[label].premises)
    return False


def _nearest(given: str, allowed: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(given, list(allowed), 1)), None)


def _hint(near: str | None) -> str:
    return f"; did you mean {near!r}?" if near else ""


def claim_latex(claim: Basic | str) -> str:
    """A claim as LaTeX; a sentence as text."""
    from derive.core import UniqueRoot

    if isinstance(claim, str):
        return rf"\text{{{claim}}}"
    if isinstance(claim, UniqueRoot):
        return rf"{latex(claim.residual)} = 0 \text{{ once for }} {latex(claim.unknown)} \in {latex(claim.interval)}"
    return str(latex(claim))


def _aligned(claim: Basic | str) -> str:
    from sympy import Rel

    if isinstance(claim, Rel):
        sign = {"==": "=", "<": "<", "<=": r"\leq", ">": ">", ">=": r"\geq", "!=": r"\neq"}[claim.rel_op]
        return f"{latex(claim.lhs)} &{sign} {latex(claim.rhs)}"
    return f"& {claim_latex(claim)}"


def _step_dict(step: Step) -> dict[str, Any]:
    claim = step.claim if isinstance(step.claim, str) else str(step.claim)
    return {"label": step.label, "claim": claim, "latex": claim_latex(step.claim), "rule": step.rule,
            "premises": list(step.premises), "source": step.source, "text": step.text}
