"""Saddle points of a hidden manifold from the middle of the parameters to their extreme corners: how many converge.

    python benchmarks/saddle_corners.py [--output book/records/saddle_corners.json] [--activation tanh ...]

For every activation the free entropy zeta(lambda) of the dense memory on a grid of (lambda, alpha_D), with the stage of
`retrieval-capacity` itself, and the thresholds `retrieval-capacity`, `collapse-time` and `onset-time` on grids of their
own.  Each point is asked for on its own, by a fresh call, so that none is continued from another one.  Of every point
the record has whether it converged, the reason where it did not, and the time of the process it took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is loaded

ACTIVATIONS = {
    "tanh": "tanh(h)", "ReLU": "Max(0, h)", "sign": "sign(h)", "erf": "erf(h)", "sin": "sin(h)",
    "hard tanh": "Max(-1, Min(1, h))", "linear": "2*h",
}
"""Expressions of h; 2 h takes the route of the saddle point, which h itself does not."""
STRENGTHS = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 50.0)
RATIOS = (0.02, 0.1, 0.5, 2.0, 20.0)
ABSENT = "the load is at or above"
"""What the reason says where there is no threshold, which is an answer."""
LOADS = (0.01, 0.1, 0.3)


def free_entropy(activation: str) -> Callable[..., Any]:
    """A solver of the free entropy alone, from the saddle stage inside the capacity."""
    from sympy import Interval, oo

    from derive import atlas
    from derive.core import Branch, Parameter, Problem, SaddleStage
    from derive.parse import parse_activation
    from derive.solvers import compile_numpy

    problem = atlas["retrieval-capacity"].with_(activation=parse_activation(activation)).problem
    (root,) = problem.stages
    (stage,) = (part for part in root.inner if isinstance(part, SaddleStage))  # type: ignore[union-attr]
    strength = Parameter(root.unknown, Interval.open(0, oo))
    ratio = next(p for p in problem.parameters if p.symbol.name == "alpha_D")
    case = Branch("replica symmetric", stage.value)
    solver = compile_numpy(Problem("zeta", stage.value, (strength, ratio), (case,), (stage,), (), False))
    return lambda x, y: solver(**{root.unknown.name: x, "alpha_D": y})


def threshold(name: str, activation: str) -> Callable[..., Any]:
    """A solver of a quantity in its first parameter and alpha_D."""
    from derive import atlas
    from derive.parse import parse_activation

    first = "lam" if name == "retrieval-capacity" else "alpha"
    solver = atlas[name].with_(activation=parse_activation(activation)).given(first, "alpha_D").solver()
    return lambda x, y: solver(**{first: x, "alpha_D": y})


QUESTIONS = {
    "free entropy": (free_entropy, STRENGTHS),
    "retrieval-capacity": (lambda a: threshold("retrieval-capacity", a), STRENGTHS),
    "collapse-time": (lambda a: threshold("collapse-time", a), LOADS),
    "onset-time": (lambda a: threshold("onset-time", a), LOADS),
}


def swept(solve: Callable[..., Any], first: tuple[float, ...]) -> list[dict[str, Any]]:
    """Every point of the grid, in a call of its own: NaN is null, and a point that does not exist is told apart."""
    points = []
    for x in first:
        for ratio in RATIOS:
            start = time.process_time()
            found = solve(x, ratio)
            took = time.process_time() - start
            good = bool(found.converged)
            points.append({
                "at": [x, ratio],
                "converged": good,
                "value": float(found.value) if good else None,
                "absent": ABSENT in str(found.reason),
                "quadrature_error": float(found.outputs["quadrature_error"]) if good else None,
                "replicon": float(found.stability) if good else None,
                "overlaps": [float(found.outputs[k]) for k in "mqr"] if good else None,
                "reason": str(found.reason),
                "seconds": round(took, 3),
            })
    return points


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="JSON", help="where to write the record")
    parser.add_argument("--activation", nargs="+", choices=list(ACTIVATIONS), default=list(ACTIVATIONS))
    parser.add_argument("--question", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    options = parser.parse_args()
    record: dict[str, Any] = {"schema": "derive.saddle-corners/1", "points": {}}
    for question in options.question:
        build, first = QUESTIONS[question]
        print(f"{question}: first parameter from {first[0]:g} to {first[-1]:g}, "
              f"alpha_D from {RATIOS[0]:g} to {RATIOS[-1]:g}")
        for name in options.activation:
            points = swept(build(ACTIVATIONS[name]), first)
            record["points"].setdefault(question, {})[name] = points
            if options.output:
                options.output.write_text(json.dumps(record) + "\n")
            times = [p["seconds"] for p in points]
            lost = [p for p in points if not p["converged"] and not p["absent"]]
            print(f"  {name:10s} {sum(p['converged'] for p in points):3d} of {len(points)} converged, "
                  f"{len(lost)} lost; median {statistics.median(times):.2f} s, longest {max(times):.1f} s", flush=True)
            for p in points:
                if not p["converged"]:
                    print(f"    {p['at']}: {p['reason']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
