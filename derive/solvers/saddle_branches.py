"""Saddle points of replica-symmetric free entropies in the overlaps (m, q, r): Newton's method from several starts.

NumPy alone; like `runtime`, this text may be copied into an exported file.

With p = q - m^2, V = r - q and the cumulants l_k of `saddle_averages`, Stein's lemma and the heat equation turn
stationarity in (m, q, r) into

    R_1 = E[u l_1] - a sqrt(V) m = 0,   R_2 = E[l_1^2] - a p / V = 0,   R_3 = E[l_2] + a (1 - V) = 0.

This is the true gradient up to an invertible matrix: dF/dm = R_1/sqrt(V) - m R_3/V, dF/dq = -R_2/(2 V),
dF/dr = (R_2 + R_3)/(2 V).  Nothing special happens at p = 0, where sqrt(q - m^2) and its logarithm make the gradient
vanish for no reason.  The replicon is 1 - E[l_2^2]/a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from derive.solvers.saddle_averages import (
    Array,
    Averages,
    Mesh,
    SiteFunctions,
    Unbounded,
    Undefined,
    Unresolved,
    site_averages,
    start_mesh,
)

RESIDUAL = 1e-12
"""What the discretised equations have to be satisfied to."""
NEAR = 1e-2
"""Residuals below which a finer mesh is tried where Newton's method stalls."""
STAYS = "the residual stays at"
"""What is said of a point at which the residual does not fall further, for rounding."""
BRANCHES = 4
"""Branches that are reported, at most."""
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Extremum:
    """A stationary point, or where the search for one ended.

    Attributes: point (m, p, V), how it was found (start), free_entropy, residual, replicon, quadrature_error of the
    free entropy, overlap_error (what it makes of the overlaps), extras (tilted averages), mesh, iterations, and words
    (why it is none, empty where it is one).
    """

    point: Point
    start: str
    free_entropy: float = np.nan
    residual: float = np.inf
    replicon: float = np.nan
    quadrature_error: float = np.nan
    overlap_error: float = np.nan
    extras: tuple[float, ...] = ()
    mesh: Mesh | None = None
    iterations: int = 0
    words: str = ""

    @property
    def overlaps(self) -> Point:
        """(m, q, r)."""
        m, p, v = self.point
        return m, m * m + p, m * m + p + v


def free_entropy(site: SiteFunctions, point: Point, level: float) -> float:
    """a/2 [log V + p/V + 1 - r] + E L."""
    m, p, v = point
    return float(0.5 * site.ratio * (np.log(v) + p / v + 1.0 - (m * m + p + v)) + level)


def equations(site: SiteFunctions, point: Point, found: Averages) -> tuple[Array, Array, Array]:
    """Residuals R, their derivatives in (m, p, log V), and the scales they are measured in."""
    m, p, v = point
    a, s = site.ratio, np.sqrt(v)
    _, _, l2, one_one, two_two, _, four, one_three, one_one_two, _ = found.plain
    u1, uu2, u3, u12 = found.with_u
    residual = np.array([u1 - a * s * m, one_one - a * p / v, l2 + a * (1.0 - v)])
    jacobian = np.array(
        [
            [uu2 / s - a * s, u3 / (2.0 * v), 0.5 * (u1 + u3 + 2.0 * u12) - 0.5 * a * m * s],
            [2.0 * u12 / s, (two_two + one_three - a) / v, one_one + one_three + 2.0 * one_one_two + a * p / v],
            [u3 / s, four / (2.0 * v), l2 + 0.5 * four + two_two + one_three - a * v],
        ]
    )
    scale = a * np.array([s * (1.0 + abs(m)), 1.0 + p / v, 1.0 + v])
    return residual, jacobian, scale


def moved(point: Point, step: Array) -> Point:
    """The point after a step in (m, p, log V), held inside p >= 0 and kept from going far at once."""
    m, p, v = point
    dm, dp, dl = (float(x) for x in step)
    size = max(abs(dm) / (0.5 + 0.5 * abs(m) + np.sqrt(p)), abs(dl) / 0.8, dp / (4.0 * p + v), 1.0)
    dm, dp, dl = dm / size, dp / size, dl / size
    new_p = p + dp if p + dp >= 0.2 * p else 0.2 * p
    return m + dm, new_p, v * float(np.exp(dl))


