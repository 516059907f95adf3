"""Figures: the data drawn are the solver's, axes are labelled, gaps are gaps and explained, pyplot is left alone."""
# ruff: noqa: E501 - one case a line

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from derive import atlas
from derive.core import DeriveError
from derive.ensembles import Binary
from derive.plot import PALETTE, Curves, draw, heading, math_name, plot, save


def curves(y: np.ndarray, **more: object) -> Curves:
    y = np.atleast_2d(np.asarray(y, dtype=float))
    with np.errstate(all="ignore"):
        log_y = np.where(y > 0, np.log(y), np.nan)
    fields: dict[str, object] = {"x": np.linspace(1, 2, y.shape[1]), "y": y, "log_y": log_y, "ok": np.isfinite(y),
                                 "x_label": "x", "y_label": heading("t_c", "", "variance"), "y_name": "t_c"}  # fmt: skip
    return Curves(**(fields | more))  # type: ignore[arg-type]


def test_lines_are_the_solvers_values() -> None:
    alpha, ratio = np.linspace(0.2, 2, 7), [0.5, 1.0]
    figure = plot(atlas["collapse-time"], alpha=alpha, alpha_D=ratio)
    (ax,) = figure.axes
    found = atlas["collapse-time"].solver()(alpha=alpha, alpha_D=np.array(ratio)[:, None])
    assert len(ax.lines) == 2
    for line, value in zip(ax.lines, found.value, strict=True):
        assert np.array_equal(line.get_xdata(), alpha)
        assert np.array_equal(line.get_ydata(), value)
    assert ax.get_xlabel() == r"$\alpha$: load, log P / N (per N)"
    assert ax.get_ylabel() == "$t_{c}$ (variance)"
    legend = ax.get_legend()
    assert legend is not None
    assert [k.get_text() for k in legend.get_texts()] == [r"$\alpha_{D}$ = 0.5", r"$\alpha_{D}$ = 1"]
    assert "linear hidden manifold" in ax.get_title()


def test_values_below_doubles_are_drawn_by_their_logarithm() -> None:
    ratio = np.geomspace(1e-3, 1, 9)
    figure = plot(atlas["collapse-time"], alpha=1.0, alpha_D=ratio)
    (ax,) = figure.axes
    found = atlas["collapse-time"].solver()(alpha=1.0, alpha_D=ratio)
    assert found.value[0] == 0.0
    assert np.allclose(ax.lines[0].get_ydata(), found.log_value / np.log(10), rtol=1e-14, atol=0)
    assert ax.get_ylabel() == r"$\log_{10}\,t_{c}$ (variance)"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert r"$\alpha$ = 1" in ax.get_title()


@pytest.mark.parametrize(
    ("y", "scale"),
    [([1.0, 2.0, 3.0], "linear"), ([1.0, 10.0, 1000.0], "log"), ([-1.0, 10.0, 1000.0], "linear"), ([0.0, 1.0, 2.0], "linear")],
)  # fmt: skip
def test_the_scale_follows_the_spread(y: list[float], scale: str) -> None:
    assert draw(curves(np.array(y))).axes[0].get_yscale() == scale


def test_gaps_stay_gaps_and_are_explained() -> None:
    quantity = atlas["onset-time"].with_(ensemble=Binary())
    alpha = np.linspace(0.1, 0.9, 9)
    (ax,) = plot(quantity, alpha=alpha).axes
    drawn = np.asarray(ax.lines[0].get_ydata(), dtype=float)
    assert np.array_equal(np.isnan(drawn), alpha > np.log(2))
    assert ax.get_xlim() == (0.1, 0.9)
    notes = [k.get_text().replace("\n", " ") for k in ax.texts]
    assert any("no value at 3 of 9 points" in k and "log(2)" in k for k in notes)


def test_a_point_without_neighbours_is_seen() -> None:
    (ax,) = draw(curves(np.array([1.0, np.nan, 2.0, np.nan, 3.0]))).axes
    assert ax.lines[0].get_marker() == "o"
    (ax,) = draw(curves(np.array([1.0, 2.0, 3.0, 4.0]))).axes
    assert ax.lines[0].get_marker() == "None"


def test_many_lines_get_a_colour_bar() -> None:
    values = np.linspace(0.1, 2, 12)
    figure = draw(curves(np.outer(values, [1.0, 2, 3, 4]), line_values=values, line_name="alpha_D"))
    main, bar = figure.axes
    assert main.get_legend() is None
    assert bar.get_ylabel() == r"$\alpha_{D}$"
    assert len({line.get_color() for line in main.lines}) == 12


def test_few_lines_differ_in_colour_and_dashes() -> None:
    values = np.arange(1.0, len(PALETTE) + 1)
    (ax,) = draw(curves(np.outer(values, [1.0, 2, 3, 4]), line_values=values, line_name="lam")).axes
    assert len({line.get_color() for line in ax.lines}) == len(PALETTE)


def test_drawing_into_axes_of_ones_own() -> None:
    own = Figure()
    left, _ = own.subplots(1, 2)
    assert plot(atlas["collapse-time"], left, alpha=[0.5, 1.0, 2.0], alpha_D=1.0) is own
    assert len(left.lines) == 1


def test_pyplot_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from derive import atlas; from derive.plot import plot, save;"
        "save(plot(atlas['collapse-time'], alpha=[0.5, 1, 2], alpha_D=1.0), sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path / "figure.png")], check=True)
    module = "import sys, derive.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", module], check=True)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_save_is_the_same_every_time(tmp_path: Path, ending: str) -> None:
    first, second = (save(draw(curves(np.array([1.0, 2, 3]))), tmp_path / f"{k}.{ending}").read_bytes() for k in "ab")
    assert first == second
    assert len(first) > 1000


def test_every_letter_of_the_quantities_renders(tmp_path: Path) -> None:
    for quantity in atlas.values():
        for p in quantity.parameters:
            label = heading(p.symbol.name, p.meaning, p.unit)
            save(draw(curves(np.array([1.0, 2, 3]), x_label=label, y_label=heading(quantity.symbol.name, "", quantity.unit))),
                 tmp_path / "figure.png")  # fmt: skip


def test_names() -> None:
    assert math_name("lambda_*") == r"\lambda_{*}"
    assert math_name("lam") == r"\lambda"
    assert heading("x") == "$x$"
    assert heading("x", "where", "1") == "$x$: where"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"alpha": 1.0, "alpha_D": 1.0}, "one or two"), ({"alpha": [[1.0]], "alpha_D": 1.0}, "one or two"),
     ({"alhpa": [1.0, 2.0]}, "no parameter")],
)  # fmt: skip
def test_wrong_parameters(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(DeriveError, match=said):
        plot(atlas["collapse-time"], **parameters)


def test_wrong_files(tmp_path: Path) -> None:
    figure = draw(curves(np.array([1.0, 2, 3])))
    with pytest.raises(DeriveError, match="not a figure file"):
        save(figure, tmp_path / "x.gif")
    with pytest.raises(DeriveError, match="cannot be written"):
        save(figure, tmp_path / "none" / "x.png")
    assert not list(tmp_path.iterdir())
