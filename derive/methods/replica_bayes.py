"""The Bayes-optimal point of diffusion on a hidden manifold: s = t and b = 1/t, for any activation.

There the tilted data are a sample of the posterior given the noisy point, and posterior samples and the truth are
exchangeable.  Hence m = q and r = 1 solve all three saddle-point equations, and the load at which the noise condenses,
the load at which it reaches the signal, and the mutual information between a point and its noisy version are one.
"""

from __future__ import annotations

from sympy import (
    Derivative,
    E,
    Eq,
    Expr,
    Function,
    ImmutableMatrix,
    Integer,
    Interval,
    Rational,
    Symbol,
    log,
    oo,
    pi,
    sqrt,
)

from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.methods.replica import DOMAIN, PHI, SIGMA, site_steps, symmetric_derivation
from derive.methods.replica_manifold import NOISE, OWN, H, ManifoldSite
from derive.methods.script import Script
from derive.nodes import GaussianAverage, Normal, TiltedAverage
from derive.symbols import alpha as ALPHA
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import b as B
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import s as S
from derive.symbols import t as T
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["bayes_derivation", "bayes_steps"]

PSI, ENERGY, INFORMATION = (Function(k, real=True) for k in ("psi", "epsilon", "I"))
#: common and own field of truth and posterior sample, after the rotation
_Y, _TRUTH = Symbol("y", real=True), Symbol("w_0", real=True)
_DOMAIN = DOMAIN | Domain(
    ((Q, Interval.open(0, 1)), *((k, Interval.open(0, oo)) for k in (ALPHA, B, T)), (S, Interval(0, oo))))
_AT_OPTIMUM = (("symbol", M), ("value", Q), ("symbol", R), ("value", Integer(1)), ("symbol", B), ("value", 1 / T),
               ("symbol", S), ("value", T))
_AT_TIME = _AT_OPTIMUM[4:]


def bayes_derivation() -> Derivation:
    """m = q, r = 1 at the Bayes-optimal point, and three routes to the collapse; sigma is an undefined function.

    "optimal-m", "optimal-q" and "optimal-r" are the one equation that is left of the three, "collapse-routes" the
    equality of condensation, signal and mutual information.
    """
    return symmetric_derivation().extend(
        bayes_steps(), name="replica-bayes-optimal", title="The Bayes-optimal point on a hidden manifold")


def _entry(field: Expr) -> Expr:
    return SIGMA(sqrt(Q) * _Y + sqrt(1 - Q) * field)


def _posterior(body: Expr) -> Expr:
    """Mean over the posterior of the own field, given the observation and the common field."""
    seen = _entry(_TRUTH) + sqrt(T) * NOISE
    return TiltedAverage(body, -((seen - _entry(OWN)) ** 2) / (2 * T), OWN, Normal())


def _mean(body: Expr) -> Expr:
    return GaussianAverage(body, _Y, _TRUTH, NOISE)


