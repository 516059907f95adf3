"""Gamma functions: shifts by whole numbers, and no values of very large arguments."""

from __future__ import annotations

import pytest
from sympy import Eq, Rational, Rel, Symbol, gamma, log, loggamma, pi

from derive.core import Step, Verdict
from derive.ledger import Derivation

x, r = Symbol("x", positive=True), Symbol("r", real=True)


@pytest.mark.parametrize(("claim", "expected"), [
    (Eq(gamma(x + 3), x*(x + 1)*(x + 2)*gamma(x)), Verdict.PROVED),
    (Eq(gamma(x + 3), x*(x + 1)*(x + 3)*gamma(x)), Verdict.REFUTED),
    (Eq(loggamma(x + 1), loggamma(x) + log(x)), Verdict.PROVED),
    (Eq(loggamma(x + 1), loggamma(x) - log(x)), Verdict.REFUTED),
    (Eq(loggamma(r + 1), loggamma(r) + log(r)), Verdict.REFUTED),
])
def test_shifts(claim: Rel, expected: Verdict) -> None:
    steps = (Step("shift", claim, "identity"),)
    assert Derivation("shift", "A shift", steps).check().verdict is expected


def test_what_is_not_proved_is_not_evaluated_far_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gauss's multiplication by three; gamma(10**15) would be a factorial."""
    seen = []
    right = gamma.eval.__func__
    monkeypatch.setattr(gamma, "eval", classmethod(lambda cls, a: (seen.append(a), right(cls, a))[1]))
    third = Rational(1, 3)
    claim = Eq(gamma(x)*gamma(x + third)*gamma(x + 2*third), 2*pi*3**(Rational(1, 2) - 3*x)*gamma(3*x))
    assert Derivation("thrice", "Thrice", (Step("thrice", claim, "identity"),)).check().verdict is Verdict.CORROBORATED
    assert seen
    assert all(abs(a) < 10**6 for a in seen if a.is_Rational)
