"""Thresholds over a saddle point whose overlaps have nearly closed up, to many digits.

Where t is tiny the fields of all patterns that count lie within sqrt(t) of the query's, doubles cannot tell them apart,
and the solver of saddle points has nothing to hold.  Here differences sigma(u + x) - sigma(u) come from the Taylor
series of sigma, summed until its terms are below the precision, and everything else is done with as many digits as
asked for: Gauss-Hermite rules in the narrow fields, trapezoidal or Gauss-Legendre rules in u, Newton's method for t and
the overlaps together.  The same equations as everywhere (stationarity in q, r and m, and the root), no expansion in t.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import flint
import mpmath
import sympy as sp
from sympy import Expr, Symbol

from derive.core import DeriveError, Problem, SaddleStage, Stage
from derive.nodes.mp_eval import compile_mp
from derive.nodes.piece_forms import interval_of
from derive.nodes.products import NotClosed, cases

__all__ = ["Narrow", "narrow_solver"]

TERMS = 6  # of a Taylor series, at most
GUARD = 8  # digits
ROUNDS = 30
NARROW = -20  # log t, at most
Arb = Any


@dataclass(frozen=True)
class Narrow:
    """A root over one saddle point, as functions of numbers.

    Attributes: parameters, by name; pieces of sigma: (lower, upper, Taylor coefficients as functions of u); b, noise,
    ratio, residual, value: functions of (unknown, psi, mean squared distance, *parameters); inverse, whether the
    unknown is b and not t; mirrored, whether sigma is odd or even.
    """

    parameters: tuple[str, ...]
    pieces: tuple[tuple[Expr, Expr, tuple[Callable[[Any], Any], ...]], ...]
    b: Callable[..., Any]
    noise: Callable[..., Any]
    ratio: Callable[..., Any]
    residual: Callable[..., Any]
    value: Callable[..., Any]
    inverse: bool
    mirrored: bool


def narrow_solver(problem: Problem) -> Callable[[Mapping[str, Any], int], Any]:
    """(parameter name -> exact value, digits) -> the value as an mpf; None where the overlaps are not narrow enough.

    Raises: DeriveError for a problem that is not a root over one saddle point of squared distances.
    """
    narrow = _read(problem)

    def solve(values: Mapping[str, Any], digits: int) -> Any:
        with mpmath.workdps(digits + GUARD):
            given = [_mpf(values[k]) for k in narrow.parameters]
        return _solve(narrow, given, digits)

    return solve


def _mpf(value: Any) -> Any:
    return mpmath.mpf(value.numerator) / value.denominator if hasattr(value, "numerator") else mpmath.mpf(value)


def _read(problem: Problem) -> Narrow:
    stage = problem.stages[0] if len(problem.stages) == 1 else None
    saddle = stage.inner[0] if isinstance(stage, Stage) and len(stage.inner) == 1 else None
    energy = saddle.site.squared_distance if isinstance(saddle, SaddleStage) else None
    if not isinstance(stage, Stage) or not isinstance(saddle, SaddleStage) or energy is None:
        raise DeriveError(f"{problem.name} is no root over one saddle point of squared distances", given=problem.name,
                          allowed="one root, one saddle point, g = -b (x - xi)^2/2")
    branch = next((k for k in problem.branches if k.value is not None), None)
    distance = next((k for k, of in saddle.averages
                     if (of - (saddle.site.x - saddle.site.xi) ** 2).expand() == 0), Symbol("distance"))
    if branch is None or len(saddle.averages) > 1:
        raise DeriveError(f"{problem.name} has another shape", given=problem.name, allowed="one value")
    symbols = [stage.unknown, saddle.value, distance, *(p.symbol for p in problem.parameters)]
    b, noise, ratio, residual, value = (
        compile_mp(e, symbols) for e in (*energy, saddle.ratio, stage.residual, branch.value))
    return Narrow(tuple(p.name for p in problem.parameters), _pieces(saddle.site.activation, saddle.site.field),
                  b, noise, ratio, residual, value, energy[0] == stage.unknown,
                  _mirrored(saddle.site.activation, saddle.site.field))


def _mirrored(sigma: Expr, h: Symbol) -> bool:
    turned = sigma.subs(h, -h)
    return bool((turned - sigma).expand() == 0 or (turned + sigma).expand() == 0)


def _pieces(sigma: Expr, h: Symbol) -> tuple[tuple[Expr, Expr, tuple[Callable[[Any], Any], ...]], ...]:
    """The smooth pieces of an activation with their Taylor coefficients."""
    try:
        found = [(interval_of(lines), piece) for lines, piece in cases(sigma, h)]
    except NotClosed:
        raise DeriveError(f"the kinks of {sigma} are not at zeros of straight lines", given=str(sigma),
                          allowed="kinks at a + b h = 0") from None
    pieces = []
    for ends, piece in found:
        if ends is not None:
            low, high = (-sp.oo if ends[0] is None else ends[0]), (sp.oo if ends[1] is None else ends[1])
            pieces.append((low, high, _taylor(piece, h)))
    return tuple(sorted(pieces, key=lambda p: p[0]))


@lru_cache(maxsize=100)
def _taylor(piece: Expr, h: Symbol) -> tuple[Callable[[Any], Any], ...]:
    made, current = [], piece
    for k in range(1, TERMS + 1):
        current = current.diff(h) / k
        made.append(compile_mp(current, (h,)))
    return tuple(made)


# ---------------------------------------------------------------------------------------------------------- rules


def _arb(value: Any) -> Arb:
    sign, man, exp, _ = mpmath.mpf(value)._mpf_
    return flint.arb((-int(man) if sign else int(man), int(exp)))


def _back(value: Arb) -> Any:
    man, exp = value.mid().man_exp()
    return mpmath.ldexp(mpmath.mpf(int(man)), int(exp))


@cache
def _hermite(count: int, digits: int) -> tuple[tuple[Any, Any], ...]:
    """Nodes and weights for a standard normal variable."""
    with mpmath.workdps(digits + 10):
        inner, _ = sp_hermite(count)
        nodes, polynomial = [], _hermite_value
        for start in inner:
            x = mpmath.mpf(start)
            for _ in range(12):
                value, slope = polynomial(count, x)
                step = value / slope
                x -= step
                if abs(step) < mpmath.mpf(10) ** (-digits - 5):
                    break
            nodes.append(x)
        scale = mpmath.factorial(count)
        weights = [scale / (polynomial(count, x)[1] ** 2) for x in nodes]
        return tuple(zip(nodes, weights, strict=True))


def sp_hermite(count: int) -> tuple[Any, Any]:
    """Starting values of the nodes, in doubles."""
    import numpy as np

    return np.polynomial.hermite_e.hermegauss(count)


def _hermite_value(count: int, x: Any) -> tuple[Any, Any]:
    """He_n and its derivative."""
    before, now = mpmath.mpf(1), x
    for k in range(1, count):
        before, now = now, x * now - k * before
    return now, count * before


@cache
def _outer(ends: tuple[Any, ...], digits: int, finer: int) -> tuple[tuple[Any, Any], ...]:
    """Nodes and weights for a standard normal variable, broken at some points."""
    with mpmath.workdps(digits + 10):
        reach = mpmath.sqrt(2 * mpmath.log(10) * (digits + 5)) + 1
        if not ends:
            step = mpmath.pi**2 / (mpmath.log(10) * (digits + 2)) * 4 / (3 + finer)
            count = int(reach / step) + 1
            nodes = [(k * step, step) for k in range(-count, count + 1)]
        else:
            marks = sorted({mpmath.mpf(4 * k) for k in range(-int(reach / 4) - 1, int(reach / 4) + 2)} | {*ends})
            rule = _legendre(6 + int(0.25 * digits * (3 + finer)), digits)
            nodes = [((a + c) / 2 + (c - a) / 2 * x, (c - a) / 2 * w)
                     for a, c in itertools.pairwise(marks) for x, w in rule]
        norm = 1 / mpmath.sqrt(2 * mpmath.pi)
        return tuple((x, w * norm * mpmath.exp(-x * x / 2)) for x, w in nodes)


@cache
def _legendre(count: int, digits: int) -> tuple[tuple[Any, Any], ...]:
    before = flint.ctx.prec
    flint.ctx.prec = int(digits * 3.33) + 40
    try:
        found = [flint.arb.legendre_p_root(count, k, weight=True) for k in range(count)]
    finally:
        flint.ctx.prec = before
    return tuple((_back(x), _back(w)) for x, w in found)


# ------------------------------------------------------------------------------------------------------- one place


@dataclass(frozen=True)
class Rule:
    """How finely the averages are taken: digits, nodes in v and noise, in w, and refinement in u."""

    digits: int
    narrow: int
    own: int
    finer: int = 1


@dataclass(frozen=True)
class Averages:
    """E log int Dw exp g, E[1 - var w], E<w>^2, E[u <w>] and b E<(x - xi)^2>."""

    level: Any
    shrink: Any
    square: Any
    planted: Any
    distance: Any


def _averages(narrow: Narrow, rule: Rule, t: Any, kappa: Any, spread: Any, delta: Any, rho: Any) -> Averages:
    """The averages at V = kappa t, q - m^2 = spread V, 1 - m = delta t and a query noise of variance rho t."""
    before = flint.ctx.prec
    flint.ctx.prec = int(rule.digits * 3.33) + 20
    try:
        return _summed(narrow, rule, t, kappa, spread, delta, rho)
    finally:
        flint.ctx.prec = before


def _summed(narrow: Narrow, rule: Rule, t: Any, kappa: Any, spread: Any, delta: Any, rho: Any) -> Averages:
    root_t = mpmath.sqrt(t)
    terms = min(TERMS, _count_terms(rule.digits, root_t))
    powers = [_arb(root_t**k) for k in range(terms)]
    # the law is even in v where it is narrow: the sign of a spread below zero does not matter to Newton's method
    v_nodes = [(_arb(x * mpmath.sqrt(abs(spread) * kappa)), _arb(w)) for x, w in _hermite(rule.narrow, rule.digits)]
    z_nodes = [(_arb(x * mpmath.sqrt(rho)), _arb(w)) for x, w in _hermite(rule.narrow, rule.digits)]
    if rho == 0:
        z_nodes = [(flint.arb(0), flint.arb(1))]
    if spread == 0:
        v_nodes = [(flint.arb(0), flint.arb(1))]
    own = [(_arb(x), _arb(x * mpmath.sqrt(kappa)), _arb(w)) for x, w in _hermite(rule.own, rule.digits)]
    flat = [(_arb(x), flint.arb(0), _arb(w)) for x, w in _hermite(2, rule.digits)]  # where sigma does not move
    ends = tuple(_mpf_of(p[0]) for p in narrow.pieces[1:])
    total, here, before = [flint.arb(0)] * 5, [flint.arb(0)] * 5, None
    for (u, weight), slopes in zip(
        _outer(ends, rule.digits, rule.finer), _slopes(narrow.pieces, ends, rule.digits, rule.finer, terms), strict=True
    ):
        if narrow.mirrored:
            if u < 0:
                continue
            weight = weight * 2 if u > 0 else weight
        if slopes is not before or delta != 0:
            here = _at_field(Field(slopes, powers, _arb(u * delta * root_t)), v_nodes, z_nodes, own, flat)
            before = slopes
        scale, odd = _arb(weight), _arb(u)
        level, shrink, square, first, far = here
        total = [a + scale * b for a, b in zip(total, (level, shrink, square, odd * first, far), strict=True)]
    return Averages(*map(_back, total))


@dataclass(frozen=True)
class Field:
    """One value of the query's field: Taylor coefficients of sigma, powers of sqrt(t), and by how much m < 1 shifts."""

    slopes: tuple[Arb, ...]
    powers: Sequence[Arb]
    shift: Arb


