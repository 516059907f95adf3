"""Spectral laws as algebraic objects: supports, densities and transforms from a polynomial equation."""

from derive.methods.spectra.convolution import free_product, free_sum
from derive.methods.spectra.edges import Atom, Bulk, Edge
from derive.methods.spectra.law import AlgebraicLaw
from derive.methods.spectra.population import Population
from derive.methods.spectra.transforms import Transform
from derive.methods.spectra.transitions import Transition, transitions

__all__ = [
    "AlgebraicLaw", "Atom", "Bulk", "Edge", "Population", "Transform", "Transition", "free_product", "free_sum",
    "transitions",
]
