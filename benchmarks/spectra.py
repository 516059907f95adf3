"""Spectral laws against their peers and against sampled matrices, measured in one run.

    python benchmarks/spectra.py [--points 10000] [--repeats 7] [--peers /path/to/python]

What is compared, on the same points:

- the Marchenko-Pastur density (ratio 2) with scikit-rmt's closed form;
- the density and the edges of a law of two variances with freealg's `CompoundFreePoisson`, the same law by Newton's
  method at a small distance above the axis (1e-9; its default 2e-4 is less accurate and no faster);
- the weights of bins of that law with histograms of sampled matrices.

Accuracy is measured against 50 digits at the same double x.  The peers are no dependencies, and scikit-rmt needs a
SciPy of before 1.12: they run in the interpreter given by --peers (by default this one), each in a process of its own
on the same points, their repeats timed inside it.  A peer that is not there is reported as missing.  For an
environment that has both:

    python -m venv peers && peers/bin/pip install "scipy<1.12" "numpy<2" scikit-rmt freealg

Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RATIO, VARIANCES, FRACTIONS = 0.5, (1.0, 0.01), (0.5, 0.5)
SINGLE = 2.0


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(call: Callable[[], Any], repeats: int) -> float:
    """The median of the times of a call, the first one apart."""
    call()
    return statistics.median(seconds(call) for _ in range(repeats))


# ---- in the process of a peer, which knows nothing of this package


def scikit_rmt(points: Array, repeats: int) -> dict[str, Any]:
    """Density of the single ratio: there p/n is N/D = 1/ratio."""
    from skrmt.ensemble.spectral_law import MarchenkoPasturDistribution

    law = MarchenkoPasturDistribution(ratio=1 / SINGLE)
    return {"values": law.pdf(points).tolist(), "seconds": median(lambda: law.pdf(points), repeats)}


def freealg(points: Array, repeats: int) -> dict[str, Any]:
    """Density and support of the two variances: jumps v_k/ratio at the rate ratio."""
    from freealg.distributions import CompoundFreePoisson

    law = CompoundFreePoisson(t=[v / RATIO for v in VARIANCES], w=list(FRACTIONS), lam=RATIO)
    edges = np.ravel(law.support()).tolist()
    return {
        "values": np.asarray(law.density(points, eta=1e-9)).tolist(),
        "seconds": median(lambda: law.density(points, eta=1e-9), repeats),
        "edges": edges,
        "edge_seconds": median(law.support, max(1, repeats // 3)),
    }


PEERS = {"scikit-rmt": scikit_rmt, "freealg": freealg}


def ask(interpreter: str, name: str, points: Array, repeats: int) -> dict[str, Any]:
    """What a peer answers, or {"missing": why}."""
    request = json.dumps({"points": points.tolist(), "repeats": repeats})
    done = subprocess.run(
        [interpreter, __file__, "--peer", name], input=request, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"missing": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---- here


def largest_error(found: Any, expected: Array) -> float:
    """The largest relative error."""
    return float(np.max(np.abs(np.asarray(found) / expected - 1)))


def both_errors(found: Any, expected: Array) -> str:
    """The median and the largest relative error."""
    typical = np.median(np.abs(np.asarray(found) / expected - 1))
    return f"error {typical:.1e}, at most {largest_error(found, expected):.1e}"


def histogram(law: Any, size: int, matrices: int, bins: Array, seed: int) -> tuple[float, float]:
    """Root mean square error of the weights of bins, relative to the mean weight, and the time it took."""
    rng = np.random.default_rng(seed)
    columns = [round(RATIO * w * size) for w in FRACTIONS]
    scale = np.sqrt(np.repeat(VARIANCES, columns))
    start = time.perf_counter()
    counts = np.zeros(len(bins) - 1)
    for _ in range(matrices):
        f = rng.normal(size=(size, scale.size)) * scale
        counts += np.histogram(np.linalg.eigvalsh(f.T @ f / scale.size), bins)[0]  # the eigenvalues that are not zero
    took = time.perf_counter() - start
    weights = np.diff(law.cdf(bins))
    return float(np.sqrt(np.mean((counts / (size * matrices) - weights) ** 2)) / weights.mean()), took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has the peers")
    parser.add_argument("--peer", choices=sorted(PEERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        request = json.loads(sys.stdin.read())
        answer = PEERS[options.peer](np.array(request["points"]), request["repeats"])
        print(json.dumps(answer))
        return 0
    return compare(options.points, options.repeats, options.peers)


def compare(count: int, repeats: int, interpreter: str) -> int:
    from derive.methods.spectra import AlgebraicLaw

    def two() -> AlgebraicLaw:
        return AlgebraicLaw.marchenko_pastur(RATIO, population=dict(zip(VARIANCES, FRACTIONS, strict=True)))

    law, single = two(), AlgebraicLaw.marchenko_pastur(SINGLE)
    first = seconds(lambda: law.density(1.0))
    reached = True

    def inside(of: AlgebraicLaw) -> Array:
        """Points of all bulks, as many close to the edges as in the middle."""
        share = (1 - np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2
        n = len(of.bulks())
        return np.concatenate([float(b.lower) + b.width * share[k::n] for k, b in enumerate(of.bulks())])

    print(f"density, {count} points, medians of {repeats} repeats; relative errors at 40 of them, median and largest")
    for name, of in (("scikit-rmt", single), ("freealg", law)):
        points = inside(of)
        sample = slice(count // 80, None, max(1, count // 40))
        expected = np.array([float(of.density_mp(x, 50)) for x in points[sample]])
        own = median(partial(of.density, points), repeats)
        found = of.density(points[sample])
        kind = "one variance" if of is single else "two variances"
        print(f"  {kind:14s} derive      {1e3 * own:9.3f} ms   {both_errors(found, expected)}")
        reached &= largest_error(found, expected) < 1e-10
        answer = ask(interpreter, name, points, repeats)
        if "missing" in answer:
            print(f"  {'':14s} {name:11s} missing: {answer['missing']}")
        else:
            theirs = both_errors(np.array(answer["values"])[sample], expected)
            ratio = answer["seconds"] / own
            print(f"  {'':14s} {name:11s} {1e3 * answer['seconds']:9.3f} ms   {theirs}; {ratio:.2f} times as long")
        if of is law:
            reached &= own < 0.05
            print(f"  {'':14s} once, at the first value: {1e3 * first:.0f} ms to find the support and to compile")
            print(f"  {'':14s} target: below 50 ms ({'reached' if own < 0.05 else 'MISSED'}), errors below 1e-10")
            edges(law, answer)

    bins = np.concatenate([np.linspace(float(b.lower), float(b.upper), 21) for b in law.bulks()])
    bins = np.unique(bins)
    took = median(lambda: law.cdf(bins), repeats)
    print(f"weights of {bins.size - 1} bins")
    print(f"  derive                    {1e3 * took:9.3f} ms")
    for matrices in (10, 40, 160):
        error, spent = histogram(law, 200, matrices, bins, 5)
        times = f"{spent / took:.0f} times as long"
        print(f"  {matrices:4d} matrices, N = 200    {1e3 * spent:9.1f} ms   error {error:.1e}, {times}")
    print(
        f"  at the rate of 1/sqrt(matrices), and without the bias of finite N, 1e-10 would take "
        f"{spent * (error / 1e-10) ** 2 / 3.15e7:.0e} years"
    )
    return 0 if reached else 1


def edges(law: Any, answer: dict[str, Any]) -> None:
    """Edges against 30 digits; derive's are isolated exactly."""
    exact = np.array([float(e.to_mpmath(30)) for e in law.edges()])
    own = np.array([float(e) for e in law.edges()])
    print(f"  edges          derive      error {largest_error(own, exact):.1e}")
    if "edges" in answer:
        theirs = np.array(answer["edges"])
        said = f"error {largest_error(theirs, exact):.1e}" if theirs.size == exact.size else f"{theirs.size} edges"
        print(f"  {'':14s} freealg     {said}, {1e3 * answer['edge_seconds']:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
