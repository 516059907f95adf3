"""Crossings, the bootstrap and the extrapolation, on curves whose answer is known."""

import math

import numpy as np
import pytest

from derive.simulate.fit import FORMS, bootstrap_means, crossing, extrapolate

LOG_T = np.linspace(-1.4, 2.0, 18)


def falling(log_t: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.array([math.erfc((x - centre) / width / math.sqrt(2)) / 2 for x in log_t])


@pytest.mark.parametrize("width", [0.25, 0.4, 0.8])
@pytest.mark.parametrize("centre", [0.03, 0.34, 0.55])
def test_the_grid_is_fine_enough(centre: float, width: float) -> None:
    assert crossing(LOG_T, falling(LOG_T, centre, width)) == pytest.approx(centre, abs=2e-3)


def test_crossing_is_exact_for_linear_log_odds() -> None:
    curve = 1 / (1 + np.exp(3 * (LOG_T - 0.3456)))
    assert crossing(LOG_T, curve) == pytest.approx(0.3456, abs=1e-12)
    assert crossing(LOG_T, curve, level=0.2) == pytest.approx(0.3456 + math.log(4) / 3, abs=1e-12)


def test_the_last_crossing_counts_and_none_is_nan() -> None:
    log_t = np.arange(5.0)
    curves = np.array([[0.9, 0.4, 0.6, 0.4, 0.1], [0.9] * 5, [0.1] * 5, [0.9, 0.8, 0.5, 0.2, 0.1], [1, 1, 1, 0, 0]])
    np.testing.assert_allclose(crossing(log_t, curves), [2.5, np.nan, np.nan, 2.0, 2.5])


def test_bootstrap_scatter_is_the_error_of_the_mean() -> None:
    samples = np.random.default_rng(1).normal(size=(400, 3))
    means = bootstrap_means(samples, 4000, (1, 2))
    assert means.shape == (4000, 3)
    np.testing.assert_allclose(means.std(axis=0), samples.std(axis=0) / 20, rtol=0.05)
    np.testing.assert_allclose(means.mean(axis=0), samples.mean(axis=0), atol=5e-3)
    np.testing.assert_array_equal(means, bootstrap_means(samples, 4000, (1, 2)))
    assert not np.array_equal(means, bootstrap_means(samples, 4000, (1, 3)))


@pytest.mark.parametrize("form", FORMS)
def test_a_form_finds_its_own_coefficients(form: str) -> None:
    sizes = np.array([24.0, 30, 38, 48, 62, 80])
    coefficients = [0.3, *np.linspace(2, 3, len(FORMS[form]))]
    values = np.column_stack([np.ones(6), *(term(sizes) for term in FORMS[form])]) @ coefficients
    fit, _ = extrapolate(form, sizes, values, np.linspace(0.01, 0.03, 6), np.tile(values, (3, 1)))
    np.testing.assert_allclose(fit.coefficients, coefficients, atol=1e-6)
    assert fit.chi2 < 1e-9
    assert fit.dof == 6 - len(coefficients)


def test_the_error_of_a_fit_is_that_of_least_squares() -> None:
    sizes, errors = np.array([20.0, 40, 80]), np.array([0.01, 0.02, 0.02])
    noise = np.random.default_rng(2).normal(size=(20_000, 3)) * errors
    fit, constants = extrapolate("log t_c + A/N", sizes, 0.3 + 2 / sizes, errors, 0.3 + 2 / sizes + noise)
    terms = np.column_stack([np.ones(3), 1 / sizes]) / errors[:, None]
    assert fit.error == pytest.approx(math.sqrt(np.linalg.inv(terms.T @ terms)[0, 0]), rel=0.03)
    assert constants.shape == (20_000,)
