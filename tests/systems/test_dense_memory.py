"""Dense memories: the claims of PHYSICS section 2 and what must hold for any measure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize
from sympy import Rational, Symbol, exp, oo, pi, sqrt, tanh

from derive import Binary, DeriveError, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas

X = Symbol("x", real=True)


def value(name, ensemble, **parameters):
    solution = atlas[name].with_(ensemble=ensemble).given(*parameters).solver()(**parameters)
    assert np.all(solution.converged), solution.reason
    return np.asarray(solution.value)


@pytest.mark.parametrize(
    "ensemble", [Gaussian(), ProductMeasure(density=exp(-(X**2) / 2), variable=X)], ids=["named", "as a density"]
)
def test_gaussian_capacity(ensemble):
    lam = np.array([0.1, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 3.0])
    expected = np.where(lam < 1, lam - lam**2 / 2, 0.5)
    np.testing.assert_allclose(value("retrieval-capacity", ensemble, lam=lam), expected, rtol=1e-11)


def test_spherical_capacity():
    """PHYSICS section 2; its third number, 2.8039, is 2.80384 to one more digit (zeta = 97.19616 by hand)."""
    found = value("retrieval-capacity", Spherical(), lam=np.array([1.0, 5.0, 100.0]))
    np.testing.assert_allclose(found, [0.6226, 1.3297, 2.80384], atol=5e-5)


def test_spherical_capacity_at_large_lambda():
    lam = 1e8
    np.testing.assert_allclose(value("retrieval-capacity", Spherical(), lam=lam), (1 + np.log(lam)) / 2, atol=1e-7)


def test_binary_capacity():
    lam = np.array([0.3, 1.0, 30.0])
    np.testing.assert_allclose(value("retrieval-capacity", Binary(), lam=lam), lam - np.log(np.cosh(lam)), rtol=1e-12)


@pytest.mark.parametrize("alpha_d", [0.1, 0.5, 1.0, 4.0])
def test_manifold_capacity_saturates(alpha_d):
    joint = alpha_d / (1 + alpha_d)
    lam = joint * np.array([0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 2.0])
    expected = np.where(lam < joint, lam - lam**2 * (1 + 1 / alpha_d) / 2, joint / 2)
    np.testing.assert_allclose(
        value("retrieval-capacity", HiddenManifold(), lam=lam, alpha_D=alpha_d), expected, rtol=1e-12
    )


def capacity_by_quadrature(points, weights, lam):
    """max over l <= lam of l rho - zeta(l) for a discretised law, on a fine grid of l."""
    l = np.linspace(0, lam, 20001)[:, None]  # noqa: E741
    zeta = sum(
        w * np.log(np.sum(weights * np.exp(l * x * points), axis=1)) for x, w in zip(points, weights, strict=True)
    )
    return np.max(l[:, 0] * np.sum(weights * points**2) - zeta)


@pytest.mark.parametrize("lam", [0.4, 3.0, 40.0])
@pytest.mark.parametrize(
    "atoms",
    [
        {0: Rational(9, 10), 1: Rational(1, 10)},
        {-2: Rational(1, 4), 0: Rational(1, 2), 3: Rational(1, 4)},
        {-1: Rational(2, 3), 1: Rational(1, 3)},
    ],
    ids=str,
)
def test_capacity_of_atoms(atoms, lam):
    points, weights = np.array(list(map(float, atoms))), np.array(list(map(float, atoms.values())))
    found = value("retrieval-capacity", ProductMeasure(atoms=atoms), lam=lam)
    np.testing.assert_allclose(found, capacity_by_quadrature(points, weights, lam), rtol=2e-7)


@pytest.mark.slow
def test_capacity_of_a_uniform_density():
    nodes, weights = np.polynomial.legendre.leggauss(200)
    ensemble = ProductMeasure(density=Rational(1, 2), variable=X, support=(-1, 1))
    for lam in (1.0, 5.0, 60.0):
        np.testing.assert_allclose(
            value("retrieval-capacity", ensemble, lam=lam), capacity_by_quadrature(nodes, weights / 2, lam), rtol=1e-6
        )


@given(st.floats(0.05, 20), st.floats(0.05, 20))
@settings(max_examples=15, deadline=None)
def test_capacity_grows_with_lambda(first, second):
    low, high = sorted((first, second))
    ensemble = ProductMeasure(atoms={-1: Rational(1, 3), 2: Rational(2, 3)})
    values = value("retrieval-capacity", ensemble, lam=np.array([low, high]))
    assert values[0] <= values[1] * (1 + 1e-13)


def test_units_of_the_patterns():
    """Patterns scaled by k at lam/k^2 have the capacity of the patterns at lam."""
    atoms = {-1: Rational(1, 3), 2: Rational(2, 3)}
    scaled = {3 * k: w for k, w in atoms.items()}
    one = value("retrieval-capacity", ProductMeasure(atoms=atoms), lam=2.7)
    other = value("retrieval-capacity", ProductMeasure(atoms=scaled), lam=0.3)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_full_capacity_of_gaussian_patterns():
    lam = np.array([0.3, 0.5, 0.7])
    np.testing.assert_allclose(value("full-capacity", Gaussian(), lam=lam), [0.11759, 0.15274, 0.17322], atol=6e-6)
    solution = atlas["full-capacity"].solver()(lam=np.array([0.7, 0.7009, 0.7011, 5.0]))
    np.testing.assert_allclose(solution.outputs["pair"], np.log(2) / 4, rtol=1e-13)
    np.testing.assert_allclose(solution.outputs["noise"][-1], 1 / (2 * np.e), rtol=1e-12)
    assert list(solution.branch) == ["noise", "noise", "pair", "pair"]


@pytest.mark.slow
def test_full_capacity_of_a_gaussian_density_is_the_gaussian_one():
    ensemble = ProductMeasure(density=exp(-(X**2) / 2), variable=X)
    lam = np.array([0.5, 2.0])
    np.testing.assert_allclose(
        value("full-capacity", ensemble, lam=lam), value("full-capacity", Gaussian(), lam=lam), rtol=1e-9
    )


def test_full_capacity_of_the_linear_manifold_becomes_the_gaussian_one():
    lam = np.array([0.3, 0.5, 0.7, 2.0])
    far = value("full-capacity", HiddenManifold(), lam=lam, alpha_D=1e5)
    np.testing.assert_allclose(far, value("full-capacity", Gaussian(), lam=lam), rtol=1e-5)


@pytest.mark.parametrize(("lam", "alpha_d"), [(0.08, 0.5), (0.3, 0.5), (0.3, 2.0), (1.0, 1.3)])
def test_full_capacity_of_the_linear_manifold_from_the_worst_latent_variables(lam, alpha_d):
    """Both modes on a discretised spectrum, from their definitions: constrained minimum over laws, Chernoff's rate."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    root = np.sqrt(alpha_d)
    low, high = (1 - root) ** 2 / alpha_d, (1 + root) ** 2 / alpha_d
    angle = np.pi * (nodes + 1) / 2
    c = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    weight = alpha_d * ((high - low) / 2 * np.sin(angle)) ** 2 / (2 * np.pi * c) * weights * np.pi / 2

    def worst_margin(l, load):  # noqa: E741
        """Smallest mean of l c g^2 - l^2 c^2 g^2/2 over Gaussian laws of relative entropy `load`."""
        a = l * c - (l * c) ** 2 / 2
        widest = np.log(1e9) if a.min() >= 0 else np.log(-0.5 / a.min() * (1 - 1e-12))

        def cost(log_theta):
            v = 1 / (1 + 2 * np.exp(log_theta) * a)
            return weight @ (v - 1 - np.log(v)) / 2 - load

        v = 1 / (1 + 2 * np.exp(optimize.brentq(cost, -40, widest, xtol=1e-14)) * a)
        return weight @ (a * v)

    def best(load):
        found = optimize.minimize_scalar(lambda l: -worst_margin(l, load), bounds=(1e-6, min(lam, 2 / high)),  # noqa: E741
                                         method="bounded", options={"xatol": 1e-10})
        return -found.fun - load

    noise = optimize.brentq(best, 1e-6, 0.5)
    pair = optimize.minimize_scalar(lambda l: -weight @ np.log1p(2 * l * c - (l * c) ** 2) / 4,  # noqa: E741
                                    bounds=(0, (1 + np.sqrt(2)) / high), method="bounded", options={"xatol": 1e-12})
    solution = atlas["full-capacity"].with_(ensemble=HiddenManifold()).solver()(lam=lam, alpha_D=alpha_d)
    np.testing.assert_allclose(solution.outputs["noise"], noise, rtol=1e-7)
    np.testing.assert_allclose(solution.outputs["pair"], -pair.fun, rtol=1e-7)
    np.testing.assert_allclose(solution.value, min(noise, -pair.fun), rtol=1e-7)


