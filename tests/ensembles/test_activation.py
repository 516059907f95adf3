"""Activations: what is known of one, and what is none."""

import itertools
import math
from collections.abc import Callable

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from derive import atlas
from derive.core import DeriveError
from derive.ensembles import Activation, Gaussian, HiddenManifold
from derive.ensembles.activation import H
from derive.parse import parse_activation

SHAPES = {
    "tanh": ("odd", (), ()),
    "relu": ("", (0,), ()),
    "sign": ("odd", (0,), (0,)),
    "step": ("", (0,), (0,)),
    "abs": ("even", (0,), ()),
    "h**3/3 - h": ("odd", (), ()),
    "cos": ("even", (), ()),
    "hardtanh": ("odd", (-1, 1), ()),
    "softsign": ("odd", (0,), ()),
    "softplus": ("", (), ()),
    "sign(h^2 - 1)": ("even", (-1, 1), (-1, 1)),
    "Piecewise((h, h < 2), (5 - h, True))": ("", (2,), (2,)),
    "max(0, h) - max(0, h)/2": ("", (0,), ()),
}


@pytest.mark.parametrize(("text", "shape"), SHAPES.items())
def test_shape(text: str, shape: tuple[str, tuple[int, ...], tuple[int, ...]]) -> None:
    sigma = Activation(parse_activation(text))
    assert (sigma.parity, sigma.kinks, sigma.jumps) == shape


@pytest.mark.parametrize("text", ["tanh", "relu", "abs", "hardtanh", "erf", "gelu", "sin(2*h) + h/3", "sign(h - 1/3)",
                                  "Max(0, tanh(h) - 1/2)", "exp(h/2)", "h**3/3 - h"])
def test_moments_are_those_of_a_numerical_integral(text: str) -> None:
    sigma = Activation(parse_activation(text))
    f, kinks = sp.lambdify(H, sigma.expr, "math"), [float(k) for k in sigma.kinks]
    slopes = [sp.lambdify(H, p.expr.diff(H), "math") for p in sigma.pieces]

    def moment(g: Callable[[float], float]) -> float:
        edges = [-14.0, *kinks, 14.0]
        return math.fsum(quad(lambda y: g(y) * math.exp(-y * y / 2) / math.sqrt(2 * math.pi), a, b, epsabs=1e-13,
                              epsrel=1e-12)[0] for a, b in itertools.pairwise(edges))

    def slope(y: float) -> float:
        return slopes[sum(k < y for k in kinks)](y)

    assert float(sp.N(sigma.mean, 20)) == pytest.approx(moment(f), abs=1e-10)
    assert float(sp.N(sigma.rho, 20)) == pytest.approx(moment(lambda y: f(y) ** 2), rel=1e-10)
    if not sigma.jumps:
        assert float(sp.N(sigma.slope_square, 20)) == pytest.approx(moment(lambda y: slope(y) ** 2), rel=1e-10)


@given(knots=st.lists(st.fractions(-3, 3, max_denominator=8), min_size=1, max_size=4, unique=True),
       slopes=st.lists(st.fractions(-2, 2, max_denominator=4), min_size=5, max_size=5))
@settings(max_examples=25, deadline=None)
def test_pieces_are_the_function(knots: list, slopes: list) -> None:
    """A sum of kinks, piece by piece, is the sum of kinks; it has a kink only where a slope changes."""
    terms = [sp.Rational(s.numerator, s.denominator) * sp.Max(0, H - sp.Rational(k.numerator, k.denominator))
             for s, k in zip(slopes, knots, strict=False)]
    expr = sp.Add(H / 7, *terms)
    sigma = Activation(expr)
    for piece in sigma.pieces:
        for at in (piece.middle, piece.middle + sp.Rational(1, 50)):
            if piece.lower < at < piece.upper:
                assert piece.expr.subs(H, at) == expr.subs(H, at)
    assert set(sigma.kinks) <= {sp.Rational(k.numerator, k.denominator) for k in knots}
    assert not sigma.jumps


def test_ways_to_give_one() -> None:
    k = sp.Symbol("k")
    ways = [sp.tanh, sp.tanh(k), sp.Lambda(k, sp.tanh(k)), lambda y: sp.tanh(y), parse_activation("tanh")]
    assert {Activation(w) for w in ways} == {Activation(sp.tanh)}
    assert HiddenManifold(lambda y: y) == HiddenManifold(activation=k) == HiddenManifold()
    assert HiddenManifold(lambda y: 2 * y) != HiddenManifold()


BAD = {
    "log(h)": "not defined on the whole line: it has no value at h = 0",
    "1/h": "no value at h = 0",
    "1/(h^2 - 2)": "no value at h = 1.414",
    "1/(cosh(h) - 1)": "no value at h = 0",
    "sqrt(h)": "complex values",
    "acos": "complex values",
    "tan": "no value at h = ",
    "gamma": "not defined",
    "3": "constant",
    "sin(h)^2 + cos(h)^2": "constant",
    "exp(h^2)": "diverges",
    "exp(exp(h))": "diverges",
    "exp(h^2/4)": "diverges",
}


@pytest.mark.parametrize(("text", "words"), BAD.items())
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(DeriveError, match="activation") as caught:
        Activation(parse_activation(text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given_", "words"), [
    (sp.Symbol("a") * H, "the free symbol a is left over"),
    (sp.I * H, "complex values"),
    ("tanh", "is text"),
    (lambda y: y[0], "fails on a symbol"),
    (lambda y: None, "returns NoneType"),
    (lambda a, b: a, "fails on a symbol"),
    (sp.Function("f")(H), "not a known function"),
    (sp.floor(H), "infinitely many jumps"),
    (10**12 * (sp.sin(H)**2 + sp.cos(H)**2), "is constant (1.0e+12)"),  # but for rounding
    ([1], "list is not a function"),
])
def test_what_python_may_not_give(given_: object, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        HiddenManifold(given_)
    assert words in str(caught.value)


@pytest.mark.parametrize(("text", "near"), [("tanhh", "tanh"), ("rellu", "relu"), ("tanh(a*h)", None), ("x", None)])
def test_undefined_names(text: str, near: str | None) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_activation(text)
    assert caught.value.nearest == near


def test_growth_decides_over_the_cumulant() -> None:
    for fine in ("tanh", "relu", "h + sin(h)", "softplus", "h*log(1 + h^2)"):
        Activation(parse_activation(fine)).require_cumulant()
    for divergent in ("h^2", "h**3/3 - h", "h*abs(h)", "exp(h)", "max(0, h)^2"):
        with pytest.raises(DeriveError, match="diverges for every lambda"):
            Activation(parse_activation(divergent)).require_cumulant()


def test_an_activation_is_for_the_manifold_only() -> None:
    capacity = atlas["retrieval-capacity"]
    with pytest.raises(DeriveError, match="belongs to the hidden manifold"):
        capacity.with_(ensemble=Gaussian(), activation=sp.tanh)
    assert capacity.with_(activation=lambda y: y).ensemble == HiddenManifold()
