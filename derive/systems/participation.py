"""Condensation of the noise seen in its weights: how many patterns carry them (B1; section 1)."""

from __future__ import annotations

from functools import partial

from sympy import Eq, Gt, Integer, Max

from derive.core import Branch, DeriveError, Domain, Parameter, Problem
from derive.ensembles import Ensemble, HiddenManifold
from derive.ledger import Derivation
from derive.methods.rem import LAM_STAR, PARTICIPATION, general_derivation
from derive.methods.script import Script
from derive.nodes import Atoms
from derive.quantity import Quantity, Result
from derive.symbols import alpha as ALPHA
from derive.symbols import lam as LAM
from derive.systems.dense_memory import CITE, SOURCE, SYSTEM, rem_condensation

__all__ = ["participation_ratio"]


def participation_ratio(ensemble: Ensemble) -> Quantity:
    """Sum of the squared weights of the patterns in the noise that a typical pattern sees: 0, or 1 - lam_*/lam.

    Raises: DeriveError for patterns with finitely many values, whose energies tie.

    >>> from derive import Gaussian
    >>> participation_ratio(Gaussian()).solver()(alpha=0.5, lam=[0.5, 2]).value.tolist()
    [0.0, 0.5]
    """
    _without_ties(ensemble)
    condensation = rem_condensation(ensemble)
    (load, *others) = condensation.parameters
    temperature = Parameter(LAM, load.domain, "inverse temperature", "1")
    return Quantity(
        "participation-ratio",
        "sum of squared weights in the noise",
        PARTICIPATION,
        "1",
        SYSTEM,
        ensemble,
        CITE,
        (load, temperature, *others),
        partial(_participation_ratio, ensemble, condensation, (load, temperature, *others)),
        participation_ratio,
        condensation.options,
    )


def _without_ties(ensemble: Ensemble) -> None:
    activation = ensemble.activation if isinstance(ensemble, HiddenManifold) and not ensemble.linear else None
    if (activation is not None and activation.values is not None) or isinstance(getattr(ensemble, "law", None), Atoms):
        raise DeriveError(
            f"participation-ratio is not derived for this ensemble: {ensemble.title}; patterns with finitely many "
            "values have energies that tie, and how many share the lowest one is not in the random energy model",
            given=str(ensemble),
            allowed="gaussian, spherical, a density, or a hidden manifold with infinitely many values",
            nearest="rem-condensation",
        )


def _participation_ratio(ensemble: Ensemble, condensation: Quantity, parameters: tuple[Parameter, ...]) -> Result:
    before = condensation.derivation.steps
    known = {s.label for s in before}
    general = general_derivation()
    wanted = {*general.ancestors("rem-participation"), "rem-participation"} - known
    domain = Domain(((ALPHA, parameters[0].domain), (LAM, parameters[0].domain), (LAM_STAR, parameters[0].domain)))
    step = Script(domain, SOURCE)
    beyond = 1 - LAM_STAR / LAM
    steps = (
        *before,
        *(s for s in general.steps if s.label in wanted),
        step("spread",
             "Up to the condensation point the weight lies on exponentially many levels, none of which keeps a part "
             "of it: the sum of the squares vanishes.", "theorem", ("rem-condensation",),
             "annealed noise"),
        step("participation-positive", Gt(beyond, 0, evaluate=False), "positivity", (),
             "beyond it the sum is positive, and it vanishes at the point itself: condensation sets in without a jump",
             domain=Domain(constraints=(Gt(LAM, LAM_STAR),))),
    )  # fmt: skip
    problem = condensation.problem
    branches = (
        Branch("condensed", beyond, Gt(LAM, LAM_STAR)),
        Branch("spread", Integer(0)),
    )
    outputs = (("lambda_star", LAM_STAR),)
    made = Problem(
        "participation-ratio", PARTICIPATION, parameters, branches, problem.stages, outputs, positive=False
    )
    title = f"Participation ratio of the noise, {ensemble.title}"
    return Result(Derivation(f"participation-ratio/{ensemble}", title, steps), Eq(PARTICIPATION, Max(0, beyond)), made)
