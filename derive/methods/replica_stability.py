"""Stability of the replica-symmetric saddle point: the replicon eigenvalue, from the Hessian of the replicated action.

Fluctuations of the overlaps that distinguish replicas, but leave the sum of every row as it is, see the entropy of the
latent vectors and the energy of a site through one number each.  Their second-order action is, up to a negative
factor, the replicon eigenvalue: the saddle point is stable while it is positive.
"""

from __future__ import annotations

from itertools import permutations

from sympy import (
    Add,
    And,
    Derivative,
    Eq,
    Expr,
    Function,
    ImmutableMatrix,
    Integer,
    Matrix,
    MatrixSymbol,
    Subs,
    Symbol,
    Trace,
    log,
    sqrt,
)

from derive.core import Domain, Step
from derive.ledger import Derivation
from derive.methods.replica import (
    AT,
    COUNT,
    CURVATURE,
    DOMAIN,
    OMEGA,
    SLOPE,
    SOURCE,
    SPREAD,
    over_sites,
    own_moment,
    site_hints,
    symmetric_derivation,
)
from derive.methods.replica_manifold import ManifoldSite
from derive.methods.script import Script
from derive.nodes import GaussianAverage
from derive.nodes.replica_matrix import OverlapMatrix
from derive.symbols import V
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import b as B
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X

__all__ = ["REPLICON", "site_stability", "stability_derivation", "stability_steps"]

#: the replicon eigenvalue
REPLICON = Function("Lambda", real=True)
#: sums over pairs of pairs of replicas that have two, one and no replica in common
PAIR_2, PAIR_3, PAIR_4 = Symbol("T_2", positive=True), Symbol("T_3", real=True), Symbol("T_4", real=True)
ENTROPY_2, ENERGY_2, ACTION_2 = (Symbol(k, real=True) for k in ("S_2", "E_2", "A_2"))
CURVED_WEIGHT = Function("C", real=True)
_SOURCE = "de Almeida and Thouless (1978)"


def stability_derivation() -> Derivation:
    """The symmetric calculation and its stability; "replicon" states the eigenvalue, "replicon-moments" in moments."""
    return symmetric_derivation().extend(
        stability_steps(), name="replica-stability", title="Stability of the replica-symmetric saddle point")


def _fluctuation(size: int) -> ImmutableMatrix:
    """A generic symmetric matrix with zero diagonal, its entries symbols."""
    def entry(i: int, j: int) -> Expr:
        return Integer(0) if i == j else Symbol(f"eta_{min(i, j) + 1}{max(i, j) + 1}", real=True)

    return ImmutableMatrix(size, size, entry)


def _pair_sums(eta: ImmutableMatrix) -> tuple[Expr, Expr, Expr]:
    """Sums of eta_ab eta_ab, of eta_ab eta_ac and of eta_ab eta_cd, over different replicas."""
    indices = range(eta.rows)
    return tuple(
        Add(*(eta[p[0], p[1]] * eta[p[i], p[j]] for p in permutations(indices, count)))
        for count, i, j in ((2, 0, 1), (3, 0, 2), (4, 2, 3))
    )


