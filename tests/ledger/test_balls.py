"""Enclosures: every node has one, and it holds the value of another route."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from typing import Any

import mpmath
import pytest
import sympy as sp
from flint import acb, arb
from hypothesis import given
from hypothesis import strategies as st
from sympy import Basic, Expr, Integer, Interval, Rational, S, Symbol, cosh, exp, log, oo, pi, sqrt, tanh

import derive.nodes
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.tails import Term, merged
from derive.ledger.trapezoidal import line_integral, mean, wide_strip
from derive.nodes import (
    ArgExtremum,
    Atoms,
    Density,
    Extremum,
    GaussianAverage,
    LogAverageExp,
    MarchenkoPastur,
    MeasureAverage,
    MPResponse,
    Noisy,
    Normal,
    SpectralAverage,
    TiltedAverage,
    erfcx,
    log1mexp,
    log_cosh,
    log_erfc,
    log_erfc_drop,
    log_sum_exp,
    softplus,
)
from derive.nodes.mp_eval import evaluate
from derive.nodes.replica_matrix import OverlapMatrix

X, Y, B = Symbol("x", real=True), Symbol("y", real=True), Symbol("b", positive=True)
N = Symbol("n")
COIN = Atoms([-1, 1], [Rational(1, 4), Rational(3, 4)])
SEMICIRCLE = Density(sqrt(4 - X**2) / (2 * pi), X, -2, 2)
DICE = Atoms([-2, -1, 0, 1, 2], [Rational(k, 12) for k in (1, 2, 4, 3, 2)])
ARCSINE = Density(1 / (pi * sqrt(X * (1 - X))), X, 0, 1)
HALF = {B: Rational(1, 2), Y: Rational(2, 3)}

#: what encloses each node class; a class that is not here fails below
EXAMPLES: dict[str, list[Any]] = {
    "GaussianAverage": [GaussianAverage(log_cosh(X + Y), X), GaussianAverage(tanh(X) ** 2 * sp.Abs(X), X),
                        GaussianAverage(exp(-B * X**2) / (1 + X**2), X)],
    "MeasureAverage": [MeasureAverage(X**2, X, COIN), MeasureAverage(exp(B * X), X, SEMICIRCLE),
                       MeasureAverage(log_cosh(X), X, Noisy(COIN, B)),
                       *(MeasureAverage(log_cosh(X) + tanh(X + Y) ** 2, X, Noisy(DICE, k)) for k in (B, B / 10**4))],
    "SpectralAverage": [SpectralAverage(log(1 + B * X), X, MarchenkoPastur(Rational(3, 2))),
                        SpectralAverage(X / (B + X), X, MarchenkoPastur(Rational(1, 3))),
                        SpectralAverage(1 / (B + X), X, MarchenkoPastur(S.One)),
                        SpectralAverage(sqrt(X), X, MarchenkoPastur(Rational(3, 2))),
                        SpectralAverage(X**2, X, SEMICIRCLE)],
    "LogAverageExp": [LogAverageExp(B * X * Y, X, COIN), LogAverageExp(-B * X**2, X, Normal())],
    "TiltedAverage": [TiltedAverage(X, B * X * Y, X, COIN), TiltedAverage(X, B * X - X**4, X, Normal())],
    "Extremum": [Extremum(B * X - X**4, X, Interval(-1, 1), "max"), Extremum(Y * X - sp.cosh(X), X, Interval(-oo, oo),
                                                                                "max"),
                 Extremum(X**2 + exp(X), X, Interval(-oo, oo), "extr"), Extremum(X**2 + exp(X), X, Interval(-3, 3),
                                                                                 "min")],
    "ArgExtremum": [ArgExtremum(Y * X - sp.cosh(X), X, Interval(-oo, oo), "max"),
                    ArgExtremum(sp.sin(X), X, Interval(0, 3), "max")],
    "log_cosh": [log_cosh(Y)], "log_erfc": [log_erfc(Y)], "log_erfc_drop": [log_erfc_drop(Y, Y + 1)],
    "erfcx": [erfcx(Y)], "log1mexp": [log1mexp(Y)], "softplus": [softplus(Y)], "log_sum_exp": [log_sum_exp(Y, B, 0)],
    "MPResponse": [MPResponse(B, Rational(1, 3)), MPResponse(B, Rational(3))],
    # laws have no value of their own: an average over each
    "Normal": [MeasureAverage(sp.cos(X), X, Normal())], "Atoms": [MeasureAverage(sp.cos(X), X, COIN)],
    "Density": [MeasureAverage(sp.cos(X), X, ARCSINE)], "Noisy": [MeasureAverage(sp.cos(X), X, Noisy(COIN, B))],
    "MarchenkoPastur": [SpectralAverage(X**3, X, MarchenkoPastur(B))],
    # a matrix whose size is a symbol has no ball: what is asked of it are traces and determinants
    "OverlapMatrix": [sp.Determinant(OverlapMatrix.symmetric(N, 2, B)), sp.Trace(OverlapMatrix.symmetric(N, 2, B)),
                      sp.Determinant(OverlapMatrix.one_step(N, 2, 2, B, B / 2, Rational(1, 3)))],
}
#: classes that others are made from, and a symbol
ABSTRACT = {"Average", "Binder", "Law", "BoundSymbol"}


def node_classes() -> dict[str, type]:
    """Every class of derive.nodes that is an expression, a matrix or a law; private bases apart."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(derive.nodes.__path__):
        members = vars(importlib.import_module(f"derive.nodes.{module.name}"))
        for name, member in members.items():
            own = inspect.isclass(member) and member.__module__ == f"derive.nodes.{module.name}"
            if own and issubclass(member, Basic) and not name.startswith("_"):
                found[name] = member
    return found


