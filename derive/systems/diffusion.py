"""Memorization in diffusion models (A2): onset, collapse, generalization, basins, and the distance from the data law.

Variance exploding: x_t = x_0 + sqrt(t) w.  The empirical density at time t is the mean over the P data points of
N(x; xi, t I); with b = 1/t it is governed by the random energy model of squared distances,

    psi_s(b) = lim 1/N E log E_xi exp(-b |x - xi|^2 / 2),    x = xi_1 + sqrt(s) w.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sympy import (
    Add,
    Derivative,
    Dummy,
    E,
    Eq,
    Expr,
    Function,
    Ge,
    Gt,
    Interval,
    Le,
    Lt,
    Rational,
    S,
    Symbol,
    cancel,
    degree,
    diff,
    factor,
    log,
    oo,
    pi,
    sqrt,
)

from derive.core import Branch, Citation, DeriveError, Domain, Parameter, Problem, Stage, Step, UniqueRoot
from derive.ensembles import Ensemble, HiddenManifold, Spherical
from derive.ensembles.sites import GaussianSites
from derive.ledger import Derivation
from derive.methods.script import Script
from derive.quantity import Quantity, Result
from derive.symbols import alpha as ALPHA
from derive.symbols import b as B
from derive.symbols import c as C
from derive.symbols import s as QUERY
from derive.symbols import t as T
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["basin_radius", "collapse_time", "generalization_time", "kl_divergence", "onset_time"]

SYSTEM = "diffusion"
CITE = (Citation("A2", "memorization and generalization times"), Citation("B2", "collapse"))
SOURCE = "A2; B2"
_POSITIVE = Interval.open(0, oo)
_LOAD = Parameter(ALPHA, _POSITIVE, "load, log P / N", "per N")
_TIME = Parameter(T, _POSITIVE, "diffusion time, variance exploding", "variance")
B_STAR = Symbol("b_*", positive=True)
T_C = Symbol("t_c", positive=True)
T_O = Symbol("t_o", positive=True)
T_G = Symbol("t_g", positive=True)
_E_STAR = Symbol("e_*", positive=True)
RADIUS = Symbol("R", positive=True)
KL = Symbol("KL", nonnegative=True)
_H = Symbol("h", real=True)
_G = Symbol("g", real=True)
PSI = Function("psi", real=True)
#: the divergence above its minimum, below and above the condensation time 1/b_*
EXCESS_CONDENSED = (log(T / T_G) + T_G / T - 1) / 2
EXCESS_ANNEALED = log(T / T_G) / 2 - Rational(1, 2) - ALPHA - PSI(1 / T, 0)


def resolvent_form(expr: Expr, b: Expr) -> Expr:
    """The same function of the variance c, written in log(1 + bc), c/(1 + bc) and c/(1 + bc)^2.

    A rational function of c with its poles at -1/b is a polynomial in w = 1/(1 + bc), and c/(1 + bc) = (1 - w)/b,
    c/(1 + bc)^2 = w (1 - w)/b.  In this form nothing cancels where b c is large, and the averages over a spectrum are
    those that a paper would print.  An expression that is not of this kind is returned as it is.

    >>> from derive.symbols import b, c
    >>> resolvent_form(b * c / (1 + b * c) + b**2 * c**2 / (1 + b * c) ** 2, b)
    2*b*c/(b*c + 1) - b*c/(b*c + 1)**2
    """
    w, pole = Symbol("w", positive=True), 1 + b * C
    expr = expr.expand()
    logs = sorted((k for k in expr.atoms(log) if k.has(C)), key=str)
    slots = [Dummy(real=True) for _ in logs]
    linear = expr.subs(dict(zip(logs, slots, strict=True)))
    reduced = cancel(linear.subs(dict.fromkeys(slots, 0)).subs(C, (1 / w - 1) / b))
    if not reduced.is_polynomial(w) or degree(reduced, w) > 2:
        return expr
    r0, r1, r2 = (reduced.expand().coeff(w, k) for k in range(3))
    terms = [factor(r0 + r1 + r2), -factor(b * (r1 + r2)) * C / pole, -factor(b * r2) * C / pole**2]
    return Add(*terms, *(linear.expand().coeff(slot) * k for slot, k in zip(slots, logs, strict=True)))


class Distances:
    """The random energy model of squared distances for an ensemble: psi_s(b), its parts, and their closed forms."""

    def __init__(self, ensemble: Ensemble) -> None:
        if isinstance(ensemble, Spherical):
            raise DeriveError(
                "diffusion is not derived for this ensemble: spherical patterns",
                given=str(ensemble),
                allowed="gaussian, binary, manifold or a product measure",
                nearest="gaussian",
            )
        self.ensemble, self.site = ensemble, ensemble.site
        self.domain = Domain(
            (
                *((k, _POSITIVE) for k in (ALPHA, B, B_STAR, T, T_C, T_O, T_G, _E_STAR)),
                (QUERY, Interval(0, oo)),
                (C, Interval(0, oo)),
                *((p.symbol, p.domain) for p in ensemble.parameters),
            )
        )
        self.step = Script(self.domain, SOURCE)

    @property
    def gaussian(self) -> bool:
        """Averages over Gaussian sites are done in closed form, eigenvalue by eigenvalue."""
        return isinstance(self.site, GaussianSites)

    def exponent(self, b: Expr) -> Expr:
        """The exponent of one site."""
        return -b * (X - XI) ** 2 / 2

    def done(self, raw: Expr, b: Expr) -> Expr:
        """The averages over one Gaussian site, done."""
        return self.site.at(resolvent_form(raw.doit(), b))

    def psi_site(self, b: Expr, s: Expr) -> Expr:
        """psi at one site, as the averages that define it."""
        return self.site.query(self.site.log_average(self.exponent(b), XI), X, S.One, s)

    def psi(self, b: Expr, s: Expr) -> Expr:
        """psi_s(b) as the averages that define it."""
        return self.site.sites(self.psi_site(b, s))

    def closed(self, expr: Expr) -> Expr:
        """Closed form where the ensemble has one: Gaussian sites."""
        return expr.doit() if self.gaussian else expr

    def psi_closed(self, b: Expr, s: Expr) -> Expr:
        """psi_s(b) with the averages over a site done where they can be; the average over the spectrum is left."""
        return self.site.sites(resolvent_form(self.psi_site(b, s).doit(), b)) if self.gaussian else self.psi(b, s)

    def distance_site(self, b: Expr, s: Expr) -> Expr:
        """Mean squared distance of the tilted data at one site."""
        return self.site.query(self.site.tilted((X - XI) ** 2, self.exponent(b), XI), X, S.One, s)

    def distance(self, b: Expr, s: Expr) -> Expr:
        """Mean squared distance per N, -2 psi'."""
        return self.site.sites(
            resolvent_form(self.distance_site(b, s).doit(), b) if self.gaussian else self.distance_site(b, s)
        )

    def divergence_site(self, b: Expr, s: Expr) -> Expr:
        """Relative entropy of the tilted entries to their prior, at one site: the mean of the log of the density."""
        g = self.exponent(b)
        return self.site.query(self.site.tilted(g, g, XI) - self.site.log_average(g, XI), X, S.One, s)

    def divergence_raw(self, b: Expr, s: Expr) -> Expr:
        """The same over all sites, as the averages that define it: mean exponent minus mean log norm."""
        if self.gaussian:
            return self.site.sites(self.divergence_site(b, s))
        return -b * self.distance_site(b, s) / 2 - self.psi_site(b, s)

    def divergence(self, b: Expr, s: Expr) -> Expr:
        """Relative entropy per N of the data that dominate at b: their rate."""
        return self.site.sites(
            resolvent_form(self.divergence_site(b, s).doit(), b) if self.gaussian else self.divergence_site(b, s)
        )

    # ------------------------------------------------------------------------------------------------ shared steps

    def start(self) -> tuple[Step, ...]:
        """What every derivation of this system begins with: assumptions and the definition of psi."""
        step = self.step
        steps = [
            step("large-n",
                 "P = exp(alpha N) independent data points at large N; the free entropies of signal and noise are "
                 "self-averaging; given the query, the squared distances to the other data are a random energy model.",
                 "assumption", (), "what makes memorization a condensation"),
            step("psi", Eq(PSI(B, QUERY), self.psi(B, QUERY)), "definition", ("large-n",),
                 f"cumulant of the squared distances between a query and the data, {self.ensemble.title}"),
        ]
        if self.gaussian:
            site, done = self.site.at(self.psi_site(B, QUERY)), self.done(self.psi_site(B, QUERY), B)
            steps += [
                step("psi-site", Eq(site, done), "evaluate", (), "the Gaussian integrals along one eigenvalue"),
                step("psi-value", Eq(PSI(B, QUERY), self.psi_closed(B, QUERY)), "identity", ("psi", "psi-site"),
                     "psi for this ensemble"),
            ]
        return tuple(steps)

    @property
    def psi_label(self) -> str:
        """Label of the step that states psi."""
        return "psi-value" if self.gaussian else "psi"


