"""Saddle stages of a generated solver: from arrays of parameters to extrema, and roots of equations around them.

NumPy alone; like `runtime`, this text may be copied into an exported file.  Points are solved one after the other in
an order in which neighbours follow one another, each continued from those before it; equal points are solved once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from derive.solvers.runtime import Words, call, solve_stage
from derive.solvers.saddle_averages import LIMIT, Array, SiteFunctions
from derive.solvers.saddle_branches import BRANCHES, RESIDUAL, STAYS, Extremum, Point, continued, solve_site
from derive.solvers.saddle_pieces import Form

WALK = 400
"""Passes over a site made on the way from one place to another, at most."""
ROUGH = 1e-5
"""The accuracy of averages on the way, relative to their average absolute value."""
HASTE = 40
"""The share of the work allowed that a pass on the way may take: one over this."""
EASY = 400
"""The share of the work allowed that a saddle may take which is not needed if it takes more: one over this."""
LOSSES = 8
"""How often a search may lose its saddle and go on with shorter steps."""
ROOT_STEPS = 60
"""Evaluations of an equation around a saddle, at most, on one side of its root."""


@dataclass
class Memory:
    """Saddles solved so far, by the parameters they belong to."""

    keys: list[Array] = field(default_factory=list)
    found: list[list[Extremum]] = field(default_factory=list)

    def same(self, key: Array) -> list[Extremum] | None:
        """What was found at just these parameters."""
        for old, found in zip(reversed(self.keys), reversed(self.found), strict=True):
            if np.array_equal(old, key):
                return found
        return None

    @property
    def solved(self) -> bool:
        """Whether there is a saddle at some of the parameters."""
        return any(not found[0].words for found in self.found)

    def _nearest(self, key: Array) -> int | None:
        solved = [(float(np.abs(k - key).sum()), i) for i, k in enumerate(self.keys) if not self.found[i][0].words]
        distance, best = min(solved, default=(np.inf, 0))
        return best if distance < 1.5 else None

    def near(self, key: Array) -> list[Extremum]:
        """Branches at the nearest parameters at which there is a saddle."""
        best = self._nearest(key)
        return [] if best is None else self.found[best]

    def nearest(self, key: Array) -> Array | None:
        """The nearest parameters at which there is a saddle."""
        best = self._nearest(key)
        return None if best is None else self.keys[best]

    def keep(self, key: Array, found: list[Extremum]) -> None:
        """Note what was found."""
        self.keys.append(key)
        self.found.append(found)


def site_at(stage: Mapping[str, Any], env: Mapping[str, Array], i: int) -> SiteFunctions:
    """The functions of a site with the parameters of point i put in."""

    def bound(entry: tuple[Callable[..., Any], tuple[str, ...]]) -> Callable[..., Any]:
        function, names = entry
        values = [float(env[name][i]) for name in names]
        return lambda *variables: function(*variables, *values)

    def form(entries: tuple[Any, Any, Any]) -> Form:
        value, turn, bend = map(bound, entries)
        return value, turn, bend

    return SiteFunctions(
        sigma=bound(stage["activation"]),
        query=bound(stage["query"]),
        exponent=bound(stage["exponent"]),
        extras=tuple(bound(entry) for _, entry in stage["averages"]),
        ratio=float(bound(stage["ratio"])()),
        kinks=stage["kinks"],
        pieces=stage["pieces"],
        form=None if stage["form"] is None else form(stage["form"]),
        forms=tuple(map(form, stage["forms"])),
        noisy=stage["noisy"],
        even=stage["even"],
        tolerance=stage["tolerance"],
        limit=stage.get("limit", LIMIT),
    )


def start_points(stage: Mapping[str, Any], env: Mapping[str, Array], i: int) -> list[tuple[str, Point]]:
    """The stage's own starting points (m, p, V) that lie inside."""
    points = []
    for name, entries in stage["starts"]:
        m, q, r = (float(function(*[env[k][i] for k in names])) for function, names in entries)
        if q >= m * m and r > q:
            points.append((name, (m, q - m * m, r - q)))
    return points


def key_of(stage: Mapping[str, Any], env: Mapping[str, Array], i: int) -> Array:
    """The parameters of a point, in logarithms where they are positive: what continuation measures distances in."""
    raw = np.array([float(env[name][i]) for name in stage["needs"]])
    return np.where(raw > 0.0, np.log(np.where(raw > 0.0, raw, 1.0)), raw)