def _at_field(
    field: Field, v_nodes: Sequence[Any], z_nodes: Sequence[Any], own: Sequence[Any], flat: Sequence[Any]
) -> list[Arb]:
    """Level, 1 - var w, <w>^2, <w> and squared distance at one field, averaged over common field and noise."""
    tried, half = (own if any(field.slopes) else flat), flint.arb("0.5")
    found = [flint.arb(0)] * 5
    for v, v_weight in v_nodes:
        moves = [_change(field.slopes, field.powers, v + y - field.shift) for _, y, _ in tried]
        for z, z_weight in z_nodes:
            gaps = [z - d for d in moves]
            tilt = [w * (-(g * g) * half).exp() for g, (_, _, w) in zip(gaps, tried, strict=True)]
            whole = sum(tilt, flint.arb(0))
            first = sum((a * x for a, (x, _, _) in zip(tilt, tried, strict=True)), flint.arb(0)) / whole
            second = sum((a * x * x for a, (x, _, _) in zip(tilt, tried, strict=True)), flint.arb(0)) / whole
            far = sum((a * g * g for a, g in zip(tilt, gaps, strict=True)), flint.arb(0)) / whole
            parts = (whole.log(), 1 - second + first * first, first * first, first, far)
            share = v_weight * z_weight
            found = [a + share * b for a, b in zip(found, parts, strict=True)]
    return found


