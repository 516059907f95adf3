"""Spin glasses with Gaussian energies: replica-symmetric and one-step free entropies, derived for any covariance.

The energies of configurations are Gaussian with covariance E[H(s) H(s')] = N f(s.s'/N): f(q) = q^2/2 is the
Sherrington-Kirkpatrick model, q^p/2 the p-spin model, a sum of powers a mixed one.  A spin has finitely many values, or
the configuration lies on the sphere |s|^2 = N.  The steps share the algebra of overlap matrices and of blocks with the
calculation on a hidden manifold (derive.methods.replica_breaking); the results can be compared with the literature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import (
    And,
    Derivative,
    Determinant,
    Eq,
    Expr,
    Function,
    Integer,
    Interval,
    MatrixSymbol,
    Rational,
    S,
    Subs,
    Symbol,
    Trace,
    exp,
    log,
    oo,
    sqrt,
    sympify,
)

from derive.core import DeriveError, Domain, Step
from derive.ledger import Derivation
from derive.methods.replica import COUNT, CURVATURE, IN_VARIANCE, OMEGA, SLOPE, L
from derive.methods.replica_block import BLOCK_ENERGY, SHARED, block_steps, energy_gradient, tag
from derive.methods.replica_manifold import BLOCK, BREAKPOINT, COMMON, OWN, Q0, Q1
from derive.methods.script import Script
from derive.nodes import Atoms, GaussianAverage, LogAverageExp, Normal
from derive.nodes.replica_matrix import OverlapMatrix
from derive.symbols import V
from derive.symbols import beta as BETA
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X

__all__ = ["BETA", "ISING", "ONE_STEP_SPINS", "SYMMETRIC_SPINS", "SpinGlass"]

ISING = Atoms((Integer(-1), Integer(1)), (Rational(1, 2), Rational(1, 2)))
#: variances of the conjugate fields: between blocks, inside blocks, of a replica with itself
K0, K1, KR = Symbol("k_0", positive=True), Symbol("k_1", positive=True), Symbol("k_r", positive=True)
#: free entropy with conjugates, one-step and symmetric free entropy
WITH_FIELDS, ONE_STEP_SPINS, SYMMETRIC_SPINS = (Function(k, real=True) for k in ("Phi_k", "Phi_1", "Phi"))
_ENTROPIC = Function("S_n", real=True)
_SPIN = Symbol("s_1", real=True)
_POSITIVE = Interval.open(0, oo)
_SOURCE = "Sherrington and Kirkpatrick (1975); Parisi (1980)"


@dataclass(frozen=True)
class SpinGlass:
    """A spin glass with Gaussian energies of covariance N f(q).

    Args:
        covariance: f, an expression in derive.symbols.q, increasing and convex on [0, 1].
        law: of a single spin, on finitely many values; None for the sphere |s|^2 = N.
        field: uniform external field h, energy -h per unit of spin; 0 on the sphere, where a random field of variance
            h^2 is the term h^2 q of the covariance.

    Raises: DeriveError for a covariance without q, or a field on the sphere.

    The partition function counts the values of a spin with weight (number of values) times its law: each once where
    the law is uniform.  beta F/N = -(free entropy).

    >>> sk = SpinGlass(Q**2 / 2)
    >>> sk.symmetric_free_entropy().subs(Q, 0).doit()
    beta**2/4 + log(2)
    >>> SpinGlass(Q**3 / 2, None).one_step_free_entropy().subs({Q0: 0, Q1: 0})
    beta**2/4
    """

    covariance: Expr
    law: Atoms | None = ISING
    field: Expr = S.Zero

    def __post_init__(self) -> None:
        for name in ("covariance", "field"):
            object.__setattr__(self, name, sympify(getattr(self, name)))
        if Q not in self.covariance.free_symbols:
            raise DeriveError(f"the covariance {self.covariance} does not depend on the overlap {Q}",
                              given=str(self.covariance), allowed=f"an expression in {Q}, such as {Q**2 / 2}")
        if self.law is None and self.field != 0:
            raise DeriveError("a spherical model is given a field", given=str(self.field),
                              allowed=f"a random field as the term h**2*{Q} of the covariance")

    # ---- parts

    def f(self, q: Expr) -> Expr:
        """The covariance at an overlap."""
        return self.covariance.subs(Q, q)

    def slope(self, q: Expr) -> Expr:
        """f' at an overlap."""
        return self.covariance.diff(Q).subs(Q, q)

    @property
    def fixed_norm(self) -> bool:
        """Whether every configuration has the overlap one with itself."""
        return self.law is None or all(p**2 == 1 for p in self.law.points)

    @property
    def norm(self) -> Expr:
        """The overlap of a replica with itself: one where it is fixed, else an order parameter."""
        return S.One if self.fixed_norm else R

    @property
    def counting(self) -> Expr:
        """The log of the number of values of a spin."""
        return S.Zero if self.law is None else log(len(self.law.points))

    def log_weight(self, omega: Expr, variance: Expr) -> Expr:
        """L(omega, V) = log E_s exp(s (omega + beta h) + V s^2/2) over the law of a spin."""
        assert self.law is not None
        return LogAverageExp(_SPIN * (omega + BETA * self.field) + variance * _SPIN**2 / 2, _SPIN, self.law)

    def pair_energy(self, q0: Expr = Q0, q1: Expr = Q1, block: Expr = BREAKPOINT) -> Expr:
        """lim 1/n sum_ab f(Q_ab) in blocks."""
        return self.f(self.norm) + (block - 1) * self.f(q1) - block * self.f(q0)

    # ---- results

    def one_step_free_entropy(self, q0: Expr = Q0, q1: Expr = Q1, block: Expr = BREAKPOINT) -> Expr:
        """The free entropy per spin with one step of symmetry breaking, as `derivation` reaches it."""
        energy = BETA**2 / 2 * self.pair_energy(q0, q1, block)
        if self.law is None:
            return energy + _sphere(q0, q1, block)
        k0, k1, kr = (BETA**2 * self.slope(q) for q in (q0, q1, self.norm))
        return (energy + self.counting - _conjugate(k0, k1, kr, q0, q1, self.norm, block) / 2
                + self.site_energy(k0, k1, kr, block))

    def symmetric_free_entropy(self, q: Expr = Q) -> Expr:
        """The replica-symmetric free entropy per spin."""
        energy = BETA**2 / 2 * (self.f(self.norm) - self.f(q))
        if self.law is None:
            return energy + (log(1 - q) + q / (1 - q)) / 2
        k, kr = (BETA**2 * self.slope(p) for p in (q, self.norm))
        return (energy + self.counting - (kr * self.norm - k * q) / 2
                + GaussianAverage(self.log_weight(sqrt(k) * COMMON, kr - k), COMMON))

    def site_energy(self, k0: Expr, k1: Expr, kr: Expr, block: Expr = BREAKPOINT) -> Expr:
        """The log-weight of a block of spins in fields of these variances, per replica, over all sites."""
        field = sqrt(k0) * COMMON + sqrt(k1 - k0) * BLOCK
        return GaussianAverage(LogAverageExp(block * self.log_weight(field, kr - k1), BLOCK, Normal()) / block, COMMON)

    @property
    def domain(self) -> Domain:
        """Where the order parameters lie."""
        intervals = [(s, _POSITIVE) for s in (BETA, Q0, Q1, K0, K1, KR, Q, V, COUNT)]
        intervals += [(BREAKPOINT, Interval.Lopen(0, 1)), *(() if self.fixed_norm else ((R, _POSITIVE),))]
        return Domain(tuple(intervals), (Q1 - Q0 >= 0, self.norm - Q1 > 0))

    # ---- derivation

    def derivation(self) -> Derivation:
        """From the replicated partition function to the one-step free entropy and its saddle-point equations.

        "one-step" states the free entropy, "symmetric-returns" its limit; with spins, "saddle-q0", "saddle-q1",
        "saddle-r" and "saddle-x" are its equations.
        """
        step = Script(self.domain, _SOURCE)
        rest = _spherical_steps(self, step) if self.law is None else _spin_steps(self, step)
        kind = "spherical" if self.law is None else "spins"
        return Derivation(f"spin-glass/{kind}/{self.covariance}", f"Spin glass with covariance N ({self.covariance})",
                          (*_replicated(self, step), *rest))


