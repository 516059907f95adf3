"""The replica calculation on a hidden manifold, step by step, for any exponent g and any activation sigma.

`symmetric_derivation` goes from the replicated partition function to the replica-symmetric free entropy and its
saddle-point equations; g, sigma and the query are undefined functions, so that all of it holds for every choice.  What
is proved is the algebra; the exchange of limits, self-averaging, replica symmetry and Laplace's method are assumptions,
and steps.
The results are those that derive.methods.replica_manifold.ManifoldSite writes down for a given site.
"""

from __future__ import annotations

from typing import Any

from sympy import (
    And,
    Derivative,
    Determinant,
    Eq,
    Expr,
    Function,
    Identity,
    Integer,
    Interval,
    Lambda,
    MatrixSymbol,
    Subs,
    Symbol,
    Trace,
    exp,
    log,
    oo,
    sqrt,
)

from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.methods.replica_manifold import COMMON, NOISE, OWN, PLANTED, H, ManifoldSite, entropic_symmetric
from derive.methods.script import Script
from derive.nodes import GaussianAverage, LogAverageExp, Normal, TiltedAverage
from derive.nodes.replica_matrix import OverlapMatrix
from derive.symbols import D as LATENT
from derive.symbols import V
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["site_derivation", "site_steps", "symmetric_derivation"]

SOURCE = "A1; A2"
_POSITIVE = Interval.open(0, oo)
#: number of replicas; norm of the planted latent vector; common field
COUNT = Symbol("n", positive=True)
NORM = Symbol("c", positive=True)
OMEGA = Symbol("omega", real=True)
#: coefficients of the conjugate matrix
K0 = Symbol("k_0", positive=True)
KM, KQ, KR = (Symbol(k, real=True) for k in ("k_m", "k_q", "k_r"))

#: exponent, activation, query; log-weight of a replica, its slope and curvature, mean and variance of the own field
G, SIGMA, QUERY, L, SLOPE, CURVATURE, FIRST, SPREAD = (
    Function(k, real=True) for k in ("g", "sigma", "X", "L", "L_omega", "L_omega_omega", "w_1", "Delta")
)
IN_VARIANCE = Function("L_V", real=True)
#: entropic and energetic part for n replicas, energetic part at n -> 0, free entropy
ENTROPIC, ENERGETIC, ENERGY, PHI = (Function(k, real=True) for k in ("S", "E", "E_1", "Phi"))

DOMAIN = Domain(
    (
        *((s, _POSITIVE) for s in (ALPHA_D, COUNT, NORM, Q, R, V, LATENT, K0)),
        (M, Interval(-oo, oo)),
    ),
    (Q - M**2 > 0, R - Q > 0),
)
_FIELD = M * PLANTED + sqrt(Q - M**2) * COMMON
AT = (QUERY(PLANTED, NOISE), _FIELD, R - Q)
_KERNEL = (("mean", OMEGA), ("variance", V))
#: the tilt of one replica
_TILT = G(X, SIGMA(OMEGA + sqrt(V) * OWN))


def over_sites(body: Expr) -> Expr:
    return GaussianAverage(body, PLANTED, COMMON, NOISE)


def _at_zero(e: Expr, symbol: Symbol = COUNT) -> Expr:
    return Subs(Derivative(e, symbol), symbol, 0)


def symmetric_derivation() -> Derivation:
    """The replica-symmetric free entropy and its saddle-point equations, from the replicated partition function.

    Labels to stand on: "free-entropy-value" (the free entropy), "saddle-m", "saddle-q", "saddle-r" (the saddle-point
    equations), "log-weight", "moment-1", "moment-2" (what they are written in).
    """
    step = Script(DOMAIN, SOURCE)
    return Derivation(
        "replica-symmetric-cumulant", "Replica-symmetric cumulant on a hidden manifold",
        (*_disorder(step), *_entropic(step), *_energetic(step), *_free_entropy(step),
         *_weights(Script(Domain(DOMAIN.intervals), SOURCE)), *_saddle(step)),
    )