def _quantity(
    name: str,
    title: str,
    symbol: Symbol,
    unit: str,
    ensemble: Ensemble,
    parameters: tuple[Parameter, ...],
    make: Callable[[Distances], Result],
    remake: Callable[[Ensemble], Quantity],
) -> Quantity:
    every = (*parameters, *ensemble.parameters)
    if isinstance(ensemble, HiddenManifold) and not ensemble.linear:
        from derive.systems import manifold_diffusion

        result = partial(manifold_diffusion.make, name, ensemble, every)
    else:
        result = partial(make, Distances(ensemble))
    return Quantity(
        name,
        title,
        symbol,
        unit,
        SYSTEM,
        ensemble,
        CITE,
        every,
        result,
        remake,
        ensemble.options,
    )


def _exists(distances: Distances, what: str) -> dict[str, Any]:
    """Condition under which a threshold exists: a law with finitely many values has a finite entropy."""
    limit = distances.ensemble.entropy
    if limit == oo:
        return {}
    return {
        "exists": Lt(ALPHA, limit),
        "absent": f"no {what}: the load is at or above {limit} (= {float(limit):.6g}), "
        "the entropy per entry of this law",
    }


def _closed_step(label: str, left: Expr, right: Expr, distances: Distances, text: str) -> tuple[Step, Expr]:
    """A step that does the average over the spectrum, and its result."""
    done = distances.closed(right)
    return distances.step(label, Eq(right, done), "evaluate", (), text), done


