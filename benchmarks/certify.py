"""How long it takes to certify a scalar threshold to 30 digits, once its problem is derived.

    python benchmarks/certify.py [--points 10] [--seed 20261126]

Every quantity of the registry whose averages are closed or one-dimensional, for every ensemble that it is derived for,
at points drawn by the seed, uniformly in the logarithms of the parameters; points without a value are passed over.
Times are those of the process on one core, so that other work on the machine does not enter them; deriving the problem
and generating its solver are the start-up and are shown apart.  Exit status 1 where a certificate takes a second or
more, or has fewer than 30 digits.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from sympy import Rational

from derive import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas
from derive.certify import average_depth, certify
from derive.core import DeriveError, Verdict

LIMIT, DIGITS = 1.0, 30
ENSEMBLES = (
    Gaussian(), Spherical(), Binary(), HiddenManifold(),
    ProductMeasure(atoms={-1: Rational(1, 8), 0: Rational(3, 4), 1: Rational(1, 8)}),
)
RANGES = {"alpha": (0.02, 4), "alpha_D": (0.05, 6), "lam": (0.05, 8), "v": (0.05, 5), "a": (0.05, 3), "t": (0.02, 10)}


def scalars() -> Iterator[tuple[Any, float]]:
    """The quantities, and how long their derivation and their solver took."""
    for name in atlas:
        for ensemble in ENSEMBLES:
            start = time.process_time()
            try:
                quantity = atlas[name].with_(ensemble=ensemble)
                found = [k for k in (quantity, *quantity.variants) if average_depth(k.problem) <= 1]
                for k in found:
                    k.solver()
            except DeriveError:
                continue  # not derived for this ensemble, or read off a spectrum
            seconds = (time.process_time() - start) / max(len(found), 1)
            yield from ((k, seconds) for k in found)


def points(quantity: Any, seed: int, count: int) -> Iterator[dict[str, str]]:
    """Points at which the quantity has a value."""
    names = [p.name for p in quantity.parameters]
    rng, solve = random.Random(f"{seed}/{quantity.name}/{quantity.ensemble}/{names}"), quantity.solver()
    for _ in range(100 * count):
        point = {k: f"{math.exp(rng.uniform(*map(math.log, RANGES[k]))):.4g}" for k in names}
        if bool(solve(**{k: float(v) for k, v in point.items()}).converged):
            yield point
            count -= 1
            if count == 0:
                return


def main() -> int:
    """Measure, print a line a quantity, and the worst of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--seed", type=int, default=20261126)
    given = parser.parse_args()
    everything: list[float] = []
    sound = True
    print(f"{'quantity':20} {'ensemble':9} {'parameters':20} points  start-up   median    worst")
    for quantity, start_up in scalars():
        seconds = []
        for point in points(quantity, given.seed, given.points):
            start = time.process_time()
            found = certify(quantity, DIGITS, **point)
            seconds.append(time.process_time() - start)
            if found.verdict is not Verdict.CERTIFIED or found.digits < DIGITS:
                sound = False
                print(f"  not certified at {point}: {found.digits} digits, {found.obstacle}")
        names = " ".join(p.name for p in quantity.parameters)
        print(f"{quantity.name:20} {quantity.ensemble.name:9} {names:20} {len(seconds):6} {start_up:7.2f} s "
              f"{statistics.median(seconds):6.3f} s {max(seconds):6.3f} s")
        everything += seconds
    worst = max(everything)
    print(f"{len(everything)} certificates of {DIGITS} digits, seed {given.seed}: median "
          f"{statistics.median(everything):.3f} s, worst {worst:.3f} s, limit {LIMIT:g} s")
    return 0 if sound and worst < LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
