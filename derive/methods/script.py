"""Writing steps: the domain and the source that the steps of a derivation have in common, said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Basic

from derive.core import Domain, Step

__all__ = ["Script"]


@dataclass(frozen=True)
class Script:
    """Makes steps that share a domain and a source.

    >>> from sympy import Eq, Symbol
    >>> step = Script(Domain(), "B1")
    >>> step("trivial", Eq(Symbol("x"), Symbol("x")), "identity", (), "x is x").source
    'B1'
    """

    domain: Domain
    source: str

    def __call__(
        self, label: str, claim: Basic | str, rule: str, premises: tuple[str, ...], text: str, *,
        domain: Domain | None = None, source: str | None = None, hints: tuple[tuple[str, Any], ...] = (),
    ) -> Step:
        """A step; `domain` adds to the common one, `source` takes the place of the common one."""
        whole = self.domain | (domain or Domain())
        return Step(label, claim, rule, premises, whole, source or self.source, text, hints)