# --------------------------------------------------------------------------------------------------------- onset


def onset_time(ensemble: Ensemble) -> Quantity:
    """Time t_o(alpha) below which a data point is a trap (A2; section 4)."""
    return _quantity(
        "onset-time", "onset of memorization", T_O, "variance", ensemble, (_LOAD,), _onset_time, onset_time
    )


def _onset(distances: Distances) -> tuple[tuple[Step, ...], Expr]:
    """Steps to the onset equation and its right-hand side as a function of t."""
    step = distances.step
    signal = Function("S", real=True)
    right = -distances.psi_closed(1 / T, S.Zero)
    steps = [
        step("signal-at-data", Eq(signal(T), 0), "definition", (),
             "exponent of the data point's own term, at the data point itself"),
        step("trap", Eq(signal(T), ALPHA + PSI(1 / T, 0)), "definition", ("large-n",),
             "the trap appears where signal and noise are equal, at s = 0 and b = 1/t"),
        step("onset", Eq(ALPHA, -PSI(1 / T, 0)), "rearrange", ("trap", "signal-at-data"), "solved for the load"),
        step("onset-value", Eq(ALPHA, right), "identity", ("onset", distances.psi_label), "with psi of this ensemble"),
    ]
    if distances.gaussian:
        average, done = _closed_step("onset-average", T, right, distances, "the average over the spectrum")
        last = step("onset-closed", Eq(ALPHA, done), "identity", ("onset-value", "onset-average"),
                    "the onset in closed form")
        return (*steps, average, last), done
    return tuple(steps), right


def _onset_time(distances: Distances) -> Result:
    steps, right = _onset(distances)
    unique = _uniqueness("onset", distances, -distances.psi_closed(1 / T, S.Zero), ALPHA, "onset-value")
    stage = Stage(T_O, (right - ALPHA).subs(T, T_O), -1, S.Zero, **_exists(distances, "onset"))
    problem = Problem("onset-time", T_O, (_LOAD, *distances.ensemble.parameters), (Branch("onset", T_O),), (stage,))
    derivation = Derivation(
        f"onset-time/{distances.ensemble}",
        f"Onset of memorization, {distances.ensemble.title}",
        (*distances.start(), *steps, *unique),
    )
    return Result(derivation, Eq(ALPHA, right.subs(T, T_O)), problem)