def _conjugate(k0: Expr, k1: Expr, kr: Expr, q0: Expr, q1: Expr, norm: Expr, block: Expr) -> Expr:
    """lim 1/n tr(K Q) in blocks."""
    return kr * norm + (block - 1) * k1 * q1 - block * k0 * q0


def _sphere(q0: Expr, q1: Expr, block: Expr) -> Expr:
    """Entropy of a spherical configuration at given overlaps, with one step of symmetry breaking."""
    own, shared = 1 - q1, 1 - q1 + block * (q1 - q0)
    return (log(own) + (log(shared) - log(own)) / block + q0 / shared) / 2


def _replicated(model: SpinGlass, step: Script) -> tuple[Step, ...]:
    """Disorder averaged, overlaps in blocks: what all spin glasses share."""
    g1, g2, a1, a2, b1, b2 = (Symbol(k, real=True) for k in ("g_1", "g_2", "a_1", "a_2", "b_1", "b_2"))
    two = exp(-BETA * (g1 * a1 + g2 * a2) - BETA * (g1 * b1 + g2 * b2))
    size = COUNT
    overlaps, energies = MatrixSymbol("Q", size, size), MatrixSymbol("F", size, size)
    norm, f = model.norm, model.f
    ones = OverlapMatrix.symmetric(COUNT, 1, 1)
    total = COUNT * (f(norm) - f(Q1) + BREAKPOINT * (f(Q1) - f(Q0)) + COUNT * f(Q0))
    return (
        step("energies", f"The energies are Gaussian, E[H(s) H(s')] = N f(s.s'/N) with f(q) = {model.covariance}; the "
             "free entropy concentrates on its average over them.", "assumption", (), "what is averaged over"),
        step("replica-slope", Eq(Subs(Derivative(log(GaussianAverage(exp(COUNT * Function("Y", real=True)(g1)), g1)),
                                                 COUNT), COUNT, 0),
                                 GaussianAverage(Function("Y", real=True)(g1), g1)), "differentiate", (),
             "the slope at n = 0 of log E Z^n is E log Z, for any positive Z = exp Y"),
        step("replica-trick", "E log Z is the slope at n = 0 of log E Z^n, continued from integer n; the limits "
             "N -> oo and n -> 0 are exchanged.", "assumption", ("energies", "replica-slope"), "the replica method"),
        step("disorder", Eq(GaussianAverage(two, g1, g2), exp(BETA**2 / 2 * (a1**2 + a2**2 + b1**2 + b2**2
                                                                            + 2 * (a1 * b1 + a2 * b2)))), "evaluate",
             (), "Gaussian energies of two replicas: every pair (a, b) brings beta^2/2 times its covariance"),
        step("laplace", "E Z^n is the average over the overlaps of exp(N beta^2/2 sum_ab f(Q_ab)) times the number of "
             "configurations that have them; at large N the dominating overlaps decide.", "assumption",
             ("disorder", "replica-trick"), "Laplace's method"),
        step("blocks", "The dominating overlaps distinguish n/m_b blocks of m_b replicas, and nothing else.",
             "assumption", ("laplace",), "Parisi's ansatz with one step; replica symmetry is q_0 = q_1"),
        step("overlaps", Eq(overlaps, OverlapMatrix.one_step(COUNT, BREAKPOINT, norm, Q1, Q0), evaluate=False),
             "definition", ("blocks",), "q_1 inside a block, q_0 between blocks"),
        step("pair-energies", Eq(energies, OverlapMatrix.one_step(COUNT, BREAKPOINT, f(norm), f(Q1), f(Q0)),
                                 evaluate=False), "definition", ("overlaps", "disorder"), "f of every overlap"),
        step("pair-sum", Eq(Trace(ones * energies), total), "replica-algebra", ("pair-energies",),
             "the sum over all pairs of replicas"),
        step("pair-slope", Eq(Subs(Derivative(total, COUNT), COUNT, 0), model.pair_energy()), "differentiate", (),
             "and per replica at n -> 0"),
    )


