"""Evaluation to many digits against closed forms, which are evaluated at more digits than are compared."""

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import pytest
import sympy as sp
from mpmath import mpf

from derive.core import DeriveError
from derive.nodes import (
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
    log_sum_exp,
    softplus,
)
from derive.nodes.mp_eval import compile_mp, evaluate

x, y, h, xi, u, c = sp.symbols("x y h xi u c", real=True)
s, r, b = sp.symbols("s r b", positive=True)

HALF = sp.Rational(1, 2)
UNIFORM = Density(HALF, xi, -1, 1)
TRIANGLE = Density(1 - sp.Abs(xi), xi, -1, 1)
ARCSINE = Density(1 / (sp.pi * sp.sqrt(1 - xi**2)), xi, -1, 1)
GAUSSIAN = Density(sp.exp(-(xi**2) / 2) / sp.sqrt(2 * sp.pi), xi)
LAPLACE = Density(sp.exp(-sp.Abs(xi)) / 2, xi)
QUARTIC = Density(sp.exp(-(xi**4)) / (2 * sp.gamma(sp.Rational(5, 4))), xi)
CAUCHY = Density(1 / (sp.pi * (1 + xi**2)), xi)
EXPONENTIAL = Density(sp.exp(-xi), xi, 0)
COIN = Atoms([-1, 1], [HALF, HALF])


def agrees(expr: sp.Expr, values: Mapping[sp.Symbol, Any], expected: Callable[[], Any], digits: int = 50) -> None:
    """The value and the expectation are the same to one unit in the last of so many digits."""
    with mpmath.workdps(digits):
        value = compile_mp(expr, tuple(values))(*values.values())
    with mpmath.workdps(2 * digits + 30):
        exact = expected()
        assert abs(value - exact) <= abs(exact) * mpf(10) ** (1 - digits), mpmath.nstr(value - exact, 5)


def big(text: Any) -> mpf:
    """A number read at the current precision."""
    top, _, bottom = str(text).partition("/")
    return mpf(top) / mpf(bottom or 1)


# -- expressions ---------------------------------------------------------------------------------------------------

ELEMENTARY = [
    sp.exp(x) * sp.log(y) / sp.sqrt(x + y) + sp.pi - sp.E,
    sp.sin(x) + sp.cos(y) * sp.tan(x / y) + sp.sinh(x) - sp.cosh(y) / sp.tanh(x) + sp.asinh(x) * sp.atan2(y, x),
    sp.erf(x) + sp.erfc(y) + sp.gamma(y) + sp.loggamma(x) + sp.polygamma(1, x) + sp.zeta(y),
    sp.Abs(x - y) + sp.Max(x, y, 2) - sp.Min(x, y) + sp.sign(x - y) + sp.Heaviside(x - y) + sp.floor(10 * x),
    sp.Piecewise((x, x > y), (y**2, x + y > 1), (0, True)) + sp.Piecewise((1 / (x - y), sp.Ne(x, y)), (0, True)),
    sp.LambertW(x) + sp.polylog(2, x / 3) + sp.besseli(0, y) + sp.expint(1, y) + sp.Ei(x) + sp.EulerGamma,
    x**y + x ** sp.Rational(1, 3) + y ** -HALF + sp.Rational(1, 3) * x**-3 + sp.Float("0.1", 60) * x,
    sp.elliptic_k(x / 2) + sp.uppergamma(y, x) + sp.fresnels(x) + sp.airyai(x),
]


@pytest.mark.parametrize("expr", ELEMENTARY)
def test_elementary(expr: sp.Expr) -> None:
    values = {x: sp.Rational(5, 7), y: sp.Rational(13, 11)}
    agrees(expr, values, lambda: expr.subs(values).evalf(140)._to_mpmath(460))


@pytest.mark.parametrize("f", [log_cosh(x), log_erfc(x), log1mexp(x), softplus(x), erfcx(x), log_sum_exp(x, 2 * x, -x)])
@pytest.mark.parametrize("at", ["1e-30", "0.3", "17", "4e8"])
def test_safe_functions(f: sp.Expr, at: str) -> None:
    def exact() -> Any:
        with mpmath.workdps(700 if at != "4e8" else 60):
            return compile_mp(f.rewrite(sp.log).rewrite(sp.erfc), (x,))(big(at))

    if at == "4e8" and f.has(erfcx, log_erfc, log1mexp):
        agrees(f, {x: at}, lambda: compile_mp(f, (x,))(big(at)))  # the elementary form has no value there
    else:
        agrees(f, {x: at}, exact)


