"""What the printer makes of expressions: values, logarithms, slopes, refusals."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from numpy.testing import assert_allclose
from sympy import Function, Integral, Rational, Symbol, cosh, exp, log, sqrt, tanh

from derive.core import DeriveError
from derive.nodes import (
    Atoms,
    Density,
    LogAverageExp,
    MPResponse,
    TiltedAverage,
    log_cosh,
    log_erfc,
    log_sum_exp,
    softplus,
)
from derive.nodes.mp_eval import compile_mp
from derive.solvers import runtime
from derive.solvers.averages import complete_square, kinks
from derive.solvers.bundle import bundle
from derive.solvers.lowering import Code, Lowering, identifier

T = Symbol("t", positive=True)
A = Symbol("a", positive=True)
X = Symbol("x", real=True)
XI = Symbol("xi", real=True)


def run(e: sp.Expr, what: str = "value", hot: tuple[Symbol, ...] = (T,), **values: float) -> tuple[float, str]:
    """The generated code of an expression (its value, logarithm, slope) at a point, and its text."""
    code = Code({s: s.name for s in e.free_symbols | {T}}, frozenset(hot))
    low = Lowering(code)
    low.prepare(e)
    out = low.log(e) if what == "log" else low.value(e)
    if what == "slope":
        out = low.slope(out, "t")
    name = low.write("f", [out])
    from derive.nodes import quadrature

    laws = {n: getattr(quadrature, n) for n in quadrature.__all__}
    namespace = {"np": np, "special": __import__("scipy.special").special, **vars(runtime), **laws}
    source = code.source()
    exec(source, namespace)
    arguments = [a.strip() for a in code.functions[name].split(")", 1)[0].strip("(").split(",") if a.strip()]
    known = {"t": np.exp(values["log_t"]) if "log_t" in values else np.nan, **values}
    with np.errstate(all="ignore"):
        return float(np.asarray(namespace[name](*(np.asarray(known[a]) for a in arguments)))), source


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (log(1 + A / T), 1e5 + np.log(2.0)),
        (log(1 + T / A), 0.0),
        (T * exp(A) * (1 / T), np.exp(2.0)),
        (log(T**2 + A * T), -1e5 + np.log(2.0)),
        (log(MPResponse(1 / T, A)), np.log(0.5)),
        (log(1 + MPResponse(1 / T, A) / T), 1e5 - np.log(2.0)),
        (A * (1 - MPResponse(1 / T, A)), 1.0),
        (T * log(1 + 1 / T), 0.0),
        (log(1 + T) / T, 1.0),
        (T / (A + T), 0.0),
        (A / (A + T), 1.0),
        (sqrt(T) * T ** Rational(-1, 2) * A, 2.0),
    ],
)
def test_nothing_overflows_far_out(e: sp.Expr, expected: float) -> None:
    """At t = exp(-1e5), a = 2."""
    value, _ = run(e, log_t=-1e5, a=2.0)
    assert value == pytest.approx(expected, rel=1e-15, abs=1e-300)


def test_logarithms_of_values_below_the_doubles() -> None:
    assert run(T / (1 + A * T), "log", log_t=-1e5, a=2.0)[0] == -1e5
    assert run(T**2 * A, "log", log_t=-1e5, a=2.0)[0] == pytest.approx(-2e5 + np.log(2.0), rel=1e-16)
    assert run(1 / (exp(A) - 1), "log", a=1000.0)[0] == -1000.0
    assert run(T - T**2, "log", log_t=-1e4)[0] == pytest.approx(-1e4)


EXPRESSIONS = [
    log(1 + A / T) - A * log(T),
    T * log(1 + A * T) / (1 + T),
    log(MPResponse(1 / T, A)) * T,
    MPResponse(1 / T, A),
    A * (1 - MPResponse(1 / T, A)),
    log(1 + MPResponse(1 / T, A) / T),
    log_cosh(T * A),
    tanh(T) - log_cosh(T),
    exp(-T) * T,
    sqrt(1 + T**2),
    log_erfc(A / T),
    softplus(T - A),
    log(cosh(T)),
    sp.atan(T) + T**A,
    log(T + A * T**2),
    log(1 - exp(-T)),
    sp.erf(T) - sp.erfc(A * T),
    log(log(1 + T)),
    sp.sin(T) * sp.cos(A * T),
    1 / (exp(T) - 1),
    T**2 / (A + T) ** 3,
    log_sum_exp(T, A, T * A),
    exp(T) - 1,
]


@pytest.mark.parametrize("e", EXPRESSIONS, ids=str)
@settings(max_examples=6)
@given(st.floats(-4, 3), st.floats(0.1, 5))
def test_values_and_slopes_agree_with_sympy(e: sp.Expr, log_t: float, a: float) -> None:
    exactly = {T: mpmath.exp(mpmath.mpf(log_t)), A: mpmath.mpf(a)}

    def at(f: sp.Expr) -> float:
        with mp.workdps(40):
            return float(compile_mp(f, (T, A))(exactly[T], exactly[A]))

    exact = at(e)
    assert run(e, log_t=log_t, a=a)[0] == pytest.approx(exact, rel=1e-12, abs=1e-13)
    slope = at(T * e.diff(T))
    assert run(e, "slope", log_t=log_t, a=a)[0] == pytest.approx(slope, rel=1e-9, abs=1e-12)
    if exact > 1e-6 and e.is_positive:
        assert run(e, "log", log_t=log_t, a=a)[0] == pytest.approx(np.log(exact), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    "e",
    [
        Integral(X, (X, 0, A)),
        Function("f")(A),
        sp.zeta(A),
        sp.besselj(0, A),
        sp.Derivative(Function("g")(A), A),
        sp.Sum(A, (X, 1, 3)),
        A * sp.I,
        sp.Subs(sp.Derivative(Function("h")(X), X), X, A),
    ],
)
def test_what_is_not_in_the_list_is_refused_by_name(e: sp.Expr) -> None:
    with pytest.raises(DeriveError) as caught:
        run(e, a=1.0)
    assert "\n" not in str(caught.value)


def test_refusal_names_the_class() -> None:
    with pytest.raises(DeriveError, match="besselj"):
        run(1 + sp.besselj(0, A), a=1.0)


def test_a_symbol_that_nobody_gives() -> None:
    low = Lowering(Code({}, frozenset()))
    with pytest.raises(DeriveError, match="neither a parameter nor an unknown"):
        low.value(A + 1)


@pytest.mark.parametrize(
    "name", ["lambda", "np", "class", "x'", "3", "log_t", "_private", "print", "λ", "u", "unknown", ""]
)
def test_identifiers_are_safe(name: str) -> None:
    made = identifier(name, {"x_"})
    assert made.isidentifier()
    assert made not in {"np", "lambda", "class", "print", "u", "unknown", "x_"}
    assert not made.startswith("log_")


def test_equal_parts_are_computed_once() -> None:
    V = MPResponse(1 / T, A)
    _, source = run(log(1 + V / T) - A * log(V) - A * (1 - V), log_t=0.0, a=2.0)
    assert source.count("mp_information(") == 1
    assert "mp_response" not in source
    _, source = run(A * log(V) + V / (1 + V) + log(V) * V, log_t=0.0, a=2.0)
    assert source.count("mp_response(") == 1


def test_constants_are_rounded_once() -> None:
    _, source = run(A * Rational(1, 3) * sp.pi, a=1.0)
    assert "1.0471975511965979" in source or ("3.141592653589793" in source and "0.3333333333333333" in source)


def test_pieces_are_lazy() -> None:
    e = sp.Piecewise((log(X), X > 1), (1 / (2 - X), X < 1), (0, True))
    for x, expected in ((2.0, np.log(2.0)), (1.0, 0.0), (0.5, 1 / 1.5)):
        with np.errstate(all="raise"):
            assert run(e, x=x)[0] == expected


def test_the_square_is_completed() -> None:
    y, b = Symbol("y", real=True), Symbol("b", positive=True)
    u = Symbol("u", real=True)
    written, centre, width = complete_square(-b * (y - X) ** 2 / 2 + X * A + sp.Abs(X), X)
    assert sp.simplify(centre - (y + A / b)) == 0
    assert width == 1 / b
    back = written.subs(u, (X - centre) / sqrt(width))
    assert sp.simplify(sp.expand(back - (-b * (y - X) ** 2 / 2 + X * A + sp.Abs(X)))) == 0
    assert complete_square(A * X + X**3, X) is None


def test_kinks_are_found() -> None:
    assert kinks(sp.Abs(X - 1) + sp.Piecewise((1, X**2 < 2), (0, True)), X) == pytest.approx((-(2**0.5), 1.0, 2**0.5))


@settings(max_examples=8)
@given(st.floats(-20, 20), st.floats(-15, 15))
def test_log_average_with_a_narrow_kernel(y: float, log_t: float) -> None:
    """log E exp(-(y - xi)^2 / 2t) over a normal density, exactly known."""
    Y = Symbol("y", real=True)
    law = Density(exp(-(XI**2) / 2) / sqrt(2 * sp.pi), XI)
    got, _ = run(LogAverageExp(-((Y - XI) ** 2) / (2 * T), XI, law), log_t=log_t, y=y)
    t = np.exp(log_t)
    assert got == pytest.approx(-0.5 * np.log1p(1 / t) - y**2 / (2 * (1 + t)), rel=1e-11, abs=1e-11)


def test_tilted_averages_share_one_pass() -> None:
    law = Density(exp(-(XI**2) / 2) / sqrt(2 * sp.pi), XI)
    e = TiltedAverage(XI**2, A * XI, XI, law) - TiltedAverage(XI, A * XI, XI, law) ** 2
    value, source = run(e, a=1.5)
    assert value == pytest.approx(1.0, rel=1e-11)
    assert source.count(".tilted(") == 1


def test_atoms_with_parameters() -> None:
    law = Atoms([A, -A], [Rational(1, 2), Rational(1, 2)])
    e = LogAverageExp(X * XI, XI, law)
    assert run(e, a=2.0, x=3.0)[0] == pytest.approx(6.0 - np.log(2.0), rel=1e-5)
    assert run(TiltedAverage(XI, X * XI, XI, law), a=2.0, x=0.3)[0] == pytest.approx(2 * np.tanh(0.6), rel=1e-14)


def test_a_density_with_parameters_is_refused() -> None:
    law = Density(A * exp(-A * XI), XI, 0)
    with pytest.raises(DeriveError, match="depends on a"):
        run(LogAverageExp(-T * XI, XI, law), log_t=0.0, a=1.0)


def test_the_bundle_takes_what_is_needed_and_no_more() -> None:
    imports, text = bundle({"log_subtract"}, runtime)
    assert_allclose(imports.count("import numpy as np"), 1)
    assert "def log1mexp" in text
    assert "def mp_response" not in text
    with pytest.raises(KeyError):
        bundle({"nowhere"}, runtime)
