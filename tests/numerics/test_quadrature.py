"""The run-time laws against closed forms, and against SciPy where there is none."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special as sc

from derive.nodes import quadrature
from derive.nodes.quadrature import AtomsLaw, DensityLaw, Law, MarchenkoPasturLaw, NoisyLaw, NormalLaw

TILTS = np.array([-1e3, -30.0, -1.0, 1e-3, 0.5, 10.0, 1e3])


def tilt(x: Any, u: Any, y: Any) -> Any:
    return y * x


def kernel(x: Any, u: Any) -> Any:
    return -0.5 * u * u


def uniform(lower: float = -1.0, upper: float = 1.0) -> DensityLaw:
    return DensityLaw(lambda x: np.zeros_like(x), lower, upper)


def triangle() -> DensityLaw:
    return DensityLaw(lambda x: np.log1p(-np.abs(x)), -1, 1, breakpoints=(0,))


def gaussian(sigma: float = 1.0) -> DensityLaw:
    return DensityLaw(lambda x: -0.5 * (x / sigma) ** 2)


def laplace() -> DensityLaw:
    return DensityLaw(lambda x: -np.abs(x), breakpoints=(0,))


def log_sinhc(y: Any) -> Any:
    """log(sinh(y)/y)."""
    y = np.abs(y)
    return y + np.log(-np.expm1(-2 * y) / (2 * y))


def test_stands_alone() -> None:
    tree = ast.parse(inspect.getsource(quadrature))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= {
        "__future__", "collections", "dataclasses", "functools", "itertools", "typing", "numpy",
    }


# -- normalisation, moments ----------------------------------------------------------------------------------------

NORMS: list[tuple[str, Callable[[Any], Any], float, float, tuple[float, ...], float]] = [
    ("quartic", lambda x: -(x**4), -np.inf, np.inf, (), np.log(2 * sc.gamma(1.25))),
    ("laplace, kink not named", lambda x: -np.abs(x), -np.inf, np.inf, (), np.log(2)),
    ("cauchy", lambda x: -np.log1p(x * x), -np.inf, np.inf, (), np.log(np.pi)),
    ("student", lambda x: -0.55 * np.log1p(x * x), -np.inf, np.inf, (), sc.betaln(0.5, 0.05)),
    ("arcsine", lambda x: -0.5 * np.log(1 - x * x), -1, 1, (), np.log(np.pi)),
    ("semicircle", lambda x: 0.5 * np.log(1 - x * x), -1, 1, (), np.log(np.pi / 2)),
    ("inner singularity", lambda x: -0.5 * np.log(np.abs(x - 0.3)), 0, 1, (0.3,), np.log(2 * (0.3**0.5 + 0.7**0.5))),
    ("beta(.1,3)", lambda x: -0.9 * np.log(x) + 2 * np.log1p(-x), 0, 1, (), sc.betaln(0.1, 3)),
    ("beta(3,.1)", lambda x: 2 * np.log(x) - 0.9 * np.log1p(-x), 0, 1, (), sc.betaln(3, 0.1)),
    ("gamma(.2)", lambda x: -0.8 * np.log(x) - x, 0, np.inf, (), sc.gammaln(0.2)),
    ("gamma(1e4)", lambda x: 9999 * np.log(x) - x, 0, np.inf, (), sc.gammaln(1e4)),
    ("lognormal", lambda x: -np.log(x) - 4.5 * np.log(x) ** 2, 0, np.inf, (), np.log(np.sqrt(2 * np.pi) / 3)),
    ("jumps not named", lambda x: np.where((x > 0.37) & (x < 0.61), 0.0, -np.inf), 0, 1, (), np.log(0.24)),
    ("far narrow", lambda x: -0.5 * ((x - 64) / 1e-3) ** 2, -np.inf, np.inf, (), np.log(1e-3 * np.sqrt(2 * np.pi))),
    ("three spikes", lambda x: np.logaddexp.reduce([-0.5 * ((x - m) / 1e-3) ** 2 for m in (-100, 0.25, 300)], axis=0),
     -np.inf, np.inf, (), np.log(3e-3 * np.sqrt(2 * np.pi))),
]


@pytest.mark.parametrize(("log_pdf", "lower", "upper", "breaks", "log_norm"), [n[1:] for n in NORMS],
                         ids=[n[0] for n in NORMS])
def test_norm(log_pdf: Any, lower: float, upper: float, breaks: tuple[float, ...], log_norm: float) -> None:
    law = DensityLaw(log_pdf, lower, upper, breaks)
    assert_allclose(law.log_norm, log_norm, rtol=1e-12, atol=1e-12)
    rounding = 1e-15 * abs(float(law.log_pdf(np.array([9999.0 if log_norm > 1e4 else 0.5]))[0]))
    assert_allclose(law.average(lambda x: np.ones_like(x)), 1, rtol=1e-13 + rounding)


@pytest.mark.parametrize("log_pdf", [lambda x: 0 * x, lambda x: np.abs(x), lambda x: -0.5 * np.log1p(x * x)])
def test_not_normalisable(log_pdf: Any) -> None:
    with pytest.raises(ValueError, match="normalised"):
        _ = DensityLaw(log_pdf).log_norm
    with pytest.raises(ValueError, match="normalised"):
        _ = DensityLaw(lambda x: -np.log(x), 0, 1).log_norm


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="lower < upper"):
        DensityLaw(lambda x: x, 1, 1)
    with pytest.raises(ValueError, match="weights"):
        AtomsLaw([1, 2], [1])
    with pytest.raises(ValueError, match="negative"):
        NoisyLaw(NormalLaw(), -1)
    with pytest.raises(ValueError, match="positive"):
        MarchenkoPasturLaw(0)
    with pytest.raises(ValueError, match="both"):
        NormalLaw().log_average_exp(kernel, (), center=0.0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e6])
def test_normal_log_cosh(scale: float) -> None:
    """E log cosh(k x), by the trapezoid rule for small k and by a series in Mills' ratio for large k."""
    def log_cosh(x: Any, k: Any) -> Any:
        y = np.abs(k * x)
        small = np.log1p(2 * np.sinh(np.minimum(y, 1) / 2) ** 2)
        return np.where(y < 1, small, y + np.log1p(np.exp(-2 * y)) - np.log(2))

    value, error = NormalLaw().average_with_error(log_cosh, (scale,))
    if scale <= 1:
        step = 0.05
        nodes = step * np.arange(-300, 301)
        weights = step * np.exp(-0.5 * nodes**2) / np.sqrt(2 * np.pi)
        expected = weights @ np.log1p(2 * np.sinh(scale * nodes / 2) ** 2)
    else:  # E|kx| - log 2 + E log(1 + e^(-2|kx|))
        k = 2 * scale * np.arange(1, 4001)
        terms = (-1.0) ** np.arange(4000) / np.arange(1, 4001) * sc.erfcx(k / np.sqrt(2))
        partial = np.cumsum(terms)
        for _ in range(30):  # averages of the partial sums of an alternating series
            partial = 0.5 * (partial[1:] + partial[:-1])
        expected = scale * np.sqrt(2 / np.pi) - np.log(2) + partial[-1]
    assert_allclose(value, expected, rtol=1e-12)
    assert error < 1e-11 * max(1, abs(value))


