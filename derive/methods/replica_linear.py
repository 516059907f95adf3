"""The linear hidden manifold by two routes: the replica calculation, and a direct average over the spectrum.

With sigma(h) = h all averages over a site are Gaussian and the saddle-point equations can be solved.  The direct route
never replicates anything: in the eigenbasis of C = F F^T/D the entries are independent, with variances drawn from the
Marchenko-Pastur law.  Both are given for the dense memory and for diffusion, and have to agree.
"""

from __future__ import annotations

from sympy import And, Eq, Expr, Function, Gt, Interval, Symbol, log, oo, sqrt

from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.methods.replica import DOMAIN, PHI, site_steps
from derive.methods.replica_manifold import H, ManifoldSite, entropic_symmetric
from derive.methods.replica_stability import REPLICON, site_stability, stability_derivation
from derive.methods.script import Script
from derive.nodes import GaussianAverage, LogAverageExp, MarchenkoPastur, MPResponse, Normal, SpectralAverage
from derive.symbols import V
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import b as B
from derive.symbols import c as C
from derive.symbols import lam as LAM
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import s as NOISE_VARIANCE
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["diffusion_derivation", "memory_derivation"]

ZETA, PSI = Function("zeta", real=True), Function("psi", real=True)
_G, _W, _H = (Symbol(k, real=True) for k in ("g", "w", "h"))
_POSITIVE = Interval.open(0, oo)
SOURCE = "A1; A2; Marchenko and Pastur (1967)"


def _direct(exponent: Expr, noise: Expr) -> Expr:
    """E_x log E_xi exp g along an eigenvalue c, averaged over the spectrum."""
    query = sqrt(C) * _G + sqrt(noise) * _W
    along = LogAverageExp(exponent.subs({X: query, XI: sqrt(C) * _H}, simultaneous=True), _H, Normal())
    return SpectralAverage(GaussianAverage(along, _G, _W), C, MarchenkoPastur(ALPHA_D))


def _direct_steps(step: Script, name: Expr, exponent: Expr, noise: Expr) -> tuple[Step, ...]:
    raw = _direct(exponent, noise)
    closed = SpectralAverage(raw.body.doit(), raw.var, raw.law).doit()
    return (
        step("eigenbasis", "The latent vectors are standard normal, so that a pattern is Gaussian with covariance C, "
             "whose spectrum tends to the Marchenko-Pastur law; in its eigenbasis the entries are independent.",
             "theorem", ("manifold",), "no replicas are needed"),
        step("direct", Eq(name, raw), "definition", ("eigenbasis", "self-averaging"),
             "the cumulant, an average over the spectrum"),
        step("direct-average", Eq(raw, closed), "evaluate", (), "its averages done"),
        step("direct-value", Eq(name, closed), "identity", ("direct", "direct-average"), "the cumulant, directly"),
    )


def memory_derivation() -> Derivation:
    """The cumulant of the dense memory on the linear manifold; "linear-routes" states it."""
    site = ManifoldSite(LAM * X * XI, H)
    domain = DOMAIN | Domain(((LAM, _POSITIVE),))
    step = Script(domain, SOURCE)
    energy = LAM * M + LAM**2 * (R - Q) / 2
    value = LAM**2 * (1 + 1 / ALPHA_D) / 2
    planted, square, spread = site.moments()
    saddle = ("linear-r", "linear-q", "linear-m")
    steps = (
        step("linear-energy", Eq(site.energetic(), energy), "evaluate", (), "the energetic part, Gaussian integrals"),
        step("linear-free-entropy", Eq(PHI(M, Q, R), ALPHA_D * entropic_symmetric() + energy), "identity",
             ("site-free-entropy", "linear-energy"), "the free entropy of the linear manifold"),
        step("linear-moments", And(Eq(planted, LAM * sqrt(R - Q)), Eq(square, LAM**2 * (R - Q)), Eq(spread, 1)),
             "evaluate", (), "the moments of w"),
        step("linear-r", Eq(R, Q + 1), "rearrange", ("site-saddle-r", "linear-moments"),
             "the response is that of no tilt"),
        step("linear-m", Eq(M, LAM / ALPHA_D), "rearrange", ("site-saddle-m", "linear-moments"),
             "overlap with the planted pattern"),
        step("linear-q", Eq(Q, LAM**2 / ALPHA_D**2 + LAM**2 / ALPHA_D), "rearrange",
             ("site-saddle-q", "linear-moments", "linear-r", "linear-m"), "overlap of two replicas"),
        step("cumulant", Eq(ZETA(LAM), PHI(M, Q, R)), "definition", ("laplace", "free-entropy"),
             "the cumulant is the free entropy at the saddle point"),
        step("linear-cumulant", Eq(ZETA(LAM), value), "identity", ("cumulant", "linear-free-entropy", *saddle),
             "by replicas"),
        step("linear-replicon", Eq(site.replicon(), 1), "evaluate", (), "the curvature of L vanishes"),
        step("linear-stable", Gt(REPLICON(M, Q, R), 0), "positivity", ("site-replicon", "linear-replicon"),
             "the saddle point is stable, always"),
        *_direct_steps(step, ZETA(LAM), site.exponent, site.noise),
        step("linear-routes", Eq(ZETA(LAM), value), "routes-agree", ("linear-cumulant", "direct-value"),
             "with replicas and without"),
    )
    return stability_derivation().extend(
        site_steps(site, domain), site_stability(site, domain), steps, name="replica-linear-memory",
        title="Dense memory on the linear manifold, twice")


