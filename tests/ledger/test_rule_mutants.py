"""Rules that are wrong on purpose are caught by something that does not use them."""

import numpy as np
import pytest
from scipy.integrate import quad
from sympy import Eq, Rational, Symbol, lambdify, sqrt, tanh

from derive.core import Step, Verdict
from derive.ledger import Derivation, rules_analysis
from derive.nodes import GaussianAverage, MarchenkoPastur

a, z = Symbol("a", positive=True), Symbol("z", real=True)


def check(claim: Eq, rule: str) -> Verdict:
    return Derivation("one", "One step", (Step("s", claim, rule),)).check()["s"].verdict


def test_the_sign_in_steins_lemma_is_caught_by_balls(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Eq(GaussianAverage(z * tanh(a * z), z), a * GaussianAverage(1 - tanh(a * z) ** 2, z), evaluate=False)
    wrong = Eq(right.lhs, -right.rhs, evaluate=False)
    assert check(right, "stein") is Verdict.PROVED
    by_parts = rules_analysis.by_parts
    monkeypatch.setattr(rules_analysis, "by_parts", lambda node, k: -by_parts(node, k))
    assert check(wrong, "stein") is Verdict.REFUTED
    assert check(right, "stein") is not Verdict.REFUTED


@pytest.mark.parametrize("ratio", [Rational(1, 3), Rational(3)])
def test_the_edge_of_the_bulk_is_caught_by_its_mass(ratio: Rational, monkeypatch: pytest.MonkeyPatch) -> None:
    def mass() -> float:
        law, x = MarchenkoPastur(ratio), Symbol("x", positive=True)
        density = lambdify(x, law.density(x), "numpy")
        low, high = float(law.lower), float(law.upper)
        wide = high - low

        def f(u: float) -> float:
            return float(density(low + wide * np.sin(u) ** 2) * wide * np.sin(2 * u))

        return float(quad(f, 0, np.pi / 2)[0])

    assert mass() == pytest.approx(min(1.0, float(ratio)), rel=1e-9)
    monkeypatch.setattr(MarchenkoPastur, "lower", property(lambda law: (1 - sqrt(law.ratio)) ** 2))
    assert abs(mass() - min(1.0, float(ratio))) > 1e-3