def _uniqueness(name: str, distances: Distances, right: Expr, load: Expr, equation: str) -> tuple[Step, ...]:
    """That load = right(t) has one root in t, where the site averages are done in closed form."""
    step = distances.step
    if not distances.gaussian:
        return (
            step(f"{name}-unique",
                 "The information that the noisy point carries falls strictly with t, from the entropy of the data "
                 "(infinite for a density) to 0: one root where the load is below it, none otherwise.",
                 "theorem", (), "existence and uniqueness", source="Guo, Shamai, Verdu (2005), I-MMSE"),
        )
    slope = diff(right, T)
    return (
        step(f"{name}-falls", Lt(slope, 0), "positivity", (), "the right-hand side falls strictly with t"),
        step(f"{name}-unique", UniqueRoot(right - load, T, _POSITIVE, -1), "monotone-root",
             (f"{name}-falls", equation), "from infinity at t = 0 to 0 at infinity: exactly one root",
             hints=(("equation", equation),)),
    )


# ------------------------------------------------------------------------------------------------------ collapse


def collapse_time(ensemble: Ensemble) -> Quantity:
    """Time t_c(alpha) below which a typical trajectory is trapped by one data point (A2, B2; section 4)."""
    return _quantity(
        "collapse-time",
        "collapse onto a data point",
        T_C,
        "variance",
        ensemble,
        (_LOAD,),
        _collapse_time,
        collapse_time,
    )


def _collapse(distances: Distances) -> tuple[tuple[Step, ...], Expr]:
    """Three routes to the collapse, their equality, and the right-hand side of alpha = I(t)."""
    step, site = distances.step, distances.site
    signal, rate, information = (Function(n, real=True) for n in ("S", "I", "I_mutual"))
    by_signal = -PSI(1 / T, T) - Rational(1, 2)
    signal_value = -distances.psi_closed(1 / T, T) - Rational(1, 2)
    steps: list[Step] = [
        # first route: signal against noise
        step("signal", Eq(signal(B, QUERY), -B * QUERY / 2), "definition", (),
             "exponent of the data point's own term at distance sqrt(s) per sqrt(N)"),
        step("balance", Eq(signal(B, QUERY), ALPHA + PSI(B, QUERY)), "definition", ("large-n",),
             "the point is lost where the noise reaches the signal"),
        step("balance-solved", Eq(ALPHA, -B * QUERY / 2 - PSI(B, QUERY)), "rearrange", ("balance", "signal"),
             "solved for the load"),
        step("balance-typical", Eq(ALPHA, by_signal), "substitute", ("balance-solved",),
             "on a typical trajectory s = t and b = 1/t",
             hints=(("symbol", B), ("value", 1 / T), ("symbol", QUERY), ("value", T))),
        step("route-signal", Eq(ALPHA, signal_value), "identity", ("balance-typical", distances.psi_label),
             "first route, with psi of this ensemble"),
        # second route: the entropy of the noise vanishes
        step("rate", Eq(rate(B, QUERY), distances.divergence_raw(B, QUERY)), "definition", (),
             "rate of the data that dominate at b: relative entropy of the tilted entries to their prior, the mean of "
             "the log of their density ratio"),
        step("condensation", Eq(ALPHA, rate(1 / T, T)), "definition", (),
             "no data point other than the true one is left: the rate is the load"),
    ]
    if distances.gaussian:
        raw, done = (
            site.at(distances.divergence_site(1 / T, T)),
            distances.done(distances.divergence_site(1 / T, T), 1 / T),
        )
        rate_value = distances.divergence(1 / T, T)
        steps += [
            step("rate-site", Eq(raw, done), "evaluate", (),
                 "relative entropy of two Gaussians, averaged over the query"),
            step("route-condensation", Eq(ALPHA, rate_value), "identity", ("condensation", "rate", "rate-site"),
                 "second route"),
        ]
    else:
        left = site.query(site.tilted((X - XI) ** 2, distances.exponent(1 / T), XI), X, S.One, T)
        rate_value = -Rational(1, 2) - site.query(site.log_average(distances.exponent(1 / T), XI), X, S.One, T)
        steps += [
            step("nishimori", Eq(left, T), "nishimori", (),
                 "at b = 1/t the tilted entry is a sample of the posterior, exchangeable with the true entry"),
            step("route-condensation", Eq(ALPHA, rate_value), "identity", ("condensation", "rate", "nishimori"),
                 "second route"),
        ]
    steps += _information_route(distances, information)
    final = site.sites(log(1 + C / T) / 2) if isinstance(site, GaussianSites) else signal_value
    steps.append(
        step("routes", Eq(ALPHA, final), "routes-agree", ("route-signal", "route-condensation", "route-information"),
             "three routes, one equation")
    )
    if distances.gaussian:
        average, done = _closed_step("collapse-average", T, final, distances, "the average over the spectrum")
        last = step("collapse-closed", Eq(ALPHA, done), "identity", ("routes", "collapse-average"),
                    "the collapse in closed form")
        return (*steps, average, last), done
    return tuple(steps), final


