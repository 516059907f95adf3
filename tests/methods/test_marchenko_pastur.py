"""The Marchenko-Pastur law: its derivation, and numbers that know nothing of the closed forms."""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Eq, Gt, Rational, S, Symbol, binomial, log, simplify, sqrt

from derive.core import DeriveError, Verdict
from derive.ledger import Derivation
from derive.ledger.derivation import check_step
from derive.ledger.ladder import prove_identity
from derive.methods import SpectralLaw
from derive.methods.marchenko_pastur import derivation
from derive.nodes import MarchenkoPastur
from derive.symbols import alpha_D, b, c, t

RATIOS = (Rational(1, 10), Rational(1, 2), S.One, S(2), S(10))
ratios = st.floats(-3, 2).map(lambda e: Rational(10.0**e))


def integral(ratio, f, digits=25):
    """<f> by integrating the density over c = lower + (upper - lower) sin(theta/2)^2, the atom added."""
    with mp.workdps(digits):
        r = mp.mpf(int(ratio.p)) / int(ratio.q)
        a = mp.sqrt(r)
        lower, upper = (1 - a) ** 2 / r, (1 + a) ** 2 / r
        half = (upper - lower) / 2

        def weight(theta):
            point = lower + 2 * half * mp.sin(theta / 2) ** 2
            return r * (half * mp.sin(theta)) ** 2 / (2 * mp.pi * point) * f(point)

        bulk = mp.quad(weight, [0, mp.pi / 8, mp.pi / 2, mp.pi])
        atom = max(0, 1 - r)
        return bulk + (atom * f(mp.mpf(0)) if atom else 0)


def number(expr, digits=25):
    with mp.workdps(digits):
        return mp.mpf(str(expr.evalf(digits)))


def agree(value, expected, tolerance=1e-18):
    with mp.workdps(30):
        return mp.almosteq(value, expected, tolerance)


# ---- the derivation


@pytest.fixture(scope="module")
def ledger():
    return derivation().check()


def test_every_step_is_proved_given_the_cited_equations(ledger):
    assert ledger.verdict is Verdict.PROVED
    assert ledger.exceptions == {}
    assert ledger.counts["PROVED"] >= 50


def test_what_is_assumed_is_named(ledger):
    assumed = {k for k, e in ledger.items() if e.verdict is Verdict.ASSUMED}
    theorems = {s.label for s in ledger.derivation.assumptions}
    assert theorems == {"mp-matrix", "mp-trace", "mp-cavity", "mp-stieltjes", "mp-inversion"}
    assert assumed - theorems == {s.label for s in ledger.derivation.definitions}


@pytest.mark.parametrize("ratio", [S.One, S(3)])
def test_at_a_number_only_the_side_that_applies_is_derived(ratio):
    steps = derivation(ratio)
    assert ("mp-atom-at-bound" in steps) == (ratio == 1)
    assert ("mp-atom-above-bound" in steps) == (ratio == 3)
    assert "mp-atom-below" not in steps
    for label in steps.labels:
        if label.startswith(("mp-atom", "mp-moment", "mp-root", "mp-node")):
            assert check_step(steps, label).verdict is Verdict.PROVED, label


def test_the_shannon_transform_rests_on_no_closed_form_of_a_node():
    steps = derivation()
    lineage = steps.ancestors("mp-tulino-verdu")
    assert {"mp-trace", "mp-cavity", "mp-shannon", "mp-explicit"} <= lineage
    assert not any(label.startswith("mp-node") for label in lineage)
    for label in lineage:
        claim = steps[label].claim
        assert isinstance(claim, str) or not claim.has(MarchenkoPastur)


