"""How answers look: aligned columns, colours on a terminal only, numbers never wrapped."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from derive.cli.answer import (
    Answer,
    axis_labels,
    noted,
    shown_name,
    shown_number,
    shown_parameters,
    shown_unit,
    to_float,
)
from derive.cli.request import Request

__all__ = ["progress_bar", "show_answer", "table"]


def number_text(value: Any, log_value: Any = math.nan) -> str:
    """Ten significant digits; from the logarithm where the value is out of a double's range; text as it is."""
    if isinstance(value, str):
        return "-" if value == "nan" else value
    value, log_value = float(value), to_float(log_value)
    if math.isnan(value):
        return "-"
    if math.isfinite(log_value) and (abs(value) < 1e-300 or math.isinf(value)):
        exponent, part = divmod(log_value / math.log(10), 1)
        mantissa = f"{10**part:.9f}"
        if mantissa.startswith("10"):
            mantissa, exponent = "1.000000000", exponent + 1
        return f"{mantissa}e{int(exponent):+d}"
    return f"{value:.10g}"


def _lines(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> list[str]:
    """Aligned columns, two spaces apart."""
    widths = [max(len(k) for k in column) for column in zip(headers, *rows, strict=True)]
    flags = list(right) or [False] * len(headers)
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, flags, strict=True)).rstrip()
        for row in (headers, *rows)
    ]


