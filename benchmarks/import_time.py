"""How long `import derive` takes beyond `import numpy`, each in fresh processes. Must stay under 0.3 s."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 0.3
RUNS = 7


def seconds(statement: str) -> float:
    """Wall time of a fresh interpreter that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure in turns, so that a slow spell of the machine falls on both; compare the medians."""
    seconds("import numpy, derive")  # compiles what is not compiled yet
    pairs = [(seconds("import numpy"), seconds("import numpy, derive")) for _ in range(RUNS)]
    numpy, both = (statistics.median(column) for column in zip(*pairs, strict=True))
    beyond = both - numpy
    print(f"import numpy {numpy:.3f} s; derive beyond it {beyond:.3f} s; limit {LIMIT} s")
    return 0 if beyond < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
