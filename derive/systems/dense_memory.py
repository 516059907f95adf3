"""Dense associative memory (B1, A1): which patterns are retrieved, and from where.

Energy |x|^2/2 - (1/lam) log sum_mu exp(lam x.xi_mu), update x <- sum_mu softmax(lam x.xi_mu) xi_mu.  Started at a
pattern, the pattern itself is the signal and all others are a random energy model: the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

from sympy import (
    Derivative,
    Eq,
    Expr,
    Function,
    Ge,
    Gt,
    Interval,
    Lambda,
    Le,
    Lt,
    Min,
    Piecewise,
    S,
    Symbol,
    diff,
    expand_log,
    log,
    oo,
    sqrt,
)
from sympy.logic.boolalg import Boolean

from derive.core import Branch, Citation, DeriveError, Domain, Parameter, Problem, Stage, Step
from derive.ensembles import Binary, Ensemble, Gaussian, HiddenManifold, ProductMeasure, Spherical
from derive.ledger import Derivation
from derive.methods.rem import LAM_STAR, PHI, ZETA, RandomEnergyModel, general_derivation
from derive.methods.script import Script
from derive.nodes import Atoms, Density, Extremum
from derive.quantity import Quantity, Result
from derive.symbols import a as A
from derive.symbols import alpha as ALPHA
from derive.symbols import c as C
from derive.symbols import l as L
from derive.symbols import lam as LAM
from derive.symbols import theta as THETA
from derive.symbols import v as VARIANCE
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["full_capacity", "rem_condensation", "retrieval_basin", "retrieval_capacity"]

SYSTEM = "dense memory"
CITE = (Citation("B1", "random energy model"), Citation("A1", "retrieval"))
_POSITIVE = Interval.open(0, oo)
_LOAD = Parameter(ALPHA, _POSITIVE, "load, log P / N", "per N")
_TEMPERATURE = Parameter(LAM, _POSITIVE, "inverse temperature", "1")
_NOISE = Parameter(VARIANCE, Interval(0, oo), "variance of the noise in the start", "variance")
_AMPLITUDE = Parameter(A, _POSITIVE, "amplitude of the pattern in the start", "1")
_U = Symbol("u", positive=True)
LAM_HAT = Symbol("\\hat\\lambda", positive=True)
ALPHA_1 = Symbol("alpha_1", positive=True)
ALPHA_C = Symbol("alpha_c", positive=True)
OVERLAP = Symbol("m", positive=True)
SOURCE = "B1; A1"
#: which branch of the noise a step is about
WARM = Domain(constraints=(Le(LAM, LAM_STAR),))
COLD = Domain(constraints=(Ge(LAM, LAM_STAR),))
SATURATED = Domain(constraints=(Ge(LAM, LAM_HAT),))


@dataclass(frozen=True)
class Cumulant:
    """The noise of a query as a random energy model: zeta(l), closed or explicit, and how it got there."""

    expression: Expr
    slope: Expr
    steps: tuple[Step, ...]
    #: labels of the step that states zeta(l) and of the one that states its convexity
    statement: str
    convexity: str
    #: l - zeta(l) in a form in which nothing cancels, where there is one
    margin: Expr | None = None

    def below(self, signal: Expr) -> Expr:
        """Signal minus noise, signal * l - zeta(l)."""
        return self.margin if self.margin is not None and signal == 1 else signal * L - self.expression


def _domain(ensemble: Ensemble, *more: Symbol) -> Domain:
    known = {p.symbol: p.domain for p in ensemble.parameters}
    return Domain((*((s, _POSITIVE) for s in (ALPHA, LAM, LAM_STAR, LAM_HAT, L, *more)), *known.items()))


def noise_cumulant(ensemble: Ensemble, amplitude: Expr = S.One, variance: Expr = S.Zero) -> Cumulant:
    """zeta(l) = lim 1/N E log E_xi exp(l x.xi) for the query x = amplitude xi_1 + sqrt(variance) w, with its steps.

    Raises: DeriveError where the cumulant of the ensemble diverges.
    """
    domain = _domain(ensemble, *amplitude.free_symbols)
    domain |= Domain(tuple((k, Interval(0, oo)) for k in variance.free_symbols))
    step = Script(domain, SOURCE)
    if isinstance(ensemble, Spherical):
        return _spherical_cumulant(domain)
    if isinstance(ensemble, ProductMeasure):
        ensemble.require_cumulant()
    site = ensemble.site
    definition = site.sites(site.query(site.log_average(L * X * XI, XI), X, amplitude, variance))
    first = step("cumulant", Eq(ZETA(L), definition), "definition", ("rem-iid",),
                 f"cumulant of the overlaps of a query with {ensemble.title}, averaged over the query")
    measured = isinstance(ensemble, ProductMeasure)
    closed = definition if _is_density(ensemble) or (measured and variance != 0) else definition.doit()
    steps = [first]
    if closed != definition:
        steps.append(
            step("cumulant-closed", Eq(definition, closed), "evaluate", (), "the averages, done exactly")
        )
        steps.append(
            step("cumulant-value", Eq(ZETA(L), closed), "identity", ("cumulant", "cumulant-closed"),
                 "the cumulant in closed form")
        )
    statement = steps[-1].label
    if measured:
        convex = step("cumulant-convex", "log E exp(l x xi) is convex in l for every x, and strictly so unless x = 0 "
                      "or xi takes one value only.", "theorem", (), "Hoelder",
                      source="Hoelder's inequality")
    else:
        convex = step("cumulant-convex", Gt(diff(closed, L, 2), 0, evaluate=False), "positivity", (),
                      "the cumulant of this ensemble is strictly convex")
    steps.append(convex)
    return Cumulant(closed, diff(closed, L), tuple(steps), statement, "cumulant-convex")


def _is_density(ensemble: Ensemble) -> bool:
    return isinstance(ensemble, ProductMeasure) and isinstance(ensemble.law, Density)


def _spherical_cumulant(domain: Domain) -> Cumulant:
    """The sphere: overlaps u with a fixed direction have entropy log(1 - u^2)/2, and zeta is the Laplace point."""
    body = L * _U + log(1 - _U**2) / 2
    node = Extremum(body, _U, Interval.open(0, 1), "max")
    scale = sqrt(1 + 4 * L**2)
    root = 2 * L / (1 + scale)
    domain = domain | Domain(((_U, Interval.open(0, 1)),))
    step = Script(domain, SOURCE)
    closed = L * root - log((1 + scale) / 2) / 2
    margin = L * (1 + 1 / (scale + 2 * L)) / (1 + scale) + log((1 + scale) / 2) / 2
    steps = (
        step("overlap-entropy",
             "On the sphere of squared radius N the overlap u per N with a fixed direction has density "
                 "proportional to (1 - u^2)^((N - 3)/2), hence entropy log(1 - u^2)/2 per N.",
             "theorem", (), "the volume of a slice of the sphere"),
        step("cumulant", Eq(ZETA(L), node), "definition", ("rem-iid", "overlap-entropy"),
             "Laplace's method over the overlap"),
        step("overlap-stationary", Eq(L - _U / (1 - _U**2), 0), "stationarity", ("cumulant",),
             "stationarity in the overlap"),
        step("overlap-concave", Lt(diff(body, _U, 2), 0), "positivity", (), "the exponent is concave: one maximum"),
        step("overlap-root", Eq(_U, root), "solve", ("overlap-stationary",), "the root inside (0, 1)"),
        step("overlap-inside", Lt(root, 1), "positivity", (), "it is an overlap"),
        step("overlap-factor", Eq(1 - root**2, 2 / (1 + scale)), "identity", (), "at that root"),
        step("laplace-point", Eq(node, closed), "extremum", ("overlap-root", "overlap-concave", "overlap-factor"),
             "the exponent at its maximum"),
        step("cumulant-value", Eq(ZETA(L), closed), "identity", ("cumulant", "laplace-point"),
             "the cumulant in closed form"),
        step("cumulant-slope", Eq(Derivative(closed, L), root), "differentiate", (), "its slope is the overlap"),
        step("cumulant-convex", Gt(diff(root, L), 0), "positivity", (), "strictly convex"),
        step("margin", Eq(L - closed, margin), "identity", (),
             "signal minus noise, in a form in which nothing cancels"),
    )
    return Cumulant(closed, root, steps, "cumulant-value", "cumulant-convex", margin)


def _quantity(
    name: str,
    title: str,
    symbol: Symbol,
    unit: str,
    ensemble: Ensemble,
    parameters: tuple[Parameter, ...],
    make: Callable[[], Result],
    remake: Callable[[Ensemble], Quantity],
    **more: Any,
) -> Quantity:
    return Quantity(
        name,
        title,
        symbol,
        unit,
        SYSTEM,
        ensemble,
        CITE,
        (*parameters, *ensemble.parameters),
        make,
        remake,
        ensemble.options,
        **more,
    )


def _rem_steps(*labels: str) -> tuple[Step, ...]:
    """Steps of the general random energy model: those named and all they stand on, in order."""
    general = general_derivation()
    wanted = set(labels).union(*(general.ancestors(k) for k in labels))
    return tuple(s for s in general.steps if s.label in wanted)


def specialise(label: str, claim: Eq, general: str, cumulant: Cumulant, domain: Domain, text: str,
               branch: Domain | None = None) -> Step:
    """A step that puts an ensemble's cumulant in place of zeta in a general one."""
    step = Script(domain | (branch or Domain()), SOURCE)
    return step(label, claim, "specialise", (general, cumulant.statement), text,
                hints=(("function", ZETA), ("replacement", Lambda(L, cumulant.expression))))


