"""Spectral laws as algebraic objects: an exact polynomial equation for the Stieltjes transform, and its physical sheet.

The transform is g(z) = <1/(c - z)>, minus the Cauchy transform: g ~ -1/z at infinity, Im g > 0 for Im z > 0, and the
density is Im g(x + i0)/pi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from typing import Any

import mpmath
import numpy as np
from flint import arb, fmpq
from sympy import Add, Eq, Expr, Poly, S, Symbol

from derive.core import DeriveError
from derive.ledger.balls import precision
from derive.methods.spectra import series
from derive.methods.spectra.density import Distribution, distribution
from derive.methods.spectra.edges import Atom, Bulk, Edge, atoms_of, bulks_of, to_mpmath
from derive.methods.spectra.exact import (
    factors,
    from_sympy,
    integer_pair,
    integer_polynomial,
    normal,
    number,
    ordered,
    primitive_part,
    pull_back,
    to_sympy,
)
from derive.methods.spectra.mapped import MappedSheet, MoebiusMap, mapped_atoms, mapped_bulks
from derive.methods.spectra.population import Population
from derive.methods.spectra.sheet import NoSheet, PhysicalSheet
from derive.methods.spectra.transforms import Transform

__all__ = ["AlgebraicLaw"]

G, Z = Symbol("g"), Symbol("z")
_FAR = 32  # moments with which the branch is recognised far out
HEAD = 9  # moments that tell branches apart, the zeroth included
BALL_BITS = 1000


@dataclass(frozen=True, eq=False)
class AlgebraicLaw:
    """A probability law of eigenvalues whose transform g(z) = <1/(c - z)> solves P(g, z) = 0.

    Args:
        polynomial: P, irreducible, in (g, z, parameters...) with integer coefficients.
        head: the first moments as floats, where they are needed to tell the physical branch at infinity; else ().
        population: the population of variances behind a Marchenko-Pastur law, which gives closed forms.
        recipe: the function and the arguments that made the law, which is how parameters are replaced.

    Made by the constructors below; numbers (density, edges, ...) are computed when they are first asked for and kept.

    >>> law = AlgebraicLaw.marchenko_pastur(0.25)
    >>> law.polynomial.as_expr()
    4*g**2*z + g*z + 3*g + 1
    >>> law.moments(3), law.atoms
    ((1, 5, 29), ((0, 3/4),))
    >>> [edge.expression for edge in law.edges()]
    [1, 9]
    """

    polynomial: Poly
    head: tuple[float, ...] = ()
    population: Population | None = None
    recipe: tuple[Callable[..., AlgebraicLaw], tuple[Any, ...]] | None = field(default=None, repr=False)

    def __eq__(self, other: object) -> bool:
        """Whether two laws have one equation, and one branch of it."""
        if not isinstance(other, AlgebraicLaw) or self.polynomial != other.polynomial:
            return False
        return not self.is_numeric or len(self._branches) == 1 or head_of(self._branch) == head_of(other._branch)

    def __hash__(self) -> int:
        return hash(self.polynomial)

    # ---- constructors

    @staticmethod
    def from_equation(equation: Any, g: Symbol = G, z: Symbol = Z) -> AlgebraicLaw:
        """The law of an equation between g = <1/(c - z)> and z, polynomial or rational.

        Args: equation (an expression that vanishes, or an Eq; other symbols are parameters), g, z (its symbols).

        Raises: DeriveError where no sheet, or more than one, is the transform of a law.

        >>> AlgebraicLaw.from_equation(Eq(G, -1/(Z + G))).moments(4)
        (0, 1, 0, 2)
        """
        expr = equation.lhs - equation.rhs if isinstance(equation, Eq) else equation
        if not isinstance(expr, Expr) or not {g, z} <= expr.free_symbols:
            raise DeriveError(
                f"the equation {equation} does not relate {g} and {z}", given=str(equation),
                allowed=f"an equation between {g} and {z}", nearest="z*g**2 + z*g + 1",
            )  # fmt: skip
        parameters = sorted(expr.free_symbols - {g, z}, key=str)
        if {str(s) for s in parameters} & {"g", "z"}:
            raise DeriveError("a parameter is called g or z", given=str(parameters), allowed="other names")
        poly = integer_polynomial(expr.xreplace({g: G, z: Z}), (G, Z, *parameters))
        return _physical_law([to_sympy(f, poly.gens) for f in factors(from_sympy(poly))])

    @staticmethod
    def of_atoms(weights: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> AlgebraicLaw:
        """Finitely many points with their weights, {point: weight, ...}.

        Raises: DeriveError for an empty law, weights that are negative or do not sum to one.

        >>> AlgebraicLaw.of_atoms({-1: 0.5, 1: 0.5}).polynomial.as_expr()
        g*z**2 - g + z
        """
        joined: dict[Expr, Expr] = {}
        for point, weight in weights.items() if isinstance(weights, Mapping) else weights:
            p, w = number(point, "an atom"), number(weight, "a weight")
            if w.is_negative:
                raise DeriveError(f"the weight of the atom {p} is {w}", given=str(w), allowed="weights in [0, 1]")
            joined[p] = joined.get(p, S.Zero) + w
        joined = {p: w for p, w in joined.items() if w != 0}
        if not joined:
            raise DeriveError(
                "the law is empty", given="no atoms", allowed="at least one atom of positive weight", nearest="{0: 1}"
            )
        total = Add(*joined.values())
        if (total - 1).is_number and abs(float(total - 1)) > 1e-12:
            raise DeriveError(
                f"the weights of the atoms sum to {total}, not to 1", given=str(total), allowed="weights that sum to 1"
            )
        if total.is_number:
            joined = {p: w / total for p, w in joined.items()}
        return _from_rational(G - Add(*(w / (p - Z) for p, w in joined.items())))

    @staticmethod
    def semicircle(variance: Any = 1) -> AlgebraicLaw:
        """Wigner's semicircle law of mean zero on [-2 sqrt(variance), 2 sqrt(variance)].

        >>> [float(edge) for edge in AlgebraicLaw.semicircle(4).edges()]
        [-4.0, 4.0]
        """
        v = number(variance, "the variance")
        if v.is_nonpositive:
            raise DeriveError(
                f"the variance of a semicircle is {v}", given=str(v), allowed="variance > 0", nearest="1"
            )
        return _from_rational(v * G**2 + Z * G + 1)

    @staticmethod
    def marchenko_pastur(
        ratio: Any, variance: Any = 1, *, population: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None
    ) -> AlgebraicLaw:
        """The spectrum of C = F F^T/D, F an N x D matrix of independent entries, ratio = D/N.

        Args: ratio (> 0), variance (of all entries), population (instead of it: {variance: fraction of the columns}).
        For ratio < 1 the eigenvalue zero has weight 1 - ratio.

        Raises: DeriveError for a negative variance or fraction, or fractions that do not sum to one.

        >>> law = AlgebraicLaw.marchenko_pastur(0.5, population={1: 0.5, 0.01: 0.5})
        >>> len(law.bulks()), law.atoms
        (2, ((0, 1/2),))
        """
        made = Population.of(ratio, {number(variance, "the variance"): 1} if population is None else population)
        poly = _from_rational(made.residual(G, Z))
        return replace(poly, population=made)

    # ---- new laws of old ones

    def free_add(self, other: AlgebraicLaw) -> AlgebraicLaw:
        """The law of the sum of two free variables: R-transforms add.

        >>> AlgebraicLaw.semicircle(1).free_add(AlgebraicLaw.semicircle(2)) == AlgebraicLaw.semicircle(3)
        True
        """
        from derive.methods.spectra.convolution import free_sum

        return free_sum(self, other)

    def free_multiply(self, other: AlgebraicLaw) -> AlgebraicLaw:
        """The law of a^(1/2) b a^(1/2) for free a and b: S-transforms multiply."""
        from derive.methods.spectra.convolution import free_product

        return free_product(self, other)

    def scale(self, factor: Any) -> AlgebraicLaw:
        """The law of factor * c."""
        k = number(factor, "the factor")
        if k.is_zero:
            raise DeriveError(
                "a law is scaled by zero", given="0", allowed="a factor that is not zero",
                nearest="AlgebraicLaw.of_atoms({0: 1})",
            )  # fmt: skip
        made = self.moebius(k, 0, 0, 1)
        return replace(made, population=self.population.scaled(k)) if self.population and k.is_positive else made

    def shift(self, by: Any) -> AlgebraicLaw:
        """The law of c + by."""
        return self.moebius(1, number(by, "the shift"), 0, 1)

    def inverse(self) -> AlgebraicLaw:
        """The law of 1/c.

        Raises: DeriveError where zero belongs to the support.

        >>> law = AlgebraicLaw.marchenko_pastur(2)
        >>> law.inverse().inverse() == law
        True
        """
        return self.moebius(0, 1, 1, 0)

    def moebius(self, a: Any, b: Any, c: Any, d: Any) -> AlgebraicLaw:
        """The law of (a x + b)/(c x + d).

        Raises: DeriveError where a d = b c, or where the pole -d/c belongs to the support.

        >>> t = 0.1
        >>> AlgebraicLaw.marchenko_pastur(0.5).moebius(0, -t, 1, t).atoms  # of x -> -t/(t + x)
        ((-1, 1/2),)
        """
        p, q, r, s = (number(v, "a coefficient of the map") for v in (a, b, c, d))
        determinant = p * s - q * r
        if determinant.is_zero:
            raise DeriveError(
                f"the map ({p} x + {q})/({r} x + {s}) is constant", given=f"{p}, {q}, {r}, {s}", allowed="a d != b c"
            )
        if not r.is_zero and self.is_numeric and (-s / r).is_number:
            self._refuse_pole(-s / r)
        # g(zeta) = ((p - r z) g' - r) (p - r z)/determinant at zeta = (s z - q)/(p - r z)
        symbols = (G, Z, *ordered(self.parameters.union(*(v.free_symbols for v in (p, q, r, s)))))
        left = p - r * Z
        moved = [integer_pair(e, symbols) for e in ((left * G - r) * left / determinant, (s * Z - q) / left)]
        embed = [symbols.index(v) for v in self.polynomial.gens]
        pulled = pull_back(from_sympy(self.polynomial), moved[0][0].context(), {0: moved[0], 1: moved[1]}, embed)
        made = to_sympy(primitive_part(pulled), symbols)
        return AlgebraicLaw(normal(made), recipe=(_moebius, (self, p, q, r, s)))

    def _refuse_pole(self, pole: Expr) -> None:
        for bulk in self.bulks():
            low, high = bulk.lower.isolated, bulk.upper.isolated
            if low[0] <= pole <= high[1]:
                raise DeriveError(
                    f"the map has its pole {pole} in the support [{float(bulk.lower):g}, {float(bulk.upper):g}]",
                    given=str(pole), allowed="a pole off the support",
                )  # fmt: skip
        for point, weight in self.atoms:
            if point == pole:
                raise DeriveError(
                    f"the map has its pole at the atom {point} of weight {weight}", given=str(pole),
                    allowed="a pole off the support",
                )  # fmt: skip

    @property
    def _source(self) -> tuple[AlgebraicLaw, MoebiusMap] | None:
        """The law and the map of numbers that made this one."""
        if self.recipe is None or self.recipe[0] is not _moebius or not self.is_numeric:
            return None
        law, *coefficients = self.recipe[1]
        return law, MoebiusMap(*(fmpq(int(v.p), int(v.q)) for v in coefficients))

    def subs(self, values: Mapping[Any, Any]) -> AlgebraicLaw:
        """The law with parameters replaced by numbers or other parameters.

        >>> r = Symbol("r", positive=True)
        >>> AlgebraicLaw.marchenko_pastur(r).subs({r: 2}) == AlgebraicLaw.marchenko_pastur(2)
        True
        """
        exact = {k: number(v, f"the parameter {k}") for k, v in values.items()}
        if not self.parameters & exact.keys():
            return self
        if self.population is not None:
            old = self.population
            parts = tuple((v.xreplace(exact), w.xreplace(exact)) for v, w in old.parts)
            return AlgebraicLaw.marchenko_pastur(old.ratio.xreplace(exact), population=parts)
        if self.recipe is not None:
            function, arguments = self.recipe
            return function(*(a.subs(exact) if isinstance(a, AlgebraicLaw) else a.xreplace(exact) for a in arguments))
        return AlgebraicLaw.from_equation(self.polynomial.as_expr().xreplace(exact))

    # ---- the equation

    @property
    def parameters(self) -> frozenset[Symbol]:
        """Symbols of the equation besides g and z."""
        return frozenset(self.polynomial.gens[2:])

    @property
    def is_numeric(self) -> bool:
        """Whether the law has no parameters left, so that numbers can be asked of it."""
        return len(self.polynomial.gens) == 2

    @property
    def equation(self) -> Eq:
        """P(g, z) = 0."""
        return Eq(self.polynomial.as_expr(), 0)

    @cached_property
    def _branches(self) -> list[series.Branch]:
        return series.branches(_over(self.polynomial))

    @cached_property
    def _branch(self) -> series.Branch:
        if len(self._branches) == 1:
            return self._branches[0]
        head = self.head
        if self._branches and not head and self._source is not None:
            # of several branches the one whose moments are the averages of powers of the map
            law, m = self._source
            average = law._distribution.average
            head = (1.0, *(average(partial(_mapped_power, _floats(m), k)) for k in range(1, HEAD)))
        if not self._branches or not head:
            raise _undecided(self.polynomial)
        return min(self._branches, key=lambda b: apart(head_of(b), head))

    def _series(self, n: int) -> list[Any]:
        """[1, m_1, ..., m_n] in the field of the coefficients."""
        return self._branch.moments(n)

    def _exact(self, values: Sequence[Any]) -> tuple[Expr, ...]:
        return tuple(self._branch.field.to_sympy(v) for v in values)

    def moments(self, n: int) -> tuple[Expr, ...]:
        """The moments <c>, <c^2>, ..., <c^n>, exact.

        >>> AlgebraicLaw.semicircle().moments(6)
        (0, 1, 0, 2, 0, 5)
        """
        return self._exact(self._series(_order(n))[1:])

    def moment(self, k: int) -> Expr:
        """<c^k> for k >= 0, exact."""
        return S.One if k == 0 else self.moments(k)[-1]

    def free_cumulants(self, n: int) -> tuple[Expr, ...]:
        """The free cumulants kappa_1, ..., kappa_n, exact.

        >>> AlgebraicLaw.marchenko_pastur(0.5).free_cumulants(4)
        (1, 2, 4, 8)
        """
        return self._exact(series.cumulants_from_moments(self._series(_order(n)))[1:])

    def r_transform(self) -> Transform:
        """R(x) = kappa_1 + kappa_2 x + ...: G(R(x) + 1/x) = x with the Cauchy transform G = -g.

        >>> AlgebraicLaw.semicircle(3).r_transform().closed_form
        3*x
        """
        f, x = Symbol("R"), Symbol("x")
        return Transform("R", self._relation(f, x, -x, f + 1 / x), self.free_cumulants)

    def s_transform(self) -> Transform:
        """S(y) = chi(y) (1 + y)/y, chi the inverse of psi(s) = m_1 s + m_2 s^2 + ...

        Raises: DeriveError for a law of mean zero, which has none.

        >>> AlgebraicLaw.marchenko_pastur(Symbol("r", positive=True)).s_transform().closed_form
        r/(r + y)
        """
        if self.moment(1) == 0:
            raise DeriveError(
                "a law of mean zero has no S-transform", given="mean 0", allowed="a mean that is not zero",
                nearest="r_transform",
            )  # fmt: skip
        f, y = Symbol("S"), Symbol("y")

        def coefficients(n: int) -> tuple[Expr, ...]:
            return self._exact(series.s_series(self._series(_order(n)))[:n])

        return Transform("S", self._relation(f, y, -y * f, (1 + y) / (y * f)), coefficients)

    def _relation(self, f: Symbol, x: Symbol, g: Expr, z: Expr) -> Poly:
        symbols = (f, x, *self.polynomial.gens[2:])
        moved = [integer_pair(e, symbols) for e in (g, z)]
        embed = [0, 1, *range(2, len(symbols))]
        pulled = pull_back(from_sympy(self.polynomial), moved[0][0].context(), {0: moved[0], 1: moved[1]}, embed)
        return normal(_without_monomials(to_sympy(primitive_part(pulled), symbols)))

    # ---- support

    @cached_property
    def _sheet(self) -> PhysicalSheet | MappedSheet:
        self._need_numbers()
        if self._source is not None:
            law, m = self._source
            return MappedSheet(law._sheet, m)
        return _sheet(self.polynomial, self.head)

    @cached_property
    def _distribution(self) -> Distribution:
        self._need_numbers()
        if self._source is not None:
            return distribution(self._sheet, self._atoms, self._bulks)
        return _compiled(self.polynomial, self.head)

    def _need_numbers(self) -> None:
        if not self.is_numeric:
            names = ", ".join(sorted(str(s) for s in self.parameters))
            raise DeriveError(
                f"numbers are asked of a law with the parameters {names}", given=names, allowed="a law of numbers",
                nearest=f"subs({{{names.split(',')[0]}: 1/2}})",
            )  # fmt: skip

    @cached_property
    def _bulks(self) -> tuple[Bulk, ...]:
        if self._source is not None:
            law, m = self._source
            return mapped_bulks(law._bulks, m)
        return bulks_of(_sheet(self.polynomial, self.head))

    def bulks(self) -> tuple[Bulk, ...]:
        """The intervals of positive density, in order."""
        return self._bulks

    def edges(self) -> tuple[Edge, ...]:
        """The ends of the bulks, in order: real double roots of the equation, isolated exactly.

        Where two bulks just touch, their common edge is there twice.
        """
        return tuple(edge for bulk in self._bulks for edge in (bulk.lower, bulk.upper))

    @cached_property
    def _atoms(self) -> tuple[Atom, ...]:
        if self._source is not None:
            law, m = self._source
            return mapped_atoms(law._atoms, m)
        return atoms_of(_sheet(self.polynomial, self.head))

    @property
    def atoms(self) -> tuple[tuple[Expr, Expr], ...]:
        """(point, weight) of the atoms, exact, in order."""
        return tuple((a.position, a.weight) for a in self._atoms)

    def atom(self, point: Any) -> Expr:
        """The weight of a point, exact; zero where there is no atom."""
        return dict(self.atoms).get(number(point, "a point"), S.Zero)

    def support(self) -> tuple[float, float]:
        """The smallest and the largest point."""
        ends = [float(e) for e in self.edges()] + [float(a) for a in self._atoms]
        return min(ends), max(ends)

    def edge_coefficient(self, edge: Edge) -> float:
        """C in density ~ C distance^exponent at an edge."""
        for cell in self._distribution.cells:
            for half in (cell.left, cell.right):
                if half.anchor == edge:
                    return half.coefficient
        raise DeriveError("the edge belongs to another law", given=str(float(edge)), allowed="one of edges()")

    def weights(self) -> tuple[float, ...]:
        """The weight of each bulk, in order."""
        cells = self._distribution.cells
        return tuple(sum(c.left.mass + c.right.mass for c in cells if c.bulk == bulk) for bulk in self._bulks)

    # ---- numbers

    def density(self, x: Any) -> Any:
        """Density of the continuous part at an array of points, same shape; zero off the bulks, inf at a hard edge."""
        return _shaped(x, self._distribution.density)

    pdf = density

    def density_from_edge(self, edge: Edge | int, distance: Any) -> Any:
        """Density at distances >= 0 from an edge into its bulk, right to rounding however small they are.

        Args: edge (one of `edges()`, or its place there), distance (array).
        """
        edges = self.edges()
        if isinstance(edge, int) and not 0 <= edge < len(edges):
            raise DeriveError(
                f"the law has {len(edges)} edges, none of number {edge}", given=str(edge),
                allowed=f"0 to {len(edges) - 1}" if edges else "a law with a bulk",
            )  # fmt: skip
        chosen = edges[edge] if isinstance(edge, int) else edge
        if chosen not in edges:
            raise DeriveError("the edge belongs to another law", given=str(float(chosen)), allowed="one of edges()")
        return _shaped(distance, partial(_from_edge, self._distribution, chosen))

    def density_mp(self, x: Any, digits: int = 50) -> Any:
        """The density at one point to a number of digits; a float is taken as the binary fraction that it is."""
        self._need_numbers()
        point = _binary(x)
        bits = max(256, 16 * digits)
        with precision(bits):
            for bulk in self._bulks:
                z = arb(point)
                if bool(z > bulk.lower.point.at(bits).mid()) and bool(z < bulk.upper.point.at(bits).mid()):
                    g = self._sheet.on_bulk(bulk, z, bits=bits)
                    return to_mpmath(g.imag / arb.pi(), digits)
        return mpmath.mpf(0)

    def stieltjes(self, z: Any) -> Any:
        """g(z) = <1/(c - z)> at an array of complex points, same shape; on a bulk its value from above.

        Raises: DeriveError at atoms and hard edges, where g is infinite.
        """
        values = np.asarray(z, dtype=complex)
        if not np.isfinite(values).all():
            raise DeriveError("a point is not finite", given=str(z), allowed="finite numbers")
        found = self._distribution.stieltjes(np.atleast_1d(values)).reshape(values.shape)
        if not np.isfinite(found).all():
            where = values[~np.isfinite(found)].ravel()[0]
            raise DeriveError(
                f"the Stieltjes transform is infinite at z = {where.real:g}", given=f"z = {where.real:g}",
                allowed="points that are neither atoms nor hard edges",
            )  # fmt: skip
        return _unwrapped(found)

    def cdf(self, x: Any) -> Any:
        """Weight of the points <= x."""
        return _shaped(x, self._distribution.cdf)

    def sf(self, x: Any) -> Any:
        """Weight of the points > x."""
        return _shaped(x, self._distribution.sf)

    def ppf(self, q: Any) -> Any:
        """Quantiles: the smallest point with weight q in [0, 1] at or below it; nan for other q."""
        return _shaped(q, partial(_on_unit, self._distribution.ppf))

    quantile = ppf

    def isf(self, q: Any) -> Any:
        """Quantiles from above: the largest point with weight q in [0, 1] at or above it; nan for other q."""
        return _shaped(q, partial(_on_unit, self._distribution.isf))

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Independent points of the law; random_state is a NumPy generator, a seed or None."""
        rng = np.random.default_rng(random_state)
        return self.ppf(rng.random(size))

    def mean(self) -> float:
        """<c>."""
        return float(self.moment(1))

    def var(self) -> float:
        """<c^2> - <c>^2."""
        first, second = self.moments(2)
        return float(second - first**2)

    def std(self) -> float:
        """Square root of the variance."""
        return float(np.sqrt(self.var()))

    def median(self) -> float:
        """The point with half of the weight at or below it."""
        return float(self.ppf(0.5))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Quantiles that leave the same weight on either side."""
        outside = (1 - confidence) / 2
        return float(self.ppf(outside)), float(self.isf(outside))

    def expect(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """The average of a function that takes arrays and is smooth on every bulk."""
        return self._distribution.average(function)

    # ---- Shannon transform

    def shannon(self, t: Any) -> Any:
        """<log(1 + c/t)> at an array of t > 0, for a law on c >= 0.

        For a population of variances in closed form through g(-t), else by quadrature that knows the edges.
        """
        return self._of_time(t, lambda p: p.shannon_values, lambda u, x: np.log1p(x / u))

    def shannon_slope(self, t: Any) -> Any:
        """d/dt <log(1 + c/t)> = -<c/(c + t)>/t."""
        values = self._of_time(t, lambda p: p.loss_values, lambda u, x: x / (x + u))
        return -values / np.asarray(t, dtype=float)

    def _of_time(self, t: Any, closed: Callable[[Population], Any], body: Callable[[float, np.ndarray], Any]) -> Any:
        self._need_numbers()
        times = np.asarray(t, dtype=float)
        if not (times > 0).all() or not np.isfinite(times).all():
            raise DeriveError("a time is not positive", given=str(t), allowed="0 < t < oo")
        if self.population is not None:
            return _unwrapped(closed(self.population)(times))
        if self.support()[0] < 0:
            raise DeriveError(
                f"the law reaches below zero, to {self.support()[0]:g}", given=f"{self.support()[0]:g}",
                allowed="a law on c >= 0",
            )  # fmt: skip
        average = self._distribution.average
        values = [average(partial(body, u), singular=-u) for u in times.ravel()]
        return _unwrapped(np.array(values).reshape(times.shape))


# ---- which law an equation has


def _physical_law(candidates: Sequence[Poly]) -> AlgebraicLaw:
    """The law among factors of an equation: the branch that stands the test of its whole sheet."""
    laws, reasons = [], []
    for poly in candidates:
        if poly.degree(G) == 0:
            continue
        found = series.branches(_over(poly))
        if not found:
            reasons.append("no branch with g ~ -1/z at infinity and all moments")
        for branch in found:
            several = len(found) > 1 and len(poly.gens) == 2
            law = AlgebraicLaw(normal(poly), head_of(branch) if several else ())
            if law.is_numeric:
                try:
                    _ = law._distribution
                except NoSheet as refused:
                    reasons.append(str(refused).partition(": ")[2])
                    continue
            laws.append(law)
    if not laws:
        raise _no_law(candidates, reasons[0] if reasons else "it does not contain g")
    if len(laws) > 1:
        raise DeriveError(
            f"the equation has {len(laws)} physical sheets", given="a product of equations",
            allowed="the equation of one law", nearest=str(laws[0].polynomial.as_expr()),
        )  # fmt: skip
    return laws[0]


def _no_law(candidates: Sequence[Poly], why: str) -> NoSheet:
    """No sheet, with a hint where the equation is one for the Cauchy transform -g."""
    nearest = None
    for poly in candidates:
        mirrored = normal(Poly(poly.as_expr().xreplace({G: -G}), *poly.gens))
        if series.branches(_over(mirrored)) and not series.branches(_over(poly)):
            why += "; it has one for -g, and g is <1/(c - z)>, minus the Cauchy transform"
            nearest = str(mirrored.as_expr())
            break
    refused = NoSheet(why)
    refused.given = " * ".join(f"({poly.as_expr()})" for poly in candidates)
    refused.nearest = nearest or refused.nearest
    return refused


def _undecided(poly: Poly) -> DeriveError:
    return DeriveError(
        "several branches of the equation behave as -1/z, and its parameters leave open which is the law's",
        given=str(poly.as_expr()), allowed="numbers for the parameters",
    )  # fmt: skip


# ---- compiled laws, kept for as long as they are among the last asked for


@lru_cache(maxsize=128)
def _sheet(poly: Poly, head: tuple[float, ...]) -> PhysicalSheet:
    branch = AlgebraicLaw(poly, head)._branch
    return PhysicalSheet(from_sympy(poly), branch.balls(_FAR, BALL_BITS))


@lru_cache(maxsize=128)
def _compiled(poly: Poly, head: tuple[float, ...]) -> Distribution:
    sheet = _sheet(poly, head)
    made = distribution(sheet, atoms_of(sheet), bulks_of(sheet))
    _verify(made, AlgebraicLaw(poly, head)._branch.balls(3, BALL_BITS))
    return made


def _verify(made: Distribution, moments: Sequence[arb]) -> None:
    """The moments of what was compiled are those of the branch at infinity: boundary values and branch are one law."""
    for k in (1, 2, 3):
        size = made.average(partial(_power, k, True))
        if abs(made.average(partial(_power, k, False)) - float(moments[k].mid())) > 1e-9 * max(size, 1e-300):
            raise NoSheet(f"its density does not have the moment of order {k} that it has at infinity")


def _power(k: int, modulus: bool, x: np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(x) if modulus else x) ** k)


# ---- small things


def _from_rational(expr: Expr) -> AlgebraicLaw:
    """The law of an equation that is known to have one."""
    symbols = (G, Z, *ordered(expr.free_symbols - {G, Z}))
    poly = integer_polynomial(expr, symbols)
    made = AlgebraicLaw(normal(to_sympy(primitive_part(from_sympy(poly)), symbols)))
    return made if len(made._branches) == 1 else _physical_law([made.polynomial])


def _over(poly: Poly) -> Poly:
    """The polynomial in (g, z) with the parameters in its coefficients."""
    return Poly(poly.as_expr(), G, Z) if len(poly.gens) > 2 else poly


def _without_monomials(poly: Poly) -> Poly:
    return poly.terms_gcd()[1]


def _mapped_power(coefficients: Sequence[float], k: int, x: np.ndarray) -> np.ndarray:
    a, b, c, d = coefficients
    return np.asarray(((a * x + b) / (c * x + d)) ** k)


def _floats(m: MoebiusMap) -> tuple[float, ...]:
    return tuple(int(v.p) / int(v.q) for v in (m.a, m.b, m.c, m.d))


def _moebius(law: AlgebraicLaw, a: Expr, b: Expr, c: Expr, d: Expr) -> AlgebraicLaw:
    return law.moebius(a, b, c, d)


def head_of(branch: series.Branch) -> tuple[float, ...]:
    return tuple(float(m.mid()) for m in branch.balls(HEAD - 1, BALL_BITS))


def apart(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest relative difference of two lists of moments."""
    return max(abs(x - y) / max(abs(x), abs(y), 1e-300) for x, y in zip(a, b, strict=True))


