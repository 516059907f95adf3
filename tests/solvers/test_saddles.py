"""Saddle points of replica-symmetric free entropies: identities first, then numbers with their provenance."""

import re
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from saddles import capacity, collapse, diffusion, memory

from derive.core import DeriveError, Solution
from derive.solvers import ExportMeta, compile_numpy, export
from derive.solvers.runtime import Words
from derive.solvers.saddle_averages import SiteFunctions, site_averages, start_mesh
from derive.solvers.saddle_branches import Extremum, equations, free_entropy, solve_site
from derive.solvers.saddle_runtime import Around, Memory, beside, root_around

TANH = compile_numpy(memory(sp.tanh))


def tanh_site(lam: float, ratio: float) -> SiteFunctions:
    return SiteFunctions(np.tanh, lambda u, z: np.tanh(u), lambda x, xi: lam * x * xi, (), ratio, (), False, True)


def level(site: SiteFunctions, point: tuple[float, float, float]) -> float:
    """The free entropy on a mesh that resolves it."""
    mesh = start_mesh(site)
    for _ in range(10):
        found = site_averages(site, mesh, point, check=True)
        if found.better == mesh:
            break
        mesh = found.better
    return free_entropy(site, point, float(found.plain[0]))


def resolved(site: SiteFunctions, point: tuple[float, float, float]):
    mesh = start_mesh(site)
    for _ in range(10):
        found = site_averages(site, mesh, point, check=True)
        if found.better == mesh:
            return found, mesh
        mesh = found.better
    raise AssertionError("not resolved")


@settings(max_examples=8, deadline=None)
@given(
    lam=st.floats(0.05, 2.0), ratio=st.floats(0.2, 5.0), m=st.floats(-1.0, 1.5), p=st.floats(0.01, 1.0),
    v=st.floats(0.2, 2.0),
)
def test_the_equations_are_the_gradient_of_the_free_entropy(lam, ratio, m, p, v):
    """dF/dm = R_1/sqrt V - m R_3/V, dF/dq = -R_2/(2V), dF/dr = (R_2 + R_3)/(2V), against central differences."""
    site = tanh_site(lam, ratio)
    found, _ = resolved(site, (m, p, v))
    one, two, three = equations(site, (m, p, v), found)[0]
    analytic = np.array([one / np.sqrt(v) - m * three / v, -two / (2 * v), (two + three) / (2 * v)])
    h = 1e-4 * min(p, v)

    def at(dm: float, dq: float, dr: float) -> float:
        q, r = m * m + p + dq, m * m + p + v + dr
        return level(site, (m + dm, q - (m + dm) ** 2, r - q))

    numeric = [(at(h, 0, 0) - at(-h, 0, 0)), (at(0, h, 0) - at(0, -h, 0)), (at(0, 0, h) - at(0, 0, -h))]
    assert np.allclose(np.array(numeric) / (2 * h), analytic, rtol=2e-5, atol=2e-7)


def test_the_jacobian_is_the_derivative_of_the_equations():
    site, point, h = tanh_site(1.3, 0.6), (0.7, 0.4, 0.8), 1e-6
    found, mesh = resolved(site, point)
    _, jacobian, _ = equations(site, point, found)
    for k in range(3):
        ends = []
        for sign in (1, -1):
            step = [sign * h if j == k else 0.0 for j in range(3)]
            there = (point[0] + step[0], point[1] + step[1], point[2] * np.exp(step[2]))
            ends.append(equations(site, there, site_averages(site, mesh, there))[0])
        assert np.allclose((ends[0] - ends[1]) / (2 * h), jacobian[:, k], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("lam", "zeta", "overlaps", "slope"),
    [
        (0.2, 0.00834704, None, None),
        (0.5, 0.04847177, (0.323718, 0.154930, 1.072721), None),
        (1.0, 0.16496541, None, 0.2761974),
    ],
)
def test_tanh_at_half(lam, zeta, overlaps, slope):
    """Section 3 of the collected physics: an independent solver, checked by simulation."""
    found = TANH(lam=lam, alpha_D=0.5)
    assert found.converged
    assert found.value == pytest.approx(zeta, abs=6e-9)
    if overlaps:
        assert [float(found.outputs[k]) for k in "mqr"] == pytest.approx(overlaps, abs=6e-7)
    if slope:
        assert found.outputs["slope"] == pytest.approx(slope, abs=1e-7)
    assert abs(found.residual) <= 1e-12
    assert found.outputs["quadrature_error"] < 1e-9


