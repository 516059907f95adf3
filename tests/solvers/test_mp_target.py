"""Solving to any number of digits: the digits are right, and wrong input is refused."""

from __future__ import annotations

import types

import mpmath
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sympy import Interval, S, Symbol, exp, oo

from derive.core import Branch, DeriveError, Parameter, Problem, Stage
from derive.solvers import compile_mp_solver
from derive.solvers.mp_runtime import exact
from derive.solvers.mp_target import mp_source


def off_by(text: str, value: mpf) -> mpf:
    """The error of a decimal string in units of its last digit."""
    digits, _, power = text.lower().partition("e")
    places = len(digits.partition(".")[2]) - int(power or 0)
    return abs(mpf(text) - value) * mpf(10) ** places


@pytest.mark.parametrize("digits", [5, 15, 50, 200])
@pytest.mark.parametrize(("a", "ratio"), [("1", "1/500"), ("0.2", "0.5"), ("3", "1"), ("1e-30", "2")])
def test_collapse_time_solves_the_plain_equation(digits: int, a: str, ratio: str) -> None:
    """Against a bisection of the equation with the explicit root of the quadratic, in far more digits."""
    found = compile_mp_solver(problems.collapse())(digits=digits, alpha=a, alpha_D=ratio)
    with mp.workdps(2 * digits + 900):
        load, r = (mpf(f.numerator) / f.denominator for f in map(exact, (a, ratio)))

        def f(log_t: mpf) -> mpf:
            s = mpmath.exp(log_t)
            linear = 1 - r + r * s
            V = (mpmath.sqrt(linear**2 + 4 * r**2 * s) - linear) / (2 * r)
            return mpmath.log(1 + V / s) - r * mpmath.log(V) - r * (1 - V) - 2 * load

        root = mpmath.findroot(f, mpf(str(found.log_value)), tol=mpf(10) ** (-4 * digits - 100), verify=False)
        assert abs(root - mpf(str(found.log_value))) < mpf(10) ** (3 - digits)
        assert f(root - mpf(10) ** (-digits - 20)) > 0 > f(root + mpf(10) ** (-digits - 20))
        assert off_by(str(found.log_value), root) <= 1
        assert off_by(str(found.value), mpmath.exp(root)) <= 1


@settings(max_examples=15)
@given(st.integers(1, 60), st.fractions("1/1000", "0.69"))
def test_more_digits_agree_with_fewer(digits: int, load) -> None:
    solver = compile_mp_solver(problems.binary_condensation())
    few, many = solver(digits=digits, alpha=str(load)), solver(digits=digits + 40, alpha=str(load))
    with mp.workdps(digits + 60):
        assert off_by(str(few.value), mpf(str(many.value))) <= 1
        assert off_by(str(few.log_value), mpf(str(many.log_value))) <= 1


def test_joints_and_ends() -> None:
    solver = compile_mp_solver(problems.gaussian_capacity())
    found = solver(digits=30, lam=["1", "1.000000000001", "0.999999999999", "1/3", "40"])
    assert [mpf(str(v)) for v in found.value[[0, 1, 4]]] == [mpf("0.5")] * 3
    assert str(found.value[2]) == "0.499999999999999999999999500000"
    assert list(found.branch) == ["unsaturated", "saturated", "unsaturated", "unsaturated", "saturated"]
    assert str(found.outputs["lambda_hat"][3]) == "0." + "3" * 30


def test_a_load_beyond_the_doubles_but_below_log_two() -> None:
    solver = compile_mp_solver(problems.binary_condensation())
    near = solver(digits=40, alpha="0.69314718055994530941723212")
    assert near.converged
    assert 25 < float(str(near.value)) < 40
    above = solver(digits=40, alpha="0.69314718055994530941723213")
    assert not above.converged
    assert (str(above.value), str(above.branch)) == ("nan", "none")
    assert "log 2" in str(above.reason)


def test_nested_stages() -> None:
    found = compile_mp_solver(problems.full_capacity())(digits=60, lam=["2", "1/2"])
    with mp.workdps(80):
        assert off_by(str(found.value[0]), 1 / (2 * mpmath.e)) <= 1
        g = mpf(3) / 8
        best = mpmath.findroot(lambda s: mpmath.diff(lambda x: mpmath.log(1 + 2 * x * g) / (2 + 2 * x), s), mpf("2.2"))
        assert off_by(str(found.value[1]), mpmath.log(1 + 2 * best * g) / (2 + 2 * best)) <= 1


def test_a_root_at_a_round_number() -> None:
    """A root of exactly one has the logarithm zero, of which no digits can be had."""
    u = Symbol("u", positive=True)
    problem = Problem(
        "one",
        u,
        (Parameter(Symbol("k", positive=True), Interval.open(0, oo)),),
        (Branch("x", u),),
        (Stage(u, exp(u) - exp(1) * Symbol("k", positive=True), 1, S.Zero),),
    )
    found = compile_mp_solver(problem)(digits=25, k=1)
    assert mpf(str(found.value)) == 1
    assert mpf(str(found.log_value)) == 0


def test_the_written_module_agrees_with_the_closures() -> None:
    for make, given_ in (
        (problems.collapse, {"alpha": "0.7", "alpha_D": "1.5"}),
        (problems.full_capacity, {"lam": "0.4"}),
        (problems.binary_condensation, {"alpha": "1/7"}),
        (problems.gaussian_capacity, {"lam": "0.9"}),
    ):
        module = types.ModuleType("written")
        exec(mp_source(make()), module.__dict__)
        found = compile_mp_solver(make())(digits=45, **given_)
        assert module.solve(digits=45, **given_)["value"] == str(found.value)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"alpha": "1"}, "missing parameter 'alpha_D'"),
        ({"alpha": "1", "alpha_d": "1"}, "did you mean 'alpha_D'?"),
        ({"alpha": "0", "alpha_D": "1"}, "out of its domain (0, inf)"),
        ({"alpha": "nan", "alpha_D": "1"}, "is not a number"),
        ({"alpha": "inf", "alpha_D": "1"}, "is not a number"),
        ({"alpha": "1e999999999", "alpha_D": "1"}, "is not a number"),
        ({"alpha": "__import__('os')", "alpha_D": "1"}, "is not a number"),
        ({"alpha": float("nan"), "alpha_D": "1"}, "is not a number"),
        ({"alpha": "1/0", "alpha_D": "1"}, "is not a number"),
        ({"alpha": True, "alpha_D": "1"}, "is not a number"),
        ({"alpha": "1", "alpha_D": "1", "digits": 0}, "digits = 0"),
        ({"alpha": "1", "alpha_D": "1", "digits": "9"}, "digits = '9'"),
        ({"alpha": ["1", "2"], "alpha_D": ["1", "2", "3"]}, "do not broadcast"),
    ],
)
def test_wrong_input_is_one_line(given_, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        compile_mp_solver(problems.collapse())(**given_)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_floats_are_the_doubles_they_are() -> None:
    solver = compile_mp_solver(problems.gaussian_capacity())
    assert str(solver(digits=25, lam=0.1).outputs["lambda_hat"]) == "0.1000000000000000055511151"
    assert str(solver(digits=25, lam="0.1").outputs["lambda_hat"]) == "0.1000000000000000000000000"
