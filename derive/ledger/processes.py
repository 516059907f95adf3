"""Tasks in several processes, which inherit what was made before they part; only results travel back."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["each"]

T = TypeVar("T")
#: what the worker processes inherit
_TASKS: Sequence[Callable[[], Any]] = ()


def each(tasks: Sequence[Callable[[], T]], workers: int) -> Iterator[tuple[int, T]]:
    """(number, result) of each task, as they are done.

    Args: tasks, workers (processes; one does all in this one, and so does a system without fork or with JAX running,
    whose threads do not survive one).

    >>> dict(each([lambda: "a", lambda: "b"], 1))
    {0: 'a', 1: 'b'}
    """
    global _TASKS
    forks = "fork" in multiprocessing.get_all_start_methods() and "jax" not in sys.modules
    if workers <= 1 or len(tasks) < 2 or not forks:
        for number, task in enumerate(tasks):
            yield number, task()
        return
    from derive.ledger import rules  # noqa: F401 - imported once, before the processes part

    _TASKS = tasks
    try:
        with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=400) as pool:
            yield from pool.imap_unordered(_work, range(len(tasks)))
    finally:
        _TASKS = ()


def _work(number: int) -> tuple[int, Any]:
    return number, _TASKS[number]()
