"""Spectral laws as numbers: density, weights and transforms against high precision and against sampled matrices."""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational, S

from derive.methods import SpectralLaw
from derive.methods.spectra import AlgebraicLaw

HALF = Rational(1, 2)
marchenko_pastur = AlgebraicLaw.marchenko_pastur
semicircle = AlgebraicLaw.semicircle
COIN = AlgebraicLaw.of_atoms({-1: HALF, 1: HALF})


def population(ratio, *parts):
    return marchenko_pastur(ratio, population=dict(parts))


POPULATIONS = {
    "one": population(HALF, (3, 1)),
    "hard edge": population(S.One, (1, HALF), (Rational(1, 10), HALF)),
    "just above one": population(Rational(10**6 + 1, 10**6), (1, 1)),
    "just below one": population(Rational(10**6 - 1, 10**6), (1, 1)),
    "small variance": population(HALF, (1, HALF), (Rational(1, 10**4), HALF)),
    "large variance": population(S(2), (1, HALF), (10**4, HALF)),
    "three": population(HALF, (1, Rational(3, 10)), (Rational(1, 10), HALF), (Rational(1, 100), Rational(1, 5))),
    "five": population(Rational(2, 5), *((Rational(1, 10**k), Rational(1, 5)) for k in range(5))),
    "nearly merging": population(HALF, (1, HALF), (Rational(211436, 10**6), HALF)),
    "just merged": population(HALF, (1, HALF), (Rational(211437, 10**6), HALF)),
}
OTHERS = {
    "arcsine": COIN.free_add(COIN),
    "touching": COIN.free_add(semicircle(1)),
    "nearly touching": COIN.free_add(semicircle(Rational(10**9 - 1, 10**9))),
    "product at ratio one": marchenko_pastur(1).free_multiply(marchenko_pastur(1)),
    "atom inside a bulk": semicircle(1).free_multiply(marchenko_pastur(HALF)),
    "several sheets": semicircle(1).free_multiply(marchenko_pastur(2)),
    "sum of atoms": AlgebraicLaw.of_atoms({0: HALF, 1: HALF / 2, 3: HALF / 2}).free_add(
        AlgebraicLaw.of_atoms({0: Rational(2, 3), 1: Rational(1, 6), 5: Rational(1, 6)})
    ),
    "short time": POPULATIONS["three"].moebius(0, -Rational(1, 10**12), 1, Rational(1, 10**12)),
    "long time": POPULATIONS["three"].moebius(0, -(10**12), 1, 10**12),
    "inverse": population(S(2), (1, HALF), (Rational(1, 9), HALF)).inverse(),
}
LAWS = POPULATIONS | OTHERS


def solved(law, x, digits=50):
    """The density of a population at x from its own equation: the only root in the upper half plane."""
    with mp.workdps(digits + 40):
        terms = [(mp.mpf(a.p) / a.q, mp.mpf(u.p) / u.q) for a, u in law.population.terms]
        # (1 + x g) prod (1 + u_k g) - g sum_k alpha_k u_k prod_j!=k (1 + u_j g), constant first
        total = product([[mp.mpf(1), mp.mpf(x)], *([mp.mpf(1), u] for _, u in terms)])
        for k, (a, u) in enumerate(terms):
            rest = product([[mp.mpf(0), a * u], *([mp.mpf(1), v] for j, (_, v) in enumerate(terms) if j != k)])
            total = [p - q for p, q in zip(total, rest + [mp.mpf(0)] * (len(total) - len(rest)), strict=True)]
        roots = mp.polyroots(total[::-1], maxsteps=500, extraprec=400)
        return max(mp.im(r) for r in roots) / mp.pi


def product(factors):
    made = [mp.mpf(1)]
    for f in factors:
        made = [
            sum((made[i] * f[k - i] for i in range(len(made)) if 0 <= k - i < len(f)), mp.mpf(0))
            for k in range(len(made) + len(f) - 1)
        ]
    return made


