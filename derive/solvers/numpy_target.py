"""A problem as the text of a NumPy module, and that text as a solver."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp
from sympy import Expr, Symbol

from derive.core import Branch, DeriveError, Parameter, Problem, SaddleStage, Solution, SpectralProblem, Stage
from derive.solvers import runtime
from derive.solvers.bundle import bundle
from derive.solvers.lowering import Code, Lowering, NoSlope, identifier
from derive.solvers.saddle_target import saddle_row, site_symbols

__all__ = ["GeneratedSolver", "NumpySolver", "compile_numpy", "content_hash", "numpy_source"]

_LAWS = ("NormalLaw", "AtomsLaw", "DensityLaw", "NoisyLaw", "MarchenkoPasturLaw")


def all_stages(stages: Iterable[Stage | SaddleStage]) -> list[Stage | SaddleStage]:
    """Stages with those inside them, each before what it contains."""
    out: list[Stage | SaddleStage] = []
    for stage in stages:
        out.append(stage)
        if isinstance(stage, Stage):
            out += all_stages(stage.inner)
    return out


def known_by(stage: Stage | SaddleStage) -> tuple[Symbol, ...]:
    """The symbols that a stage makes known, those of its inner stages apart."""
    return (stage.unknown,) if isinstance(stage, Stage) else stage.names


def known_symbols(stages: Iterable[Stage | SaddleStage]) -> list[Symbol]:
    """All symbols that stages make known, those of the inner ones included."""
    return [symbol for stage in all_stages(stages) for symbol in known_by(stage)]


def always_needed(problem: Problem) -> set[Symbol]:
    """Unknowns that no branch and no later stage mentions: without a root of theirs there is no value at all."""
    asked: set[Symbol] = set()
    for branch in problem.branches:
        asked |= branch.condition.free_symbols | (branch.value.free_symbols if branch.value is not None else set())
    found: set[Symbol] = set()
    for stage in reversed(problem.stages):
        if isinstance(stage, Stage) and stage.unknown not in asked and not asked & set(known_symbols(stage.inner)):
            found.add(stage.unknown)
        asked |= _symbols(stage)
    return found


def names_of(problem: Problem) -> dict[Symbol, str]:
    """An identifier for every parameter and unknown of a problem.

    Raises: DeriveError where two of them are one symbol.
    """
    names: dict[Symbol, str] = {}
    for symbol, wish in [
        *((p.symbol, p.name) for p in problem.parameters),
        *((s, s.name) for s in known_symbols(problem.stages)),
    ]:
        if symbol not in names:
            names[symbol] = identifier(wish, names.values())
    return names


def in_logarithm(stage: Stage) -> bool:
    """Whether the unknown of a stage is solved for in its logarithm."""
    return bool(stage.unknown.is_positive and stage.lower.is_nonnegative is not False)


def has_average(*expressions: Any) -> bool:
    """Whether an average is taken numerically anywhere in these expressions."""
    from derive.nodes.averages import Average

    return any(e is not None and e.has(Average) for e in expressions)


def function_entry(code: Code, hint: str, e: Expr, doc: str = "", log: bool = False) -> str:
    """Text (name, arguments) of the function that gives e, and log e too where asked for."""
    low = Lowering(code)
    low.prepare(e)
    outputs = [low.value(e), low.log(e)] if log else [low.value(e)]
    return _entry(low, hint, outputs, doc)


def _entry(low: Lowering, hint: str, outputs: Sequence[int], doc: str = "", extra: Sequence[str] = ()) -> str:
    used = low.lines(outputs)[1]
    names = [a for a in dict.fromkeys(low.arguments()) if a in used and a not in extra]
    name = low.write(hint, outputs, [*names, *extra], doc)
    return f"({name}, ({''.join(repr(n) + ', ' for n in names)}))"


def condition_entry(code: Code, hint: str, condition: Any) -> str:
    low = Lowering(code)
    low.prepare(condition)
    unknown = low.argument("unknown")
    return _entry(low, hint, [low.condition(condition, unknown)], extra=["unknown"])


def _exists(code: Code, stage: Stage) -> str:
    if stage.exists == sp.true:
        return "None"
    low = Lowering(code)
    low.prepare(stage.exists)
    return _entry(low, "exists", [low.condition(stage.exists)])


def _stage(code: Code, stage: Stage | SaddleStage, unknowns: Sequence[Symbol], depth: int = 1) -> str:
    """The entry of a stage in the table of the generated module."""
    if isinstance(stage, SaddleStage):
        return saddle_row(code, stage, depth)
    name = code.names[stage.unknown]
    pad = "    " * (depth + 1)
    log = in_logarithm(stage)
    inner = [_stage(code, part, [*unknowns, stage.unknown], depth + 1) for part in stage.inner]
    low = Lowering(code)
    low.prepare(stage.residual)
    out = low.value(stage.residual)
    outputs, offset = [out], "None"
    averages = has_average(stage.residual)
    if log and not stage.inner and not averages:
        try:
            slope = low.slope(out, name)
            if slope is not None:
                outputs = [out, slope]
        except NoSlope:
            pass
    word = "logarithm of " if log else ""
    residual = _entry(
        low,
        f"residual_{name}",
        outputs,
        f"Equation for {name}" + (f", and its slope in the {word}{name}." if len(outputs) == 2 else "."),
    )
    if len(outputs) == 2:
        fixed, _ = stage.residual.as_independent(stage.unknown, as_Add=True)
        if fixed != 0:
            offset = function_entry(code, "offset", fixed)
    needs = [code.names[u] for u in unknowns if u in _symbols(stage)]
    around = any(isinstance(part, SaddleStage) for part in all_stages(stage.inner))
    if around:
        code.uses.add("solve_around")
    rows = {
        "name": repr(name),
        **({"solve": "solve_around"} if around else {}),
        "log": repr(log),
        "direction": repr(int(stage.direction)),
        "residual": residual,
        "slope": repr(len(outputs) == 2),
        "offset": offset,
        "lower": function_entry(code, "lower", stage.lower),
        "upper": function_entry(code, "upper", stage.upper),
        "clip": repr(bool(stage.clip)),
        "exists": _exists(code, stage),
        "absent": repr(stage.absent),
        "needs": repr(needs),
        "limit": "600.0" if averages or stage.inner else "LOG_LIMIT",
        "inner": "[" + "".join(f"\n{pad}    {part}," for part in inner) + "]",
    }
    if not log:
        rows["limit"] = "1e150"
    return "{" + "".join(f"\n{pad}{key!r}: {value}," for key, value in rows.items()) + f"\n{'    ' * depth}}}"


def _symbols(stage: Stage | SaddleStage) -> set[Symbol]:
    """Symbols that a stage rests on, those of its inner stages included, its own unknowns not."""
    if isinstance(stage, SaddleStage):
        return site_symbols(stage)
    free = set().union(*(e.free_symbols for e in (stage.residual, stage.lower, stage.upper, stage.exists)))
    for part in stage.inner:
        free |= _symbols(part)
    return free - set(known_symbols((stage,)))


def _branch(
    code: Code, branch: Branch, positive: bool, unknowns: Sequence[Symbol], always: AbstractSet[Symbol]
) -> str:
    condition, needs = "None", set()
    if branch.condition != sp.true:
        condition, needs = condition_entry(code, "case", branch.condition), branch.condition.free_symbols
    value, rests = "None", set()
    if branch.value is not None:
        value, rests = (
            function_entry(code, "value", branch.value, f"Value on branch {branch.name}.", positive),
            branch.value.free_symbols | always,
        )
    rows = {
        "name": repr(branch.name),
        "condition": condition,
        "value": value,
        "reason": repr(branch.reason),
        "condition_needs": repr([code.names[u] for u in unknowns if u in needs]),
        "needs": repr([code.names[u] for u in unknowns if u in rests]),
    }
    return "{" + "".join(f"\n        {key!r}: {text}," for key, text in rows.items()) + "\n    }"


def parameter_row(p: Parameter, name: str) -> str:
    """The row of a parameter in the table of the generated module."""
    low, high = (float(sp.N(e, 30)) for e in (p.domain.start, p.domain.end))
    default = None if p.default is None else float(sp.sympify(p.default))
    others = tuple(dict.fromkeys(n for n in (p.name, p.symbol.name) if n != name))
    text = ", ".join("math.inf" if v == math.inf else "-math.inf" if v == -math.inf else repr(v) for v in (low, high))
    return f"({name!r}, {text}, {bool(p.domain.left_open)}, {bool(p.domain.right_open)}, {default!r}, {others!r})"


def _body(problem: Problem) -> tuple[str, set[str]]:
    """The generated part of the module, and the run-time names it uses."""
    names = names_of(problem)
    roots = [s for s in all_stages(problem.stages) if isinstance(s, Stage)]
    code = Code(names, frozenset(s.unknown for s in roots if in_logarithm(s)))
    unknowns: list[Symbol] = []
    stages = []
    for stage in problem.stages:
        stages.append(_stage(code, stage, unknowns))
        unknowns += known_symbols((stage,))
    branches = [_branch(code, b, problem.positive, unknowns, always_needed(problem)) for b in problem.branches]
    outputs = [f"{key!r}: {function_entry(code, 'output', e)}" for key, e in problem.outputs]
    parameters = [parameter_row(p, names[p.symbol]) for p in problem.parameters]
    saddles = [s for s in all_stages(problem.stages) if isinstance(s, SaddleStage)]
    if saddles:
        code.uses.add("saddle_outputs")
    table = "\n".join(
        [
            "PROBLEM = {",
            f"    'name': {problem.name!r},",
            "    'parameters': [" + "".join(f"\n        {row}," for row in parameters) + "\n    ],",
            "    'stages': [" + "".join(f"\n    {row}," for row in stages) + "],",
            "    'branches': [" + "".join(f"\n    {row}," for row in branches) + "],",
            "    'outputs': {" + "".join(f"\n        {row}," for row in outputs) + "},",
            *(["    'extras': saddle_outputs,"] if saddles else []),
            "}",
        ]
    )
    return f"{code.source()}\n\n{table}\n", code.uses


_SOLVE = '''
def solve(**parameters):
    """Solve for numbers or arrays that broadcast: a dict of arrays value, log_value, residual, converged, ..."""
    return run_problem(PROBLEM, parameters)
'''


def content_hash(text: str) -> str:
    """The hash that stands in the first lines of a generated file."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=256)