# ---- the replicated partition function


def _disorder(step: Script) -> tuple[Step, ...]:
    f1, f2, a1, a2, b1, b2 = (Symbol(k, real=True) for k in ("F_1", "F_2", "a_1", "a_2", "b_1", "b_2"))
    fields = (f1 * a1 + f2 * a2) * (f1 * b1 + f2 * b2) / LATENT
    y = Function("Y", real=True)
    return (
        step("manifold", "Patterns are sigma(h_i), h_i = sum_k F_ik z_k/sqrt(D), with F and z independent standard "
             "normal and F common to all patterns; the query x is the planted pattern z_0, with noise.", "assumption",
             (), "what is averaged over"),
        step("self-averaging", "1/N log E_z exp sum_i g(x_i, sigma(h_i)) concentrates at large N on its average over "
             "the query and F, the cumulant.", "assumption", ("manifold",), "quenched average"),
        step("replica-slope", Eq(_at_zero(log(GaussianAverage(exp(COUNT * y(PLANTED)), PLANTED))),
                                 GaussianAverage(y(PLANTED), PLANTED)), "differentiate", (),
             "the slope at n = 0 of log E Z^n is E log Z, for any positive Z = exp Y"),
        step("replica-trick", "The cumulant is the slope at n = 0 of lim 1/N log E Z^n, continued from integer n; the "
             "limits N -> oo and n -> 0 are exchanged.", "assumption", ("self-averaging", "replica-slope"),
             "the replica method"),
        step("row-covariance",
             Eq(GaussianAverage(fields, f1, f2), (a1 * b1 + a2 * b2) / LATENT), "evaluate", (),
             "average over a row of F, here for two of the D latent directions of two latent vectors a and b: each "
             "direction adds its product, different ones nothing"),
        step("rows", "Given the latent vectors, the fields h_a of the n replicas and of the planted pattern are "
             "jointly Gaussian with covariance Q_ab = z_a.z_b/D, and the N rows of F are independent: E Z^n is the "
             "average over the overlaps of (E_h exp sum_a g(x, sigma(h_a)))^N.", "theorem",
             ("manifold", "row-covariance"), "linear images of Gaussian vectors are Gaussian"),
        step("laplace", "At large N the overlaps take their dominating values: E Z^n is the exponential of N times the "
             "extremum over Q of alpha_D S(Q) + E(Q), entropy of the latent vectors and energy of a site.",
             "assumption", ("rows", "replica-trick"), "Laplace's method"),
        step("replica-symmetry", "The dominating overlaps do not distinguish the replicas.", "assumption", ("laplace",),
             "stable while the replicon is positive"),
    )


# ---- entropy of the latent vectors


def _overlaps() -> OverlapMatrix:
    return OverlapMatrix.symmetric(COUNT, R, Q, planted=M, norm=NORM)