# ---- density


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_density_against_fifty_digits_of_the_equation(name):
    """At the same double x, without any allowance for its rounding, from 1e-8 of the width off an edge on."""
    law = POPULATIONS[name]
    for bulk in law.bulks():
        low, width = float(bulk.lower), bulk.width
        shares = np.array([1e-8, 1e-4, 0.02, 0.3, 0.5, 0.77, 0.999, 1 - 1e-8])
        points = low + width * shares
        inside = points[(points > low) & (points < float(bulk.upper))]
        expected = [float(solved(law, x)) for x in inside]
        np.testing.assert_allclose(law.density(inside), expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_density_from_an_edge(name):
    """At a distance from the exact edge, from 1e-40 of the width on."""
    law = LAWS[name]
    for edge in law.edges()[:2]:
        width = law.bulks()[0].width
        distances = width * np.array([1e-40, 1e-20, 1e-8, 1e-3, 0.4, 0.7, 0.9])
        with mp.workdps(120):
            at = [edge.to_mpmath(110) + (1 if edge.lower else -1) * mp.mpf(d) for d in distances]
            expected = [float(law.density_mp(x, 90)) for x in at]
        np.testing.assert_allclose(law.density_from_edge(edge, distances), expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_behaviour_at_an_edge(name):
    """density / (coefficient distance^exponent) is one at the edge, from both ends of every bulk."""
    law = LAWS[name]
    for edge in law.edges():
        width = min(b.width for b in law.bulks())
        distance = 1e-36 * width
        leading = law.edge_coefficient(edge) * distance ** float(edge.exponent)
        assert law.density_from_edge(edge, distance) == pytest.approx(leading, rel=1e-5)


def test_the_density_of_one_variance_is_that_of_the_single_ratio():
    known = SpectralLaw(HALF)
    x = np.linspace(0.0, 7.0, 5001)
    np.testing.assert_allclose(marchenko_pastur(HALF).density(x), known.density_values(x), rtol=1e-12)


def test_density_off_the_bulks_and_at_the_ends():
    law = semicircle(1)
    np.testing.assert_array_equal(law.density([-3.0, -2.0, 2.0, 3.0]), 0.0)
    assert law.density(0.0) == pytest.approx(1 / np.pi, rel=1e-14)
    assert marchenko_pastur(1).density(0.0) == np.inf
    assert law.density(np.zeros((2, 3))).shape == (2, 3)


# ---- edges


@st.composite
def drawn_populations(draw):
    n = draw(st.integers(1, 3))
    exponents = draw(st.lists(st.integers(-40, 40), min_size=n, max_size=n, unique=True))
    weights = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    ratio = draw(st.sampled_from([Rational(1, 20), Rational(1, 3), S.One, Rational(101, 100), S(4)]))
    parts = [
        (Rational(round(10 ** (e / 10), 8)), Rational(w, sum(weights))) for e, w in zip(exponents, weights, strict=True)
    ]
    return population(ratio, *parts)


@settings(max_examples=25, deadline=None)
@given(drawn_populations(), st.integers(0, 2**31))
def test_any_population(law, seed):
    """Edges, weights, density, distribution and quantiles of populations that nobody chose."""
    edges = law.edges()
    for edge in edges:
        assert law.polynomial.discriminant().rem(edge.polynomial).is_zero or edge.value == 0
        low, high = edge.isolated
        at = edge.polynomial.eval
        assert low == high or at(low) * at(high) < 0
        assert high - low <= Rational(1, 10**30) * max(1, abs(high))
    # z'(g) = 0 in the form that the population gives: edges are the values at stationary points of z(g)
    with mp.workdps(60):
        terms = [(mp.mpf(a.p) / a.q, mp.mpf(u.p) / u.q) for a, u in law.population.terms]
        inverse = lambda g: -1 / g + sum(a * u / (1 + u * g) for a, u in terms)  # noqa: E731
        slope = lambda g: 1 - sum(a * (u * g / (1 + u * g)) ** 2 for a, u in terms)  # noqa: E731
        for edge in edges:
            if edge.exponent != HALF:
                continue
            z = edge.to_mpmath(50)
            start = law.stieltjes(float(edge) * (1 - 1e-15 if edge.lower else 1 + 1e-15)).real
            g = mp.findroot(slope, (mp.mpf(start), mp.mpf(start) * (1 + mp.mpf(10) ** -8)), tol=1e-60)
            assert abs(inverse(g) / z - 1) < mp.mpf(10) ** -25
    assert sum(law.weights()) + sum(float(w) for _, w in law.atoms) == pytest.approx(1.0, abs=1e-12)
    # the continuous part weighs as many eigenvalues as F has columns
    assert float(law.atom(0)) == pytest.approx(max(0.0, 1.0 - float(law.population.ratio)), abs=1e-15)
    rng = np.random.default_rng(seed)
    q = np.sort(rng.random(50))
    x = law.ppf(q)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(law.cdf(np.sort(rng.uniform(-1, 1.1 * float(edges[-1]), 200)))) >= -1e-15).all()
    moving = x > 0
    np.testing.assert_allclose(law.cdf(x[moving]), q[moving], atol=1e-13)
    np.testing.assert_allclose(law.cdf(x) + law.sf(x), 1.0, atol=1e-13)
    assert law.expect(lambda c: c**2) == pytest.approx(float(law.moment(2)), rel=1e-12)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_weights_sum_to_one_and_moments_agree(name):
    law = LAWS[name]
    assert sum(law.weights()) + sum(float(w) for _, w in law.atoms) == pytest.approx(1.0, abs=1e-13)
    scale = max(abs(v) for v in law.support())
    assert law.expect(lambda c: (c / scale) ** 3) == pytest.approx(float(law.moment(3)) / scale**3, abs=1e-13)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_distribution_and_quantiles(name):
    law = LAWS[name]
    q = np.linspace(0.001, 0.9987, 301)  # misses the weights of atoms and bulks, between which quantiles jump
    x = law.ppf(q)
    low, high = law.support()
    assert x.min() >= low
    assert x.max() <= high
    spread = np.spacing(np.abs(x)) * np.minimum(law.density(np.clip(x, low, high)), 1e300)
    at_atom = np.isin(x, [float(p) for p, _ in law.atoms])
    miss = np.abs(law.cdf(x) - q)[~at_atom]
    assert (miss <= 1e-13 + 4 * spread[~at_atom]).all()
    np.testing.assert_allclose(law.isf(1 - q), x, rtol=1e-7, atol=1e-7 * (high - low))
    assert law.cdf(high) == pytest.approx(1.0, abs=1e-15)
    assert law.sf(low - 1.0) == pytest.approx(1.0, abs=1e-15)


def test_distribution_close_to_an_edge():
    """Relative to itself: the integral of C d^(1/2) is 2/3 C d^(3/2)."""
    law = semicircle(1)
    for d in (1e-12, 1e-9):
        expected = float(mp.quad(lambda u: mp.sqrt(u * (4 - u)) / (2 * mp.pi), [0, mp.mpf(d)]))
        exact_d = float(mp.mpf(-2.0 + d) + 2)
        assert law.cdf(-2.0 + d) == pytest.approx(expected * (exact_d / d) ** 1.5, rel=1e-9)


# ---- transforms


@pytest.mark.parametrize("ratio", [HALF, S.One, S(3)])
def test_stieltjes_transform_of_the_single_ratio(ratio):
    law, known = marchenko_pastur(ratio), SpectralLaw(ratio)
    rng = np.random.default_rng(7)
    z = rng.uniform(-1, 8, 2000) + 1j * 10 ** rng.uniform(-12, 1, 2000) * rng.choice([-1, 1], 2000)
    np.testing.assert_allclose(law.stieltjes(z), known.stieltjes_values(z), rtol=1e-11)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_stieltjes_transform_solves_the_equation(name):
    """P(g, z) = 0 to rounding of its terms, Im g > 0, g ~ -1/z, and Im g/pi is the density."""
    law = LAWS[name]
    low, high = law.support()
    rng = np.random.default_rng(3)
    width = high - low
    z = rng.uniform(low - width, high + width, 60) + 1j * width * 10 ** rng.uniform(-6, 1, 60)
    found = law.stieltjes(z)
    assert (found.imag > 0).all()
    with mp.workdps(60):
        for g, w in zip(found, z, strict=True):
            terms = [int(c) * mp.mpc(g) ** i * mp.mpc(w) ** j for (i, j), c in law.polynomial.terms()]
            assert abs(mp.fsum(terms)) < 1e-11 * mp.fsum([abs(t) for t in terms])
    far = 1e8 * (abs(low) + abs(high)) * (1 + 1j)
    assert law.stieltjes(far) * far == pytest.approx(-1, rel=1e-7)
    x = law.ppf(np.linspace(0.9, 0.99, 5))
    np.testing.assert_allclose(law.stieltjes(x + 0j).imag / np.pi, law.density(x), rtol=1e-11)


@pytest.mark.parametrize("ratio", [HALF, S.One, S(2)])
def test_shannon_transform_of_the_single_ratio(ratio):
    law, known = marchenko_pastur(ratio), SpectralLaw(ratio)
    t = 10.0 ** np.arange(-12, 13)
    np.testing.assert_allclose(law.shannon(t), known.shannon_values(1 / t), rtol=1e-13)


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_shannon_transform_in_closed_form_and_by_quadrature(name):
    """Two routes that share nothing: the root g(-t), and the density between the edges."""
    law = POPULATIONS[name]
    t = float(law.edges()[-1]) * 10.0 ** np.arange(-12, 13, 2)
    by_density = replace(law, population=None)
    np.testing.assert_allclose(law.shannon(t), by_density.shannon(t), rtol=1e-12)
    np.testing.assert_allclose(law.shannon_slope(t), by_density.shannon_slope(t), rtol=1e-12)


def test_the_shannon_slope_is_that_of_the_transform():
    law = POPULATIONS["three"]
    t = np.array([1e-3, 0.1, 2.0])
    h = 1e-5
    numeric = (law.shannon(t * (1 + h)) - law.shannon(t * (1 - h))) / (2 * h * t)
    np.testing.assert_allclose(law.shannon_slope(t), numeric, rtol=1e-8)
    # d/dt <log(1 + c/t)> = g(-t) - 1/t
    np.testing.assert_allclose(law.shannon_slope(t), law.stieltjes(-t).real - 1 / t, rtol=1e-10)


# ---- samples


def test_samples_have_the_distribution():
    """Kolmogorov-Smirnov at fixed seed: sqrt(n) times the largest distance is below 2 with probability 0.9993."""
    law = POPULATIONS["three"]
    n = 20_000
    x = np.sort(law.rvs(n, random_state=11))
    bulk = x > 0
    assert np.mean(~bulk) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / n))
    steps = np.arange(1, n + 1) / n
    assert np.sqrt(n) * np.abs(law.cdf(x[bulk]) - steps[bulk]).max() < 2