BROKEN = {
    "mp-quadratic": lambda e: Eq(e.lhs + b, 0),
    "mp-explicit": lambda e: Eq(e.lhs, 2 * e.rhs),
    "mp-response-slope": lambda e: Eq(e.lhs + b, 0),
    "mp-axis-quadratic": lambda e: Eq(2 * e.lhs + 1, 0),
    "mp-discriminant": lambda e: Eq(e.lhs, -e.rhs),
    "mp-conjugate-roots": lambda e: Eq(e.lhs + alpha_D, e.rhs),
    "mp-edges": lambda e: Gt(-e.lhs, 0),
    "mp-atom-above-room": lambda e: Eq(e.lhs, 2 * e.rhs),
    "mp-moment-3": lambda e: Eq(e.lhs, e.rhs + 1 / alpha_D),
    "mp-shannon-candidate": lambda e: Eq(e.lhs, 2 * e.rhs),
    "mp-shannon-spread": lambda e: Eq(e.lhs, e.rhs - 1),
    "mp-node-shannon": lambda e: Eq(e.lhs, e.rhs + b),
}


@pytest.mark.parametrize("label", BROKEN)
def test_a_broken_step_is_refuted_with_a_counterexample(label):
    whole = derivation()
    steps = tuple(replace(s, claim=BROKEN[label](s.claim)) if s.label == label else s for s in whole)
    found = check_step(Derivation("broken", "", steps), label)
    assert found.verdict is Verdict.REFUTED, found
    assert found.witness


@pytest.mark.parametrize("label", ["mp-resolvent", "mp-shannon", "mp-tulino-verdu"])
def test_a_broken_step_about_the_undefined_law_is_not_proved(label):
    whole = derivation()
    steps = tuple(replace(s, claim=Eq(s.claim.lhs, 2 * s.claim.rhs)) if s.label == label else s for s in whole)
    assert not check_step(Derivation("broken", "", steps), label).verdict.sound


def test_the_explicit_transform_is_that_of_tulino_and_verdu():
    # retyped from PHYSICS.md, section 4
    a, g = sqrt(alpha_D), 1 / (alpha_D * t)
    h = (sqrt(g * (1 + a) ** 2 + 1) - sqrt(g * (1 - a) ** 2 + 1)) ** 2 / 4
    cited = alpha_D * log(1 + g - h) + log(1 + g * alpha_D - h) - h / g
    assert prove_identity(SpectralLaw(alpha_D).shannon_explicit(1 / t), cited).verdict is Verdict.PROVED


# ---- against integrals of the density


@pytest.mark.parametrize("ratio", RATIOS)
def test_mass_and_moments(ratio):
    law = SpectralLaw(ratio)
    assert agree(integral(ratio, lambda x: mp.mpf(1)), 1)
    for k in range(6):
        assert agree(integral(ratio, lambda x, k=k: x**k), number(law.moment(k)))
    assert law.moment(1) == 1
    assert law.moment(2) == 1 + 1 / ratio
    if ratio > 1:
        for k in (1, 2, 3):
            assert agree(integral(ratio, lambda x, k=k: x**-k), number(law.moment(-k)))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", [Rational(1, 100), S(1), S(70)])
def test_transforms(ratio, size):
    law, at = SpectralLaw(ratio), number(size)
    pairs = (
        (lambda x: 1 / (1 + at * x), law.resolvent(size)),
        (lambda x: at * x / (1 + at * x), law.loss(size)),
        (lambda x: x / (1 + at * x) ** 2, law.square_loss(size)),
        (lambda x: mp.log1p(at * x), law.shannon(size)),
        (lambda x: mp.log1p(at * x), law.shannon_explicit(size)),
    )
    for f, closed in pairs:
        assert agree(integral(ratio, f), number(closed))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("z", [2 + 1j, -3 + 0.5j, 0.3 - 2j, -1.5])
def test_stieltjes_transform(ratio, z):
    expected = integral(ratio, lambda x: 1 / (x - mp.mpmathify(z)))
    exact = complex(SpectralLaw(ratio).stieltjes(S(z)).evalf(20))
    assert abs(complex(expected) - exact) < 1e-14 * abs(exact)
    assert abs(complex(SpectralLaw(ratio).stieltjes_values(z)) - exact) < 1e-14 * abs(exact)