def test_full_capacity_of_binary_and_spherical_patterns():
    for ensemble in (Binary(), Spherical()):
        np.testing.assert_allclose(
            value("full-capacity", ensemble, lam=1.3), value("retrieval-capacity", ensemble, lam=1.3), rtol=1e-12
        )
    solution = atlas["full-capacity"].with_(ensemble=Binary()).solver()(lam=1.3)
    np.testing.assert_allclose(solution.outputs["exact_recovery"], np.log(2) / 2, rtol=1e-14)


def test_full_capacity_of_atoms_against_brute_force():
    """min over Q of max(KL(Q|p), max_l E_Q G_l) on a grid of empirical laws of three atoms."""
    points, weights, lam = np.array([-2.0, 0.0, 3.0]), np.array([0.25, 0.5, 0.25]), 0.2
    l = np.linspace(1e-6, lam, 400)  # noqa: E741
    gains = l[:, None] * points**2 - np.log(np.exp(l[:, None, None] * points[:, None] * points).dot(weights))
    grid = np.linspace(1e-9, 1, 301)
    q0, q1 = (k.ravel() for k in np.meshgrid(grid, grid))
    keep = q0 + q1 < 1
    laws = np.stack([q0, q1, 1 - q0 - q1])[:, keep]
    cost = np.sum(laws * np.log(laws / weights[:, None]), axis=0)
    brute = np.min(np.maximum(cost, np.max(gains @ laws, axis=0)))
    solution = (
        atlas["full-capacity"]
        .with_(ensemble=ProductMeasure(atoms={-2: Rational(1, 4), 0: Rational(1, 2), 3: Rational(1, 4)}))
        .solver()(lam=lam)
    )
    np.testing.assert_allclose(solution.outputs["noise"], brute, rtol=2e-3)


