"""Questions about a spectrum that no system asks: solvers know only the law."""

import numpy as np
import pytest
from sympy import Add, Gt, Interval, Rational, S, Symbol, oo

from derive.core import DensityProblem, DeriveError, EdgesProblem, GapProblem, Parameter, ProfileProblem
from derive.solvers import compile_spectrum, compile_spectrum_mp
from derive.solvers.spectral_target import free_parts

G, C = Symbol("g", positive=True), Symbol("c", nonnegative=True)
RATIO, CONTRAST, SHIFT = (Symbol(k, positive=True) for k in ("ratio", "contrast", "shift"))
LOW, HIGH = Symbol("low", nonnegative=True), Symbol("high", positive=True)
POSITIVE = Interval.open(0, oo)
PARAMETERS = tuple(Parameter(k, POSITIVE) for k in (RATIO, CONTRAST, SHIFT))
PARTS = ((1 / RATIO, RATIO / 2), (CONTRAST / RATIO, RATIO / 2))
LAW = SHIFT - 1 / G + Add(*(a * v / (1 + v * G) for v, a in PARTS))
COMMON = (Symbol("value"), PARAMETERS, G, LAW, C, C)
POINT = {"ratio": np.array([0.2, 0.5, 0.8]), "contrast": np.array([[1e-3], [0.05], [0.5]]), "shift": 0.3}


def test_parts_of_a_law():
    shift, parts = free_parts(LAW, G)
    assert shift == SHIFT
    assert set(parts) == set(PARTS)


@pytest.mark.parametrize(
    "law",
    [-1 / G, 1 / G + 1 / (1 + G), -1 / G + G, -1 / G + 1 / (1 + G**2), -2 / G + 1 / (1 + G), -1 / G - 1 / (1 + G),
     -1 / G + 1 / (1 - G)],
    ids=str,
)
def test_a_law_of_another_kind_is_refused(law):
    with pytest.raises(DeriveError, match="no free sum"):
        free_parts(law, G)


def test_the_law_may_depend_on_several_parameters_and_have_a_shift():
    edges = compile_spectrum(EdgesProblem("edges", *COMMON, "edge"))
    found = edges(**POINT)
    assert found.value.shape == (3, 3, 4)
    plain = edges(**{**POINT, "shift": 1e-300}).value
    np.testing.assert_allclose(found.value, plain + 0.3, rtol=1e-14)
    assert (found.outputs["atom"] == 0.3).all()
    digits = compile_spectrum_mp(EdgesProblem("edges", *COMMON, "edge"))
    for i, contrast in enumerate((1e-3, 0.05, 0.5)):
        exact = digits(ratio=0.5, contrast=contrast, shift=0.3, digits=20)
        np.testing.assert_allclose(found.value[i, 1], exact.value.astype(float), rtol=1e-14)


def test_density_and_profile_of_a_shifted_law():
    density = compile_spectrum(DensityProblem("density", Symbol("rho"), (*PARAMETERS, Parameter(C, POSITIVE)), G, LAW,
                                              C, C, "", C, C, S.One))
    profile = compile_spectrum(ProfileProblem("profile", *COMMON, "point", C, S.One, 50))
    found = profile(ratio=0.5, contrast=0.05, shift=0.3)
    again = density(ratio=0.5, contrast=0.05, shift=0.3, c=found.outputs["points"])
    np.testing.assert_allclose(again.value, found.value, rtol=1e-9)
    assert found.outputs["weights"].sum() == pytest.approx(0.5, rel=1e-9)


def test_a_condition_on_gaps():
    wide = Gt(HIGH - LOW, Rational(1, 5))
    question = GapProblem(
        "gaps", *COMMON, "gap", LOW, HIGH, HIGH - LOW, "no atom", condition=wide, reason="too narrow")
    found = compile_spectrum(question)(ratio=np.array([0.5, 1.5]), contrast=0.05, shift=0.3)
    assert (found.value[np.isfinite(found.value)] > 0.2).all()
    assert "too narrow" in found.reason[0]
    assert "no atom" in found.reason[1]


def test_parameters_are_checked():
    edges = compile_spectrum(EdgesProblem("edges", *COMMON, "edge"))
    with pytest.raises(DeriveError, match="missing parameter"):
        edges(ratio=1.0)
    with pytest.raises(DeriveError, match="out of"):
        edges(ratio=-1.0, contrast=1.0, shift=1.0)
    with pytest.raises(DeriveError, match="broadcast"):
        edges(ratio=np.ones(2), contrast=np.ones(3), shift=1.0)
    assert edges(ratio=np.ones((0,)), contrast=0.1, shift=1.0).value.shape == (0, 4)
