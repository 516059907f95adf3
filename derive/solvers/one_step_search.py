"""Where the points of `one_step` are looked for: symmetric ones, blocks near and far from them, along a branch.

Blocks are found at a fixed breakpoint first, where their overlaps alone are unknown; then the breakpoint is moved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from derive.solvers.one_step import Landscape, OneStepPoint, OneStepProblem, newton, polished, resolved
from derive.solvers.one_step_averages import Array
from derive.solvers.one_step_weights import Fineness
from derive.solvers.saddle_averages import Unbounded, Undefined, Unresolved

__all__ = ["broken_points", "continued_point", "symmetric_points"]

MERGED = 1e-5
"""Overlaps inside and between blocks that are closer than this, relative to the room there is, are one."""
SINGLE = 1.0 - 1e-4
"""The largest breakpoint that is tried: for blocks of one replica q_1 is not determined."""
ROUGH = 1e-3
"""The same while points are looked for."""
ENOUGH = (400, 10_000_000)
"""Passes, and points of all their grids, after which no further points are looked for, where there is one."""
GIVE_UP = (2500, 300_000_000)
"""The same where there is none."""


def _tied(problem: OneStepProblem) -> Array:
    """Directions in which the two overlaps of a pair move together and the breakpoint stays."""
    pairs, others = len(problem.pairs), len(problem.others)
    out = np.zeros((2 * pairs + others + 1, pairs + others))
    for k in range(pairs):
        out[2 * k, k] = out[2 * k + 1, k] = 1.0
    for k in range(others):
        out[2 * pairs + k, pairs + k] = 1.0
    return out


def _without_breakpoint(problem: OneStepProblem) -> Array:
    return np.eye(len(problem.unknowns))[:, :-1]


def symmetric_points(
    land: Landscape, starts: Sequence[Sequence[float]], fineness: Fineness = (0, 0, 0)
) -> list[OneStepPoint]:
    """Replica-symmetric stationary points: q_0 = q_1 in every pair.

    Args: starts, values of (q of every pair, others); fineness to begin with.
    """
    directions = _tied(land.problem)
    found: list[OneStepPoint] = []
    for start in starts:
        theta = directions @ np.asarray(start, dtype=float)
        theta[-1] = 0.5
        count = land.passes
        try:
            if not land.inside(theta):
                continue
            fine = resolved(land, theta, fineness, 0.01 * ROUGH)[0]
            place, size = newton(land, theta, directions, fine, 1e-7)
            if size > 1e-5 or any(np.allclose(place, k.values, atol=1e-6) for k in found):
                continue
            point = polished(land, place, directions, fine, count)
        except (Unresolved, Unbounded, Undefined):
            continue
        if not point.words and not any(np.allclose(point.values, k.values, atol=1e-6) for k in found):
            found.append(point)
    return found


# ---- broken points


def broken_points(
    land: Landscape, around: Sequence[Sequence[float]], fineness: Fineness = (0, 0, 0),
    near: Sequence[OneStepPoint] = (),
) -> tuple[list[OneStepPoint], str]:
    """Points with q_0 < q_1 that are stationary in every order parameter, the breakpoint included.

    Blocks are first looked for at a fixed breakpoint, beginning near the symmetric points `around` (values of all order
    parameters) and away from them; along the branch that is found, the breakpoint is moved to where the free entropy
    does not change with it.  Points at parameters nearby, `near`, are continued first, and one that is found so is
    enough.

    Returns: the points, of smallest free entropy first, and in words why there is none.
    """
    found: list[OneStepPoint] = []
    told: list[str] = []
    begun = land.passes, land.work
    for old in near:
        point = continued_point(land, old)
        if point is not None:
            return [point], ""
    for theta in _starts(land, around):
        passes, work = ENOUGH if found else GIVE_UP
        if land.passes - begun[0] > passes or land.work - begun[1] > work:
            break
        count = land.passes
        try:
            fine = resolved(land, theta, fineness, ROUGH)[0]
            branch = _settled(land, theta, fine)
            if branch is None:
                continue
            words, place = _along(land, branch, resolved(land, branch, fine, ROUGH)[0])
            if place is None:
                told.append(words)
                continue
            if any(np.allclose(place, k.values, rtol=1e-3, atol=1e-4) for k in found):
                continue
            point = polished(land, place, np.eye(len(place)), fine, count)
        except (Unresolved, Unbounded, Undefined) as error:
            told.append(str(error))
            continue
        known = any(np.allclose(point.values, k.values, rtol=1e-5, atol=1e-6) for k in found)
        if point.words:
            told.append(point.words)
        elif _apart(land, np.array(point.values)) and not known:
            found.append(point)
    words = "" if found else (told[0] if told else "from every start the overlaps of a block become those of all")
    return sorted(found, key=lambda k: k.free_entropy), words


def continued_point(land: Landscape, old: OneStepPoint) -> OneStepPoint | None:
    """A broken point at parameters nearby, followed here."""
    theta, count = np.array(old.values), land.passes
    try:
        if not land.inside(theta):
            return None
        place, size = newton(land, theta, np.eye(len(theta)), old.fineness, 1e-7, 12)
        if size > 1e-6 or not _apart(land, place):
            return None
        point = polished(land, place, np.eye(len(theta)), old.fineness, count)
    except (Unresolved, Unbounded, Undefined):
        return None
    return None if point.words or not _apart(land, np.array(point.values)) else point


def _starts(land: Landscape, around: Sequence[Sequence[float]]) -> list[Array]:
    """Points with q_1 above q_0: near every symmetric point and far above it, for several breakpoints."""
    found = []
    for x in (0.5, 0.8, 0.97, 0.2):
        for share in (0.4, 0.7, 0.1, 0.95, 0.997):
            for values in around:
                theta = np.array(values, dtype=float)
                theta[-1] = x
                theta[1] += share * _headroom(land, theta)
                if land.inside(theta):
                    found.append(theta)
    return found


def _headroom(land: Landscape, theta: Array) -> float:
    """How far q_1 can be raised."""
    low, high = 0.0, 1.0
    probe = theta.copy()
    for _ in range(60):
        probe[1] = theta[1] + high
        if not land.inside(probe):
            break
        low, high = high, 2.0 * high
    for _ in range(30):
        middle = 0.5 * (low + high)
        probe[1] = theta[1] + middle
        low, high = (middle, high) if land.inside(probe) else (low, middle)
    return low


def _apart(land: Landscape, theta: Array) -> bool:
    """Whether there are blocks: of more than one replica, with overlaps unlike those between them."""
    room = max(abs(float(theta[1])), _headroom(land, theta))
    return bool(theta[-1] < 1.0 - 1e-7 and theta[1] - theta[0] > MERGED * room)


def _settled(land: Landscape, theta: Array, fineness: Fineness) -> Array | None:
    """The point at the same breakpoint that is stationary in all other order parameters, if blocks remain there."""
    place, size = newton(land, theta, _without_breakpoint(land.problem), fineness, 1e-9, 60)
    return place if size < 1e-6 and _apart(land, place) else None


def _along(land: Landscape, branch: Array, fineness: Fineness) -> tuple[str, Array | None]:
    """The branch followed in the breakpoint to where the free entropy does not change with it; or why there is none."""
    slope = land.at(branch, fineness).gradient[-1]
    ends = []
    # where blocks are the answer the free entropy is smallest in the breakpoint: downhill first
    for sign in (-np.sign(slope), np.sign(slope)):
        place, last, step = branch, slope, 0.08
        while step > 1e-3:
            x = place[-1] + sign * step * min(1.0, 4.0 * place[-1])
            if x > SINGLE:
                if place[-1] >= SINGLE:
                    break
                x = SINGLE
            trial = place.copy()
            trial[-1] = x
            moved = _settled(land, trial, fineness) if x > 0.0 and land.inside(trial) else None
            if moved is None:
                step *= 0.5
                continue
            new = land.at(moved, fineness).gradient[-1]
            if new * last <= 0.0:
                return "", _crossing(land, (place, last), (moved, new), fineness)
            if moved[-1] < 1e-3:
                break
            place, last = moved, new
        ends.append(float(place[-1]))
    low, high = sorted(ends)
    side = "falls" if slope < 0.0 else "rises"
    return (f"no breakpoint on ({low:.3g}, {high:.3g}], where blocks exist, is stationary: the free entropy {side} "
            "with it throughout"), None


def _crossing(land: Landscape, first: tuple[Array, float], second: tuple[Array, float], fineness: Fineness) -> Array:
    """Between two points of a branch, where the slope in the breakpoint vanishes, approximately."""
    (a, f), (b, g) = first, second
    for _ in range(4):
        share = f / (f - g) if f != g else 0.5
        place = _settled(land, a + min(max(share, 0.05), 0.95) * (b - a), fineness)
        if place is None:
            break
        new = land.at(place, fineness).gradient[-1]
        if new * f <= 0.0:
            b, g = place, new
        else:
            a, f = place, new
    return a if abs(f) < abs(g) else b