# ------------------------------------------------------------------------------------------------- condensation


def rem_condensation(ensemble: Ensemble) -> Quantity:
    """Condensation point lam_*(alpha) of the noise that a typical pattern sees (B1; section 1)."""
    return _quantity(
        "rem-condensation",
        "condensation point of the noise",
        LAM_STAR,
        "1",
        ensemble,
        (_LOAD,),
        partial(_rem_condensation, ensemble),
        rem_condensation,
    )


def _nonlinear(ensemble: Ensemble) -> TypeGuard[HiddenManifold]:
    """Whether the noise needs the replica method."""
    return isinstance(ensemble, HiddenManifold) and not ensemble.linear


def _rem_condensation(ensemble: Ensemble) -> Result:
    if _nonlinear(ensemble):
        from derive.systems import manifold_memory

        return manifold_memory.rem_condensation(ensemble, (_LOAD, *ensemble.parameters), _rem_steps("rem-routes"))
    zeta = noise_cumulant(ensemble)
    domain = _domain(ensemble)
    step = Script(domain, SOURCE)
    rate = (L * zeta.slope - zeta.expression).subs(L, LAM_STAR)
    curvature = LAM_STAR * diff(zeta.slope, L).subs(L, LAM_STAR)
    equation = Eq(ALPHA, rate)
    monotone = [] if isinstance(ensemble, ProductMeasure) else [
        step("condensation-monotone", Gt(curvature, 0, evaluate=False), "positivity", (zeta.convexity,),
             "strictly: at most one condensation point")]
    steps = (
        *_rem_steps("rem-routes"),
        *zeta.steps,
        specialise(
            "condensation", equation, "rem-condensation", zeta, domain, "the condensation equation of this ensemble"
        ),
        step("condensation-slope", Eq(Derivative(rate, LAM_STAR), curvature), "differentiate", (),
             "the rate grows with lambda_*"),
        *monotone,
    )
    limit = overlap_entropy(ensemble)
    stage = Stage(LAM_STAR, rate - ALPHA, +1, S.Zero, **existence(limit, "no condensation: {}"))
    problem = Problem(
        "rem-condensation", LAM_STAR, (_LOAD, *ensemble.parameters), (Branch("condensed", LAM_STAR),), (stage,)
    )
    return Result(
        Derivation(f"rem-condensation/{ensemble}", f"Condensation of the noise, {ensemble.title}", steps),
        equation,
        problem,
    )