def _information_route(distances: Distances, information: Function) -> list[Step]:
    """Third route: the mutual information between a data point and its noisy version, from two entropies."""
    step, site = distances.step, distances.site
    log_marginal = site.log_average(-((X - XI) ** 2) / (2 * T), XI) - log(2 * pi * T) / 2
    entropy = -site.query(log_marginal, X, S.One, T)
    noise = log(2 * pi * E * T) / 2
    steps = [
        step("information", Eq(information(T), site.sites(entropy - noise)), "definition", (),
             "entropy of the noisy entry minus entropy of the noise"),
        step("reliable", Eq(ALPHA, information(T)), "definition", (),
             "exp(alpha N) points can be told apart up to the mutual information (channel coding)"),
    ]
    if distances.gaussian:
        done = entropy.doit()
        steps += [
            step("entropy-site", Eq(site.at(entropy), site.at(done)), "evaluate", (),
                 "entropy of a Gaussian of variance c + t"),
            step("route-information", Eq(ALPHA, site.sites(done - noise)), "identity",
                 ("reliable", "information", "entropy-site"), "third route"),
        ]
    else:
        steps.append(
            step("route-information", Eq(ALPHA, entropy - noise), "identity", ("reliable", "information"),
                 "third route")
        )
    return steps


def _claim(steps: tuple[Step, ...], label: str) -> Eq:
    """The equation that a step claims."""
    claim = next(s for s in steps if s.label == label).claim
    assert isinstance(claim, Eq)
    return claim


def _collapse_time(distances: Distances) -> Result:
    steps, right = _collapse(distances)
    before = _claim(steps, "routes").rhs
    unique = _uniqueness("collapse", distances, before, ALPHA, "routes")
    stage = Stage(T_C, (right - ALPHA).subs(T, T_C), -1, S.Zero, **_exists(distances, "collapse"))
    problem = Problem(
        "collapse-time", T_C, (_LOAD, *distances.ensemble.parameters), (Branch("collapse", T_C),), (stage,)
    )
    derivation = Derivation(
        f"collapse-time/{distances.ensemble}",
        f"Collapse, {distances.ensemble.title}",
        (*distances.start(), *steps, *unique),
    )
    return Result(derivation, Eq(ALPHA, right.subs(T, T_C)), problem)


# ------------------------------------------------------------------------------------------------ generalization


def _fresh(distances: Distances) -> tuple[tuple[Step, ...], Expr, Expr]:
    """Condensation of the noise at a fresh point: steps, rate and mean squared distance at b (s = 0)."""
    step = distances.step
    zero = S.Zero
    raw_psi, raw_rate = distances.psi_closed(B, zero), distances.divergence(B, zero)
    rate, distance = distances.closed(raw_rate), distances.closed(distances.distance(B, zero))
    steps = [
        step("fresh", "A fresh point of the data law sees all data points alike: s = 0 and no signal.", "assumption",
             (), "the query of generalization"),
        step("fresh-rate", Eq(B * Derivative(raw_psi, B) - raw_psi, raw_rate), "differentiate", (),
             "the rate is the Legendre transform of psi_0"),
        step("fresh-distance", Eq(-2 * Derivative(raw_psi, B), distances.distance(B, zero)), "differentiate", (),
             "mean squared distance of the data that dominate at b"),
    ]
    if distances.gaussian:
        steps += [
            step("rate-average", Eq(raw_rate, rate), "evaluate", (), "the rate in closed form"),
            step("distance-average", Eq(distances.distance(B, zero), distance), "evaluate", (),
                 "the distance in closed form"),
        ]
    steps += [
        step("fresh-condensation", Eq(ALPHA, rate.subs(B, B_STAR)), "definition", ("fresh",),
             "no data point is closer on average: the rate reaches the load at b_*")
    ]
    if distances.gaussian:
        at_star = raw_rate.subs(B, B_STAR)
        steps += [
            step("fresh-rises", Gt(diff(at_star, B_STAR), 0), "positivity", (), "the rate rises strictly with b"),
            step("fresh-unique", UniqueRoot(at_star - ALPHA, B_STAR, _POSITIVE, +1), "monotone-root",
                 ("fresh-rises", "fresh-condensation"), "from 0 to infinity: exactly one condensation point",
                 hints=(("equation", "fresh-condensation"),)),
        ]
    return tuple(steps), rate, distance