def stability_steps() -> tuple[Step, ...]:
    """The steps from the replicated action to the replicon; they stand on those of `symmetric_derivation`."""
    step = Script(DOMAIN, _SOURCE)
    size, eps = COUNT + 1, Symbol("epsilon", real=True)
    overlaps = MatrixSymbol("Q", size, size)
    sector = MatrixSymbol("P", size, size)
    family = OverlapMatrix.symmetric(COUNT, 1 - 1 / COUNT, -1 / COUNT, planted=0, norm=0)
    rooms = Domain(constraints=(Symbol("c", positive=True) * Q - M**2 > 0,))
    # four replicas, disturbed so that no row sum changes
    eta = ImmutableMatrix([[0, 1, -1, 0], [1, 0, 0, -1], [-1, 0, 0, 1], [0, -1, 1, 0]])
    disturbed = ImmutableMatrix(OverlapMatrix.symmetric(4, R, Q, planted=M).explicit(4)) + eps * ImmutableMatrix(
        5, 5, lambda i, j: eta[i - 1, j - 1] if i and j else 0)
    generic = _fluctuation(4)
    rows, total = Add(*(sum(generic.row(i)) ** 2 for i in range(4))), sum(generic) ** 2
    two, three, four = _pair_sums(generic)
    # correlated fields of two replicas
    one, other, rho = (Symbol(k, real=True) for k in ("y", "z", "rho"))
    f, h = Function("f", real=True), Function("h", real=True)
    pair = GaussianAverage(f(one) * h(rho * one + sqrt(1 - rho**2) * other), one, other)
    slope, curvature = SLOPE(*AT), CURVATURE(*AT)
    a2, a3, a4 = (over_sites(e) for e in (CURVED_WEIGHT(*AT) ** 2, CURVED_WEIGHT(*AT) * slope**2, slope**4))
    gaussian = ImmutableMatrix(Matrix.eye(4) * (1 + B * R)) + B * eps * eta
    quadratic = -B * OMEGA**2 / (2 * (1 + B * R))
    replicon = 1 - (R - Q) ** 2 * over_sites(curvature**2) / ALPHA_D
    return (
        step("fluctuations", "The overlaps of different replicas fluctuate by eta_ab, with sum_b eta_ab = 0 for every "
             "a; their norms and overlaps with the planted pattern do not.", "assumption", ("replica-symmetry",),
             "the replicon sector"),
        step("replicon-sector", Eq(sector, family, evaluate=False), "definition", ("fluctuations",),
             "projector on vectors over the replicas that sum to zero: eta = P eta P"),
        step("replicon-projector", And(Eq(sector * sector, sector, evaluate=False),
                                       Eq(Trace(sector), COUNT - 1, evaluate=False)), "replica-algebra",
             ("replicon-sector",), "a projector of rank n - 1"),
        step("replicon-eigenvalue", Eq(overlaps * sector, (R - Q) * sector, evaluate=False), "replica-algebra",
             ("overlaps", "replicon-sector"), "on which Q is r - q, and its inverse 1/(r - q)", domain=rooms),
        step("determinant-second", Eq(Subs(Derivative(log(disturbed.det().factor()), (eps, 2)), eps, 0),
                                      -(eta * eta).trace() / (R - Q) ** 2), "differentiate", (),
             "hence the second derivative of log det(Q + epsilon eta) is -tr(eta^2)/(r - q)^2; here for four replicas "
             "with eta_12 = eta_34 = 1, eta_13 = eta_24 = -1"),
        step("fluctuation-entropy", Eq(ENTROPY_2, -PAIR_2 / (4 * (R - Q) ** 2)), "theorem",
             ("replicon-eigenvalue", "determinant-second", "entropic-n"),
             "second order of the entropy, log det Q/2, with T_2 = sum_ab eta_ab^2"),
        step("pair-counting", And(Eq(rows, two + three, evaluate=False),
                                  Eq(total, 2 * two + 4 * three + four, evaluate=False)), "identity", (),
             "pairs of pairs have two, one or no replica in common: counted here for four replicas"),
        step("row-sums", Eq(PAIR_2 + PAIR_3, 0), "definition", ("fluctuations", "pair-counting"),
             "the squares of the row sums vanish"),
        step("total-sum", Eq(2 * PAIR_2 + 4 * PAIR_3 + PAIR_4, 0), "definition", ("fluctuations", "pair-counting"),
             "and so does the square of the sum of all"),
        step("pairs-with-one", Eq(PAIR_3, -PAIR_2), "solve", ("row-sums",), "sum over pairs with one in common"),
        step("pairs-with-none", Eq(PAIR_4, 2 * PAIR_2), "solve", ("total-sum", "pairs-with-one"),
             "sum over pairs with none in common"),
        step("pair-of-fields", Eq(Subs(Derivative(pair, rho), rho, 0),
                                  GaussianAverage(one * f(one), one) * GaussianAverage(other * h(other), other)),
             "stein", ("growth",), "a covariance between two fields acts as a derivative in each (Price)",
             hints=(("growth", "growth"), ("variable", Integer(0)))),
        step("energy-second", Eq(Subs(Derivative(-log(gaussian.det().factor()) / 2, (eps, 2)), eps, 0) / 2,
                                 (eta * eta).trace() * Subs(Derivative(quadratic, (OMEGA, 2)), OMEGA, 0) ** 2 / 4),
             "differentiate", (), "the energy to second order where it is known in closed form: four replicas with "
             "g = -b h^2/2 and no common field, disturbed as above, against T_2 (d^2 L/d omega^2)^2/4"),
        step("weight-curved", Eq(CURVED_WEIGHT(X, OMEGA, V), CURVATURE(X, OMEGA, V) + SLOPE(X, OMEGA, V) ** 2),
             "definition", (),
             "second derivative of exp L, over exp L: for two derivatives on one replica"),
        step("fluctuation-energy", Eq(ENERGY_2, (2 * a2 * PAIR_2 + 4 * a3 * PAIR_3 + a4 * PAIR_4) / 8), "theorem",
             ("pair-of-fields", "energy-second", "energetic-n", "weight-curved", "pair-counting"),
             "second order of log E exp(sum_ab eta_ab d_a d_b/2) at n -> 0: each pair brings a derivative for each of "
             "its replicas; the first order vanishes with the row sums"),
        step("fluctuation-energy-value", Eq(ENERGY_2, PAIR_2 * over_sites(curvature**2) / 4), "identity",
             ("fluctuation-energy", "pairs-with-none", "pairs-with-one", "weight-curved"), "what is left of it"),
        step("fluctuation-action", Eq(ACTION_2, ALPHA_D * ENTROPY_2 + ENERGY_2), "definition", ("laplace",),
             "second order of the action"),
        step("replicon", Eq(REPLICON(M, Q, R), replicon), "definition", ("fluctuations",), "the replicon eigenvalue"),
        step("replicon-action", Eq(ACTION_2, -ALPHA_D * PAIR_2 / (4 * (R - Q) ** 2) * REPLICON(M, Q, R)), "identity",
             ("fluctuation-action", "fluctuation-entropy", "fluctuation-energy-value", "replicon"),
             "decides the sign of the action: fluctuations are damped while it is positive"),
        step("replicon-moments", Eq(REPLICON(M, Q, R),
                                    1 - over_sites((SPREAD(*AT) - 1) ** 2) / ALPHA_D), "identity",
             ("replicon", "curvature-value"), "in moments of w"),
        step("replicon-explicit", Eq(REPLICON(M, Q, R),
                                     1 - over_sites((own_moment(2) - own_moment(1) ** 2 - 1) ** 2) / ALPHA_D),
             "identity", ("replicon-moments", "moment-2"), "in full"),
    )


def site_stability(site: ManifoldSite, domain: Domain | None = None, source: str = SOURCE) -> tuple[Step, ...]:
    """The replicon of a given site, "site-replicon"; stands on `stability_steps`."""
    step = Script(DOMAIN | (domain or Domain()), source)
    return (
        step("site-replicon", Eq(REPLICON(M, Q, R), site.replicon()), "specialise", ("replicon-explicit",),
             "the replicon for this exponent, this activation and this query", hints=site_hints(site)),
    )

