"""Planted errors: they are made from a fixed list, each once, and what the rules make of them is counted."""

import json
from pathlib import Path

import pytest
from sympy import And, Eq, Gt, Interval, Symbol, exp, log, oo, sqrt

from derive.claims import kills, replica_derivations
from derive.core import DeriveError, Domain, Step
from derive.ledger import Derivation
from derive.ledger.asking import renamed, same_claim
from derive.ledger.mutants import OPERATORS, Mutant, Outcome, drawn_mutants, mutants_of, mutate, question_of, try_mutant

x, y = Symbol("x", real=True), Symbol("y", real=True)
p = Symbol("p", positive=True)
DOMAIN = Domain(((x, Interval(-oo, oo)), (p, Interval.open(0, oo))))
GOOD = Derivation("good", "A small calculation", (
    Step("name", Eq(y, x + 1), "definition", domain=DOMAIN),
    Step("square", Eq((x + 1) ** 2, x**2 + 2 * x + 1, evaluate=False), "identity", domain=DOMAIN),
    Step("root", Eq(sqrt(p**2 + 2 * p + 1), p + 1, evaluate=False), "identity", domain=DOMAIN),
    Step("log", Eq(log(p**2), 2 * log(p), evaluate=False), "identity", domain=DOMAIN),
    Step("large", Gt(exp(x) + x**2, 0, evaluate=False), "positivity", domain=DOMAIN),
))


def test_every_operator_makes_mutants_and_none_twice() -> None:
    made = [(step.label, *pair) for step in GOOD for pair in mutants_of(step)]
    claims = [(label, claim) for label, _, claim in made]
    assert len(set(claims)) == len(claims)
    assert all(claim != GOOD[label].claim for label, claim in claims)
    swapped = mutants_of(Step("s", Eq(x - y, 2 * x + 3 * y, evaluate=False), "identity"))
    assert {name for _, name, _ in made} | {name for name, _ in swapped} == set(OPERATORS)


def test_what_is_planted_in_a_small_calculation_is_caught() -> None:
    report = mutate([GOOD], per_step=40)
    assert report.assumed == 1
    assert report.steps == 4
    assert report.generated > 60
    assert not [t for t in report.left if t.mutant.label != "large"], report.to_dict()["left"]
    assert report.kill_rate > 0.9
    for trial in report.trials:
        assert (trial.outcome is Outcome.KILLED) <= bool(trial.witness)


def test_an_equivalent_mutant_is_known_as_such() -> None:
    mutant = Mutant("good", "log", "coefficient", Eq(2 * log(p**2), 4 * log(p), evaluate=False))
    assert try_mutant(GOOD, mutant).outcome is Outcome.EQUIVALENT


def test_a_rule_that_believes_everything_lets_mutants_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report does not take the rule's word for an equivalence."""
    from derive.core import Evidence, Verdict
    from derive.ledger import rules

    trusting = rules.Rule("identity", lambda step, premises: Evidence(Verdict.PROVED, "as you say"), "")
    monkeypatch.setattr(rules, "RULES", {**rules.RULES, "identity": trusting})
    wrong = Mutant("good", "square", "dropped term", Eq((x + 1) ** 2, x**2 + 1, evaluate=False))
    assert try_mutant(GOOD, wrong).outcome is Outcome.SURVIVED


def test_the_draw_is_fixed_by_its_seed() -> None:
    first, again, other = (mutate([GOOD], seed=seed, share=0.3) for seed in (1, 1, 2))
    assert [t.mutant for t in first.trials] == [t.mutant for t in again.trials]
    assert [t.mutant for t in first.trials] != [t.mutant for t in other.trials]
    assert 0 < first.generated < mutate([GOOD]).generated


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(DeriveError, match="share = 0"):
        mutate([GOOD], share=0.0)


def test_the_size_of_a_named_matrix_is_no_part_of_an_error() -> None:
    from derive.methods.replica import symmetric_derivation

    derivation = symmetric_derivation()
    for label in ("conjugate-inverse", "trace"):
        own = [try_mutant(derivation, Mutant(derivation.name, label, name, claim))
               for name, claim in drawn_mutants(derivation[label], 0, 8)]
        assert len(own) >= 4
        assert all(t.outcome is Outcome.KILLED for t in own), [(str(t.mutant.claim), t.detail) for t in own]


def test_what_is_claimed_twice_from_the_same_is_mutated_once() -> None:
    again = Derivation("again", "The same under other names", (
        Step("other-square", GOOD["square"].claim, "identity", domain=DOMAIN),
        Step("cube", Eq((x + 1) ** 3, x**3 + 3 * x**2 + 3 * x + 1, evaluate=False), "identity", domain=DOMAIN),
    ))
    assert question_of(GOOD, GOOD["square"]) == question_of(again, again["other-square"])
    report = mutate([GOOD, again], per_step=1)
    assert report.shared == {("good", "square"): (("again", "other-square"),)}
    steps = {(k["derivation"], k["label"]): k for k in report.to_dict()["by_step"]}
    assert ("again", "other-square") not in steps
    assert ("again", "cube") in steps
    assert kills(report.to_dict())["again", "other-square"] == kills(report.to_dict())["good", "square"]


