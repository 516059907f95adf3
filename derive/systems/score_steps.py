"""The steps from the score of a manifold to its spectrum (A4): score, law of the covariance, edges, gaps, times.

Each function states one piece of the derivation; `derive.systems.score_spectrum` joins them into quantities.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sympy import (
    Add,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Function,
    Gt,
    Interval,
    Mul,
    N,
    Ne,
    S,
    Subs,
    Symbol,
    cancel,
    diff,
    discriminant,
    exp,
    expand,
    log,
    oo,
    pi,
    sqrt,
)

from derive.core import Domain, Step, UniqueRoot
from derive.ensembles.variances import VarianceManifold
from derive.methods.marchenko_pastur import SpectralLaw
from derive.methods.script import Script
from derive.nodes import Extremum, GaussianAverage, MarchenkoPastur, MPResponse, SpectralAverage
from derive.symbols import G as RESOLUTION
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import c as C
from derive.symbols import g as RESOLVENT
from derive.symbols import j as EIGENVALUE
from derive.symbols import t as T
from derive.symbols import x as X
from derive.symbols import z as Z

__all__ = [
    "GAP", "HIGH", "LOW", "OPENING", "Covariance", "edge_load", "edge_steps", "edge_value", "equivalent_steps",
    "finite_size_steps", "gap_steps", "image", "inverse", "law_steps", "opening", "score_steps", "script",
    "shannon", "shannon_steps", "time_steps",
]

SOURCE = "A4"
#: facing edges of two neighbouring parts of the spectrum of the covariance, the lower one possibly zero
HIGH, LOW = Symbol("gamma_1", positive=True), Symbol("gamma_2", nonnegative=True)
GAP = Function("Delta", real=True)
#: the time at which a gap opens
OPENING = Symbol("t_open", positive=True)
#: coefficients of an activation: of its linear part, and of what is neither constant nor linear
KAPPA, KAPPA_STAR = Symbol("kappa_1", positive=True), Symbol("kappa_*", positive=True)
_KAPPA_0 = Symbol("kappa_0", real=True)
_MARGINAL, _LOG = Function("p", positive=True), Function("L", real=True)
_INVERSE, _TRANSFORM = Function("z", real=True), Function("R", real=True)
_RATE, _JUMP = Symbol("alpha_k", positive=True), Symbol("v", positive=True)
#: -1/g, in which the edges are looked for
EDGE_POINT = Symbol("u", real=True)
_PLACE = Function("gamma", real=True)
_NEARNESS = Symbol("w", positive=True)
_DISTANCE, _PART = Symbol("y", positive=True), Symbol("r", positive=True)
_ROOT_LOW, _ROOT_GAP = Symbol("q", positive=True), Symbol("d", positive=True)
_LOAD = Function("phi", real=True)
_POSITIVE = Interval.open(0, oo)


def equal(lhs: Expr, rhs: Expr) -> Eq:
    """An equation as it is written, also where SymPy would see at once that it holds."""
    return Eq(lhs, rhs, evaluate=False)


def script() -> Script:
    """The domain that all steps of this system have in common."""
    return Script(
        Domain((
            (T, _POSITIVE), (C, Interval(0, oo)), (ALPHA_D, _POSITIVE), (_RATE, _POSITIVE), (_JUMP, _POSITIVE),
            (HIGH, _POSITIVE), (LOW, Interval(0, oo)), (RESOLUTION, Interval.open(0, 1)),
            (KAPPA_STAR, _POSITIVE), (KAPPA, _POSITIVE), (_KAPPA_0, Interval(-oo, oo)),
            (X, Interval(-oo, oo)), (EIGENVALUE, Interval.open(-1, 0)),
        )),
        SOURCE,
    )


def image(c: Expr) -> Expr:
    """Eigenvalue of t times the Jacobian of the score along a direction in which the data have variance c."""
    return -T / (T + c)


def inverse(parts: tuple[tuple[Expr, Expr], ...], g: Expr, shift: Expr = S.Zero) -> Expr:
    """z as a function of the resolvent: -1/g, the free sum of the parts (v, alpha) and a shift."""
    return shift - 1 / g + Add(*(a * v / (1 + v * g) for v, a in parts))


def edge_place(parts: tuple[tuple[Expr, Expr], ...], u: Expr, shift: Expr = S.Zero) -> Expr:
    """The same function at g = -1/u."""
    return shift + u + Add(*(a * v * u / (u - v) for v, a in parts))


def edge_load(parts: tuple[tuple[Expr, Expr], ...], u: Expr) -> Expr:
    """One minus the slope of `edge_place`; 1 at an edge."""
    return Add(*(a * v**2 / (u - v) ** 2 for v, a in parts))


def edge_value(parts: tuple[tuple[Expr, Expr], ...], u: Expr, shift: Expr = S.Zero) -> Expr:
    """The edge, without cancellation, at a critical point u."""
    return shift + u**2 * Add(*(a * v / (u - v) ** 2 for v, a in parts))


# ---- the score


def score_steps(step: Script) -> tuple[Step, ...]:
    """From Gaussian data of covariance C to the eigenvalues of t times the Jacobian of the score."""
    marginal = GaussianAverage(exp(-((X - sqrt(C) * Z) ** 2) / (2 * T)) / sqrt(2 * pi * T), Z)
    normal = exp(-(X**2) / (2 * (T + C))) / sqrt(2 * pi * (T + C))
    jacobian = Derivative(_LOG(X), (X, 2))
    moved, preimage = image(C), -T * (1 + EIGENVALUE) / EIGENVALUE
    return (
        step("gaussian-data",
             "Given the matrix of the manifold the data are Gaussian with covariance C; the score is that of the exact "
             "density at time t. In the eigenbasis of C the coordinates are independent, with variances c.",
             "assumption", (), "the setting: score of the population, not of a sample"),
        step("marginal", equal(_MARGINAL(X), marginal), "definition", ("gaussian-data",),
             "density of a coordinate at time t: datum sqrt(c) z plus noise of variance t"),
        step("marginal-value", equal(marginal, normal), "evaluate", (), "the Gaussian integral: variance t + c"),
        step("log-density", equal(_LOG(X), log(_MARGINAL(X))), "definition", (),
             "its logarithm, whose slope is the score"),
        step("log-density-value", equal(_LOG(X), -(X**2) / (2 * (T + C)) - log(2 * pi * (T + C)) / 2), "identity",
             ("log-density", "marginal", "marginal-value"), "a parabola"),
        step("jacobian", equal(jacobian, -1 / (T + C)), "differentiate", ("log-density-value",),
             "eigenvalue of the Jacobian of the score: J = -(t I + C)^-1"),
        step("eigenvalue", equal(T * jacobian, moved), "identity", ("jacobian",), "and of t J"),
        step("order", Gt(image(C + _DISTANCE) - moved, 0, evaluate=False), "positivity", (),
             "it rises with c, by y > 0: bulks of C are mapped to bulks of t J, in order, and gaps to gaps"),
        step("spike", equal(Subs(moved, C, 0), -1), "identity", (), "directions off the manifold are at -1"),
        step("preimage", equal(EIGENVALUE, moved), "definition", ("eigenvalue",), "j stands for the eigenvalue of t J"),
        step("preimage-value", equal(C, preimage), "solve", ("preimage",), "solved for the variance"),
        step("volume", equal(diff(moved, C).subs(C, preimage), EIGENVALUE**2 / T), "identity", (),
             "dj/dc: a density rho(c) of variances is a density rho(c) t/j^2 of eigenvalues of t J"),
    )


# ---- the covariance


@dataclass(frozen=True)
class Covariance:
    """What the covariance of a manifold is made of, as its derivation writes it.

    parts: pairs (v, alpha) of independent Wishart matrices; shift: a multiple of the identity; constants: the numbers
    that the coefficients of an activation stand for.
    """

    manifold: VarianceManifold

    @property
    def parts(self) -> tuple[tuple[Expr, Expr], ...]:
        """(v_k, alpha_k), smallest variance first."""
        if self.manifold.linear:
            return self.manifold.parts
        scale = KAPPA**2 / self.manifold.field_variance
        return tuple((scale * v, a) for v, a in self.manifold.parts)

    @property
    def shift(self) -> Expr:
        """What the identity is multiplied by: the variance of the part of the activation that is not linear."""
        return S.Zero if self.manifold.rest.is_zero else KAPPA_STAR**2

    @property
    def constants(self) -> dict[Symbol, Expr]:
        """The coefficients of the activation."""
        if self.manifold.linear:
            return {}
        return {KAPPA: abs(self.manifold.slope), KAPPA_STAR: sqrt(self.manifold.rest)}


def equivalent_steps(step: Script, manifold: VarianceManifold) -> tuple[Step, ...]:
    """The Gaussian-equivalent covariance of a manifold with an activation."""
    if manifold.activation is None:
        return ()
    entry = manifold.activation(sqrt(manifold.field_variance) * X)
    rising = entry if N(manifold.slope) > 0 else -entry
    rest = GaussianAverage((rising - _KAPPA_0 - KAPPA * X) ** 2, X)
    square = GaussianAverage(rising**2, X)
    return (
        step("entry",
             "Given F, two entries before the activation are jointly Gaussian with the same variance and a correlation "
             "of order 1/sqrt(N); x stands for a standardised one.", "assumption", (), "sigma(F diag(s) z / sqrt(D))"),
        step("kappa-mean", equal(_KAPPA_0, GaussianAverage(rising, X)), "definition", ("entry",), "mean of an entry"),
        step("kappa-linear", equal(KAPPA, GaussianAverage(X * rising, X)), "definition", ("entry",),
             "weight of its linear part, up to a sign that no covariance knows"),
        step("kappa-rest", equal(KAPPA_STAR**2, rest), "definition", ("entry",), "variance of what is left"),
        step("kappa-rest-value", equal(rest, square - _KAPPA_0**2 - KAPPA**2), "evaluate",
             ("kappa-mean", "kappa-linear"), "the three parts are orthogonal"),
        step("equivalence",
             "To leading order the covariance of two entries is kappa_1^2 times their correlation: C has the spectrum "
             "of kappa_1^2 F diag(s_k^2) F^T / (D s^2) + kappa_*^2 I, s^2 the mean latent variance. The eigenvalue 0 "
             "moves to kappa_*^2: there is no exact spike at -1 any more.", "theorem", ("kappa-linear", "kappa-rest"),
             "Gaussian equivalence: what is not linear acts as independent noise",
             source="Pennington, Worah (2017); Mei, Montanari (2022)"),
        step("outlier",
             "The mean kappa_0 adds a rank-one outlier N kappa_0^2 to the second moments, and an even part of the "
             "activation one to the covariance: single eigenvalues, no part of the bulks and left out here.", "theorem",
             ("kappa-mean",), "outliers", source="El Karoui (2010)"),
    )


# ---- the law of the covariance


def law_steps(step: Script, covariance: Covariance) -> tuple[Step, ...]:
    """The inverse function of the resolvent: R-transforms of the Wishart matrices added."""
    g, parts, shift = RESOLVENT, covariance.parts, covariance.shift
    scale, single = _JUMP * _RATE, SpectralLaw(_RATE)
    whole = inverse(parts, g, shift)
    count = len(parts)
    pieces = "one Wishart matrix" if count == 1 else f"{count} independent Wishart matrices"
    return (
        step("covariance",
             f"C is the sum of {pieces}, s_k^2 F_k F_k^T / D with F_k of size N x D_k and independent standard normal "
             "entries; alpha_k = D_k/N, v_k = s_k^2/alpha_D. N is large and the spectrum self-averaging.",
             "assumption", (), "the data manifold x = F diag(s) z / sqrt(D)"),
        step("piece", equal(single.stieltjes_polynomial(g * scale, Z / scale), 0), "theorem", ("covariance",),
             "Marchenko and Pastur: the resolvent g(z) = <1/(c - z)> of one matrix alpha_k v (F F^T / D_k), which "
             "derive.methods.marchenko_pastur derives from cavity equations; z < 0, where g > 0",
             source="Marchenko and Pastur (1967)"),
        step("piece-inverse", equal(Z, -1 / g + scale / (1 + _JUMP * g)), "solve", ("piece",),
             "linear in z: the inverse function of the resolvent"),
        step("transform", equal(_TRANSFORM(g, _JUMP, _RATE), Z + 1 / g), "definition", ("piece",),
             "R-transform of one matrix (in the sign of this g, which is minus the Cauchy transform)"),
        step("transform-value", equal(_TRANSFORM(g, _JUMP, _RATE), scale / (1 + _JUMP * g)), "identity",
             ("transform", "piece-inverse"), "that of a free Poisson law of rate alpha_k and jump v"),
        step("free-sum", equal(_INVERSE(g), shift - 1 / g + Add(*(_TRANSFORM(g, v, a) for v, a in parts))), "theorem",
             ("covariance",), "independent Wishart matrices are free at large N: their R-transforms add",
             source="Voiculescu (1991)"),
        step("law", equal(_INVERSE(g), whole), "identity", ("free-sum", "transform-value"),
             "the spectral law of C, by the inverse function z(g) of its resolvent"),
        *_atom_steps(step, parts),
    )


def _atom_steps(step: Script, parts: tuple[tuple[Expr, Expr], ...]) -> tuple[Step, ...]:
    """The weight of the eigenvalue zero: -z g(z) = <-z/(c - z)> where z rises to 0, that is g to infinity."""
    w = _NEARNESS
    weight = -(w * 0 + inverse(parts, 1 / w) / w)  # -z g with g = 1/w
    shown = 1 - Add(*(a * v / (v + w) for v, a in parts))
    below = Domain(((ALPHA_D, Interval.open(0, 1)), (w, _POSITIVE)))
    return (
        step("atom-share", equal(weight, shown), "identity", (),
             "-z g(z) = <z/(z - c)> along g = 1/w; its limit at w = 0 is the weight of the eigenvalue 0", domain=below),
        step("atom-approach", Gt(shown - (1 - ALPHA_D), 0, evaluate=False), "positivity", (),
             "it is above 1 - alpha_D", domain=below),
        step("atom-bound",
             Gt(Add(*(a * w / v for v, a in parts)) - (shown - (1 - ALPHA_D)), 0, evaluate=False), "positivity", (),
             "and exceeds it by less than a multiple of w: for alpha_D < 1 the weight is 1 - alpha_D. From alpha_D = 1 "
             "on z g(z) reaches 0 at a finite g, and there is no eigenvalue 0", domain=below),
    )


# ---- edges


def edge_steps(step: Script, covariance: Covariance) -> tuple[Step, ...]:
    """Where the support ends: critical points of the inverse function, written in u = -1/g."""
    u, parts, shift = EDGE_POINT, covariance.parts, covariance.shift
    line = ((u, Interval(-oo, oo)),)
    off = Domain(line, tuple(Ne(u - v, 0, evaluate=False) for v, _ in parts))
    away = Domain(line, (Ne(u, 0), *off.constraints))
    place, load = edge_place(parts, u, shift), edge_load(parts, u)
    value = edge_value(parts, u, shift)
    low, high = parts[0][0], parts[-1][0]
    y = _DISTANCE
    g, z = RESOLVENT, Z
    poles = g * Mul(*(1 + v * g for v, _ in parts))
    slope = diff(inverse(parts, g, shift), g)
    cleared = expand(cancel(poles * (inverse(parts, g, shift) - z)))
    below, above = (edge_load(parts, end + sign * y) for end, sign in ((low, -1), (high, 1)))
    steps = [
        step("continued", equal(_PLACE(u), inverse(parts, -1 / u, shift)), "theorem", ("law",),
             "z(g) is one rational function, also at u = -1/g off g > 0: both sides are analytic", domain=away,
             source="analytic continuation"),
        step("place", equal(_PLACE(u), place), "identity", ("continued",), "in partial fractions", domain=away),
        step("support",
             "A real point is off the support exactly where it is z(-1/u) at a real u with positive slope: the support "
             "ends at critical points.", "theorem", ("place",), "where Im g = 0, g rises",
             source="Silverstein, Choi (1995)"),
        step("load", equal(_LOAD(u), load), "definition", (), "a sum over the variances, called the load of u",
             domain=Domain(line)),
        step("slope", equal(Derivative(_PLACE(u), u), 1 - _LOAD(u)), "differentiate", ("place", "load"),
             "the slope falls short of 1 by it", domain=away),
        step("edge-condition", equal(_LOAD(u), 1), "definition", ("support", "slope"), "u belongs to an edge",
             domain=off),
        step("edge-shape", equal(_PLACE(u), value + u * (1 - _LOAD(u))), "identity", ("place", "load"),
             "the place of u in terms that do not cancel", domain=away),
        step("edge", equal(_PLACE(u), value), "identity", ("edge-shape", "edge-condition"),
             "an edge of the spectrum of C, positive", domain=away),
        step("double-root", equal(diff(cleared, g).subs(z, inverse(parts, g, shift)), poles * slope), "identity", (),
             "as an equation of g and z the law is a polynomial; its slope in g on the curve is a multiple of dz/dg: "
             "edges are the real z with a double root, zeros of the discriminant"),
        step("load-at-zero", equal(load.subs(u, 0), ALPHA_D), "identity", (),
             "u = 0 is critical, and 0 an edge, exactly at alpha_D = 1"),
        step("below", equal(below, 1), "substitute", ("edge-condition", "load"), "critical points below the smallest v",
             hints=(("symbol", u), ("value", low - y))),
        step("lowest-edge", UniqueRoot(below - 1, y, _POSITIVE, -1), "monotone-root", ("below",),
             "one: the lower edge of the lowest bulk", hints=(("equation", "below"),)),
        step("above", equal(above, 1), "substitute", ("edge-condition", "load"), "critical points above the largest v",
             hints=(("symbol", u), ("value", high + y))),
        step("highest-edge", UniqueRoot(above - 1, y, _POSITIVE, -1), "monotone-root", ("above",),
             "one: the upper edge of the highest bulk", hints=(("equation", "above"),)),
    ]
    if not covariance.manifold.isotropic:
        return (*steps, *_between_steps(step, parts))
    return (*steps, *_isotropic_steps(step, covariance))


def _between_steps(step: Script, parts: tuple[tuple[Expr, Expr], ...]) -> tuple[Step, ...]:
    """At most one gap between neighbouring variances."""
    r = _PART
    domain = Domain(((r, Interval.open(0, 1)),))
    return tuple(
        step(f"between-{k}", Gt(diff(edge_load(parts, low + r * (high - low)), r, 2), 0, evaluate=False), "positivity",
             (), f"between v_{k} (r = 0) and v_{k + 1} (r = 1) the load is convex, infinite at both ends: two critical "
             "points, facing edges of two bulks, where its minimum is below 1, and none where the bulks have merged",
             domain=domain)
        for k, ((low, _), (high, _)) in enumerate(pairwise(parts), 1)
    )


def _isotropic_steps(step: Script, covariance: Covariance) -> tuple[Step, ...]:
    """One variance: the edges in closed form, and the discriminant that vanishes at them."""
    parts, shift = covariance.parts, covariance.shift
    ((v, a),) = parts
    variance = v * ALPHA_D
    lower, upper = (shift + variance * (1 + sign / sqrt(ALPHA_D)) ** 2 for sign in (-1, 1))
    g, z = RESOLVENT, Z
    at_low, at_high = (v * (1 + sign * sqrt(a)) for sign in (-1, 1))
    line = Domain(((z, Interval(-oo, oo)),))
    quadratic = (z - shift) * v * g**2 + (z - shift + v * (1 - a)) * g + 1
    return (
        step("isotropic-below", equal(edge_load(parts, at_low), 1), "identity", (), "the critical point below v"),
        step("isotropic-above", equal(edge_load(parts, at_high), 1), "identity", (), "and the one above"),
        step("isotropic-lower", equal(edge_value(parts, at_low, shift), lower), "identity", (),
             "lower edge, s^2 (1 - 1/sqrt(alpha_D))^2"),
        step("isotropic-upper", equal(edge_value(parts, at_high, shift), upper), "identity", (),
             "upper edge, s^2 (1 + 1/sqrt(alpha_D))^2"),
        step("resolvent", equal(z, inverse(parts, g, shift)), "definition", ("law",), "z at a given resolvent"),
        step("quadratic", equal(quadratic, 0), "rearrange", ("resolvent",), "the same law as a polynomial in g"),
        step("discriminant", equal(discriminant(quadratic, g), (z - lower) * (z - upper)), "identity", (),
             "its discriminant vanishes at the edges, and is negative between them", domain=line),
    )


# ---- gaps


def gap_steps(step: Script) -> tuple[Step, ...]:
    """The gap of t J between two facing edges of C, and when it is widest."""
    facing = Domain((), (Gt(HIGH, LOW, evaluate=False),))
    inside = Domain(((LOW, _POSITIVE),), (Gt(HIGH, LOW, evaluate=False),))
    gap = HIGH / (T + HIGH) - LOW / (T + LOW)
    largest = (sqrt(HIGH) - sqrt(LOW)) / (sqrt(HIGH) + sqrt(LOW))
    root = sqrt(HIGH * LOW)
    running = Dummy("t", positive=True)
    slope = (HIGH - LOW) * (HIGH * LOW - T**2) / ((T + HIGH) * (T + LOW)) ** 2
    reciprocal = (T + HIGH + LOW + HIGH * LOW / T) / (HIGH - LOW)
    maximum = Symbol("M", negative=True)
    return (
        step("gap", equal(GAP(T), image(HIGH) - image(LOW)), "definition", ("order",),
             "gap of t J between the images of two facing edges of C; for the final gap gamma_2 = 0, the spike at -1",
             domain=facing),
        step("gap-value", equal(GAP(T), gap), "identity", ("gap",), "written with positive parts", domain=facing),
        step("gap-product", equal(GAP(T), T * (HIGH - LOW) / ((T + HIGH) * (T + LOW))), "identity", ("gap-value",),
             "and as a product, in which nothing cancels", domain=facing),
        step("gap-slope", equal(Derivative(GAP(T), T), slope), "differentiate", ("gap-value",), "its slope in t",
             domain=facing),
        step("gap-widest", equal(Derivative(GAP(T), T), 0), "definition", ("gap-slope",), "where it is widest",
             domain=inside),
        step("gap-stationary", equal(T**2, HIGH * LOW), "rearrange", ("gap-widest", "gap-slope"),
             "the slope vanishes there", domain=inside),
        step("t-max", equal(T, root), "solve", ("gap-stationary",), "the one time", domain=inside),
        step("gap-reciprocal", equal(1 / GAP(T), reciprocal), "identity", ("gap-value",),
             "the gap is largest where its reciprocal is least", domain=facing),
        step("gap-kernel", Gt((root + T) / (T**2 * (HIGH - LOW)), 0, evaluate=False), "positivity", (),
             "minus the reciprocal has the slope (t_max - t) times this", domain=inside),
        step("gap-maximum",
             equal(maximum, Extremum(-reciprocal.subs(T, running), running, _POSITIVE, "max")), "definition",
             ("gap-reciprocal",), "the largest value of minus the reciprocal over all times", domain=inside),
        step("gap-least", equal(maximum, -1 / largest), "extremum", ("gap-maximum", "gap-kernel"),
             "it rises up to t_max and falls after: the maximum", domain=inside, hints=(("zero", root), ("at", root))),
        step("gap-largest", equal(gap.subs(T, root), largest), "identity", (), "the gap itself at t_max: the largest",
             domain=inside),
        step("final-gap", equal(GAP(T), HIGH / (T + HIGH)), "substitute", ("gap-value",),
             "the final gap: from the spike at -1 to the lowest bulk", hints=(("symbol", LOW), ("value", S.Zero))),
        step("final-gap-falls", equal(Derivative(HIGH / (T + HIGH), T), -HIGH / (T + HIGH) ** 2), "differentiate", (),
             "it falls with t, from 1 at t = 0: its supremum is 1"),
    )


def opening(high: Expr, low: Expr, resolution: Expr) -> Expr:
    """The larger of the two times at which the gap between two edges is as large as the resolution.

    A sum of positive terms under a square: nothing cancels, however far apart or close the edges.
    """
    return Add(*_opening_parts(high, low, resolution)) ** 2 / (4 * resolution)


def _opening_parts(high: Expr, low: Expr, resolution: Expr) -> tuple[Expr, Expr]:
    """sqrt(G) times the sum and the difference of the square roots of the two times."""
    outer, inner = sqrt(high) + sqrt(low), sqrt(high) - sqrt(low)
    return sqrt(inner) * sqrt(outer - resolution * inner), sqrt(outer) * sqrt(inner - resolution * outer)


def time_steps(step: Script) -> tuple[Step, ...]:
    """When a gap opens and closes at a resolution G, and the three phases."""
    outer, inner = sqrt(HIGH) + sqrt(LOW), sqrt(HIGH) - sqrt(LOW)
    facing = Domain((), (Gt(HIGH, LOW, evaluate=False),))
    seen = Domain(
        ((LOW, _POSITIVE),), (Gt(inner, 0, evaluate=False), Gt(inner - RESOLUTION * outer, 0, evaluate=False)))
    gap, root = HIGH / (T + HIGH) - LOW / (T + LOW), sqrt(HIGH * LOW)
    total = ((1 - RESOLUTION) * HIGH - (1 + RESOLUTION) * LOW) / RESOLUTION
    first, second = _opening_parts(HIGH, LOW, RESOLUTION)
    opened, final = opening(HIGH, LOW, RESOLUTION), HIGH * (1 - RESOLUTION) / RESOLUTION
    q, d, y = _ROOT_LOW, _ROOT_GAP, _DISTANCE
    p = q + d
    roots = Domain(((d, _POSITIVE), (q, _POSITIVE), (y, _POSITIVE)), (Gt(d - RESOLUTION * (2 * q + d), 0),))
    scaled = (1 + y) * (p**2 - q**2) / ((q * (1 + y) + p) * (p * (1 + y) + q))
    return (
        step("crossing", equal(RESOLUTION, gap), "definition", ("gap-value",), "a gap as large as the resolution",
             domain=facing),
        step("crossing-quadratic", equal(T**2 - total * T + HIGH * LOW, 0), "rearrange", ("crossing",),
             "a quadratic equation for t, whose roots have the product gamma_1 gamma_2", domain=facing),
        step("sum-of-times", equal(total + 2 * root, first**2 / RESOLUTION), "identity", (),
             "(sqrt t_open + sqrt t_close)^2", domain=seen),
        step("difference-of-times", equal(total - 2 * root, second**2 / RESOLUTION), "identity", (),
             "(sqrt t_open - sqrt t_close)^2: real roots exactly for G below the largest gap", domain=seen),
        step("t-open-formula", equal(OPENING, opened), "definition", ("sum-of-times", "difference-of-times"),
             "half the sum of both square roots, squared: the larger root", domain=seen),
        step("t-open", equal(gap.subs(T, OPENING), RESOLUTION), "identity", ("t-open-formula",),
             "there the gap is as large as the resolution", domain=seen),
        step("t-open-excess", equal(OPENING - root, second * (first + second) / (2 * RESOLUTION)), "identity",
             ("t-open-formula",), "what it exceeds t_max by: a product of positive roots", domain=seen),
        step("crossing-scaled", equal(scaled, RESOLUTION), "substitute", ("crossing",),
             "at t = (1 + y) t_max, with q and q + d the square roots of the edges", domain=roots,
             hints=(("symbol", T), ("value", p * q * (1 + y)), ("symbol", HIGH), ("value", p**2),
                    ("symbol", LOW), ("value", q**2))),
        step("opens-once", UniqueRoot(scaled - RESOLUTION, y, _POSITIVE, -1), "monotone-root", ("crossing-scaled",),
             "one crossing above t_max", domain=roots, hints=(("equation", "crossing-scaled"),)),
        step("t-close", equal(gap.subs(T, HIGH * LOW / T), gap), "identity", (),
             "the gap is the same at t and at gamma_1 gamma_2 / t, hence one crossing below t_max too: "
             "t_close = gamma_1 gamma_2 / t_open", domain=Domain(((LOW, _POSITIVE),), facing.constraints)),
        step("final-crossing", equal(RESOLUTION, HIGH / (T + HIGH)), "definition", ("final-gap",),
             "the final gap as large as the resolution"),
        step("final-time", equal(T, final), "solve", ("final-crossing",),
             "it reaches G once, and stays open"),
        step("final-opening", equal(opening(HIGH, S.Zero, RESOLUTION), final), "identity", (),
             "the formula for t_open at gamma_2 = 0 is the same"),
        step("phases",
             "Backwards in time, from large t: trivial, no gap is as large as G; manifold coverage, from the opening "
             "of the first gap on; consolidation, from the opening of the final gap on.", "definition",
             ("t-open", "final-time"), "three intervals of t"),
    )


# ---- Shannon transform


def shannon_steps(step: Script, covariance: Covariance) -> tuple[Step, ...]:
    """<log(1 + c/t)> as a function of the resolvent, its stationarity, and the replica free energy that it is."""
    g, parts = RESOLVENT, covariance.parts
    average, at = Function("S", real=True), Function("g", positive=True)
    value = shannon(parts, g, T)
    reached = T + inverse(parts, g)
    time = -inverse(parts, g)
    here = Domain((), (Gt(time, 0),))
    responses = tuple(Symbol(f"V_{k}", positive=True) for k in range(1, len(parts) + 1))
    free = replica_energy(parts, responses, T)
    place = {V: 1 / (1 + v * g) for V, (v, _) in zip(responses, parts, strict=True)}
    steps = [
        step("shannon-direction", equal(Derivative(log(1 + C / T), T), 1 / (C + T) - 1 / T), "differentiate", (),
             "along one eigenvalue"),
        step("shannon-slope", equal(Derivative(average(T), T), at(T) - 1 / T), "definition", ("shannon-direction",),
             "S(t) = <log(1 + c/t)>, averaged over the spectrum with <1/(c + t)> = g(-t)"),
        step("resolvent-at-time", equal(T + inverse(parts, at(T)), 0), "definition", ("law",), "g at z = -t"),
        step("shannon-stationary", equal(Derivative(value, g), reached), "differentiate", (),
             "the slope in g of sum_k alpha_k log(1 + v_k g) - log(t g) + t g - 1 vanishes where z(g) = -t"),
        step("shannon-same-slope", equal(Derivative(shannon(parts, at(T), T), T), at(T) - 1 / T), "differentiate",
             ("resolvent-at-time",), "so that its slope in t is that of S"),
        step("shannon", equal(average(T), shannon(parts, at(T), T)), "theorem",
             ("shannon-slope", "shannon-same-slope"), "equal slopes, and both vanish as t grows: t g(-t) tends to 1",
             source="Tulino, Verdu (2004)"),
        step("replica",
             "S/2 is the mutual information of a datum and its noisy version per N; the replica calculation at the "
             "Bayes-optimal point gives it as the extremum over the responses V_k, the posterior variances of the "
             "latent directions, of sum_k alpha_k (V_k - 1 - log V_k)/2 + log(1 + sum_k alpha_k v_k V_k / t)/2.",
             "assumption", (), "the free energy of the linear hidden manifold", source="A2"),
    ]
    steps += [
        step(f"replica-stationary-{k}", equal(diff(free, V).subs(place).subs(T, time), 0), "identity", ("replica",),
             f"stationary in V_{k} at V = 1/(1 + v g)", domain=here)
        for k, V in enumerate(responses, 1)
    ]
    steps.append(
        step("replica-value", equal(free.subs(place).subs(T, time), value.subs(T, time) / 2), "identity", ("replica",),
             "its value there is half the Shannon transform, all as functions of g", domain=here))
    if covariance.manifold.isotropic:
        steps += _isotropic_shannon_steps(step, parts)
    return tuple(steps)


def finite_size_steps(step: Script, covariance: Covariance) -> tuple[Step, ...]:
    """What a matrix of finite size adds to the mean fraction of eigenvalues below a point."""
    g, parts = RESOLVENT, covariance.parts
    load = Add(*(a * (v * g / (1 + v * g)) ** 2 for v, a in parts))
    slope = diff(inverse(parts, g), g)
    added = Add(*(a * v**2 * g**3 / (1 + v * g) ** 3 for v, a in parts)) / (1 - load) ** 2
    return (
        step("load-resolvent", equal(slope, (1 - load) / g**2), "identity", (), "the load in terms of g"),
        step("finite-size",
             "In real matrices the mean of N g(z) exceeds its limit by M(z) = sum_k alpha_k v_k^2 g^3/(1 + v_k g)^3 "
             "over the square of one minus the load, up to terms that vanish.", "theorem", ("covariance",),
             "the first correction", source="Bai, Silverstein (2004)"),
        step("finite-size-slope", equal(added, -diff(log(1 - load), g) / slope / 2), "identity", (),
             "M is -1/2 d/dz log(1 - load): the number of eigenvalues below x is moved by -arg(1 - load)/(2 pi) on "
             "average, 1/4 inside each edge", domain=Domain((), (Gt(1 - load, 0, evaluate=False),))),
    )


def shannon(parts: tuple[tuple[Expr, Expr], ...], g: Expr, t: Expr) -> Expr:
    """<log(1 + c/t)> in terms of g = <1/(c + t)>."""
    return Add(*(a * log(1 + v * g) for v, a in parts)) - log(t * g) + t * g - 1


def replica_energy(parts: tuple[tuple[Expr, Expr], ...], responses: tuple[Symbol, ...], t: Expr) -> Expr:
    """The replica free energy of the linear manifold at its Bayes-optimal point, per N."""
    latent = Add(*(a * (V - 1 - log(V)) for V, (_, a) in zip(responses, parts, strict=True)))
    return latent / 2 + log(1 + Add(*(a * v * V for V, (v, a) in zip(responses, parts, strict=True))) / t) / 2


def _isotropic_shannon_steps(step: Script, parts: tuple[tuple[Expr, Expr], ...]) -> tuple[Step, ...]:
    """One variance: the closed form of the Marchenko-Pastur law, and the collapse time that rests on it."""
    ((v, _),) = parts
    b = v * ALPHA_D / T
    law = MarchenkoPastur(ALPHA_D)
    response = MPResponse(b, ALPHA_D)
    g = 1 / (T * (1 + b * response))
    return (
        step("shannon-resolvent", equal(SpectralAverage(1 / (T * (1 + b * C)), C, law), g), "evaluate", (),
             "<1/(c + t)> by the response of the Marchenko-Pastur law"),
        step("shannon-closed", equal(SpectralAverage(log(1 + b * C), C, law), shannon(parts, g, T)), "evaluate", (),
             "its Shannon transform is the one above, at that g"),
    )