def nearest_steps(step: Script, distance: Expr, text: str) -> tuple[Step, ...]:
    """From condensation at a fresh point to the minimum of the divergence, t_g = 2 e_*.

    Args: step; distance, the mean squared distance at b_*; text of the last step.
    """
    kl, phi = Function("KL", real=True), Function("Phi", real=True)
    condensed = log(2 * pi * T) / 2 + ALPHA + _E_STAR / T
    return (
        step("kl", Eq(kl(T), log(2 * pi * T) / 2 + ALPHA - phi(1 / T)), "definition", ("fresh",),
             "divergence of the empirical density from the data law, per N, up to the entropy of the data"),
        step("frozen", Eq(phi(1 / T), -_E_STAR / T), "definition", ("fresh-condensation",),
             "beyond condensation only the nearest data count, at squared distance 2 e_* per N"),
        step("kl-condensed", Eq(kl(T), condensed), "identity", ("kl", "frozen"), "the condensed branch"),
        step("kl-slope", Eq(Derivative(condensed, T), (T - 2 * _E_STAR) / (2 * T**2)), "differentiate", (),
             "its slope: negative below t = 2 e_*, positive above, so that this is its only minimum"),
        step("kl-stationary", Eq(Derivative(condensed, T), 0), "definition", ("kl-condensed",),
             "the best time to stop"),
        step("t-g", Eq(T, 2 * _E_STAR), "solve", ("kl-stationary",),
             "squared distance per N to the nearest data point"),
        step("nearest", Eq(2 * _E_STAR, distance), "definition", ("frozen",),
             "2 e_* is the mean squared distance at b_*"),
        step("generalization", Eq(T, distance), "identity", ("t-g", "nearest"), text),
    )


def divergence_steps(step: Script) -> tuple[Step, ...]:
    """The divergence above its minimum, on both branches of the noise."""
    kl, phi = Function("KL", real=True), Function("Phi", real=True)
    at_minimum = log(2 * pi * T_G) / 2 + ALPHA + Rational(1, 2)
    return (
        step("kl-minimum",
             Eq((log(2 * pi * T) / 2 + ALPHA + _E_STAR / T).subs({T: T_G, _E_STAR: T_G / 2}), at_minimum),
             "identity", (), "the value at t_g = 2 e_*"),
        step("excess-condensed", Eq(log(2 * pi * T) / 2 + ALPHA + T_G / (2 * T) - at_minimum, EXCESS_CONDENSED),
             "identity", (), "above the minimum, for t <= 1/b_*"),
        step("annealed-noise", Eq(phi(1 / T), ALPHA + PSI(1 / T, 0)), "definition", ("fresh",), "above condensation"),
        step("kl-annealed", Eq(kl(T), log(2 * pi * T) / 2 - PSI(1 / T, 0)), "identity", ("kl", "annealed-noise"),
             "the annealed branch"),
        step("excess-annealed", Eq(log(2 * pi * T) / 2 - PSI(1 / T, 0) - at_minimum, EXCESS_ANNEALED), "identity", (),
             "above the minimum, for t > 1/b_*"),
    )


