"""Spectral laws as algebraic objects: identities of free probability, exact."""

import numpy as np
import pytest
from sympy import Poly, Rational, S, symbols

from derive.core import DeriveError
from derive.methods import SpectralLaw
from derive.methods.spectra import AlgebraicLaw

HALF = Rational(1, 2)
marchenko_pastur = AlgebraicLaw.marchenko_pastur
semicircle = AlgebraicLaw.semicircle
of_atoms = AlgebraicLaw.of_atoms


@pytest.mark.parametrize("ratio", [Rational(1, 4), S.One, Rational(7, 3)])
def test_marchenko_pastur_is_the_law_of_the_single_ratio(ratio):
    law, known = marchenko_pastur(ratio), SpectralLaw(ratio)
    g, z = law.polynomial.gens
    assert Poly(known.stieltjes_polynomial(g, z), g, z).primitive()[1].monic() == law.polynomial.monic()
    assert law.moments(5) == tuple(known.moment(k) for k in range(1, 6))
    assert law.atom(0) == known.atom
    np.testing.assert_allclose([float(e) for e in law.edges()], [float(e) for e in known.edges], rtol=1e-15)


def test_free_sums_of_semicircles_and_of_atoms():
    assert semicircle(1).free_add(semicircle(2)) == semicircle(3)
    assert of_atoms({3: 1}).free_add(semicircle(2)) == semicircle(2).shift(3)
    coin = of_atoms({-1: HALF, 1: HALF})
    arcsine = coin.free_add(coin)
    assert [e.expression for e in arcsine.edges()] == [-2, 2]
    assert [e.exponent for e in arcsine.edges()] == [-HALF, -HALF]


def test_an_equation_without_a_physical_sheet_is_refused():
    g, z = symbols("g z")
    with pytest.raises(DeriveError, match="no physical sheet"):
        AlgebraicLaw.from_equation(g**2 - z * g + 1, g, z)
