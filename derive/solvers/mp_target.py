"""A problem solved to any number of digits, and the text of an mpmath module that does so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from sympy import Expr, Symbol

from derive.core import DeriveError, Problem, SaddleStage, Solution, SpectralProblem, Stage
from derive.solvers import mp_functions, mp_runtime
from derive.solvers.bundle import bundle
from derive.solvers.mp_printer import MpText
from derive.solvers.numpy_target import all_stages, always_needed, compile_numpy, content_hash, in_logarithm, names_of

__all__ = ["MpSolver", "compile_mp_solver", "mp_source"]

MAX_DIGITS = 10_000


class Table:
    """The table of a problem, as `mp_runtime` reads it, with entries made by `entry(expression)`."""

    def __init__(self, problem: Problem, entry: Callable[[Expr, list[Symbol]], Any]) -> None:
        self.problem, self.names, self._make = problem, names_of(problem), entry

    def entry(self, e: Expr) -> Any:
        """The function of an expression."""
        symbols = [s for s in self.names if s in e.free_symbols]
        strange = e.free_symbols - set(symbols)
        if strange:
            raise DeriveError(
                f"the symbol {min(map(str, strange))} is neither a parameter nor an unknown", given=str(strange)
            )
        return self._make(e, symbols)

    def condition(self, e: Any) -> Any:
        """The tree of a condition."""
        if e in (sp.true, sp.false):
            return bool(e)
        if isinstance(e, sp.And | sp.Or):
            parts = [self.condition(a) for a in sorted(e.args, key=sp.default_sort_key)]
            return ("and" if isinstance(e, sp.And) else "or", *parts)
        if isinstance(e, sp.Not):
            return ("not", self.condition(e.args[0]))
        if isinstance(e, sp.Ne):
            return ("not", ("==", self.entry(e.lhs), self.entry(e.rhs)))
        kinds: dict[type, tuple[str, bool]] = {
            sp.StrictLessThan: ("<", False),
            sp.LessThan: ("<=", False),
            sp.StrictGreaterThan: ("<", True),
            sp.GreaterThan: ("<=", True),
            sp.Eq: ("==", False),
        }
        if type(e) not in kinds:
            raise MpText.refusal(e)
        kind, swap = kinds[type(e)]
        sides = (e.rhs, e.lhs) if swap else (e.lhs, e.rhs)
        return (kind, *(self.entry(s) for s in sides))

    def stage(self, stage: Stage | SaddleStage) -> dict[str, Any]:
        """The row of a stage; DeriveError for a saddle, of which there are doubles only."""
        if isinstance(stage, SaddleStage):
            raise DeriveError(
                f"{self.problem.name} rests on a saddle point over averages in three variables, which is solved in "
                "doubles only",
                given="mpmath",
                allowed="numpy",
                nearest="numpy",
            )
        return {
            "name": self.names[stage.unknown],
            "log": in_logarithm(stage),
            "direction": int(stage.direction),
            "residual": self.entry(stage.residual),
            "lower": self.entry(stage.lower),
            "upper": self.entry(stage.upper),
            "clip": bool(stage.clip),
            "exists": self.condition(stage.exists),
            "absent": stage.absent,
            "inner": [self.stage(part) for part in stage.inner],
        }

    def rows(self) -> dict[str, Any]:
        """The whole table, parameters apart."""
        unknowns = [s.unknown for s in all_stages(self.problem.stages)]

        def needed(e: Any, more: AbstractSet[sp.Symbol] = frozenset()) -> list[str]:
            return [] if e is None else [self.names[u] for u in unknowns if u in e.free_symbols | more]

        return {
            "name": self.problem.name,
            "positive": self.problem.positive,
            "stages": [self.stage(s) for s in self.problem.stages],
            "branches": [
                {
                    "name": b.name,
                    "condition": self.condition(b.condition),
                    "value": None if b.value is None else self.entry(b.value),
                    "reason": b.reason,
                    "condition_needs": needed(b.condition),
                    "needs": needed(b.value, always_needed(self.problem)),
                }
                for b in self.problem.branches
            ],
            "outputs": {key: self.entry(e) for key, e in self.problem.outputs},
        }


def parameter_rows(problem: Problem | SpectralProblem, names: Mapping[Symbol, str]) -> list[tuple[Any, ...]]:
    """Rows for `read_exact`, ends and defaults as fractions where they are rational."""
    rows = []
    for p in problem.parameters:
        ends = [
            e if e in (sp.oo, -sp.oo) else mp_runtime.exact(e) if e.is_Rational else float(sp.N(e, 30))
            for e in (p.domain.start, p.domain.end)
        ]
        low, high = (float(e) if e in (sp.oo, -sp.oo) else e for e in ends)
        default = None if p.default is None else mp_runtime.exact(sp.nsimplify(p.default))
        others = tuple(dict.fromkeys(n for n in (p.name, p.symbol.name) if n != names[p.symbol]))
        rows.append((names[p.symbol], low, high, bool(p.domain.left_open), bool(p.domain.right_open), default, others))
    return rows


class MpSolver:
    """A problem solved to any number of digits, point by point.

    Called with `digits` and the parameters: numbers, exact text ("1/500", "0.1"), or lists of them that broadcast.
    Floats are taken for the doubles they are.  Returns a Solution whose value, log_value and outputs are decimal
    strings, right to one unit in the last digit ("nan" where there is no value).
    """

    def __init__(self, problem: Problem) -> None:
        from derive.nodes.mp_eval import compile_mp

        def entry(e: Expr, symbols: list[Symbol]) -> Any:
            return compile_mp(e, symbols), tuple(self.table.names[s] for s in symbols)

        self.problem = problem
        self.table = Table(problem, entry)
        self.rows = self.table.rows()
        self.parameters = parameter_rows(problem, names_of(problem))

    def point(self, digits: int, given: dict[str, Any], guesses: dict[str, Any] | None = None) -> dict[str, Any]:
        """One point: see `mp_runtime.solve_point`."""
        exact = mp_runtime.read_exact(self.parameters, given)
        return mp_runtime.solve_point(self.rows, exact, digits, self.guesses(exact) if guesses is None else guesses)

    def guesses(self, exact: dict[str, Any]) -> dict[str, Any]:
        """The unknowns as doubles, where the doubles reach."""
        try:
            found = compile_numpy(self.problem).unknowns(**{k: float(v) for k, v in exact.items()})
        except (DeriveError, OverflowError, ValueError, NotImplementedError):
            return {}
        return {name: float(x) for name, x in found.items() if np.isfinite(x)}

    def __call__(self, digits: int = 50, **parameters: Any) -> Solution:
        """Solve.

        Raises: DeriveError for digits below 1 or above 10000, and for parameters that are missing, unknown, out of
        domain or not numbers.
        """
        if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= MAX_DIGITS:
            raise DeriveError(
                f"digits = {digits!r} is not a whole number from 1 to {MAX_DIGITS}",
                given=repr(digits),
                allowed=f"1..{MAX_DIGITS}",
            )
        cells, shape = broadcast_cells(parameters)
        size = len(cells)
        points = []
        for cell in cells:
            try:
                points.append(self.point(digits, cell))
            except mp_runtime.ParameterError as error:
                raise DeriveError(
                    str(error),
                    given=str(parameters)[:200],
                    nearest=error.nearest,
                    allowed=", ".join(f"{p.name} in {p.domain}" for p in self.problem.parameters),
                ) from None

        def gather(cell: Callable[[dict[str, Any]], Any], kind: Any = object) -> Any:
            out = np.empty(size, dtype=object)
            for i, p in enumerate(points):
                out[i] = cell(p)
            return out.astype(kind).reshape(shape)

        def digit(key: str) -> Any:
            return gather(lambda p: mp_runtime.show(p[key], digits))

        keys = [key for key, _ in self.problem.outputs if key != "stability"]

        def output(key: str) -> Any:
            return gather(lambda p: mp_runtime.show(p["outputs"].get(key), digits))

        outputs, stability = {key: output(key) for key in keys}, output("stability")
        return Solution(
            digit("value"),
            digit("log_value"),
            gather(lambda p: mp_runtime.show(p["residual"], 5) if p["value"] is not None else "nan"),
            gather(lambda p: p["value"] is not None, bool),
            gather(lambda p: p["iterations"], np.int64),
            gather(lambda p: p["branch"], str),
            stability,
            gather(lambda p: p["reason"], str),
            outputs,
        )


def broadcast_cells(parameters: Mapping[str, Any]) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    """The parameters at each point, and the shape that they broadcast to.

    Raises: DeriveError where they do not broadcast.
    """
    arrays = {k: _cells(v) for k, v in parameters.items()}
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        given = str({k: a.shape for k, a in arrays.items()})
        raise DeriveError("the parameters do not broadcast", given=given) from None
    wide = {k: np.broadcast_to(a, shape).ravel() for k, a in arrays.items()}
    return [{k: a[i] for k, a in wide.items()} for i in range(int(np.prod(shape, dtype=int)))], shape


def _cells(value: Any) -> Any:
    """A parameter as an array of objects, text kept whole."""
    if isinstance(value, np.ndarray | list | tuple):
        source = value.tolist() if isinstance(value, np.ndarray) else value
        return np.array(source, dtype=object)
    cell = np.empty((), dtype=object)
    cell[()] = value
    return cell


@lru_cache(maxsize=128)
def compile_mp_solver(problem: Problem) -> MpSolver:
    """The solver of a problem to any number of digits.

    Raises: DeriveError for an expression that cannot be evaluated.
    """
    return MpSolver(problem)


class _Written:
    """Text that stands for itself in a printed table."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _layout(value: Any, depth: int = 0) -> str:
    """A table as text, one row a line."""
    pad = "    " * (depth + 1)
    if isinstance(value, dict) and value:
        return (
            "{" + "".join(f"\n{pad}{k!r}: {_layout(v, depth + 1)}," for k, v in value.items()) + f"\n{'    ' * depth}}}"
        )
    if isinstance(value, list) and value:
        return "[" + "".join(f"\n{pad}{_layout(v, depth + 1)}," for v in value) + f"\n{'    ' * depth}]"
    return "math.inf" if value == float("inf") else "-math.inf" if value == -float("inf") else repr(value)