def _spherical_steps(model: SpinGlass, step: Script) -> tuple[Step, ...]:
    own, shared = 1 - Q1, 1 - Q1 + BREAKPOINT * (Q1 - Q0)
    determinant = (COUNT * log(own) + COUNT * (log(shared) - log(own)) / BREAKPOINT + log(1 + COUNT * Q0 / shared))
    overlaps = MatrixSymbol("Q", COUNT, COUNT)
    entropy, whole = _ENTROPIC(COUNT, Q0, Q1, BREAKPOINT), ONE_STEP_SPINS(Q0, Q1, BREAKPOINT)
    explicit = model.one_step_free_entropy()
    slopes = {k: Derivative(whole, k) for k in (Q0, Q1, BREAKPOINT)}
    return (
        step("configurations", "The log density of the overlaps of vectors on the sphere is N log det Q/2 at large N.",
             "theorem", ("laplace",), "Cramer; zero for orthogonal replicas", source="Crisanti and Sommers (1992)"),
        step("determinant", Eq(log(Determinant(overlaps)), determinant), "replica-algebra", ("overlaps",),
             "three kinds of eigenvectors"),
        step("entropy-n", Eq(entropy, log(Determinant(overlaps)) / 2), "definition", ("configurations",), "for n"),
        step("entropy-value", Eq(entropy, determinant / 2), "identity", ("entropy-n", "determinant"), "for real n"),
        step("entropy", Eq(Subs(Derivative(entropy, COUNT), COUNT, 0), _sphere(Q0, Q1, BREAKPOINT)), "differentiate",
             ("entropy-value",), "per replica at n -> 0"),
        step("one-step-parts", Eq(whole, BETA**2 / 2 * model.pair_energy()
                                  + Subs(Derivative(entropy, COUNT), COUNT, 0)), "definition",
             ("blocks", "pair-sum", "pair-slope"), "energy and entropy"),
        step("one-step", Eq(whole, explicit), "identity", ("one-step-parts", "entropy"), "the one-step free entropy"),
        *(step(f"gradient-{tag(k)}", Eq(slope, explicit.diff(k)), "differentiate", ("one-step",),
               f"its derivative in {k}, which vanishes") for k, slope in slopes.items()),
        step("equal-overlaps", Eq(ONE_STEP_SPINS(Q, Q, BREAKPOINT), model.one_step_free_entropy(Q, Q)), "substitute",
             ("one-step",), "with one overlap", domain=Domain(constraints=(1 - Q > 0,)),
             hints=(("symbol", Q0), ("value", Q), ("symbol", Q1), ("value", Q))),
        step("symmetric-returns", Eq(ONE_STEP_SPINS(Q, Q, BREAKPOINT), model.symmetric_free_entropy()), "identity",
             ("equal-overlaps",), "the symmetric free entropy", domain=Domain(constraints=(1 - Q > 0,))),
    )