def test_response() -> None:
    def exact() -> Any:
        value = compile_mp(MPResponse(b, r), (b, r))(big("1e-40"), big("0.3"))
        assert abs(MPResponse.polynomial(value, big("1e-40"), big("0.3"))) < mpf(10) ** -100
        return value

    agrees(MPResponse(b, r), {b: "1e-40", r: "0.3"}, exact)


def test_complex_values() -> None:
    with mpmath.workdps(30):
        assert abs(compile_mp(sp.sqrt(x), (x,))(-4) - mpmath.mpc(0, 2)) < mpf(10) ** -30
        value = compile_mp(GaussianAverage(sp.exp(sp.I * h * x), x), (h,))(2)
        assert abs(value - mpmath.exp(-2)) < mpf(10) ** -29


def test_wrong_use() -> None:
    with pytest.raises(DeriveError, match="value of y"):
        compile_mp(x + y, (x,))
    with pytest.raises(DeriveError, match="no value"):
        compile_mp(sp.Function("f")(x), (x,))
    with pytest.raises(TypeError, match="2 values"):
        compile_mp(x + y, (x, y))(1)


def test_a_case_that_does_not_hold_is_not_computed() -> None:
    """The other case has no value there, inside an average too."""
    expr = GaussianAverage(x**2 * sp.Piecewise((1 / h, h > 0), (7, True)), x)
    assert compile_mp(expr, (h,))(0) == 7


# -- Gaussian averages ---------------------------------------------------------------------------------------------


def test_gaussian_exponential() -> None:
    for value in (3, 100):
        agrees(GaussianAverage(sp.exp(h * x), x), {h: value}, lambda v=value: mpmath.exp(mpf(v) ** 2 / 2))


def test_gaussian_kinks_and_jumps() -> None:
    def folded() -> Any:
        m = mpf(1) / 3
        return mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-m * m / 2) + m * mpmath.erf(m / mpmath.sqrt(2))

    agrees(GaussianAverage(sp.Abs(x - h), x), {h: "1/3"}, folded)
    agrees(GaussianAverage(sp.Max(x, 0) ** 2, x), {}, lambda: mpf(1) / 2)
    agrees(GaussianAverage(sp.Heaviside(x - h), x), {h: 2}, lambda: mpmath.erfc(mpmath.sqrt(2)) / 2)
    quartic = GaussianAverage(sp.Abs(x**3 - 3 * x), x)  # kinks at 0 and +-sqrt(3), which have to be looked for
    agrees(quartic, {}, lambda: (8 * mpmath.exp(-mpf(3) / 2) + 2) / mpmath.sqrt(2 * mpmath.pi))
    case = GaussianAverage(sp.Piecewise((x, x > 1), (0, True)), x)
    agrees(case, {}, lambda: mpmath.exp(-mpf(1) / 2) / mpmath.sqrt(2 * mpmath.pi))


def test_gaussian_log_cosh() -> None:
    def series() -> Any:  # E|kx| - log 2 + E log(1 + exp(-2k|x|)), an alternating series summed to its limit
        k = mpf(100)
        rest = mpmath.nsum(lambda n: (-1) ** (int(n) - 1) / n * _mills(2 * k * n / mpmath.sqrt(2)), [1, mpmath.inf],
                           method="alternating")
        return k * mpmath.sqrt(2 / mpmath.pi) - mpmath.log(2) + rest

    agrees(GaussianAverage(log_cosh(h * x), x), {h: 100}, series)


def _mills(z: mpf) -> mpf:
    return mpmath.exp(z * z) * mpmath.erfc(z)


def test_gaussian_of_two_variables() -> None:
    joint = GaussianAverage(sp.log(1 + (3 * x + 4 * y) ** 2), x, y)
    single = GaussianAverage(sp.log(1 + 25 * x**2), x)
    with mpmath.workdps(20):
        assert abs(compile_mp(joint)() - compile_mp(single)()) < mpf(10) ** -19


# -- laws ----------------------------------------------------------------------------------------------------------

