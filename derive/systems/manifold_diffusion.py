"""Diffusion with data on a hidden manifold of any activation (A2): distances through the replica method.

With b = 1/t and a query x the memorization of P = exp(alpha N) data points is governed by

    psi_s(b) = lim 1/N E log E_xi exp(-b |x - xi|^2 / 2),    x = xi_1 + sqrt(s) w,

the extremum of a replica-symmetric free entropy over three overlaps.  Its slope in b is minus half the mean squared
distance, by the envelope theorem.  At the collapse (s = t, b = 1/t) the weight of a data point is its posterior: the
tilted pattern has the law of the true one, m = q and r = 1, and the rate of the noise is the mutual information.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Derivative, Eq, Expr, Function, Ge, Gt, Interval, Le, Lt, Rational, S, Symbol, log, oo, pi, sqrt

from derive.core import Branch, Domain, Parameter, Problem, SaddleStage, Stage, Step
from derive.ensembles import HiddenManifold
from derive.ledger import Derivation
from derive.methods.replica_manifold import ManifoldSite
from derive.methods.script import Script
from derive.quantity import Result
from derive.symbols import alpha as ALPHA
from derive.symbols import b as B
from derive.symbols import s as QUERY
from derive.symbols import t as T
from derive.symbols import x as X
from derive.symbols import xi as XI
from derive.systems.diffusion import (
    B_STAR,
    EXCESS_ANNEALED,
    EXCESS_CONDENSED,
    KL,
    PSI,
    RADIUS,
    SOURCE,
    T_C,
    T_G,
    T_O,
    divergence_steps,
    nearest_steps,
)
from derive.systems.saddles import (
    LOG_REPEAT,
    activation_of,
    cumulant_steps,
    entropy_stage,
    saddle_stage,
)

__all__ = ["make"]

_POSITIVE = Interval.open(0, oo)
#: psi at the saddle point, and the mean squared distance there
_PSI, _DISTANCE = Symbol("psi_0", real=True), Symbol("d_0", real=True)
_PSI_EDGE = Symbol("psi_s", real=True)
_E_STAR = Symbol("e_*", positive=True)
_EDGE = tuple(Symbol(f"{k}_s", **a) for k, a in (("m", {"real": True}), ("q", {"positive": True}),
                                                 ("r", {"positive": True})))
_DELTA, _RATE, _PHI, _SIGNAL, _KL_OF = (Function(n, real=True) for n in ("Delta", "I", "Phi", "S", "KL"))
_INFORMATION = Function("I_mutual", real=True)


def _site(ensemble: HiddenManifold, b: Expr, s: Expr) -> ManifoldSite:
    """One site of the squared distances between a query of variance s and the data, at inverse variance b."""
    return ManifoldSite(-b * (X - XI) ** 2 / 2, activation_of(ensemble).expr, s)


def _psi(ensemble: HiddenManifold, b: Expr, s: Expr) -> SaddleStage:
    """psi_s(b) and the mean squared distance, to be solved for."""
    return saddle_stage(_site(ensemble, b, s), _PSI, ((_DISTANCE, (X - XI) ** 2),))


def _domain(ensemble: HiddenManifold) -> Domain:
    known = {p.symbol: p.domain for p in ensemble.parameters}
    plain = ((k, _POSITIVE) for k in (ALPHA, B, B_STAR, T, T_C, T_O, T_G, _E_STAR))
    return Domain((*plain, (QUERY, Interval(0, oo)), *known.items()))


def _exists(ensemble: HiddenManifold, what: str) -> tuple[tuple[SaddleStage, ...], dict[str, Any]]:
    """The stage that finds the entropy of the patterns where they have one, and the condition that the load is less."""
    entropy = entropy_stage(activation_of(ensemble))
    if entropy is None:
        return (), {}
    return (entropy,), {
        "exists": Lt(ALPHA, -LOG_REPEAT),
        "absent": f"no {what}: the load is at or above the entropy per N of the patterns, the most that a noisy point "
        "can tell of its origin: there are more data points than different patterns",
    }


def _entropy_output(first: tuple[SaddleStage, ...]) -> tuple[tuple[str, Expr], ...]:
    return (("pattern_entropy", -LOG_REPEAT),) if first else ()


# ---------------------------------------------------------------------------------------------------------- steps


def _start(ensemble: HiddenManifold) -> tuple[Step, ...]:
    """Assumptions, and psi as a saddle point."""
    domain = _domain(ensemble)
    step = Script(domain, SOURCE)
    return (
        step("large-n",
             "P = exp(alpha N) independent data points at large N; the free entropies of signal and noise are "
             "self-averaging; given the query, the squared distances to the other data are a random energy model.",
             "assumption", (), "what makes memorization a condensation"),
        *cumulant_steps(_site(ensemble, B, QUERY), PSI(B, QUERY), domain, SOURCE, ("large-n",)),
    )


def _rate_steps(step: Script) -> tuple[Step, ...]:
    """Distance and rate of the data that dominate, from psi."""
    psi = PSI(B, QUERY)
    return (
        step("distance", Eq(_DELTA(B, QUERY), -2 * Derivative(psi, B)), "definition", (),
             "mean squared distance per N of the data that dominate at b"),
        step("rate", Eq(_RATE(B, QUERY), B * Derivative(psi, B) - psi), "definition", (),
             "their rate, the Legendre transform of psi: the relative entropy of the tilted patterns to their prior"),
        step("rate-distance", Eq(_RATE(B, QUERY), -B * _DELTA(B, QUERY) / 2 - psi), "identity", ("rate", "distance"),
             "mean exponent minus mean log norm"),
    )


def _onset_steps(step: Script) -> tuple[Step, ...]:
    return (
        step("signal-at-data", Eq(_SIGNAL(T), 0), "definition", (),
             "exponent of the data point's own term, at the data point itself"),
        step("trap", Eq(_SIGNAL(T), ALPHA + PSI(1 / T, 0)), "definition", ("large-n",),
             "the trap appears where signal and noise are equal, at s = 0 and b = 1/t"),
        step("onset", Eq(ALPHA, -PSI(1 / T, 0)), "rearrange", ("trap", "signal-at-data"), "solved for the load"),
    )


def _collapse_steps(step: Script) -> tuple[Step, ...]:
    """Three routes to the collapse, one equation, whatever the activation."""
    typical = (("symbol", B), ("value", 1 / T), ("symbol", QUERY), ("value", T))
    end = Eq(ALPHA, -PSI(1 / T, T) - Rational(1, 2))
    noise = log(2 * pi * S.Exp1 * T) / 2
    return (
        step("signal", Eq(_SIGNAL(B, QUERY), -B * QUERY / 2), "definition", (),
             "exponent of the data point's own term at distance sqrt(s) per sqrt(N)"),
        step("balance", Eq(_SIGNAL(B, QUERY), ALPHA + PSI(B, QUERY)), "definition", ("large-n",),
             "the point is lost where the noise reaches the signal"),
        step("balance-solved", Eq(ALPHA, -B * QUERY / 2 - PSI(B, QUERY)), "rearrange", ("balance", "signal"),
             "solved for the load"),
        step("route-signal", end, "substitute", ("balance-solved",),
             "first route: on a typical trajectory s = t and b = 1/t", hints=typical),
        *_rate_steps(step),
        step("rate-typical", Eq(_RATE(1 / T, T), -_DELTA(1 / T, T) / (2 * T) - PSI(1 / T, T)), "substitute",
             ("rate-distance",), "the rate on a typical trajectory", hints=typical),
        step("nishimori", Eq(_DELTA(1 / T, T), T), "theorem", (),
             "at s = t and b = 1/t the weight of a data point is its posterior: the tilted pattern has the law of the "
             "true one (m = q, r = 1), which lies at squared distance t", source="Iba (1999), Nishimori line"),
        step("condensation", Eq(ALPHA, _RATE(1 / T, T)), "definition", (),
             "no data point other than the true one is left: the rate is the load"),
        step("route-condensation", end, "identity", ("condensation", "rate-typical", "nishimori"), "second route"),
        step("information", Eq(_INFORMATION(T), log(2 * pi * T) / 2 - PSI(1 / T, T) - noise), "definition", (),
             "mutual information per N between a data point and its noisy version: entropy of the noisy point, whose "
             "density is E_xi N(x; xi, t I), minus entropy of the noise"),
        step("reliable", Eq(ALPHA, _INFORMATION(T)), "definition", (),
             "exp(alpha N) points can be told apart up to the mutual information (channel coding)"),
        step("route-information", end, "identity", ("reliable", "information"), "third route"),
        step("routes", end, "routes-agree", ("route-signal", "route-condensation", "route-information"),
             "three routes, one equation"),
    )


def _unique(name: str, step: Script) -> Step:
    return step(f"{name}-unique",
                "The information that the noisy point carries falls strictly with t, from the entropy of the data "
                "(infinite unless they have finitely many values) to 0: one root where the load is below it, none "
                "otherwise.", "theorem", (), "existence and uniqueness", source="Guo, Shamai, Verdu (2005), I-MMSE")


def _nearest_steps(step: Script) -> tuple[Step, ...]:
    """From condensation at a fresh point to the minimum of the divergence."""
    return (
        *_rate_steps(step),
        step("fresh", "A fresh point of the data law sees all data points alike: s = 0 and no signal.", "assumption",
             (), "the query of generalization"),
        step("fresh-condensation", Eq(ALPHA, _RATE(B_STAR, 0)), "definition", ("fresh",),
             "no data point is closer on average: the rate reaches the load at b_*"),
        *nearest_steps(step, _DELTA(B_STAR, 0), "the time"),
    )


def _edge_steps(step: Script) -> tuple[Step, ...]:
    return (
        step("edge", Eq(ALPHA, -QUERY / (2 * T) - PSI(1 / T, QUERY)), "substitute", ("balance-solved",),
             "the edge of the basin at b = 1/t, noise annealed", hints=(("symbol", B), ("value", 1 / T))),
        step("frozen-noise", Eq(_PHI(1 / T), -_E_STAR / T), "definition", ("large-n",),
             "below t_c the noise at the edge is condensed at squared distance 2 e_*"),
        step("frozen-edge", Eq(-QUERY / (2 * T), -_E_STAR / T), "definition", ("frozen-noise",),
             "signal = frozen noise"),
        step("frozen-distance", Eq(QUERY, 2 * _E_STAR), "rearrange", ("frozen-edge",),
             "the noise is as far away as the data point, at whatever t: solved by b_* = 1/t_c, s = t_c, where the "
             "distance is t_c by the Nishimori identity"),
    )


# ------------------------------------------------------------------------------------------------------ quantities


def _collapse_stage(ensemble: HiddenManifold) -> tuple[tuple[SaddleStage, ...], Stage]:
    first, exists = _exists(ensemble, "collapse")
    residual = -_PSI - Rational(1, 2) - ALPHA
    return first, Stage(T_C, residual, -1, S.Zero, inner=(_psi(ensemble, 1 / T_C, T_C),), **exists)


def _fresh_stage(ensemble: HiddenManifold) -> tuple[tuple[SaddleStage, ...], Stage]:
    first, exists = _exists(ensemble, "condensation at a fresh point")
    residual = -B_STAR * _DISTANCE / 2 - _PSI - ALPHA
    return first, Stage(B_STAR, residual, +1, S.Zero, inner=(_psi(ensemble, B_STAR, S.Zero),), **exists)


def _on_annealed_branch() -> Branch:
    return Branch("none", None, Ge(B_STAR * _DISTANCE, 1),
                  "the divergence of this law has its minimum above the condensation time 1/b_*, on the annealed "
                  "branch")


def _onset_time(ensemble: HiddenManifold, parameters: tuple[Parameter, ...]) -> tuple[tuple[Step, ...], Eq, Problem]:
    step = Script(_domain(ensemble), SOURCE)
    first, exists = _exists(ensemble, "onset")
    stage = Stage(T_O, -_PSI - ALPHA, -1, S.Zero, inner=(_psi(ensemble, 1 / T_O, S.Zero),), **exists)
    problem = Problem("onset-time", T_O, parameters, (Branch("onset", T_O),), (*first, stage),
                      _entropy_output(first))
    return (*_onset_steps(step), _unique("onset", step)), Eq(ALPHA, -PSI(1 / T_O, 0)), problem


def _collapse_time(ensemble: HiddenManifold, parameters: tuple[Parameter, ...]) -> tuple[tuple[Step, ...], Eq, Problem]:
    step = Script(_domain(ensemble), SOURCE)
    first, stage = _collapse_stage(ensemble)
    problem = Problem("collapse-time", T_C, parameters, (Branch("collapse", T_C),), (*first, stage),
                      _entropy_output(first))
    equation = Eq(ALPHA, -PSI(1 / T_C, T_C) - Rational(1, 2))
    return (*_collapse_steps(step), _unique("collapse", step)), equation, problem


def _generalization_time(
    ensemble: HiddenManifold, parameters: tuple[Parameter, ...]
) -> tuple[tuple[Step, ...], Eq, Problem]:
    step = Script(_domain(ensemble), SOURCE)
    first, stage = _fresh_stage(ensemble)
    outputs = (("b_star", B_STAR), ("log_b_star", log(B_STAR)), *_entropy_output(first))
    branches = (_on_annealed_branch(), Branch("condensed", _DISTANCE))
    problem = Problem("generalization-time", T_G, parameters, branches, (*first, stage), outputs)
    return _nearest_steps(step), Eq(T_G, -2 * Derivative(PSI(B_STAR, 0), B_STAR)), problem


def _kl_divergence(ensemble: HiddenManifold, parameters: tuple[Parameter, ...]) -> tuple[tuple[Step, ...], Eq, Problem]:
    step = Script(_domain(ensemble), SOURCE)
    first, stage = _fresh_stage(ensemble)
    at_query = saddle_stage(_site(ensemble, 1 / T, S.Zero), _PSI_EDGE, (), _EDGE)
    condensed = EXCESS_CONDENSED.subs(T_G, _DISTANCE)
    annealed = EXCESS_ANNEALED.subs({PSI(1 / T, 0): _PSI_EDGE, T_G: _DISTANCE})
    branches = (
        _on_annealed_branch(),
        Branch("condensed", condensed, Le(T * B_STAR, 1)),
        Branch("annealed", annealed),
    )
    outputs = (("t_g", _DISTANCE), ("b_star", B_STAR), ("log_b_star", log(B_STAR)))
    problem = Problem("kl-divergence", KL, parameters, branches, (*first, stage, at_query), outputs, positive=False)
    equation = Eq(KL, EXCESS_CONDENSED)
    return (*_nearest_steps(step), *divergence_steps(step)), equation, problem


def _basin_radius(ensemble: HiddenManifold, parameters: tuple[Parameter, ...]) -> tuple[tuple[Step, ...], Eq, Problem]:
    step = Script(_domain(ensemble), SOURCE)
    first, t_c = _collapse_stage(ensemble)
    at_edge = saddle_stage(_site(ensemble, 1 / T, QUERY), _PSI_EDGE, (), _EDGE)
    edge = Stage(QUERY, ALPHA + QUERY / (2 * T) + _PSI_EDGE, +1, S.Zero, T, clip=True, exists=Gt(T, T_C),
                 absent="no basin: t is above the onset time", inner=(at_edge,))
    branches = (
        Branch("collapsed", sqrt(T_C), Le(T, T_C)),
        Branch("annealed", sqrt(QUERY), Gt(QUERY, 0)),
        Branch("none", None, reason="no basin: t is above the onset time"),
    )
    problem = Problem("basin-radius", RADIUS, parameters, branches, (*first, t_c, edge), (("t_c", T_C),))
    equation = Eq(ALPHA, -RADIUS**2 / (2 * T) - PSI(1 / T, RADIUS**2))
    return (*_collapse_steps(step), *_edge_steps(step)), equation, problem


_MAKERS: Mapping[str, tuple[str, Any]] = {
    "onset-time": ("Onset of memorization", _onset_time),
    "collapse-time": ("Collapse", _collapse_time),
    "generalization-time": ("Best time to stop", _generalization_time),
    "kl-divergence": ("Divergence from the data law", _kl_divergence),
    "basin-radius": ("Basin of a data point", _basin_radius),
}


def make(name: str, ensemble: HiddenManifold, parameters: tuple[Parameter, ...]) -> Result:
    """The quantity of that name: derivation, equation and problem.

    Args: name, one of the diffusion quantities; ensemble, not linear; parameters of the quantity, those of the ensemble
    included.
    """
    title, maker = _MAKERS[name]
    steps, equation, problem = maker(ensemble, parameters)
    derivation = Derivation(f"{name}/{ensemble}", f"{title}, {ensemble.title}", (*_start(ensemble), *steps))
    return Result(derivation, equation, problem)