@pytest.mark.parametrize("ratio", [Rational(1, 2), S.One, S(2)])
def test_nodes_and_quadrature_agree_with_the_law(ratio):
    law = SpectralLaw(ratio)
    assert simplify(law.average(c**3).doit() - law.moment(3)) == 0
    expected = float(law.shannon(S(3)).evalf(17))
    assert law.runtime().average(lambda x: np.log1p(3 * x)) == pytest.approx(expected, rel=1e-13)


# ---- against matrices


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_sampled_matrices(ratio):
    """Linear statistics at N = 40 and 80, the 1/N part taken off; four error bars."""
    law = SpectralLaw(Rational(ratio))
    rng = np.random.default_rng(20250309)
    statistics = (lambda e: np.log1p(2 * e), lambda e: 1 / (1 + 2 * e), lambda e: e**2)
    expected = [float(v.evalf(17)) for v in (law.shannon(S(2)), law.resolvent(S(2)), law.moment(2))]

    def samples(n, count):
        d = round(ratio * n)
        f = rng.standard_normal((count, n, d))
        eigenvalues = np.maximum(np.linalg.eigvalsh(f @ f.transpose(0, 2, 1) / d), 0)
        return np.array([s(eigenvalues).mean(axis=1) for s in statistics])

    small, large = samples(40, 200), samples(80, 200)
    mean = 2 * large.mean(axis=1) - small.mean(axis=1)
    error = np.sqrt((4 * large.var(axis=1) + small.var(axis=1)) / 200)
    assert (np.abs(mean - expected) < 4 * error + 1 / 80**2).all()
    assert (error < 0.02 * np.array(expected)).all()


# ---- properties


@given(ratios, st.floats(-6, 6), st.floats(0.001, 3.14))
def test_stieltjes_root_by_its_properties(ratio, size, angle):
    law, z = SpectralLaw(ratio), complex(10.0**size * np.exp(1j * angle))
    g = complex(law.stieltjes_values(z))
    terms = (z * g * g, float(ratio) * z * g, (1 - float(ratio)) * g, float(ratio))
    assert g.imag > 0
    assert abs(sum(terms)) < 1e-12 * sum(map(abs, terms))
    assert complex(law.stieltjes_values(z.conjugate())) == g.conjugate()


@given(ratios)
def test_stieltjes_at_infinity_and_at_zero(ratio):
    law = SpectralLaw(ratio)
    far = np.array([1e9, -1e9, 1e9j, -1e9j]) * float(1 + 1 / ratio)
    np.testing.assert_allclose(-far * law.stieltjes_values(far), 1, atol=1e-8)
    atom = max(0.0, 1 - float(ratio))
    tiny = 1e-13 * min(1, float(law.lower) or 1) * 1j
    if abs(float(ratio) - 1) > 0.01:
        assert complex(-tiny * law.stieltjes_values(tiny)) == pytest.approx(atom, abs=1e-7)


def test_one_square_root_of_the_product_would_have_the_wrong_sign():
    law = SpectralLaw(Rational(1, 2))
    z = -3 + 1j
    joined = np.sqrt((z - float(law.lower)) * (z - float(law.upper)))
    split = np.sqrt(z - float(law.lower)) * np.sqrt(z - float(law.upper))
    assert joined == pytest.approx(-split)


@given(ratios, st.floats(0.01, 0.99))
def test_density_is_the_imaginary_part_on_the_bulk(ratio, part):
    law = SpectralLaw(ratio)
    lower, upper = float(law.lower), float(law.upper)
    x = lower + part * (upper - lower)
    assert law.stieltjes_values(x).imag / np.pi == pytest.approx(float(law.density_values(x)), rel=1e-9)


