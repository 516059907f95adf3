"""Spectral laws as algebraic objects: identities of free probability, exact, and what is refused."""

from fractions import Fraction
from itertools import product
from math import prod

import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Eq, I, Poly, Rational, S, Symbol, exp, simplify, sqrt, symbols

from derive.core import DeriveError
from derive.methods import SpectralLaw
from derive.methods.spectra import AlgebraicLaw, transitions
from derive.methods.spectra.edges import Edge
from derive.methods.spectra.exact import factors, from_sympy, to_sympy
from derive.methods.spectra.population import Population
from derive.methods.spectra.sheet import Critical
from derive.methods.spectra.transitions import Transition

HALF = Rational(1, 2)
g, z = symbols("g z")
marchenko_pastur = AlgebraicLaw.marchenko_pastur
semicircle = AlgebraicLaw.semicircle
of_atoms = AlgebraicLaw.of_atoms
from_equation = AlgebraicLaw.from_equation
COIN = of_atoms({-1: HALF, 1: HALF})
LAWS = {
    "semicircle": semicircle(2),
    "shifted semicircle": semicircle(HALF).shift(3),
    "Marchenko-Pastur": marchenko_pastur(HALF),
    "two variances": marchenko_pastur(Rational(3, 2), population={1: HALF, Rational(1, 7): HALF}),
    "atoms": of_atoms({1: HALF, 2: Rational(1, 3), 5: Rational(1, 6)}),
}

fractions = st.fractions(min_value=Rational(1, 20), max_value=5, max_denominator=40)


@st.composite
def populations(draw, largest=3):
    """Ratio and {variance: fraction}, variances over eight decades."""
    n = draw(st.integers(1, largest))
    variances = draw(st.lists(st.integers(-40, 40), min_size=n, max_size=n, unique=True))
    weights = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    return draw(fractions), {
        Rational(10.0 ** (v / 10)).limit_denominator(10**9): Rational(w, sum(weights))
        for v, w in zip(variances, weights, strict=True)
    }


def narayana(k, x):
    """<c^k> of Marchenko-Pastur at ratio 1/x: the Narayana polynomial."""
    from sympy import binomial

    return sum(binomial(k, j) * binomial(k - 1, j) / (j + 1) * x**j for j in range(k))


# ---- known laws


@pytest.mark.parametrize("ratio", [Rational(1, 4), S.One, Rational(7, 3)])
def test_marchenko_pastur_is_the_law_of_the_single_ratio(ratio):
    law, known = marchenko_pastur(ratio), SpectralLaw(ratio)
    assert Poly(known.stieltjes_polynomial(g, z), g, z).monic() == law.polynomial.monic()
    assert law.moments(5) == tuple(known.moment(k) for k in range(1, 6))
    assert law.atom(0) == known.atom
    assert [simplify(e.expression - k) for e, k in zip(law.edges(), known.edges, strict=True)] == [0, 0]


def test_moments_with_a_parameter():
    r = Symbol("r", positive=True)
    found = marchenko_pastur(r).moments(6)
    assert [simplify(m - narayana(k, 1 / r)) for k, m in enumerate(found, 1)] == [0] * 6
    assert marchenko_pastur(r).free_cumulants(4) == (1, 1 / r, r**-2, r**-3)


def test_moments_of_atoms_are_sums():
    law = LAWS["atoms"]
    assert law.moments(5) == tuple(HALF + Rational(2**k, 3) + Rational(5**k, 6) for k in range(1, 6))
    assert law.atoms == ((1, HALF), (2, Rational(1, 3)), (5, Rational(1, 6)))
    assert law.bulks() == ()


@settings(max_examples=15, deadline=None)
@given(populations())
def test_free_cumulants_of_a_population(drawn):
    """F F^T is a sum of free rank-one terms: kappa_n = sum_k alpha_k u_k^n."""
    ratio, variances = drawn
    found = marchenko_pastur(ratio, population=variances).free_cumulants(5)
    expected = [sum(ratio * w * (v / ratio) ** n for v, w in variances.items()) for n in range(1, 6)]
    assert list(found) == expected


