"""Definitions that are wrong on purpose: no derivation refutes them, known numbers do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sympy import Eq, Function, Interval, Rational, Symbol, oo, sqrt

from derive import DeriveError, atlas
from derive.cli import cli
from derive.core import Domain, Problem, Step
from derive.ledger import Derivation
from derive.ledger.definitions import Numbers, definition_trials
from derive.nodes import Extremum
from derive.quantity import Quantity, Result
from derive.references import FACTS, REFERENCES, VALUES
from derive.witnesses import compared_numbers, known_facts, known_numbers

a, x = Symbol("a", positive=True), Symbol("x", positive=True)
ROOM = Domain(((a, Interval.open(0, oo)), (x, Interval.open(0, oo))))
SIDE = Derivation("side", "The side of a square", (
    Step("area", Eq(a, x**2), "definition", domain=ROOM),
    Step("side", Eq(x, sqrt(a)), "solve", ("area",), ROOM),
))


def known(value: str, error: float = 1e-9) -> Numbers:
    return Numbers({a: Rational(9, 4), x: Rational(value)}, x, error, Eq(x, sqrt(a)), "exact", "a ruler")


def test_a_known_number_catches_each_wrong_definition() -> None:
    trials = definition_trials(SIDE, [known("1.5")], per_step=30)
    assert len(trials) >= 5
    assert all(t.caught for t in trials), [t.claim for t in trials if not t.caught]


def test_without_a_number_nothing_is_caught() -> None:
    assert not any(t.caught for t in definition_trials(SIDE, [], per_step=30))


def test_a_number_that_the_right_definition_misses_is_no_witness() -> None:
    assert not any(t.caught for t in definition_trials(SIDE, [known("1.7")], per_step=30))


def test_an_error_below_the_digits_of_the_number_is_not_seen() -> None:
    assert not any(t.caught for t in definition_trials(SIDE, [known("1.5", 10.0)], per_step=30))


@pytest.mark.parametrize("name", sorted({r.quantity for r in (*REFERENCES, *VALUES)}))
def test_the_solver_meets_every_reference(name: str) -> None:
    compared = compared_numbers(atlas[name])
    missed = [c.text for c in compared if not c.agrees]
    assert not missed
    usual = ("", str(atlas[name].ensemble))
    every = [r for r in (*REFERENCES, *VALUES) if r.quantity == name and r.ensemble in usual]
    assert [c.known for c in compared] == every


def asked_wrongly(name: str, wrong: Callable[[Problem], Problem]) -> Quantity:
    """A quantity whose derivation is right and whose solver is given something else."""
    right = atlas[name]
    result = Result(right.derivation, right.equation, wrong(right.problem))
    return replace(right, make=lambda: result)


@pytest.mark.parametrize(("name", "wrong"), [
    ("collapse-time", lambda p: replace(p, stages=(replace(p.stages[0], residual=p.stages[0].residual + 1),))),
    ("onset-time", lambda p: replace(p, branches=(replace(p.branches[0], value=2*p.branches[0].value),))),
    ("kl-divergence", lambda p: replace(p, branches=tuple(
        k if k.value is None else replace(k, value=-k.value + 1) for k in p.branches))),
    ("participation-ratio", lambda p: replace(p, branches=p.branches[::-1])),
])
def test_a_solver_that_is_given_another_equation_is_caught(
    name: str, wrong: Callable[[Problem], Problem]
) -> None:
    compared = compared_numbers(asked_wrongly(name, wrong))
    assert any(not c.agrees for c in compared)
    assert "is known" in next(c.text for c in compared if not c.agrees)


def test_check_is_red_where_the_solver_misses_a_number() -> None:
    wrong = asked_wrongly("rem-condensation", lambda p: replace(
        p, stages=(replace(p.stages[0], residual=p.stages[0].residual - 1),)))
    for obj, status in ((atlas, 0), ({"rem-condensation": wrong}, 1)):
        done = CliRunner().invoke(cli, ["check", "rem-condensation", "-j", "1"], obj=obj)
        assert done.exit_code == status, done.output
        assert ("rem-condensation, solver: REFUTED" in done.output) is bool(status)
        assert f"known numbers met by the solvers: {1 - status} of 1" in done.output
        told = json.loads(CliRunner().invoke(cli, ["check", "rem-condensation", "-j", "1", "--json"], obj=obj).stdout)
        assert [n["agrees"] for n in told["numbers"]] == [not status]


def test_the_simulated_reference_is_that_of_the_record() -> None:
    record = json.loads(Path("notebooks/records/collapse-time.json").read_text("utf-8"))
    (simulated,) = (r for r in REFERENCES if r.kind == "simulation")
    limit = record["extrapolation"]
    assert {k: float(v) for k, v in simulated.parameters.items()} == record["parameters"]
    assert float(simulated.value) == pytest.approx(limit["t_c"], abs=5e-5)
    assert float(simulated.error) == pytest.approx(limit["error"] * limit["t_c"], rel=0.02)


def test_the_definitions_of_a_system_have_witnesses() -> None:
    quantity = atlas["onset-time"]
    trials = definition_trials(quantity.derivation, known_numbers(quantity), per_step=4)
    caught = {t.label for t in trials if t.caught}
    assert {"psi", "trap"} <= caught


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    from derive.ledger.mutants import mutate
    from derive.mutation import WholeReport, write_report

    report = WholeReport(mutate([SIDE], per_step=3), (), (), 1.0)
    read = json.loads(write_report(report, tmp_path / "report.json").read_text("utf-8"))
    assert read["generated"] == report.steps.generated == 3
    assert {"killed", "equivalent", "survived", "undecided", "kill_rate", "seed", "date", "versions"} <= set(read)
    with pytest.raises(DeriveError, match="cannot be written"):
        write_report(report, tmp_path / "no such folder" / "report.json")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_a_known_value_of_a_function_is_a_witness() -> None:
    f = Function("f", real=True)
    double = Derivation("double", "Twice a number", (
        Step("double", Eq(f(x), 2 * x), "definition", domain=ROOM),))
    numbers = Numbers({x: Rational(3)}, None, 1e-12, None, "exact", "counting", {"f": (Rational(6), Rational(0))})
    trials = definition_trials(double, [numbers], per_step=30)
    assert len(trials) >= 4
    assert all(t.caught for t in trials), [t.claim for t in trials if not t.caught]
    assert not any(t.caught for t in definition_trials(double, [replace(numbers, functions={})], per_step=30))


@pytest.mark.slow
def test_what_is_read_off_a_spectrum_has_witnesses() -> None:
    quantity = atlas["spectral-density"]
    trials = definition_trials(quantity.derivation, known_numbers(quantity), per_step=4)
    labels = {t.label for t in trials}
    assert {t.label for t in trials if t.caught} == labels


@pytest.mark.parametrize("ratio", ["1/4", "2"])
def test_the_facts_of_the_spectrum_by_quadrature_of_the_density(ratio: str) -> None:
    """<1/(c - z)> and the slope of <log(1 + c/t)> of derive.references, from the density alone."""
    from mpmath import mp, mpf, pi, quad

    a = mpf(Rational(ratio).p) / Rational(ratio).q
    low, high = (1 - mp.sqrt(a)) ** 2 / a, (1 + mp.sqrt(a)) ** 2 / a

    def mean(f):
        return quad(lambda c: a * mp.sqrt((high - c) * (c - low)) / (2 * pi * c) * f(c), [low, high]) + max(
            0, 1 - a) * f(mpf(0))

    facts = [k for k in FACTS if k.symbols.get("alpha_D") == ratio]
    assert facts
    for fact in facts:
        if "u" in fact.symbols:  # -1/u = <1/(c - z)> at an edge z
            found = {-1 / mean(lambda c, z=z: 1 / (c - z)) for z in (low, high)}
            assert min(abs(k - mpf(fact.symbols["u"])) for k in found) < 1e-6
        else:
            z, t = (mpf(Rational(fact.symbols[k]).p) / Rational(fact.symbols[k]).q for k in "zt")
            assert abs(mean(lambda c, z=z: 1 / (c - z)) - mpf(1) / 2) < 1e-10
            assert abs(mean(lambda c, t=t: -c / (t * (t + c))) + mpf(1) / 3) < 1e-10


def test_what_follows_from_the_other_definitions_is_no_error() -> None:
    """f is even, so that f(-x) says the same; at 2 f(x) it is wrong, and so where the other definition is not known."""
    f, y = Function("f", real=True), Symbol("y", positive=True)
    even = Step("even", Eq(f(x), x**2), "definition", domain=ROOM)
    use = Step("use", Eq(y, f(x) + 1), "definition", domain=ROOM)
    numbers = Numbers({x: Rational(3), y: Rational(10)}, None, 1e-12, None, "exact", "counting")
    claims = [t.claim for t in definition_trials(Derivation("even", "A square", (even, use)), [numbers], per_step=40)]
    assert "Eq(y, f(-x) + 1)" not in claims
    assert "Eq(y, 2*f(x) + 1)" in claims
    alone = [t.claim for t in definition_trials(Derivation("alone", "A square", (use,)), [numbers], per_step=40)]
    assert "Eq(y, f(-x) + 1)" in alone


def test_a_largest_value_that_is_not_taken_is_still_far_off() -> None:
    m = Symbol("m", positive=True)
    top = Derivation("top", "The top of a parabola", (
        Step("top", Eq(a, Extremum(x * m - m**2, m, Interval.open(0, oo), "max")), "definition", domain=ROOM),))
    numbers = Numbers({a: Rational(9, 4), x: Rational(3)}, None, 1e-12, None, "exact", "a ruler")
    trials = definition_trials(top, [numbers], per_step=40)
    wanted = [t for t in trials if t.operator in ("sign", "wrong branch")]
    assert len(wanted) >= 2
    assert all(t.caught for t in wanted), [t.claim for t in wanted if not t.caught]


@pytest.mark.parametrize(("name", "labels"), [
    ("participation-ratio", {"rem-1rsb-extremum", "rem-participation-1rsb", "rem-entropy"}),
    ("full-capacity", {"tilted-law", "balance"})])
def test_facts_of_the_literature_catch_every_error_in_what_they_speak_of(name: str, labels: set[str]) -> None:
    quantity = atlas[name]
    others = [s for s in quantity.derivation if s.rule != "definition" or s.label in (*labels, "rem-1rsb", "cumulant")]
    steps = tuple(replace(s, rule="assumption") if s.label not in labels and s.rule != "definition" else s
                  for s in others)
    chosen = Derivation(name, "What facts speak of", tuple(replace(s, premises=()) for s in steps))
    trials = [t for t in definition_trials(chosen, known_facts(quantity)) if t.label in labels]
    assert {t.label for t in trials} == labels
    assert all(t.caught for t in trials), [t.claim for t in trials if not t.caught]


def test_the_numbers_of_the_facts() -> None:
    """By mpmath, from the words of their sources."""
    import mpmath

    facts = {frozenset(k.symbols.items()): k for k in FACTS}

    def of(**symbols: str) -> dict[str, tuple[str, str]]:
        return dict(facts[frozenset((k.replace("star", "*"), v) for k, v in symbols.items())].functions)

    with mpmath.workdps(25):
        normal = of(c="5", t="4", x="3", j="-4/9")
        assert abs(mpmath.npdf(3, 0, 3) - mpmath.mpf(normal["p"][0])) < 1e-18
        assert abs(mpmath.log(mpmath.npdf(3, 0, 3)) - mpmath.mpf(normal["L"][0])) < 1e-16
        one = of(alpha="0", t="2", e_star="3", s="6")  # two coordinates, each sqrt(6) away
        assert abs(-mpmath.log(mpmath.npdf(mpmath.sqrt(6), 0, mpmath.sqrt(2))) - mpmath.mpf(one["KL"][0])) < 1e-16
        margin = of(theta="2")
        g, slope = (mpmath.mpf(v) for v in margin["G"])
        cumulant = mpmath.log(mpmath.quad(
            lambda u: mpmath.exp(-2 * (g + slope * u)) * mpmath.npdf(u), mpmath.linspace(-20, 20, 21)))
        assert abs(cumulant - mpmath.mpf(margin["Lambda"][0])) < 1e-15


@pytest.mark.parametrize("fact", [f for f in FACTS if "Y" in f.symbols], ids=lambda f: f"m = {f.symbols['m']}")
def test_the_weights_of_the_frozen_glass_are_those_of_a_poisson_process(fact) -> None:
    """Weights x/sum x of points of density m x^(-1 - m): the mean sum of their squares, by quadrature over both."""
    from mpmath import exp, gamma, inf, mpf, quad

    m = mpf(Rational(fact.symbols["m"]).p) / Rational(fact.symbols["m"]).q

    def pair(scale):  # the integral of x^2 exp(-scale x) over the points
        return quad(lambda x: m * x ** (1 - m) * exp(-scale * x), [0, 1 / scale, 10 / scale, inf])

    squares = quad(lambda w: pair(w**3) * exp(-gamma(1 - m) * w ** (3 * m)) * 3 * w**5, [0, 1, 3, inf])
    assert float(squares) == pytest.approx(float(Rational(fact.symbols["Y"])), abs=1e-6)
