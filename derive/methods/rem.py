"""The random energy model of any cumulant: both branches, condensation, one-step replica symmetry breaking.

P = exp(alpha N) energies are drawn independently; all that is asked of their law is the cumulant per N,

    zeta(l) = lim 1/N log E exp(l N epsilon).

Everything else follows: the rate function is the Legendre transform of zeta, the entropy of levels is alpha minus the
rate, the measure condenses where that entropy vanishes, and below that temperature the free entropy is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Derivative, Eq, Expr, Function, Ge, Gt, Interval, Le, Lt, S, Subs, Symbol, diff, oo, simplify
from sympy.core.function import AppliedUndef

from derive.core import Branch, Domain, Parameter, Problem, Stage, Step
from derive.ledger import Derivation
from derive.nodes import Extremum
from derive.symbols import alpha as ALPHA
from derive.symbols import l as L
from derive.symbols import lam as LAM

__all__ = ["RandomEnergyModel", "general_derivation"]

ZETA = Function("zeta", real=True)
#: the condensation point
LAM_STAR = Symbol("lambda_*", positive=True)
#: the breakpoint of one-step replica symmetry breaking
BREAKPOINT = Symbol("m", positive=True)
#: mean of the sum of squared weights
PARTICIPATION = Symbol("Y", nonnegative=True)
#: free entropy per N
PHI = Function("Phi", real=True)

SOURCE = "PHYSICS: Derrida (1981); B1"
_POSITIVE = Interval.open(0, oo)
_DOMAIN = Domain(
    ((L, _POSITIVE), (ALPHA, _POSITIVE), (LAM, _POSITIVE), (LAM_STAR, _POSITIVE), (BREAKPOINT, Interval.Lopen(0, 1)))
)


@dataclass(frozen=True)
class RandomEnergyModel:
    """The model with a given cumulant.

    Args:
        cumulant: zeta, an expression in `variable`, per N; convex with zeta(0) = 0.
        variable: the inverse temperature in it.

    >>> from derive.symbols import l, alpha, lam
    >>> rem = RandomEnergyModel(l**2 / 4)
    >>> rem.condensation(l, alpha)
    Eq(alpha, l**2/4)
    >>> rem.frozen(lam, l)
    l*lambda/2
    """

    cumulant: Expr
    variable: Symbol = L

    def zeta(self, at: Expr) -> Expr:
        """The cumulant at an inverse temperature."""
        return self.cumulant.subs(self.variable, at)

    def energy(self, at: Expr) -> Expr:
        """Energy per N that dominates at an inverse temperature, zeta'."""
        return diff(self.cumulant, self.variable).subs(self.variable, at)

    def rate(self, at: Expr) -> Expr:
        """Rate function at that energy, the Legendre transform l zeta' - zeta."""
        return at * self.energy(at) - self.zeta(at)

    def entropy(self, at: Expr, alpha: Expr = ALPHA) -> Expr:
        """Entropy per N of the levels at that energy, alpha minus the rate."""
        return alpha - self.rate(at)

    def annealed(self, lam: Expr = LAM, alpha: Expr = ALPHA) -> Expr:
        """Free entropy per N above the condensation temperature, alpha + zeta."""
        return alpha + self.zeta(lam)

    def condensation(self, at: Expr, alpha: Expr = ALPHA) -> Eq:
        """The equation of the condensation point: the load equals the rate there."""
        return Eq(alpha, simplify(self.rate(at)) if not self.rate(at).has(AppliedUndef) else self.rate(at))

    def frozen(self, lam: Expr = LAM, star: Expr = LAM_STAR) -> Expr:
        """Free entropy per N beyond the condensation point, lam zeta'(lam_*)."""
        return lam * self.energy(star)

    def one_step(self, breakpoint: Expr = BREAKPOINT, lam: Expr = LAM, alpha: Expr = ALPHA) -> Expr:
        """Free entropy per N with one step of replica symmetry breaking, extremised over the breakpoint."""
        return (alpha + self.zeta(breakpoint * lam)) / breakpoint

    def participation(self, lam: Expr = LAM, star: Expr = LAM_STAR) -> Expr:
        """Sum of squared weights beyond the condensation point, for energies without a lattice."""
        return 1 - star / lam

    def free_entropy(self, parameters: tuple[Parameter, ...], **conditions: Any) -> Problem:
        """The free entropy per N as a problem to be solved: annealed up to the condensation point, frozen beyond."""
        phi = Symbol("Phi", real=True)
        stage = Stage(LAM_STAR, self.rate(LAM_STAR) - ALPHA, +1, S.Zero, **conditions)
        branches = (
            Branch("annealed", self.annealed(), LAM <= LAM_STAR),
            Branch("frozen", self.frozen(), LAM > LAM_STAR),
        )
        return Problem("rem-free-entropy", phi, parameters, branches, (stage,), positive=False)


