"""The replica calculation, step by step."""

import pytest

from derive.core import Verdict
from derive.methods.replica import symmetric_derivation

DERIVATION = symmetric_derivation()


def test_the_free_entropy_is_derived_and_every_step_is_proved() -> None:
    ledger = DERIVATION.up_to("free-entropy-value").check()
    assert ledger.verdict is Verdict.PROVED, ledger.table()
    assert {s.label for s in ledger.derivation.assumptions} >= {"laplace", "replica-trick", "replica-symmetry"}


@pytest.mark.slow
def test_all_of_the_symmetric_calculation_is_proved() -> None:
    ledger = DERIVATION.check()
    assert ledger.verdict is Verdict.PROVED, ledger.table()
