"""Generated NumPy solvers: against mpmath, at joints, out of reach of the doubles, and with wrong input."""

from __future__ import annotations

import ast
import math

import mpmath
import numpy as np
import problems
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal
from sympy import Interval, Piecewise, Rational, S, Symbol, exp, log, oo

from derive.core import Branch, DeriveError, Parameter, Problem, Stage
from derive.solvers import compile_mp_solver, compile_numpy, numpy_source
from derive.symbols import alpha, lam, t

EPS = 2.0**-52
loads = st.floats(math.log(1e-3), math.log(20.0)).map(math.exp)
ratios = st.one_of(
    st.floats(math.log(1e-3), math.log(10.0)).map(math.exp), st.sampled_from([1.0, 1 + 1e-12, 1 - 1e-12])
)


@pytest.mark.parametrize("make", [problems.collapse, problems.onset])
@given(a=loads, ratio=ratios)
def test_times_are_right_to_rounding(make, a: float, ratio: float) -> None:
    """The error allowed is that of the load's own last digit, carried through the equation, and of the logarithm's."""
    problem = make()
    found = compile_numpy(problem)(alpha=a, alpha_D=ratio)
    exact = compile_mp_solver(problem)(digits=30, alpha=a, alpha_D=ratio)
    assert found.converged
    with mp.workdps(40):
        error = abs(mpmath.mpf(float(found.log_value)) - mpmath.mpf(str(exact.log_value)))
    assert error <= 6 * EPS * max(1.0, abs(float(found.log_value)), 2 * a / min(ratio, 1.0))


@pytest.mark.parametrize(
    ("a", "ratio", "t_c"), [(0.2, 0.1, 0.177341511), (0.2, 0.5, 1.409612764), (0.5, 0.5, 0.243791980)]
)
def test_reference_collapse_times(a: float, ratio: float, t_c: float) -> None:
    assert compile_numpy(problems.collapse())(alpha=a, alpha_D=ratio).value == pytest.approx(t_c, abs=5e-10)


@pytest.mark.parametrize(
    ("a", "ratio", "t_o"), [(0.2, 0.1, 0.473428107), (0.2, 0.5, 3.152598308), (0.5, 0.5, 0.600420521)]
)
def test_reference_onset_times(a: float, ratio: float, t_o: float) -> None:
    assert compile_numpy(problems.onset())(alpha=a, alpha_D=ratio).value == pytest.approx(t_o, abs=1e-9)


def test_a_value_below_the_smallest_double() -> None:
    found = compile_numpy(problems.collapse())(alpha=1.0, alpha_D=1 / 500)
    exact = compile_mp_solver(problems.collapse())(digits=40, alpha=1, alpha_D=1 / 500)
    assert found.value == 0.0
    assert found.converged
    assert abs(found.residual) < 1e-15
    with mp.workdps(45):
        assert abs(mpmath.mpf(float(found.log_value)) / mpmath.mpf(str(exact.log_value)) - 1) < 1e-15


@given(ratio=st.floats(1e-5, 1e-3), a=st.floats(20.0, 200.0))
def test_far_below_the_doubles(ratio: float, a: float) -> None:
    """There log t = -2 alpha/alpha_D + (1 - 1/alpha_D) log(1 - alpha_D) - log alpha_D - 1, exponentially nearly."""
    found = compile_numpy(problems.collapse())(alpha=a, alpha_D=ratio)
    with mp.workdps(40):
        r = mpmath.mpf(ratio)
        expected = -2 * mpmath.mpf(a) / r - mpmath.log(r) - (1 / r - 1) * mpmath.log1p(-r) - 1
        assert abs(float(found.log_value) - expected) <= 4 * EPS * abs(expected)