def overlap_entropy(ensemble: Ensemble) -> Expr:
    """Largest rate of the noise: minus the log of the weight of the largest possible overlap; oo where it has none."""
    if isinstance(ensemble, (Binary, ProductMeasure)) and isinstance(ensemble.law, Atoms):
        law = ensemble.law
        pairs = tuple(zip(law.points, law.weights, strict=True))
        lowest, highest = pairs[0][1], pairs[-1][1]
        return sum((-w * (log(highest) if p > 0 else log(lowest)) for p, w in pairs if p != 0), S.Zero)
    return oo


def existence(limit: Expr, sentence: str) -> dict[str, Any]:
    """Condition and words for a root that exists only below a load."""
    if limit == oo:
        return {}
    reason = f"the load is at or above {limit} (= {float(limit):.6g}), the largest rate that this law of patterns has"
    return {"exists": Lt(ALPHA, limit), "absent": sentence.format(reason)}


# ------------------------------------------------------------------------------------------------------ capacity


def retrieval_capacity(ensemble: Ensemble) -> Quantity:
    """Load alpha_1(lam) up to which a typical pattern is retrieved from itself (B1, A1; section 2)."""
    return _quantity(
        "retrieval-capacity",
        "capacity for a typical pattern",
        ALPHA_1,
        "per N",
        ensemble,
        (_TEMPERATURE,),
        partial(_retrieval_capacity, ensemble),
        retrieval_capacity,
    )


