"""What provers of inequalities share: a domain, what it says, and the ways that a proof may take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from sympy import (
    Expr,
    Rel,
    Symbol,
)

from derive.core import Domain

__all__ = ["Signs"]


class Signs(ABC):
    """Proofs on one domain, whose symbols carry the assumptions that the domain states."""

    def __init__(self, domain: Domain, almost: frozenset[Symbol] = frozenset()) -> None:
        self.domain = domain
        self.almost = almost  # symbols for which almost every value is enough: integration variables
        self.seen: dict[tuple[Expr, bool, int], str | None] = {}

    @abstractmethod
    def positive(self, e: Expr, strict: bool, depth: int) -> str | None:
        """A reason why an expression is positive (non-negative where not strict), or None."""

    @abstractmethod
    def _logarithm(self, e: Expr, strict: bool, depth: int) -> str | None: ...

    @abstractmethod
    def _average(self, e: Expr, strict: bool, depth: int) -> str | None: ...

    @abstractmethod
    def _monotone(self, e: Expr, strict: bool, depth: int) -> str | None: ...

    def _facts(self) -> Iterator[tuple[Expr, bool]]:
        """What the domain says is positive, and whether strictly."""
        for c in self.domain.constraints:
            if isinstance(c, Rel) and c.rel_op in (">", ">=", "<", "<="):
                sign = 1 if c.rel_op in (">", ">=") else -1
                yield sign * (c.lhs - c.rhs), c.rel_op in (">", "<")
