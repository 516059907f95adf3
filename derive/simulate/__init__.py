"""Monte Carlo counterparts of what the theory says, and their records.  Stands alone: theory reaches it as numbers.

>>> from derive.simulate import NAMES
>>> NAMES
('collapse-time',)
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from derive.simulate.collapse import SIZES, agreement, measure
from derive.simulate.direct import direct_weights
from derive.simulate.errors import SimulationError
from derive.simulate.record import check_target, read_record, write_record

__all__ = ["NAMES", "SEED", "SIZES", "SimulationError", "agreement", "direct_weights", "read_record", "run"]

NAMES = ("collapse-time",)
SEED = 20250214


def run(
    name: str,
    size: Literal["smoke", "cpu", "full"],
    out: str | Path | None = None,
    progress: Callable[[float, str], None] | None = None,
    seed: int = SEED,
) -> dict[str, Any]:
    """Run a simulation and return its record.

    Arguments
    ---------
    name: one of NAMES.
    size: "smoke" (seconds), "cpu" (half an hour on two cores), "full" (for a GPU).
    out: file for the record, written whole or not at all; a record of that name is replaced.
    progress: called with the fraction done, in [0, 1], and a few words.
    seed: integer in [0, 2^32); everything random follows from it.

    Returns: plain data (see derive.simulate.collapse for what is measured, and how the errors are made).
    Raises SimulationError: unknown name or size, no such folder for `out`, or JAX not installed.
    """
    _known("simulation", name, NAMES)
    _known("size", size, tuple(SIZES))
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise SimulationError(f"seed {seed!r}: allowed are integers from 0 to 2^32 - 1", given=repr(seed))
    target = None if out is None else Path(out)
    if target is not None:
        check_target(target)
    record = measure(SIZES[size], size, seed, progress)
    if target is not None:
        write_record(record, target)
    return record


def _known(what: str, given: object, allowed: tuple[str, ...]) -> None:
    """Raise for a name that is none of the allowed, with the nearest one."""
    if given not in allowed:
        nearest = next(iter(get_close_matches(str(given), allowed, 1, 0.4)), None)
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise SimulationError(
            f"no {what} {given!r}: there are {', '.join(allowed)}{hint}",
            given=str(given), allowed=", ".join(allowed), nearest=nearest,
        )
