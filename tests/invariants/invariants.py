"""What must hold for every parameter and for every law of patterns a user may bring: identities and inequalities.

Each invariant is a hypothesis test of its own, which the test run tries a few times (test_invariants.py) and the soak
for as long as it is given (soak.py).  Laws of patterns are drawn with exact weights and points.
"""

import itertools
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sympy import Rational, S, Symbol, exp

from derive import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas
from derive.methods.spectra import AlgebraicLaw

X = Symbol("x", real=True)
#: rounding of a chain of logarithms and roots, relative
SHARP = 1e-9

Points = tuple[tuple[Rational, Rational], ...]


# ---- laws of patterns


@st.composite
def atoms(draw: st.DrawFn) -> Points:
    """Two to four values with weights that sum to one; not all of them zero."""
    count = draw(st.integers(2, 4))
    halves = draw(st.lists(st.integers(-6, 6), min_size=count, max_size=count, unique=True))
    shares = draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    total = sum(shares)
    return tuple((Rational(h, 2), Rational(s, total)) for h, s in zip(halves, shares, strict=True))


@st.composite
def densities(draw: st.DrawFn) -> tuple[str, int, int]:
    """A shape with a bounded support, or a tail that falls faster than any exponential."""
    shape = draw(st.sampled_from(["flat", "bowl", "tent", "quartic", "cosine"]))
    return shape, draw(st.integers(1, 4)), draw(st.integers(0, 5))


def measure(points: Points, factor: object = 1) -> ProductMeasure:
    """Independent entries with these values, times a factor."""
    return ProductMeasure(atoms={p * factor: w for p, w in points})


def from_shape(shape: str, width: int, bend: int) -> ProductMeasure:
    """The density of a drawn shape."""
    inside = {
        "flat": S.One,
        "bowl": 1 + bend * X**2,
        "tent": width - abs(X),
        "quartic": exp(-(X**4) / width),
        "cosine": 1 + X**2 * (width - X) ** 2,
    }[shape]
    support = (-S.Infinity, S.Infinity) if shape == "quartic" else (-width, width)
    return ProductMeasure(density=inside + 0 * X, variable=X, support=support)


NAMED: Mapping[str, Callable[[], object]] = {
    "gaussian": Gaussian, "spherical": Spherical, "binary": Binary, "manifold": HiddenManifold,
}
times = st.sampled_from(["gaussian", "binary", "manifold"])
loads = st.floats(-3.0, 2.0).map(lambda e: float(10**e))
ratios = st.floats(-2.0, 1.0).map(lambda e: float(10**e))
temperatures = st.lists(st.floats(-2.0, 1.3).map(lambda e: float(10**e)), min_size=3, max_size=6, unique=True)


@lru_cache(maxsize=64)
def solver(name: str, ensemble: object) -> Callable[..., object]:
    """The solver of a quantity for a law of patterns."""
    return atlas[name].with_(ensemble=ensemble).solver()


def given_of(ensemble: object, **values: float) -> dict[str, float]:
    """The values that a quantity of this ensemble takes."""
    known = {p.name for p in getattr(ensemble, "parameters", ())}
    return {k: v for k, v in values.items() if k in known or k != "alpha_D"}


# ---- dense memory


def _concave_and_rising(ensemble: object, lams: list[float], ratio: float) -> None:
    """alpha_1 = lam rho - zeta never falls and is concave: zeta is convex, frozen where its slope is rho."""
    lam = np.sort(np.array(lams))
    found = solver("retrieval-capacity", ensemble)(lam=lam, **given_of(ensemble, alpha_D=ratio))
    assert np.all(found.converged), found.reason
    value = found.value
    size = SHARP * np.max(np.abs(value))
    assert np.all(np.diff(value) >= -size)
    slopes = np.diff(value) / np.diff(lam)
    assert np.all(np.diff(slopes) <= 2 * size / np.min(np.diff(lam)))
    assert np.all(value > 0)


@given(st.sampled_from(sorted(NAMED)), temperatures, ratios)
def capacity_is_concave(name: str, lams: list[float], ratio: float) -> None:
    """Capacity against inverse temperature, for the ensembles with a name."""
    _concave_and_rising(NAMED[name](), lams, ratio)


@given(atoms(), temperatures)
def capacity_is_concave_for_atoms(points: Points, lams: list[float]) -> None:
    """The same for laws with finitely many values."""
    _concave_and_rising(measure(points), lams, 1.0)


@given(densities(), st.lists(st.sampled_from([0.05, 0.2, 0.7, 1.5, 4.0]), min_size=3, max_size=3, unique=True))
def capacity_is_concave_for_densities(shape: tuple[str, int, int], lams: list[float]) -> None:
    """The same for densities."""
    _concave_and_rising(from_shape(*shape), lams, 1.0)