def test_full_capacity_is_not_derived_for_a_nonlinear_manifold():
    with pytest.raises(DeriveError, match="missing are, for the noise mode"):
        atlas["full-capacity"].with_(activation=tanh)


def test_spherical_basin():
    alpha, lam = 0.4, 2.0
    m = value("retrieval-basin", Spherical(), alpha=alpha, lam=lam)
    assert 0 < m < 1
    # at the capacity the basin has shrunk to the pattern
    capacity = float(value("retrieval-capacity", Spherical(), lam=lam))
    np.testing.assert_allclose(
        value("retrieval-basin", Spherical(), alpha=capacity * (1 - 1e-13), lam=lam), 1, atol=1e-10
    )
    above = atlas["retrieval-basin"].with_(ensemble=Spherical()).solver()(alpha=capacity * 1.01, lam=lam)
    assert not above.converged
    assert "above the capacity" in str(above.reason)


@pytest.mark.parametrize("ensemble", [Gaussian(), HiddenManifold(), Binary()], ids=str)
def test_basin_at_the_capacity(ensemble):
    extra = {"alpha_D": 0.7} if isinstance(ensemble, HiddenManifold) else {}
    lam = 0.3
    capacity = float(value("retrieval-capacity", ensemble, lam=lam, **extra))
    noise = {} if isinstance(ensemble, Binary) else {"v": 0.0}
    np.testing.assert_allclose(
        value("retrieval-basin", ensemble, alpha=capacity * (1 - 1e-13), lam=lam, **extra, **noise), 1, atol=1e-9
    )


def test_gaussian_basin_by_hand():
    """Annealed: lam a = alpha + lam^2 (a^2 + v)/2; frozen: a = sqrt(2 alpha (a^2 + v))."""
    alpha, lam, v = 0.1, 0.2, 0.3
    found = value("retrieval-basin", Gaussian(), alpha=alpha, lam=lam, v=v)
    a = found
    level = lam * a
    assert lam * np.sqrt(a**2 + v) <= np.sqrt(2 * alpha)
    np.testing.assert_allclose(level, alpha + lam**2 * (a**2 + v) / 2, rtol=1e-12)
    cold = value("retrieval-basin", Gaussian(), alpha=alpha, lam=50.0, v=v)
    np.testing.assert_allclose(cold, np.sqrt(2 * alpha * v / (1 - 2 * alpha)), rtol=1e-12)
    back = atlas["retrieval-basin"].given("a").solver()(alpha=alpha, lam=50.0, a=float(cold))
    np.testing.assert_allclose(back.outputs["v"], v, rtol=1e-11)


