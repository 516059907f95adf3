"""Speed of the generated collapse-time solver against its peers, measured in one run.

    python benchmarks/collapse_time.py [--points 100000] [--repeats 7]

Peers, on the same random points (alpha in [1e-3, 20], alpha_D in [1e-3, 10], both log-uniform):

- SciPy's brentq in a loop over the plain lambdify of the same equation in t, over the part of the domain where that
  works (the result agrees with the generated solver to 1e-6); timed on a sample of points, the time per point times
  the number of points is stated;
- a Newton iteration in log t written by hand for this equation: vectorised, with the explicit root of the quadratic,
  the derivative simplified on paper, a start from the known asymptotics, points dropped as they converge; it returns
  what the generated solver does: t, log t, the residual, whether it converged.

Times are medians over repeats, the peers taking turns.  Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sympy import lambdify, sqrt

from derive import atlas
from derive.nodes import MPResponse
from derive.solvers import compile_numpy

Array = np.ndarray[Any, np.dtype[Any]]


def by_hand(alpha: Array, ratio: Array) -> tuple[Array, Array, Array, Array]:
    """t, log t, the residual of alpha = 1/2 <log(1 + c/t)> there and whether it converged, by Newton in log t."""

    def equation(x: Array, a: Array, r: Array) -> tuple[Array, Array]:
        t = np.exp(x)
        linear = 1.0 - r + r * t
        root = np.sqrt(linear * linear + 4.0 * r * r * t)
        gain = np.where(linear > 0.0, 2.0 * r / (linear + root), (root - linear) / (2.0 * r * t))
        share = gain / (1.0 + gain)
        rest = share / r
        log_v = np.where(rest < 0.5, np.log1p(-np.minimum(rest, 0.5)), np.log(gain) + x)
        return 0.5 * (np.log1p(gain) - r * log_v - share) - a, -0.5 * share

    smaller = np.minimum(ratio, 1.0)
    load = 2.0 * alpha / smaller
    log_t = -load - np.log(-np.expm1(-load)) - np.log(smaller)
    residual, converged = np.full(alpha.size, np.nan), np.zeros(alpha.size, dtype=bool)
    active = np.arange(alpha.size)
    a, r, x = alpha, ratio, log_t
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(50):
            f, slope = equation(x, a, r)
            step = -f / slope
            done = np.abs(step) <= 4e-15 * np.maximum(np.abs(x), 1.0)  # the last step is at rounding
            x = x + step
            log_t[active], residual[active], converged[active] = x, f, done
            if done.all():
                break
            moving = ~done
            active, a, r, x = active[moving], a[moving], r[moving], x[moving]
    return np.exp(log_t), log_t, residual, converged


def brentq_loop(equation: Callable[..., Any], alpha: Array, ratio: Array) -> Array:
    """The root t of the plain equation, point by point; nan where it fails."""
    out = np.full(alpha.size, np.nan)
    for i, (a, r) in enumerate(zip(alpha, ratio, strict=True)):
        with contextlib.suppress(ValueError, ZeroDivisionError, OverflowError, RuntimeError):
            out[i] = brentq(equation, 1e-12, 1e6, args=(a, r), xtol=1e-300, rtol=1e-14)
    return out


def plain_equation(problem: Any) -> Callable[..., Any]:
    """The residual as lambdify prints it, the response of the spectrum by the formula of the quadratic."""
    (stage,) = problem.stages
    residual = stage.residual.doit().replace(
        MPResponse, lambda b, r: (-(b * (1 - r) + r) + sqrt((b * (1 - r) + r) ** 2 + 4 * r**2 * b)) / (2 * r * b)
    )
    symbols = [p.symbol for p in problem.parameters]
    return lambdify((stage.unknown, *symbols), residual, "math")


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sample", type=int, default=2000, help="points on which brentq is timed")
    options = parser.parse_args()
    rng = np.random.default_rng(20240229)
    alpha = np.exp(rng.uniform(np.log(1e-3), np.log(20.0), options.points))
    ratio = np.exp(rng.uniform(np.log(1e-3), np.log(10.0), options.points))
    problem = atlas["collapse-time"].problem
    solver = compile_numpy(problem)
    equation = plain_equation(problem)

    found = solver(alpha=alpha, alpha_D=ratio)
    _, hand, _, _ = by_hand(alpha, ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = brentq_loop(equation, alpha[: options.sample], ratio[: options.sample])
    with np.errstate(invalid="ignore", divide="ignore"):
        works = np.abs(np.log(sample) - found.log_value[: options.sample]) < 1e-6
    at = np.flatnonzero(works)

    times: dict[str, list[float]] = {"generated": [], "by hand": [], "brentq": []}
    for _ in range(options.repeats):
        times["generated"].append(seconds(lambda: solver(alpha=alpha, alpha_D=ratio)))
        times["by hand"].append(seconds(lambda: by_hand(alpha, ratio)))
        times["brentq"].append(seconds(lambda: brentq_loop(equation, alpha[at], ratio[at])))
    mid = {k: statistics.median(v) for k, v in times.items()}
    loop = mid["brentq"] / at.size * options.points
    scale = np.maximum(1.0, np.abs(found.log_value))
    print(f"points                     {options.points}, median of {options.repeats} repeats")
    print(f"all converged              {bool(found.converged.all())}")
    apart = np.max(np.abs(found.log_value - hand) / scale)
    print(f"generated against by hand  largest difference of log t {apart:.1e} max(1, |log t|)")
    print(f"generated solver           {mid['generated']:.4f} s")
    print(f"Newton by hand             {mid['by hand']:.4f} s")
    print(
        f"brentq over lambdify       {loop:.2f} s, from {at.size} points at {1e6 * mid['brentq'] / at.size:.1f} us "
        f"each ({works.mean():.0%} of the sample, where it finds the root)"
    )
    against_loop, against_hand = loop / mid["generated"], mid["generated"] / mid["by hand"]
    print(f"brentq / generated         {against_loop:.1f} (target: at least 10)")
    print(f"generated / by hand        {against_hand:.2f} (target: at most 1.5)")
    return 0 if against_loop >= 10 and against_hand <= 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
