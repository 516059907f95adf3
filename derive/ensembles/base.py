"""The ensembles that have a name: Gaussian, spherical, binary, and the linear hidden manifold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sympy import Expr, Integer, Interval, Rational, oo

from derive.core import DeriveError, Parameter
from derive.ensembles.sites import GaussianSites, MeasureSites, SiteLaw
from derive.nodes import Atoms, MarchenkoPastur
from derive.symbols import alpha_D

__all__ = ["Binary", "Ensemble", "Gaussian", "HiddenManifold", "Spherical"]


class Ensemble(ABC):
    """A law of patterns.

    `name` is the word for it on the command line, `title` the phrase for a page, `parameters` what it adds to a
    quantity's own parameters.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...] = ()

    @property
    @abstractmethod
    def site(self) -> SiteLaw:
        """How averages over one site are written; DeriveError for an ensemble whose sites are not independent."""

    @property
    @abstractmethod
    def rho(self) -> Expr:
        """Second moment of an entry, per N."""

    @property
    def entropy(self) -> Expr:
        """Entropy per entry in nats where the law has finitely many values, oo otherwise."""
        return oo

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Gaussian(Ensemble):
    """Independent standard normal entries (B1).

    >>> Gaussian().rho
    1
    """

    name = "gaussian"
    title = "Gaussian patterns"

    @property
    def site(self) -> SiteLaw:
        return GaussianSites()

    @property
    def rho(self) -> Expr:
        return Integer(1)


@dataclass(frozen=True)
class Spherical(Ensemble):
    """Uniform on the sphere of squared radius N (B1); its entries are not independent."""

    name = "spherical"
    title = "spherical patterns"

    @property
    def site(self) -> SiteLaw:
        raise DeriveError(
            "not derived for this ensemble: the entries of a spherical pattern are not independent",
            given="spherical",
            allowed="gaussian, binary, manifold or a product measure",
        )

    @property
    def rho(self) -> Expr:
        return Integer(1)


@dataclass(frozen=True)
class Binary(Ensemble):
    """Independent entries +1 and -1 with equal weight (A1, B1).

    >>> Binary().entropy
    log(2)
    """

    name = "binary"
    title = "binary patterns"

    @property
    def law(self) -> Atoms:
        """The law of an entry."""
        return Atoms((Integer(-1), Integer(1)), (Rational(1, 2), Rational(1, 2)))

    @property
    def site(self) -> SiteLaw:
        return MeasureSites(self.law)

    @property
    def rho(self) -> Expr:
        return Integer(1)

    @property
    def entropy(self) -> Expr:
        from sympy import log

        return log(2)


@dataclass(frozen=True)
class HiddenManifold(Ensemble):
    """Patterns F z / sqrt(D) with D = alpha_D N latent dimensions, F common to all patterns (A1, A2).

    In the eigenbasis of C = F F^T / D an entry is Gaussian with variance c, c drawn from the Marchenko-Pastur law of
    ratio alpha_D.

    >>> HiddenManifold().parameters[0].name
    'alpha_D'
    """

    name = "manifold"
    title = "linear hidden manifold"
    parameters = (Parameter(alpha_D, Interval.open(0, oo), "manifold dimension D/N", "ratio"),)

    @property
    def spectrum(self) -> MarchenkoPastur:
        """The spectral law of the covariance."""
        return MarchenkoPastur(alpha_D)

    @property
    def site(self) -> SiteLaw:
        return GaussianSites(self.spectrum)

    @property
    def rho(self) -> Expr:
        return Integer(1)