def _entropic(step: Script) -> tuple[Step, ...]:
    size = COUNT + 1
    overlaps, conjugate = MatrixSymbol("Q", size, size), MatrixSymbol("K", size, size)
    inverse = _overlaps().overlap_inverse()
    names = (K0, KM, KQ, KR)
    family = OverlapMatrix.symmetric(COUNT, KR, KQ, planted=KM, norm=K0)
    action = (Trace(family * _overlaps()) - log(Determinant(family))) / 2
    diagonal, beside, _, row, corner = inverse.args[2:]
    values = (corner, row, beside, diagonal)
    rooms = Domain(constraints=(NORM * Q - M**2 > 0,))
    entropy = ENTROPIC(COUNT, NORM, M, Q, R)
    excess = (Q - M**2 / NORM) / (R - Q)
    value = (log(NORM) + COUNT * log(R - Q) + log(1 + COUNT * excess) - NORM - COUNT * R + COUNT + 1) / 2
    return (
        step("overlaps", Eq(overlaps, _overlaps(), evaluate=False), "definition", ("replica-symmetry",),
             "planted replica first, with norm c; m with the others, q among them, r with themselves"),
        step("latent-entropy", "The log density of the overlaps of Gaussian vectors, per latent dimension, is the "
             "extremum over K of [tr(K Q) - log det K - tr Q]/2: Legendre transform of the cumulant of the products "
             "z_a z_b, a Gaussian integral.", "theorem", ("rows",), "Cramer", source="Wishart (1928)"),
        step("conjugate", Eq(conjugate, inverse, evaluate=False), "definition", ("overlaps",),
             "the candidate for the extremum, in the same family"),
        step("conjugate-inverse", Eq(conjugate * overlaps, Identity(size), evaluate=False), "replica-algebra",
             ("conjugate", "overlaps"), "it is the inverse of Q, for every n", domain=rooms),
        step("conjugate-stationary", And(*(Eq(Subs(Derivative(action, k), names, values), 0, evaluate=False)
                                           for k in names)), "replica-algebra", (),
             "and the extremum over the family, whose coefficients are k_0, k_m, k_q and k_r", domain=rooms),
        step("conjugate-value", Eq((Trace(conjugate * overlaps) - log(Determinant(conjugate)) - Trace(overlaps)) / 2,
                                   (log(Determinant(overlaps)) - Trace(overlaps) + COUNT + 1) / 2), "replica-algebra",
             ("conjugate", "overlaps"), "the entropy at the extremum", domain=rooms),
        step("entropic-n", Eq(entropy, (log(Determinant(overlaps)) - Trace(overlaps) + COUNT + 1) / 2), "definition",
             ("latent-entropy", "conjugate-stationary", "conjugate-value"), "the entropic part for n replicas",
             domain=rooms),
        step("determinant", Eq(log(Determinant(overlaps)), log(NORM) + COUNT * log(R - Q) + log(1 + COUNT * excess)),
             "replica-algebra", ("overlaps",), "n - 1 eigenvalues r - q, and a two by two block", domain=rooms),
        step("trace", Eq(Trace(overlaps), NORM + COUNT * R), "replica-algebra", ("overlaps",), "its trace",
             domain=rooms),
        step("entropic-n-value", Eq(entropy, value), "identity", ("entropic-n", "determinant", "trace"),
             "read for real n from here on", domain=rooms),
        step("norm-condition", Eq(Subs(Derivative(entropy, NORM), COUNT, 0), 0), "definition", ("laplace",),
             "at n = 0 the planted vector is a typical one: its norm is that of the largest entropy", domain=rooms),
        step("planted-norm", Eq(NORM, 1), "solve", ("norm-condition", "entropic-n-value"),
             "which is one; at first order in n the shift of an extremum does not count", domain=rooms),
        step("entropic-unit", Eq(ENTROPIC(COUNT, 1, M, Q, R), value.subs(NORM, 1)), "substitute", ("entropic-n-value",),
             "with that norm", hints=(("symbol", NORM), ("value", Integer(1)))),
        step("entropic", Eq(_at_zero(ENTROPIC(COUNT, 1, M, Q, R)), entropic_symmetric()), "differentiate",
             ("entropic-unit",), "the entropic part at n -> 0"),
    )


# ---- energy of a site


