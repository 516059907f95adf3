"""The parameter at which a quantity takes a given value."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp

from derive.core import DeriveError, Parameter, Problem, Solution
from derive.solvers import mp_runtime
from derive.solvers.mp_target import MpSolver
from derive.solvers.numpy_target import names_of
from derive.solvers.runtime import EPS

__all__ = ["invert", "mp_invert"]


def _parameter(problem: Problem, name: str) -> Parameter:
    names: dict[str, Parameter] = {p.symbol.name: p for p in problem.parameters} | {
        p.name: p for p in problem.parameters
    }
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DeriveError(
            f"{problem.name} has no parameter {name!r}; allowed: {', '.join(p.name for p in problem.parameters)}{hint}",
            given=name,
            allowed=", ".join(p.name for p in problem.parameters),
            nearest=near[0] if near else None,
        )
    return names[name]


class _Scale:
    """A parameter's domain as a line: x to parameter, and the points at which a root is first looked for, in order."""

    def __init__(self, p: Parameter) -> None:
        self.low, self.high = (float(sp.N(e, 30)) for e in (p.domain.start, p.domain.end))
        self.logs = self.low >= 0 and np.isinf(self.high)
        far = np.array([0.25 * k for k in range(1, 8)] + [2.0 * 1.35**k for k in range(19)])
        if self.logs:
            x = np.concatenate([-far[::-1], [0.0], far])
            x = x[np.exp(x) > self.low] if self.low > 0 else x
            ends = [np.log(self.low)] if self.low > 0 and not p.domain.left_open else []
            self.grid = np.concatenate([ends, np.log(self.low) + np.exp(-far[::-1]) if self.low > 0 else [], x])
        elif np.isfinite(self.low) and np.isfinite(self.high):
            near = 2.0 ** -np.arange(1.0, 40.0, 1.5)
            inside = np.concatenate([near[::-1], 1.0 - near[1:]])
            x = self.low + (self.high - self.low) * inside
            self.grid = np.concatenate(
                [[] if p.domain.left_open else [self.low], x, [] if p.domain.right_open else [self.high]]
            )
        else:
            wide = np.sinh(far)
            x = np.concatenate([-wide[::-1], [0.0], wide])
            shift = self.low if np.isfinite(self.low) else self.high if np.isfinite(self.high) else 0.0
            self.grid = shift + x
            keep = self.grid > self.low if p.domain.left_open else self.grid >= self.low
            keep &= self.grid < self.high if p.domain.right_open else self.grid <= self.high
            self.grid = self.grid[keep]
        self.grid = np.unique(self.grid)

    def value(self, x: Any) -> Any:
        """The parameter at x."""
        return np.exp(x) if self.logs else x


def invert(
    solver: Callable[..., Solution], problem: Problem, unknown_parameter: str, target_value: Any, **others: Any
) -> Solution:
    """The value of one parameter at which a quantity takes a given value.

    Args: solver and problem of the quantity; unknown_parameter, the name of the parameter that is asked for;
    target_value, the value(s) it shall have; others, the remaining parameters.  All broadcast.  The quantity is taken
    to be monotone in the parameter; where it is flat at the target, one of the points is returned.
    Returns: a Solution whose value is the parameter and whose residual is the quantity there less the target (the
    difference of the logarithms, for a positive quantity); branch and outputs are those of the quantity there.
    Raises: DeriveError for a parameter that is unknown, missing or out of domain, or a target that is not a number.
    """
    parameter = _parameter(problem, unknown_parameter)
    if {parameter.name, parameter.symbol.name} & set(others):
        raise DeriveError(
            f"{parameter.name} is both asked for and given", given=parameter.name, allowed="one of the two"
        )
    try:
        target = np.asarray(target_value, dtype=float)
    except (TypeError, ValueError):
        raise DeriveError(
            f"the value {target_value!r} is not a number", given=repr(target_value), allowed="a number"
        ) from None
    if np.isnan(target).any() or (problem.positive and (target <= 0).any()):
        raise DeriveError(
            f"the value {target_value!r} is not {'a positive' if problem.positive else 'a'} number",
            given=repr(target_value),
            allowed="a positive number" if problem.positive else "a number",
        )
    keys = list(others)
    try:
        target, *given = np.broadcast_arrays(target, *(np.asarray(others[k]) for k in keys))
    except ValueError:
        raise DeriveError("the parameters do not broadcast", given=", ".join(keys)) from None
    shape = target.shape
    flat = {k: g.ravel() for k, g in zip(keys, given, strict=True)}
    scale = _Scale(parameter)
    goal = np.log(target.ravel()) if problem.positive else target.ravel()
    n = goal.size

    def gap(x: Any, at: Any) -> Any:
        found = solver(**{parameter.name: scale.value(x)}, **{k: (a[at] if a.size else a) for k, a in flat.items()})
        return np.where(found.converged, (found.log_value if problem.positive else found.value) - goal[at], np.nan)

    every = np.arange(n)
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    g_low, g_high = np.full(n, np.nan), np.full(n, np.nan)
    # scan: neighbouring points with opposite signs, or the border of what has a value
    grid = scale.grid
    columns = np.array([gap(np.full(n, x), every) for x in grid]).reshape(len(grid), n)
    calls = np.full(n, len(grid), dtype=np.int64)
    for i in range(n):
        _bracket(i, grid, columns[:, i], low, high, g_low, g_high)
    seeking = np.flatnonzero(np.isfinite(low) & np.isnan(g_high))  # g_low known, nan at the other side
    for _ in range(60):
        if not seeking.size:
            break
        middle = 0.5 * (low[seeking] + high[seeking])
        g = gap(middle, seeking)
        calls[seeking] += 1
        missing, turned = np.isnan(g), np.sign(g) != np.sign(g_low[seeking])
        high[seeking] = np.where(missing | turned, middle, high[seeking])
        g_high[seeking] = np.where(turned & ~missing, g, np.nan)
        further = ~missing & ~turned
        low[seeking[further]], g_low[seeking[further]] = middle[further], g[further]
        seeking = seeking[~(turned & ~missing)]
    low[np.isnan(g_high)] = np.nan
    x, ok = _close(gap, low, high, g_low, g_high, calls)
    return _answer(solver, problem, parameter, scale, flat, goal, x, ok, calls, shape)