MOMENTS = [
    (xi**2, UNIFORM, "1/3"), (sp.Abs(xi - HALF), UNIFORM, "5/8"), (xi**2, ARCSINE, "1/2"), (xi**4, TRIANGLE, "1/15"),
    (xi, Density(xi ** -sp.Rational(9, 10) / 10, xi, 0, 1), "1/11"), (xi**4, GAUSSIAN, "3"), (xi**4, LAPLACE, "24"),
    (xi**5, EXPONENTIAL, "120"), (xi**2, Noisy(UNIFORM, s), "7/12"), (xi**4, Noisy(COIN, s), "43/16"),
    (xi**4, Noisy(Normal(), s), "75/16"), (xi**2, Noisy(LAPLACE, s), "9/4"), (xi**4, COIN, "1"), (xi**4, Normal(), "3"),
]


@pytest.mark.parametrize(("body", "law", "expected"), MOMENTS)
def test_moments(body: sp.Expr, law: Any, expected: str) -> None:
    digits = 20 if law == Noisy(LAPLACE, s) else 50  # a kink inside every kernel takes its time
    agrees(MeasureAverage(body, xi, law), {s: "1/4"}, lambda: big(expected), digits)


def test_heavy_tails() -> None:
    agrees(MeasureAverage(sp.log(1 + xi**2), xi, CAUCHY), {}, lambda: 2 * mpmath.log(2))
    with pytest.raises(DeriveError, match="diverges"):
        compile_mp(MeasureAverage(sp.Abs(xi), xi, CAUCHY))()


def test_parameters_of_a_density() -> None:
    law = Density(sp.exp(-xi / s) / s, xi, 0)
    agrees(MeasureAverage(xi**2, xi, law), {s: "1e-20"}, lambda: 2 * mpf("1e-40"))
    far = Density(sp.exp(-((xi - h) ** 2) / (2 * s**2)) / sp.sqrt(2 * sp.pi) / s, xi)
    agrees(MeasureAverage(xi**2, xi, far), {h: 100, s: "1e-3"}, lambda: mpf(10**4) + mpf(10) ** -6)


@pytest.mark.parametrize("at", ["-1000", "0.01", "3", "1000"])
def test_tilts(at: str) -> None:
    agrees(LogAverageExp(h * xi, xi, UNIFORM), {h: at}, lambda: mpmath.log(mpmath.sinh(big(at)) / big(at)))
    agrees(TiltedAverage(xi, h * xi, xi, UNIFORM), {h: at}, lambda: mpmath.coth(big(at)) - 1 / big(at))
    agrees(LogAverageExp(h * xi, xi, TRIANGLE), {h: at}, lambda: 2 * mpmath.log(mpmath.sinh(big(at) / 2) * 2 / big(at)))
    agrees(LogAverageExp(h * xi, xi, COIN), {h: at}, lambda: mpmath.log(mpmath.cosh(big(at))))
    agrees(LogAverageExp(h * xi, xi, Noisy(COIN, 2)), {h: at}, lambda: mpmath.log(mpmath.cosh(big(at))) + big(at) ** 2)
    agrees(LogAverageExp(log_cosh(h * xi), xi, Normal()), {h: at}, lambda: big(at) ** 2 / 2)
    agrees(LogAverageExp(h * xi - xi**2, xi, Normal()), {h: at}, lambda: big(at) ** 2 / 6 - mpmath.log(3) / 2)
    agrees(LogAverageExp(h * xi, xi, ARCSINE), {h: at}, lambda: mpmath.log(mpmath.besseli(0, big(at))))


def test_tilts_that_diverge() -> None:
    near = LogAverageExp(h * xi, xi, LAPLACE)
    agrees(near, {h: "0.99"}, lambda: -mpmath.log(1 - mpf("0.99") ** 2))
    with pytest.raises(DeriveError, match="diverges"):
        compile_mp(near, (h,))(1)
    with pytest.raises(DeriveError, match="diverges"):
        compile_mp(LogAverageExp(xi**2 / 2, xi, Normal()))()


KERNELS = [("1/3", "1e-12"), ("0.999999", "1e-6"), ("1.000003", "1e-6"), ("1.00004", "1e-6"), ("1", "1e-30"),
           ("0.3", "1000"), ("5", "0.01")]


@pytest.mark.parametrize(("center", "width"), KERNELS)
def test_kernels_near_an_edge(center: str, width: str) -> None:
    def exact() -> Any:
        m, w = big(center), big(width)
        near, far = ((z) / (w * mpmath.sqrt(2)) for z in (m - 1, m + 1))
        with mpmath.workdps(300):
            return mpmath.log(w * mpmath.sqrt(mpmath.pi / 2) / 2 * (mpmath.erfc(near) - mpmath.erfc(far)))

    agrees(LogAverageExp(-((x - xi) ** 2) / (2 * s**2), xi, UNIFORM), {x: center, s: width}, exact)


