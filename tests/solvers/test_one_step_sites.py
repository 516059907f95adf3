"""Sites of a hidden manifold in blocks: symmetric averages where there are none, and derivatives of the value."""

import numpy as np
import pytest
import sympy as sp

from derive.breaking import broken_saddles
from derive.core import Branch, Parameter, Problem
from derive.methods.replica_manifold import H, ManifoldSite
from derive.solvers.numpy_target import NumpySolver, numpy_source
from derive.solvers.one_step import RESIDUAL
from derive.solvers.one_step_weights import SiteWeight
from derive.solvers.saddle_averages import SiteFunctions, site_averages, start_mesh
from derive.symbols import alpha_D, lam, x, xi
from derive.systems.saddles import saddle_stage

SITES = {
    "tanh": (np.tanh, ()),
    "relu": (lambda h: np.maximum(h, 0.0), (0.0,)),
}


def site(name: str, noise: bool) -> SiteFunctions:
    sigma, kinks = SITES[name]
    return SiteFunctions(
        sigma, (lambda u, w: sigma(u) + w) if noise else (lambda u, w: sigma(u) + 0.0 * w),
        lambda a, b: -0.4 * (a - b) ** 2, (), 0.5, kinks, noise)


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("noise", [False, True])
def test_without_a_field_of_blocks_the_energy_is_the_symmetric_one(name: str, noise: bool) -> None:
    one = site(name, noise)
    mesh = start_mesh(one)
    m, p, v = 0.5, 0.3, 0.4
    found = SiteWeight(one, mesh).averages([m, p, 0.0, v, 0.6], (3, 0, 3))
    plain = site_averages(one, mesh, (m, p, v))
    assert abs(found.value - plain.plain[0]) < 1e-6
    assert abs(found.gradient[0] - plain.with_u[0] / np.sqrt(v)) < 1e-6


@pytest.mark.parametrize("name", ["tanh", pytest.param("relu", marks=pytest.mark.slow)])
def test_gradient_and_hessian_are_those_of_the_value(name: str) -> None:
    weight = SiteWeight(site(name, False), start_mesh(site(name, False)))
    at, step = np.array([0.5, 0.3, 0.2, 0.4, 0.6]), 1e-3
    here = weight.averages(list(at), (6, 5, 2))
    for k in range(5):
        move = step * np.eye(5)[k]
        up, down = (weight.averages(list(at + s * move), (6, 5, 2)) for s in (1, -1))
        assert abs((up.value - down.value) / (2 * step) - here.gradient[k]) < 2e-5
        assert np.abs((up.gradient - down.gradient) / (2 * step) - here.hessian[k]).max() < 2e-4


@pytest.mark.slow
def test_signs_asked_to_fit_noise_break_into_blocks() -> None:
    """sign(h), alpha_D = 0.2, lam = 3, a query of pure noise: more constraints than the latent space can meet."""
    value = sp.Symbol("zeta_0", real=True)
    positive = sp.Interval.open(0, sp.oo)
    stage = saddle_stage(ManifoldSite(lam * x * xi, sp.sign(H), sp.S.One, sp.S.Zero), value)
    problem = Problem("noise", value, (Parameter(lam, positive), Parameter(alpha_D, positive)),
                      (Branch("saddle", value),), (stage,), positive=False)
    flat = NumpySolver(problem, numpy_source(problem))(lam=3, alpha_D=0.2)
    found = broken_saddles(NumpySolver(problem, numpy_source(problem)))(lam=3, alpha_D=0.2)
    out = found.outputs
    assert float(flat.stability) < -0.1
    assert bool(found.converged), found.reason
    assert out["breaking"] == 1
    assert float(found.residual) <= RESIDUAL
    assert float(found.value) < float(flat.value)
    assert out["q_0"] < out["q"] < out["q_1"]
    assert float(flat.stability) < float(found.stability)
    # sign does not know the norm of its field, which the prior then leaves at one
    assert abs(out["r"] - 1) < 1e-4