def _count_terms(digits: int, root_t: Any) -> int:
    return max(1, math.ceil(digits / float(-mpmath.log10(root_t))) + 1)


def _mpf_of(end: Expr) -> Any:
    return mpmath.mpf(end.p) / end.q if end.is_Rational else mpmath.mpf(str(sp.N(end, mpmath.mp.dps)))


@lru_cache(maxsize=64)
def _slopes(pieces: Any, ends: tuple[Any, ...], digits: int, finer: int, terms: int) -> tuple[tuple[Arb, ...], ...]:
    """Taylor coefficients of sigma at every node."""
    found: list[tuple[Arb, ...]] = []
    same: dict[tuple[Any, ...], tuple[Arb, ...]] = {}  # nodes on one straight line share their coefficients
    with mpmath.workdps(digits + 10):
        for u, _ in _outer(ends, digits, finer):
            series = pieces[sum(u > e for e in ends)][2]
            values = tuple(mpmath.re(f(u)) for f in series[:terms])
            if values not in same:
                same[values] = tuple(map(_arb, values))
            found.append(same[values])
    return tuple(found)


def _change(slopes: Sequence[Arb], powers: Sequence[Arb], y: Arb) -> Arb:
    """(sigma(u + sqrt(t) y) - sigma(u))/sqrt(t)."""
    made = flint.arb(0)
    for slope, power in zip(reversed(slopes), reversed(powers), strict=True):
        made = made * y + slope * power
    return made * y


