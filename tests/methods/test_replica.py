"""The replica calculation, step by step: what is proved, and what the results are worth as numbers."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from sympy import Matrix, Rational, Symbol, lambdify, log, tanh

from derive.core import Verdict
from derive.ledger import Derivation
from derive.ledger.derivation import check_step
from derive.methods.replica import symmetric_derivation
from derive.methods.replica_bayes import bayes_derivation
from derive.methods.replica_breaking import breaking_derivation, site_breaking
from derive.methods.replica_linear import diffusion_derivation, memory_derivation
from derive.methods.replica_manifold import H, ManifoldSite
from derive.methods.replica_stability import site_stability, stability_derivation
from derive.symbols import alpha_D, b, lam, m, q, r, s, x, xi

SYMMETRIC = symmetric_derivation()
GROUND = ("definition", "assumption", "theorem")


def own_steps(derivation: Derivation, *known: Derivation) -> list[str]:
    """Labels of the steps that a rule checks and that no other derivation has."""
    shared = {label for d in known for label in d.labels}
    return [k.label for k in derivation if k.label not in shared and k.rule not in GROUND]


def test_the_free_entropy_is_derived_and_every_step_is_proved() -> None:
    ledger = SYMMETRIC.up_to("free-entropy-explicit").check()
    assert ledger.verdict is Verdict.PROVED, ledger.table()
    assert {s.label for s in ledger.derivation.assumptions} >= {"laplace", "replica-trick", "replica-symmetry"}


@pytest.mark.parametrize("make", [memory_derivation, diffusion_derivation, breaking_derivation])
def test_what_is_derived_from_it_is_proved(make: Callable[[], Derivation]) -> None:
    derivation = make()
    for label in own_steps(derivation, stability_derivation()):
        found = check_step(derivation, label)
        assert found.verdict is Verdict.PROVED, f"{label}: {found.detail}"


@pytest.mark.slow
@pytest.mark.parametrize("make", [symmetric_derivation, stability_derivation, bayes_derivation])
def test_the_long_ones_are_proved_too(make: Callable[[], Derivation]) -> None:
    ledger = make().check()
    assert ledger.verdict is Verdict.PROVED, ledger.table()


def test_the_bayes_optimal_saddle_and_the_three_routes() -> None:
    derivation = bayes_derivation()
    for label in ("optimal-m", "optimal-q", "optimal-r", "energy-optimal", "collapse-routes"):
        assert check_step(derivation, label).verdict is Verdict.PROVED
    assert derivation["optimal-m"].claim == derivation["optimal-q"].claim == derivation["optimal-r"].claim


def test_a_site_gets_its_steps_whatever_its_activation() -> None:
    from derive.methods.replica import site_steps

    site = ManifoldSite(lam * x * xi, tanh(H) + H / 3)
    general = Derivation("general", "", tuple(k for k in breaking_derivation() if k.label != "site-one-step"))
    derivation = general.extend(
        [k for k in stability_derivation() if k.label not in SYMMETRIC], site_steps(site), site_stability(site),
        site_breaking(site), name="site")
    for label in ("site-free-entropy", "site-saddle-m", "site-saddle-q", "site-saddle-r", "site-replicon",
                  "site-one-step"):
        assert check_step(derivation, label).verdict is Verdict.PROVED


# ---- numbers


def by_replicas(ratio: mpmath.mpf, at: mpmath.mpf, noise: mpmath.mpf) -> mpmath.mpf:
    """psi_s(b) on the linear manifold: the free entropy of the site at a saddle point found by Newton's method."""
    site = ManifoldSite(-b * (x - xi) ** 2 / 2, H, noise=s)
    V = Symbol("V", positive=True)
    phi = site.free_entropy(m, q, q + V).doit()
    slopes = lambdify((m, q, V, alpha_D, b, s), [phi.diff(k) for k in (m, q, V)], "mpmath")
    start = mpmath.mpf(1) / (1 + at / ratio)
    found = mpmath.findroot(lambda *z: slopes(*z, ratio, at, noise), (1 - start, (1 - start) ** 2 + start / 9, start))
    return lambdify((m, q, V, alpha_D, b, s), phi, "mpmath")(*found, ratio, at, noise)


