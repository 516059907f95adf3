"""Planted errors: they are made from a fixed list, each once, and what the rules make of them is counted."""

import pytest
from sympy import Eq, Gt, Interval, Symbol, exp, log, oo, sqrt

from derive.core import DeriveError, Domain, Step
from derive.ledger import Derivation
from derive.ledger.mutants import OPERATORS, Mutant, Outcome, drawn_mutants, mutants_of, mutate, try_mutant

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
