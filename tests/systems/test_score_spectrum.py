"""Spectra and gaps of the score's Jacobian: the claims of PHYSICS section 6 and what must hold for any variances."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from derive import DeriveError, Gaussian, HiddenManifold, atlas, solvers
from derive.cli import cli
from derive.core import Verdict
from derive.ensembles import VarianceManifold
from derive.methods.marchenko_pastur import SpectralLaw
from derive.methods.spectra import transitions
from derive.nodes import MarchenkoPastur, SpectralAverage
from derive.solvers.spectral_target import free_parts
from derive.symbols import alpha_D, c, g
from derive.systems.score_steps import HIGH, LOW, Covariance, gap_steps, inverse, script, shannon

EPS = np.finfo(float).eps
TWO = {1: Fraction(1, 2), Fraction(9, 100): Fraction(1, 2)}
THREE = {1: Fraction(1, 5), Fraction(1, 10): Fraction(1, 2), Fraction(1, 250): Fraction(3, 10)}
FIVE = {10.0**k: Fraction(1, 5) for k in (-4, -2, 0, 2, 4)}
NAMES = ("spectral-density", "spectral-edges", "spectral-gap", "gap-times")


@cache
def chosen(name, variances=None):
    return atlas[name] if variances is None else atlas[name].with_(variances=dict(variances))


def solve(name, variances=None, **parameters):
    quantity = chosen(name, None if variances is None else tuple(dict(variances).items()))
    return quantity.given(*parameters).solver()(**parameters)


def solvers_of(quantity, variances):
    """Solvers in doubles and in digits for other variances, without deriving the law anew."""
    problem = replace(quantity.question, inverse=inverse(VarianceManifold(variances).parts, g))
    return solvers.compile_spectrum(problem), solvers.compile_spectrum_mp(problem)


@st.composite
def manifolds(draw, largest=4):
    """Variances over eight decades on fractions that sum to 1."""
    count = draw(st.integers(1, largest))
    logs = draw(st.lists(st.integers(-400, 400), min_size=count, max_size=count, unique=True))
    shares = draw(st.lists(st.integers(1, 20), min_size=count, max_size=count))
    values = [sp.Rational(str(round(10 ** (k / 100), 8))) for k in logs]
    return {v: sp.Rational(s, sum(shares)) for v, s in zip(values, shares, strict=True)}


ratios = st.floats(-3, 2).map(lambda k: 10.0**k)


# ------------------------------------------------------------------------------------------------------- derivation


@pytest.mark.parametrize(
    "name",
    [
        "spectral-density",
        "gap-times",
        pytest.param("spectral-edges", marks=pytest.mark.slow),
        pytest.param("spectral-gap", marks=pytest.mark.slow),
    ],
)
def test_every_step_is_proved(name):
    ledger = atlas[name].with_(variances=TWO).ledger
    assert ledger.verdict is Verdict.PROVED, ledger.exceptions
    assert {"law", "edge", "order"} <= set(ledger.derivation.labels)


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": sp.tanh}, pytest.param({"activation": lambda h: sp.Max(0, h)}, marks=pytest.mark.slow)],
    ids=["linear", "tanh", "relu"],
)
def test_one_variance_is_proved_with_its_edges_in_closed_form(options):
    ledger = atlas["spectral-edges"].with_(**options).ledger
    assert ledger.verdict is Verdict.PROVED, ledger.exceptions
    assert {"isotropic-lower", "isotropic-upper", "discriminant"} <= set(ledger.derivation.labels)


def test_formulas_of_the_gaps_are_claims_of_the_derivation():
    claims = {s.label: s.claim for s in atlas["gap-times"].derivation}
    high, low, t = HIGH, LOW, sp.Symbol("t", positive=True)
    assert claims["t-max"] == sp.Eq(t, sp.sqrt(high * low))
    largest = (sp.sqrt(high) - sp.sqrt(low)) / (sp.sqrt(high) + sp.sqrt(low))
    assert claims["gap-largest"].rhs == largest
    resolution = sp.Symbol("G", positive=True)
    assert claims["final-time"].rhs == high * (1 - resolution) / resolution


def test_a_wrong_claim_is_refuted():
    """The gap is not widest at the mean of the edges."""
    derivation = atlas["gap-times"].derivation
    wrong = replace(derivation["t-max"], claim=sp.Eq(sp.Symbol("t", positive=True), (HIGH + LOW) / 2))
    steps = (replace(derivation["order"], premises=()), *gap_steps(script()))
    steps = tuple(wrong if s.label == "t-max" else s for s in steps)
    assert type(derivation)("wrong", "wrong", steps).check()["t-max"].verdict is Verdict.REFUTED


# ------------------------------------------------------------------------------------------------------------ edges


@given(ratios, st.floats(-4, 4))
@settings(max_examples=15, deadline=None)
def test_one_variance_has_the_edges_of_marchenko_and_pastur(ratio, log_variance):
    variance = sp.Rational(str(round(10.0**log_variance, 10)))
    edges = solvers_of(atlas["spectral-edges"], {variance: 1})[0](alpha_D=ratio).value
    with mpmath.workdps(40):
        root, s2 = mpmath.sqrt(mpmath.mpf(ratio)), mpmath.mpf(variance.p) / variance.q
        for edge, sign in zip(edges, (-1, 1), strict=True):
            exact = s2 * (1 + sign / root) ** 2
            assert abs(mpmath.mpf(edge) - exact) <= 8 * EPS * exact


@pytest.mark.parametrize("ratio", ["1", "0.99999999", "1.00000001"])
def test_the_lower_edge_at_ratio_one_is_hard_and_close_to_it_has_its_digits(ratio):
    found = solve("spectral-edges", alpha_D=float(ratio))
    exact = atlas["spectral-edges"].solver("mpmath")(alpha_D=float(ratio), digits=30).value
    assert abs(found.value[0] - float(exact[0])) <= 8 * EPS * float(exact[0])
    assert (found.value[0] == 0) == (ratio == "1")
    assert (found.outputs["atom_weight"] > 0) == (float(ratio) < 1)


@given(manifolds(), ratios)
@settings(max_examples=25, deadline=None)
def test_edges_agree_with_the_roots_of_the_polynomial(variances, ratio):
    """Newton's method in doubles against all roots of the polynomial in many digits."""
    doubles, digits = solvers_of(atlas["spectral-edges"], variances)
    found, exact = doubles(alpha_D=ratio), digits(alpha_D=ratio, digits=30)
    wanted = np.array(exact.value, dtype=float)
    assume((exact.outputs["separate"].astype(int) == found.outputs["separate"]).all())  # exactly at a merger
    close = np.nanmin(np.diff(wanted) / wanted[1:])
    np.testing.assert_allclose(found.value, wanted, rtol=1e-13 if close > 1e-6 else 1e-11)


