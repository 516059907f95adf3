"""One step of replica symmetry breaking on a hidden manifold: free entropy, and how it returns to the symmetric one.

The n replicas fall into blocks of m_b, with overlap q_1 inside a block and q_0 between blocks.
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
    ImmutableMatrix,
    Integer,
    Interval,
    MatrixSymbol,
    Subs,
    Trace,
    exp,
    log,
    oo,
    sqrt,
)

from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.methods.replica import (
    COUNT,
    DOMAIN,
    OMEGA,
    PHI,
    QUERY,
    SIGMA,
    SOURCE,
    G,
    L,
    over_sites,
    site_hints,
    symmetric_derivation,
)
from derive.methods.replica_block import BLOCK_ENERGY, SHARED, block_steps, energy_gradient, tag
from derive.methods.replica_manifold import (
    BLOCK,
    BREAKPOINT,
    COMMON,
    NOISE,
    OWN,
    PLANTED,
    Q0,
    Q1,
    H,
    ManifoldSite,
    entropic_one_step,
    entropic_symmetric,
)
from derive.methods.script import Script
from derive.nodes import GaussianAverage, LogAverageExp, Normal
from derive.nodes.replica_matrix import OverlapMatrix
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import lam as LAM
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = ["ONE_STEP", "breaking_derivation", "breaking_saddle", "breaking_steps", "site_breaking"]

#: entropic, energetic part for n replicas and free entropy with one step of breaking
ENTROPIC, ENERGETIC, ONE_STEP = (Function(k, real=True) for k in ("S_1", "E_b", "Phi_1"))
_ARGUMENTS = (M, Q0, Q1, R, BREAKPOINT)
_POSITIVE = Interval.open(0, oo)
BLOCKS = Domain(
    (*((s, i) for s, i in DOMAIN.intervals if s != Q), (Q0, _POSITIVE), (Q1, _POSITIVE),
     (BREAKPOINT, Interval.Lopen(0, 1))),
    (Q0 - M**2 > 0, Q1 - Q0 >= 0, R - Q1 > 0),
)
_FIELD = M * PLANTED + sqrt(Q0 - M**2) * COMMON
_IN_BLOCK = _FIELD + sqrt(Q1 - Q0) * BLOCK


def breaking_derivation() -> Derivation:
    """The one-step free entropy; "broken-explicit" states it, "equal-returns" and "single-*" its limits.

    "broken-saddle-m", "-q0", "-q1", "-r" and "-x" are its saddle-point equations, "site-one-step" the free entropy of
    the noise of a dense memory, for an undefined activation.
    """
    return symmetric_derivation().extend(
        (*breaking_steps(), *breaking_saddle(), *site_breaking(ManifoldSite(LAM * X * XI, SIGMA(H)))),
        name="replica-breaking",
        title="One step of replica symmetry breaking on a hidden manifold")


def _log_block(block: Expr, inside: Expr) -> Expr:
    """log E over the field of a block of exp(block * inside), per replica."""
    return LogAverageExp(block * inside, BLOCK, Normal()) / block


def _one(field: Expr, variance: Expr) -> Expr:
    return LogAverageExp(G(QUERY(PLANTED, NOISE), SIGMA(field + sqrt(variance) * OWN)), OWN, Normal())


def breaking_steps() -> tuple[Step, ...]:
    """The steps to the one-step free entropy; they stand on those of `symmetric_derivation`."""
    step = Script(BLOCKS, "Parisi (1980); " + SOURCE)
    size = COUNT + 1
    overlaps = MatrixSymbol("Q_1", size, size)
    family = OverlapMatrix.one_step(COUNT, BREAKPOINT, R, Q1, Q0, planted=M)
    shared = R - Q1 + BREAKPOINT * (Q1 - Q0)
    determinant = (COUNT * log(R - Q1) + COUNT * (log(shared) - log(R - Q1)) / BREAKPOINT
                   + log(1 + COUNT * (Q0 - M**2) / shared))
    entropy = ENTROPIC(COUNT, *_ARGUMENTS)
    energy = ENERGETIC(COUNT, *_ARGUMENTS)
    broken = ONE_STEP(*_ARGUMENTS)
    query = QUERY(PLANTED, NOISE)
    both = BLOCKS | DOMAIN
    whole = ALPHA_D * entropic_one_step() + over_sites(_log_block(BREAKPOINT, _one(_IN_BLOCK, R - Q1)))
    in_block = _log_block(BREAKPOINT, L(query, _IN_BLOCK, R - Q1))
    names = [_named(k) for k in ("w_a", "w_b", "v_a", "v_b")]
    variables = (PLANTED, COMMON, *names)
    wa, wb, va, vb = names
    own, mate, stranger = (_FIELD + sqrt(Q1 - Q0) * v + sqrt(R - Q1) * w for v, w in ((va, wa), (va, wb), (vb, wb)))

    def covariance(a: Expr, b: Expr) -> Expr:
        return GaussianAverage(a * b, *variables)

    cosine, sine = sqrt(Q1 - Q0) / sqrt(R - Q0), sqrt(R - Q1) / sqrt(R - Q0)
    turn = ImmutableMatrix([[cosine, sine], [sine, -cosine]])
    own_field = OMEGA + sqrt(Q1 - Q0) * BLOCK + sqrt(R - Q1) * OWN

    def weight(field: Expr) -> Expr:
        return LogAverageExp(G(X, SIGMA(field)), OWN, Normal())

    return (
        step("blocks", "The dominating overlaps distinguish n/m_b blocks of m_b replicas, and nothing else.",
             "assumption", ("laplace",), "Parisi's ansatz with one step, where replica symmetry is unstable"),
        step("broken-overlaps", Eq(overlaps, family, evaluate=False), "definition", ("blocks", "planted-norm"),
             "q_1 in a block, q_0 between blocks"),
        step("broken-determinant", Eq(log(Determinant(overlaps)), determinant), "replica-algebra",
             ("broken-overlaps",), "three kinds of eigenvectors: inside the blocks, between them, and shared by all"),
        step("broken-trace", Eq(Trace(overlaps), 1 + COUNT * R), "replica-algebra", ("broken-overlaps",), "its trace"),
        step("broken-entropic-n", Eq(entropy, (log(Determinant(overlaps)) - Trace(overlaps) + COUNT + 1) / 2),
             "definition", ("latent-entropy",), "the entropic part for n replicas"),
        step("broken-entropic-value", Eq(entropy, (determinant - COUNT * R + COUNT) / 2), "identity",
             ("broken-entropic-n", "broken-determinant", "broken-trace"), "for real n and m_b from here on"),
        step("broken-entropic", Eq(Subs(Derivative(entropy, COUNT), COUNT, 0), entropic_one_step()), "differentiate",
             ("broken-entropic-value",), "the entropic part at n -> 0"),
        step("broken-decoupling", And(Eq(covariance(PLANTED, own), M), Eq(covariance(own, own), R),
                                      Eq(covariance(own, mate), Q1), Eq(covariance(own, stranger), Q0)), "evaluate",
             (), "h = m u + sqrt(q_0 - m^2) v + sqrt(q_1 - q_0) v_1 + sqrt(r - q_1) w: v_1 is common to a block"),
        step("broken-energetic-n", Eq(energy, log(over_sites(exp(COUNT * in_block)))), "definition",
             ("rows", "broken-decoupling", "log-weight"),
             "n/m_b independent blocks of m_b independent replicas, given u and v"),
        step("broken-energetic", Eq(Subs(Derivative(energy, COUNT), COUNT, 0), over_sites(in_block)), "differentiate",
             ("broken-energetic-n",), "the energetic part at n -> 0"),
        step("broken-free-entropy", Eq(broken, ALPHA_D * Subs(Derivative(entropy, COUNT), COUNT, 0)
                                       + Subs(Derivative(energy, COUNT), COUNT, 0)), "definition",
             ("laplace", "replica-trick", "blocks"), "free entropy per site, extremal in its five arguments"),
        step("broken-value", Eq(broken, ALPHA_D * entropic_one_step() + over_sites(in_block)), "identity",
             ("broken-free-entropy", "broken-entropic", "broken-energetic"), "the one-step free entropy"),
        step("broken-explicit", Eq(broken, whole), "identity", ("broken-value", "log-weight"), "in full"),
        # back to replica symmetry
        step("equal-overlaps", Eq(ONE_STEP(M, Q, Q, R, BREAKPOINT), whole.subs({Q0: Q, Q1: Q})), "substitute",
             ("broken-explicit",), "with one overlap for all replicas", domain=both,
             hints=(("symbol", Q0), ("value", Q), ("symbol", Q1), ("value", Q))),
        step("equal-returns", Eq(ONE_STEP(M, Q, Q, R, BREAKPOINT), PHI(M, Q, R)), "identity",
             ("equal-overlaps", "free-entropy-explicit"), "the symmetric free entropy is back, whatever the blocks",
             domain=both),
        step("single-overlaps", Eq(ONE_STEP(M, Q0, Q1, R, 1), ALPHA_D * entropic_symmetric(M, Q0, R)
                                   + over_sites(LogAverageExp(L(query, _IN_BLOCK, R - Q1), BLOCK, Normal()))),
             "substitute", ("broken-value",), "blocks of one replica leave the entropy of the symmetric ansatz, with "
             "q = q_0", hints=(("symbol", BREAKPOINT), ("value", Integer(1)))),
        step("single-energetic", Eq(LogAverageExp(weight(own_field), BLOCK, Normal()),
                                    weight(OMEGA + sqrt(R - Q0) * OWN)), "gaussian-rotation", (),
             "and the energy: two Gaussian fields are one, of variance r - q_0", hints=(("rotation", turn),)),
    )


def breaking_saddle() -> tuple[Step, ...]:
    """The saddle-point equations of the one-step free entropy; they stand on `breaking_steps`."""
    step = Script(BLOCKS | Domain(constraints=(Q1 - Q0 > 0,)), "Parisi (1980); " + SOURCE)
    proper = Script(step.domain | Domain(constraints=(1 - BREAKPOINT > 0,)), step.source)
    phi = ONE_STEP(*_ARGUMENTS)
    own = R - Q1
    shared = own + BREAKPOINT * (Q1 - Q0)
    s, entropy = SHARED, entropic_one_step()
    slopes = {k: Derivative(phi, k) for k in _ARGUMENTS}
    gradient = [
        step(f"broken-gradient-{tag(k)}", Eq(slopes[k], ALPHA_D * entropy.diff(k) + value), "differentiate",
             ("broken-parts", f"block-energy-{tag(k)}"), f"the derivative of the free entropy in {k}")
        for k, value in energy_gradient().items()
    ]
    stationary = [step(f"broken-stationary-{tag(k)}", Eq(slope, 0), "definition", ("laplace",), f"extremum over {k}")
                  for k, slope in slopes.items()]
    every = tuple(f"broken-{kind}-{k}" for kind in ("stationary", "gradient") for k in ("q0", "q1", "r"))
    return (
        *block_steps("variance-heat", "growth", "Parisi (1980)"),
        step("broken-parts", Eq(phi, ALPHA_D * entropy + BLOCK_ENERGY(*_ARGUMENTS)), "identity",
             ("broken-value", "block-energy", "block-weight"), "entropy and energy"),
        *gradient, *stationary,
        step("broken-saddle-q0", Eq(Q0, M**2 + shared**2 * s["between"] / ALPHA_D, evaluate=False), "rearrange",
             ("broken-stationary-q0", "broken-gradient-q0"), "the saddle-point equation of q_0"),
        step("broken-between", Eq(s["between"], ALPHA_D * (Q0 - M**2) / shared**2), "rearrange", ("broken-saddle-q0",),
             "solved for the average"),
        proper("broken-inside", Eq(s["inside"], ALPHA_D * ((Q0 - M**2) / shared**2 + (Q1 - Q0) / (own * shared))),
               "rearrange", ("broken-stationary-q1", "broken-gradient-q1"), "stationarity in q_1, for blocks of more "
               "than one replica"),
        proper("broken-saddle-q1", Eq(Q1 - Q0, own * shared * (s["inside"] - s["between"]) / ALPHA_D, evaluate=False),
               "identity", ("broken-inside", "broken-between"), "the saddle-point equation of q_1"),
        step("broken-all", Eq(slopes[Q0] + slopes[Q1] + slopes[R], 0), "identity",
             tuple(f"broken-stationary-{k}" for k in ("q0", "q1", "r")), "all overlaps moved together"),
        step("broken-saddle-r", Eq(1 / shared, 1 - (s["response"] + BREAKPOINT * (s["inside"] - s["between"]))
                                   / ALPHA_D, evaluate=False), "rearrange", ("broken-all", *every[3:]),
             "the response of a block"),
        step("broken-curved", Eq(s["curved"], s["response"] + BREAKPOINT * (s["inside"] - s["between"])), "identity",
             ("block-curvature-value",), "the curvature of a block, in averages over it"),
        step("broken-saddle-m", Eq(M, s["planted"] / ALPHA_D, evaluate=False), "rearrange",
             ("broken-stationary-m", "broken-gradient-m", "broken-saddle-r", "broken-curved"),
             "the saddle-point equation of m"),
        step("broken-saddle-x", Eq(s["energy"] - s["level"], ALPHA_D * BREAKPOINT * entropy.diff(BREAKPOINT),
                                   evaluate=False), "rearrange", ("broken-stationary-x", "broken-gradient-x"),
             "the one of the breakpoint"),
    )


def _named(name: str) -> Any:
    from sympy import Symbol

    return Symbol(name, real=True)


def site_breaking(site: ManifoldSite, domain: Domain | None = None, source: str = SOURCE) -> tuple[Step, ...]:
    """The one-step free entropy of a given site, "site-one-step"; stands on `breaking_steps`."""
    step = Script(BLOCKS | (domain or Domain()), source)
    return (
        step("site-one-step", Eq(ONE_STEP(*_ARGUMENTS), site.one_step_free_entropy()), "specialise",
             ("broken-explicit",), "for this exponent, this activation and this query", hints=site_hints(site)),
    )


