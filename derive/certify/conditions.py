"""Conditions decided by balls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flint import acb
from sympy import Basic, Rel, Symbol
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.ledger.balls import enclose

__all__ = ["holds"]


def holds(condition: Basic, known: Mapping[Symbol, Any], bits: int) -> bool | None:
    """Whether a condition holds, decided by balls; None where they do not."""
    if isinstance(condition, BooleanTrue | BooleanFalse):
        return bool(condition)
    if isinstance(condition, Not):
        inner = holds(condition.args[0], known, bits)
        return None if inner is None else not inner
    if isinstance(condition, And | Or):
        parts = [holds(c, known, bits) for c in condition.args]
        decisive = isinstance(condition, Or)
        return decisive if decisive in parts else None if None in parts else not decisive
    if not isinstance(condition, Rel):
        return None
    difference = (condition.lhs - condition.rhs).xreplace({s: v for s, v in known.items() if isinstance(v, Basic)})
    if difference == 0:
        return condition.rel_op in ("<=", ">=", "==")
    ball = enclose(difference, known, bits)
    if isinstance(ball, acb) or not ball.is_finite():
        return None
    if ball > 0:
        return condition.rel_op in (">", ">=", "!=")
    if ball < 0:
        return condition.rel_op in ("<", "<=", "!=")
    return None