def bayes_steps() -> tuple[Step, ...]:
    """The steps; they stand on those of `symmetric_derivation`."""
    general = ManifoldSite(-B * (X - XI) ** 2 / 2, SIGMA(H), noise=S)
    optimal = ManifoldSite(-((X - XI) ** 2) / (2 * T), SIGMA(H), noise=T)
    step = Script(_DOMAIN, "A2; Nishimori")
    planted, square, spread = optimal.moments(Q, Q, Integer(1))
    kappa = _mean(_posterior(OWN) ** 2)
    turn = ImmutableMatrix([[sqrt(Q), sqrt(1 - Q)], [sqrt(1 - Q), -sqrt(Q)]])
    rotation = (("rotation", turn),)
    truth = sqrt(Q) * _Y + sqrt(1 - Q) * _TRUTH
    turned = {
        "planted": (planted, _mean(truth * _posterior(OWN)), sqrt(1 - Q) * kappa),
        "spread": (spread, _mean(_posterior(OWN**2) - _posterior(OWN) ** 2), 1 - kappa),
    }
    distance = optimal.mean((X - XI) ** 2, Q, Q, Integer(1))
    seen = _entry(_TRUTH) + sqrt(T) * NOISE
    posterior_distance = _mean(_posterior((seen - _entry(OWN)) ** 2))
    equation = Eq(Q, kappa / ALPHA_D)
    equations = dict(zip("mqr", optimal.saddle_equations(Q, Q, Integer(1)), strict=True))
    steps = [
        *site_steps(general, _DOMAIN),
        *(step(f"at-optimum-{k}", e, "substitute", (f"site-saddle-{k}",),
               f"the equation of {k} at s = t, b = 1/t, m = q and r = 1", hints=_AT_OPTIMUM)
          for k, e in equations.items()),
        step("rotate-square", Eq(square, kappa), "gaussian-rotation", (),
             "u = sqrt(q) y + sqrt(1 - q) w_0: all replicas and the truth share sqrt(q) y, and the own fields are "
             "independent of it; in these variables, of the square", hints=rotation),
    ]
    for name, (before, after, value) in turned.items():
        steps += [
            step(f"rotate-{name}", Eq(before, after), "gaussian-rotation", (), f"of the {name} moment", hints=rotation),
            step(f"truth-{name}", Eq(after, value), "nishimori", (),
                 "the own field of a replica is a posterior sample of that of the truth, w_0"),
        ]
    steps += [
        step("optimal-m", equation, "rearrange", ("at-optimum-m", "rotate-planted", "truth-planted"),
             "the equation of m"),
        step("optimal-q", equation, "rearrange", ("at-optimum-q", "rotate-square"), "the equation of q is the same"),
        step("optimal-r", equation, "rearrange", ("at-optimum-r", "rotate-spread", "truth-spread"),
             "and so is that of r: m = q and r = 1 solve all three, for every activation"),
        step("optimal-dominates", "The saddle point with m = q and r = 1 is the dominating one at s = t, b = 1/t.",
             "assumption", ("optimal-m", "optimal-q", "optimal-r"),
             "the overlaps of posterior samples with the truth and among each other have the same law"),
        # the slope of the cumulant
        step("cumulant", Eq(PSI(B, S), PHI(M, Q, R)), "definition", ("laplace",),
             "the cumulant of squared distances, at the saddle point"),
        step("energy-slope", Eq(Derivative(general.free_entropy(), B), general.mean(-((X - XI) ** 2) / 2)),
             "differentiate", (), "the explicit derivative in b is a tilted mean"),
        step("envelope", Eq(Derivative(PSI(B, S), B), ENERGY(B, S)), "definition", ("cumulant",),
             "a name for the slope"),
        step("energy-value", Eq(ENERGY(B, S), general.mean(-((X - XI) ** 2) / 2)), "theorem",
             ("envelope", "energy-slope"), "at a stationary point only the explicit derivative counts",
             source="envelope theorem"),
        step("energy-at", Eq(ENERGY(1 / T, T), -distance / 2), "substitute", ("energy-value",), "at the optimum",
             hints=_AT_OPTIMUM),
        step("rotate-distance", Eq(distance, posterior_distance), "gaussian-rotation", (),
             "squared distance from the noisy point", hints=rotation),
        step("truth-distance", Eq(posterior_distance, T), "nishimori", (),
             "posterior samples are as far from the noisy point as the truth"),
        step("energy-optimal", Eq(ENERGY(1 / T, T), -T / 2), "identity",
             ("energy-at", "rotate-distance", "truth-distance"), "hence the slope is -t/2"),
        # three routes
        step("condensation", Eq(ALPHA, B * ENERGY(B, S) - PSI(B, S)), "definition", ("cumulant", "optimal-dominates"),
             "first route: the entropy of the noise vanishes"),
        step("condensation-at", Eq(ALPHA, ENERGY(1 / T, T) / T - PSI(1 / T, T)), "substitute", ("condensation",),
             "at b = 1/t and s = t", hints=_AT_TIME),
        step("route-condensation", Eq(ALPHA, -Rational(1, 2) - PSI(1 / T, T)), "identity",
             ("condensation-at", "energy-optimal"), "the load at which the noise condenses"),
        step("balance", Eq(-B * S / 2, ALPHA + PSI(B, S)), "definition", ("self-averaging",),
             "second route: the noise reaches the signal"),
        step("balance-at", Eq(-Rational(1, 2), ALPHA + PSI(1 / T, T)), "substitute", ("balance",),
             "at b = 1/t and s = t", hints=_AT_TIME),
        step("route-signal", Eq(ALPHA, -Rational(1, 2) - PSI(1 / T, T)), "rearrange", ("balance-at",),
             "the load at which it does"),
        step("information", Eq(INFORMATION(T), -(PSI(1 / T, T) - log(2 * pi * T) / 2) - log(2 * pi * E * T) / 2),
             "definition", ("self-averaging",), "third route: mutual information of a point and its noisy version, per "
             "N; the log density of the noisy point is psi_t(1/t) - log(2 pi t)/2"),
        step("reliable", Eq(ALPHA, INFORMATION(T)), "definition", (),
             "exp(alpha N) points can be told apart up to the mutual information"),
        step("route-information", Eq(ALPHA, -Rational(1, 2) - PSI(1 / T, T)), "identity", ("reliable", "information"),
             "the load at which the information is exhausted"),
        step("collapse-routes", Eq(ALPHA, -Rational(1, 2) - PSI(1 / T, T)), "routes-agree",
             ("route-condensation", "route-signal", "route-information"), "three routes, one load, for any activation"),
    ]
    return tuple(steps)