def test_rem_condensation():
    alpha = np.array([0.1, 0.5, 3.0])
    np.testing.assert_allclose(value("rem-condensation", Gaussian(), alpha=alpha), np.sqrt(2 * alpha), rtol=1e-13)
    solution = (
        atlas["rem-condensation"].with_(ensemble=Binary()).solver()(alpha=np.array([0.5, np.log(2) * (1 + 1e-9)]))
    )
    assert list(solution.converged) == [True, False]
    assert "log(2)" in str(solution.reason[1])


@pytest.mark.parametrize("density", [exp(-abs(X)), 1 / (1 + X**4), exp(-sqrt(1 + X**2))], ids=str)
def test_a_cumulant_that_diverges_is_named(density):
    quantity = atlas["retrieval-capacity"].with_(ensemble=ProductMeasure(density=density, variable=X))
    with pytest.raises(DeriveError, match="diverges"):
        quantity.solver()


@pytest.mark.parametrize(
    ("density", "support"),
    [
        (1 + 0 * X, (-oo, oo)),
        (1 / X**2, (-1, 1)),
        (exp(X), (0, oo)),
        (1 / abs(X), (-1, 1)),
        (X, (-1, 1)),
        (1 / (1 + abs(X)), (-oo, oo)),
    ],
    ids=str,
)
def test_a_density_that_is_none(density, support):
    with pytest.raises(DeriveError):
        ProductMeasure(density=density, variable=X, support=support)


def test_a_density_with_complex_values_is_none():
    with pytest.raises(DeriveError, match="the density is not real at -"):
        ProductMeasure(density=2 + sqrt(X), variable=X, support=(-1, 1))


def test_normalisation_is_done_here():
    assert ProductMeasure(density=7 * exp(-(X**2) / 2), variable=X) == ProductMeasure(
        density=exp(-(X**2) / 2) / sqrt(2 * pi), variable=X
    )
    assert ProductMeasure(density=1 - abs(X), variable=X, support=(-1, 1)).rho == Rational(1, 6)
    numeric = integrate.quad(lambda x: np.exp(-(x**4)), -np.inf, np.inf)[0]
    second = integrate.quad(lambda x: x**2 * np.exp(-(x**4)), -np.inf, np.inf)[0]
    assert abs(float(ProductMeasure(density=exp(-(X**4)), variable=X).rho) - second / numeric) < 1e-9


@pytest.mark.parametrize("ensemble", [Gaussian(), HiddenManifold()])
def test_above_the_capacity_no_noise_is_tolerated(ensemble):
    """The amplitude that is asked about is no answer where there is no noise at the boundary."""
    extra = {"alpha_D": 0.7} if isinstance(ensemble, HiddenManifold) else {}
    basin = atlas["retrieval-basin"].with_(ensemble=ensemble).given("a")
    capacity = float(value("retrieval-capacity", ensemble, lam=0.3, **extra))
    at = {"lam": 0.3, "a": 1.0, **extra}
    below, above = (basin.solver()(alpha=capacity * factor, **at) for factor in (0.99, 1.01))
    assert bool(below.converged)
    assert not bool(above.converged)
    assert np.isnan(above.value)
    assert "no noise" in str(above.reason)
    exact = basin.solver("mpmath")(digits=20, alpha=f"{capacity * 1.01:.6g}", **{k: str(v) for k, v in at.items()})
    assert (bool(exact.converged), str(exact.branch)) == (False, "none")


def test_above_the_largest_rate_of_atoms_no_amplitude_is_enough():
    """The rate of the noise is at most -E log p(largest overlap), log(8)/4 here: whatever the amplitude, no root."""
    sparse = ProductMeasure(atoms={-1: Rational(1, 8), 0: Rational(3, 4), 1: Rational(1, 8)})
    solve = atlas["retrieval-basin"].with_(ensemble=sparse).solver()
    for alpha in (np.array([1.233]), np.array([0.3, 0.6, 1.233])):  # none has a root; some have
        found = solve(alpha=alpha, lam=0.1826, v=0.2173)
        np.testing.assert_array_equal(found.converged, alpha < np.log(8) / 4)
        assert all("no amplitude" in str(r) for r in found.reason[~found.converged])
