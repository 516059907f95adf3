"""The equations of a saddle point, alone or with thresholds above it, as one system in balls.

Unknowns are m, p = q - m^2, V = r - q and the thresholds; equations are the derivatives of the free entropy in the
first three and the residuals of the others.  All are plain expressions plus averages over a site, and so is their
Jacobian, by the rules of `site_calculus`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flint import acb, arb, arb_mat
from sympy import Expr, S, Symbol

from derive.core import SaddleStage
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.site_balls import DOUBLES, SiteBalls
from derive.ledger.site_calculus import SiteCalculus

__all__ = ["SaddleSystem"]

_SLOPE_GOAL = 16
"""Bits of the Jacobian's averages: what the operator of Krawczyk gains at a step, at most."""
_NARROW, _ROOM = 1e-6, 1.01


class SaddleSystem:
    """A saddle stage with the residuals of the unknowns around it.

    Args: stage; thresholds, pairs (unknown, residual), a residual linear in what the saddle makes known; known (balls
        or numbers of all parameters); even, whether all is unchanged when every Gaussian variable changes sign.
    Raises: NotEnclosed for a residual that is not linear so, and as SiteCalculus.
    """

    def __init__(
        self, stage: SaddleStage, thresholds: Sequence[tuple[Symbol, Expr]], known: Mapping[Symbol, Any], even: bool
    ) -> None:
        self.stage, self.known, self.even = stage, dict(known), even
        self.calculus = calculus = SiteCalculus(stage)
        self.unknowns = (*calculus.unknowns, *(x for x, _ in thresholds))
        self.goal = DOUBLES
        self.narrow: tuple[list[Any], Any] | None = None
        """A narrow box and the Jacobian on it, which holds on all boxes inside: no other would gain more at a step."""
        parts = [(calculus.entropic.diff(z), calculus.derivative(calculus.site, z)) for z in calculus.unknowns]
        self.equations = [*parts, *(self.split(residual) for _, residual in thresholds)]
        self.slopes = [
            (plain.diff(z), calculus.derivative(mean, z)) for plain, mean in self.equations for z in self.unknowns
        ]

    def split(self, e: Expr) -> tuple[Expr, Expr]:
        """An expression in what the stage makes known as a plain part and the integrand of an average."""
        calculus = self.calculus
        e = e.xreplace(calculus.overlaps)
        plain, mean = e, S.Zero
        means = [(self.stage.value, calculus.site), *((n, calculus.integrand(f)) for n, f in self.stage.averages)]
        for name, integrand in means:
            factor = e.diff(name)
            if any(other in factor.free_symbols for other, _ in means):
                raise NotEnclosed(f"an equation that is not linear in {name}")
            mean += factor * integrand
            plain = plain.xreplace({name: calculus.entropic if name == self.stage.value else S.Zero})
        return plain, mean

    def point(self, box: Sequence[Any], bits: int) -> dict[Symbol, Any]:
        """The balls of everything that is known in a box; positive unknowns stand there by their logarithm."""
        with precision(bits):
            points = {u: b.exp() if u.is_positive else b for u, b in zip(self.unknowns, box, strict=True)}
        return {**self.known, **points}

    def values(self, parts: Sequence[tuple[Expr, Expr]], box: Sequence[Any], bits: int, goal: int) -> list[Any]:
        """Balls of plain parts plus averages."""
        scope = self.point(box, bits)
        site = SiteBalls(self.calculus, scope, bits, goal, self.even)
        wanted = [k for k, (_, mean) in enumerate(parts) if mean != 0]
        means = dict(zip(wanted, site.means([parts[k][1] for k in wanted]), strict=True)) if wanted else {}
        found = []
        for k, (plain, _) in enumerate(parts):
            value = enclose(plain, scope, bits)
            if isinstance(value, acb) or not value.is_finite():
                raise NotEnclosed("the equations of the saddle point have no finite ball there")
            with precision(bits):
                found.append(value + means[k] if k in means else value)
        return found

    def at(self, box: Sequence[Any], bits: int, derivatives: bool) -> Any:
        """The equations or their Jacobian, in logarithms of positive unknowns."""
        size = len(self.unknowns)
        if not derivatives:
            return arb_mat([[v] for v in self.values(self.equations, box, bits, self.goal)])
        if self.narrow is not None and all(b.contains(k) for b, k in zip(self.narrow[0], box, strict=True)):
            return self.narrow[1]
        with precision(bits):
            box = [arb(b.mid(), b.rad() * _ROOM) for b in box]  # boxes inside may stick out by a rounding error
        scope = self.point(box, bits)
        flat = self.values(self.slopes, box, bits, _SLOPE_GOAL)
        with precision(bits):
            scales = [scope[u] if u.is_positive else 1 for u in self.unknowns]
            slopes = arb_mat([[v * k for v, k in zip(flat[i * size : (i + 1) * size], scales, strict=True)]
                              for i in range(size)])
        if all(b.rad() < _NARROW for b in box):
            self.narrow = (box, slopes)
        return slopes

    def known_there(self, box: Sequence[Any], bits: int, goal: int) -> dict[Symbol, Any]:
        """Balls of what the stage makes known, and of the thresholds, in a box."""
        names = (self.stage.value, *(n for n, _ in self.stage.averages))
        scope = self.point(box, bits)
        found = dict(zip(names, self.values([self.split(n) for n in names], box, bits, goal), strict=True))
        found |= {q: enclose(e, scope, bits) for q, e in self.calculus.overlaps.items()}
        return {**found, **{u: scope[u] for u in (self.calculus.m, *self.unknowns[3:])}}
