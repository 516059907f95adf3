"""The parameter at which a quantity has a given value: there and back."""

from __future__ import annotations

import mpmath
import numpy as np
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from derive.core import DeriveError
from derive.solvers import compile_mp_solver, compile_numpy, invert, mp_invert


@settings(max_examples=25)
@given(st.floats(-12, 8), st.floats(0.05, 8))
def test_there_and_back(log_t: float, ratio: float) -> None:
    problem = problems.collapse()
    solver = compile_numpy(problem)
    back = invert(solver, problem, "alpha", np.exp(log_t), alpha_D=ratio)
    assert back.converged
    assert abs(back.residual) < 1e-12
    assert float(solver(alpha=back.value, alpha_D=ratio).log_value) == pytest.approx(log_t, rel=1e-12, abs=1e-12)


def test_arrays_and_explicit_values() -> None:
    """A Gaussian capacity l - l^2/2 = y is inverted by l = 1 - sqrt(1 - 2 y); above one half there is none."""
    problem = problems.gaussian_capacity()
    y = np.array([[0.1], [0.3], [0.499], [0.6]])
    found = invert(compile_numpy(problem), problem, "lam", y)
    assert found.value.shape == (4, 1)
    assert_allclose(found.value[:3], 1 - np.sqrt(1 - 2 * y[:3]), rtol=1e-12)
    assert_array_equal(found.converged[:, 0], [True, True, True, False])
    assert found.reason[3, 0].startswith("no lam in")
    assert np.isnan(found.value[3, 0])


def test_a_value_near_the_border_of_what_exists() -> None:
    """The condensation temperature grows without bound as the load nears log 2, where there is none any more."""
    problem = problems.binary_condensation()
    found = invert(compile_numpy(problem), problem, "alpha", np.array([0.01, 1.0, 10.0]))
    assert found.converged.all()
    assert_allclose(found.value, [x * np.tanh(x) - np.log(np.cosh(x)) for x in (0.01, 1.0, 10.0)], rtol=1e-9)
    assert (found.value < np.log(2)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("alfa", 0.1, {"alpha_D": 1.0}), "no parameter 'alfa'"),
        (("alpha", 0.1, {"alpha": 1.0, "alpha_D": 1.0}), "both asked for and given"),
        (("alpha", -1.0, {"alpha_D": 1.0}), "not a positive number"),
        (("alpha", "x", {"alpha_D": 1.0}), "is not a number"),
        (("alpha", 0.1, {}), "missing parameter 'alpha_D'"),
        (("alpha", [0.1, 0.2], {"alpha_D": [1.0, 2.0, 3.0]}), "do not broadcast"),
    ],
)
def test_wrong_input(arguments, words: str) -> None:
    problem = problems.collapse()
    name, value, others = arguments
    with pytest.raises(DeriveError, match=words):
        invert(compile_numpy(problem), problem, name, value, **others)


def test_to_any_number_of_digits() -> None:
    """At ratio one half and t = 1/10, against the equation itself, which is explicit in the load."""
    problem = problems.collapse()
    guess = float(invert(compile_numpy(problem), problem, "alpha", 0.1, alpha_D=0.5).value)
    text = mp_invert(compile_mp_solver(problem), guess, "alpha", "0.1", digits=40, alpha_D="1/2")
    with mp.workdps(80):
        r, s = mpf(1) / 2, mpf(1) / 10
        linear = 1 - r + r * s
        V = (mpmath.sqrt(linear**2 + 4 * r**2 * s) - linear) / (2 * r)
        load = (mpmath.log(1 + V / s) - r * mpmath.log(V) - r * (1 - V)) / 2
        assert abs(mpf(text) - load) <= mpf(10) ** -40
    with pytest.raises(DeriveError, match="does not pass"):
        mp_invert(compile_mp_solver(problem), 2 * guess, "alpha", "0.1", digits=40, alpha_D="1/2")