def test_kernels_over_an_unbounded_density() -> None:
    def exact() -> Any:
        m, w = big("12.5"), big("1e-3")
        return -(m**2) / (2 * (1 + w**2)) + mpmath.log(w / mpmath.sqrt(1 + w**2))

    agrees(LogAverageExp(-((x - xi) ** 2) / (2 * s**2), xi, GAUSSIAN), {x: "12.5", s: "1e-3"}, exact)


# -- spectra -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "at"), [("1/1000", "5"), ("1/2", "1"), ("1", "1"), ("1", "1e20"), ("0.99", "1e8"),
                                           ("2", "1000"), ("50", "1e-30")])
def test_spectra(ratio: str, at: str) -> None:
    def shannon() -> Any:
        q, w = big(ratio), big(at)
        linear = w * (1 - q) + q
        v = 2 * q / (linear + mpmath.sqrt(linear**2 + 4 * q**2 * w)) if linear > 0 else (
            (mpmath.sqrt(linear**2 + 4 * q**2 * w) - linear) / (2 * q * w))
        return mpmath.log(1 + w * v) - q * mpmath.log(v) - q * (1 - v)

    law = MarchenkoPastur(r)
    agrees(SpectralAverage(c**2, c, law), {r: ratio}, lambda: 1 + 1 / big(ratio))
    if at != "1e-30":
        agrees(SpectralAverage(sp.log(1 + b * c), c, law), {b: at, r: ratio}, shannon)


def test_spectrum_with_a_kink() -> None:
    low, high = (1 - sp.sqrt(2)) ** 2 / 2, (1 + sp.sqrt(2)) ** 2 / 2
    direct = Density(2 * sp.sqrt((high - c) * (c - low)) / (2 * sp.pi * c), c, low, high)
    agrees(SpectralAverage(sp.Abs(c - 1), c, MarchenkoPastur(2)), {},
           lambda: compile_mp(MeasureAverage(sp.Abs(c - 1), c, direct))(), digits=30)


# -- extrema -------------------------------------------------------------------------------------------------------


def test_extrema() -> None:
    line = sp.Interval(-sp.oo, sp.oo)
    legendre = Extremum(h * x - sp.exp(x), x, line, "max")
    agrees(legendre, {h: 3}, lambda: 3 * mpmath.log(3) - 3)
    agrees(legendre.argument, {h: 3}, lambda: mpmath.log(3))
    agrees(Extremum(h * x - x**2, x, sp.Interval(0, 1), "max"), {h: 5}, lambda: mpf(4))
    agrees(Extremum(h * x - x**2, x, sp.Interval(0, 1), "max").argument, {h: 5}, lambda: mpf(1))
    agrees(Extremum(x - sp.log(x), x, sp.Interval.open(0, sp.oo), "min"), {}, lambda: mpf(1))
    agrees(Extremum(h * x - LogAverageExp(x * xi, xi, COIN), x, line, "max"), {h: "1/2"},
           lambda: 3 * mpmath.log(mpf(3) / 2) / 4 + mpmath.log(mpf(1) / 2) / 4)
    with pytest.raises(DeriveError, match="no stationary point"):
        compile_mp(Extremum(sp.exp(x), x, line, "extr"))()
    with pytest.raises(DeriveError, match="2 stationary points"):
        compile_mp(Extremum(x**3 - 3 * x, x, line, "extr"))()


# -- nested --------------------------------------------------------------------------------------------------------


def information(law: Any) -> sp.Expr:
    """I(x_0; x_s)."""
    return -MeasureAverage(LogAverageExp(-((x - xi) ** 2) / (2 * s), xi, law), x, Noisy(law, s)) - HALF


def test_information_of_a_gaussian() -> None:
    agrees(information(GAUSSIAN), {s: "1/4"}, lambda: mpmath.log(5) / 2, digits=40)


@pytest.mark.parametrize(("law", "at", "expected"), [
    (UNIFORM, "1e-4", "3.888410806199050"), (TRIANGLE, "1", "0.07707216832953771"), (COIN, "1", "0.3368308203468316"),
    (QUARTIC, "1", "0.1455238353622365"), (COIN, "1e-300", "0.6931471805599453"),
])
def test_information_again(law: Any, at: str, expected: str) -> None:
    """What the run-time laws give, at which the two programs meet."""
    with mpmath.workdps(16):
        assert abs(compile_mp(information(law), (s,))(at) - mpf(expected)) < mpf(10) ** -14