def test_no_node_is_without_an_enclosure() -> None:
    assert set(node_classes()) - ABSTRACT == set(EXAMPLES)
    for name, examples in EXAMPLES.items():
        assert all(any(type(e).__name__ == name for e in sp.preorder_traversal(k)) for k in examples), name


CASES = [(f"{name}-{k}", e) for name, examples in EXAMPLES.items() for k, e in enumerate(examples)]


@pytest.mark.parametrize(("label", "expr"), CASES, ids=[label for label, _ in CASES])
def test_the_ball_holds_the_value_of_the_mpmath_route(label: str, expr: Any) -> None:
    values = {**HALF, N: sp.Integer(4)}
    known = {s: v for s, v in values.items() if s in expr.free_symbols}
    ball = enclose(expr, known, 160)
    assert isinstance(ball, arb)
    assert ball.rel_accuracy_bits() > 70, ball
    other = reference(expr) if expr.has(OverlapMatrix) else mpmath.nstr(evaluate(expr, known, digits=25), 30)
    assert ball.overlaps(arb(str(other), f"{abs(float(other)) + 1:.3g}e-24")), (ball, other)


def reference(expr: Any) -> Any:
    """Determinant or trace of the matrix for four replicas, written out."""
    matrix = expr.args[0].subs(B, HALF[B]).explicit(4, int(expr.args[0].p))
    return sp.N(matrix.det() if isinstance(expr, sp.Determinant) else matrix.trace(), 40)


# ---- tails


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(-6, 6), st.sampled_from([0, -1, -2])),
                min_size=1, max_size=12), st.integers(1, 40))
def test_terms_of_one_power_are_bounded_by_one(given_terms: list[tuple[int, ...]], at: int) -> None:
    terms = [Term(arb(a), power, arb(b) / 3, arb(c) / 2) for a, power, b, c in given_terms]

    def value(many: list[Term]) -> arb:
        return sum((t.size * arb(at) ** t.power * (t.linear * at + t.quadratic * at**2).exp() for t in many), arb(0))

    fewer = merged(terms)
    assert len({(t.power, float(t.quadratic)) for t in fewer}) == len(fewer)
    with precision(200):
        assert not value(fewer) < value(terms)


# ---- branch cuts: what is integrated must not be taken for analytic across one


@pytest.mark.parametrize(
    ("f", "box"),
    [(sp.asin(X), (2, 0)), (sp.acos(X), (-2, 0)), (sp.atanh(X), (2, 0)), (sp.acosh(X), (0, 0)), (sp.atan(X), (0, 2)),
     (sp.asinh(X), (0, 2)), (sp.loggamma(X), (-0.25, 0)), (sp.LambertW(X), (-2, 0)), (sp.polylog(2, X), (2, 0)),
     (log(X), (-1, 0)), (sqrt(X), (-1, 0))],
    ids=lambda v: str(v),
)
def test_a_ball_across_a_cut_is_not_finite(f: Any, box: tuple[float, float]) -> None:
    from derive.ledger.balls import Evaluator

    with precision(64):
        around = acb(arb(box[0], 0.01), arb(box[1], 0.01))
        clear = around + acb(0, 1) if box[1] == 0 else around + acb(1, 0)
        assert not Evaluator({X: around}, True, 64, principal=True)(f).is_finite()
        assert Evaluator({X: clear}, True, 64, principal=True)(f).is_finite()