# ------------------------------------------------------------------------------------------------------- the root


@dataclass(frozen=True)
class Place:
    """What an average is taken at: t or b as the unknown, psi and the mean squared distance there, and the averages."""

    unknown: Any
    psi: Any
    distance: Any
    ratio: Any
    b: Any
    found: Averages


def _place(narrow: Narrow, given: Sequence[Any], rule: Rule, at: Sequence[Any], delta: Any) -> Place:
    """The free entropy at log t, log kappa, (q - m^2)/(r - q) and delta = (1 - m)/t."""
    t, kappa, spread = mpmath.exp(at[0]), mpmath.exp(at[1]), at[2]
    unknown, nothing = (1 / t if narrow.inverse else t), mpmath.mpf(0)
    b, noise, ratio = (f(unknown, nothing, nothing, *given) for f in (narrow.b, narrow.noise, narrow.ratio))
    found = _averages(narrow, rule, 1 / b, kappa, spread, delta, b * noise)
    own, off = kappa / b, delta / b
    psi = ratio / 2 * (mpmath.log(own) + spread + 2 * off - off**2 - own * (1 + spread)) + found.level
    return Place(unknown, psi, found.distance / b, ratio, b, found)


def _equations(narrow: Narrow, given: Sequence[Any], rule: Rule, at: Sequence[Any], delta: Any) -> list[Any]:
    """What vanishes at the root: its own equation, and those of q and r."""
    p, own = _place(narrow, given, rule, at, delta), mpmath.exp(at[1])
    return [
        narrow.residual(p.unknown, p.psi, p.distance, *given) / p.ratio,
        p.found.shrink / (p.ratio * (1 - own / p.b)) - 1,
        at[2] - p.found.square / p.ratio,
    ]


def _off(narrow: Narrow, given: Sequence[Any], rule: Rule, at: Sequence[Any]) -> Any:
    """delta from the equation of m, which is linear in it up to order t."""

    def gap(delta: Any) -> Any:
        p = _place(narrow, given, rule, at, delta)
        return (1 - p.found.planted / (p.ratio * mpmath.sqrt(mpmath.exp(at[1]) / p.b))) * p.b - delta

    zero, one = gap(mpmath.mpf(0)), gap(mpmath.mpf(1))
    return zero / (zero - one)


def _newton(narrow: Narrow, given: Sequence[Any], rule: Rule, at: list[Any]) -> tuple[list[Any], Any] | None:
    """The root by a rough rule, and the slopes of the equations there."""
    small, nothing = mpmath.mpf("1e-8"), mpmath.mpf(0)
    for _ in range(ROUNDS):
        here = _equations(narrow, given, rule, at, nothing)
        columns = []
        for k in range(3):
            there = _equations(narrow, given, rule, [a + (small if j == k else 0) for j, a in enumerate(at)], nothing)
            columns.append([(a - c) / small for a, c in zip(there, here, strict=True)])
        slopes = mpmath.matrix(columns).T
        try:
            step = mpmath.lu_solve(slopes, mpmath.matrix(here))
        except ZeroDivisionError:
            return None
        damped = min(mpmath.mpf(1), 1 / max(abs(step[1]), mpmath.mpf("1e-9")))
        at = [a - damped * step[k] for k, a in enumerate(at)]
        if not all(map(mpmath.isfinite, at)) or at[0] > NARROW:
            return None
        if max(abs(step[0]), abs(step[1])) < 1e-7:
            return at, slopes
    return None