def _spin_steps(model: SpinGlass, step: Script) -> tuple[Step, ...]:
    return (*_site_steps(model, step), *block_steps("heat", "growth", "Parisi (1980)"), *_saddle_steps(model, step))


def _site_steps(model: SpinGlass, step: Script) -> tuple[Step, ...]:
    """A single spin in the conjugate fields."""
    free = Script(Domain(((V, _POSITIVE), (BETA, _POSITIVE))), _SOURCE)
    at = (X, OMEGA, V)
    names = [Symbol(k, real=True) for k in ("w_a", "w_b", "v_a", "v_b")]
    wa, wb, va, vb = names
    own, mate, stranger = (sqrt(K0) * COMMON + sqrt(K1 - K0) * v + sqrt(KR - K1) * w
                           for v, w in ((va, wa), (va, wb), (vb, wb)))

    def covariance(a: Expr, b: Expr) -> Expr:
        return GaussianAverage(a * b, COMMON, *names)

    return (
        free("log-weight", Eq(L(*at), model.log_weight(OMEGA, V)), "definition", (),
             "log-weight of a spin in the field omega, the field of variance V of its own replica averaged"),
        free("own-field", Eq(GaussianAverage(exp(_SPIN * sqrt(V) * OWN), OWN), exp(V * _SPIN**2 / 2)), "evaluate", (),
             "the average over the field of a single replica"),
        free("slope-name", Eq(SLOPE(*at), Derivative(L(*at), OMEGA)), "definition", (), "derivatives of L: in the "
             "field,"),
        free("curvature-name", Eq(CURVATURE(*at), Derivative(L(*at), (OMEGA, 2))), "definition", (), "twice,"),
        free("variance-name", Eq(IN_VARIANCE(*at), Derivative(L(*at), V)), "definition", (), "and in the variance"),
        free("heat-equation", Eq(Derivative(L(*at), V), (Derivative(L(*at), (OMEGA, 2))
                                                         + Derivative(L(*at), OMEGA) ** 2) / 2), "differentiate",
             ("log-weight",), "exp L obeys the heat equation"),
        free("heat", Eq(IN_VARIANCE(*at), (CURVATURE(*at) + SLOPE(*at) ** 2) / 2), "identity",
             ("variance-name", "heat-equation", "slope-name", "curvature-name"), "in these names"),
        free("growth", "L grows linearly in the field and its derivatives are bounded.", "theorem", ("log-weight",),
             "as the values of a spin are bounded"),
        step("fields", "The number of configurations with given overlaps is the exponential of N times the extremum "
             "over K of -tr(K Q)/2 + log sum_s exp(sum_ab K_ab s_a s_b/2 + beta h sum_a s_a), one spin in n replicas.",
             "theorem", ("laplace",), "Cramer", source="Cramer (1938)"),
        step("decoupling", And(Eq(covariance(own, own), KR), Eq(covariance(own, mate), K1),
                               Eq(covariance(own, stranger), K0)), "evaluate", (),
             "fields with the covariance K in blocks",
             domain=Domain(constraints=(K1 - K0 > 0, KR - K1 > 0))),
    )


