"""Stationary points of free entropies with one step of replica symmetry breaking: Newton's method from several starts.

A problem is explicit part and energy of a site; the energy depends on the order parameters through five coordinates
(`one_step_averages`).  Explicit part, coordinates and all their first and second derivatives are generated from the
expressions; the energy brings its own.  Gradient and Hessian of the whole follow by the chain rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from sympy import Expr, Symbol

from derive.core import DeriveError
from derive.solvers import runtime
from derive.solvers.lowering import Code, Lowering, identifier
from derive.solvers.one_step_averages import Array
from derive.solvers.one_step_weights import FINEST, Fineness, Weight
from derive.solvers.saddle_averages import Unresolved

__all__ = ["Landscape", "OneStepPoint", "OneStepProblem", "compiled", "newton", "polished", "resolved"]

RESIDUAL = 1e-12
"""What the discretised equations have to be satisfied to."""
ACCURACY = 1e-10
"""Quadrature error of the gradient aimed at, relative to its terms."""
LARGE = 1_200_000
"""Points of a grid that is not made finer any more."""
TOLERATED = 1e-6
"""Quadrature error of the gradient that is told, and not refused, where the finest grid allowed has it."""


@dataclass(frozen=True)
class OneStepProblem:
    """A free entropy explicit + scale * E(m, p, d, V, x), stationary in all its order parameters.

    Attributes
    ----------
    pairs: (q_0, q_1), the overlaps between and inside blocks; several pairs where there are conjugates.
    others: further order parameters.
    breakpoint: x, the last one.
    explicit: everything that is no average, in order parameters and parameters.
    coordinates: factor m of the planted field, variance p of the common field, d of the field of a block, V of the
        field of a replica; expressions in order parameters and parameters.
    scale: factor of the energy, an expression in parameters.
    parameters: all other symbols.
    room: expressions that are positive inside the domain, besides p, d and V.
    stiffness: s in the stability 1 - s E <phi''^2> of the blocks; None where there is no energy.
    """

    pairs: tuple[tuple[Symbol, Symbol], ...]
    others: tuple[Symbol, ...]
    breakpoint: Symbol
    explicit: Expr
    coordinates: tuple[Expr, Expr, Expr, Expr] | None
    parameters: tuple[Symbol, ...]
    scale: Expr = sp.S.One
    room: tuple[Expr, ...] = ()
    stiffness: Expr | None = None

    @property
    def unknowns(self) -> tuple[Symbol, ...]:
        """All order parameters: pairs, others, breakpoint."""
        return (*(q for pair in self.pairs for q in pair), *self.others, self.breakpoint)


@dataclass(frozen=True)
class OneStepPoint:
    """A stationary point, or where the search for one ended.

    Attributes: values of the order parameters in the order of the problem's unknowns; free_entropy; residual of the
    discretised equations, relative to their terms; quadrature_error of the free entropy, overlap_error (what it makes
    of the order parameters); replicon, the curvature that decides whether replica symmetry (for a symmetric point) or
    the equality of the replicas in a block holds, positive where stable; iterations; fineness of the grid; extras,
    averages of other functions; words, why it is none, empty where it is one.
    """

    values: tuple[float, ...]
    free_entropy: float = np.nan
    residual: float = np.inf
    quadrature_error: float = np.nan
    overlap_error: float = np.nan
    replicon: float = np.nan
    iterations: int = 0
    fineness: Fineness = (0, 0, 0)
    extras: tuple[float, ...] = ()
    words: str = ""


def compiled(expressions: Sequence[Expr], arguments: Sequence[Symbol]) -> Callable[..., tuple[Any, ...]]:
    """A function of arrays that gives the values of expressions, from generated code.

    Raises: DeriveError for an expression that no code is generated for.

    >>> a = Symbol("a", positive=True)
    >>> compiled([a**2, sp.log(a)], [a])(2.0)[0]
    4.0
    """
    names: dict[Symbol, str] = {}
    for symbol in arguments:
        names[symbol] = identifier(symbol.name, names.values())
    code = Code(names)
    low = Lowering(code)
    low.prepare(*expressions)
    outputs = [low.value(sp.sympify(e)) for e in expressions]
    name = low.write("values", outputs, list(names.values()))
    namespace = {**vars(runtime), "np": np}
    exec(compile(code.source(), "<derive one step>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    single = len(outputs) == 1

    def call(*values: Any) -> tuple[Any, ...]:
        found = function(*values)
        return (found,) if single else tuple(found)

    return call


def _second(expressions: Sequence[Expr], unknowns: Sequence[Symbol]) -> list[Expr]:
    """Values, gradients and upper triangles of the Hessians, one after the other."""
    out: list[Expr] = []
    for e in expressions:
        slopes = [e.diff(s) for s in unknowns]
        out += [e, *slopes]
        out += [slopes[i].diff(unknowns[j]) for i in range(len(unknowns)) for j in range(i, len(unknowns))]
    return out


def _unpacked(values: Array, count: int) -> list[tuple[float, Array, Array]]:
    size = 1 + count + count * (count + 1) // 2
    upper = np.triu_indices(count)
    found = []
    for row in values.reshape(-1, size):
        hessian = np.zeros((count, count))
        hessian[upper] = row[1 + count :]
        hessian = hessian + np.triu(hessian, 1).T
        found.append((float(row[0]), row[1 : 1 + count], hessian))
    return found


@dataclass
class Whole:
    """Free entropy, gradient, Hessian, and the absolute size of the terms of the gradient."""

    value: float
    gradient: Array
    hessian: Array
    size: Array
    curvature_square: float
    extras: tuple[float, ...] = ()
    points: int = 0


@dataclass
class Landscape:
    """The free entropy of a problem at one point of its parameters, as a function of its order parameters."""

    problem: OneStepProblem
    weight: Weight | None
    parameters: Mapping[Symbol, float]
    passes: int = 0
    work: int = 0
    _functions: dict[str, Callable[..., tuple[Any, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [s.name for s in self.problem.parameters if s not in self.parameters]
        if missing:
            raise DeriveError(f"no value for {', '.join(missing)}", given=", ".join(map(str, self.parameters)),
                              allowed=", ".join(s.name for s in self.problem.parameters))
        self._functions = generated(self.problem)

    def _call(self, name: str, theta: Array) -> Array:
        given = [float(self.parameters[s]) for s in self.problem.parameters]
        with np.errstate(all="ignore"):
            return np.array([float(v) for v in self._functions[name](*map(float, theta), *given)])

    def inside(self, theta: Array) -> bool:
        """Whether the order parameters lie in the domain: 0 < x <= 1, no negative variance, room above q_1."""
        if not 0.0 < theta[-1] <= 1.0 + 1e-9 or not np.isfinite(theta).all():
            return False
        rooms = self._call("room", theta)
        return bool(np.isfinite(rooms).all() and (rooms[:4] >= -1e-14).all() and (rooms[4:] > 0.0).all())

    def at(self, theta: Array, fineness: Fineness) -> Whole:
        """Raises: Unresolved, Unbounded, Undefined."""
        count = len(theta)
        self.passes += 1
        (value, gradient, hessian), = _unpacked(self._call("explicit", theta), count)
        size = self._call("sizes", theta)
        square, points = 0.0, 0
        extras: tuple[float, ...] = ()
        if self.weight is not None:
            rows = _unpacked(self._call("coordinates", theta), count)
            scale = float(self._call("scale", theta)[0])
            at = [max(rows[0][0], -np.inf), *(max(r[0], 0.0) for r in rows[1:4]), float(theta[-1])]
            found = self.weight.averages(at, fineness)
            points = found.size
            self.work += points
            turn = np.array([r[1] for r in rows])
            pulled = turn.T * found.gradient
            value += scale * found.value
            gradient = gradient + scale * pulled.sum(1)
            size = size + scale * np.abs(pulled).sum(1)
            bend = sum(g * r[2] for g, r in zip(found.gradient, rows, strict=True))
            hessian = hessian + scale * (turn.T @ found.hessian @ turn + bend)
            square, extras = found.curvature_square, found.extras
        # where all terms vanish, what a thousandth of a unit of the order parameter would make of them
        size = size + 1e-3 * np.abs(np.diag(hessian)) + 1e-300
        return Whole(value, gradient, hessian, size, square, extras, points)

    def stability(self, theta: Array, fineness: Fineness) -> float:
        """1 - s E <phi''^2>, or what stands for it where there is no energy: positive while blocks do not break."""
        if self.problem.stiffness is None:
            return float("nan")
        stiff = float(self._call("stiffness", theta)[0])
        return 1.0 - stiff if self.weight is None else 1.0 - stiff * self.at(theta, fineness).curvature_square


_GENERATED: dict[OneStepProblem, dict[str, Callable[..., tuple[Any, ...]]]] = {}


def generated(problem: OneStepProblem) -> dict[str, Callable[..., tuple[Any, ...]]]:
    """The generated functions of a problem, made once."""
    if problem in _GENERATED:
        return _GENERATED[problem]
    unknowns = problem.unknowns
    arguments = [*unknowns, *problem.parameters]
    left = set().union(*(e.free_symbols for e in (problem.explicit, *(problem.coordinates or ())))) - set(arguments)
    if left:
        raise DeriveError(f"symbols left over in the free entropy: {', '.join(sorted(map(str, left)))}",
                          given=", ".join(sorted(map(str, left))), allowed=", ".join(map(str, arguments)))
    variances = (problem.coordinates or (sp.S.Zero,) * 4)[1:]
    apart = tuple(inner - outer for outer, inner in problem.pairs[:1])
    terms = sp.Add.make_args(sp.expand_mul(problem.explicit))
    made = {
        "sizes": compiled([sp.Add(*(sp.Abs(t.diff(s)) for t in terms)) for s in unknowns], arguments),
        "explicit": compiled(_second([problem.explicit], unknowns), arguments),
        "room": compiled([*variances, *apart, *problem.room], arguments),
        "scale": compiled([problem.scale], arguments),
    }
    if problem.coordinates is not None:
        made["coordinates"] = compiled(_second([*problem.coordinates, problem.breakpoint], unknowns), arguments)
    if problem.stiffness is not None:
        made["stiffness"] = compiled([problem.stiffness], arguments)
    _GENERATED[problem] = made
    return made


# ---- Newton's method in some directions


def newton(
    land: Landscape, theta: Array, directions: Array, fineness: Fineness, goal: float, steps: int = 40
) -> tuple[Array, float]:
    """Newton's method with backtracking, moving along the columns of `directions` only.

    Returns: the order parameters and the size of the residual, relative to the terms of the equations.
    """
    here = land.at(theta, fineness)
    size = _relative(here, directions)
    for _ in range(steps):
        if size <= goal:
            break
        step = _step(here, directions)
        if step is None:
            break
        length = 1.0
        for _ in range(14):
            trial = theta + length * step
            if land.inside(trial):
                after = land.at(trial, fineness)
                new = _relative(after, directions)
                if np.isfinite(new) and (new < (1.0 - 0.1 * length) * size or (size < 1e-9 and new < size)):
                    theta, here, size = trial, after, new
                    break
            length *= 0.5
        else:
            break
    return theta, size


def _relative(whole: Whole, directions: Array) -> float:
    gradient = directions.T @ whole.gradient
    return float(np.abs(gradient / (np.abs(directions).T @ whole.size)).max())


def _step(whole: Whole, directions: Array) -> Array | None:
    """The Newton step, by least squares: a direction in which nothing changes is left alone."""
    reduced = directions.T @ whole.hessian @ directions
    gradient = directions.T @ whole.gradient
    if not (np.isfinite(reduced).all() and np.isfinite(gradient).all()):
        return None
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(reduced)), 1e-12))
    step = np.linalg.lstsq(reduced * np.outer(scale, scale), -gradient * scale, rcond=1e-13)[0] * scale
    return np.asarray(directions @ step)


def resolved(land: Landscape, theta: Array, fineness: Fineness, accuracy: float) -> tuple[Fineness, Whole, Array]:
    """A grid that is fine enough at a point; the free entropy there, and the errors of its gradient, estimated.

    Every axis of the grid is made finer by itself, and is too coarse where that changes the gradient.
    """
    here = land.at(theta, fineness)
    for _ in range(3 * FINEST):
        wrong = np.zeros(len(theta))
        coarse = None
        for axis in () if land.weight is None else land.weight.axes:
            finer = finer_in(fineness, axis)
            other = _affordable(land, theta, finer, here, axis)
            if other is None:  # the error of the coarser grid is an upper bound
                wrong = wrong + np.abs(land.at(theta, finer_in(fineness, axis, -1)).gradient - here.gradient)
                continue
            change = np.abs(other.gradient - here.gradient)
            if (change > accuracy * here.size).any():
                coarse = finer
                break
            wrong = wrong + change
        if coarse is None:
            return fineness, here, wrong
        fineness, here = coarse, land.at(theta, coarse)
    raise Unresolved("the averages need a grid beyond what is allowed")


def finer_in(fineness: Fineness, axis: int, by: int = 1) -> Fineness:
    """The next finer grid in one axis, or the next coarser one."""
    made = tuple(f + by * (k == axis) for k, f in enumerate(fineness))
    return made[0], made[1], made[2]


def _affordable(land: Landscape, theta: Array, finer: Fineness, here: Whole, axis: int) -> Whole | None:
    """The free entropy on a grid finer in an axis than that of `here`, unless that one is as large as they are to be.

    An axis that is still as coarse as can be has nothing else to be compared with.
    """
    return land.at(theta, finer) if here.points < LARGE or finer[axis] == 1 else None


def polished(land: Landscape, theta: Array, directions: Array, fineness: Fineness, count: int) -> OneStepPoint:
    """A stationary point on a grid that is fine enough for it.

    Raises: Unresolved, Unbounded, Undefined.
    """
    size, wrong = np.inf, np.zeros(len(theta))
    here = land.at(theta, fineness)
    for _ in range(12):
        before = fineness
        theta, size = newton(land, theta, directions, fineness, 0.1 * RESIDUAL)
        fineness, here, wrong = resolved(land, theta, fineness, ACCURACY)
        if fineness == before:
            break
    words = f"the residual stays at {size:.1e}" if size > RESIDUAL else ""
    if fineness != before or (wrong > TOLERATED * here.size).any():
        words = "the averages are not resolved to the accuracy asked for"
    reduced, errors = directions.T @ here.hessian @ directions, np.abs(directions).T @ wrong
    spread = float((np.abs(directions) @ (np.abs(np.linalg.pinv(reduced, rcond=1e-14)) @ errors)).max())
    axes = () if land.weight is None else land.weight.axes
    error = 0.0
    for axis in axes:
        finer = _affordable(land, theta, finer_in(fineness, axis), here, axis)
        other = finer or land.at(theta, finer_in(fineness, axis, -1))
        error += abs(other.value - here.value)
    return OneStepPoint(
        tuple(float(v) for v in theta), here.value, size, error, spread, land.stability(theta, fineness),
        land.passes - count, fineness, here.extras, words,
    )
