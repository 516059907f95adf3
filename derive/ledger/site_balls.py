"""Proven enclosures of the averages over one site of a replica-symmetric free entropy.

Three averages lie within one another: over the planted field u, over the query x (where it is noisy) and over the
common field omega; inside them stand log Z(x, omega) and tilted means over y = omega + sqrt(V) w.  All are taken by
Gauss-Legendre rules on panels (`site_panels`), so that an average is a product of matrices of balls (`ball_arrays`).
Each rule's error is bounded by the size of the integrand on ellipses about the panels, and what lies beyond the panels
by Gaussian tails (`site_bounds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flint import arb
from sympy import Expr, Poly, Symbol

from derive.ledger.ball_arrays import BallArray, DoubleArray, FlintArray
from derive.ledger.balls import NotEnclosed, precision
from derive.ledger.site_bounds import LOSS, SHIFT, Tilt, tail_moment
from derive.ledger.site_calculus import ENTRY, LOG, U, X
from derive.ledger.site_panels import LOG2, MAX_NODES, ROUGH, SitePanels, ellipse, gauss_error

__all__ = ["DOUBLES", "SiteBalls"]

MAX_PLANE = 3_000_000
"""Points (x, omega) at most."""
MAX_INNER = 15_000_000
"""Points (x, y) at most, and half as many (y, omega); a third of it where balls are those of python-flint."""
DOUBLES = 44
"""Averages are computed in balls of doubles where no more bits are aimed at."""
_PARTS = 8
"""Parts of a panel in omega, for bounds of the plain means of sigma and sigma^2 on it."""
_LIKELY = 16
"""D at most, where most of the weight lies: how many nodes are taken rests on it, no bound does."""
_MARGIN = arb(1 + 2.0**-30)
"""Makes up for the rounding of sums of doubles that are bounds, and _TINY for what underflows in them."""
_TINY = 1e-300


@dataclass(frozen=True)
class _Monomial:
    """size * u^.. sigma(u)^.. * (powers of x, log Z and moments)."""

    size: arb
    outer: tuple[int, int]
    inner: tuple[tuple[Any, int], ...]


class SiteBalls(SitePanels):
    """The site of a saddle stage at one point (or box): averages of polynomials in all symbols of its calculus."""

    def means(self, integrands: Sequence[Expr]) -> list[Any]:
        """Balls of the averages over u, x and omega of polynomials in u, sigma(u), x, log Z and tilted moments.

        Raises: NotEnclosed where no enclosure is known, or would take more nodes than are allowed.
        """
        with np.errstate(all="ignore"):  # what is not finite is refused
            return self._means(integrands)

    def array(self, values: Sequence[arb]) -> BallArray:
        """Balls in an array, of doubles where they are good enough."""
        return DoubleArray.of(values) if self.goal <= DOUBLES else FlintArray.of(values)

    def _means(self, integrands: Sequence[Expr]) -> list[Any]:
        with precision(self.bits):
            polys = [self._monomials(e) for e in integrands]
        with precision(ROUGH):
            parts = [self._bounds(poly) for poly in polys]
            size_u, size_x = (max((p[k] for p in parts), key=float, default=arb(1)) for k in range(2))
            count_u = self.count(self.u_panels, size_u)
            count_x = self.count(self.x_panels, size_x) if self.noisy else 0
            error_u = self.error(self.u_panels, count_u)
            error_x = self.error(self.x_panels, count_x) if self.noisy else arb(0)
        with precision(self.bits):
            xs, law, weights, total = self._weights(count_u, count_x, polys)
            depths = self._depths(xs)
            counts, errors = self._field_rule(polys, depths, law, weights[0, 0])
            fields = self.nodes(self.field_panels, counts)
            if len(xs) * len(fields) > MAX_PLANE:
                raise NotEnclosed(f"averages that take more than {MAX_PLANE} points")
            planes = {key: self._plane(law, weight, self._gauss(fields)) for key, weight in weights.items()}
            heavy = planes[0, 0].upper() > 2.0 ** -(self.goal + 30)
            owner = np.repeat(np.arange(len(counts)), counts)
            values, kept = self._values(xs, fields, polys, planes[0, 0], heavy, depths.bottom[:, owner])
            sums = self._sums(polys, {key: plane[kept] for key, plane in planes.items()}, values)
            dropped = {key: plane[~kept].total() for key, plane in planes.items()}
        fold = 2 if self.even else 1
        found = []
        for poly, value, in_field, (in_u, in_x, beyond) in zip(polys, sums, errors, parts, strict=True):
            with precision(ROUGH):
                beyond = beyond + self._left_out(poly, dropped)
                radius = error_u * in_u + error_x * in_x * abs(total).upper() + in_field + beyond
                radius = arb(radius.upper())
            if not radius.is_finite() or not value.is_finite():
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

    # ---- the rule in omega

    def _depths(self, xs: Sequence[arb]) -> _Depths:
        """For each x and each panel in omega the least k with D <= 2^k there, and a bound of -log Z."""
        with precision(ROUGH):
            root, V = arb(self.V.upper()).sqrt(), arb(self.V.upper())
            means = []
            places = [(k, k.lower - k.height + (2 * (k.half + k.height)) * (2 * i + 1) / (2 * _PARTS))
                      for k in self.field_panels for i in range(_PARTS)]
            first, second = self._plain_means([arb(place.mid()) for _, place in places])
            for j, k in enumerate(self.field_panels):
                span = _MARGIN * (k.half + k.height) / _PARTS
                field = abs(k.lower).max(abs(k.upper)) + k.height
                size = self.growth.at(field) if self.tilt.bounded else self.growth.at(field + 2 * root)
                steep = size / arb(self.V.lower()).sqrt()
                here = slice(j * _PARTS, (j + 1) * _PARTS)
                ones = [one + arb(0, arb((span * steep).upper())) for one in first[here]]
                twos = [two + arb(0, arb((span * steep * size).upper())) for two in second[here]]
                means.append((field, _hull(ones), _hull(twos)))
            levels, bottoms = np.zeros((len(xs), len(means)), dtype=int), np.zeros((len(xs), len(means)))
            for i, x in enumerate(xs):
                pull = self.B * x + self.c
                for j, (field, one, two) in enumerate(means):
                    tilt = Tilt(self.growth, arb(abs(pull).upper()), self.C, V, arb(field.upper()))
                    bottom = tilt.bottom.min(-(pull * one + self.C * two))
                    excess = (tilt.top + bottom + tilt.beyond).min(self.tilt.excess)
                    levels[i, j] = max(-1, int(float(excess.log().upper()) / LOG2) + 1) if excess > 1 else 0
                    bottoms[i, j] = float(bottom.upper())
            return _Depths(levels, bottoms)

    def _field_rule(
        self, polys: Sequence[Sequence[_Monomial]], depths: _Depths, law: BallArray | np.ndarray, weight: BallArray
    ) -> tuple[list[int], list[arb]]:
        """Nodes of each panel in omega, and the error that this makes in each average.

        The strip in which log Z is analytic is wide where the tilt is small, and narrow only at points (x, omega) of
        little weight: D is bounded at each node x on each panel, from the means of sigma and sigma^2 there, rounded up
        to a power of two, and the weights are summed for each of these levels.
        """
        scale, half = 1 / (2 * arb.pi() * self.p).sqrt(), -1 / (2 * self.p)
        highest = []
        for u in self.us:
            at = self.m * u
            away = [(k.lower - k.height - at).max(at - k.upper - k.height).max(arb(0)) for k in self.field_panels]
            highest += [scale * (half * _power(d, 2)).exp() for d in away]
        width = len(self.field_panels)
        mass = self._plane(law, weight, self.array(highest).reshape(len(self.us), width)).upper()
        with precision(ROUGH):
            root_V, least_p = arb(self.V.lower()).sqrt(), arb(self.p.lower())
            entry = self.growth.at(self.kappa)
            rules = []
            for level in np.unique(depths.level):
                tilt = replace(self.tilt, limit=arb(2) ** int(level))
                strip = self.field_strip(tilt).min(self.field_panels[0].height)
                factor = (strip**2 / (2 * least_p)).exp()
                row = np.where(depths.level == level, mass, 0.0).sum(axis=0).tolist()
                sizes = [self._size(poly, self.kappa, entry, self.reach_x, tilt, LOSS, strip / root_V, SHIFT)
                         for poly in polys]
                rules.append(([(ellipse(strip, k.half), _MARGIN * k.half * factor * m)
                               for k, m in zip(self.field_panels, row, strict=True)], sizes))
            goal = arb(2) ** -(self.goal + 4) / width
            counts, errors = [], [arb(0)] * len(polys)
            for j in range(width):
                count = 4
                while True:
                    each = [(row[j][1] * gauss_error(row[j][0], count), sizes) for row, sizes in rules]
                    found = [sum((e * sizes[k] for e, sizes in each), arb(0)) for k in range(len(polys))]
                    if all(e < goal for e in found):
                        break
                    count += max(2, count // 8)
                    if count > MAX_NODES:
                        raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
                counts.append(count)
                errors = [arb((a + b).upper()) for a, b in zip(errors, found, strict=True)]
            if sum(counts) > MAX_NODES:
                raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")
            return counts, errors

    def _plain_means(self, fields: Sequence[arb]) -> tuple[list[arb], list[arb]]:
        """Means of sigma and sigma^2 over omega + sqrt(V) w, w normal, with no tilt."""
        count = 16
        nodes = self.nodes(self.y_panels, count)
        y, w = self.array([y for y, _, _ in nodes]), [w for _, w, _ in nodes]
        entries = [panel.sigma(y) for y, _, panel in nodes]
        scale, half = self.array([1 / (2 * arb.pi() * self.V).sqrt()]), self.array([-1 / (2 * self.V)])
        away = y.reshape(-1, 1) - self.array(fields).reshape(1, -1)
        bell = (away * away * half).exp() * scale
        found = []
        for c in (1, 2):
            row = self.array([k * _power(e, c) for k, e in zip(w, entries, strict=True)]).reshape(1, -1)
            error = self._inner_errors([(0, c)], [arb(0)], count, arb(0))
            found.append((row @ bell).widened(error).arbs())
        return found[0], found[1]

    # ---- bounds

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
        tilt = self.tilt_at(arb(x.upper()), far * self.field)
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

    # ---- the sums

    def _weights(
        self, count_u: int, count_x: int, polys: Sequence[Sequence[_Monomial]]
    ) -> tuple[list[arb], BallArray | np.ndarray, dict[tuple[int, int], BallArray], arb]:
        """The nodes x; the weight of each x given u, or the x of each u where there is no noise; for each power of u
        and sigma(u) the weight of every u; the sum of the plain weights."""
        nodes = self.nodes(self.u_panels, count_u)
        root = (2 * arb.pi()).sqrt()
        self.us = us = [u for u, _, _ in nodes]
        entries = [panel.sigma(u) for u, _, panel in nodes]
        base = [w * (-u * u / 2).exp() / root for u, w, _ in nodes]
        law: BallArray | np.ndarray
        if self.noisy:
            pairs = self.nodes(self.x_panels, count_x)
            xs = [x for x, _, _ in pairs]
            scale, half = 1 / (2 * arb.pi() * self.s).sqrt(), self.array([-1 / (2 * self.s)])
            away = self.array(xs).reshape(-1, 1) - self.array([self.amplitude * e for e in entries]).reshape(1, -1)
            law = (away * away * half).exp() * self.array([w * scale for _, w, _ in pairs]).reshape(-1, 1)
        else:
            xs = []
            group: dict[Any, int] = {}
            place: list[int] = []
            for (_, _, panel), e in zip(nodes, entries, strict=True):
                key = id(panel.sigma) if panel.imaginary.is_zero() else len(place) + 1j
                if key not in group:
                    group[key] = len(xs)
                    xs.append(self.amplitude * e)
                place.append(group[key])
            law = np.array(place)
        outer = sorted({term.outer for poly in polys for term in poly} | {(0, 0)})
        found = {(i, j): self.array([b * _power(u, i) * _power(e, j)
                                     for b, u, e in zip(base, us, entries, strict=True)]) for i, j in outer}
        plain = sum((abs(b) for b in base), arb(0))
        if not isinstance(law, np.ndarray):
            plain = (law @ self.array(base).reshape(-1, 1)).total().max(plain)
        return xs, law, found, plain

    def _gauss(self, fields: Sequence[tuple[arb, arb, Any]]) -> BallArray:
        """Weight of each omega given each u."""
        scale, half = 1 / (2 * arb.pi() * self.p).sqrt(), self.array([-1 / (2 * self.p)])
        away = self.array([f for f, _, _ in fields]).reshape(1, -1) - self.array(
            [self.m * u for u in self.us]).reshape(-1, 1)
        return (away * away * half).exp() * self.array([w * scale for _, w, _ in fields]).reshape(1, -1)

    @staticmethod
    def _plane(law: BallArray | np.ndarray, weight: BallArray, columns: BallArray) -> BallArray:
        """The weight of every (x, column) from that of (u, column)."""
        right = columns * weight.reshape(-1, 1)
        return right.grouped(law, int(law.max()) + 1) if isinstance(law, np.ndarray) else law @ right

    def _left_out(self, poly: Sequence[_Monomial], dropped: Mapping[tuple[int, int], arb]) -> arb:
        """A bound of the sum over the points that are left out."""
        one, zero = arb(1), arb(0)
        parts: dict[tuple[int, int], list[_Monomial]] = {}
        for term in poly:
            parts.setdefault(term.outer, []).append(replace(term, outer=(0, 0)))
        return sum((dropped[key] * self._size(terms, one, one, self.reach_x, self.tilt, one, zero, zero)
                    for key, terms in parts.items()), zero)

    def _values(
        self, xs: Sequence[arb], fields: Sequence[tuple[arb, arb, Any]], polys: Sequence[Sequence[_Monomial]],
        plane: BallArray, heavy: np.ndarray, bottom: np.ndarray,
    ) -> tuple[dict[Any, BallArray], np.ndarray]:
        """x, log Z and the tilted moments at the points (x, omega) that are kept, and which these are.

        Of those that are heavy, all are kept at which Z is shown to be positive.
        """
        wanted = {key for poly in polys for term in poly for key, _ in term.inner}
        pairs = sorted({key for key in wanted if isinstance(key, tuple)} | {(0, 0)})
        pulls = [self.B * x + self.c for x in xs]
        loads = (np.where(heavy, plane.upper(), 0.0) * np.exp(np.clip(bottom, None, 600.0))).sum(axis=1)
        count = self._inner_count(polys, pairs, pulls, loads)
        most = MAX_INNER if self.goal <= DOUBLES else MAX_INNER // 3
        if count * len(self.y_panels) * max(len(xs), 2 * len(fields)) > most:
            raise NotEnclosed(f"averages that take more than {most} points")
        nodes = self.nodes(self.y_panels, count)
        sigma = [panel.sigma(y) for y, _, panel in nodes]
        scale = 1 / (2 * arb.pi() * self.V).sqrt()
        apart = self.array([w * (self.C * e * e).exp() * scale for (_, w, _), e in zip(nodes, sigma, strict=True)])
        entries = self.array(sigma).reshape(1, -1)
        tilts = (self.array(pulls).reshape(-1, 1) * entries).exp() * apart.reshape(1, -1)
        errors = dict(zip(pairs, self._inner_errors(pairs, pulls, count, self.C).T, strict=True))
        w = (self.array([y for y, _, _ in nodes]).reshape(-1, 1)
                  - self.array([f for f, _, _ in fields]).reshape(1, -1)) / self.array([self.V.sqrt()])
        right = (w * w * self.array([arb(-1) / 2])).exp()
        rights = [right]
        for _ in range(max(a for a, _ in pairs)):
            rights.append(rights[-1] * w)
        kept, raw = heavy, {}
        for c in range(max(c for _, c in pairs) + 1):
            tilts = tilts * entries if c else tilts
            for key in ((a, b) for a, b in pairs if b == c):
                found = (tilts @ rights[key[0]]).widened(errors[key].reshape(-1, 1))
                if key == (0, 0):
                    kept = heavy & found.positive()
                raw[key] = found[kept]
        plain = raw.pop((0, 0))
        result: dict[Any, BallArray] = {key: each / plain for key, each in raw.items()}
        if "log" in wanted:
            result["log"] = plain.log()
        if "x" in wanted:
            result["x"] = self.array(xs)[np.nonzero(kept)[0]]
        return result, kept

    def _inner_count(
        self, polys: Sequence[Sequence[_Monomial]], pairs: Sequence[tuple[int, int]], pulls: Sequence[arb],
        loads: np.ndarray,
    ) -> int:
        """Nodes a panel in y for which the errors of all Z and moments should add up to less than the goal.

        loads are, for each x, the sum over omega of the weights over lower bounds of Z.
        """
        with precision(ROUGH):
            likely = replace(self.tilt, limit=arb(_LIKELY).min(self.tilt.excess))
            size = max((float(self._size(poly, arb(1), arb(1), self.reach_x, likely, arb(1), arb(0), arb(0)))
                        for poly in polys), default=1.0)
        highest = (max(a for a, _ in pairs), max(c for _, c in pairs))
        count = 8
        while count * len(self.y_panels) <= MAX_NODES:
            errors = self._inner_errors([highest], pulls, count, self.C, False)[:, 0]
            if float(loads @ errors) * size < 2.0 ** -(self.goal + 4):
                return count
            count += max(2, count // 8)
        raise NotEnclosed(f"averages that take more than {MAX_NODES} nodes")

    def _inner_errors(
        self, pairs: Sequence[tuple[int, int]], pulls: Sequence[arb], count: int, C: arb, tails: bool = True
    ) -> np.ndarray:
        """Errors of the integrals over y, for each beta a row and for each power of w and sigma a column: those of the
        rules, and what lies beyond the panels."""
        with precision(ROUGH):
            least = arb(self.V.lower())
            strengths = [arb(abs(pull).upper()) for pull in pulls]
            strong = DoubleArray.of(strengths).reshape(-1, 1)
            rise = [k.height**2 / (2 * least) for k in self.y_panels]
            across = [e - C * k.imaginary**2 for e, k in zip(rise, self.y_panels, strict=True)]
            own = [e + C * k.real**2 for e, k in zip(rise, self.y_panels, strict=True)] if C > 0 else across
            sizes = (strong * DoubleArray.of([k.real for k in self.y_panels]) + DoubleArray.of(own)).exp().upper()
            if C < 0:
                highest = strong * strong * DoubleArray.of([1 / (-4 * C)]) + DoubleArray.of(across)
                sizes = np.fmin(sizes, highest.exp().upper())
            rules = []
            for k in self.y_panels:
                far = (self.reach_y + self.field + 2 * k.height) / least.sqrt()
                plain = k.half * gauss_error(ellipse(k.height, k.half), count) / (2 * arb.pi() * least).sqrt()
                rules.append([float((plain * far**a * (k.real + k.imaginary) ** c).upper()) for a, c in pairs])
            found: np.ndarray = sizes @ np.array(rules) * float(_MARGIN)
            if tails:
                tilts = [Tilt(self.growth, b, C, arb(self.V.upper()), self.field) for b in strengths]
                found = found + np.array([[float(tail_moment(tilt, a, c, self.cut).upper()) for a, c in pairs]
                                   for tilt in tilts]) * float(_MARGIN)
            return found * float(_MARGIN) + _TINY

    def _sums(
        self, polys: Sequence[Sequence[_Monomial]], planes: Mapping[tuple[int, int], BallArray],
        values: Mapping[Any, BallArray],
    ) -> list[arb]:
        """The averages: for each product of inner variables one row, for each power of the outer ones one column."""
        outer = list(planes)
        columns = list(planes.values())
        rows: dict[tuple[Any, ...], BallArray] = {(): self.array([arb(1)] * columns[0].shape[0])}

        def product(names: tuple[Any, ...]) -> BallArray:
            if names not in rows:
                rows[names] = values[names[0]] if len(names) == 1 else product(names[:-1]) * values[names[-1]]
            return rows[names]

        table = {}
        for key in sorted({term.inner for poly in polys for term in poly}, key=str):
            row = product(tuple(name for name, n in key for _ in range(n)))
            table[key] = [row.dot(column) for column in columns]
        return [sum((t.size * table[t.inner][outer.index(t.outer)] for t in poly), arb(0)) for poly in polys]


@dataclass(frozen=True)
class _Depths:
    """For each x and each panel in omega: the least k with D <= 2^k, and a bound of -log Z."""

    level: np.ndarray
    bottom: np.ndarray


def _hull(balls: Sequence[arb]) -> arb:
    """A ball that contains all of several."""
    found = balls[0]
    for ball in balls[1:]:
        found = found.union(ball)
    return found


def _power(z: Any, n: int) -> Any:
    """z^n by multiplication: a power of a ball about zero itself is not finite in python-flint."""
    found = arb(1)
    for _ in range(n):
        found = found * z
    return found
