"""What is computed without a proof: the first guesses of a certificate, and the digits that stand where one fails."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING

from derive.core import DeriveError, SaddleStage, Solution
from derive.nodes.timebox import TimedOut, timebox

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["in_doubles", "unproven"]


def unproven(
    quantity: Quantity, exact: Mapping[str, Fraction], digits: int | None, seconds: float, doubles: Solution | None
) -> Solution | None:
    """The value without a proof: to so many digits where they come in time, else in doubles; None where none come."""
    if digits is not None:
        with suppress(DeriveError):  # out of time, or a function that mpmath does not have here
            given = {k: str(v) for k, v in exact.items()}
            return timebox(seconds, quantity.solver("mpmath"), digits=digits, **given)  # type: ignore[no-any-return]
    if doubles is None:
        with suppress(TimedOut):
            return timebox(seconds, quantity.solver(), **{k: float(v) for k, v in exact.items()})  # type: ignore[no-any-return]
    return doubles


def in_doubles(
    quantity: Quantity, exact: Mapping[str, Fraction], seconds: float
) -> tuple[Mapping[str, float], Solution | None]:
    """The unknowns in doubles (logarithms where positive) and the overlaps, and the solution; none out of reach."""
    from derive.solvers.numpy_target import all_stages, compile_numpy

    try:
        solve = compile_numpy(quantity.problem).solved
        solution, unknowns = timebox(seconds, solve, **{k: float(v) for k, v in exact.items()})
    except (DeriveError, OverflowError, ValueError, NotImplementedError):
        return {}, None
    overlaps = {s.name for k in all_stages(quantity.problem.stages) if isinstance(k, SaddleStage) for s in k.unknowns}
    found = unknowns | {k: v for k, v in solution.outputs.items() if k in overlaps or k == "branch_count"}
    return {k: float(v) for k, v in found.items() if isfinite(v)}, solution