def iterated(site: SiteFunctions, point: Point, found: Averages, damping: float = 0.5) -> Point:
    """A damped step of the fixed-point iteration."""
    m, p, v = point
    a = site.ratio
    new_v = max(1.0 + float(found.plain[2]) / a, 0.2 * v)
    new_m = float(found.with_u[0]) / (a * np.sqrt(v))
    new_p = v * float(found.plain[3]) / a
    keep = 1.0 - damping
    return keep * m + damping * new_m, keep * p + damping * new_p, float(v**keep * new_v**damping)


def newton(
    site: SiteFunctions, mesh: Mesh, point: Point, goal: float, steps: int
) -> tuple[Point, float, int, Array | None]:
    """Newton's method on a given mesh, with backtracking, and a fixed-point step where it stalls.

    Returns: the point, the size of the residual there, the passes taken, and the last Newton step, not yet taken.
    """
    found = site_averages(site, mesh, point)
    residual, jacobian, scale = equations(site, point, found)
    size, count = float(np.abs(residual / scale).max()), 1
    for _ in range(steps):
        if not size > goal or count > 4 * steps:
            break
        step = newton_step(residual, jacobian)
        tried = []
        if step is not None:
            tried = [moved(point, step * 0.35**k) for k in range(4 if size > 1e-9 else 1)]
        if size > 1e-9:
            tried.append(iterated(site, point, found))
        before = size
        for k, trial in enumerate(tried):
            after = site_averages(site, mesh, trial)
            count += 1
            new = equations(site, trial, after)
            size = float(np.abs(new[0] / new[2]).max())
            if size < (1.0 - 1e-3) * before or (k == len(tried) - 1 and before > 1e-9):
                point, found, (residual, jacobian, scale) = trial, after, new
                break
        else:
            size = before
            break
    return point, size, count, newton_step(residual, jacobian)


def newton_step(residual: Array, jacobian: Array) -> Array | None:
    """The step to the zero of the linearised equations; none where they are singular."""
    try:
        step = np.linalg.solve(jacobian, -residual)
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() else None


def polished(site: SiteFunctions, mesh: Mesh, start: Extremum) -> Extremum:
    """A stationary point on a mesh that is fine enough for it, from a point nearby."""
    point, count = start.point, start.iterations
    accepted = max(RESIDUAL, 1e-3 * site.tolerance)
    final: Averages | None = None
    for _ in range(12):
        point, size, passes, step = newton(site, mesh, point, 1e-7, 25)
        count += passes
        if not size <= 1e-7:
            # the Jacobian is that of the averages, not of sums on a mesh too coarse for them
            better = mesh
            if size <= NEAR:
                better, count = site_averages(site, mesh, point, check=True).better, count + 1
            if better == mesh:
                return replace(start, point=point, residual=size, iterations=count, mesh=mesh,
                               words=f"Newton's method stalls at a residual of {size:.1e}")
            mesh = better
            continue
        # the step that is left brings the residual below rounding: check the mesh there
        if step is not None and size > 1e-13:
            point = moved(point, step)
        final = site_averages(site, mesh, point, check=True, extras=True)
        count += 1
        residual, jacobian, scale = equations(site, point, final)
        size = float(np.abs(residual / scale).max())
        if final.better == mesh:
            if size <= 0.1 * accepted:
                break
            last = newton_step(residual, jacobian)
            closer = point if last is None else moved(point, last)
            again = site_averages(site, mesh, closer, check=True, extras=True)
            count += 1
            new = equations(site, closer, again)
            if np.abs(new[0] / new[2]).max() < size:
                point, final, (residual, jacobian, scale) = closer, again, new
                size = float(np.abs(residual / scale).max())
            if size <= accepted or final.better == mesh:
                break
        mesh = final.better
    if final is None:
        words = f"Newton's method stalls at a residual of {size:.1e}, on every mesh tried"
        return replace(start, point=point, residual=size, iterations=count, mesh=mesh, words=words)
    wrong = np.array([final.error[4], final.error[2], final.error[1]])
    try:
        spread_out = np.abs(np.linalg.inv(jacobian)) @ wrong
    except np.linalg.LinAlgError:
        spread_out = np.full(3, np.inf)
    words = "" if size <= accepted else f"{STAYS} {size:.1e}"
    if final.better != mesh:
        words = "the averages are not resolved to the accuracy asked for"
    return Extremum(
        point,
        start.start,
        free_entropy(site, point, float(final.plain[0])),
        size,
        1.0 - float(final.plain[4]) / site.ratio,
        float(final.error[0]),
        float(max(spread_out[0], spread_out[1], point[2] * spread_out[2])),
        tuple(float(x) for x in final.extras),
        mesh,
        count,
        words,
    )