def test_average_of_what_grows() -> None:
    law = NormalLaw()
    assert_allclose(law.average(lambda x, y: np.exp(y * x), (np.array([1.0, 10.0, 15.0]),)),
                    np.exp(np.array([0.5, 50.0, 112.5])), rtol=1e-12)


def test_average_that_diverges() -> None:
    law = DensityLaw(lambda x: -np.log1p(x * x))
    assert_allclose(law.average(lambda x: np.log1p(x * x)), 2 * np.log(2), rtol=1e-12)
    assert law.average(lambda x: np.abs(x)) == np.inf
    assert law.average(lambda x: -x * x) == -np.inf
    assert np.isnan(law.average(lambda x: x))


# -- tilts ---------------------------------------------------------------------------------------------------------


def test_tilted_normal() -> None:
    y = TILTS
    assert_allclose(NormalLaw().log_average_exp(tilt, (y,)), y**2 / 2, rtol=1e-12, atol=1e-14)
    mean, square = NormalLaw().tilted((lambda x, u, y: x, lambda x, u, y: (x - y) ** 2), tilt, (y,))
    assert_allclose(mean, y, rtol=1e-12)
    assert_allclose(square, 1, rtol=1e-9)


def test_tilted_uniform() -> None:
    y = TILTS[np.abs(TILTS) > 0.1]
    assert_allclose(uniform().log_average_exp(tilt, (y,)), log_sinhc(y), rtol=1e-12)
    (mean,) = uniform().tilted((lambda x, u, y: x,), tilt, (y,))
    assert_allclose(mean, 1 / np.tanh(y) - 1 / y, rtol=1e-12)


