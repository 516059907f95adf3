"""Laws of patterns: what a pattern is and what can be averaged over it."""

from derive.ensembles.base import Binary, Ensemble, Gaussian, HiddenManifold, Spherical
from derive.ensembles.product import ProductMeasure

__all__ = ["Binary", "Ensemble", "Gaussian", "HiddenManifold", "ProductMeasure", "Spherical"]
