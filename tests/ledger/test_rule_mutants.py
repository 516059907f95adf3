"""Rules that are wrong on purpose are caught by something that does not use them."""

import pytest

from derive import atlas
from derive.ledger.derivation import check_step
from derive.ledger.rule_mutants import RULE_MUTANTS, RuleMutant, gullible_trials, try_rule_mutant
from derive.ledger.rules import RULES
from derive.mutation import rule_trials


@pytest.mark.parametrize("mutant", RULE_MUTANTS, ids=lambda m: f"{m.rule}: {m.title}")
def test_a_wrong_rule_is_caught_without_it(mutant: RuleMutant) -> None:
    """The error changes the verdict of the planted claim, and the witness sees that it is wrong."""
    trial = try_rule_mutant(mutant)
    assert trial.caught, trial
    if trial.right not in ("ASSUMED", "CORROBORATED"):
        assert trial.right == "REFUTED"
    assert trial.wrong in ("PROVED", "CONTRADICTION")


def test_no_rule_is_without_a_mutant() -> None:
    assert {m.rule for m in RULE_MUTANTS} == set(RULES)


def test_nothing_stays_wrong_afterwards() -> None:
    mutant = RULE_MUTANTS[0]
    label = mutant.planted.conclusion.label
    before = check_step(mutant.planted, label).verdict
    try_rule_mutant(mutant)
    assert check_step(mutant.planted, label).verdict is before


def test_a_witness_that_sees_nothing_catches_nothing() -> None:
    from dataclasses import replace

    blind = replace(RULE_MUTANTS[0], look=lambda derivation: None)
    assert not try_rule_mutant(blind).caught


def test_a_rule_that_believes_everything_is_caught_by_counterexamples() -> None:
    derivation = atlas["rem-condensation"].derivation
    used = {s.rule for s in derivation} - {"assumption", "theorem"}
    found = gullible_trials([derivation], sorted(used))
    assert {t.rule for t in found} == used
    assert all(t.caught for t in found)


@pytest.mark.slow
def test_the_report_has_every_rule() -> None:
    trials = rule_trials([atlas[name].derivation for name in ("rem-condensation", "collapse-time")])
    assert {t.rule for t in trials} == set(RULES)
    assert all(t.caught for t in trials)