def test_arrays_broadcast_and_scalars_stay_scalars() -> None:
    solver = compile_numpy(problems.collapse())
    a, ratio = np.linspace(0.1, 3, 5)[:, None], np.array([0.2, 1.0, 3.0])
    wide = solver(alpha=a, alpha_D=ratio)
    assert wide.value.shape == wide.branch.shape == wide.reason.shape == (5, 3)
    assert solver(alpha=1, alpha_D=2).value.shape == ()
    assert solver(alpha=np.ones((0, 3)), alpha_D=1.0).value.shape == (0, 3)
    for i in range(5):
        for j in range(3):
            alone = solver(alpha=a[i, 0], alpha_D=ratio[j])
            assert wide.log_value[i, j] == pytest.approx(float(alone.log_value), rel=4 * EPS)


def test_the_answer_solves_the_equation() -> None:
    """The residual reported is small, and the value put into the plain equation gives the load back."""
    rng = np.random.default_rng(5)
    a, ratio = rng.uniform(0.05, 3, 200), rng.uniform(0.3, 5, 200)
    found = compile_numpy(problems.collapse())(alpha=a, alpha_D=ratio)
    b = 1 / found.value
    V = (-(b * (1 - ratio) + ratio) + np.sqrt((b * (1 - ratio) + ratio) ** 2 + 4 * ratio**2 * b)) / (2 * ratio * b)
    assert_allclose((np.log(1 + b * V) - ratio * np.log(V) - ratio * (1 - V)) / 2, a, rtol=1e-11)
    assert np.abs(found.residual).max() < 1e-14


@pytest.mark.parametrize("shift", [-1e-12, 0.0, 1e-12])
def test_the_joint_of_a_saturated_capacity(shift: float) -> None:
    found = compile_numpy(problems.gaussian_capacity())(lam=1.0 + shift)
    assert found.value == 0.5
    assert found.outputs["lambda_hat"] == min(1.0 + shift, 1.0)
    assert found.branch == ("saturated" if shift > 0 else "unsaturated")


@given(st.floats(1e-6, 1.0))
def test_a_clip_gives_exactly_the_end(end: float) -> None:
    assert compile_numpy(problems.gaussian_capacity())(lam=end).outputs["lambda_hat"] == end


def test_no_root_where_none_exists() -> None:
    found = compile_numpy(problems.binary_condensation())(alpha=np.array([0.5, np.log(2.0), 0.8]))
    assert_array_equal(found.converged, [True, False, False])
    assert_array_equal(found.branch, ["condensed", "none", "none"])
    assert np.isnan(found.value[1:]).all()
    assert np.isnan(found.log_value[1:]).all()
    assert found.reason[1] == "no condensation: the load is at or above log 2"
    assert found.reason[0] == ""


def test_no_root_without_a_condition() -> None:
    """Where nothing says beforehand that there is no root, the search says so."""
    u = Symbol("u", positive=True)
    stage = Stage(u, 1 - exp(-u) - alpha, 1, S.Zero)
    found = compile_numpy(Problem("none", u, (problems.LOAD,), (Branch("x", u),), (stage,)))(
        alpha=np.array([0.25, 1.0, 2.0])
    )
    assert_array_equal(found.converged, [True, False, False])
    assert found.value[0] == pytest.approx(-math.log(0.75), rel=1e-15)
    assert "no root" in found.reason[1]


@pytest.mark.parametrize(
    ("inverse_temperature", "expected"), [(0.3, 0.11759), (0.5, 0.15274), (1.0, 0.5 / math.e), (3.0, 0.5 / math.e)]
)
def test_a_stage_within_a_stage(inverse_temperature: float, expected: float) -> None:
    found = compile_numpy(problems.full_capacity())(lam=inverse_temperature)
    assert found.value == pytest.approx(expected, abs=5e-6)
    if inverse_temperature >= 1:
        assert found.value == pytest.approx(expected, rel=1e-15)