@given(atoms(), st.integers(2, 7), st.floats(0.05, 5.0))
def capacity_knows_units(points: Points, factor: int, lam: float) -> None:
    """xi -> k xi with lam -> lam/k^2 is the same memory."""
    plain = solver("retrieval-capacity", measure(points))(lam=lam)
    scaled = solver("retrieval-capacity", measure(points, Rational(factor)))(lam=lam / factor**2)
    np.testing.assert_allclose(float(scaled.value), float(plain.value), rtol=SHARP)


@given(atoms(), st.floats(0.05, 5.0))
def capacity_knows_no_left_and_right(points: Points, lam: float) -> None:
    """xi -> -xi is the same memory."""
    plain = solver("retrieval-capacity", measure(points))(lam=lam)
    mirrored = solver("retrieval-capacity", measure(points, S.NegativeOne))(lam=lam)
    np.testing.assert_allclose(float(mirrored.value), float(plain.value), rtol=SHARP)


@given(st.sampled_from(["gaussian", "binary"]), st.floats(0.02, 8.0))
def all_patterns_are_harder_than_one(name: str, lam: float) -> None:
    """alpha_c <= alpha_1."""
    ensemble = NAMED[name]()
    every = solver("full-capacity", ensemble)(lam=lam)
    one = solver("retrieval-capacity", ensemble)(lam=lam)
    assert float(every.value) <= float(one.value) * (1 + SHARP)


@given(st.sampled_from(sorted(NAMED)), st.floats(0.01, 0.6), st.floats(1.02, 3.0), ratios)
def condensation_rises_with_the_load(name: str, alpha: float, factor: float, ratio: float) -> None:
    """More levels condense at a lower temperature: the entropy alpha - I falls to zero later."""
    ensemble = NAMED[name]()
    found = solver("rem-condensation", ensemble)(
        alpha=np.array([alpha, alpha * factor]), **given_of(ensemble, alpha_D=ratio))
    assume(bool(np.all(found.converged)))
    assert found.value[0] < found.value[1]


# ---- diffusion


def _ordered(ensemble: object, alpha: float, ratio: float) -> None:
    """t_g < 1/b_* and t_g < t_c < t_o; and 1/b_* < t_c for Gaussian entries.

    Binary entries at a load that comes near log 2 have 1/b_* > t_c: both log 2 - alpha = 2 b exp(-2b) at b_* and
    log 2 - alpha = exp(-1/(2t)) at t_c, up to factors that are slower, give t_c = 1/(4 b_*).
    """
    values = given_of(ensemble, alpha=alpha, alpha_D=ratio)
    fresh = solver("generalization-time", ensemble)(**values)
    collapse = solver("collapse-time", ensemble)(**values)
    onset = solver("onset-time", ensemble)(**values)
    assume(bool(fresh.converged) and bool(collapse.converged) and bool(onset.converged))
    nearest, fresh_point, typical, trap = logs = [
        float(k) for k in (fresh.log_value, -fresh.outputs["log_b_star"], collapse.log_value, onset.log_value)
    ]
    size = 1e-12 * (1 + max(map(abs, logs)))
    chains = [(nearest, fresh_point), (nearest, typical, trap)]
    if isinstance(ensemble, Gaussian | HiddenManifold):
        chains.append((fresh_point, typical))
    assert all(b - a > -size for chain in chains for a, b in itertools.pairwise(chain)), logs


@given(times, loads, ratios)
def times_are_ordered(name: str, alpha: float, ratio: float) -> None:
    """t_g < 1/b_* < t_c < t_o, where all of them exist."""
    _ordered(NAMED[name](), alpha, ratio)


@given(atoms(), st.floats(0.01, 0.5))
def times_are_ordered_for_atoms(points: Points, alpha: float) -> None:
    """The same for laws with finitely many values."""
    _ordered(measure(points), alpha, 1.0)


@given(times, st.sampled_from(["onset-time", "collapse-time", "generalization-time"]), loads, st.floats(1.01, 2.0),
       ratios)
def times_fall_with_the_load(name: str, quantity: str, alpha: float, factor: float, ratio: float) -> None:
    """More data: everything happens at smaller times."""
    ensemble = NAMED[name]()
    found = solver(quantity, ensemble)(alpha=np.array([alpha, alpha * factor]), **given_of(ensemble, alpha_D=ratio))
    assume(bool(np.all(found.converged)))
    assert found.log_value[1] < found.log_value[0]


@given(atoms(), st.integers(2, 7), st.floats(0.01, 0.5),
       st.sampled_from(["onset-time", "collapse-time", "generalization-time"]))
