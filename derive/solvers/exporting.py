"""A generated solver as one file of its own, with a self-test whose expectations come from elsewhere."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sympy as sp

from derive.core import DeriveError, Parameter, Problem, SaddleStage, SpectralProblem, Stage
from derive.solvers.mp_target import compile_mp_solver, mp_module_text
from derive.solvers.numpy_target import all_stages, compile_numpy, content_hash, has_average, module_text, names_of

__all__ = ["ExportMeta", "export", "export_text"]

DIGITS = 50
"""Digits of the expectations in a self-test."""


@dataclass(frozen=True)
class ExportMeta:
    """What the head of an exported file says.

    Attributes: name and title of the quantity; equation (as text) and latex; citation; domain and verdict in words;
    source_hash, a hash of the equation that the file was derived from; units.
    """

    name: str
    title: str = ""
    equation: str = ""
    latex: str = ""
    citation: str = ""
    domain: str = ""
    verdict: str = ""
    source_hash: str = ""
    units: str = ""


# --- points --------------------------------------------------------------------------------------------------------


def _range(p: Parameter) -> tuple[float, float, bool]:
    """Where a parameter is tried: a bounded stretch of its domain, and whether it is stepped through in logarithms."""
    low, high = (float(sp.N(e, 30)) for e in (p.domain.start, p.domain.end))
    if low >= 0:
        floor = max(low, 0.02 if math.isinf(high) else high / 50)
        ceiling = min(high, max(4.0, 4 * floor))
        inside = (floor, ceiling) if floor > low else (low + (ceiling - low) * 0.02, ceiling)
        top = inside[1] if math.isinf(high) or inside[1] < high else inside[1] * (1 - 0.02) + inside[0] * 0.02
        return inside[0], top, True
    bottom, top = max(low, -3.0), min(high, 3.0)
    margin = (top - bottom) * 0.02
    return bottom + margin, top - margin, False


def _halton(i: int, base: int) -> float:
    value, scale = 0.0, 1.0
    while i:
        scale /= base
        i, digit = divmod(i, base)
        value += digit * scale
    return value


def check_points(problem: Problem, count: int) -> list[dict[str, float]]:
    """Parameter points of a self-test, the same ones every time: an even spread, and both sides of each joint.

    A joint is looked for between neighbouring points on different branches, in doubles; near the border of what has a
    value at all, where values are ill-conditioned, the distance kept is a part in a thousand.
    """
    names = names_of(problem)
    spread = spread_points([(names[p.symbol], p) for p in problem.parameters], count)
    if len(problem.branches) + len(problem.stages) < 2:
        return spread
    return [*spread, *itertools.islice(_joints(problem, spread), 8)]


def spread_points(parameters: Sequence[tuple[str, Parameter]], count: int) -> list[dict[str, float]]:
    """So many points spread evenly over the domains of parameters, by name; the same ones every time."""
    ranges = [(name, *_range(p)) for name, p in parameters]
    spread = []
    for i in range(1, count + 1):
        point = {}
        for (name, low, high, logs), base in zip(ranges, (2, 3, 5, 7, 11, 13, 17), strict=False):
            u = _halton(i, base)
            x = math.exp(math.log(low) + u * (math.log(high) - math.log(low))) if logs else low + u * (high - low)
            point[name] = float(f"{x:.4g}")
        spread.append(point)
    return spread


def _state(problem: Problem, point: dict[str, float]) -> str:
    return str(compile_numpy(problem)(**point).branch)


def _joints(problem: Problem, spread: list[dict[str, float]]) -> Iterator[dict[str, float]]:
    seen = set()
    states = [_state(problem, p) for p in spread]
    for (a, sa), (b, sb) in itertools.pairwise(zip(spread, states, strict=True)):
        pair = frozenset((sa, sb))
        if sa == sb or pair in seen:
            continue
        seen.add(pair)
        low, high = 0.0, 1.0
        gap = 1e-3 if "none" in pair else 1e-12

        def at(u: float, a: dict[str, float] = a, b: dict[str, float] = b) -> dict[str, float]:
            return {k: a[k] + u * (b[k] - a[k]) for k in a}

        while high - low > gap:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _state(problem, at(middle)) == sa else (low, middle)
        yield at(max(low - gap, 0.0))
        yield at(min(high + gap, 1.0))


def _expectations(problem: Problem, count: int) -> list[tuple[dict[str, float], str, str]]:
    """Points with value and log-value to 50 digits, from the mpmath route; "nan" where there is no value."""
    solver = compile_mp_solver(problem)
    rows = []
    for point in check_points(problem, count):
        found = solver(digits=DIGITS, **point)
        rows.append((point, str(found.value), str(found.log_value)))
    return rows


def _own_values(problem: Problem, count: int) -> list[tuple[dict[str, float], str, str]]:
    """Points with value and log-value in doubles, from the solver that the file repeats."""
    solver = compile_numpy(problem)
    names = names_of(problem)
    rows = []
    for point in spread_points([(names[p.symbol], p) for p in problem.parameters], count):
        found = solver(**point)
        rows.append((point, repr(float(found.value)), repr(float(found.log_value))))
    return rows


# --- text ----------------------------------------------------------------------------------------------------------


#: what every NumPy file ends with: its command line; `shown` are the keys printed before the outputs
COMMAND_LINE = '''

def main(arguments):
    """python FILE --selftest, or python FILE name=value ..."""
    if arguments == ["--selftest"]:
        return selftest()
    try:
        found = solve(**dict(_assignment(a) for a in arguments))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    shown = {{k: found[k] for k in {shown!r}}}
    for key, value in {{**shown, **found["outputs"]}}.items():
        print(f"{{key}} = {{value}}")
    return 0 if found["converged"].all() else 1


def _assignment(text):
    name, _, value = text.partition("=")
    try:
        top, _, bottom = value.partition("/")
        return name, float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{{text!r}} is not of the form name=number") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''

_NUMPY_TAIL = '''
TOLERANCE = {tolerance!r}
CHECKS = [  # parameters, value and its logarithm, {origin}
{checks}
]


def selftest():
    """Compare with the table; prints one line, returns the exit status."""
    wrong, worst = 0, 0.0
    for parameters, value, log_value in CHECKS:
        found = solve(**parameters)
        expected, got = (value, found["value"]) if log_value == "nan" else (log_value, found["log_value"])
        expected, got = float(expected), float(got)
        if math.isnan(expected) or math.isnan(got):
            wrong += not (math.isnan(expected) and math.isnan(got) and not found["converged"])
            continue
        error = abs(got - expected) / max(1.0, abs(expected))
        worst = max(worst, error)
        wrong += not (error <= TOLERANCE and bool(found["converged"]))
    passed = f"{{len(CHECKS) - wrong}} of {{len(CHECKS)}} checks passed"
    print(f"{{passed}}, largest error {{worst:.1e}} (allowed {{TOLERANCE:.0e}})")
    return 1 if wrong else 0
'''

_MP_TAIL = '''
CHECK_DIGITS = 30
CHECKS = [  # parameters, value and its logarithm to {digits} digits, computed when this file was written
{checks}
]


def selftest():
    """Compare with the table; prints one line, returns the exit status."""
    wrong, worst = 0, mpmath.mpf(0)
    with mp.workdps({digits} + 10):
        for parameters, value, _ in CHECKS:
            found = solve(digits=CHECK_DIGITS, **parameters)
            if value == "nan" or found["value"] == "nan":
                wrong += value != found["value"]
                continue
            expected, got = mpmath.mpf(value), mpmath.mpf(found["value"])
            error = abs(got - expected) / abs(expected) if expected else abs(got)
            worst = max(worst, error)
            wrong += not error <= mpmath.mpf(10) ** (1 - CHECK_DIGITS)
    passed = f"{{len(CHECKS) - wrong}} of {{len(CHECKS)}} checks passed to {{CHECK_DIGITS}} digits"
    print(f"{{passed}}, largest error {{mpmath.nstr(worst, 2)}}")
    return 1 if wrong else 0


def main(arguments):
    """python FILE --selftest, or python FILE name=value ... [digits=50]"""
    if arguments == ["--selftest"]:
        return selftest()
    given = dict(a.partition("=")[::2] for a in arguments)
    digits = given.pop("digits", "50")
    if not digits.isdecimal() or not 1 <= int(digits) <= 10000:
        print(f"digits = {{digits}} is not a whole number from 1 to 10000", file=sys.stderr)
        return 2
    try:
        found = solve(digits=int(digits), **given)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    for key, value in {{**found, **found.pop("outputs")}}.items():
        print(f"{{key}} = {{value}}")
    return 0 if found["converged"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def file_head(meta: ExportMeta, target: str, digest: str, arguments: str) -> str:
    """The docstring of the file."""
    lines = [meta.title or meta.name, ""]
    needs = "NumPy and SciPy" if target == "numpy" else "mpmath"
    entries = [
        ("quantity", meta.name),
        ("equation", meta.equation),
        ("latex", meta.latex),
        ("source", meta.citation),
        ("domain", meta.domain),
        ("unit", meta.units),
        ("verdict", meta.verdict),
        ("derived from", meta.source_hash),
        ("content", digest),
        ("needs", needs),
        ("use", f"solve({arguments}) in Python; python FILE {arguments.replace(', ', ' ')}; python FILE --selftest"),
    ]
    for key, text in entries:
        if text:
            flat = " ".join(text.split()).replace('"""', "'''")
            lines += textwrap.wrap(
                flat,
                116,
                initial_indent=f"{key}: ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    body = "\n".join(lines)
    return f'r"""{body}\n"""'


def export_text(problem: Problem, meta: ExportMeta, target: str = "numpy") -> str:
    """The text of the exported file.

    Raises: DeriveError for another target, or an expression that no code is generated for.
    """
    if target == "jax":
        raise DeriveError("the jax target is not offered yet", given="jax", allowed="numpy, mpmath", nearest="numpy")
    if target not in ("numpy", "mpmath"):
        raise DeriveError(f"no export target {target!r}", given=target, allowed="numpy, mpmath", nearest="numpy")
    staged = [s.residual for s in all_stages(problem.stages) if isinstance(s, Stage)]
    averages = has_average(*staged, *(b.value for b in problem.branches))
    imports, text = module_text(problem) if target == "numpy" else mp_module_text(problem)
    imports += "" if "import sys" in imports else "\nimport sys"
    saddles = any(isinstance(s, SaddleStage) for s in all_stages(problem.stages))
    if saddles:
        rows, origin = _own_values(problem, 3), "in doubles, by the solver that this file repeats: no second route"
    else:
        rows = _expectations(problem, 3 if averages else 16)
        origin = f"to {DIGITS} digits, computed with mpmath when this file was written"
    checks = "\n".join(f"    ({point!r}, {value!r},\n     {log!r})," for point, value, log in rows)
    tail = (_NUMPY_TAIL + COMMAND_LINE if target == "numpy" else _MP_TAIL).format(
        checks=checks,
        digits=DIGITS,
        origin=origin,
        tolerance=1e-8 if saddles else 1e-10 if averages else 1e-12,
        shown=("value", "log_value", "residual", "branch", "reason"),
    )
    ordered = "\n".join(
        sorted(imports.splitlines(), key=lambda line: ("numpy" in line or "scipy" in line or "mpmath" in line, line))
    )
    body = f"from __future__ import annotations\n\n{ordered}\n\n\n{text}\n{tail}"
    first = rows[0][0]
    arguments = ", ".join(f"{k}={v:.4g}" for k, v in first.items())
    return f"{file_head(meta, target, content_hash(body), arguments)}\n\n{body}"


def _text_of(problem: Problem | SpectralProblem, meta: ExportMeta, target: str) -> str:
    if isinstance(problem, SpectralProblem):
        from derive.solvers.spectral_export import spectral_export_text

        return spectral_export_text(problem, meta, target)
    return export_text(problem, meta, target)


def export(
    problem: Problem | SpectralProblem,
    meta: ExportMeta,
    path: str | os.PathLike[str],
    target: str = "numpy",
    force: bool = False,
) -> Path:
    """Write the solver of a problem as one Python file with its own self-test, whole or not at all.

    Args: problem; meta, what its head says; path of the file; target "numpy" (needs NumPy and SciPy) or "mpmath"
    (needs mpmath); force to replace a file that exists.
    Returns: the path.
    Raises: DeriveError where the file exists and force is not set, for another target, or where it cannot be written.
    """
    place = Path(path)
    if place.is_dir():
        raise DeriveError(f"{place} is a directory", given=str(place), allowed="the path of a file")
    if place.exists() and not force:
        raise DeriveError(
            f"{place} exists; it is replaced only with force", given=str(place), allowed="a new path, or force"
        )
    if not place.parent.is_dir():
        raise DeriveError(
            f"there is no directory {place.parent}", given=str(place), allowed="a path in a directory that exists"
        )
    text = _text_of(problem, meta, target)
    draft = None
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(draft, 0o666 & ~mask)
        if force:
            os.replace(draft, place)
        else:
            os.link(draft, place)  # fails where a file has come to be there meanwhile
    except FileExistsError:
        raise DeriveError(
            f"{place} exists; it is replaced only with force", given=str(place), allowed="a new path, or force"
        ) from None
    except OSError as error:
        raise DeriveError(
            f"{place} cannot be written: {error.strerror}", given=str(place), allowed="a path that can be written"
        ) from None
    finally:
        if draft is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
    return place