def test_capacity_of_a_density() -> None:
    """The uniform law on (-1, 1): zeta(l) = E log(sinh(l x)/(l x)); the half-normal law saturates."""
    from scipy.integrate import quad

    uniform = problems.density_capacity(Rational(1, 2), S.NegativeOne, S.One, Rational(1, 3))
    found = compile_numpy(uniform)(lam=np.array([0.5, 2.0]))
    for x, value in zip((0.5, 2.0), found.value, strict=True):
        zeta = quad(lambda y, x=x: np.log(np.sinh(x * y) / (x * y)), 0, 1, epsabs=1e-14)[0]
        assert value == pytest.approx(x / 3 - zeta, rel=1e-11)
    flat = compile_numpy(problems.density_capacity())(lam=np.array([3.0, 30.0]))
    assert flat.value[0] == pytest.approx(flat.value[1], rel=1e-13)


def plain(branches: tuple[Branch, ...], positive: bool = True, stages: tuple[Stage, ...] = (), **more) -> Problem:
    x = Parameter(lam, Interval(-oo, oo))
    return Problem("plain", Symbol("y"), (x,), branches, stages, positive=positive, **more)


def test_branches_not_taken_are_not_evaluated() -> None:
    """log(x - 1) and 1/x are only reached where they make sense; warnings are errors here."""
    x = Symbol("x", real=True)
    problem = Problem(
        "plain",
        Symbol("y"),
        (Parameter(x, Interval(-oo, oo)),),
        (Branch("log", log(x - 1), x > 1), Branch("none", None, x < 0, "below zero"), Branch("root", x**2)),
        positive=False,
    )
    found = compile_numpy(problem)(x=np.array([3.0, -1.0, 0.5, 1.0]))
    assert_allclose(found.value, [math.log(2.0), np.nan, 0.25, 1.0])
    assert_array_equal(found.branch, ["log", "none", "root", "root"])
    assert_array_equal(found.reason, ["", "below zero", "", ""])


def test_an_unknown_without_value_only_hurts_where_it_is_used() -> None:
    star = problems.binary_condensation()
    u = star.stages[0].unknown
    branches = (Branch("free", alpha, alpha > 2), Branch("bound", u))
    problem = Problem("mixed", u, star.parameters, branches, star.stages)
    found = compile_numpy(problem)(alpha=np.array([0.5, 1.0, 3.0]))
    assert_array_equal(found.converged, [True, False, True])
    assert found.value[2] == 3.0
    assert "log 2" in found.reason[1]
    undecided = Problem(
        "mixed", u, star.parameters, (Branch("low", alpha, u < 1), Branch("high", 2 * alpha)), star.stages
    )
    found = compile_numpy(undecided)(alpha=np.array([0.1, 0.6, 1.0]))
    assert_array_equal(found.branch, ["low", "high", "none"])
    either = Problem(
        "mixed",
        u,
        star.parameters,
        (Branch("low", alpha, (u < 1) | (alpha > 0.9)), Branch("high", 2 * alpha)),
        star.stages,
    )
    assert_array_equal(compile_numpy(either)(alpha=np.array([0.1, 0.6, 1.0])).branch, ["low", "high", "low"])


def test_pieces_in_an_equation() -> None:
    u = Symbol("u", positive=True)
    bend = Piecewise((log(u), u > 1), (u - 1, True))
    found = compile_numpy(
        Problem(
            "bend", u, (Parameter(lam, Interval.open(-1, 10)),), (Branch("x", u),), (Stage(u, bend - lam, 1, S.Zero),)
        )
    )(lam=np.array([-0.5, 0.0, 2.0]))
    assert_allclose(found.value, [0.5, 1.0, math.exp(2.0)], rtol=1e-15)


def test_a_value_that_is_no_number_is_no_answer() -> None:
    x = Symbol("x", real=True)
    problem = Problem(
        "plain", Symbol("y"), (Parameter(x, Interval(-oo, oo)),), (Branch("log", log(x)),), positive=False
    )
    found = compile_numpy(problem)(x=np.array([-1.0, 1.0]))
    assert_array_equal(found.converged, [False, True])
    assert "not a finite number" in found.reason[0]


