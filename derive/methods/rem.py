"""The random energy model of any cumulant: annealed and frozen branch, condensation, one-step replica symmetry breaking.

P = exp(alpha N) energies are drawn independently; all that is asked of their law is the cumulant per N,

    zeta(l) = lim 1/N log E exp(l N epsilon).

Everything else follows: the rate function is the Legendre transform of zeta, the entropy of levels is alpha minus the
rate, the measure condenses where that entropy vanishes, and below that temperature the free entropy is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Derivative, Eq, Expr, Function, Gt, Interval, Lt, S, Subs, Symbol, diff, oo, simplify
from sympy.core.function import AppliedUndef

from derive.core import Branch, Domain, Parameter, Problem, Stage, Step
from derive.ledger import Derivation
from derive.symbols import alpha as ALPHA
from derive.symbols import l as L
from derive.symbols import lam as LAM

__all__ = ["RandomEnergyModel", "general_derivation"]

ZETA = Function("zeta", real=True)
#: the condensation point
LAM_STAR = Symbol("lambda_*", positive=True)
#: the breakpoint of one-step replica symmetry breaking
BREAKPOINT = Symbol("m", positive=True)

SOURCE = "PHYSICS: Derrida (1981); B1"
_POSITIVE = Interval.open(0, oo)
_DOMAIN = Domain(((L, _POSITIVE), (ALPHA, _POSITIVE), (LAM, _POSITIVE), (LAM_STAR, _POSITIVE), (BREAKPOINT, Interval.Lopen(0, 1))))


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
        """Free entropy per N with one step of replica symmetry breaking, to be extremised over the breakpoint in (0, 1]."""
        return (alpha + self.zeta(breakpoint * lam)) / breakpoint

    def participation(self, lam: Expr = LAM, star: Expr = LAM_STAR) -> Expr:
        """Sum of squared weights beyond the condensation point, for energies without a lattice."""
        return 1 - star / lam

    def condensation_stage(self, unknown: Symbol, alpha: Expr = ALPHA, **conditions: object) -> Stage:
        """The condensation point as a root: the rate grows with l, since its derivative is l zeta''."""
        return Stage(unknown, self.rate(unknown) - alpha, +1, S.Zero, **conditions)  # type: ignore[arg-type]

    def free_entropy(self, parameters: tuple[Parameter, ...], **conditions: object) -> Problem:
        """The free entropy per N as a problem to be solved: annealed up to the condensation point, frozen beyond."""
        phi = Symbol("Phi", real=True)
        stage = self.condensation_stage(LAM_STAR, **conditions)
        branches = (
            Branch("annealed", self.annealed(), LAM <= LAM_STAR),
            Branch("frozen", self.frozen(), LAM > LAM_STAR),
        )
        return Problem("rem-free-entropy", phi, parameters, branches, (stage,), positive=False)


def general_derivation() -> Derivation:
    """The random energy model for an undefined cumulant zeta, from its definition; every system builds on these steps.

    Returns a Derivation whose steps are labelled rem-*; "rem-condensation" is the equation of the condensation point,
    "rem-frozen" the free entropy beyond it, and "rem-routes" the equality of the entropic and of the one-step replica
    route.
    """
    rem = RandomEnergyModel(ZETA(L))
    phi, psi, sigma, energy, rate = (Function(n, real=True) for n in ("Phi", "Phi_1", "Sigma", "epsilon", "I"))
    second = diff(ZETA(L), L, 2)
    breakpoint_equation = BREAKPOINT * LAM * rem.energy(BREAKPOINT * LAM) - rem.zeta(BREAKPOINT * LAM)
    steps = (
        Step("rem-iid", "Given the query, the P = exp(alpha N) energies are independent with cumulant zeta; averages over them "
             "are taken at large N, where the free entropy is self-averaging.", "assumption", source=SOURCE,
             text="what makes the model a random energy model"),
        Step("rem-convex", Gt(second, 0), "assumption", domain=_DOMAIN, source=SOURCE,
             text="the cumulant is strictly convex: its second derivative is a variance; each ensemble proves its own"),
        Step("rem-annealed", Eq(phi(LAM), rem.annealed()), "definition", ("rem-iid",), _DOMAIN, SOURCE,
             "first moment of the partition function: P terms, each exp(N zeta)"),
        Step("rem-energy", Eq(energy(L), rem.energy(L)), "definition", ("rem-iid",), _DOMAIN, SOURCE,
             "the energy that dominates at inverse temperature l"),
        Step("rem-rate", Eq(rate(L), rem.rate(L)), "definition", ("rem-iid",), _DOMAIN, SOURCE,
             "Cramer's theorem: the rate is the Legendre transform of the cumulant, at the energy of inverse temperature l"),
        Step("rem-legendre", Eq(Derivative(rate(L), L), L * Derivative(energy(L), L)), "differentiate", ("rem-rate", "rem-energy"),
             _DOMAIN, SOURCE, "dI/d epsilon = l: rate and cumulant are a Legendre pair"),
        Step("rem-entropy", Eq(sigma(L), rem.entropy(L)), "definition", ("rem-rate",), _DOMAIN, SOURCE,
             "number of levels at that energy: exp(N Sigma)"),
        Step("rem-entropy-slope", Eq(Derivative(sigma(L), L), -L * second), "differentiate", ("rem-entropy",), _DOMAIN, SOURCE,
             "the entropy of levels falls with l"),
        Step("rem-monotone", Lt(-L * second, 0), "positivity", ("rem-convex",), _DOMAIN, SOURCE,
             "strictly, because zeta is strictly convex: the entropy has at most one zero"),
        Step("rem-condensation", Eq(ALPHA, rem.rate(LAM_STAR)), "rearrange", ("rem-zero-entropy",), _DOMAIN, SOURCE,
             "the entropy of levels vanishes at lambda_*"),
        Step("rem-frozen", Eq(phi(LAM), rem.frozen()), "definition", ("rem-condensation", "rem-iid"), _DOMAIN, SOURCE,
             "beyond lambda_* the lowest occupied energy keeps all the weight"),
    )
    zero = Step("rem-zero-entropy", Eq(rem.entropy(LAM_STAR), 0), "definition", ("rem-entropy",), _DOMAIN, SOURCE,
                "definition of the condensation point: no level is left at the dominating energy")
    at = [s.label for s in steps].index("rem-condensation")
    steps = (*steps[:at], zero, *steps[at:])
    more = (
        Step("rem-joint", Eq(rem.annealed(LAM_STAR), rem.frozen(LAM_STAR)), "identity", ("rem-condensation",), _DOMAIN, SOURCE,
             "the two branches meet"),
        Step("rem-joint-slope", Eq(Subs(Derivative(rem.annealed(), LAM), LAM, LAM_STAR), Derivative(rem.frozen(), LAM)),
             "differentiate", (), _DOMAIN, SOURCE, "with the same slope: the free entropy is C1"),
        Step("rem-jump", Eq(Subs(Derivative(rem.annealed(), (LAM, 2)), LAM, LAM_STAR) - Derivative(rem.frozen(), (LAM, 2)),
                            Subs(second, L, LAM_STAR)), "differentiate", (), _DOMAIN, SOURCE,
             "the second derivative jumps by zeta'': a second-order transition"),
        Step("rem-1rsb", Eq(psi(BREAKPOINT), rem.one_step()), "definition", ("rem-iid",), _DOMAIN, SOURCE,
             "replicas in n/m groups of m that sit on the same level"),
        Step("rem-1rsb-slope", Eq(Derivative(psi(BREAKPOINT), BREAKPOINT), (breakpoint_equation - ALPHA) / BREAKPOINT**2),
             "differentiate", ("rem-1rsb",), _DOMAIN, SOURCE, "extremum over the breakpoint"),
        Step("rem-1rsb-stationary", Eq(breakpoint_equation - ALPHA, 0), "stationarity", ("rem-1rsb-slope",), _DOMAIN, SOURCE,
             "stationary breakpoint"),
        Step("rem-1rsb-root", Eq(ALPHA, rem.rate(LAM_STAR)), "substitute", ("rem-1rsb-stationary",), _DOMAIN, SOURCE,
             "m lambda plays the part of lambda_*", (("symbol", BREAKPOINT), ("value", LAM_STAR / LAM))),
        Step("rem-1rsb-value", Eq(rem.one_step(LAM_STAR / LAM), rem.frozen()), "identity", ("rem-1rsb-root",), _DOMAIN, SOURCE,
             "the free entropy at the stationary breakpoint"),
        Step("rem-routes", Eq(ALPHA, rem.rate(LAM_STAR)), "routes-agree", ("rem-condensation", "rem-1rsb-root"), _DOMAIN,
             SOURCE, "entropy of levels and one-step replica symmetry breaking give the same condensation point"),
    )
    return Derivation("random-energy-model", "Condensation in the random energy model", (*steps, *more))
