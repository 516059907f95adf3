"""The rules by which a step follows from its premises, in one registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from derive.core import Evidence, Step
from derive.ledger import extremum, gaussian, primitive, replica, rules_algebra, rules_analysis

__all__ = ["RULES", "Rule", "RuleFunction"]

RuleFunction = Callable[[Step, Mapping[str, Step]], Evidence]


@dataclass(frozen=True)
class Rule:
    """A rule: its name, the function that checks a step by it, and in `doc` why it is exact.

    `lineage`: the rule looks at where its premises come from and is given all that they stand on.
    """

    name: str
    function: RuleFunction
    doc: str
    lineage: bool = False

    def __call__(self, step: Step, premises: Mapping[str, Step]) -> Evidence:
        return self.function(step, premises)


def _registry() -> Mapping[str, Rule]:
    functions: dict[str, RuleFunction] = {
        "definition": rules_algebra.definition,
        "assumption": rules_algebra.assumption,
        "theorem": rules_algebra.theorem,
        "identity": rules_algebra.identity,
        "evaluate": rules_algebra.evaluate,
        "differentiate": rules_algebra.differentiate,
        "substitute": rules_algebra.substitute,
        "rearrange": rules_algebra.rearrange,
        "solve": rules_algebra.solve,
        "specialise": rules_algebra.specialise,
        "stationarity": rules_analysis.stationarity,
        "positivity": rules_analysis.positivity,
        "monotone-root": rules_analysis.monotone_root,
        "legendre": rules_analysis.legendre,
        "stein": rules_analysis.stein_rule,
        "nishimori": rules_analysis.nishimori,
        "extremum": extremum.extremum,
        "primitive": primitive.primitive,
        "gaussian-kernel": gaussian.gaussian_kernel,
        "gaussian-rotation": gaussian.gaussian_rotation,
        "replica-algebra": replica.replica_algebra,
        "continuity": rules_analysis.continuity,
        "routes-agree": rules_analysis.routes_agree,
    }
    return MappingProxyType({
        name: Rule(name, function, inspect.getdoc(function) or "", name == "routes-agree")
        for name, function in functions.items()
    })


#: every rule by name
RULES: Mapping[str, Rule] = _registry()