@settings(max_examples=10, deadline=None)
@given(lam=st.floats(0.01, 3.0), ratio=st.floats(0.1, 10.0))
def test_the_linear_manifold_is_exact(lam, ratio):
    """r - q = 1, m = lam/a, q = m^2 + lam^2/a, zeta = lam^2 (1 + 1/a)/2, replicon 1: Gaussian integrals throughout."""
    found = LINEAR(lam=lam, alpha_D=ratio)
    m = lam / ratio
    q = m * m + lam * lam / ratio
    assert found.converged
    assert [float(found.outputs[k]) for k in "mqr"] == pytest.approx([m, q, q + 1], rel=1e-11)
    assert found.value == pytest.approx(lam * lam * (1 + 1 / ratio) / 2, rel=1e-11)
    assert found.stability == pytest.approx(1.0, abs=1e-11)


LINEAR = compile_numpy(memory(lambda h: h))
NOISY = compile_numpy(diffusion(sp.tanh))


@pytest.mark.parametrize(("t", "ratio"), [(0.5, 0.5), pytest.param(0.2, 2.0, marks=pytest.mark.slow)])
def test_at_the_bayes_optimal_point_the_planted_pattern_is_one_more_replica(t, ratio):
    """s = t, b = 1/t: m = q and r = 1 (Nishimori), found without being told."""
    found = NOISY(b=1 / t, s=t, alpha_D=ratio)
    assert found.converged
    assert found.stability > 0
    assert float(found.outputs["m"]) == pytest.approx(float(found.outputs["q"]), abs=1e-9)
    assert float(found.outputs["r"]) == pytest.approx(1.0, abs=1e-9)


def test_many_latent_dimensions_give_independent_patterns():
    """alpha_D -> oo: zeta = E_x log E_xi exp(lam x xi), approached like 1/alpha_D."""
    u, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()
    inner = np.exp(0.7 * np.tanh(u)[:, None] * np.tanh(u)) @ weight
    free = weight @ np.log(inner)
    far = TANH(lam=0.7, alpha_D=np.array([1e3, 1e4])).value - free
    assert abs(far[1]) < 1e-4
    assert far[0] / far[1] == pytest.approx(10, rel=1e-2)


def test_the_slope_is_the_derivative_of_the_value():
    """Envelope theorem: the total derivative of the extremum in lam is the tilted average of x xi."""
    h = 1e-3
    found = TANH(lam=0.9 + h * np.array([-2, -1, 0, 1, 2]), alpha_D=0.3)
    numeric = (found.value @ np.array([1, -8, 0, 8, -1])) / (12 * h)
    assert found.outputs["slope"][2] == pytest.approx(numeric, rel=1e-9)


def test_an_even_activation_has_an_uncorrelated_branch_and_all_branches_are_told():
    found = compile_numpy(memory(sp.cos))(lam=1.0, alpha_D=0.5)
    assert found.converged
    assert int(found.outputs["branch_count"]) >= 1
    values = found.outputs["branch_values"]
    assert values[0] == found.value
    assert (np.diff(values[np.isfinite(values)]) <= 0).all()


def test_what_is_not_a_saddle_of_its_site_is_refused():
    from dataclasses import replace

    problem = memory(sp.tanh)
    wrong = replace(problem, stages=(replace(problem.stages[0], free_entropy=problem.stages[0].free_entropy + 1),))
    with pytest.raises(DeriveError, match="not the replica-symmetric one"):
        compile_numpy(wrong)
    with pytest.raises(DeriveError, match="constant"):
        compile_numpy(memory(lambda h: sp.Integer(1)))
    with pytest.raises(DeriveError, match="left over: k"):
        compile_numpy(memory(lambda h: sp.Symbol("k") * h))


def test_a_cumulant_that_diverges_is_not_a_number_but_a_sentence():
    found = compile_numpy(memory(lambda h: h**3))(lam=0.5, alpha_D=1.0)
    assert not found.converged
    assert np.isnan(found.value)
    assert "outgrows the Gaussian" in str(found.reason)


def test_the_capacity_saturates_where_the_slope_reaches_the_norm():
    """Linear: alpha_1 = lam - zeta below lam_hat = a/(1 + a), a/(2 (1 + a)) beyond."""
    found = compile_numpy(capacity(lambda h: h))(lam=np.array([0.1, 0.2, 1.0, 5.0]), alpha_D=0.5)
    assert found.converged.all()
    expected = [0.1 - 0.01 * 1.5, 0.2 - 0.04 * 1.5, 1 / 6, 1 / 6]
    assert found.value == pytest.approx(expected, rel=1e-11)


