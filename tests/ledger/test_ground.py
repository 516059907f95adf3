"""A rewriting of the normal form that is wrong is seen by textbook identities, whether or not a derivation uses it."""

from __future__ import annotations

import pytest
from sympy import Rational, asin, erf, log, pi

from derive.core import Verdict
from derive.ledger import field, ladder, premises
from derive.ledger.ground import ground, misjudged, misvalued
from derive.nodes.functions import MPResponse, log_cosh


def test_every_identity_is_judged_rightly() -> None:
    assert not misjudged()
    assert not misvalued()
    right = {label for label in ground().labels if not label.endswith("-wrong")}
    assert len(right) >= 70
    assert {f"{label}-wrong" for label in right} < set(ground().labels)


WRONG = {
    "cosh": lambda f, e: f.scale(f.add(*field._cosh_pair(f, e)), Rational(1, 3)),
    "sinh": lambda f, e: f.scale(f.sub(*field._cosh_pair(f, e)), Rational(-1, 2)),
    "erfc": lambda f, e: f.add(f.one, f.build(erf(e.args[0]))),
    "MPResponse": lambda f, e: field._response(f, MPResponse(e.args[1], e.args[0])),
    "erfcx": lambda f, e: f.mul(f.exponential(f.build(e.args[0])), field._erfc(f, e)),
    "atanh": field._rewritten(lambda x: log(1 + x) - log(1 - x)),
    "acos": field._rewritten(lambda x: pi - asin(x)),
    "Abs": lambda f, e: f.build(e.args[0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rewriting_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    premises.forget()
    monkeypatch.setitem(field._HANDLERS, name, WRONG[name])
    try:
        found = misjudged()
    except ladder.Contradiction:
        return
    finally:
        premises.forget()
    assert found
    assert all(e.verdict is not Verdict.PROVED for k, e in found.items() if not k.endswith("-wrong"))


def test_a_wrong_value_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function is worth at a point stands in no proof; quadrature and closed forms are compared there."""
    monkeypatch.setattr(log_cosh, "_value", staticmethod(lambda x: abs(x)))
    found = misvalued()
    assert found["log-cosh"].verdict is Verdict.REFUTED
    assert "by quadrature" in found["log-cosh"].detail
