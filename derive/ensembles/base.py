"""The ensembles that have a name: Gaussian, spherical, binary, and the hidden manifold with any activation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sympy import Expr, Integer, Interval, Rational, oo

from derive.core import DeriveError, Parameter
from derive.ensembles.activation import Activation
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

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """What was chosen, for the record: pairs (name, text)."""
        return (("ensemble", str(self)),)

    def manifold(self, activation: object) -> Ensemble:
        """The hidden manifold with an activation, in place of this ensemble."""
        return HiddenManifold(activation)

    def activated(self, activation: object) -> Ensemble:
        """This ensemble with an activation; only a hidden manifold takes one.

        Raises: DeriveError for any other ensemble.
        """
        raise DeriveError(
            f"an activation belongs to the hidden manifold, not to {self.title}",
            given=f"ensemble {self}, activation {activation}",
            allowed="the ensemble manifold, or no ensemble",
            nearest="manifold",
        )

    def varied(self, variances: object) -> Ensemble:
        """This ensemble with several variances of the latent directions; only a hidden manifold takes them.

        Raises: DeriveError for any other ensemble, and for variances that are none.
        """
        raise DeriveError(
            f"latent variances belong to the hidden manifold, not to {self.title}",
            given=f"ensemble {self}, variances {variances}",
            allowed="the ensemble manifold, or no ensemble",
            nearest="manifold",
        )

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
    """Patterns sigma(F z / sqrt(D)) with D = alpha_D N latent dimensions, F common to all patterns (A1, A2).

    Args: activation sigma, by default linear: a SymPy function (`sympy.tanh`), a Lambda, a callable on a symbol, or an
    expression in one symbol; see `Activation` for what is refused.  sigma(h) = h is the linear manifold.

    Linear: in the eigenbasis of C = F F^T / D an entry is Gaussian with variance c, c drawn from the Marchenko-Pastur
    law of ratio alpha_D.  Any other activation goes through the replica method, since F couples the entries.

    >>> import sympy as sp
    >>> HiddenManifold().parameters[0].name
    'alpha_D'
    >>> HiddenManifold(sp.tanh).title, HiddenManifold(sp.Lambda(sp.Symbol("k"), sp.Symbol("k"))) == HiddenManifold()
    ('hidden manifold, tanh(h)', True)
    """

    activation: Activation | None = None

    name = "manifold"
    parameters = (Parameter(alpha_D, Interval.open(0, oo), "manifold dimension D/N", "ratio"),)

    def __init__(self, activation: object = None) -> None:
        made = None if activation is None else Activation(activation)
        object.__setattr__(self, "activation", None if made is None or made.identity else made)

    @property
    def title(self) -> str:  # type: ignore[override]
        return "linear hidden manifold" if self.activation is None else f"hidden manifold, {self.activation}"

    @property
    def linear(self) -> bool:
        """Whether the patterns are linear in the latent variables."""
        return self.activation is None

    @property
    def spectrum(self) -> MarchenkoPastur:
        """The spectral law of the covariance of the linear manifold."""
        return MarchenkoPastur(alpha_D)

    @property
    def site(self) -> SiteLaw:
        if self.activation is not None:
            raise DeriveError(
                f"not derived for this ensemble: the entries of {self.title} are coupled, and no basis makes them "
                "independent",
                given=str(self),
                allowed="a linear manifold, gaussian, binary or a product measure",
            )
        return GaussianSites(self.spectrum)

    @property
    def rho(self) -> Expr:
        return Integer(1) if self.activation is None else self.activation.rho

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        chosen = (("ensemble", self.name),)
        if self.activation is None:
            return chosen
        return (*chosen, ("activation", str(self.activation)), ("inner_average", self.activation.inner))

    def activated(self, activation: object) -> HiddenManifold:
        return HiddenManifold(activation)

    def varied(self, variances: object) -> Ensemble:
        from derive.ensembles.variances import VarianceManifold

        return VarianceManifold(variances, self.activation)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.name if self.activation is None else f"{self.name} {self.activation}"