@pytest.mark.parametrize("rate", [10.0**k for k in range(-6, 15)])
def test_a_layer_at_a_hard_edge(rate: float) -> None:
    """Cells next to an edge are joined only where nothing happens: of the tilt, and of each function averaged."""
    law = DensityLaw(np.zeros_like, 0.0, 1.0)
    (k,) = rates = (np.array([rate]),)
    kept = -np.expm1(-k)
    assert_allclose(law.log_average_exp(lambda x, u, c: -c * x, rates), np.log(kept / k), rtol=1e-12, atol=1e-14)
    assert_allclose(law.average(lambda x, c: np.exp(-c * x), rates), kept / k, rtol=1e-12)
    (mean,) = law.tilted((lambda x, u, c: np.exp(-c * x),), lambda x, u, c: 0 * x, rates)
    assert_allclose(mean, kept / k, rtol=1e-12)


def test_a_flat_density_takes_two_cells() -> None:
    law, asked = DensityLaw(np.zeros_like, -1.0, 1.0), []

    def exponent(x: Any, u: Any, c: Any) -> Any:
        asked.append(np.size(x))
        return c * x

    (found,) = law.log_average_exp(exponent, (np.array([0.5]),))
    assert_allclose(found, np.log(np.sinh(0.5) / 0.5), rtol=1e-13)
    assert sum(asked) < 100


def test_tilted_triangle() -> None:
    y = TILTS[np.abs(TILTS) > 0.1]
    assert_allclose(triangle().log_average_exp(tilt, (y,)), 2 * log_sinhc(y / 2), rtol=1e-12)


def test_tilted_arcsine() -> None:
    law = DensityLaw(lambda x: -0.5 * np.log(1 - x * x), -1, 1)
    expected = np.log(sc.ive(0, TILTS)) + np.abs(TILTS)
    assert_allclose(law.log_average_exp(tilt, (TILTS,)), expected, rtol=1e-11, atol=1e-15)


def test_tilted_quartic() -> None:
    """Moments of exp(-x^4) summed, where the peak stays in the bulk; Laplace's own scale where it moves far out."""
    law = DensityLaw(lambda x: -(x**4))
    n = np.arange(0, 80)
    series = np.exp(2 * n * np.log(3.0) + sc.gammaln((2 * n + 1) / 4) - sc.gammaln(2 * n + 1)).sum() / sc.gamma(0.25)
    assert_allclose(law.log_average_exp(tilt, (3.0,)), np.log(series), rtol=1e-13)
    peak = 250 ** (1 / 3)
    (mean,) = law.tilted((lambda x, u, y: x,), tilt, (1e3,))
    assert_allclose(mean, peak - 1 / (12 * peak**3), rtol=1e-6)


def test_tilted_laplace() -> None:
    y = np.array([-0.999, 0.5, 1 - 1e-6])
    assert_allclose(laplace().log_average_exp(tilt, (y,)), -np.log1p(-(y**2)), rtol=1e-11)
    assert (laplace().log_average_exp(tilt, (np.array([1.0, -1.0, 1.5, 1e3]),)) == np.inf).all()
    (mean,) = laplace().tilted((lambda x, u, y: x,), tilt, (np.array([0.5, 1.0]),))
    assert_allclose(mean[0], 4 / 3, rtol=1e-12)
    assert np.isnan(mean[1])


def test_heavy_tails_do_not_tilt() -> None:
    law = DensityLaw(lambda x: -np.log(x) - 0.5 * np.log(x) ** 2, 0)
    logs = law.log_average_exp(tilt, (np.array([-1.0, 0.0]),))
    assert np.isfinite(logs).all()
    assert abs(logs[1]) < 1e-13