def module_text(problem: Problem) -> tuple[str, str]:
    """Imports and definitions of the module of a problem, without head.

    Raises: DeriveError for an expression that no code is generated for.
    """
    body, uses = _body(problem)
    uses = uses | {"run_problem", "LOG_LIMIT"}
    modules: list[Any] = [runtime]
    if "solve_saddle" in uses:
        from derive.solvers import saddle_averages, saddle_branches, saddle_pieces, saddle_runtime

        modules += [saddle_pieces, saddle_averages, saddle_branches, saddle_runtime]
    if any(name in uses for name in _LAWS):
        from derive.nodes import quadrature

        modules.append(quadrature)
    imports, helpers = bundle(uses, *modules)
    if "import math" not in imports:
        imports = "import math\n" + imports
    if "import numpy as np" not in imports:
        imports += "\nimport numpy as np"
    if "from scipy import special" not in imports and "special." in body:
        imports += "\nfrom scipy import special"
    return imports, f"{helpers}\n\n# --- the problem {'-' * 103}\n\n\n{body}\n{_SOLVE}"


def numpy_source(problem: Problem) -> str:
    """The text of a module that solves a problem with NumPy and SciPy alone.

    Args: problem.  Returns: text that defines `solve(**parameters)`; its content hash stands in the first lines.
    Raises: DeriveError for an expression that no code is generated for.
    """
    imports, text = module_text(problem)
    digest = content_hash(imports + text)
    return (
        f'"""Solver of {problem.name}, generated from its equation.\n\ncontent {digest}\n"""\n\n'
        f"from __future__ import annotations\n\n{imports}\n\n\n{text}"
    )


