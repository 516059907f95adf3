"""What dense memory and diffusion share on a hidden manifold of any activation: the cumulant as a saddle point."""

from __future__ import annotations

import itertools

from sympy import Eq, Expr, Integer, Symbol, sqrt

from derive.core import Domain, SaddleStage, Site, Step
from derive.ensembles import Activation, HiddenManifold
from derive.methods.replica import DOMAIN, OMEGA, PHI, QUERY, SIGMA, G, symmetric_derivation
from derive.methods.replica import L as LOG_WEIGHT
from derive.methods.replica_manifold import NOISE, OWN, PLANTED, H, ManifoldSite
from derive.methods.script import Script
from derive.nodes import LogAverageExp, Normal
from derive.symbols import V
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = [
    "LOG_REPEAT", "activation_of", "cumulant_steps", "entropy_stage", "inner_average", "saddle_stage",
]

#: minus the entropy per N of the patterns, where they have one
LOG_REPEAT = Symbol("log p_same", real=True)
_FRESH = tuple(Symbol(f"{k}_same", **a) for k, a in (("m", {"real": True}), ("q", {"positive": True}),
                                                     ("r", {"positive": True})))
#: exponent by which the nearest other value is suppressed where a pattern is told from all others: e^-36 < 3e-16
_APART = Integer(36)


def activation_of(ensemble: HiddenManifold) -> Activation:
    """The activation of a manifold that is not linear."""
    assert ensemble.activation is not None  # the linear manifold has a route of its own
    return ensemble.activation


def saddle_stage(
    site: ManifoldSite,
    value: Symbol,
    averages: tuple[tuple[Symbol, Expr], ...] = (),
    overlaps: tuple[Symbol, Symbol, Symbol] = (M, Q, R),
) -> SaddleStage:
    """The extremum of a site's free entropy, to be solved for.

    Args: site; value, the name of the extremum; averages, pairs (name, f) of tilted means of f(x, xi); overlaps.
    """
    structure = Site(site.exponent, site.activation, site.query, X, XI, H, PLANTED, NOISE)
    free_entropy, replicon = site.free_entropy(*overlaps), site.replicon(*overlaps)
    return SaddleStage(value, overlaps, site.ratio, structure, free_entropy, replicon, averages)


def entropy_stage(activation: Activation) -> SaddleStage | None:
    """Minus the entropy per N of the patterns of a step function; None for a law with infinitely many values.

    It is the limit of psi_0(b) for b -> oo, the log of the probability that a fresh pattern repeats a given one; it is
    taken at the b at which the nearest other value of an entry is suppressed below the resolution of a double.
    """
    values = activation.values
    if values is None:
        return None
    gap = min(b - a for a, b in itertools.pairwise(values))
    site = ManifoldSite(-_APART * (X - XI) ** 2 / gap**2, activation.expr)
    return saddle_stage(site, LOG_REPEAT, (), _FRESH)


def inner_average(site: ManifoldSite) -> tuple[Expr, Expr]:
    """log int Dw exp g(x, sigma(omega + sqrt(V) w)) as it is defined, and in closed form where there is one."""
    entry = site.activation.subs(H, OMEGA + sqrt(V) * OWN)
    node = LogAverageExp(site.exponent.subs(XI, entry), OWN, Normal())
    return node, node.doit()


def cumulant_steps(
    site: ManifoldSite, cumulant: Expr, domain: Domain, source: str, premises: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps that lead to the cumulant as a saddle point: the replica calculation, then this site put in.

    Args: site; cumulant, the function that is to be known (zeta(l), psi(b, s)); domain and source of the steps;
    premises, labels of the assumptions that stand before.  The last step, "cumulant", states it.
    """
    step = Script(DOMAIN | domain, source)
    shared = site.activation.subs(H, OMEGA + sqrt(V) * OWN)
    tilt = site.exponent.subs(XI, shared)
    node, closed = inner_average(site)
    steps = [
        *symmetric_derivation().steps,
        step("site-exponent", Eq(G(X, XI), site.exponent), "definition", (), "the exponent of a site"),
        step("site-activation", Eq(SIGMA(H), site.activation), "definition", (), "the activation"),
        step("site-query", Eq(QUERY(PLANTED, NOISE), site.query), "definition", (), "the query"),
        step("log-weight-here", Eq(LOG_WEIGHT(X, OMEGA, V), LogAverageExp(tilt, OWN, Normal())), "identity",
             ("log-weight", "site-exponent", "site-activation"), "the average over the field of one replica"),
        step("free-entropy-here", Eq(PHI(M, Q, R), site.free_entropy()), "identity",
             ("free-entropy-value", "log-weight-here", "site-query"),
             "the free entropy of this ensemble"),
    ]
    if not closed.has(LogAverageExp):
        steps.append(step("inner-average", Eq(node, closed), "evaluate", (),
                          "the average over the field that replicas do not share, in closed form"))
    steps.append(step("cumulant", Eq(cumulant, PHI(M, Q, R)), "definition",
                      (*premises, "laplace", "free-entropy-here"),
                      "the cumulant is the free entropy at its saddle point; the replicon there, positive where "
                      "replica symmetry is stable, is reported with every value"))
    return tuple(steps)
