"""The solver of a question about a spectrum as one file of its own, with a self-test against mpmath."""

from __future__ import annotations

from typing import Any

from derive.core import DeriveError, ProfileProblem, SpectralProblem
from derive.solvers.exporting import COMMAND_LINE, DIGITS, ExportMeta, file_head, spread_points
from derive.solvers.numpy_target import content_hash
from derive.solvers.spectral_mp import compile_spectrum_mp
from derive.solvers.spectral_target import spectral_module_text, spectral_names

__all__ = ["spectral_export_text"]

_TAIL = '''
TOLERANCE, SMALL = 1e-11, 1e-12  # relative, for numbers beyond the second one
CHECKS = [  # parameters, value and outputs to {digits} digits, computed with mpmath when this file was written
{checks}
]


def selftest():
    """Compare with the table; prints one line, returns the exit status."""
    wrong, worst, compared = 0, 0.0, 0
    for parameters, expected in CHECKS:
        found = solve(**parameters)
        got = {{"value": found["value"], **found["outputs"]}}
        for key, texts in expected.items():
            want, have = np.array(texts, dtype=float), np.asarray(got[key], dtype=float)
            if want.shape != have.shape or (np.isfinite(want) != np.isfinite(have)).any():
                wrong += 1
                continue
            compared += want.size
            scale = np.maximum(np.abs(want), SMALL)
            error = np.max(np.abs(have - want) / scale, initial=0.0, where=np.isfinite(want))
            worst = max(worst, float(error))
            wrong += not error <= TOLERANCE
    print(f"{{compared}} numbers at {{len(CHECKS)}} points, {{wrong}} wrong, largest error {{worst:.1e}} "
          f"(allowed {{TOLERANCE:.0e}})")
    return 1 if wrong else 0
'''


def spectral_export_text(problem: SpectralProblem, meta: ExportMeta, target: str = "numpy") -> str:
    """The text of the exported file.

    Raises: DeriveError for a target other than numpy, or an expression that no code is generated for.
    """
    if target != "numpy":
        raise DeriveError(
            f"{problem.name} is exported for NumPy only", given=target, allowed="numpy", nearest="numpy")
    imports, text = spectral_module_text(problem)
    imports += "" if "import sys" in imports else "\nimport sys"
    names = spectral_names(problem)
    long = isinstance(problem, ProfileProblem)  # hundreds of numbers at each point
    points = spread_points([(names[p.symbol], p) for p in problem.parameters], 2 if long else 6)
    digits = 20 if long else DIGITS
    solver = compile_spectrum_mp(problem)
    rows = []
    for point in points:
        found = solver(digits=digits, **point)
        expected = {"value": found.value, **found.outputs}
        shown = ", ".join(f"{key!r}: {_texts(array)}" for key, array in expected.items())
        rows.append(f"    ({point!r},\n     {{{shown}}}),")
    tail = (_TAIL + COMMAND_LINE).format(
        checks="\n".join(rows), digits=digits, shown=("value", "branch", "reason")
    )
    ordered = "\n".join(sorted(imports.splitlines(), key=lambda line: ("numpy" in line, line)))
    body = f"from __future__ import annotations\n\n{ordered}\n\n\n{text}\n{tail}"
    arguments = ", ".join(f"{k}={v:.4g}" for k, v in points[0].items())
    return f"{file_head(meta, target, content_hash(body), arguments)}\n\n{body}"


def _texts(array: Any) -> str:
    """A number, or a list of numbers, as text that NumPy reads as floats."""
    cells = array.tolist()
    if isinstance(cells, list):
        return "[" + ", ".join(repr(str(k)) for k in cells) + "]"
    return repr(str(cells))