def test_shapes() -> None:
    y = np.linspace(-1, 1, 12).reshape(3, 4)
    assert uniform().log_average_exp(tilt, (y,)).shape == (3, 4)
    assert uniform().average(lambda x: x * x).shape == ()
    assert uniform().average(lambda x, a, b: a * b * x * x, (y[:, :1], y[:1])).shape == (3, 4)
    assert NoisyLaw(AtomsLaw([0.0], [1.0]), y**2).average(lambda x: x * x).shape == (3, 4)
    assert MarchenkoPasturLaw(y**2 + 1).average(lambda c, b: c * b, (y,)).shape == (3, 4)
    assert NormalLaw().average(lambda x, a: a * x, (np.empty(0),)).shape == (0,)


def test_one_at_a_time_is_the_same() -> None:
    """A value does not depend on the company in which it is computed."""
    y = np.linspace(-40, 40, 41)
    together = laplace().average(lambda x, y: np.cos(y * x), (y,))
    alone = np.array([laplace().average(lambda x, y: np.cos(y * x), (v,)) for v in y])
    assert_allclose(together, alone, rtol=1e-13, atol=1e-14)
    assert_allclose(together, 1 / (1 + y**2), rtol=1e-10, atol=1e-14)


# -- kernels -------------------------------------------------------------------------------------------------------


def log_window(center: Any, width: Any, lower: float, upper: float) -> Any:
    """log of the integral of exp(-u^2/2) over the uniform law."""
    a, b = (lower - center) / width, (upper - center) / width
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)  # the nearer half line
    with np.errstate(under="ignore"):
        mass = np.where(b < -1, sc.log_ndtr(b) + np.log1p(-np.exp(sc.log_ndtr(a) - sc.log_ndtr(b))),
                        np.log(np.maximum(sc.ndtr(b) - sc.ndtr(a), 1e-300)))
    return mass + np.log(width * np.sqrt(2 * np.pi) / (upper - lower))


@pytest.mark.parametrize("width", 10.0 ** np.arange(-12, 3))
@pytest.mark.parametrize(("lower", "upper"), [(-1.0, 1.0), (0.0, 3.0), (99.0, 101.0)])
def test_kernel_over_uniform(width: float, lower: float, upper: float) -> None:
    inside = lower + (upper - lower) * np.array([0.3, 0.5])
    near = [e + k * width for e in (lower, upper) for k in (-40, -3, -1, 0, 1, 3)]
    center = np.concatenate([inside, near])
    value = uniform(lower, upper).log_average_exp(kernel, (), center, np.full(center.shape, width))
    expected = log_window(center, width, lower, upper)
    assert_allclose(value, expected, rtol=1e-12, atol=3e-12 if width > 10 else 1e-13)


@pytest.mark.parametrize("width", [1e-12, 1e-6, 1e-2, 1.0, 1e2, 1e6])
def test_kernel_over_gaussian(width: float) -> None:
    center = np.array([-30.0, -1.0, 0.0, 2.5, 300.0])
    law = gaussian()
    value = law.log_average_exp(kernel, (), center, np.full(5, width))
    total = 1 + width**2
    expected = -(center**2) / (2 * total) + np.log(width) - 0.5 * np.log(total)
    assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    mean, squared = law.tilted((lambda x, u: x, lambda x, u: u * u), kernel, (), center, np.full(5, width))
    assert_allclose(mean, center / total, rtol=1e-11, atol=1e-13)
    assert_allclose(squared, 1 / total + center**2 * width**2 / total**2, rtol=1e-10)


@pytest.mark.parametrize("width", [1e-9, 1e-4, 0.1])
def test_kernel_at_a_singular_edge(width: float) -> None:
    """At the edge of a density next to which p ~ (e - x)^g the kernel sees a gamma function."""
    for power in (-0.5, 0.5, 1.0):
        law = DensityLaw(lambda x, g=power: g * np.log(2 - x), 1, 2)
        norm = 1 / (power + 1)
        cut = sc.gammainc((power + 1) / 2, 0.5 / width**2)
        expected = np.log(width ** (power + 1) * 2 ** ((power - 1) / 2) * sc.gamma((power + 1) / 2) * cut / norm)
        value = law.log_average_exp(kernel, (), 2.0, width)
        assert_allclose(value, expected, rtol=1e-10)


def test_vanishing_kernel() -> None:
    logs = uniform().log_average_exp(kernel, (), np.array([0.0, 0.0]), np.array([1e-300, 0.0]))
    assert_allclose(logs[0], np.log(1e-300 * np.sqrt(2 * np.pi) / 2), rtol=1e-13)
    assert logs[1] == -np.inf