def _solve(narrow: Narrow, given: Sequence[Any], digits: int) -> Any:
    work = 10 * math.ceil((digits + GUARD) / 10)  # one set of nodes for many calls
    with mpmath.workdps(22):
        start = _start(narrow, given)
        if start is None or not _narrow_enough(narrow, start[0], digits):
            return None
        rough = _newton(narrow, given, Rule(22, 2, 12), start)
        if rough is None or not _narrow_enough(narrow, rough[0][0], digits):
            return None
    at, slopes = rough
    small = -float(at[0]) / math.log(10)
    rule = Rule(work, 1 + math.ceil(work / small), _own_count(float(mpmath.exp(at[1])), work))
    with mpmath.workdps(work):
        delta = mpmath.mpf(0)
        for finer in range(2, 6):
            better = _polished(narrow, given, rule, at, slopes, delta, digits)
            if better is not None and small < digits + 2:
                delta = _off(narrow, given, rule, better)
                better = _polished(narrow, given, rule, better, slopes, delta, digits)
            if better is None:
                return None
            at = better
            before, rule = rule, Rule(work, rule.narrow + (small < work), rule.own + 4 * finer, finer)
            left = mpmath.lu_solve(slopes, mpmath.matrix(_equations(narrow, given, rule, at, delta)))
            if abs(left[0]) < mpmath.mpf(10) ** -digits:
                p = _place(narrow, given, before, at, delta)
                return narrow.value(p.unknown, p.psi, p.distance, *given)
    return None


def _narrow_enough(narrow: Narrow, log_t: Any, digits: int) -> bool:
    """Whether the Taylor series is short, and what a kink adds, of relative order sqrt(t), is below the precision."""
    small = -float(log_t) / math.log(10)
    if len(narrow.pieces) > 1 and small / 2 < digits + 2:
        return False
    return _count_terms(digits + GUARD, mpmath.exp(log_t / 2)) <= TERMS


def _start(narrow: Narrow, given: Sequence[Any]) -> list[Any] | None:
    """Where Newton's method starts: overlaps that the slope of sigma gives, and t at which the equation is nearest."""
    nothing = mpmath.mpf(0)
    ratio = narrow.ratio(mpmath.mpf(1), nothing, nothing, *given)
    slope = sum(w * mpmath.re(narrow.pieces[_index(narrow, u)][2][0](u)) ** 2 for u, w in _outer((), 20, 1))
    if not slope > 0:
        return None
    at = [2 * mpmath.mpf(NARROW), mpmath.log(ratio / slope), mpmath.mpf(1)]
    rule, moved = Rule(22, 2, 12), mpmath.mpf(1)
    for _ in range(3):
        left, there = (_equations(narrow, given, rule, [at[0] + k, *at[1:]], nothing)[0] for k in (0, moved))
        at[0] = min(at[0] - left / (there - left), mpmath.mpf(NARROW))
    return at


def _index(narrow: Narrow, u: Any) -> int:
    return sum(u > _mpf_of(p[0]) for p in narrow.pieces[1:])


def _own_count(kappa: float, digits: int) -> int:
    """Nodes in w at which the rule's error for exp(-kappa s w^2/2) is below the precision, for s of order 1."""
    rate = math.log10(1 / min(0.6, max(kappa, 1e-30) * 1.2))
    return min(60, 6 + math.ceil(digits / rate))


def _polished(
    narrow: Narrow, given: Sequence[Any], rule: Rule, at: list[Any], slopes: Any, delta: Any, digits: int
) -> list[Any] | None:
    """The root at full precision, from slopes that are nearly right (Broyden's method)."""
    inverse = slopes**-1
    here = mpmath.matrix(_equations(narrow, given, rule, at, delta))
    for _ in range(12):
        step = -(inverse * here)
        at = [a + step[k] for k, a in enumerate(at)]
        if max(abs(step[0]), abs(step[1])) < mpmath.mpf(10) ** (-digits - 3):
            return at
        there = mpmath.matrix(_equations(narrow, given, rule, at, delta))
        turned = inverse * (there - here)
        weight = (step.T * turned)[0]
        if weight == 0:
            return None
        inverse = inverse + ((step - turned) * (step.T * inverse)) / weight
        here = there
    return None