def _saddle_steps(model: SpinGlass, step: Script) -> tuple[Step, ...]:
    norm = model.norm
    conjugate, overlaps = MatrixSymbol("K", COUNT, COUNT), MatrixSymbol("Q", COUNT, COUNT)
    trace = COUNT * (KR * norm - K1 * Q1 + BREAKPOINT * (K1 * Q1 - K0 * Q0) + COUNT * K0 * Q0)
    into: dict[Symbol, Expr] = {M: S.Zero, Q0: K0, Q1: K1, R: KR}
    put: tuple[tuple[str, Any], ...] = tuple(
        pair for k, v in into.items() for pair in (("symbol", k), ("value", v)))
    rooms = Domain(constraints=(K1 - K0 > 0, KR - K1 > 0))
    site = Script(step.domain | rooms, _SOURCE)
    energy = BLOCK_ENERGY(0, K0, K1, KR, BREAKPOINT)
    whole = WITH_FIELDS(Q0, Q1, norm, K0, K1, KR, BREAKPOINT)
    parts = (BETA**2 / 2 * model.pair_energy() + model.counting
             - _conjugate(K0, K1, KR, Q0, Q1, norm, BREAKPOINT) / 2)
    overlaps_of: dict[Symbol, Symbol] = {Q0: K0, Q1: K1, **({} if model.fixed_norm else {R: KR})}
    means = {Q0: SHARED["between"], Q1: SHARED["inside"], R: SHARED["response"] + SHARED["inside"]}
    slopes = (*overlaps_of, *overlaps_of.values(), BREAKPOINT)
    proper = Script(site.domain | Domain(constraints=(1 - BREAKPOINT > 0,)), _SOURCE)
    kept = (Q0, Q1) if model.fixed_norm else (Q0, Q1, R)
    gradient = {into[k]: v.subs(into, simultaneous=True) for k, v in energy_gradient().items() if k in kept}
    gradient[BREAKPOINT] = energy_gradient()[BREAKPOINT].subs(into, simultaneous=True)
    origin = {K0: "q0", K1: "q1", KR: "r", BREAKPOINT: "x"}
    return (
        site("conjugate", Eq(conjugate, OverlapMatrix.one_step(COUNT, BREAKPOINT, KR, K1, K0), evaluate=False),
             "definition", ("fields", "blocks"), "the conjugate matrix has the same blocks"),
        site("conjugate-sum", Eq(Trace(conjugate * overlaps), trace), "replica-algebra", ("conjugate", "overlaps"),
             "the sum over pairs"),
        site("conjugate-slope", Eq(Subs(Derivative(trace, COUNT), COUNT, 0),
                                   _conjugate(K0, K1, KR, Q0, Q1, norm, BREAKPOINT)), "differentiate", (),
             "per replica at n -> 0"),
        site("field-energy-site", Eq(energy, SHARED["energy"].subs(into, simultaneous=True)), "substitute",
             ("block-energy",), "the energy of a site in blocks, without a planted pattern", hints=put),
        *(site(f"field-energy-{tag(k)}", Eq(Derivative(energy, k), value), "substitute", (f"block-energy-{origin[k]}",),
               "its derivative", hints=put)
          for k, value in gradient.items()),
        site("field-energy", Eq(energy, model.site_energy(K0, K1, KR)), "identity",
             ("field-energy-site", "block-weight", "log-weight"), "the energy of a spin in the fields"),
        site("with-fields", Eq(whole, parts + energy), "definition", ("pair-slope", "conjugate-slope", "decoupling"),
             "the free entropy, extremal in overlaps and fields"),
        *(site(f"stationary-{tag(k)}", Eq(Derivative(whole, k), 0), "definition", ("laplace",), f"extremum over {k}")
          for k in slopes),
        *(site(f"gradient-{tag(k)}", Eq(Derivative(whole, k), parts.diff(k) + gradient.get(k, S.Zero)), "differentiate",
               ("with-fields", *([f"field-energy-{tag(k)}"] if k in gradient else [])),
               f"the derivative in {k}") for k in slopes),
        *(proper(f"field-{tag(q)}", Eq(k, BETA**2 * model.slope(q), evaluate=False), "rearrange",
                 (f"stationary-{tag(q)}", f"gradient-{tag(q)}"), f"the field of the overlap {q}")
          for q, k in overlaps_of.items()),
        *(proper(f"saddle-{tag(q)}", Eq(q, means[q].subs(into, simultaneous=True)), "rearrange",
                 (f"stationary-{tag(k)}", f"gradient-{tag(k)}"), "an overlap is an average over blocks and sites")
          for q, k in overlaps_of.items()),
        site("saddle-x", Eq(parts.diff(BREAKPOINT) + gradient[BREAKPOINT], 0), "rearrange",
             ("stationary-x", "gradient-x"), "the equation of the breakpoint"),
        site("with-fields-value", Eq(whole, parts + model.site_energy(K0, K1, KR)), "identity",
             ("with-fields", "field-energy"), "written out"),
        *_eliminated(model, step, whole, parts),
    )