def test_equal_variances_of_a_population_are_one():
    pairs = [(1, Rational(1, 4)), (5, HALF), (1, Rational(1, 4))]
    assert Population.of(HALF, pairs) == Population.of(HALF, {1: HALF, 5: HALF})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5).filter(bool), st.integers(-5, 5)), min_size=1, max_size=3))
def test_factors_have_a_positive_leading_coefficient(lines):
    """Each factor once, whatever the sign and the multiplicity with which it is given."""
    poly = prod(Poly(a*g + b*z + 1, g, z) for a, b in lines)
    found = [to_sympy(f, (g, z)) for f in factors(from_sympy(poly))]
    assert all(f.LC() > 0 and f.is_irreducible for f in found)
    assert len({f.as_expr() for f in found}) == len(found)
    assert factors(from_sympy(-poly)) == factors(from_sympy(poly))
    assert poly.rem(prod(found, start=Poly(1, g, z))).is_zero


# ---- free convolution


def test_semicircles_add():
    assert semicircle(1).free_add(semicircle(2)) == semicircle(3)
    assert of_atoms({3: 1}).free_add(semicircle(2)) == semicircle(2).shift(3)


@pytest.mark.parametrize("poly", [z**2 - 2*z - 1, z**3 - 3*z + 1, z**3 - 12*z**2 + 9*z + 1], ids=str)
def test_the_expression_of_a_point_is_the_only_root_in_its_bounds(poly):
    """However wide the bounds are: here each reaches from one neighbour of the root to the other."""
    roots = [fmpq(int(r.evalf(30) * 10**9), 10**9) for r in Poly(poly, z).real_roots()]
    ends, slack = [roots[0] - 100, *roots, roots[-1] + 100], fmpq(1, 10**6)
    factor = tuple(int(c) for c in reversed(Poly(poly, z).all_coeffs()))
    for below, root, above in zip(ends, ends[1:], ends[2:], strict=False):
        point = Critical(factor, below + slack, above - slack)
        for found in (Edge(point, True, Fraction(1, 2), 2), Transition(z, point, 1, 2)):
            assert float(found.expression) == pytest.approx(float(found), abs=1e-12)
            assert float(found) == pytest.approx(int(root.p) / int(root.q), abs=1e-8)


def test_two_coins_give_the_arcsine_law():
    arcsine = COIN.free_add(COIN)
    assert arcsine == from_equation(g**2 * (z**2 - 4) - 1, g, z)
    assert [e.expression for e in arcsine.edges()] == [-2, 2]
    assert [e.exponent for e in arcsine.edges()] == [-HALF, -HALF]


@pytest.mark.parametrize("pair", list(product(("semicircle", "Marchenko-Pastur"), ("two variances", "atoms"))))
def test_cumulants_add_and_s_transforms_multiply(pair):
    a, b = (LAWS[name] for name in pair)
    total = a.free_add(b)
    assert total == b.free_add(a)
    expected = tuple(x + y for x, y in zip(a.free_cumulants(7), b.free_cumulants(7), strict=True))
    assert total.free_cumulants(7) == expected
    if a.moment(1) != 0:
        times = a.free_multiply(b)
        assert times == b.free_multiply(a)
        first, second = a.s_transform().series(6), b.s_transform().series(6)
        convolved = tuple(sum(first[i] * second[k - i] for i in range(k + 1)) for k in range(6))
        assert times.s_transform().series(6) == convolved


def test_a_product_with_a_law_of_mean_zero():
    """Without S-transform: <(s w)^2> = <s^2> <w>^2 for s of mean zero, and the odd moments vanish."""
    law = semicircle(3).free_multiply(marchenko_pastur(2))
    assert law.moments(3) == (0, 3, 0)


def test_a_population_is_a_free_product():
    """F T F^T (N x N) has the non-zero spectrum of T^(1/2) F^T F T^(1/2) (D x D), which is a free product."""
    ratio, weights = Rational(1, 3), {1: Rational(1, 4), 6: Rational(3, 4)}
    large = marchenko_pastur(ratio, population=weights)
    # F^T F/D is a D x D matrix of ratio N/D, normalised by 1/N: c = (N/D) times it
    small = marchenko_pastur(1 / ratio).scale(1 / ratio).free_multiply(of_atoms(weights))
    assert large.moments(6) == tuple(ratio * m for m in small.moments(6))
    assert [e.point for e in large.edges()] == [e.point for e in small.edges()]


