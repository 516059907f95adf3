"""A question about a spectrum as the text of a NumPy module, and that text as a solver."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sympy import Add, Expr, Float, N, Number, Poly, PolynomialError, S, Symbol, cancel, fraction, true

from derive.core import (
    DensityProblem,
    DeriveError,
    EdgesProblem,
    GapProblem,
    GapTimesProblem,
    ProfileProblem,
    SpectralProblem,
)
from derive.nodes.averages import Average
from derive.solvers import runtime, spectral_runtime
from derive.solvers.bundle import bundle
from derive.solvers.lowering import Code, identifier
from derive.solvers.numpy_target import (
    GeneratedSolver,
    condition_entry,
    content_hash,
    function_entry,
    parameter_row,
)

__all__ = ["compile_spectrum", "free_parts", "spectral_module_text", "spectral_names"]

_RUNS: Mapping[type[SpectralProblem], str] = {
    EdgesProblem: "run_edges",
    DensityProblem: "run_density",
    ProfileProblem: "run_profile",
    GapProblem: "run_gaps",
    GapTimesProblem: "run_gap_times",
}
_DIGITS = 40


def free_parts(inverse: Expr, g: Symbol) -> tuple[Expr, tuple[tuple[Expr, Expr], ...]]:
    """Shift and pairs (v, a) of an inverse function  shift - 1/g + sum of a v/(1 + v g).

    Raises: DeriveError for a function that is not of this kind.

    >>> from sympy.abc import g
    >>> free_parts(3 - 1/g + 2*5/(1 + 5*g), g)
    (3, ((5, 2),))
    """
    shift, parts, poles = S.Zero, [], S.Zero
    for term in Add.make_args(inverse):
        if not term.has(g):
            shift += term
            continue
        top, bottom = fraction(cancel(term))
        try:
            slope, constant = Poly(bottom, g).all_coeffs()
        except (PolynomialError, ValueError):
            slope = constant = S.NaN
        if top.has(g) or S.NaN in (slope, constant):
            raise _no_free_sum(inverse, term)
        if constant == 0:
            poles += top / slope
            continue
        jump = cancel(slope / constant)
        rate = cancel(top / (constant * jump))
        if jump.is_negative or rate.is_negative:
            raise _no_free_sum(inverse, term)
        parts.append((jump, rate))
    if cancel(poles + 1) != 0 or not parts:
        raise _no_free_sum(inverse, poles / g)
    return shift, tuple(parts)


def _no_free_sum(inverse: Expr, term: Expr) -> DeriveError:
    return DeriveError(
        f"the law with z(g) = {inverse} is no free sum of Marchenko-Pastur laws: {term}",
        given=str(inverse),
        allowed="shift - 1/g + terms a v/(1 + v g) with positive a and v",
    )


def spectral_names(problem: SpectralProblem) -> dict[Symbol, str]:
    """An identifier for every parameter, and for the further symbols that expressions of the problem may have."""
    names: dict[Symbol, str] = {}
    further = [problem.variable]
    if isinstance(problem, DensityProblem | ProfileProblem):
        further.append(problem.eigenvalue)
    if isinstance(problem, GapProblem):
        further += [problem.low, problem.high]
    for symbol, wish in [*((p.symbol, p.name) for p in problem.parameters), *((s, s.name) for s in further)]:
        if symbol not in names:
            names[symbol] = identifier(wish, names.values())
    return names


def numeric(e: Expr) -> Expr:
    """With averages that are plain numbers evaluated."""
    found = {node: Float(N(node, _DIGITS), _DIGITS) for node in e.atoms(Average) if not node.free_symbols}
    if any(not isinstance(value, Number) for value in found.values()):
        raise DeriveError(f"no number was found for an average in {e}", given=str(e))
    return e.xreplace(found)


def spectral_parts(problem: SpectralProblem) -> tuple[Expr, tuple[tuple[Expr, Expr], ...], Expr]:
    """Shift, parts (v, a) with v ascending, and the sum of all a, in the parameters, averages as numbers."""
    shift, parts = free_parts(problem.inverse, problem.resolvent)
    sample = {p.symbol: S.One / 3 for p in problem.parameters}
    exact = [(numeric(v), numeric(a)) for v, a in parts]
    ordered = tuple(sorted(exact, key=lambda part: float(part[0].subs(sample))))
    return numeric(shift), ordered, cancel(Add(*(a for _, a in ordered)))


def _body(problem: SpectralProblem) -> tuple[str, set[str]]:
    """The generated part of the module, and the run-time names it uses."""
    names = spectral_names(problem)
    code = Code(names)
    shift, parts, total = spectral_parts(problem)
    rows = {
        "name": repr(problem.name),
        "parameters": "[" + "".join(
            f"\n        {parameter_row(p, names[p.symbol])}," for p in problem.parameters) + "\n    ]",
        "jumps": "[" + ", ".join(function_entry(code, "jump", v) for v, _ in parts) + "]",
        "rates": "[" + ", ".join(function_entry(code, "rate", a) for _, a in parts) + "]",
        "of": repr(sorted(names[s] for s in Add(shift, *(e for part in parts for e in part)).free_symbols)),
        "total": function_entry(code, "total", total),
        "shift": function_entry(code, "shift", shift),
        "variable": repr(names[problem.variable]),
        "image": function_entry(code, "image", problem.image),
    }
    if isinstance(problem, DensityProblem):
        rows["variance"] = function_entry(code, "variance", problem.variance)
    if isinstance(problem, DensityProblem | ProfileProblem):
        rows["eigenvalue"] = repr(names[problem.eigenvalue])
        rows["volume"] = function_entry(code, "volume", problem.volume)
    if isinstance(problem, ProfileProblem):
        rows["points"] = repr(problem.points)
    if isinstance(problem, GapProblem):
        rows |= _gap_rows(problem, code, names)
    table = "SPECTRUM = {" + "".join(f"\n    {key!r}: {text}," for key, text in rows.items()) + "\n}"
    return f"{code.source()}\n\n{table}\n", code.uses


def _gap_rows(problem: GapProblem, code: Code, names: Mapping[Symbol, str]) -> dict[str, str]:
    def several(pairs: tuple[tuple[str, Expr], ...]) -> str:
        return "{" + ", ".join(f"{key!r}: {function_entry(code, 'output', e)}" for key, e in pairs) + "}"

    return {
        "low": repr(names[problem.low]),
        "high": repr(names[problem.high]),
        "value": function_entry(code, "value", problem.value),
        "outputs": several(problem.outputs),
        "facts": several(problem.facts),
        "condition": "None" if problem.condition == true else condition_entry(code, "case", problem.condition),
        "reason": repr(problem.reason),
        "unbounded": repr(problem.unbounded),
    }


@lru_cache(maxsize=256)
def spectral_module_text(problem: SpectralProblem) -> tuple[str, str]:
    """Imports and definitions of the module of a question about a spectrum, without head.

    Raises: DeriveError for a law that is no free sum, or an expression that no code is generated for.
    """
    run = _RUNS[type(problem)]
    body, uses = _body(problem)
    imports, helpers = bundle({*uses, run}, runtime, spectral_runtime)
    for line in ("import math", "import numpy as np"):
        if line not in imports:
            imports += f"\n{line}"
    solve = f'''
def solve(**parameters):
    """Solve for numbers or arrays that broadcast: a dict of arrays value, residual, converged, outputs, ..."""
    return {run}(SPECTRUM, parameters)
'''
    return imports, f"{helpers}\n\n# --- the spectrum {'-' * 102}\n\n\n{body}\n{solve}"


def compile_spectrum(problem: SpectralProblem) -> GeneratedSolver:
    """The generated solver of a question about a spectrum; one for each text.

    Raises: DeriveError for a law that is no free sum, or an expression that no code is generated for.
    """
    imports, text = spectral_module_text(problem)
    digest = content_hash(imports + text)
    source = (
        f'"""Solver of {problem.name}, generated from its law.\n\ncontent {digest}\n"""\n\n'
        f"from __future__ import annotations\n\n{imports}\n\n\n{text}"
    )
    return _compiled(source, problem)


@lru_cache(maxsize=256)
def _compiled(source: str, problem: SpectralProblem) -> GeneratedSolver:
    names = spectral_names(problem)
    return GeneratedSolver(problem, source, [names[p.symbol] for p in problem.parameters])