@given(manifolds(), ratios)
@settings(max_examples=25, deadline=None)
def test_the_slope_of_the_law_vanishes_at_edges_and_weights_sum_to_one(variances, ratio):
    found = solvers_of(atlas["spectral-edges"], variances)[0](alpha_D=ratio)
    edges = found.value[np.isfinite(found.value)]
    assert (np.diff(edges) > 0).all()
    assert edges.size == 2 * found.outputs["bulks"] == 2 * (1 + found.outputs["separate"].sum())
    assert abs(np.nansum(found.outputs["weights"]) + found.outputs["atom_weight"] - 1) < 4 * EPS * max(1, ratio)
    mean = float(sum(v * f for v, f in variances.items())) / min(1, ratio)  # of the bulks: <c> = sum of alpha_k v_k
    assert edges[0] < mean < edges[-1]


def test_scaling_of_all_variances_scales_the_edges():
    wide = solve("spectral-edges", {4 * v: f for v, f in THREE.items()}, alpha_D=0.3).value
    np.testing.assert_allclose(wide, 4 * solve("spectral-edges", THREE, alpha_D=0.3).value, rtol=4 * EPS)


def test_equal_variances_are_one():
    same = atlas["spectral-edges"].with_(variances=[(1, Fraction(1, 3)), (1, Fraction(2, 3))]).solver()(alpha_D=0.3)
    assert (same.value == solve("spectral-edges", alpha_D=0.3).value).all()