def _bracket(i: int, grid: Any, g: Any, low: Any, high: Any, g_low: Any, g_high: Any) -> None:
    """The first pair of neighbours between which the sign changes; else a point next to one without value."""
    known = np.flatnonzero(np.isfinite(g))
    if not known.size:
        return
    exact = known[g[known] == 0.0]
    if exact.size:
        low[i] = high[i] = grid[exact[0]]
        g_low[i] = g_high[i] = 0.0
        return
    signs = np.sign(g[known])
    turns = np.flatnonzero(signs[1:] != signs[:-1])
    if turns.size:
        a, b = known[turns[0]], known[turns[0] + 1]
        low[i], high[i], g_low[i], g_high[i] = grid[a], grid[b], g[a], g[b]
        return
    first, last = known[0], known[-1]
    closer_up = abs(g[last]) <= abs(g[first])
    if closer_up and last + 1 < len(grid):
        low[i], high[i], g_low[i] = grid[last], grid[last + 1], g[last]
    elif not closer_up and first > 0:
        low[i], high[i], g_low[i] = grid[first], grid[first - 1], g[first]


def _close(gap: Callable[..., Any], low: Any, high: Any, g_low: Any, g_high: Any, calls: Any) -> tuple[Any, Any]:
    """Chandrupatla's method on all brackets at once; nan brackets stay nan."""
    x = np.where(np.abs(g_low) < np.abs(g_high), low, high)
    ok = np.isfinite(low) & np.isfinite(g_high)
    x[~ok] = np.nan
    index = np.flatnonzero(ok & (low != high) & (g_low != 0) & (g_high != 0))
    x1, f1, x2, f2 = (a[index] for a in (high, g_high, low, g_low))
    t = np.full(index.size, 0.5)
    with np.errstate(all="ignore"):
        for _ in range(200):
            if not index.size:
                break
            xt = x1 + t * (x2 - x1)
            ft = gap(xt, index)
            calls[index] += 1
            same = np.sign(ft) == np.sign(f1)
            x3, f3 = np.where(same, x1, x2), np.where(same, f1, f2)
            x2, f2 = np.where(same, x2, x1), np.where(same, f2, f1)
            x1, f1 = xt, ft
            better = np.abs(f2) < np.abs(f1)
            xm, fm = np.where(better, x2, x1), np.where(better, f2, f1)
            width = np.abs(x2 - x1)
            tight = EPS * np.maximum(np.abs(xm), 1e-3) / np.where(width > 0, width, 1e-300)
            done = (tight > 0.5) | (fm == 0) | np.isnan(ft)
            at = index[done]
            x[at], ok[at] = xm[done], ~np.isnan(ft[done])
            keep = ~done
            index, x1, f1, x2, f2, x3, f3, tight = (a[keep] for a in (index, x1, f1, x2, f2, x3, f3, tight))
            xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
            smooth = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            inner = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
            t = np.clip(np.where(smooth, inner, 0.5), tight, 1 - tight)
    return x, ok