@pytest.mark.slow
@pytest.mark.parametrize(("law", "at", "expected"), [
    (UNIFORM, "1e-12", "13.08972010851681"), (TRIANGLE, "1e-4", "3.686861395486677"),
    (ARCSINE, "1", "0.2020118954068535"), (ARCSINE, "1e-12", "12.84931056717152"),
    (LAPLACE, "1e-2", "2.581436350336909"), (EXPONENTIAL, "1e-6", "6.489719740914206"),
])
def test_information_again_slow(law: Any, at: str, expected: str) -> None:
    with mpmath.workdps(16):
        assert abs(compile_mp(information(law), (s,))(at) - mpf(expected)) < mpf(10) ** -13


@pytest.mark.slow
def test_information_of_a_uniform_law_in_two_ways() -> None:
    """By the nodes, and by one integral with the error function written out, at 50 digits."""
    root = sp.sqrt(2 * s)
    density = (sp.erf((1 - x) / root) + sp.erf((1 + x) / root)) / 4
    with mpmath.workdps(50):
        value = compile_mp(information(UNIFORM), (s,))("1/100")
    with mpmath.workdps(60):
        entropy = compile_mp(-density * sp.log(density), (x, s))
        t = mpf(1) / 100
        edges = [0, *(1 + mpf(k) / 10 for k in (-8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16))]

        def integrand(z: mpf) -> mpf:
            with mpmath.workdps(60 + int(44 * max(0, z - 1) ** 2)):  # 1 - erf cancels far out
                return entropy(z, t)

        expected = 2 * mpmath.quad(integrand, edges) - mpmath.log(2 * mpmath.pi * mpmath.e * t) / 2
        assert abs(value - expected) < mpf(10) ** -49


# -- promises ------------------------------------------------------------------------------------------------------


def test_evaluate() -> None:
    assert mpmath.nstr(evaluate(GaussianAverage(sp.Abs(x), x), digits=40), 40) == mpmath.nstr(
        mpmath.sqrt(2 / mpmath.pi) if mpmath.mp.dps > 50 else _at(60, lambda: mpmath.sqrt(2 / mpmath.pi)), 40)
    cancelling = evaluate((sp.exp(x) - 1 - x) / x**2, {x: sp.Rational(1, 10**30)}, digits=30)
    assert abs(cancelling - mpf(1) / 2) < mpf(10) ** -29
    assert evaluate(x * s, {x: "1/3", s: 3}) == 1


def _at(digits: int, f: Callable[[], Any]) -> Any:
    with mpmath.workdps(digits):
        return f()


def test_what_cannot_be_reached_is_said() -> None:
    wild = MeasureAverage(sp.sin(1 / xi) / xi, xi, Density(1, xi, 0, 1))
    with pytest.raises(DeriveError, match="could not reach"), mpmath.workdps(15):
        compile_mp(wild)()
    with pytest.raises(DeriveError, match="does not converge"), mpmath.workdps(15):
        compile_mp(MeasureAverage(1 / xi, xi, Density(1, xi, 0, 1)))()


def test_evalf_of_nodes() -> None:
    node = LogAverageExp(2 * xi, xi, UNIFORM)
    assert abs(node.evalf(30) - sp.log(sp.sinh(2) / 2).evalf(30)) < sp.Float("1e-29", 30)


@pytest.mark.parametrize("variance", [sp.Rational(1, 50), sp.Rational(1, 2), sp.Integer(9)])
def test_points_with_noise_are_integrated_together_or_one_by_one(variance: sp.Expr) -> None:
    """Close points as one sum of normal laws, far ones each, against an average over each of them."""
    x, w = sp.symbols("x w", real=True)
    law = Atoms([-1, 0, sp.Rational(1, 2), 3], [sp.Rational(k, 8) for k in (1, 4, 1, 2)])
    together = evaluate(MeasureAverage(sp.tanh(x) ** 2, x, Noisy(law, variance)), digits=30)
    each = sp.Add(*(k * GaussianAverage(sp.tanh(p + sp.sqrt(variance) * w) ** 2, w)
                    for p, k in zip(law.points, law.weights, strict=True)))
    assert abs(together - evaluate(each, digits=30)) < mpmath.mpf(10) ** -29
