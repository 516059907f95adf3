"""The averages of a replica-symmetric site as polynomials in moments, and their exact derivatives.

With y = omega + sqrt(V) w the weight of a site is Z = int Dw exp h, h = beta sigma(y) + C sigma(y)^2, beta = B x + c.
All that its free entropy and its derivatives ask for is log Z and the tilted means <w^a sigma^c>.  Parameters enter
through Gaussian densities, of omega about m u and of x about amplitude sigma(u); by Stein's lemma a derivative in a
mean or a variance of theirs is one of the integrand in omega or x, and none ever falls on sigma, kinks or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from sympy import Dummy, Expr, Poly, PolynomialError, Rational, S, Symbol, expand, log, sqrt

from derive.core import SaddleStage
from derive.ledger.balls import NotEnclosed

__all__ = ["SiteCalculus"]

#: u, sigma(u), x and log Z
U, ENTRY, X, LOG = (Dummy(name, real=True) for name in ("u", "sigma(u)", "x", "log Z"))
_HALF = Rational(1, 2)


class SiteCalculus:
    """A saddle stage in the coordinates m, p = q - m^2 and V = r - q, with its free entropy as plain part + average.

    Raises: NotEnclosed for an exponent that is not quadratic in x and xi, or a query that is not a multiple of sigma(u)
        with Gaussian noise.
    """

    def __init__(self, stage: SaddleStage) -> None:
        self.stage = stage
        m, q, r = stage.unknowns
        self.m = m
        self.p = Dummy(f"({q.name} - {m.name}^2)", positive=True)
        self.V = Dummy(f"({r.name} - {q.name})", positive=True)
        self.overlaps: dict[Symbol, Expr] = {q: m**2 + self.p, r: m**2 + self.p + self.V}
        self.unknowns = (m, self.p, self.V)
        self._moments: dict[tuple[int, int], Symbol] = {}
        site = stage.site
        try:
            g = Poly(site.exponent.expand(), site.x, site.xi)
        except PolynomialError:
            g = None
        if g is None or g.total_degree() > 2:
            raise NotEnclosed(f"averages with the exponent {site.exponent}, which is not quadratic in x and xi")
        self.B, self.c, self.C = (g.coeff_monomial(k) for k in (site.x * site.xi, site.xi, site.xi**2))
        self.apart = sum((g.coeff_monomial(site.x**k) * X**k for k in range(3)), S.Zero)
        noise = site.query.diff(site.noise)
        entry = site.activation.xreplace({site.field: site.planted})
        self.amplitude = (site.query - noise * site.noise).expand() / entry
        self.amplitude = self.amplitude if self.amplitude.is_number else self.amplitude.cancel()
        if {site.planted, site.noise} & (self.amplitude.free_symbols | noise.free_symbols):
            raise NotEnclosed(f"averages with the query {site.query}, which is no multiple of an entry with noise")
        self.noise = noise**2

    def moment(self, a: int, c: int) -> Expr:
        """<w^a sigma^c>."""
        if a == c == 0:
            return S.One
        return self._moments.setdefault((a, c), Dummy(f"<w^{a} sigma^{c}>", real=True))

    def moments_of(self, e: Expr) -> dict[Symbol, tuple[int, int]]:
        """The moments in an integrand, with their powers."""
        return {s: k for k, s in self._moments.items() if s in e.free_symbols}

    @cached_property
    def entropic(self) -> Expr:
        """What the free entropy has besides the average over sites."""
        m, p, V = self.unknowns
        return self.stage.ratio / 2 * (log(V) + p / V + 1 - m**2 - p - V)

    @cached_property
    def site(self) -> Expr:
        """The integrand of the average over sites in the free entropy: log int Dw exp g."""
        return LOG + self.apart

    def integrand(self, f: Expr) -> Expr:
        """The integrand of the tilted mean of f(x, xi), a polynomial.

        Raises: NotEnclosed for any other f.
        """
        site = self.stage.site
        try:
            poly = Poly(f.expand(), site.x, site.xi)
        except PolynomialError:
            raise NotEnclosed(f"the average of {f}, which is no polynomial in x and xi") from None
        return sum((k * X**i * self.moment(0, c) for (i, c), k in poly.terms()), S.Zero)

    # ---- derivatives

    def _chain(self, e: Expr, moments: Mapping[Symbol, Expr], log_z: Expr) -> Expr:
        return sum((e.diff(s) * d for s, d in moments.items()), e.diff(LOG) * log_z)

    def in_field(self, e: Expr) -> Expr:
        """d/d omega."""
        root, M = sqrt(self.V), self.moment
        lower = {s: a * M(a - 1, c) if a else S.Zero for s, (a, c) in self.moments_of(e).items()}
        each = {s: (M(a + 1, c) - lower[s] - s * M(1, 0)) / root for s, (a, c) in self.moments_of(e).items()}
        return expand(self._chain(e, each, M(1, 0) / root))

    def in_query(self, e: Expr) -> Expr:
        """d/dx."""
        M = self.moment
        each = {s: self.B * (M(a, c + 1) - s * M(0, 1)) for s, (a, c) in self.moments_of(e).items()}
        return expand(e.diff(X) + self._chain(e, each, self.B * M(0, 1)))

    def in_spread(self, e: Expr) -> Expr:
        """d/dV at fixed omega, by the heat equation that the density of y obeys."""
        M = self.moment
        each = {s: (M(a + 2, c) - a * s - s * M(2, 0)) / (2 * self.V) for s, (a, c) in self.moments_of(e).items()}
        return expand(self._chain(e, each, (M(2, 0) - 1) / (2 * self.V)))

    def derivative(self, e: Expr, z: Symbol) -> Expr:
        """The integrand of dE[e]/dz, z an unknown overlap or a parameter."""
        explicit = e.diff(z)
        if z == self.m:
            return expand(explicit + U * self.in_field(e))
        if z == self.p:
            return expand(explicit + _HALF * self.in_field(self.in_field(e)))
        if z == self.V:
            return expand(explicit + self.in_spread(e))
        M = self.moment
        linear, square = self.B.diff(z) * X + self.c.diff(z), self.C.diff(z)
        each = {s: linear * (M(a, c + 1) - s * M(0, 1)) + square * (M(a, c + 2) - s * M(0, 2))
                for s, (a, c) in self.moments_of(e).items()}
        total = explicit + self._chain(e, each, linear * M(0, 1) + square * M(0, 2))
        in_amplitude, in_noise = self.amplitude.diff(z), self.noise.diff(z)
        if in_amplitude != 0:
            total += in_amplitude * ENTRY * self.in_query(e)
        if in_noise != 0:
            total += in_noise / 2 * self.in_query(self.in_query(e))
        return expand(total)