_SOLVE = '''
def solve(digits=50, **parameters):
    """Solve at one point: parameters are numbers or exact text. Returns a dict of decimal strings and words."""
    found = solve_point(PROBLEM, read_exact(PROBLEM["parameters"], parameters), digits)
    return {
        "value": show(found["value"], digits), "log_value": show(found["log_value"], digits),
        "residual": show(found["residual"], 5), "converged": found["value"] is not None, "branch": found["branch"],
        "reason": found["reason"], "outputs": {k: show(v, digits) for k, v in found["outputs"].items()},
    }
'''


def _row(row: Iterable[Any]) -> _Written:
    def cell(v: Any) -> str:
        if isinstance(v, float) and v in (float("inf"), -float("inf")):
            return "math.inf" if v > 0 else "-math.inf"
        return repr(v)

    return _Written("(" + ", ".join(cell(v) for v in row) + ")")


def mp_module_text(problem: Problem) -> tuple[str, str]:
    """Imports and definitions of the mpmath module of a problem, without head.

    Raises: DeriveError for an expression that no code is generated for.
    """
    printer = MpText(names_of(problem))
    functions: dict[str, str] = {}

    def entry(e: Expr, symbols: list[Symbol]) -> _Written:
        arguments = [printer.names[s] for s in symbols]
        text = f"({', '.join(arguments)}):\n    return mpmath.mpf({printer.text(e)})\n"
        name = functions.setdefault(text, f"f_{len(functions) + 1}")
        return _Written(f"({name}, ({''.join(repr(a) + ', ' for a in arguments)}))")

    rows = Table(problem, entry).rows()
    rows["parameters"] = [_row(r) for r in parameter_rows(problem, printer.names)]
    imports, helpers = bundle(printer.uses | {"solve_point", "read_exact", "show"}, mp_functions, mp_runtime)
    imports = "import math\n" + imports
    generated = "\n\n".join(f"def {name}{text}" for text, name in functions.items())
    return (
        imports,
        f"{helpers}\n\n# --- the problem {'-' * 103}\n\n\n{generated}\n\nPROBLEM = {_layout(rows)}\n\n{_SOLVE}",
    )


def mp_source(problem: Problem) -> str:
    """The text of a module that solves a problem to any number of digits with mpmath alone.

    Raises: DeriveError for an expression that no code is generated for.
    """
    imports, text = mp_module_text(problem)
    digest = content_hash(imports + text)
    return (
        f'"""Solver of {problem.name} to any number of digits, generated from its equation.\n\n'
        f'content {digest}\n"""\n\n'
        f"from __future__ import annotations\n\n{imports}\n\n\n{text}"
    )
