"""One step of replica symmetry breaking as a solution: where the replica-symmetric one is unstable, or not the best.

    >>> from derive.breaking import spin_glass
    >>> from derive.symbols import q
    >>> solve = spin_glass(q**3 / 2, spherical=True)
    >>> found = solve(beta=2)
    >>> str(found.branch), round(float(found.outputs["q_1"]), 4), round(float(found.outputs["m_b"]), 4)
    ('one step', 0.7117, 0.7361)

`spin_glass` is for Gaussian energies of any covariance, `manifold` for a site of a hidden manifold, `calculation` for a
free entropy of a reader's own, and `broken` for a quantity of the atlas on a hidden manifold.  Free entropies are those
that derive.methods.replica_spins and derive.methods.replica_breaking derive, taken apart, never typed a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sympy import Expr, Interval, Symbol, oo

from derive.core import DeriveError, Solution
from derive.methods.replica_manifold import BREAKPOINT, Q0, Q1, entropic_one_step
from derive.methods.replica_spins import ISING, SpinGlass
from derive.nodes import Atoms
from derive.quantity import Quantity
from derive.solvers.numpy_target import NumpySolver, numpy_source
from derive.solvers.one_step import Landscape, OneStepPoint, OneStepProblem
from derive.solvers.one_step_form import Reading, read_one_step
from derive.solvers.one_step_search import broken_points, continued_point, symmetric_points
from derive.solvers.one_step_weights import SiteWeight
from derive.solvers.saddle_runtime import site_at
from derive.symbols import beta as BETA
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R

__all__ = ["OneStepSolver", "broken", "broken_saddles", "calculation", "solver_of", "spin_glass"]

_STARTS = (0.0, 0.3, 0.6, 0.9, 0.99)


@dataclass
class OneStepSolver:
    """A free entropy with one step of symmetry breaking, solved at numbers or arrays of its parameters.

    Called with the parameters by name it returns a Solution of their broadcast shape.  value: the free entropy at the
    chosen point, the smallest of all that were found, symmetric ones included: each of them bounds the free entropy
    from above (Guerra 2003).  branch: "one step" or "replica symmetric"; stability: of the chosen point, positive while
    neither the replicas (symmetric) nor those inside a block (one step) tend to break up further.  outputs: the order
    parameters by name (nan for the breakpoint of a symmetric point), "quadrature_error" of the free entropy,
    "overlap_error", and of the symmetric point "symmetric_value", "symmetric_stability", "symmetric_q".  Points are
    solved in an order in which neighbours follow one another and are continued.

    converged is False, with the reason in words, where nothing was found, or where the symmetric point is unstable and
    no blocks were found.

    Attributes: reading, the free entropy taken apart; starts, values of (q, others) to begin with; chosen, whether a
    parameter may have the value it is given.
    """

    reading: Reading
    starts: tuple[tuple[float, ...], ...]
    domains: Mapping[Symbol, Interval] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(s.name for s in self.reading.problem.parameters)

    def __call__(self, **given: Any) -> Solution:
        """Solve.

        Raises: DeriveError for parameters that are missing, unknown, no real numbers or out of their domain.
        """
        problem = self.reading.problem
        symbols = {s.name: s for s in problem.parameters}
        for name in (*given, *symbols):
            if name not in symbols or name not in given:
                what = "no parameter" if name not in symbols else "no value for the parameter"
                raise DeriveError(f"{what} {name}", given=", ".join(given), allowed=", ".join(symbols))
        arrays = np.broadcast_arrays(*(self._numbers(symbols[k], v) for k, v in given.items()))
        shape = arrays[0].shape if arrays else ()
        points = [dict(zip((symbols[k] for k in given), cells, strict=True))
                  for cells in zip(*(a.ravel().tolist() for a in arrays), strict=True)] if arrays else [{}]
        order = np.lexsort([a.ravel() for a in arrays][::-1]) if arrays and arrays[0].size else range(len(points))
        rows: list[dict[str, Any]] = [{} for _ in points]
        near: Known | None = None
        for i in order:
            rows[i], near = self._row(points[i], near)
        return _solution(rows, shape, [s.name for s in problem.unknowns])

    def _numbers(self, symbol: Symbol, value: Any) -> np.ndarray:
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise DeriveError(f"{symbol.name} is no real number", given=repr(value)[:60], allowed="numbers") from None
        domain = self.domains.get(symbol, Interval.open(0, oo) if symbol.is_positive else Interval(-oo, oo))
        bad = [v for v in array.ravel().tolist() if not np.isfinite(v) or domain.contains(v) != True]  # noqa: E712
        if bad:
            raise DeriveError(f"{symbol.name} = {bad[0]} is out of its domain", given=str(bad[0]), allowed=str(domain))
        return array

    def _land(self, values: Mapping[Symbol, float]) -> Landscape:
        return Landscape(self.reading.problem, self.reading.weight(values), values)

    def _walked(self, known: Known, values: Mapping[Symbol, float]) -> OneStepPoint | None:
        """The broken point that is known at other parameters, continued here in as many steps as it takes."""
        done, step, point = 0.0, 1.0, known.point
        while step > 1e-2:
            share = min(done + step, 1.0)
            here = {s: _between(known.values[s], v, share) for s, v in values.items()}
            moved = continued_point(self._land(here), point)
            if moved is None:
                step *= 0.5
                continue
            done, step, point = share, 1.5 * step, moved
            if done == 1.0:
                return point
        return None

    def _row(self, values: Mapping[Symbol, float], near: Known | None) -> tuple[dict[str, Any], Known | None]:
        """One point: what is reported, and what the next one may be continued from."""
        land = self._land(values)
        pairs = 2 * len(land.problem.pairs)
        moved = None if near is None else continued_point(land, near.point)
        known = [] if near is None else [k.values[1:pairs:2] + k.values[pairs:-1]
                                         for k in (moved, near.symmetric) if k is not None]
        flat = symmetric_points(land, [*self.starts, *known])
        if moved is not None:
            broken_here, words = [moved], ""
        else:
            around = [k.values for k in flat] or [(s[0], s[0], *s[1:], 0.5) for s in self.starts]
            broken_here, words = broken_points(land, around)
            if not broken_here and near is not None and not any(k.replicon > 0.0 for k in flat):
                walked = self._walked(near, values)
                broken_here = [] if walked is None else [walked]
        every = sorted([*flat, *broken_here], key=lambda k: k.free_entropy)
        base = min(flat, key=lambda k: k.free_entropy) if flat else None
        row: dict[str, Any] = {"iterations": land.passes, "symmetric": base}
        if not every:
            return {**row, "reason": f"no stationary point: {words}"}, near
        best = every[0]
        apart = best in broken_here
        row |= {"point": best, "branch": "one step" if apart else "replica symmetric"}
        if not apart and best.replicon < 0.0:
            row["reason"] = f"the symmetric point is unstable, and no blocks were found: {words}"
        return row, Known(values, best, base) if apart else near


@dataclass(frozen=True)
class Known:
    """A broken point, the parameters it belongs to, and the symmetric point there."""

    values: Mapping[Symbol, float]
    point: OneStepPoint
    symmetric: OneStepPoint | None


def _between(first: float, last: float, share: float) -> float:
    """Part of the way from one number to another, by factors where both are positive."""
    if first > 0.0 and last > 0.0 and share < 1.0:
        return float(first ** (1.0 - share) * last**share)
    return (1.0 - share) * first + share * last


def _solution(rows: Sequence[Mapping[str, Any]], shape: tuple[int, ...], names: Sequence[str]) -> Solution:
    def column(pick: Callable[[Mapping[str, Any]], Any], kind: Any = float) -> np.ndarray:
        return np.array([pick(row) for row in rows], dtype=kind).reshape(shape)

    def of(key: str, name: str) -> np.ndarray:
        return column(lambda row: getattr(row[key], name) if row.get(key) is not None else np.nan)

    outputs = {}
    none = (np.nan,) * len(names)
    for name, cells in zip(names, zip(*(r["point"].values if "point" in r else none for r in rows), strict=True),
                           strict=True):
        outputs[name] = np.array(cells, dtype=float).reshape(shape)
    split = column(lambda row: row.get("branch") == "one step", bool)
    outputs[names[-1]] = np.where(split, outputs[names[-1]], np.nan)
    outputs |= {"quadrature_error": of("point", "quadrature_error"), "overlap_error": of("point", "overlap_error"),
                "symmetric_value": of("symmetric", "free_entropy"),
                "symmetric_stability": of("symmetric", "replicon"),
                "symmetric_q": column(lambda row: row["symmetric"].values[0] if row.get("symmetric") else np.nan)}
    value = of("point", "free_entropy")
    with np.errstate(all="ignore"):
        logs = np.log(np.where(value > 0, value, np.nan))
    return Solution(
        value, logs, of("point", "residual"), column(lambda row: "point" in row and not row.get("reason"), bool),
        column(lambda row: row["iterations"], np.int64), column(lambda row: row.get("branch", "none"), "U32"),
        of("point", "replicon"), column(lambda row: row.get("reason", ""), object), outputs,
    )


def spin_glass(
    covariance: Expr, law: Atoms = ISING, field: Expr | float = 0, *, spherical: bool = False
) -> OneStepSolver:
    """The one-step solution of a spin glass with Gaussian energies, as a solver of beta and what the model contains.

    Args: covariance f(q) of the energies, per N; law of a spin; field; spherical, whether the configurations are those
    of the sphere |s|^2 = N in place of spins.
    Raises: DeriveError as derive.methods.replica_spins.SpinGlass.

    >>> sk = spin_glass(Q**2 / 2)
    >>> found = sk(beta=1.25)
    >>> bool(found.converged), bool(found.outputs["symmetric_stability"] < 0), bool(found.stability < 0)
    (True, True, True)
    """
    return solver_of(SpinGlass(covariance, None if spherical else law, field))


def solver_of(model: SpinGlass) -> OneStepSolver:
    """The solver of a spin glass, from the free entropy that its derivation ends in."""
    others = () if model.fixed_norm else (R,)
    room = (model.norm - Q1,)
    reading = read_one_step(model.one_step_free_entropy(), [(Q0, Q1)], BREAKPOINT, others, room)
    bend = BETA**2 * model.covariance.diff(Q, 2).subs(Q, Q1)
    stiffness = bend * (1 - Q1) ** 2 if model.law is None else bend
    problem = replace(reading.problem, stiffness=stiffness)
    starts: tuple[tuple[float, ...], ...] = tuple((q,) for q in _STARTS)
    if not model.fixed_norm:
        assert model.law is not None
        square = float(sum(w * p**2 for p, w in zip(model.law.points, model.law.weights, strict=True)))
        largest = float(max(abs(p) for p in model.law.points)) ** 2
        starts = tuple((q * n, n) for n in (square, 0.5 * (square + largest)) for q in _STARTS)
    return OneStepSolver(replace(reading, problem=problem), starts)


def calculation(
    free_entropy: Expr, pair: tuple[Symbol, Symbol], breakpoint: Symbol, others: Sequence[Symbol] = (),
    starts: Sequence[Sequence[float]] = (), room: Sequence[Expr] = (), stiffness: Expr | None = None,
) -> OneStepSolver:
    """The one-step solution of a reader's own replica calculation.

    Args:
        free_entropy: explicit terms and one average E_v [log E_y exp(x phi)/x] over the fields between and inside
            blocks, in the nodes GaussianAverage and LogAverageExp; phi a function of one linear field.
        pair: (q_0, q_1), the overlaps between and inside blocks.  breakpoint: x.  others: further order parameters.
        starts: values of (q, others) to begin with.
        room: expressions that are positive inside the domain (1 - q_1).
        stiffness: s in the stability 1 - s E <phi''^2> of the replicas in a block; the stability is nan without it.
    Raises: DeriveError for a free entropy of another shape, saying which part is not understood.
    """
    reading = read_one_step(free_entropy, [pair], breakpoint, others, room)
    if stiffness is not None:
        reading = replace(reading, problem=replace(reading.problem, stiffness=stiffness))
    if others and not starts:
        raise DeriveError(f"no values to begin with for {', '.join(map(str, others))}", given="starts=()",
                          allowed="pairs (q, others)")
    return OneStepSolver(reading, tuple(tuple(map(float, s)) for s in starts) or tuple((q,) for q in _STARTS))


# ---- quantities on a hidden manifold


_RATIO = Symbol("ratio", positive=True)


def manifold_problem() -> OneStepProblem:
    """The one-step free entropy of a site of a hidden manifold of any ratio, its average left to a weight."""
    return OneStepProblem(
        ((Q0, Q1),), (M, R), BREAKPOINT, _RATIO * entropic_one_step(), (M, Q0 - M**2, Q1 - Q0, R - Q1), (_RATIO,),
        room=(R - Q1,), stiffness=(R - Q1) ** 2 / _RATIO)


@dataclass
class _Refined:
    """Replica-symmetric saddles of one stage, replaced by one-step ones where they are unstable."""

    stage: Mapping[str, Any]
    found: dict[float, OneStepPoint] = field(default_factory=dict)
    words: dict[float, str] = field(default_factory=dict)
    last: OneStepPoint | None = None

    def __call__(self, env: Mapping[str, Any], i: int, extrema: list[Any]) -> list[Any]:
        """The same extrema with the dominant one refined; see derive.solvers.saddle_runtime.solve_saddle."""
        best = extrema[0]
        if not best.replicon < 0.0:
            return extrema
        site = site_at(self.stage, env, i)
        land = Landscape(manifold_problem(), SiteWeight(site, best.mesh), {_RATIO: site.ratio})
        m, q, r = best.overlaps
        points, words = broken_points(land, [(q, q, m, r, 0.5)], near=() if self.last is None else (self.last,))
        if not points:
            self.words[best.free_entropy] = words
            return extrema
        point = self.last = points[0]
        self.found[point.free_entropy] = point
        new = replace(
            best, free_entropy=point.free_entropy, residual=point.residual, replicon=point.replicon,
            quadrature_error=point.quadrature_error, overlap_error=point.overlap_error, extras=point.extras,
            start="one step", iterations=best.iterations + point.iterations)
        return [new, *extrema[1:]]


def broken(quantity: Quantity) -> Callable[..., Solution]:
    """A solver of a quantity on a hidden manifold that takes one-step saddles where symmetric ones are unstable.

    It is called as quantity.solver() is; the cumulant, its slope and whatever is solved for around them are then those
    with one step of symmetry breaking wherever the replicon is negative.  Outputs, besides those of the quantity:
    "q_0", "q_1" and "m_b" (nan where replica symmetry is stable), with "m" and "r" beside them and no "q", which is nan
    where they are numbers; and "breaking": 1 where a one-step saddle was taken,
    0 where the symmetric one is stable, nan where it is unstable and no blocks were found (converged is False there).
    stability is that of the saddle that was taken.

    Raises: DeriveError for a quantity that rests on no saddle point.
    """
    problem = quantity.problem
    solver = NumpySolver(problem, numpy_source(problem))
    if not list(_saddle_rows(solver.table["stages"])):
        raise DeriveError(f"{quantity.name} for {quantity.ensemble.title} rests on no saddle point: there are no "
                          "replicas to break the symmetry of", given=quantity.name,
                          allowed="quantities of a hidden manifold with an activation", nearest="activation tanh")
    return broken_saddles(solver)


def broken_saddles(solver: NumpySolver) -> Callable[..., Solution]:
    """A generated solver, not used elsewhere, made to take one-step saddles where symmetric ones are unstable."""
    rows = list(_saddle_rows(solver.table["stages"]))
    refined = [_Refined(row) for row in rows]
    for row, one in zip(rows, refined, strict=True):
        row["refine"] = one

    def solve(**parameters: Any) -> Solution:
        return _reported(solver(**parameters), refined)

    return solve


def _saddle_rows(stages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The saddles among the stages of a generated problem, those inside others too."""
    for row in stages:
        if "overlaps" in row:
            yield row
        yield from _saddle_rows(row["inner"])


