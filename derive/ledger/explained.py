"""Mutants that are neither caught nor proved to say the same, and why each is none the worse for it.

Nothing is left out of a report for being named here: the explanation stands beside the mutant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["EXPLAINED"]

#: (label of the step, operator, wrong claim as text) -> the explanation
EXPLAINED: Mapping[tuple[str, str, str], str] = MappingProxyType({})
