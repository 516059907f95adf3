"""Nodes read as in the papers."""

import pytest
from sympy import (
    Function,
    Interval,
    Rational,
    Symbol,
    cos,
    exp,
    latex,
    log,
    oo,
    pretty,
    srepr,
    sstr,
    tanh,
)

from derive.nodes import (
    Atoms,
    Density,
    Extremum,
    GaussianAverage,
    LogAverageExp,
    MarchenkoPastur,
    MeasureAverage,
    SpectralAverage,
    TiltedAverage,
    log_cosh,
)

v, h = Symbol("v", real=True), Symbol("h", real=True)
w = Symbol("w", real=True)
b, alpha = Symbol("b", positive=True), Symbol("alpha", positive=True)
COIN = Atoms([-1, 1], [Rational(1, 2)] * 2)
f = Function("f")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (GaussianAverage(log_cosh(h * v), v), r"\int Dx\, \log \cosh\left(h x\right)"),
        (GaussianAverage(cos(h * v + w), v, w), r"\int Dx\,Dy\, \cos{\left(h x + y \right)}"),
        (GaussianAverage(tanh(v) + h * v, v), r"\int Dx\, \left[h x + \tanh{\left(x \right)}\right]"),
        (
            SpectralAverage(log(1 + b * v), v, MarchenkoPastur(alpha)),
            r"\left\langle \log{\left(b c + 1 \right)} \right\rangle_{c}",
        ),
        (MeasureAverage(v**2, v, COIN), r"\mathbb{E}_{\xi}\left[\xi^{2}\right]"),
        (LogAverageExp(h * v, v, COIN), r"\log \mathbb{E}_{\xi} e^{h \xi}"),
        (TiltedAverage(v, h * v, v, COIN), r"\left\langle \xi \right\rangle_{\xi \sim e^{h \xi}}"),
        (Extremum(h * v - v**2, v, Interval(-oo, oo), "extr"), r"\operatorname*{extr}_{m} \left[h m - m^{2}\right]"),
    ],
)
def test_latex(node, text):
    assert latex(node) == text


def test_a_free_name_is_not_used_again():
    x = Symbol("x", real=True)
    assert latex(GaussianAverage(f(x * v), v)) == r"\int Dy\, f{\left(x y \right)}"
    assert sstr(GaussianAverage(f(x * v), v)) == "GaussianAverage(f(x*y), y)"


def test_nested_names_differ_where_it_matters():
    node = GaussianAverage(v * GaussianAverage(f(v * w), w), v)
    assert sstr(node).replace("(GaussianAverage(f(x*y), y))", "GaussianAverage(f(x*y), y)") == (
        "GaussianAverage(x*GaussianAverage(f(x*y), y), x)"
    )


def test_an_average_is_bracketed_where_it_would_swallow_its_neighbour():
    node = GaussianAverage(f(v), v)
    assert latex(h * node) == r"h \left(\int Dx\, f{\left(x \right)}\right)"
    assert latex(node**2).startswith(r"\left(\int Dx")


def test_every_other_printer_answers():
    law = Density(exp(-v), v, 0, oo)
    for node in (
        GaussianAverage(f(v), v),
        MeasureAverage(f(v), v, law),
        SpectralAverage(f(v), v, MarchenkoPastur(alpha)),
    ):
        assert "f(" in pretty(node)
        assert "BoundSymbol" in srepr(node)
    assert r"\mathrm{MP}" in latex(MarchenkoPastur(alpha))
    assert r"\delta" in latex(COIN)
    assert r"\in" in latex(law)