def capacity_steps(signal: Expr, domain: Domain) -> tuple[Step, ...]:
    """Signal against noise: both branches of the boundary of retrieval, for a signal of slope `signal` in lam."""
    rem = RandomEnergyModel(ZETA(L))
    step = Script(domain, SOURCE)
    strength = Function("S", real=True)
    annealed = signal * LAM - ZETA(LAM)
    saturated = signal * LAM_HAT - ZETA(LAM_HAT)
    return (
        step("signal", Eq(strength(LAM), signal * LAM), "definition", (), "exponent of the pattern's own term, per N"),
        step("boundary", Eq(strength(LAM), PHI(LAM)), "definition", ("signal", "rem-annealed", "rem-frozen"),
             "retrieval ends where the noise's free entropy reaches the signal"),
        step("boundary-annealed", Eq(signal * LAM, rem.annealed()), "identity", ("boundary", "signal", "rem-annealed"),
             "with annealed noise", domain=WARM),
        step("capacity-annealed", Eq(ALPHA, annealed), "rearrange", ("boundary-annealed",), "solved for the load",
             domain=WARM),
        step("boundary-frozen", Eq(signal * LAM, rem.frozen()), "identity", ("boundary", "signal", "rem-frozen"),
             "with frozen noise", domain=COLD),
        step("boundary-frozen-slope", Eq(signal - rem.energy(LAM_STAR), 0), "rearrange", ("boundary-frozen",),
             "which does not depend on lambda", domain=COLD),
        step("saturation", Eq(signal - rem.energy(LAM_HAT), 0), "substitute", ("boundary-frozen-slope",),
             "the condensation point at which that happens is called lambda-hat",
             domain=SATURATED, hints=(("symbol", LAM_STAR), ("value", LAM_HAT))),
        step("capacity-frozen", Eq(rem.rate(LAM_HAT), saturated), "identity", ("saturation",),
             "the load at saturation is the annealed capacity at lambda-hat", domain=SATURATED),
        step("capacity-slope", Eq(Derivative(annealed, LAM), signal - rem.energy(LAM)), "differentiate", (),
             "saturation is the maximum of the annealed capacity: both branches meet with zero slope"),
    )


def _retrieval_capacity(ensemble: Ensemble) -> Result:
    if _nonlinear(ensemble):
        from derive.systems import manifold_memory

        before = (*_rem_steps("rem-frozen", "rem-annealed"), *capacity_steps(ensemble.rho, _domain(ensemble)))
        return manifold_memory.retrieval_capacity(ensemble, (_TEMPERATURE, *ensemble.parameters), before, ALPHA_1)
    zeta = noise_cumulant(ensemble)
    domain = _domain(ensemble)
    step = Script(domain, SOURCE)
    value = zeta.below(ensemble.rho)
    slope = ensemble.rho - zeta.slope
    concave = [] if isinstance(ensemble, ProductMeasure) else [
        step("capacity-concave", Lt(diff(slope, L), 0, evaluate=False), "positivity", (zeta.convexity,),
             "the capacity is concave in l: at most one saturation point, and it is a maximum")]
    steps = (
        *_rem_steps("rem-frozen", "rem-annealed"),
        *zeta.steps,
        *capacity_steps(ensemble.rho, domain),
        specialise(
            "capacity",
            Eq(ALPHA, (ensemble.rho * L - zeta.expression).subs(L, LAM)),
            "capacity-annealed",
            zeta,
            domain,
            "the capacity of this ensemble",
            WARM,
        ),
        specialise(
            "capacity-saturation",
            Eq(slope.subs(L, LAM_HAT), 0),
            "saturation",
            zeta,
            domain,
            "where it saturates, if there is a root; beyond it the capacity keeps its value there",
            SATURATED,
        ),
        *concave,
    )
    equation = Eq(ALPHA_1, Extremum(value, L, Interval.Lopen(0, LAM), "max"))
    stage = Stage(L, slope, -1, S.Zero, LAM, clip=True)
    branches = (Branch("unsaturated", value, L >= LAM), Branch("saturated", value))
    problem = Problem(
        "retrieval-capacity", ALPHA_1, (_TEMPERATURE, *ensemble.parameters), branches, (stage,), (("lambda_noise", L),)
    )
    return Result(
        Derivation(f"retrieval-capacity/{ensemble}", f"Capacity for a typical pattern, {ensemble.title}", steps),
        equation,
        problem,
    )


# ------------------------------------------------------------------------------------------------- full capacity


def full_capacity(ensemble: Ensemble) -> Quantity:
    """Load alpha_c(lam) up to which all patterns are retrieved: the smaller of two first-moment bounds (B1; section 2).

    On the linear hidden manifold the empirical laws are those of the latent variables, in the eigenbasis of the
    covariance.

    Raises: DeriveError for a hidden manifold that is not linear, "not derived for this ensemble", with what is missing.
    """
    if _nonlinear(ensemble):
        raise DeriveError(
            f"full-capacity is not derived for this ensemble: {ensemble.title}; missing are, for the noise mode, the "
            "replica calculation with an atypical planted pattern at cost alpha and, for the pair mode, that of two "
            "coupled patterns",
            given=str(ensemble),
            allowed="the linear manifold, gaussian, spherical, binary or a product measure",
            nearest="retrieval-capacity",
        )
    return _quantity(
        "full-capacity",
        "capacity for all patterns",
        ALPHA_C,
        "per N",
        ensemble,
        (_TEMPERATURE,),
        partial(_full_capacity, ensemble),
        full_capacity,
    )