def _energetic(step: Script) -> tuple[Step, ...]:
    first, second = Symbol("w_a", real=True), Symbol("w_b", real=True)
    one, other = (_FIELD + sqrt(V) * w for w in (first, second))
    variables = (PLANTED, COMMON, first, second)

    def covariance(a: Expr, b: Expr) -> Expr:
        return GaussianAverage(a * b, *variables)

    def weight(count: int) -> Expr:
        own = tuple(Symbol(f"w_{k}", real=True) for k in range(1, count + 1))
        tilts = sum((G(X, SIGMA(OMEGA + sqrt(V) * w)) for w in own), Integer(0))
        return GaussianAverage(exp(tilts), *own)

    energy = ENERGETIC(COUNT, M, Q, R)
    return (
        step("decoupling", And(Eq(covariance(PLANTED, PLANTED), 1), Eq(covariance(PLANTED, one), M),
                               Eq(covariance(one, one), Q + V), Eq(covariance(one, other), Q)), "evaluate",
             ("planted-norm",), "h_0 = u and h_a = m u + sqrt(q - m^2) v + sqrt(V) w_a, with V = r - q, have the "
             "covariance Q",
             domain=Domain(constraints=(NORM * Q - M**2 > 0,))),
        step("decoupled-power", And(*(Eq(weight(k), weight(1) ** k) for k in (2, 3))), "evaluate", (),
             "given u and v the replicas are independent: n of them give the n-th power, as here for two and three"),
        Script(Domain(DOMAIN.intervals), SOURCE)(
            "log-weight", Eq(L(X, OMEGA, V), LogAverageExp(_TILT, OWN, Normal())), "definition", (),
            "the log of the average over the field of one replica"),
        step("energetic-n", Eq(energy, log(over_sites(exp(COUNT * L(*AT))))), "definition",
             ("rows", "decoupling", "decoupled-power", "log-weight"), "the energetic part for n replicas"),
        step("energetic", Eq(_at_zero(energy), over_sites(L(*AT))), "differentiate", ("energetic-n",),
             "the energetic part at n -> 0"),
    )


def _free_entropy(step: Script) -> tuple[Step, ...]:
    return (
        step("free-entropy", Eq(PHI(M, Q, R), ALPHA_D * _at_zero(ENTROPIC(COUNT, 1, M, Q, R))
                                + _at_zero(ENERGETIC(COUNT, M, Q, R))), "definition",
             ("laplace", "replica-trick", "replica-symmetry"),
             "free entropy per site at given overlaps; the cumulant is its extremum over m, q and r"),
        step("free-entropy-value", Eq(PHI(M, Q, R), ALPHA_D * entropic_symmetric() + over_sites(L(*AT))), "identity",
             ("free-entropy", "entropic", "energetic"), "the replica-symmetric free entropy"),
        step("free-entropy-explicit", Eq(PHI(M, Q, R), ALPHA_D * entropic_symmetric()
                                         + over_sites(LogAverageExp(own_tilt(), OWN, Normal()))), "identity",
             ("free-entropy-value", "log-weight"), "in full"),
    )


def own_tilt() -> Expr:
    """g at the site's own query and field."""
    query, field, variance = AT
    return G(query, SIGMA(field + sqrt(variance) * OWN))


def own_moment(power: int) -> Expr:
    return TiltedAverage(OWN**power, own_tilt(), OWN, Normal())


# ---- derivatives of the log-weight


def _weights(step: Script) -> tuple[Step, ...]:
    at = (X, OMEGA, V)
    first, spread = FIRST(*at), SPREAD(*at)
    slope, curvature = Derivative(L(*at), OMEGA), Derivative(L(*at), (OMEGA, 2))
    return (
        step("moment-1", Eq(first, TiltedAverage(OWN, _TILT, OWN, Normal())), "definition", (),
             "mean of the own field w of one replica under its weight"),
        step("moment-2", Eq(spread, TiltedAverage(OWN**2, _TILT, OWN, Normal())
                            - TiltedAverage(OWN, _TILT, OWN, Normal()) ** 2), "definition", (), "and its variance"),
        step("weight-slope", Eq(slope, first / sqrt(V)), "gaussian-kernel", ("log-weight", "moment-1"),
             "the derivative falls on the Gaussian kernel: none of sigma is needed", hints=_KERNEL),
        step("weight-curvature", Eq(curvature, (spread - 1) / V), "gaussian-kernel",
             ("log-weight", "moment-2"), "the second derivative, by a variance", hints=_KERNEL),
        step("heat-equation", Eq(Derivative(L(*at), V), (curvature + slope**2) / 2), "gaussian-kernel", ("log-weight",),
             "exp L obeys the heat equation", hints=_KERNEL),
        step("growth", "L and its derivatives are smooth in the field, and grow slower than any Gaussian falls.",
             "assumption", ("log-weight",), "smooth they are, by the convolution with a Gaussian; growth is a property "
             "of g, which each activation has to have for the cumulant to exist"),
    )


