"""Laplace transforms of a law with a density on a bounded interval, in balls: one series for all places of an average.

M(s) = int p(y) exp(-b y^2/2 + s y) dy, b >= 0, is entire in s.  With s = s_j + d and a point c_j of the support,

    M(s) = exp(s c_j - b c_j^2/2) S_0(d),  S_n(d) = int w_j(y) u^n exp(d u) dy = sum_k m_(n+k) d^k/k!,  u = y - c_j,

w_j = p exp(-b u^2/2 + (s_j - b c_j) u), where c_j is the point of the support nearest to s_j/b, so that the exponent of
w_j is at most -b u^2/2 - sigma |u|, sigma = |s_j - b c_j|.  Each of |u| <= D, u^k exp(-b u^2/2) <= (k/(e b))^(k/2) and
|u|^k exp(-sigma |u|) <= (k/(e sigma))^k bounds the moments m_k, and with them what the series leaves out.  The moments
are sums over Gauss-Legendre nodes, in parts of the support about which p is shown to be analytic.  An integral inside
another one then takes some ten microseconds a place instead of one integration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from math import comb, factorial, log2, sqrt
from typing import Any, NamedTuple

from flint import acb, arb, arb_poly
from sympy import Abs, Expr, Poly, PolynomialError, Symbol, sign

from derive.ledger.ball_programs import smoothed
from derive.ledger.balls import NotEnclosed, continued, enclose, precision
from derive.ledger.site_panels import ellipse, gauss_error
from derive.nodes.laws import Density

__all__ = ["Tilted", "Transform", "applies", "coefficients", "singular_at_ends", "transform_of"]

_GUARD = 40
_RADIUS, _STEP = 4.0, 3.0
"""How far a series reaches, and how far their middles are apart, in scales."""
_LENGTH = 6.0
"""Length of a part of the support, in inverse scales."""
_HEIGHTS = (1.5, 1.0, 0.6, 0.3, 0.15)
_BOXES, _DEPTH = 4, 4
_ROUGH = 64
_MOST_TERMS, _MOST_NODES, _MOST_PANELS = 1500, 400, 400


@lru_cache(maxsize=1024)
def coefficients(g: Expr, var: Symbol, most: int) -> tuple[Expr, ...] | None:
    """Those of a polynomial, from the constant on; None for what is none, or of a higher degree."""
    try:
        poly = Poly(g, var)
    except PolynomialError:
        return None
    if poly.degree() > most or any(var in c.free_symbols for c in poly.coeffs()):
        return None
    return tuple(poly.coeff_monomial(var**k) for k in range(max(poly.degree(), 0) + 1))


@dataclass(frozen=True)
class _Piece:
    """A stretch of the support: y as a polynomial in u, and the weight of du."""

    place: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    lower: arb
    upper: arb


@dataclass(frozen=True)
class _Part:
    """Some of a piece: its ends in u, its height and boxes about its ellipse: bound of the weight, and y there."""

    piece: _Piece
    lower: arb
    upper: arb
    height: arb
    boxes: tuple[tuple[arb, arb, arb], ...]


def _unfolded(law: Density) -> Iterator[tuple[Expr, Symbol, Expr, Expr]]:
    """A density without moduli on stretches of its support."""
    x, pdf = law.var, law.pdf
    kinks = set()
    for modulus in pdf.atoms(Abs):
        row = coefficients(modulus.args[0], x, 1)
        if row is None or len(row) < 2 or not all(c.is_number for c in row):
            raise NotEnclosed("a density with the modulus of more than a line")
        kinks.add(-row[0] / row[1])
    ends = [law.lower, *sorted((k for k in kinks if law.lower < k < law.upper), key=float), law.upper]
    for low, high in pairwise(ends):
        middle = (low + high) / 2
        yield pdf.replace(Abs, lambda a, at=middle: sign(a.xreplace({x: at})) * a), x, low, high


def singular_at_ends(pdf: Expr, x: Symbol, lower: Expr, upper: Expr) -> bool:
    """Whether a density is not shown to be analytic at both ends of an interval."""
    with precision(_ROUGH):
        f = continued(pdf, x)
        low, high = enclose(lower), enclose(upper)
        about = (high - low) / 128
        return not all(_finite(f(acb(z + arb(0, about), arb(0, about)))) for z in (low, high))


def _finite(z: Any) -> bool:
    return bool(z.is_finite())


@lru_cache(maxsize=64)
def _pieces(law: Density, bits: int) -> tuple[_Piece, ...]:
    """The stretches on which the weight is analytic; square roots at ends are taken out."""
    found = []
    with precision(bits):
        for pdf, x, low, high in _unfolded(law):
            if not singular_at_ends(pdf, x, low, high):
                found.append(_Piece(_itself, continued(pdf, x), enclose(low, prec=bits), enclose(high, prec=bits)))
                continue
            halves = smoothed(pdf, x, Density(pdf, x, low, high))
            ends = ((enclose(low, prec=bits), 1), (enclose(high, prec=bits), -1))
            for (weight, u, end), (start, side) in zip(halves, ends, strict=True):
                found.append(_Piece(partial(_from_end, start, side), continued(weight, u), arb(0),
                                    enclose(end, prec=bits)))
    return tuple(found)


def _itself(u: Any) -> Any:
    return u


def _from_end(start: arb, side: int, u: Any) -> Any:
    return start + side * u * u


def _part(piece: _Piece, lower: arb, upper: arb) -> _Part:
    """With the highest ellipse about which the weight is shown to be analytic."""
    half, middle = (upper - lower) / 2, (upper + lower) / 2
    for ratio in _HEIGHTS:
        height = half * ratio
        reach = half * (1 + arb(ratio) ** 2).sqrt()
        boxes: list[tuple[arb, arb, arb]] = []
        cuts = [middle + reach * (2 * arb(k) / _BOXES - 1) for k in range(_BOXES + 1)]
        todo = [(a, b, arb(0), height, 0) for a, b in pairwise(cuts)]
        while todo:
            a, b, low, high, depth = todo.pop()
            box = acb(a.union(b), low.union(high))
            value = piece.weight(box)
            if _finite(value):
                y = piece.place(box)
                boxes.append((arb(abs(value).upper()), y.real, arb(abs(y.imag).upper())))
                continue
            if depth == _DEPTH:
                break
            x, y = (a + b) / 2, (low + high) / 2
            todo += [(*s, *t, depth + 1) for s in ((a, x), (x, b)) for t in ((low, y), (y, high))]
        else:
            return _Part(piece, lower, upper, height, tuple(boxes))
    raise NotEnclosed("a density that is not shown to be analytic inside its support")


@lru_cache(maxsize=256)
def _rule(count: int, bits: int) -> list[tuple[arb, arb]]:
    with precision(bits):
        return [arb.legendre_p_root(count, k, True) for k in range(count)]


@lru_cache(maxsize=256)
def _parts(law: Density, bits: int, level: int) -> tuple[_Part, ...]:
    """Each piece in 2^level parts."""
    found = []
    for piece in _pieces(law, bits):
        with precision(bits):
            cuts = [piece.lower + (piece.upper - piece.lower) * k / 2**level for k in range(2**level + 1)]
        with precision(_ROUGH):
            found += [_part(piece, low, high) for low, high in pairwise(cuts)]
    return tuple(found)


@lru_cache(maxsize=4096)
def _nodes(law: Density, bits: int, level: int, which: int, count: int) -> tuple[list[arb], list[arb]]:
    """The places y of a part, and their weights."""
    part = _parts(law, bits, level)[which]
    with precision(bits):
        half, middle = (part.upper - part.lower) / 2, (part.upper + part.lower) / 2
        us = [middle + half * x for x, _ in _rule(count, bits)]
        weights = [_real(part.piece.weight(u)) * w * half for u, (_, w) in zip(us, _rule(count, bits), strict=True)]
        return [part.piece.place(u) for u in us], weights


def _real(z: Any) -> arb:
    return z.real if isinstance(z, acb) else z


@lru_cache(maxsize=64)
def _mass(law: Density, bits: int) -> arb:
    """A bound of the integral of the density."""
    parts = _parts(law, bits, 0)
    total = arb(0)
    for k, part in enumerate(parts):
        largest = max((b for b, _, _ in part.boxes), key=float)
        half = (part.upper - part.lower) / 2
        total += sum(_nodes(law, bits, 0, k, 24)[1], arb(0)) + half * largest * gauss_error(
            ellipse(part.height, half), 24)
    return arb(abs(total).upper())


class Tilted(NamedTuple):
    """M(s) = exp(s c - b c^2/2) total at a ball, level = log total, and the tilted means of (y - c - shift)^n."""

    c: arb
    total: Any
    level: Any
    shift: arb
    means: list[Any]


@lru_cache(maxsize=256)
def applies(law: Density) -> bool:
    """Whether a law has a transform here: its support is bounded, and its density known and analytic in parts."""
    if law.lower.is_infinite or law.upper.is_infinite or law.free_symbols:
        return False
    try:
        return bool(_mass(law, _ROUGH).is_finite())
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return False


@dataclass
class _Series:
    """S_n about one s_j: the middles s and c, the moments, the reach in d, and the error of each S_n in it."""

    s: arb
    c: arb
    radius: float
    moments: list[arb]
    errors: list[arb]
    terms: int
    made: dict[int, arb_poly] = field(default_factory=dict)

    def at(self, n: int, d: Any) -> Any:
        """S_n(d), for |d| up to the radius."""
        poly = self.made.get(n)
        if poly is None:
            poly = self.made[n] = arb_poly([m / factorial(k) for k, m in enumerate(self.moments[n : n + self.terms])])
        value, error = poly(d), self.errors[n]
        return value + (acb(arb(0, error), arb(0, error)) if isinstance(value, acb) else arb(0, error))


class Transform:
    """M(s) of a law and its tilted means, at real or complex s.

    Args: law (numbers only); b (a ball, at least 0); bits (aimed at); most (the highest power of y that is averaged).
    Raises: NotEnclosed for a law that is out of reach.
    """

    def __init__(self, law: Density, b: arb, bits: int, most: int) -> None:
        if not (b >= 0 and applies(law)):
            raise NotEnclosed("a transform of this law")
        self.law, self.b, self.bits, self.orders = law, b, bits + _GUARD, most + 4
        with precision(self.bits):
            self.low, self.high = enclose(law.lower, prec=self.bits), enclose(law.upper, prec=self.bits)
            self.mass = _mass(law, self.bits)
        self.ends = float(self.low), float(self.high)
        self.series: dict[int, _Series] = {}
        self.middles: dict[int, list[float]] = {1: [0.0], -1: [0.0]}

    def _geometry(self, s: float) -> tuple[float, float, float]:
        """The point c of a series about s, the strength of the tilt towards it, and the scale of s."""
        low, high = self.ends
        b = float(self.b)
        c = min(max(s / b, low), high) if b > 0 else high if s > 0 else low if s < 0 else (low + high) / 2
        tilt = abs(s - b * c)
        return c, tilt, max(2 / max(high - c, c - low), sqrt(b), tilt / 8)

    def _nearest(self, s: float) -> _Series:
        side = 1 if s >= 0 else -1
        row = self.middles[side]
        while abs(row[-1]) < abs(s):
            if len(row) > _MOST_PANELS:
                raise NotEnclosed(f"a transform on more than {_MOST_PANELS} intervals")
            row.append(row[-1] + side * _STEP * self._geometry(row[-1])[2])
        place = next(k for k, at in enumerate(row) if abs(at) >= abs(s))
        if place > 0 and abs(row[place - 1] - s) < abs(row[place] - s):
            place -= 1
        if side * place not in self.series:
            with precision(self.bits):
                self.series[side * place] = self._about(row[place])
        return self.series[side * place]

    def _about(self, s: float) -> _Series:
        c, _, scale = self._geometry(s)
        at, origin = arb(c), arb(s)
        slope, radius = origin - self.b * at, _RADIUS * scale
        top, bottom = c == self.ends[1] and bool(slope >= 0), c == self.ends[0] and bool(slope <= 0)
        over = arb((self.high - at if top else at - self.low).upper()).max(arb(0))
        inside = not (top or bottom)
        far = arb((self.high - at).max(at - self.low).upper())
        slack = (abs(slope) * (far if inside else 2 * over)).exp().upper() * self.mass
        pull = arb(0) if inside else arb(abs(slope).lower())
        terms, left_out = self._cut(arb(radius), far, pull, slack)
        moments, errors = self._moments(at, slope, scale, arb(radius), terms + self.orders, far)
        errors = [arb((a + b).upper()) for a, b in zip(errors, left_out, strict=True)]
        return _Series(origin, at, radius, moments, errors, terms)

    def _cut(self, r: arb, far: arb, pull: arb, slack: arb) -> tuple[int, list[arb]]:
        """How many terms a series has, and for each n what it leaves out."""
        least, one = arb(self.b.lower()), arb(1).exp()
        tilts: list[Callable[[int], arb]] = [lambda k: far**k]
        ratios: list[Callable[[int, int], arb]] = [lambda k, n: r * far / (k + 1)]
        if least > 0:
            tilts.append(lambda k: (arb(k) / (one * least)) ** (arb(k) / 2) if k else arb(1))
            ratios.append(lambda k, n: r * (arb(k + n + 1) / least).sqrt() / (k + 1))
        if pull > 0:
            tilts.append(lambda k: (arb(k) / (one * pull)) ** k if k else arb(1))
            ratios.append(lambda k, n: r * (k + n + 1) / ((k + 1) * pull))
        terms = 16
        with precision(_ROUGH):
            while True:
                left = []
                for n in range(self.orders):
                    rests = []
                    for size, ratio in zip(tilts, ratios, strict=True):
                        q = ratio(terms, n)
                        if q < arb(0.75):
                            rests.append(slack * size(terms + n) * (r**terms) / arb(factorial(terms)) / (1 - q))
                    left.append(min((arb(x.upper()) for x in rests if x.is_finite()), key=float, default=arb("inf")))
                goal, wide = arb(2) ** -self.bits * slack, far.max(arb(1))
                if all(x < goal * wide**n for n, x in enumerate(left)):
                    return terms, left
                terms += max(4, terms // 8)
                if terms > _MOST_TERMS:
                    raise NotEnclosed(f"a transform of more than {_MOST_TERMS} terms")

    def _moments(
        self, c: arb, slope: arb, scale: float, r: arb, count: int, far: arb
    ) -> tuple[list[arb], list[arb]]:
        """The moments, and for each n the error of S_n that they make."""
        width = self.ends[1] - self.ends[0]
        level = max(0, int(log2(max(width * scale / _LENGTH, 1)) + 0.999))
        errors = [arb(0)] * self.orders
        us: list[arb] = []
        weights: list[arb] = []
        tiny = arb(2) ** -self.bits
        for which, part in enumerate(_parts(self.law, self.bits, level)):
            with precision(_ROUGH):
                half = (part.upper - part.lower) / 2
                bound, near = arb(0), arb(0)
                for size, x, y in part.boxes:
                    u = x - c
                    away = arb(abs(u + arb(0, y)).upper())
                    value = size * self._highest(u, y, slope, r)
                    bound, near = bound.max(arb(value.upper())), near.max(away)
                bound = bound * half
                if 2 * bound < tiny:
                    errors = [a + 2 * bound * near**n for n, a in enumerate(errors)]
                    continue
                rho, nodes = ellipse(part.height, half), 8
                while bound * gauss_error(rho, nodes) > tiny:
                    nodes += 8
                    if nodes > _MOST_NODES:
                        raise NotEnclosed(f"moments that take more than {_MOST_NODES} nodes")
                errors = [a + bound * gauss_error(rho, nodes) * near**n for n, a in enumerate(errors)]
            ys, ws = _nodes(self.law, self.bits, level, which, nodes)
            for y, w in zip(ys, ws, strict=True):
                u = y - c
                us.append(u)
                weights.append(w * ((slope - self.b * u / 2) * u).exp())
        moments = []
        for _ in range(count):
            moments.append(sum(weights, arb(0)))
            weights = [w * u for w, u in zip(weights, us, strict=True)]
        return moments, [arb(a.upper()) for a in errors]

    def _highest(self, u: arb, y: arb, slope: arb, r: arb) -> arb:
        """A bound of |exp(-b z^2/2 + slope z)| exp(r |z|), z = u + i y."""
        size = arb(abs(u).upper()) + y
        return (slope * u - self.b * u * u / 2 + self.b * y * y / 2 + r * size).exp()

    def tilted(self, s: Any, most: int) -> Tilted:
        """What is known of M and of the means of (y - c)^n, n = 0 .. most, at a ball s.

        Not finite where the ball is too wide.
        """
        series = self._nearest(float(_real(s).mid()))
        with precision(self.bits):
            d = s - series.s
            if isinstance(d, acb) and d.imag.is_zero():
                d = d.real
            if not abs(d) < series.radius:
                nothing = arb.nan() if isinstance(d, arb) else acb(arb.nan(), arb.nan())
                return Tilted(series.c, nothing, nothing, arb(0), [nothing] * (most + 1))
            if isinstance(d, arb) and d.rad() < arb(2) ** (_GUARD - self.bits):
                rows, shift = [series.at(n, d) for n in range(most + 1)], arb(0)
                total = rows[0]
                level = total.log() if total > 0 else arb.nan()
            else:
                shift, rows, level = self._about_mean(series, d, most)
                total = rows[0] * (shift * d).exp()
            return Tilted(series.c, total, level, shift, [k / rows[0] for k in rows])

    @staticmethod
    def _about_mean(series: _Series, d: Any, most: int) -> tuple[arb, list[Any], Any]:
        """G_n = int w (u - a)^n exp(d (u - a)) with a about the mean, and log S_0, by the mean value theorem.

        |G_n(d) - G_n(middle)| <= rad max int w |u - a|^(n + 1) exp(Re d (u - a)), which is convex in Re d for even
        powers; odd ones lie below the geometric mean of their neighbours.  The logarithm continues that of the real
        line where Im(d)^2 times the tilted mean of (u - a)^2 is below 2, as Re G_0 is then positive on the way there.
        """
        real = _real(d)
        low, high = arb(real.lower()), arb(real.upper())
        center = d.mid() if isinstance(d, arb) else acb(d.real.mid(), d.imag.mid())
        middle = arb(real.mid())
        a = (series.at(1, middle) / series.at(0, middle)).mid()

        def about(z: Any, top: int) -> list[Any]:
            rows = [series.at(n, z) for n in range(top + 1)]
            factor = (-a * z).exp()
            return [sum((comb(n, i) * (-a) ** (n - i) * rows[i] for i in range(n + 1)), arb(0)) * factor
                    for n in range(top + 1)]

        top = most + 2 + (most % 2)
        ends = [about(low, top), about(high, top)]
        even = {n: arb(max((abs(row[n]).upper() for row in ends), key=float)) for n in range(0, top + 1, 2)}

        def largest(n: int) -> arb:
            size: arb = even[n] if n % 2 == 0 else (even[n - 1] * even[n + 1]).sqrt()
            return size

        radius = arb(abs(d - center).upper())
        rows = []
        for n, value in enumerate(about(center, most)):
            error = arb((radius * largest(n + 1)).upper())
            rows.append(value + (acb(arb(0, error), arb(0, error)) if isinstance(value, acb) else arb(0, error)))
        if isinstance(d, acb):
            height = arb(abs(d.imag).upper())
            least = about(middle, 0)[0] - (high - low) / 2 * largest(1)
            if not (least > 0 and height * height * even[2] < 2 * least and rows[0].real > 0):
                return a, rows, acb(arb.nan(), arb.nan())
        elif not rows[0] > 0:
            return a, rows, arb.nan()
        return a, rows, a * d + rows[0].log()


@lru_cache(maxsize=32)
def _made(law: Density, bits: int, most: int, middle: tuple[int, int], radius: tuple[int, int]) -> Transform:
    with precision(max(middle[0].bit_length(), 64)):
        mid, rad = (arb(man) * arb(2) ** exponent for man, exponent in (middle, radius))
        return Transform(law, arb(mid, rad), bits, most)


def transform_of(law: Density, b: arb, bits: int, most: int) -> Transform:
    """The transform of a law, kept for the next place that asks for it."""
    middle, radius = (tuple(int(k) for k in part.man_exp()) for part in (b.mid(), b.rad()))
    return _made(law, -(-bits // 32) * 32, most, middle, radius)