@pytest.mark.slow
def test_the_collapse_of_the_linear_manifold():
    """Section 4: t_c at (alpha, alpha_D) = (0.2, 0.5) and (0.5, 0.5) from the Marchenko-Pastur law."""
    found: Solution = compile_numpy(collapse(lambda h: h))(alpha=np.array([0.2, 0.5]), alpha_D=0.5)
    assert found.converged.all()
    assert found.value == pytest.approx([1.409612764, 0.243791980], rel=1e-9)
    assert found.outputs["m"] == pytest.approx(found.outputs["q"], abs=1e-10)


def test_starts_that_fail_are_told_of():
    site = SiteFunctions(np.tanh, lambda u, z: np.tanh(u), lambda x, xi: np.where(xi > 0, np.nan, xi), (), 1.0)
    (found,) = solve_site(site, [])
    assert "not a number" in found.words


def test_an_exported_saddle_stands_alone_and_says_where_its_table_comes_from(tmp_path):
    problem = memory(sp.tanh)
    path = export(problem, ExportMeta("zeta", "cumulant"), tmp_path / "zeta.py")
    text = path.read_text("utf-8")
    assert "no second route" in text
    assert not re.search(r"^\s*(from|import) (derive|sympy)", text, re.MULTILINE)
    run = [sys.executable, "-I", str(path)]
    said = subprocess.run([*run, "--selftest"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("3 of 3 checks passed")
    shown = subprocess.run([*run, "lam=0.5", "alpha_D=0.5"], capture_output=True, text=True, check=True).stdout
    assert float(re.search(r"value = (\S+)", shown)[1]) == pytest.approx(0.04847177, abs=6e-9)  # PHYSICS section 3


def test_a_saddle_lost_below_a_threshold_is_told_where():
    """h^3 has a cumulant of l x.xi for no l > 0: the first inverse temperature tried is named, and what happened."""
    found = compile_numpy(capacity(lambda h: h**3))(lam=0.5, alpha_D=1.0)
    assert not found.converged
    assert np.isnan(found.value)
    first = r"lost at \w+ = [\d.e+-]+, no value of it was tried before: .*outgrows the Gaussian"
    assert re.search(first, str(found.reason))


def test_where_a_search_loses_its_saddle_lies_beyond_where_it_last_had_one():
    """A residual that cannot be had beyond l = 2: both places are told, on the two sides of 2."""

    def solve(part, env, n, words, memory):
        good = env["l"] < 2.0
        reason = np.where(good, 0, words.code("it ends here"))
        return {"value": env["l"], "log_value": env["l"], "inner": {}, "good": good, "reason": reason,
                "count": np.ones(n, dtype=int)}

    words = Words()
    stage = {"name": "l", "log": True, "inner": ({"name": "z"},), "residual": (lambda z: z - 5.0, ("z",))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("derive.solvers.saddle_runtime.solve_stage", lambda p, e, n, w: solve(p, e, n, w, None))
        one = Around(stage, {}, words, {})
        assert root_around(one, -np.inf, np.inf, 1, False, None)[2] == "lost"
    assert one.held_at < 2.0 <= one.lost_at < 2.01
    assert re.fullmatch(r"l is not found: lost at l = 2\S*, last found at l = 1.99\S*: it ends here", one.lost())


def test_a_saddle_lost_among_points_names_its_neighbour():
    """Continuation from lam = 1 to a site that is not a number: the sentence names where it came from."""
    memory_, key = Memory(), np.array([np.log(1.1), np.log(0.5)])
    here = {"lam": np.array([1.1]), "alpha_D": np.array([0.5])}
    assert beside(("lam", "alpha_D"), memory_, key, here, 0) == ""
    memory_.keep(np.array([0.0, np.log(0.5)]), [Extremum((0.5, 0.1, 0.8), "planted")])
    assert beside(("lam", "alpha_D"), memory_, key, here, 0) == "; lost on the way from lam = 1, alpha_D = 0.5"


def test_where_every_start_fails_the_saddle_is_continued_from_a_smaller_exponent():
    """sign at lam = 5, alpha_D = 0.02; 4.9183086 by manifold_reference.Reference(np.sign, (0.0,)).memory(5, 0.02)."""
    found = compile_numpy(memory(sp.sign))(lam=5.0, alpha_D=0.02)
    assert found.converged
    assert found.outputs["saddle"] == "continued"
    assert found.value == pytest.approx(4.9183086, abs=1e-7)
    assert found.outputs["r"] == pytest.approx(1.0, abs=1e-9)  # sigma^2 = 1: no response of the norm
