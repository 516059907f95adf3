"""Replica-symmetric saddle points of a hidden manifold, against fixed-point iterations on the same equations.

    python benchmarks/saddle.py [--repeats 9] [--points 1] [--figure cost.png]

The dense associative memory with patterns tanh(F z) at its planted pattern, as `retrieval-capacity` solves it.  What
is compared, in one process and on the same points (lambda, alpha_D), unsaturated ones:

- the generated solver, with its search for other branches, its replicon and its error estimates;
- a damped fixed-point iteration in (m, q, r) with scipy.integrate: the tilted moments of the hidden field by `quad`,
  three of them at a node, and all the outer averages together in two nested `quad_vec`; it uses the
  symmetry of the problem as the solver does, and stops at a step below the tolerance of its integrals;
- the same iteration with a Gauss-Hermite rule of 40 nodes in each direction, in NumPy.

Errors are those of the overlaps against the iteration with the trapezoidal rule in steps of 0.14, run to rounding: a
step of 0.18 gives the same to 1e-14, while Gauss-Hermite rules come close slowly, for the poles of tanh.  Then a curve
of 100 points, and the cost of a saddle point against the quadrature error asked for.  Times are those of the process on
one core, so that other work on the machine does not enter them.  Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is loaded

import numpy as np
import sympy as sp
from scipy.integrate import quad, quad_vec

Array = np.ndarray[Any, np.dtype[Any]]
Overlaps = tuple[float, float, float]

POINTS = ((1.0, 0.5), (2.0, 2.0), (2.0, 0.5), (0.5, 0.1), (0.2, 0.1))
"""(lambda, alpha_D) of the comparison, the first ones for quad."""
DAMPING = 0.7
"""The share of the new value in an iteration."""


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and how long it takes."""
    start = time.process_time()
    found = call()
    return found, time.process_time() - start


def median(call: Callable[[], Any], repeats: int) -> float:
    """The median of the times of a call, the first one apart."""
    call()
    return statistics.median(timed(call)[1] for _ in range(repeats))


# ---- the peers: m = E[u l1]/(a sqrt V), p = V E[l1^2]/a, V = 1 + E[l2]/a with p = q - m^2, V = r - q


def iterate(averages: Callable[[float, float, float], Any], ratio: float, goal: float) -> tuple[Overlaps, int]:
    """The damped iteration from the uncorrelated point, until a step is below `goal`."""
    m, p, v = 0.0, 0.0, 1.0
    for count in range(1, 2000):
        u_one, one_one, two = averages(m, p, v)
        new = (u_one / (ratio * math.sqrt(v)), v * one_one / ratio, 1.0 + two / ratio)
        step = [DAMPING * (b - a) for a, b in zip((m, p, v), new, strict=True)]
        m, p, v = m + step[0], p + step[1], v + step[2]
        if max(map(abs, step)) < goal:
            return (m, m * m + p, m * m + p + v), count
    raise ArithmeticError("the fixed-point iteration does not converge")


def by_quad(lam: float, tolerance: float) -> Callable[[float, float, float], Any]:
    """The averages by adaptive quadrature, nested."""

    def tilted(pull: float, omega: float, root_v: float) -> tuple[float, float]:
        """Mean and variance of w under exp(pull tanh(omega + root_v w) - w^2/2)."""
        top = abs(pull)

        def weight(w: float) -> float:
            return math.exp(pull * math.tanh(omega + root_v * w) - top - 0.5 * w * w)

        def integral(f: Callable[[float], float]) -> float:
            return float(quad(f, -8.0, 8.0, epsabs=0.0, epsrel=tolerance, limit=200)[0])

        z = integral(weight)
        # shifted, so that no integral vanishes: then a relative tolerance is one
        one = integral(lambda w: (w + 10.0) * weight(w)) / z - 10.0
        return one, integral(lambda w: (w - one) ** 2 * weight(w)) / z

    def averages(m: float, p: float, v: float) -> Array:
        root_p, root_v = math.sqrt(p), math.sqrt(v)

        def at(u: float, y: float) -> Array:
            one, variance = tilted(lam * math.tanh(u), m * u + root_p * y, root_v)
            density = math.exp(-0.5 * (u * u + y * y)) / (2.0 * math.pi)
            return density * np.array([u * one, one * one, variance - 1.0])

        def over_y(u: float) -> Array:
            if p == 0.0:
                return at(u, 0.0) * math.sqrt(2.0 * math.pi)
            return np.asarray(quad_vec(lambda y: at(u, y), -7.0, 7.0, epsabs=tolerance, epsrel=tolerance)[0])

        return 2.0 * np.asarray(quad_vec(over_y, 0.0, 7.0, epsabs=tolerance, epsrel=tolerance)[0])

    return averages


def by_rule(lam: float, x: Array, weight: Array) -> Callable[[float, float, float], Any]:
    """The averages by the same rule for a standard normal variable in all three directions."""
    u, y, w = x[:, None, None], x[None, :, None], x[None, None, :]

    def averages(m: float, p: float, v: float) -> Any:
        tilt = weight * np.exp(lam * np.tanh(u) * np.tanh(m * u + math.sqrt(p) * y + math.sqrt(v) * w) - lam)
        z = tilt.sum(-1)
        one = (tilt @ x) / z
        two = (tilt @ (x * x)) / z - one * one - 1.0
        both = weight[:, None] * weight
        return (both * x[:, None] * one).sum(), (both * one * one).sum(), (both * two).sum()

    return averages


def hermite(nodes: int) -> tuple[Array, Array]:
    """The Gauss-Hermite rule for a standard normal variable."""
    x, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return x, weight / weight.sum()