def times_know_units(points: Points, factor: int, alpha: float, quantity: str) -> None:
    """xi -> k xi with t -> k^2 t is the same diffusion."""
    plain = solver(quantity, measure(points))(alpha=alpha)
    scaled = solver(quantity, measure(points, Rational(factor)))(alpha=alpha)
    assert bool(plain.converged) == bool(scaled.converged)
    assume(bool(plain.converged))
    np.testing.assert_allclose(
        float(scaled.log_value), float(plain.log_value) + 2 * np.log(factor), rtol=SHARP, atol=SHARP)


@given(times, st.floats(0.05, 0.5), st.floats(-2.0, 2.0), ratios)
def divergence_is_positive(name: str, alpha: float, exponent: float, ratio: float) -> None:
    """The divergence above its minimum is not negative, and vanishes at t_g."""
    ensemble = NAMED[name]()
    rest = given_of(ensemble, alpha=alpha, alpha_D=ratio)
    best = solver("generalization-time", ensemble)(**rest)
    assume(bool(best.converged) and float(best.value) > 1e-12)
    t = float(best.value) * np.array([1.0, 10**exponent])
    found = solver("kl-divergence", ensemble)(t=t, **rest)
    assert np.all(found.converged)
    assert abs(found.value[0]) < 1e-9
    assert found.value[1] >= -1e-12


@given(times, st.floats(0.05, 0.5), st.floats(0.0, 1.0), ratios)
def basins_shrink(name: str, alpha: float, part: float, ratio: float) -> None:
    """The radius is sqrt(t_c) up to t_c, falls from there, and is gone at t_o."""
    ensemble = NAMED[name]()
    rest = given_of(ensemble, alpha=alpha, alpha_D=ratio)
    collapse, onset = (solver(n, ensemble)(**rest) for n in ("collapse-time", "onset-time"))
    assume(bool(collapse.converged) and bool(onset.converged) and float(collapse.value) > 1e-200)
    low, high = float(collapse.value), float(onset.value)
    t = np.array([low / 2, low + 0.98 * part * (high - low), low + 0.99 * (high - low), 1.01 * high])
    found = solver("basin-radius", ensemble)(t=t, **rest)
    assert np.all(found.converged[:3])
    np.testing.assert_allclose(found.value[0], np.sqrt(low), rtol=SHARP)
    assert found.value[0] * (1 + SHARP) >= found.value[1] >= found.value[2] * (1 - SHARP)
    assert found.branch[3] == "none"
    assert np.isnan(found.value[3])


# ---- spectra

variances = st.dictionaries(st.integers(1, 40), st.integers(1, 5), min_size=1, max_size=3)


def _law(parts: Mapping[int, int], ratio: Rational, factor: int = 1) -> AlgebraicLaw:
    """The law of eighths with their weights."""
    total = sum(parts.values())
    return AlgebraicLaw.marchenko_pastur(
        ratio, population={Rational(v * factor, 8): Rational(w, total) for v, w in parts.items()}
    )


@given(variances, st.integers(1, 24), st.integers(2, 9))
@example({4: 1, 38: 3, 39: 3}, 1, 7)  # roots that the simultaneous iteration does not find from the unit circle
def spectra_have_mass_one_and_know_units(parts: dict[int, int], eighths: int, factor: int) -> None:
    """Bulks and atoms weigh one together; variances times k move edges by k; the mean is that of the variances."""
    ratio = Rational(eighths, 8)
    law, scaled = _law(parts, ratio), _law(parts, ratio, factor)
    atoms_weight = sum(float(w) for _, w in law.atoms)
    assert abs(sum(law.weights()) + atoms_weight - 1) < 1e-10
    assert abs(atoms_weight - max(0.0, 1 - float(ratio))) < 1e-14
    edges, moved = (np.array([float(e.value) for e in k.edges()]) for k in (law, scaled))
    np.testing.assert_allclose(moved, factor * edges, rtol=1e-12)
    total = sum(parts.values())
    np.testing.assert_allclose(law.mean(), sum(v * w for v, w in parts.items()) / (8 * total), rtol=1e-10)


INVARIANTS: tuple[Callable[[], None], ...] = (
    capacity_is_concave,
    capacity_is_concave_for_atoms,
    capacity_is_concave_for_densities,
    capacity_knows_units,
    capacity_knows_no_left_and_right,
    all_patterns_are_harder_than_one,
    condensation_rises_with_the_load,
    times_are_ordered,
    times_are_ordered_for_atoms,
    times_fall_with_the_load,
    times_know_units,
    divergence_is_positive,
    basins_shrink,
    spectra_have_mass_one_and_know_units,
)
#: invariants that take seconds an example
COSTLY = frozenset({capacity_is_concave_for_densities})
