"""One step of symmetry breaking as a solution: identities, then the numbers of the literature."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from derive import DeriveError
from derive.breaking import calculation, spin_glass
from derive.methods.replica_spins import ISING, SpinGlass
from derive.nodes import Atoms, GaussianAverage, LogAverageExp, Normal, log_cosh
from derive.solvers.one_step import RESIDUAL
from derive.solvers.one_step_weights import SpinWeight
from derive.symbols import q

SK = spin_glass(q**2 / 2)
SPHERICAL = spin_glass(q**3 / 2, spherical=True)
Q0, Q1, BLOCK, BETA, H = sp.symbols("q0 q1 x beta h", positive=True)
V, Y = sp.symbols("v y", real=True)


# ---- the Sherrington-Kirkpatrick model


@pytest.mark.parametrize("temperature", [1.01, 1.2, 3.0])
def test_above_the_transition_replica_symmetry_is_the_answer(temperature: float) -> None:
    found = SK(beta=1 / temperature)
    assert found.converged
    assert str(found.branch) == "replica symmetric"
    assert abs(float(found.value) - (np.log(2) + 1 / (4 * temperature**2))) < 1e-13
    assert abs(float(found.stability) - (1 - 1 / temperature**2)) < 1e-12
    assert np.isnan(found.outputs["m_b"])


def test_below_it_the_symmetric_point_is_unstable_and_blocks_raise_the_free_energy() -> None:
    beta = np.array([1.1, 1.5, 2.5, 5.0])
    found = SK(beta=beta)
    out = found.outputs
    assert found.converged.all()
    assert (found.branch == "one step").all()
    assert (found.residual <= RESIDUAL).all()
    assert (out["quadrature_error"] < 1e-11).all()
    assert (out["symmetric_stability"] < 0).all()
    assert (found.value < out["symmetric_value"]).all()
    assert (out["q_0"] < out["symmetric_q"]).all()
    assert (out["symmetric_q"] < out["q_1"]).all()
    # one step does not suffice (Parisi 1980): what is left of the instability is smaller, and not gone
    assert (found.stability < 0).all()
    assert (found.stability > out["symmetric_stability"]).all()


def test_solutions_obey_the_equations_that_were_derived() -> None:
    """q_0 and q_1 are averages over blocks: the steps "saddle-q0" and "saddle-q1", in their fields."""
    beta = 2.0
    out = {k: float(v) for k, v in SK(beta=beta).outputs.items()}
    k0, k1 = (beta**2 * out[k] for k in ("q_0", "q_1"))
    found = SpinWeight((-1.0, 1.0), (0.5, 0.5)).averages([0.0, k0, k1 - k0, beta**2 - k1, out["m_b"]], (7, 7, 0))
    assert abs(found.between - out["q_0"]) < 1e-10
    assert abs(found.inside - out["q_1"]) < 1e-10


@pytest.mark.slow
def test_the_ground_state_energy() -> None:
    """-0.7652 with one step against -0.7979 replica symmetric (Parisi 1980, Phys. Lett. 73A, 203)."""
    temperature = np.array([0.2, 0.1, 0.08, 0.06, 0.05])
    found = SK(beta=1 / temperature)
    assert found.converged.all()
    one, flat = (np.polyfit(temperature[1:], (-temperature * v)[1:], 3)[-1] for v in (
        found.value, found.outputs["symmetric_value"]))
    assert abs(one + 0.7652) < 1e-4
    assert abs(flat + np.sqrt(2 / np.pi)) < 1e-4


def test_the_line_of_de_almeida_and_thouless() -> None:
    """Where the symmetric point loses its stability in a field: beta^2 E sech^4 = 1, and blocks appear below."""
    solve = spin_glass(q**2 / 2, field=H)
    beta, z = 2.0, np.linspace(-9, 9, 2001)
    w = np.exp(-z * z / 2)
    w /= w.sum()

    def stability(h: float) -> float:
        overlap = brentq(lambda s: w @ np.tanh(beta * (np.sqrt(s) * z + h)) ** 2 - s, 1e-6, 1.0)
        return float(1 - beta**2 * (w @ np.cosh(beta * (np.sqrt(overlap) * z + h)) ** -4.0))

    line = brentq(stability, 0.3, 0.8)
    found = solve(beta=beta, h=np.array([line - 0.05, line, line + 0.05]))
    assert abs(found.outputs["symmetric_stability"][1]) < 1e-9
    assert found.branch[0] == "one step"
    assert found.branch[2] == "replica symmetric"


# ---- the p-spin model


def sphere(beta: float) -> tuple[float, float]:
    """q_1 and x of the spherical 3-spin model in closed form (Crisanti and Sommers 1992), by its own two equations."""
    def ratio(y: float) -> float:
        return float(-2 * y * (1 - y + np.log(y)) / (1 - y) ** 2 - 2 / 3)

    y = brentq(ratio, 1e-6, 1 - 1e-6)
    root = brentq(lambda p: 3 * beta**2 / 2 * p * (1 - p) ** 2 - y, 1 / 3, 1 - 1e-12)
    return root, (1 - root) * (1 / y - 1) / root


@pytest.mark.parametrize("beta", [1.72, 2.0, 4.0, 8.0])
def test_the_spherical_model_has_its_closed_solution(beta: float) -> None:
    found = SPHERICAL(beta=beta)
    overlap, breakpoint = sphere(beta)
    assert str(found.branch) == "one step"
    assert float(found.residual) <= RESIDUAL
    assert abs(float(found.outputs["q_1"]) - overlap) < 1e-10
    assert abs(float(found.outputs["m_b"]) - breakpoint) < 1e-10
    assert abs(float(found.outputs["q_0"])) < 1e-12
    assert float(found.stability) > 0  # one step is all there is


def test_its_static_transition() -> None:
    """T_s = 0.586 (Crisanti and Sommers 1992, Z. Phys. B 87, 341): the breakpoint reaches one, at y = 1 - q_1."""
    y = brentq(lambda y: -2 * y * (1 - y + np.log(y)) / (1 - y) ** 2 - 2 / 3, 0.1, 0.9)
    static = float(np.sqrt(1.5 * y * (1 - y)))
    assert abs(static - 0.5861) < 1e-4
    line = brentq(lambda t: float(SPHERICAL(beta=1 / t).outputs["m_b"]) - 0.999, 0.55, 0.5859)
    assert 0 < static - line < 4e-4
    assert str(SPHERICAL(beta=1 / (static + 1e-3)).branch) == "replica symmetric"


def test_spins_with_three_spin_interactions_freeze_at_their_temperature() -> None:
    """T_c = 0.651 for p = 3 (Gardner 1985, Nucl. Phys. B 257, 747)."""
    found = spin_glass(q**3 / 2)(beta=np.array([1 / 0.655, 1 / 0.647]))
    assert list(found.branch) == ["replica symmetric", "one step"]
    assert 0.97 < float(found.outputs["m_b"][1]) < 1.0
    assert float(found.stability[1]) > 0


def test_the_random_energy_model_is_the_limit_of_many_spins() -> None:
    """q_1 -> 1 and x -> T/T_c, T_c = 1/(2 sqrt(log 2)) (Derrida 1981)."""
    beta = 2.5
    found = spin_glass(q**14 / 2)(beta=beta)
    assert str(found.branch) == "one step"
    assert abs(float(found.outputs["m_b"]) - 2 * np.sqrt(np.log(2)) / beta) < 2e-3
    assert float(found.outputs["q_1"]) > 0.99


# ---- other spins, and calculations of a reader's own


@settings(deadline=None, max_examples=3, derandomize=True)
@given(st.floats(1.2, 2.5), st.floats(0.05, 0.3))
def test_a_reader_gets_the_same_from_the_free_entropy_as_it_is_printed(beta: float, h: float) -> None:
    field = BETA * (sp.sqrt(Q0) * V + sp.sqrt(Q1 - Q0) * Y + H)
    printed = (BETA**2 / 4 * (1 - 2 * Q1 + (1 - BLOCK) * Q1**2 + BLOCK * Q0**2) + sp.log(2)
               + GaussianAverage(LogAverageExp(BLOCK * log_cosh(field), Y, Normal()), V) / BLOCK)
    own = calculation(printed, (Q0, Q1), BLOCK, room=(1 - Q1,))(beta=beta, h=h)
    ours = spin_glass(q**2 / 2, field=H)(beta=beta, h=h)
    assert own.branch == ours.branch
    assert abs(float(own.value) - float(ours.value)) < 1e-10
    assert abs(float(own.outputs["q1"]) - float(ours.outputs["q_1"])) < 1e-7


def test_spins_with_other_values_have_a_norm_of_their_own() -> None:
    third = sp.Rational(1, 3)
    found = spin_glass(q**2 / 2, Atoms((-1, 0, 1), (third,) * 3))(beta=np.array([1.0, 3.0]))
    assert list(found.branch) == ["replica symmetric", "one step"]
    assert ((found.outputs["q_1"] <= found.outputs["r"]) & (found.outputs["r"] < 1)).all()
    # without frozen overlaps the norm obeys r = <s^2> in its own field: r = 2 e^v/(1 + 2 e^v), v = beta^2 r/2
    norm = float(found.outputs["r"][0])
    assert abs(norm - 2 * np.exp(norm / 2) / (1 + 2 * np.exp(norm / 2))) < 1e-11


def test_what_is_no_free_entropy_of_this_shape_is_refused() -> None:
    field = sp.sqrt(Q0) * V + sp.sqrt(Q1 - Q0) * Y
    kink = GaussianAverage(LogAverageExp(BLOCK * sp.Abs(field), Y, Normal()), V) / BLOCK
    with pytest.raises(DeriveError, match="kink"):
        calculation(kink, (Q0, Q1), BLOCK)
    twice = GaussianAverage(LogAverageExp(BLOCK * log_cosh(field), Y, Normal()), V)
    with pytest.raises(DeriveError, match="factor"):
        calculation(twice, (Q0, Q1), BLOCK)
    with pytest.raises(DeriveError, match="does not depend on the overlap"):
        spin_glass(BETA)
    with pytest.raises(DeriveError, match="spherical model is given a field"):
        SpinGlass(q**2, None, H)


@pytest.mark.parametrize(("given_", "words"), [
    ({}, "no value"), ({"beta": -1.0}, "out of its domain"), ({"beta": 1.0, "T": 2}, "no parameter"),
    ({"beta": "a"}, "no real number"), ({"beta": np.nan}, "out of its domain"),
])
def test_wrong_parameters_are_said_in_one_line(given_: dict[str, object], words: str) -> None:
    with pytest.raises(DeriveError, match=words):
        SK(**given_)


def test_the_law_of_a_spin_is_that_of_ising() -> None:
    assert ISING.points == (-1, 1)
