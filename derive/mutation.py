"""The whole mutation report: errors planted in steps, in rules and in definitions, and what caught each."""

from __future__ import annotations

import datetime
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derive.core import DeriveError
from derive.ledger.definitions import DefinitionTrial, definition_trials
from derive.ledger.derivation import Derivation
from derive.ledger.mutants import MutationReport, Progress, mutate
from derive.ledger.processes import each
from derive.ledger.rule_mutants import RULE_MUTANTS, RuleTrial, gullible_trials, try_rule_mutant
from derive.ledger.rules import RULES
from derive.witnesses import known_numbers

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["WholeReport", "mutation_report", "rule_trials", "write_report"]

SCHEMA = 1
_PER_DEFINITION = 6


@dataclass(frozen=True)
class WholeReport:
    """What became of planted errors.

    Attributes: steps (of derivations), rules, definitions, seconds (in all).
    """

    steps: MutationReport
    rules: tuple[RuleTrial, ...]
    definitions: tuple[DefinitionTrial, ...]
    seconds: float

    @property
    def rules_without_mutant(self) -> tuple[str, ...]:
        """Rules of the registry that no mutant was made of."""
        tried = {t.rule for t in self.rules}
        return tuple(name for name in RULES if name not in tried)

    @property
    def sound(self) -> bool:
        """Whether each mutated rule was caught, and each mutated step caught or explained."""
        return not self.steps.unexplained and all(t.caught for t in self.rules)

    def by_definition(self) -> dict[tuple[str, str], tuple[int, int, str, str]]:
        """(derivation, label) -> mutants, caught, kind and source of the first witness (empty where there is none)."""
        found: dict[tuple[str, str], tuple[int, int, str, str]] = {}
        for t in self.definitions:
            made, caught, kind, source = found.get((t.derivation, t.label), (0, 0, "", ""))
            found[t.derivation, t.label] = (made + 1, caught + t.caught, kind or t.kind, source or t.found)
        return found

    def definitions_without_witness(self) -> tuple[str, ...]:
        """Labels of definitions of which no mutant was caught in any derivation."""
        caught: dict[str, int] = {}
        for (_, label), (_, number, _, _) in self.by_definition().items():
            caught[label] = caught.get(label, 0) + number
        return tuple(label for label, number in caught.items() if number == 0)

    def definitions_uncaught(self) -> tuple[tuple[str, str, str], ...]:
        """Mutated definitions that no number catches in any derivation: label, operator, claim."""
        claims = {(t.label, t.operator, t.claim): False for t in self.definitions}
        for t in self.definitions:
            claims[t.label, t.operator, t.claim] |= t.caught
        return tuple(claim for claim, caught in claims.items() if not caught)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        definitions = [
            {"derivation": d, "label": label, "generated": made, "caught": caught, "witness": kind, "found": source}
            for (d, label), (made, caught, kind, source) in self.by_definition().items()
        ]
        return {
            **self.steps.to_dict(),
            "rules": [t.to_dict() for t in self.rules],
            "rules_without_mutant": list(self.rules_without_mutant),
            "definitions": definitions,
            "definitions_without_witness": list(self.definitions_without_witness()),
            "definitions_uncaught": [list(claim) for claim in self.definitions_uncaught()],
            "seconds": round(self.seconds, 1),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
        }


def mutation_report(
    quantities: Sequence[Quantity], methods: Sequence[Derivation] = (), *, seed: int = 0, share: float = 1.0,
    workers: int = 1, progress: Progress | None = None, say: Callable[[str], None] = lambda words: None,
) -> WholeReport:
    """Plant errors in the derivations of quantities and of methods, in all rules and in the quantities' definitions.

    Args:
        quantities: whose derivations and definitions are mutated.
        methods: derivations of no quantity, mutated as well.
        seed, share: which mutants are drawn, and how many of them, in (0, 1]; all rules are always tried.
        workers: processes.
        progress: called after each mutant of a step; say: called with a word on what comes next.
    Raises: DeriveError for a share outside (0, 1].
    """
    start = time.perf_counter()
    derivations = [q.derivation for q in quantities]
    steps = mutate((*derivations, *methods), seed=seed, share=share, workers=workers, progress=progress)
    say("rules")
    rules = rule_trials(derivations, workers)
    say("definitions")
    per_step = max(1, round(_PER_DEFINITION * share))
    tasks = [partial(definition_trials, q.derivation, known_numbers(q), seed=seed, per_step=per_step)
             for q in quantities]
    found = dict(each(tasks, workers))
    definitions = tuple(t for k in sorted(found) for t in found[k])
    return WholeReport(steps, rules, definitions, time.perf_counter() - start)


def rule_trials(derivations: Iterable[Derivation], workers: int = 1) -> tuple[RuleTrial, ...]:
    """All mutated rules: those of the fixed list, then the ones that believe whatever they are told.

    Args: derivations (whose steps the latter are tried on), workers (processes).
    """
    derivations = tuple(derivations)
    tasks: list[Callable[[], list[RuleTrial]]] = [partial(_one, number) for number in range(len(RULE_MUTANTS))]
    tasks += [partial(gullible_trials, derivations, (name,)) for name in RULES]
    found = dict(each(tasks, workers))
    return tuple(t for k in sorted(found) for t in found[k])


def write_report(report: WholeReport, path: str | Path) -> Path:
    """Write a report as JSON, whole or not at all; a report that stands there is replaced.

    Raises: DeriveError where the place cannot be written to.
    """
    place = Path(path)
    text = json.dumps({"schema": SCHEMA, **report.to_dict()}, indent=1) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, place)
    except OSError as failure:
        raise DeriveError(f"{place} cannot be written: {failure.strerror}", given=str(place)) from None
    return place


def _one(number: int) -> list[RuleTrial]:
    return [try_rule_mutant(RULE_MUTANTS[number])]


def _versions() -> dict[str, str]:
    names = ("derive", "sympy", "mpmath", "python-flint")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