# ---- the trapezoidal rule


@given(st.floats(1.01, 50))
def test_the_mean_over_a_period(a: float) -> None:
    """The mean of 1/(a + cos phi) is 1/sqrt(a^2 - 1); the poles come close as a -> 1."""
    def wave(z: acb) -> acb:
        return 1 / (a + z.cos())

    with precision(160):
        strip = wide_strip(wave, wave, 100)
        assert strip is not None
        found = mean(wave, strip, 100)
        assert found is not None
        assert found.overlaps(1 / (arb(a) ** 2 - 1).sqrt())
        assert found.rel_accuracy_bits() > 60
        assert strip[0] < math.acosh(a)  # the pole is not in the strip


@given(st.floats(0.2, 5))
def test_the_integral_along_the_line(c: float) -> None:
    """Of exp(-x^2)/(x^2 + c^2), which is pi erfc(c) exp(c^2)/c; the pole is at i c."""
    def g(z: acb) -> acb:
        return (-z * z).exp() / (z * z + arb(c) ** 2)

    with precision(160):
        found = line_integral(g, 9, 90)
        assert found is not None
        exact = arb.pi() * arb(c).erfc() * (arb(c) ** 2).exp() / c
        assert (found + arb(0, arb(2) ** -100)).overlaps(exact)
        assert found.rel_accuracy_bits() > 60


def test_what_has_not_decayed_or_is_not_analytic_is_left_to_others() -> None:
    assert line_integral(lambda z: 1 / (1 + z * z), 9, 60) is None
    assert line_integral(lambda z: (-z * z).exp() * z.sqrt(analytic=True), 9, 60) is None
    assert wide_strip(lambda z: z.cos().sqrt(analytic=True), lambda z: z.cos().sqrt(analytic=True), 60) is None


def test_a_logarithm_whose_argument_vanishes_beyond_the_support() -> None:
    """On both sides, so that its argument winds in the ellipse."""
    kind = SpectralAverage(log(1 + B * X - X**2 / 40), X, MarchenkoPastur(Rational(1, 2)))
    ball = enclose(kind, {B: S.One}, 140)
    assert ball.overlaps(arb(mpmath.nstr(evaluate(kind, {B: S.One}, digits=25), 30), "1e-24"))


def test_no_enclosure_is_said_with_its_reason() -> None:
    with pytest.raises(NotEnclosed, match="one zero is not shown"):
        enclose(ArgExtremum(X**4 - X**2, X, Interval(-oo, oo), "min"))  # two of them
    with pytest.raises(NotEnclosed, match="inside its interval"):
        enclose(ArgExtremum(-exp(X) - X**2, X, Interval(1, oo), "max"))
    with pytest.raises(NotEnclosed, match="closed form"):
        enclose(sp.Derivative(sp.Function("f")(X), X), {X: S.One})


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 12, -1, -5])
def test_integer_powers(n: int) -> None:
    """Of balls about zero too, whose power is not finite in python-flint."""
    from derive.ledger.ball_functions import integer_power

    assert integer_power(arb(3), n).overlaps(arb(3) ** n)
    if n >= 0:
        about_zero = integer_power(arb(0, 0.5), n)
        assert about_zero.is_finite()
        assert all(about_zero.contains(arb(x) ** n) for x in (-0.5, -0.25, 0.5))


@pytest.mark.parametrize("slope", [Rational(1, 2), Integer(3), Integer(30)])
def test_the_logarithm_of_a_hyperbolic_cosine_is_averaged_however_it_is_written(slope: Expr) -> None:
    z = Symbol("z", real=True)
    plain = enclose(GaussianAverage(log(2 * cosh(slope * z)), z), {}, 96)
    assert (plain - enclose(GaussianAverage(log_cosh(slope * z), z), {}, 96) - arb(2).log()).contains(0)
    assert plain.rad() < arb(10) ** -12