@pytest.mark.parametrize("ratio", [1e-4, 1e4])
@pytest.mark.parametrize("alpha", [0.05, 0.4, 0.9])
def test_far_apart_variances(ratio, alpha):
    """Each bulk is nearly that of its own, the small one seeing what the large one leaves of the space."""
    found = solve("spectral-edges", {1: Fraction(1, 2), ratio: Fraction(1, 2)}, alpha_D=alpha)
    exact = atlas["spectral-edges"].with_(variances={1: Fraction(1, 2), ratio: Fraction(1, 2)}).solver("mpmath")
    np.testing.assert_allclose(found.value, exact(alpha_D=alpha, digits=20).value.astype(float), rtol=1e-13)
    assert found.outputs["bulks"] == 2
    a, v = alpha / 2, max(1, ratio) / alpha
    np.testing.assert_allclose(found.value[2:], v * (1 + np.array([-1, 1]) * np.sqrt(a)) ** 2, rtol=2e-3)
    left = 1 - a
    v = min(1, ratio) / alpha
    np.testing.assert_allclose(found.value[:2], v * (np.sqrt(left) + np.array([-1, 1]) * np.sqrt(a)) ** 2, rtol=2e-3)


def test_five_variances_over_eight_decades():
    found = solve("spectral-edges", FIVE, alpha_D=0.5)
    assert found.outputs["bulks"] == 5
    exact = atlas["spectral-edges"].with_(variances=FIVE).solver("mpmath")(alpha_D=0.5, digits=20)
    np.testing.assert_allclose(found.value, exact.value.astype(float), rtol=1e-13)


