"""The linear hidden manifold whose latent directions have different variances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from sympy import Add, Expr, Float, Interval, Rational, S, oo, sqrt, sympify

from derive.core import DeriveError, Parameter
from derive.ensembles.activation import Activation, H
from derive.ensembles.base import Ensemble, HiddenManifold
from derive.ensembles.sites import SiteLaw
from derive.symbols import alpha_D

if TYPE_CHECKING:
    from derive.methods.spectra import AlgebraicLaw

__all__ = ["VarianceManifold"]

_SIMPLE = 10**6
"""Largest denominator of a fraction that a float is taken to stand for, where it rounds to that float."""


@dataclass(frozen=True, init=False)
class VarianceManifold(Ensemble):
    """Patterns sigma(F diag(s) z / sqrt(D)) with variances s_k^2 on fractions of the latent directions (A4).

    Args: variances, a mapping variance -> fraction of the D latent directions that have it, or pairs of them; the
    fractions sum to 1.  Floats are read as the simplest fraction that rounds to them.  activation sigma, by default
    linear, as for `HiddenManifold`.

    Raises: DeriveError for no variance at all, a variance that is not positive, a fraction that is not positive,
    fractions that do not sum to 1, or anything that is not a number.

    >>> VarianceManifold({1: Rational(1, 2), 0.09: Rational(1, 2)}).parts[0]
    (9/(100*alpha_D), alpha_D/2)
    """

    variances: tuple[tuple[Expr, Expr], ...]
    activation: Activation | None

    name = "manifold"
    parameters = (Parameter(alpha_D, Interval.open(0, oo), "manifold dimension D/N", "ratio"),)

    def __init__(
        self,
        variances: Mapping[object, object] | Iterable[tuple[object, object]] = ((1, 1),),
        activation: object = None,
    ) -> None:
        pairs = variances.items() if isinstance(variances, Mapping) else variances
        object.__setattr__(self, "variances", _checked([(_number(v), _number(f)) for v, f in pairs]))
        object.__setattr__(self, "activation", HiddenManifold(activation).activation)

    @property
    def parts(self) -> tuple[tuple[Expr, Expr], ...]:
        """(v_k, alpha_k) of each latent variance, smallest first: v_k = s_k^2/alpha_D, alpha_k = D_k/N."""
        return tuple((variance / alpha_D, alpha_D * fraction) for variance, fraction in self.variances)

    @property
    def isotropic(self) -> bool:
        """Whether all latent directions have one variance."""
        return len(self.variances) == 1

    @property
    def linear(self) -> bool:
        """Whether the patterns are linear in the latent variables."""
        return self.activation is None

    @property
    def field_variance(self) -> Expr:
        """Variance of an entry before the activation, the mean of the latent variances."""
        return Add(*(variance * fraction for variance, fraction in self.variances))

    def _average(self, of: Callable[[Expr, Expr], Expr]) -> Expr:
        """E of(h, sigma(sqrt(variance) h)) over a standard normal h."""
        assert self.activation is not None
        spread = sqrt(self.field_variance)
        scaled = Activation(self.activation(spread * H))
        return scaled.average(lambda sigma: of(H, sigma))

    @cached_property
    def mean(self) -> Expr:
        """kappa_0 = E sigma, over an entry before the activation."""
        return S.Zero if self.linear else self._average(lambda h, sigma: sigma)

    @cached_property
    def slope(self) -> Expr:
        """kappa_1 = E h sigma, over the standardised entry h: weight of its linear part."""
        return sqrt(self.field_variance) if self.linear else self._average(lambda h, sigma: h * sigma)

    @cached_property
    def rest(self) -> Expr:
        """kappa_*^2 = E sigma^2 - kappa_0^2 - kappa_1^2: variance of what is not linear."""
        return S.Zero if self.linear else self.rho - self.mean**2 - self.slope**2

    def law(self, ratio: object) -> AlgebraicLaw:
        """The spectrum of the covariance at D/N = ratio (a rational number or a symbol), as an algebraic law.

        Raises: DeriveError for a manifold with an activation, whose constants are no rational numbers.

        >>> len(VarianceManifold({1: Rational(1, 2), 0.01: Rational(1, 2)}).law(Rational(1, 2)).bulks())
        2
        """
        from derive.methods.spectra import AlgebraicLaw

        if not self.linear:
            raise DeriveError(
                f"the spectrum of {self.title} is no algebraic law with rational coefficients",
                given=str(self), allowed="a linear manifold",
            )
        return AlgebraicLaw.marchenko_pastur(ratio, population=self.variances)

    @property
    def title(self) -> str:  # type: ignore[override]
        words = ", ".join(f"{v} on {f}" if f != 1 else f"{v}" for v, f in self.variances)
        tail = "" if self.variances == ((S.One, S.One),) else f", latent variance {words}"
        return f"{HiddenManifold(self.activation).title}{tail}"

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        chosen = [("ensemble", self.name)]
        if self.activation is not None:
            chosen.append(("activation", str(self.activation)))
        return (*chosen, ("variances", self._listed))

    @property
    def _listed(self) -> str:
        return ",".join(f"{v}:{f}" for v, f in self.variances)

    def manifold(self, activation: object) -> VarianceManifold:
        return VarianceManifold(self.variances, activation)

    def activated(self, activation: object) -> VarianceManifold:
        return VarianceManifold(self.variances, activation)

    def varied(self, variances: object) -> VarianceManifold:
        return VarianceManifold(variances, self.activation)  # type: ignore[arg-type]

    @property
    def site(self) -> SiteLaw:
        raise DeriveError(
            "only the spectrum is derived for a manifold with several variances",
            given=str(self),
            allowed="spectral-density, spectral-edges, spectral-gap, gap-times",
        )

    @cached_property
    def rho(self) -> Expr:
        return self.field_variance if self.linear else self._average(lambda h, sigma: sigma**2)

    def __str__(self) -> str:
        plain = str(HiddenManifold(self.activation))
        return plain if self.variances == ((S.One, S.One),) else f"{plain}, variances {self._listed}"


def _number(value: object) -> Expr:
    """A number as given, exact; a float is the simplest fraction that rounds to it."""
    if isinstance(value, float | Float):
        number = float(value)
        if not abs(number) < float("inf"):
            raise DeriveError(f"{value} is not a finite number", given=str(value), allowed="a finite number")
        simple = Fraction(number).limit_denominator(_SIMPLE)
        if float(simple) != number:
            simple = Fraction(repr(number))
        return Rational(simple.numerator, simple.denominator)
    if isinstance(value, str | bool):
        raise DeriveError(f"{value!r} is not a number", given=repr(value), allowed="a number")
    try:
        result = sympify(value, strict=True)
    except (ValueError, TypeError, AttributeError):
        result = None
    if not isinstance(result, Expr) or result.free_symbols or not result.is_real or not result.is_finite:
        raise DeriveError(f"{value} is not a real number", given=str(value), allowed="a finite real number")
    return result


def _checked(pairs: list[tuple[Expr, Expr]]) -> tuple[tuple[Expr, Expr], ...]:
    if not pairs:
        raise DeriveError("a spectrum needs a variance", given="none", allowed="VAR:FRACTION,...", nearest="1:1")
    merged: dict[Expr, Expr] = {}
    for variance, fraction in pairs:
        if not variance.is_positive:
            raise DeriveError(
                f"a variance of the manifold is {variance}",
                given=f"{variance}:{fraction}",
                allowed="positive variances (a direction of variance 0 is none of the D latent ones)",
            )
        if not fraction.is_positive:
            raise DeriveError(
                f"the fraction of the latent space with variance {variance} is {fraction}",
                given=f"{variance}:{fraction}",
                allowed="positive fractions that sum to 1",
            )
        merged[variance] = merged.get(variance, S.Zero) + fraction
    total = Add(*merged.values())
    if not (total - 1).equals(0):
        nearest = ",".join(f"{v}:{f / total}" for v, f in merged.items())
        raise DeriveError(
            f"the fractions of the latent space sum to {total}, not to 1",
            given=",".join(f"{v}:{f}" for v, f in merged.items()),
            allowed="fractions that sum to 1; alpha_D sets the size of the latent space",
            nearest=nearest,
        )
    return tuple(sorted(merged.items(), key=lambda pair: pair[0]))