def test_products_at_ratio_one_are_fuss_catalan():
    """Moments binomial(3k + k, k)/(3k + 1), hard edge with exponent -3/4 (Penson and Zyczkowski 2011)."""
    one = marchenko_pastur(1)
    law = one.free_multiply(one).free_multiply(one)
    assert law.moments(5) == (1, 4, 22, 140, 969)
    assert [e.expression for e in law.edges()] == [0, Rational(256, 27)]
    assert [e.exponent for e in law.edges()] == [Rational(-3, 4), HALF]


def test_an_atom_of_a_free_sum():
    """Weights above 1/2 meet: w_a + w_b - 1 at the sum of the points (Bercovici and Voiculescu 1998)."""
    law = of_atoms({0: Rational(2, 3), 1: Rational(1, 3)}).free_add(of_atoms({5: Rational(3, 4), 7: Rational(1, 4)}))
    expected = {5: Rational(2, 3) + Rational(3, 4) - 1, 6: Rational(1, 3) + Rational(3, 4) - 1}
    assert dict(law.atoms) == expected


def test_an_atom_inside_a_bulk():
    """s w for a semicircle s and a Marchenko-Pastur w of ratio 1/2: the kernel of w is that of the product."""
    law = semicircle(1).free_multiply(marchenko_pastur(HALF))
    assert len(law.bulks()) == 1
    assert law.atoms == ((0, HALF),)
    assert law.weights()[0] == pytest.approx(0.5, abs=1e-14)


# ---- maps


@pytest.mark.parametrize("name", ["shifted semicircle", "two variances", "atoms"])
def test_maps_form_a_group(name):
    law = LAWS[name]
    assert law.inverse().inverse() == law
    assert law.shift(5).shift(-5) == law
    assert law.scale(Rational(-3, 7)).scale(Rational(-7, 3)) == law
    there = law.moebius(2, 1, 1, 4)
    assert there.moebius(4, -1, -1, 2) == law
    assert law.moebius(2, 1, 1, 4).moebius(1, 3, 2, 5) == law.moebius(2 + 3, 1 + 12, 2 * 2 + 5, 2 + 20)
    assert there.mean() == pytest.approx(law.expect(lambda x: (2 * x + 1) / (x + 4)), rel=1e-13)


def test_the_inverse_has_the_negative_moments():
    law = SpectralLaw(S(3))
    assert marchenko_pastur(3).inverse().moments(4) == tuple(law.moment(-k) for k in range(1, 5))


def test_a_map_with_a_parameter():
    t, r = symbols("t r", positive=True)
    law = marchenko_pastur(r).moebius(0, -t, 1, t)
    at = {t: Rational(1, 10), r: HALF}
    assert law.parameters == {t, r}
    assert law.subs(at) == marchenko_pastur(HALF).moebius(0, Rational(-1, 10), 1, Rational(1, 10))
    assert law.subs(at).atoms == ((-1, HALF),)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_equation_of_a_law_gives_it_back(name):
    law = LAWS[name]
    assert from_equation(law.equation) == law


def test_transforms_in_closed_form():
    r, v, x, y = symbols("r v x y", positive=True)
    found = marchenko_pastur(r, v).r_transform()
    assert simplify(found.closed_form.xreplace({found.argument: x}) - v / (1 - x * v / r)) == 0
    found = marchenko_pastur(r, v).s_transform()
    assert simplify(found.closed_form.xreplace({found.argument: y}) - r / (v * (r + y))) == 0
    coin = COIN.r_transform()
    assert simplify(coin.closed_form.xreplace({coin.argument: x}) - (sqrt(1 + 4 * x**2) - 1) / (2 * x)) == 0
    assert coin.series(4) == (0, 1, 0, -1)


# ---- where bulks meet