# ---- saddle-point equations


def _saddle(step: Script) -> tuple[Step, ...]:
    at = (X, OMEGA, V)
    first = FIRST(*AT)
    room = R - Q
    spread, planted, square = over_sites(SPREAD(*AT)), over_sites(PLANTED * first), over_sites(first**2)
    curved, in_variance = over_sites(CURVATURE(*AT)), over_sites(IN_VARIANCE(*AT))
    by_parts = {
        M: (over_sites(PLANTED * SLOPE(*AT)) - M * curved, "Stein's lemma for v"),
        Q: (curved / 2 - in_variance, "Stein's lemma for v; V = r - q"),
        R: (in_variance, "only V depends on r"),
    }
    in_q = (ALPHA_D * (Q - M**2) / room - square) / (2 * room)
    gradient = {
        M: planted / sqrt(room) - M * (spread - 1) / room - ALPHA_D * M / room,
        Q: in_q,
        R: (ALPHA_D * (1 / room - 1) + (spread - 1) / room) / 2 - in_q,
    }
    named = ("slope-name", "curvature-name", "variance-name", "energy", "growth")
    values = ("slope-value", "curvature-value", "variance-value")
    hints = (("growth", "growth"), ("variable", Integer(1)))
    anywhere = Script(Domain(DOMAIN.intervals), SOURCE)
    steps = [
        anywhere("slope-name", Eq(SLOPE(*at), Derivative(L(*at), OMEGA)), "definition", (), "the derivatives of L: "
                 "in the field,"),
        anywhere("curvature-name", Eq(CURVATURE(*at), Derivative(L(*at), (OMEGA, 2))), "definition", (),
                 "twice in the field,"),
        anywhere("variance-name", Eq(IN_VARIANCE(*at), Derivative(L(*at), V)), "definition", (),
                 "and in the variance"),
        anywhere("variance-heat", Eq(IN_VARIANCE(*at), (CURVATURE(*at) + SLOPE(*at) ** 2) / 2), "identity",
                 ("variance-name", "heat-equation", "slope-name", "curvature-name"), "by the heat equation"),
        step("slope-value", Eq(SLOPE(*at), FIRST(*at) / sqrt(V)), "identity", ("slope-name", "weight-slope"),
             "in moments of w"),
        step("curvature-value", Eq(CURVATURE(*at), (SPREAD(*at) - 1) / V), "identity",
             ("curvature-name", "weight-curvature"), "in moments of w"),
        step("variance-value", Eq(IN_VARIANCE(*at), (SPREAD(*at) + FIRST(*at) ** 2 - 1) / (2 * V)), "identity",
             ("variance-name", "heat-equation", "weight-slope", "weight-curvature"), "by the heat equation"),
        step("energy", Eq(ENERGY(M, Q, R), over_sites(L(*AT))), "definition", ("energetic",), "a name for the energy"),
        step("free-entropy-parts", Eq(PHI(M, Q, R), ALPHA_D * entropic_symmetric() + ENERGY(M, Q, R)), "identity",
             ("free-entropy-value", "energy"), "entropy and energy"),
    ]
    for symbol, (value, text) in by_parts.items():
        steps.append(step(f"energy-slope-{symbol}", Eq(Derivative(ENERGY(M, Q, R), symbol), value), "stein", named,
                          text, hints=hints))
    for symbol, value in gradient.items():
        steps.append(step(f"gradient-{symbol}", Eq(Derivative(PHI(M, Q, R), symbol), value), "differentiate",
                          ("free-entropy-parts", f"energy-slope-{symbol}", *values),
                          f"the derivative of the free entropy in {symbol}, in moments"))
        steps.append(step(f"stationary-{symbol}", Eq(Derivative(PHI(M, Q, R), symbol), 0), "definition",
                          ("laplace",), f"extremum over {symbol}"))
    slopes = [Derivative(PHI(M, Q, R), s) for s in (Q, R)]
    return (
        *steps,
        step("saddle-q", Eq(Q, M**2 + room * square / ALPHA_D, evaluate=False), "rearrange",
             ("stationary-q", "gradient-q"), "the saddle-point equation of q"),
        step("stationary-both", Eq(slopes[0] + slopes[1], 0), "identity", ("stationary-q", "stationary-r"),
             "r and q moved together, which leaves V as it is"),
        step("response", Eq(spread, 1 - ALPHA_D * (1 - room)), "rearrange",
             ("stationary-both", "gradient-q", "gradient-r"), "the response of a replica"),
        step("saddle-r", Eq(R, Q + 1 - (1 - spread) / ALPHA_D, evaluate=False), "rearrange", ("response",),
             "the saddle-point equation of r"),
        step("saddle-m", Eq(M, planted / (ALPHA_D * sqrt(room)), evaluate=False), "rearrange",
             ("stationary-m", "gradient-m", "response"), "the saddle-point equation of m"),
        *(step(f"saddle-{s}-explicit", Eq(s, value, evaluate=False), "rearrange",
               (f"saddle-{s}", "moment-1", "moment-2"), "in full") for s, value in explicit_equations().items()),
    )


