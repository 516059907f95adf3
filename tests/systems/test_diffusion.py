"""Memorization in diffusion: the claims of PHYSICS section 4 and what must hold for any law of data."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational, Symbol, exp

from derive import Binary, DeriveError, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas

X = Symbol("x", real=True)
EPS = np.finfo(float).eps
UNIFORM = ProductMeasure(density=Rational(1, 2), variable=X, support=(-1, 1))


def solve(name, ensemble=None, **parameters):
    quantity = atlas[name] if ensemble is None else atlas[name].with_(ensemble=ensemble)
    return quantity.solver()(**parameters)


@pytest.mark.parametrize(
    ("alpha", "alpha_d", "t_g", "t_c", "t_o"),
    [
        (0.2, 0.1, 0.017395320, 0.177341511, 0.473428107),
        (0.2, 0.5, 0.387395431, 1.409612764, 3.152598308),
        (0.5, 0.5, 0.101951439, 0.243791980, 0.600420521),
    ],
)
def test_reference_numbers(alpha, alpha_d, t_g, t_c, t_o):
    """PHYSICS section 4."""
    found = [
        float(solve(n, alpha=alpha, alpha_D=alpha_d).value)
        for n in ("generalization-time", "collapse-time", "onset-time")
    ]
    np.testing.assert_allclose(found, [t_g, t_c, t_o], atol=6e-10)


def test_collapse_far_below_the_smallest_double():
    solution = solve("collapse-time", alpha=1.0, alpha_D=1 / 500)
    assert solution.converged
    assert solution.value == 0
    with mpmath.workdps(60):
        d = mpmath.mpf(1 / 500)
        # expansion of PHYSICS section 4; the next term is of order t_c
        expected = -2 / d - mpmath.log(d) + (1 / d - 1) * (-mpmath.log(1 - d)) - 1
    assert abs(float(solution.log_value) - float(expected)) < 1e-12 * 1000
    assert abs(float(solution.log_value - float(expected))) < 1e-12


@given(st.floats(np.log(1e-3), np.log(20)), st.floats(np.log(1e-3), np.log(10)))
@settings(max_examples=150, deadline=None)
def test_order_of_the_times(log_alpha, log_ratio):
    alpha, ratio = np.exp(log_alpha), np.exp(log_ratio)
    generalization = solve("generalization-time", alpha=alpha, alpha_D=ratio)
    logs = [
        float(generalization.log_value),
        -float(generalization.outputs["log_b_star"]),
        *(float(solve(n, alpha=alpha, alpha_D=ratio).log_value) for n in ("collapse-time", "onset-time")),
    ]
    for earlier, later in itertools.pairwise(logs):
        assert earlier < later + 4 * EPS * max(1, abs(later)), logs


@pytest.mark.parametrize(
    "ensemble",
    [HiddenManifold(), Gaussian(), Binary(), pytest.param(UNIFORM, marks=pytest.mark.slow)],
    ids=lambda e: e.name,
)
def test_basin_is_continuous_at_the_collapse_and_constant_below(ensemble):
    extra = {"alpha_D": 0.5} if isinstance(ensemble, HiddenManifold) else {}
    t_c = float(solve("collapse-time", ensemble, alpha=0.4, **extra).value)
    t = t_c * np.array([1e-3, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9])
    radius = solve("basin-radius", ensemble, alpha=0.4, t=t, **extra)
    assert radius.converged.all()
    np.testing.assert_allclose(radius.value, np.sqrt(t_c), rtol=1e-7)
    t_o = float(solve("onset-time", ensemble, alpha=0.4, **extra).value)
    near = solve("basin-radius", ensemble, alpha=0.4, t=t_o * np.array([1 - 1e-6, 1 + 1e-6]), **extra)
    assert near.converged[0]
    assert near.value[0] < 0.05 * np.sqrt(t_c)
    assert not near.converged[1]
    assert "above the onset time" in str(near.reason[1])


def test_divergence_has_its_minimum_at_the_generalization_time():
    alpha, ratio = 0.4, 0.3
    t_g = float(solve("generalization-time", alpha=alpha, alpha_D=ratio).value)
    values = solve("kl-divergence", alpha=alpha, alpha_D=ratio, t=t_g * np.array([0.9, 1.0, 1.1])).value
    assert abs(values[1]) < 1e-14
    assert (values[[0, 2]] > 0).all()
    joint = 1 / float(solve("generalization-time", alpha=alpha, alpha_D=ratio).outputs["b_star"])
    t = joint * np.array([1 - 1e-12, 1.0, 1 + 1e-12])
    around = solve("kl-divergence", alpha=alpha, alpha_D=ratio, t=t).value
    np.testing.assert_allclose(around, around[1], rtol=1e-10)


def test_gaussian_data_are_the_manifold_at_large_ratio():
    for name in ("onset-time", "collapse-time", "generalization-time"):
        one, other = solve(name, Gaussian(), alpha=0.7).value, solve(name, alpha=0.7, alpha_D=1e7).value
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_gaussian_collapse_in_closed_form():
    alpha = np.array([1e-3, 0.3, 5.0, 20.0])
    np.testing.assert_allclose(
        solve("collapse-time", Gaussian(), alpha=alpha).log_value, -np.log(np.expm1(2 * alpha)), rtol=1e-13, atol=1e-13
    )


def test_gaussian_density_is_the_gaussian_ensemble():
    density = ProductMeasure(density=exp(-(X**2) / 2), variable=X)
    for name in ("onset-time", "collapse-time", "generalization-time"):
        np.testing.assert_allclose(
            solve(name, density, alpha=np.array([0.2, 3.0])).log_value,
            solve(name, Gaussian(), alpha=np.array([0.2, 3.0])).log_value,
            atol=1e-9,
        )


@pytest.mark.parametrize("name", ["onset-time", "collapse-time", "generalization-time"])
def test_no_root_above_the_entropy(name):
    for ensemble, limit in (
        (Binary(), np.log(2)),
        (ProductMeasure(atoms={0: Rational(9, 10), 1: Rational(1, 10)}), 0.3250829733914482),
    ):
        solution = solve(name, ensemble, alpha=np.array([limit * 0.9, limit * (1 + 1e-12), 5.0]))
        assert list(solution.converged) == [True, False, False]
        assert np.isnan(solution.value[1])
        assert solution.branch[1] == "none"
        assert "entropy" in str(solution.reason[1])


def test_binary_information_by_quadrature():
    """alpha = I(x_0; x_t) for x_0 = +-1: an integral of log(1 + exp(-2x)) that does not go through any node."""
    t = float(solve("collapse-time", Binary(), alpha=0.4).value)
    with mpmath.workdps(30):

        def integrand(w):
            return mpmath.npdf(w) * mpmath.log1p(mpmath.exp(-2 * (1 / mpmath.mpf(t) + w / mpmath.sqrt(t))))

        information = mpmath.log(2) - mpmath.quad(integrand, [-12, -6, -3, 0, 3, 6, 12])
    assert abs(float(information) - 0.4) < 1e-11


def test_units_of_the_data():
    """Data scaled by k have their times scaled by k^2."""
    atoms = {-1: Rational(1, 3), 0: Rational(1, 3), 2: Rational(1, 3)}
    scaled = {3 * k: w for k, w in atoms.items()}
    for name in ("onset-time", "collapse-time", "generalization-time"):
        one = solve(name, ProductMeasure(atoms=atoms), alpha=0.5).log_value
        other = solve(name, ProductMeasure(atoms=scaled), alpha=0.5).log_value
        np.testing.assert_allclose(other - one, np.log(9), atol=1e-9)


def test_not_derived_for_the_sphere():
    with pytest.raises(DeriveError, match="not derived for this ensemble"):
        atlas["collapse-time"].with_(ensemble=Spherical())