_COLOURS = {"PROVED": "green", "CERTIFIED": "green", "CORROBORATED": "yellow", "UNDECIDED": "red", "REFUTED": "red"}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> None:
    """A table: with rules and colours on a terminal, plain aligned columns elsewhere. Numbers are never wrapped."""
    if not sys.stdout.isatty():
        for line in _lines(headers, rows, right):
            click.echo(line)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    flags = list(right) or [False] * len(headers)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, flag in zip(headers, flags, strict=True):
        table.add_column(Text(header), justify="right" if flag else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    width = sum(max(len(k) for k in column) + 3 for column in zip(headers, *rows, strict=True)) + 2
    Console(width=max(width, 40)).print(table)


@contextlib.contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on the terminal's stderr; nothing where stderr is not a terminal. Yields set(done, words)."""
    if not sys.stderr.isatty():
        yield lambda done, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        *((MofNCompleteColumn(),) if total else ()),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(title, total=total)

        def report(done: int, words: str) -> None:
            bar.update(task, completed=done, description=f"{title} {words}", refresh=True)

        report(0, "")
        yield report


def show_answer(request: Request, answer: Answer) -> None:
    quantity = request.quantity
    ensemble = getattr(quantity.ensemble, "title", str(quantity.ensemble))
    what = "" if request.unknown is None else f", solved for {request.unknown.name}"
    click.echo(f"{quantity.name}: {quantity.title}, {ensemble}{what}")
    if len(answer.value.shape) > len(request.shape):
        _show_axis(request, answer)
    else:
        (_show_scalar if not request.shape else _show_rows)(request, answer)
    if note := noted(request, answer):
        click.echo(f"note: {note}")
    click.echo(
        f"source: {'; '.join(map(str, quantity.citations))}; "
        f"derive check {quantity.name} gives the verdict of each step"
    )


def _given(request: Request) -> str:
    words = []
    for name, value in shown_parameters(request).items():
        words.append(f"{name} = {value if isinstance(value, str) else number_text(value)}")
    return ", ".join(words)


def _show_scalar(request: Request, answer: Answer) -> None:
    name = shown_name(request)
    rows = [(name, number_text(answer.value[()], answer.log_value[()]), shown_unit(request))]
    if math.isfinite(to_float(answer.log_value[()])):
        log_value = answer.log_value[()]
        rows.append((f"log {name}", log_value if isinstance(log_value, str) else f"{float(log_value):.12g}", ""))
    rows += [(key, _cell_text(array), "") for key, array in answer.outputs.items()]
    rows.append(("branch", str(answer.branch[()]), ""))
    if bool(answer.converged[()]):
        rows.append(("residual", f"{to_float(answer.residual[()]):.1e}", ""))
    if str(answer.reason[()]):
        rows.append(("reason", str(answer.reason[()]), ""))
    if request.axes:
        rows.append(("at", _given(request), ""))
    width = max(len(k[0]) for k in rows)
    for key, value, unit in rows:
        click.echo(f"  {key.ljust(width)}  {value}{f'   ({unit})' if unit not in ('', '1') else ''}")


def _cell_text(cell: Any) -> str:
    """One output at one point: a number, a word, or the finite ones of several numbers."""
    import numpy as np

    array = np.asarray(cell)
    if array.dtype.kind == "U":
        return str(array[()]) or "-"
    if array.ndim == 0:
        return number_text(array[()])
    rows = array.reshape(array.shape[0], -1) if array.ndim > 1 else array[:, None]
    shown = [", ".join(number_text(v) for v in row) for row in rows if np.all(np.isfinite(row))]
    return ("; " if array.ndim > 1 else ", ").join(shown) or "-"


def _show_axis(request: Request, answer: Answer) -> None:
    """An answer with an axis of its own: a row for each entry of it, at each point of the grid."""
    import numpy as np

    axis = getattr(request.quantity.question, "axis", "entry")
    count = answer.value.shape[-1]
    fixed = {k: v for k, v in shown_parameters(request).items() if not isinstance(v, list)}
    if fixed:
        words = (f"{k} = {v if isinstance(v, str) else number_text(v)}" for k, v in fixed.items())
        click.echo("  at " + ", ".join(words))
    along = {k: v for k, v in answer.outputs.items() if v.shape == answer.value.shape}
    once = {k: v for k, v in answer.outputs.items() if v.shape == request.shape}
    further = {k: v for k, v in answer.outputs.items() if k not in along and k not in once}
    names = [request.title(k) for k in request.swept]
    points = _grid_cells(request)
    name = shown_name(request)
    headers = [*names, axis, name, *(k for k in along if k != name)]
    rows = []
    for i, at in enumerate(np.ndindex(request.shape)):
        for k, label in enumerate(axis_labels(axis, count)):
            cells = [number_text(answer.value[(*at, k)])]
            cells += [number_text(v[(*at, k)]) for key, v in along.items() if key != name]
            if cells[0] != "-" or axis == "gap":
                rows.append([*(column[i] for column in points), label, *cells])
    unit = shown_unit(request)
    click.echo(f"  {name}" + (f" ({unit})" if unit not in ("", "1") else "") + f", for each {axis}:")
    table(headers, rows, [True] * len(headers))
    for key, array in (*once.items(), *further.items()):
        if not request.shape and array.size:
            text = ", ".join(number_text(v) for v in np.ravel(array))
            click.echo(f"  {key} = {text}")
    if request.shape and once:
        table(
            [*names, *once],
            [
                [*(column[i] for column in points), *(number_text(v[at]) for v in once.values())]
                for i, at in enumerate(np.ndindex(request.shape))
            ],
            [True] * (len(names) + len(once)),
        )
    for reason in dict.fromkeys(str(k) for k in np.ravel(answer.reason) if k):
        click.echo(f"  {reason}")
    lost = math.prod(request.shape) - int(np.sum(answer.converged))
    if lost and request.shape:
        click.echo(f"{lost} of {math.prod(request.shape)} points have no value")


def _grid_cells(request: Request) -> list[list[str]]:
    """The values of the swept parameters at every point of the grid, as columns of text."""
    import numpy as np

    cells = []
    for axis in request.swept:
        shown = [str(v) if request.digits else number_text(shown_number(v)) for v in axis.values]
        column = np.array(shown, dtype=object)
        if not request.zipped:
            place = request.swept.index(axis)
            column = column.reshape(tuple(len(shown) if i == place else 1 for i in range(len(request.swept))))
        cells.append(list(np.broadcast_to(column, request.shape).ravel()))
    return cells


def _show_rows(request: Request, answer: Answer) -> None:
    import numpy as np

    fixed = {k: v for k, v in shown_parameters(request).items() if not isinstance(v, list)}
    if fixed:
        click.echo(
            "  at " + ", ".join(f"{k} = {v if isinstance(v, str) else number_text(v)}" for k, v in fixed.items())
        )
    names = [request.title(k) for k in request.swept]
    cells = _grid_cells(request)
    size = math.prod(request.shape)
    values, logs = np.ravel(answer.value), np.ravel(answer.log_value)
    columns = list(cells)
    columns.append([number_text(v, u) for v, u in zip(values, logs, strict=True)])
    outputs = {k: v for k, v in answer.outputs.items() if np.ndim(v) <= len(request.shape)}  # lists of saddles: --json
    columns += [[_cell_text(v) for v in np.ravel(np.broadcast_to(k, request.shape))] for k in outputs.values()]
    columns.append([str(k) for k in np.ravel(answer.branch)])
    reasons = [str(k) for k in np.ravel(answer.reason)]
    headers = [*names, shown_name(request), *outputs, "branch"]
    if any(reasons):
        headers.append("reason")
        columns.append(reasons)
    right = [True] * (len(names) + 1 + len(outputs)) + [False] * (len(headers) - len(names) - 1 - len(outputs))
    table(headers, [[column[i] for column in columns] for i in range(size)], right)
    lost = size - int(np.sum(answer.converged))
    if lost:
        click.echo(f"{lost} of {size} points have no value")
