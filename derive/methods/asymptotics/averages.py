"""Averages that have no closed form, as transseries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr

from derive.methods.asymptotics.dominance import NotExpandable

if TYPE_CHECKING:
    from derive.methods.asymptotics.expand import Expander
    from derive.methods.asymptotics.transseries import Series

__all__ = ["expand_average"]


def expand_average(expander: Expander, e: Expr) -> Series:
    """The series of an average.

    Raises: NotExpandable.
    """
    raise NotExpandable(f"an average without closed form: {type(e).__name__}", given=str(e), allowed="closed averages")
