"""Definitions that are wrong on purpose: no derivation refutes them, known numbers do."""

import json
from pathlib import Path

import pytest
from sympy import Eq, Interval, Rational, Symbol, oo, sqrt

from derive import DeriveError, atlas
from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.ledger.definitions import Numbers, definition_trials
from derive.references import REFERENCES
from derive.witnesses import known_numbers

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


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: f"{r.quantity} {dict(r.parameters)}")
def test_the_solver_meets_every_reference(reference) -> None:
    quantity = atlas[reference.quantity]
    if reference.ensemble == "spherical":
        from derive import Spherical

        quantity = quantity.with_(ensemble=Spherical())
    found = quantity.solver()(**{k: float(v) for k, v in reference.parameters.items()})
    error = float(reference.error) * (3 if reference.kind == "simulation" else 1)
    assert abs(float(found.value) - float(reference.value)) <= error + 1e-12


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
