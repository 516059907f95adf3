"""Blocks of replicas: the free entropy of a site with one step of symmetry breaking, and its derivatives.

A site is given by the log-weight L of one replica in the field omega, with own variance V.  What is used of it is the
heat equation alone, dL/dV = (L'' + L'^2)/2, so that these steps serve every model whose log-weight obeys it: patterns
on a hidden manifold, spins of any law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import Derivative, Eq, Expr, Function, Integer, Interval, Symbol, oo, sqrt

from derive.core import Domain, Step
from derive.methods.replica import CURVATURE, IN_VARIANCE, OMEGA, QUERY, SLOPE, L, over_sites
from derive.methods.replica_manifold import BLOCK, BREAKPOINT, COMMON, NOISE, PLANTED, Q0, Q1
from derive.methods.script import Script
from derive.nodes import LogAverageExp, Normal, TiltedAverage
from derive.symbols import V
from derive.symbols import m as M
from derive.symbols import r as R
from derive.symbols import x as X

__all__ = ["BLOCK_DOMAIN", "BLOCK_ENERGY", "SHARED", "block_steps", "energy_gradient"]

_POSITIVE = Interval.open(0, oo)
#: variance of the field that the replicas of a block have in common
SPREAD = Symbol("Delta", positive=True)
BLOCK_DOMAIN = Domain(
    (*((s, _POSITIVE) for s in (V, SPREAD, Q0, Q1, R)), (M, Interval(-oo, oo)), (BREAKPOINT, Interval.Lopen(0, 1))),
    (Q0 - M**2 > 0, Q1 - Q0 > 0, R - Q1 > 0),
)
_WEIGHTS = Domain((*((s, _POSITIVE) for s in (V, SPREAD)), (BREAKPOINT, Interval.Lopen(0, 1))))
#: log-weight of a block, per replica, and its derivatives in the field, in both variances and in the breakpoint
B, B_SLOPE, B_CURVATURE, B_SPREAD, B_VARIANCE, B_BREAKPOINT = (
    Function(k, real=True) for k in ("B", "B_omega", "B_omega_omega", "B_Delta", "B_V", "B_x"))
#: averages over the replicas of a block: of L, L'^2 and L''
LEVEL, SQUARE, CURVED = (Function(k, real=True) for k in ("T_0", "T_2", "C_2"))
#: energy of a site in the overlaps
BLOCK_ENERGY = Function("E_2", real=True)
_OVERLAPS = (M, Q0, Q1, R, BREAKPOINT)
_HERE = (X, OMEGA, SPREAD, V, BREAKPOINT)
_SITE = (QUERY(PLANTED, NOISE), M * PLANTED + sqrt(Q0 - M**2) * COMMON, Q1 - Q0, R - Q1, BREAKPOINT)
#: averages over sites that the derivatives of the energy are written in
SHARED = {
    "planted": over_sites(PLANTED * B_SLOPE(*_SITE)), "between": over_sites(B_SLOPE(*_SITE) ** 2),
    "inside": over_sites(SQUARE(*_SITE)), "curved": over_sites(B_CURVATURE(*_SITE)),
    "response": over_sites(CURVED(*_SITE)), "level": over_sites(LEVEL(*_SITE)), "energy": over_sites(B(*_SITE)),
}


def _tilted(body: Callable[..., Expr]) -> Expr:
    """The average of a function of (x, field, V) over the replicas of a block."""
    at = (X, OMEGA + sqrt(SPREAD) * BLOCK, V)
    return TiltedAverage(body(*at), BREAKPOINT * L(*at), BLOCK, Normal())


def block_weight() -> Expr:
    """The log-weight of a block per replica: log E exp(m_b L)/m_b over the field of the block."""
    return LogAverageExp(BREAKPOINT * L(X, OMEGA + sqrt(SPREAD) * BLOCK, V), BLOCK, Normal()) / BREAKPOINT


def block_steps(heat: str, growth: str, source: str) -> tuple[Step, ...]:
    """From the heat equation of one replica to the derivatives of the energy of a site in blocks.

    Args: heat, label of the step Eq(L_V, (L_omega_omega + L_omega^2)/2), which stands before, with the names
    "slope-name", "curvature-name" and "variance-name" of the derivatives of L; growth, label of the assumption on L;
    source.  The last steps, "block-energy-m", "-q0", "-q1", "-r" and "-x", state the derivatives.
    """
    step = Script(_WEIGHTS, source)
    whole = B(*_HERE)
    slope, curvature = B_SLOPE(*_HERE), B_CURVATURE(*_HERE)
    named: dict[Function, tuple[str, Expr]] = {
        B_SLOPE: ("block-slope", Derivative(whole, OMEGA)),
        B_CURVATURE: ("block-curvature", Derivative(whole, (OMEGA, 2))),
        B_SPREAD: ("block-spread", Derivative(whole, SPREAD)),
        B_VARIANCE: ("block-variance", Derivative(whole, V)),
        B_BREAKPOINT: ("block-breakpoint", Derivative(whole, BREAKPOINT)),
    }
    kernel = (("mean", OMEGA), ("variance", SPREAD))
    at_field = {f: _tilted(lambda *a, f=f: f(*a)) for f in (SLOPE, CURVATURE, IN_VARIANCE, L)}
    square = _tilted(lambda *a: SLOPE(*a) ** 2)
    inner = ("block-weight", "slope-name", "curvature-name")
    return (
        step("block-weight", Eq(whole, block_weight()), "definition", (), "the log-weight of a block, per replica"),
        *(step(f"{label}-name", Eq(f(*_HERE), value), "definition", (), "a derivative of it")
          for f, (label, value) in named.items()),
        step("block-level", Eq(LEVEL(*_HERE), at_field[L]), "definition", (), "averages over a block: of L,"),
        step("block-square", Eq(SQUARE(*_HERE), square), "definition", (), "of the square of its slope,"),
        step("block-curved", Eq(CURVED(*_HERE), at_field[CURVATURE]), "definition", (), "of its curvature"),
        step("block-heat", Eq(Derivative(whole, SPREAD), (Derivative(whole, (OMEGA, 2))
                              + BREAKPOINT * Derivative(whole, OMEGA) ** 2) / 2), "gaussian-kernel", ("block-weight",),
             "exp(m_b B) obeys the heat equation too", hints=kernel),
        step("block-curvature-tilted", Eq(Derivative(whole, (OMEGA, 2)), at_field[CURVATURE] + BREAKPOINT
                                          * (square - at_field[SLOPE] ** 2)), "differentiate", inner,
             "curvature and slope of a block, in averages over its replicas"),
        step("block-slope-tilted", Eq(Derivative(whole, OMEGA), at_field[SLOPE]), "differentiate", inner[:2],
             "the slope"),
        step("block-variance-tilted", Eq(Derivative(whole, V), at_field[IN_VARIANCE]), "differentiate",
             ("block-weight", "variance-name"), "in the variance of a replica's own field"),
        step("block-breakpoint-tilted", Eq(Derivative(whole, BREAKPOINT), (at_field[L] - whole) / BREAKPOINT),
             "differentiate", ("block-weight",), "in the breakpoint"),
        step("block-spread-value", Eq(B_SPREAD(*_HERE), (curvature + BREAKPOINT * slope**2) / 2), "identity",
             ("block-spread-name", "block-heat", "block-slope-name", "block-curvature-name"), "by the heat equation"),
        step("block-curvature-value", Eq(curvature, CURVED(*_HERE) + BREAKPOINT * (SQUARE(*_HERE) - slope**2)),
             "identity", ("block-curvature-name", "block-curvature-tilted", "block-slope-name", "block-slope-tilted",
                          "block-square", "block-curved"), "in averages over a block"),
        step("block-variance-value", Eq(B_VARIANCE(*_HERE), (CURVED(*_HERE) + SQUARE(*_HERE)) / 2), "identity",
             ("block-variance-name", "block-variance-tilted", heat, "block-square", "block-curved"),
             "by the heat equation of a replica"),
        step("block-breakpoint-value", Eq(B_BREAKPOINT(*_HERE), (LEVEL(*_HERE) - whole) / BREAKPOINT), "identity",
             ("block-breakpoint-name", "block-breakpoint-tilted", "block-level"), "in averages over a block"),
        *_energy_steps(growth, source),
    )


def energy_gradient() -> dict[Symbol, Expr]:
    """The derivatives of the energy of a site in m, q_0, q_1, r and the breakpoint."""
    s = SHARED
    return {
        M: s["planted"] - M * s["curved"],
        Q0: -BREAKPOINT * s["between"] / 2,
        Q1: -(1 - BREAKPOINT) * s["inside"] / 2,
        R: (s["response"] + s["inside"]) / 2,
        BREAKPOINT: (s["level"] - s["energy"]) / BREAKPOINT,
    }


def _energy_steps(growth: str, source: str) -> tuple[Step, ...]:
    step = Script(BLOCK_DOMAIN, source)
    energy = BLOCK_ENERGY(*_OVERLAPS)
    curved, spread, variance, level = (over_sites(f(*_SITE)) for f in (B_CURVATURE, B_SPREAD, B_VARIANCE, B_BREAKPOINT))
    by_parts: dict[Symbol, tuple[Expr, str]] = {
        M: (SHARED["planted"] - M * curved, "Stein's lemma for v"),
        Q0: (curved / 2 - spread, "Stein's lemma for v; Delta = q_1 - q_0"),
        Q1: (spread - variance, "Delta = q_1 - q_0, V = r - q_1"),
        R: (variance, "V = r - q_1"),
        BREAKPOINT: (level, "the breakpoint"),
    }
    names = tuple(f"block-{k}-name" for k in ("slope", "curvature", "spread", "variance", "breakpoint"))
    values = tuple(f"block-{k}-value" for k in ("spread", "curvature", "variance", "breakpoint"))
    hints: tuple[tuple[str, Any], ...] = (("growth", growth), ("variable", Integer(1)))
    steps = [step("block-energy", Eq(energy, over_sites(B(*_SITE))), "definition", (), "the energy of a site")]
    for symbol, (claim, text) in by_parts.items():
        label = "block-energy-m" if symbol == M else f"block-parts-{tag(symbol)}"
        steps.append(step(label, Eq(Derivative(energy, symbol), claim), "stein",
                          ("block-energy", *names, growth), text, hints=hints))
    for symbol, value in energy_gradient().items():
        if symbol != M:
            steps.append(step(f"block-energy-{tag(symbol)}", Eq(Derivative(energy, symbol), value), "identity",
                              (f"block-parts-{tag(symbol)}", *values), f"the derivative of the energy in {symbol}"))
    return tuple(steps)


def tag(symbol: Symbol) -> str:
    """How a label names an overlap: q0 for q_0, x for the breakpoint."""
    return "x" if symbol == BREAKPOINT else symbol.name.replace("_", "")
