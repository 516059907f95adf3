"""The field's methods, independent of any system: random energy model, Legendre transforms, spectral laws."""

from derive.methods.legendre import LegendreTransform, legendre_transform
from derive.methods.marchenko_pastur import SpectralLaw

__all__ = ["LegendreTransform", "SpectralLaw", "legendre_transform"]
