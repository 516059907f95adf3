"""Where the averages over one site of a replica-symmetric free entropy have their nodes.

Panels are cut where sigma has kinks, and are as long as sigma stays small on the ellipse about one.  A Gauss-Legendre
rule on a panel errs by the size of the integrand on that ellipse (Trefethen, Approximation Theory and Approximation
Practice, theorem 19.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from flint import acb, arb
from sympy import Expr, Symbol, oo

from derive.ledger.balls import NotEnclosed, continued, enclose, precision
from derive.ledger.site_bounds import Growth, Tilt, growth_of, smooth_pieces
from derive.ledger.site_calculus import SiteCalculus

__all__ = ["LOG2", "MAX_NODES", "ROUGH", "Panel", "SitePanels", "ellipse", "gauss_error"]

MAX_NODES = 6000
"""Nodes of one rule, at most."""
_USUAL = 4
"""D where most of the weight lies, about; panels in omega are laid out for it."""
ROUGH = 64
"""Bits in which bounds are computed."""
LOG2 = 0.6931471805599453


@dataclass(frozen=True)
class Panel:
    """An interval, what sigma is there, and bounds of sigma on the ellipse of half-height `height`."""

    lower: arb
    upper: arb
    sigma: Callable[[Any], Any]
    height: arb
    real: arb
    imaginary: arb

    @property
    def half(self) -> arb:
        return (self.upper - self.lower) / 2


@lru_cache(maxsize=128)
def _rule(count: int, bits: int) -> list[tuple[arb, arb]]:
    """Gauss-Legendre nodes and weights on (-1, 1)."""
    with precision(bits):
        return [arb.legendre_p_root(count, k, True) for k in range(count)]


def ellipse(height: arb, half: arb) -> arb:
    """rho of the ellipse of that half-height about an interval."""
    ratio = height / half
    return arb((ratio + (1 + ratio * ratio).sqrt()).lower())


def gauss_error(rho: arb, count: int) -> arb:
    """The error of the rule on (-1, 1), relative to the largest modulus on the ellipse."""
    return arb(64) / 15 * rho ** (-2 * (count - 1)) / (1 - rho**-2)


class SitePanels:
    """A site at one point (or box): its constants as balls, bounds of its integrand, and the panels of each variable.

    Args: calculus; values (balls of parameters, m, p and V); bits (working precision); goal (the averages' error
        aimed at, in bits); even (whether all is unchanged when every Gaussian variable changes sign).
    Raises: NotEnclosed where no enclosure is known, or would take more nodes than are allowed.
    """

    def __init__(
        self, calculus: SiteCalculus, values: Mapping[Symbol, Any], bits: int, goal: int, even: bool = False
    ) -> None:
        self.calculus, self.values, self.bits, self.goal, self.even = calculus, values, bits, goal, even
        site = calculus.stage.site
        self.pieces = _pieces(site.activation, site.field)
        self.growth = _growth(site.activation, site.field)
        with precision(bits):
            self.m, self.p, self.V = (values[k] for k in calculus.unknowns)
            self.B, self.c, self.C, self.amplitude, self.s = (
                self.ball(e) for e in (calculus.B, calculus.c, calculus.C, calculus.amplitude, calculus.noise))
            if not (self.p > 0 and self.V > 0):
                raise NotEnclosed("averages where q = m^2 or r = q is not excluded")
            if not self.V.rad() * 200 < self.V:
                raise NotEnclosed("averages in a box that is wide in r - q")
        self.noisy = not self.s.is_zero()
        if self.noisy and not self.s > 0:
            raise NotEnclosed("averages over noise whose variance is not shown to be positive")
        with precision(ROUGH):
            self._lay_out()

    def ball(self, e: Expr) -> Any:
        """A ball of an expression in parameters and unknowns."""
        value = enclose(e, self.values, self.bits)
        if isinstance(value, acb) or not value.is_finite():
            raise NotEnclosed(f"{e} has no finite ball there")
        return value

    # ---- where the nodes are

    def _lay_out(self) -> None:
        m, p, V, s = (arb(abs(k).upper()) for k in (self.m, self.p, self.V, self.s))
        least_p = arb(self.p.lower())
        reach = (arb(2 * LOG2) * (self.goal + 16)).sqrt()
        self.kappa = arb(reach.upper())
        self.field = arb(((m + p.sqrt()) * self.kappa).upper())
        # u
        ends = self._sections(-self.kappa if not (self.even and not self.noisy) else arb(0), self.kappa)
        amplitude, B = (arb(abs(k).upper()) for k in (self.amplitude, self.B))
        free = arb(2) if m.is_zero() else (arb(6) * least_p).sqrt() / m
        reach_x = amplitude * self.growth.at(self.kappa + 2) + s.sqrt() * self.kappa

        def calm(panel: Panel) -> bool:
            moved = amplitude * panel.imaginary
            if self.noisy:
                return bool(moved**2 < 6 * self.s.lower())
            wide = amplitude * panel.real  # sigma turns complex with u: x must stay in its strip
            return bool(moved <= arb(self.tilt_at(wide, self.field).query_strip(B).lower()))

        self.u_panels = self._cover(ends, free.min(arb(1.5)), calm)
        # x
        self.reach_x = arb(reach_x.upper())
        for panel in self.u_panels if not self.noisy else ():
            self.reach_x = arb(self.reach_x.max(amplitude * panel.real).upper())
        # ellipses reach beyond the intervals: by less than a strip, and no strip is wider than these margins
        self.tilt = self.tilt_at(self.reach_x + 2 * s.sqrt(), self.field + V.sqrt())
        if self.noisy:
            strip = arb(self.tilt.query_strip(B).lower()).min(3 * arb(self.s.lower()).sqrt())
            low = arb(0) if self.even else -self.reach_x
            self.x_panels = self._plain(low, self.reach_x, strip)
        # omega: as long as the strip is where most of the weight lies
        usual = replace(self.tilt, limit=arb(_USUAL).min(self.tilt.excess))
        self.field_panels = self._plain(-self.field, self.field, self.field_strip(usual))
        # y
        spread = V.sqrt()
        cut = (2 * (arb(LOG2) * (self.goal + 16) + self.tilt.top + self.tilt.bottom)).sqrt() + 2 * self.tilt.push + 2
        self.cut = arb(cut.upper())
        self.reach_y = arb((self.field + spread * self.cut).upper())
        pull, C = self.tilt.pull, self.tilt.C

        def mild(panel: Panel) -> bool:
            f = continued_abs(panel)
            return bool(pull * (panel.real - f).max(arb(0)) < 6 and abs(C) * panel.imaginary**2 < 6)

        def continued_abs(panel: Panel) -> arb:
            return arb(abs(complex_ball(panel.sigma(panel.lower.union(panel.upper)))).upper())

        least_V = arb(self.V.lower()).sqrt()
        self.y_panels = self._cover(self._sections(-self.reach_y, self.reach_y), 2 * least_V, mild)

    def field_strip(self, tilt: Tilt) -> arb:
        return arb(tilt.field_strip.lower()).min(3 * arb(self.p.lower()).sqrt())

    def tilt_at(self, x: arb, field: arb) -> Tilt:
        pull = (abs(self.B) * x + abs(self.c)).upper()
        return Tilt(self.growth, arb(pull), self.C, arb(self.V.upper()), field)

    def _sections(self, low: arb, high: arb) -> list[tuple[arb, arb, Callable[[Any], Any]]]:
        """The parts of an interval between the kinks of sigma."""
        found = []
        for lower, upper, f in self.pieces:
            a = low if lower == -oo else enclose(lower, {}, self.bits)
            b = high if upper == oo else enclose(upper, {}, self.bits)
            a, b = (low if a <= low else a), (high if b >= high else b)
            if a < b:
                found.append((a, b, f))
            elif not a >= b:
                raise NotEnclosed("averages whose range ends at a kink")
        return found

    def _plain(self, low: arb, high: arb, strip: arb) -> list[Panel]:
        """Equal panels on an interval over which sigma is not taken."""
        count = max(1, int(float((high - low) / (2 * strip))) + 1)
        if count > MAX_NODES:
            raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
        ends = [low, *((low + (high - low) * k / count).mid() for k in range(1, count)), high]  # exact numbers
        zero = arb(0)
        return [Panel(a, b, lambda z: z, strip, zero, zero) for a, b in pairwise(ends)]

    def _cover(
        self, sections: Sequence[tuple[arb, arb, Callable[[Any], Any]]], height: arb, fits: Callable[[Panel], bool]
    ) -> list[Panel]:
        """Panels on which sigma is analytic in an ellipse as high as half a panel is long, and small enough there."""
        panels = []
        for low, high, f in sections:
            at, size = low, arb(float(height.lower()))
            grown = 0
            while True:
                end = (at + 2 * size).mid()
                last = not end < high
                end = high if last else end
                panel = panel_on(at, end, f, size)
                if panel is None or not fits(panel):
                    size, grown = size / 2, 0
                    if size < 1e-6:
                        raise NotEnclosed("averages over an activation with a singularity near the real line")
                    continue
                panels.append(panel)
                if last:
                    break
                if len(panels) > MAX_NODES:
                    raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
                at, grown = end, grown + 1
                if grown >= 2 and size < height:
                    size, grown = (2 * size).min(height), 0
                    size = arb(float(size.lower()))
        return panels

    def count(self, panels: Sequence[Panel], size: arb) -> int:
        """Nodes a panel for an error below the goal, where the integrand is as large as `size` on the ellipses."""
        rho = min((ellipse(k.height, k.half) for k in panels), key=float)
        total = float(size.log()) if size > 1 else 0.0
        count = int((LOG2 * (self.goal + 8) + total + 2) / (2 * float(rho.log()))) + 2
        if count * len(panels) > MAX_NODES:
            raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
        return count

    def error(self, panels: Sequence[Panel], count: int) -> arb:
        """Length-weighted error of the rules on the panels, relative to the size on the ellipses."""
        return sum((k.half * gauss_error(ellipse(k.height, k.half), count) for k in panels), arb(0))

    def nodes(self, panels: Sequence[Panel], counts: int | Sequence[int]) -> list[tuple[arb, arb, Panel]]:
        """Nodes, weights and panels of the rules: so many for each panel."""
        found = []
        each = [counts] * len(panels) if isinstance(counts, int) else counts
        for panel, count in zip(panels, each, strict=True):
            middle, half = (panel.lower + panel.upper) / 2, panel.half
            found += [(middle + half * t, half * w, panel) for t, w in _rule(count, self.bits)]
        return found


def complex_ball(z: Any) -> acb:
    return z if isinstance(z, acb) else acb(z)


def panel_on(low: arb, high: arb, f: Callable[[Any], Any], height: arb) -> Panel | None:
    """A panel with bounds of sigma on its ellipse; None where there are none."""
    half = (high - low) / 2
    more = (half * half + height * height).sqrt() - half
    start, end = low - more, high + more
    real, imaginary = arb(0), arb(0)
    for k in range(4):
        for j in range(2):
            across = (start + (end - start) * k / 4).union(start + (end - start) * (k + 1) / 4)
            up = (height * j / 2).union(height * (j + 1) / 2)
            value = f(acb(across, up))
            if not value.is_finite():
                return None
            value = complex_ball(value)
            real, imaginary = real.max(abs(value.real)), imaginary.max(abs(value.imag))
    return Panel(low, high, f, height, arb(real.upper()), arb(imaginary.upper()))


@lru_cache(maxsize=64)
def _pieces(sigma: Expr, h: Symbol) -> list[tuple[Expr, Expr, Callable[[Any], Any]]]:
    return [(lower, upper, _real(continued(expr, h))) for lower, upper, expr in smooth_pieces(sigma, h)]


def _real(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def value(z: Any) -> Any:
        found = f(z)
        return found.real if isinstance(z, arb) and isinstance(found, acb) and found.imag.is_zero() else found

    return value


@lru_cache(maxsize=64)
def _growth(sigma: Expr, h: Symbol) -> Growth:
    with precision(ROUGH):
        return growth_of(smooth_pieces(sigma, h), h)
