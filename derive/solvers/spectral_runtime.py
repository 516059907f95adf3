"""Free sums of Marchenko-Pastur laws in NumPy: edges, gaps and density, for arrays of parameters.

The law has resolvent g(z) = <1/(c - z)> with inverse function z = shift - 1/g + sum_k a_k v_k/(1 + v_k g).  With
u = -1/g the real points off the support are

    place(u) = shift + u + sum_k a_k v_k u/(u - v_k)    where    load(u) = sum_k a_k v_k^2/(u - v_k)^2 < 1,

so that edges are places of load 1.  On each side of the v_k, and between neighbours, 1/sqrt(load) is a mean of order -2
of positive linear functions of u, hence concave: Newton's method from where the load exceeds 1 runs monotonically to
the nearest critical point, or past the top where there is none, which proves that there is none.

This text is also written into exported files: NumPy only, no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.solvers.runtime import call, read_points

__all__ = [
    "Critical", "critical_points", "every_gap", "run_density", "run_edges", "run_gap_times", "run_gaps", "run_profile",
    "upper_root",
]

Array = Any
TINY = 2.0**-52
STEPS = 400


class Critical:
    """Points of load 1, from the lowest to the highest: arrays (n, 2 K), nan where neighbouring bulks have merged.

    u: the points; off: (n, 2 K, K) distances u - v_k; place: the edges, above the shift.
    """

    def __init__(self, u: Array, off: Array, place: Array) -> None:
        self.u, self.off, self.place = u, off, place


def newton_from(off: Array, mass: Array, step: Array, side: float) -> Array:
    """The nearest point of load 1 on one side of a start, as a distance from a pole; nan where there is none.

    Args: off (n, K), distances of the pole from all poles; mass (n, K), a v^2; step (n,), the start as a distance from
    the pole, where the load is at least 1; side +1 (towards larger u) or -1.
    """
    at, live = np.array(step), np.isfinite(step)
    for _ in range(STEPS):
        d = off + at[:, None]
        load = np.sum(mass / d**2, axis=1)
        slope = np.sum(mass / d**3, axis=1)  # -1/2 of the slope of the load
        # f = load^(-1/2) - 1, f' = slope load^(-3/2)
        move = -np.expm1(-0.5 * np.log(load)) * load * np.sqrt(load) / slope
        past = live & ~(slope * side > 0) & (load > 1)
        at[past] = np.nan
        live &= ~past & (move * side > 0)
        move = np.where(live, move, 0.0)
        at = at + move
        live &= np.abs(move) > TINY * np.abs(at)
        if not live.any():
            break
    return at


def near_zero(v: Array, a: Array, total: Array, u: Array) -> Array:
    """The lowest point of load 1, to relative precision also where it is close to 0, at total close to 1."""
    for _ in range(4):
        d = v - u[:, None]
        excess = (total - 1.0) + u * np.sum(a * (2.0 * v - u[:, None]) / d**2, axis=1)
        slope = 2.0 * np.sum(a * v**2 / d**3, axis=1)
        u = u + 2.0 * np.expm1(-0.5 * np.log1p(excess)) * (1.0 + excess) ** 1.5 / slope
    return u


def critical_points(v: Array, a: Array, total: Array) -> Critical:
    """All points of load 1.

    Args: v (n, K) ascending, a (n, K), total (n,) their sum, exact where it can be.
    """
    n, count = v.shape
    mass, root = a * v**2, np.sqrt(a)
    u, place = np.full((n, 2 * count), np.nan), np.full((n, 2 * count), np.nan)
    off = np.full((n, 2 * count, count), np.nan)

    def put(column: int, pole: int, step: Array) -> None:
        distance = (v[:, pole, None] - v) + step[:, None]
        at = v[:, pole] + step
        off[:, column], u[:, column] = distance, at
        excess = np.sum(mass / distance**2, axis=1) - 1.0
        place[:, column] = at**2 * np.sum(a * v / distance**2, axis=1) - at * excess

    low = np.min(v * (1.0 - root), axis=1) - v[:, 0]
    put(0, 0, newton_from(v[:, :1] - v, mass, low, -1.0))
    close = np.abs(u[:, 0]) < 0.5 * v[:, 0]
    at = np.where(total == 1.0, 0.0, near_zero(v, a, total, np.where(close, u[:, 0], 0.0)))
    distance = at[:, None] - v
    excess = (total - 1.0) + at * np.sum(a * (2.0 * v - at[:, None]) / distance**2, axis=1)
    lowest = at**2 * np.sum(a * v / distance**2, axis=1) - at * excess
    u[:, 0], place[:, 0] = np.where(close, at, u[:, 0]), np.where(close, lowest, place[:, 0])
    off[:, 0] = np.where(close[:, None], distance, off[:, 0])
    high = np.max(v * (1.0 + root), axis=1) - v[:, -1]
    put(2 * count - 1, count - 1, newton_from(v[:, -1:] - v, mass, high, 1.0))
    for k in range(1, count):
        width = v[:, k] - v[:, k - 1]
        left = np.max((v * (1.0 + root))[:, :k], axis=1) - v[:, k - 1]
        right = np.min((v * (1.0 - root))[:, k:], axis=1) - v[:, k]
        left, right = np.where(left < width, left, np.nan), np.where(-right < width, right, np.nan)
        up = newton_from(v[:, k - 1 : k] - v, mass, left, 1.0)
        down = newton_from(v[:, k : k + 1] - v, mass, right, -1.0)
        apart = (up < width) & (-down < width) & (up - down < width)
        put(2 * k - 1, k - 1, np.where(apart, up, np.nan))
        put(2 * k, k, np.where(apart, down, np.nan))
    return Critical(u, off, place)


def upper_root(v: Array, a: Array, edges: Critical, column: Array, beyond: Array) -> Array:
    """u = -1/g at a distance from an edge, inside a bulk: the root in the upper half plane.

    Args: v, a (n, K); edges; column (n,), which edge; beyond (n,), the signed distance from it (x minus edge).
    With d = u - u_edge the equation is d^2 sum_k a_k v_k^2/(off_k^2 (off_k + d)) = distance, well conditioned at the
    edge itself; it is started from the eigenvalues of an arrow matrix, whose characteristic equation is place(u) = x.
    """
    n, count = v.shape
    rows = np.arange(n)
    at, off, place = edges.u[rows, column], edges.off[rows, column], edges.place[rows, column]
    weight = a * v**2 / off**2
    bend = np.sum(weight / off, axis=1)  # the curvature at the edge, over 2
    d = 1j * np.sqrt(np.abs(beyond / bend))
    far = np.abs(d) > 1e-2 * np.min(np.abs(off), axis=1)
    if far.any():
        m = int(np.sum(far))
        arrow = np.zeros((m, count + 1, count + 1))
        side = np.sqrt(a[far]) * v[far]
        arrow[:, 0, 0] = (place + beyond)[far] - np.sum((a * v)[far], axis=1)
        arrow[:, 0, 1:], arrow[:, 1:, 0] = side, -side
        arrow[:, range(1, count + 1), range(1, count + 1)] = v[far]
        roots = np.linalg.eigvals(arrow)
        best = roots[np.arange(m), np.argmax(roots.imag, axis=1)]
        d[far] = np.where(best.imag > 0, best - at[far], d[far])
    for _ in range(60):
        pole = off + d[:, None]
        first = np.sum(weight / pole, axis=1)
        second = np.sum(weight / pole**2, axis=1)
        move = (d**2 * first - beyond) / (2.0 * d * first - d**2 * second)
        new = d - move
        new = np.where(new.imag > 0, new, d.real - move.real + 0.5j * d.imag)  # stays in the upper half plane
        done = np.abs(new - d) <= 4 * TINY * np.abs(d)
        d = new
        if done.all():
            break
    return at + d


def inside_bulks(edges: Critical, x: Array) -> tuple[Array, Array, Array]:
    """For each point: whether it is inside a bulk, the nearest edge (its column) and the signed distance from it."""
    finite = np.where(np.isfinite(edges.place), edges.place, -np.inf)
    away = np.where(np.isfinite(edges.place), np.abs(x[:, None] - edges.place), np.inf)
    column = np.argmin(away, axis=1)
    number = np.sum(finite <= x[:, None], axis=1) - np.sum(np.isneginf(finite), axis=1)
    inside = (number % 2 == 1) & np.isfinite(x)
    return inside, column, x - edges.place[np.arange(x.size), column]


# --- problems ------------------------------------------------------------------------------------------------------


class Law:
    """The parts of a law at n points: v, a (n, K), total, shift (n,), its critical points."""

    v: Array
    a: Array
    total: Array
    shift: Array
    edges: Critical

    def __init__(self, problem: Mapping[str, Any], env: Mapping[str, Array], n: int) -> None:
        self.v = np.stack([call(e, env, n) for e in problem["jumps"]], axis=1)
        self.a = np.stack([call(e, env, n) for e in problem["rates"]], axis=1)
        self.total = call(problem["total"], env, n)
        self.shift = call(problem["shift"], env, n)
        self.edges = critical_points(self.v, self.a, self.total)

    @property
    def atom(self) -> Array:
        """Weight of the eigenvalue at the shift."""
        return np.maximum(0.0, 1.0 - self.total)

    @property
    def masses(self) -> Array:
        """Weight of each bulk, (n, K), nan behind the last."""
        n, count = self.a.shape
        part = np.array(self.a)
        part[:, 0] -= np.maximum(0.0, self.total - 1.0)
        merged = np.full((n, count), np.nan)
        column = np.zeros(n, dtype=int)
        for k in range(count):
            column += np.isfinite(self.edges.place[:, 2 * k]) if k else 0
            before = merged[np.arange(n), column]
            merged[np.arange(n), column] = np.where(np.isnan(before), 0.0, before) + part[:, k]
        return merged


def answer(
    value: Array, shape: tuple[int, ...], residual: Array, converged: Array, branch: Array, reason: Array,
    outputs: Mapping[str, Array],
) -> dict[str, Any]:
    """The parts of a solution, in the shape of the parameters followed by the value's own axis."""

    def shaped(array: Array) -> Array:
        return np.reshape(array, (*shape, *np.shape(array)[1:]))

    with np.errstate(all="ignore"):
        log_value = np.where(value > 0, np.log(np.where(value > 0, value, 1.0)), np.nan)
    out = {"value": value, "log_value": log_value, "residual": residual, "converged": converged, "branch": branch,
           "reason": reason, "iterations": np.zeros(len(residual), dtype=int)}
    return {**{k: shaped(x) for k, x in out.items()}, "outputs": {k: shaped(x) for k, x in outputs.items()}}