_INNER_THETA = Symbol("theta_l", positive=True)
_PAIR_L = Symbol("l_pair", positive=True)


def _full_capacity(ensemble: Ensemble) -> Result:
    if isinstance(ensemble, Spherical):
        return _full_capacity_spherical(ensemble)
    if isinstance(ensemble, ProductMeasure):
        ensemble.require_cumulant()
    domain = _domain(ensemble, THETA, _PAIR_L)
    step = Script(domain, SOURCE)
    site = ensemble.site
    conditions: set[Boolean] = set()

    def closed(expr: Expr) -> Expr:
        """An average over one site, done where it can be."""
        return expr if _is_density(ensemble) else _converged(expr.doit(), conditions)

    log_m_raw = site.at(site.log_average(L * X * XI, XI))
    log_m = closed(log_m_raw)
    margin = L * X**2 - log_m
    tilted_norm = site.at(site.log_average(-THETA * margin, X))
    mean_margin = site.at(site.tilted(margin, -THETA * margin, X))
    pair = site.at(site.log_average(-L * X**2 + log_m, X))
    norm_site, pair_site = closed(tilted_norm), closed(pair)
    norm_closed, pair_closed = site.sites(norm_site), site.sites(pair_site)
    bound_closed = -norm_closed / (1 + THETA)
    lagrange = Function("Lambda", real=True)
    any_margin = Function("G", real=True)(X)
    norm = site.at(site.log_average(-THETA * any_margin, X))
    mean = site.at(site.tilted(any_margin, -THETA * any_margin, X))
    cost = site.at(site.tilted(-THETA * any_margin - lagrange(THETA), -THETA * any_margin, X))
    bound = -lagrange(THETA) / (1 + THETA)
    tie = _ties(ensemble)
    upper = _margin_limit(ensemble)
    if isinstance(ensemble, HiddenManifold):  # the limits are those of the largest eigenvalue
        domain |= Domain(((C, _POSITIVE),))
        within, near = (domain | Domain(constraints=(limit,)) for limit in (Le(L * C, 2), Lt(L * C, 1 + sqrt(2))))
        step = Script(domain, SOURCE)
    else:
        within = domain | Domain(((L, Interval.Lopen(0, upper)),)) if upper not in (0, oo) else domain
        near = domain | Domain(((L, Interval.open(0, _pair_limit(ensemble))),)) if upper not in (0, oo) else domain
    steps = [
        step("empirical-laws",
             "Among exp(alpha N) patterns every empirical law Q of the entries with relative entropy KL(Q|p) <= alpha "
                 "occurs, and no other (Sanov); the worst of them decides.",
             "theorem", (), "first moment over patterns"),
        step("signal-noise",
             "A pattern with empirical law Q is retrieved up to the load max over l <= lambda of "
             "E_Q[l x^2 - log M(l x)], M(y) = E exp(y xi).",
             "assumption", (), "the retrieval condition with that pattern as the query"),
        step("tilted-law", Eq(lagrange(THETA), norm), "definition", ("empirical-laws",),
             "the cheapest law Q for a given mean of the margin G = l x^2 - log M(l x) is p tilted by exp(-theta G)"),
        step("mean-margin", Eq(Derivative(norm, THETA), -mean), "differentiate", (),
             "the mean margin under it is minus the slope of Lambda"),
        step("cost", Eq(cost, -THETA * mean - lagrange(THETA)), "identity", (),
             "its relative entropy, the mean of log dQ/dp = -theta G - Lambda"),
        step("balance", Eq(mean, -THETA * mean - lagrange(THETA)), "definition",
             ("empirical-laws", "signal-noise", "cost"),
             "at the capacity the worst law that occurs is just lost: mean margin = cost"),
        step("noise-value", Eq(mean, bound), "rearrange", ("balance",), "the load there"),
        step("noise-stationary",
             Eq(Derivative(bound, THETA), -((1 + THETA) * Derivative(lagrange(THETA), THETA) - lagrange(THETA))
                / (1 + THETA) ** 2),
             "differentiate", (), "balance is stationarity of the bound in theta: its maximum over theta, and over l"),
        step("pairs",
             "A pair of patterns with x.xi > |x|^2 defeats retrieval of x at every lambda; among exp(2 alpha N) pairs "
             "none exists below half of Chernoff's rate, max over l of -log E exp(l x (xi - x)).",
             "theorem", (), "first moment over pairs"),
    ]
    if isinstance(ensemble, HiddenManifold):
        steps.append(
            step("spectrum",
                 "Along different eigenvectors of the covariance the latent variables deviate independently: margins, "
                 "costs and exponents are averages over the spectrum of those at one eigenvalue c, which are "
                 "written here.", "theorem", ("empirical-laws",), "sums of independent terms")
        )
    if log_m != log_m_raw:
        steps.append(step("log-moment", Eq(log_m_raw, log_m), "evaluate", (), "log M, done exactly"))
    if norm_site != tilted_norm:
        steps.append(
            step("noise-closed", Eq(tilted_norm, norm_site), "evaluate", (), "the averages, done exactly",
                 domain=within)
        )
    if pair_site != pair:
        steps.append(
            step("pair-closed", Eq(pair, pair_site), "evaluate", (), "the averages, done exactly", domain=near)
        )
    steps += [
        step(f"converges-{i}", condition, "positivity", (), "the averages converge on this domain",
             domain=within if THETA in condition.free_symbols else near)
        for i, condition in enumerate(sorted(conditions, key=str), 1)
    ]
    slope = site.sites(closed(site.at(site.tilted(X**2 - X * site.tilted(XI, L * X * XI, XI), -THETA * margin, X))))
    balance = site.sites(closed(mean_margin * (1 + THETA) + tilted_norm))
    outputs: list[tuple[str, Expr]] = []
    stages: list[Stage] = []
    if (constant := _common_margin(ensemble, closed(margin))) is not None:
        noise = constant
        stages.append(Stage(L, diff(constant, L), -1, S.Zero, LAM, clip=True))
    elif upper == 0:
        noise = S.Zero
    else:
        noise = bound_closed
        inner = Stage(_INNER_THETA, balance.subs(THETA, _INNER_THETA), -1, S.Zero, clip=True)
        stages.append(
            Stage(
                L,
                slope.subs(THETA, _INNER_THETA),
                -1,
                S.Zero,
                Min(LAM, upper) if upper != oo else LAM,
                clip=True,
                inner=(inner,),
            )
        )
        stages.append(Stage(THETA, balance, -1, S.Zero, clip=True))
    if tie is not None:
        pair_value = -log(tie) / 2
    elif upper == 0:
        pair_value = S.Zero
    else:
        pair_value = -pair_closed.subs(L, _PAIR_L) / 2
        stages.append(Stage(_PAIR_L, -diff(pair_closed, L).subs(L, _PAIR_L), -1, S.Zero, _pair_limit(ensemble)))
    outputs += [("noise", noise), ("pair", pair_value)]
    duplicates = tie is not None and _is_sign(ensemble)
    if upper == 0:
        branches: tuple[Branch, ...] = (
            Branch(
                "none",
                None,
                reason="tails heavier than Gaussian: single large entries defeat some "
                "pattern at every load, the capacity for all patterns is 0 per N",
            ),
        )
    elif duplicates:
        outputs[-1] = ("exact_recovery", pair_value)
        branches = (Branch("noise", noise),)
    else:
        branches = (Branch("pair", pair_value, pair_value < noise), Branch("noise", noise))
    by_noise = noise if THETA not in noise.free_symbols else Extremum(noise, THETA, _POSITIVE, "max")
    by_noise = Extremum(by_noise, L, Interval.Lopen(0, LAM), "max") if L in by_noise.free_symbols else by_noise
    by_pair = (
        pair_value
        if _PAIR_L not in pair_value.free_symbols
        else Extremum(pair_value, _PAIR_L, Interval.open(0, _pair_limit(ensemble)), "max")
    )
    equation = Eq(ALPHA_C, by_noise if duplicates else Min(by_noise, by_pair))
    parameters = (_TEMPERATURE, *ensemble.parameters)
    problem = Problem("full-capacity", ALPHA_C, parameters, branches, tuple(stages), tuple(outputs))
    return Result(
        Derivation(f"full-capacity/{ensemble}", f"Capacity for all patterns, {ensemble.title}", tuple(steps)),
        equation,
        problem,
    )