def _answer(
    solver: Callable[..., Solution],
    problem: Problem,
    parameter: Parameter,
    scale: _Scale,
    flat: dict[str, Any],
    goal: Any,
    x: Any,
    ok: Any,
    calls: Any,
    shape: tuple[int, ...],
) -> Solution:
    n = goal.size
    value = np.where(ok, scale.value(np.where(ok, x, 0.0)), np.nan)
    log_value = np.full(n, np.nan)
    positive = value > 0
    log_value[positive] = np.log(value[positive])
    residual = np.full(n, np.nan)
    branch, reason = np.full(n, "none", dtype=object), np.full(n, "", dtype=object)
    outputs = {name: np.full(n, np.nan) for name, _ in problem.outputs if name != "stability"}
    at = np.flatnonzero(ok)
    if at.size:
        found = solver(**{parameter.name: value[at]}, **{k: a[at] for k, a in flat.items()})
        residual[at] = (found.log_value if problem.positive else found.value) - goal[at]
        ok[at] = found.converged & (np.abs(residual[at]) <= 1e-6 * np.maximum(1.0, np.abs(goal[at])))
        branch[at] = found.branch
        for name in outputs:
            outputs[name][at] = found.outputs[name]
    lost = ~ok
    value[lost], log_value[lost], branch[lost] = np.nan, np.nan, "none"
    reason[lost] = f"no {parameter.name} in {parameter.domain} gives {problem.symbol} this value"
    return Solution(
        value.reshape(shape),
        log_value.reshape(shape),
        residual.reshape(shape),
        ok.reshape(shape),
        calls.reshape(shape),
        branch.astype(str).reshape(shape),
        np.full(shape, np.nan),
        reason.astype(str).reshape(shape),
        {k: a.reshape(shape) for k, a in outputs.items()},
    )


def mp_invert(
    solver: MpSolver, guess: float, unknown_parameter: str, target_value: Any, digits: int = 50, **others: Any
) -> str:
    """The parameter at which a quantity takes a given value, as a decimal string right to one unit in its last digit.

    Args: solver from `compile_mp_solver`; guess, the parameter to double precision, from `invert`; the rest as there,
    at one point, numbers or exact text.
    Raises: DeriveError where the sign does not change about the guess, or a parameter is wrong.
    """
    problem = solver.problem
    parameter = _parameter(problem, unknown_parameter)
    name = names_of(problem)[parameter.symbol]
    logs = bool(guess > 0)
    try:
        target = mp_runtime.exact(target_value)
        fixed = mp_runtime.read_exact([row for row in solver.parameters if row[0] != name], others)
    except mp_runtime.ParameterError as error:
        raise DeriveError(str(error), nearest=error.nearest) from None
    except (ValueError, TypeError):
        raise DeriveError(
            f"the value {target_value!r} is not a number", given=repr(target_value), allowed="a number"
        ) from None

    def gap(x: Any, dps: int) -> Any:
        with mp.workdps(dps + 10):
            p = mpmath.exp(x) if logs else x
            here = {**fixed, name: mp_runtime.exact(p)}
        found = mp_runtime.solve_point(solver.rows, here, dps, solver.guesses(here))
        if found["value"] is None:
            raise mp_runtime.Missing(found["reason"])
        with mp.workdps(dps + 10):
            value = mp_runtime.number(target)
            return found["log_value"] - mpmath.log(value) if problem.positive else found["value"] - value

    try:
        with mp.workdps(40):
            x = mpmath.log(guess) if logs else mpmath.mpf(guess)
            for width in (1e-13, 1e-11, 1e-8):
                h = mpmath.mpf(width) * max(1, abs(x))
                f_low, f_high = gap(x - h, 35), gap(x + h, 35)
                if f_low * f_high < 0:
                    break
            else:
                raise mp_runtime.Missing(f"{problem.symbol} does not pass the value {target_value} there")
            sign = 1 if f_low < 0 else -1
            low, high, _ = mp_runtime._refine(
                lambda y, dps: sign * gap(y, dps), (x - h, x + h, sign * f_low, sign * f_high), digits
            )
        with mp.workdps(digits + 20):
            middle = (low + high) / 2
            return mp_runtime.show(mpmath.exp(middle) if logs else middle, digits)
    except mp_runtime.Missing as error:
        raise DeriveError(
            str(error), given=f"{problem.symbol} = {target_value}", allowed="a value that the quantity takes"
        ) from None