def general_derivation() -> Derivation:
    """The random energy model for an undefined cumulant zeta, from its definition; every system builds on these steps.

    Returns a Derivation whose steps are labelled rem-*: "rem-condensation" is the equation of the condensation point,
    "rem-annealed" and "rem-frozen" the two branches of the free entropy, "rem-routes" the equality of the entropic and
    of the one-step replica route, "rem-participation" the participation ratio.
    """
    rem = RandomEnergyModel(ZETA(L))
    phi, psi, sigma, energy, rate = PHI, *(Function(n, real=True) for n in ("Phi_1", "Sigma", "epsilon", "I"))
    curvature = diff(ZETA(L), L, 2)
    level = rem.entropy(L) + LAM * rem.energy(L)
    warm, cold = Domain(constraints=(Le(LAM, LAM_STAR),)), Domain(constraints=(Ge(LAM, LAM_STAR),))
    stationary = BREAKPOINT * LAM * rem.energy(BREAKPOINT * LAM) - rem.zeta(BREAKPOINT * LAM) - ALPHA

    def step(
        label: str,
        claim: object,
        rule: str,
        premises: tuple[str, ...],
        text: str,
        *hints: tuple[str, object],
        domain: Domain | None = None,
    ) -> Step:
        return Step(label, claim, rule, premises, _DOMAIN | (domain or Domain()), SOURCE, text, hints)

    steps = (
        step(
            "rem-iid",
            "Given the query, the P = exp(alpha N) energies are independent with cumulant zeta; at large N the "
            "free entropy is self-averaging.",
            "assumption",
            (),
            "what makes the model a random energy model",
            domain=cold,
        ),
        step(
            "rem-convex",
            Gt(curvature, 0),
            "assumption",
            (),
            "the cumulant is strictly convex: its second derivative is a variance; each ensemble proves its own",
        ),
        step(
            "rem-energy",
            Eq(energy(L), rem.energy(L)),
            "definition",
            ("rem-iid",),
            "the energy that dominates at inverse temperature l",
        ),
        step(
            "rem-rate",
            Eq(rate(L), rem.rate(L)),
            "definition",
            ("rem-iid",),
            "Cramer: the rate is the Legendre transform of the cumulant, at the energy of inverse temperature l",
        ),
        step(
            "rem-legendre",
            Eq(Derivative(rate(L), L), L * Derivative(energy(L), L)),
            "differentiate",
            ("rem-rate", "rem-energy"),
            "dI/d epsilon = l: rate and cumulant are a Legendre pair",
        ),
        step(
            "rem-entropy",
            Eq(sigma(L), ALPHA - rate(L)),
            "definition",
            ("rem-rate",),
            "the number of levels at that energy is exp(N Sigma)",
        ),
        step(
            "rem-entropy-value",
            Eq(sigma(L), rem.entropy(L)),
            "identity",
            ("rem-entropy", "rem-rate"),
            "in terms of zeta",
        ),
        step(
            "rem-entropy-slope",
            Eq(Derivative(sigma(L), L), -L * curvature),
            "differentiate",
            ("rem-entropy-value",),
            "the entropy of levels falls with l",
        ),
        step(
            "rem-monotone",
            Lt(-L * curvature, 0),
            "positivity",
            ("rem-convex",),
            "strictly, because zeta is strictly convex: the entropy has at most one zero",
        ),
        step(
            "rem-zero-entropy",
            Eq(rem.entropy(LAM_STAR), 0),
            "definition",
            ("rem-entropy-value",),
            "the condensation point: no level is left at the dominating energy",
        ),
        step(
            "rem-condensation", Eq(ALPHA, rem.rate(LAM_STAR)), "rearrange", ("rem-zero-entropy",), "solved for the load"
        ),
        step(
            "rem-laplace",
            Eq(phi(LAM), Extremum(level, L, Interval.Lopen(0, LAM_STAR), "max")),
            "definition",
            ("rem-entropy-value", "rem-monotone"),
            "Laplace's method over the levels that exist, those with l <= lambda_*",
        ),
        step(
            "rem-annealed",
            Eq(phi(LAM), rem.annealed()),
            "extremum",
            ("rem-laplace", "rem-convex"),
            "above the condensation temperature the dominating level is at l = lambda",
            ("zero", LAM),
            ("at", LAM),
            domain=warm,
        ),
        step(
            "rem-lowest",
            Eq(phi(LAM), rem.entropy(LAM_STAR) + rem.frozen()),
            "extremum",
            ("rem-laplace", "rem-convex"),
            "below it the lowest level that exists",
            ("zero", LAM),
            ("at", LAM_STAR),
            domain=cold,
        ),
        step(
            "rem-frozen",
            Eq(phi(LAM), rem.frozen()),
            "identity",
            ("rem-lowest", "rem-condensation"),
            "whose entropy vanishes: the free entropy is frozen",
            domain=cold,
        ),
        step(
            "rem-joint",
            Eq(rem.annealed(LAM_STAR), rem.frozen(LAM_STAR)),
            "identity",
            ("rem-condensation",),
            "the two branches meet",
        ),
        step(
            "rem-joint-slope",
            Eq(Subs(Derivative(rem.annealed(), LAM), LAM, LAM_STAR), Derivative(rem.frozen(), LAM)),
            "differentiate",
            (),
            "with the same slope: the free entropy is C1",
        ),
        step(
            "rem-jump",
            Eq(
                Subs(Derivative(rem.annealed(), (LAM, 2)), LAM, LAM_STAR) - Derivative(rem.frozen(), (LAM, 2)),
                Subs(curvature, L, LAM_STAR),
            ),
            "differentiate",
            (),
            "the second derivative jumps by zeta'': a second-order transition",
        ),
        step(
            "rem-1rsb",
            Eq(psi(BREAKPOINT), rem.one_step()),
            "definition",
            ("rem-iid",),
            "one-step replica symmetry breaking: n/m groups of m replicas, each group on one level",
        ),
        step(
            "rem-1rsb-slope",
            Eq(Derivative(rem.one_step(), BREAKPOINT), stationary / BREAKPOINT**2),
            "differentiate",
            (),
            "its slope in the breakpoint",
        ),
        step(
            "rem-1rsb-extremum",
            Eq(Derivative(psi(BREAKPOINT), BREAKPOINT), 0),
            "definition",
            ("rem-1rsb",),
            "extremum over the breakpoint",
        ),
        step(
            "rem-1rsb-stationary",
            Eq(stationary, 0),
            "rearrange",
            ("rem-1rsb-extremum", "rem-1rsb"),
            "stationary breakpoint",
        ),
        step(
            "rem-1rsb-root",
            Eq(ALPHA, rem.rate(LAM_STAR)),
            "substitute",
            ("rem-1rsb-stationary",),
            "m lambda plays the part of lambda_*",
            ("symbol", BREAKPOINT),
            ("value", LAM_STAR / LAM),
            domain=cold,
        ),
        step(
            "rem-1rsb-value",
            Eq(rem.one_step(LAM_STAR / LAM), rem.frozen()),
            "identity",
            ("rem-1rsb-root",),
            "the free entropy at the stationary breakpoint",
            domain=cold,
        ),
        step(
            "rem-routes",
            Eq(ALPHA, rem.rate(LAM_STAR)),
            "routes-agree",
            ("rem-condensation", "rem-1rsb-root"),
            "entropy of levels and one-step replica symmetry breaking give the same condensation point",
            domain=cold,
        ),
        step(
            "rem-weights",
            "In the condensed phase the weights of the levels are Poisson-Dirichlet with parameter m, the "
            "breakpoint, if the energies have a density: the mean of the sum of their squares is 1 - m.",
            "theorem",
            ("rem-1rsb-root",),
            "energies on a lattice have ties, and the formula does not hold for them",
        ),
        step(
            "rem-participation-1rsb",
            Eq(PARTICIPATION, 1 - BREAKPOINT),
            "definition",
            ("rem-weights",),
            "participation ratio in terms of the breakpoint",
        ),
        step(
            "rem-participation",
            Eq(PARTICIPATION, rem.participation()),
            "substitute",
            ("rem-participation-1rsb",),
            "with the breakpoint lambda_*/lambda",
            ("symbol", BREAKPOINT),
            ("value", LAM_STAR / LAM),
            domain=cold,
        ),
    )
    return Derivation("random-energy-model", "Condensation in the random energy model", steps)