@pytest.mark.parametrize("ratio", [0.001, 0.5, 1 - 2.0**-40, 1 + 2.0**-50, 2.0, 300.0])
def test_density_next_to_the_edges(ratio):
    law = SpectralLaw(Rational(ratio))
    with mp.workdps(60):
        r = mp.mpf(ratio)
        lower, upper = (1 - mp.sqrt(r)) ** 2 / r, (1 + mp.sqrt(r)) ** 2 / r
        low, high = float(lower), float(upper)
        points = [np.nextafter(low, np.inf), low * (1 + 1e-12), (low + high) / 2, high * (1 - 1e-12)]
        last = np.nextafter(high, 0)
        points += [last, np.nextafter(last, 0), np.nextafter(high, np.inf), 0.0, -1.0, 1e300]
        for x, value in zip(points, law.density_values(points), strict=True):
            room = (upper - mp.mpf(x)) * (mp.mpf(x) - lower)
            exact = r * mp.sqrt(room) / (2 * mp.pi * mp.mpf(x)) if room > 0 else mp.mpf(0)
            assert abs(value - exact) <= 4e-15 * abs(exact)


@settings(max_examples=60)
@given(ratios, st.floats(-200, 200))
def test_values_of_response_and_transform(ratio, exponent):
    law, size = SpectralLaw(ratio), Rational(10.0**exponent)
    with mp.workdps(450):
        r, at = (mp.mpf(int(v.p)) / int(v.q) for v in (ratio, size))
        r = mp.mpf(float(ratio))
        linear = at * (1 - r) + r
        root = mp.sqrt(linear**2 + 4 * r**2 * at)
        V = (root - linear) / (2 * r * at)
        transform = mp.log1p(at * V) - r * mp.log(V) - r * (1 - V)
        assert abs(float(law.response_values(float(size))) / V - 1) < 2e-15
        assert abs(float(law.shannon_values(float(size))) / transform - 1) < 2e-15


@given(ratios)
def test_the_resolvent_tends_to_the_atom(ratio):
    law = SpectralLaw(ratio)
    excess = float((law.resolvent(S(10) ** 30) - law.atom).evalf(20))
    assert 0 < excess <= 2e-15


@given(st.integers(0, 12))
def test_moments_are_narayana_polynomials(k):
    r = Symbol("r", positive=True)
    narayana = Add(*(binomial(k, j) * binomial(k - 1, j) / (j + 1) * r ** (-j) for j in range(max(k, 1))))
    assert (SpectralLaw(r).moment(k) - (narayana if k else 1)).expand() == 0


def test_inverse_moments_mirror_moments():
    r = 1 + Symbol("q", positive=True)
    law = SpectralLaw(r)
    for k in range(1, 6):
        mirrored = law.moment(k - 1) * (r / (r - 1)) ** (2 * k - 1)
        assert simplify(law.moment(-k) - mirrored) == 0


# ---- bad input


@pytest.mark.parametrize("ratio", [S.Zero, S(-1), "1/2"])
def test_a_ratio_that_is_none(ratio):
    with pytest.raises(DeriveError):
        SpectralLaw(ratio)


def test_one_line_for_each_mistake():
    half, free = SpectralLaw(Rational(1, 2)), SpectralLaw(alpha_D)
    for call, words in (
        (lambda: half.moment(-1), "ratio > 1"),
        (lambda: free.moment(-2), "ratio > 1"),
        (lambda: free.density_values([1.0]), "alpha_D"),
        (lambda: free.runtime(), "alpha_D"),
        (lambda: half.stieltjes_values([0.0]), "z = 0"),
        (lambda: half.stieltjes_values([np.nan]), "nan"),
        (lambda: half.density_values([np.inf]), "infinity"),
        (lambda: half.shannon_values([-1.0]), "-1"),
    ):
        with pytest.raises(DeriveError) as caught:
            call()
        assert words in f"{caught.value} {caught.value.allowed}"
        assert "\n" not in str(caught.value)
