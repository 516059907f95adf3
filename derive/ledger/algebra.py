"""Zero by a norm: quantities algebraic over the rational functions of the other generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr

from derive.core import Domain

if TYPE_CHECKING:
    from derive.ledger.field import Field
    from derive.ledger.ladder import Proof

__all__ = ["zero_by_norm"]


def zero_by_norm(f: Field, difference: Expr, domain: Domain) -> Proof | None:
    """lhs - rhs is a root of the polynomial that resultants leave after all algebraic generators are eliminated."""
    return None