def _nearest(distances: Distances) -> tuple[tuple[Step, ...], Expr, Expr]:
    """Steps to t_g: the divergence from the data law on its condensed branch and its minimum."""
    step = distances.step
    steps, rate, distance = _fresh(distances)
    more = list(nearest_steps(step, distance.subs(B, B_STAR), "the time in closed form"))
    if distances.gaussian:
        gap = distances.site.sites(1 / (1 + B * C) ** 2)
        more += [
            step("gap", Eq(1 - B * distances.distance(B, S.Zero), gap), "evaluate", (),
                 "how far t_g stays below 1/b_*"),
            step("gap-positive", Gt(gap, 0), "positivity", (),
                 "strictly: the minimum is on the condensed branch, the annealed one rises, so it is the only one"),
        ]
    return (*steps, *more), rate, distance


def generalization_time(ensemble: Ensemble) -> Quantity:
    """Time t_g(alpha) at which the empirical density is closest to the data law (A2; section 4)."""
    return _quantity(
        "generalization-time",
        "best time to stop",
        T_G,
        "variance",
        ensemble,
        (_LOAD,),
        _generalization_time,
        generalization_time,
    )


def _fresh_stage(distances: Distances, rate: Expr) -> Stage:
    return Stage(
        B_STAR, rate.subs(B, B_STAR) - ALPHA, +1, S.Zero, **_exists(distances, "condensation at a fresh point")
    )


def _on_condensed_branch(distances: Distances, distance: Expr) -> tuple[Branch, ...]:
    """For a law that is not Gaussian the minimum could lie on the annealed branch; then there is no answer here."""
    if distances.gaussian:
        return ()
    return (
        Branch(
            "none",
            None,
            Ge(B_STAR * distance.subs(B, B_STAR), 1),
            "the divergence of this law has its minimum above the condensation time 1/b_*, on the annealed branch",
        ),
    )


def _generalization_time(distances: Distances) -> Result:
    steps, rate, distance = _nearest(distances)
    value = distance.subs(B, B_STAR)
    branches = (*_on_condensed_branch(distances, distance), Branch("condensed", value))
    problem = Problem(
        "generalization-time",
        T_G,
        (_LOAD, *distances.ensemble.parameters),
        branches,
        (_fresh_stage(distances, rate),),
        (("b_star", B_STAR), ("log_b_star", log(B_STAR))),
    )
    derivation = Derivation(
        f"generalization-time/{distances.ensemble}",
        f"Best time to stop, {distances.ensemble.title}",
        (*distances.start(), *steps),
    )
    return Result(derivation, Eq(T_G, value), problem)


# ---------------------------------------------------------------------------------------------------- divergence


def kl_divergence(ensemble: Ensemble) -> Quantity:
    """Divergence of the empirical density at t from the data law, above its minimum at t_g (A2; section 4)."""
    return _quantity(
        "kl-divergence",
        "divergence from the data law above its minimum",
        KL,
        "nats per N",
        ensemble,
        (_LOAD, _TIME),
        _kl_divergence,
        kl_divergence,
    )


def _kl_divergence(distances: Distances) -> Result:
    steps, rate, distance = _nearest(distances)
    t_g = distance.subs(B, B_STAR)
    psi = distances.closed(distances.psi_closed(1 / T, S.Zero))
    value_condensed, value_annealed = (
        e.subs(PSI(1 / T, 0), psi).subs(T_G, t_g) for e in (EXCESS_CONDENSED, EXCESS_ANNEALED)
    )
    branches = (
        *_on_condensed_branch(distances, distance),
        Branch("condensed", value_condensed, Le(T * B_STAR, 1)),
        Branch("annealed", value_annealed),
    )
    problem = Problem(
        "kl-divergence",
        KL,
        (_LOAD, _TIME, *distances.ensemble.parameters),
        branches,
        (_fresh_stage(distances, rate),),
        (("t_g", t_g), ("b_star", B_STAR), ("log_b_star", log(B_STAR))),
        positive=False,
    )
    derivation = Derivation(
        f"kl-divergence/{distances.ensemble}",
        f"Divergence from the data law, {distances.ensemble.title}",
        (*distances.start(), *steps, *divergence_steps(distances.step)),
    )
    return Result(derivation, Eq(KL, EXCESS_CONDENSED), problem)


# --------------------------------------------------------------------------------------------------------- basin


