"""Answers as curves of a figure: ranges become axes and lines, and so does an answer's own axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derive.cli.answer import Answer, axis_labels, shown_name, shown_number, shown_parameters, shown_unit
from derive.cli.errors import mistake
from derive.cli.request import SIZES, Axis, Request

__all__ = ["check_ranges", "curves_of"]


def check_ranges(request: Request, parameters: tuple[str, ...]) -> None:
    """As many ranges as a figure has axes and lines; an answer with an axis of its own takes one from them."""
    own = getattr(request.quantity.question, "axis", "")
    least, most, words = {"": (1, 2, "one or two ranges"), "point": (0, 0, "no range, or one of the eigenvalue")}.get(
        own, (1, 1, f"one range: each {own} is a line"))
    if not least <= len(request.shape) <= most:
        mistake(
            f"a figure of {request.quantity.name} needs {words}, {len(request.shape)} given"
            if own else f"a figure needs {words}, {len(request.shape)} given",
            given=" ".join(parameters) or "no range",
            allowed="NAME=a:b:n or NAME=log:a:b:n" + (", once or twice" if not own else ""),
        )


def curves_of(request: Request, answer: Answer) -> Any:
    """The answer as curves: the range with more points is the axis, the other one tells the lines apart.

    An answer with an axis of its own gives one line for each of its entries, or is the curve itself.
    """
    import numpy as np

    from derive.plot import Curves, heading

    if answer.value.ndim > len(request.shape) == 0:
        return _profile(request, answer)
    own = getattr(request.quantity.question, "axis", "")
    swept = request.swept
    first = 0 if request.zipped or len(swept) < 2 else int(len(swept[1].values) > len(swept[0].values))
    across, along = (swept[first], None if len(request.shape) < 2 else swept[1 - first])

    def numbers(axis: Axis) -> Any:
        return np.array([shown_number(v) for v in axis.values])

    def label(axis: Axis) -> tuple[str, str, str]:
        own = {p.name: p for p in request.quantity.parameters}
        if axis.name == "value":
            symbol = request.quantity.symbol.name
            changed = axis.kind in ("tau", "sigma")
            return (
                (request.time + symbol[1:] if changed else symbol),
                request.quantity.title,
                ("" if changed else request.quantity.unit),
            )
        if axis.name in SIZES:
            return axis.name, SIZES[axis.name], ""
        p = own[axis.name]
        if axis.name == "t" and request.time != "t":
            return request.time, {"tau": "Ornstein-Uhlenbeck time", "sigma": "noise level"}[request.time], ""
        return p.symbol.name, p.meaning, p.unit

    def grid(array: Any) -> Any:
        array = np.asarray(array)
        return (array.T if first == 0 else array) if array.ndim == 2 else array[None, :]

    told = np.asarray(answer.reason) if own else np.asarray(answer.reason)[~np.asarray(answer.converged)]
    reasons = [str(k) for k in dict.fromkeys(np.ravel(told)) if k]
    fixed = {k: v for k, v in shown_parameters(request).items() if not isinstance(v, list)}
    name = shown_name(request)
    if request.unknown is not None and request.unknown.name == name:
        name = request.unknown.symbol.name
    what = "" if request.unknown is None else f"{request.unknown.meaning or request.unknown.name} from "
    lines = None if along is None else numbers(along)
    labels: tuple[str, ...] = ()
    ok = answer.converged
    if own == "edge":
        answer = replace(answer, value=_aligned(answer.value, answer), log_value=_aligned(answer.log_value, answer))
    if own:
        ok = np.isfinite(np.asarray(answer.value, dtype=float))
        there = ok.any(axis=0)
        names = axis_labels(own, ok.shape[1])
        shown = (k for k, seen in zip(names, there, strict=True) if seen)
        labels = tuple("final gap" if k == "final" else f"{own} {k}" for k in shown)
        lines = np.arange(len(labels), dtype=float)
        ok, answer = ok[:, there], replace(
            answer, value=answer.value[:, there], log_value=answer.log_value[:, there])
        ok = np.ones_like(ok) if own == "edge" else ok
    return Curves(
        x=numbers(across),
        x_label=heading(*label(across)),
        y=grid(answer.value),
        log_y=grid(answer.log_value),
        y_label=heading(name, "", shown_unit(request)),
        y_name=name,
        ok=grid(ok),
        line_values=lines,
        line_name="" if along is None else label(along)[0],
        line_labels=labels,
        title=f"{what}{request.quantity.title}, {request.quantity.ensemble.title}",
        fixed=tuple((k, float(v)) for k, v in fixed.items()),
        notes=tuple(reasons),
    )


def _aligned(edges: Any, answer: Answer) -> Any:
    """Edges in fixed places: the lowest, the facing edges of each gap (nan where bulks have merged), the highest."""
    import numpy as np

    edges, separate = np.asarray(edges, dtype=float), np.asarray(answer.outputs["separate"], dtype=bool)
    out = np.full(edges.shape, np.nan)
    for row, sorted_row, gaps in zip(out, edges, separate, strict=True):
        places = [0, *(2 * k + side for k in np.flatnonzero(gaps) for side in (1, 2)), row.size - 1]
        row[places] = sorted_row[: len(places)]
    return out


def _profile(request: Request, answer: Answer) -> Any:
    """An answer over points of its own as one curve."""
    import numpy as np

    from derive.core import ProfileProblem
    from derive.plot import Curves, heading

    question = request.quantity.question
    assert isinstance(question, ProfileProblem)
    symbol = question.eigenvalue.name
    meanings = {"c": ("eigenvalue of the data covariance", "variance"), "j": ("eigenvalue of t J", "")}
    bulks, total = int(answer.outputs["bulks"]), answer.value.size
    breaks = [-(-k * total // bulks) for k in range(1, bulks)]  # no line from bulk to bulk
    points, values = (np.asarray(k, dtype=float) for k in (answer.outputs["points"], answer.value))
    points, values = np.insert(points, breaks, points[breaks]), np.insert(values, breaks, np.nan)
    return Curves(
        x=points,
        x_label=heading(symbol, *meanings.get(symbol, ("", ""))),
        y=values[None, :],
        log_y=np.full((1, values.size), np.nan),
        y_label=heading(shown_name(request), "", shown_unit(request)),
        y_name=shown_name(request),
        ok=np.ones((1, values.size), dtype=bool),
        title=f"{request.quantity.title}, {request.quantity.ensemble.title}",
        fixed=tuple((k, float(v)) for k, v in shown_parameters(request).items()),
    )
