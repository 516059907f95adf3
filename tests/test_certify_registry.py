"""Every scalar threshold of the registry whose averages are closed or one-dimensional, certified to 30 digits."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import mpmath
import pytest
from sympy import Rational, Symbol, exp, gamma, tanh

from derive import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical, atlas
from derive.certify import average_depth, certify
from derive.core import DeriveError, Verdict

SEED = 20261126
X = Symbol("x", real=True)
POINTS = 10
DIGITS = 30
ENSEMBLES = (
    Gaussian(), Spherical(), Binary(), HiddenManifold(),
    ProductMeasure(atoms={-1: Rational(1, 8), 0: Rational(3, 4), 1: Rational(1, 8)}),
)
#: parameters are drawn uniformly in their logarithm
RANGES = {"alpha": (0.02, 4), "alpha_D": (0.05, 6), "lam": (0.05, 8), "v": (0.05, 5), "a": (0.05, 3), "t": (0.02, 10)}

READ_OFF_A_SPECTRUM = ("spectral-density", "spectral-edges", "spectral-gap", "gap-times")
SCALARS = tuple(name for name in atlas if name not in READ_OFF_A_SPECTRUM)


@cache
def quantities(name: str) -> tuple[tuple[str, Any], ...]:
    """One quantity of the registry for all ensembles that it is derived for, with the variants of its parameters."""
    found = []
    for ensemble in ENSEMBLES:
        try:
            quantity = atlas[name].with_(ensemble=ensemble)
        except DeriveError:
            continue  # not derived for this ensemble
        for k in (quantity, *quantity.variants):
            found.append((f"{name}/{ensemble.name}/{','.join(p.name for p in k.parameters)}", k))
    return tuple(found)


def drawn(label: str, quantity: Any, count: int) -> Iterator[dict[str, str]]:
    """Points at which the quantity has a value."""
    rng, solve = random.Random(f"{SEED}/{label}"), quantity.solver()
    for _ in range(60 * count):
        point = {p.name: f"{math.exp(rng.uniform(*map(math.log, RANGES[p.name]))):.4g}" for p in quantity.parameters}
        if bool(solve(**{k: float(v) for k, v in point.items()}).converged):
            yield point
            count -= 1
            if count == 0:
                return
    raise AssertionError(f"{label} has a value at too few of the points")


def prove(label: str, quantity: Any, count: int, exact: int) -> None:
    """Certify at so many points; compare with the mpmath route at the first ones, and with doubles at the others."""
    for number, point in enumerate(drawn(label, quantity, count)):
        found = certify(quantity, DIGITS, **point)
        assert found.verdict is Verdict.CERTIFIED, (label, point, found.obstacle)
        assert (found.digits, found.obstacle) == (DIGITS, ""), (label, point)
        digits = DIGITS + 10 if number < exact else 11
        if number < exact:
            other = quantity.solver("mpmath")(digits=digits, **point)
        else:
            other = quantity.solver()(**{k: float(v) for k, v in point.items()})
        with mpmath.workdps(DIGITS + 20):
            low, value, high = (mpmath.mpf(str(x)) for x in (found.lower, other.value[()], found.upper))
            slack = abs(value) * mpmath.mpf(10) ** -(digits - 2)
            assert low - slack <= value <= high + slack, (label, point)
            assert abs(mpmath.mpf(found.value) - value) <= slack + abs(value) * mpmath.mpf(10) ** -(DIGITS - 1), point


def test_the_registry_is_covered() -> None:
    """Only what is read off a spectrum is not certified here: no average of these ensembles is nested."""
    every = [pair for name in SCALARS for pair in quantities(name)]
    assert {q.name for _, q in every} == set(SCALARS)
    assert all(q.kind == "Spectrum" for name in READ_OFF_A_SPECTRUM for _, q in quantities(name))
    assert all(average_depth(q.problem) <= 1 for _, q in every)
    assert len(every) > 40


@pytest.mark.parametrize("name", SCALARS)
def test_thirty_digits(name: str) -> None:
    """At ten points where averages are closed, at one where they are integrals."""
    for label, quantity in quantities(name):
        closed = average_depth(quantity.problem) == 0
        prove(label, quantity, POINTS if closed else 1, POINTS if closed else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full-capacity", "collapse-time", "basin-radius", "retrieval-basin"])
def test_thirty_digits_of_integrals_at_ten_points(name: str) -> None:
    integrals = [pair for pair in quantities(name) if average_depth(pair[1].problem) == 1]
    assert integrals
    for label, quantity in integrals:
        prove(label, quantity, POINTS, 2)


def test_the_depth_of_averages() -> None:
    """The saddle points of a nonlinear manifold are beyond one-dimensional averages."""
    assert average_depth(atlas["collapse-time"].problem) == 0
    assert average_depth(atlas["full-capacity"].with_(ensemble=HiddenManifold()).problem) == 1
    assert average_depth(atlas["collapse-time"].with_(ensemble=Binary()).problem) == 1
    noisy = ProductMeasure(density=exp(-(X**4)) / (2 * gamma(Rational(5, 4))), variable=X)
    assert average_depth(atlas["collapse-time"].with_(ensemble=noisy).problem) == 3
    assert average_depth(atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(tanh)).problem) >= 3