class GeneratedSolver:
    """A generated module as a function of its parameters, numbers or arrays that broadcast.

    Attributes: problem, source (the text that is run), parameters (their names), hash.
    """

    def __init__(self, problem: Problem | SpectralProblem, source: str, names: Sequence[str]) -> None:
        self.problem, self.source, self.parameters = problem, source, tuple(names)
        self.hash = source.split("content ", 1)[1][:16]
        module = ModuleType(f"derive_generated_{self.hash}")
        sys.modules[module.__name__] = module  # dataclasses look their module up
        self._namespace: dict[str, Any] = module.__dict__
        exec(compile(source, f"<derive {problem.name} {self.hash}>", "exec"), self._namespace)

    def _run(self, parameters: dict[str, Any], run: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
        try:
            return run(*given)
        except self._namespace["InputError"] as error:
            raise DeriveError(
                str(error),
                given=", ".join(f"{k}={v!r}"[:60] for k, v in parameters.items()),
                allowed=", ".join(f"{p.name} in {p.domain}" for p in self.problem.parameters),
                nearest=error.nearest,
            ) from None

    def __call__(self, **parameters: Any) -> Solution:
        """Solve.

        Raises: DeriveError for parameters that are missing, unknown, out of domain, not numbers, nan, or of shapes
        that do not broadcast.
        """
        return self._solution(self._run(parameters, lambda: self._namespace["solve"](**parameters)))

    @staticmethod
    def _solution(found: Mapping[str, Any]) -> Solution:
        outputs = dict(found["outputs"])
        stability = outputs.pop("stability", np.broadcast_to(np.nan, found["value"].shape))
        return Solution(
            found["value"],
            found["log_value"],
            found["residual"],
            found["converged"],
            found["iterations"],
            found["branch"],
            stability,
            found["reason"],
            outputs,
        )

    def __repr__(self) -> str:
        return f"<solver of {self.problem.name}({', '.join(self.parameters)}) {self.hash}>"


class NumpySolver(GeneratedSolver):
    """A generated solver of an equation or of a chain of them."""

    def __init__(self, problem: Problem, source: str) -> None:
        super().__init__(problem, source, [names_of(problem)[p.symbol] for p in problem.parameters])

    @property
    def table(self) -> dict[str, Any]:
        """The table of the generated module: parameters, stages, branches, outputs."""
        table: dict[str, Any] = self._namespace["PROBLEM"]
        return table

    def solved(self, **parameters: Any) -> tuple[Solution, dict[str, Any]]:
        """The solution and the unknowns of all stages, in their logarithms where they are positive.

        Raises: DeriveError as for a call.
        """
        names = self._namespace
        found = self._run(parameters, names["run_problem"], names["PROBLEM"], parameters, True)
        return self._solution(found), dict(found["unknowns"])

    def unknowns(self, **parameters: Any) -> dict[str, Any]:
        """The unknowns alone."""
        return self.solved(**parameters)[1]


@lru_cache(maxsize=256)
def _compiled(source: str, problem: Problem) -> NumpySolver:
    return NumpySolver(problem, source)


def compile_numpy(problem: Problem) -> NumpySolver:
    """The generated solver of a problem; one for each text.  `compile_spectrum` is its counterpart for spectra.

    Raises: DeriveError for an expression that no code is generated for.
    """
    return _compiled(numpy_source(problem), problem)