def own_starts(site: SiteFunctions, mesh: Mesh) -> list[tuple[str, Point]]:
    """Starting points for any site: without correlation, its response to the query, and at the planted pattern."""
    free = (0.0, 0.0, 1.0)
    answer = iterated(site, free, site_averages(site, mesh, free), 1.0)
    return [("response", answer), ("uncorrelated", free), ("planted", (0.95, 0.05, 0.1))]


def apart(one: Point, other: Point) -> bool:
    """Whether two points are different stationary points, to the accuracy of a coarse mesh."""
    scale = np.array([0.1 + abs(one[0]), 0.1 * one[2] + one[1], one[2]])
    return bool((np.abs(np.array(one) - np.array(other)) > 0.02 * scale).any())


def approached(site: SiteFunctions, near: Extremum) -> Extremum:
    """Where to continue a stationary point from nearby parameters: as close as the mesh to begin with brings it.

    Passes on the mesh that was fine enough nearby are dear; sharp integrands, which need it, are left to it.
    """
    start = Extremum(near.point, "continued")
    if near.mesh is None or near.mesh.adaptive:
        return start
    place, size, count, step = newton(site, start_mesh(site), near.point, 1e-4, 12)
    if not size <= 1e-4 or step is None:
        return start
    return replace(start, point=moved(place, step), iterations=count)


def solve_site(
    site: SiteFunctions, starts: Sequence[tuple[str, Point]], known: Sequence[Extremum] = ()
) -> list[Extremum]:
    """All stationary points found, the one of largest free entropy first; or one that says why there is none.

    Args: starts, points to begin with besides `own_starts`; known, stationary points at parameters nearby.
    """
    try:
        coarse = start_mesh(site, coarse=True)
        first = site_averages(site, coarse, (0.0, 0.0, 1.0), check=True)
        coarse = replace(coarse, adaptive=first.better.adaptive, step_w=first.better.step_w)
        points = [*own_starts(site, coarse), *starts]
    except (Unbounded, Undefined, Unresolved) as error:
        return [Extremum((np.nan, np.nan, np.nan), "none", words=str(error))]
    found, failures = continued(site, known)
    seen = [e.point for e in found] + shadows(site, coarse, found)
    for name, point in points:
        try:
            place, size, count, _ = newton(site, coarse, point, 1e-5, 10 if found or known else 30)
            if not size <= 1e-4 or any(not apart(place, other) for other in seen):
                failures.append(Extremum(place, name, residual=size, words=f"residual {size:.1e}"))
                continue
            seen.append(place)
            whole = polished(site, start_mesh(site), Extremum(place, name, iterations=count))
        except (Unbounded, Undefined, Unresolved) as error:
            whole = Extremum(point, name, words=str(error))
        sort_out(whole, found, failures)
    if not found:
        best = min(failures, key=lambda f: f.residual)
        told = f"no saddle point: {best.words} (best of {len(failures)} starts, from {best.start})"
        return [replace(best, words=told)]
    return sorted(found, key=lambda e: -e.free_entropy)


def shadows(site: SiteFunctions, coarse: Mesh, found: Sequence[Extremum]) -> list[Point]:
    """Where the stationary points found lie on a coarse mesh, on which they may be some way off."""
    places = []
    for one in found:
        try:
            place, size, _, _ = newton(site, coarse, one.point, 1e-5, 10)
        except (Unbounded, Undefined, Unresolved):
            continue
        places += [place] if size <= 1e-4 else []
    return places


def continued(site: SiteFunctions, known: Sequence[Extremum]) -> tuple[list[Extremum], list[Extremum]]:
    """Stationary points continued from parameters nearby, the one of largest free entropy first; and those lost."""
    found: list[Extremum] = []
    failures: list[Extremum] = []
    for near in known:
        try:
            whole = polished(site, start_mesh(site) if near.mesh is None else near.mesh, approached(site, near))
        except (Unbounded, Undefined, Unresolved) as error:
            whole = Extremum(near.point, "continued", words=str(error))
        sort_out(whole, found, failures)
    return sorted(found, key=lambda e: -e.free_entropy), failures


def sort_out(whole: Extremum, found: list[Extremum], failures: list[Extremum]) -> None:
    """Put where a search ended among the failures, or among the points found if it is not among them yet."""
    if whole.words:
        failures.append(whole)
    elif all(apart(whole.point, other.point) for other in found):
        found.append(whole)