def _common_margin(ensemble: Ensemble, margin: Expr) -> Expr | None:
    """The margin where all atoms have the same one: every empirical law is then as good as any other."""
    law = getattr(ensemble, "law", None)
    if not isinstance(law, Atoms):
        return None
    first, *others = (margin.subs(X, p).doit() for p in law.points)
    return first if all(expand_log(first - k, force=False).equals(0) for k in others) else None


def _converged(expr: Expr, conditions: set[Boolean]) -> Expr:
    """A closed form where the averages in it converge; the conditions under which they do are collected."""

    def settled(*cases: tuple[Expr, Boolean]) -> Expr:
        value, condition = cases[0]
        conditions.add(condition)
        return value

    return expr.replace(Piecewise, settled)


def _ties(ensemble: Ensemble) -> Expr | None:
    """Probability that x.xi = |x|^2 at a site, where no site can have more; None where some site can."""
    if not (isinstance(ensemble, (Binary, ProductMeasure)) and isinstance(ensemble.law, Atoms)):
        return None
    pairs = tuple(zip(ensemble.law.points, ensemble.law.weights, strict=True))
    if any((x * (y - x)).is_positive for x, _ in pairs for y, _ in pairs):
        return None
    return sum((p * q for x, p in pairs for y, q in pairs if (x * (y - x)).is_zero), S.Zero)