def trapezoid(step: float) -> tuple[Array, Array]:
    """The trapezoidal rule for a standard normal variable."""
    x = step * np.arange(-math.ceil(8.6 / step), math.ceil(8.6 / step) + 1)
    weight = np.exp(-0.5 * x * x)
    return x, weight / weight.sum()


def reference(lam: float, ratio: float, step: float = 0.14) -> Overlaps:
    """The overlaps to rounding."""
    return iterate(by_rule(lam, *trapezoid(step)), ratio, 1e-14)[0]


def error(found: Overlaps, expected: Overlaps) -> float:
    """The largest error of an overlap."""
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


# ---- here


def cost_against_accuracy(repeats: int) -> list[tuple[float, float, float, float]]:
    """(accuracy asked for, milliseconds, error estimate, error) of one saddle point, found anew each time."""
    from derive.solvers.saddle_averages import SiteFunctions
    from derive.solvers.saddle_branches import solve_site

    lam, ratio = POINTS[0]
    expected = reference(lam, ratio)
    rows = []
    for tolerance in (1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12):
        site = SiteFunctions(
            sigma=np.tanh,
            query=lambda u, noise: np.tanh(u),
            exponent=lambda x, xi: lam * x * xi,
            extras=(),
            ratio=ratio,
            even=True,
            tolerance=tolerance,
        )
        best = solve_site(site, ())[0]
        own = median(lambda site=site: solve_site(site, ()), repeats)  # type: ignore[misc]
        rows.append((tolerance, 1e3 * own, best.overlap_error, error(best.overlaps, expected)))
    return rows


def draw(rows: list[tuple[float, float, float, float]], path: str) -> None:
    """The cost against the error asked for, and the error that was reached."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    asked, took, _, reached = np.array(rows).T
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    axes[0].semilogx(asked, took, "o-")
    axes[0].set(xlabel="relative quadrature error asked for", ylabel="time of one saddle point (ms)", ylim=(0, None))
    axes[1].loglog(asked, np.maximum(reached, 1e-16), "o-", label="largest error of m, q, r")
    axes[1].loglog(asked, asked, "k:", label="what was asked for")
    axes[1].set(xlabel="relative quadrature error asked for", ylabel="error reached")
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--points", type=int, default=1, help="points at which quad is run, at most 5")
    parser.add_argument("--tolerance", type=float, default=1e-8, help="what quad is asked for")
    parser.add_argument("--figure", metavar="PNG", help="where to draw the cost against the accuracy")
    options = parser.parse_args()
    from derive import atlas

    solver = atlas["retrieval-capacity"].with_(activation=sp.tanh).solver()
    _, compiling = timed(lambda: solver(lam=1.0, alpha_D=0.5))
    print(f"one saddle point, tanh, dense memory; medians of {options.repeats} repeats (first call {compiling:.2f} s)")
    reached = True
    for k, (lam, ratio) in enumerate(POINTS):
        expected = reference(lam, ratio)
        found = solver(lam=lam, alpha_D=ratio)
        own = median(lambda at=(lam, ratio): solver(lam=at[0], alpha_D=at[1]), options.repeats)  # type: ignore[misc]
        if str(found.branch) != "unsaturated":
            raise RuntimeError(f"lambda = {lam}, alpha_D = {ratio} is saturated: its saddle is at another lambda")
        wrong = error(tuple(float(found.outputs[n]) for n in "mqr"), expected)  # type: ignore[arg-type]
        good = own < 0.05 and wrong < 1e-8
        reached &= good
        print(f"  lambda {lam:4.1f}, alpha_D {ratio:4.1f}   derive          {1e3 * own:10.1f} ms   error {wrong:.1e}"
              f"   target below 50 ms, 1e-8: {'reached' if good else 'MISSED'}")
        (there, count), took = timed(lambda at=(lam, ratio): iterate(by_rule(at[0], *hermite(40)), at[1], 1e-8))  # type: ignore[misc]
        print(f"  {'':25s}   Gauss-Hermite   {1e3 * took:10.1f} ms   error {error(there, expected):.1e}"
              f"   {took / own:.1f} times as long, {count} iterations")
        if k < options.points:
            (there, count), took = timed(
                lambda at=(lam, ratio): iterate(by_quad(at[0], options.tolerance), at[1], options.tolerance)  # type: ignore[misc]
            )
            good = took > 50 * own
            reached &= good
            print(f"  {'':25s}   quad            {1e3 * took:10.1f} ms   error {error(there, expected):.1e}"
                  f"   {took / own:.0f} times as long, {count} steps; target 50: {'reached' if good else 'MISSED'}")
    curve, took = timed(lambda: solver(lam=np.linspace(0.05, 5.0, 100), alpha_D=0.5))
    good = took < 2.0 and bool(curve.converged.all())
    reached &= good
    print(f"alpha_1 at 100 lambda up to 5, alpha_D = 0.5: {took:.2f} s, {int(curve.converged.sum())} converged; "
          f"target below 2 s: {'reached' if good else 'MISSED'}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reached &= memory < 500
    print(f"memory at most {memory:.0f} MB; target below 500 MB: {'reached' if memory < 500 else 'MISSED'}")
    rows = cost_against_accuracy(options.repeats)
    print("one saddle point at lambda = 1, alpha_D = 0.5 against the quadrature error asked for")
    for asked, ms, estimate, wrong in rows:
        print(f"  {asked:.0e}   {ms:7.1f} ms   error of the overlaps {wrong:.1e}, estimated {estimate:.1e}")
    if options.figure:
        draw(rows, options.figure)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