def beside(names: Sequence[str], memory: Memory, key: Array, env: Mapping[str, Array], i: int) -> str:
    """Where the nearest saddle of the same run is that was continued to a point in vain; "" where there is none."""
    place = memory.nearest(key)
    if place is None:
        return ""
    told = []
    for name, number in zip(names, place, strict=True):
        told.append(f"{name} = {np.exp(number) if float(env[name][i]) > 0.0 else number:.6g}")
    return f"; lost on the way from {', '.join(told)}"


def walked(stage: Mapping[str, Any], env: Mapping[str, Array], i: int, failed: list[Extremum]) -> list[Extremum]:
    """Branches continued to point i, where every start fails, in a parameter of the exponent; or where they are lost.

    The parameter is first moved by factors, down and then up, to a place where a start succeeds: for a load or an
    inverse temperature down is towards a vanishing exponent, where the saddle is known.  On the way averages are
    taken to the accuracy that continuation needs, and WALK passes over a site are made at most.
    """
    count, spent = failed[0].iterations, 0

    def site(name: str, offset: float) -> tuple[SiteFunctions, dict[str, Array]]:
        moved = {**env, name: env[name] * np.exp(offset)}
        return site_at(stage, moved, i), moved

    told = []
    for name in [k for k in stage["exponent"][1] if float(env[k][i]) > 0.0]:
        for offset in (-1.0, -2.5, -4.0, 1.0, 2.5):
            there, moved = site(name, offset)
            found = solve_site(rough(there), start_points(stage, moved, i))
            spent += sum(e.iterations for e in found)
            if not found[0].words or spent > WALK:
                break
        if found[0].words:
            told.append(f"nor is there one at other {name} to continue from")
            continue
        step = 0.25 * abs(offset)
        while spent <= WALK and step > 1e-3:
            ahead = min(offset + step, 0.0) if offset < 0.0 else max(offset - step, 0.0)
            tried, lost = continued(rough(site(name, ahead)[0]), found)
            spent += sum(e.iterations for e in [*tried, *lost])
            if not tried:
                step *= 0.4
                continue
            found, offset, step = tried, ahead, 1.5 * step
            if offset == 0.0:
                found, lost = continued(site_at(stage, env, i), found)
                count += spent + sum(e.iterations for e in lost)
                if found:
                    return [replace(found[0], iterations=found[0].iterations + count), *found[1:]]
                told.append(f"continued in {name}, it is there to the accuracy of the way, not to that asked for")
                break
        else:
            place = float(env[name][i]) * np.exp(offset)
            end = f"after {WALK} passes it is at" if spent > WALK else "it is lost beyond"
            told.append(f"continued in {name}, {end} {name} = {place:.6g}")
    return [replace(failed[0], iterations=count + spent, words="; ".join([failed[0].words, *told]))]