def diffusion_derivation() -> Derivation:
    """The cumulant of squared distances on the linear manifold; "linear-routes" states it."""
    s = NOISE_VARIANCE
    site = ManifoldSite(-B * (X - XI) ** 2 / 2, H, noise=s)
    domain = DOMAIN | Domain(((B, _POSITIVE), (s, Interval(0, oo)), (V, Interval.open(0, 1))))
    step = Script(domain, SOURCE)
    stretched, at = 1 + B * V, (M, Q, Q + V)
    y = B * V / stretched
    distance = 1 - 2 * M + Q + s
    energy = -log(stretched) / 2 - B * distance / (2 * stretched)
    planted, square, spread = site.moments(*at)
    moments = And(
        Eq(planted, B * sqrt(V) * (1 - M) / stretched),
        Eq(square, B**2 * V * distance / stretched**2),
        Eq(spread, 1 / stretched),
    )
    solved = ALPHA_D * (1 - V) / (V * (1 - ALPHA_D * (1 - V)))
    kappa = ALPHA_D * (1 - V) ** 2
    at_q = ((1 - V) ** 2 + kappa * (2 * V - 1 + s)) / (1 - kappa)
    free = ALPHA_D * entropic_symmetric(*at) + energy
    value = free.subs(Q, at_q).subs(M, 1 - V)
    response = MPResponse(B, ALPHA_D)
    raw = _direct(site.exponent, s)
    direct = SpectralAverage(raw.body.doit(), raw.var, raw.law).doit()
    narrow = Domain(constraints=(1 - ALPHA_D * (1 - V) > 0, 1 - kappa > 0))
    inside = (("symbol", R), ("value", Q + V))
    steps = (
        step("room", Eq(PHI(*at), site.free_entropy(*at)), "substitute", ("site-free-entropy",), "with r = q + V",
             hints=inside),
        step("linear-energy", Eq(site.energetic(*at), energy), "evaluate", (),
             "the energetic part, Gaussian integrals"),
        step("linear-free-entropy", Eq(PHI(*at), free), "identity", ("room", "linear-energy"),
             "the free entropy of the linear manifold"),
        *(step(f"room-{k}", e, "substitute", (f"site-saddle-{k}",), f"the equation of {k} with r = q + V", hints=inside)
          for k, e in zip((M, Q, R), site.saddle_equations(*at), strict=True)),
        step("linear-moments", moments, "evaluate", (), "the moments of w"),
        step("response-equation", Eq(ALPHA_D * (1 - V) * stretched, B * V), "rearrange",
             ("room-r", "linear-moments"), "the equation of V: that of the Marchenko-Pastur response"),
        step("response-root", Eq(V, response), "solve", ("response-equation",), "its positive root"),
        step("response-solved", Eq(B, solved), "solve", ("response-equation",), "b in terms of V", domain=narrow),
        step("linear-m", Eq(M, 1 - V), "rearrange", ("room-m", "linear-moments", "response-solved"),
             "overlap with the planted pattern", domain=narrow),
        step("linear-q", Eq(Q, at_q), "rearrange",
             ("room-q", "linear-moments", "response-solved", "linear-m"), "overlap of two replicas",
             domain=narrow),
        step("cumulant", Eq(PSI(B, s), PHI(*at)), "definition", ("laplace", "free-entropy"),
             "the cumulant is the free entropy at the saddle point"),
        step("linear-cumulant-in-v", Eq(PSI(B, s), value), "identity",
             ("cumulant", "linear-free-entropy", "linear-q", "linear-m"), "by replicas, in terms of V",
             domain=narrow),
        step("linear-cumulant", Eq(PSI(B, s), value.subs(V, response)), "identity",
             ("linear-cumulant-in-v", "response-root"), "by replicas", domain=narrow),
        step("room-replicon", Eq(REPLICON(*at), site.replicon(*at)), "substitute", ("site-replicon",),
             "the replicon with r = q + V", hints=inside),
        step("linear-replicon", Eq(site.replicon(*at), 1 - y**2 / ALPHA_D), "evaluate", (),
             "every replica has the same variance 1/(1 + bV)"),
        step("linear-replicon-at", Eq(REPLICON(*at), 1 - y**2 / ALPHA_D), "identity",
             ("room-replicon", "linear-replicon"), "the replicon of the linear manifold"),
        step("linear-replicon-value", Eq(REPLICON(*at), 1 - (1 - V) * y), "identity",
             ("linear-replicon-at", "response-solved"), "at the saddle point, where bV/(1 + bV) = "
             "alpha_D (1 - V)", domain=narrow),
        step("linear-stable", Gt(REPLICON(*at), 0), "positivity", ("linear-replicon-value",),
             "between 0 and 1: stable at every time and load", domain=narrow),
        *_direct_steps(step, PSI(B, s), site.exponent, s),
        step("linear-routes", Eq(PSI(B, s), direct), "routes-agree", ("linear-cumulant", "direct-value"),
             "with replicas and without", domain=narrow),
    )
    return stability_derivation().extend(
        site_steps(site, domain), site_stability(site, domain), steps, name="replica-linear-diffusion",
        title="Diffusion on the linear manifold, twice")