# -- noise ---------------------------------------------------------------------------------------------------------

TIMES = 10.0 ** np.arange(-12, 7, 2)


def information(law: Law, t: Any) -> Any:
    """I(x_0; x_t) for x_t = x_0 + sqrt(t) w."""
    def surprise(x: Any, t: Any) -> Any:
        return -0.5 - law.log_average_exp(kernel, (), x, np.sqrt(np.broadcast_to(t, x.shape)))

    return NoisyLaw(law, t).average(surprise, (t,))


def test_information_of_a_gaussian() -> None:
    expected = 0.5 * np.log1p(1 / TIMES)
    assert_allclose(information(gaussian(), TIMES), expected, rtol=1e-11, atol=3e-16)


def test_information_does_not_move_with_the_origin() -> None:
    t = TIMES[[0, 3, 5, 7]]
    assert_allclose(information(uniform(99, 101), t), information(uniform(), t), rtol=1e-11)
    assert_allclose(information(uniform(0, 1e-3), t * 1e-6 / 4), information(uniform(), t), rtol=1e-11)


# Computed by the evaluation at 18 digits, an independent program (tests/numerics/test_mp_eval.py redoes some).
INFORMATION = [
    ("uniform", uniform, 1e-12, 13.08972010851681), ("uniform", uniform, 1e-4, 3.888410806199050),
    ("triangle", triangle, 1e-4, 3.686861395486677), ("triangle", triangle, 1.0, 0.07707216832953771),
    ("laplace", laplace, 1e-2, 2.581436350336909),
    ("arcsine", lambda: DensityLaw(lambda x: -0.5 * np.log(1 - x * x), -1, 1), 1e-12, 12.84931056717152),
    ("arcsine", lambda: DensityLaw(lambda x: -0.5 * np.log(1 - x * x), -1, 1), 1.0, 0.2020118954068535),
    ("exponential", lambda: DensityLaw(lambda x: -x, 0), 1e-6, 6.489719740914206),
    ("quartic", lambda: DensityLaw(lambda x: -(x**4)), 1.0, 0.1455238353622365),
]


@pytest.mark.parametrize(("make", "t", "expected"), [i[1:] for i in INFORMATION],
                         ids=[f"{i[0]} {i[2]}" for i in INFORMATION])
def test_information(make: Callable[[], DensityLaw], t: float, expected: float) -> None:
    assert_allclose(information(make(), t), expected, rtol=1e-12)


def test_information_of_a_mixture() -> None:
    """Two narrow Gaussians far apart: one bit above the Gaussian's own, until the noise bridges them."""
    width = 1e-3
    law = DensityLaw(lambda x: np.logaddexp(-0.5 * ((x - 50) / width) ** 2, -0.5 * ((x + 50) / width) ** 2))
    t = 10.0 ** np.arange(-8, 2)
    assert_allclose(information(law, t), np.log(2) + 0.5 * np.log1p(width**2 / t), rtol=1e-11)


def test_information_of_atoms() -> None:
    coin = AtomsLaw([-1, 1], [1, 1])
    assert_allclose(information(coin, np.array([1e-6, 1e-4])), np.log(2), rtol=1e-13)
    value, error = NoisyLaw(coin, 1e-12).average_with_error(lambda x: coin.log_average_exp(kernel, (), x, 1e-6))
    assert abs(value + 0.5 + np.log(2)) < error < 1e-8
    t = np.array([1.0, 30.0])  # a Gaussian average of log cosh
    b = 1 / t
    by_parts = b - NormalLaw().average(lambda w, b: np.log(np.cosh(b + np.sqrt(b) * w)), (b,))
    assert_allclose(information(coin, t), by_parts, rtol=1e-12)
    skew = AtomsLaw([-3, 0, 4], [0.2, 0.5, 0.3])
    assert_allclose(information(skew, 1e-5), -(skew.weights @ np.log(skew.weights)), rtol=1e-12)