def residual_of(law: Law) -> Array:
    """How far the load is from 1 at the edges, the largest of each row."""
    edges = law.edges
    load = np.sum((law.a * law.v**2)[:, None, :] / edges.off**2, axis=2)
    return np.nanmax(np.abs(load - 1.0), axis=1)


def run_edges(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Edges of all bulks, ascending, padded with nan; how many bulks, what they weigh, and the eigenvalue off them."""
    env, shape, n = read_points(problem, given)
    with np.errstate(all="ignore"):
        law = Law(problem, env, n)
        edges = np.sort(law.shift[:, None] + law.edges.place, axis=1)  # nan goes last
        count = np.sum(np.isfinite(edges), axis=1) // 2
        atom = np.where(law.atom > 0, law.shift, np.nan)
        value, place = (image(problem, env, x) for x in (edges, atom[:, None]))
        separate = np.isfinite(law.edges.place[:, 1:-1:2]).astype(int)
        outputs = {"bulks": count, "weights": law.masses, "separate": separate, "atom": place[:, 0],
                   "atom_weight": law.atom}
    words = np.where(count == 1, "one bulk", np.char.add(count.astype(str), " bulks"))
    return answer(value, shape, residual_of(law), np.isfinite(edges[:, 0]), words, np.full(n, ""), outputs)


def image(problem: Mapping[str, Any], env: Mapping[str, Array], c: Array) -> Array:
    """The eigenvalue asked about, for variances c of shape (n, m)."""
    n, m = c.shape
    wide = {**{k: np.repeat(x, m) for k, x in env.items()}, problem["variable"]: c.ravel()}
    return np.reshape(call(problem["image"], wide, n * m), (n, m))


def density_at(law: Law, column: Array, beyond: Array, inside: Array) -> tuple[Array, Array, Array]:
    """Density in the variance c, zero outside the bulks; the fraction of eigenvalues up to it, and its 1/N correction.

    The correction is that of real matrices: their mean fraction is the limit's plus it over N, up to smaller terms.
    """
    out, below, correction = np.zeros(len(beyond)), fraction_below(law, column, beyond), np.zeros(len(beyond))
    if inside.any():
        part = taken_law(law, inside)
        u = upper_root(part.v, part.a, part.edges, column[inside], beyond[inside])
        out[inside] = u.imag / (np.pi * np.abs(u) ** 2)
        x = part.edges.place[np.arange(u.size), column[inside]] + beyond[inside]
        turned = np.sum(part.a * np.angle(u[:, None] - part.v), axis=1) + (1.0 - part.total) * np.angle(u)
        below[inside] = 1.0 - turned / np.pi + x * out[inside]
        slope = 1.0 - np.sum(part.a * part.v**2 / (u[:, None] - part.v) ** 2, axis=1)
        correction[inside] = -np.angle(slope) / (2.0 * np.pi)
    return out, below, correction


def fraction_below(law: Law, column: Array, beyond: Array) -> Array:
    """The fraction of eigenvalues below a point outside the bulks, from the weights of atom and bulks."""
    x = law.edges.place[np.arange(len(beyond)), column] + beyond
    lows = np.where(np.isfinite(law.edges.place[:, ::2]), law.edges.place[:, ::2], np.inf)
    passed = np.sum(lows < x[:, None], axis=1)
    weights = np.concatenate([np.zeros((len(x), 1)), np.nancumsum(law.masses, axis=1)], axis=1)
    return np.where(x >= 0, law.atom, 0.0) + weights[np.arange(len(x)), passed]


def run_density(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Density of the continuous part at a point; zero outside the bulks, infinite at a hard edge."""
    env, shape, n = read_points(problem, given)
    with np.errstate(all="ignore"):
        law = distinct_laws(problem, env, n)
        c, volume = (call(problem[key], env, n) for key in ("variance", "volume"))
        x = c - law.shift
        inside, column, beyond = inside_bulks(law.edges, x)
        hard = (x == 0) & (law.edges.place[:, 0] == 0)
        value, below, correction = density_at(law, column, beyond, inside & (beyond != 0))
        value = value * volume
        value[hard] = np.inf
    word = np.where(inside, "bulk", "outside")
    reason = np.where(hard, "the density is infinite at a hard edge", "")
    return answer(value, shape, residual_of(law), np.isfinite(value), word, reason,
                  {"fraction_below": below, "finite_size": correction, "atom_weight": law.atom})


def run_profile(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Density on points that fill every bulk, closer together at the edges, each with its weight in an integral.

    The points are in the middle of equal arcs over each bulk, where the rule converges exponentially.
    """
    env, shape, n = read_points(problem, given)
    total = problem["points"]
    with np.errstate(all="ignore"):
        law = Law(problem, env, n)
        edges = np.sort(law.edges.place, axis=1)
        count = np.sum(np.isfinite(edges), axis=1) // 2
        point = np.arange(total)
        bulk = point * count[:, None] // total
        first = -((-bulk * total) // count[:, None])
        size = -((-(bulk + 1) * total) // count[:, None]) - first
        angle = np.pi * (point - first + 0.5) / size
        rows = np.arange(n)[:, None]
        below, above, measure = arcs(edges[rows, 2 * bulk], edges[rows, 2 * bulk + 1], angle)
        nearer = below < -above
        beyond: Array = np.where(nearer, below, above)
        order = np.argsort(np.where(np.isfinite(law.edges.place), law.edges.place, np.inf), axis=1, kind="stable")
        column = np.asarray(order[rows, 2 * bulk + ~nearer])
        wide = {k: np.repeat(x, total) for k, x in env.items()}
        every = taken_law(law, np.repeat(np.arange(n), total))
        flat, part, correction = density_at(every, column.ravel(), beyond.ravel(), np.ones(n * total, dtype=bool))
        c = law.shift[:, None] + law.edges.place[rows, column] + beyond
        value = flat.reshape(n, total)
        weight = value * measure * np.pi / size
        asked = {**wide, problem["eigenvalue"]: image(problem, env, c).ravel()}
        volume = call(problem["volume"], asked, n * total).reshape(n, total)
        outputs = {"points": asked[problem["eigenvalue"]].reshape(n, total), "weights": weight,
                   "fraction_below": part.reshape(n, total), "finite_size": correction.reshape(n, total),
                   "atom_weight": law.atom, "bulks": count}
        value = value * volume
    words = np.where(count == 1, "one bulk", np.char.add(count.astype(str), " bulks"))
    return answer(value, shape, residual_of(law), np.isfinite(value).all(axis=1), words, np.full(n, ""), outputs)


def arcs(low: Array, high: Array, angle: Array) -> tuple[Array, Array, Array]:
    """Points of bulks at angles from 0 to pi: distance from the lower edge, from the upper one, and dx/d(angle).

    The arc is over log x, or over sqrt x where the lower edge is 0: the density is smooth in the angle.
    """
    near, far, speed = np.sin(angle / 2) ** 2, np.cos(angle / 2) ** 2, np.sin(angle) / 2
    length = np.log(high) - np.log(low)
    below, above = low * np.expm1(length * near), high * np.expm1(-length * far)
    measure = (low + below) * length * speed
    soft = low > 0
    zero_below, zero_above = high * near**2, -high * far * (1.0 + near)
    return (np.where(soft, below, zero_below), np.where(soft, above, zero_above),
            np.where(soft, measure, 2.0 * high * near * speed))


def taken_law(law: Law, index: Array) -> Law:
    """The laws at some of the points, in the order of the index."""
    out = object.__new__(Law)
    out.v, out.a, out.total, out.shift = law.v[index], law.a[index], law.total[index], law.shift[index]
    out.edges = Critical(law.edges.u[index], law.edges.off[index], law.edges.place[index])
    return out


def distinct_laws(problem: Mapping[str, Any], env: Mapping[str, Array], n: int) -> Law:
    """The law at every point, worked out once where its parameters are the same."""
    names = problem["of"]
    stacked = np.stack([env[name] for name in names], axis=1) if names else np.zeros((n, 1))
    if n and (stacked == stacked[0]).all():
        first, index = np.zeros(1, dtype=int), np.zeros(n, dtype=int)
    else:
        _, first, inverse = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
        index = np.asarray(inverse).ravel()
    few = Law(problem, {k: x[first] for k, x in env.items()}, len(first))
    return taken_law(few, index)


def run_gaps(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The size of every gap, and by name: the final one, and the intermediate ones."""
    found = every_gap(problem, given)
    found["outputs"] |= {"final": found["value"][..., 0], "intermediate": found["value"][..., 1:]}
    return found


def every_gap(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of every gap: first the final one, between the atom and the lowest bulk, then those between bulks.

    A gap that does not exist, or of which the condition does not hold, is nan, and the reason says why.
    """
    env, shape, n = read_points(problem, given)
    with np.errstate(all="ignore"):
        law = Law(problem, env, n)
        place = law.shift[:, None] + law.edges.place
        count = law.v.shape[1]
        final = law.atom > 0
        low = np.concatenate([np.where(final, law.shift, np.nan)[:, None], place[:, 1:-1:2]], axis=1)
        high = np.concatenate([np.where(final, place[:, 0], np.nan)[:, None], place[:, 2:-1:2]], axis=1)
        there = np.isfinite(low)
        wide = {k: np.repeat(x, count) for k, x in env.items()}
        wide |= {problem["low"]: low.ravel(), problem["high"]: high.ravel()}

        def of(key: str, entry: Any) -> Array:
            return call(entry, wide, n * count, **({"unknown": False} if key == "condition" else {})).reshape(n, count)

        holds = there if problem["condition"] is None else there & of("condition", problem["condition"])
        value = np.where(holds, of("value", problem["value"]), np.nan)
        outputs = {key: np.where(holds, of(key, entry), np.nan) for key, entry in problem["outputs"].items()}
        outputs |= {key: np.where(there, of(key, entry), np.nan) for key, entry in problem["facts"].items()}
        outputs |= {"gaps": np.sum(holds, axis=1)}
    converged = holds.any(axis=1)
    branch = np.where(holds[:, 0], "final gap", np.where(converged, "gaps between bulks only", "none"))
    state, which = np.unique(np.concatenate([there, holds], axis=1), axis=0, return_inverse=True)
    words = [missing_gaps(problem, row[:count], row[count:]) for row in state]
    reason = np.array(words, dtype=str)[which.ravel()]
    return answer(value, shape, residual_of(law), converged, branch, reason, outputs)


def missing_gaps(problem: Mapping[str, Any], there: Array, holds: Array) -> str:
    """Why gaps are missing, in words."""
    words = [] if there[0] else [problem["unbounded"]]
    merged = [str(k) for k in range(1, there.size) if not there[k]]
    small = [str(k) for k in range(there.size) if there[k] and not holds[k]]
    if merged:
        words.append(f"no gap {', '.join(merged)}: the bulks on both sides have merged")
    if small:
        words.append(f"no time for gap {', '.join(small)}: {problem['reason']}")
    return "; ".join(words)


def run_gap_times(problem: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The times of every gap, and the two at which the phases of the spectrum begin, 0 for one that does not."""
    found = every_gap(problem, given)
    times = np.nan_to_num(found["value"], nan=0.0)
    found["outputs"] |= {"t_coverage": np.max(times, axis=-1), "t_consolidation": times[..., 0]}
    return found
