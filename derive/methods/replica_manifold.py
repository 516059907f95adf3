"""The replica-symmetric cumulant of patterns on a hidden manifold, for any activation.

Patterns are xi = sigma(F z / sqrt(D)) with F common to all of them.  A *site* is what one of the N rows of F sees: the
exponent g(x, xi), the activation sigma(h) and the query x = a sigma(u) + sqrt(s) w'.  Its cumulant

    zeta = lim 1/N E log E_z exp sum_i g(x_i, xi_i)

is the extremum over the overlaps m = z_1.z/D, q = z^a.z^b/D and r = |z|^2/D of `ManifoldSite.free_entropy`.  With
omega = m u + sqrt(q - m^2) v, V = r - q and L(omega, V) = log int Dw exp g(x, sigma(omega + sqrt(V) w)), everything
that is asked of it is written in moments of w under the tilted weight, never in derivatives of sigma, so that kinks and
jumps are allowed: L_omega = <w>/sqrt(V), L_omega,omega = (<w^2> - <w>^2 - 1)/V.

How to use it, for the dense memory with tanh:

    >>> from sympy import tanh
    >>> from derive.symbols import lam, x, xi
    >>> site = ManifoldSite(lam * x * xi, tanh(H))
    >>> phi = site.free_entropy()                   # an expression in m, q, r, lambda, alpha_D
    >>> [equation.lhs for equation in site.saddle_equations()]
    [m, q, r]
    >>> sorted(map(str, site.replicon().free_symbols))
    ['alpha_D', 'lambda', 'm', 'q', 'r']

and for diffusion: `ManifoldSite(-b * (x - xi)**2 / 2, tanh(H), noise=s)`.  Other coordinates for the order parameters
go in as arguments: `site.free_entropy(m, m**2 + k**2, m**2 + k**2 + V)`.  The derivative of the cumulant in a parameter
is, by the envelope theorem, `site.mean(exponent.diff(parameter))` at the saddle point.  derive.methods.replica holds
the derivation, step by step, of all that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Add, Eq, Expr, S, Symbol, log, sqrt, sympify

from derive.core import DeriveError
from derive.nodes import GaussianAverage, LogAverageExp, Normal, TiltedAverage
from derive.nodes.binders import BoundSymbol
from derive.symbols import alpha_D as ALPHA_D
from derive.symbols import m as M
from derive.symbols import q as Q
from derive.symbols import r as R
from derive.symbols import x as X
from derive.symbols import xi as XI

__all__ = [
    "BREAKPOINT",
    "Q0",
    "Q1",
    "H",
    "ManifoldSite",
    "entropic_one_step",
    "entropic_symmetric",
]

#: the argument of an activation
H = Symbol("h", real=True)
#: overlap of replicas in different blocks, and in one block
Q0, Q1 = Symbol("q_0", positive=True), Symbol("q_1", positive=True)
#: size of a block of replicas, in (0, 1] after n -> 0
BREAKPOINT = Symbol("m_b", positive=True)
#: the standard normal variables of a site: planted field, common field, field of one block, field of one replica, noise
PLANTED, COMMON, BLOCK, OWN, NOISE = (Symbol(k, real=True) for k in ("u", "v", "v_1", "w", "w_n"))


def entropic_symmetric(m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
    """Entropy of the latent variables at given overlaps, per latent dimension, replica symmetric.

    >>> entropic_symmetric(0, 0, 1)
    0
    """
    return (log(r - q) + (q - m**2) / (r - q) + 1 - r) / 2


def entropic_one_step(m: Expr = M, q0: Expr = Q0, q1: Expr = Q1, r: Expr = R, block: Expr = BREAKPOINT) -> Expr:
    """Entropy of the latent variables at given overlaps, per latent dimension, with one step of symmetry breaking."""
    own, shared = r - q1, r - q1 + block * (q1 - q0)
    return (log(own) + (log(shared) - log(own)) / block + (q0 - m**2) / shared + 1 - r) / 2


@dataclass(frozen=True)
class ManifoldSite:
    """One site of patterns on a hidden manifold: exponent, activation, query.

    Args:
        exponent: g(x, xi), in derive.symbols.x and derive.symbols.xi and parameters.
        activation: sigma(h), an expression in H.
        noise: variance s of the noise in the query.
        amplitude: a, of the planted pattern in the query x = a sigma(u) + sqrt(s) w'.
        ratio: D/N.

    Raises: DeriveError for an exponent without xi, or an activation that is constant or has bound symbols.

    Order parameters are the overlaps per latent dimension: m with the planted pattern, q of two replicas, r of a
    replica with itself; m^2 < q < r.
    """

    exponent: Expr
    activation: Expr
    noise: Expr = S.Zero
    amplitude: Expr = S.One
    ratio: Expr = ALPHA_D

    def __post_init__(self) -> None:
        if XI not in self.exponent.free_symbols:
            raise DeriveError(f"the exponent {self.exponent} does not contain the pattern entry {XI}",
                              given=str(self.exponent), allowed=f"an expression in {X} and {XI}")
        if H not in self.activation.free_symbols:
            raise DeriveError(f"the activation {self.activation} is constant: its patterns are all the same",
                              given=str(self.activation), allowed=f"an expression that depends on {H}")
        if any(isinstance(k, BoundSymbol) for k in self.activation.free_symbols):
            raise DeriveError("the activation has a bound variable left over", given=str(self.activation),
                              allowed=f"an expression in {H}")
        for name in ("noise", "amplitude", "ratio"):
            object.__setattr__(self, name, sympify(getattr(self, name)))

    # ---- parts

    @property
    def query(self) -> Expr:
        """x = a sigma(u) + sqrt(s) w', in the planted field and the noise."""
        return self.amplitude * self.activation.subs(H, PLANTED) + sqrt(self.noise) * NOISE

    def tilt(self, omega: Expr, variance: Expr) -> Expr:
        """g(x, sigma(omega + sqrt(variance) w)), in the site's variables and w."""
        entry = self.activation.subs(H, omega + sqrt(variance) * OWN)
        return self.exponent.subs({X: self.query, XI: entry}, simultaneous=True)

    def omega(self, m: Expr = M, q: Expr = Q) -> Expr:
        """m u + sqrt(q - m^2) v: what the fields of all replicas have in common."""
        return m * PLANTED + sqrt(q - m**2) * COMMON

    def over_sites(self, body: Expr) -> Expr:
        """Average over planted field, common field and noise."""
        return GaussianAverage(body, PLANTED, COMMON, NOISE)

    def log_weight(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """L(omega, V) = log int Dw exp g at the site's omega and V = r - q."""
        return LogAverageExp(self.tilt(self.omega(m, q), r - q), OWN, Normal())

    def tilted(self, body: Expr, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """<body> over w under the tilted weight; body in w (`OWN`) or in the site's x and xi."""
        entry = self.activation.subs(H, self.omega(m, q) + sqrt(r - q) * OWN)
        put = body.subs({X: self.query, XI: entry}, simultaneous=True)
        return TiltedAverage(put, self.tilt(self.omega(m, q), r - q), OWN, Normal())

    # ---- replica symmetric

    def energetic(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """E_x int Du Dv L(omega, V), per site."""
        return self.over_sites(self.log_weight(m, q, r))

    def free_entropy(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """The replica-symmetric free entropy per site; its stationary value in m, q, r is the cumulant.

        >>> from derive.symbols import lam, x, xi
        >>> ManifoldSite(lam * x * xi, H).free_entropy(0, 0, 1).doit()
        lambda**2/2
        """
        return self.ratio * entropic_symmetric(m, q, r) + self.energetic(m, q, r)

    def mean(self, body: Expr, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """E <body> of an expression in x and xi: the mean over the tilted patterns, over all sites."""
        return self.over_sites(self.tilted(body, m, q, r))

    def moments(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> tuple[Expr, Expr, Expr]:
        """E[u <w>], E[<w>^2] and E[<w^2> - <w>^2], the three averages that the saddle-point equations ask for."""
        first, second = (self.tilted(OWN**k, m, q, r) for k in (1, 2))
        return (self.over_sites(PLANTED * first), self.over_sites(first**2), self.over_sites(second - first**2))

    def saddle_equations(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> tuple[Eq, Eq, Eq]:
        """m, q and r as the averages that they are equal to at the saddle point.

        >>> from derive.symbols import lam, x, xi
        >>> linear = ManifoldSite(lam * x * xi, H).saddle_equations()
        >>> [e.rhs.doit().subs({R: Q + 1, M: lam / ALPHA_D}).expand() for e in linear]
        [lambda/alpha_D, lambda**2/alpha_D + lambda**2/alpha_D**2, q + 1]
        """
        planted, square, spread = self.moments(m, q, r)
        return (
            Eq(m, planted / (self.ratio * sqrt(r - q)), evaluate=False),
            Eq(q, m**2 + (r - q) * square / self.ratio, evaluate=False),
            Eq(r, q + 1 - (1 - spread) / self.ratio, evaluate=False),
        )

    def replicon(self, m: Expr = M, q: Expr = Q, r: Expr = R) -> Expr:
        """1 - (r - q)^2 E[L_omega,omega^2]/alpha_D; the saddle point is stable while it is positive."""
        first, second = (self.tilted(OWN**k, m, q, r) for k in (1, 2))
        return 1 - self.over_sites((second - first**2 - 1) ** 2) / self.ratio

    # ---- one step of replica symmetry breaking

    def one_step_free_entropy(
        self, m: Expr = M, q0: Expr = Q0, q1: Expr = Q1, r: Expr = R, block: Expr = BREAKPOINT
    ) -> Expr:
        """The free entropy with one step of symmetry breaking, per site; m^2 <= q0 <= q1 < r, block in (0, 1]."""
        field = m * PLANTED + sqrt(q0 - m**2) * COMMON + sqrt(q1 - q0) * BLOCK
        one = LogAverageExp(self.tilt(field, r - q1), OWN, Normal())
        whole = LogAverageExp(block * one, BLOCK, Normal()) / block
        return Add(self.ratio * entropic_one_step(m, q0, q1, r, block), self.over_sites(whole))
