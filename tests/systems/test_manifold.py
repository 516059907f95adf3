"""Hidden manifolds of any activation, against solvers and simulations that share no code with the package."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from manifold_reference import Reference
from scipy.special import erf
from sympy import N, Symbol, atanh, exp, pi, sqrt

from derive import Binary, DeriveError, HiddenManifold, ProductMeasure, atlas
from derive.cli import cli
from derive.parse import parse_activation

REFERENCES = {
    "tanh": Reference(np.tanh),
    "relu": Reference(lambda h: np.maximum(h, 0), (0.0,)),
    "sign": Reference(np.sign, (0.0,)),
    "erf": Reference(erf),
    "sin(2*h) + h/3": Reference(lambda h: np.sin(2 * h) + h / 3),
    "max(h, -h/3) - 1/2": Reference(lambda h: np.maximum(h, -h / 3) - 0.5, (0.0,)),
    "hardtanh": Reference(lambda h: np.clip(h, -1, 1), (-1.0, 1.0)),
    "h/(1 + abs(h)) + step(h - 1/2)": Reference(lambda h: h / (1 + abs(h)) + (h > 0.5), (0.0, 0.5)),
    "h**3/3 - h": Reference(lambda h: h**3 / 3 - h),
}


def solve(name: str, activation: str, **parameters: float):
    quantity = atlas[name].with_(activation=parse_activation(activation)).given(*parameters)
    return quantity.solver()(**parameters)


# ---- reference numbers, and an independent solver


@pytest.mark.parametrize(("lam", "zeta"), [(0.2, 0.00834704), (0.5, 0.04847177), (1.0, 0.16496541)])
def test_tanh_at_one_half(lam: float, zeta: float) -> None:
    """PHYSICS section 3."""
    found = solve("retrieval-capacity", "tanh", lam=lam, alpha_D=0.5)
    rho = float(N(HiddenManifold(parse_activation("tanh")).rho, 15))
    assert rho * lam - float(found.value) == pytest.approx(zeta, abs=6e-9)
    if lam == 0.5:
        overlaps = [float(found.outputs[k]) for k in "mqr"]
        np.testing.assert_allclose(overlaps, [0.323718, 0.154930, 1.072721], atol=1e-6)
    assert float(found.outputs["quadrature_error"]) < 1e-9


@pytest.mark.parametrize(("activation", "lam", "alpha_d"), [
    ("tanh", 0.9, 0.13), ("relu", 0.3, 0.5), ("sign", 0.8, 0.5), ("erf", 1.1, 2.0), ("sin(2*h) + h/3", 0.4, 0.7),
    ("max(h, -h/3) - 1/2", 0.2, 1.5), ("hardtanh", 1.3, 0.4), ("h/(1 + abs(h)) + step(h - 1/2)", 0.6, 0.9),
])
def test_capacity_against_the_independent_solver(activation: str, lam: float, alpha_d: float) -> None:
    reference = REFERENCES[activation]
    expected = reference.memory(lam, alpha_d)
    assert expected["mean"] < reference.rho, "a point below saturation"
    found = solve("retrieval-capacity", activation, lam=lam, alpha_D=alpha_d)
    assert found.branch == "unsaturated"
    assert float(found.value) == pytest.approx(lam * reference.rho - expected["value"], abs=1e-8)
    np.testing.assert_allclose([found.outputs[k] for k in "mqr"], [expected[k] for k in "mqr"], atol=1e-7)
    assert float(found.stability) == pytest.approx(expected["replicon"], abs=1e-7)


@pytest.mark.parametrize(("activation", "lam", "alpha_d"), [("tanh", 5.0, 0.5), ("relu", 2.0, 0.3)])
def test_saturated_capacity_is_where_the_slope_is_rho(activation: str, lam: float, alpha_d: float) -> None:
    reference = REFERENCES[activation]
    found = solve("retrieval-capacity", activation, lam=lam, alpha_D=alpha_d)
    at = float(found.outputs["lambda_noise"])
    assert found.branch == "saturated"
    assert at < lam
    expected = reference.memory(at, alpha_d, start=(0.5, 0.3, 0.7))
    assert expected["mean"] == pytest.approx(reference.rho, abs=1e-8)
    assert float(found.value) == pytest.approx(at * reference.rho - expected["value"], abs=1e-8)


@pytest.mark.parametrize(("activation", "alpha", "alpha_d"), [
    ("tanh", 0.2, 0.5), pytest.param("relu", 0.15, 0.8, marks=pytest.mark.slow), ("sign", 0.2, 0.5),
    pytest.param("hardtanh", 0.3, 0.25, marks=pytest.mark.slow),
])
def test_condensation_onset_and_generalization_against_the_independent_solver(
    activation: str, alpha: float, alpha_d: float
) -> None:
    reference, near = REFERENCES[activation], {"start": (0.5, 0.2, 0.6)}
    star = float(solve("rem-condensation", activation, alpha=alpha, alpha_D=alpha_d).value)
    noise = reference.memory(star, alpha_d, **near)
    assert star * noise["mean"] - noise["value"] == pytest.approx(alpha, abs=1e-8)
    onset = float(solve("onset-time", activation, alpha=alpha, alpha_D=alpha_d).value)
    assert reference.diffusion(1 / onset, 0, alpha_d, **near)["value"] == pytest.approx(-alpha, abs=1e-8)
    best = solve("generalization-time", activation, alpha=alpha, alpha_D=alpha_d)
    b = float(best.outputs["b_star"])
    fresh = reference.diffusion(b, 0, alpha_d, **near)
    assert -b * fresh["mean"] / 2 - fresh["value"] == pytest.approx(alpha, abs=1e-8)
    assert float(best.value) == pytest.approx(fresh["mean"], rel=1e-7)


# ---- the Bayes-optimal line


@pytest.mark.parametrize(("activation", "alpha", "alpha_d"), [
    ("tanh", 0.2, 0.5), ("relu", 0.3, 0.7), ("sign", 0.35, 0.5), ("erf", 0.1, 2.0), ("hardtanh", 0.1, 0.5),
])
def test_collapse_is_bayes_optimal(activation: str, alpha: float, alpha_d: float) -> None:
    """At s = t, b = 1/t: m = q, r = 1, found and not put in; condensation is mutual information, by another route."""
    found = solve("collapse-time", activation, alpha=alpha, alpha_D=alpha_d)
    m, q, r = (float(found.outputs[k]) for k in "mqr")
    assert m == pytest.approx(q, abs=1e-9)
    assert r == pytest.approx(1, abs=1e-9)
    assert REFERENCES[activation].information(float(found.value), alpha_d) == pytest.approx(alpha, abs=1e-7)
    assert float(found.stability) > 0


@pytest.mark.slow
def test_collapse_and_basin_against_the_independent_solver() -> None:
    reference, alpha, alpha_d = REFERENCES["tanh"], 0.2, 0.5
    collapse = float(solve("collapse-time", "tanh", alpha=alpha, alpha_D=alpha_d).value)
    at = reference.diffusion(1 / collapse, collapse, alpha_d, start=(0.5, 0.25, 0.5))
    assert -at["value"] - 0.5 == pytest.approx(alpha, abs=1e-8)
    assert at["mean"] == pytest.approx(collapse, rel=1e-7)
    for t in (0.9, 1.2):
        s = float(solve("basin-radius", "tanh", alpha=alpha, alpha_D=alpha_d, t=t).value) ** 2
        edge = reference.diffusion(1 / t, s, alpha_d, start=(0.4, 0.2, 0.6))
        assert -s / (2 * t) - edge["value"] == pytest.approx(alpha, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_order_of_times_and_continuity_of_the_basin(activation: str) -> None:
    given = {"alpha": 0.25, "alpha_D": 0.6}
    best = solve("generalization-time", activation, **given)
    collapse, onset = (float(solve(f"{k}-time", activation, **given).value) for k in ("collapse", "onset"))
    assert float(best.value) < 1 / float(best.outputs["b_star"]) < collapse < onset
    below, above = (float(solve("basin-radius", activation, t=t * collapse, **given).value) for t in (0.5, 1.0001))
    assert below == pytest.approx(np.sqrt(collapse), rel=1e-9)
    assert above == pytest.approx(below, rel=1e-3)
    gone = solve("basin-radius", activation, t=1.1 * onset, **given)
    assert not gone.converged
    assert "above the onset" in str(gone.reason)
    least = solve("kl-divergence", activation, t=float(best.value), **given)
    assert float(least.value) == pytest.approx(0, abs=1e-12)


# ---- limits


@pytest.mark.parametrize("alpha_d", [0.3, pytest.param(4.0, marks=pytest.mark.slow)])
def test_a_scaled_linear_activation_is_the_linear_manifold(alpha_d: float) -> None:
    """sigma = 2 h takes the replica route, sigma = h the Marchenko-Pastur law: lam becomes 4 lam, t becomes 4 t."""
    linear = {k: atlas[k].with_(ensemble=HiddenManifold()).solver() for k in
              ("retrieval-capacity", "rem-condensation", "onset-time", "collapse-time", "generalization-time")}
    for lam in (0.01, 0.05, 1.0):
        exact = linear["retrieval-capacity"](lam=4 * lam, alpha_D=alpha_d)
        found = solve("retrieval-capacity", "2*h", lam=lam, alpha_D=alpha_d)
        np.testing.assert_allclose(found.value, exact.value, rtol=1e-12)
    exact = linear["rem-condensation"](alpha=0.2, alpha_D=alpha_d)
    np.testing.assert_allclose(
        4 * solve("rem-condensation", "2*h", alpha=0.2, alpha_D=alpha_d).value, exact.value, rtol=1e-12)
    for name in ("onset-time", "collapse-time", "generalization-time"):
        exact = linear[name](alpha=0.2, alpha_D=alpha_d)
        np.testing.assert_allclose(
            solve(name, "2*h", alpha=0.2, alpha_D=alpha_d).value, 4 * exact.value, rtol=1e-12)


@pytest.mark.slow
def test_many_latent_dimensions_are_independent_entries() -> None:
    """The difference from independent entries falls like 1/alpha_D."""
    x = Symbol("x", real=True)
    density = exp(-(atanh(x) ** 2) / 2) / (sqrt(2 * pi) * (1 - x**2))
    entries = ProductMeasure(density=density, variable=x, support=(-1, 1))
    for activation, ensemble in (("tanh", entries), ("sign", Binary())):  # two ways to say a law of entries
        iid = float(atlas["retrieval-capacity"].with_(ensemble=ensemble).solver()(lam=1.2).value)
        gaps = [float(solve("retrieval-capacity", activation, lam=1.2, alpha_D=d).value) - iid for d in (1e3, 1e4)]
        assert abs(gaps[1]) < 2e-4
        assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.02)
    fast = float(atlas["onset-time"].with_(ensemble=Binary()).solver()(alpha=0.3).value)
    assert float(solve("onset-time", "sign", alpha=0.3, alpha_D=1e4).value) == pytest.approx(fast, rel=1e-3)


def test_sign_patterns_become_binary_ones() -> None:
    for lam in (0.4, 2.0):
        iid = float(atlas["retrieval-capacity"].with_(ensemble=Binary()).solver()(lam=lam).value)
        assert float(solve("retrieval-capacity", "sign", lam=lam, alpha_D=1e5).value) == pytest.approx(iid, rel=2e-5)


# ---- patterns of finitely many values


def test_no_threshold_above_the_entropy_of_sign_patterns() -> None:
    alpha_d = 0.5
    below = solve("collapse-time", "sign", alpha=0.5, alpha_D=alpha_d)
    entropy = float(below.outputs["pattern_entropy"])
    assert below.converged
    assert entropy < np.log(2)
    # nothing is left of the noise at zero temperature but the repeats of the pattern
    far = float(solve("retrieval-capacity", "sign", lam=40.0, alpha_D=alpha_d).value)
    assert far == pytest.approx(entropy, abs=1e-6)
    for name in ("collapse-time", "onset-time", "generalization-time", "rem-condensation"):
        lost = solve(name, "sign", alpha=entropy + 1e-6, alpha_D=alpha_d)
        assert lost.branch == "none"
        assert np.isnan(lost.value)
        assert not lost.converged
        assert "entropy" in str(lost.reason)


def test_patterns_are_fewer_than_cells_of_an_arrangement() -> None:
    """Cover (1965): N hyperplanes in D dimensions make exp(N h2(D/N)) cells, for D/N < 1/2."""
    for alpha_d in (0.05, 0.4):
        entropy = float(solve("onset-time", "sign", alpha=0.01, alpha_D=alpha_d).outputs["pattern_entropy"])
        cells = -alpha_d * np.log(alpha_d) - (1 - alpha_d) * np.log(1 - alpha_d)
        assert 0.2 * cells < entropy < cells


# ---- a simulation


@pytest.mark.slow
def test_overlap_of_the_noise_by_simulation() -> None:
    """zeta'(1) of tanh at alpha_D = 1/2, sampling latent vectors with weight exp(lam x.xi): 48 manifolds, N = 256."""
    rng = np.random.default_rng(5)
    copies, n, d, lam = 48, 256, 128, 1.0
    F = rng.normal(size=(copies, n, d)) / np.sqrt(d)
    x = np.tanh(np.einsum("cnd,cd->cn", F, rng.normal(size=(copies, d))))
    z = rng.normal(size=(copies, d))
    xi = np.tanh(np.einsum("cnd,cd->cn", F, z))
    total, step, sweeps = np.zeros(copies), 0.18, 3000
    for k in range(sweeps):
        trial = np.sqrt(1 - step**2) * z + step * rng.normal(size=z.shape)
        trial_xi = np.tanh(np.einsum("cnd,cd->cn", F, trial))
        accept = np.log(rng.random(copies)) < lam * ((trial_xi - xi) * x).sum(1)
        z, xi = np.where(accept[:, None], trial, z), np.where(accept[:, None], trial_xi, xi)
        if k >= sweeps // 3:
            total += (x * xi).mean(1)
    overlap = total / (sweeps - sweeps // 3)
    error = overlap.std(ddof=1) / np.sqrt(copies)
    h = 1e-3
    zeta = [float(solve("retrieval-capacity", "tanh", lam=lam + s * h, alpha_D=0.5).value) for s in (-1, 1)]
    rho = float(N(HiddenManifold(parse_activation("tanh")).rho, 15))
    slope = rho - (zeta[1] - zeta[0]) / (2 * h)
    assert slope == pytest.approx(0.2761, abs=2e-4)
    assert error < 0.004
    assert abs(overlap.mean() - slope) < 3 * error + 1 / n


# ---- derivations, errors, faces


@pytest.mark.parametrize(("name", "activation"), [("retrieval-capacity", "relu"), ("collapse-time", "tanh")])
def test_own_steps_are_proven(name: str, activation: str) -> None:
    """The steps that a system adds to the replica calculation, which has tests of its own."""
    from derive.ledger import Derivation
    from derive.methods.replica import symmetric_derivation

    derivation = atlas[name].with_(activation=parse_activation(activation)).derivation
    shared = {s.label for s in symmetric_derivation()} - {"laplace", "free-entropy-value", "log-weight"}
    kept = [s for s in derivation if s.label not in shared]
    from dataclasses import replace

    known = {s.label for s in kept}
    own = [s if s.label not in ("laplace", "free-entropy-value", "log-weight")
           else replace(s, rule="definition", premises=()) for s in kept]
    own = [replace(s, premises=tuple(p for p in s.premises if p in known)) for s in own]
    ledger = Derivation(name, name, tuple(own)).check()
    assert not ledger.exceptions
    assert "inner-average" in known or activation == "tanh"


@pytest.mark.slow
@pytest.mark.parametrize("name", [k for k in atlas if k != "full-capacity"])
def test_every_derivation_is_sound(name: str) -> None:
    quantity = atlas[name].with_(activation=parse_activation("hardtanh"))
    assert quantity.verdict.sound, quantity.ledger.exceptions


def test_a_cumulant_that_diverges_is_refused() -> None:
    for activation in ("h**3/3 - h", "h^2", "exp(h)"):
        for name in ("retrieval-capacity", "rem-condensation", "retrieval-basin"):
            with pytest.raises(DeriveError, match="diverges for every lambda"):
                _ = atlas[name].with_(activation=parse_activation(activation)).problem


def ask(*arguments: str) -> tuple[int, dict]:
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    return done.exit_code, json.loads(done.output)


def test_the_command_line_gives_the_saddle_point() -> None:
    status, found = ask("solve", "retrieval-capacity", "--ensemble", "manifold", "--activation", "tanh", "lam=1",
                        "alpha_D=0.5")
    assert status == 0
    assert found["options"] == {"ensemble": "manifold", "activation": "tanh(h)", "inner_average": "quadrature"}
    assert found["order_parameters"]["m"] == pytest.approx(0.532425, abs=1e-6)
    assert found["stability"] == pytest.approx(0.970293, abs=1e-6)
    assert found["quadrature_error"] < 1e-9
    status, many = ask("solve", "retrieval-capacity", "--activation", "relu", "lam=0.1:0.3:3", "alpha_D=0.5")
    assert len(many["order_parameters"]["q"]) == len(many["value"]) == 3
    assert many["options"]["inner_average"] == "closed form"


def test_the_command_line_says_why_there_is_no_collapse() -> None:
    status, found = ask("solve", "collapse-time", "--activation", "sign", "alpha=0.69", "alpha_D=0.5")
    assert status == 1
    assert found["value"] is None
    assert found["branch"] == "none"
    assert "more data points than different patterns" in found["reason"]


def test_the_command_line_in_words() -> None:
    one = CliRunner().invoke(cli, ["solve", "retrieval-capacity", "--activation", "tanh", "lam=1", "alpha_D=0.5"])
    assert one.exit_code == 0
    assert "0.2293290804" in one.output
    many = CliRunner().invoke(cli, ["solve", "onset-time", "--activation", "sign", "alpha=0.3:0.6:2", "alpha_D=0.5"])
    assert many.exit_code == 1
    assert "more data points than different patterns" in many.output
    assert "1 of 2 points have no value" in many.output


def test_the_command_line_shows_the_closed_form() -> None:
    status, shown = ask("show", "collapse-time", "--activation", "relu")
    assert status == 0
    assert any(s["label"] == "inner-average" and "log_erfc" in s["claim"] for s in shown["steps"])