@pytest.mark.parametrize(("ratio", "at", "noise"), [(0.5, 2.0, 0.5), (0.1, 0.7, 0.0), (3.0, 5.0, 0.2)])
def test_replicas_and_the_spectrum_agree_to_twelve_digits(ratio: float, at: float, noise: float) -> None:
    with mpmath.workdps(25):
        replicated = float(by_replicas(mpmath.mpf(ratio), mpmath.mpf(at), mpmath.mpf(noise)))
    low, high = (1 - np.sqrt(ratio)) ** 2 / ratio, (1 + np.sqrt(ratio)) ** 2 / ratio
    middle, half = (low + high) / 2, (high - low) / 2

    angle = (np.arange(4000) + 0.5) * np.pi / 4000  # a periodic integrand: the rule converges exponentially
    c = middle + half * np.cos(angle)
    body = np.log1p(at * c) + at * (c + noise) / (1 + at * c)
    bulk = float(np.mean(ratio * (half * np.sin(angle)) ** 2 / (2 * c) * body))
    direct = -(bulk + max(0.0, 1 - ratio) * at * noise) / 2
    assert replicated == pytest.approx(direct, rel=1e-12)


def test_the_replicon_is_the_second_order_of_an_energy_known_in_closed_form() -> None:
    """Six replicas with a Gaussian weight, disturbed at random with vanishing row sums."""
    rng = np.random.default_rng(3)
    size, at, norm = 6, 0.8, 1.3
    eta = null_fluctuation(rng, size)

    def energy(eps: float) -> float:
        return -0.5 * float(np.linalg.slogdet(np.eye(size) * (1 + at * norm) + at * eps * eta)[1])

    h = 1e-3
    second = (energy(h) - 2 * energy(0.0) + energy(-h)) / h**2 / 2
    curvature = -at / (1 + at * norm)
    assert second == pytest.approx(float((eta**2).sum()) / 4 * curvature**2, rel=1e-5)


def null_fluctuation(rng: np.random.Generator, size: int) -> np.ndarray:
    """A symmetric matrix with zero diagonal and zero row sums."""
    pairs = [(i, j) for i in range(size) for j in range(i)]
    rows = np.zeros((size, len(pairs)))
    for k, (i, j) in enumerate(pairs):
        rows[i, k] = rows[j, k] = 1
    kernel = np.linalg.svd(rows)[2][size:]
    values = rng.normal(size=len(kernel)) @ kernel
    eta = np.zeros((size, size))
    for value, (i, j) in zip(values, pairs, strict=True):
        eta[i, j] = eta[j, i] = value
    assert np.abs(eta.sum(axis=0)).max() < 1e-12
    return eta


def test_the_entropy_of_the_latent_vectors_is_that_of_a_wishart_density() -> None:
    """The log density of n + 1 overlaps, per latent dimension, at integer n: the entropic part before n -> 0."""
    claim = SYMMETRIC["entropic-unit"].claim
    n = Symbol("n", positive=True)
    for size in (1, 2, 3):
        overlaps = (r - q) * Matrix.eye(size + 1) + q * Matrix.ones(size + 1, size + 1)
        overlaps[0, :], overlaps[:, 0] = m * Matrix.ones(1, size + 1), m * Matrix.ones(size + 1, 1)
        overlaps[0, 0] = 1
        expected = (log(overlaps.det()) - overlaps.trace() + size + 1) / 2
        point = {m: Rational(1, 3), q: Rational(2, 5), r: Rational(9, 7)}
        assert float((claim.rhs.subs(n, size) - expected).subs(point)) == pytest.approx(0, abs=1e-14)


