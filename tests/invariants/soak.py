"""The invariants for as long as they are given, with a recorded seed: what was tried, and what did not hold.

    python tests/invariants/soak.py --minutes 60 --seed 1 --record notebooks/records/soak.json
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import invariants
from hypothesis import HealthCheck, Phase, settings

BATCH = 20  # examples of one invariant before the next has its turn


def batch(invariant, seed, examples):
    """How many examples of one invariant were run, and the failure, if one was found."""
    tried = Counter()
    inner = invariant.hypothesis.inner_test

    def counted(*values, **named):
        tried["run"] += 1
        inner(*values, **named)

    limited = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )(hypothesis.seed(seed)(invariant))
    limited.hypothesis.inner_test = counted
    try:
        limited()
    except Exception as failure:  # every failure goes into the record
        return tried["run"], f"{type(failure).__name__}: {failure}"[:2000]
    finally:
        limited.hypothesis.inner_test = inner
    return tried["run"], None


def soak(minutes, seed):
    """Counts and failures, invariant by invariant, in turns until the time is over."""
    end = time.monotonic() + 60 * minutes
    counts, seconds, failures, turn = Counter(), Counter(), [], 0
    while time.monotonic() < end:
        fresh = importlib.reload(invariants)  # a test takes its settings once
        for invariant in fresh.INVARIANTS:
            start = time.monotonic()
            if start >= end:
                break
            tried, failure = batch(invariant, seed + turn, 1 if invariant in fresh.COSTLY else BATCH)
            counts[invariant.__name__] += tried
            seconds[invariant.__name__] += time.monotonic() - start
            if failure is not None:
                failures.append({"invariant": invariant.__name__, "seed": seed + turn, "failure": failure})
        turn += 1
    return {
        "what": "invariants tried on parameters and laws of patterns drawn at random",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": seed,
        "minutes": minutes,
        "rounds": turn,
        "batch": BATCH,
        "examples": sum(counts.values()),
        "counts": {k.__name__: counts[k.__name__] for k in invariants.INVARIANTS},
        "seconds": {k.__name__: round(seconds[k.__name__], 1) for k in invariants.INVARIANTS},
        "failures": failures,
        "versions": {
            "python": platform.python_version(),
            **{p: importlib.metadata.version(p) for p in ("derive", "hypothesis", "numpy", "scipy", "sympy")},
        },
    }


def main():
    """Run and write the record; exit status 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, default=Path("notebooks/records/soak.json"))
    asked = parser.parse_args()
    record = soak(asked.minutes, asked.seed)
    partial = asked.record.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    os.replace(partial, asked.record)
    print(f"{record['examples']} examples, {len(record['failures'])} failures: {asked.record}")
    return 1 if record["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