def _is_sign(ensemble: Ensemble) -> bool:
    """Two values +k and -k: a tie is then a duplicate, which does no harm to the retrieval of either."""
    law = getattr(ensemble, "law", None)
    return isinstance(law, Atoms) and len(law.points) == 2 and law.points[0] == -law.points[1]


def _margin_limit(ensemble: Ensemble) -> Expr:
    """Largest l at which l x^2 - log M(l x) is bounded below: four times the Gaussian rate of the tail."""
    if isinstance(ensemble, Gaussian):
        return S(2)
    if isinstance(ensemble, HiddenManifold):
        return 2 / ensemble.spectrum.upper
    return 4 * ensemble.gaussian_tail if isinstance(ensemble, ProductMeasure) else oo


def _pair_limit(ensemble: Ensemble) -> Expr:
    """Where E exp(l x (xi - x)) diverges: tails exp(-k x^2) need l^2 < 4 k (k + l)."""
    rate = _margin_limit(ensemble) / 4
    return oo if rate == oo else 2 * rate * (1 + sqrt(2))


def _full_capacity_spherical(ensemble: Ensemble) -> Result:
    typical = _retrieval_capacity(ensemble)
    alike = Script(_domain(ensemble), SOURCE)(
        "all-alike", "Every pattern has the same norm, and the noise of a query on the sphere depends on nothing "
        "else: all patterns are retrieved up to the capacity of a typical one.", "theorem", (), "rotation symmetry")
    derivation = Derivation(
        f"full-capacity/{ensemble}", f"Capacity for all patterns, {ensemble.title}", (*typical.derivation.steps, alike)
    )
    problem = typical.problem
    assert isinstance(problem, Problem)
    value = problem.branches[0].value
    return Result(
        derivation,
        Eq(ALPHA_C, typical.equation.rhs),
        Problem(
            "full-capacity", ALPHA_C, problem.parameters, (Branch("noise", value),), problem.stages, (("noise", value),)
        ),
    )


# --------------------------------------------------------------------------------------------------------- basin


def retrieval_basin(ensemble: Ensemble) -> Quantity:
    """Smallest overlap per N from which the first update lands on the pattern (B1; section 2).

    The start is x = a xi_1 + sqrt(v) w (spherical: a point of the sphere, overlap = cos theta; binary: random flips).
    Either v is given and the smallest a is found, or a is given and the largest v; the value is the overlap m = a rho.
    """
    title = "smallest overlap retrieved in one update"
    if isinstance(ensemble, (Spherical, Binary)):
        return _quantity(
            "retrieval-basin",
            title,
            OVERLAP,
            "per N",
            ensemble,
            (_LOAD, _TEMPERATURE),
            partial(_basin_on_shell, ensemble),
            retrieval_basin,
        )
    given_a = _quantity(
        "retrieval-basin",
        "largest noise retrieved in one update",
        OVERLAP,
        "per N",
        ensemble,
        (_LOAD, _TEMPERATURE, _AMPLITUDE),
        partial(_basin, ensemble, _AMPLITUDE),
        retrieval_basin,
    )
    return _quantity(
        "retrieval-basin",
        title,
        OVERLAP,
        "per N",
        ensemble,
        (_LOAD, _TEMPERATURE, _NOISE),
        partial(_basin, ensemble, _NOISE),
        retrieval_basin,
        variants=(given_a,),
    )