def explicit_equations() -> dict[Symbol, Expr]:
    """The right-hand sides of the saddle-point equations for undefined g, sigma and query."""
    first, second = own_moment(1), own_moment(2)
    spread = over_sites(second - first**2)
    return {
        M: over_sites(PLANTED * first) / (ALPHA_D * sqrt(R - Q)),
        Q: M**2 + (R - Q) * over_sites(first**2) / ALPHA_D,
        R: Q + 1 - (1 - spread) / ALPHA_D,
    }


# ---- one site


def site_steps(site: ManifoldSite, domain: Domain | None = None, source: str = SOURCE) -> tuple[Step, ...]:
    """The general result for a given exponent, activation and query: free entropy and saddle-point equations.

    The steps stand on those of `symmetric_derivation`, which are to come before them; their labels are
    "site-free-entropy", "site-saddle-m", "site-saddle-q" and "site-saddle-r".

    Args: site; domain of its parameters; source of the steps.

    >>> from sympy import tanh
    >>> from derive.methods.replica_manifold import H
    >>> from derive.symbols import lam, x, xi
    >>> [s.label for s in site_steps(ManifoldSite(lam * x * xi, tanh(H)))]
    ['site-free-entropy', 'site-saddle-m', 'site-saddle-q', 'site-saddle-r']
    """
    step = Script(DOMAIN | (domain or Domain()), source)
    hints = site_hints(site)
    equations = zip((M, Q, R), site.saddle_equations(), strict=True)
    return (
        step("site-free-entropy", Eq(PHI(M, Q, R), site.free_entropy()), "specialise", ("free-entropy-explicit",),
             "for this exponent, this activation and this query", hints=hints),
        *(step(f"site-saddle-{s}", equation, "specialise", (f"saddle-{s}-explicit",), f"the equation of {s} for them",
               hints=hints) for s, equation in equations),
    )


def site_hints(site: ManifoldSite) -> tuple[tuple[Any, Any], ...]:
    """What a general claim is specialised with: the functions g, sigma and x of a site."""
    hints: tuple[tuple[Any, Any], ...] = (
        ("function", G), ("value", Lambda((X, XI), site.exponent)),
        ("function", SIGMA), ("value", Lambda(H, site.activation)),
        ("function", QUERY), ("value", Lambda((PLANTED, NOISE), site.query)),
    )
    return hints if site.ratio == ALPHA_D else (*hints, ("symbol", ALPHA_D), ("value", site.ratio))


def site_derivation(site: ManifoldSite, name: str, title: str, domain: Domain | None = None) -> Derivation:
    """The whole calculation for one site: from the replicated partition function to its saddle-point equations."""
    return symmetric_derivation().extend(site_steps(site, domain), name=name, title=title)
