"""The rules by which a step follows from its premises, in one registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from derive.core import Evidence, Step, Verdict

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


def _later(step: Step, premises: Mapping[str, Step]) -> Evidence:
    return Evidence(Verdict.UNDECIDED, "the rule is not there yet")


_NAMES = ("definition assumption theorem identity evaluate differentiate substitute rearrange solve stationarity positivity "
          "monotone-root legendre stein nishimori continuity routes-agree specialise").split()
RULES: Mapping[str, Rule] = MappingProxyType(
    {n: Rule(n, _later, inspect.getdoc(_later) or "", n == "routes-agree") for n in _NAMES}
)
