"""Dense memory with patterns on a hidden manifold of any activation (A1): the noise through the replica method.

The entries of a pattern sigma(F z / sqrt(D)) are coupled by F, so that the cumulant zeta of the overlaps with a query
is not an average over one entry, but the extremum of the replica-symmetric free entropy over three overlaps.  All that
the dense memory asks of its noise is zeta and zeta', and the latter is, by the envelope theorem, a tilted mean.
"""

from __future__ import annotations

from typing import Any

from sympy import Eq, Expr, Interval, Lt, S, Symbol, oo, sqrt

from derive.core import Branch, Domain, Parameter, Problem, SaddleStage, Stage, Step
from derive.ensembles import HiddenManifold
from derive.ledger import Derivation
from derive.methods.rem import LAM_STAR, ZETA, RandomEnergyModel
from derive.methods.replica_manifold import ManifoldSite
from derive.methods.script import Script
from derive.nodes import Extremum
from derive.quantity import Result
from derive.symbols import a as A
from derive.symbols import alpha as ALPHA
from derive.symbols import l as L
from derive.symbols import lam as LAM
from derive.symbols import v as VARIANCE
from derive.symbols import x as X
from derive.symbols import xi as XI
from derive.systems.saddles import (
    LOG_REPEAT,
    activation_of,
    cumulant_steps,
    entropy_stage,
    saddle_stage,
)

__all__ = ["rem_condensation", "retrieval_basin", "retrieval_capacity"]

_POSITIVE = Interval.open(0, oo)
#: the cumulant and its slope at the saddle point
_CUMULANT = Symbol("zeta_0", real=True)
_SLOPE = Symbol("zeta_1", real=True)
#: the noise of any manifold, by its cumulant alone
_REM = RandomEnergyModel(ZETA(L))


def _site(ensemble: HiddenManifold, at: Expr, amplitude: Expr = S.One, variance: Expr = S.Zero) -> ManifoldSite:
    """One site of the noise at inverse temperature `at`, for the query amplitude * xi_1 + sqrt(variance) w."""
    sigma = activation_of(ensemble)
    sigma.require_cumulant()
    return ManifoldSite(at * X * XI, sigma.expr, variance, amplitude)


def _noise(ensemble: HiddenManifold, at: Expr, amplitude: Expr = S.One, variance: Expr = S.Zero) -> SaddleStage:
    """zeta(at) and zeta'(at), to be solved for."""
    return saddle_stage(_site(ensemble, at, amplitude, variance), _CUMULANT, ((_SLOPE, X * XI),))


def _domain(ensemble: HiddenManifold) -> Domain:
    known = {p.symbol: p.domain for p in ensemble.parameters}
    plain = ((s, _POSITIVE) for s in (ALPHA, LAM, LAM_STAR, L, A))
    return Domain((*plain, (VARIANCE, Interval(0, oo)), *known.items()))


def _zeta_steps(ensemble: HiddenManifold, amplitude: Expr = S.One, variance: Expr = S.Zero) -> tuple[Step, ...]:
    """How the cumulant comes to be a saddle point, and that it is convex."""
    step = Script(_domain(ensemble), "A1")
    return (
        *cumulant_steps(_site(ensemble, L, amplitude, variance), ZETA(L), _domain(ensemble), "A1", ("rem-iid",)),
        step("cumulant-convex", "log E exp(l x.xi) is convex in l for every query x, and strictly so unless x.xi is "
             "constant.", "theorem", (), "Hoelder", source="Hoelder's inequality"),
    )


def _exists(ensemble: HiddenManifold, sentence: str) -> tuple[tuple[SaddleStage, ...], dict[str, Any]]:
    """The stage that finds the entropy of the patterns where they have one, and the condition that the load is less."""
    entropy = entropy_stage(activation_of(ensemble))
    if entropy is None:
        return (), {}
    return (entropy,), {"exists": Lt(ALPHA, -LOG_REPEAT), "absent": sentence}


def rem_condensation(
    ensemble: HiddenManifold, parameters: tuple[Parameter, ...], rem_steps: tuple[Step, ...]
) -> Result:
    """Condensation of the noise: alpha = lam_* zeta'(lam_*) - zeta(lam_*)."""
    first, exists = _exists(
        ensemble, "no condensation: the load is at or above the entropy per N of the patterns, the largest rate of the "
        "noise: more patterns than there are different ones",
    )
    residual = LAM_STAR * _SLOPE - _CUMULANT - ALPHA
    stage = Stage(LAM_STAR, residual, +1, S.Zero, inner=(_noise(ensemble, LAM_STAR),), **exists)
    problem = Problem(
        "rem-condensation", LAM_STAR, parameters, (Branch("condensed", LAM_STAR),), (*first, stage),
        _entropy_output(first),
    )
    steps = (*rem_steps, *_zeta_steps(ensemble))
    title = f"Condensation of the noise, {ensemble.title}"
    return Result(Derivation(f"rem-condensation/{ensemble}", title, steps), Eq(ALPHA, _REM.rate(LAM_STAR)), problem)


def _entropy_output(first: tuple[SaddleStage, ...]) -> tuple[tuple[str, Expr], ...]:
    return (("pattern_entropy", -LOG_REPEAT),) if first else ()


def retrieval_capacity(
    ensemble: HiddenManifold, parameters: tuple[Parameter, ...], steps: tuple[Step, ...], symbol: Symbol
) -> Result:
    """The largest rho l - zeta(l) over l <= lam: annealed up to lambda-hat, frozen beyond."""
    rho = ensemble.rho
    stage = Stage(L, rho - _SLOPE, -1, S.Zero, LAM, clip=True, inner=(_noise(ensemble, L),))
    value = rho * L - _CUMULANT
    branches = (Branch("unsaturated", value, L >= LAM), Branch("saturated", value))
    problem = Problem(
        "retrieval-capacity", symbol, parameters, branches, (stage,), (("lambda_noise", L),)
    )
    derivation = Derivation(
        f"retrieval-capacity/{ensemble}", f"Capacity for a typical pattern, {ensemble.title}",
        (*steps, *_zeta_steps(ensemble)),
    )
    return Result(derivation, Eq(symbol, Extremum(rho * L - ZETA(L), L, Interval.Lopen(0, LAM), "max")), problem)


def retrieval_basin(
    ensemble: HiddenManifold, parameters: tuple[Parameter, ...], steps: tuple[Step, ...], symbol: Symbol,
    unknown: Symbol, absent: str,
) -> Result:
    """The start a xi_1 + sqrt(v) w at which signal and noise are equal, solved for a or for v."""
    rho = ensemble.rho
    margin = A * rho * L - _CUMULANT
    noise = _noise(ensemble, L, A, VARIANCE)
    inner = Stage(L, A * rho - _SLOPE, -1, S.Zero, LAM, clip=True, inner=(noise,))
    stage = Stage(unknown, margin - ALPHA, +1 if unknown == A else -1, S.Zero, absent=absent, inner=(inner,))
    outputs = (("a", A), ("v", VARIANCE), ("cosine", A * sqrt(rho) / sqrt(A**2 * rho + VARIANCE)))
    problem = Problem("retrieval-basin", symbol, parameters, (Branch("boundary", A * rho),), (stage,), outputs)
    derivation = Derivation(
        f"retrieval-basin/{ensemble}", f"Basin of one update, {ensemble.title}",
        (*steps, *_zeta_steps(ensemble, A, VARIANCE)),
    )
    return Result(derivation, Eq(ALPHA, A * rho * LAM - ZETA(LAM)), problem)