def _basin_on_shell(ensemble: Ensemble) -> Result:
    zeta = noise_cumulant(ensemble)
    domain = _domain(ensemble, OVERLAP)
    step = Script(domain, SOURCE)
    annealed = (ALPHA + zeta.expression.subs(L, LAM)) / LAM
    frozen = zeta.slope.subs(L, LAM_STAR)
    rate = (L * zeta.slope - zeta.expression).subs(L, LAM_STAR)
    general = RandomEnergyModel(ZETA(L))
    strength = Function("S", real=True)
    steps = (
        *_rem_steps("rem-frozen", "rem-annealed"),
        *zeta.steps,
        step("signal", Eq(strength(LAM), OVERLAP * LAM), "definition", (),
             "the start has the norm of a pattern, overlap m with it, and sees the same noise as a pattern"),
        step("boundary", Eq(strength(LAM), PHI(LAM)), "definition", ("signal",), "signal = noise"),
        step("boundary-annealed", Eq(OVERLAP * LAM, general.annealed()), "identity",
             ("boundary", "signal", "rem-annealed"), "with annealed noise", domain=WARM),
        step("overlap-annealed", Eq(OVERLAP, general.annealed() / LAM), "rearrange", ("boundary-annealed",),
             "solved for m", domain=WARM),
        step("boundary-frozen", Eq(OVERLAP * LAM, general.frozen()), "identity", ("boundary", "signal", "rem-frozen"),
             "with frozen noise", domain=COLD),
        step("overlap-frozen", Eq(OVERLAP, general.energy(LAM_STAR)), "rearrange", ("boundary-frozen",),
             "solved for m", domain=COLD),
        specialise(
            "basin-annealed", Eq(OVERLAP, annealed), "overlap-annealed", zeta, domain,
            "below the condensation point", WARM
        ),
        specialise(
            "basin-frozen", Eq(OVERLAP, frozen), "overlap-frozen", zeta, domain,
            "beyond it: independent of lambda", COLD
        ),
    )
    limit = overlap_entropy(ensemble)
    above = "the load is above the capacity: not even the pattern itself is retrieved"
    stage = Stage(LAM_STAR, rate - ALPHA, +1, S.Zero, **existence(limit, above + " ({})"))
    branches = (
        Branch("frozen", frozen, LAM > LAM_STAR),
        Branch("annealed", annealed, annealed <= 1),
        Branch("none", None, reason=above),
    )
    problem = Problem("retrieval-basin", OVERLAP, (_LOAD, _TEMPERATURE, *ensemble.parameters), branches, (stage,))
    equation = Eq(OVERLAP * LAM, PHI(LAM))
    return Result(
        Derivation(f"retrieval-basin/{ensemble}", f"Basin of retrieval, {ensemble.title}", steps), equation, problem
    )


def _basin(ensemble: Ensemble, given: Parameter) -> Result:
    domain = _domain(ensemble, A) | Domain(((VARIANCE, Interval(0, oo)),))
    rho = ensemble.rho
    unknown = A if given is _NOISE else VARIANCE
    words = (
        "the load is at or above the saturated capacity: no amplitude is enough"
        if unknown == A
        else "the load is at or above the capacity at this amplitude: no noise is tolerated"
    )
    if _nonlinear(ensemble):
        from derive.systems import manifold_memory

        before = (*_rem_steps("rem-frozen", "rem-annealed"), *capacity_steps(A * rho, domain))
        return manifold_memory.retrieval_basin(
            ensemble, (_LOAD, _TEMPERATURE, given, *ensemble.parameters), before, OVERLAP, unknown, words
        )
    zeta = noise_cumulant(ensemble, A, VARIANCE)
    margin = A * rho * L - zeta.expression
    inner = Stage(L, A * rho - zeta.slope, -1, S.Zero, LAM, clip=True)
    boundary = Eq(ALPHA, margin.subs(L, LAM))
    steps = (
        *_rem_steps("rem-frozen", "rem-annealed"),
        *zeta.steps,
        *capacity_steps(A * rho, domain),
        specialise(
            "basin", boundary, "capacity-annealed", zeta, domain, "the boundary of the basin, with annealed noise", WARM
        ),
        specialise(
            "basin-saturation",
            Eq((A * rho - diff(zeta.expression, L)).subs(L, LAM_HAT), 0),
            "saturation",
            zeta,
            domain,
            "with frozen noise the same at l = lambda-hat",
            SATURATED,
        ),
    )
    # the margin is at most the largest rate of the noise, whatever the amplitude and the noise are
    limit = existence(overlap_entropy(ensemble), words + " ({})")
    stage = Stage(unknown, margin - ALPHA, +1 if unknown == A else -1, S.Zero, inner=(inner,),
                  **{"absent": words} | limit)
    outputs = (("a", A), ("v", VARIANCE), ("cosine", A * sqrt(rho) / sqrt(A**2 * rho + VARIANCE)))
    parameters = (_LOAD, _TEMPERATURE, given, *ensemble.parameters)
    problem = Problem("retrieval-basin", OVERLAP, parameters, (Branch("boundary", A * rho),), (stage,), outputs)
    return Result(
        Derivation(f"retrieval-basin/{ensemble}", f"Basin of one update, {ensemble.title}", steps), boundary, problem
    )