def test_several_stages_in_order() -> None:
    u, v = Symbol("u", positive=True), Symbol("v", positive=True)
    stages = (Stage(u, u**2 - alpha, 1, S.Zero), Stage(v, v**3 - u, 1, S.Zero, u + 1))
    found = compile_numpy(Problem("two", v, (problems.LOAD,), (Branch("x", v),), stages, (("u", u),)))(
        alpha=np.array([1e-200, 4.0, 1e200])
    )
    assert_allclose(found.log_value, np.log([1e-200, 4.0, 1e200]) / 6, rtol=1e-15)
    assert_allclose(found.outputs["u"], [1e-100, 2.0, 1e100], rtol=1e-13)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"alpha": 1.0}, "missing parameter 'alpha_D'"),
        (
            {"alpha": 1.0, "alpha_d": 1.0},
            "unknown parameter 'alpha_d'; allowed: alpha, alpha_D; did you mean 'alpha_D'?",
        ),
        ({"alpha": -1.0, "alpha_D": 1.0}, "parameter 'alpha' = -1 is out of its domain (0, inf)"),
        ({"alpha": [1.0, 0.0], "alpha_D": 1.0}, "parameter 'alpha' = 0 is out of its domain (0, inf)"),
        ({"alpha": math.nan, "alpha_D": 1.0}, "parameter 'alpha' is nan"),
        ({"alpha": math.inf, "alpha_D": 1.0}, "out of its domain"),
        ({"alpha": "1", "alpha_D": 1.0}, "parameter 'alpha' is not a number: '1'"),
        ({"alpha": 1j, "alpha_D": 1.0}, "is not a number"),
        ({"alpha": None, "alpha_D": 1.0}, "is not a number"),
        ({"alpha": True, "alpha_D": 1.0}, "is not a number"),
        ({"alpha": np.ones(2), "alpha_D": np.ones(3)}, "do not broadcast"),
    ],
)
def test_wrong_input_is_one_line(given_, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        compile_numpy(problems.collapse())(**given_)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.allowed


def test_nearest_name() -> None:
    with pytest.raises(DeriveError) as caught:
        compile_numpy(problems.collapse())(alpha=1.0, alpha_d=1.0)
    assert caught.value.nearest == "alpha_D"


def test_defaults_and_other_names() -> None:
    problem = Problem(
        "plain",
        Symbol("y"),
        (Parameter(lam, Interval.open(0, oo), default=Rational(1, 4)), Parameter(t, Interval(0, 1))),
        (Branch("x", lam + t),),
    )
    solver = compile_numpy(problem)
    assert solver(t=0).value == 0.25
    assert solver(t=1, **{"lambda": 2}).value == 3.0
    with pytest.raises(DeriveError, match="given twice"):
        solver(t=1, lam=2, **{"lambda": 2})


def test_text_is_the_same_each_time_and_needs_nothing_of_ours() -> None:
    source = numpy_source(problems.collapse())
    assert source == numpy_source(problems.collapse())
    assert compile_numpy(problems.collapse()) is compile_numpy(problems.collapse())
    assert compile_numpy(problems.collapse()).hash in "\n".join(source.splitlines()[:4])
    assert numpy_source(problems.onset()).splitlines()[2] != source.splitlines()[2]
    roots = {
        a.name.partition(".")[0] for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import) for a in n.names
    }
    roots |= {str(n.module).partition(".")[0] for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom)}
    assert roots <= {"math", "collections", "typing", "numpy", "scipy", "difflib", "__future__"}


def test_a_parameter_called_like_a_keyword() -> None:
    strange = Symbol("class", positive=True)
    problem = Problem("plain", Symbol("y"), (Parameter(strange, Interval.open(0, oo)),), (Branch("x", strange**2),))
    assert compile_numpy(problem)(**{"class": 3.0}).value == 9.0


def test_a_problem_with_something_foreign() -> None:
    from sympy import besselj

    problem = Problem("plain", Symbol("y"), (Parameter(lam, Interval.open(0, oo)),), (Branch("x", besselj(0, lam)),))
    with pytest.raises(DeriveError, match="besselj"):
        numpy_source(problem)