def test_noise_moments() -> None:
    s = np.array([0.0, 1e-6, 1.0, 1e6])
    for law, second, fourth in ((uniform(), 1 / 3, 1 / 5), (NormalLaw(), 1, 3), (AtomsLaw([-1, 1], [1, 1]), 1, 1)):
        noisy = NoisyLaw(law, s)
        assert_allclose(noisy.average(lambda x: x * x), second + s, rtol=1e-12)
        assert_allclose(noisy.average(lambda x: x**4), fourth + 6 * second * s + 3 * s**2, rtol=1e-12)
        assert_allclose(NoisyLaw(noisy, s).average(lambda x: x * x), second + 2 * s, rtol=1e-12)


def test_noise_tilted() -> None:
    s, y = 0.5, np.array([-3.0, 0.1, 20.0])
    for law in (uniform(), NormalLaw(), AtomsLaw([-1, 1], [1, 1]), laplace()):
        y_ = y * 0.04 if law.__class__ is DensityLaw else y
        noisy = NoisyLaw(law, np.full(3, s))
        expected = law.log_average_exp(tilt, (y_,)) + s * y_**2 / 2
        assert_allclose(noisy.log_average_exp(tilt, (y_,)), expected, rtol=1e-11, atol=1e-15)
        (clean,) = law.tilted((lambda x, u, y: x,), tilt, (y_,))
        (mean,) = noisy.tilted((lambda x, u, y: x,), tilt, (y_,))
        assert_allclose(mean, clean + s * y_, rtol=1e-11)


def test_noise_with_a_kernel() -> None:
    center, width = np.array([-0.2, 3.0]), np.array([0.3, 2.0])
    for law in (NormalLaw(), gaussian()):
        value = NoisyLaw(law, 0.5).log_average_exp(kernel, (), center, width)
        total = 1.5 + width**2
        assert_allclose(value, -(center**2) / (2 * total) + np.log(width / np.sqrt(total)), rtol=1e-11)


# -- spectra -------------------------------------------------------------------------------------------------------


def shannon(b: Any, ratio: float) -> Any:
    linear = b * (1 - ratio) + ratio
    root = np.sqrt(linear**2 + 4 * ratio**2 * b)
    v = np.where(linear > 0, 2 * ratio / (linear + root), (root - linear) / (2 * ratio * b))
    return np.log1p(b * v) - ratio * np.log(v) - ratio * (1 - v)


@pytest.mark.parametrize("ratio", [1e-3, 0.01, 0.5, 1 - 1e-6, 1.0, 1 + 1e-7, 2.0, 100.0])
def test_marchenko_pastur(ratio: float) -> None:
    law = MarchenkoPasturLaw(ratio)
    assert_allclose(law.average(lambda c: np.ones_like(c)), 1, rtol=1e-13)
    assert_allclose(law.average(lambda c: c), 1, rtol=1e-13)
    assert_allclose(law.average(lambda c: c * c), 1 + 1 / ratio, rtol=1e-13)
    b = 10.0 ** np.array([0.0, 3.0, 8.0, 12.0])
    assert_allclose(law.average(lambda c, b: np.log1p(b * c), (b,)), shannon(b, ratio), rtol=1e-11)


def test_marchenko_pastur_over_ratios() -> None:
    ratio = np.geomspace(1e-2, 1e2, 9)
    law = MarchenkoPasturLaw(ratio)
    logs = law.log_average_exp(lambda c, u, y: y * np.log1p(c), (2.0,))
    assert_allclose(logs, np.log(1 + 2 + 1 + 1 / ratio), rtol=1e-12)
    (mean,) = law.tilted((lambda c, u: c,), lambda c, u: np.log1p(c))
    assert_allclose(mean, (2 + 1 / ratio) / 2, rtol=1e-12)


# -- errors that are stated ----------------------------------------------------------------------------------------


def test_errors_are_honest() -> None:
    """The stated error covers the true one for integrands with hidden kinks and jumps."""
    m = np.random.default_rng(7).normal(size=3000) * 1.5
    kink, error = NormalLaw().average_with_error(lambda x, m: np.abs(x - m), (m,))
    exact = np.sqrt(2 / np.pi) * np.exp(-m * m / 2) + m * sc.erf(m / np.sqrt(2))
    assert (np.abs(kink - exact) <= error).all()
    assert (error < 1e-11).all()
    jump, error = NormalLaw().average_with_error(lambda x, m: (x > m) * 1.0, (m,))
    assert (np.abs(jump - sc.ndtr(-m)) <= error).all()
    assert (error < 1e-11).all()