def rough(site: SiteFunctions) -> SiteFunctions:
    """A site whose averages are taken to the accuracy that continuation needs."""
    return replace(site, tolerance=max(site.tolerance, ROUGH), limit=site.limit // HASTE)


def solve_saddle(
    stage: Mapping[str, Any], env: dict[str, Array], n: int, words: Words, memory: Memory | None = None
) -> dict[str, Any]:
    """A saddle stage at n points: the free entropy at the dominant extremum, its overlaps and averages."""
    within = memory is not None  # an equation around it says itself where its saddle is lost
    memory = Memory() if memory is None else memory
    names = [*stage["overlaps"], *(name for name, _ in stage["averages"])]
    value, residual = np.full(n, np.nan), np.full(n, np.nan)
    good, count = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    reason = np.zeros(n, dtype=np.int16)
    inner = {name: np.full(n, np.nan) for name in names}
    report = empty_report(n)
    keys = np.array([key_of(stage, env, i) for i in range(n)]).reshape(n, len(stage["needs"]))
    for i in np.lexsort(keys.T[::-1]) if keys.size else range(n):
        if np.isnan(keys[i]).any():
            reason[i] = words.code("it rests on an unknown that has no value there")
            continue
        found = memory.same(keys[i])
        if found is None:
            near = memory.near(keys[i])
            found = solve_site(site_at(stage, env, i), start_points(stage, env, i), near)
            if found[0].words.startswith("no saddle point") and not (within and memory.solved) and "limit" not in stage:
                found = walked(stage, env, i, found)
            if "refine" in stage and not found[0].words:
                found = stage["refine"](env, i, found)
            memory.keep(keys[i], found)
        best = found[0]
        count[i], residual[i] = sum(e.iterations for e in found), best.residual
        if best.words:
            origin = "" if within else beside(stage["needs"], memory, keys[i], env, i)
            reason[i] = words.code(best.words + origin)
            continue
        value[i], good[i] = best.free_entropy, True
        for name, number in zip(names, (*best.overlaps, *best.extras), strict=True):
            inner[name][i] = number
        fill_report(report, i, found)
    nothing = np.full(n, np.nan)
    return {
        "value": value,
        "log_value": nothing,
        "residual": residual,
        "count": count,
        "good": good,
        "reason": reason,
        "inner": inner,
        "report": report,
        "overlaps": stage["overlaps"],
    }


def empty_report(n: int) -> dict[str, Array]:
    """What is told of saddles besides their values, at n points."""
    return {
        "stability": np.full(n, np.nan),
        "quadrature_error": np.full(n, np.nan),
        "overlap_error": np.full(n, np.nan),
        "saddle": np.full(n, "none", dtype="<U32"),
        "branch_count": np.zeros(n, dtype=np.int64),
        "branch_values": np.full((n, BRANCHES), np.nan),
        "branch_stability": np.full((n, BRANCHES), np.nan),
        "branch_overlaps": np.full((n, BRANCHES, 3), np.nan),
    }


def fill_report(report: dict[str, Array], i: int, found: list[Extremum]) -> None:
    """Put the extrema of a point into the report, the dominant one first."""
    best = found[0]
    report["stability"][i], report["saddle"][i] = best.replicon, best.start
    report["quadrature_error"][i], report["overlap_error"][i] = best.quadrature_error, best.overlap_error
    report["branch_count"][i] = len(found)
    for k, branch in enumerate(found[:BRANCHES]):
        report["branch_values"][i, k] = branch.free_entropy
        report["branch_stability"][i, k] = branch.replicon
        report["branch_overlaps"][i, k] = branch.overlaps


def saddle_outputs(stages: Mapping[str, Mapping[str, Any]], good: Array) -> dict[str, Array]:
    """Outputs that come with every problem with saddles: of several saddles the least stable, the largest error."""
    out: dict[str, Array] = {}
    seen: list[int] = []
    for found in stages.values():
        if "report" not in found or id(found) in seen:
            continue
        seen.append(id(found))
        for name in found["overlaps"]:
            out[name] = np.where(good, found["inner"][name], np.nan)
        for key, array in found["report"].items():
            if key == "stability" and key in out:
                out[key] = np.fmin(out[key], array)
            elif key in ("quadrature_error", "overlap_error") and key in out:
                out[key] = np.fmax(out[key], array)
            else:
                out[key] = array.copy()
    return out


# --- equations around a saddle -----------------------------------------------------------------------------------


@dataclass
class Around:
    """An equation in one unknown whose residual rests on stages solved anew for each of its values, at one point."""

    stage: Mapping[str, Any]
    env: dict[str, Array]
    words: Words
    memories: dict[str, Memory]
    reason: int = 0
    count: int = 0
    found: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Array] = field(default_factory=dict)
    lost_at: float = np.nan
    held_at: float = np.nan

    def lost(self) -> str:
        """Where along the unknown the inner stages have no value, what happened there, and where they last had one."""
        name = self.stage["name"]
        first = np.isnan(self.held_at)
        last = "no value of it was tried before" if first else f"last found at {name} = {self.held_at:.6g}"
        return f"{name} is not found: lost at {name} = {self.lost_at:.6g}, {last}: {self.words.texts[self.reason]}"

    @property
    def rounded(self) -> bool:
        """Whether the saddle was lost to rounding: shorter steps do not help."""
        return STAYS in self.words.texts[self.reason]

    def easy(self, x: float) -> bool:
        """Whether the inner stages have values at x that are found without much work; what was found is kept."""
        parts = [part | {"limit": LIMIT // EASY} if "tolerance" in part else part for part in self.stage["inner"]]
        memories = {name: Memory([*m.keys], [*m.found]) for name, m in self.memories.items()}
        trial = Around({**self.stage, "inner": parts}, self.env, self.words, memories)
        f = trial.residual(x)
        self.count += trial.count
        if np.isnan(f):
            return False
        self.memories.update(memories)
        return True

    def residual(self, x: float) -> float:
        """The residual at x, the logarithm of a positive unknown; nan where an inner stage has no value."""
        name = self.stage["name"]
        full = dict(self.env)
        here = float(np.exp(x)) if self.stage["log"] else x
        full[name] = np.array([here])
        full["log_" + name] = np.array([x])
        for part in self.stage["inner"]:
            memory = self.memories.setdefault(part["name"], Memory())
            if part.get("solve") is solve_saddle:
                found = solve_saddle(part, full, 1, self.words, memory)
            else:
                found = solve_stage(part, full, 1, self.words)
            self.count += int(found["count"][0])
            full[part["name"]], full["log_" + part["name"]] = found["value"], found["log_value"]
            full.update(found["inner"])
            self.found[part["name"]] = found
            if not found["good"][0]:
                self.reason, self.lost_at = int(found["reason"][0]), here
                return float("nan")
        self.known, self.held_at = full, here
        result = call(self.stage["residual"], full, 1)
        return float((result[0] if isinstance(result, tuple) else result)[0])


def solve_around(stage: Mapping[str, Any], env: dict[str, Array], n: int, words: Words) -> dict[str, Any]:
    """A stage with saddles inside, at n points: its root by a bracketing search that continues from point to point."""
    name, in_log, direction = stage["name"], stage["log"], stage["direction"]
    value, log_value, residual = (np.full(n, np.nan) for _ in range(3))
    good, count = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    reason = np.zeros(n, dtype=np.int16)
    exists = np.ones(n, dtype=bool)
    if stage["exists"] is not None:
        exists = np.array(call(stage["exists"], env, n), dtype=bool)
        reason[~exists] = words.code(stage["absent"])
    for other in [a for a in stage["needs"] if a in env]:
        missing = np.isnan(env[other])
        reason[exists & missing] = words.code("it rests on an unknown that has no value there")
        exists &= ~missing
    lower, upper = (np.array(a, dtype=float) for a in (call(stage["lower"], env, n), call(stage["upper"], env, n)))
    inner: dict[str, Array] = {}
    reports: dict[str, dict[str, Any]] = {}
    memories: dict[str, Memory] = {}
    last: float | None = None
    rests = [k for k in rests_on(stage) if k in env]
    roots: dict[tuple[float, ...], float] = {}
    for i in around_order(env, exists):
        point = {key: array[i : i + 1] for key, array in env.items()}
        one = Around(stage, point, words, memories)
        low, high = (_log(lower[i]), _log(upper[i])) if in_log else (float(lower[i]), float(upper[i]))
        if not low < high:
            reason[i] = words.code(f"the interval of {name} is empty")
            continue
        here = tuple(float(env[k][i]) for k in rests)
        if here in roots and low < roots[here] < high:
            x, why = roots[here], ""
            f = one.residual(x)
        else:
            x, f, why = root_around(one, low, high, direction, bool(stage["clip"]), last)
        count[i] = one.count
        if why:
            absent = stage["absent"] or f"the equation for {name} has no root: its sides never meet"
            told = {"none": absent, "lost": one.lost()}
            reason[i] = words.code(told.get(why, why))
            continue
        at_end = high if x == high else low if x == low else None
        value[i] = (upper[i] if x == high else lower[i]) if at_end is not None else np.exp(x) if in_log else x
        log_value[i] = x if in_log else np.nan
        residual[i], good[i] = f, True
        if at_end is None:
            last = roots[here] = x
        for key, array in one.known.items():
            if key not in point and key not in (name, "log_" + name):
                inner.setdefault(key, np.full(n, np.nan))[i] = array[0]
        _collect(reports, one.found, i, n)
    filled = {key: inner.get(key, np.full(n, np.nan)) for key in _inner_names(stage)}
    out = {"value": value, "log_value": log_value, "residual": residual, "count": count, "good": good,
           "reason": reason, "inner": filled}
    for report in reports.values():
        out |= report
    return out


def rests_on(stage: Mapping[str, Any]) -> list[str]:
    """Names that the residual of a stage may change with: points that agree in them have the same roots.

    The interval in which a root is looked for is not among them.
    """
    names = list(stage["residual"][1])
    for part in stage["inner"]:
        if part.get("solve") is solve_saddle:
            names += part["needs"]
            continue
        names += rests_on(part)
        names += [name for end in ("lower", "upper", "exists") if part[end] is not None for name in part[end][1]]
    return list(dict.fromkeys(names))


def _log(x: float) -> float:
    return float(np.log(x)) if x > 0.0 else -np.inf


def _inner_names(stage: Mapping[str, Any]) -> list[str]:
    """Names that the stages inside a stage make known."""
    names: list[str] = []
    for part in stage["inner"]:
        names += [part["name"], "log_" + part["name"]]
        names += [*part.get("overlaps", ()), *(name for name, _ in part.get("averages", ()))]
        names += _inner_names(part)
    return names


def _collect(reports: dict[str, dict[str, Any]], found: Mapping[str, Any], i: int, n: int) -> None:
    """Put the reports of the saddles at one point among those of all."""
    for name, one in found.items():
        if "report" not in one:
            continue
        whole = reports.setdefault(name, {"report": empty_report(n), "overlaps": one["overlaps"]})
        for key, array in one["report"].items():
            whole["report"][key][i] = array[0]


def around_order(env: Mapping[str, Array], exists: Array) -> Array:
    """The points that have an equation, in an order in which neighbours follow one another."""
    index = np.flatnonzero(exists)
    keys = np.array([array[index] for array in env.values() if array.dtype.kind == "f"])
    return index[np.lexsort(keys[::-1])] if keys.size else index


def root_around(
    one: Around, low: float, high: float, direction: int, clip: bool, guess: float | None
) -> tuple[float, float, str]:
    """The root on (low, high), its residual, and why there is none ("" where there is one).

    With `clip` the upper end is taken where the residual has its sign below the root all the way up to it.  It is tried
    first where its saddle is easily found, which tells where the residual cannot be told from zero for a long way
    below; at a distant end it may be hard to find and not needed, so that otherwise the end is tried last.
    """
    step = 0.5 if guess is None else 0.05
    clip = clip and np.isfinite(high)
    start = 0.0 if guess is None else guess
    if clip and one.easy(high):
        f = direction * one.residual(high)
        if f <= 0.0:
            return high, 0.0, ""
    if not low < start < high:
        inside = high - 0.3 if np.isfinite(high) else low + 0.3
        start = inside if low < inside else 0.5 * (low + high)
    x, f = start, direction * one.residual(start)
    if np.isnan(f):
        return x, f, "lost"
    if f == 0.0:
        return x, f, ""
    sign, losses, longest = -1.0 if f > 0.0 else 1.0, 0, 2.0
    for _ in range(ROOT_STEPS):
        there = x + sign * step
        if clip and there >= high:
            there = high
        elif not low < there < high:
            there = 0.5 * (x + (high if sign > 0.0 else low))
            if abs(there - x) < 1e-6:
                return x, f, "none"
        g = direction * one.residual(there)
        if np.isnan(g):
            step, longest = 0.3 * abs(there - x), 0.5 * abs(there - x)
            losses += LOSSES // 2 if one.rounded else 1
            if step < 1e-3 or losses > LOSSES:
                return x, f, "lost"
            continue
        if clip and there == high and g <= 0.0:
            return high, 0.0, ""
        if g * f <= 0.0:
            return closed_in(one, direction, (x, f), (there, g))
        slope = (g - f) / (there - x)
        reach = abs(g / slope) if slope > 0.0 else np.inf
        step = float(min(max(1.3 * reach, 0.5 * step), 4.0 * step, longest))
        x, f = there, g
        if abs(x) > 60.0:
            return x, f, "none"
    return x, f, "none"


def closed_in(
    one: Around, direction: int, first: tuple[float, float], second: tuple[float, float]
) -> tuple[float, float, str]:
    """The root between two points of opposite signs, by Chandrupatla's method."""
    (x1, f1), (x2, f2) = second, first
    x3, f3 = x2, f2
    t = (f1 / (f1 - f2)) if f1 != f2 else 0.5
    for _ in range(ROOT_STEPS):
        best, size = (x1, f1) if abs(f1) < abs(f2) else (x2, f2)
        width = abs(x2 - x1)
        if abs(size) <= 0.1 * RESIDUAL or width <= 4e-15 * max(abs(best), 1.0):
            break
        tight = min(2e-15 * max(abs(best), 1.0) / width, 0.5)
        t = min(max(t, tight), 1.0 - tight)
        x = x1 + t * (x2 - x1)
        f = direction * one.residual(x)
        if np.isnan(f):
            return x, f, "lost"
        if f * f1 > 0.0:
            x3, f3 = x1, f1
        else:
            x3, f3, x2, f2 = x2, f2, x1, f1
        x1, f1 = x, f
        t = 0.5
        if f3 != f1 and f3 != f2 and x3 != x2:
            xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
            if phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi:
                t = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
    best, size = (x1, f1) if abs(f1) < abs(f2) else (x2, f2)
    if one.known.get("log_" + one.stage["name"], np.array([np.nan]))[0] != best:
        one.residual(best)
    if abs(size) > RESIDUAL:
        return best, direction * size, f"the residual of {one.stage['name']} stays at {abs(size):.1e}"
    return best, direction * size, ""