def test_a_coin_and_a_semicircle_merge_at_variance_one():
    w = Symbol("w", positive=True)
    (found,) = transitions(COIN.free_add(semicircle(w)), w, 0, 4)
    assert (found.expression, found.kind, found.below, found.above) == (1, "merging", 2, 1)
    touching = COIN.free_add(semicircle(1))
    assert [e.exponent for e in touching.edges()] == [HALF, Rational(1, 3), Rational(1, 3), HALF]


@pytest.mark.parametrize(("ratio", "fraction"), [(HALF, HALF), (S(2), Rational(1, 5))])
def test_two_variances_merge_where_two_edges_meet(ratio, fraction):
    w = Symbol("w", positive=True)
    law = marchenko_pastur(ratio, population={1: fraction, w: 1 - fraction})
    (found,) = transitions(law, w, 0, 1)
    tiny = Rational(1, 10**9)
    below, above = (law.subs({w: Rational(float(found)) * (1 + s)}).bulks() for s in (-tiny, tiny))
    assert (len(below), len(above)) == (2, 1) == (found.below, found.above)
    assert float(below[1].lower) - float(below[0].upper) < 1e-10 * float(below[1].upper)


# ---- what is refused


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (g**2 - z * g + 1, "it has one for -g"),
        (g**2 - z * g - 1, "does not come back to itself"),
        (g * z * (z - 1) + 2 * (z - 1) - z, "no physical sheet"),  # weights 2 and -1
        (g**3 + z * g**2 + z * g + 5, "no branch"),
        ((g**2 + z * g + 1) * (2 * g**2 + z * g + 1), "2 physical sheets"),
        (g * (z + I) + 1, "not polynomial with rational coefficients"),
        (Eq(g, exp(z)), "not polynomial"),
        (g**2 + 1, "does not relate"),
    ],
)
def test_equations_without_a_law(equation, message):
    with pytest.raises(DeriveError, match=message) as refused:
        from_equation(equation, g, z)
    assert "\n" not in str(refused.value)
    assert refused.value.given
    assert refused.value.allowed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: semicircle(-1), "variance of a semicircle is -1"),
        (lambda: marchenko_pastur(0), "ratio .* is 0"),
        (lambda: marchenko_pastur(HALF, -1), "a variance is -1"),
        (lambda: marchenko_pastur(HALF, 0), "every variance .* zero"),
        (lambda: marchenko_pastur(HALF, population={}), "at least one variance"),
        (lambda: marchenko_pastur(HALF, {1: 1}), "not a number"),
        (lambda: marchenko_pastur(HALF, population={1: 0.7, 2: 0.7}), "sum to 7/5"),
        (lambda: marchenko_pastur(HALF, population={1: 1.5, 2: -0.5}), "fraction of variance 2 is -1/2"),
        (lambda: marchenko_pastur("many"), "not a number"),
        (lambda: semicircle(float("nan")), "not a number"),
        (lambda: of_atoms({}), "law is empty"),
        (lambda: of_atoms({1: 0.3}), "sum to 3/10"),
        (lambda: marchenko_pastur(HALF).inverse(), "pole at the atom 0"),
        (lambda: marchenko_pastur(1).inverse(), "pole 0 in the support"),
        (lambda: semicircle().scale(0), "scaled by zero"),
        (lambda: semicircle().moebius(1, 1, 1, 1), "constant"),
        (lambda: semicircle().free_multiply(semicircle()), "both factors"),
        (lambda: marchenko_pastur(Symbol("r")).density(1.0), "parameters r"),
        (lambda: semicircle().s_transform(), "mean zero"),
        (lambda: semicircle().shannon(1.0), "below zero"),
        (lambda: marchenko_pastur(HALF).shannon(-1.0), "not positive"),
        (lambda: marchenko_pastur(HALF).stieltjes(0.0), "infinite at z = 0"),
        (lambda: semicircle().density(float("nan")), "nan"),
        (lambda: semicircle().density_from_edge(5, 1.0), "2 edges"),
        (lambda: semicircle().moments(0), "order 0"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(DeriveError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)
    assert refused.value.given
    assert refused.value.allowed
