"""A saddle point with the thresholds above it, enclosed: the one solution in a box, closed in on step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log2
from typing import Any

from sympy import Expr, Symbol

from derive.core import SaddleStage, Stage
from derive.ledger.balls import NotEnclosed, precision
from derive.ledger.krawczyk import contraction, contraction_box
from derive.ledger.saddle_system import SaddleSystem
from derive.ledger.site_balls import DOUBLES

__all__ = ["SaddleRoots", "saddle_chain"]

_WIDTHS = ("1e-5", "1e-7", "1e-9")
_GUARD = 64
_FIRST = 112
_STEPS = 40


def saddle_chain(stage: Stage | SaddleStage) -> tuple[list[Stage], SaddleStage] | None:
    """The stages from one down to the saddle inside it; None where there is none.

    Raises: NotEnclosed where more than one stage stands inside another.
    """
    chain: list[Stage] = []
    while isinstance(stage, Stage):
        chain.append(stage)
        if not any(saddle_chain(inner) for inner in stage.inner):
            return None
        if len(stage.inner) != 1:
            raise NotEnclosed(f"{stage.unknown.name} rests on several unknowns, a saddle point among them")
        stage = stage.inner[0]
    return chain, stage


class SaddleRoots:
    """The solution of a saddle's equations and those of the thresholds around it.

    Args: stage; thresholds (pairs of unknown and residual, to be solved for with the saddle); known (all parameters);
        overlaps (m, q, r), about; starts (the thresholds, about; logarithms where positive); even, as SaddleSystem.
    Raises: krawczyk.NoBox where no box with one solution is found, NotEnclosed.
    """

    def __init__(
        self, stage: SaddleStage, thresholds: Sequence[tuple[Symbol, Expr]], known: Mapping[Symbol, Any],
        overlaps: Sequence[float], starts: Sequence[float], even: bool,
    ) -> None:
        self.system = SaddleSystem(stage, thresholds, known, even)
        m, q, r = overlaps
        if not (q > m * m and r > q):
            raise NotEnclosed("overlaps on the boundary q = m^2 or r = q")
        self.whole, self.box = contraction_box(
            self.system.at, [m, log(q - m * m), log(r - q), *starts], _WIDTHS, bits=_FIRST)

    @property
    def brackets(self) -> dict[str, Any]:
        """Unknown -> the interval of the box in which the solution is the only one."""
        names = [f"log {u.name}" if u.is_positive else u.name for u in self.system.unknowns]
        return dict(zip(names, self.whole, strict=True))

    def refine(self, bits: int) -> None:
        """Close in until the box is as narrow as 2^-bits, or no step narrows it."""
        for _ in range(_STEPS):
            width = max(float(b.rad()) / max(1.0, abs(float(b.mid()))) for b in self.box)
            if width < 2.0**-bits:
                return
            self.system.goal = min(bits + 8, max(DOUBLES, int(32 - log2(width)) if width > 0 else bits + 8))
            image = contraction(self.system.at, self.box, self.system.goal + _GUARD)
            with precision(self.system.goal + _GUARD):
                smaller = [b.intersection(k) for b, k in zip(self.box, image, strict=True)]
            narrowed = max(float(k.rad()) / max(1.0, abs(float(k.mid()))) for k in smaller)
            self.box = smaller
            if narrowed * 2 > width:
                return

    def known(self, bits: int) -> dict[Symbol, Any]:
        """Balls of the overlaps, the free entropy, the averages and the thresholds, with errors of about 2^-bits."""
        return self.system.known_there(self.box, bits + _GUARD, bits)