def test_nearly_merging_bulks():
    """At the merger of two bulks the facing edges meet as the power 3/2 of the distance from it."""
    def apart(alpha):
        return bool(solve("spectral-edges", TWO, alpha_D=alpha).outputs["separate"][0])

    low, high = 0.5, 1.5
    assert apart(low)
    assert not apart(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if apart(middle) else (low, middle)
    steps = low * np.array([1e-4, 1e-6])
    edges = solve("spectral-edges", TWO, alpha_D=low - steps).value
    widths = edges[:, 2] - edges[:, 1]
    assert widths[0] / widths[1] == pytest.approx(1000, rel=0.02)
    for row, alpha in zip(edges, low - steps, strict=True):
        exact = atlas["spectral-edges"].with_(variances=TWO).solver("mpmath")(alpha_D=float(alpha), digits=20)
        np.testing.assert_allclose(row, exact.value.astype(float), rtol=1e-13)


def test_one_solver_takes_the_parameters_of_all_variants():
    solver = atlas["spectral-density"].solver()
    assert solver(alpha_D=0.4).value.shape == (240,)
    assert solver(alpha_D=0.4, c=1.0).value == atlas["spectral-density"].given("c").solver()(alpha_D=0.4, c=1.0).value
    with pytest.raises(DeriveError, match="unknown parameter 'u'"):
        solver(alpha_D=0.4, u=1.0)


def test_edges_of_the_score_are_the_images_of_edges():
    edges = solve("spectral-edges", THREE, alpha_D=0.3).value
    for t in (1e-12, 1.0, 1e12):
        moved = solve("spectral-edges", THREE, alpha_D=0.3, t=t)
        np.testing.assert_allclose(moved.value, -t / (t + edges), rtol=4 * EPS)
        assert moved.outputs["atom"] == -1


@pytest.mark.parametrize("variances", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("alpha", [Fraction(1, 10), Fraction(2, 5), Fraction(3, 2)])
def test_the_algebraic_law_has_the_same_edges_and_density(variances, alpha):
    """Newton's method on the load against the isolated roots of the discriminant, and both densities."""
    law = VarianceManifold(variances).law(sp.Rational(alpha.numerator, alpha.denominator))
    found = solve("spectral-edges", variances, alpha_D=float(alpha))
    edges = np.array([float(edge) for edge in law.edges()])
    np.testing.assert_allclose(found.value[np.isfinite(found.value)], edges, rtol=1e-13)
    x = np.concatenate([low + (high - low) * np.linspace(0.01, 0.99, 9) for low, high in edges.reshape(-1, 2)])
    density = solve("spectral-density", variances, alpha_D=float(alpha), c=x)
    np.testing.assert_allclose(density.value, law.density(x), rtol=1e-11)
    np.testing.assert_allclose(density.outputs["fraction_below"], law.cdf(x), atol=1e-10)


def test_bulks_merge_where_the_discriminant_says():
    (merger,) = transitions(VarianceManifold(TWO).law(alpha_D), alpha_D, 0, 3)
    near = float(merger) * np.array([1 - 1e-9, 1 + 1e-9])
    assert list(solve("spectral-edges", TWO, alpha_D=near).outputs["bulks"]) == [2, 1]


# ---------------------------------------------------------------------------------------------------------- density


@given(manifolds(3), ratios, st.floats(0.001, 0.999))
@settings(max_examples=25, deadline=None)
def test_density_satisfies_the_equation_of_the_law(variances, ratio, place):
    """Against the complex roots of the polynomial in many digits; and it is the slope of the fraction below."""
    doubles, digits = solvers_of(atlas["spectral-density"].given("c"), variances)
    edges = solvers_of(atlas["spectral-edges"], variances)[0](alpha_D=ratio).value
    bulk = np.random.default_rng(0).integers(np.sum(np.isfinite(edges)) // 2)
    at = edges[2 * bulk] + place * (edges[2 * bulk + 1] - edges[2 * bulk])
    found, exact = doubles(alpha_D=ratio, c=at), digits(alpha_D=ratio, c=float(at), digits=20)
    ends = np.array(edges[2 * bulk : 2 * bulk + 2])
    rounding = 10 * EPS * np.max(ends / np.maximum(np.abs(at - ends), EPS * ends))
    assert float(found.value) == pytest.approx(float(exact.value), rel=1e-10 + rounding)
    assert float(found.outputs["fraction_below"]) == pytest.approx(float(exact.outputs["fraction_below"]), abs=1e-12)


def test_density_of_one_variance_is_that_of_marchenko_and_pastur():
    for ratio in (Fraction(2, 5), 1, 3):
        law = SpectralLaw(sp.Rational(ratio))
        x = np.linspace(0.01, 8, 200)
        found = solve("spectral-density", alpha_D=float(ratio), c=x)
        np.testing.assert_allclose(found.value, law.density_values(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variances", [TWO, THREE, FIVE], ids=["two", "three", "five"])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
def test_the_profile_integrates_to_one_and_to_the_moments(variances, alpha):
    found = solve("spectral-density", variances, alpha_D=alpha)
    weights, points = found.outputs["weights"], found.outputs["points"]
    spread = 1e-10 if found.outputs["bulks"] == len(variances) else 1e-3  # merged bulks have steep places inside
    assert weights.sum() + found.outputs["atom_weight"] == pytest.approx(1, abs=spread)
    mean = sum(float(v) * float(f) for v, f in variances.items())
    square = sum(float(v) ** 2 * float(f) for v, f in variances.items())
    assert weights @ points == pytest.approx(mean, rel=spread)  # <c> = sum alpha_k v_k
    assert weights @ points**2 == pytest.approx(square / alpha + mean**2, rel=spread)  # second free cumulant
    # the slope of the fraction below is the density
    assert (np.diff(found.outputs["fraction_below"]) > 0).all()


def test_density_of_the_score_is_moved_with_its_volume():
    t, points = 0.7, np.array([0.1, 0.3, 2.0])
    moved = solve("spectral-density", TWO, alpha_D=0.4, t=t, j=-t / (t + points))
    still = solve("spectral-density", TWO, alpha_D=0.4, c=points)
    np.testing.assert_allclose(moved.value, still.value * (t + points) ** 2 / t, rtol=1e-12)
    profile = solve("spectral-density", TWO, alpha_D=0.4, t=t)
    order = np.argsort(profile.outputs["points"])
    gap = np.trapezoid(profile.value[order], profile.outputs["points"][order]) - 0.4
    assert abs(gap) < 1e-2


def test_hard_edge():
    found = solve("spectral-density", alpha_D=1.0, c=np.array([0.0, 1e-12]))
    assert np.isinf(found.value[0])
    assert not found.converged[0]
    assert found.value[1] == pytest.approx(1e6 / np.pi, rel=1e-6)  # 1/(pi sqrt c)


# ------------------------------------------------------------------------------------------------------------- gaps


@given(manifolds(), ratios, st.floats(-12, 12))
@settings(max_examples=25, deadline=None)
def test_gaps_are_differences_of_edges(variances, ratio, log_t):
    t = 10.0**log_t
    gaps = solvers_of(atlas["spectral-gap"], variances)[0](alpha_D=ratio, t=t)
    edges = solvers_of(atlas["spectral-edges"], variances)[0](alpha_D=ratio)
    assert (np.isfinite(gaps.value[0])) == (ratio < 1)
    if ratio < 1:
        low = mpmath.mpf(float(edges.value[0]))
        assert abs(gaps.value[0] - low / (t + low)) <= 8 * EPS * gaps.value[0]
    assert (np.isfinite(gaps.value[1:]) == (edges.outputs["separate"] == 1)).all()
    for value, lower, upper, largest in zip(
        gaps.value, gaps.outputs["lower"], gaps.outputs["upper"], gaps.outputs["largest"], strict=True
    ):
        if np.isfinite(value):
            assert value <= largest * (1 + 8 * EPS)
            exact = mpmath.mpf(t) * (mpmath.mpf(upper) - mpmath.mpf(lower))
            exact /= (mpmath.mpf(t) + mpmath.mpf(upper)) * (mpmath.mpf(t) + mpmath.mpf(lower))
            assert abs(value - exact) <= 1e-12 * exact


@given(manifolds(), ratios, st.floats(-6, -1e-6))
@settings(max_examples=25, deadline=None)
def test_gaps_have_the_size_of_the_resolution_when_they_open_and_close(variances, ratio, log_g):
    resolution = 10.0**log_g
    times = solvers_of(atlas["gap-times"], variances)[0](alpha_D=ratio, resolution=resolution)
    for k, opened in enumerate(times.value):
        low, high, largest = (times.outputs[key][k] for key in ("lower", "upper", "largest"))
        if not np.isfinite(opened):
            assert np.isnan(low) or largest <= resolution
            continue
        closed, widest = times.outputs["t_close"][k], times.outputs["t_max"][k]
        assert opened > widest >= closed >= 0
        with mpmath.workdps(40):
            p, q = mpmath.mpf(high), mpmath.mpf(low)
            for t in (opened, closed) if closed > 0 else (opened,):
                t = mpmath.mpf(t)
                near = abs(largest - resolution) / largest  # where the two times merge they lose digits
                assert abs(t * (p - q) / ((t + p) * (t + q)) / resolution - 1) < 1e-12 + 1e-14 / near


def test_the_gap_is_widest_at_t_max():
    times = solve("gap-times", TWO, alpha_D=0.4, resolution=0.1)
    t_max, largest = times.outputs["t_max"][1], times.outputs["largest"][1]
    gaps = solve("spectral-gap", TWO, alpha_D=0.4, t=t_max * np.array([0.9, 1.0, 1.1])).value[:, 1]
    assert gaps[1] == pytest.approx(largest, rel=1e-14)
    assert gaps[1] > max(gaps[0], gaps[2])


def test_final_gap_of_one_variance():
    """gamma_- (1 - G)/G, and the three phases."""
    found = solve("gap-times", alpha_D=0.25, resolution=0.2)
    assert found.value == pytest.approx([1.0 * 0.8 / 0.2], rel=1e-15)
    assert found.outputs["t_coverage"] == found.outputs["t_consolidation"] == found.value[0]


def test_phases_are_in_order():
    found = solve("gap-times", TWO, alpha_D=np.array([0.1, 0.4, 0.8, 1.2]), resolution=0.1)
    assert (found.outputs["t_coverage"] >= found.outputs["t_consolidation"]).all()
    assert found.outputs["t_coverage"][1] > found.outputs["t_consolidation"][1] > 0
    assert found.outputs["t_consolidation"][3] == 0
    assert list(found.converged) == [True, True, True, False]


def test_no_gap_is_said_with_its_reason():
    above = solve("spectral-gap", alpha_D=1.0, t=1.0)
    assert not above.converged
    assert "no final gap" in str(above.reason)
    assert "alpha_D" in str(above.reason)
    small = solve("gap-times", TWO, alpha_D=0.4, resolution=0.3)
    assert small.converged
    assert np.isnan(small.value[1])
    assert "resolution" in str(small.reason)
    merged = solve("gap-times", TWO, alpha_D=1.4, resolution=0.1)
    assert "merged" in str(merged.reason)


@pytest.mark.parametrize("alpha", ["1/10", "2/5"])
def test_digits_agree_with_doubles(alpha):
    quantity = atlas["gap-times"].with_(variances=THREE)
    exact = quantity.solver("mpmath")(alpha_D=alpha, resolution="1/100", digits=40)
    found = quantity.solver()(alpha_D=float(Fraction(alpha)), resolution=0.01)
    np.testing.assert_allclose(found.value, exact.value.astype(float), rtol=1e-12)
    for key in ("t_max", "t_close", "lower", "upper", "largest"):
        np.testing.assert_allclose(found.outputs[key], exact.outputs[key].astype(float), rtol=1e-12)


# ------------------------------------------------------------------------------------------- Shannon transform, limits


def test_shannon_transform_against_the_profile():
    """<log(1 + c/t)> from the resolvent at its stationary point, against the average over the density."""
    parts = Covariance(VarianceManifold(TWO)).parts
    at = {alpha_D: sp.Rational(2, 5)}
    profile = solve("spectral-density", TWO, alpha_D=0.4)
    for t in (0.05, 1.0, 30.0):
        exact = sp.Rational(str(t))
        root = sp.nsolve((exact + inverse(parts, g)).subs(at), g, (1e-6, 1e6), solver="bisect", verify=False)
        closed = float(shannon(parts, root, exact).subs(at))
        assert closed == pytest.approx(profile.outputs["weights"] @ np.log1p(profile.outputs["points"] / t), rel=1e-10)


def test_shannon_transform_of_one_variance_gives_the_collapse_time():
    """Half of it is the load at which the diffusion on the linear manifold collapses."""
    t = float(atlas["collapse-time"].solver()(alpha=0.2, alpha_D=0.5).value)
    profile = solve("spectral-density", alpha_D=0.5)
    assert profile.outputs["weights"] @ np.log1p(profile.outputs["points"] / t) / 2 == pytest.approx(0.2, rel=1e-10)
    law = MarchenkoPastur(sp.Rational(1, 2))
    assert float(SpectralAverage(sp.log(1 + c / t), c, law).doit()) / 2 == pytest.approx(0.2, rel=1e-10)


# ------------------------------------------------------------------------------------------------- sampled matrices


def sampled(variances, size, latent, count, seed):
    """Eigenvalues (count, size) of sampled covariances F diag(s^2) F^T / latent."""
    rng = np.random.default_rng(seed)
    sizes = [round(float(f) * latent) for f in variances.values()]
    assert sum(sizes) == latent
    scale = np.repeat([np.sqrt(float(v)) for v in variances], sizes)
    f = rng.standard_normal((count, size, latent)) * scale
    return np.linalg.eigvalsh(f @ f.transpose(0, 2, 1) / latent)


@pytest.mark.parametrize(("variances", "alpha"), [(TWO, Fraction(2, 5)), (TWO, 2), ({1: 1}, Fraction(1, 2))])
def test_sampled_matrices_have_the_fractions_of_the_law(variances, alpha):
    """Mean fractions of eigenvalues below points inside the bulks, with the correction of order 1/d, at d = 60."""
    size, count = 60, 400
    eigenvalues = sampled(variances, size, int(alpha * size), count, seed=6)
    profile = solve("spectral-density", variances, alpha_D=float(alpha)).outputs
    start, total = float(profile["atom_weight"]), 1 - float(profile["atom_weight"])
    points = np.interp(start + total * np.array([0.1, 0.3, 0.6, 0.9]), profile["fraction_below"], profile["points"])
    below = np.mean(eigenvalues[..., None] < points, axis=1)
    theory = solve("spectral-density", variances, alpha_D=float(alpha), c=points).outputs
    error = below.std(axis=0, ddof=1) / np.sqrt(count)
    found = (below.mean(axis=0) - theory["fraction_below"] - theory["finite_size"] / size) / error
    assert np.abs(found).max() < 4


def test_sampled_data_of_an_activation_have_the_equivalent_law():
    """Covariance of tanh(F z / sqrt D) over many z: fractions below points, against the Gaussian-equivalent law."""
    rng = np.random.default_rng(3)
    size, latent, samples = 200, 80, 40_000
    f = rng.standard_normal((size, latent))
    data = np.tanh(rng.standard_normal((samples, latent)) @ f.T / np.sqrt(latent))
    eigenvalues = np.linalg.eigvalsh(np.cov(data.T))
    law = atlas["spectral-edges"].with_(activation=sp.tanh).solver()(alpha_D=0.4)
    assert np.mean(eigenvalues < law.value[0]) == pytest.approx(0.6, abs=0.011)  # no spike at 0: all above it
    assert eigenvalues[:120].mean() == pytest.approx(float(law.outputs["atom"]), rel=0.08)  # corrections of order 1/N
    assert eigenvalues[-1] == pytest.approx(law.value[1], rel=0.1)  # and N^(-2/3) at an edge
    points = np.quantile(eigenvalues[eigenvalues > law.value[0]], [0.25, 0.5, 0.75])
    density = atlas["spectral-density"].with_(activation=sp.tanh).given("c").solver()
    theory = density(alpha_D=0.4, c=points).outputs["fraction_below"]
    np.testing.assert_allclose(theory, [0.7, 0.8, 0.9], atol=0.015)


def test_constants_of_an_activation():
    relu = VarianceManifold(activation=lambda h: sp.Max(0, h))
    assert relu.slope == sp.Rational(1, 2)
    assert sp.simplify(relu.rest - sp.Rational(1, 4) + 1 / (2 * sp.pi)) == 0
    assert VarianceManifold().rest == 0


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("variances", "words"),
    [
        ({-1: 1}, "variance of the manifold is -1"),
        ({0: 1}, "variance of the manifold is 0"),
        ({1: Fraction(1, 2)}, "sum to 1/2"),
        ({1: Fraction(3, 2), 2: Fraction(-1, 2)}, "is -1/2"),
        ({}, "needs a variance"),
        ({1: float("nan")}, "not a finite number"),
        ({1: "1/2", 2: "1/2"}, "not a number"),
        ({sp.Symbol("s"): 1}, "not a real number"),
    ],
)
def test_bad_variances_are_one_clear_line(variances, words):
    with pytest.raises(DeriveError, match=words) as caught:
        atlas["spectral-edges"].with_(variances=variances)
    assert "\n" not in str(caught.value)


def test_what_has_no_spectrum_is_refused():
    with pytest.raises(DeriveError, match="not derived for this ensemble"):
        atlas["gap-times"].with_(ensemble=Gaussian())
    with pytest.raises(DeriveError, match="linear part"):
        atlas["gap-times"].with_(activation=sp.cos)
    with pytest.raises(DeriveError, match="latent variances belong to the hidden manifold"):
        atlas["retrieval-capacity"].with_(variances=TWO)
    with pytest.raises(DeriveError, match="read off a spectrum"):
        _ = atlas["gap-times"].problem
    with pytest.raises(DeriveError, match="no free sum"):
        free_parts(-1 / g - g, g)


def test_floats_are_simple_fractions():
    assert VarianceManifold({0.09: 1 / 3, 1.0: 2 / 3}).variances == (
        (sp.Rational(9, 100), sp.Rational(1, 3)), (1, sp.Rational(2, 3)))


def test_an_activation_and_variances_together():
    both = atlas["spectral-edges"].with_(activation=sp.tanh).with_(variances=TWO)
    assert both.ensemble == VarianceManifold(TWO, sp.tanh)
    assert atlas["spectral-edges"].with_(variances=TWO).with_(activation=sp.tanh).ensemble == both.ensemble
    assert atlas["spectral-edges"].with_(ensemble=HiddenManifold(sp.tanh)).kind == "Spectrum"


# ----------------------------------------------------------------------------------------------------- command line


def run(*words):
    return CliRunner().invoke(cli, words)


def test_solve_writes_edges_as_a_list():
    found = run("solve", "spectral-edges", "alpha_D=0.4", "--variances", "1:1/2,0.09:1/2", "--json")
    data = json.loads(found.output)
    assert found.exit_code == 0
    np.testing.assert_allclose(data["value"], solve("spectral-edges", TWO, alpha_D=0.4).value, rtol=1e-15)
    assert data["outputs"]["bulks"] == 2
    assert data["options"]["variances"] == "9/100:1/2,1:1/2"
    assert data["entries"] == {"axis": "edge", "labels": ["1", "2", "3", "4"]}


def test_ragged_edges_are_padded_with_null():
    options = ("--variances", "1:1/2,0.09:1/2", "--json")
    data = json.loads(run("solve", "spectral-edges", "alpha_D=0.4:1.4:2", *options).output)
    assert data["value"][1][2:] == [None, None]
    assert data["outputs"]["bulks"] == [2, 1]


def test_times_in_other_clocks():
    plain = json.loads(run("solve", "gap-times", "alpha_D=0.4", "resolution=0.1", "--json").output)
    sigma = json.loads(run("solve", "gap-times", "alpha_D=0.4", "resolution=0.1", "--time", "sigma", "--json").output)
    tau = json.loads(run("solve", "gap-times", "alpha_D=0.4", "resolution=0.1", "--time", "tau", "--json").output)
    assert sigma["value"][0] == pytest.approx(plain["value"][0] ** 0.5)
    assert tau["outputs"]["tau_open"][0] == pytest.approx(np.log1p(plain["value"][0]) / 2)
    same = json.loads(run("solve", "spectral-gap", "alpha_D=0.4", "sigma=2", "--time", "sigma", "--json").output)
    assert same["value"] == json.loads(run("solve", "spectral-gap", "alpha_D=0.4", "t=4", "--json").output)["value"]


def test_digits_on_the_command_line():
    data = json.loads(run("solve", "spectral-edges", "alpha_D=1/4", "--digits", "30", "--json").output)
    assert [mpmath.mpf(k) for k in data["value"]] == [1, 9]


def test_absent_gaps_exit_with_one():
    found = run("solve", "gap-times", "alpha_D=1", "resolution=0.1")
    assert found.exit_code == 1
    assert "no final gap" in found.output


@pytest.mark.parametrize(
    "words",
    [
        ("solve", "spectral-edges", "alpha_D=0.4", "--variances", "1:1/2,-1:1/2"),
        ("solve", "spectral-edges", "alpha_D=0.4", "--variances", "1:1/2,2:1/4"),
        ("solve", "spectral-edges", "alpha_D=0.4", "--variances", ""),
        ("solve", "spectral-edges", "alpha_D=0.4", "--variances", "1"),
        ("solve", "spectral-edges", "alpha_D=0.4", "--ensemble", "binary", "--variances", "1:1"),
        ("solve", "spectral-edges", "alpha_D=-1"),
        ("solve", "gap-times", "alpha_D=0.4", "resolution=1"),
        ("solve", "spectral-edges", "--for", "alpha_D", "gamma=1"),
        ("solve", "spectral-density", "alpha_D=0.4", "--certify"),
        ("solve", "collapse-time", "alpha=1", "alpha_D=0.4", "--variances", "1:1"),
        ("plot", "spectral-edges", "alpha_D=0.4", "-o", "nowhere.png"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_line_and_exit_with_two(words):
    found = run(*words)
    assert found.exit_code == 2
    assert len(found.output.strip().splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_show_cite_and_list(name):
    shown = run("show", name, "--variances", "1:1/2,0.09:1/2")
    assert shown.exit_code == 0
    assert "eigenvalue" in shown.output
    assert "A4" in run("cite", name).output
    assert name in run("list").output


@pytest.mark.parametrize(
    "words",
    [
        ("spectral-edges", "alpha_D=0.1:1.5:20"),
        ("gap-times", "alpha_D=0.1:1.5:20", "resolution=0.1"),
        ("spectral-gap", "t=log:0.01:100:20", "alpha_D=0.4"),
        ("spectral-density", "alpha_D=0.4"),
        ("spectral-density", "alpha_D=0.2:0.8:2", "c=0.1:2:20"),
    ],
    ids=" ".join,
)
def test_figures(words, tmp_path):
    place = tmp_path / "figure.svg"
    found = run("plot", *words, "--variances", "1:1/2,0.09:1/2", "-o", str(place))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.output
    assert place.stat().st_size > 5000


@pytest.mark.parametrize("name", ["spectral-edges", pytest.param("gap-times", marks=pytest.mark.slow)])
def test_the_exported_file_stands_alone(name, tmp_path):
    place = atlas[name].with_(variances=TWO).export(tmp_path / "spectrum.py")
    text = place.read_text("utf-8")
    assert "import derive" not in text
    assert "from derive" not in text
    test = subprocess.run([sys.executable, "-I", place, "--selftest"], capture_output=True, text=True, check=False)
    assert test.returncode == 0, test.stdout + test.stderr
    given = ["alpha_D=0.4", *(["resolution=0.1"] if name == "gap-times" else [])]
    own = subprocess.run([sys.executable, "-I", place, *given], capture_output=True, text=True, check=True)
    assert "value" in own.stdout


@pytest.mark.slow
def test_the_point_variant_of_the_density_is_exported_too(tmp_path):
    place = atlas["spectral-density"].given("c").export(tmp_path / "density.py")
    test = subprocess.run([sys.executable, "-I", place, "--selftest"], capture_output=True, text=True, check=False)
    assert test.returncode == 0, test.stdout + test.stderr
