"""The answer: solved or inverted, in the clock asked for, as arrays and as plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from derive.cli.request import Request, is_time

__all__ = [
    "SCHEMA",
    "Answer",
    "axis_labels",
    "noted",
    "payload",
    "shown_name",
    "shown_number",
    "shown_parameters",
    "shown_unit",
    "solve_request",
    "to_float",
]

SCHEMA = 1
#: the order parameters of a saddle point
_OVERLAPS = ("m", "q", "r")


@dataclass(frozen=True)
class Answer:
    """Arrays of the request's shape: floats, or decimal strings where digits were asked for.

    Value, its logarithm and some outputs may have an axis of their own behind (edges, gaps, points of a density).
    """

    value: Any
    log_value: Any
    residual: Any
    converged: Any
    branch: Any
    reason: Any
    outputs: dict[str, Any] = field(default_factory=dict)
    stability: Any = None


def solve_request(request: Request, progress: Callable[[int, int], None] | None = None) -> Answer:
    """Solve, or invert, in the units of time asked for."""
    digits = request.digits
    answer = _in_doubles(request) if digits is None else _in_digits(request, digits, progress)
    changed = _with_logarithms(request, _in_time(request, answer))
    return _explained(_with_counts(request, changed))


def _in_doubles(request: Request) -> Answer:
    import numpy as np

    quantity, arguments = request.quantity, request.arguments()
    if request.breaking:
        from derive.breaking import broken

        solver = broken(quantity)
    else:
        solver = quantity.solver()
    if request.unknown is None:
        found = solver(**arguments)
    else:
        from derive.solvers import invert

        found = invert(solver, quantity.problem, request.unknown.name, arguments.pop("value"), **arguments)
    kept = (found.value, found.log_value, found.residual, found.converged, found.branch, found.reason)
    value, log_value, residual, converged, branch, reason = map(np.asarray, kept)
    outputs = {key: np.asarray(array) for key, array in found.outputs.items()}
    stability = np.asarray(found.stability)
    return Answer(value, log_value, residual, converged, branch, reason, outputs, stability)


def _in_digits(request: Request, digits: int, progress: Callable[[int, int], None] | None) -> Answer:
    import numpy as np

    quantity, arguments = request.quantity, request.arguments()
    solver = quantity.solver("mpmath")
    more = digits + (0 if request.time == "t" else 10)
    names, arrays = list(arguments), np.broadcast_arrays(*arguments.values()) if arguments else []
    points = [dict(zip(names, cells, strict=True)) for cells in zip(*(k.ravel() for k in arrays), strict=True)]
    found = []
    for i, point in enumerate(points):
        if progress is not None:
            progress(i, len(points))
        found.append(
            solver(digits=more, **point) if request.unknown is None else _inverse(request, solver, point, more)
        )

    def gather(cells: Sequence[Any], kind: Any = object) -> Any:
        rows = [np.asarray(k, dtype=object) for k in cells]
        out = np.empty((len(rows), *rows[0].shape), dtype=object)
        for i, row in enumerate(rows):
            out[i] = row[()]
        return out.astype(kind).reshape((*request.shape, *rows[0].shape))

    keys = list(found[0].outputs)
    return Answer(
        gather([k.value for k in found]),
        gather([k.log_value for k in found]),
        gather([k.residual for k in found]),
        gather([k.converged for k in found], bool),
        gather([k.branch for k in found]),
        gather([k.reason for k in found]),
        {key: gather([k.outputs[key] for k in found]) for key in keys},
        gather([k.stability for k in found]),
    )


def _inverse(request: Request, solver: Any, point: dict[str, Any], digits: int) -> Any:
    """The parameter at one point to so many digits, with what the quantity is there."""
    import mpmath
    import numpy as np

    from derive.core import Solution
    from derive.solvers import invert, mp_invert

    assert request.unknown is not None
    name, problem = request.unknown.name, request.quantity.problem
    others = dict(point)
    target = others.pop("value")
    first = invert(request.quantity.solver(), problem, name, float(target), **{k: float(v) for k, v in others.items()})
    if not bool(first.converged):
        return first
    value = mp_invert(solver, float(first.value), name, target, digits=digits, **others)
    at = solver(digits=digits, **{name: value}, **others)
    with mpmath.workdps(digits + 10):
        number, goal = mpmath.mpf(value), mpmath.mpf(target.numerator) / target.denominator
        log_value = mpmath.nstr(mpmath.log(number), digits, strip_zeros=False) if number > 0 else "nan"
        reached = str(at.value[()])
        gap = mpmath.nstr(mpmath.mpf(reached) / goal - 1 if problem.positive else mpmath.mpf(reached) - goal, 5)
    cell = np.array
    return Solution(
        cell(value, object),
        cell(log_value, object),
        cell(gap, object),
        at.converged,
        at.iterations,
        at.branch,
        at.stability,
        at.reason,
        at.outputs,
    )


def _in_time(request: Request, answer: Answer) -> Answer:
    """Values that are times, in the clock asked for: tau = log(1 + t)/2, sigma = sqrt(t)."""
    import numpy as np

    clock = request.time
    if clock == "t":
        return answer
    shown = request.quantity.symbol.name if request.unknown is None else request.unknown.symbol.name
    outputs = dict(answer.outputs)
    outputs = {(clock + key[1:] if is_time(key) else key): _other(request, key, k) for key, k in outputs.items()}
    value, log_value = answer.value, answer.log_value
    if is_time(shown):
        if request.digits:
            both = [
                _clock_text(clock, v, u, request.digits)
                for v, u in zip(np.ravel(value), np.ravel(log_value), strict=True)
            ]
            value, log_value = (np.array([k[i] for k in both], dtype=object).reshape(np.shape(value)) for i in (0, 1))
        else:
            value, log_value = _clock(clock, value, log_value)
    elif request.digits:
        cut = np.vectorize(lambda u: _rounded(u, request.digits), otypes=[object])
        value, log_value = cut(value), cut(log_value)
    return replace(answer, value=value, log_value=log_value, outputs=outputs)


def _other(request: Request, key: str, array: Any) -> Any:
    """A further output in the clock and to the digits asked for."""
    import numpy as np

    if request.digits:
        if is_time(key):
            return np.vectorize(lambda u: _clock_text(request.time, u, None, request.digits)[0], otypes=[object])(array)
        return np.vectorize(lambda u: _rounded(u, request.digits), otypes=[object])(array)
    if is_time(key):
        return _clock(request.time, array, np.log(np.where(array > 0, array, np.nan)))[0]
    return array


def _clock(clock: str, t: Any, log_t: Any) -> tuple[Any, Any]:
    """(value, log value) of a time in another clock, from (t, log t)."""
    import numpy as np

    with np.errstate(all="ignore"):
        if clock == "sigma":
            return np.sqrt(t), log_t / 2
        tau = np.where(np.isfinite(t), np.log1p(t) / 2, np.logaddexp(0, log_t) / 2)
        return tau, np.where(log_t < -36, log_t - math.log(2), np.log(tau))


def _clock_text(clock: str, t: Any, log_t: Any, digits: int | None) -> tuple[str, str]:
    import mpmath

    n = digits or 17
    with mpmath.workdps(n + 20):
        number = mpmath.mpf(str(t))
        if mpmath.isnan(number):
            return "nan", "nan"
        if log_t is not None:
            number = mpmath.exp(mpmath.mpf(str(log_t)))
        changed = mpmath.sqrt(number) if clock == "sigma" else mpmath.log1p(number) / 2
        log_changed = mpmath.nstr(mpmath.log(changed), n, strip_zeros=False) if changed > 0 else "nan"
        return mpmath.nstr(changed, n, strip_zeros=False), log_changed


def _rounded(text: Any, digits: int | None) -> str:
    import mpmath

    assert digits is not None
    if isinstance(text, int):  # a count
        return str(text)
    with mpmath.workdps(digits + 20):
        number = mpmath.mpf(str(text))
        return "nan" if mpmath.isnan(number) else str(mpmath.nstr(number, digits, strip_zeros=False))


def _with_counts(request: Request, answer: Answer) -> Answer:
    """Where alpha or alpha_D is asked for at a given N, the number of data points or of latent dimensions too."""
    import numpy as np

    sizes = next((k for k in request.axes if k.name == "N"), None)
    if request.unknown is None or sizes is None or request.unknown.name not in ("alpha", "alpha_D"):
        return answer
    n = np.vectorize(float, otypes=[float])(request.on_grid(sizes, sizes.numbers(request.digits)))
    value = np.vectorize(float, otypes=[float])(answer.value)
    with np.errstate(over="ignore"):
        extra = {"log_P": value * n, "P": np.exp(value * n)} if request.unknown.name == "alpha" else {"D": value * n}
    return replace(answer, outputs={**answer.outputs, **extra})


def _with_logarithms(request: Request, answer: Answer) -> Answer:
    """The logarithm also of a value that happens to be positive, where the solver gives none."""
    import mpmath
    import numpy as np

    def log_of(value: Any, log_value: Any) -> Any:
        if not math.isnan(to_float(log_value)) or not to_float(value) > 0:
            return log_value
        if request.digits is None:
            return math.log(value)
        with mpmath.workdps(request.digits + 20):
            return mpmath.nstr(mpmath.log(mpmath.mpf(value)), request.digits, strip_zeros=False)

    kind = float if request.digits is None else object
    pairs = zip(np.ravel(answer.value).tolist(), np.ravel(answer.log_value).tolist(), strict=True)
    cells = np.array([log_of(*pair) for pair in pairs], dtype=kind)
    return replace(answer, log_value=cells.reshape(np.shape(answer.value)))


def _explained(answer: Answer) -> Answer:
    """A reason in words wherever something is not a finite number."""
    import numpy as np

    if np.ndim(answer.value) > np.ndim(answer.reason):  # what is not there on the answer's own axis is said already
        return answer
    value, log_value = (np.vectorize(to_float, otypes=[float])(k) for k in (answer.value, answer.log_value))
    reason = np.array(answer.reason, dtype=object)
    empty = reason == ""
    reason = np.where(empty & ~np.isfinite(value), "the value is not a finite double", reason)
    zero = empty & np.isfinite(value) & ~np.isfinite(log_value)
    reason = np.where(zero & (value == 0), "the value is 0, which has no logarithm", reason)
    return replace(answer, reason=reason)


def to_float(cell: Any) -> float:
    return float(cell) if cell not in (None, "") else math.nan


def plain(array: Any) -> Any:
    """An array as nested lists for JSON: non-finite numbers are null, text is kept, empty text is null."""
    import numpy as np

    if isinstance(array, list):
        return [plain(k) for k in array]
    if isinstance(array, np.ndarray | np.generic):
        return plain(array.tolist())
    if isinstance(array, str):
        return None if array in ("", "nan", "inf", "-inf", "+inf") else array
    return None if isinstance(array, float) and not math.isfinite(array) else array


def shown_parameters(request: Request) -> dict[str, Any]:
    """The parameters as they were given, in the clock that was asked for; exponents of finite sizes added."""
    import numpy as np

    exact = request.digits is not None
    shown: dict[str, Any] = {}
    for axis in request.axes:
        name = request.title(axis)
        cells = [str(v) if exact else shown_number(v) for v in axis.values]
        shown[name] = cells if axis.swept else cells[0]
    arguments = request.arguments()
    for size, name in (("P", "alpha"), ("D", "alpha_D")):
        if size in shown:
            array = arguments[name]
            shown[name] = plain(np.squeeze(array.astype(float)))
    return shown


def shown_number(value: Any) -> float:
    import sympy as sp

    try:
        return float(value.p / value.q) if value.is_Rational else float(sp.N(value, 30))
    except OverflowError:
        return math.inf


def payload(request: Request, answer: Answer) -> dict[str, Any]:
    quantity = request.quantity
    options: dict[str, Any] = dict(quantity.options) or {"ensemble": str(quantity.ensemble)}
    options |= {"time": request.time} if request.time != "t" else {}
    options |= {"for": request.unknown.name} if request.unknown is not None else {}
    options |= {"digits": request.digits} if request.digits is not None else {}
    options |= {"zip": True} if request.zipped else {}
    options |= {"breaking": request.breaking} if request.breaking else {}
    payload = {
        "schema": SCHEMA,
        "quantity": quantity.name,
        "symbol": shown_name(request),
        "unit": shown_unit(request),
        "options": options,
        "parameters": _plain_parameters(shown_parameters(request)),
        "axes": [request.title(k) for k in request.swept],
        "value": plain(answer.value),
        "log_value": plain(answer.log_value),
        "residual": plain(answer.residual),
        "converged": plain(answer.converged),
        "branch": plain(answer.branch),
        "reason": plain(answer.reason),
    }
    if answer.outputs:
        payload["outputs"] = {k: plain(v) for k, v in answer.outputs.items()}
    if all(k in answer.outputs for k in _OVERLAPS):
        payload["order_parameters"] = {k: plain(answer.outputs[k]) for k in _OVERLAPS}
        payload["quadrature_error"] = plain(answer.outputs.get("quadrature_error"))
    if answer.value.ndim > answer.reason.ndim:
        axis = getattr(quantity.question, "axis", "")
        payload["entries"] = {"axis": axis, "labels": axis_labels(axis, answer.value.shape[-1])}
    stability = plain(answer.stability)
    if answer.stability is not None and any(k is not None for k in _flat(stability)):
        payload["stability"] = stability
    if note := noted(request, answer):
        payload["note"] = note
    return payload


def noted(request: Request, answer: Answer) -> str:
    """What the reader is to know besides: of sizes, and where replica symmetry is unstable."""
    import numpy as np

    notes = [request.note] if request.note else []
    if answer.stability is not None and np.asarray(answer.stability).dtype.kind == "f":
        unstable = int(np.count_nonzero(np.asarray(answer.stability) < 0.0))
        where = "here" if not request.shape else f"at {unstable} of {math.prod(request.shape)} points"
        if unstable and request.breaking:
            notes.append(f"the solution is unstable {where} (stability < 0): blocks of replicas break up further, "
                         "which one step does not describe")
        elif unstable:
            notes.append(f"replica symmetry is unstable {where} (stability < 0): --breaking 1 solves with one step of "
                         "symmetry breaking")
    return "; ".join(notes)


def _plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {k: plain(v) for k, v in parameters.items()}


def _flat(nested: Any) -> Iterator[Any]:
    if isinstance(nested, list):
        for k in nested:
            yield from _flat(k)
    else:
        yield nested


def axis_labels(axis: str, count: int) -> list[str]:
    """What the entries of an answer's own axis are called."""
    return ["final", *map(str, range(1, count))] if axis == "gap" else [str(k) for k in range(1, count + 1)]


def shown_name(request: Request) -> str:
    """What the answer is called."""
    symbol = request.quantity.symbol.name if request.unknown is None else request.unknown.name
    return request.time + symbol[1:] if request.time != "t" and is_time(symbol) else symbol


def shown_unit(request: Request) -> str:
    symbol = request.quantity.symbol.name if request.unknown is None else request.unknown.symbol.name
    if request.time != "t" and is_time(symbol):
        return {"tau": "Ornstein-Uhlenbeck time", "sigma": "standard deviation"}[request.time]
    return request.quantity.unit if request.unknown is None else request.unknown.unit
