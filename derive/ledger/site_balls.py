"""Proven enclosures of the averages over one site of a replica-symmetric free entropy.

Three averages lie within one another: over the planted field u, over the query x (where it is noisy) and over the
common field omega; inside them stand log Z(x, omega) and tilted means over y = omega + sqrt(V) w.  All are taken by
Gauss-Legendre rules on panels, cut where sigma has kinks, so that an average is a product of matrices of balls.  Each
rule's error is bounded by the size of the integrand on ellipses about the panels (Trefethen, Approximation Theory and
Approximation Practice, theorem 19.3), and what lies beyond the panels by Gaussian tails: `site_bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from flint import acb, arb, arb_mat
from sympy import Expr, Poly, Symbol, oo

from derive.ledger.balls import NotEnclosed, continued, enclose, precision
from derive.ledger.site_bounds import LOSS, SHIFT, Growth, Tilt, growth_of, smooth_pieces, tail_moment
from derive.ledger.site_calculus import ENTRY, LOG, SiteCalculus, U, X

__all__ = ["SiteBalls"]

MAX_NODES = 6000
"""Nodes of one rule, at most."""
MAX_PLANE = 3_000_000
"""Points (x, omega) at most."""
_USUAL = 4
"""D where most of the weight lies, about; panels in omega are laid out for it."""
_ROUGH = 64
_LOG2 = 0.6931471805599453


@dataclass(frozen=True)
class _Panel:
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


@dataclass(frozen=True)
class _Monomial:
    """size * u^.. sigma(u)^.. * (powers of x, log Z and moments)."""

    size: arb
    outer: tuple[int, int]
    inner: tuple[tuple[Any, int], ...]


@lru_cache(maxsize=32)
def _rule(count: int, bits: int) -> list[tuple[arb, arb]]:
    """Gauss-Legendre nodes and weights on (-1, 1)."""
    with precision(bits):
        return [arb.legendre_p_root(count, k, True) for k in range(count)]


def _ellipse(height: arb, half: arb) -> arb:
    """rho of the ellipse of that half-height about an interval."""
    ratio = height / half
    return arb((ratio + (1 + ratio * ratio).sqrt()).lower())


def _gauss_error(rho: arb, count: int) -> arb:
    """The error of the rule on (-1, 1), relative to the largest modulus on the ellipse."""
    return arb(64) / 15 * rho ** (-2 * (count - 1)) / (1 - rho**-2)


class SiteBalls:
    """The site of a saddle stage at one point (or box): values of all symbols of its calculus as balls.

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
        with precision(_ROUGH):
            self._lay_out()
        self._moments: dict[tuple[int, int], list[Any]] = {}

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
        reach = (arb(2 * _LOG2) * (self.goal + 16)).sqrt()
        self.kappa = arb(reach.upper())
        self.field = arb(((m + p.sqrt()) * self.kappa).upper())
        # u
        ends = self._sections(-self.kappa if not (self.even and not self.noisy) else arb(0), self.kappa)
        amplitude, B = (arb(abs(k).upper()) for k in (self.amplitude, self.B))
        free = arb(2) if m.is_zero() else (arb(6) * least_p).sqrt() / m
        reach_x = amplitude * self.growth.at(self.kappa + 2) + s.sqrt() * self.kappa

        def calm(panel: _Panel) -> bool:
            moved = amplitude * panel.imaginary
            if self.noisy:
                return bool(moved**2 < 6 * self.s.lower())
            wide = amplitude * panel.real  # sigma turns complex with u: x must stay in its strip
            return bool(moved <= arb(self._tilt(wide.max(reach_x), self.field).query_strip(B).lower()))

        self.u_panels = self._cover(ends, free.min(arb(1.5)), calm)
        # x
        self.reach_x = arb(reach_x.upper())
        for panel in self.u_panels if not self.noisy else ():
            self.reach_x = arb(self.reach_x.max(amplitude * panel.real).upper())
        # ellipses reach beyond the intervals: by less than a strip, and no strip is wider than these margins
        self.tilt = self._tilt(self.reach_x + 2 * s.sqrt(), self.field + V.sqrt())
        if self.noisy:
            strip = arb(self.tilt.query_strip(B).lower()).min(3 * arb(self.s.lower()).sqrt())
            low = arb(0) if self.even else -self.reach_x
            self.x_panels = self._plain(low, self.reach_x, strip)
        # omega: as long as the strip is where most of the weight lies
        usual = replace(self.tilt, limit=arb(_USUAL).min(self.tilt.excess))
        self.field_panels = self._plain(-self.field, self.field, self._field_strip(usual))
        # y
        spread = V.sqrt()
        cut = (2 * (arb(_LOG2) * (self.goal + 16) + self.tilt.top + self.tilt.bottom)).sqrt() + 2 * self.tilt.push + 2
        self.cut = arb(cut.upper())
        self.reach_y = arb((self.field + spread * self.cut).upper())
        pull, C = self.tilt.pull, self.tilt.C

        def mild(panel: _Panel) -> bool:
            f = continued_abs(panel)
            return bool(pull * (panel.real - f).max(arb(0)) < 6 and abs(C) * panel.imaginary**2 < 6)

        def continued_abs(panel: _Panel) -> arb:
            return arb(abs(_complex(panel.sigma(panel.lower.union(panel.upper)))).upper())

        least_V = arb(self.V.lower()).sqrt()
        self.y_panels = self._cover(self._sections(-self.reach_y, self.reach_y), 2 * least_V, mild)

    def _field_strip(self, tilt: Tilt) -> arb:
        return arb(tilt.field_strip.lower()).min(3 * arb(self.p.lower()).sqrt())

    def _tilt(self, x: arb, field: arb) -> Tilt:
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

    def _plain(self, low: arb, high: arb, strip: arb) -> list[_Panel]:
        """Equal panels on an interval over which sigma is not taken."""
        count = max(1, int(float((high - low) / (2 * strip))) + 1)
        if count > MAX_NODES:
            raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
        ends = [low, *((low + (high - low) * k / count).mid() for k in range(1, count)), high]  # exact numbers
        zero = arb(0)
        return [_Panel(a, b, lambda z: z, strip, zero, zero) for a, b in pairwise(ends)]

    def _cover(
        self, sections: Sequence[tuple[arb, arb, Callable[[Any], Any]]], height: arb, fits: Callable[[_Panel], bool]
    ) -> list[_Panel]:
        """Panels on which sigma is analytic in an ellipse as high as half a panel is long, and small enough there."""
        panels = []
        for low, high, f in sections:
            at, size = low, arb(float(height.lower()))
            grown = 0
            while True:
                end = (at + 2 * size).mid()
                last = not end < high
                end = high if last else end
                panel = _panel(at, end, f, size)
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

    def _count(self, panels: Sequence[_Panel], size: arb) -> int:
        """Nodes a panel for an error below the goal, where the integrand is as large as `size` on the ellipses."""
        rho = min((_ellipse(k.height, k.half) for k in panels), key=float)
        total = float(size.log()) if size > 1 else 0.0
        count = int((_LOG2 * (self.goal + 8) + total + 2) / (2 * float(rho.log()))) + 2
        if count * len(panels) > MAX_NODES:
            raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
        return count

    def _error(self, panels: Sequence[_Panel], count: int) -> arb:
        """Length-weighted error of the rules on the panels, relative to the size on the ellipses."""
        return sum((k.half * _gauss_error(_ellipse(k.height, k.half), count) for k in panels), arb(0))

    def _nodes(self, panels: Sequence[_Panel], count: int) -> list[tuple[arb, arb, _Panel]]:
        found = []
        for panel in panels:
            middle, half = (panel.lower + panel.upper) / 2, panel.half
            found += [(middle + half * t, half * w, panel) for t, w in _rule(count, self.bits)]
        return found

    # ---- the averages

    def means(self, integrands: Sequence[Expr]) -> list[Any]:
        """Balls of the averages over u, x and omega of polynomials in u, sigma(u), x, log Z and tilted moments."""
        with precision(self.bits):
            polys = [self._monomials(e) for e in integrands]
        with precision(_ROUGH):
            parts = [self._bounds(poly) for poly in polys]
            size_u, size_x = (max((p[k] for p in parts), key=float, default=arb(1)) for k in range(2))
            count_u = self._count(self.u_panels, size_u)
            count_x = self._count(self.x_panels, size_x) if self.noisy else 0
            error_u = self._error(self.u_panels, count_u)
            error_x = self._error(self.x_panels, count_x) if self.noisy else arb(0)
        with precision(self.bits):
            rows, weights, total = self._weights(count_u, count_x, polys)
            count_field, errors = self._field_rule(polys, [x for x, _ in rows], weights)
            fields = self._nodes(self.field_panels, count_field)
            if len(rows) * len(fields) > MAX_PLANE:
                raise NotEnclosed(f"averages that take more than {MAX_PLANE} points")
            scale, half = 1 / (2 * arb.pi() * self.p).sqrt(), -1 / (2 * self.p)
            gauss = [[w * scale * (half * _power(f - self.m * u, 2)).exp() for f, w, _ in fields] for u in self.us]
            planes, kept, dropped = self._kept(self._planes(weights, gauss))
            values = self._values([x for x, _ in rows], fields, polys, kept)
            sums = self._sums(polys, planes, values)
        fold = 2 if self.even else 1
        found = []
        for poly, value, in_field, (in_u, in_x, beyond) in zip(polys, sums, errors, parts, strict=True):
            with precision(_ROUGH):
                beyond = beyond + self._left_out(poly, dropped)
                radius = error_u * in_u + error_x * in_x * abs(total).upper() + in_field + beyond
                radius = arb(radius.upper())
            if not radius.is_finite():
                raise NotEnclosed("an average whose error has no bound")
            with precision(self.bits):
                found.append(fold * value + arb(0, fold * radius))
        return found

    def _monomials(self, e: Expr) -> list[_Monomial]:
        moments = self.calculus.moments_of(e)
        inner: list[tuple[Symbol, Any]] = [(X, "x"), (LOG, "log"), *((s, k) for s, k in moments.items())]
        poly = Poly(e, U, ENTRY, *(s for s, _ in inner))
        found = []
        for (i, j, *rest), size in poly.terms():
            powers = tuple((key, n) for (_, key), n in zip(inner, rest, strict=True) if n)
            found.append(_Monomial(self.ball(size), (i, j), powers))
        return found

    def _bounds(self, poly: Sequence[_Monomial]) -> tuple[arb, arb, arb]:
        """Size of the integrand on the ellipses in u and x, densities included, and what lies beyond."""
        root = (2 * arb.pi()).sqrt()
        m, amplitude = (arb(abs(k).upper()) for k in (self.m, self.amplitude))
        least_p, least_s = arb(self.p.lower()), arb(self.s.lower())
        real_u, entry = self.kappa, self.growth.at(self.kappa)
        plain, zero = arb(1), arb(0)
        # u
        height = max((k.height for k in self.u_panels), key=float)
        wide = max((k.real for k in self.u_panels), key=float)
        turn = max((k.imaginary for k in self.u_panels), key=float)
        density = (height**2 / 2 + m**2 * height**2 / (2 * least_p)).exp() / root
        if self.noisy:
            density = density * (amplitude**2 * turn**2 / (2 * least_s)).exp()
            in_u = self._size(poly, real_u + 2 * height, wide + turn, self.reach_x, self.tilt, plain, zero, zero)
        else:
            in_u = self._size(poly, real_u + 2 * height, wide + turn, amplitude * (wide + turn), self.tilt, LOSS, zero,
                              SHIFT)
        in_u = in_u * density
        # x
        in_x = zero
        if self.noisy:
            strip = self.x_panels[0].height
            density = (strip**2 / (2 * least_s)).exp() / (root * least_s.sqrt())
            in_x = density * self._size(poly, real_u, entry, self.reach_x + 2 * strip, self.tilt, LOSS, zero, SHIFT)
        return in_u, in_x, self._beyond(poly)

    def _field_rule(
        self, polys: Sequence[Sequence[_Monomial]], xs: Sequence[arb], weights: Mapping[tuple[int, int], Any]
    ) -> tuple[int, list[arb]]:
        """Nodes a panel in omega, and the error that this makes in each average.

        The strip in which log Z is analytic is wide where the tilt is small, and narrow only at points (x, omega) of
        little weight: D is bounded at each node x on each panel, from the means of sigma and sigma^2 there, rounded up
        to a power of two, and the weights are summed for each of these levels.
        """
        levels = self._levels(xs)
        reach = [(k.lower - k.height, k.upper + k.height) for k in self.field_panels]
        scale, half = 1 / (2 * arb.pi() * self.p).sqrt(), -1 / (2 * self.p)
        highest = []
        for u in self.us:
            at = self.m * u
            away = [(a - at).max(at - b).max(arb(0)) for a, b in reach]
            highest.append([scale * (half * _power(d, 2)).exp() for d in away])
        plain = {(0, 0): weights[0, 0]}
        width = len(reach)
        mass: dict[int, list[arb]] = {}
        for k, weight in enumerate(self._planes(plain, highest)[0, 0]):
            row = mass.setdefault(levels[k // width][k % width], [arb(0)] * width)
            row[k % width] = row[k % width] + abs(weight)
        with precision(_ROUGH):
            root_V, least_p = arb(self.V.lower()).sqrt(), arb(self.p.lower())
            entry = self.growth.at(self.kappa)
            rules, sizes = [], []
            for level, row in mass.items():
                tilt = replace(self.tilt, limit=arb(2) ** level)
                strip = self._field_strip(tilt).min(self.field_panels[0].height)
                factor = (strip**2 / (2 * least_p)).exp()
                rules.append([(_ellipse(strip, k.half), k.half * factor * m) for k, m in
                              zip(self.field_panels, row, strict=True)])
                sizes.append([self._size(poly, self.kappa, entry, self.reach_x, tilt, LOSS, strip / root_V, SHIFT)
                              for poly in polys])
            goal = arb(2) ** -(self.goal + 4)
            count = 8
            while count * width <= MAX_NODES:
                errors = [sum((weight * _gauss_error(rho, count) for rho, weight in rule), arb(0)) for rule in rules]
                found = [arb(sum((e * size[k] for e, size in zip(errors, sizes, strict=True)), arb(0)).upper())
                         for k in range(len(polys))]
                if all(e < goal for e in found):
                    return count, found
                count += max(2, count // 8)
        raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")

    def _levels(self, xs: Sequence[arb]) -> list[list[int]]:
        """For each x and each panel in omega the least k with D <= 2^k there."""
        with precision(_ROUGH):
            root, V = arb(self.V.upper()).sqrt(), arb(self.V.upper())
            middles = [((k.lower + k.upper) / 2).mid() for k in self.field_panels]
            first, second = self._plain_means(middles)
            means = []
            for k, one, two in zip(self.field_panels, first, second, strict=True):
                span = k.half + k.height
                field = abs(k.lower).max(abs(k.upper)) + k.height
                size = self.growth.at(field) if self.tilt.bounded else self.growth.at(field + 2 * root)
                steep = size / arb(self.V.lower()).sqrt()
                means.append((field, one + arb(0, arb((span * steep).upper())),
                              two + arb(0, arb((span * steep * size).upper()))))
            found = []
            for x in xs:
                pull = self.B * x + self.c
                row = []
                for field, one, two in means:
                    tilt = Tilt(self.growth, arb(abs(pull).upper()), self.C, V, arb(field.upper()))
                    bottom = tilt.bottom.min(-(pull * one + self.C * two))
                    excess = (tilt.top + bottom + tilt.beyond).min(self.tilt.excess)
                    row.append(max(-1, int(float(excess.log().upper()) / _LOG2) + 1) if excess > 1 else 0)
                found.append(row)
            return found

    def _plain_means(self, fields: Sequence[arb]) -> tuple[list[arb], list[arb]]:
        """Means of sigma and sigma^2 over omega + sqrt(V) w, w normal, with no tilt."""
        count = 16
        nodes = self._nodes(self.y_panels, count)
        entries = [(y, w, panel.sigma(y)) for y, w, panel in nodes]
        scale, half = 1 / (2 * arb.pi() * self.V).sqrt(), -1 / (2 * self.V)
        bell = arb_mat([[(half * _power(y - f, 2)).exp() * scale for f in fields] for y, _, _ in entries])
        found = []
        for c in (1, 2):
            error = arb(0, self._inner_error(0, c, arb(0), count, arb(0)))
            row = arb_mat([[w * _power(e, c) for _, w, e in entries]]) * bell
            found.append([v + error for v in row.entries()])
        return found[0], found[1]

    def _size(
        self, poly: Sequence[_Monomial], u: arb, entry: arb, x: arb, tilt: Tilt, loss: arb, moved: arb, shift: arb
    ) -> arb:
        """A bound of a polynomial from bounds of its variables."""
        total = arb(0)
        for term in poly:
            value = abs(term.size) * u ** term.outer[0] * entry ** term.outer[1]
            for key, n in term.inner:
                if key == "x":
                    value = value * x**n
                elif key == "log":
                    value = value * (tilt.level + shift) ** n
                else:
                    value = value * (loss * tilt.moment(key[0], key[1], moved)) ** n
            total = total + value
        return arb(total.upper()) + 1

    def _beyond(self, poly: Sequence[_Monomial]) -> arb:
        """The average over what lies beyond the panels: |u|, |v| or |noise| above kappa.

        The bound of the integrand is a polynomial in the reach with positive coefficients, so that it grows by at most
        c^degree where the reach grows by c; shells of thickness one are summed.
        """
        k = self.kappa
        far = (k + 1) / k
        x = abs(self.amplitude) * self.growth.at(far * k) + self.s.sqrt() * far * k
        tilt = self._tilt(arb(x.upper()), far * self.field)
        size = self._size(poly, far * k, self.growth.at(far * k), arb(x.upper()), tilt, arb(1), arb(0), arb(0))
        degree = max((self._degree(term) for term in poly), default=0)
        ratio = (1 + 1 / k) ** degree * (-k).exp()
        if not ratio < 1:
            raise NotEnclosed("averages whose tails have no bound")
        return arb((size * 6 * (-(k**2) / 2).exp() / (1 - ratio)).upper())

    @staticmethod
    def _degree(term: _Monomial) -> int:
        total = sum(term.outer)
        for key, n in term.inner:
            total += n * (1 if key == "x" else 2 if key == "log" else key[0] + 2 * key[1] + 1)
        return total

    def _weights(
        self, count_u: int, count_x: int, polys: Sequence[Sequence[_Monomial]]
    ) -> tuple[list[tuple[arb, arb]], dict[tuple[int, int], tuple[Any, list[arb]]], arb]:
        """The nodes (x, weight); for each power of u and sigma(u) a matrix (x, u); the sum of the plain weights."""
        nodes = self._nodes(self.u_panels, count_u)
        root = (2 * arb.pi()).sqrt()
        us = [u for u, _, _ in nodes]
        entries = [panel.sigma(u) for u, _, panel in nodes]
        base = [w * (-u * u / 2).exp() / root for u, w, _ in nodes]
        outer = sorted({term.outer for poly in polys for term in poly} | {(0, 0)})
        if self.noisy:
            xs = [(x, w) for x, w, _ in self._nodes(self.x_panels, count_x)]
            scale = 1 / (2 * arb.pi() * self.s).sqrt()
            half = -1 / (2 * self.s)
            means = [self.amplitude * e for e in entries]
            law = arb_mat([[w * scale * (half * _power(x - e, 2)).exp() for e in means] for x, w in xs])
        else:
            law, xs = None, []
            group: dict[Any, int] = {}
            place: list[int] = []
            for (_, _, panel), e in zip(nodes, entries, strict=True):
                key = id(panel.sigma) if panel.imaginary.is_zero() else len(place) + 1j
                if key not in group:
                    group[key] = len(xs)
                    xs.append((self.amplitude * e, arb(1)))
                place.append(group[key])
        found: dict[tuple[int, int], tuple[Any, list[arb]]] = {}
        for i, j in outer:
            each = [b * _power(u, i) * _power(e, j) for b, u, e in zip(base, us, entries, strict=True)]
            if law is not None:
                found[i, j] = (law, each)
            else:
                rows: list[list[tuple[int, arb]]] = [[] for _ in xs]
                for k, (row, b) in enumerate(zip(place, each, strict=True)):
                    rows[row].append((k, b))
                found[i, j] = (rows, each)
        self.us = us
        ones = [[b] for b in base]
        plain = sum((abs(b) for b in base), arb(0))
        total = plain if law is None else sum((r[0] for r in (law * arb_mat(ones)).table()), arb(0)).max(plain)
        return xs, found, total

    def _planes(
        self, weights: Mapping[tuple[int, int], tuple[Any, list[arb]]], gauss: Sequence[Sequence[arb]]
    ) -> dict[tuple[int, int], list[arb]]:
        """For each power of u and sigma(u) the weight of every (x, column), row after row, from that of (u, column)."""
        found = {}
        for key, (law, each) in weights.items():
            if isinstance(law, arb_mat):
                right = arb_mat([[b * g for g in row] for b, row in zip(each, gauss, strict=True)])
                found[key] = (law * right).entries()
            else:
                plane: list[arb] = []
                for members in law:
                    if len(members) == 1:
                        (k, b), = members
                        plane += [b * g for g in gauss[k]]
                    else:
                        row = arb_mat([[b for _, b in members]]) * arb_mat([list(gauss[k]) for k, _ in members])
                        plane += row.entries()
                found[key] = plane
        return found

    def _kept(
        self, planes: Mapping[tuple[int, int], list[arb]]
    ) -> tuple[dict[tuple[int, int], list[arb]], list[int], dict[tuple[int, int], arb]]:
        """The weights of the points that count, their numbers, and the sums of the weights of all others."""
        least = 2.0 ** -(self.goal + 30)
        heavy = [abs(float(b)) > least for b in planes[0, 0]]
        kept = [k for k, counts in enumerate(heavy) if counts]
        with precision(_ROUGH):
            light = {key: sum((abs(b) for b, counts in zip(plane, heavy, strict=True) if not counts), arb(0))
                     for key, plane in planes.items()}
        return {key: [plane[k] for k in kept] for key, plane in planes.items()}, kept, light

    def _left_out(self, poly: Sequence[_Monomial], dropped: Mapping[tuple[int, int], arb]) -> arb:
        """A bound of the sum over the points whose weights do not count."""
        one, zero = arb(1), arb(0)
        parts: dict[tuple[int, int], list[_Monomial]] = {}
        for term in poly:
            parts.setdefault(term.outer, []).append(replace(term, outer=(0, 0)))
        return sum((dropped[key] * self._size(terms, one, one, self.reach_x, self.tilt, one, zero, zero)
                    for key, terms in parts.items()), zero)

    def _values(
        self, xs: Sequence[arb], fields: Sequence[tuple[arb, arb, _Panel]], polys: Sequence[Sequence[_Monomial]],
        kept: Sequence[int],
    ) -> dict[Any, list[arb]]:
        """x, log Z and the tilted moments at the points (x, omega) that are kept, row after row."""
        wanted = {key for poly in polys for term in poly for key, _ in term.inner}
        pairs = sorted({key for key in wanted if isinstance(key, tuple)} | {(0, 0)})
        with precision(_ROUGH):
            height = max((k.height for k in self.y_panels), key=float)
            apart = ((self.reach_y + self.field + 2 * height) / arb(self.V.lower()).sqrt()).upper()
            most = max((a for a, _ in pairs), default=0)
            size = arb(apart) ** most * (arb(max(float(k.real) for k in self.y_panels)) + 1) ** max(c for _, c in pairs)
            size = size * (self.tilt.top + self.tilt.bottom + 14).exp()
            count = self._count(self.y_panels, size / arb(self.V.lower()).sqrt())
        nodes = self._nodes(self.y_panels, count)
        sigma = [panel.sigma(y) for y, _, panel in nodes]
        root = self.V.sqrt()
        scale = 1 / (2 * arb.pi() * self.V).sqrt()
        pulls = [self.B * x + self.c for x in xs]
        weights = [w * (self.C * e * e).exp() * scale for (_, w, _), e in zip(nodes, sigma, strict=True)]
        tilts = [[w * (b * e).exp() for w, e in zip(weights, sigma, strict=True)] for b in pulls]
        left = {c: arb_mat([[t * _power(e, c) for t, e in zip(row, sigma, strict=True)] for row in tilts])
                for c in sorted({c for _, c in pairs})}
        w, gauss = [], []
        far, nothing = root * self.cut, arb(0)
        for y, _, panel in nodes:
            near = [bool(panel.upper + far >= f and panel.lower - far <= f) for f, _, _ in fields]
            row = [(y - f) / root if counts else nothing for (f, _, _), counts in zip(fields, near, strict=True)]
            w.append(row)
            gauss.append([(-k * k / 2).exp() if counts else nothing for k, counts in zip(row, near, strict=True)])
        right = {0: arb_mat(gauss)}
        for a in range(1, max(a for a, _ in pairs) + 1):
            gauss = [[g * k for g, k in zip(r, v, strict=True)] for r, v in zip(gauss, w, strict=True)]
            right[a] = arb_mat(gauss)
        width = len(fields)
        raw = {}
        for a, c in pairs:
            radii = [arb(0, self._inner_error(a, c, b, count, self.C)) for b in pulls]
            entries = (left[c] * right[a]).entries()
            raw[a, c] = [entries[k] + radii[k // width] for k in kept]
        plain = raw.pop((0, 0))
        if not all(z > 0 for z in plain):
            raise NotEnclosed("averages whose weight is not shown to be positive")
        inverse = [1 / z for z in plain]
        found: dict[Any, list[arb]] = {key: [v * k for v, k in zip(each, inverse, strict=True)]
                                       for key, each in raw.items()}
        if "log" in wanted:
            found["log"] = [z.log() for z in plain]
        if "x" in wanted:
            found["x"] = [xs[k // width] for k in kept]
        return found

    def _inner_error(self, a: int, c: int, pull: arb, count: int, C: arb) -> arb:
        """Error of the integral over y for one beta: of the rules, and beyond the panels."""
        with precision(_ROUGH):
            pull = arb(abs(pull).upper())
            least = arb(self.V.lower())
            total = arb(0)
            for k in self.y_panels:
                exponent = pull * k.real + (C * k.real**2 if C > 0 else -C * k.imaginary**2)
                if C < 0:
                    exponent = exponent.min(pull**2 / (-4 * C) - C * k.imaginary**2)
                far = (self.reach_y + self.field + 2 * k.height) / least.sqrt()
                size = (k.height**2 / (2 * least) + exponent).exp() * far**a * (k.real + k.imaginary) ** c
                rho = _ellipse(k.height, k.half)
                total = total + k.half * _gauss_error(rho, count) * size / (2 * arb.pi() * least).sqrt()
            tilt = Tilt(self.growth, pull, C, arb(self.V.upper()), self.field)
            return arb((total + tail_moment(tilt, a, c, self.cut)).upper())

    def _sums(
        self, polys: Sequence[Sequence[_Monomial]], planes: Mapping[tuple[int, int], list[arb]],
        values: Mapping[Any, list[arb]],
    ) -> list[arb]:
        """The averages: for each product of inner variables one row, for each power of the outer ones one column."""
        keys = sorted({term.inner for poly in polys for term in poly}, key=str)
        outer = list(planes)
        right = arb_mat([list(column) for column in planes.values()]).transpose()
        size = len(next(iter(planes.values())))
        table: dict[Any, list[arb]] = {}
        for key in keys:
            row: list[arb] | None = None
            for name, n in key:
                factor = values[name] if n == 1 else [_power(v, n) for v in values[name]]
                row = factor if row is None else [a * b for a, b in zip(row, factor, strict=True)]
            table[key] = (arb_mat([row if row is not None else [arb(1)] * size]) * right).entries()
        return [sum((t.size * table[t.inner][outer.index(t.outer)] for t in poly), arb(0)) for poly in polys]


def _power(z: Any, n: int) -> Any:
    """z^n by multiplication: a power of a ball about zero itself is not finite in python-flint."""
    found = arb(1)
    for _ in range(n):
        found = found * z
    return found


def _complex(z: Any) -> acb:
    return z if isinstance(z, acb) else acb(z)


def _panel(low: arb, high: arb, f: Callable[[Any], Any], height: arb) -> _Panel | None:
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
            value = _complex(value)
            real, imaginary = real.max(abs(value.real)), imaginary.max(abs(value.imag))
    return _Panel(low, high, f, height, arb(real.upper()), arb(imaginary.upper()))


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
    with precision(_ROUGH):
        return growth_of(smooth_pieces(sigma, h), h)
