"""Averages over blocks: their derivatives are those of finite differences, whatever the spin and the coordinates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.solvers.one_step_averages import BlockAverages
from derive.solvers.one_step_weights import SpinWeight

FINE = (4, 4, 0)
VARIANCE = st.floats(0.05, 1.5)


def averages(spin: SpinWeight, at: np.ndarray) -> BlockAverages:
    return spin.averages(list(at), FINE)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(VARIANCE, VARIANCE, VARIANCE, st.floats(0.1, 1.0), st.floats(-1.0, 1.0))
def test_gradient_and_hessian_are_those_of_the_value(p: float, d: float, v: float, x: float, field: float) -> None:
    spin = SpinWeight((-1.0, 0.4, 1.7), (0.3, 0.3, 0.4), field)
    at = np.array([0.0, p, d, v, x])
    here = averages(spin, at)
    step = 1e-4
    for k in range(1, 5):
        move = step * np.eye(5)[k]
        up, down = averages(spin, at + move), averages(spin, at - move)
        assert abs((up.value - down.value) / (2 * step) - here.gradient[k]) < 3e-7
        assert np.abs((up.gradient - down.gradient)[1:] / (2 * step) - here.hessian[k, 1:]).max() < 3e-6


@settings(deadline=None, max_examples=25, derandomize=True)
@given(VARIANCE, VARIANCE, VARIANCE)
def test_blocks_of_one_replica_have_the_averages_of_the_symmetric_site(p: float, d: float, v: float) -> None:
    """At x = 1 the fields of a block and of a replica are one field, of their joint variance."""
    spin = SpinWeight((-1.0, 0.4, 1.7), (0.3, 0.3, 0.4))
    one, other = averages(spin, np.array([0.0, p, d, v, 1.0])), averages(spin, np.array([0.0, p, 0.0, v + d, 1.0]))
    assert abs(one.value - other.value) < 1e-11


@settings(deadline=None, max_examples=25, derandomize=True)
@given(VARIANCE, VARIANCE, st.floats(0.1, 1.0))
def test_a_field_that_no_block_has_leaves_the_breakpoint_out(p: float, v: float, x: float) -> None:
    spin = SpinWeight((-1.0, 1.0), (0.5, 0.5), 0.3)
    one, other = averages(spin, np.array([0.0, p, 0.0, v, x])), averages(spin, np.array([0.0, p, 0.0, v, 0.9]))
    assert abs(one.value - other.value) < 1e-13
    assert abs(one.gradient[4]) < 1e-12


def test_sums_of_chunks_are_the_whole() -> None:
    """A grid too large for one array gives what a small one gives, where both resolve the average."""
    spin = SpinWeight((-1.0, 1.0), (0.5, 0.5))
    at = [0.0, 0.7, 0.4, 0.2, 0.5]
    coarse, fine = spin.averages(at, (5, 5, 0)), spin.averages(at, (9, 9, 0))
    assert abs(coarse.value - fine.value) < 1e-13
    assert np.abs(coarse.hessian - fine.hessian).max() < 1e-11