@pytest.mark.parametrize("name", ["one", "small variance", "three", "large variance"])
def test_sampled_matrices(name):
    """Smooth averages over eigenvalues of complex matrices, whose bias of order 1/n^2 is far below the error bar."""
    law, n, repeats = POPULATIONS[name], 120, 30
    rng = np.random.default_rng(2024)
    parts, ratio = law.population.parts, law.population.ratio
    columns = [round(float(ratio * w) * n) for _, w in parts]
    assert [Rational(k, n) for k in columns] == [ratio * w for _, w in parts]
    scale = np.concatenate([np.full(k, np.sqrt(float(v))) for k, (v, _) in zip(columns, parts, strict=True)])
    top = float(law.edges()[-1])
    times = top * np.array([1e-5, 1e-2, 1.0])
    seen = []
    for _ in range(repeats):
        f = (rng.normal(size=(n, scale.size)) + 1j * rng.normal(size=(n, scale.size))) / np.sqrt(2) * scale
        c = np.clip(np.linalg.eigvalsh(f @ f.conj().T / scale.size), 0.0, None)
        seen.append([np.mean(np.log1p(c / t)) for t in times])
    mean, error = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(mean - law.shannon(times)) < 4 * error + 3 / n**2).all()
    assert (error < 0.02 * mean).all()
