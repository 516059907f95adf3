"""Figures of quantities: curves with the papers' symbols, gaps where there is no value, and the reason for them.

Nothing here touches the state of pyplot: a figure is made, returned, and saved by whoever asked for it.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from derive.quantity import Quantity

__all__ = ["Curves", "draw", "heading", "math_name", "plot", "save"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008): told apart also without colour vision."""
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
"""Told apart also in print without colour."""
WIDE = 100.0
"""A spread (largest over smallest) above which an axis is logarithmic."""
LINES = len(PALETTE)
"""More lines than that are told apart by a colour bar."""


@dataclass(frozen=True)
class Curves:
    """What a figure shows.

    Attributes: x (n,); y, log_y (natural logarithm, nan where there is none) and ok (whether there is a value), each
    (lines, n); labels; line_values (lines,) or None for one line; line_name, the symbol that tells lines apart, or
    line_labels, a word for each; fixed, pairs (name, value) of what is held; notes, why there are gaps.
    """

    x: np.ndarray
    y: np.ndarray
    log_y: np.ndarray
    ok: np.ndarray
    x_label: str
    y_label: str
    y_name: str
    line_values: np.ndarray | None = None
    line_name: str = ""
    line_labels: tuple[str, ...] = ()
    title: str = ""
    fixed: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


def math_name(name: str) -> str:
    r"""A symbol's name as LaTeX, without dollars.

    >>> math_name("alpha_D"), math_name("lam"), math_name("KL")
    ('\\alpha_{D}', '\\lambda', '\\mathrm{KL}')
    """
    from sympy import Symbol, latex

    if name.isalpha() and name.isupper() and len(name) > 1:
        return rf"\mathrm{{{name}}}"
    return str(latex(Symbol({"lam": "lambda", "eps": "epsilon", "resolution": "G"}.get(name, name))))


def heading(name: str, meaning: str = "", unit: str = "") -> str:
    """An axis label: symbol, meaning, unit; a unit of 1 is not shown.

    >>> heading("t", "diffusion time", "variance")
    '$t$: diffusion time (variance)'
    """
    words = f"${math_name(name)}$" + (f": {meaning}" if meaning else "")
    return words if unit in ("", "1") else f"{words} ({unit})"


def _number(value: float) -> str:
    """A number for a label: 4 digits, powers of ten in LaTeX."""
    text = f"{value:.4g}"
    mantissa, letter, exponent = text.partition("e")
    if not letter:
        return text
    return rf"$10^{{{int(exponent)}}}$" if mantissa == "1" else rf"${mantissa}\times 10^{{{int(exponent)}}}$"


def _is_geometric(x: np.ndarray) -> bool:
    if x.size < 3 or not np.all(x > 0):
        return False
    steps = np.diff(np.log(x))
    return bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0) or x.max() / x.min() > WIDE)