def _order(n: Any) -> int:
    if not isinstance(n, int) or n < 1:
        raise DeriveError(f"moments up to order {n} are asked for", given=str(n), allowed="an order >= 1", nearest="1")
    return n


def _binary(x: Any) -> fmpq:
    if isinstance(x, (float, np.floating)):
        exact = Fraction(float(x))
        return fmpq(exact.numerator, exact.denominator)
    if isinstance(x, mpmath.mpf):
        sign, mantissa, exponent, _ = x._mpf_
        value = Fraction(int(mantissa)) * Fraction(2) ** exponent * (-1) ** sign
        return fmpq(value.numerator, value.denominator)
    rational = number(x, "a point")
    return fmpq(int(rational.p), int(rational.q))


def _from_edge(compiled: Distribution, edge: Edge, distance: np.ndarray) -> np.ndarray:
    if (distance < 0).any():
        raise DeriveError("a distance from an edge is negative", given=str(distance.min()), allowed="distances >= 0")
    return compiled.density_from(edge, distance)


def _on_unit(function: Callable[[np.ndarray], np.ndarray], q: np.ndarray) -> np.ndarray:
    inside = (q >= 0) & (q <= 1)
    out = np.full(q.shape, np.nan)
    out[inside] = function(q[inside])
    return out


def _shaped(x: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    try:
        values = np.asarray(x, dtype=float)
    except (TypeError, ValueError):
        raise DeriveError(f"{x} is not an array of numbers", given=str(x), allowed="numbers") from None
    if np.isnan(values).any():
        raise DeriveError("a point is nan", given="nan", allowed="numbers")
    return _unwrapped(function(np.atleast_1d(values)).reshape(values.shape))


def _unwrapped(values: np.ndarray) -> Any:
    return values[()] if values.ndim == 0 else values
