"""What is averaged over, written once for every ensemble.

All averages of the systems factorise over sites (entries of a pattern, or eigendirections of the covariance).  A
*site law* says what one entry is and how averages over it are written as nodes; the systems say everything in terms of
it, so that a product measure of a user's own and the hidden manifold go through the same lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sympy import Expr, Symbol, sqrt

from derive.nodes import (
    GaussianAverage,
    Law,
    LogAverageExp,
    MarchenkoPastur,
    MeasureAverage,
    Noisy,
    Normal,
    SpectralAverage,
    TiltedAverage,
)
from derive.symbols import c as C

__all__ = ["GaussianSites", "MeasureSites", "SiteLaw"]

_H = Symbol("h", real=True)
_G = Symbol("g", real=True)
_W = Symbol("w", real=True)


class SiteLaw(ABC):
    """How averages over one site are written. Expressions use plain symbols for the bound variables."""

    @abstractmethod
    def log_average(self, exponent: Expr, entry: Symbol) -> Expr:
        """log E exp(exponent) over an entry."""

    @abstractmethod
    def tilted(self, body: Expr, exponent: Expr, entry: Symbol) -> Expr:
        """E[body exp(exponent)] / E[exp(exponent)] over an entry."""

    @abstractmethod
    def query(self, body: Expr, x: Symbol, amplitude: Expr, variance: Expr) -> Expr:
        """E body over a query x = amplitude * entry + sqrt(variance) * noise."""

    def at(self, body: Expr) -> Expr:
        """An expression of one site, with what is known of that site put in."""
        return body

    @abstractmethod
    def sites(self, body: Expr) -> Expr:
        """Average over the sites."""


@dataclass(frozen=True)
class MeasureSites(SiteLaw):
    """Independent entries with one law."""

    law: Law

    def log_average(self, exponent: Expr, entry: Symbol) -> Expr:
        return LogAverageExp(exponent, entry, self.law)

    def tilted(self, body: Expr, exponent: Expr, entry: Symbol) -> Expr:
        return TiltedAverage(body, exponent, entry, self.law)

    def query(self, body: Expr, x: Symbol, amplitude: Expr, variance: Expr) -> Expr:
        if variance == 0:
            return MeasureAverage(body.subs(x, amplitude * x), x, self.law)
        if amplitude == 1:
            return MeasureAverage(body, x, Noisy(self.law, variance))
        return MeasureAverage(body.subs(x, amplitude * x), x, Noisy(self.law, variance / amplitude**2))

    def sites(self, body: Expr) -> Expr:
        return body


@dataclass(frozen=True)
class GaussianSites(SiteLaw):
    """Gaussian entries in the eigenbasis of their covariance; `spectrum` None means the identity matrix.

    An entry along an eigenvalue c is sqrt(c) h with h standard normal.
    """

    spectrum: MarchenkoPastur | None = None

    variance = C

    def at(self, body: Expr) -> Expr:
        """An expression of one site: c is 1 where there is no spectrum."""
        return body.subs(C, 1) if self.spectrum is None else body

    def log_average(self, exponent: Expr, entry: Symbol) -> Expr:
        return LogAverageExp(exponent.subs(entry, sqrt(self.variance) * _H), _H, Normal())

    def tilted(self, body: Expr, exponent: Expr, entry: Symbol) -> Expr:
        scaled = sqrt(self.variance) * _H
        return TiltedAverage(body.subs(entry, scaled), exponent.subs(entry, scaled), _H, Normal())

    def query(self, body: Expr, x: Symbol, amplitude: Expr, variance: Expr) -> Expr:
        if variance == 0:
            return GaussianAverage(body.subs(x, amplitude * sqrt(self.variance) * _G), _G)
        return GaussianAverage(body.subs(x, amplitude * sqrt(self.variance) * _G + sqrt(variance) * _W), _G, _W)

    def sites(self, body: Expr) -> Expr:
        return self.at(body) if self.spectrum is None else SpectralAverage(body, C, self.spectrum)