def draw(curves: Curves, ax: Axes | None = None) -> Figure:
    """The figure of some curves.

    Args: curves; ax, axes to draw into (a new figure is made without).
    Returns: the figure. The vertical axis is logarithmic where positive values spread over more than two decades; where
    a value is beyond the range of a double, log10 of the value is shown, from the log-values.
    """
    from matplotlib.figure import Figure

    fresh = ax is None
    if ax is None:
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        ax = figure.add_subplot()
    else:
        figure = ax.figure if isinstance(ax.figure, Figure) else ax.figure.figure
    y, scale, label = _vertical(curves)
    many = curves.line_values is not None and len(y) > LINES
    colours = _colours(curves, figure, ax) if many else [PALETTE[i % LINES] for i in range(len(y))]
    for i, (row, colour) in enumerate(zip(y, colours, strict=True)):
        name = "" if curves.line_values is None or many else _line_label(curves, i)
        ax.plot(
            curves.x,
            row,
            color=colour,
            linestyle="-" if many else STYLES[i % LINES],
            linewidth=1.8,
            label=name or None,
            marker="o" if _lonely(row) else None,
            markersize=3.5,
        )
    if fresh:  # the whole range, also where there is no value
        ax.set_xlim(float(curves.x.min()), float(curves.x.max()))
    ax.set_xscale("log" if _is_geometric(np.sort(curves.x)) else "linear")
    ax.set_yscale(scale)
    ax.set_xlabel(curves.x_label)
    ax.set_ylabel(label)
    ax.grid(True, which="major", alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    held = ", ".join(f"${math_name(k)}$ = {_number(v)}" for k, v in curves.fixed)
    ax.set_title("\n".join(textwrap.wrap(curves.title, 72) + ([held] if held else [])), fontsize="medium")
    if curves.line_values is not None and not many:
        ax.legend(frameon=False)
    _explain_gaps(curves, ax)
    return figure


def _line_label(curves: Curves, i: int) -> str:
    assert curves.line_values is not None
    if curves.line_labels:
        return curves.line_labels[i]
    return f"${math_name(curves.line_name)}$ = {_number(float(curves.line_values[i]))}"


def _lonely(row: np.ndarray) -> bool:
    """Whether a line would hide points: one with no neighbour on either side, or few points altogether."""
    known = np.isfinite(row)
    padded = np.concatenate([[False], known, [False]])
    return bool(np.any(padded[1:-1] & ~padded[:-2] & ~padded[2:])) or row.size <= 3


def _vertical(curves: Curves) -> tuple[np.ndarray, str, str]:
    """Values to draw (nan where there is none), the scale of the axis, and its label."""
    y = np.where(curves.ok, curves.y, np.nan).astype(float)
    log_y = np.where(curves.ok, curves.log_y, np.nan).astype(float)
    lost = curves.ok & np.isfinite(log_y) & ((y == 0) | ~np.isfinite(y) | (np.abs(log_y) > 690))
    if lost.any():
        return log_y / math.log(10), "linear", _logarithm(curves)
    known = y[np.isfinite(y)]
    if known.size and np.all(known > 0) and known.max() / known.min() > WIDE:
        return y, "log", curves.y_label
    return y, "linear", curves.y_label


def _logarithm(curves: Curves) -> str:
    plain = f"${math_name(curves.y_name)}$"
    return curves.y_label.replace(plain, rf"$\log_{{10}}\,{math_name(curves.y_name)}$")


def _colours(curves: Curves, figure: Figure, ax: Axes) -> list[Any]:
    """A colour a line, from a map that is even to the eye, with its bar."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    assert curves.line_values is not None
    values = np.asarray(curves.line_values, dtype=float)
    norm = (LogNorm if _is_geometric(np.sort(values)) else Normalize)(values.min(), values.max())
    mapped = ScalarMappable(norm, colormaps["viridis"])
    figure.colorbar(mapped, ax=ax, label=f"${math_name(curves.line_name)}$")
    return [mapped.to_rgba(v) for v in values]


def _explain_gaps(curves: Curves, ax: Axes) -> None:
    gaps = int(np.sum(~curves.ok))
    if not gaps:
        return
    why = "; ".join(curves.notes[:2]) or "not converged"
    note = f"no value at {gaps} of {curves.ok.size} points: {why}"
    ax.annotate(
        "\n".join(textwrap.wrap(note.replace("$", r"\$"), 88)),
        (0, 0),
        (0, -42),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize="x-small",
        color="0.35",
        annotation_clip=False,
    )


def plot(quantity: Quantity, ax: Axes | None = None, **parameters: Any) -> Figure:
    """Solve for a quantity and draw it.

    Args: quantity; ax, axes to draw into; parameters, numbers or one-dimensional arrays. The first array is the
    horizontal axis, a second one gives one line a value.
    Returns: the Figure.
    Raises: DeriveError for wrong parameters, or where there is no array or more than two.

    >>> from derive import atlas
    >>> figure = plot(atlas["collapse-time"], alpha=np.linspace(0.1, 2, 9), alpha_D=[0.5, 1.0])
    >>> figure.axes[0].get_xlabel()
    '$\\\\alpha$: load, log P / N (per N)'
    """
    from derive.core import DeriveError

    arrays = {quantity.parameter(k).name: np.asarray(v, dtype=float) for k, v in parameters.items()}
    swept = [k for k, v in arrays.items() if v.ndim]
    if not 1 <= len(swept) <= 2 or any(arrays[k].ndim > 1 for k in swept):
        raise DeriveError(
            f"a figure needs one or two one-dimensional arrays, given: {', '.join(swept) or 'none'}",
            given=", ".join(swept),
            allowed="one array for the axis, a second one for the lines",
        )
    across, along = swept[0], (swept[1] if len(swept) == 2 else None)
    given: Mapping[str, Any] = arrays | ({along: arrays[along][:, None]} if along else {})
    found = quantity.solver()(**given)
    p = quantity.parameter(across)
    reasons = dict.fromkeys(str(k) for k in np.ravel(found.reason[~found.converged]) if k)
    return draw(
        Curves(
            x=arrays[across],
            y=np.atleast_2d(found.value),
            log_y=np.atleast_2d(found.log_value),
            ok=np.atleast_2d(found.converged),
            x_label=heading(p.symbol.name, p.meaning, p.unit),
            y_label=heading(quantity.symbol.name, "", quantity.unit),
            y_name=quantity.symbol.name,
            line_values=arrays[along] if along else None,
            line_name=quantity.parameter(along).symbol.name if along else "",
            title=f"{quantity.title}, {quantity.ensemble.title}",
            fixed=tuple((k, float(v)) for k, v in arrays.items() if not v.ndim),
            notes=tuple(reasons),
        ),
        ax,
    )


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as .png, .svg or .pdf, whole or not at all; the same figure gives the same bytes.

    Raises: DeriveError for another ending, or where the file cannot be written.
    """
    from matplotlib import rc_context

    from derive.core import DeriveError

    place = Path(path)
    ending = place.suffix.lower().lstrip(".")
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}
    if ending not in metadata:
        raise DeriveError(f"{place} is not a figure file", given=str(place), allowed=".png, .svg, .pdf")
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "derive"}):
        figure.savefig(buffer, format=ending, dpi=160, metadata=metadata[ending])
    try:
        place.write_bytes(buffer.getvalue())
    except OSError as error:
        raise DeriveError(
            f"{place} cannot be written: {error.strerror}", given=str(place), allowed="a path that can be written"
        ) from None
    return place
