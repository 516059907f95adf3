"""Which independent witness catches a wrong definition: the numbers of derive.references, asked for each derivation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from numpy import interp, ravel
from sympy import Basic, Rational, Symbol

from derive.ledger.definitions import DefinitionTrial, Numbers, definition_trials
from derive.ledger.processes import each
from derive.references import FACTS, REFERENCES, VALUES, Fact, Reference

if TYPE_CHECKING:
    from derive.ensembles import Ensemble
    from derive.quantity import Quantity

__all__ = ["Comparison", "all_compared", "compared_numbers", "known_facts", "known_numbers", "mutated_definitions"]

_FLOAT = 1e-12
_SPREAD = 3  # a simulation may miss by so many of its errors


@dataclass(frozen=True)
class Comparison:
    """What the solver of a quantity gives where a number is known.

    Attributes: known (the number or numbers, with where they are from), found (nan where there is no root), agrees.
    """

    known: Reference
    found: tuple[float, ...]
    agrees: bool

    @property
    def text(self) -> str:
        """Both numbers in one line."""
        at = ", ".join(f"{k} = {v}" for k, v in self.known.parameters.items())
        place = f"interpolated at {self.known.place}" if self.known.place else ""
        at = ", ".join((at, *(k for k in (self.known.ensemble, self.known.output, place) if k)))
        found = " ".join(f"{v:.12g}" for v in self.found)
        return f"{found} at {at}, where {self.known.value} is known ({self.known.kind}: {self.known.source})"


def compared_numbers(
    quantity: Quantity, references: Iterable[Reference] = (*REFERENCES, *VALUES)
) -> list[Comparison]:
    """The solver of a quantity at the points where its value is known from elsewhere.

    The ledger is about the derivation; this is about what is solved: an equation or a branch that was handed to the
    solver and is none of the derivation's gives another number.
    """
    compared = []
    for known in _about(quantity, references):
        solution = quantity.solver()(**{k: float(Rational(v)) for k, v in known.parameters.items()})
        values = solution.outputs[known.output] if known.output else solution.value
        if known.place:
            values = interp(float(Rational(known.place)), solution.outputs["points"], values)
        found = tuple(float(v) for v in ravel(values))
        wanted = tuple(float(v) for v in known.value.split())
        error = float(known.error) * (_SPREAD if known.kind == "simulation" else 1) + _FLOAT
        near = len(found) == len(wanted) and all(abs(u - v) <= error for u, v in zip(found, wanted, strict=True))
        compared.append(Comparison(known, found, near))
    return compared


def all_compared(quantities: Sequence[Quantity], workers: int = 1) -> Iterator[tuple[int, list[Comparison]]]:
    """Comparisons of quantities, and of each with every other ensemble of which numbers are known.

    Args: quantities, workers (processes).
    Returns: pairs of a number and the comparisons of one quantity, as they are made; the numbers give their order.
    """
    tasks = [partial(compared_numbers, q) for q in quantities]
    for q in quantities:
        others = {k.ensemble for k in (*REFERENCES, *VALUES) if k.quantity == q.name} - {"", str(q.ensemble)}
        tasks += [partial(_compared_with, q, ensemble) for ensemble in sorted(others)]
    return each(tasks, workers)


def _compared_with(quantity: Quantity, ensemble: str) -> list[Comparison]:
    return compared_numbers(quantity.with_(ensemble=_ensemble(ensemble)))


def _ensemble(text: str) -> Ensemble:
    """The ensemble that is written like this."""
    from derive.ensembles import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical, VarianceManifold
    from derive.parse import parse_activation, parse_atoms, parse_variances

    first, _, variances = text.partition(", variances ")
    word, _, more = first.partition(" ")
    if word == "manifold":
        sigma = parse_activation(more) if more else None
        return VarianceManifold(parse_variances(variances), sigma) if variances else HiddenManifold(sigma)
    if word == "atoms":
        return ProductMeasure(atoms=parse_atoms(text.removeprefix("atoms ")))
    plain: dict[str, Ensemble] = {e.name: e for e in (Gaussian(), Spherical(), Binary())}
    return plain[text]


def _about(quantity: Quantity, references: Iterable[Reference]) -> Iterator[Reference]:
    """The numbers that are known of a quantity, its ensemble being the same."""
    for known in references:
        if known.quantity != quantity.name or known.ensemble not in ("", str(quantity.ensemble)):
            continue
        if known.ensemble == "" and str(quantity.ensemble) not in _usual(quantity.name):
            continue
        if {p.name for p in quantity.parameters} <= set(known.parameters):
            yield known


def known_numbers(quantity: Quantity, references: Iterable[Reference] = REFERENCES) -> list[Numbers]:
    """The numbers that are known of a quantity, as its derivation speaks of them."""
    found = []
    for known in _about(quantity, references):
        symbols = {p.name: p.symbol for p in quantity.parameters}
        values = {symbols[name]: Rational(text) for name, text in known.parameters.items()}
        symbol = _value_symbol(quantity)
        values[symbol] = Rational(known.value)
        relative = float(known.error) / max(abs(float(known.value)), 0.1)
        found.append(Numbers(values, symbol, relative, quantity.equation, known.kind, known.source))
    return [*found, *known_facts(quantity)]


def known_facts(quantity: Quantity, facts: Iterable[Fact] = FACTS) -> list[Numbers]:
    """The numbers that are known of symbols and functions of a quantity's derivation."""
    claims = [s.claim for s in quantity.derivation if isinstance(s.claim, Basic)]
    symbols = {s for claim in claims for s in claim.free_symbols if isinstance(s, Symbol)}
    found = []
    for fact in facts:
        if fact.system == quantity.system:
            values = {s: Rational(fact.symbols[s.name]) for s in symbols if s.name in fact.symbols}
            functions = {k: (Rational(value), Rational(slope)) for k, (value, slope) in fact.functions.items()}
            found.append(Numbers(values, None, float(fact.error), None, fact.kind, fact.source, functions))
    return found


def _value_symbol(quantity: Quantity) -> Symbol:
    """The symbol of the value in the equation; where that has another name there, the one that is no parameter."""
    unknown = quantity.equation.free_symbols - {p.symbol for p in quantity.parameters}
    return next(iter(unknown)) if quantity.symbol not in unknown and len(unknown) == 1 else quantity.symbol


def _usual(name: str) -> set[str]:
    from derive.catalogue import atlas

    return {str(atlas[name].ensemble)}


def mutated_definitions(
    quantities: Iterable[Quantity], *, seed: int = 0, per_step: int = 6
) -> Iterator[DefinitionTrial]:
    """Mutants of the definitions of each quantity, and what caught them."""
    for quantity in quantities:
        yield from definition_trials(
            quantity.derivation, known_numbers(quantity), seed=seed, per_step=per_step)
