"""Laws of patterns: what a pattern is and what can be averaged over it."""

from derive.ensembles.activation import Activation
from derive.ensembles.base import Binary, Ensemble, Gaussian, HiddenManifold, Spherical
from derive.ensembles.product import ProductMeasure
from derive.ensembles.variances import VarianceManifold

__all__ = [
    "Activation", "Binary", "Ensemble", "Gaussian", "HiddenManifold", "ProductMeasure", "Spherical", "VarianceManifold",
]
