"""Spectra and gaps of the Jacobian of the score (A4): density, edges, gaps, and the times at which gaps open and close.

The data lie on a hidden manifold and have covariance C; at time t the Jacobian J of the score satisfies
t J = -t (t I + C)^-1.  A direction of variance c is at -t/(t + c), one off the manifold at -1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sympy import Eq, Expr, Gt, Interval, N, S, Symbol, oo, sqrt

from derive.core import (
    Citation,
    DensityProblem,
    DeriveError,
    EdgesProblem,
    GapProblem,
    GapTimesProblem,
    Parameter,
    ProfileProblem,
    Step,
)
from derive.ensembles import Ensemble, HiddenManifold, VarianceManifold
from derive.ledger import Derivation
from derive.quantity import Quantity, Result
from derive.symbols import G as RESOLUTION
from derive.symbols import c as C
from derive.symbols import g as RESOLVENT
from derive.symbols import j as EIGENVALUE
from derive.symbols import t as T
from derive.systems.score_steps import (
    GAP,
    HIGH,
    LOW,
    OPENING,
    Covariance,
    edge_steps,
    equivalent_steps,
    finite_size_steps,
    gap_steps,
    image,
    inverse,
    law_steps,
    score_steps,
    script,
    shannon_steps,
    time_steps,
)

__all__ = ["gap_times", "spectral_density", "spectral_edges", "spectral_gap"]

SYSTEM = "score spectrum"
CITE = (Citation("A4", "geometric phases"),)
POINTS = 240
_POSITIVE = Interval.open(0, oo)
_TIME = Parameter(T, _POSITIVE, "diffusion time, variance exploding", "variance")
_VARIANCE = Parameter(C, Interval(0, oo), "eigenvalue of the data covariance", "variance")
_SCORE = Parameter(EIGENVALUE, Interval.open(-1, 0), "eigenvalue of t times the Jacobian of the score", "1")
_RESOLUTION = Parameter(RESOLUTION, Interval.open(0, 1), "resolution: smallest gap that is told apart", "1")
_EDGE = Symbol("gamma", nonnegative=True)
_DENSITY = Symbol("rho", nonnegative=True)
_WIDTH = Symbol("Delta", positive=True)
_NO_ATOM = "no final gap: alpha_D is at or above 1, and no eigenvalue is left off the manifold"


def _manifold(ensemble: Ensemble) -> VarianceManifold:
    """The manifold of an ensemble, with its latent variances.

    Raises: DeriveError for an ensemble that is no hidden manifold, or an activation without a linear part.
    """
    if isinstance(ensemble, HiddenManifold):
        ensemble = VarianceManifold(activation=ensemble.activation)
    if not isinstance(ensemble, VarianceManifold):
        raise DeriveError(
            f"the spectrum of the score is not derived for this ensemble: {ensemble.title}",
            given=str(ensemble),
            allowed="the hidden manifold, with variances or an activation",
            nearest="manifold",
        )
    if abs(N(ensemble.slope, 20)) < 1e-12:
        raise DeriveError(
            f"the linear part of {ensemble.activation} vanishes: all directions have one variance, there is no bulk",
            given=str(ensemble.activation),
            allowed="an activation with E h sigma(h) != 0",
        )
    return ensemble


def _quantity(
    name: str,
    title: str,
    symbol: Symbol,
    unit: str,
    ensemble: Ensemble,
    parameters: tuple[Parameter, ...],
    make: Callable[[Covariance, tuple[Parameter, ...]], Result],
    remake: Callable[[Ensemble], Quantity],
) -> Quantity:
    manifold = _manifold(ensemble)
    every = (*parameters, *manifold.parameters)
    return Quantity(
        name, title, symbol, unit, SYSTEM, manifold, CITE, every, partial(make, Covariance(manifold), every), remake,
        manifold.options,
    )


def _derivation(name: str, title: str, covariance: Covariance, steps: tuple[Step, ...]) -> Derivation:
    manifold = covariance.manifold
    return Derivation(f"{name}/{manifold}", f"{title}, {manifold.title}", steps)


def _ground(covariance: Covariance) -> tuple[Step, ...]:
    """Score and law, on which every quantity of this system stands."""
    step = script()
    return (
        *equivalent_steps(step, covariance.manifold),
        *score_steps(step),
        *law_steps(step, covariance),
    )


def _law(covariance: Covariance) -> tuple[Expr, Eq]:
    """The inverse function of the resolvent with its constants as numbers, and the law as an equation."""
    whole = inverse(covariance.parts, RESOLVENT, covariance.shift)
    shown = Eq(Symbol("z", real=True), whole)
    return whole.subs(covariance.constants), shown


# -------------------------------------------------------------------------------------------------------- density


def spectral_density(ensemble: Ensemble) -> Quantity:
    """Density of the spectrum of the data covariance, on points of its own or at c; of t J with t (A4; section 6)."""

    def of(symbol_unit: str, parameters: tuple[Parameter, ...], make: Callable[..., Result]) -> Quantity:
        return _quantity(
            "spectral-density", "spectral density", _DENSITY, symbol_unit, ensemble, parameters, make, spectral_density
        )

    return replace(
        of("1/variance", (), _profile),
        variants=(
            of("1/variance", (_VARIANCE,), _density),
            of("1", (_TIME,), _score_profile),
            of("1", (_TIME, _SCORE), _score_density),
        ),
    )


def _density_derivation(covariance: Covariance) -> Derivation:
    step = script()
    steps = (*_ground(covariance), *edge_steps(step, covariance), *finite_size_steps(step, covariance))
    if covariance.manifold.linear:
        steps += shannon_steps(step, covariance)
    return _derivation("spectral-density", "Spectral density", covariance, steps)


def _profile(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, shown = _law(covariance)
    problem = ProfileProblem(
        "spectral-density", _DENSITY, parameters, RESOLVENT, law, C, C, "point", C, S.One, POINTS)
    return Result(_density_derivation(covariance), shown, problem)


def _score_profile(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, shown = _law(covariance)
    problem = ProfileProblem(
        "spectral-density", _DENSITY, parameters, RESOLVENT, law, C, image(C), "point", EIGENVALUE,
        T / EIGENVALUE**2, POINTS)
    return Result(_density_derivation(covariance), shown, problem)


def _density(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, shown = _law(covariance)
    problem = DensityProblem(
        "spectral-density", _DENSITY, parameters, RESOLVENT, law, C, C, "", C, C, S.One)
    return Result(_density_derivation(covariance), shown, problem)


def _score_density(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, shown = _law(covariance)
    derivation = _density_derivation(covariance)
    preimage = derivation["preimage-value"].claim
    assert isinstance(preimage, Eq)
    problem = DensityProblem(
        "spectral-density", _DENSITY, parameters, RESOLVENT, law, C, image(C), "", EIGENVALUE, preimage.rhs,
        T / EIGENVALUE**2)
    return Result(derivation, shown, problem)


# ---------------------------------------------------------------------------------------------------------- edges


def spectral_edges(ensemble: Ensemble) -> Quantity:
    """Edges of the bulks of the data covariance, and of t J with t, and the eigenvalue off them (A4; section 6)."""
    base = _quantity(
        "spectral-edges", "edges of the spectrum", _EDGE, "variance", ensemble, (), partial(_edges, C), spectral_edges
    )
    moved = _quantity(
        "spectral-edges", "edges of the spectrum of t J", EIGENVALUE, "1", ensemble, (_TIME,),
        partial(_edges, image(C)), spectral_edges,
    )
    return replace(base, variants=(moved,))


def _edges(asked: Expr, covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, shown = _law(covariance)
    step = script()
    derivation = _derivation(
        "spectral-edges", "Edges of the spectrum", covariance, (*_ground(covariance), *edge_steps(step, covariance)))
    problem = EdgesProblem("spectral-edges", _EDGE, parameters, RESOLVENT, law, C, asked, "edge")
    return Result(derivation, shown, problem)


# ----------------------------------------------------------------------------------------------------------- gaps


def spectral_gap(ensemble: Ensemble) -> Quantity:
    """Gaps of t J at time t: the final one first, then those between bulks (A4; section 6)."""
    return _quantity(
        "spectral-gap", "gaps of t times the Jacobian of the score", _WIDTH, "1", ensemble, (_TIME,), _gap,
        spectral_gap,
    )


def _facts() -> tuple[tuple[str, Expr], ...]:
    """What is known of a gap at any time."""
    return (("lower", LOW), ("upper", HIGH), ("largest", (sqrt(HIGH) - sqrt(LOW)) / (sqrt(HIGH) + sqrt(LOW))))


def _gap(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, _ = _law(covariance)
    step = script()
    derivation = _derivation(
        "spectral-gap", "Gaps of the spectrum", covariance,
        (*_ground(covariance), *edge_steps(step, covariance), *gap_steps(step)))
    product = derivation["gap-product"].claim
    assert isinstance(product, Eq)
    problem = GapProblem(
        "spectral-gap", _WIDTH, parameters, RESOLVENT, law, C, C, "gap", LOW, HIGH, product.rhs, _NO_ATOM,
        facts=_facts(), reason="")
    return Result(derivation, Eq(GAP(T), product.rhs), problem)


def gap_times(ensemble: Ensemble) -> Quantity:
    """When each gap opens, is widest and closes at a resolution G, and when the phases begin (A4; section 6).

    Times run as the generative process does, from large t to small: t_open > t_max > t_close.
    """
    return _quantity(
        "gap-times", "times at which gaps open and close", OPENING, "variance", ensemble, (_RESOLUTION,), _gap_times,
        gap_times,
    )


def _gap_times(covariance: Covariance, parameters: tuple[Parameter, ...]) -> Result:
    law, _ = _law(covariance)
    step = script()
    derivation = _derivation(
        "gap-times", "Opening and closing of gaps", covariance,
        (*_ground(covariance), *edge_steps(step, covariance), *gap_steps(step), *time_steps(step)))
    widest, formula = derivation["t-max"].claim, derivation["t-open-formula"].claim
    assert isinstance(widest, Eq)
    assert isinstance(formula, Eq)
    opened, largest = formula.rhs, _facts()[-1][1]
    problem = GapTimesProblem(
        "gap-times", OPENING, parameters, RESOLVENT, law, C, C, "gap", LOW, HIGH, opened, _NO_ATOM,
        outputs=(("t_open", opened), ("t_max", widest.rhs), ("t_close", HIGH * LOW / opened)), facts=_facts(),
        condition=Gt(largest, RESOLUTION), reason="its largest value stays at or below the resolution")
    return Result(derivation, formula, problem)