def _reported(found: Solution, refined: Sequence[_Refined]) -> Solution:
    """The solution with the order parameters of blocks among its outputs."""
    values = np.asarray(found.outputs["branch_values"])[..., 0]
    known = {k: p for one in refined for k, p in one.found.items()}
    failed = {k: w for one in refined for k, w in one.words.items()}
    points = [known.get(float(v)) for v in values.ravel()]
    outputs = dict(found.outputs)
    for k, name in ((0, "q_0"), (1, "q_1"), (-1, "m_b")):
        outputs[name] = np.array([np.nan if p is None else p.values[k] for p in points]).reshape(values.shape)
    for k, name in ((2, "m"), (3, "r")):
        flat = np.asarray(outputs[name]).ravel()
        outputs[name] = np.array([v if p is None else p.values[k] for p, v in zip(points, flat, strict=True)]).reshape(
            values.shape)
    q = np.asarray(outputs["q"])
    outputs["q"] = np.where(np.array([p is None for p in points]).reshape(q.shape), q, np.nan)
    lost = np.array([p is None and float(v) in failed for p, v in zip(points, values.ravel(), strict=True)])
    lost = lost.reshape(values.shape)
    broke = np.array([p is not None for p in points], dtype=float).reshape(values.shape)
    outputs["breaking"] = np.where(lost | ~np.isfinite(values), np.nan, broke)
    words = np.array([failed.get(float(v), "") for v in values.ravel()], dtype=object).reshape(values.shape)
    told = np.where(lost, "replica symmetry is unstable, and no blocks were found: " + words, found.reason)
    return replace(found, converged=np.asarray(found.converged) & ~lost, reason=told, outputs=outputs)