def basin_radius(ensemble: Ensemble) -> Quantity:
    """Radius per sqrt(N) of the basin of a data point at time t (A2; section 4): 0 at t_o, constant below t_c."""
    return _quantity(
        "basin-radius",
        "radius of a data point's basin",
        RADIUS,
        "per sqrt(N)",
        ensemble,
        (_LOAD, _TIME),
        _basin_radius,
        basin_radius,
    )


def _basin_radius(distances: Distances) -> Result:
    step, site = distances.step, distances.site
    collapse, right = _collapse(distances)
    phi = Function("Phi", real=True)
    edge = Eq(ALPHA, -QUERY / (2 * T) - PSI(1 / T, QUERY))
    spread = site.query(site.tilted((X - XI) ** 2, distances.exponent(1 / T), XI), X, S.One, T)
    exchange = step("exchange", Eq(spread if not distances.gaussian else site.sites(spread), T),
                    "evaluate" if distances.gaussian else "nishimori", (),
                    "at s = t and b = 1/t the data that dominate lie at squared distance t, as far as the true one")
    steps: list[Step] = [
        *collapse,
        step("edge", edge, "substitute", ("balance-solved",), "the edge of the basin at b = 1/t, noise annealed",
             hints=(("symbol", B), ("value", 1 / T))),
        step("frozen-noise", Eq(phi(1 / T), -_E_STAR / T), "definition", ("large-n",),
             "below t_c the noise at the edge is condensed at squared distance 2 e_*"),
        step("frozen-edge", Eq(-QUERY / (2 * T), -_E_STAR / T), "definition", ("frozen-noise",),
             "signal = frozen noise"),
        step("frozen-distance", Eq(QUERY, 2 * _E_STAR), "rearrange", ("frozen-edge",),
             "the noise is as far away as the data point, at whatever t: solved by b_* = 1/t_c, s = t_c, since"),
        exchange,
    ]
    if distances.gaussian:
        value = distances.psi_closed(1 / T, QUERY)
        slope = site.sites(C / (C + T))
        numerator = site.sites(log(1 + C / T) + C / (C + T))
        s_edge = T * (numerator - 2 * ALPHA) / slope
        closed = T * (distances.closed(numerator) - 2 * ALPHA) / distances.closed(slope)
        steps += [
            step("edge-value", Eq(ALPHA, -QUERY / (2 * T) - value), "identity", ("edge", distances.psi_label),
                 "with psi of this ensemble"),
            step("edge-solved", Eq(QUERY, s_edge), "solve", ("edge-value",), "linear in s"),
            step("numerator-average", Eq(numerator, distances.closed(numerator)), "evaluate", (),
                 "average over the spectrum"),
            step("slope-average", Eq(slope, distances.closed(slope)), "evaluate", (), "average over the spectrum"),
            step("edge-closed", Eq(QUERY, closed), "identity", ("edge-solved", "numerator-average", "slope-average"),
                 "squared radius in closed form"),
            step("edge-joint", Eq(s_edge.subs(ALPHA, site.sites(log(1 + C / T) / 2)), T), "evaluate", (),
                 "at the collapse the edge is at s = t: the radius is continuous"),
        ]
        square: Expr = closed
        stages: tuple[Stage, ...] = ()
        positive = Gt(square, 0)
    else:
        square = QUERY
        residual = ALPHA + QUERY / (2 * T) + distances.psi(1 / T, QUERY)
        stages = (Stage(QUERY, residual, +1, S.Zero, T, clip=True),)
        positive = Gt(QUERY, 0)
    t_c = Stage(T_C, (right - ALPHA).subs(T, T_C), -1, S.Zero, **_exists(distances, "collapse"))
    branches = (
        Branch("collapsed", sqrt(T_C), Le(T, T_C)),
        Branch("annealed", sqrt(square), positive),
        Branch("none", None, reason="no basin: t is above the onset time"),
    )
    problem = Problem(
        "basin-radius",
        RADIUS,
        (_LOAD, _TIME, *distances.ensemble.parameters),
        branches,
        (t_c, *stages),
        (("t_c", T_C),),
    )
    derivation = Derivation(
        f"basin-radius/{distances.ensemble}",
        f"Basin of a data point, {distances.ensemble.title}",
        (*distances.start(), *steps),
    )
    return Result(derivation, Eq(RADIUS**2, square) if distances.gaussian else edge, problem)