def test_premises_that_say_other_things_make_another_question() -> None:
    def standing_on(premise: Step) -> Derivation:
        claim = Eq(y, 2 * x + 1, evaluate=False)
        return Derivation("d", "", (premise, Step("s", claim, "identity", (premise.label,), domain=DOMAIN)))

    one, same, other = (standing_on(Step(label, Eq(y, value), "definition", domain=DOMAIN))
                        for label, value in (("a", 2 * x + 1), ("b", 2 * x + 1), ("a", x)))
    assert question_of(one, one["s"]) == question_of(same, same["s"])
    assert question_of(one, one["s"]) != question_of(other, other["s"])


def test_symbols_that_stand_for_every_value_may_be_exchanged() -> None:
    z = Symbol("z", real=True)
    even = Domain(((x, Interval(-oo, oo)), (z, Interval(-oo, oo))))
    step = Step("s", Eq((x - z) * (x + z), x**2 - z**2, evaluate=False), "identity", domain=even)
    swapped = Eq((z - x) * (z + x), z**2 - x**2, evaluate=False)
    assert renamed(Derivation("d", "", (step,)), step, swapped)
    told_apart = Step("s", step.claim, "identity", domain=Domain(((x, Interval(-oo, oo)), (z, Interval(0, 1)))))
    assert not renamed(Derivation("d", "", (told_apart,)), told_apart, swapped)
    known = Step("k", Eq(x, z + 1), "definition", domain=even)
    standing = Step("s", Eq(x - z, 1), "identity", ("k",), domain=even)
    assert not renamed(Derivation("d", "", (known, standing)), standing, Eq(z - x, 1, evaluate=False))


def test_of_conjunctions_each_part_has_to_say_the_same() -> None:
    first = Eq((x + 1) ** 2, x**2 + 2 * x + 1, evaluate=False)
    second, same, wrong = (Eq(log(p**k), n * log(p), evaluate=False) for k, n in ((2, 2), (4, 4), (4, 2)))
    step = Step("both", And(first, second), "identity", domain=DOMAIN)
    both = Derivation("both", "", (step,))
    assert same_claim(both, "both", And(first, same)) is not None
    assert same_claim(both, "both", And(first, wrong)) is None


def test_the_record_has_every_checked_step_of_the_replica_calculations() -> None:
    record = json.loads((Path(__file__).parents[2] / "book/records/mutations.json").read_text("utf-8"))
    recorded = kills(record)
    derivations = replica_derivations()
    assert {"replica-symmetric-cumulant", "replica-stability", "replica-linear-memory"} <= {d.name for d in derivations}
    missing = [(d.name, s.label) for d in derivations for s in d
               if s.rule not in ("definition", "assumption", "theorem") and (d.name, s.label) not in recorded]
    assert not missing
    assert not [item for item in record["left"] if not item["explanation"]]


def test_the_whole_report_asks_about_the_replica_calculations(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from derive import mutation
    from derive.cli import cli

    asked: list[tuple[str, ...]] = []

    def noted(quantities, methods, **options):  # type: ignore[no-untyped-def]
        asked.append(tuple(d.name for d in methods))
        raise DeriveError("noted", given="", allowed="")

    monkeypatch.setattr(mutation, "mutation_report", noted)
    CliRunner().invoke(cli, ["check", "--mutate"])
    CliRunner().invoke(cli, ["check", "--mutate", "rem-condensation"])
    assert asked == [tuple(d.name for d in replica_derivations()), ()]


@pytest.mark.slow
def test_a_swap_that_is_true_as_well_is_seen_by_explicit_matrices() -> None:
    from derive.ledger.asking import agreeing_points
    from derive.methods.replica import symmetric_derivation

    derivation = symmetric_derivation()
    swaps = [claim for name, claim in drawn_mutants(derivation["conjugate-stationary"], 0, 8)
             if name == "swapped symbol"]
    assert swaps
    assert agreeing_points(derivation, "conjugate-stationary", swaps[0]) >= 10
    wrong = [claim for name, claim in drawn_mutants(derivation["conjugate-stationary"], 0, 8) if name == "sign"]
    assert agreeing_points(derivation, "conjugate-stationary", wrong[0]) == 0


def test_functions_in_averages_may_be_simple_ones() -> None:
    """An error beside or inside an average over undefined functions is seen without an integral."""
    from derive.methods.replica import symmetric_derivation

    derivation = symmetric_derivation()
    for name, claim in drawn_mutants(derivation["free-entropy-parts"], 0, 4):
        trial = try_mutant(derivation, Mutant(derivation.name, "free-entropy-parts", name, claim))
        assert trial.outcome is Outcome.KILLED, trial.detail