def _eliminated(model: SpinGlass, step: Script, whole: Expr, parts: Expr) -> tuple[Step, ...]:
    """The fields put in, and what is left where all overlaps are equal."""
    put = {K0: BETA**2 * model.slope(Q0), K1: BETA**2 * model.slope(Q1), KR: BETA**2 * model.slope(model.norm)}
    hints: tuple[tuple[str, Any], ...] = tuple(
        pair for k, v in put.items() for pair in (("symbol", k), ("value", v)))
    equal: tuple[tuple[str, Any], ...] = (("symbol", Q0), ("value", Q), ("symbol", Q1), ("value", Q))
    name = ONE_STEP_SPINS(Q0, Q1, model.norm, BREAKPOINT)
    narrow = Domain(constraints=(model.norm - Q > 0,))
    explicit = model.one_step_free_entropy()
    same = Eq(name.subs({Q0: Q, Q1: Q}), explicit.subs({Q0: Q, Q1: Q}))
    return (
        step("one-step-name", Eq(name, whole.subs(put)), "definition", ("field-q0", "field-q1"),
             "the free entropy at its fields, extremal in the overlaps"),
        step("one-step-fields", Eq(whole.subs(put), parts.subs(put) + model.site_energy(*put.values())), "substitute",
             ("with-fields-value",), "with these fields", hints=hints),
        step("one-step", Eq(name, explicit), "identity", ("one-step-name", "one-step-fields"),
             "the one-step free entropy"),
        step("equal-overlaps", same, "substitute", ("one-step",), "with one overlap", domain=narrow, hints=equal),
        step("symmetric-returns", Eq(same.lhs, model.symmetric_free_entropy()), "identity", ("equal-overlaps",),
             "the symmetric free entropy is back, whatever the blocks", domain=narrow),
    )
